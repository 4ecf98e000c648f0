"""Images to learn: MNIST and Fashion-MNIST, verified and kept in the user's cache; a user's own arrays."""

import os
from pathlib import Path

import numpy as np

from .collections import COLLECTIONS, collection_in, load_collection
from .dataset import LABEL_TOP, Dataset
from .formats import DataError, Progress, read_npz

__all__ = ["load_dataset", "load_mnist", "load_npz"]

_IMAGE_ARRAYS = ("images", "labels", "test_images", "test_labels")
_NPZ_HINT = "write it with numpy.savez(path, images=..., labels=...), see docs/data.md"
_HELD_OUT = 7


def load_npz(path, progress: Progress | None = None) -> Dataset:
    """A user's own images, of any plane and any number of classes.

    Without a test split the last seventh of the images is held out.

    Parameters
    ----------
    path : path
        ``.npz`` with ``images`` of shape (samples, height, width) and optional ``labels``, integers of shape
        (samples,), 0 to :data:`LABEL_TOP`; optional ``test_images`` and ``test_labels`` alike. Images are uint8, or
        floats 0 to 1 (``p`` becomes the integer next to ``255 p``), or booleans (0 and 255).
    progress : callable, optional
        Told what is held out, and which arrays are of no use.

    Raises
    ------
    DataError
        The file cannot be read; an array is missing or of another type, shape or range.
    """
    tell = progress or (lambda line: None)
    arrays, others = read_npz(path, _IMAGE_ARRAYS, hint=_NPZ_HINT)
    if "images" not in arrays:
        found = f", the file holds {', '.join(others)}" if others else ""
        raise DataError(f"{path}: images is missing{found}", hint=_NPZ_HINT)
    if others:
        tell(f"{path}: not used: {', '.join(others)}")
    images, labels = _labelled(path, arrays, "images", "labels")
    if held_out := "test_images" not in arrays:
        if "test_labels" in arrays:
            raise DataError(f"{path}: test_labels must come with test_images", hint=_NPZ_HINT)
        if len(images) < 2:
            raise DataError(f"{path}: images must be at least 2, one of them to be held out, not {len(images)}",
                            hint="add images, or test_images")
        kept = len(images) - max(1, len(images) // _HELD_OUT)
        tell(f"{path}: no test_images: the last {len(images) - kept:,} of {len(images):,} images are held out")
        images, test_images = images[:kept], images[kept:]
        labels, test_labels = (None, None) if labels is None else (labels[:kept], labels[kept:])
    else:
        test_images, test_labels = _labelled(path, arrays, "test_images", "test_labels")
        if test_images.shape[1:] != images.shape[1:]:
            raise DataError(f"{path}: test_images must be {_by(images)} as images are, not {_by(test_images)}")
        if (labels is None) != (test_labels is None):
            given, missing = ("labels", "test_labels") if test_labels is None else ("test_labels", "labels")
            raise DataError(f"{path}: {given} must come with {missing}", hint="give both or neither")
    return Dataset(images, labels, test_images, test_labels, Path(path).name, held_out)


def load_mnist(directory=None, progress: Progress | None = None) -> Dataset:
    """MNIST, from ``directory``, else from the cache, else fetched into it.

    Parameters
    ----------
    directory : path, optional
        Folder with the four files, plain or gzip; nothing else is tried.
    progress : callable, optional
        Told what is being fetched, one line at a time, and if the cache cannot be written.

    Raises
    ------
    DataError
        A file is missing, damaged, or could not be fetched.
    """
    return load_collection(COLLECTIONS["mnist"], directory, progress)


def load_dataset(source: str | os.PathLike | None = None, progress: Progress | None = None) -> Dataset:
    """What ``--data`` names.

    Parameters
    ----------
    source : str or path, optional
        The name of one of :data:`COLLECTIONS`, as a string (MNIST if absent); else a folder with the four IDX files of
        one of them, told apart by their hashes; else an ``.npz`` (:func:`load_npz`). A folder that has the name of a
        collection is meant by ``./name``.
    progress : callable, optional
        Told what is being fetched, held out or not used, one line at a time.

    Raises
    ------
    DataError
        There is no such thing, or it is damaged, or it could not be fetched.
    """
    if source is None or isinstance(source, str) and source in COLLECTIONS:
        return load_collection(COLLECTIONS[source or "mnist"], None, progress)
    path = Path(source)
    if path.is_dir():
        return load_collection(collection_in(path), path, progress)
    if path.is_file() or path.suffix == ".npz":
        return load_npz(path, progress)
    raise DataError(f"data must be {', '.join(COLLECTIONS)}, a folder with IDX files or an .npz file, "
                    f"not {str(source)!r}",
                    hint="docs/data.md tells what can be brought")


def _labelled(path, arrays, name, labels_name):
    """Images and labels of one split, checked and converted."""
    images, labels = arrays[name], arrays.get(labels_name)
    if images.ndim != 3 or not images.size:
        raise DataError(f"{path}: {name} must be of shape (samples, height, width), not {images.shape}",
                        hint="a chip sees one plane: make colours grey and lists of pixels two-dimensional")
    if images.dtype.kind == "f":
        low, high = images.min(), images.max()
        if not (0 <= low and high <= 1):
            raise DataError(f"{path}: {name} must be 0 to 1 where they are floats, not {low:g} to {high:g}")
        images = np.rint(images.astype(np.float64) * 255).astype(np.uint8)
    elif images.dtype == np.bool_:
        images = images.astype(np.uint8) * np.uint8(255)
    elif images.dtype != np.uint8:
        raise DataError(f"{path}: {name} must be uint8, floats 0 to 1 or booleans, not {images.dtype}",
                        hint="convert them with images.astype(numpy.uint8) if they are 0 to 255")
    if labels is not None:
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            raise DataError(f"{path}: {labels_name} must be integers of shape {images.shape[:1]}, not {labels.dtype} "
                            f"of {labels.shape}")
        if labels.min() < 0 or labels.max() > LABEL_TOP:
            raise DataError(f"{path}: {labels_name} must be 0 to {LABEL_TOP}, not {labels.min()} to {labels.max()}")
        labels = labels.astype(np.int64)
    return np.ascontiguousarray(images), labels


def _by(images):
    return f"{images.shape[1]}x{images.shape[2]}"
