"""A shared crossbar that walks the windows of its plane (contract 11).

The weights that a window reads are added up by *blocks*: neighbouring lines of one row of a patch. For every pattern
that the lines of a block may show, :attr:`Walk.sums` holds the sums of all neurons, so that a window is a few rows of
this table, and learning renews a column of it. A non-ideal chip has no such table: what its columns show of the rows
that are read together is no sum of parts.

``reading`` is None in the exact model, everywhere here.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ohmspike.chip.description import Chip
from ohmspike.chip.limits import STEP_MAX

from .compiling import inlined, kernel
from .pulses import advance, leak, lower_column, pulse_cells, raise_column, raise_theta
from .read_out import answer, read_scores, rival_of
from .reading import read_rows
from .types import (
    ACTIVE_SQ_SUM,
    ANSWER,
    BINS,
    CLIPPED_HIGH,
    CLIPPED_LOW,
    DECIDE,
    DECISIONS,
    END,
    IN_SPIKES,
    LABEL,
    OUT_SPIKES,
    POST_RECHARGE,
    PRE_RECHARGE,
    READ_OUT_READS,
    READ_OUT_SUM,
    READ_SUM,
    REFUSED,
    RESET_ROWS,
    ROW_READS,
    SAMPLES,
    SET_EVENTS,
    STEP,
    STEPS,
    THETA_CLIPPED,
    Cells,
    Geometry,
    Reading,
)

__all__ = ["Noted", "Walk", "is_narrow", "noted_of", "run_walk", "teach_walk", "walk_of"]

_BLOCK_LINES = 7
"""Lines of a block at most: 128 patterns."""

_PADDING = 16
"""Neurons of which no vector is cut off: the last ones of the arrays never win."""


class Walk(NamedTuple):
    """The windows of a shared crossbar, and what the sums of its rows are; of one run."""

    learn_share: int  # the register (11.4)
    set_rows: int  # of a second layer: its counter of SET pulses (12.6); -1 of any other
    feeds: bool  # what it pools is the plane of a second layer (12)
    height: int  # of the plane, as width
    width: int
    patch_height: int
    patch_width: int
    patch_rows: int  # channels * patch_height
    block: int  # lines of a block
    blocks: int  # of a row of the patch
    wide: int  # 2^index_bits: a key is V - θ times this, and the complement of the neuron
    bounded: bool  # a membrane may be held at its top
    corners: np.ndarray  # (windows,): index of the first line of every window in patterns, row 0 of its patch
    rows: np.ndarray  # (patch_rows,): what is added to it for the other rows
    regions: np.ndarray  # (windows,): first row of the region in the read-out
    place_bins: np.ndarray  # (winners + 1,): amplitude bin of the trace of a best place (11.7)
    sums: np.ndarray  # (patch_rows * blocks, patterns, neurons, padded)
    totals: np.ndarray  # (patch_rows * blocks, patterns): over all neurons
    offsets: np.ndarray  # (neurons,): on the thresholds, of a non-ideal chip
    bias: np.ndarray  # (neurons, padded): the part of a key that is no sum
    keys: np.ndarray  # (neurons, padded): scratch, as the next ones
    membranes: np.ndarray
    fired: np.ndarray  # (winners,)
    reads: np.ndarray  # (windows,): noted lines
    columns: np.ndarray  # ((height + 1) * (width + 1),): noted lines above and to the left, 0 along the upper and left
    patterns: np.ndarray  # (channels * height * width,): what the block that begins at a line shows
    picked: np.ndarray  # (patch_rows * blocks,): rows of sums
    seen: np.ndarray  # (rows + 1,), as silent and full
    silent: np.ndarray
    full: np.ndarray  # the largest amplitude bin
    bins: np.ndarray  # (read_out_rows,)


class Noted(NamedTuple):
    """What lives within a sample (contract 11.2)."""

    lines: np.ndarray  # (lines,) uint8
    scalars: np.ndarray  # step number, dark, rows in the list
    best: np.ndarray  # (read_out_rows,) uint8
    listed: np.ndarray  # (read_out_rows,): rows in the order of their first fires
    scores: np.ndarray  # (classes,)


def noted_of(chip: Chip) -> Noted:
    """A chip between two samples."""
    rows = chip.regions * chip.neurons if chip.classes or chip.layers else 0
    return Noted(np.zeros(chip.lines, np.uint8), np.zeros(3, np.int64), np.zeros(rows, np.uint8),
                 np.zeros(rows, np.int32), np.zeros(chip.classes, np.int64))


def is_narrow(chip: Chip, geometry: Geometry, cells: Cells) -> bool:
    """Whether sums of a chip's rows fit 16 bits and keys of its races 32."""
    key_bits = 1 + max(chip.membrane_bits, chip.threshold_bits) + geometry.index_bits
    return chip.rows * int(cells.weight_table.max()) < 1 << 16 and key_bits <= 32


