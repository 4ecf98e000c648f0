"""Images to learn: MNIST and Fashion-MNIST, verified and kept in the user's cache; a user's own arrays."""

import os
from pathlib import Path

import numpy as np

from ohmspike.chip.wording import did_you_mean

from .collections import COLLECTIONS, collection_in, load_collection
from .dataset import HELD_OUT_SEED, HELD_OUT_SHARE, LABEL_TOP, Dataset, held_out
from .foreign import EVENTS_HINT, IMAGE_ARRAYS, NPZ, NPZ_HINT, kind_of, read_images
from .formats import DataError, Progress, read_npz

__all__ = ["checked_images", "checked_label_array", "dataset_of", "load_dataset", "load_images", "load_mnist",
           "load_npz"]


def load_npz(path: str | Path, progress: Progress | None = None) -> Dataset[np.ndarray]:
    """A user's own images in a NumPy archive; see :func:`load_images`."""
    return load_images(path, progress)


def load_images(path: str | Path, progress: Progress | None = None) -> Dataset[np.ndarray]:
    """A user's own images, of any plane and any number of classes.

    Without a test split a seventh of the images is held out, drawn at random, the same share of every class
    (:func:`~ohmspike.host.data.dataset.held_out`).

    Parameters
    ----------
    path : path
        ``.npz`` with ``images`` of shape (samples, height, width) and optional ``labels``, integers of shape
        (samples,), 0 to :data:`LABEL_TOP`; optional ``test_images`` and ``test_labels`` likewise. Images are integers 0
        to 255, or floats 0 to 1 (``p`` becomes the integer next to ``255 p``), or booleans (0 and 255). Axes of size 1
        other than the samples are left out. Other kinds of files and folders: :mod:`ohmspike.host.data.foreign`.
    progress : callable, optional
        Called with what is held out, and which arrays are not used.

    Raises
    ------
    DataError
        The file cannot be read or is of a kind that is not; an array is missing or of another type, shape or range.
    """
    say = progress or (lambda line: None)
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder", hint=NPZ_HINT)
    kind = kind_of(path)
    arrays = read_images(path)
    if kind != NPZ:
        say(f"{path}: read as {kind.title}")
    elif others := read_npz(path, IMAGE_ARRAYS, hint=NPZ_HINT)[1]:
        say(f"{path}: not used: {', '.join(others)}")
    return dataset_of(path, arrays, say)


