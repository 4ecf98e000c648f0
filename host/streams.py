"""Spikes a user has already: event streams (time, line) made into events of a chip (contract, sections 3 and 9)."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode

from .data import LABEL_TOP, DataError, Dataset, Progress, load_dataset, read_npz
from .encode import tails_of

__all__ = ["STEPS_MAX", "Stream", "StreamEncoding", "load_samples", "load_stream", "stream_events"]

STEPS_MAX = 254
"""STEPs of a sample (contract 2.3), and so one bin more."""

_TIME_TOP = 1 << 61
_ARRAYS = ("time", "line", "offsets", "labels", "bin")
_HINT = "write it with numpy.savez(path, time=..., line=..., offsets=...), see docs/data.md"


@dataclass(frozen=True)
class Stream:
    """Spikes of consecutive samples.

    Parameters
    ----------
    time : int64 or float64 array of shape (spikes,)
        In any unit; within a sample in any order.
    line : int64 array of shape (spikes,)
    offsets : int64 array of shape (samples + 1,)
        Sample *s* is ``[offsets[s]:offsets[s + 1]]``.
    labels : int64 array of shape (samples,), or None
    bin : float, optional
        Width of a step that the file asks for, in the unit of ``time``.
    name : str
    """

    time: np.ndarray
    line: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray | None = None
    bin: float | None = None
    name: str = "stream"

    def __len__(self):
        return len(self.offsets) - 1

    def __getitem__(self, index: slice | np.ndarray) -> "Stream":
        """Consecutive samples, or those of an array of numbers, as a stream of their own."""
        if isinstance(index, np.ndarray):
            lengths = np.diff(self.offsets)[index]
            offsets = np.r_[0, np.cumsum(lengths)]
            spikes = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], lengths)
            return Stream(self.time[spikes], self.line[spikes], offsets,
                          None if self.labels is None else self.labels[index], self.bin, self.name)
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise ValueError(f"step must be 1, not {step}")
        offsets = self.offsets[start:max(start, stop) + 1]
        first, last = offsets[0], offsets[-1]
        return Stream(self.time[first:last], self.line[first:last], offsets - first,
                      None if self.labels is None else self.labels[start:max(start, stop)], self.bin, self.name)

    @property
    def classes(self) -> int | None:
        """The largest label + 1; None without labels."""
        return None if self.labels is None or not len(self.labels) else int(self.labels.max()) + 1


def load_stream(path, progress: Progress | None = None) -> Stream:
    """A user's spikes; nothing in the file is executed.

    Parameters
    ----------
    path : path
        ``.npz`` with ``time`` (integers or floats, finite) and ``line`` (integers, from 0 up), both of shape (spikes,),
        and ``offsets``, integers of shape (samples + 1,) that rise from 0 to the number of spikes; optional ``labels``,
        integers of shape (samples,), 0 to 65535, and ``bin``, the width of a step.
    progress : callable, optional
        Told which arrays are of no use.

    Raises
    ------
    DataError
        The file cannot be read; an array is missing or of another type, shape or range.
    """
    arrays, others = read_npz(path, _ARRAYS, hint=_HINT)
    for name in ("time", "line", "offsets"):
        if name not in arrays:
            raise DataError(f"{path}: {name} is missing", hint=_HINT)
    time, line, offsets = arrays["time"], arrays["line"], arrays["offsets"]
    if time.dtype.kind not in "iuf" or time.ndim != 1:
        raise DataError(f"{path}: time must be numbers of shape (spikes,), not {time.dtype} of {time.shape}")
    if time.size and not (-_TIME_TOP <= time.min() and time.max() <= _TIME_TOP):
        raise DataError(f"{path}: time must be finite and at most {_TIME_TOP}, not {time.min()} to {time.max()}")
    time = time.astype(np.float64 if time.dtype.kind == "f" else np.int64)
    line = _integers(path, "line", line, (len(time),), (1 << 31) - 1)
    offsets = _integers(path, "offsets", offsets, None, len(time))
    if offsets[0] != 0 or offsets[-1] != len(time) or (np.diff(offsets) < 0).any():
        given = " and fall" if (np.diff(offsets) < 0).any() else ""
        raise DataError(f"{path}: offsets must rise from 0 to {len(time)}, the number of spikes, not from {offsets[0]} "
                        f"to {offsets[-1]}{given}")
    labels = arrays.get("labels")
    if labels is not None:
        labels = _integers(path, "labels", labels, (len(offsets) - 1,), LABEL_TOP)
    width = arrays.get("bin")
    if width is not None:
        if width.dtype.kind not in "iuf" or width.size != 1 or not 0 < width.item() < np.inf:
            raise DataError(f"{path}: bin must be one number above 0, not {width}")
        width = float(width.item())
    if others and progress is not None:
        progress(f"{path}: not used: {', '.join(others)}")
    return Stream(time, line, offsets, labels, width, str(path))


@dataclass(frozen=True)
class StreamEncoding:
    """How streams become events where images would by :class:`~ohmspike.host.Encoding`: in learning runs.

    Parameters
    ----------
    width : float, optional
        Of a bin, for all samples alike; that of the stream if absent.
    """

    width: float | None = None

    def __call__(self, chip, stream, *, learn: bool, first_sample: int = 0, labels=None, answer: bool = False):
        """Events of the samples of a stream."""
        return stream_events(chip, stream, learn=learn, width=self.width, labels=labels, answer=answer)


def load_samples(source, progress: Progress | None = None) -> Dataset:
    """What ``--data`` names, event streams too (their samples in place of images); see :func:`load_dataset`.

    Of a stream the last seventh of the samples is held out. If it has no ``bin``, it gets the smallest with which its
    longest sample takes no more than 254 bins, so that all samples are quantised alike.

    Raises
    ------
    DataError
        As :func:`load_dataset` and :func:`load_stream`.
    """
    path = None if source is None else Path(source)
    if path is None or not path.is_file() or "time" not in read_npz(path, _ARRAYS, hint=_HINT)[0]:
        return load_dataset(source, progress)
    stream = load_stream(path, progress)
    if stream.bin is None:
        stream = dataclasses.replace(stream, bin=_fitting(stream))
    kept = len(stream) - len(stream) // 7
    if progress is not None:
        progress(f"{path}: the last {len(stream) - kept:,} of {len(stream):,} samples are held out")
    first, last = stream[:kept], stream[kept:]
    return Dataset(first, first.labels, last, last.labels, path.name, True)


def stream_events(chip: Chip, stream: Stream, *, learn: bool, width: float | None = None,
                  labels: np.ndarray | None = None, answer: bool = False) -> EventBatch:
    """Events of a stream: its spikes, bin by bin, with a STEP between two of them.

    A sample begins at its first spike (a STEP before it would do nothing). A spike *t* later falls into bin
    ``⌊t / width⌋``; one within a billionth of a bin before the next falls into that. Bins are sent in order up to the
    last that holds a spike, with a STEP between two; lines ascend within a bin, each as often as it spoke. In race mode
    then DECIDE and, while learning, DARK; in threshold mode a STEP, at which the last bin may fire; then END. A chip
    for a stream has ``plane_height × plane_width`` lines, in any proportion.

    Parameters
    ----------
    learn : bool
        With DARK (race mode), for learning.
    width : float, optional
        Width of a bin in the unit of ``time``; if absent that of the stream, and if it has none, the smallest (at
        least 1 where times are integers) with which the longest sample takes no more than 254 STEPs.
    labels, answer :
        With LABEL and ANSWER, as in :func:`~ohmspike.host.encode.latency_events`; race mode only.

    Raises
    ------
    DataError
        A line is not on the plane; a sample takes more than 254 STEPs; the width is not above 0.
    """
    race = chip.fire_mode == "race"
    samples = np.repeat(np.arange(len(stream)), np.diff(stream.offsets))
    off = np.flatnonzero((stream.line < 0) | (stream.line >= chip.lines))
    if len(off):
        raise DataError(f"{stream.name}: line must be 0 to {chip.lines - 1} for the chip {chip.name}, not "
                        f"{stream.line[off[0]]} (sample {samples[off[0]]})",
                        hint="describe a chip with plane = { height = 1, width = LINES }")
    bins = _bins(stream, samples, race, stream.bin if width is None else width)
    filled = np.diff(stream.offsets) > 0
    steps = np.zeros(len(stream), np.int64)
    steps[filled] = np.maximum.reduceat(bins, stream.offsets[:-1][filled]) if len(bins) else 0
    if not race:
        steps += 1
    if len(steps) and steps.max() > STEPS_MAX:
        worst = int(steps.argmax())
        raise DataError(f"{stream.name}: a sample must take at most {STEPS_MAX} steps, not {steps[worst]} "
                        f"(sample {worst})", hint="take wider bins or shorter samples")
    tails = np.full((len(stream), 1), EventCode.END, np.int32)
    if race:
        tails = tails_of(chip, len(stream), learn, labels, answer)
    lengths = np.diff(stream.offsets) + steps + tails.shape[1]
    offsets = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    codes = np.full(offsets[-1], EventCode.STEP, np.int32)
    order = np.lexsort((stream.line, bins, samples))
    rank = np.arange(len(samples)) - stream.offsets[samples]  # of a spike in its sample, once they are in order
    codes[offsets[samples] + rank + bins[order]] = stream.line[order]  # bin b is preceded by b STEPs
    for place in range(tails.shape[1]):
        codes[offsets[1:] - 1 - place] = tails[:, -1 - place]
    return EventBatch(codes, offsets)


def _fitting(stream):
    """The width of a bin with which the longest sample takes no more than 254 of them."""
    spans = [np.ptp(stream.time[first:stop]) for first, stop in zip(stream.offsets, stream.offsets[1:], strict=False)
             if stop > first]
    longest = max(spans, default=0)
    if stream.time.dtype.kind == "i":
        return float(longest // STEPS_MAX + 1)
    return float(longest) / STEPS_MAX * (1 + 1e-9) or 1.0


def _integers(path, name, array, shape, top):
    """``array`` as int64, if it holds integers 0 to ``top`` and is of ``shape`` (None: one dimension, not empty)."""
    fits = array.ndim == 1 and len(array) > 0 if shape is None else array.shape == shape
    if array.dtype.kind not in "iu" or not fits:
        wanted = "(samples + 1,)" if shape is None else shape
        raise DataError(f"{path}: {name} must be integers of shape {wanted}, not {array.dtype} of {array.shape}")
    if array.size and (array.min() < 0 or array.max() > top):
        raise DataError(f"{path}: {name} must be 0 to {top}, not {array.min()} to {array.max()}")
    return array.astype(np.int64)


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
        bins, longest = STEPS_MAX + race, late.max()  # threshold mode takes a STEP after the last bin too
        if late.dtype.kind == "i":
            return late // (longest // bins + 1)
        return np.minimum(late / longest * bins, bins - 1).astype(np.int64) if longest > 0 else np.zeros_like(samples)
    if not 0 < width < np.inf:
        raise DataError(f"{stream.name}: the width of a bin must be above 0, not {width!r}")
    if late.dtype.kind == "i" and float(width).is_integer():
        return late // int(min(width, _TIME_TOP))
    with np.errstate(over="ignore"):
        return np.minimum(np.floor(late / width + 1e-9), _TIME_TOP).astype(np.int64)
