"""Event streams made into events of a chip (contract, sections 3 and 9)."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.chip.limits import STEP_MAX
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.streams import TIME_TOP, Stream
from ohmspike.host.support.errors import UserError

from .images import Encode, Encoding, sample_suffix

__all__ = ["CAMERA_STEPS", "Sampler", "StreamEncoding", "camera_lines", "camera_steps", "encoding_for",
           "stream_events"]

_STEP = int(EventCode.STEP)


@dataclass(frozen=True)
class StreamEncoding:
    """How streams become events where images would by :class:`~ohmspike.host.Encoding`: in learning runs.

    Parameters
    ----------
    width : float, optional
        Of a bin, for all samples alike; that of the stream if absent.
    """

    width: float | None = None

    @property
    def repeats(self) -> bool:
        """A sample becomes the same spikes whenever it comes."""
        return True

    def __call__(self, chip: Chip, stream: Stream, *, learn: bool, first_sample: int = 0,
                 labels: np.ndarray | None = None, answer: bool = False) -> EventBatch:
        """Events of the samples of a stream."""
        return stream_events(chip, stream, learn=learn, width=self.width, labels=labels, answer=answer)


def encoding_for(chip: Chip, samples: Any) -> Encode:
    """The encoding that samples have unless one is asked for: of images that of the chip, else of streams."""
    return StreamEncoding() if isinstance(samples, Stream) else Encoding.of(chip)


def stream_events(chip: Chip, stream: Stream, *, learn: bool, width: float | None = None,
                  labels: np.ndarray | None = None, answer: bool = False) -> EventBatch:
    """Events of a stream: its spikes, bin by bin, with a STEP between two of them.

    A sample begins at its first spike (a STEP before it would do nothing). A spike *t* later falls into bin
    ``⌊t / width⌋``; one within a billionth of a bin before the next falls into that. Bins are sent in order up to the
    last that holds a spike, with a STEP between two; lines ascend in a bin, each as often as it spiked. In race mode
    then DECIDE and, while learning, DARK; in threshold mode a STEP, at which the last bin may fire; ANSWER and
    LABEL as they are wanted; then END. A chip
    for a stream has ``plane_height × plane_width`` lines, in any proportion.

    A stream of an event camera, which has a ``sensor``, becomes events by contract 9.8 instead; ``width`` is not used.

    Parameters
    ----------
    learn : bool
        With DARK (race mode), for learning.
    width : float, optional
        Width of a bin in the unit of ``time``; if absent that of the stream, and if it has none, the smallest (at
        least 1 where times are integers) with which the longest sample takes no more than 254 STEPs.
    labels, answer :
        With LABEL and ANSWER, as in :func:`~ohmspike.host.encode.latency_events`.

    Raises
    ------
    DataError
        A line is not on the plane; a sample takes more than 254 STEPs; the width is not above 0.
    """
    if stream.sensor is not None:
        return _camera_events(chip, stream, learn, labels, answer)
    race = chip.fire_mode == "race"
    samples = np.repeat(np.arange(len(stream)), np.diff(stream.offsets))
    off = np.flatnonzero((stream.line < 0) | (stream.line >= chip.lines))
    if len(off):
        raise DataError(f"{stream.name}: line must be 0 to {chip.lines - 1} for the chip {chip.name}, not "
                        f"{stream.line[off[0]]} (sample {samples[off[0]]})",
                        hint="lines are numbered from 0: subtract 1" if stream.line.min() >= 1 and (
                            stream.line.max() == chip.lines) else
                        "describe a chip with plane = { height = 1, width = LINES }")
    bins = _bins(stream, samples, race, stream.bin if width is None else width)
    filled = np.diff(stream.offsets) > 0
    steps = np.zeros(len(stream), np.int64)
    steps[filled] = np.maximum.reduceat(bins, stream.offsets[:-1][filled]) if len(bins) else 0
    if not race:
        steps += 1
    if len(steps) and steps.max() > STEP_MAX:
        worst = int(steps.argmax())
        raise DataError(f"{stream.name}: a sample must take at most {STEP_MAX} steps, not {steps[worst]} "
                        f"(sample {worst})", hint="take wider bins or shorter samples")
    suffix = sample_suffix(chip, len(stream), learn, labels, answer)
    lengths = np.diff(stream.offsets) + steps + suffix.shape[1]
    offsets = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    codes = np.full(offsets[-1], EventCode.STEP, np.int32)
    order = np.lexsort((stream.line, bins, samples))
    rank = np.arange(len(samples)) - stream.offsets[samples]  # of a spike in its sample, once they are in order
    codes[offsets[samples] + rank + bins[order]] = stream.line[order]  # bin b is preceded by b STEPs
    for index in range(suffix.shape[1]):
        codes[offsets[1:] - 1 - index] = suffix[:, -1 - index]
    return EventBatch(codes, offsets)


def _bins(stream, samples, race, width):
    """The bin of every spike of a stream, int64."""
    time, offsets = stream.time, stream.offsets
    if not len(time):
        return np.zeros(0, np.int64)
    begins = np.zeros(len(stream), time.dtype)
    filled = np.diff(offsets) > 0
    begins[filled] = np.minimum.reduceat(time, offsets[:-1][filled])
    late = time - begins[samples]
    if width is None:
        bins, longest = STEP_MAX + race, late.max()  # threshold mode takes a STEP after the last bin too
        if late.dtype.kind == "i":
            return late // (longest // bins + 1)
        return np.minimum(late / longest * bins, bins - 1).astype(np.int64) if longest > 0 else np.zeros_like(samples)
    if not 0 < width < np.inf:
        raise DataError(f"{stream.name}: the width of a bin must be above 0, not {width!r}")
    if late.dtype.kind == "i" and float(width).is_integer():
        return late // int(min(width, TIME_TOP))
    with np.errstate(over="ignore"):
        return np.minimum(np.floor(late / width + 1e-9), TIME_TOP).astype(np.int64)


CAMERA_STEPS = 32
"""Steps of a sample of an event camera in a chip that fires at a threshold and has no ``rate_steps``."""


def camera_lines(chip: Chip, sensor: tuple[int, int], name: str = "events") -> np.ndarray:
    """The line of a chip for every line of a sensor, in the first window of time (contract 9.8).

    Returns
    -------
    int32 array of shape (2 · height · width,)

    Raises
    ------
    UserError
        The planes of the chip are no ON and OFF.
    """
    height, width = sensor
    if chip.edges or chip.thresholds:
        raise UserError(f"{name}: the planes of {chip.name} are edges or brightness of images, not ON and OFF",
                        hint="a chip for an event camera has channels = 2 under [plane], and neither edges nor "
                             "thresholds under [code]: such as shared-saccades")
    if chip.channels > 1 and chip.channels % 2:
        raise UserError(f"{name}: channels must be 1, or 2 for every window of time, for events of a camera, "
                        f"not {chip.channels} as in {chip.name}")
    down, right = _places(height, chip.plane_height), _places(width, chip.plane_width)
    off = np.array([0, chip.channels > 1])[:, None, None]
    return ((off * chip.plane_height + down[:, None]) * chip.plane_width + right).astype(np.int32).ravel()


def camera_steps(chip: Chip) -> int:
    """Steps into which a sample of a camera is divided (contract 9.8)."""
    windows = max(1, chip.channels // 2)
    if chip.fire_mode == "race":
        return windows if windows > 1 else chip.latency_bins
    return chip.rate_steps or CAMERA_STEPS


def _camera_events(chip, stream, learn, labels, answer):
    """Events of an event camera (contract 9.8)."""
    height, width = stream.sensor
    lines = camera_lines(chip, stream.sensor, stream.name)
    if len(stream.line) and not 0 <= stream.line.min() <= stream.line.max() < 2 * height * width:
        raise DataError(f"{stream.name}: line must be 0 to {2 * height * width - 1} for a sensor of {height}x{width}, "
                        f"not {stream.line.min()} to {stream.line.max()}")
    suffix = sample_suffix(chip, len(stream), learn, labels, answer)
    return EventBatch(*_camera(
        stream.time.astype(np.float64 if stream.time.dtype.kind == "f" else np.int64),  # compiled for few types
        stream.line.astype(np.int64), stream.offsets, lines,
        camera_steps(chip), max(1, chip.channels // 2), 2 * chip.plane_height * chip.plane_width, chip.lines,
        -1.0 if stream.span is None else float(stream.span), chip.fire_mode == "race", suffix))


def _places(sensor, plane):
    """Where every pixel of a side of a sensor lies on a side of the plane: scaled down, or in the middle."""
    pixels = np.arange(sensor)
    return pixels * plane // sensor if sensor > plane else pixels + (plane - sensor) // 2


@numba.njit(cache=True)
def _camera(time, line, offsets, plane, steps, windows, window_lines, lines, span, race, suffix):
    samples = len(offsets) - 1
    codes = np.empty(len(line) + samples * (steps + suffix.shape[1]), np.int32)
    begins, at = np.zeros(samples + 1, np.int64), 0
    for s in range(samples):
        first, last = offsets[s], offsets[s + 1]
        keys, length = np.empty(last - first, np.int64), span
        if last > first:
            begin = time.dtype.type(0)  # of the times' own type
            if span < 0:
                begin = time[first:last].min()
                length = float(time[first:last].max() - begin)
            for i in range(first, last):
                step = int(np.floor(float(time[i] - begin) * steps / length)) if length > 0 else 0
                step = min(max(step, 0), steps - 1)
                keys[i - first] = step * lines + step * windows // steps * window_lines + plane[line[i]]
        keys.sort()
        at = begins[s + 1] = _put(keys, codes, at, steps, lines, race, suffix[s])
    return codes[:at].copy(), begins


@numba.njit(cache=True)
def _put(keys, codes, at, steps, lines, race, suffix):
    """Write a sample of sorted ``step · lines + line``, each once, and return where it ends."""
    step = 0
    for i in range(len(keys)):
        if i and keys[i] == keys[i - 1]:
            continue
        while step < keys[i] // lines:
            codes[at] = _STEP
            at += 1
            step += 1
        codes[at] = keys[i] % lines
        at += 1
    while step < steps - race:
        codes[at] = _STEP
        at += 1
        step += 1
    for i in range(len(suffix)):
        codes[at] = suffix[i]
        at += 1
    return at


@numba.njit(cache=True)
def _put_all(keys, offsets, steps, lines, race, suffix):
    samples = len(offsets) - 1
    codes = np.empty(len(keys) + samples * (steps + suffix.shape[1]), np.int32)
    begins, at = np.zeros(samples + 1, np.int64), 0
    for s in range(samples):
        at = begins[s + 1] = _put(keys[offsets[s]:offsets[s + 1]], codes, at, steps, lines, race, suffix[s])
    return codes[:at].copy(), begins


class Sampler:
    """An endless stream of events, cut into samples of a length as contract 9.8 codes them.

    A sample lasts ``steps`` steps of ``step_us``; sample *n* begins at ``n · steps · step_us``. It is complete when an
    event of a later one comes, or with :meth:`finish`. Samples without events are left out. However the stream is cut
    into calls of :meth:`feed`, samples are the same; what is held of one is at most a bit of every line and step.

    Parameters
    ----------
    chip : Chip
    sensor : (int, int), optional
        Height and width of a camera whose lines are fed, ``(polarity · height + y) · width + x``; without it lines of
        the chip.
    step_us : int
        Length of a step, µs.
    learn : bool
        Samples are learned.
    """

    def __init__(self, chip: Chip, sensor: tuple[int, int] | None, step_us: int, *, learn: bool):
        self.chip, self.learn, self.step_us, self.steps = chip, learn, step_us, camera_steps(chip)
        self._lines = np.arange(chip.lines) if sensor is None else camera_lines(chip, sensor)
        self._windows = 1 if sensor is None else max(1, chip.channels // 2)
        self._held, self._number, self._step = np.zeros(0, np.int64), -TIME_TOP, -TIME_TOP

    @property
    def lines(self) -> int:
        """How many lines may be fed."""
        return len(self._lines)

    def refused(self, time: np.ndarray, line: np.ndarray) -> np.ndarray:
        """Which events cannot be taken: bool array of shape (events,).

        Those whose line does not exist, and those of a step before that of an event that is taken earlier.
        """
        off = (line < 0) | (line >= self.lines)
        steps = np.where(off, -TIME_TOP, time // self.step_us)
        return off | (steps < np.maximum.accumulate(np.r_[self._step, steps])[:-1])

    def feed(self, time: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, EventBatch]:
        """Numbers of the samples that are complete now, and their events.

        Parameters
        ----------
        time, line : int64 arrays of shape (events,)
            Times in µs; none of the events is :meth:`refused`.
        """
        if not len(time):
            return self._complete(np.zeros(0, np.int64), np.zeros(0, np.int64))
        steps = time // self.step_us
        numbers, step = np.divmod(steps, self.steps)
        window = step * self._windows // self.steps
        pair = 2 * self.chip.plane_height * self.chip.plane_width
        keys = step * self.chip.lines + window * pair + self._lines[line]
        numbers, keys = np.r_[np.full(len(self._held), self._number), numbers], np.r_[self._held, keys]
        self._step, self._number = int(steps[-1]), int(numbers[-1])
        waits = numbers == self._number
        self._held = np.unique(keys[waits])
        return self._complete(numbers[~waits], keys[~waits])

    def finish(self) -> tuple[np.ndarray, EventBatch]:
        """The sample that is under way, complete now."""
        keys, self._held = self._held, np.zeros(0, np.int64)
        return self._complete(np.full(len(keys), self._number), keys)

    def _complete(self, numbers, keys):
        whole, counts = np.unique(numbers, return_counts=True)
        keys = keys[np.lexsort((keys, numbers))]
        answer = self.chip.classes > 0
        suffix = sample_suffix(self.chip, len(whole), self.learn, None, answer)
        batch = EventBatch(*_put_all(keys, np.r_[0, np.cumsum(counts)].astype(np.int64), self.steps, self.chip.lines,
                                     self.chip.fire_mode == "race", suffix))
        return whole, batch
