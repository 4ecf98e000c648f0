"""Spikes a user has already: event streams (time, line) made into events of a chip (contract, sections 3 and 9)."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmspike.chip.limits import STEP_MAX

from .dataset import LABEL_TOP
from .formats import DataError, Progress, read_npz

__all__ = ["Stream", "load_stream"]

TIME_TOP = 1 << 61
SIDE_TOP = 8192
STREAM_ARRAYS = ("time", "line", "offsets", "labels", "bin", "sensor", "span", "test")
STREAM_HINT = "write it with numpy.savez(path, time=..., line=..., offsets=...), see docs/data.md"


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
    sensor : (int, int), optional
        Height and width of the event camera whose events these are. Lines are then those of the sensor,
        ``(polarity · height + y) · width + x`` with polarity 0 for ON and 1 for OFF, and become lines of a chip by
        contract 9.8.
    span : float, optional
        Time of a sample of a camera, which begins at time 0; if absent, a sample lasts from its first to its last
        event.
    """

    time: np.ndarray
    line: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray | None = None
    bin: float | None = None
    name: str = "stream"
    sensor: tuple[int, int] | None = None
    span: float | None = None

    def __len__(self):
        return len(self.offsets) - 1

    def __getitem__(self, index: slice | np.ndarray) -> "Stream":
        """Consecutive samples, or those of an array of numbers, as a stream of their own."""
        if isinstance(index, np.ndarray) and len(index) and (np.diff(index) == 1).all():
            index = slice(int(index[0]), int(index[-1]) + 1)  # without a copy of what may be a file
        if isinstance(index, np.ndarray):
            lengths = np.diff(self.offsets)[index]
            offsets = np.r_[0, np.cumsum(lengths)]
            spikes = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], lengths)
            return dataclasses.replace(self, time=self.time[spikes], line=self.line[spikes], offsets=offsets,
                                       labels=None if self.labels is None else self.labels[index])
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise ValueError(f"step must be 1, not {step}")
        offsets = self.offsets[start:max(start, stop) + 1]
        first, last = offsets[0], offsets[-1]
        return dataclasses.replace(
            self, time=self.time[first:last], line=self.line[first:last], offsets=offsets - first,
            labels=None if self.labels is None else self.labels[start:max(start, stop)])

    @property
    def classes(self) -> int | None:
        """The largest label + 1; None without labels."""
        return None if self.labels is None or not len(self.labels) else int(self.labels.max()) + 1


def load_stream(path: str | Path, progress: Progress | None = None) -> Stream:
    """A user's spikes; nothing in the file is executed.

    Parameters
    ----------
    path : path
        ``.npz`` with ``time`` (integers or floats, finite) and ``line`` (integers, from 0 up), both of shape (spikes,),
        and ``offsets``, integers of shape (samples + 1,) that rise from 0 to the number of spikes; optional ``labels``,
        integers of shape (samples,), 0 to 65535; ``bin``, the width of a step; ``sensor`` and ``span`` of a camera,
        as of a :class:`Stream`.
    progress : callable, optional
        Called with the names of arrays that are not used.

    Raises
    ------
    DataError
        The file cannot be read; an array is missing or of another type, shape or range.
    """
    arrays, others = read_npz(path, STREAM_ARRAYS, hint=STREAM_HINT)
    for name in ("time", "line", "offsets"):
        if name not in arrays:
            raise DataError(f"{path}: {name} is missing", hint=STREAM_HINT)
    time, line, offsets = arrays["time"], arrays["line"], arrays["offsets"]
    if time.dtype.kind not in "iuf" or time.ndim != 1:
        raise DataError(f"{path}: time must be numbers of shape (spikes,), not {time.dtype} of {time.shape}")
    if time.size and not (-TIME_TOP <= time.min() and time.max() <= TIME_TOP):
        raise DataError(f"{path}: time must be finite and at most {TIME_TOP}, not {time.min()} to {time.max()}")
    time = time.astype(np.float64 if time.dtype.kind == "f" else np.int64)
    line = _integers(path, "line", line, (len(time),), (1 << 31) - 1)
    offsets = _integers(path, "offsets", offsets, None, len(time))
    if offsets[0] != 0 or offsets[-1] != len(time) or (np.diff(offsets) < 0).any():
        fall = " and fall" if (np.diff(offsets) < 0).any() else ""
        raise DataError(f"{path}: offsets must rise from 0 to {len(time)}, the number of spikes, not from {offsets[0]} "
                        f"to {offsets[-1]}{fall}")
    labels = arrays.get("labels")
    if labels is not None:
        labels = _integers(path, "labels", labels, (len(offsets) - 1,), LABEL_TOP)
    width, span = (_above_0(path, name, arrays.get(name)) for name in ("bin", "span"))
    sensor = None
    if (given := arrays.get("sensor")) is not None:
        if given.dtype.kind not in "iu" or given.shape != (2,) or not (1 <= given.min() and given.max() <= SIDE_TOP):
            raise DataError(f"{path}: sensor must be a height and a width, 1 to {SIDE_TOP}, not {given}")
        sensor = int(given[0]), int(given[1])
        line = _integers(path, "line", line, (len(time),), 2 * sensor[0] * sensor[1] - 1)
    elif span is not None:
        raise DataError(f"{path}: span must come with sensor", hint=STREAM_HINT)
    if others and progress is not None:
        progress(f"{path}: not used: {', '.join(others)}")
    return Stream(time, line, offsets, labels, width, str(path), sensor, span)


def joined(first: Stream, last: Stream) -> Stream:
    """The samples of two streams of the same kind, one behind the other."""
    labels = None if first.labels is None or last.labels is None else np.concatenate([first.labels, last.labels])
    return dataclasses.replace(
        first, time=np.concatenate([first.time, last.time]), line=np.concatenate([first.line, last.line]),
        offsets=np.concatenate([first.offsets, last.offsets[1:] + first.offsets[-1]]), labels=labels)


def fitting(stream: Stream) -> float:
    """The width of a bin with which the longest sample takes no more than 254 of them."""
    spans = [np.ptp(stream.time[first:stop]) for first, stop in zip(stream.offsets, stream.offsets[1:], strict=False)
             if stop > first]
    longest = max(spans, default=0)
    if stream.time.dtype.kind == "i":
        return float(longest // STEP_MAX + 1)
    return float(longest) / STEP_MAX * (1 + 1e-9) or 1.0


def _above_0(path, name, given):
    """One number above 0, or None if there is none."""
    if given is None:
        return None
    if given.dtype.kind not in "iuf" or given.size != 1 or not 0 < given.item() < np.inf:
        raise DataError(f"{path}: {name} must be one number above 0, not {given}")
    return float(given.item())


def _integers(path, name, array, shape, top):
    """``array`` as int64, if it holds integers 0 to ``top`` and is of ``shape`` (None: one dimension, not empty)."""
    fits = array.ndim == 1 and len(array) > 0 if shape is None else array.shape == shape
    if array.dtype.kind not in "iu" or not fits:
        wanted = "(samples + 1,)" if shape is None else shape
        raise DataError(f"{path}: {name} must be integers of shape {wanted}, not {array.dtype} of {array.shape}")
    if array.size and (array.min() < 0 or array.max() > top):
        raise DataError(f"{path}: {name} must be 0 to {top}, not {array.min()} to {array.max()}")
    return array.astype(np.int64)
