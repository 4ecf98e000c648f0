"""A chip that learns in a thread of its own, takes commands between two samples, and tells what it does."""

import dataclasses
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, OutputSpikes
from ohmspike.chip.initial import presentation_order
from ohmspike.chip.state import ChipState
from ohmspike.host.coding.images import Encoding
from ohmspike.host.coding.vote import Vote
from ohmspike.host.data.dataset import Dataset
from ohmspike.host.learning.run import RELOAD_IMAGES, rebases_within_pass
from ohmspike.host.runs.learned import save
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.base import Target
from ohmspike.sim.analog.device import Device
from ohmspike.sim.analog.energy import Activity, OperatingPoint, energies
from ohmspike.sim.model.nonideal import warm_weights

from .views import curve_view, decision_view, free_view, map_neurons, map_view

__all__ = ["LiveChip", "adopted", "code_of", "live_chip"]

_NOISE_BITS = 16
_CHUNK, _CHUNK_S = 1000, 0.5
"""Images presented at once at full speed, and about the seconds that they take at most: the longest that a command
waits, and that what was learned waits to be kept."""

_TELL_S, _MAPS_S, _POINT_S, _KEEP_S = 0.1, 0.4, 1.0, 10.0
"""Seconds between two messages about progress, two about conductances, two operating points that energies are told at,
and two times at which the chip is kept."""

_RECENT = 1000
"""Images over which the accuracy is told."""

_VOTE_IMAGES, _VOTE_SPIKES = 5000, 50
"""Images over which the vote of a chip without a read-out looks back, and spikes of a neuron that a loaded vote stands
for."""

Reply = Callable[[dict[str, Any]], None]


def live_chip(chip: Chip) -> Chip:
    """The chip with a mask of stuck cells and a register of write noise, so that both can be set while it runs.

    Without stuck cells and noise it does to the bit what the chip does.
    """
    return dataclasses.replace(chip, stuck_cells="masked", noise_bits=max(chip.noise_bits, _NOISE_BITS))


def code_of(chip: Chip) -> Encoding:
    """How the page codes images: the latency code for a chip that races, the rate code for one that runs free."""
    return Encoding() if chip.fire_mode == "race" else Encoding(chip.rate_steps or 32, chip.rate_peak)


def adopted(chip: Chip, live: Chip, state: ChipState) -> ChipState:
    """The state of a chip as one of its :func:`live_chip`: nothing is stuck in it yet, unless the chip had a mask."""
    fresh = ChipState.initial(live)
    arrays = {entry.name: getattr(state if entry.present(chip) else fresh, entry.name)
              for entry in ChipState.memories()}
    registers = {entry.name: getattr(state if entry.present(chip) else fresh, entry.name)
                 for entry in ChipState.registers()}
    return ChipState.of(live, arrays | {"counters": np.zeros_like(fresh.counters)}, registers)


