"""What kernels take: a chip, its cells, a sample under way; and the counters that they give back."""

from typing import NamedTuple

import numpy as np

from ohmspike.chip.description import Chip
from ohmspike.chip.events import EventCode
from ohmspike.chip.instructions import COUNTERS

__all__ = ["TALLY", "CellEffects", "Cells", "Crossbar", "Geometry", "Reading", "RealCells", "Transient", "geometry_of",
           "transient_of"]

TALLY = tuple(COUNTERS)
"""Scalar counters in the order the kernels keep them; the amplitude-bin counters follow, then those of the read-out."""

(SAMPLES, STEPS, IN_SPIKES, DARK_SPIKES, ROW_READS, CLOSED_TILE_PULSES, READ_SUM, ACTIVE_SQ_SUM, DECISIONS, OUT_SPIKES,
 SET_EVENTS, RESET_ROWS, PRE_RECHARGE, POST_RECHARGE, CLIPPED_HIGH, CLIPPED_LOW, THETA_CLIPPED,
 REFUSED) = range(len(TALLY))
BINS = len(TALLY)
ANSWERS, LABELS, LABELS_RIGHT, TAUGHT, READ_OUT_READS, READ_OUT_SUM = range(6)  # behind the bins

STEP, DECIDE, DARK, END, ANSWER, LABEL = (int(EventCode[name]) for name in (
    "STEP", "DECIDE", "DARK", "END", "ANSWER", "LABEL"))


class Geometry(NamedTuple):
    """What a chip is: numbers of its description and the tables derived from it."""

    lines: int
    tiles: int
    rows: int
    neurons: int
    winners: int
    learners: int
    min_spikes: int
    race: bool
    post: bool  # the post spike lowers cells too (5.3)
    top_level: int
    membrane_top: int
    threshold_top: int
    theta_leak: int
    full_scale: int
    amplitudes: int
    fraction_bits: int
    index_bits: int
    classes: int
    score_top: int
    listed_bins: np.ndarray  # (listed,): amplitude bin of the trace that the fire listed there leaves (10.3)
    row_lines: np.ndarray  # (tiles, rows)
    sight_offsets: np.ndarray  # (lines + 1,): the (tile, row) that see line i are [offsets[i], offsets[i + 1])
    sight_tiles: np.ndarray
    sight_rows: np.ndarray
    traces: np.ndarray  # age in steps to trace, 256 entries
    pulse_bins: np.ndarray  # age in steps to amplitude bin, -1 where the trace is 0


class CellEffects(NamedTuple):
    """What a pulse meets beyond the rule 5.2."""

    present: bool  # in this chip; else the rest is not looked at
    write_noise: int  # the register (5.5)
    stuck: np.ndarray  # as levels: 1 where a cell is stuck (5.6)
    half: int  # half of the range of a count, 0 if the crossbar does not accumulate (5.7)
    threshold: int  # the register
    counts: np.ndarray  # as levels
    ranks: int  # winners in the read-out; 0 in the tiles, where a pulse of bin a counts a + 1
    amounts: np.ndarray  # in the read-out: what the pulse on the row that is listed there counts
    tally: int  # counter of changes of counts, in the read-out followed by that of pulses; -1 if there is none


class RealCells(NamedTuple):
    """Cells of a crossbar that are not alike, each array as its levels. Gains are in 1/256."""

    step_gain: np.ndarray  # uint16
    weight_gain: np.ndarray  # uint16
    wear: np.ndarray  # uint32: pulses so far
    limit: np.ndarray  # uint32: pulses after which the cell stays where it is
    level_weights: np.ndarray  # int64 of shape (levels,): weights in 1/256
    missed: np.ndarray  # int32: what the last write of a cell missed by, weights in 1/256
    writing: np.ndarray  # uint32 of shape (planes,): random states of what writes miss by
    write_error: float  # deviation of a write, weights in 1/256, over that of the noise; 0 draws nothing
    noise_law: int  # index in NOISE_LAWS; of 0 the register write_noise tells the noise
    step_noise: np.ndarray  # float64 of shape (2,): strength of the noise of SET and RESET over the law's power of step


class Crossbar(NamedTuple):
    """Cells with a random state for every plane: the tiles, or the read-out as one plane."""

    levels: np.ndarray  # (planes, rows, columns)
    weights: np.ndarray  # mirrors levels; the same array if the weight table is the identity; in 1/256 of real cells
    random: np.ndarray  # (planes,)
    set_table: np.ndarray
    reset_table: np.ndarray
    effects: CellEffects
    real: RealCells | None  # None in the exact model


