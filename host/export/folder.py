"""A folder with the RTL of a chip, for a stranger's tools: text, register map, bench, constraints."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from ohmspike.chip import Chip
from ohmspike.chip.counters import counter_names, counter_summary
from ohmspike.chip.instructions import MEMORIES, REGISTERS, Opcode, identity_words
from ohmspike.chip.markdown import markdown_table
from ohmspike.chip.versions import versions_of
from ohmspike.host.support.atomic import check_writable
from ohmspike.host.support.errors import UserError
from ohmspike.sim.rtl.build import compile_chip, lanes_of, write_rtl

from .vectors import vectors

__all__ = ["Exported", "export", "register_map"]

_PATIENCE = 2_000_000
_SETTLE = "    #(20 * BIT);  // the receiver waits for an idle line first\n"


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    lanes: int
    vectors: int
    """Bytes of the session of the bench."""


def register_map(chip: Chip) -> dict:
    """Memories, registers, counters and opcodes of a chip, as plain data."""
    return {
        "chip": chip.name, "structure_digest": chip.structure_digest,
        "opcodes": {code.name: int(code) for code in Opcode},
        "memories": [{"code": entry.code, "name": entry.name, "rows": entry.rows(chip), "columns": entry.columns(chip),
                      "cell_bytes": entry.cell_bytes, "range": entry.range_text, "writable": entry.writable(chip),
                      "contents": entry.summary} for entry in MEMORIES if entry.rows(chip)],
        "registers": [{"column": column, "name": entry.name, "range": entry.range_text, "reset": entry.reset,
                       "meaning": entry.summary}
                      for column, entry in enumerate(entry for entry in REGISTERS if entry.present(chip))],
        "counters": [{"column": column, "name": name, "meaning": counter_summary(name)}
                     for column, name in enumerate(counter_names(chip))],
        "identity": {name: chip.structure[name] for name in identity_words(chip) if name in chip.structure},
    }


def _map_text(numbers):
    parts = [f"# Memory map of {numbers['chip']}\n",
             "Cells are written and read by the instructions WRITE and READ: memory, row, column, count.\n"]
    for title, rows in (("Memories", numbers["memories"]), ("Registers: columns of the memory `registers`",
                                                            numbers["registers"]),
                        ("Counters: columns of the memory `counters`", numbers["counters"])):
        parts += [f"## {title}\n", markdown_table(list(rows[0]), [
            ["yes" if value is True else "no" if value is False else value for value in row.values()]
            for row in rows])]
    parts += ["## Opcodes\n", markdown_table(["name", "opcode"], [
        (name, f"0x{code:02x}") for name, code in numbers["opcodes"].items()])]
    return "\n".join(parts)


def _template(name):
    return (resources.files(__package__) / "templates" / name).read_text("utf-8")


_PORTS = {
    "stream": [("clk, rst", "in", "clock and reset"),
               ("rx_payload[7:0], rx_valid", "in", "bytes for the chip, taken in clocks in which rx_ready is 1"),
               ("rx_ready", "out", "the chip takes a byte"),
               ("tx_payload[7:0], tx_valid", "out", "bytes of the chip"), ("tx_ready", "in", "a byte is taken")],
    "uart": [("clk, rst", "in", "clock and reset"), ("rx", "in", "serial line to the chip; idle 1"),
             ("tx", "out", "serial line of the chip"),
             ("activity, answer, error", "out", "lights: a byte came, a byte went, a byte was damaged or lost")],
}


def export(chip: Chip, folder: Path, *, lanes: int | None = None, small: bool = False, port: str = "stream",
           clock_hz: int = 50_000_000, baud: int = 1_000_000, samples: int = 4, seed: int = 1, command: str = "",
           progress: Callable[[str], None] | None = None) -> Exported:
    """Write the RTL of a chip with all that other tools need, and vectors that the exact model vouches for.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty.
    small : bool
        The small form: fewer gates, more clocks.
    port : str
        ``stream``: the bytes of the link, with a wrapper for AXI4-Stream; ``uart``: two wires at ``baud``.
    clock_hz, baud : int
        For the constraints, and the bits of the serial line.
    samples, seed : int
        Of the session in the bench.

    Raises
    ------
    UserError
        There is something in the folder, it cannot be written to, lanes or baud are out of range, or RTL and model
        differ.
    """
    if port not in _PORTS:
        raise UserError(f"port must be one of {', '.join(_PORTS)}, not {port!r}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} must be a new or an empty folder", hint="choose another one with --out")
    say = progress or (lambda line: None)
    folder = folder.resolve()
    check_writable(folder.parent)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        root = Path(scratch)
        say("emitting RTL")
        try:
            texts = write_rtl(chip, lanes=lanes, small=small, uart=(clock_hz, baud) if port == "uart" else None)
        except ValueError as error:  # lanes, or bits of the serial line
            raise UserError(str(error)) from None
        with compile_chip(chip, lanes=lanes, small=small, progress=progress) as rtl:
            say("recording a session")
            words = vectors(chip, rtl, samples=samples, seed=seed)
        clock_ns = 1e9 / clock_hz
        _put(root, "chip.toml", chip.to_toml())
        for suffix, text in texts.items():
            _put(root, f"rtl/chip.{suffix}", "`timescale 1ns / 1ps\n" + text)
        if port == "stream":
            _put(root, "rtl/chip_axis.v", _template("chip_axis.v"))
        numbers = register_map(chip)
        _put(root, "registers.json", json.dumps(numbers, indent=2) + "\n")
        _put(root, "registers.md", _map_text(numbers))
        for name in ("chip.xdc", "chip.sdc"):
            _put(root, f"constraints/{name}", Template(_template(name)).substitute(clock_ns=f"{clock_ns:.3f}"))
        bit = f"  localparam real BIT = {1e9 / baud:.3f};   // ns\n" if port == "uart" else ""
        _put(root, "sim/tb.v", Template(_template("tb.v")).substitute(
            title=chip.name, length=len(words), patience=_PATIENCE, clock_ns=f"{clock_ns:.3f}", bit_parameter=bit,
            settle=_SETTLE if port == "uart" else "", port=_template(f"{port}.v")))
        _put(root, "sim/vectors.hex", "".join(f"{word:03x}\n" for word in words.tolist()))
        _put(root, "Makefile", _template("Makefile"))
        _put(root, "lint.vlt", _template("lint.vlt"))
        width = lanes_of(chip, lanes=lanes, small=small)
        axis = "| `rtl/chip_axis.v` | the same ports as AXI4-Stream |\n" if port == "stream" else ""
        _put(root, "README.md", Template(_template("README.md")).substitute(
            title=chip.name, command=command or "ohmspike rtl", version=versions_of(("ohmspike",))["ohmspike"],
            form="The small form" if small else "The fast form", lanes=width, extra_rows=axis,
            mhz=f"{clock_hz / 1e6:g}", ports=markdown_table(["port", "direction", "what"], _PORTS[port]),
            notes=f"\n## Serial line\n{baud:,} baud at {clock_hz / 1e6:g} MHz, 8 data bits, no parity, one stop bit.\n"
            if port == "uart" else ""))
        if folder.exists():
            folder.rmdir()
        root.chmod(0o755)
        shutil.move(root, folder)
        root.mkdir()  # for the context, which removes it
    return Exported(folder, width, len(words))


def _put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
