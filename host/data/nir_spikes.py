"""Spikes as NIR data: events of a node, or booleans on a grid of time, as an event stream."""

from pathlib import Path
from typing import Any

import numpy as np

from .formats import DataError
from .streams import Stream

__all__ = ["TIME_TOP", "read_spikes"]

TIME_TOP = 1 << 53
"""Times are floats in NIR data: integers up to here are kept."""


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
                        f"file has {has}", hint="ohmspike convert FILE OUT.npz --node NAME takes one of them")
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
    whole = bool((at == np.rint(at)).all() and np.abs(at).max(initial=0) <= TIME_TOP)
    return Stream(at.astype(np.int64) if whole else at, line, np.r_[0, np.cumsum(there.sum(axis=1))].astype(np.int64),
                  name=str(path))
