"""Cases in which SPICE checks the analog twin, on conductances of a real chip and spikes of a real image."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # its parts are loaded when they are first used

from ohmspike.chip.description import Chip, Phase
from ohmspike.chip.instructions import counter_names
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState

from .device import Device, chip_with_device, droop_of, pulse_amplitudes
from .energy import Activity, OperatingPoint, energies
from .fit import curve
from .sky130 import after_pulse, spice_after_pulse
from .spice import Netlist, Simulator, library, pulses

__all__ = ["CASES", "Check", "Scene", "evaluate", "subject"]

_EDGE_SHARE = 1e-3
"""Edge of a write pulse, share of its width."""


@dataclass(frozen=True)
class Check:
    """One figure of the twin beside that of SPICE.

    Parameters
    ----------
    case, what : str
    twin, spice : float
    limit : float
        Largest deviation: a share of the SPICE figure, or absolute where ``share`` is false.
    unit : str
    """

    case: str
    what: str
    twin: float
    spice: float
    limit: float
    unit: str = ""
    share: bool = True

    @property
    def deviation(self) -> float:
        """Of the twin from SPICE, signed."""
        difference = self.twin - self.spice
        if not self.share:
            return difference
        return difference / abs(self.spice) if self.spice else (0.0 if difference == 0 else math.inf)

    @property
    def ok(self) -> bool:
        """Whether twin and SPICE agree as far as is asked."""
        return abs(self.deviation) <= self.limit  # false for NaN

    def to_dict(self) -> dict:
        """For JSON."""
        return {**dataclasses.asdict(self), "deviation": self.deviation, "ok": self.ok}


@dataclass(frozen=True)
class Scene:
    """What the cases take from a chip: the tile that reads most of an image, its conductances and its spikes.

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.description.Chip`
    state : :class:`~ohmspike.sim.state.ChipState`
    device : :class:`~ohmspike.sim.analog.device.Device`
    image : uint8 array of shape (plane_height, plane_width)
    seed : int
        Of the spikes of the rate code.
    """

    chip: Chip
    state: ChipState
    device: Device
    image: np.ndarray
    seed: int = 1

    @cached_property
    def tile(self) -> int:
        """The tile with the most bright lines."""
        return int((self._pixels > self.chip.dark_level).sum(axis=1).argmax())

    @cached_property
    def _pixels(self):
        return np.asarray(self.image).ravel()[self.chip.row_lines]

    @property
    def pixels(self) -> np.ndarray:
        """Pixels of the tile's rows, uint8 of shape (rows,)."""
        return self._pixels[self.tile]

    @cached_property
    def column(self) -> int:
        """The neuron of the tile that reads the most from the image."""
        bright = self.pixels > self.chip.dark_level
        return int(self.state.weight[self.state.levels[self.tile][bright]].sum(axis=0, dtype=np.int64).argmax())

    def cells(self, count: int) -> np.ndarray:
        """States, 0 to 1, of so many cells of the tile, that column first: float of shape (count,)."""
        columns = np.roll(self.state.levels[self.tile].T, -self.column, axis=0).ravel()
        return np.resize(columns, count) / (self.chip.levels - 1)

    def spikes(self, count: int, steps: int, peak: float) -> np.ndarray:
        """Rate-coded spikes of so many rows, bool of shape (steps, count); past the last row the first comes again."""
        random = np.random.default_rng(self.seed)
        pixels = np.resize(np.maximum(self.pixels, 16), count)
        return random.random((steps, count)) < peak * pixels / 255


# a column that is read


def _read_column(device, g, spikes, *, clamp, capacitance, reset="", threshold=0.0):
    """A column of cells with conductances g (access included), read by spikes of shape (steps, cells)."""
    net = Netlist(f"{g.size} cells, {len(spikes)} steps, read-out {'clamp' if clamp else 'membrane'}")
    period = _period(device)
    net.switch_model("sel", 1e-2, device.wordline_v / 2)
    net.source("r", "rail", device.read_v)
    bit_line = "bl" if clamp else "mem"
    for row in np.flatnonzero(spikes.any(axis=0)):
        on = [(step * period + 0.25 * period, step * period + 0.25 * period + device.pulse_s, device.wordline_v)
              for step in np.flatnonzero(spikes[:, row])]
        net.source(f"w{row}", f"w{row}", pulses(on, device.edge_s))
        net.add(f"S{row} rail n{row} w{row} 0 sel", f"R{row} n{row} {bit_line} {1 / g[row]:.9g}")
    if clamp:
        net.source("c", "bl", 0.0)
        net.source("dd", "vdd", device.supply_v)
        net.add(f"Fm vdd mem Vc {1 / device.mirror_ratio:.9g}")
        net.meter("emirror", "-1*v(vdd)*i(Vdd)")
    net.add(f"Cm mem 0 {capacitance:.9g} ic=0", "Rm mem 0 1e15")
    net.meter("erail", "-1*v(rail)*i(Vr)")
    net.probe("mem")
    if reset:
        window = [((step + 0.05) * period, (step + 0.95) * period, 1.0) for step in range(len(spikes))]
        _comparator(net, device, window, threshold, capacitance, hold=reset == "hold")
    return net, period * len(spikes)


def _period(device):
    return 2 * device.pulse_s


def _comparator(net, device, window, threshold, capacitance, *, hold):
    """A comparator with hysteresis that discharges the membrane, to the end of the pulse's window if told to hold."""
    lag = device.pulse_s / 200
    net.source("ph", "phase", pulses(window, device.edge_s / 2))
    stay = " || (v(cmp)>0.5 && v(phase)>0.5)" if hold else ""
    net.add(f"Bc cx 0 v=((v(mem)>{threshold:.9g}*(1-0.98*u(v(cmp)-0.5))){stay}) ? 1 : 0",
            "Rc cx cmp 1k", f"Cc cmp 0 {lag / 1e3:.6g} ic=0", "Sres mem 0 cmp 0 dump")
    net.switch_model("dump", device.pulse_s / 400 / capacitance)
    net.probe("cmp")


def _integrate(increments, threshold, rule):
    """Spikes per step of a membrane that adds ``increments``: reset to 0, or less the threshold while above it."""
    membrane, fired = 0.0, []
    for step, rise in enumerate(increments):
        membrane = rise(membrane) if callable(rise) else membrane + rise
        while membrane >= threshold:
            fired.append(step)
            membrane = 0.0 if rule == "zero" else membrane - threshold
    return fired


def _pieces(scene, count, steps, peak, clamp):
    """Cells, spikes, conductances read in every step, and a threshold that is reached about eight times.

    The capacitor is the one of some with which no step ends close to the threshold.
    """
    device = scene.device
    g, spikes = device.cell_conductance(scene.cells(count)), scene.spikes(count, steps, peak)
    sums = spikes @ g
    threshold = device.membrane_v if clamp else 0.25 * device.read_v
    once = device.read_v / device.mirror_ratio / threshold if clamp else 1 / -math.log1p(-0.25)

    def margin(capacitance):
        """Closest that a step comes to the threshold without meaning to: SPICE has tolerances, the twin none."""
        gaps, membrane = [], 0.0
        for rise in _rises(device, sums, capacitance, clamp):
            membrane = rise(membrane) if callable(rise) else membrane + rise
            gaps.append(abs(membrane / threshold - 1))
            membrane = 0.0 if membrane >= threshold else membrane
        return min(gaps)

    capacitance = max((sums.sum() * device.pulse_s * once / fires for fires in np.linspace(7.5, 9.5, 21)), key=margin)
    return g, spikes, sums, threshold, capacitance


def read_energy(scene: Scene, spice: Simulator) -> list[Check]:
    """V1: energy from the read rail and from the mirror's supply."""
    device, checks = scene.device, []
    for count in (16, 64, 256):
        x, spikes = scene.cells(count), scene.spikes(count, 10, 0.3)
        net, stop = _read_column(device, device.cell_conductance(x), spikes, clamp=True, capacitance=1e-9)
        waves = spice.run(f"v1-{count}", net, stop=stop, largest=device.pulse_s / 10)
        joules = float((spikes @ device.read_energy(x)).sum())
        checks += [Check("V1", f"read rail, {count} cells", joules, waves.joules("erail"), 0.01, "J"),
                   Check("V1", f"mirror, {count} cells",
                         joules / device.read_v * device.supply_v / device.mirror_ratio, waves.joules("emirror"), 0.01,
                         "J")]
    return checks


def membrane_on_bit_line(scene: Scene, spice: Simulator) -> list[Check]:
    """V2: a bit line that is the membrane charges exponentially."""
    device, steps = scene.device, 12
    g, spikes = device.cell_conductance(scene.cells(64)), scene.spikes(64, steps, 0.4)
    times = np.cumsum(spikes @ g) * device.pulse_s
    capacitance = times[-1] / 0.7
    net, stop = _read_column(device, g, spikes, clamp=False, capacitance=capacitance)
    waves = spice.run("v2", net, stop=stop, largest=device.pulse_s / 10)
    ends = (np.arange(steps) + 1) * _period(device) * 0.9999
    expected = device.read_v * -np.expm1(-times / capacitance)
    return [*(Check("V2", f"membrane after {step + 1} steps", float(expected[step]),
                    float(waves.at("mem", ends[step])), 0.01, "V") for step in (2, 5, steps - 1)),
            Check("V2", "read rail", device.read_v * capacitance * expected[-1], waves.joules("erail"), 0.01, "J")]


def held_reset(scene: Scene, spice: Simulator) -> list[Check]:
    """V3: a reset held to the end of the pulse's window gives the contract's spikes, the surplus lost (3.3)."""
    device, checks = scene.device, []
    for count, steps, clamp in ((16, 60, True), (64, 60, True), (64, 60, False)):
        g, spikes, sums, threshold, capacitance = _pieces(scene, count, steps, 0.3, clamp)
        net, stop = _read_column(device, g, spikes, clamp=clamp, capacitance=capacitance, reset="hold",
                                 threshold=threshold)
        waves = spice.run(f"v3-{count}-{'clamp' if clamp else 'membrane'}", net, stop=stop, largest=device.pulse_s / 10)
        found = (waves.rises("cmp", 0.5) / _period(device)).astype(int).tolist()
        expected = _integrate(_rises(device, sums, capacitance, clamp), threshold, "zero")
        label = f"{count} cells, {'clamp' if clamp else 'membrane'}"
        checks += [Check("V3", f"spikes, {label}", len(expected), len(found), 0.0, "", False),
                   Check("V3", f"steps of spikes that differ, {label}", 0, _unlike(expected, found), 0.0, "", False)]
    return checks


def _rises(device, sums, capacitance, clamp):
    """What every step adds to a membrane: volts, or the step of its exponential course."""
    if clamp:
        return (sums * device.read_v * device.pulse_s / device.mirror_ratio / capacitance).tolist()
    keep = np.exp(-sums * device.pulse_s / capacitance)
    return [lambda v, k=k: device.read_v - (device.read_v - v) * k for k in keep.tolist()]


def _unlike(expected, found):
    return sum(a != b for a, b in zip(expected, found, strict=False)) + abs(len(expected) - len(found))


def fast_reset(scene: Scene, spice: Simulator) -> list[Check]:
    """V4: a comparator that resets at once behaves like taking the threshold off."""
    device = scene.device
    g, spikes, sums, threshold, capacitance = _pieces(scene, 64, 60, 0.3, True)
    net, stop = _read_column(device, g, spikes, clamp=True, capacitance=capacitance, reset="fast", threshold=threshold)
    waves = spice.run("v4", net, stop=stop, largest=device.pulse_s / 40)
    found = (waves.rises("cmp", 0.5) / _period(device)).astype(int).tolist()
    expected = _integrate(_rises(device, sums, capacitance, True), threshold, "less")
    worst = max((abs(a - b) for a, b in zip(expected, found, strict=False)), default=0)
    return [Check("V4", "spikes", len(expected), len(found), 1, "", False),
            Check("V4", "largest distance of a spike, steps", 0, worst, 2, "", False),
            Check("V4", "read rail", device.read_v**2 * device.pulse_s * sums.sum(), waves.joules("erail"), 0.01, "J")]


# wires


def ladder(g: np.ndarray, wire: float, volts: float) -> float:
    """Current into a clamp at the end of a bit line with cells g at every node: the ladder solved exactly, A."""
    count, link = len(g), 1 / wire
    middle = g + 2 * link
    middle[0] = g[0] + link  # the far end
    bands = np.array([np.r_[0, np.full(count - 1, -link)], middle, np.r_[np.full(count - 1, -link), 0]])
    return float(scipy.linalg.solve_banded((1, 1), bands, g * volts)[-1] * link)


def wire_resistance(scene: Scene, spice: Simulator) -> list[Check]:
    """V5: what the resistance of the bit line takes away, by the closed form and by the ladder."""
    device, checks = scene.device, []
    count = 784
    random = np.random.default_rng(scene.seed)
    pixels = np.resize(scene.image.ravel(), count)
    active = np.flatnonzero(pixels > scene.chip.dark_level)
    active = active if len(active) >= 16 else np.arange(16)
    even = np.linspace(0, count - 1, len(active)).round().astype(int)
    for target in (0.1, 0.7, 1.0):
        for where, rows in (("of the image", active), ("evenly", even)):
            g = np.zeros(count)
            g[rows] = random.permutation(device.cell_conductance(scene.cells(len(rows))))
            wire = target / (g.sum() * count)
            net = Netlist(f"bit line of {count} cells, {len(rows)} active, α² = {target}")
            net.source("r", "rail", device.read_v)
            for row in range(count):
                net.add(f"Rw{row} b{row} {f'b{row + 1}' if row + 1 < count else 'end'} {wire:.9g}")
            net.add(*(f"Rg{row} rail b{row} {1 / g[row]:.9g}" for row in rows))
            net.source("c", "end", 0.0)
            net.add("Bi out 0 v=i(Vc)*1e6")
            net.probe("out")
            waves = spice.run(f"v5-{target}-{where.replace(' ', '-')}", net, stop=1e-9, largest=2e-10)
            current, label = waves.last("out") / 1e6, f"α² = {target}, {len(rows)} rows {where}"
            closed = float(g.sum() * device.read_v * droop_of(target))
            checks += [Check("V5", f"ladder, {label}", ladder(g, wire, device.read_v), current, 0.001, "A"),
                       Check("V5", f"tanh(α)/α, {label}", closed, current, 0.02 if where == "evenly" else 0.1, "A")]
    return checks


def _line_farads(device, cells):
    return cells * (device.gate_f + device.wire_f_per_um * device.pitch_um) + device.driver_f


def word_line(scene: Scene, spice: Simulator) -> list[Check]:
    """V6: charging a word line out of a rail and discharging it costs C V²."""
    device, cells, count = scene.device, scene.chip.neurons, 5
    period = _period(device)
    on = [(step * period, step * period + device.pulse_s, 1.0) for step in range(1, count + 1)]
    net = Netlist(f"word line of {cells} cells")
    net.source("w", "rail", device.wordline_v)
    net.source("u", "up", pulses(on, device.edge_s))
    net.add("Bd down 0 v=1-v(up)")
    capacitance = _line_farads(device, cells)
    net.switch_model("drv", device.pulse_s / 50 / capacitance, 0.6)
    net.add("Su rail wl up 0 drv", "Sd wl 0 down 0 drv", f"Cw wl 0 {capacitance:.9g} ic=0")
    net.meter("e", "-1*v(rail)*i(Vw)")
    waves = spice.run("v6", net, stop=(count + 2) * period, largest=device.pulse_s / 50)
    return [Check("V6", f"word line of {cells} cells, {count} pulses", count * device.wordline_energy(cells),
                  waves.joules("e"), 0.01, "J")]


def trace(scene: Scene, spice: Simulator) -> list[Check]:
    """V7: a trace decays through a resistor and is recharged from the supply."""
    device, chip, checks = scene.device, scene.chip, []
    step = device.step_s
    ohm = step / (device.trace_f * -math.log1p(-(2.0**-chip.trace_shift)))
    for steps in (2, 5, 10):
        net = Netlist(f"a trace recharged after {steps} steps")
        net.source("d", "vdd", device.supply_v)
        when = steps * step
        net.source("g", "gate", pulses([(when, when + 0.02 * step, 1.0)], 1e-4 * step))
        net.switch_model("sup", 0.001 * step / device.trace_f)
        net.add("Ss vdd tr gate 0 sup", f"Ct tr 0 {device.trace_f:.9g} ic={device.supply_v:.9g}", f"Rt tr 0 {ohm:.9g}")
        net.meter("e", "-1*v(vdd)*i(Vd)")
        net.probe("tr")
        waves = spice.run(f"v7-{steps}", net, stop=when + 0.02 * step, largest=step / 100)
        share = (1 - 2.0**-chip.trace_shift) ** steps
        checks.append(Check("V7", f"trace after {steps} steps", device.supply_v * share,
                            float(waves.at("tr", when - 0.001 * step)), 0.01, "V"))
        leak = device.supply_v**2 / ohm * 0.02 * step  # lost while the switch is on
        checks.append(Check("V7", f"recharge after {steps} steps", device.trace_energy(share) + leak, waves.joules("e"),
                            0.01, "J"))
    return checks


# writing


def _write_net(device, x, trains, width):
    """Cells side by side, each with its own train of (volts, pulses)."""
    net = Netlist(f"{len(x)} cells written")
    net.memristor_model(device)
    for index, (start, (volts, count)) in enumerate(zip(x, trains, strict=True)):
        on = [((2 * k + 1) * width, (2 * k + 2) * width, volts) for k in range(count)]
        net.source(f"p{index}", f"p{index}", pulses(on, _EDGE_SHARE * width))
        net.add(f"Ra{index} p{index} t{index} {max(device.access_ohm, 1e-2):.9g}",
                f"Xc{index} t{index} 0 x{index} cell x0={start:.9g}")
        net.meter(f"e{index}", f"-1*v(p{index})*i(Vp{index})")
        net.probe(f"x{index}")
    return net


def single_pulses(scene: Scene, spice: Simulator) -> list[Check]:
    """V8: one SET or RESET pulse: how far the cell moves, and what it costs."""
    device, top, checks = scene.device, scene.chip.levels - 1, []
    levels = np.array(sorted({0, top // 4 + 1, top // 2 + 1, top}))
    for kind, sign in (("set", 1), ("reset", -1)):
        full, width = getattr(device, f"{kind}_v"), getattr(device, f"{kind}_s")
        shares = np.repeat([0.5 / 1.2, 0.7 / 1.2, 0.75, 1.0], len(levels))
        starts = np.tile(levels, 4) / top
        net = _write_net(device, starts, [(sign * full * share, 1) for share in shares], width)
        waves = spice.run(f"v8-{kind}", net, stop=3 * width, largest=width / 100)
        after, joules = device.pulse(kind, starts, shares)
        moved = np.array([waves.last(f"x{i}") for i in range(len(starts))]) - starts
        drawn = np.array([waves.joules(f"e{i}") for i in range(len(starts))]) / device.efficiency
        ours, theirs = (after - starts) * top, moved * top
        limit = np.maximum(0.02, 0.02 * np.abs(theirs))  # levels, whichever is more
        worst = int(np.argmax(np.abs(ours - theirs) / limit))
        checks.append(Check("V8", f"{kind.upper()}: levels moved, the worst of {len(starts)}", float(ours[worst]),
                            float(theirs[worst]), float(limit[worst]), "levels", False))
        worst = int(np.argmax(np.abs(joules / drawn - 1)))
        checks.append(Check("V8", f"{kind.upper()}: energy, the worst of {len(starts)}", float(joules[worst]),
                            float(drawn[worst]), 0.01, "J"))
    return checks


def trains(scene: Scene, spice: Simulator) -> list[Check]:
    """V9: 32 pulses follow the curve of a nonlinearity label."""
    checks = []
    for up, down in ((0.5, -0.5), (1.0, -1.0), (2.4, -4.88)):
        device = scene.device.varied(nl_set=up, nl_reset=down, access_ohm=0.0, set_pulses=64.0, reset_pulses=64.0,
                                     set_steps=(), reset_steps=())
        for kind, sign, start, label in (("set", 1, 0.0, up), ("reset", -1, 1.0, down)):
            width = getattr(device, f"{kind}_s")
            net = _write_net(device, [start], [(sign * getattr(device, f"{kind}_v"), 32)], width)
            waves = spice.run(f"v9-{kind}-{label}", net, stop=65 * width, largest=width / 20)
            checks.append(Check("V9", f"state after 32 {kind.upper()} pulses, label {label:g}",
                                float(curve(kind, label, 0.5)), waves.last("x0"), 0.01, "", False))
    return checks


# transistors


def access_transistor(scene: Scene, spice: Simulator) -> list[Check]:
    """V10: a transistor in place of the access resistance."""
    device = scene.device
    ohm, threshold = device.access_ohm or 1e3, 0.4
    x = scene.cells(16)
    net = Netlist("cells with a transistor each")
    beta = 1 / (ohm * (device.wordline_v - threshold))
    net.add(f".model acc nmos level=1 vto={threshold} kp={beta:.9g}")
    period = _period(device)
    net.source("r", "rail", device.read_v)
    net.source("w", "w", pulses([(0.25 * period, 0.25 * period + device.pulse_s, device.wordline_v)], device.edge_s))
    net.source("c", "bl", 0.0)
    for row, g in enumerate(device.conductance(x)):
        net.add(f"Rc{row} rail n{row} {1 / g:.9g}", f"Mc{row} n{row} w bl 0 acc w=1u l=1u")
    net.meter("e", "-1*v(rail)*i(Vr)")
    waves = spice.run("v10", net, stop=period, largest=device.pulse_s / 200)
    g = device.conductance(x)
    linear = device.read_v**2 * device.pulse_s / (1 / g + ohm)
    # triode region with the source at the bit line: g (V - v) = beta ((V_g - V_t) v - v^2 / 2)
    drive = device.wordline_v - threshold
    half = drive + g / beta
    drop = half - np.sqrt(np.maximum(half**2 - 2 * g * device.read_v / beta, 0.0))
    triode = g * (device.read_v - drop) * device.read_v * device.pulse_s
    bent = float(abs(1 - linear.sum() / triode.sum()))
    joules = float(waves.joules("e"))
    return [Check("V10", "read of 16 cells, level-1 NMOS in its triode region", float(triode.sum()), joules, 0.02, "J"),
            Check("V10", "the same by a resistance, off as told", float(linear.sum()), joules, bent + 0.02, "J")]


def ungated_rows(scene: Scene, spice: Simulator) -> list[Check]:
    """V11: without word lines that pulse, silent cells drain the membrane: a linear model fails, and that is seen."""
    device, steps, count = scene.device, 20, 64
    g, spikes = device.cell_conductance(scene.cells(count)), scene.spikes(count, steps, 0.3)
    sums, whole, period = spikes @ g, g.sum(), _period(device)
    linear_v = 0.25 * device.read_v
    capacitance = sums.sum() * device.read_v * device.pulse_s / linear_v
    net = Netlist(f"{count} cells whose transistors are always on")
    for row in range(count):
        on = [(step * period + 0.25 * period, step * period + 0.25 * period + device.pulse_s, device.read_v)
              for step in np.flatnonzero(spikes[:, row])]
        net.source(f"s{row}", f"s{row}", pulses(on, device.edge_s / 10))
        net.add(f"R{row} s{row} mem {1 / g[row]:.9g}")
    net.add(f"Cm mem 0 {capacitance:.9g} ic=0")
    net.probe("mem")
    waves = spice.run("v11", net, stop=steps * period, largest=device.pulse_s / 10)
    found, membrane = waves.last("mem"), 0.0
    for active in sums:
        for drive, seconds in ((0.0, 0.25 * period), (active, device.pulse_s), (0.0, 0.75 * period - device.pulse_s)):
            rest = device.read_v * drive / whole
            membrane = rest + (membrane - rest) * math.exp(-seconds * whole / capacitance)
    return [Check("V11", "membrane, leak of silent cells told", membrane, found, 0.01, "V"),
            Check("V11", "linear model off by more than 20 %: 1", 1, float(abs(linear_v / found - 1) > 0.2), 0.0, "",
                  False)]


def published_cell(scene: Scene, spice: Simulator) -> list[Check]:
    """V13: the published equations of the SKY130 ReRAM, filament and heat, by ngspice and by LSODA."""
    found = []
    for number, (filament, volts, limit) in enumerate(((4.8, -1.2, 1e-3), (4.8, -1.4, 1e-3), (4.2, 1.3, 1e-3),
                                                       (4.2, 1.4, 0.03))):
        twin, joules = after_pulse(filament, volts, 1e-6)
        thick, drawn = spice_after_pulse(spice, f"v13-{number + 1}", filament, volts, 1e-6)
        what = f"from {filament:g} nm, {volts:g} V, 1 µs"
        found.append(Check("V13", f"filament {what}", twin, thick, limit, "nm", False))
        if number < 3:  # the last runs away to the thickest filament: when, is a matter of rounding
            found.append(Check("V13", f"energy {what}", joules, drawn, 0.01, "J"))
    return found


# what a chip does


def race(scene: Scene, spice: Simulator) -> list[Check]:
    """V12: a whole tile reads an image and its neurons race against a falling reference (contract 3.4)."""
    chip, device, state = scene.chip, scene.device, scene.state
    rows = np.flatnonzero(scene.pixels > chip.dark_level)
    if chip.fire_mode != "race" or not len(rows):
        return []
    shown = min(chip.neurons, 64)
    order = np.roll(np.arange(chip.neurons), -scene.column)[:shown]
    bins = (255 - scene.pixels[rows].astype(int)) * chip.latency_bins // (255 - chip.dark_level)
    x = state.levels[scene.tile][np.ix_(rows, order)] / (chip.levels - 1)
    g = device.cell_conductance(x)
    period, edge = _period(device), device.edge_s
    volts = g.sum(axis=0) * device.read_v * device.pulse_s / device.mirror_ratio
    capacitance = volts.max() / device.membrane_v
    volts = volts / capacitance
    theta = state.theta[scene.tile, order].astype(float)
    # a unit of weight in volts, by the top of the weight table
    unit = device.read_v * device.pulse_s * device.cell_conductance(1.0) / int(state.weight[-1]) / capacitance
    theta = (theta - theta.min()) * unit / device.mirror_ratio
    scores = volts - theta
    start, fall = scores.max() + 0.1 * device.membrane_v, 20 * period
    decide = chip.latency_bins * period
    low = scores.min() - 0.02 * device.membrane_v
    net = Netlist(f"{len(rows)} rows, {shown} neurons, a race")
    net.switch_model("sel", 1e-2, device.wordline_v / 2)
    net.source("r", "rail", device.read_v)
    net.source("dd", "vdd", device.supply_v)
    net.source("f", "ref", f"pwl(0 {start:.9g} {decide:.9g} {start:.9g} {decide + fall:.9g} {low:.9g})")
    for index, late in enumerate(bins):
        begin = late * period + 0.25 * period
        net.source(f"w{index}", f"w{index}", pulses([(begin, begin + device.pulse_s, device.wordline_v)], edge))
    for neuron in range(shown):
        net.source(f"c{neuron}", f"b{neuron}", 0.0)
        net.add(f"F{neuron} vdd m{neuron} Vc{neuron} {1 / device.mirror_ratio:.9g}",
                f"C{neuron} m{neuron} 0 {capacitance:.9g} ic=0", f"R{neuron} m{neuron} 0 1e15",
                *(f"S{neuron}_{i} rail n{neuron}_{i} w{i} 0 sel" for i in range(len(rows))),
                *(f"R{neuron}_{i} n{neuron}_{i} b{neuron} {1 / g[i, neuron]:.9g}" for i in range(len(rows))))
        net.add(f"Bs{neuron} s{neuron} 0 v=v(m{neuron})-{theta[neuron]:.9g}")
        net.probe(f"m{neuron}", f"s{neuron}")
    net.probe("ref")
    waves = spice.run("v12", net, stop=decide + fall, largest=period / 4)
    membranes = np.array([waves.at(f"m{neuron}", decide) for neuron in range(shown)])
    reference = waves.nodes["ref"]
    crossed = np.array([waves.time[np.argmax(reference <= waves.nodes[f"s{neuron}"])]
                        + _within(waves, neuron) for neuron in range(shown)])
    winners = min(chip.winners, shown)
    ours, theirs = (order[np.argsort(key, kind="stable")[:winners]] for key in (-scores, crossed))
    worst = int(np.argmax(np.abs(membranes / volts - 1)))
    return [Check("V12", f"membrane of {shown} neurons, the worst", float(volts[worst]), float(membranes[worst]), 0.01,
                  "V"),
            Check("V12", f"ranks of the {winners} winners that differ", 0, int((ours != theirs).sum()), 0.0, "", False)]


def _within(waves, neuron):
    """Time from the point before to where the reference meets a score, between two points of the simulation."""
    gap = waves.nodes["ref"] - waves.nodes[f"s{neuron}"]
    after = int(np.argmax(gap <= 0))
    if after == 0:
        return 0.0
    return float(-(waves.time[after] - waves.time[after - 1]) * (-gap[after]) / (gap[after - 1] - gap[after]))


@dataclass(frozen=True)
class _Lesson:
    """A column that learned: what happened in every step."""

    chip: Chip
    start: np.ndarray  # (rows,): levels before
    end: np.ndarray  # (rows,): levels after
    spikes: np.ndarray  # (steps, rows) bool
    resets: np.ndarray  # (steps,): amplitude bin of RESET pulses on rows that spike, -1 none
    sets: np.ndarray  # (steps, rows): amplitude bin of SET pulses, -1 none
    counters: dict[str, int]

    @property
    def fires(self):
        return np.flatnonzero((self.sets >= 0).any(axis=1))


def _lesson(scene, count, steps):
    """Teach one neuron the brightest rows of the tile, by the oracle, with the device's own pulses."""
    rows = np.sort(np.argsort(-scene.pixels.astype(int), kind="stable")[:count])
    levels = scene.state.levels[scene.tile][rows, scene.column]
    spikes = np.random.default_rng(scene.seed).random((steps, count)) < 0.15 * np.maximum(scene.pixels[rows], 32) / 255
    base = dataclasses.replace(
        scene.chip, name="column", plane_height=1, plane_width=count, patch_height=1, patch_width=count, stride=1,
        neurons=1, winners=1, learners=1, min_spikes=1, fire_mode="threshold", membrane_bits=24, threshold_bits=24,
        theta_leak=0, theta_step=0.0, weight_store="memory", weights=None, set_table=None, reset_table=None,
        theta_base=1, classes=0, schedule=(Phase(),))
    base = chip_with_device(base, scene.device, widths=(1.0, 1.0))
    chip = dataclasses.replace(base, theta_base=max(1, int((spikes @ base.weight_table[levels]).sum() / 9.3)))
    state = ChipState.initial(chip)
    state.levels[0, :, 0], state.learn = levels, True
    oracle = Oracle(chip, state)
    shift = chip.trace_bits - int(math.log2(chip.amplitudes))
    resets, sets = np.full(steps, -1), np.full((steps, count), -1)
    for step in range(steps):
        unit = oracle.units[0][0]
        if unit is not None and unit[1] > 0:
            resets[step] = unit[1] >> shift
        for row in np.flatnonzero(spikes[step]):
            oracle.spike(int(row))
        traces = oracle.pre_traces
        if oracle.step():
            sets[step] = np.where(traces > 0, traces >> shift, -1)
    oracle.end()
    counters = {name: oracle.counter(name) for name in counter_names(chip)}
    return _Lesson(chip, levels, oracle.state.levels[0, :, 0].copy(), spikes, resets, sets, counters)


_LESSON_ROWS, _SLOWEST = 16, 5


def learning_column(scene: Scene, spice: Simulator) -> list[Check]:
    """Overall: 100 steps of a column that learns: reads, fires, SET, RESET, lines and traces in one netlist.

    Where SET or RESET take more than 5 times as long as a read, they are cut to that, for the twin as well: levels
    move as far, and the netlist has one scale of time.
    """
    longest = _SLOWEST * scene.device.pulse_s
    if max(scene.device.set_s, scene.device.reset_s) > longest:
        quick = scene.device.varied(set_s=min(scene.device.set_s, longest), reset_s=min(scene.device.reset_s, longest))
        scene = dataclasses.replace(scene, device=quick)
    device, steps = scene.device, 100
    lesson = _lesson(scene, min(_LESSON_ROWS, scene.chip.rows), steps)
    chip, count = lesson.chip, len(lesson.start)
    activity = Activity.from_counters(chip, lesson.counters)
    point = OperatingPoint.of(chip, device, activity)
    point = dataclasses.replace(point, set_width=1.0, reset_width=1.0)
    twin = {name: float(value) for name, value in energies(chip, device, activity, point).items()}
    net, stop, largest, period = _learning_net(device, lesson)
    waves = spice.run("learning", net, stop=stop, largest=largest)
    found = {"cells": waves.joules("eread"), "mirror": waves.joules("emirror") if device.readout == "clamp" else 0.0,
             "set": waves.joules("eset") / device.efficiency, "reset": waves.joules("ereset") / device.efficiency,
             "traces": waves.joules("etrace"),
             "lines": waves.joules("eline") + waves.joules("ewrite") / device.efficiency}
    # the column's own line is driven by an ideal source: its charge is not in the netlist
    wired = energies(chip, device, dataclasses.replace(activity, bit_lines=()), point)
    ours = {**{name: float(twin[name]) for name in ("cells", "mirror", "set", "reset", "traces")},
            "lines": float(twin["word_lines"]) + float(wired["write_lines"])}
    checks = [Check("learning", f"{name}, {steps} steps", ours[name], found[name], 0.05, "J")
              for name in ours if ours[name] or found[name]]
    fired = (waves.rises("cmp", 0.5) / period).astype(int).tolist()
    late = max((abs(a - b) for a, b in zip(lesson.fires.tolist(), fired, strict=False)), default=0)
    levels = np.array([waves.last(f"x{row}") for row in range(count)]) * (chip.levels - 1)
    checks += [
        Check("learning", "spikes", len(lesson.fires), len(fired), 1, "", False),
        Check("learning", "largest distance of a spike, steps", 0, late, 5, "", False),
        Check("learning", "mean level afterwards", float(lesson.end.mean()), float(levels.mean()), 1.5, "levels",
              False),
        Check("learning", f"everything, {steps} steps", sum(ours.values()), sum(found.values()), 0.05, "J")]
    return checks


def _learning_net(device, lesson):
    """One column with its memristors, word-line drivers, traces, membrane and meters."""
    chip, count, steps = lesson.chip, len(lesson.start), len(lesson.spikes)
    clamp = device.readout == "clamp"
    gap = 0.3 * max(device.pulse_s, device.edge_s)
    read_at = gap
    reset_at = read_at + device.pulse_s + gap
    set_at = reset_at + device.reset_s + gap
    period = set_at + device.set_s + gap
    share = pulse_amplitudes(chip.amplitudes)
    edge = min(device.edge_s, device.pulse_s / 50)
    starts = np.arange(steps) * period
    net = Netlist(f"{count} cells, {steps} steps, learning")
    net.memristor_model(device)
    net.switch_model("drv", device.pulse_s / 500 / _line_farads(device, 1))
    net.switch_model("acc", device.access_ohm, min(device.wordline_v, device.wordline_write_v) / 2)
    net.source("wr", "railr", device.wordline_v)
    net.source("ww", "railw", device.wordline_write_v)
    net.source("dd", "vdd", device.supply_v)
    for name, at, width in (("rd", read_at, device.pulse_s), ("rs", reset_at, device.reset_s),
                            ("st", set_at, device.set_s)):
        net.source(name, name, pulses([(t + at - gap / 3, t + at + width + gap / 3, 1.0) for t in starts], edge))
    bit = [(t + reset_at - gap / 6, t + reset_at + device.reset_s + gap / 6, device.reset_v * share[bin_])
           for t, bin_ in zip(starts, lesson.resets, strict=True) if bin_ >= 0]
    net.source("bl", "bl", pulses(bit, edge))
    trace_on = device.pulse_s / 4
    ohm = period / (device.trace_f * -math.log1p(-(2.0**-chip.trace_shift)))
    net.switch_model("sup", trace_on / 12 / device.trace_f)
    for row in range(count):
        _learning_row(net, device, lesson, row, starts, (read_at, reset_at, set_at), edge, gap, share)
        on = [(t + read_at, t + read_at + trace_on, 1.0) for t in starts[lesson.spikes[:, row]]]
        _trace(net, device, f"{row}", on, edge, ohm)
    _trace(net, device, "post", [(starts[k] + set_at, starts[k] + set_at + trace_on, 1.0) for k in lesson.fires], edge,
           ohm)
    net.add("Rpw pw 0 1")
    net.meter("eread", "v(rd)*v(pw)*1e-6")
    net.meter("eset", "v(st)*v(pw)*1e-6")
    net.meter("ereset", "-1*v(rs)*v(bl)*i(Vbl)")
    net.meter("eline", "-1*v(railr)*i(Vwr)")
    net.meter("ewrite", "-1*v(railw)*i(Vww)")
    net.meter("etrace", "-1*v(vdd)*i(Vdd)")
    quantum = device.read_v * device.pulse_s * float(device.cell_conductance(1.0)) / int(chip.weight_table[-1])
    capacitance = quantum * chip.theta_base / device.membrane_v / device.mirror_ratio
    net.source("dm", "vdm", device.supply_v)
    net.add(f"Bm vdm mem i=v(rd)*i(Vbl)/{device.mirror_ratio:.9g}", f"Cm mem 0 {capacitance:.9g} ic=0", "Rm mem 0 1e15")
    if clamp:
        net.meter("emirror", "-1*v(vdm)*i(Vdm)")
    window = [(t + read_at - gap / 2, t + reset_at + device.reset_s, 1.0) for t in starts]
    _comparator(net, device, window, device.membrane_v, capacitance, hold=True)
    net.probe("mem")
    return net, steps * period, max(device.pulse_s / 4, period / 60), period


def _learning_row(net, device, lesson, row, starts, at, edge, gap, share):
    """A cell with its access switch, the source of its line, and the driver of its word line."""
    read_at, reset_at, set_at = at
    spikes = lesson.spikes[:, row]
    reads = [(t + read_at, t + read_at + device.pulse_s, 1.0) for t in starts[spikes]]
    writes = sorted(
        [(t + reset_at, t + reset_at + device.reset_s, 1.0) for t in starts[spikes & (lesson.resets >= 0)]]
        + [(t + set_at, t + set_at + device.set_s, 1.0) for t in starts[lesson.sets[:, row] >= 0]])
    line = sorted(
        [(t + read_at - gap / 6, t + read_at + device.pulse_s + gap / 6, device.read_v) for t in starts[spikes]]
        + [(t + set_at - gap / 6, t + set_at + device.set_s + gap / 6, device.set_v * share[bin_])
           for t, bin_ in zip(starts, lesson.sets[:, row], strict=True) if bin_ >= 0])
    net.source(f"s{row}", f"s{row}", pulses(line, edge))
    net.source(f"r{row}", f"r{row}", pulses(reads, edge))
    net.source(f"w{row}", f"w{row}", pulses(writes, edge))
    net.source(f"o{row}", f"o{row}", pulses([(a, b, 0.0) for a, b, _ in sorted(reads + writes)], edge, start=1.0))
    net.add(f"Sr{row} railr wl{row} r{row} 0 drv",
            f"Sw{row} railw wl{row} w{row} 0 drv", f"So{row} wl{row} 0 o{row} 0 drv",
            f"Cw{row} wl{row} 0 {_line_farads(device, 1):.9g} ic=0",
            f"Sa{row} s{row} t{row} wl{row} 0 acc",
            f"Xc{row} t{row} bl x{row} cell x0={lesson.start[row] / (lesson.chip.levels - 1):.9g}",
            f"Bp{row} 0 pw i=-1e6*v(s{row})*i(Vs{row})")
    net.probe(f"x{row}")


def _trace(net, device, name, on, edge, ohm):
    net.source(f"g{name}", f"g{name}", pulses(on, edge))
    net.add(f"St{name} vdd tr{name} g{name} 0 sup", f"Ct{name} tr{name} 0 {device.trace_f:.9g} ic=0",
            f"Rt{name} tr{name} 0 {ohm:.9g}")


CASES: dict[str, Callable[[Scene, Simulator], list[Check]]] = {
    "V1": read_energy, "V2": membrane_on_bit_line, "V3": held_reset, "V4": fast_reset, "V5": wire_resistance,
    "V6": word_line, "V7": trace, "V8": single_pulses, "V9": trains, "V10": access_transistor, "V11": ungated_rows,
    "V12": race, "V13": published_cell, "learning": learning_column,
}
"""The cases by name; each runs ngspice and returns its checks."""


def subject(case: Callable[[Scene, Simulator], list[Check]]) -> str:
    """What a case looks at, by its docstring."""
    return (case.__doc__ or "").splitlines()[0].split(": ", 1)[1]


def evaluate(scene: Scene, spice: Simulator, cases: Iterable[str] | None = None,
          progress: Callable[[str], None] | None = None) -> list[Check]:
    """Run cases, all of them if none are named, and return every check."""
    checks = []
    if spice.keep is not None:
        spice.keep.mkdir(parents=True, exist_ok=True)
        (spice.keep / f"{scene.device.name}.lib").write_text(library(scene.device), "utf-8")
    for name in CASES if cases is None else cases:
        if progress is not None:
            progress(f"{name}: {subject(CASES[name])}")
        spice.remarks = (f"case {name}: {subject(CASES[name])}",
                         f"chip {scene.chip.name}, device {scene.device.name}, tile {scene.tile}")
        checks += CASES[name](scene, spice)
    return checks
