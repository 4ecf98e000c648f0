"""SET and RESET pulses, and what else learns: thresholds.

The rule of a pulse stands once, in :func:`_pulsed`. Three loops put it to rows of a column: :func:`pulse_column` and
:func:`set_and_reset_column` for the commonest cases and fast, :func:`pulse_cells` for any.
"""

import numpy as np

from ohmspike.chip.limits import STEP_MAX

from .compiling import inlined, kernel
from .types import BINS, CLIPPED_HIGH, CLIPPED_LOW

__all__ = ["advance", "leak", "lower_column", "noise_of", "pulse_cells", "raise_column", "raise_theta",
           "real_weight", "set_and_reset_column"]


@inlined
def advance(x):
    """7.2: the next state of xorshift32."""
    x = np.uint32(x ^ np.uint32(x << np.uint32(13)))
    x = np.uint32(x ^ np.uint32(x >> np.uint32(17)))
    return np.uint32(x ^ np.uint32(x << np.uint32(5)))


@inlined
def noise_of(x):
    """5.5: four of the low five-bit fields of a random state, added up: mean 0, deviation 18.466, at most 62."""
    return (np.int64(x & np.uint32(31)) + np.int64(x >> np.uint32(5) & np.uint32(31))
            + np.int64(x >> np.uint32(10) & np.uint32(31)) + np.int64(x >> np.uint32(15) & np.uint32(31)) - 62)


@inlined
def _pulsed(level, sign, moves, fraction, top):
    """5.2: the level after a pulse, and whether it had to be held at a rail.

    The pulse ``moves`` the cell by so many 2^-fraction levels: table, draw and noise.
    """
    moved = level + sign * (moves >> fraction)
    held = max(0, min(moved, top))
    return held, moved != held


@inlined
def _pulse_column(levels, weights, weight_table, table, fraction_bits, top_level, sign, column, rows, count, x):
    """Pulses of one amplitude bin, whose table is ``table``, on the cell of ``column`` in every one of ``rows``.

    Returns the random state, how many pulses were clipped and the weights before them.

    Few arguments: to hand over all of :class:`Geometry` and :class:`Cells` takes longer than the pulses. Unsigned
    indices need no check for negative ones.
    """
    shift, j, clipped, weight = np.uint32(32 - fraction_bits), np.uint64(column), 0, 0
    for i in range(count):
        row = np.uint64(rows[i])
        level = levels[row, j]
        weight += np.int64(weights[row, j])
        x = advance(x)
        moves = np.int64(table[np.uint64(level)]) + np.int64(x >> shift)
        held, cut = _pulsed(np.int64(level), sign, moves, fraction_bits, top_level)
        clipped += cut
        levels[row, j] = held
        weights[row, j] = weight_table[np.uint64(held)]
    return x, clipped, weight


@kernel
def raise_column(levels, weights, weight_table, table, fraction_bits, top_level, column, rows, count, x):
    """SET pulses, as :func:`_pulse_column`."""
    return _pulse_column(levels, weights, weight_table, table, fraction_bits, top_level, 1, column, rows, count, x)


@kernel
def lower_column(levels, weights, weight_table, table, fraction_bits, top_level, column, rows, count, x):
    """RESET pulses, as :func:`_pulse_column`."""
    return _pulse_column(levels, weights, weight_table, table, fraction_bits, top_level, -1, column, rows, count, x)


@inlined
def real_weight(real, plane, row, column, level):
    """Weight of a real cell in 1/256: what its level conducts and its last write missed by, times its gain."""
    weight = max(0, real.level_weights[level] + np.int64(real.missed[plane, row, column]))
    return (weight * np.int64(real.weight_gain[plane, row, column])) >> 8


@inlined
def _strength(real, sign, entry):
    """Strength of the noise of a pulse that follows its step ``entry``."""
    size = np.float64(entry)
    if real.noise_law == 1:
        size = np.sqrt(size)
    return np.int64(np.rint(real.step_noise[0 if sign > 0 else 1] * size))


