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
from ohmspike.sim.rtl.build import AXI_REGISTERS, WRAPPERS, compile_chip, lanes_of, write_rtl

from .aer import aer_vectors
from .vectors import merged_flags, vectors

__all__ = ["Exported", "export", "register_map"]

_PATIENCE = 2_000_000
_TIMESCALE = "`timescale 1ns / 1ps\n"
_SETTLE = {
    "uart": "    #(20 * BIT);  // the receiver waits for an idle line first\n",
    "axi": ("    register(6'h00, 32'h534d484f);\n    register(6'h08, 32'h$low);\n    register(6'h0c, 32'h$high);\n"
            "    control(32'h1);  // the chip rests\n    register(6'h14, 32'h0);\n    control(32'h0);\n"
            "    repeat (8) @(negedge clk);\n")}
_LAST = {"axi": "    register(6'h1c, LENGTH - checked);\n    register(6'h20, checked);\n"}
_MORE = {"aer": ("      if (vectors[at][31]) word(vectors[at][26:0]);\n"
                 "      else if (vectors[at][30]) hear({vectors[at][9], vectors[at][7:0]});\n      else\n")}
_OTHER_VECTORS = {"aer": ";\n  // bit 31: a word of address events; bit 30: output of a sample, bit 9 with its status"}


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    lanes: int
    vectors: int
    """Bytes of the session of the bench."""


def register_map(chip: Chip, *, runs: bool = False, store: int = 0) -> dict:
    """Memories, registers, counters and opcodes of a chip, as plain data.

    RUNS is one of them with ``runs``, and with rows of a ``store``, which bring REPLAY and the memory too.
    """
    known = {Opcode.RUNS: runs or store > 0, Opcode.REPLAY: store > 0}
    rows = {entry.name: entry.rows(chip) for entry in MEMORIES} | {"store": store}
    return {
        "chip": chip.name, "structure_digest": chip.structure_digest,
        "opcodes": {code.name: int(code) for code in Opcode if known.get(code, True)},
        "memories": [{"code": entry.code, "name": entry.name, "rows": rows[entry.name], "columns": entry.columns(chip),
                      "cell_bytes": entry.cell_bytes, "range": entry.range_text,
                      "writable": entry.name == "store" or entry.writable(chip),
                      "contents": entry.summary} for entry in MEMORIES if rows[entry.name]],
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
    if "axi" in numbers:
        parts += ["## Registers on AXI4-Lite\n", markdown_table(list(numbers["axi"][0]), [
            row.values() for row in numbers["axi"]])]
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
    "spi": [("clk, rst", "in", "clock and reset"),
            ("sck, cs_n, mosi", "in", "SPI of mode 0, highest bit first; `sck` at most an eighth of `clk`"),
            ("miso, miso_oe", "out", "drive the pin with `miso` while `miso_oe` is 1"),
            ("irq", "out", "the chip has a byte for the host"),
            ("error", "out", "a byte was lost, because the host did not wait for replies; until a reset")],
    "axi": [("clk, rst", "in", "clock and reset; `aclk`, `aresetn` of `chip_axi`"),
            ("s_axi_…", "both", "AXI4-Lite, addresses of 6 bits: the registers of registers.md"),
            ("s_axis_tdata[7:0], s_axis_tvalid, s_axis_tready", "both", "AXI4-Stream: bytes for the chip"),
            ("m_axis_tdata[7:0], m_axis_tvalid, m_axis_tready", "both", "AXI4-Stream: bytes of the chip")],
    "aer": [("clk, rst", "in", "clock and reset"),
            ("rx_payload[7:0], rx_valid, rx_ready", "both", "bytes for the chip, as with the byte streams"),
            ("tx_payload[7:0], tx_valid, tx_ready", "both", "bytes of the chip"),
            ("aer_y[11:0], aer_x[11:0], aer_polarity", "in", "an address event"),
            ("aer_mark[1:0]", "in", "0: a word is an event; 1: STEP; 2: the sample ends"),
            ("aer_valid, aer_ready", "both", "a word is taken in clocks in which both are 1"),
            ("learn, labelled, label[7:0]", "in", "with the end of a sample: whether dark lines spike (while the chip "
                                                  "learns), whether there is a label, and which"),
            ("out_data[7:0], out_last, out_valid, out_ready", "both", "output spikes and answer of a sample, then its "
                                                                      "status with `out_last`"),
            ("outside", "out", "an event outside the plane is dropped")],
}

_NOTES = {
    "spi": ("SPI", "All bytes of the link go over it, in both directions at once. Where either side has nothing to say "
            "it says 0x7E, which means nothing between frames. The host sends 0x7E while it waits, best while `irq` is "
            "1. If `cs_n` rises within a byte, the byte of the chip is sent again."),
    "axi": ("AXI", "`rtl/chip_axi.v` is the same with `aclk` and `aresetn`. The bytes of the link go over the streams, "
            "or with bit 1 of `control` through the register `data`, for a processor without DMA."),
    "aer": ("Address events", "The host loads the chip over the byte streams and reads it back. Samples come as words: "
            "address events, STEP between two steps, and an END, after which the chip decides, answers, learns. A "
            "program of the host waits for the end of a sample, and a sample for the end of a program. Without marks "
            "of the source, a bin counter in front of the port makes them; in Amaranth that is "
            "`ohmspike.hdl.top.aer.AerWindow`."),
}


