"""Samples to learn: images or event streams, whichever a source holds."""

import dataclasses
from pathlib import Path

from .dataset import Dataset
from .formats import Progress, read_npz
from .images import load_dataset
from .streams import STREAM_ARRAYS, STREAM_HINT, fitting, load_stream

__all__ = ["load_samples"]


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
    if path is None or not path.is_file() or "time" not in read_npz(path, STREAM_ARRAYS, hint=STREAM_HINT)[0]:
        return load_dataset(source, progress)
    stream = load_stream(path, progress)
    if stream.bin is None:
        stream = dataclasses.replace(stream, bin=fitting(stream))
    kept = len(stream) - len(stream) // 7
    if progress is not None:
        progress(f"{path}: the last {len(stream) - kept:,} of {len(stream):,} samples are held out")
    first, last = stream[:kept], stream[kept:]
    return Dataset(first, first.labels, last, last.labels, path.name, True)
