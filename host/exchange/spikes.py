"""Spikes as NIR data (``nir.write_data``): an event stream out; :mod:`ohmspike.host.data.nir_spikes` reads them."""

import io
from pathlib import Path

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.nir_spikes import TIME_TOP
from ohmspike.host.data.streams import Stream
from ohmspike.host.support.atomic import write_whole

__all__ = ["NODE", "OBSERVABLE", "coded_stream", "write_spikes"]

NODE, OBSERVABLE = "input", "spikes"
"""Where spikes are written: the first is the name of the Input of an exported graph."""


def coded_stream(chip: Chip, batch: EventBatch) -> Stream:
    """The spikes of coded images as a stream, their time the number of the step (contract 9.1, 9.2)."""
    steps = np.cumsum(batch.codes == EventCode.STEP)
    begins = np.r_[0, steps][batch.offsets[:-1]]
    sample = np.repeat(np.arange(len(batch)), np.diff(batch.offsets))
    spikes = batch.codes >= 0
    return Stream((steps - begins[sample])[spikes].astype(np.int64), batch.codes[spikes].astype(np.int64),
                  np.r_[0, np.cumsum(np.bincount(sample[spikes], minlength=len(batch)))].astype(np.int64), bin=1.0,
                  name=chip.name)


def write_spikes(path: Path, stream: Stream, *, lines: int | None = None, duration: float | None = None) -> None:
    """Write a stream as event data of one node, padded to the sample with the most spikes.

    Parameters
    ----------
    lines : int, optional
        Of the node; the largest line + 1 if absent.
    duration : float, optional
        Of the recording; one bin, or one unit of time, more than the last spike if absent.

    Raises
    ------
    DataError
        A time is below 0 or above 2^53, which event data cannot keep; the file cannot be written.
    """
    import nir

    if len(stream.time) and not (stream.time.min() >= 0 and stream.time.max() <= TIME_TOP):
        raise DataError(f"{stream.name}: times must be 0 to 2^53 for NIR data, not {stream.time.min()} to "
                        f"{stream.time.max()}", hint="subtract the earliest from all of them")
    counts = np.diff(stream.offsets)
    sample = np.repeat(np.arange(len(stream)), counts)
    place = np.arange(len(stream.time)) - stream.offsets[:-1][sample]
    shape = (len(stream), int(counts.max(initial=0)))
    index, time = np.full(shape, -1, np.int64), np.full(shape, np.inf)
    index[sample, place], time[sample, place] = stream.line, stream.time
    last = float(stream.time.max(initial=0))
    events = nir.EventData(index, time, lines or int(stream.line.max(initial=0)) + 1,
                           float(last + (stream.bin or 1.0)) if duration is None else duration)
    buffer = io.BytesIO()
    nir.write_data(buffer, nir.NIRGraphData({NODE: nir.NIRNodeData({OBSERVABLE: events})}))
    write_whole(path, lambda file: file.write(buffer.getvalue()), error=DataError)
