"""Files of arrays: IDX and NumPy archives."""

import gzip
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ohmspike.host.support.errors import UserError

__all__ = ["DataError", "read_idx", "read_npz"]
UNPACKING_ERRORS = (OSError, EOFError, zlib.error)
UNREADABLE_ERRORS = (*UNPACKING_ERRORS, ValueError, AttributeError, TypeError, KeyError, ArithmeticError, MemoryError,
                     SyntaxError, NotImplementedError, RuntimeError, struct.error, zipfile.BadZipFile)

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
        name, content = str(source), read_arrays_of(Path(source))
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
    except UNREADABLE_ERRORS as error:
        if "allow_pickle" in str(error) and reading:
            raise DataError(f"{path}: {reading}must be numbers, not Python objects, which could run code when read",
                            hint="names, labels = numpy.unique(labels.astype(str), return_inverse=True) makes numbers "
                                 "of names; lists of arrays of different length must be made one array") from None
        raise DataError(f"{path}: not a readable .npz file: {reading}{error}", hint=hint) from None


def read_arrays_of(path: Path) -> bytes:
    """Contents of a file, unpacked if it is gzip.

    Raises
    ------
    DataError
        It cannot be read or is damaged.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except UNPACKING_ERRORS as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