class LiveChip:
    """A target that learns image after image, tiles and read-out together, in a thread of its own.

    A chip without a read-out is answered for by the vote of its neurons, counted on the images that it has learned,
    each after it was answered.

    Whoever watches gets messages by ``tell``, which must not block: learning never waits for a viewer.

    Parameters
    ----------
    target : Target
        Of a :func:`live_chip`, in the state in which it begins.
    data : Dataset
        Images with labels.
    tell : callable
        Called in the thread with a message for all.
    device : Device
        For energies, and for what warmth does.
    keep : path, optional
        Where the learned chip is kept, every ten seconds while it learns and when it ends.
    encoding : Encoding, optional
        :func:`code_of` the chip if absent.
    vote : Vote, optional
        What the neurons of a learned chip without a read-out stand for.
    """

    def __init__(self, target: Target, data: Dataset, tell: Reply, *, device: Device, keep: Path | None = None,
                 encoding: Encoding | None = None, vote: Vote | None = None):
        self.target, self.chip, self.device = target, target.chip, device
        self._free = self.chip.fire_mode == "threshold"
        self._encoding = code_of(self.chip) if encoding is None else encoding
        self._images, (self._labels, self._test_labels) = data.train_images, data.labels()
        self._test = data.test_images
        classes = 0 if self.chip.classes else data.classes or 0
        self._counts = np.zeros((self.chip.regions, self.chip.neurons, classes)) if (
            vote is None or vote.table.shape[2] != classes) else _VOTE_SPIKES * np.exp(vote.table.astype(float))
        self._step_spikes: list[OutputSpikes] = []  # of the sample that is under way
        self._tell, self._keep = tell, keep
        self._commands: queue.Queue[tuple[dict[str, Any], Reply] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="chip", daemon=True)
        self.running, self.speed, self.dead = False, 0.0, ""
        self.failure: Exception | None = None
        self._shown, self._chunk = 0, 10
        self._right: deque[bool] = deque(maxlen=_RECENT)
        self._rest = np.zeros(0, np.int32)  # events of a sample that is under way
        self._order, self._order_pass = np.zeros(0, np.int64), -1
        self._cell: tuple[int, int, int] | None = None
        self._levels: list[list[int]] = []
        self._kelvin, self._noise, self._stuck = 0.0, 0.0, 0.0
        self._told = self._mapped = self._kept = self._pointed = 0.0
        self._point: OperatingPoint | None = None
        self._due = time.monotonic()
        self.kept_images = 0
        self._curve: list[list[float]] = []
        self._rng = np.random.default_rng(self.chip.seed)

    # from other threads

    def start(self) -> None:
        """Begin; the chip is paused until it is told to run."""
        self._thread.start()

    def ask(self, command: dict[str, Any], reply: Reply) -> None:
        """Have a command carried out between two samples; ``reply`` is called in the thread with what it gives."""
        self._commands.put((command, reply))

    def stop(self, timeout: float = 60.0) -> None:
        """End after the sample that is under way, and keep the chip."""
        self._commands.put(None)
        self._thread.join(timeout)

    def facts(self) -> dict[str, Any]:
        """What does not change: the chip and its maps."""
        chip = self.chip
        return {"type": "chip", "name": chip.name, "target": self.target.name, "device": self.device.name,
                "plane": [chip.plane_height, chip.plane_width], "grid": [chip.grid_height, chip.grid_width]
                if chip.tiles > 1 else [1, 1], "patch": [chip.patch_height, chip.patch_width], "tiles": chip.tiles,
                "rows": chip.rows, "neurons": chip.neurons, "maps": map_neurons(chip), "levels": chip.levels,
                "classes": chip.classes, "bins": chip.latency_bins, "free": self._free,
                "synapses": chip.synapses + chip.read_out_synapses,
                "warm": chip.weight_store == "memory", "images": len(self._images)}

    # in the thread

    def _work(self):
        try:
            self._set_out()
            while self._serve_commands():
                if self.running:
                    self._learn_on()
        except Exception as error:
            self.failure = error
            self.dead = f"the target failed: {error or type(error).__name__}"
            self._tell({"type": "dead", "text": self.dead, "kept": self.kept})
            self._refuse_all()
            return
        self._keep_now()

    def _set_out(self):
        phase = next((phase for phase in self.chip.schedule if phase.learn), None)
        self.target.set_rates(phase.scale if phase else 1.0)
        teach = next((phase for phase in self.chip.schedule if phase.teach), None)
        if self.chip.classes:
            self.target.set_read_out_rates(teach.read_out_scale if teach else 1.0)
        self._kept = time.monotonic()
        self._show(force=True)

    def _refuse_all(self):
        """Answer whatever is asked after the target has failed, until the end."""
        while (item := self._commands.get()) is not None:
            item[1]({"type": "error", "text": self.dead})

    def _serve_commands(self):
        """Carry out the commands that wait; sleeps while there is nothing to do. False at the end."""
        while True:
            pause = max(0.0, self._due - time.monotonic()) if self.running else None
            try:
                item = self._commands.get(block=pause is None or pause > 0, timeout=pause)
            except queue.Empty:
                return True
            if item is None:
                return False
            command, reply = item
            try:
                self._carry_out(command, reply)
            except UserError as error:
                reply({"type": "error", "text": str(error)})

    def _carry_out(self, command, reply):
        does = {"run": self._run, "pause": self._pause, "image": self._one_image, "event": self._one_event,
                "speed": self._set_speed, "draw": self._draw, "cell": self._look_at, "break": self._break,
                "mend": self._mend, "noise": self._set_noise, "warm": self._warm, "test": self._classify,
                "hello": self._hello}
        name = command.get("do")
        if not isinstance(name, str) or name not in does:
            raise UserError(f"do must be one of {', '.join(does)}, not {name!r}")
        does[name](command, reply)

    def _hello(self, command, reply):
        reply(self.facts())
        reply(self._status())
        reply({"type": "maps", "levels": map_view(self.chip, self.target.read("levels").reshape(
            self.chip.tiles, self.chip.rows, self.chip.neurons))})

    def _run(self, command, reply):
        self.running, self._due = True, time.monotonic()
        self._show(force=True)

    def _pause(self, command, reply):
        self.running = False
        self._show(force=True)

    def _set_speed(self, command, reply):
        self.speed = _number(command, "images_per_s", 0, 1e6)
        self._due = time.monotonic()
        self._show(force=True)

    def _one_image(self, command, reply):
        self.running = False
        self._finish_sample()
        self._present(1)
        self._show(force=True)

    def _one_event(self, command, reply):
        """Send the next event of the image that is under way; the first of the next image if there is none."""
        self.running = False
        if not len(self._rest):
            index = self._next(1)
            batch = self._events(index)
            self._rest = batch.codes
        code, self._rest = int(self._rest[0]), self._rest[1:]
        index = self._index_of(self._shown)
        found = self.target.present(EventBatch(np.array([code], np.int32), np.array([0, 1])), learn=True)
        self._step_spikes.append(found)
        ended = not len(self._rest)
        answered = self._answered(_joined(self._step_spikes) if ended and not self.chip.classes else found,
                                  np.array([self._labels[index]]), ended=ended).tolist()
        self._tell({"type": "event", "name": _name(code), "line": code if code >= 0 else None, "left": len(self._rest),
                    "label": int(self._labels[index]), "image": self._images[index].ravel().tolist(),
                    "fired": [[int(tile), int(neuron)] for tile, neuron in zip(found.tile, found.neuron, strict=True)],
                    "answer": answered[0] if answered else None})
        self._right.extend(answer == int(self._labels[index]) for answer in answered)
        if ended:
            self._step_spikes = []
            self._shown += 1
            self._after_images()
        self._show(force=True)

    def _answered(self, found, labels, *, ended=True):
        """Answers of images before their labels are counted: those of the read-out, or the vote at the end of each."""
        if self.chip.classes:
            return _labels(found)
        if not ended:
            return np.zeros(0, np.int64)
        answers = self._vote().answers(self.chip, found)
        self._counts *= 0.5 ** (len(labels) / _VOTE_IMAGES)
        self._counts += Vote.count(self.chip, found, labels, self._counts.shape[2])
        return answers

    def _vote(self):
        return Vote.from_counts(self._counts)

    def _draw(self, command, reply):
        chip = self.chip
        pixels = command.get("pixels")
        if not isinstance(pixels, list) or len(pixels) != chip.plane_height * chip.plane_width or not all(
                type(value) is int and 0 <= value <= 255 for value in pixels):
            raise UserError(f"pixels must be a list of {chip.plane_height * chip.plane_width} integers 0 to 255")
        image = np.array(pixels, np.uint8).reshape(chip.plane_height, chip.plane_width)
        self._finish_sample()
        before = self.target.counters()
        batch = self._encoding(chip, image[None], learn=False, answer=bool(chip.classes))
        found = self.target.present(batch, learn=False)
        after, state = self.target.counters(), self.target.state()
        view = decision_view(chip, state, image, found)
        if self._free:
            view |= free_view(chip, state, batch.codes, found)
        if not chip.classes:
            scores = self._vote().scores(chip, found)[0]
            best = np.sort(scores)
            view["scores"] = [round(float(score - best[0]), 2) for score in scores]
            if self._counts.any() and len(found.neuron):
                view |= {"answer": int(scores.argmax()), "score": round(float(best[-1] - best[0]), 2),
                         "margin": round(float(best[-1] - best[-2]), 2)}
        reply({"type": "drawn", "energy_j": self._energy({name: after[name] - before[name] for name in after}),
               **view})

    def _look_at(self, command, reply):
        chip = self.chip
        place = (int(_number(command, "tile", 0, chip.tiles - 1)), int(_number(command, "row", 0, chip.rows - 1)),
                 int(_number(command, "neuron", 0, chip.neurons - 1)))
        if place != self._cell:
            self._cell, self._levels = place, []
        self._note_cell()
        state = self.target.state()
        reply(self._cell_message(place) | {"curve": curve_view(chip, state), "stuck": bool(state.stuck[place])})

    def _cell_message(self, place):
        tile, row, neuron = place
        level = self._levels[-1][1]
        return {"type": "cell", "tile": tile, "row": row, "neuron": neuron, "level": level, "history": self._levels,
                "siemens": self.device.g_min_s + (self.device.g_max_s - self.device.g_min_s)
                * level / (self.chip.levels - 1)}

    def _note_cell(self):
        """Keep the level of the cell that is looked at, where it has changed."""
        if self._cell is None:
            return
        tile, row, neuron = self._cell
        place = (tile * self.chip.rows + row) * self.chip.neurons + neuron
        level = int(self.target.read_cells("levels", place, 1)[0])
        if not self._levels or self._levels[-1][1] != level:
            self._levels = [*self._levels[-499:], [self._shown, level]]

    def _break(self, command, reply):
        """More cells become stuck, at either rail, in the tiles and in the read-out."""
        share = _number(command, "share", 0, 1)
        self._finish_sample()
        for levels, mask in (("levels", "stuck"), ("read_out", "read_out_stuck"))[:1 + bool(self.chip.classes)]:
            cells, stuck = self.target.read(levels), self.target.read(mask)
            hit = self._rng.random(cells.shape) < share
            rail = np.where(self._rng.random(cells.shape) < 0.5, 0, self.chip.levels - 1)
            self.target.write(mask, np.where(hit, 1, stuck).astype(stuck.dtype))
            self.target.write(levels, np.where(hit & (stuck == 0), rail, cells).astype(cells.dtype))
        self._stuck = float(self.target.read("stuck").mean())
        self._show(force=True)

    def _mend(self, command, reply):
        self._finish_sample()
        for mask in ("stuck", "read_out_stuck")[:1 + bool(self.chip.classes)]:
            self.target.write(mask, np.zeros_like(self.target.read(mask)))
        self._stuck = 0.0
        self._show(force=True)

    def _set_noise(self, command, reply):
        """Write noise: a deviation of every pulse, as a share of the range (contract 5.5)."""
        share = _number(command, "share", 0, 0.5)
        register = dataclasses.replace(self.chip, write_noise=share).noise_register
        self._finish_sample()
        self.target.write_registers(write_noise=register)
        self._noise = share
        self._show(force=True)

    def _warm(self, command, reply):
        """Another temperature: low levels conduct more, which the weight table tells."""
        kelvin = _number(command, "kelvin", 0, 200)
        if self.chip.weight_store == "fixed":
            raise UserError(f"{self.chip.name} has its weights fixed in gates: it cannot be warmed")
        self._finish_sample()
        weights = np.rint(warm_weights(self.chip, self.device, kelvin) / 256)
        self.target.write("weight", np.clip(weights, 0, (1 << self.chip.weight_bits) - 1).astype(np.uint16))
        self._kelvin = kelvin
        self._show(force=True)

    def _classify(self, command, reply):
        """Accuracy on test images, learning off."""
        count = min(int(_number(command, "images", 1, 1e6)), len(self._test))
        self._finish_sample()
        voted = not self.chip.classes
        batch = self._encoding(self.chip, self._test[:count], learn=False, answer=not voted)
        found = self.target.present(batch, learn=False, report=voted)
        answers = self._vote().answers(self.chip, found) if voted else _labels(found)
        reply({"type": "tested", "images": count, "shown": self._shown,
               "accuracy": float((answers == self._test_labels[:count]).mean())})
        self._show(force=True)

    # learning

    def _finish_sample(self):
        """Send what is left of an image that was begun event by event."""
        if len(self._rest):
            found = self.target.present(EventBatch(self._rest, np.array([0, len(self._rest)])), learn=True)
            label = self._labels[self._index_of(self._shown)]
            if not self.chip.classes:
                found = _joined([*self._step_spikes, found])
            self._right.extend((self._answered(found, np.array([label])) == label).tolist())
            self._rest, self._step_spikes = np.zeros(0, np.int32), []
            self._shown += 1
            self._after_images()

    def _index_of(self, number):
        order_pass, position = divmod(number, len(self._images))
        if order_pass != self._order_pass:
            self._order = presentation_order(self.chip, order_pass, len(self._images))
            self._order_pass = order_pass
        return int(self._order[position])

    def _next(self, count):
        """Numbers of the next images; at most to the end of the pass."""
        first = self._index_of(self._shown)
        position = self._shown % len(self._images)
        if rebases_within_pass(self.chip):
            count = min(count, RELOAD_IMAGES - self._shown % RELOAD_IMAGES)
        chosen = self._order[position:position + count]
        assert chosen[0] == first
        return chosen

    def _events(self, chosen):
        taught = bool(self.chip.classes)
        return self._encoding(self.chip, self._images[chosen], learn=True, answer=taught, first_sample=self._shown,
                              labels=self._labels[chosen] if taught else None)

    def _present(self, count):
        chosen = self._next(count)
        found = self.target.present(self._events(chosen), learn=True, report=not self.chip.classes)
        self._right.extend((self._answered(found, self._labels[chosen]) == self._labels[chosen]).tolist())
        self._shown += len(chosen)
        self._after_images()

    def _after_images(self):
        within = rebases_within_pass(self.chip)
        if self._shown % (RELOAD_IMAGES if within else len(self._images)) == 0 and (within or not self._free):
            self.target.rebase()
        self._note_cell()

    def _learn_on(self):
        """Present as many images as the speed asks for between two messages."""
        self._finish_sample()
        if not self.speed:
            begun = time.monotonic()
            self._present(self._chunk)
            factor = min(_CHUNK_S / max(time.monotonic() - begun, 1e-3), 2.0)
            self._chunk = min(max(1, int(self._chunk * factor)), _CHUNK)
        else:
            count = max(1, round(self.speed * _TELL_S))
            self._present(min(count, _CHUNK))
            self._due = max(self._due + count / self.speed, time.monotonic() - 1.0)
        self._show()
        if self._keep is not None and time.monotonic() - self._kept > _KEEP_S:
            self._keep_now()

    def _keep_now(self):
        if self._keep is not None and self._shown > self.kept_images:
            save(self._keep, self.chip, self.target.state(), None if self.chip.classes else self._vote())
            self.kept_images = self._shown
        self._kept = time.monotonic()

    @property
    def kept(self) -> str:
        """What is kept of the learned chip, and where, in words."""
        if self._keep is None or not self.kept_images:
            return "nothing had been kept"
        return f"the chip as it was after {self.kept_images:,} images is in {self._keep}"

    # telling

    def _status(self):
        counters = self.target.counters()
        recent = list(self._right)
        return {"type": "status", "running": self.running, "speed": self.speed, "shown": self._shown,
                "accuracy": sum(recent) / len(recent) if recent else None, "recent": len(recent),
                "curve": self._curve, "energy_j": self._energy_so_far(counters), "samples": counters["samples"],
                "set_pulses": sum(value for name, value in counters.items() if name.startswith("set_pulses")),
                "reset_pulses": sum(value for name, value in counters.items() if name.startswith("reset_pulses")),
                "stuck": self._stuck, "kelvin": self._kelvin, "noise": self._noise,
                "begun": len(self._rest) > 0}

    def _show(self, force=False):
        """Tell all how far it is, not more often than they can read."""
        now = time.monotonic()
        if force or now - self._told > _TELL_S:
            recent = list(self._right)
            if recent and (not self._curve or self._curve[-1][0] < self._shown):
                self._curve = [*self._curve, [self._shown, round(sum(recent) / len(recent), 4)]]
                if len(self._curve) > 400:
                    self._curve = [*self._curve[:-200:2], *self._curve[-200:]]
            self._tell(self._status())
            if self._cell is not None and self._levels:
                self._tell(self._cell_message(self._cell))
            self._told = time.monotonic()
        if force or now - self._mapped > _MAPS_S:
            levels = self.target.read("levels").reshape(self.chip.tiles, self.chip.rows, self.chip.neurons)
            self._tell({"type": "maps", "levels": map_view(self.chip, levels)})
            self._mapped = time.monotonic()

    def _energy_so_far(self, counters):
        """Joules of everything. The operating point moves slowly and takes 20 ms to find: it may be a second old."""
        activity = Activity.from_counters(self.chip, counters)
        if self._point is None or time.monotonic() - self._pointed > _POINT_S:
            self._point, self._pointed = OperatingPoint.of(self.chip, self.device, activity), time.monotonic()
        return self._joules(activity, self._point)

    def _energy(self, counters):
        """Joules of what the counters tell, on the device (docs/analog.md)."""
        activity = Activity.from_counters(self.chip, counters)
        return self._joules(activity, OperatingPoint.of(self.chip, self.device, activity))

    def _joules(self, activity, point):
        return float(sum(np.sum(part) for part in energies(self.chip, self.device, activity, point).values()))


def _joined(parts: list[OutputSpikes]) -> OutputSpikes:
    """What parts of one sample fired, as one sample."""
    tile, neuron = (np.concatenate([getattr(part, name) for part in parts]) for name in ("tile", "neuron"))
    return OutputSpikes(tile, neuron, np.array([0, len(tile)]))


def _labels(found: OutputSpikes) -> np.ndarray:
    """What was answered, one for every ANSWER."""
    return np.zeros(0, np.int32) if found.answers is None else found.answers.label


def _number(command, name, low, high):
    value = command.get(name)
    if type(value) not in (int, float) or not low <= value <= high:
        raise UserError(f"{name} must be {low:g} to {high:g}, not {value!r}")
    return value


def _name(code):
    if code >= 0:
        return f"SPIKE {code}"
    if code <= EventCode.LABEL:
        return f"LABEL {EventCode.LABEL - code}"
    return EventCode(code).name
