"""Whole latency-coded samples, tile by tile.

``(SPIKE | STEP)* DECIDE [ANSWER] [LABEL] [DARK] END`` in race mode, every line spiking at most once. Until DECIDE such
a sample only adds up weights, so its membranes are one sum, and no tile sees another's state (contract 3): a tile takes
all samples of a chunk while its cells stay in the cache. Nothing flows back from the read-out, which follows when all
tiles are through.
"""

import numpy as np

from ohmspike.chip.limits import SILENT, STEP_MAX

from .compiling import kernel
from .pulses import leak, lower_column, pulse_cells, raise_column, raise_theta
from .reading import add_rows, race, read_rows
from .types import (
    ACTIVE_SQ_SUM,
    ANSWER,
    BINS,
    CLIPPED_HIGH,
    CLIPPED_LOW,
    DARK,
    DARK_SPIKES,
    DECIDE,
    DECISIONS,
    END,
    IN_SPIKES,
    LABEL,
    OUT_SPIKES,
    POST_RECHARGE,
    PRE_RECHARGE,
    READ_SUM,
    RESET_ROWS,
    ROW_READS,
    SAMPLES,
    SET_EVENTS,
    STEP,
    STEPS,
    THETA_CLIPPED,
)

__all__ = ["count_fires", "list_fires", "race_chunks", "race_samples", "scan_samples"]


@kernel
def scan_samples(geometry, codes, offsets, first, stop, stamps, steps, dark, asked, labels, tally):
    """Read samples ``first`` to ``stop`` into stamps per line, up to the first that :func:`race_samples` cannot take.

    ``asked`` tells whether a sample holds ANSWER, ``labels`` its label or -1. Counts what belongs to no tile. Returns
    how many samples were read.
    """
    for sample in range(first, stop):
        begin, end = offsets[sample], offsets[sample + 1]
        slot = sample - first
        row = stamps[slot]
        row[:] = SILENT
        if end - begin < 2 or codes[end - 1] != END:
            return slot
        decide = end - 2
        has_dark = codes[decide] == DARK
        decide -= has_dark
        label, answer = -1, False
        if decide >= begin and codes[decide] <= LABEL:
            label = LABEL - codes[decide]
            decide -= 1
        if decide >= begin and codes[decide] == ANSWER:
            answer = True
            decide -= 1
        if decide < begin or codes[decide] != DECIDE or label >= geometry.classes or (
                answer and geometry.classes == 0):
            return slot
        step = 0
        for i in range(begin, decide):
            code = codes[i]
            if 0 <= code < geometry.lines and row[code] == SILENT:
                row[code] = step
            elif code == STEP and step < STEP_MAX:
                step += 1
            else:
                return slot
        spikes = decide - begin - step
        steps[slot], dark[slot], asked[slot], labels[slot] = step, has_dark, answer, label
        tally[SAMPLES] += 1
        tally[STEPS] += step
        tally[IN_SPIKES] += spikes
        tally[PRE_RECHARGE] += spikes * geometry.full_scale
        if has_dark:
            tally[DARK_SPIKES] += geometry.lines - spikes
    return stop - first


@kernel
def _gather(lines, stamps, sample, spiked, silent):
    """The rows whose line has spiked in a sample, and those whose line has not. Returns how many have."""
    reads, at = np.uint64(0), np.uint64(sample)
    for i in range(lines.shape[0]):
        row = np.uint64(i)
        spiked[reads] = i
        silent[row - reads] = i
        reads += np.uint64(stamps[at, np.uint64(lines[row])] != SILENT)
    return np.int64(reads)


@kernel
def race_chunks(geometry, cells, reading, stamps, steps, dark, count, chunk, first_tile, last_tile, sums, keys, winners,
                quads, tally):
    """:func:`race_samples` on one chunk of samples after the other, so that their stamps stay in the cache."""
    for first in range(0, count, chunk):
        race_samples(geometry, cells, reading, stamps[first:], steps[first:], dark[first:], min(chunk, count - first),
                     first_tile, last_tile, sums, keys, winners[:, first:], quads, tally)


