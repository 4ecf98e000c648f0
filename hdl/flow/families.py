"""The emitted Verilog through yosys' front ends of six FPGA families: what a chip takes, and that nothing is odd."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .emit import memory_files
from .synth import counted
from .toolchain import ToolchainError, run_yosys

__all__ = ["FAMILIES", "RESOURCES", "Family", "Taken", "Unclean", "survey"]

RESOURCES = ("LUT", "flip-flop", "LUT RAM", "block RAM")

REGISTER_BITS_MAX = 2048
"""A memory of more bits than this belongs into RAM; its lanes are one memory."""

_READ = re.compile(r'  initial begin\n    \$readmemh\("(?P<file>[^"]+)"[^\n]*\n  end\n')
_MAPPED = re.compile(r"^Mapping memory \\(\S+?)(?:\.lane_\d+)? in module [^\n]*\n(?:(?!Mapping memory)[^\n]*\n)*?"
                     r"  created (\d+) \$\w+ cells and \d+ static cells of width (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Family:
    """A family of devices.

    Parameters
    ----------
    title : :class:`str`
        For a person.
    command : :class:`str`
        The pass of yosys that maps to it.
    cells : mapping
        Names of cells (patterns) that are counted, by :data:`RESOURCES`.
    split : :class:`bool`
        Its block RAM writes whole words: the Verilog is to have one memory per lane
        (:class:`~ohmspike.hdl.flow.lanes.MemoryPerLane`).
    zeros : :class:`bool`
        Initial contents are given where they are 0. yosys puts a memory with initial contents into no LUT RAM of
        Cyclone V, whatever they are; without any, its model of that RAM begins with 0.
    """

    title: str
    command: str
    cells: Mapping[str, tuple[str, ...]]
    split: bool = False
    zeros: bool = True

    @property
    def resources(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """As :func:`~ohmspike.hdl.flow.synth.counted` takes them: nothing is known of what a device holds."""
        return {name: (0, self.cells.get(name, ())) for name in RESOURCES}


def _family(title, command, luts, registers, lut_rams, block_rams, **peculiar):
    return Family(title, command, dict(zip(RESOURCES, (luts, registers, lut_rams, block_rams), strict=True)),
                  **peculiar)


FAMILIES = {
    "xilinx": _family("Xilinx 7", "synth_xilinx -family xc7", ("LUT*",), ("FD*",), ("RAM32*", "RAM64*", "SRL*"),
                      ("RAMB18E1", "RAMB36E1")),
    "gowin": _family("Gowin", "synth_gowin", ("LUT*", "ALU"), ("DFF*",), ("RAM16*",),
                     ("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B")),
    "intel": _family("Cyclone V", "synth_intel_alm -family cyclonev", ("MISTRAL_ALUT*",), ("MISTRAL_FF",),
                     ("MISTRAL_MLAB",), ("MISTRAL_M10K",), split=True, zeros=False),
    "nexus": _family("Nexus", "synth_nexus", ("LUT4",), ("FD1P3*",), ("DPR16X4",),
                     ("PDP16K", "PDPSC16K", "DP16K", "PDP16K_MODE", "PDPSC16K_MODE", "DP16K_MODE")),
    "ice40": _family("iCE40", "synth_ice40", ("SB_LUT4",), ("SB_DFF*",), (), ("SB_RAM40_4K*",)),
    "ecp5": _family("ECP5", "synth_ecp5", ("LUT4",), ("TRELLIS_FF",), ("TRELLIS_DPR16X4",),
                    ("DP16KD", "PDPW16KD")),
}
"""Every family, by its name on the command line."""


class Unclean(ToolchainError):
    """Synthesis came to an end, with something in it that should not be."""


@dataclass(frozen=True)
class Taken:
    """What a chip takes of a family: cells by :data:`RESOURCES`, and bits of each memory that became flip-flops."""

    cells: dict[str, int]
    registers: dict[str, int]


def survey(verilog: str, family: Family, *, name: str = "chip") -> Taken:
    """Map Verilog to a family of devices and count what it takes.

    Parameters
    ----------
    verilog : :class:`str`
        Text whose top module is ``name``, split as the family wants it.

    Raises
    ------
    Unclean
        There is a latch, a combinational loop or a net with two drivers, or a memory of more than
        :data:`REGISTER_BITS_MAX` bits became flip-flops.
    ToolchainError
        yosys stopped, or is missing.
    """
    latches = " ".join(f"t:{kind}" for kind in ("$dlatch", "$adlatch", "$dlatchsr"))
    # a loop is seen before synthesis, which may hide it in a LUT
    script = ["read_verilog chip.v", f"hierarchy -check -top {name}", "proc", f"select -assert-none {latches}",
              "design -save read", "flatten", "opt_clean", "tee -q -o before.log check", "design -load read",
              f"tee -q -o synth.log {family.command} -top {name}", "tee -q -o check.log check",
              "tee -q -o stat.json stat -json"]
    with tempfile.TemporaryDirectory(prefix="ohmspike-survey-") as folder:
        root = Path(folder)
        text, contents = memory_files(verilog)
        if not family.zeros:
            text = _READ.sub(lambda read: read[0] if contents[read["file"]].strip("0\n") else "", text)
        for file, words in {"chip.v": text, **contents}.items():
            (root / file).write_text(words)
        run_yosys("\n".join(script) + "\n", cwd=root)
        log = (root / "synth.log").read_text()
        checks = [(root / f"{when}.log").read_text() for when in ("before", "check")]
        cells = json.loads((root / "stat.json").read_text())["design"]["num_cells_by_type"]
    for check in checks:
        if re.search(r"Found and reported 0 problems", check):
            continue
        problem = next((line for line in check.splitlines() if line.startswith("Warning")), check.strip())
        raise Unclean(f"{family.command} must leave no loop and no second driver, not: {problem}")
    found: dict[str, int] = {}
    for memory, words, width in _MAPPED.findall(log):
        found[memory] = found.get(memory, 0) + int(words) * int(width)
    large = {memory: bits for memory, bits in found.items() if bits > REGISTER_BITS_MAX}
    if large:
        raise Unclean(f"{family.command} must find RAM for memories of more than {REGISTER_BITS_MAX} bits, not make "
                      f"flip-flops of {', '.join(f'{memory} ({bits} bits)' for memory, bits in large.items())}")
    return Taken(counted(cells, family), found)
