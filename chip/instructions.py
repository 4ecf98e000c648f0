"""What goes over the link, declared once: instructions, memories, registers, counters, frames.

Gateware decode, host code and docs/link.md are made from these tables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from .description import Chip

__all__ = [
    "ANSWER_BYTES", "BIN_COUNTERS", "CHECK_BYTES", "COUNTERS", "FLAG", "ESCAPE", "ESCAPE_XOR", "FrameKind",
    "IDENTITY_WORDS", "MEMORIES", "Memory", "NakReason", "Opcode", "PROTOCOL_VERSION", "READ_OUT_COUNTERS", "REGISTERS",
    "STATUS_WORDS", "Status", "counter_names", "identity_words", "memory", "neuron_bytes", "register_names",
    "tile_bytes",
]

PROTOCOL_VERSION = 2
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
    STEP = 0x03  # threshold mode outputs fires
    DECIDE = 0x04  # outputs fires
    DARK = 0x05
    END = 0x06
    ANSWER = 0x07  # outputs the answer of the read-out
    LABEL = 0x08  # class:1
    WRITE = 0x10  # memory:1 row:2 column:2 count:2, then count cells
    READ = 0x11  # memory:1 row:2 column:2 count:2; outputs count cells
    CHECK = 0x12  # memory:1 row:2 column:2 count:2; outputs the CRC-32 of what READ would have output


@dataclass(frozen=True)
class Memory:
    """An addressable array of cells, ``rows x columns``; a burst runs along columns, then to the next row."""

    name: str
    code: int
    rows: Callable[[Chip], int]
    columns: Callable[[Chip], int]
    cell_bytes: int
    writable: bool
    summary: str


REGISTERS = {
    "learn": "1: plasticity, post-traces and homeostasis are on",
    "theta_step": "homeostasis h, added to the first winner's threshold; 16 bits",
    "theta_base": "threshold mode: common threshold theta0; threshold_bits bits",
    "report": "1: fires are put into replies (1 after reset)",
    "margin": "read-out: lead of the label's score below which a label teaches; score_bits bits",
    "write_noise": "deviation of a pulse over that of the noise added to it, in 2^-fraction_bits levels; noise_bits "
                   "bits; there if the chip has write noise",
}
"""Registers in address order; 4 bytes each on the link, of which a chip keeps as many bits as told here."""

COUNTERS = {
    "samples": "END events",
    "steps": "STEP events",
    "in_spikes": "lines that fired by SPIKE or FRAME",
    "dark_spikes": "lines that fired by DARK",
    "row_reads": "read pulses: (spike, open tile that sees it)",
    "shut_rows": "word-line pulses without a read: (spike, closed tile that sees it)",
    "read_sum": "sum of the weights of all synaptic reads",
    "active_sq_sum": "sum over (tile, step) of the square of its read pulses",
    "decisions": "tiles that were evaluated for a fire",
    "out_spikes": "neurons that fired",
    "set_events": "post spikes that swept their column with SET pulses",
    "reset_rows": "(tile, row) visits that gave at least one RESET pulse",
    "pre_recharge": "sum over SPIKE and FRAME lines of (full scale - pre-trace before)",
    "post_recharge": "sum over learning post spikes of (full scale - post-trace before)",
    "clipped_high": "SET pulses cut off by a rail: without write noise the upper",
    "clipped_low": "RESET pulses cut off by a rail: without write noise the lower",
    "theta_clipped": "homeostasis steps cut off by the top of the threshold",
    "refused": "events refused (contract 3.8)",
}
"""Scalar counters, 64 bits each, in address order; the amplitude-bin counters follow (:func:`counter_names`)."""

READ_OUT_COUNTERS = {
    "answers": "ANSWER events",
    "labels": "LABEL events",
    "labels_right": "LABEL events whose label was the answer",
    "taught": "LABEL events that taught",
    "read_out_reads": "read pulses on rows of the read-out",
    "read_out_sum": "sum of the weights of all reads of the read-out",
}
"""Counters of chips with a read-out; they come last."""

BIN_COUNTERS = {
    "set_pulses": "SET pulses of this amplitude bin, those on the read-out too",
    "set_weight": "sum of the weights before those pulses",
    "reset_pulses": "RESET pulses of this amplitude bin, those on the read-out too",
    "reset_weight": "sum of the weights before those pulses",
}

STATUS_WORDS = {
    "busy_cycles": "clocks with a program in execution, modulo 2^32",
    "bad_frames": "frames with a wrong CRC, length or kind, modulo 2^16",
    "out_of_sequence": "frames refused for their sequence number, modulo 2^16",
    "repeats": "frames answered again without acting, modulo 2^16",
    "aborts": "programs broken off and links restarted by the watchdog since power-up, modulo 2^8",
}
"""Read-only words of the implementation (not of the contract), 32 bits each."""

_FLAWS = [name for name in Chip.structure_fields() if "flaw" in Chip.__dataclass_fields__[name].metadata]

IDENTITY_WORDS = [name for name in Chip.structure_fields() if name not in _FLAWS] + _FLAWS
"""Structure fields a chip tells about itself, 16 bits each; a choice is the index of its option. Those of flaws come
last, and are there in chips with any (:func:`identity_words`)."""


def identity_words(chip: Chip) -> list[str]:
    """The structure fields that a chip tells about itself, in address order."""
    return IDENTITY_WORDS if any(name in chip.structure for name in _FLAWS) else IDENTITY_WORDS[:-len(_FLAWS)]


def register_names(chip: Chip) -> list[str]:
    """The registers of a chip in address order."""
    return [name for name in REGISTERS if name != "write_noise" or chip.noise_bits]


def counter_names(chip: Chip) -> list[str]:
    """All counters of a chip in address order."""
    bins = [f"{name}[{bin_}]" for name in BIN_COUNTERS for bin_ in range(chip.amplitudes)]
    return list(COUNTERS) + bins + (list(READ_OUT_COUNTERS) if chip.classes else [])


MEMORIES = [
    # a memory of no rows is one that the chip does not have
    Memory("levels", 0, lambda chip: chip.tiles * chip.rows, lambda chip: chip.neurons, 1, True,
           "conductance level of every cell; row = tile * rows + row"),
    Memory("theta", 1, lambda chip: chip.tiles, lambda chip: chip.neurons, 4, True, "adaptive thresholds"),
    Memory("random", 2, lambda chip: chip.tiles + (chip.classes > 0), lambda chip: 1, 4, True,
           "xorshift state of every tile, then of the read-out"),
    Memory("weight", 3, lambda chip: 1, lambda chip: chip.levels, 2, True, "weight table (not writable if fixed)"),
    Memory("set", 4, lambda chip: chip.amplitudes, lambda chip: chip.levels, 2, True, "SET table"),
    Memory("reset", 5, lambda chip: chip.amplitudes, lambda chip: chip.levels, 2, True, "RESET table"),
    Memory("registers", 6, lambda chip: 1, lambda chip: len(register_names(chip)), 4, True, "control registers"),
    Memory("counters", 7, lambda chip: 1, lambda chip: len(counter_names(chip)), 8, True,
           "event counters; a write clears all of them, whatever is written"),
    Memory("status", 8, lambda chip: 1, lambda chip: len(STATUS_WORDS), 4, False, "state of the implementation"),
    Memory("identity", 9, lambda chip: 1, lambda chip: len(identity_words(chip)), 2, False,
           "the chip's structure fields"),
    Memory("read_out", 10, lambda chip: chip.read_out_rows if chip.classes else 0, lambda chip: chip.classes, 1, True,
           "conductance level of every cell of the read-out; row = tile * neurons + neuron"),
    Memory("read_out_set", 11, lambda chip: chip.amplitudes if chip.classes else 0, lambda chip: chip.levels, 2, True,
           "SET table of the read-out"),
    Memory("read_out_reset", 12, lambda chip: chip.amplitudes if chip.classes else 0, lambda chip: chip.levels, 2,
           True, "RESET table of the read-out"),
    Memory("stuck", 13, lambda chip: chip.tiles * chip.rows if chip.has_stuck_cells else 0, lambda chip: chip.neurons,
           1, True, "1: the cell is stuck; as levels, in a chip with stuck cells"),
    Memory("read_out_stuck", 14, lambda chip: chip.read_out_rows if chip.has_stuck_cells and chip.classes else 0,
           lambda chip: chip.classes, 1, True, "1: the cell of the read-out is stuck; as read_out, alike"),
]


def memory(name: str) -> Memory:
    """The declaration of a memory by its name."""
    return next(entry for entry in MEMORIES if entry.name == name)


CHECK_BYTES = 4
"""Bytes that CHECK puts out: a CRC-32 as of ``zlib.crc32``."""

ANSWER_BYTES = 7
"""Bytes of an answer: label:1 score:3 margin:3."""


def tile_bytes(chip: Chip) -> int:
    """Bytes of a tile number in a fire record; all ones end the records."""
    return 1 if chip.tiles <= 255 else 2


def neuron_bytes(chip: Chip) -> int:
    """Bytes of a neuron number in a fire record."""
    return 1 if chip.neurons <= 256 else 2
