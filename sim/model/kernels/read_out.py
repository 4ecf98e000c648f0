"""The read-out crossbar (contract 10)."""

import numpy as np

from .compiling import kernel
from .pulses import advance, pulse_cells
from .reading import drooped, with_read_noise
from .types import ANSWERS, BINS, LABELS, LABELS_RIGHT, READ_OUT_READS, READ_OUT_SUM, TAUGHT

__all__ = ["answer", "label", "read_out_samples", "read_scores", "rival_of"]


@kernel
def read_out_samples(geometry, cells, reading, winners, first, stop, asked, labels, scores, fired, answers, tally):
    """Carry the fires of the samples ``first`` to ``stop`` of a chunk through the read-out.

    ``answers[sample]`` takes column, score and margin where ``asked``. ``scores`` and ``fired`` are scratch.
    ``reading`` is None in the exact model; a non-ideal read-out is read for every sample, noise goes on.
    """
    local = np.zeros_like(tally)
    tiles, ranks, neurons, classes = geometry.tiles, geometry.winners, geometry.neurons, geometry.classes
    weights, top = cells.read_out.weights, geometry.score_top
    reads, total, wanted = 0, 0, reading is not None
    for sample in range(first, stop):
        wanted |= asked[sample] or labels[sample] >= 0
    if not wanted:
        count, total = _read_unasked(weights, winners, first, stop)
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
                        scores[c] += pulses * np.int64(weights[0, row, c])
        read = count // ranks * (ranks * (ranks + 1) // 2)
        if reading is None:
            for c in range(classes):
                total += scores[c]
                scores[c] = min(scores[c], top)  # weights are not negative: holding a sum once is holding it always
        else:
            total += read_scores(reading, tiles, read, top, scores)
        reads += read
        if asked[sample]:
            answers[sample, 0], answers[sample, 1], answers[sample, 2] = answer(geometry, scores, local)
        if labels[sample] >= 0:
            label(geometry, cells, scores, fired, count, labels[sample], local)
    base = BINS + 4 * geometry.amplitudes
    local[base + READ_OUT_READS] += reads
    local[base + READ_OUT_SUM] += total
    tally += local


@kernel
def read_scores(reading, stream, readings, top, scores):
    """Scores of a non-ideal read-out, from 1/256 to weights and held. Returns the weights read."""
    total, x, voltage = 0, reading.noise[stream], 1.0
    if reading.supply > 0.0:
        x = advance(x)
        voltage = drooped(reading.supply, x)
    for c in range(scores.shape[0]):
        total += scores[c] >> 8
        if reading.supply > 0.0:
            scores[c] = np.int64(np.rint(voltage * scores[c]))
        if reading.read_noise > 0.0 and readings:
            x = advance(x)
            scores[c] = with_read_noise(scores[c], reading.read_noise, readings, x)
        scores[c] = min(scores[c] >> 8, top)
    reading.noise[stream] = x
    return total


@kernel
def _read_unasked(weights, winners, first, stop):
    """10.3 where nobody asks for single scores and no weight changes: the sum of all scores will do.

    Returns how many decisions there were, and that sum before it is held.
    """
    tiles, ranks, neurons = winners.shape[0], winners.shape[2], weights.shape[1] // winners.shape[0]
    decisions, total, row_sums = 0, 0, np.empty(neurons, np.int64)
    for tile in range(tiles):
        for j in range(neurons):
            row_sums[j] = 0
            for c in range(weights.shape[2]):
                row_sums[j] += np.int64(weights[0, tile * neurons + j, c])
        for sample in range(first, stop):
            if winners[tile, sample, 0] >= 0:
                decisions += 1
                for rank in range(ranks):
                    total += (ranks - rank) * row_sums[np.uint64(winners[tile, sample, rank])]
    return decisions, total


@kernel
def _best_column(scores, but):
    """The column with the largest score but one, ties the lowest."""
    best = -1
    for c in range(scores.shape[0]):
        if c != but and (best < 0 or scores[c] > scores[best]):
            best = c
    return best


@kernel
def answer(geometry, scores, tally):
    """10.4"""
    tally[BINS + 4 * geometry.amplitudes + ANSWERS] += 1
    best = _best_column(scores, -1)
    return best, scores[best], scores[best] - scores[_best_column(scores, best)]


@kernel
def rival_of(geometry, cells, scores, column, tally):
    """10.5: the rival of a label's column, and whether the label teaches, counted."""
    base = BINS + 4 * geometry.amplitudes
    tally[base + LABELS] += 1
    rival = _best_column(scores, column)
    lead = scores[column] - scores[rival]
    tally[base + LABELS_RIGHT] += lead > 0 or (lead == 0 and column < rival)
    teaches = lead < cells.margin
    tally[base + TAUGHT] += teaches
    return rival, teaches


@kernel
def label(geometry, cells, scores, fired, count, column, tally):
    """10.5"""
    rival, teaches = rival_of(geometry, cells, scores, column, tally)
    if teaches:
        _teach(geometry, cells, fired, count, column, 1, cells.read_out.set_table, tally)
        _teach(geometry, cells, fired, count, rival, -1, cells.read_out.reset_table, tally)


@kernel
def _teach(geometry, cells, fired, count, column, sign, table, tally):
    """10.5: a pulse on one column of every row that fired."""
    crossbar = cells.read_out
    crossbar.random[0], _ = pulse_cells(
        crossbar.levels, crossbar.weights, cells.weight_table, table, 0, column, fired, geometry.listed_bins, count,
        geometry.fraction_bits, geometry.top_level, sign, crossbar.random[0], geometry.amplitudes, tally,
        crossbar.effects, crossbar.real)
