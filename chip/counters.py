"""Event counters, declared once: their names in address order, and what each counts."""

import itertools
from collections.abc import Mapping

from .description import Chip

__all__ = ["ACCUMULATE_COUNTERS", "BIN_COUNTERS", "COUNTERS", "LAYER_COUNTERS", "READ_OUT_COUNTERS", "counter_name",
           "counter_names", "counter_summary", "current_counters"]

COUNTERS = {
    "samples": "END events",
    "steps": "STEP events",
    "in_spikes": "lines that fired by SPIKE or FRAME",
    "dark_spikes": "lines that fired by DARK",
    "row_reads": "read pulses: (spike, open tile that sees it)",
    "closed_tile_pulses": "word-line pulses without a read: (spike, closed tile that sees it)",
    "read_sum": "sum of the weights of all synaptic reads",
    "active_sq_sum": "sum over (tile, step) of the square of its read pulses",
    "decisions": "tiles that were evaluated for a winner",
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

FORMER_COUNTERS = {"shut_rows": "closed_tile_pulses"}
"""What counters were called in earlier versions, whose metrics are still read (:func:`current_counters`)."""

READ_OUT_COUNTERS = {
    "answers": "ANSWER events",
    "labels": "LABEL events",
    "labels_right": "LABEL events whose label was the answer",
    "taught": "LABEL events that taught",
    "read_out_reads": "read pulses on rows of the read-out",
    "read_out_sum": "sum of the weights of all reads of the read-out",
}
"""Counters of chips with a read-out; they come behind those of the amplitude bins."""

BIN_COUNTERS = {
    "set_pulses": "SET pulses of this amplitude bin, those on the read-out too",
    "set_weight": "sum of the weights before those pulses",
    "reset_pulses": "RESET pulses of this amplitude bin, those on the read-out too",
    "reset_weight": "sum of the weights before those pulses",
}


ACCUMULATE_COUNTERS = {
    "accumulations": "changes of the counters beside cells of the tiles",
    "read_out_accumulations": "changes of the counters beside cells of the read-out",
    "read_out_pulses": "SET and RESET pulses on the read-out",
}
"""Counters of chips that accumulate before they pulse; behind those of the read-out."""

LAYER_COUNTERS = {
    "layer_row_reads": "read pulses on rows of the second layer",
    "layer_read_sum": "sum of the weights of all synaptic reads of the second layer",
    "layer_active_sq_sum": "sum over windows of the second layer of the square of their read pulses",
    "layer_decisions": "windows of the second layer that were evaluated for a winner",
    "layer_out_spikes": "neurons of the second layer that fired",
    "layer_set_events": "windows of the second layer that learned",
    "layer_set_rows": "SET pulses given in the second layer",
    "layer_reset_rows": "RESET pulses given in the second layer",
}
"""Counters of chips with a second layer (contract 12.6); behind all others."""


def counter_names(chip: Chip) -> list[str]:
    """All counters of a chip in address order."""
    return _names(chip.amplitudes, chip.classes > 0, chip.accumulates, len(chip.layers) > 0)


def current_counters(counters: Mapping[str, int]) -> dict[str, int]:
    """Counters by their names of today, whatever earlier version wrote them."""
    return {FORMER_COUNTERS.get(name, name): count for name, count in counters.items()}


def counter_name(index: int, counters: int, amplitudes: int, read_out: bool) -> str:
    """The counter at an address, of a chip with so many counters and amplitude bins, with a read-out or without."""
    kinds = (_names(amplitudes, read_out, *more) for more in itertools.product((False, True), repeat=2))
    return next(names[index] for names in kinds if len(names) == counters)


def counter_summary(name: str) -> str:
    """What a counter of :func:`counter_names` counts."""
    return (COUNTERS | BIN_COUNTERS | READ_OUT_COUNTERS | ACCUMULATE_COUNTERS | LAYER_COUNTERS)[name.partition("[")[0]]


def _names(amplitudes, read_out, accumulates, layered):
    bins = [f"{name}[{bin_}]" for name in BIN_COUNTERS for bin_ in range(amplitudes)]
    return [*COUNTERS, *bins, *(READ_OUT_COUNTERS if read_out else ()),
            *(ACCUMULATE_COUNTERS if accumulates else ()), *(LAYER_COUNTERS if layered else ())]
