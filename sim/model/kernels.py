"""The compiled loops of the exact model: integers only, one kernel for any chip.

Two ways through the events give the same bits:

:func:`run_events`
    event by event, tiles inside, for whatever may come;
:func:`scan_samples` and :func:`race_samples`
    tile by tile, samples inside, for whole latency-coded samples:
    ``(SPIKE | STEP)* DECIDE [ANSWER] [LABEL] [DARK] END`` in race mode, every line spiking at most once.
    Until DECIDE such a sample only adds up weights, so its membranes are one sum, and no tile sees another's state
    (contract 3): a tile takes all samples of a chunk while its cells stay in the cache.
    Nothing flows back from the read-out, so :func:`read_out_samples` follows when all tiles are through.

Numbers in comments are clauses of docs/contract.md.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

__all__ = ["Cells", "Geometry", "TALLY", "Transient", "count_fires", "list_fires", "race_chunks", "race_samples",
           "read_out_samples", "run_events", "scan_samples"]

SILENT = 255
"""Stamp of a line that has not spoken in a sample."""

_READS_MAX = 4095

TALLY = ("samples", "steps", "in_spikes", "dark_spikes", "row_reads", "closed_tile_pulses", "read_sum", "active_sq_sum",
         "decisions", "out_spikes", "set_events", "reset_rows", "pre_recharge", "post_recharge", "clipped_high",
         "clipped_low", "theta_clipped", "refused")
"""Scalar counters in the order the kernels keep them; the amplitude-bin counters follow, then those of the read-out."""

(_SAMPLES, _STEPS, _IN_SPIKES, _DARK_SPIKES, _ROW_READS, _SHUT_ROWS, _READ_SUM, _ACTIVE_SQ_SUM, _DECISIONS, _OUT_SPIKES,
 _SET_EVENTS, _RESET_ROWS, _PRE_RECHARGE, _POST_RECHARGE, _CLIPPED_HIGH, _CLIPPED_LOW, _THETA_CLIPPED,
 _REFUSED) = range(len(TALLY))
_BINS = len(TALLY)
_ANSWERS, _LABELS, _LABELS_RIGHT, _TAUGHT, _READ_OUT_READS, _READ_OUT_SUM = range(6)  # behind the bins

_STEP, _DECIDE, _DARK, _END, _ANSWER, _LABEL = -1, -2, -3, -4, -5, -6
_STEP_MAX = 254


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
    rank_bins: np.ndarray  # (winners,): amplitude bin of the trace that a rank leaves on the read-out
    row_lines: np.ndarray  # (tiles, rows)
    sight_offsets: np.ndarray  # (lines + 1,): the (tile, row) that see line i are [offsets[i], offsets[i + 1])
    sight_tiles: np.ndarray
    sight_rows: np.ndarray
    traces: np.ndarray  # age in steps to trace, 256 entries
    pulse_bins: np.ndarray  # age in steps to amplitude bin, -1 where the trace is 0
    flawed: bool  # pulses have noise, or cells may be stuck


class Cells(NamedTuple):
    """What a chip learns. ``weights`` mirrors ``levels``; it is the same array if the weight table is the identity."""

    levels: np.ndarray
    weights: np.ndarray
    weight_table: np.ndarray
    theta: np.ndarray
    random: np.ndarray
    set_table: np.ndarray
    reset_table: np.ndarray
    theta_step: int
    theta_base: int
    learn: bool
    read_out: np.ndarray
    read_out_weights: np.ndarray  # mirrors read_out
    read_out_set: np.ndarray
    read_out_reset: np.ndarray
    margin: int
    write_noise: int
    stuck: np.ndarray  # of the shape of levels if the chip is flawed, as the next
    read_out_stuck: np.ndarray


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
    fired: np.ndarray  # (tiles * winners,): rows of the read-out in the order in which they fired, ranks in turn


@njit(cache=True, inline="always")
def _advance(x):
    """7.2: the next state of xorshift32."""
    x = np.uint32(x ^ np.uint32(x << np.uint32(13)))
    x = np.uint32(x ^ np.uint32(x >> np.uint32(17)))
    return np.uint32(x ^ np.uint32(x << np.uint32(5)))


@njit(cache=True, inline="always")
def _noise(x):
    """5.5: four of the low five-bit fields of a random state, added up: mean 0, deviation 18.466, at most 62."""
    return (np.int64(x & np.uint32(31)) + np.int64(x >> np.uint32(5) & np.uint32(31))
            + np.int64(x >> np.uint32(10) & np.uint32(31)) + np.int64(x >> np.uint32(15) & np.uint32(31)) - 62)


@njit(cache=True, nogil=True)
def _pulse_flawed(levels, weights, stuck, weight_table, table, bins, column, rows, count, fraction, top, noise, sign, x,
                  tally, at, amplitudes):
    """5.2 with 5.5 and 5.6: a pulse of amplitude bin ``bins[i]`` on the cell ``[rows[i], column]`` for every *i*, none
    where the bin is -1; counted from ``at`` on. Returns the random state.
    """
    over = 0
    for i in range(count):
        amplitude = bins[i]
        if amplitude >= 0:
            row = rows[i]
            level = np.int64(levels[row, column])
            tally[at + amplitude] += 1
            tally[at + amplitudes + amplitude] += np.int64(weights[row, column])
            x = _advance(x)
            step = (np.int64(table[amplitude, level]) + np.int64(x >> np.uint32(32 - fraction))
                    + _noise(x) * noise) >> fraction
            moved = level + sign * step
            held = max(0, min(moved, top))
            over += moved != held
            if stuck[row, column] == 0:
                levels[row, column] = held
                weights[row, column] = weight_table[held]
    tally[_CLIPPED_HIGH if sign > 0 else _CLIPPED_LOW] += over
    return x


@njit(cache=True, nogil=True)
def _pulse_tile(geometry, cells, tile, neuron, rows, bins, count, sign, tally):
    """Pulses on a column of a tile of a flawed chip."""
    table = cells.set_table if sign > 0 else cells.reset_table
    at = _BINS if sign > 0 else _BINS + 2 * geometry.amplitudes
    cells.random[tile] = _pulse_flawed(
        cells.levels[tile], cells.weights[tile], cells.stuck[tile], cells.weight_table, table, bins, neuron, rows,
        count, geometry.fraction_bits, geometry.top_level, cells.write_noise, sign, cells.random[tile], tally, at,
        geometry.amplitudes)


@njit(cache=True, nogil=True)
def _set_rows_flawed(geometry, cells, tile, neuron, rows, ages, count, tally):
    """5.3, as :func:`_set_rows`."""
    bins = np.empty(count, np.int64)
    for i in range(count):
        bins[i] = geometry.pulse_bins[ages[i]]
    _pulse_tile(geometry, cells, tile, neuron, rows, bins, count, 1, tally)
    tally[_SET_EVENTS] += 1


@njit(cache=True, nogil=True)
def _raise_theta(theta, neuron, step, top):
    """6.1. Returns whether the threshold was held at its top."""
    raised = np.int64(theta[neuron]) + step
    theta[neuron] = min(raised, top)
    return raised > top


@njit(cache=True, nogil=True)
def _set_rows(geometry, cells, tile, neuron, rows, ages, count, tally):
    """5.3: a SET pulse on the cell of ``neuron`` in every one of ``rows`` whose pre-trace has not decayed."""
    levels, weights, table = cells.levels[tile], cells.weights[tile], cells.set_table
    weight_table, bins, top = cells.weight_table, geometry.pulse_bins, geometry.top_level
    fraction = geometry.fraction_bits
    shift = np.uint32(32 - fraction)
    pulses, sums = _BINS, _BINS + geometry.amplitudes
    x, clipped = cells.random[tile], 0
    for i in range(count):
        amplitude = bins[ages[i]]
        if amplitude >= 0:
            row = rows[i]
            level = np.int64(levels[row, neuron])
            tally[pulses + amplitude] += 1
            tally[sums + amplitude] += np.int64(weights[row, neuron])
            x = _advance(x)
            level += (np.int64(table[amplitude, level]) + np.int64(x >> shift)) >> fraction  # 5.2
            clipped += level > top
            level = min(level, top)
            levels[row, neuron] = level
            weights[row, neuron] = weight_table[level]
    cells.random[tile] = x
    tally[_CLIPPED_HIGH] += clipped
    tally[_SET_EVENTS] += 1


@njit(cache=True, nogil=True)
def _raise_column(levels, weights, weight_table, table, fraction_bits, top_level, neuron, rows, count, x):
    """5.3 where all pulses are of one amplitude bin, whose SET table is ``table``: a pulse on the cell of ``neuron`` in
    every one of ``rows``. Returns the random state, how many pulses were clipped and the weights before them.

    Few arguments: to hand over all of :class:`Geometry` and :class:`Cells` takes longer than the pulses. Unsigned
    indices need no check for negative ones.
    """
    fraction, top, j = np.uint32(fraction_bits), np.int32(top_level), np.uint64(neuron)
    shift, clipped, weight = np.uint32(32) - fraction, 0, 0
    for i in range(count):
        row = np.uint64(rows[i])
        level = levels[row, j]
        weight += np.int64(weights[row, j])
        x = _advance(x)
        moved = np.int32(level) + np.int32((np.uint32(table[np.uint64(level)]) + (x >> shift)) >> fraction)  # 5.2
        clipped += moved > top
        moved = min(moved, top)
        levels[row, j] = moved
        weights[row, j] = weight_table[np.uint64(moved)]
    return x, clipped, weight


@njit(cache=True, nogil=True)
def _lower_column(levels, weights, weight_table, table, fraction_bits, neuron, rows, count, x):
    """3.5: a RESET pulse of one amplitude bin, as :func:`_raise_column`."""
    fraction, low, j = np.uint32(fraction_bits), np.int32(0), np.uint64(neuron)
    shift, clipped, weight = np.uint32(32) - fraction, 0, 0
    for i in range(count):
        row = np.uint64(rows[i])
        level = levels[row, j]
        weight += np.int64(weights[row, j])
        x = _advance(x)
        moved = np.int32(level) - np.int32((np.uint32(table[np.uint64(level)]) + (x >> shift)) >> fraction)  # 5.2
        clipped += moved < low
        moved = max(moved, low)
        levels[row, j] = moved
        weights[row, j] = weight_table[np.uint64(moved)]
    return x, clipped, weight


@njit(cache=True, nogil=True)
def _reset_rows(geometry, cells, tile, neuron, amplitude, rows, count, tally):
    """3.5, counted."""
    if geometry.flawed:
        _pulse_tile(geometry, cells, tile, neuron, rows, np.full(count, amplitude), count, -1, tally)
        return
    cells.random[tile], clipped, weight = _lower_column(
        cells.levels[tile], cells.weights[tile], cells.weight_table, cells.reset_table[amplitude],
        geometry.fraction_bits, neuron, rows, count, cells.random[tile])
    tally[_CLIPPED_LOW] += clipped
    tally[_BINS + 2 * geometry.amplitudes + amplitude] += count
    tally[_BINS + 3 * geometry.amplitudes + amplitude] += weight


# whole samples, tile by tile


@njit(cache=True, nogil=True)
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
        if end - begin < 2 or codes[end - 1] != _END:
            return slot
        decide = end - 2
        has_dark = codes[decide] == _DARK
        decide -= has_dark
        label, answer = -1, False
        if decide >= begin and codes[decide] <= _LABEL:
            label = _LABEL - codes[decide]
            decide -= 1
        if decide >= begin and codes[decide] == _ANSWER:
            answer = True
            decide -= 1
        if decide < begin or codes[decide] != _DECIDE or label >= geometry.classes or (
                answer and geometry.classes == 0):
            return slot
        step = 0
        for i in range(begin, decide):
            code = codes[i]
            if 0 <= code < geometry.lines and row[code] == SILENT:
                row[code] = step
            elif code == _STEP and step < _STEP_MAX:
                step += 1
            else:
                return slot
        spikes = decide - begin - step
        steps[slot], dark[slot], asked[slot], labels[slot] = step, has_dark, answer, label
        tally[_SAMPLES] += 1
        tally[_STEPS] += step
        tally[_IN_SPIKES] += spikes
        tally[_PRE_RECHARGE] += spikes * geometry.full_scale
        if has_dark:
            tally[_DARK_SPIKES] += geometry.lines - spikes
    return stop - first


@njit(cache=True, nogil=True)
def _gather(lines, stamps, sample, spoken, silent):
    """The rows whose line has spoken in a sample, and those whose line has not. Returns how many have."""
    reads, at = np.uint64(0), np.uint64(sample)
    for i in range(lines.shape[0]):
        row = np.uint64(i)
        spoken[reads] = i
        silent[row - reads] = i
        reads += np.uint64(stamps[at, np.uint64(lines[row])] != SILENT)
    return np.int64(reads)


@njit(cache=True, nogil=True)
def _add_rows(weights, rows, count, sums):
    """Add up the weights of ``rows``: several rows a sweep, so that sums are loaded and stored seldom."""
    neurons = sums.shape[0]
    row = np.uint64(rows[0])
    for j in range(neurons):
        sums[j] = weights[row, np.uint64(j)]
    i = 1
    while i + 8 <= count:
        a, b, c, d = np.uint64(rows[i]), np.uint64(rows[i + 1]), np.uint64(rows[i + 2]), np.uint64(rows[i + 3])
        e, f, g, h = np.uint64(rows[i + 4]), np.uint64(rows[i + 5]), np.uint64(rows[i + 6]), np.uint64(rows[i + 7])
        for column in range(neurons):
            j = np.uint64(column)
            sums[j] += (weights[a, j] + weights[b, j] + weights[c, j] + weights[d, j]
                        + weights[e, j] + weights[f, j] + weights[g, j] + weights[h, j])
        i += 8
    while i + 2 <= count:
        a, b = np.uint64(rows[i]), np.uint64(rows[i + 1])
        for column in range(neurons):
            j = np.uint64(column)
            sums[j] += weights[a, j] + weights[b, j]
        i += 2
    if i < count:
        row = np.uint64(rows[i])
        for column in range(neurons):
            j = np.uint64(column)
            sums[j] += weights[row, j]


@njit(cache=True, nogil=True)
def _race(membranes, theta, membrane_top, index_bits, keys, fired):
    """3.4: the neurons of largest V - θ into ``fired``, falling; ties lowest first. Returns the largest V - θ.

    A key holds V - θ above the complement of the neuron, so that no two are equal and one maximum gives both.
    """
    neurons, top = keys.shape[0], membrane_top
    index_mask = (1 << index_bits) - 1
    lowest = np.iinfo(keys.dtype).min
    for j in range(neurons):
        keys[j] = ((min(np.int64(membranes[j]), top) - np.int64(theta[j])) << index_bits) | (index_mask - j)
    largest = 0
    for rank in range(fired.shape[0]):
        best = keys[0]
        for j in range(neurons):
            best = max(best, keys[j])
        neuron = index_mask - (np.int64(best) & index_mask)
        fired[rank] = neuron
        keys[neuron] = lowest
        if rank == 0:
            largest = np.int64(best) >> index_bits
    return largest


@njit(cache=True, nogil=True)
def _leak(geometry, theta):
    """3.6"""
    for j in range(geometry.neurons):
        theta[j] -= theta[j] >> np.uint32(geometry.theta_leak)


@njit(cache=True, nogil=True)
def race_samples(geometry, cells, stamps, steps, dark, count, first_tile, last_tile, sums, keys, winners, tally):
    """Carry ``count`` scanned samples through the tiles ``first_tile`` to ``last_tile``.

    What threads share is indexed, never sliced: a slice counts a reference, and its counter would wander from core to
    core.

    ``winners[tile, sample, rank]`` takes the neurons that fired, -1 first where the tile stayed silent: tile by tile,
    so that threads seldom write to the same line of a cache. The types of ``sums`` and ``keys`` must hold an
    unsaturated membrane and a key of :func:`_race`.
    """
    rows, neurons, learners = geometry.rows, geometry.neurons, geometry.learners
    spoken, ages, silent = np.empty(rows + 1, np.int32), np.empty(rows + 1, np.uint8), np.empty(rows + 1, np.int32)
    step_reads, fired = np.zeros(_STEP_MAX + 2, np.int64), np.empty(geometry.winners, np.int16)
    leaks = cells.learn and geometry.theta_leak > 0
    alike_ages = not geometry.flawed  # where all ages are 0, whole columns get the same pulse
    local = np.zeros_like(tally)
    row_reads, read_sum, squares, decisions = 0, 0, 0, 0
    set_pulses, set_weights, clipped_high, alike, reset_pulses, reset_weights, clipped_low = 0, 0, 0, 0, 0, 0, 0
    theta_clipped, theta_step, threshold_top = 0, cells.theta_step, geometry.threshold_top
    weight_table, fraction, top = cells.weight_table, geometry.fraction_bits, geometry.top_level
    fresh = geometry.amplitudes - 1  # the bin of a trace just recharged
    set_table, reset_table = cells.set_table[fresh], cells.reset_table[fresh]
    for tile in range(first_tile, last_tile):
        lines, weights, theta = geometry.row_lines[tile], cells.weights[tile], cells.theta[tile]
        levels, x = cells.levels[tile], cells.random[tile]
        for sample in range(count):
            last_step = steps[sample]
            reads = _gather(lines, stamps, sample, spoken, silent)

            if reads:  # 3.1
                _add_rows(weights, spoken, reads, sums)
                for j in range(neurons):
                    read_sum += np.int64(sums[j])
                row_reads += reads
                if alike_ages and last_step == 0:
                    squares += reads * reads
                else:
                    for i in range(reads):
                        ages[i] = last_step - stamps[sample, lines[spoken[i]]]
                        step_reads[ages[i]] += 1
                    for age in range(last_step + 1):
                        squares += step_reads[age] * step_reads[age]
                        step_reads[age] = 0

            winners[tile, sample, 0] = -1
            if reads >= geometry.min_spikes:  # 3.4
                decisions += 1
                _race(sums, theta, geometry.membrane_top, geometry.index_bits, keys, fired)
                for rank in range(fired.shape[0]):
                    winners[tile, sample, rank] = fired[rank]
                if cells.learn:
                    theta_clipped += _raise_theta(theta, fired[0], theta_step, threshold_top)
                    for rank in range(learners):
                        if alike_ages and last_step == 0:
                            x, over, read = _raise_column(levels, weights, weight_table, set_table, fraction, top,
                                                          fired[rank], spoken, reads, x)
                            clipped_high += over
                            set_weights += read
                            set_pulses += reads
                            alike += 1
                        else:
                            cells.random[tile] = x
                            if geometry.flawed:
                                _set_rows_flawed(geometry, cells, tile, fired[rank], spoken, ages, reads, local)
                            else:
                                _set_rows(geometry, cells, tile, fired[rank], spoken, ages, reads, local)
                            x = cells.random[tile]
                    if dark[sample] and not geometry.flawed:  # 3.5: every unit was taken at DECIDE, by rank
                        for rank in range(learners):
                            x, over, read = _lower_column(levels, weights, weight_table, reset_table, fraction,
                                                          fired[rank], silent, rows - reads, x)
                            clipped_low += over
                            reset_weights += read
                        reset_pulses += learners * (rows - reads)
                    elif dark[sample]:
                        cells.random[tile] = x
                        for rank in range(learners):
                            _reset_rows(geometry, cells, tile, fired[rank], fresh, silent, rows - reads, local)
                        x = cells.random[tile]
                        local[_RESET_ROWS] += learners * (rows - reads)
            if leaks:
                _leak(geometry, theta)
        cells.random[tile] = x

    pulses = _BINS + fresh
    for at, count_of in enumerate((set_pulses, set_weights, reset_pulses, reset_weights)):
        local[pulses + at * geometry.amplitudes] += count_of
    local[_CLIPPED_HIGH] += clipped_high
    local[_CLIPPED_LOW] += clipped_low
    local[_THETA_CLIPPED] += theta_clipped
    local[_RESET_ROWS] += reset_pulses
    local[_ROW_READS] += row_reads
    local[_READ_SUM] += read_sum
    local[_ACTIVE_SQ_SUM] += squares
    local[_DECISIONS] += decisions
    local[_OUT_SPIKES] += decisions * geometry.winners
    if cells.learn:
        local[_POST_RECHARGE] += decisions * learners * geometry.full_scale
        local[_SET_EVENTS] += alike
    tally += local


@njit(cache=True, nogil=True)
def read_out_samples(geometry, cells, winners, first, stop, asked, labels, scores, fired, answers, tally):
    """Carry the fires of the samples ``first`` to ``stop`` of a chunk through the read-out (contract 10).

    ``answers[sample]`` takes column, score and margin where ``asked``. ``scores`` and ``fired`` are scratch.
    """
    local = np.zeros_like(tally)
    tiles, ranks, neurons, classes = geometry.tiles, geometry.winners, geometry.neurons, geometry.classes
    weights, top = cells.read_out_weights, geometry.score_top
    reads, total, wanted = 0, 0, False
    for sample in range(first, stop):
        wanted |= asked[sample] or labels[sample] >= 0
    if not wanted:
        count, total = _read_out_unheard(weights, winners, first, stop)
        reads = count * (ranks * (ranks + 1) // 2)
    for sample in range(first, stop if wanted else first):
        count = 0
        scores[:] = 0
        for tile in range(tiles):
            if winners[tile, sample, 0] >= 0:
                for rank in range(ranks):
                    row = tile * neurons + winners[tile, sample, rank]
                    fired[count] = row
                    count += 1
                    pulses = ranks - rank
                    for c in range(classes):
                        scores[c] += pulses * np.int64(weights[row, c])
        for c in range(classes):
            total += scores[c]
            scores[c] = min(scores[c], top)  # weights are not negative: holding a sum once is holding it always
        reads += count // ranks * (ranks * (ranks + 1) // 2)
        if asked[sample]:
            answers[sample, 0], answers[sample, 1], answers[sample, 2] = _answer(geometry, scores, local)
        if labels[sample] >= 0:
            _label(geometry, cells, scores, fired, count, labels[sample], local)
    base = _BINS + 4 * geometry.amplitudes
    local[base + _READ_OUT_READS] += reads
    local[base + _READ_OUT_SUM] += total
    tally += local


@njit(cache=True, nogil=True)
def _read_out_unheard(weights, winners, first, stop):
    """10.3 where nobody asks for single scores and no weight changes: the sum of all scores will do. Returns how many
    decisions there were, and that sum before it is held.
    """
    tiles, ranks, neurons = winners.shape[0], winners.shape[2], weights.shape[0] // winners.shape[0]
    decisions, total, row_sums = 0, 0, np.empty(neurons, np.int64)
    for tile in range(tiles):
        for j in range(neurons):
            row_sums[j] = 0
            for c in range(weights.shape[1]):
                row_sums[j] += np.int64(weights[tile * neurons + j, c])
        for sample in range(first, stop):
            if winners[tile, sample, 0] >= 0:
                decisions += 1
                for rank in range(ranks):
                    total += (ranks - rank) * row_sums[np.uint64(winners[tile, sample, rank])]
    return decisions, total


@njit(cache=True, nogil=True)
def _best_column(scores, but):
    """The column with the largest score but one, ties the lowest."""
    best = -1
    for c in range(scores.shape[0]):
        if c != but and (best < 0 or scores[c] > scores[best]):
            best = c
    return best


@njit(cache=True, nogil=True)
def _answer(geometry, scores, tally):
    """10.4"""
    tally[_BINS + 4 * geometry.amplitudes + _ANSWERS] += 1
    best = _best_column(scores, -1)
    return best, scores[best], scores[best] - scores[_best_column(scores, best)]


@njit(cache=True, nogil=True)
def _label(geometry, cells, scores, fired, count, label, tally):
    """10.5"""
    base = _BINS + 4 * geometry.amplitudes
    tally[base + _LABELS] += 1
    rival = _best_column(scores, label)
    lead = scores[label] - scores[rival]
    tally[base + _LABELS_RIGHT] += lead > 0 or (lead == 0 and label < rival)
    if lead < cells.margin:
        tally[base + _TAUGHT] += 1
        if geometry.flawed:
            _teach_flawed(geometry, cells, fired, count, label, rival, tally)
            return
        _teach(geometry, cells, fired, count, label, 1, cells.read_out_set, _BINS, tally)
        _teach(geometry, cells, fired, count, rival, -1, cells.read_out_reset, _BINS + 2 * geometry.amplitudes, tally)


@njit(cache=True, nogil=True)
def _teach(geometry, cells, fired, count, column, sign, table, bins, tally):
    """10.5: a pulse on one column of every row that fired; its counters are at ``bins``."""
    levels, weights, weight_table = cells.read_out, cells.read_out_weights, cells.weight_table
    top, fraction, ranks = geometry.top_level, geometry.fraction_bits, geometry.winners
    shift = np.uint32(32 - fraction)
    x, clipped, rank = cells.random[geometry.tiles], 0, 0
    for i in range(count):
        row, amplitude = fired[i], geometry.rank_bins[rank]
        rank = 0 if rank == ranks - 1 else rank + 1
        level = np.int64(levels[row, column])
        tally[bins + amplitude] += 1
        tally[bins + geometry.amplitudes + amplitude] += np.int64(weights[row, column])
        x = _advance(x)
        moved = level + sign * ((np.int64(table[amplitude, level]) + np.int64(x >> shift)) >> fraction)  # 5.2
        level = max(0, min(moved, top))
        clipped += moved != level
        levels[row, column] = level
        weights[row, column] = weight_table[level]
    cells.random[geometry.tiles] = x
    tally[_CLIPPED_HIGH if sign > 0 else _CLIPPED_LOW] += clipped


@njit(cache=True, nogil=True)
def _teach_flawed(geometry, cells, fired, count, label, rival, tally):
    """10.5: the pulses of a label, as two of :func:`_teach`."""
    bins = np.empty(count, np.int64)
    for i in range(count):
        bins[i] = geometry.rank_bins[i % geometry.winners]
    for sign in (1, -1):
        at, column, table = _BINS, np.int64(label), cells.read_out_set
        if sign < 0:
            at, column, table = _BINS + 2 * geometry.amplitudes, np.int64(rival), cells.read_out_reset
        cells.random[geometry.tiles] = _pulse_flawed(
            cells.read_out, cells.read_out_weights, cells.read_out_stuck, cells.weight_table, table, bins, column,
            fired, count, geometry.fraction_bits, geometry.top_level, cells.write_noise, sign,
            cells.random[geometry.tiles], tally, at, geometry.amplitudes)


@njit(cache=True, nogil=True)
def race_chunks(geometry, cells, stamps, steps, dark, count, chunk, first_tile, last_tile, sums, keys, winners, tally):
    """:func:`race_samples` on one chunk of samples after the other, so that their stamps stay in the cache."""
    for first in range(0, count, chunk):
        race_samples(geometry, cells, stamps[first:], steps[first:], dark[first:], min(chunk, count - first),
                     first_tile, last_tile, sums, keys, winners[:, first:], tally)


@njit(cache=True, nogil=True)
def count_fires(winners, count, offsets):
    """Running number of fires of ``count`` samples into ``offsets[1:]``, ``offsets[0]`` given. Returns the last."""
    tiles, ranks = winners.shape[0], winners.shape[2]
    for sample in range(count):
        fires = 0
        for tile in range(tiles):
            fires += ranks * (winners[tile, sample, 0] >= 0)
        offsets[sample + 1] = offsets[sample] + fires
    return offsets[count]


@njit(cache=True, nogil=True)
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


# any events, one after the other


@njit(cache=True, nogil=True)
def run_events(geometry, cells, transient, codes, offsets, keys, winners, fire_tiles, fire_neurons, fire_offsets,
               answers, answer_offsets, tally):
    """Carry out any events: sample *s* is ``codes[offsets[s]:offsets[s + 1]]``.

    ``fire_tiles``, ``fire_neurons`` and ``answers`` must have room for every fire and answer that could come.
    """
    local = np.zeros_like(tally)
    fires, given = 0, 0
    fire_offsets[0], answer_offsets[0] = 0, 0
    for sample in range(offsets.shape[0] - 1):
        for event in range(offsets[sample], offsets[sample + 1]):
            code = codes[event]
            if code >= 0:
                _spike(geometry, cells, transient, code, local)
            elif code == _STEP:
                fires = _step(geometry, cells, transient, keys, winners, fire_tiles, fire_neurons, fires, local)
            elif code == _DECIDE:
                fires = _decide(geometry, cells, transient, keys, winners, fire_tiles, fire_neurons, fires, local)
            elif code == _DARK:
                _go_dark(geometry, cells, transient, local)
            elif code == _END:
                _end(geometry, cells, transient, local)
            elif code == _ANSWER and geometry.classes > 0:
                answers[given, 0], answers[given, 1], answers[given, 2] = _answer(geometry, transient.scores, local)
                given += 1
            elif code <= _LABEL and _LABEL - code < geometry.classes:
                _label(geometry, cells, transient.scores, transient.fired, transient.scalars[2], _LABEL - code, local)
            else:  # 10.7
                local[_REFUSED] += 1
        fire_offsets[sample + 1], answer_offsets[sample + 1] = fires, given
    tally += local


@njit(cache=True, nogil=True)
def _spike(geometry, cells, transient, line, tally):
    """3.1"""
    step, dark = transient.scalars[0], transient.scalars[1]
    if dark or line >= geometry.lines:  # 3.8
        tally[_REFUSED] += 1
        return
    for sight in range(geometry.sight_offsets[line], geometry.sight_offsets[line + 1]):
        tile, row = geometry.sight_tiles[sight], geometry.sight_rows[sight]
        if transient.closed[tile]:
            tally[_SHUT_ROWS] += 1
        else:
            weights, membranes = cells.weights[tile, row], transient.membranes[tile]
            top, total = np.uint32(geometry.membrane_top), np.uint32(0)
            for j in range(geometry.neurons):
                weight = np.uint32(weights[j])
                total += weight
                membranes[j] = min(np.uint32(membranes[j] + weight), top)
            tally[_READ_SUM] += np.int64(total)
            tally[_ROW_READS] += 1
            tally[_ACTIVE_SQ_SUM] += 2 * transient.step_reads[tile] + 1
            transient.step_reads[tile] = min(transient.step_reads[tile] + 1, _READS_MAX)
            transient.reads[tile] = min(transient.reads[tile] + 1, _READS_MAX)
            transient.fresh[tile] = False
        if cells.learn:
            pulses = 0
            for unit in range(geometry.learners):
                neuron = transient.unit_neuron[tile, unit]
                if neuron >= 0:
                    amplitude = geometry.pulse_bins[step - transient.unit_stamp[tile, unit]]
                    if amplitude >= 0:
                        _reset_row(geometry, cells, tile, neuron, amplitude, row, tally)
                        pulses += 1
            tally[_RESET_ROWS] += pulses > 0
    tally[_IN_SPIKES] += 1
    tally[_PRE_RECHARGE] += geometry.full_scale - _trace(geometry, transient.line_stamp[line], step)
    transient.line_stamp[line] = step


@njit(cache=True, nogil=True)
def _trace(geometry, stamp, step):
    """4.1: the trace of a recharge at step ``stamp``, 0 if there was none."""
    return 0 if stamp < 0 else geometry.traces[step - stamp]


@njit(cache=True, nogil=True)
def _reset_row(geometry, cells, tile, neuron, amplitude, row, tally):
    """5.2 with the RESET table, on one cell."""
    rows = np.empty(1, np.int32)
    rows[0] = row
    _reset_rows(geometry, cells, tile, neuron, amplitude, rows, 1, tally)


@njit(cache=True, nogil=True)
def _is_live(geometry, transient, tile):
    """3.3"""
    return not transient.closed[tile] and not transient.fresh[tile] and transient.reads[tile] >= geometry.min_spikes


@njit(cache=True, nogil=True)
def _step(geometry, cells, transient, keys, winners, fire_tiles, fire_neurons, fires, tally):
    """3.3. Returns the new number of fires."""
    if transient.scalars[1] or transient.scalars[0] == _STEP_MAX:  # 3.8
        tally[_REFUSED] += 1
        return fires
    if not geometry.race:
        for tile in range(geometry.tiles):
            if _is_live(geometry, transient, tile):
                tally[_DECISIONS] += 1
                largest = _race(transient.membranes[tile], cells.theta[tile], geometry.membrane_top,
                                geometry.index_bits, keys, winners)
                if largest >= cells.theta_base:
                    tally[_OUT_SPIKES] += 1
                    fire_tiles[fires], fire_neurons[fires] = tile, winners[0]
                    fires += 1
                    transient.membranes[tile, :] = 0
                    transient.fresh[tile] = True
                    if cells.learn:
                        _recharge_post(geometry, transient, tile, winners[0], tally)
                        tally[_THETA_CLIPPED] += _raise_theta(cells.theta[tile], winners[0], cells.theta_step,
                                              geometry.threshold_top)
                        _post_spike(geometry, cells, transient, tile, winners[0], tally)
    transient.scalars[0] += 1
    transient.step_reads[:] = 0
    tally[_STEPS] += 1
    return fires


@njit(cache=True, nogil=True)
def _decide(geometry, cells, transient, keys, winners, fire_tiles, fire_neurons, fires, tally):
    """3.4. Returns the new number of fires."""
    if transient.scalars[1] or not geometry.race:  # 3.8
        tally[_REFUSED] += 1
        return fires
    for tile in range(geometry.tiles):
        if _is_live(geometry, transient, tile):
            tally[_DECISIONS] += 1
            tally[_OUT_SPIKES] += geometry.winners
            _race(transient.membranes[tile], cells.theta[tile], geometry.membrane_top, geometry.index_bits, keys,
                  winners)
            for rank in range(geometry.winners):
                fire_tiles[fires], fire_neurons[fires] = tile, winners[rank]
                fires += 1
                if geometry.classes > 0:
                    _read_read_out(geometry, cells, transient, tile * geometry.neurons + winners[rank], rank, tally)
            if cells.learn:
                tally[_THETA_CLIPPED] += _raise_theta(cells.theta[tile], winners[0], cells.theta_step,
                                              geometry.threshold_top)
                for rank in range(geometry.learners):
                    _recharge_post(geometry, transient, tile, winners[rank], tally)
                    _post_spike(geometry, cells, transient, tile, winners[rank], tally)
            transient.closed[tile] = True
    return fires


@njit(cache=True, nogil=True)
def _read_read_out(geometry, cells, transient, row, rank, tally):
    """10.2, 10.3"""
    scores, pulses, total = transient.scores, geometry.winners - rank, 0
    for c in range(geometry.classes):
        added = pulses * np.int64(cells.read_out_weights[row, c])
        total += added
        scores[c] = min(scores[c] + added, geometry.score_top)
    base = _BINS + 4 * geometry.amplitudes
    tally[base + _READ_OUT_READS] += pulses
    tally[base + _READ_OUT_SUM] += total
    transient.fired[transient.scalars[2]] = row
    transient.scalars[2] += 1


@njit(cache=True, nogil=True)
def _recharge_post(geometry, transient, tile, neuron, tally):
    """4.3"""
    step, before, holder = transient.scalars[0], 0, -1
    for unit in range(geometry.learners):
        if transient.unit_neuron[tile, unit] == neuron:
            holder = unit
            before = _trace(geometry, transient.unit_stamp[tile, unit], step)
    if holder < 0:
        holder = transient.next_unit[tile]
        transient.next_unit[tile] = (holder + 1) % geometry.learners
    transient.unit_neuron[tile, holder] = neuron
    transient.unit_stamp[tile, holder] = step
    tally[_POST_RECHARGE] += geometry.full_scale - before


@njit(cache=True, nogil=True)
def _post_spike(geometry, cells, transient, tile, neuron, tally):
    """5.3"""
    rows, ages = np.empty(geometry.rows, np.int32), np.empty(geometry.rows, np.uint8)
    count, step = 0, transient.scalars[0]
    for row in range(geometry.rows):
        stamp = transient.line_stamp[geometry.row_lines[tile, row]]
        if stamp >= 0:
            rows[count], ages[count] = row, step - stamp
            count += 1
    if geometry.flawed:
        _set_rows_flawed(geometry, cells, tile, neuron, rows, ages, count, tally)
    else:
        _set_rows(geometry, cells, tile, neuron, rows, ages, count, tally)


@njit(cache=True, nogil=True)
def _go_dark(geometry, cells, transient, tally):
    """3.5"""
    if transient.scalars[1]:  # 3.8
        tally[_REFUSED] += 1
        return
    for line in range(geometry.lines):
        tally[_DARK_SPIKES] += transient.line_stamp[line] < 0
    if cells.learn:
        rows, step = np.empty(geometry.rows, np.int32), transient.scalars[0]
        for tile in range(geometry.tiles):
            if transient.closed[tile]:
                count = 0
                for row in range(geometry.rows):
                    if transient.line_stamp[geometry.row_lines[tile, row]] < 0:
                        rows[count] = row
                        count += 1
                for unit in range(geometry.learners):
                    neuron = transient.unit_neuron[tile, unit]
                    if neuron >= 0:
                        amplitude = geometry.pulse_bins[step - transient.unit_stamp[tile, unit]]
                        if amplitude >= 0:
                            _reset_rows(geometry, cells, tile, neuron, amplitude, rows, count, tally)
                            tally[_RESET_ROWS] += count
    transient.scalars[1] = 1


@njit(cache=True, nogil=True)
def _end(geometry, cells, transient, tally):
    """3.6"""
    if cells.learn and geometry.theta_leak > 0:
        for tile in range(geometry.tiles):
            _leak(geometry, cells.theta[tile])
    transient.membranes[:] = 0
    transient.reads[:] = 0
    transient.step_reads[:] = 0
    transient.fresh[:] = True
    transient.closed[:] = False
    transient.next_unit[:] = 0
    transient.unit_neuron[:] = -1
    transient.line_stamp[:] = -1
    transient.scalars[:] = 0
    transient.scores[:] = 0
    tally[_SAMPLES] += 1
