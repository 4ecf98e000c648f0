"""The compiled loops of the imperfect model: whole latency-coded samples, tile by tile, every cell with its own flaws.

With no flaws they do to the bit what :mod:`ohmspike.sim.model.kernels` does; numbers in comments are clauses of
docs/contract.md. Few arguments and no slices of shared arrays in inner loops, as there. ``weights`` are
those of the cells, in 1/256, kept in step with their levels.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from . import kernels
from .kernels import (
    _ACTIVE_SQ_SUM,
    _BINS,
    _CLIPPED_HIGH,
    _CLIPPED_LOW,
    _DECISIONS,
    _OUT_SPIKES,
    _POST_RECHARGE,
    _READ_SUM,
    _RESET_ROWS,
    _ROW_READS,
    _SET_EVENTS,
    _THETA_CLIPPED,
    _advance,
    _answer,
    _best_column,
    _gather,
    _leak,
    _noise,
    _raise_theta,
)

__all__ = ["Flaws", "race_flawed", "read_out_flawed"]


class Flaws(NamedTuple):
    """What is wrong with a chip, as the loops take it. Gains are in 1/256; a cell that never wears has no limit.

    Arrays of the tiles have the shape of their levels, those named ``read_out_*`` the shape of the levels there.
    """

    stuck: np.ndarray  # bool
    step_gain: np.ndarray  # uint16
    weight_gain: np.ndarray  # uint16
    wear: np.ndarray  # uint32: pulses so far
    limit: np.ndarray  # uint32: pulses after which the cell stays where it is
    read_out_stuck: np.ndarray
    read_out_step_gain: np.ndarray
    read_out_weight_gain: np.ndarray
    read_out_wear: np.ndarray
    read_out_limit: np.ndarray
    offsets: np.ndarray  # int32 of shape (tiles, neurons): on the thresholds
    noise: np.ndarray  # uint32 of shape (tiles + 1,): random states of reading
    level_weights: np.ndarray  # int64 of shape (levels,): weights in 1/256
    c2c: int  # deviation of one pulse, in 2**-fraction_bits levels, over that of the noise
    read_noise: float  # deviation of one reading of one cell, in weights, over that of the noise
    line_loss: float  # resistance of the bit line from cell to cell times the conductance of one weight
    line_floor: float  # conductance of a cell of weight 0, in weights
    full_membrane: float  # membrane that an unclamped bit line never passes, in weights; 0 is a clamped one


@njit(cache=True, nogil=True)
def _pulse_cells(levels, weights, stuck, gain, weight_gain, wear, limit, level_weights, table, bins, plane, column,
                 rows, count, fraction, top, c2c, sign, x, tally, at, amplitudes):
    """A pulse of amplitude bin ``bins[i]`` on the cell ``[plane, rows[i], column]`` for every *i*; a bin of -1 is none.

    5.2 with ``step = ⌊(entry · gain + u + n · c2c) / 2^fraction_bits⌋``, *n* of 5.5. A cell that is stuck or worn draws
    and counts like any other, and stays. Returns the random state.
    """
    clipped = 0
    for i in range(count):
        amplitude = bins[i]
        if amplitude < 0:
            continue
        row = rows[i]
        level = np.int64(levels[plane, row, column])
        tally[at + amplitude] += 1
        tally[at + amplitudes + amplitude] += np.int64(weights[plane, row, column]) >> 8
        x = _advance(x)
        entry = (np.int64(table[amplitude, level]) * np.int64(gain[plane, row, column])) >> 8
        step = (entry + np.int64(x >> np.uint32(32 - fraction)) + _noise(x) * c2c) >> fraction
        moved = level + sign * step
        held = max(0, min(moved, top))
        clipped += moved != held
        used = wear[plane, row, column]
        if not stuck[plane, row, column] and used < limit[plane, row, column]:
            levels[plane, row, column] = held
            weights[plane, row, column] = (level_weights[held] * np.int64(weight_gain[plane, row, column])) >> 8
        wear[plane, row, column] = used + np.uint32(1)
    tally[_CLIPPED_HIGH if sign > 0 else _CLIPPED_LOW] += clipped
    return x


@njit(cache=True, nogil=True)
def _read_rows(weights, tile, rows, count, line_loss, line_floor, full, noise, x, sums):
    """The membranes after reading ``rows``, in weights. Returns the random state and the weights read.

    The bit line is held at row 0: a row loses what the currents of it and of all rows behind it drop on the way. The
    loss is of first order, ``L = R Σ_m S_m²`` with *S_m* the conductance from row *m* on, taken as ``V² / (V + L)``.
    """
    neurons, total = sums.shape[0], 0
    for j in range(neurons):
        sums[j] = 0
    for i in range(count):
        row = np.uint64(rows[i])
        for j in range(neurons):
            sums[j] += weights[tile, row, j]
    for j in range(neurons):
        added = sums[j]
        total += added >> 8
        if line_loss > 0.0 and added > 0:
            behind, loss, before = 0.0, 0.0, rows[count - 1]
            for i in range(count - 1, -1, -1):
                row = rows[i]
                loss += behind * behind * (before - row)
                behind += weights[tile, row, j] / 256.0 + line_floor
                before = row
            loss += behind * behind * (before + 1)
            membrane = added / 256.0
            added = np.int64(np.rint(256.0 * membrane * membrane / (membrane + line_loss * loss)))
        if full > 0.0:
            added = np.int64(np.rint(256.0 * full * (1.0 - np.exp(-added / (256.0 * full)))))
        if noise > 0.0:
            x = _advance(x)
            added = max(0, added + np.int64(np.rint(256.0 * noise * np.sqrt(np.float64(count)) * _noise(x))))
        sums[j] = added >> 8
    return x, total


@njit(cache=True, nogil=True)
def race_flawed(geometry, cells, flaws, weights, stamps, steps, dark, count, first_tile, last_tile, winners, tally):
    """As :func:`ohmspike.sim.model.kernels.race_samples`, on cells with flaws."""
    rows, neurons, learners, amplitudes = geometry.rows, geometry.neurons, geometry.learners, geometry.amplitudes
    spoken, silent = np.empty(rows + 1, np.int32), np.empty(rows + 1, np.int32)
    ages, bins, fresh = np.empty(rows + 1, np.int64), np.empty(rows + 1, np.int64), np.full(rows + 1, amplitudes - 1)
    sums, theta = np.empty(neurons, np.int64), np.empty(neurons, np.int64)
    keys, fired = np.empty(neurons, np.int64), np.empty(geometry.winners, np.int16)
    step_reads, pulse_bins = np.zeros(kernels._STEP_MAX + 2, np.int64), geometry.pulse_bins
    levels, stuck, gain, weight_gain, wear, limit = (
        cells.levels, flaws.stuck, flaws.step_gain, flaws.weight_gain, flaws.wear, flaws.limit)
    level_weights, c2c, fraction, top = flaws.level_weights, flaws.c2c, geometry.fraction_bits, geometry.top_level
    set_table, reset_table = cells.set_table, cells.reset_table
    local = np.zeros_like(tally)
    for tile in range(first_tile, last_tile):
        lines, own_theta = geometry.row_lines[tile], cells.theta[tile]
        x, noise_x = cells.random[tile], flaws.noise[tile]
        for sample in range(count):
            last_step = steps[sample]
            reads = _gather(lines, stamps, sample, spoken, silent)
            winners[tile, sample, 0] = -1
            for i in range(reads):
                ages[i] = last_step - stamps[sample, lines[spoken[i]]]
                step_reads[ages[i]] += 1
            for age in range(last_step + 1):
                local[_ACTIVE_SQ_SUM] += step_reads[age] * step_reads[age]
                step_reads[age] = 0
            local[_ROW_READS] += reads
            if reads:  # 3.1
                noise_x, total = _read_rows(weights, tile, spoken, reads, flaws.line_loss, flaws.line_floor,
                                            flaws.full_membrane, flaws.read_noise, noise_x, sums)
                local[_READ_SUM] += total
            if reads >= geometry.min_spikes:  # 3.4
                local[_DECISIONS] += 1
                local[_OUT_SPIKES] += geometry.winners
                for j in range(neurons):
                    theta[j] = np.int64(own_theta[j]) + flaws.offsets[tile, j]
                kernels._race(sums, theta, geometry.membrane_top, geometry.index_bits, keys, fired)
                for rank in range(geometry.winners):
                    winners[tile, sample, rank] = fired[rank]
                if cells.learn:
                    local[_THETA_CLIPPED] += _raise_theta(own_theta, fired[0], cells.theta_step,
                                                          geometry.threshold_top)
                    local[_POST_RECHARGE] += learners * geometry.full_scale
                    local[_SET_EVENTS] += learners
                    for i in range(reads):
                        bins[i] = pulse_bins[ages[i]]
                    for rank in range(learners):
                        x = _pulse_cells(levels, weights, stuck, gain, weight_gain, wear, limit, level_weights,
                                         set_table, bins, tile, fired[rank], spoken, reads, fraction, top, c2c, 1, x,
                                         local, _BINS, amplitudes)
                    if dark[sample]:  # 3.5
                        for rank in range(learners):
                            x = _pulse_cells(levels, weights, stuck, gain, weight_gain, wear, limit, level_weights,
                                             reset_table, fresh, tile, fired[rank], silent, rows - reads, fraction,
                                             top, c2c, -1, x, local, _BINS + 2 * amplitudes, amplitudes)
                        local[_RESET_ROWS] += learners * (rows - reads)
            if cells.learn and geometry.theta_leak > 0:
                _leak(geometry, own_theta)
        cells.random[tile], flaws.noise[tile] = x, noise_x
    tally += local


@njit(cache=True, nogil=True)
def read_out_flawed(geometry, cells, flaws, read_out_weights, winners, count, asked, labels, answers, tally):
    """As :func:`ohmspike.sim.model.kernels.read_out_samples`, on cells with flaws."""
    tiles, ranks, neurons, classes = geometry.tiles, geometry.winners, geometry.neurons, geometry.classes
    amplitudes, fraction, top, c2c = geometry.amplitudes, geometry.fraction_bits, geometry.top_level, flaws.c2c
    shape = (1, *cells.read_out.shape)
    levels, weights = cells.read_out.reshape(shape), read_out_weights.reshape(shape)
    stuck = flaws.read_out_stuck.reshape(shape)
    gain, weight_gain = flaws.read_out_step_gain.reshape(shape), flaws.read_out_weight_gain.reshape(shape)
    wear, limit = flaws.read_out_wear.reshape(shape), flaws.read_out_limit.reshape(shape)
    level_weights, set_table, reset_table = flaws.level_weights, cells.read_out_set, cells.read_out_reset
    fired, bins = np.empty(tiles * ranks, np.int64), np.empty(tiles * ranks, np.int64)
    sums, scores = np.empty(classes, np.int64), np.empty(classes, np.int64)
    x, noise_x = cells.random[tiles], flaws.noise[tiles]
    base, noisy = kernels._BINS + 4 * amplitudes, flaws.read_noise > 0.0
    for sample in range(count):
        listed, squares = 0, 0
        sums[:] = 0
        for tile in range(tiles):
            if winners[tile, sample, 0] >= 0:
                for rank in range(ranks):
                    row, pulses = tile * neurons + winners[tile, sample, rank], ranks - rank
                    fired[listed], bins[listed] = row, geometry.rank_bins[rank]
                    listed += 1
                    squares += pulses
                    for c in range(classes):
                        sums[c] += pulses * np.int64(weights[0, row, c])
        tally[base + kernels._READ_OUT_READS] += squares
        for c in range(classes):
            tally[base + kernels._READ_OUT_SUM] += sums[c] >> 8
            if noisy and squares:
                noise_x = _advance(noise_x)
                sums[c] = max(0, sums[c] + np.int64(np.rint(
                    256.0 * flaws.read_noise * np.sqrt(np.float64(squares)) * _noise(noise_x))))
            scores[c] = min(sums[c] >> 8, geometry.score_top)
        if asked[sample]:
            answers[sample, 0], answers[sample, 1], answers[sample, 2] = _answer(geometry, scores, tally)
        label = labels[sample]
        if label >= 0:  # 10.5
            tally[base + kernels._LABELS] += 1
            rival = _best_column(scores, label)
            lead = scores[label] - scores[rival]
            tally[base + kernels._LABELS_RIGHT] += lead > 0 or (lead == 0 and label < rival)
            if lead < cells.margin:
                tally[base + kernels._TAUGHT] += 1
                x = _pulse_cells(levels, weights, stuck, gain, weight_gain, wear, limit, level_weights, set_table, bins,
                                 0, label, fired, listed, fraction, top, c2c, 1, x, tally, _BINS, amplitudes)
                x = _pulse_cells(levels, weights, stuck, gain, weight_gain, wear, limit, level_weights, reset_table,
                                 bins, 0, rival, fired, listed, fraction, top, c2c, -1, x, tally,
                                 _BINS + 2 * amplitudes, amplitudes)
    cells.random[tiles], flaws.noise[tiles] = x, noise_x
