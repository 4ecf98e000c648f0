"use strict";
// The page of a running chip. It shows what the server tells and sends commands; nothing is computed here but pictures.

const at = (id) => document.getElementById(id);
const SPEEDS = [1, 3, 10, 100, 1000, 10000, 0];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const MAGMA = [[0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97],
  [254, 194, 135], [252, 253, 191]];
const PALETTE = Array.from({length: 256}, (_, i) => {
  const x = i / 255 * (MAGMA.length - 1), k = Math.min(Math.floor(x), MAGMA.length - 2), f = x - k;
  return MAGMA[k].map((low, c) => Math.round(low + f * (MAGMA[k + 1][c] - low)));
});

let chip = null, socket = null, status = null, drawn = null, levels = null, cell = null, picked = 0, wait = 500;

// the line to the server

function send(command) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(command));
}

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.onopen = () => { wait = 500; at("error").textContent = ""; };
  socket.onmessage = (message) => {
    const data = JSON.parse(message.data);
    shows[data.type]?.(data);
  };
  socket.onclose = () => {
    at("state").textContent = "the server does not answer; trying again";
    setTimeout(connect, wait);
    wait = Math.min(2 * wait, 8000);
  };
}

function engineering(value, unit) {
  if (!value) return `0 ${unit}`;
  const steps = ["f", "p", "n", "µ", "m", "", "k", "M"];
  const k = Math.max(0, Math.min(steps.length - 1, Math.floor((Math.log10(Math.abs(value)) + 15) / 3)));
  return `${(value / 10 ** (3 * k - 15)).toPrecision(3)} ${steps[k]}${unit}`;
}

// a canvas as sharp as the screen; returns its context, in CSS pixels

function canvas(id, height) {
  const element = at(id), ratio = devicePixelRatio || 1, width = element.clientWidth;
  element.style.height = `${height}px`;
  element.width = Math.round(width * ratio);
  element.height = Math.round(height * ratio);
  const pen = element.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11px system-ui, sans-serif";
  return [pen, width];
}

const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// drawing

let pixels = null, pen = [10, 10], down = false, last = null, timer = 0;

function wipe() {
  pixels = new Float32Array(chip.plane[0] * chip.plane[1]);
  drawn = null;
  at("answer").textContent = "?";
  at("answer-note").textContent = "draw, and the chip answers";
  at("scores").textContent = "";
  at("race-note").textContent = "";
  paintPad();
  canvas("race", 1);
}

function dab(y, x) {
  const [height, width] = chip.plane, reach = Math.max(1.3, height / 18);
  for (let i = Math.floor(y - reach); i <= y + reach; i++) {
    for (let j = Math.floor(x - reach); j <= x + reach; j++) {
      if (i < 0 || j < 0 || i >= height || j >= width) continue;
      const ink = 255 * Math.min(1, Math.max(0, 1.6 * (1 - Math.hypot(i - y, j - x) / reach)));
      pixels[i * width + j] = Math.max(pixels[i * width + j], ink);
    }
  }
}

function stroke(y, x) {
  const from = last || [y, x], steps = Math.max(1, Math.ceil(2 * Math.hypot(y - from[0], x - from[1])));
  for (let k = 1; k <= steps; k++) dab(from[0] + (y - from[0]) * k / steps, from[1] + (x - from[1]) * k / steps);
  last = [y, x];
  paintPad();
  clearTimeout(timer);
  timer = setTimeout(ask, 250);
}

function ask() {
  clearTimeout(timer);
  send({do: "draw", pixels: Array.from(pixels, Math.round)});
}

