"""Samples to learn: images or event streams, whichever a source holds."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from .collections import COLLECTIONS
from .dataset import HELD_OUT_SEED, HELD_OUT_SHARE, Dataset, held_out
from .foreign import NIR_SPIKES, is_events, kind_of
from .formats import DataError, Progress, read_npz
from .images import load_dataset
from .nir_spikes import read_spikes
from .recordings.sets import Cut, load_recordings
from .saccades import NAME as SACCADES
from .saccades import load_saccades
from .streams import STREAM_HINT, Stream, fitting, load_stream

__all__ = ["load_events", "load_samples"]


def load_samples(source: str | Path | None, progress: Progress | None = None, cut: Cut | None = None) -> Dataset[Any]:
    """What ``--data`` names, event streams too (their samples in place of images); see :func:`load_dataset`.

    Of a stream a seventh of the samples is held out, drawn at random, the same share of every class, unless it is a set
    of recordings with a test split. If it has no ``bin``, it gets the smallest with which its longest sample takes no
    more than 254 bins, so that all samples are quantised in the same way.

    Parameters
    ----------
    source : str or path, optional
        As of :func:`load_dataset`; ``saccades``; a file or folder of spikes or of recordings of an event camera.
    progress : callable, optional
        Called with what is read and held out.
    cut : Cut, optional
        How recordings become samples; refused where there are none.

    Raises
    ------
    DataError
        As :func:`load_dataset`, :func:`load_stream` and
        :func:`~ohmspike.host.data.recordings.sets.load_recordings`.
    """
    if isinstance(source, str) and source == SACCADES:
        _check_cut(source, cut)
        return load_saccades(progress)
    path = None if source is None or isinstance(source, str) and source in COLLECTIONS else Path(source)
    kind = kind_of(path) if path is not None and path.exists() else None
    if path is None or kind is None or not (kind.events or is_events(path)):
        _check_cut(source, cut)
        return load_dataset(source, progress)
    if kind.events:
        say = progress or (lambda line: None)
        return load_recordings(path, say, cut or Cut()).dataset(say)
    stream = load_events(path, progress, cut)
    if stream.bin is None and stream.sensor is None:
        stream = dataclasses.replace(stream, bin=fitting(stream))
    if len(stream) < 2:
        raise DataError(f"{path}: samples must be at least 2, one of them to be held out, not {len(stream)}")
    if test := _test_samples(path):
        if test >= len(stream):
            raise DataError(f"{path}: test must be 0 to {len(stream) - 1}, fewer than there are samples, not {test}")
        kept, out = np.split(np.arange(len(stream)), [len(stream) - test])
        first, last = stream[kept], stream[out]
        return Dataset(first, first.labels, last, last.labels, path.name)
    kept, out = held_out(len(stream), stream.labels, max(1, len(stream) // HELD_OUT_SHARE), HELD_OUT_SEED)
    if progress is not None:
        progress(f"{path}: {len(out):,} of {len(stream):,} samples, drawn at random, are held out")
    first, last = stream[kept], stream[out]
    return Dataset(first, first.labels, last, last.labels, path.name, True)


def load_events(path: Path, progress: Progress | None = None, cut: Cut | None = None) -> Stream:
    """All samples of what :func:`~ohmspike.host.data.foreign.is_events`; of the test split alone, if it has one.

    Raises
    ------
    DataError
        As :func:`load_samples`.
    """
    kind = kind_of(path)
    if kind.events:
        found = load_recordings(path, progress or (lambda line: None), cut or Cut())
        return found.train if found.test is None else found.test
    _check_cut(path, cut)
    if kind is not NIR_SPIKES:
        return load_stream(path, progress)
    if importlib.util.find_spec("nir") is None:
        raise DataError(f"{path}: reading NIR data needs nir, which is not installed",
                        hint="pip install 'ohmspike[exchange]'")
    return read_spikes(path)


def _test_samples(path):
    """How many of the last samples of an event stream are its test split; 0 without one."""
    if kind_of(path) is NIR_SPIKES:
        return 0
    given = read_npz(path, ("test",), hint=STREAM_HINT)[0].get("test")
    if given is None:
        return 0
    if given.dtype.kind not in "iu" or given.size != 1 or given.item() < 0:
        raise DataError(f"{path}: test must be the number of samples of the test split, not {given}")
    return int(given.item())


def _check_cut(source, cut):
    """Refuse options of recordings where there are none."""
    if cut is not None and cut != Cut():
        given = "--sensor" if cut.window_ms is None else "--window"
        raise DataError(f"{given} has no meaning for {source or 'mnist'}",
                        hint="it is for recordings of an event camera: docs/data.md, Recordings")
