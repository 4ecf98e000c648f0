"""Event streams made into events of a chip (contract, sections 3 and 9)."""

from dataclasses import dataclass

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.chip.limits import STEP_MAX
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.streams import TIME_TOP, Stream

from .images import sample_suffix

__all__ = ["StreamEncoding", "stream_events"]


@dataclass(frozen=True)
class StreamEncoding:
    """How streams become events where images would by :class:`~ohmspike.host.Encoding`: in learning runs.

    Parameters
    ----------
    width : float, optional
        Of a bin, for all samples alike; that of the stream if absent.
    """

    width: float | None = None

    def __call__(self, chip: Chip, stream: Stream, *, learn: bool, first_sample: int = 0,
                 labels: np.ndarray | None = None, answer: bool = False) -> EventBatch:
        """Events of the samples of a stream."""
        return stream_events(chip, stream, learn=learn, width=self.width, labels=labels, answer=answer)


def stream_events(chip: Chip, stream: Stream, *, learn: bool, width: float | None = None,
                  labels: np.ndarray | None = None, answer: bool = False) -> EventBatch:
    """Events of a stream: its spikes, bin by bin, with a STEP between two of them.

    A sample begins at its first spike (a STEP before it would do nothing). A spike *t* later falls into bin
    ``⌊t / width⌋``; one within a billionth of a bin before the next falls into that. Bins are sent in order up to the
    last that holds a spike, with a STEP between two; lines ascend in a bin, each as often as it spiked. In race mode
    then DECIDE and, while learning, DARK; in threshold mode a STEP, at which the last bin may fire; ANSWER and
    LABEL as they are wanted; then END. A chip
    for a stream has ``plane_height × plane_width`` lines, in any proportion.

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
