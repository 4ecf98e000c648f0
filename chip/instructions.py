"""What goes over the link, declared once: instructions, memories, registers, counters, frames.

Gateware decode, host code and docs/link.md are made from these tables. What lasts across samples is declared in
:mod:`ohmspike.chip.state`, counters in :mod:`ohmspike.chip.counters`.
"""

from enum import IntEnum

from .counters import BIN_COUNTERS, COUNTERS, READ_OUT_COUNTERS, counter_names, current_counters
from .description import Chip
from .memories import BITS_16, BITS_32, Memory, Register, Size, always, never
from .state import ChipState

__all__ = [
    "ANSWER_BYTES", "BIN_COUNTERS", "CHECK_BYTES", "COUNTERS", "FLAG", "ESCAPE", "ESCAPE_XOR", "FrameKind",
    "IDENTITY_WORDS", "MEMORIES", "Memory", "NakReason", "Opcode", "PROTOCOL_VERSION", "READ_OUT_COUNTERS", "REGISTERS",
    "REPLAY_BYTES", "Register", "STATUS_WORDS", "STORE_COLUMNS", "STORE_ROWS_MAX", "STORE_VERSION", "Status",
    "counter_names", "current_counters", "identity_words", "memory", "neuron_bytes", "protocol_of", "register",
    "register_names", "RUNS_VERSION", "RUN_LINES_MAX", "RUN_SKIP_BITS", "RUN_SKIP_MAX", "spikes_bytes", "tile_bytes",
]

PROTOCOL_VERSION = 2
RUNS_VERSION = 3
"""The protocol of a chip that takes RUNS as well: all else is as in :data:`PROTOCOL_VERSION`."""
STORE_VERSION = 4
"""The protocol of a chip with a store, which takes RUNS too: IDENTITY says how many rows it has."""

STORE_COLUMNS = 256
STORE_ROWS_MAX = (1 << 16) - 1
"""The memory ``store``: bytes, row by row; as many rows as IDENTITY can say."""


def protocol_of(*, runs: bool = False, store: int = 0) -> int:
    """The protocol of a chip with RUNS or without, and with so many rows of store."""
    return STORE_VERSION if store else RUNS_VERSION if runs else PROTOCOL_VERSION


RUN_SKIP_BITS = 5
RUN_SKIP_MAX = (1 << RUN_SKIP_BITS) - 1
RUN_LINES_MAX = (1 << 8 - RUN_SKIP_BITS) - 1
"""A byte of RUNS: lines passed over in its low 5 bits, lines that spike in its high 3."""

FLAG, ESCAPE, ESCAPE_XOR = 0x7E, 0x7D, 0x20


class FrameKind(IntEnum):
    """Third byte of a frame; the high bit marks what the chip says."""

    HELLO = 0x01
    RUN = 0x02
    IDENTITY = 0x81
    REPLY = 0x82
    NAK = 0x83


class NakReason(IntEnum):
    """Why a frame was not acted upon."""

    CHECK = 1  # the CRC does not fit
    SEQUENCE = 2  # neither the next frame nor one of the last `window`
    LENGTH = 3  # shorter than a header, or longer than the buffer
    KIND = 4  # no such frame kind


class Status(IntEnum):
    """Last byte of every reply. After anything but OK the rest of the program was not executed."""

    OK = 0
    BAD_INSTRUCTION = 1  # unknown opcode, or the program ended inside an instruction
    BAD_ADDRESS = 2  # no such memory, outside it, or not writable
    OVERFLOW = 3  # the output did not fit the reply buffer; the program was executed to its end
    ABORTED = 4  # the program made no progress: the watchdog broke it off; sample and registers are as after a reset


class Opcode(IntEnum):
    """First byte of an instruction. Operands follow, little-endian."""

    NOP = 0x00
    SPIKE = 0x01  # line:2
    FRAME = 0x02  # ceil(lines / 8) bytes, line i = bit i % 8 of byte i // 8
    STEP = 0x03  # threshold mode outputs spikes
    DECIDE = 0x04  # outputs spikes
    DARK = 0x05
    END = 0x06
    ANSWER = 0x07  # outputs the answer of the read-out
    LABEL = 0x08  # class:1
    RUNS = 0x09  # bytes of runs, 0 behind them; of a chip whose protocol is RUNS_VERSION
    WRITE = 0x10  # memory:1 row:2 column:2 count:2, then count cells
    READ = 0x11  # memory:1 row:2 column:2 count:2; outputs count cells
    CHECK = 0x12  # memory:1 row:2 column:2 count:2; outputs the CRC-32 of what READ would have output
    REPLAY = 0x13  # first:3 length:3 times:1; instructions out of the store, of a chip whose protocol is STORE_VERSION


