"""Which format of recordings a file has, by its content, and how it is opened."""

import contextlib
import gzip
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmspike.host.data.formats import UNREADABLE_ERRORS, DataError

from .dv import is_aedat4, read_aedat4
from .es import is_es, read_es
from .events import Reader, Recording
from .jaer import is_aedat2, is_aedat3, read_aedat2, read_aedat3
from .nmnist import is_bin, read_bin
from .prophesee import is_dat, is_raw, read_dat, read_raw
from .tables import event_columns, is_event_array, read_npy, read_text

__all__ = ["ARCHIVE", "FORMATS", "HEAD_BYTES", "SUFFIXES", "Format", "format_of", "format_of_head"]

HEAD_BYTES = 4096
"""What of a file is looked at."""

_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Format:
    """A format of recordings.

    Parameters
    ----------
    title : str
        What messages call a file of it, with an article.
    suffixes : tuple of str
        Endings of its files in folders and archives.
    begins : callable
        Whether the first bytes of a file are those of the format.
    read : Reader, optional
        Opens bytes.
    read_path : callable, optional
        Opens a path, in its place; an archive, which holds several recordings, has neither.
    needs_suffix : bool
        A file must end in a suffix too: its bytes alone say too little.
    """

    title: str
    suffixes: tuple[str, ...]
    begins: Callable[[bytes], bool]
    read: Reader | None = None
    read_path: Callable[[Path], Recording] | None = None
    needs_suffix: bool = False

    def sensor(self, path: Path) -> tuple[int, int] | None:
        """Height and width that a file says."""
        with self.open(path) as recording:
            return recording.sensor

    @contextlib.contextmanager
    def open(self, path: Path) -> Iterator[Recording]:
        """A recording, while its file is open."""
        if self.read_path is not None:
            yield self.read_path(path)
            return
        if self.read is None:
            raise DataError(f"{path}: {self.title}, which may hold several")
        try:
            file = path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        with file:
            yield self.read(file, str(path))


def _is_npy(head: bytes) -> bool:
    """Whether an array has the fields of events, or four columns."""
    file = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except UNREADABLE_ERRORS:
        return False
    return is_event_array(dtype, shape)


def _is_text(head: bytes) -> bool:
    """Lines of names or numbers of events: four numbers, or a first line that names x, y, t and p."""
    try:
        cut = head if len(head) < HEAD_BYTES else head[:-4]
        text = cut.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return False
    if any(ord(letter) < 9 for letter in text):
        return False
    lines = [line for line in text.splitlines() if line.strip() and line[0] not in "#%"]
    if not lines:
        return False
    mark = max(_DELIMITERS, key=lines[0].count)
    cells = lines[0].split(mark if mark in lines[0] else None)
    return event_columns(cells) is not None or len(cells) == 4 and all(
        re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", cell) for cell in cells)


FORMATS = (
    Format("events as a NumPy array", (".npy",), _is_npy, read_path=read_npy),
    Format("a recording of N-MNIST (.bin)", (".bin",), is_bin, read_bin, needs_suffix=True),
    Format("a recording of AEDAT 2", (".aedat",), is_aedat2, read_aedat2),
    Format("a recording of AEDAT 3", (".aedat", ".aedat3"), is_aedat3, read_aedat3),
    Format("a recording of AEDAT 4", (".aedat4", ".aedat"), is_aedat4, read_aedat4),
    Format("a recording of Prophesee in EVT words (.raw)", (".raw",), is_raw, read_raw),
    Format("a recording of Prophesee (.dat)", (".dat",), is_dat, read_dat),
    Format("an Event Stream file (.es)", (".es",), is_es, read_es),
    Format("events as text", (".csv", ".txt"), _is_text, read_path=read_text),
)
"""Formats, in the order in which they are tried."""

ARCHIVE = Format("a NumPy archive of events", (".npz",), lambda head: False)
"""Recordings in an ``.npz``, several or one."""

SUFFIXES = {suffix for each in (*FORMATS, ARCHIVE) for suffix in each.suffixes}
"""Endings of recordings in folders and archives."""


def format_of(path: Path) -> Format | None:
    """The format of a file, by its content; None if it is no recording.

    Text may be packed with gzip.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        packed = head[:2] == b"\x1f\x8b"
        if packed:
            with gzip.open(path) as file:
                head = file.read(HEAD_BYTES)
    except (OSError, EOFError, *UNREADABLE_ERRORS):
        return None
    if head[:4] == b"PK\x03\x04":
        return ARCHIVE if _is_archive(path) else None
    found = format_of_head(head, path.name)
    return found if found is None or not packed or found.read_path is read_text else None


def format_of_head(head: bytes, name: str) -> Format | None:
    """The format of a file by its first bytes, and by its name where they say too little."""
    return next((each for each in FORMATS if (
        not each.needs_suffix or name.lower().endswith(each.suffixes)) and each.begins(head)), None)


def _is_archive(path: Path) -> bool:
    """Whether an ``.npz`` holds arrays x, y, t and p, or arrays of events."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            if event_columns(names) is not None:
                return True
            others = [name for name in names if name != "labels"]
            if not others:
                return False
            with archive.open(f"{others[0]}.npy") as file:
                head = file.read(HEAD_BYTES)
                return b"descr': [" in head and _is_npy(head)  # with fields: four columns may be anything
    except UNREADABLE_ERRORS:
        return False
