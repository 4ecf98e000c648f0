"""Samples to learn: images or event streams, whichever a source holds."""

import dataclasses
from pathlib import Path
from typing import Any

from .dataset import HELD_OUT_SEED, HELD_OUT_SHARE, Dataset, held_out
from .foreign import is_stream
from .formats import DataError, Progress
from .images import load_dataset
from .saccades import NAME as SACCADES
from .saccades import load_saccades
from .streams import fitting, load_stream

__all__ = ["load_samples"]


def load_samples(source: str | Path | None, progress: Progress | None = None) -> Dataset[Any]:
    """What ``--data`` names, event streams too (their samples in place of images); see :func:`load_dataset`.

    Of a stream a seventh of the samples is held out, drawn at random, the same share of every class. If it has no
    ``bin``, it gets the smallest with which its longest sample takes no more than 254 bins, so that all samples are
    quantised in the same way.

    Raises
    ------
    DataError
        As :func:`load_dataset` and :func:`load_stream`.
    """
    if isinstance(source, str) and source == SACCADES:
        return load_saccades(progress)
    path = None if source is None else Path(source)
    if path is None or not path.is_file() or not is_stream(path):
        return load_dataset(source, progress)
    stream = load_stream(path, progress)
    if stream.bin is None and stream.sensor is None:
        stream = dataclasses.replace(stream, bin=fitting(stream))
    if len(stream) < 2:
        raise DataError(f"{path}: samples must be at least 2, one of them to be held out, not {len(stream)}")
    kept, out = held_out(len(stream), stream.labels, max(1, len(stream) // HELD_OUT_SHARE), HELD_OUT_SEED)
    if progress is not None:
        progress(f"{path}: {len(out):,} of {len(stream):,} samples, drawn at random, are held out")
    first, last = stream[kept], stream[out]
    return Dataset(first, first.labels, last, last.labels, path.name, True)
