"""Spikes as NIR data (``nir.write_data``, ``nir.read_data``): an event stream out, one observable in."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.streams import Stream
from ohmspike.host.support.atomic import write_whole

__all__ = ["NODE", "OBSERVABLE", "coded_stream", "read_spikes", "write_spikes"]

NODE, OBSERVABLE = "input", "spikes"
"""Where spikes are written: the first is the name of the Input of an exported graph."""

_TIME_TOP = 1 << 53
"""Times are floats in NIR data: integers up to here are kept."""


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

    if len(stream.time) and not (stream.time.min() >= 0 and stream.time.max() <= _TIME_TOP):
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


def read_spikes(path: Path, node: str | None = None) -> Stream:
    """Spikes of one node of NIR data: events, or samples on a grid of time whose step becomes the unit of time.

    Parameters
    ----------
    node : str, optional
        Node, or NODE/OBSERVABLE; needed if the file has spikes of several.

    Raises
    ------
    DataError
        The file is no NIR data, has no spikes, or has several of them and ``node`` names none.
    """
    import nir

    try:
        found = _observables(nir.read_data(str(path)).nodes)
    except Exception as error:  # nir and h5py raise whatever they meet
        raise DataError(f"{path}: not readable as NIR data: {error}",
                        hint="a file that nir.write_data wrote is expected") from None
    fitting = {name: data for name, data in found.items() if _is_spikes(data) and (
        node is None or node in (name, name.rpartition("/")[0]))}
    if len(fitting) != 1:
        has = ", ".join(f"{name} ({_what(data)})" for name, data in found.items()) or "nothing"
        raise DataError(f"{path}: one node with spikes {'is needed' if node is None else f'is to be {node}'}, and the "
                        f"file has {has}", hint="name one with --node")
    (data,) = fitting.values()
    return _events(path, data) if hasattr(data, "idx") else _grid(path, data)


def _observables(nodes, prefix=""):
    """All observables by their path."""
    found: dict[str, Any] = {}
    for name, node in nodes.items():
        if hasattr(node, "nodes"):
            found |= _observables(node.nodes, f"{prefix}{name}/")
        else:
            found |= {f"{prefix}{name}/{of}": data for of, data in node.observables.items()}
    return found


def _is_spikes(data):
    return data.data.dtype == bool if hasattr(data, "data") else not hasattr(data, "value")


def _what(data):
    if hasattr(data, "value"):
        return "events with values"
    return "spikes" if _is_spikes(data) else f"values of type {data.data.dtype}"


def _grid(path, data):
    """Boolean samples of shape (samples, steps, neurons)."""
    if not len(data.data):
        raise DataError(f"{path}: has no samples")
    sample, step, line = np.nonzero(data.data)
    return Stream(step, line, np.r_[0, np.cumsum(np.bincount(sample, minlength=len(data.data)))], bin=1.0,
                  name=str(path))


def _events(path, data):
    """Events of shape (samples, events); an index of −1 is none."""
    index, time = np.asarray(data.idx), np.asarray(data.time, float)
    if index.ndim != 2 or not len(index) or index.dtype.kind not in "iu":
        raise DataError(f"{path}: idx must be integers of shape (samples, events), not {index.dtype} of {index.shape}")
    there = index != -1
    line, at = index[there].astype(np.int64), time[there]
    if len(line) and not (line.min() >= 0 and line.max() < data.n_neurons):
        raise DataError(f"{path}: idx must be 0 to {data.n_neurons - 1}, or -1, not {line.min()} to {line.max()}")
    if not np.isfinite(at).all():
        raise DataError(f"{path}: times of spikes must be finite, not {at[~np.isfinite(at)][0]}")
    whole = bool((at == np.rint(at)).all() and np.abs(at).max(initial=0) <= _TIME_TOP)
    return Stream(at.astype(np.int64) if whole else at, line, np.r_[0, np.cumsum(there.sum(axis=1))].astype(np.int64),
                  name=str(path))