class Cells(NamedTuple):
    """What a chip learns."""

    tiles: Crossbar
    read_out: Crossbar
    weight_table: np.ndarray
    theta: np.ndarray
    theta_step: int
    theta_base: int
    learn: bool
    margin: int


class Reading(NamedTuple):
    """How the columns of a non-ideal chip are read."""

    offsets: np.ndarray  # int32 of shape (tiles, neurons): on the thresholds
    noise: np.ndarray  # uint32 of shape (tiles + 1,): random states of reading
    supply: float  # largest share by which the voltage of a reading droops, over the span of the noise
    read_noise: float  # deviation of one reading of one cell, in weights, over that of the noise
    line_loss: float  # resistance of the bit line from cell to cell times the conductance of one weight
    line_floor: float  # conductance of a cell of weight 0, in weights
    full_membrane: float  # membrane that an unclamped bit line never passes, in weights; 0 is a clamped one


class Transient(NamedTuple):
    """What lives within a sample (contract 2.2). A unit of neuron -1 was never taken."""

    membranes: np.ndarray  # (tiles, neurons)
    reads: np.ndarray  # (tiles,), as the next four
    step_reads: np.ndarray
    fresh: np.ndarray
    closed: np.ndarray
    next_unit: np.ndarray
    unit_neuron: np.ndarray  # (tiles, learners)
    unit_stamp: np.ndarray
    line_stamp: np.ndarray  # (lines,)
    scalars: np.ndarray  # step number, dark, number of fires
    scores: np.ndarray  # (classes,)
    fired: np.ndarray  # (listed,): rows of the read-out in the order in which they fired, ranks in turn
    rows: np.ndarray  # (rows,): scratch, rows to be pulsed
    bins: np.ndarray  # (rows,): scratch, their amplitude bins


def geometry_of(chip: Chip) -> Geometry:
    """The chip as kernels take it."""
    row_lines = np.ascontiguousarray(chip.row_lines)
    order = np.argsort(row_lines, axis=None, kind="stable").astype(np.int32)
    traces = np.zeros(256, np.int64)
    traces[:len(chip.trace_table)] = chip.trace_table
    pulse_bins = np.where(traces > 0, traces * chip.amplitudes >> chip.trace_bits, -1)
    rank_bins = np.array(chip.trace_of_rank, np.int64) * chip.amplitudes >> chip.trace_bits
    return Geometry(
        lines=chip.lines, tiles=chip.tiles, rows=chip.rows, neurons=chip.neurons, winners=chip.winners,
        learners=chip.learners, min_spikes=chip.min_spikes, race=chip.fire_mode == "race",
        post=chip.depression == "post", top_level=chip.levels - 1,
        membrane_top=(1 << chip.membrane_bits) - 1, threshold_top=(1 << chip.threshold_bits) - 1,
        theta_leak=chip.theta_leak, full_scale=(1 << chip.trace_bits) - 1, amplitudes=chip.amplitudes,
        fraction_bits=chip.fraction_bits, index_bits=(chip.neurons - 1).bit_length(), classes=chip.classes,
        score_top=(1 << chip.score_bits) - 1, listed_bins=np.resize(rank_bins, chip.listed), row_lines=row_lines,
        sight_offsets=np.r_[0, np.cumsum(np.bincount(row_lines.ravel(), minlength=chip.lines))].astype(np.int64),
        sight_tiles=order // chip.rows, sight_rows=order % chip.rows, traces=traces, pulse_bins=pulse_bins)


def transient_of(chip: Chip) -> Transient:
    """A chip between two samples."""
    tiles, units = chip.tiles, (chip.tiles, chip.learners)
    return Transient(
        membranes=np.zeros((tiles, chip.neurons), np.uint32), reads=np.zeros(tiles, np.int32),
        step_reads=np.zeros(tiles, np.int32), fresh=np.ones(tiles, np.bool_), closed=np.zeros(tiles, np.bool_),
        next_unit=np.zeros(tiles, np.int32), unit_neuron=np.full(units, -1, np.int32),
        unit_stamp=np.zeros(units, np.int32), line_stamp=np.full(chip.lines, -1, np.int32),
        scalars=np.zeros(3, np.int64), scores=np.zeros(chip.classes, np.int64),
        fired=np.zeros(chip.listed, np.int32), rows=np.zeros(chip.rows, np.int32),
        bins=np.zeros(chip.rows, np.int64))
