"""Whole samples of a chip that fires at a threshold, step by step.

``(SPIKE | STEP)* [ANSWER] [LABEL] END`` in threshold mode, where nothing but a STEP pulses cells: in a chip with
depression at the post spike, or with learning off. Until its STEP such a sample only adds up weights, so a tile reads
all lines of a step at once, several rows a sweep.
"""

import numpy as np

from ohmspike.chip.limits import READS_MAX, STEP_MAX

from .compiling import kernel
from .events import end_sample, set_and_reset
from .pulses import set_and_reset_column
from .read_out import answer, label
from .types import (
    ACTIVE_SQ_SUM,
    ANSWER,
    BINS,
    CLIPPED_HIGH,
    CLIPPED_LOW,
    DECISIONS,
    END,
    IN_SPIKES,
    LABEL,
    OUT_SPIKES,
    PRE_RECHARGE,
    READ_OUT_READS,
    READ_OUT_SUM,
    READ_SUM,
    RESET_ROWS,
    ROW_READS,
    SET_EVENTS,
    STEP,
    STEPS,
    THETA_CLIPPED,
)

__all__ = ["run_free"]


@kernel
def _spikes_end(geometry, codes, begin, end):
    """Where ANSWER, LABEL and END of a sample begin; -1 if :func:`run_free` does not take it."""
    last = end - 1
    if last < begin or codes[last] != END:
        return -1
    if last > begin and LABEL - geometry.classes < codes[last - 1] <= LABEL:
        last -= 1
    if last > begin and codes[last - 1] == ANSWER and geometry.classes > 0:
        last -= 1
    steps, low, high = 0, np.int32(0), np.int32(0)
    for i in range(begin, last):
        low, high = min(low, codes[i]), max(high, codes[i])
        steps += codes[i] == STEP
    return last if low >= STEP and high < geometry.lines and steps <= STEP_MAX else -1


@kernel
def _gather(codes, at, last, step, stamps, traces, sight_offsets, sight_tiles, sight_rows, waiting, counts):
    """3.1 without its reads: the rows that the lines from event ``at`` on would read wait for the STEP.

    Returns the event after the last of them, of which there are at most as many as there is room for, and Σ of the
    traces before; ``traces[STEP_MAX + 1]`` is that of a line that has not spiked.
    """
    left = np.int64(0)
    room = waiting.shape[1]
    event, end = np.uint64(at), np.uint64(min(last, at + room))
    while event < end and codes[event] >= 0:
        line = np.uint64(codes[event])
        stamp = stamps[line]
        left += traces[np.uint64(step - stamp if stamp >= 0 else STEP_MAX + 1)]
        stamps[line] = step
        for sight in range(sight_offsets[line], sight_offsets[line + np.uint64(1)]):
            tile = np.uint64(sight_tiles[np.uint64(sight)])
            count = np.uint64(counts[tile])
            waiting[tile, count] = sight_rows[np.uint64(sight)]
            counts[tile] = count + np.uint64(1)
        event += np.uint64(1)
    return np.int64(event), left


@kernel
def _read(weights, tile, waiting, first, stop, sums, membranes, theta, top):
    """3.1a for the waiting rows ``first`` to ``stop``. Returns Σ of the weights, and the largest V - θ then."""
    z, neurons = np.uint64(tile), sums.shape[0]
    for column in range(neurons):
        sums[np.uint64(column)] = 0
    i = first
    while i + 8 <= stop:
        a, b = np.uint64(waiting[z, np.uint64(i)]), np.uint64(waiting[z, np.uint64(i + 1)])
        c, d = np.uint64(waiting[z, np.uint64(i + 2)]), np.uint64(waiting[z, np.uint64(i + 3)])
        e, f = np.uint64(waiting[z, np.uint64(i + 4)]), np.uint64(waiting[z, np.uint64(i + 5)])
        g, h = np.uint64(waiting[z, np.uint64(i + 6)]), np.uint64(waiting[z, np.uint64(i + 7)])
        for column in range(neurons):
            j = np.uint64(column)
            sums[j] += (weights[z, a, j] + weights[z, b, j] + weights[z, c, j] + weights[z, d, j]
                        + weights[z, e, j] + weights[z, f, j] + weights[z, g, j] + weights[z, h, j])
        i += 8
    while i + 4 <= stop:
        a, b = np.uint64(waiting[z, np.uint64(i)]), np.uint64(waiting[z, np.uint64(i + 1)])
        c, d = np.uint64(waiting[z, np.uint64(i + 2)]), np.uint64(waiting[z, np.uint64(i + 3)])
        for column in range(neurons):
            j = np.uint64(column)
            sums[j] += weights[z, a, j] + weights[z, b, j] + weights[z, c, j] + weights[z, d, j]
        i += 4
    while i < stop:
        a = np.uint64(waiting[z, np.uint64(i)])
        for column in range(neurons):
            j = np.uint64(column)
            sums[j] += weights[z, a, j]
        i += 1
    total, largest, highest = np.int64(0), np.int32(-2**31), np.uint32(top)
    for column in range(neurons):
        j = np.uint64(column)
        membrane = min(np.uint32(membranes[z, j] + sums[j]), highest)
        membranes[z, j] = membrane
        largest = max(largest, np.int32(np.int32(membrane) - np.int32(theta[z, j])))
    for column in range(neurons):
        total += np.int64(sums[np.uint64(column)])
    return total, np.int64(largest)