def export(chip: Chip, folder: Path, *, lanes: int | None = None, small: bool = False, port: str = "stream",
           runs: bool = False, split: bool = False, store: int = 0, clock_hz: int = 50_000_000, baud: int = 1_000_000,
           samples: int = 4, seed: int = 1, command: str = "",
           progress: Callable[[str], None] | None = None) -> Exported:
    """Write the RTL of a chip with all that other tools need, and vectors that the exact model vouches for.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty.
    small : bool
        The small form: fewer gates, more clocks.
    port : str
        ``stream``: the bytes of the link, with a wrapper for AXI4-Stream; ``uart``: two wires at ``baud``; ``spi``;
        ``axi``: AXI4-Streams, with registers on AXI4-Lite; ``aer``: streams of bytes, and samples as address events.
    runs : bool
        The chip takes images as runs (docs/link.md, Runs), and the session in the bench has them.
    split : bool
        One memory for each lane of a word that is written by lanes (docs/rtl.md).
    store : int
        Rows of 256 bytes of a store in the chip (docs/link.md, Store); the session in the bench learns out of it too.
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
    if port not in WRAPPERS:
        raise UserError(f"port must be one of {', '.join(WRAPPERS)}, not {port!r}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} must be a new or an empty folder", hint="choose another one with --out")
    say = progress or (lambda line: None)
    folder = folder.resolve()
    check_writable(folder.parent)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        root = Path(scratch)
        say("emitting RTL")
        try:
            texts = write_rtl(chip, lanes=lanes, small=small, wrapper=port, rate=(clock_hz, baud), runs=runs,
                              split=split, store=store)
        except ValueError as error:  # lanes, or bits of the serial line
            raise UserError(str(error)) from None
        with compile_chip(chip, lanes=lanes, small=small, runs=runs, store=store, progress=progress) as rtl:
            say("recording a session")
            words = (aer_vectors(chip, rtl, samples=samples, seed=seed) if port == "aer"
                     else vectors(chip, rtl, samples=samples, seed=seed, together=runs or store > 0))
        words = merged_flags(words) if port == "spi" else words
        clock_ns, digest = 1e9 / clock_hz, bytes.fromhex(chip.structure_digest)
        _put(root, "chip.toml", chip.to_toml())
        for file, text in texts.items():
            _put(root, f"rtl/{file}", text if file.endswith(".hex") else _TIMESCALE + text)
        around = {"stream": "chip_axis.v", "axi": "chip_axi.v"}.get(port)
        if around:
            _put(root, f"rtl/{around}", _TIMESCALE + _template(around))
        numbers = register_map(chip, runs=runs, store=store)
        if port == "axi":
            numbers["axi"] = [{"address": f"0x{4 * place:02x}", "name": name, "access": access, "meaning": meaning}
                              for place, (name, access, meaning) in enumerate(AXI_REGISTERS)]
        _put(root, "registers.json", json.dumps(numbers, indent=2) + "\n")
        _put(root, "registers.md", _map_text(numbers))
        for name in ("chip.xdc", "chip.sdc"):
            _put(root, f"constraints/{name}", Template(_template(name)).substitute(clock_ns=f"{clock_ns:.3f}"))
        bit = f"  localparam real BIT = {1e9 / baud:.3f};   // ns\n" if port == "uart" else ""
        _put(root, "sim/tb.v", Template(_template("tb.v")).substitute(
            title=chip.name, length=len(words), patience=_PATIENCE, clock_ns=f"{clock_ns:.3f}", bit_parameter=bit,
            top=31 if port == "aer" else 8, other_vectors=_OTHER_VECTORS.get(port, ""), more=_MORE.get(port, ""),
            settle=Template(_SETTLE.get(port, "")).substitute(low=digest[3::-1].hex(), high=digest[7:3:-1].hex()),
            last=_LAST.get(port, ""), port=_template(f"{port}.v")))
        _put(root, "sim/vectors.hex", "".join(f"{word:03x}\n" for word in words.tolist()))
        _put(root, "Makefile", _template("Makefile"))
        _put(root, "lint.vlt", _template("lint.vlt"))
        width = lanes_of(chip, lanes=lanes, small=small)
        form = ("The small form" if small else "The fast form") + (", one memory per lane" if split else "")
        rows = {"stream": "| `rtl/chip_axis.v` | the same ports as AXI4-Stream |\n",
                "axi": "| `rtl/chip_axi.v` | the same ports with `aclk` and `aresetn` |\n"}
        serial = ("Serial line", f"{baud:,} baud at {clock_hz / 1e6:g} MHz, 8 data bits, no parity, one stop bit.")
        kept = ("Store", f"The memory `store` has {store:,} rows of 256 bytes, {store / 4:g} KiB, in `block_store` of "
                "the text. What a host writes there it has carried out by REPLAY: docs/link.md of Ohmspike, Store. It "
                "needs no initial contents.")
        sections = [text for name, text in (_NOTES | {"uart": serial}).items() if name == port] + [kept] * (store > 0)
        notes = [f"\n## {heading}\n{text}\n" for heading, text in sections]
        _put(root, "README.md", Template(_template("README.md")).substitute(
            title=chip.name, command=command or "ohmspike rtl", version=versions_of(("ohmspike",))["ohmspike"],
            form=form, lanes=width, extra_rows=rows.get(port, ""),
            mhz=f"{clock_hz / 1e6:g}", ports=markdown_table(["port", "direction", "what"], _PORTS[port]),
            notes="".join(notes)))
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