STATUS_WORDS = {
    "busy_cycles": "clocks with a program in execution, modulo 2^32",
    "bad_frames": "frames with a wrong CRC, length or kind, modulo 2^16",
    "out_of_sequence": "frames refused for their sequence number, modulo 2^16",
    "repeats": "frames answered again without acting, modulo 2^16",
    "aborts": "programs broken off and links restarted by the watchdog since power-up, modulo 2^8",
}
"""Read-only words of the implementation (not of the contract), 32 bits each."""

_OPTIONAL = ["noise_bits", "stuck_cells", "accumulate_bits", "read_out_accumulate_bits", "channels", "shared", "pool",
             "depression"]
"""Optional structure fields, in the order in which they came to be."""

IDENTITY_WORDS = [name for name in Chip.structure_fields() if name not in _OPTIONAL] + _OPTIONAL
"""Structure fields by which a chip identifies itself, 16 bits each; a choice is the index of its option. Optional
ones come last, as far as a chip has any (:func:`identity_words`)."""


def identity_words(chip: Chip) -> list[str]:
    """The structure fields by which a chip identifies itself, in address order.

    The optional ones reach to the last that the chip has, so that a chip keeps its words when newer ones come; the
    first two came together.
    """
    held = [at for at, name in enumerate(_OPTIONAL) if name in chip.structure]
    return IDENTITY_WORDS[:len(IDENTITY_WORDS) - len(_OPTIONAL) + (max(2, held[-1] + 1) if held else 0)]


REGISTERS = sorted([*ChipState.registers(), Register(
    name="report", column=3, top=1, reset=1, summary="1: output spikes are put into replies")],
                   key=lambda entry: entry.column)
"""All registers in address order: those of the state, and what only the link knows."""


def register_names(chip: Chip) -> list[str]:
    """The registers of a chip in address order."""
    return [entry.name for entry in REGISTERS if entry.present(chip)]


def register(name: str) -> Register:
    """The declaration of a register by its name."""
    return next(entry for entry in REGISTERS if entry.name == name)


MEMORIES = sorted([
    *ChipState.memories(),
    Memory(name="registers", code=6, cell_bytes=4, dimensions=(Size("registers", lambda c: len(register_names(c))),),
           top=BITS_32, summary="control registers"),
    Memory(name="status", code=8, cell_bytes=4, dimensions=(len(STATUS_WORDS),), top=BITS_32, read_only=always,
           summary="state of the implementation"),
    Memory(name="identity", code=9, cell_bytes=2, dimensions=(Size("fields", lambda c: len(identity_words(c))),),
           top=BITS_16, read_only=always, summary="the chip's structure fields"),
    Memory(name="store", code=21, cell_bytes=1, dimensions=(Size("rows", lambda c: 0), STORE_COLUMNS), top=255,
           present=never, summary="instructions for REPLAY; of a chip with a store; IDENTITY tells its rows"),
], key=lambda entry: entry.code)
"""All memories by their number on the link: those of the state, and what only the link knows."""


def memory(name: str) -> Memory:
    """The declaration of a memory by its name."""
    return next(entry for entry in MEMORIES if entry.name == name)


CHECK_BYTES = 4
"""Bytes that CHECK puts out: a CRC-32 as of ``zlib.crc32``."""

REPLAY_BYTES = 8
"""Bytes of a REPLAY."""

ANSWER_BYTES = 7
"""Bytes of an answer: label:1 score:3 margin:3."""


def tile_bytes(chip: Chip) -> int:
    """Bytes of the number of a tile, or of a window, in a record of output spikes; all ones end the records."""
    return 1 if chip.windows <= 255 else 2


def neuron_bytes(chip: Chip) -> int:
    """Bytes of a neuron number in a record of output spikes."""
    return 1 if chip.neurons <= 256 else 2


def spikes_bytes(chip: Chip) -> int:
    """Bytes that the output spikes of one event take at most, with the record that ends them."""
    return chip.windows * (tile_bytes(chip) + chip.winners * neuron_bytes(chip)) + tile_bytes(chip)
