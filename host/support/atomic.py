"""Files that appear whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .errors import UserError

__all__ = ["check_places", "check_writable", "write_arrays", "write_text", "write_whole"]


def write_whole(path: str | Path, fill: Callable[[BinaryIO], object], *, error: type[UserError] = UserError,
                make_folder: bool = False) -> Path:
    """Have ``fill`` write a temporary file beside ``path``, then give it its name.

    The folder is made if it is not there and ``make_folder`` says so.

    Raises
    ------
    UserError
        Or ``error``: the file cannot be written; nothing of it stays, and a file that had this name does.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as failure:
        raise error(f"{path}: cannot be written: {failure.strerror or failure}",
                    hint="free some space or name another place") from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def check_writable(folder: str | Path) -> None:
    """Make a folder, if it is not there, and write a file of no bytes into it, to know before a long run that it can.

    Raises
    ------
    UserError
        The folder cannot be made or written to.
    """
    folder = Path(folder)
    probe = folder / f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
    except OSError as failure:
        raise UserError(f"{folder}: cannot be written to: {failure.strerror or failure}",
                        hint="name another folder") from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def check_places(*paths: Path | None) -> None:
    """Check the folders of files that a command will write (:func:`check_writable`); None is no file."""
    for path in paths:
        if path is not None:
            check_writable(path.parent)


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], *, error: type[UserError] = UserError,
                 make_folder: bool = False) -> Path:
    """Write a compressed ``.npz`` by :func:`write_whole`."""
    content: dict[str, Any] = dict(arrays)
    return write_whole(path, lambda file: np.savez_compressed(file, **content), error=error, make_folder=make_folder)


def write_text(path: str | Path, text: str, *, error: type[UserError] = UserError, make_folder: bool = False) -> Path:
    """Write a text by :func:`write_whole`."""
    return write_whole(path, lambda file: file.write(text.encode()), error=error, make_folder=make_folder)
