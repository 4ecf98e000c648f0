"""What goes into and out of the core of a chip: events, output spikes, answers, accesses, and what it counts."""

from amaranth.lib import data, enum

from ohmspike.chip.counters import ACCUMULATE_COUNTERS, BIN_COUNTERS, COUNTERS, READ_OUT_COUNTERS
from ohmspike.chip.limits import READS_MAX

from .layout import Layout

__all__ = ["COUNTER_BITS", "EventKind", "READS_MAX", "access_shape", "answer_shape", "counter_peaks", "event_shape",
           "output_spike_shape"]

COUNTER_BITS = 64


class EventKind(enum.Enum, shape=3):
    """Events the core carries out."""

    SPIKE = 0
    STEP = 1
    DECIDE = 2
    DARK = 3
    END = 4
    REFUSE = 5
    ANSWER = 6
    LABEL = 7


def event_shape():
    """An event: its kind, and the line of a SPIKE or the column of a LABEL."""
    return data.StructLayout({"kind": EventKind, "line": 16})


def output_spike_shape(layout: Layout):
    """An output spike; ``first`` opens the record of a tile or window, ``end`` closes the records of an event."""
    return data.StructLayout({"tile": layout.window, "neuron": layout.neuron, "first": 1, "end": 1})


def answer_shape():
    """What the read-out answers (contract 10.4)."""
    return data.StructLayout({"label": 8, "score": 24, "margin": 24})


def access_shape(layout: Layout):
    """A cell of a memory; ``neuron`` is the column split into word and lane.

    ``high`` asks for the upper half of a counter where an access is 32 bits wide.
    """
    return data.StructLayout({
        "memory": 8, "row": 16, "column": 16, "neuron": layout.column, "write": 1, "high": 1,
        "data": layout.access_bits})


def counter_peaks(layout: Layout) -> dict[str, int]:
    """Every counter of the contract, in address order, with its largest increment in one clock."""
    chip = layout.chip
    weight = (1 << chip.weight_bits) - 1
    peaks = dict.fromkeys(COUNTERS, 1)
    peaks |= {
        "dark_spikes": chip.lines,
        "read_sum": weight * layout.lanes,
        "active_sq_sum": 2 * READS_MAX + 1,
        "pre_recharge": (1 << chip.trace_bits) - 1,
        "post_recharge": (1 << chip.trace_bits) - 1,
    }
    for name in BIN_COUNTERS:
        for bin_ in range(chip.amplitudes):
            peaks[f"{name}_{bin_}"] = weight if name.endswith("weight") else 1
    if chip.classes:
        peaks |= dict.fromkeys(READ_OUT_COUNTERS, 1)
        peaks |= {"read_out_reads": chip.winners, "read_out_sum": weight * chip.classes * chip.winners}
    if chip.accumulates:
        peaks |= dict.fromkeys(ACCUMULATE_COUNTERS, 1)
    return peaks
