"""Speed of the model and of the compiled RTL, beside other simulators and the memory of the machine.

``python -m ohmspike.host.studies.bench``, or ``make bench``.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
from numba import njit

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch
from ohmspike.chip.instructions import STATUS_WORDS
from ohmspike.host.coding.images import Encoding
from ohmspike.host.data.images import load_mnist
from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.base import Target
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.rtl import RtlTarget
from ohmspike.sim.state import ChipState

from .baselines import BASELINES, measure_baseline
from .history import append, comparison, entry, last_alike, read

__all__ = ["bytes_per_image", "clocks_per_image", "measure", "measure_bandwidth"]

_CHIPS = ("paper100", "paper400", "paper", "tiles", "up5k")
_REPEATS = 5
_MEMORY_BYTES = 192 << 20
_CACHE_BYTES = 192 << 10
_BUSY = list(STATUS_WORDS).index("busy_cycles")

_ABOUT = """
learning: tiles alone, no label taught. inference: answered by the read-out. Output spikes are counted and not reported.
  Events are encoded beforehand, in the code that fits the chip. from images: one thread, encoding too.
clocks: of the RTL, for images that are answered, and for images that are learned.
threads: one chip on all cores, with its speed by that of one thread; and as the ceiling of that, since two cores do not
  do twice as much on every machine, as many chips side by side as there are cores, a thread for each, together.
limit: images/s if all bytes that an image needs moved at the speed of the triad a = b + 3 c, measured in this run: in
  memory on all cores, and within the second-level cache on one. An image needs, by its counters: a weight for every
  synapse read, a level read and written for every pulse, a threshold for every neuron of a decision, a stamp for every
  row of a tile, and its events. Levels fit into a cache, so the model may pass the limit of the memory.
baselines: the network of Diehl & Cook (2015) in its own terms, learning rate-coded images on one thread. They
  integrate differential equations step after step, the model carries out events: the ratio is one of images learned
  per second at the same number of plastic synapses, not of the same arithmetic.
"""


class Body(Protocol):
    """What is measured: a target, or several that work side by side."""

    def load(self, state: ChipState, /) -> None: ...

    def present(self, batch: Any, /, *, learn: bool, report: bool) -> object: ...

    def counters(self) -> dict[str, int]: ...


def measure(targets: Sequence[Body], batches: Sequence[EventBatch] | Sequence[np.ndarray], *,
            learn: bool) -> list[float]:
    """Images/s of each target at its best of repeated presentations of batches.

    The targets take turns, so that another load of the machine meets all of them. What fired is counted and, as in a
    run of ``ohmspike learn`` with the read-out, not reported.
    """
    images, best = sum(len(batch) for batch in batches), [np.inf] * len(targets)
    for _ in range(_REPEATS):
        for at, target in enumerate(targets):
            started = time.perf_counter()
            for batch in batches:
                target.present(batch, learn=learn, report=False)
            best[at] = min(best[at], time.perf_counter() - started)
    return [images / seconds for seconds in best]


class _FromImages:
    """A chip that is handed images in place of events: their code is part of what is measured."""

    def __init__(self, chip):
        self._chip, self._target = chip, ModelTarget(chip, threads=1)
        self.load, self.counters = self._target.load, self._target.counters

    def present(self, images, *, learn, report):
        for batch in coded(self._chip, images, learn=learn):
            self._target.present(batch, learn=learn, report=report)


class _SideBySide:
    """Chips that have nothing to do with each other, a thread for each."""

    def __init__(self, chip, count):
        self._targets = [ModelTarget(chip, threads=1) for _ in range(count)]
        self._pool = ThreadPoolExecutor(count)

    def load(self, state):
        for target in self._targets:
            target.load(state)

    def counters(self):
        return self._targets[0].counters()

    def present(self, batch, *, learn, report):
        list(self._pool.map(lambda target: target.present(batch, learn=learn, report=report), self._targets))


def coded(chip: Chip, images: np.ndarray, *, learn: bool) -> Iterator[EventBatch]:
    """Images in the code that fits the chip, in batches of 1,000."""
    code = Encoding.of(chip)
    for first in range(0, len(images), 1000):
        yield code(chip, images[first:first + 1000], learn=learn, answer=not learn and chip.classes > 0,
                   first_sample=first)


def clocks_per_image(target: Target, batches: Sequence[EventBatch], *, learn: bool) -> float:
    """Clocks of an image on average, with the bytes of its program and of its output spikes, by the RTL's own count."""
    images = sum(len(batch) for batch in batches)
    before = int(target.read("status").ravel()[_BUSY])
    for batch in batches:
        target.present(batch, learn=learn)
    return (int(target.read("status").ravel()[_BUSY]) - before) % (1 << 32) / images