function paintPad() {
  const [height, width] = chip.plane, element = at("pad");
  element.width = width;
  element.height = height;
  element.style.imageRendering = "pixelated";
  const context = element.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < pixels.length; i++) {
    image.data.set([pixels[i], pixels[i], pixels[i], 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  if (document.activeElement === element) {
    context.fillStyle = "#ec6a4c";
    context.fillRect(Math.round(pen[1]), Math.round(pen[0]), 1, 1);
  }
}

function place(event) {
  const box = at("pad").getBoundingClientRect();
  return [(event.clientY - box.top) / box.height * chip.plane[0] - 0.5,
    (event.clientX - box.left) / box.width * chip.plane[1] - 0.5];
}

function preparePad() {
  const pad = at("pad");
  pad.onpointerdown = (event) => { pad.setPointerCapture(event.pointerId); last = null; down = true; stroke(...place(event)); };
  pad.onpointermove = (event) => { if (down && event.buttons) stroke(...place(event)); };
  pad.onpointerup = pad.onpointercancel = () => { down = false; last = null; };
  let pressed = false;
  pad.onkeydown = (event) => {
    const move = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (move) {
      pen = [0, 1].map((k) => Math.min(chip.plane[k] - 1, Math.max(0, pen[k] + move[k])));
      if (pressed) stroke(...pen); else paintPad();
    } else if (event.key === " ") { pressed = !pressed; last = null; if (pressed) stroke(...pen); }
    else if (event.key === "Enter") ask();
    else if (event.key === "Delete" || event.key === "Backspace") wipe();
    else return;
    event.preventDefault();
  };
  pad.onfocus = pad.onblur = paintPad;
}

// the race of a drawn digit: bins of spikes run in, then the reference falls onto the bars

function paintRace(progress) {
  const [pen2, width] = canvas("race", 170), {race, bins} = drawn;
  if (!race) return;
  const left = Math.min(150, width * 0.36), top = 150, lines = unpack(bins), [height, across] = chip.plane;
  const scale = (left - 14) / Math.max(height, across), bin = Math.min(chip.bins, Math.ceil(progress * 2 * chip.bins));
  for (let i = 0; i < lines.length; i++) {
    const fired = lines[i] !== 255 && lines[i] < bin;
    pen2.fillStyle = fired ? style("--accent") : style("--quiet");
    pen2.globalAlpha = fired ? 1 : 0.25;
    pen2.fillRect((i % across) * scale, Math.floor(i / across) * scale, scale * 0.85, scale * 0.85);
  }
  pen2.globalAlpha = 1;
  const high = Math.max(...race.values), low = Math.min(...race.values), span = Math.max(high - low, 10);
  const y = (value) => top - 6 - (value - low + 0.08 * span) / (1.25 * span) * (top - 20);
  const wide = (width - left) / race.values.length, fall = Math.max(0, 2 * progress - 1);
  const last = race.values[Math.max(0, race.winners - 1)];
  const line = high + 0.12 * span + fall * (last - high - 0.12 * span);
  race.values.forEach((value, k) => {
    pen2.fillStyle = k < race.winners && value >= line - 1e-9 && fall > 0 ? style("--accent") : style("--quiet");
    pen2.fillRect(left + k * wide, y(value), wide * 0.8, top - y(value));
  });
  pen2.strokeStyle = style("--ink");
  pen2.setLineDash([5, 3]);
  pen2.beginPath();
  pen2.moveTo(left, y(line));
  pen2.lineTo(width, y(line));
  pen2.stroke();
  pen2.fillStyle = style("--soft");
  pen2.fillText(`tile ${race.tile}: V − θ of its best neurons`, left, top + 14);
  pen2.fillText("lines", 0, top + 14);
}

// the run of a drawn digit through a chip that runs free: step by step membranes rise, and who reaches the threshold fires

function paintRun(progress) {
  const [pen2, width] = canvas("race", 170), run = drawn.run, [height, across] = chip.plane, steps = run.lines.length;
  const left = Math.min(150, width * 0.36), top = 134, scale = (left - 14) / Math.max(height, across);
  const step = Math.min(steps - 1, Math.floor(progress * steps)), counts = new Uint16Array(height * across);
  for (let k = 0; k <= step; k++) run.lines[k].forEach((line) => { counts[line] += 1; });
  const lit = new Set(run.lines[step]), most = Math.max(1, ...counts), done = progress >= 1;
  for (let i = 0; i < counts.length; i++) {
    const now = !done && lit.has(i);
    pen2.fillStyle = now ? style("--ink") : counts[i] ? style("--accent") : style("--quiet");
    pen2.globalAlpha = now ? 1 : counts[i] ? 0.25 + 0.75 * counts[i] / most : 0.25;
    pen2.fillRect((i % across) * scale, Math.floor(i / across) * scale, scale * 0.85, scale * 0.85);
  }
  pen2.globalAlpha = 1;
  const high = 1.15 * Math.max(run.threshold, ...run.values.flat()), y = (value) => top - Math.max(0, value) / high * (top - 8);
  const wide = (width - left) / run.neurons.length;
  run.values[step].forEach((value, k) => {
    pen2.fillStyle = k === run.winner[step] ? style("--accent") : style("--quiet");
    pen2.fillRect(left + k * wide, y(value), wide * 0.8, top - y(value));
  });
  pen2.strokeStyle = style("--ink");
  pen2.setLineDash([5, 3]);
  pen2.beginPath();
  pen2.moveTo(left, y(run.threshold));
  pen2.lineTo(width, y(run.threshold));
  pen2.stroke();
  // what fired in every step, in all tiles; the steps so far
  const tall = Math.max(1, ...run.fired), part = (width - left) / steps;
  run.fired.forEach((count, k) => {
    pen2.fillStyle = k <= step ? style("--accent") : style("--quiet");
    pen2.fillRect(left + k * part, 154 - 14 * count / tall, part * 0.8, Math.max(1, 14 * count / tall));
  });
  pen2.fillStyle = style("--soft");
  pen2.fillText(`tile ${run.tile}: V − θ; below, spikes of a step`, left, 167);
  pen2.fillText(`lines, step ${step + 1} of ${steps}`, 0, 167);
}

const paintDrawn = (progress) => (drawn.run ? paintRun : paintRace)(progress);

function playRace() {
  if (calm.matches) return paintDrawn(1);
  const begun = performance.now(), shown = drawn, takes = drawn.run ? 250 * drawn.run.lines.length : 900;
  const step = (now) => {
    if (drawn !== shown || !(drawn.race || drawn.run)) return;
    const progress = Math.min(1, Math.max(0, (now - begun) / takes));
    paintDrawn(progress);
    if (progress < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

// conductance maps

let layout = null;

function arrange() {
  // where the map of every (tile, neuron) stands, in cells
  const [height, width] = chip.patch, count = chip.maps, places = [];
  if (chip.tiles === 1) {
    const columns = Math.ceil(Math.sqrt(count * 1.6));
    for (let n = 0; n < count; n++) places.push([Math.floor(n / columns) * (height + 1), (n % columns) * (width + 1)]);
    layout = {places, width: columns * (width + 1) - 1, height: Math.ceil(count / columns) * (height + 1) - 1};
    return;
  }
  const side = Math.round(Math.sqrt(count)), across = chip.grid[1];
  const step = [side * (height + 1) + 1, side * (width + 1) + 1];
  for (let t = 0; t < chip.tiles; t++) {
    for (let n = 0; n < count; n++) {
      places.push([Math.floor(t / across) * step[0] + Math.floor(n / side) * (height + 1),
        (t % across) * step[1] + (n % side) * (width + 1)]);
    }
  }
  layout = {places, width: across * step[1] - 2, height: chip.grid[0] * step[0] - 2};
}

function paintMaps() {
  const element = at("maps"), context = element.getContext("2d");
  element.width = layout.width;
  element.height = layout.height;
  const image = context.createImageData(layout.width, layout.height), rows = chip.rows, across = chip.patch[1];
  layout.places.forEach(([top, left], map) => {
    for (let r = 0; r < rows; r++) {
      const color = PALETTE[Math.round(levels[map * rows + r] / (chip.levels - 1) * 255)];
      const y = top + Math.floor(r / across), x = left + r % across;
      image.data.set([color[0], color[1], color[2], 255], 4 * (y * layout.width + x));
    }
  });
  context.putImageData(image, 0, 0);
  const chosen = cell ? [cell.tile * chip.maps + cell.neuron, cell.row] : null;
  if (document.activeElement === element || chosen) {
    const [map, row] = document.activeElement === element ? [Math.floor(picked / rows), picked % rows] : chosen;
    const [top, left] = layout.places[map];
    context.fillStyle = "#3ddc97";
    context.fillRect(left + row % across, top + Math.floor(row / across), 1, 1);
  }
}

function lookAt(map, row) {
  picked = map * chip.rows + row;
  send({do: "cell", tile: Math.floor(map / chip.maps), neuron: map % chip.maps, row});
}

function prepareMaps() {
  const element = at("maps");
  element.onclick = (event) => {
    const box = element.getBoundingClientRect(), [height, width] = chip.patch;
    const y = Math.floor((event.clientY - box.top) / box.height * layout.height);
    const x = Math.floor((event.clientX - box.left) / box.width * layout.width);
    const map = layout.places.findIndex(([top, left]) => y >= top && y < top + height && x >= left && x < left + width);
    if (map >= 0) lookAt(map, (y - layout.places[map][0]) * width + x - layout.places[map][1]);
  };
  element.onkeydown = (event) => {
    const total = layout.places.length * chip.rows;
    const move = {ArrowUp: -chip.patch[1], ArrowDown: chip.patch[1], ArrowLeft: -1, ArrowRight: 1,
      PageDown: chip.rows, PageUp: -chip.rows}[event.key];
    if (move) { picked = (picked + move + total) % total; if (levels) paintMaps(); }
    else if (event.key === "Enter") lookAt(Math.floor(picked / chip.rows), picked % chip.rows);
    else return;
    event.preventDefault();
  };
  element.onfocus = element.onblur = () => { if (levels) paintMaps(); };
}

function paintCell() {
  const [context, width] = canvas("cell-curve", 120), half = width / 2 - 12, top = chip.levels - 1;
  const y = (level) => 102 - level / top * 94;
  const trace = (points, from, span, colour, steps) => {
    context.strokeStyle = colour;
    context.lineWidth = 1.6;
    context.beginPath();
    const first = points[0][0], range = Math.max(1, points.at(-1)[0] - first);
    points.forEach(([x, level], k) => {
      const px = from + (x - first) / range * span;
      if (k && steps) context.lineTo(px, y(points[k - 1][1]));
      if (k) context.lineTo(px, y(level)); else context.moveTo(px, y(level));
    });
    context.stroke();
  };
  if (cell.curve) {
    trace(cell.curve.set.map((level, k) => [k, level]), 0, half, style("--accent"));
    trace(cell.curve.reset.map((level, k) => [k, level]), 0, half, style("--night"));
  }
  if (cell.history.length) {
    const now = Math.max(status ? status.shown : 0, cell.history[0][0] + 1);
    trace([...cell.history, [now, cell.level]], half + 24, half, style("--ink"), true);
  }
  context.fillStyle = style("--soft");
  context.fillText("SET (red), RESET pulses", 0, 117);
  context.fillText("level over images", half + 24, 117);
}

function paintCurve() {
  const [context, width] = canvas("curve", 90), points = status.curve;
  context.strokeStyle = style("--quiet");
  context.fillStyle = style("--soft");
  for (const share of [0, 0.5, 1]) {
    const y = 78 - 70 * share;
    context.beginPath();
    context.moveTo(40, y);
    context.lineTo(width, y);
    context.stroke();
    context.fillText(`${100 * share} %`, 0, y + 4);
  }
  if (points.length < 2) return;
  const first = points[0][0], range = Math.max(1, points.at(-1)[0] - first);
  context.strokeStyle = style("--accent");
  context.lineWidth = 1.8;
  context.beginPath();
  points.forEach(([x, share], k) => context[k ? "lineTo" : "moveTo"](40 + (x - first) / range * (width - 42), 78 - 70 * share));
  context.stroke();
}

// what the server tells

const shows = {
  chip(data) {
    const fresh = !chip || chip.name !== data.name;
    chip = data;
    at("race").setAttribute("aria-label", data.free ? "spikes of the lines step by step, and membranes that rise to the threshold"
      : "spikes of the lines, then the race of the neurons");
    at("chip").textContent = `${data.name} on ${data.target}, ${data.synapses.toLocaleString("en")} synapses`;
    at("warm").disabled = !data.warm;
    at("maps-note").textContent = data.maps < data.neurons
      ? `the first ${data.maps} of ${data.neurons} neurons of ${data.tiles === 1 ? "the crossbar" : "every tile"}; click a cell`
      : "every neuron; click a cell";
    arrange();
    if (fresh) { wipe(); preparePad(); prepareMaps(); }
  },
  status(data) {
    status = data;
    at("state").textContent = data.running ? "learning" : "paused";
    at("run").textContent = data.running ? "Pause" : "Run";
    at("shown").textContent = data.shown.toLocaleString("en");
    at("accuracy").textContent = data.accuracy === null ? "–" : `${(100 * data.accuracy).toFixed(1)} % of ${data.recent.toLocaleString("en")}`;
    at("pulses").textContent = `${data.set_pulses.toLocaleString("en")}, ${data.reset_pulses.toLocaleString("en")}`;
    at("energy").textContent = engineering(data.energy_j, "J");
    at("stuck").textContent = data.stuck ? `${(100 * data.stuck).toFixed(1)} % are stuck` : "";
    at("noise-text").textContent = `${+(100 * data.noise).toFixed(1)} %`;
    at("warm-text").textContent = `${data.kelvin} K`;
    if (document.activeElement !== at("noise")) at("noise").value = 100 * data.noise;
    if (document.activeElement !== at("warm")) at("warm").value = data.kelvin;
    if (document.activeElement !== at("speed")) at("speed").value = SPEEDS.indexOf(data.speed) < 0 ? 6 : SPEEDS.indexOf(data.speed);
    at("speed-text").textContent = data.speed ? `${data.speed.toLocaleString("en")} images/s` : "as fast as it goes";
    if (!data.begun) at("event-row").hidden = true;
    paintCurve();
  },
  maps(data) { levels = unpack(data.levels); paintMaps(); },
  drawn(data) {
    drawn = data;
    at("answer").textContent = data.spikes === 0 || data.answer === undefined ? "?" : data.answer;
    at("answer-note").textContent = data.margin === undefined
      ? (data.fired.length ? "it has learned nothing yet" : "no neuron fired") : `lead ${data.margin.toLocaleString("en")}, ${engineering(data.energy_j, "J")} (model)`;
    const top = Math.max(1, ...data.scores), low = Math.min(...data.scores, top);
    at("scores").replaceChildren(...data.scores.map((score, label) => {
      const bar = document.createElement("div"), name = document.createElement("span");
      bar.style.height = `${6 + 94 * (score - low) / Math.max(1, top - low)}%`;
      bar.className = label === data.answer ? "best" : "";
      bar.title = `class ${label}: ${score}`;
      name.textContent = label;
      bar.append(name);
      return bar;
    }));
    at("race-note").textContent = data.race ? `${data.spikes} lines spiked, ${data.reads.toLocaleString("en")} rows were read, ${data.fired.length} neurons fired`
      : data.run ? `${data.spikes} spikes in ${data.run.lines.length} steps, ${data.reads.toLocaleString("en")} rows were read, neurons fired ${data.fired.length} times` : "";
    playRace();
  },
  event(data) {
    at("event-row").hidden = false;
    const context = at("event-image").getContext("2d"), [height, width] = chip.plane, scale = 84 / Math.max(height, width);
    context.clearRect(0, 0, 84, 84);
    data.image.forEach((value, i) => {
      context.fillStyle = `rgb(${value},${value},${value})`;
      context.fillRect((i % width) * scale, Math.floor(i / width) * scale, scale, scale);
    });
    if (data.line !== null) {
      context.fillStyle = "#ec6a4c";
      context.fillRect((data.line % width) * scale, Math.floor(data.line / width) * scale, scale, scale);
    }
    const fired = data.fired.length ? `; ${data.fired.length} neurons fired` : "";
    const answer = data.answer === null ? "" : `; answer ${data.answer}, label ${data.label}`;
    at("event-text").textContent = `${data.name}${fired}${answer}; ${data.left} events left`;
  },
  cell(data) {
    const same = cell && cell.tile === data.tile && cell.row === data.row && cell.neuron === data.neuron;
    if (!data.curve && !same) return;
    cell = {...(same ? cell : {}), ...data};
    at("cell-box").hidden = false;
    at("cell-name").textContent = `Tile ${cell.tile}, row ${cell.row}, neuron ${cell.neuron}`;
    at("cell-text").textContent = `level ${cell.level} of ${chip.levels - 1}, ${engineering(cell.siemens, "S")} on ${chip.device}` +
      `${cell.stuck ? ", stuck" : ""}; ${Math.max(0, cell.history.length - 1)} changes seen`;
    paintCell();
    if (levels) paintMaps();
  },
  tested(data) { at("tested").textContent = `${(100 * data.accuracy).toFixed(1)} % of ${data.images.toLocaleString("en")}`; },
  error(data) { at("error").textContent = data.text; },
  dead(data) { at("state").textContent = "stopped"; at("error").textContent = `${data.text}; ${data.kept}`; },
};

at("run").onclick = () => send({do: status && status.running ? "pause" : "run"});
at("image").onclick = () => send({do: "image"});
at("event").onclick = () => send({do: "event"});
at("test").onclick = () => { at("tested").textContent = "…"; send({do: "test", images: 1000}); };
at("ask").onclick = ask;
at("wipe").onclick = wipe;
at("break").onclick = () => send({do: "break", share: 0.05});
at("mend").onclick = () => send({do: "mend"});
at("speed").oninput = () => send({do: "speed", images_per_s: SPEEDS[at("speed").value]});
at("noise").onchange = () => send({do: "noise", share: at("noise").value / 100});
at("warm").onchange = () => send({do: "warm", kelvin: +at("warm").value});
addEventListener("resize", () => {
  if (status) paintCurve();
  if (drawn) paintDrawn(1);
  if (cell) paintCell();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("resize")));
connect();
