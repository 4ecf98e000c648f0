"""The tables of docs/link.md and docs/files.md, made from the declarations: ``python -m ohmspike.chip.reference``."""

import sys
from pathlib import Path

from .counters import ACCUMULATE_COUNTERS, BIN_COUNTERS, COUNTERS, LAYER_COUNTERS, READ_OUT_COUNTERS
from .description import Chip
from .instructions import (
    IDENTITY_WORDS,
    MEMORIES,
    REGISTERS,
    STATUS_WORDS,
    FrameKind,
    NakReason,
    Opcode,
    Status,
)
from .markdown import markdown_table, renewed
from .memories import always
from .state import ChipState

__all__ = ["DOCUMENTS", "file_tables", "link_tables", "rewritten"]

PROGRAM = "python -m ohmspike.chip.reference"

OPERANDS = {
    Opcode.NOP: ("", "nothing"),
    Opcode.SPIKE: ("line:2", "SPIKE (contract 3.1)"),
    Opcode.FRAME: ("bitmap: ⌈lines / 8⌉ bytes, line *i* is bit *i* mod 8 of byte ⌊*i* / 8⌋", "FRAME (3.2)"),
    Opcode.STEP: ("", "STEP (3.3); outputs spikes in threshold mode"),
    Opcode.DECIDE: ("", "DECIDE (3.4); outputs spikes in race mode"),
    Opcode.DARK: ("", "DARK (3.5)"),
    Opcode.END: ("", "END (3.6)"),
    Opcode.ANSWER: ("", "ANSWER (10.4); outputs label:1 score:3 margin:3 if the chip has a read-out"),
    Opcode.LABEL: ("class:1", "LABEL (10.5)"),
    Opcode.RUNS: ("runs: each passes over its low 5 bits of lines, its high 3 bits of lines spike; 0 ends them",
                  "FRAME (3.2), of a chip of protocol 3"),
    Opcode.WRITE: ("memory:1 row:2 column:2 count:2, then count cells", "write cells, along columns, then rows"),
    Opcode.READ: ("memory:1 row:2 column:2 count:2", "read cells likewise; outputs count cells"),
    Opcode.CHECK: ("memory:1 row:2 column:2 count:2", "outputs crc:4, the CRC-32 of what READ would output"),
    Opcode.REPLAY: ("first:3 length:3 times:1", "the instructions in `length` bytes of the store from byte `first` on, "
                    "`times` times; of a chip of protocol 4"),
}


def link_tables() -> str:
    """Markdown tables of everything that goes over the link."""
    tiles = Chip.preset("tiles")
    structure = {name: Chip.__dataclass_fields__[name].metadata for name in IDENTITY_WORDS}
    parts = [
        "## Instructions\n", markdown_table(["opcode", "name", "operands", "effect"], [
            (f"0x{code:02x}", code.name, *OPERANDS[code]) for code in Opcode]),
        "## Frame kinds, NAK reasons, statuses\n", markdown_table(["code", "name", "what"], [
            *((f"0x{kind:02x}", kind.name, "frame kind") for kind in FrameKind),
            *((int(reason), reason.name, "NAK reason") for reason in NakReason),
            *((int(status), status.name, "status") for status in Status)]),
        "## Memories\n", markdown_table(
            ["code", "name", "array", "rows × columns at `tiles`", "bytes a cell", "range", "writable", "contents"], [
                (entry.code, entry.name, entry.shape_text, f"{entry.rows(tiles):,} × {entry.columns(tiles)}",
                 entry.cell_bytes, entry.range_text, "yes" if entry.writable(tiles) else "no", entry.summary)
                for entry in MEMORIES]),
        "The last dimension of the array are the columns, the others together the rows: row = tile · rows + row of the "
        "tile, row = region · neurons + neuron (a region is a tile, but in a shared crossbar). Of one dimension are "
        "columns, but for `random`: rows. A chip keeps as many bits of a cell as its range asks for.\n\n",
        "## Registers\n", markdown_table(["column", "name", "range", "after a reset", "meaning"], [
            (entry.column, entry.name, entry.range_text, entry.reset, entry.summary) for entry in REGISTERS]),
        "A register that a chip does not have takes no column: those behind it move up.\n\n",
        "## Counters\n", markdown_table(["column", "name", "counts"], [
            *((column, *pair) for column, pair in enumerate(COUNTERS.items())),
            *((f"{len(COUNTERS)} + {kind} A + bin", name, what)
              for kind, (name, what) in enumerate(BIN_COUNTERS.items())),
            *((f"{len(COUNTERS)} + {len(BIN_COUNTERS)} A + {index}", name, what)
              for index, (name, what) in enumerate(READ_OUT_COUNTERS.items())),
            *((f"{len(COUNTERS)} + {len(BIN_COUNTERS)} A + R + {index}", name, what)
              for index, (name, what) in enumerate(ACCUMULATE_COUNTERS.items())),
            *((f"{len(COUNTERS)} + {len(BIN_COUNTERS)} A + R + C + {index}", name, what)
              for index, (name, what) in enumerate(LAYER_COUNTERS.items()))]),
        "A is the number of amplitude bins of the chip. Counters of a read-out are there if the chip has one: R is "
        f"{len(READ_OUT_COUNTERS)} then, else 0. Those behind are there if the chip accumulates: C is "
        f"{len(ACCUMULATE_COUNTERS)} then, else 0. The last ones are those of a second layer, of which there is no "
        "RTL.\n\n",
        "## Status words\n", markdown_table(["column", "name", "meaning"], [
            (column, *pair) for column, pair in enumerate(STATUS_WORDS.items())]),
        "## Identity words\n", markdown_table(["column", "field", "meaning"], [
            (column, name, meta["summary"] + (f"; {', '.join(f'{i} {o}' for i, o in enumerate(meta['options']))}"
                                              if "options" in meta else ""))
            for column, (name, meta) in enumerate(structure.items())]),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def file_tables() -> str:
    """Markdown table of the arrays of a learned chip."""
    registers = [f"`{entry.name}`{'' if entry.present is always else ' (if the chip has it)'}"
                 for entry in ChipState.registers()]
    header = ("`header`", "text, JSON", "", "`format` (2), `chip` (the description as in its TOML file), `digest` "
              f"(SHA-256 of the description), registers {', '.join(registers)}")
    vote = ("`vote`", "float32 (regions, neurons, classes)", "", "log-probabilities of the vote; optional")
    return markdown_table(["array", "type, shape", "range", "what"], [header, *(
        (f"`{entry.name}`", f"{entry.dtype} {entry.shape_text}", entry.range_text, entry.summary)
        for entry in ChipState.memories()), vote])


DOCUMENTS = {"link.md": link_tables, "files.md": file_tables}
"""Documents of ``docs/`` with tables made here."""


def rewritten(text: str, document: str) -> str:
    """A document with its tables brought up to date, or put at its end."""
    return renewed(text, PROGRAM, DOCUMENTS[document]())


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or [f"docs/{name}" for name in DOCUMENTS]):
        path.write_text(rewritten(path.read_text("utf-8"), path.name), "utf-8")