@kernel
def race_samples(geometry, cells, reading, stamps, steps, dark, count, first_tile, last_tile, sums, keys, winners,
                 quads, tally):
    """Carry ``count`` scanned samples through the tiles ``first_tile`` to ``last_tile``.

    What threads share is indexed, never sliced in an inner loop: a slice counts a reference, and its counter would
    wander from core to core.

    ``reading`` is None in the exact model. ``winners[tile, sample, rank]`` takes the neurons that fired, -1 first where
    the tile stayed silent: tile by tile, so that threads seldom write to the same line of a cache. The types of
    ``sums`` and ``keys`` must hold an unsaturated membrane and a key of :func:`race`; ``quads`` is that of
    :func:`add_rows`.
    """
    rows, neurons, learners, amplitudes = geometry.rows, geometry.neurons, geometry.learners, geometry.amplitudes
    spiked, silent, ages = np.empty(rows + 1, np.int32), np.empty(rows + 1, np.int32), np.empty(rows + 1, np.int64)
    bins, fresh = np.empty(rows + 1, np.int64), np.full(rows + 1, amplitudes - 1)  # a trace just recharged is fresh
    step_reads, fired = np.zeros(STEP_MAX + 2, np.int64), np.empty(geometry.winners, np.int16)
    raised = np.empty(neurons, np.int64)
    leaks = cells.learn and geometry.theta_leak > 0
    plain = reading is None and not cells.tiles.effects.present  # pulses meet nothing beyond the rule 5.2
    local = np.zeros_like(tally)
    row_reads, read_sum, squares, decisions = 0, 0, 0, 0
    set_pulses, set_weights, clipped_high, reset_pulses, reset_weights, clipped_low = 0, 0, 0, 0, 0, 0
    theta_clipped, theta_step, threshold_top = 0, cells.theta_step, geometry.threshold_top
    weight_table, fraction, top = cells.weight_table, geometry.fraction_bits, geometry.top_level
    all_levels, all_weights = cells.tiles.levels, cells.tiles.weights
    effects, real = cells.tiles.effects, cells.tiles.real
    set_tables, reset_tables = cells.tiles.set_table, cells.tiles.reset_table
    set_table, reset_table = set_tables[amplitudes - 1], reset_tables[amplitudes - 1]
    for tile in range(first_tile, last_tile):
        lines, theta = geometry.row_lines[tile], cells.theta[tile]
        levels, weights, x = all_levels[tile], all_weights[tile], cells.tiles.random[tile]
        for sample in range(count):
            last_step = steps[sample]
            reads = _gather(lines, stamps, sample, spiked, silent)
            alike = plain and last_step == 0  # whole columns get the same pulse

            if reads:  # 3.1
                if reading is None:
                    add_rows(weights, spiked, reads, sums, quads)
                    for j in range(neurons):
                        read_sum += np.int64(sums[j])
                else:
                    read_sum += read_rows(all_weights, tile, spiked, reads, reading, sums)
                row_reads += reads
                if last_step == 0:
                    squares += reads * reads
                else:
                    for i in range(reads):
                        ages[i] = last_step - stamps[sample, lines[spiked[i]]]
                        step_reads[ages[i]] += 1
                    for age in range(last_step + 1):
                        squares += step_reads[age] * step_reads[age]
                        step_reads[age] = 0

            winners[tile, sample, 0] = -1
            if reads >= geometry.min_spikes:  # 3.4
                decisions += 1
                if reading is None:
                    race(sums, theta, geometry.membrane_top, geometry.index_bits, keys, fired)
                else:
                    for j in range(neurons):
                        raised[j] = np.int64(theta[j]) + reading.offsets[tile, j]
                    race(sums, raised, geometry.membrane_top, geometry.index_bits, keys, fired)
                for rank in range(fired.shape[0]):
                    winners[tile, sample, rank] = fired[rank]
                if cells.learn:
                    theta_clipped += raise_theta(theta, fired[0], theta_step, threshold_top)
                    if not alike:
                        for i in range(reads):
                            bins[i] = amplitudes - 1 if last_step == 0 else geometry.pulse_bins[ages[i]]
                    for rank in range(learners):
                        if alike:
                            x, over, read = raise_column(levels, weights, weight_table, set_table, fraction, top,
                                                         fired[rank], spiked, reads, x)
                            clipped_high += over
                            set_weights += read
                            set_pulses += reads
                        else:
                            x, _ = pulse_cells(all_levels, all_weights, weight_table, set_tables, tile, fired[rank],
                                               spiked, bins, reads, fraction, top, 1, x, amplitudes, local, effects,
                                               real)
                    if dark[sample]:  # 3.5: every unit was taken at DECIDE, by rank
                        for rank in range(learners):
                            if plain:
                                x, over, read = lower_column(levels, weights, weight_table, reset_table, fraction, top,
                                                             fired[rank], silent, rows - reads, x)
                                clipped_low += over
                                reset_weights += read
                                reset_pulses += rows - reads
                                given = rows - reads
                            else:
                                x, given = pulse_cells(all_levels, all_weights, weight_table, reset_tables, tile,
                                                       fired[rank], silent, fresh, rows - reads, fraction, top, -1, x,
                                                       amplitudes, local, effects, real)
                            local[RESET_ROWS] += given
            if leaks:
                leak(theta, geometry.theta_leak)
        cells.tiles.random[tile] = x

    pulses = BINS + amplitudes - 1
    for at, count_of in enumerate((set_pulses, set_weights, reset_pulses, reset_weights)):
        local[pulses + at * amplitudes] += count_of
    local[CLIPPED_HIGH] += clipped_high
    local[CLIPPED_LOW] += clipped_low
    local[THETA_CLIPPED] += theta_clipped
    local[ROW_READS] += row_reads
    local[READ_SUM] += read_sum
    local[ACTIVE_SQ_SUM] += squares
    local[DECISIONS] += decisions
    local[OUT_SPIKES] += decisions * geometry.winners
    if cells.learn:
        local[POST_RECHARGE] += decisions * learners * geometry.full_scale
        local[SET_EVENTS] += decisions * learners
    tally += local


@kernel
def count_fires(winners, count, offsets):
    """Running number of fires of ``count`` samples into ``offsets[1:]``, ``offsets[0]`` given. Returns the last."""
    tiles, ranks = winners.shape[0], winners.shape[2]
    for sample in range(count):
        fires = 0
        for tile in range(tiles):
            fires += ranks * (winners[tile, sample, 0] >= 0)
        offsets[sample + 1] = offsets[sample] + fires
    return offsets[count]


@kernel
def list_fires(winners, first, stop, tiles, neurons):
    """Write the fires of the samples ``first`` to ``stop`` one after the other, in the order of 3.7."""
    at = 0
    for sample in range(first, stop):
        for tile in range(winners.shape[0]):
            if winners[tile, sample, 0] >= 0:
                for rank in range(winners.shape[2]):
                    tiles[at] = tile
                    neurons[at] = winners[tile, sample, rank]
                    at += 1
