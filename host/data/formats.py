"""Files of arrays: IDX and NumPy archives."""

import gzip
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ohmspike.host.support.errors import UserError

__all__ = ["DataError", "check_regular", "read_idx", "read_npz"]
UNPACKING_ERRORS = (OSError, EOFError, zlib.error)
UNREADABLE_ERRORS = (*UNPACKING_ERRORS, ValueError, AttributeError, TypeError, KeyError, ArithmeticError, MemoryError,
                     SyntaxError, tokenize.TokenError, NotImplementedError, RuntimeError, struct.error,
                     zipfile.BadZipFile)

OBJECTS_HINT = ("names, labels = numpy.unique(labels.astype(str), return_inverse=True) makes numbers of names, "
                "numpy.stack(list(images)) one array of many")

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


IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Types of the elements of an IDX file, by its third byte."""


def read_idx(source: bytes | str | os.PathLike, *, name: str = "IDX data") -> np.ndarray:
    """The array in an IDX file, in the byte order of the machine.

    Parameters
    ----------
    source : bytes or path
        The content, or the file that holds it, plain or gzip.
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
        name, content = str(source), read_arrays_of(Path(source))
    if len(content) < 4:
        raise DataError(f"{name}: an IDX file has at least 4 bytes, not {len(content)}")
    if content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise DataError(f"{name}: an IDX file must begin with 00 00 and a type, 08 for bytes, "
                        f"not {content[:3].hex(' ')}")
    kind = np.dtype(IDX_TYPES[content[2]])
    dimensions = content[3]
    if not 1 <= dimensions <= 8:
        raise DataError(f"{name}: an IDX file must have 1 to 8 dimensions, not {dimensions}")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"{name}: truncated: the header of {dimensions} dimensions takes {header} bytes, "
                        f"not {len(content)}")
    shape = tuple(int.from_bytes(content[4 + 4 * i:8 + 4 * i], "big") for i in range(dimensions))
    expected = header + kind.itemsize * math.prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "trailing bytes"
        raise DataError(f"{name}: {fault}: must be {expected} bytes for the dimensions {shape}, not {len(content)}")
    return np.frombuffer(content, kind, offset=header).reshape(shape).astype(kind.newbyteorder("="), copy=False)


def read_npz(path: str | Path, names: Sequence[str], *, hint: str) -> tuple[dict[str, np.ndarray], list[str]]:
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
    except zipfile.BadZipFile as error:
        detail = reading + str(error) if reading else "it is truncated or damaged"
        raise DataError(f"{path}: not a readable .npz file: {detail}", hint="write or fetch it again") from None
    except UNREADABLE_ERRORS as error:
        if "pickle" in str(error) and reading:
            raise DataError(f"{path}: {reading}must be numbers, not Python objects, which could run code when read",
                            hint=OBJECTS_HINT) from None
        raise DataError(f"{path}: not a readable .npz file: {reading}{error}", hint=hint) from None


def check_regular(path: str | Path) -> None:
    """Refuse a pipe or a device as a :class:`DataError`: reading would wait for it, or never end."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{path}: must be a file or a folder, not a pipe or a device", hint="save it to a file first")


def read_arrays_of(path: Path) -> bytes:
    """Contents of a file, unpacked if it is gzip.

    Raises
    ------
    DataError
        It cannot be read or is damaged.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except UNPACKING_ERRORS as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