@njit(cache=True, nogil=True)
def _triad(a, b, c, repeats):
    for _ in range(repeats):
        for i in range(len(a)):
            a[i] = b[i] + 3.0 * c[i]


def measure_bandwidth(size: int, threads: int) -> float:
    """Bytes/s of the triad ``a = b + 3 c`` over three arrays of together ``size`` bytes for every thread.

    The best of a few runs; a byte is counted once for every array it is read from or written to.
    """
    count = size // 24
    sets = [tuple(np.full(count, value) for value in (0.0, 1.0, 2.0)) for _ in range(threads)]
    repeats, best = max(1, (256 << 20) // size), np.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_REPEATS + 1):  # the first compiles and touches every page
            started = time.perf_counter()
            list(pool.map(lambda abc: _triad(abc[0], abc[1], abc[2], repeats), sets))
            best = min(best, time.perf_counter() - started)
    return threads * repeats * count * 24 / best


def bytes_per_image(chip: Chip, counters: dict[str, int]) -> float:
    """Bytes that the model needs to move for an image, on average over what was counted.

    Every read pulse reads a row of weights; every SET or RESET pulse reads and writes a level (and writes its weight,
    where weights are another array); every decision reads the thresholds of a tile; every tile reads the stamps of its
    rows, which are written once; every event is a word of 4 bytes.
    """
    identity = np.array_equal(chip.weight_table, np.arange(chip.levels))
    weight = 1 if chip.weight_bits <= 8 else 2
    pulses = sum(count for name, count in counters.items() if name.startswith(("set_pulses", "reset_pulses")))
    moved = (counters["row_reads"] * chip.neurons * weight
             + pulses * (2 if identity else 2 + weight)
             + counters["decisions"] * chip.neurons * 4
             + counters["samples"] * (chip.tiles * chip.rows + chip.lines)
             + 4 * (counters["in_spikes"] + counters["steps"] + 3 * counters["samples"]))
    return moved / counters["samples"]


@click.command()
@click.option("--chip", "names", multiple=True, default=_CHIPS, show_default=True, help="presets to measure")
@click.option("--images", type=click.IntRange(1), default=20_000, show_default=True, help="images for the model")
@click.option("--rtl-images", type=click.IntRange(0), default=300, show_default=True, help="images for the RTL, or 0")
@click.option("--lanes", type=click.IntRange(1), help="synapses per clock of the RTL")
@click.option("--small", is_flag=True, help="the RTL in its small form, as on boards with an SPRAM")
@click.option("--baseline-seconds", type=click.FloatRange(0.0), default=5.0, show_default=True,
              help="time for each baseline, at chips of one crossbar, or 0")
@click.option("--history", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="file that gets a line of JSON; speeds are compared with its last one of such a machine")
@click.option("--json", "as_json", is_flag=True, help="print the figures alone, as JSON")
def main(names: tuple[str, ...], images: int, rtl_images: int, lanes: int | None, small: bool, baseline_seconds: float,
         history: Path | None, as_json: bool) -> None:
    """images/s of exact model and compiled RTL, all counters on, baselines, memory"""
    try:
        known = [] if history is None else read(history)
    except UserError as error:
        raise click.ClickException(str(error)) from None
    pictures = load_mnist(progress=console.status).train_images
    cores = os.cpu_count() or 1
    memory, cache = measure_bandwidth(_MEMORY_BYTES, cores), measure_bandwidth(_CACHE_BYTES, 1)
    chips_found: dict[str, dict[str, Any]] = {}
    figures = {"cores": cores, "memory_bytes_per_s": memory, "cache_bytes_per_s": cache, "chips": chips_found}

    def row(name, body, learning=None, inference=None, note=""):
        if not as_json:
            cells = "".join(f"{'' if value is None else format(value, ',.0f' if value >= 100 else ',.1f'):>13}"
                            for value in (learning, inference))
            sys.stdout.write(f"{name:10} {body:22}{cells}   {note}".rstrip() + "\n")
            sys.stdout.flush()

    if not as_json:
        sys.stdout.write(f"{'chip':10} {'body':22} {'learning':>12} {'inference':>12}   images/s, best of {_REPEATS}\n")
    for name in names:
        chip = Chip.load(name)
        of_chip: dict[str, Any] = {}
        chips_found[name] = of_chip

        def batches(count, learn, chip=chip):
            return list(coded(chip, pictures[:count], learn=learn))

        bodies: dict[str, tuple[Body, int]] = {
            f"model, threads: {threads}": (ModelTarget(chip, threads=threads), 1) for threads in sorted({1, cores})}
        if cores > 1:
            bodies[f"{cores} models, threads: 1"] = (_SideBySide(chip, cores), cores)
        targets, bytes_moved, speeds = [target for target, _ in bodies.values()], [], []
        for learn in (True, False):
            for body in targets:
                body.load(ChipState.initial(chip))
            speeds.append(measure(targets, batches(images, learn), learn=learn))
            bytes_moved.append(bytes_per_image(chip, targets[0].counters()))
        whole = _FromImages(chip)
        for learn in (True, False):
            whole.load(ChipState.initial(chip))
            speeds[not learn] += measure([whole], [pictures[:images]], learn=learn)
        bodies["model, from images"] = (whole, 1)
        for at, (name_of_body, (_, chips)) in enumerate(bodies.items()):
            learning, inference = (chips * speed[at] for speed in speeds)
            of_chip[name_of_body] = {"learning": learning, "inference": inference}
            ratios = f"{learning / speeds[0][0]:.2f} and {inference / speeds[1][0]:.2f} times one thread"
            row(name, name_of_body, learning, inference, ratios if at else "")
        for limit, speed in (("limit, memory", memory), ("limit, cache, 1 thread", cache)):
            of_chip[limit] = {"learning": speed / bytes_moved[0], "inference": speed / bytes_moved[1]}
            row(name, limit, of_chip[limit]["learning"], of_chip[limit]["inference"],
                f"{bytes_moved[0]:,.0f} and {bytes_moved[1]:,.0f} bytes an image, {speed / 1e9:.1f} GB/s")
        if rtl_images:
            with RtlTarget(chip, lanes=lanes, small=small, progress=console.status) as target:
                target.load(ChipState.initial(chip))
                [learning] = measure([target], batches(rtl_images, True), learn=True)
                [inference] = measure([target], batches(rtl_images, False), learn=False)
                answered, learned = (clocks_per_image(target, batches(rtl_images, how), learn=how)
                                     for how in (False, True))
                of_chip["RTL, compiled"] = {"learning": learning, "inference": inference, "clocks_answered": answered,
                                          "clocks_learned": learned}
                row(name, "RTL, compiled", learning, inference, f"{answered:,.0f} and {learned:,.0f} clocks an image")
        for baseline in BASELINES if baseline_seconds and chip.tiles == 1 and chip.lines == 784 else ():
            of_chip[baseline] = result = measure_baseline(baseline, chip.neurons, pictures[:1000], baseline_seconds)
            if "error" in result:
                row(name, baseline, note=f"not measured: {result['error']}")
            else:
                result["ratio"] = of_chip["model, threads: 1"]["learning"] / result["images_per_s"]
                row(name, f"{baseline} {result['version']}", result["images_per_s"], None,
                    f"the model on one thread: {result['ratio']:,.0f} times as many ({result['how']})")
    if as_json:
        click.echo(json.dumps(figures, indent=2))
    else:
        sys.stdout.write(_ABOUT)
    if history is not None:
        now = entry(figures, {"images": images, "rtl_images": rtl_images, "lanes": lanes, "small": small})
        if not as_json:
            sys.stdout.write(f"\n{comparison(last_alike(known, now), now)}\n")
        append(history, now)


if __name__ == "__main__":
    main()
