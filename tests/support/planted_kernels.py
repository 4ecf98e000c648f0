"""The kernels of the model as plain Python, with a bug planted in one of them."""

import importlib
import shutil
import sys
from pathlib import Path

import numba

from ohmspike.sim.model import exact, kernels

_NAME = "planted_kernels"


def plant(right: str, wrong: str, folder: Path, monkeypatch) -> None:
    """Let the models run kernels in which ``right``, which must stand there once, reads ``wrong``; nothing is changed
    where ``right`` is empty."""
    shutil.copytree(Path(kernels.__file__).parent, folder / _NAME, ignore=shutil.ignore_patterns("__pycache__"))
    paths = sorted((folder / _NAME).glob("*.py"))
    if right:
        assert sum(path.read_text("utf-8").count(right) for path in paths) == 1, f"{right!r} does not stand once"
    for path in paths:
        path.write_text(path.read_text("utf-8").replace(right, wrong) if right else path.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == _NAME]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    for name in ("events", "free", "read_out", "samples", "walk"):
        monkeypatch.setattr(exact, name, importlib.import_module(f"{_NAME}.{name}"))
    monkeypatch.setattr(exact, "noted_of", importlib.import_module(f"{_NAME}.walk").noted_of)
    monkeypatch.setattr(exact, "geometry_of", importlib.import_module(f"{_NAME}.types").geometry_of)