def dataset_of(path: str | Path, arrays: dict[str, np.ndarray], say: Progress) -> Dataset[np.ndarray]:
    """Arrays checked, converted and, without a test split, divided; as :func:`load_images` says."""
    images, labels = _labelled(path, arrays, "images", "labels")
    if held := "test_images" not in arrays:
        if "test_labels" in arrays:
            raise DataError(f"{path}: test_labels must come with test_images", hint=NPZ_HINT)
        if len(images) < 2:
            raise DataError(f"{path}: images must be at least 2, one of them to be held out, not {len(images)}",
                            hint="add images, or test_images")
        kept, out = held_out(len(images), labels, max(1, len(images) // HELD_OUT_SHARE), HELD_OUT_SEED)
        say(f"{path}: no test_images: {len(out):,} of {len(images):,} images, drawn at random, are held out")
        images, test_images = images[kept], images[out]
        labels, test_labels = (None, None) if labels is None else (labels[kept], labels[out])
    else:
        test_images, test_labels = _labelled(path, arrays, "test_images", "test_labels")
        if test_images.shape[1:] != images.shape[1:]:
            raise DataError(f"{path}: test_images must be {_by(images)} as images are, not {_by(test_images)}")
        if (labels is None) != (test_labels is None):
            given, missing = ("labels", "test_labels") if test_labels is None else ("test_labels", "labels")
            raise DataError(f"{path}: {given} must come with {missing}", hint="give both or neither")
    return Dataset(images, labels, test_images, test_labels, Path(path).name, held)


def load_mnist(directory: str | Path | None = None, progress: Progress | None = None) -> Dataset[np.ndarray]:
    """MNIST, from ``directory``, else from the cache, else fetched into it.

    Parameters
    ----------
    directory : path, optional
        Folder with the four files, plain or gzip; nothing else is tried.
    progress : callable, optional
        Called with what is being fetched, one line at a time, and if the cache cannot be written.

    Raises
    ------
    DataError
        A file is missing, damaged, or could not be fetched.
    """
    return load_collection(COLLECTIONS["mnist"], directory, progress)


def load_dataset(source: str | os.PathLike | None = None, progress: Progress | None = None) -> Dataset[np.ndarray]:
    """What ``--data`` names.

    Parameters
    ----------
    source : str or path, optional
        The name of one of :data:`COLLECTIONS`, as a string (MNIST if absent); else a folder with the four IDX files of
        one of them, identified by their hashes; else a file or folder of a user's own images (:func:`load_images`). To
        name a folder that has the name of a collection, write ``./name``.
    progress : callable, optional
        Called with what is being fetched, held out or not used, one line at a time.

    Raises
    ------
    DataError
        There is no such thing, or it is damaged, or it could not be fetched.
    """
    if source is None or isinstance(source, str) and source in COLLECTIONS:
        return load_collection(COLLECTIONS[source or "mnist"], None, progress)
    if source == "saccades":
        raise DataError("saccades: events of a camera, and images are needed here", hint=EVENTS_HINT)
    path = Path(source)
    if path.is_dir() and (collection := collection_in(path)) is not None:
        return load_collection(collection, path, progress)
    if path.exists() or path.suffix == ".npz":
        return load_images(path, progress)
    raise DataError(f"data must be {', '.join(COLLECTIONS)}, a file or a folder, not {str(source)!r}",
                    hint=did_you_mean(str(source), COLLECTIONS) or "docs/data.md lists what can be read")


def _labelled(path, arrays, name, labels_name):
    """Images and labels of one split, checked and converted."""
    images = checked_images(path, name, arrays[name])
    labels = arrays.get(labels_name)
    return images, None if labels is None else checked_label_array(path, labels_name, labels, len(images))


def checked_images(path: str | Path, name: str, images: np.ndarray) -> np.ndarray:
    """Images as uint8 of shape (samples, height, width).

    Raises
    ------
    DataError
        Another shape, type or range; with what to do about the usual ones.
    """
    given = images.shape
    if images.ndim > 3:
        images = images.reshape(given[0], *(size for size in given[1:] if size != 1))
    if images.ndim != 3 or not images.size:
        raise DataError(f"{path}: {name} must be of shape (samples, height, width), not {given}",
                        hint=_shape_hint(images))
    if images.dtype.kind == "f":
        low, high = float(images.min()), float(images.max())
        if not (0 <= low and high <= 1):
            hint = ("divide them by 255" if 0 <= low and high <= 255 else "replace what is no finite number"
                    if not np.isfinite([low, high]).all() else "scale them: (x - x.min()) / (x.max() - x.min())")
            raise DataError(f"{path}: {name} must be 0 to 1 where they are floats, not {low:g} to {high:g}", hint=hint)
        images = np.rint(images.astype(np.float64) * 255).astype(np.uint8)
    elif images.dtype == np.bool_:
        images = images.astype(np.uint8) * np.uint8(255)
    elif images.dtype.kind in "iu":
        low, high = int(images.min()), int(images.max())
        if low < 0 or high > 255:
            raise DataError(f"{path}: {name} must be 0 to 255 where they are integers, not {low} to {high}",
                            hint=f"images // {1 << high.bit_length() - 8} makes bytes of {high.bit_length()}-bit pixels"
                            if low >= 0 else "scale them to 0 to 255")
        images = images.astype(np.uint8)
    else:
        raise DataError(f"{path}: {name} must be integers 0 to 255, floats 0 to 1 or booleans, not {images.dtype}",
                        hint="convert them with images.astype(numpy.uint8)")
    return np.ascontiguousarray(images)


def _shape_hint(images):
    if images.ndim == 4 and images.shape[-1] in (3, 4):
        return "a chip sees one plane: make colours grey, images[..., :3].mean(axis=-1).astype(numpy.uint8)"
    if images.ndim == 4 and images.shape[1] in (3, 4):
        return "a chip sees one plane: make colours grey, images[:, :3].mean(axis=1).astype(numpy.uint8)"
    side = round(images.shape[-1]**0.5) if images.ndim == 2 else 0
    if side and side * side == images.shape[-1]:
        return f"lists of pixels become planes with images.reshape(-1, {side}, {side})"
    if images.ndim and not len(images):
        return "the array has no samples"
    if images.ndim == 2:
        return "one image is images[None], lists of pixels become planes with images.reshape(-1, height, width)"
    return "a chip sees one plane: make colours grey and lists of pixels two-dimensional"


def checked_label_array(path: str | Path, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    """Labels as int64 of shape (count,).

    Raises
    ------
    DataError
        Another shape, type or range; with what to do about the usual ones.
    """
    if labels.ndim == 2 and 1 in labels.shape and labels.size == count:
        labels = labels.reshape(count)
    if labels.dtype.kind == "f" and labels.shape == (count,) and (
            (labels == np.rint(labels)) & (np.abs(labels) <= LABEL_TOP + 1)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        hint = None
        if labels.dtype.kind in "US":
            hint = "numbers for names: names, labels = numpy.unique(labels, return_inverse=True)"
        elif labels.dtype.kind == "b" and labels.shape == (count,):
            hint = "labels.astype(int) makes 0 and 1 of them"
        elif labels.dtype.kind == "f" and labels.shape == (count,):
            hint = "classes are whole numbers: quantities need bins first, numpy.digitize(labels, edges)"
        elif labels.ndim == 2 and len(labels) == count:
            hint = "labels in one-hot form become numbers with labels.argmax(axis=1)"
        elif labels.shape != (count,):
            hint = "one label for every image; samples are the first axis, numpy.moveaxis(images, -1, 0) makes them so"
        raise DataError(f"{path}: {name} must be integers of shape ({count},), not {labels.dtype} of {labels.shape}",
                        hint=hint)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > LABEL_TOP:
        raise DataError(f"{path}: {name} must be 0 to {LABEL_TOP}, not {low} to {high}",
                        hint="classes are numbered from 0: values, labels = numpy.unique(labels, return_inverse=True)")
    return labels.astype(np.int64)


def _by(images):
    return f"{images.shape[1]}x{images.shape[2]}"