def walk_of(chip: Chip, geometry: Geometry, cells: Cells, learn_share: int, reading: Reading | None, *, narrow: bool,
            set_rows: int) -> Walk:
    """The windows of a chip, and the sums of its cells as they are now; ``narrow`` ones only if :func:`is_narrow`."""
    blocks = -(-chip.patch_width // _BLOCK_LINES)
    block = -(-chip.patch_width // blocks)
    patterns, patch_rows = 1 << block, chip.channels * chip.patch_height
    sum_top = chip.rows * int(cells.weight_table.max())
    sum_type: npt.DTypeLike = np.int64 if reading is not None else np.uint16 if narrow else np.uint32
    key_type = np.int32 if narrow else np.int64
    padded = -(-chip.neurons // _PADDING) * _PADDING
    channel, y = np.divmod(np.arange(patch_rows), chip.patch_height)
    walk = Walk(
        learn_share=learn_share, set_rows=set_rows, feeds=len(chip.layers) > 0,
        height=chip.plane_height, width=chip.plane_width, patch_rows=patch_rows,
        patch_height=chip.patch_height, patch_width=chip.patch_width, block=block, blocks=blocks,
        wide=1 << geometry.index_bits, bounded=reading is not None or sum_top > geometry.membrane_top,
        corners=chip.row_lines[:, 0].astype(np.int64),
        rows=(channel * chip.plane_height + y) * chip.plane_width,
        regions=chip.region_of_window.astype(np.int64) * chip.neurons,
        place_bins=np.array([0, *(trace * chip.amplitudes >> chip.trace_bits for trace in chip.trace_of_rank[::-1])],
                            np.int64),
        sums=np.zeros((patch_rows * blocks, patterns, padded) if reading is None else (0, patterns, padded), sum_type),
        totals=np.empty((patch_rows * blocks, patterns), np.int64),
        offsets=np.zeros(chip.neurons, np.int64) if reading is None else reading.offsets[0].astype(np.int64),
        bias=np.full(padded, np.iinfo(key_type).min, key_type), keys=np.empty(padded, key_type),
        membranes=np.zeros(padded, sum_type),
        fired=np.empty(chip.winners, np.int64), reads=np.empty(chip.windows, np.int64),
        columns=np.zeros((chip.plane_height + 1) * (chip.plane_width + 1), np.int64),
        patterns=np.zeros(chip.lines, np.int32),
        picked=np.empty(patch_rows * blocks, np.int32), seen=np.empty(chip.rows + 1, np.int32),
        silent=np.empty(chip.rows + 1, np.int32), full=np.full(chip.rows + 1, chip.amplitudes - 1),
        bins=np.zeros(chip.read_out_rows if chip.classes else 0, np.int64))
    _add_up(walk, cells.tiles.weights[0], cells.theta[0])
    return walk


@kernel
def _add_up(walk, weights, theta):
    """Sums of all patterns, and the bias of all neurons."""
    neurons = weights.shape[1]
    for at in range(walk.sums.shape[0]):
        first = at // walk.blocks * walk.patch_width + at % walk.blocks * walk.block
        width = min(walk.block, (at // walk.blocks + 1) * walk.patch_width - first)
        walk.totals[at, 0] = 0
        for line in range(width):
            row, bit = first + line, 1 << line
            total = 0
            for j in range(neurons):
                total += np.int64(weights[row, j])
            for pattern in range(bit):
                for j in range(neurons):
                    walk.sums[at, bit + pattern, j] = walk.sums[at, pattern, j] + weights[row, j]
                walk.totals[at, bit + pattern] = walk.totals[at, pattern] + total
    for j in range(neurons):
        _rebias(walk, theta, j)


@kernel
def _rebias(walk, theta, j):
    """The part of a neuron's key that its threshold and its number decide."""
    walk.bias[j] = -(np.int64(theta[j]) + walk.offsets[j]) * walk.wide + (walk.wide - 1 - j)


@kernel
def _renew(walk, weights, j):
    """Sums of all patterns of one neuron, whose weights have changed."""
    for at in range(walk.sums.shape[0]):
        first = at // walk.blocks * walk.patch_width + at % walk.blocks * walk.block
        width = min(walk.block, (at // walk.blocks + 1) * walk.patch_width - first)
        changed = False
        for line in range(width):
            changed |= walk.sums[at, 1 << line, j] != weights[first + line, j]
        if not changed:
            continue
        for line in range(width):
            bit, weight = 1 << line, np.int64(weights[first + line, j])
            for pattern in range(bit):
                renewed = np.int64(walk.sums[at, pattern, j]) + weight
                walk.totals[at, bit + pattern] += renewed - np.int64(walk.sums[at, bit + pattern, j])
                walk.sums[at, bit + pattern, j] = renewed


@kernel
def _show(patterns, lines, width, block):
    """What every block shows, wherever it begins; there is nothing beyond the edge of the plane."""
    mask = (1 << block) - 1
    for start in range(0, lines.shape[0], width):
        pattern = 0
        for x in range(width - 1, -1, -1):
            at = np.uint64(start + x)
            pattern = (pattern << 1 & mask) | np.int64(lines[at])
            patterns[at] = pattern


@kernel
def _count(reads, lines, width, height, corners, patch_height, patch_width, columns):
    """Noted lines that every window sees: of all channels, added up from the upper left corner on."""
    plane, wide = width * height, width + 1
    for y in range(height):
        along = 0
        for x in range(width):
            for line in range(y * width + x, lines.shape[0], plane):
                along += np.int64(lines[np.uint64(line)])
            columns[(y + 1) * wide + x + 1] = columns[y * wide + x + 1] + along
    for window in range(corners.shape[0]):
        y, x = divmod(corners[window], width)
        upper, lower = y * wide + x, (y + patch_height) * wide + x
        reads[window] = (columns[lower + patch_width] - columns[lower]
                         - columns[upper + patch_width] + columns[upper])


@kernel
def _pick(patterns, rows, totals, corner, blocks, block, patch_width, picked):
    """Rows of sums that a window adds up. Returns how many, and the sum over all neurons."""
    count, total, at, size = 0, 0, 0, totals.shape[1]
    last = (1 << (patch_width - (blocks - 1) * block)) - 1
    for i in range(rows.shape[0]):
        line = np.uint64(corner + rows[np.uint64(i)])
        for b in range(blocks):
            pattern = np.int64(patterns[line + np.uint64(b * block)])
            if b == blocks - 1:
                pattern &= last
            if pattern:
                picked[np.uint64(count)] = at * size + pattern
                count += 1
                total += totals[np.uint64(at), np.uint64(pattern)]
            at += 1
    return count, total


@kernel
def _add(table, picked, count, membranes):
    """Membranes: the sum of some rows of a table."""
    first = np.uint64(picked[0])
    for column in range(membranes.shape[0]):
        j = np.uint64(column)
        membranes[j] = table[first, j]
    i = 1
    while i + 4 <= count:
        a, b, c, d = (np.uint64(picked[i]), np.uint64(picked[i + 1]), np.uint64(picked[i + 2]),
                      np.uint64(picked[i + 3]))
        for column in range(membranes.shape[0]):
            j = np.uint64(column)
            membranes[j] += table[a, j] + table[b, j] + table[c, j] + table[d, j]
        i += 4
    while i < count:
        row = np.uint64(picked[i])
        for column in range(membranes.shape[0]):
            j = np.uint64(column)
            membranes[j] += table[row, j]
        i += 1


@kernel
def _race(keys, membranes, bias, wide, bounded, membrane_top, fired):
    """11.4 (b): the neurons of largest V - θ into ``fired``, falling; ties lowest first.

    Few arguments, as everywhere in the walk: to hand over all of :class:`Walk` takes longer than a race.
    """
    neurons = keys.shape[0]
    if bounded:
        for j in range(neurons):
            keys[j] = min(np.int64(membranes[j]), membrane_top) * wide + bias[j]
    else:
        for j in range(neurons):
            keys[j] = membranes[j] * wide + bias[j]
    lowest = np.iinfo(keys.dtype).min
    for rank in range(fired.shape[0]):
        best = keys[0]
        for j in range(neurons):
            best = max(best, keys[j])
        neuron = wide - 1 - (np.int64(best) & (wide - 1))
        fired[rank] = neuron
        keys[neuron] = lowest


@kernel
def _gather(walk, corner):
    """The rows that a window sees noted, and those that it does not, into ``seen`` and ``silent``."""
    seen, silent, reads, row = walk.seen, walk.silent, 0, 0
    for patch_row in range(walk.patch_rows):
        line = corner + walk.rows[patch_row]
        for at in range(walk.patch_width):
            seen[reads] = row
            silent[row - reads] = row
            reads += walk.patterns[line + at] & 1
            row += 1


@kernel
def _learn(geometry, cells, walk, corner, winner, reads, x, tally):
    """11.4 (d), of a window that learns and sees ``reads`` noted lines. Returns the random state."""
    seen, silent, rest = walk.seen, walk.silent, geometry.rows - reads
    _gather(walk, corner)
    tally[THETA_CLIPPED] += raise_theta(cells.theta[0], winner, cells.theta_step, geometry.threshold_top)
    _rebias(walk, cells.theta[0], winner)
    tally[SET_EVENTS] += 1
    tally[POST_RECHARGE] += geometry.full_scale
    crossbar, top_bin = cells.tiles, geometry.amplitudes - 1
    if crossbar.effects.present:
        x, given = pulse_cells(
            crossbar.levels, crossbar.weights, cells.weight_table, crossbar.set_table, 0, winner, seen, walk.full,
            reads, geometry.fraction_bits, geometry.top_level, 1, x, geometry.amplitudes, tally, crossbar.effects,
            crossbar.real)
        if walk.set_rows >= 0:
            tally[walk.set_rows] += given
        x, given = pulse_cells(
            crossbar.levels, crossbar.weights, cells.weight_table, crossbar.reset_table, 0, winner, silent, walk.full,
            rest, geometry.fraction_bits, geometry.top_level, -1, x, geometry.amplitudes, tally, crossbar.effects,
            crossbar.real)
        tally[RESET_ROWS] += given
    else:
        bins = BINS + top_bin
        x, clipped, weight = raise_column(
            crossbar.levels[0], crossbar.weights[0], cells.weight_table, crossbar.set_table[top_bin],
            geometry.fraction_bits, geometry.top_level, winner, seen, reads, x)
        tally[bins] += reads
        tally[bins + geometry.amplitudes] += weight
        tally[CLIPPED_HIGH] += clipped
        x, clipped, weight = lower_column(
            crossbar.levels[0], crossbar.weights[0], cells.weight_table, crossbar.reset_table[top_bin],
            geometry.fraction_bits, geometry.top_level, winner, silent, rest, x)
        tally[bins + 2 * geometry.amplitudes] += rest
        tally[bins + 3 * geometry.amplitudes] += weight
        tally[CLIPPED_LOW] += clipped
        tally[RESET_ROWS] += rest
        if walk.set_rows >= 0:
            tally[walk.set_rows] += reads
    _renew(walk, crossbar.weights[0], winner)
    return x


@kernel
def _walk(geometry, cells, walk, reading, noted, keep, fire_windows, fire_neurons, fires, tally):
    """11.4. Returns the new number of fires."""
    patterns, reads_of, picked, fired = walk.patterns, walk.reads, walk.picked, walk.fired
    keys, membranes, bias, wide, bounded = walk.keys, walk.membranes, walk.bias, walk.wide, walk.bounded
    corners, rows, regions, totals = walk.corners, walk.rows, walk.regions, walk.totals
    best_of, list_of, learn = noted.best, noted.listed, cells.learn
    pooled = geometry.classes > 0 or walk.feeds
    min_spikes, membrane_top = geometry.min_spikes, geometry.membrane_top
    _show(patterns, noted.lines, walk.width, walk.block)
    _count(reads_of, noted.lines, walk.width, walk.height, corners, walk.patch_height, walk.patch_width, walk.columns)
    table = walk.sums.reshape((walk.sums.shape[0] * walk.sums.shape[1], walk.sums.shape[2]))
    columns = membranes[:geometry.neurons]
    x, ranks, listed = cells.tiles.random[0], fired.shape[0], noted.scalars[2]
    decisions, row_reads, read_sum, squares, pulses = 0, 0, 0, 0, 0
    for window in range(corners.shape[0]):
        reads = reads_of[np.uint64(window)]
        if reads < min_spikes:
            continue
        corner = corners[window]
        if reading is None:
            count, total = _pick(patterns, rows, totals, corner, walk.blocks, walk.block, walk.patch_width, picked)
            _add(table, picked, count, membranes)
        else:
            _gather(walk, corner)
            total = read_rows(cells.tiles.weights, 0, walk.seen, reads, reading, columns)
        decisions += 1
        row_reads += reads
        read_sum += total
        squares += reads * reads
        _race(keys, membranes, bias, wide, bounded, membrane_top, fired)
        if keep:
            for rank in range(ranks):
                fire_windows[fires], fire_neurons[fires] = window, fired[rank]
                fires += 1
        if pooled:  # 11.6
            for rank in range(ranks):
                listed, rise = _pool(best_of, list_of, listed, regions[window] + fired[rank], ranks - rank)
                pulses += rise
        if learn:
            x = advance(x)
            if np.int64(x >> np.uint32(20)) < walk.learn_share:
                x = _learn(geometry, cells, walk, corner, fired[0], reads, x, tally)
    cells.tiles.random[0] = x
    tally[DECISIONS] += decisions
    tally[OUT_SPIKES] += decisions * ranks
    tally[ROW_READS] += row_reads
    tally[READ_SUM] += read_sum
    tally[ACTIVE_SQ_SUM] += squares
    noted.scalars[1], noted.scalars[2] = 1, listed
    if geometry.classes > 0:
        _score(geometry, cells, reading, noted, pulses, tally)
    return fires


@inlined
def _pool(best_of, list_of, listed, row, place):
    """11.6. Returns how many rows the list has, and the read pulses."""
    at, rise = np.uint64(row), place - np.int64(best_of[np.uint64(row)])
    if rise > 0:
        if rise == place:
            list_of[listed] = row
            listed += 1
        best_of[at] = place
    return listed, max(rise, 0)


@kernel
def _score(geometry, cells, reading, noted, pulses, tally):
    """10.2: weights are not negative, so holding a sum once is holding it always."""
    total, scores, weights = 0, noted.scores, cells.read_out.weights
    for i in range(noted.scalars[2]):
        row = np.uint64(noted.listed[i])
        best = np.int64(noted.best[row])
        for c in range(geometry.classes):
            scores[c] += best * np.int64(weights[0, row, c])
    if reading is None:
        for c in range(geometry.classes):
            total += scores[c]
            scores[c] = min(scores[c], geometry.score_top)
    else:
        total = read_scores(reading, 1, pulses, geometry.score_top, scores)
    base = BINS + 4 * geometry.amplitudes
    tally[base + READ_OUT_READS] += pulses
    tally[base + READ_OUT_SUM] += total


@kernel
def _label(geometry, cells, walk, noted, column, tally):
    """11.7"""
    rival, teaches = rival_of(geometry, cells, noted.scores, column, tally)
    if not teaches:
        return
    for i in range(noted.scalars[2]):
        best = noted.best[noted.listed[i]]
        walk.bins[i] = walk.place_bins[best]
        if cells.read_out.effects.present:
            cells.read_out.effects.amounts[i] = best
    _teach(geometry, cells, walk, noted, column, 1, cells.read_out.set_table, tally)
    _teach(geometry, cells, walk, noted, rival, -1, cells.read_out.reset_table, tally)


@kernel
def _teach(geometry, cells, walk, noted, column, sign, table, tally):
    """11.7: a pulse on one column of every row in the list."""
    crossbar = cells.read_out
    crossbar.random[0], _ = pulse_cells(
        crossbar.levels, crossbar.weights, cells.weight_table, table, 0, column, noted.listed, walk.bins,
        noted.scalars[2], geometry.fraction_bits, geometry.top_level, sign, crossbar.random[0], geometry.amplitudes,
        tally, crossbar.effects, crossbar.real)


@kernel
def _note(lines, below, regions, neurons):
    """12.2: lines of a second layer, of what the first one pooled."""
    for i in range(below.scalars[2]):
        region, neuron = divmod(np.int64(below.listed[i]), neurons)
        lines[neuron * regions + region] = 1


@kernel
def _end(geometry, cells, walk, noted):
    """11.9"""
    if cells.learn and geometry.theta_leak > 0:
        leak(cells.theta[0], geometry.theta_leak)
        for j in range(geometry.neurons):
            _rebias(walk, cells.theta[0], j)
    _forget(noted)


@kernel
def _forget(noted):
    """A sample that has not begun."""
    for i in range(noted.scalars[2]):
        noted.best[noted.listed[i]] = 0
    noted.lines[:] = 0
    noted.scalars[:] = 0
    noted.scores[:] = 0


@kernel
def run_walk(below, last, layered, reading, codes, offsets, first, stop, keep, fire_windows, fire_neurons, fire_offsets,
             answers, answer_offsets):
    """Carry out the events of the samples ``first`` to ``stop``: sample *s* is ``codes[offsets[s]:offsets[s + 1]]``.

    ``below`` and ``last`` are geometry, cells, walk, noted and tally of the crossbar that sees the lines, and of that
    which the read-out reads: if not ``layered`` the same. ``fire_windows`` and ``fire_neurons`` must have room for
    every fire that could come, if ``keep``, ``answers`` for every answer.
    """
    geometry, cells, walk, noted, tally = below
    fires, given, scalars, lines = 0, 0, noted.scalars, noted.lines
    fire_offsets[0], answer_offsets[0] = 0, 0
    for sample in range(first, stop):
        for event in range(offsets[sample], offsets[sample + 1]):
            code = codes[event]
            if code >= 0 and code < geometry.lines and scalars[1] == 0:
                tally[IN_SPIKES] += 1
                tally[PRE_RECHARGE] += geometry.full_scale * (1 - np.int64(lines[code]))
                lines[code] = 1
            elif code == STEP and scalars[1] == 0 and scalars[0] < STEP_MAX:
                scalars[0] += 1
                tally[STEPS] += 1
            elif code == DECIDE and scalars[1] == 0:
                if layered:  # 12.3
                    _walk(geometry, cells, walk, reading, noted, False, fire_windows, fire_neurons, fires, tally)
                    _note(last[3].lines, noted, last[0].lines // geometry.neurons, geometry.neurons)
                fires = _walk(last[0], last[1], last[2], reading, last[3], keep, fire_windows, fire_neurons, fires,
                              last[4])
            elif code == END:
                _end(geometry, cells, walk, noted)
                if layered:
                    _end(last[0], last[1], last[2], last[3])
                tally[SAMPLES] += 1
            elif code == ANSWER and last[0].classes > 0:
                answers[given, 0], answers[given, 1], answers[given, 2] = answer(last[0], last[3].scores, last[4])
                given += 1
            elif code <= LABEL and LABEL - code < last[0].classes:
                _label(last[0], last[1], last[2], last[3], LABEL - code, last[4])
            else:  # 11.8, 10.7
                tally[REFUSED] += 1
        fire_offsets[sample - first + 1], answer_offsets[sample - first + 1] = fires, given


@kernel
def teach_walk(geometry, cells, walk, reading, noted, windows, neurons, offsets, asked, labels, answers, tally):
    """Carry what fired in whole samples through the read-out.

    ``answers[sample]`` takes column, score and margin where ``asked``; a label of -1 is none.
    """
    ranks = geometry.winners
    for sample in range(labels.shape[0]):
        listed, pulses = 0, 0
        for fire in range(offsets[sample], offsets[sample + 1]):
            rank = (fire - offsets[sample]) % ranks
            listed, rise = _pool(noted.best, noted.listed, listed, walk.regions[windows[fire]] + neurons[fire],
                                 ranks - rank)
            pulses += rise
        noted.scalars[2] = listed
        _score(geometry, cells, reading, noted, pulses, tally)
        if asked[sample]:
            answers[sample, 0], answers[sample, 1], answers[sample, 2] = answer(geometry, noted.scores, tally)
        if labels[sample] >= 0:
            _label(geometry, cells, walk, noted, labels[sample], tally)
        _forget(noted)
