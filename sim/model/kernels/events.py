"""Any events, one after the other."""

import numpy as np

from ohmspike.chip.limits import READS_MAX, STEP_MAX

from .compiling import kernel
from .pulses import leak, pulse_cells, raise_theta
from .read_out import answer, label
from .reading import race
from .types import (
    ACTIVE_SQ_SUM,
    ANSWER,
    BINS,
    CLOSED_TILE_PULSES,
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
)

__all__ = ["end_sample", "run_events", "set_and_reset"]


@kernel
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
            elif code == STEP:
                fires = _step(geometry, cells, transient, keys, winners, fire_tiles, fire_neurons, fires, local)
            elif code == DECIDE:
                fires = _decide(geometry, cells, transient, keys, winners, fire_tiles, fire_neurons, fires, local)
            elif code == DARK:
                _go_dark(geometry, cells, transient, local)
            elif code == END:
                end_sample(geometry, cells, transient, local)
            elif code == ANSWER and geometry.classes > 0:
                answers[given, 0], answers[given, 1], answers[given, 2] = answer(geometry, transient.scores, local)
                given += 1
            elif code <= LABEL and LABEL - code < geometry.classes:
                label(geometry, cells, transient.scores, transient.fired, transient.scalars[2], LABEL - code, local)
            else:  # 10.7
                local[REFUSED] += 1
        fire_offsets[sample + 1], answer_offsets[sample + 1] = fires, given
    tally += local


@kernel
def _spike(geometry, cells, transient, line, tally):
    """3.1"""
    step, dark = transient.scalars[0], transient.scalars[1]
    if dark or line >= geometry.lines:  # 3.8
        tally[REFUSED] += 1
        return
    for sight in range(geometry.sight_offsets[line], geometry.sight_offsets[line + 1]):
        tile, row = geometry.sight_tiles[sight], geometry.sight_rows[sight]
        if transient.closed[tile]:
            tally[CLOSED_TILE_PULSES] += 1
        else:
            weights, membranes = cells.tiles.weights[tile, row], transient.membranes[tile]
            top, total = np.uint32(geometry.membrane_top), np.uint32(0)
            for j in range(geometry.neurons):
                weight = np.uint32(weights[j])
                total += weight
                membranes[j] = min(np.uint32(membranes[j] + weight), top)
            tally[READ_SUM] += np.int64(total)
            tally[ROW_READS] += 1
            tally[ACTIVE_SQ_SUM] += 2 * transient.step_reads[tile] + 1
            transient.step_reads[tile] = min(transient.step_reads[tile] + 1, READS_MAX)
            transient.reads[tile] = min(transient.reads[tile] + 1, READS_MAX)
            transient.fresh[tile] = False
        if cells.learn:
            pulses = 0
            for unit in range(geometry.learners):
                neuron = transient.unit_neuron[tile, unit]
                if neuron >= 0:
                    amplitude = geometry.pulse_bins[step - transient.unit_stamp[tile, unit]]
                    if amplitude >= 0:
                        transient.rows[0], transient.bins[0] = row, amplitude
                        _pulse(geometry, cells, transient, tile, neuron, -1, cells.tiles.reset_table, 1, tally)
                        pulses += 1
            tally[RESET_ROWS] += pulses > 0
    tally[IN_SPIKES] += 1
    tally[PRE_RECHARGE] += geometry.full_scale - _trace(geometry, transient.line_stamp[line], step)
    transient.line_stamp[line] = step


@kernel
def _trace(geometry, stamp, step):
    """4.1: the trace of a recharge at step ``stamp``, 0 if there was none."""
    return 0 if stamp < 0 else geometry.traces[step - stamp]


@kernel
def _is_live(geometry, transient, tile):
    """3.3"""
    return not transient.closed[tile] and not transient.fresh[tile] and transient.reads[tile] >= geometry.min_spikes


@kernel
def _step(geometry, cells, transient, keys, winners, fire_tiles, fire_neurons, fires, tally):
    """3.3. Returns the new number of fires."""
    if transient.scalars[1] or transient.scalars[0] == STEP_MAX:  # 3.8
        tally[REFUSED] += 1
        return fires
    if not geometry.race:
        for tile in range(geometry.tiles):
            if _is_live(geometry, transient, tile):
                tally[DECISIONS] += 1
                largest = race(transient.membranes[tile], cells.theta[tile], geometry.membrane_top,
                                geometry.index_bits, keys, winners)
                if largest >= cells.theta_base:
                    tally[OUT_SPIKES] += 1
                    fire_tiles[fires], fire_neurons[fires] = tile, winners[0]
                    fires += 1
                    if geometry.classes > 0:
                        _read_read_out(geometry, cells, transient, tile * geometry.neurons + winners[0], 0, tally)
                    transient.membranes[tile, :] = 0
                    transient.fresh[tile] = True
                    if cells.learn:
                        if not geometry.post:
                            _recharge_post(geometry, transient, tile, winners[0], tally)
                        tally[THETA_CLIPPED] += raise_theta(cells.theta[tile], winners[0], cells.theta_step,
                                              geometry.threshold_top)
                        _post_spike(geometry, cells, transient, tile, winners[0], tally)
    transient.scalars[0] += 1
    transient.step_reads[:] = 0
    tally[STEPS] += 1
    return fires