@kernel
def _first_at(membranes, theta, tile, largest):
    """The lowest neuron whose V - θ is the largest."""
    z = np.uint64(tile)
    for neuron in range(membranes.shape[1]):
        j = np.uint64(neuron)
        if np.int64(membranes[z, j]) - np.int64(theta[z, j]) == largest:
            return neuron
    return -1


@kernel
def _read_read_out(weights, row, scores, top):
    """10.2: one read pulse. Returns Σ of the weights."""
    total, i = 0, np.uint64(row)
    for column in range(scores.shape[0]):
        c = np.uint64(column)
        weight = np.int64(weights[0, i, c])
        total += weight
        scores[c] = min(scores[c] + weight, top)
    return total


@kernel
def run_free(geometry, cells, transient, codes, offsets, first, stop, sums, fire_tiles, fire_neurons, fire_offsets,
             answers, answer_offsets, tally):
    """Carry out the samples ``first`` to ``stop``, up to the first that is not of this kind. Returns how many.

    The chip must be between two samples. What fires and is answered begins at index 0 of its arrays, which must have
    room for all of it; the type of ``sums`` must hold the weights of all rows of a tile. Inner loops get arrays alone:
    to hand over all of :class:`Geometry` and :class:`Cells` takes longer than what they do.
    """
    local = np.zeros_like(tally)
    tiles, rows, amplitudes, min_spikes = geometry.tiles, geometry.rows, geometry.amplitudes, geometry.min_spikes
    waiting, counts = np.empty((tiles, geometry.lines), np.int32), np.zeros(tiles, np.int64)
    tables = np.empty((amplitudes + 1, geometry.top_level + 1), np.uint16)
    tables[0], tables[1:] = cells.tiles.reset_table[amplitudes - 1], cells.tiles.set_table
    pulses, pulse_weights = np.zeros(amplitudes + 1, np.int64), np.zeros(amplitudes + 1, np.int64)
    levels, weights, random, theta = cells.tiles.levels, cells.tiles.weights, cells.tiles.random, cells.theta
    membranes, stamps, fresh = transient.membranes, transient.line_stamp, transient.fresh
    reads, step_reads = transient.reads, transient.step_reads
    sight_offsets, sight_tiles, sight_rows = geometry.sight_offsets, geometry.sight_tiles, geometry.sight_rows
    row_lines, top, base = geometry.row_lines, geometry.membrane_top, np.int64(cells.theta_base)
    traces, bins = geometry.traces.copy(), geometry.pulse_bins + 1  # behind all ages that of a line that was silent
    traces[STEP_MAX + 1], bins[STEP_MAX + 1] = 0, 0
    learning, plain, theta_step = cells.learn, not cells.tiles.effects.present, np.int64(cells.theta_step)
    threshold_top, fraction, top_level = geometry.threshold_top, geometry.fraction_bits, geometry.top_level
    weight_table, read_out = cells.weight_table, cells.read_out.weights
    scores, fired = transient.scores, transient.fired
    classes, score_top, neurons, read_out_sum = geometry.classes, geometry.score_top, geometry.neurons, 0
    fires, given, done, recharge, spikes, steps = 0, 0, 0, 0, 0, 0
    row_reads, read_sum, squares, decisions, high, low, clipped = 0, 0, 0, 0, 0, 0, 0
    fire_offsets[0], answer_offsets[0] = 0, 0
    for sample in range(first, stop):
        last = _spikes_end(geometry, codes, offsets[sample], offsets[sample + 1])
        if last < 0:
            break
        step, event, begun, listed = 0, offsets[sample], fires, 0
        while event < last:
            after, left = _gather(codes, event, last, step, stamps, traces, sight_offsets, sight_tiles, sight_rows,
                                  waiting, counts)
            spikes += after - event
            recharge += (after - event) * geometry.full_scale - left
            event = after
            stepping = event < last and codes[event] == STEP
            for tile in range(tiles):
                largest, count, at = base - 1, counts[tile], 0
                if count:
                    before = np.int64(step_reads[tile])
                    held = min(before + count, READS_MAX)
                    squares += held * held - before * before + (before + count - held) * (2 * READS_MAX + 1)  # 8.3
                    step_reads[tile] = held
                    reads[tile] = min(reads[tile] + count, READS_MAX)
                    fresh[tile] = False
                    row_reads += count
                    while at < count:
                        total, largest = _read(weights, tile, waiting, at, min(count, at + rows), sums, membranes,
                                               theta, top)
                        read_sum += total
                        at += rows
                    counts[tile] = 0
                elif step_reads[tile]:  # lines that did not fit in one go
                    largest = _largest(membranes, theta, tile)
                if not stepping:
                    continue
                step_reads[tile] = 0
                if fresh[tile] or reads[tile] < min_spikes:  # 3.3
                    continue
                decisions += 1
                if largest < base:  # so it is where nothing came since the tile did not fire
                    continue
                neuron = _first_at(membranes, theta, tile, largest)
                fire_tiles[fires], fire_neurons[fires] = tile, neuron
                fires += 1
                if classes > 0:
                    read_out_sum += _read_read_out(read_out, tile * neurons + neuron, scores, score_top)
                    if listed < fired.shape[0]:  # 10.1
                        fired[listed] = tile * neurons + neuron
                        listed += 1
                for j in range(neurons):
                    membranes[tile, j] = 0
                fresh[tile] = True
                if not learning:
                    continue
                raised = np.int64(theta[tile, neuron]) + theta_step  # 6.1
                theta[tile, neuron] = min(raised, threshold_top)
                clipped += raised > threshold_top
                if plain:
                    random[tile], over, under = set_and_reset_column(
                        levels, weights, weight_table, tables, tile, row_lines, stamps, step, bins, fraction, top_level,
                        neuron, random[tile], pulses, pulse_weights)
                    high += over
                    low += under
                else:
                    transient.scalars[0] = step
                    set_and_reset(geometry, cells, transient, tile, neuron, local)
            if stepping:
                step += 1
                event += 1
        steps += step
        local[OUT_SPIKES] += fires - begun
        for event in range(last, offsets[sample + 1]):
            code = codes[event]
            if code == ANSWER:
                answers[given, 0], answers[given, 1], answers[given, 2] = answer(geometry, scores, local)
                given += 1
            elif code <= LABEL:
                label(geometry, cells, scores, fired, listed, LABEL - code, local)
        end_sample(geometry, cells, transient, local)
        done += 1
        fire_offsets[done], answer_offsets[done] = fires, given
    if classes > 0:
        local[BINS + 4 * amplitudes + READ_OUT_READS] += local[OUT_SPIKES]
        local[BINS + 4 * amplitudes + READ_OUT_SUM] += read_out_sum
    local[RESET_ROWS] += pulses[0]
    for amplitude in range(-1, amplitudes):  # 8.7
        at = BINS + (amplitude if amplitude >= 0 else 3 * amplitudes - 1)
        local[at] += pulses[amplitude + 1]
        local[at + amplitudes] += pulse_weights[amplitude + 1]
    if learning:
        local[SET_EVENTS] += local[OUT_SPIKES]
    local[STEPS] += steps
    local[IN_SPIKES] += spikes
    local[PRE_RECHARGE] += recharge
    local[ROW_READS] += row_reads
    local[READ_SUM] += read_sum
    local[ACTIVE_SQ_SUM] += squares
    local[DECISIONS] += decisions
    local[CLIPPED_HIGH] += high
    local[CLIPPED_LOW] += low
    local[THETA_CLIPPED] += clipped
    tally += local
    return done


@kernel
def _largest(membranes, theta, tile):
    """The largest V - θ of a tile."""
    z, largest = np.uint64(tile), np.int64(-2**62)
    for neuron in range(membranes.shape[1]):
        j = np.uint64(neuron)
        largest = max(largest, np.int64(membranes[z, j]) - np.int64(theta[z, j]))
    return largest
