"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .errors import UserError

__all__ = ["write_whole"]


def write_whole(path, fill: Callable[[BinaryIO], object], *, error: type[UserError] = UserError,
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