@kernel
def _decide(geometry, cells, transient, keys, winners, fire_tiles, fire_neurons, fires, tally):
    """3.4. Returns the new number of fires."""
    if transient.scalars[1] or not geometry.race:  # 3.8
        tally[REFUSED] += 1
        return fires
    for tile in range(geometry.tiles):
        if _is_live(geometry, transient, tile):
            tally[DECISIONS] += 1
            tally[OUT_SPIKES] += geometry.winners
            race(transient.membranes[tile], cells.theta[tile], geometry.membrane_top, geometry.index_bits, keys,
                  winners)
            for rank in range(geometry.winners):
                fire_tiles[fires], fire_neurons[fires] = tile, winners[rank]
                fires += 1
                if geometry.classes > 0:
                    _read_read_out(geometry, cells, transient, tile * geometry.neurons + winners[rank], rank, tally)
            if cells.learn:
                tally[THETA_CLIPPED] += raise_theta(cells.theta[tile], winners[0], cells.theta_step,
                                              geometry.threshold_top)
                for rank in range(geometry.learners):
                    _recharge_post(geometry, transient, tile, winners[rank], tally)
                    _post_spike(geometry, cells, transient, tile, winners[rank], tally)
            transient.closed[tile] = True
    return fires


@kernel
def _read_read_out(geometry, cells, transient, row, rank, tally):
    """10.2, 10.3"""
    scores, pulses, total = transient.scores, geometry.winners - rank, 0
    for c in range(geometry.classes):
        added = pulses * np.int64(cells.read_out.weights[0, row, c])
        total += added
        scores[c] = min(scores[c] + added, geometry.score_top)
    base = BINS + 4 * geometry.amplitudes
    tally[base + READ_OUT_READS] += pulses
    tally[base + READ_OUT_SUM] += total
    if transient.scalars[2] < transient.fired.shape[0]:  # 10.1
        transient.fired[transient.scalars[2]] = row
        transient.scalars[2] += 1


@kernel
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
    tally[POST_RECHARGE] += geometry.full_scale - before


@kernel
def _pulse(geometry, cells, transient, tile, neuron, sign, table, count, tally):
    """Pulses on cells of ``neuron`` in the first ``count`` rows of the scratch. Returns how many were given."""
    crossbar = cells.tiles
    crossbar.random[tile], given = pulse_cells(
        crossbar.levels, crossbar.weights, cells.weight_table, table, tile, neuron, transient.rows, transient.bins,
        count, geometry.fraction_bits, geometry.top_level, sign, crossbar.random[tile], geometry.amplitudes, tally,
        crossbar.effects, crossbar.real)
    return given


@kernel
def _post_spike(geometry, cells, transient, tile, neuron, tally):
    """5.3"""
    count, step = 0, transient.scalars[0]
    tally[SET_EVENTS] += 1
    if geometry.post:
        set_and_reset(geometry, cells, transient, tile, neuron, tally)
        return
    for row in range(geometry.rows):
        stamp = transient.line_stamp[geometry.row_lines[tile, row]]
        if stamp >= 0:
            transient.rows[count], transient.bins[count] = row, geometry.pulse_bins[step - stamp]
            count += 1
    _pulse(geometry, cells, transient, tile, neuron, 1, cells.tiles.set_table, count, tally)


@kernel
def set_and_reset(geometry, cells, transient, tile, neuron, tally):
    """5.3 with depression at the post spike: one pulse for every row, in ascending order."""
    step = transient.scalars[0]
    for row in range(geometry.rows):
        stamp = transient.line_stamp[geometry.row_lines[tile, row]]
        amplitude = geometry.pulse_bins[step - stamp] if stamp >= 0 else -1
        transient.rows[0] = row
        if amplitude >= 0:
            transient.bins[0] = amplitude
            _pulse(geometry, cells, transient, tile, neuron, 1, cells.tiles.set_table, 1, tally)
        else:
            transient.bins[0] = geometry.amplitudes - 1
            tally[RESET_ROWS] += _pulse(geometry, cells, transient, tile, neuron, -1, cells.tiles.reset_table, 1, tally)


@kernel
def _go_dark(geometry, cells, transient, tally):
    """3.5"""
    if transient.scalars[1]:  # 3.8
        tally[REFUSED] += 1
        return
    for line in range(geometry.lines):
        tally[DARK_SPIKES] += transient.line_stamp[line] < 0
    if cells.learn:
        step = transient.scalars[0]
        for tile in range(geometry.tiles):
            if transient.closed[tile]:
                count = 0
                for row in range(geometry.rows):
                    if transient.line_stamp[geometry.row_lines[tile, row]] < 0:
                        transient.rows[count] = row
                        count += 1
                for unit in range(geometry.learners):
                    neuron = transient.unit_neuron[tile, unit]
                    if neuron >= 0:
                        amplitude = geometry.pulse_bins[step - transient.unit_stamp[tile, unit]]
                        if amplitude >= 0:
                            transient.bins[:count] = amplitude
                            tally[RESET_ROWS] += _pulse(geometry, cells, transient, tile, neuron, -1,
                                                        cells.tiles.reset_table, count, tally)
    transient.scalars[1] = 1


@kernel
def end_sample(geometry, cells, transient, tally):
    """3.6"""
    if cells.learn and geometry.theta_leak > 0:
        for tile in range(geometry.tiles):
            leak(cells.theta[tile], geometry.theta_leak)
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
    tally[SAMPLES] += 1