@kernel
def set_and_reset_column(levels, weights, weight_table, tables, tile, row_lines, stamps, step, bins, fraction_bits,
                         top_level, column, x, given, read):
    """5.3 with depression at the post spike: a pulse on the cell of ``column`` in every row of a tile, ascending.

    ``tables[0]`` is the RESET table of the largest bin, ``tables[1 + a]`` the SET table of bin *a*. ``given`` and
    ``read`` count pulses and the weights before them alike; ``bins`` gives their index by the age of a line's spike,
    and by ``STEP_MAX + 1`` where it was silent: no branch, which would be guessed wrong. Returns the random state and
    how many SET, and how many RESET pulses were clipped.
    """
    shift, z, j, high, low = np.uint32(32 - fraction_bits), np.uint64(tile), np.uint64(column), 0, 0
    for i in range(row_lines.shape[1]):
        row = np.uint64(i)
        stamp = stamps[np.uint64(row_lines[z, row])]
        at = np.uint64(bins[np.uint64(step - stamp if stamp >= 0 else STEP_MAX + 1)])
        level = levels[z, row, j]
        given[at] += 1
        read[at] += np.int64(weights[z, row, j])
        x = advance(x)
        moves = np.int64(tables[at, np.uint64(level)]) + np.int64(x >> shift)
        held, cut = _pulsed(np.int64(level), 1 if at else -1, moves, fraction_bits, top_level)
        high += cut and at > 0
        low += cut and at == 0
        levels[z, row, j] = held
        weights[z, row, j] = weight_table[np.uint64(held)]
    return x, high, low


@kernel
def pulse_cells(levels, weights, weight_table, table, plane, column, rows, bins, count, fraction, top, sign, x,
                amplitudes, tally, effects, real):
    """A pulse of amplitude bin ``bins[i]`` on the cell ``[plane, rows[i], column]`` for every *i*, counted.

    None where the bin is -1. Returns the random state and how many pulses were given.

    Real cells move by their own share of the table's entry, with noise that may follow it, and miss what they were
    written by an error of each write; one that has worn out draws and counts like any other, and stays.
    """
    at, clipped, given = BINS if sign > 0 else BINS + 2 * amplitudes, 0, 0
    shift, z, j = np.uint32(32 - fraction), np.uint64(plane), np.uint64(column)
    for i in range(count):
        amplitude = bins[i]
        if amplitude < 0:
            continue
        row = np.uint64(rows[i])
        if effects.present and effects.half > 0:  # 5.7
            tally[effects.tally] += 1
            amount = effects.amounts[i] if effects.ranks > 0 else amplitude + 1
            count_of = (np.int64(effects.counts[z, row, j]) ^ effects.half) - effects.half + sign * amount
            if sign * count_of < effects.threshold:
                effects.counts[z, row, j] = count_of & (2 * effects.half - 1)
                continue
            effects.counts[z, row, j] = 0
            amplitude = amplitudes - 1
        given += 1
        level, weight = np.int64(levels[z, row, j]), np.int64(weights[z, row, j])
        entry, strength = np.int64(table[amplitude, level]), np.int64(effects.write_noise)
        if real is not None:
            weight >>= 8
            entry = (entry * np.int64(real.step_gain[z, row, j])) >> 8
            if real.noise_law > 0:
                strength = _strength(real, sign, entry)
        x = advance(x)
        moves = entry + np.int64(x >> shift)
        if effects.present:  # 5.5
            moves += noise_of(x) * strength
        held, cut = _pulsed(level, sign, moves, fraction, top)
        tally[at + amplitude] += 1
        tally[at + amplitudes + amplitude] += weight
        clipped += cut
        stays = False
        if effects.present:  # 5.6
            stays = effects.stuck[z, row, j] != 0
        if real is not None:
            used = real.wear[z, row, j]
            stays = stays or used >= real.limit[z, row, j]
            real.wear[z, row, j] = used + np.uint32(1)
        if not stays:
            levels[z, row, j] = held
            if real is None:
                weights[z, row, j] = weight_table[held]
            else:
                if real.write_error > 0.0:
                    real.writing[z] = advance(real.writing[z])
                    real.missed[z, row, j] = np.int32(np.rint(real.write_error * noise_of(real.writing[z])))
                weights[z, row, j] = real_weight(real, z, row, j, held)
    tally[CLIPPED_HIGH if sign > 0 else CLIPPED_LOW] += clipped
    if effects.present and effects.ranks > 0 and effects.tally >= 0:  # 8.8
        tally[effects.tally + 1] += given
    return x, given


@kernel
def raise_theta(theta, neuron, step, top):
    """6.1. Returns whether the threshold was held at its top."""
    raised = np.int64(theta[neuron]) + step
    theta[neuron] = min(raised, top)
    return raised > top


@kernel
def leak(theta, shift):
    """3.6"""
    for j in range(theta.shape[0]):
        theta[j] -= theta[j] >> np.uint32(shift)
