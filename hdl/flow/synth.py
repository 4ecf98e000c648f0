"""Synthesise a chip with yosys and count what it takes of a device: ``python -m ohmspike.hdl.flow.synth``."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ohmspike.chip import Chip
from ohmspike.hdl.shared.layout import Layout

from .emit import rtlil_of
from .toolchain import run_yosys

__all__ = ["BUDGETS", "Budget", "counted", "preparation", "synthesise"]


class Resources(Protocol):
    """What is counted of a device: how many it holds, and the names of the cells that count, by resource."""

    @property
    def resources(self) -> Mapping[str, tuple[int, tuple[str, ...]]]:
        """Available, and patterns of names."""


@dataclass(frozen=True)
class Budget:
    """A device: which yosys pass maps to it, and what it holds of each resource (cells of these names are counted)."""

    command: str
    resources: dict[str, tuple[int, tuple[str, ...]]]



def _ecp5(luts, block_rams, multipliers):
    return Budget("synth_ecp5 -abc9", {
        "LUT4": (luts, ("LUT4",)), "FF": (luts, ("TRELLIS_FF",)), "carry": (luts // 2, ("CCU2C",)),
        "LUT RAM": (luts // 8, ("TRELLIS_DPR16X4",)), "block RAM": (block_rams, ("DP16KD",)),
        "DSP": (multipliers, ("MULT18X18D",))})


BUDGETS = {
    "ecp5-85f": _ecp5(83640, 208, 156),
    "ecp5-25f": _ecp5(24288, 56, 28),
    "ice40up5k": Budget("synth_ice40 -device u -dsp -spram", {
        "LUT4": (5280, ("SB_LUT4",)), "FF": (5280, ("SB_DFF*",)), "carry": (5280, ("SB_CARRY",)),
        "block RAM": (30, ("SB_RAM40_4K*",)), "SPRAM": (4, ("SB_SPRAM256KA",)), "DSP": (8, ("SB_MAC16",))}),
    "ice40hx8k": Budget("synth_ice40 -device hx", {
        "LUT4": (7680, ("SB_LUT4",)), "FF": (7680, ("SB_DFF*",)), "carry": (7680, ("SB_CARRY",)),
        "block RAM": (32, ("SB_RAM40_4K*",))}),
    "gw1nr-9": Budget("synth_gowin", {
        "LUT4": (8640, ("LUT*",)), "FF": (6480, ("DFF*",)), "carry": (6480, ("ALU",)), "LUT RAM": (270, ("RAM16*",)),
        "block RAM": (26, ("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B"))}),
}


def preparation(undefined: tuple[str, ...] = (), *, lut_ram: bool = True) -> list[str]:
    """What yosys is to know about memories before synthesis.

    What a read port gives of a word that is written in the same clock is never used, unless the port is transparent, so
    that no gates are spent on giving its old contents. The block RAM of the gate-level tests comes out wrong then.

    Parameters
    ----------
    undefined : tuple of :class:`str`
        Memories (name patterns) without initial contents, as an SPRAM needs them.
    lut_ram : bool
        The device has RAM made of LUTs. Without, memories that ask for it become what else there is, where yosys would
        give up.
    """
    commands = [] if lut_ram else ["setattr -unset ram_style a:ram_style=distributed"]
    commands += [f"delete t:$meminit* r:MEMID=\\{pattern} %i" for pattern in undefined]
    # the second names that Amaranth gives to elements of arrays look like bits of a wire to ABC9, which then fails
    commands += ["rename -hide w:*[[]*"]
    commands += ["proc -norom"]  # a table that becomes a block RAM takes one that the chip's memories need
    commands += ["setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:CLK_ENABLE=1 %i r:TRANSPARENCY_MASK=1'1 %d"]
    return commands


def synthesise(component, budget: Budget, *, name: str = "chip", undefined: tuple[str, ...] = ()) -> dict[str, int]:
    """Resources a component takes after synthesis, by the names of the budget.

    Parameters
    ----------
    undefined
        As for :func:`preparation`.
    """
    script = ["read_rtlil design.il", *preparation(undefined, lut_ram="ice40" not in budget.command)]
    script += [f"{budget.command} -top {name}", "tee -o stat.json stat -json"]
    with tempfile.TemporaryDirectory(prefix="ohmspike-synth-") as folder:
        design = rtlil_of(component, name)
        Path(folder, "design.il").write_text(design)
        run_yosys("\n".join(script) + "\n", cwd=Path(folder))
        cells = json.loads(Path(folder, "stat.json").read_text())["design"]["num_cells_by_type"]
    return counted(cells, budget)


def counted(cells: Mapping[str, int], budget: Resources) -> dict[str, int]:
    """Counts of yosys cells, summed under the names of a budget."""
    return {resource: sum(count for cell, count in cells.items() for pattern in names
                          if cell == pattern or (pattern.endswith("*") and cell.startswith(pattern[:-1])))
            for resource, (_, names) in budget.resources.items()}


def main():
    from ohmspike.hdl.top.chip import ChipTop

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", default="up5k")
    parser.add_argument("--device", choices=BUDGETS, default="ice40up5k")
    parser.add_argument("--lanes", type=int, default=None)
    options = parser.parse_args()
    chip = Chip.load(options.chip)
    small = not options.device.startswith("ecp5")
    layout = Layout(chip, min(options.lanes or (5 if small else 32), chip.neurons), 1 if small else 2)
    budget = BUDGETS[options.device]
    used = synthesise(ChipTop(layout), budget, undefined=("cells*",) if options.device == "ice40up5k" else ())
    for resource, (available, _) in budget.resources.items():
        share = used[resource] / available
        sys.stdout.write(f"{resource:10} {used[resource]:7} of {available:6} {share:7.1%}\n")


if __name__ == "__main__":
    main()
