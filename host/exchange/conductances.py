"""Conductances of a learned chip for tools that map matrices onto crossbars, such as CrossSim and aihwkit."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.state import ChipState
from ohmspike.host.support.atomic import write_arrays, write_text
from ohmspike.sim.analog.device import Device

__all__ = ["conductances", "write_csv", "write_npz"]


def conductances(chip: Chip, state: ChipState, device: Device) -> dict[str, np.ndarray]:
    """Conductances of all cells, and the weights that they stand for.

    Returns
    -------
    dict
        ``tiles`` (tiles, rows, neurons) and ``read_out`` (rows, classes), in siemens; ``weights``
        (tiles, neurons, rows) and ``read_out_weights`` (classes, rows), float64 from 0 to 1: matrices of
        outputs × inputs, as aihwkit's ``set_weights`` and CrossSim's ``set_matrix`` take them.
    """
    def siemens(levels):
        return device.g_min_s + (device.g_max_s - device.g_min_s) * levels / (chip.levels - 1)

    share = chip.weight_table / max(1, int(chip.weight_table.max()))
    return {"tiles": siemens(state.levels.astype(float)), "read_out": siemens(state.read_out.astype(float)),
            "weights": share[state.levels].transpose(0, 2, 1), "read_out_weights": share[state.read_out].T}


def _about(chip: Chip, device: Device) -> dict[str, Any]:
    return {"chip": chip.name, "digest": chip.digest, "device": device.name, "levels": chip.levels,
            "g_min_s": device.g_min_s, "g_max_s": device.g_max_s, "unit": "S",
            "matrix": "a file a tile, a line a row (word line), a column a neuron (bit line)"}


def write_npz(path: Path, chip: Chip, state: ChipState, device: Device) -> None:
    """Write :func:`conductances` into an ``.npz``, with ``about``, JSON.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    write_arrays(path, conductances(chip, state, device) | {"about": np.array(json.dumps(_about(chip, device)))},
                 make_folder=True)


def write_csv(folder: Path, chip: Chip, state: ChipState, device: Device) -> list[Path]:
    """Write conductances in siemens into a folder: ``tile-000.csv`` and so on, ``read_out.csv``, ``about.json``.

    Raises
    ------
    UserError
        A file cannot be written.
    """
    found = conductances(chip, state, device)
    matrices = {f"tile-{tile:03}": matrix for tile, matrix in enumerate(found["tiles"])}
    if chip.classes:
        matrices["read_out"] = found["read_out"]
    written = [write_text(folder / f"{name}.csv", "".join(",".join(f"{cell:.9g}" for cell in row) + "\n"
                                                         for row in matrix), make_folder=True)
               for name, matrix in matrices.items()]
    return [*written, write_text(folder / "about.json", json.dumps(_about(chip, device), indent=2) + "\n")]
