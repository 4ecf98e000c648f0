"""Columns that are read, and the race between them."""

import numpy as np

from .compiling import kernel
from .pulses import advance, noise_of

__all__ = ["add_rows", "drooped", "race", "read_rows", "with_read_noise"]


@kernel
def add_rows(weights, rows, count, sums, quads):
    """3.1: add up the weights of ``rows``, several rows a sweep, so that sums are loaded and stored seldom.

    ``quads`` tells that four weights add up within a byte, in which vectors have the most lanes.
    """
    neurons, i = sums.shape[0], 0
    for column in range(neurons):
        sums[column] = 0
    if quads:
        while i + 4 <= count:
            a, b, c, d = np.uint64(rows[i]), np.uint64(rows[i + 1]), np.uint64(rows[i + 2]), np.uint64(rows[i + 3])
            for column in range(neurons):
                j = np.uint64(column)
                sums[j] += np.uint8(weights[a, j] + weights[b, j] + weights[c, j] + weights[d, j])
            i += 4
    else:
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


@kernel
def with_read_noise(added, read_noise, readings, x):
    """A sum of the weights of so many ``readings``, in 1/256, with their noise; ``x`` is the state just drawn."""
    return max(0, added + np.int64(np.rint(256.0 * read_noise * np.sqrt(np.float64(readings)) * noise_of(x))))


@kernel
def drooped(supply, x):
    """What is left of the voltage of a reading whose supply droops: 1 less a share that ``x`` tells, 62 in the mean."""
    return 1.0 - supply * (noise_of(x) + 62)


@kernel
def read_rows(weights, tile, rows, count, reading, sums):
    """The membranes after reading ``rows`` of a non-ideal chip, in weights. Returns the weights read.

    The bit line is held at row 0: a row loses what the currents of it and of all rows behind it drop on the way. The
    loss is of first order, ``L = R Σ_m S_m²`` with *S_m* the conductance from row *m* on, taken as ``V² / (V + L)``.
    """
    neurons, total, line_loss, full = sums.shape[0], 0, reading.line_loss, reading.full_membrane
    x, voltage = reading.noise[tile], 1.0
    if reading.supply > 0.0:
        x = advance(x)
        voltage = drooped(reading.supply, x)
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
                behind += weights[tile, row, j] / 256.0 + reading.line_floor
                before = row
            loss += behind * behind * (before + 1)
            membrane = added / 256.0
            added = np.int64(np.rint(256.0 * membrane * membrane / (membrane + line_loss * loss)))
        if reading.supply > 0.0:
            added = np.int64(np.rint(voltage * added))
        if full > 0.0:
            added = np.int64(np.rint(256.0 * full * (1.0 - np.exp(-added / (256.0 * full)))))
        if reading.read_noise > 0.0:
            x = advance(x)
            added = with_read_noise(added, reading.read_noise, count, x)
        sums[j] = added >> 8
    reading.noise[tile] = x
    return total


@kernel
def race(membranes, theta, membrane_top, index_bits, keys, fired):
    """3.4: the neurons of largest V - θ into ``fired``, falling; ties lowest first. Returns the largest V - θ.

    A key holds V - θ above the complement of the neuron, so that no two are equal and one maximum gives both; the next
    neuron is the maximum of what is below the last.
    """
    kind = keys.dtype.type
    neurons, top, bits = keys.shape[0], kind(membrane_top), kind(index_bits)
    mask = kind((1 << index_bits) - 1)
    lowest, best = kind(np.iinfo(keys.dtype).min), kind(np.iinfo(keys.dtype).max)
    for j in range(neurons):
        keys[j] = kind(kind(min(kind(membranes[j]), top) - kind(theta[j])) << bits) | kind(mask - kind(j))
    largest = 0
    for rank in range(fired.shape[0]):
        last, best = best, lowest
        for j in range(neurons):
            key = keys[j]
            best = max(best, key if key < last else lowest)
        fired[rank] = mask - (best & mask)
        if rank == 0:
            largest = np.int64(best) >> index_bits
    return largest
