"""The oracle against cases worked out by hand, clause by clause of docs/contract.md."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.chip.instructions import counter_names
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState


def small(cells=None, **fields) -> Oracle:
    """One tile of three rows and two neurons, pulses of bin *a* move a cell by exactly *a* + 1 levels.

    Traces run 15, 7, 3, 1, 0 and lie in the bins 3, 1, 0, 0.
    """
    chip = Chip(**({
        "name": "small", "plane_height": 1, "plane_width": 3, "patch_height": 1, "patch_width": 3, "stride": 1,
        "neurons": 2, "winners": 1, "learners": 1, "levels": 16, "weight_bits": 4, "membrane_bits": 8,
        "threshold_bits": 8, "trace_bits": 4, "trace_shift": 1, "amplitudes": 4, "fraction_bits": 8,
        "theta_step": 5.0} | fields))
    oracle = Oracle(chip)
    oracle.state.learn = True
    steps = np.repeat((np.arange(chip.amplitudes, dtype=np.uint16)[:, None] + 1) * 256, chip.levels, axis=1)
    oracle.state.set, oracle.state.reset = steps.copy(), steps.copy()
    oracle.state.levels[:] = 8 if cells is None else np.array(cells, np.uint8)
    return oracle


def counted(oracle) -> dict[str, int]:
    """The counters that are not zero."""
    return {name: oracle.counter(name) for name in counter_names(oracle.chip) if oracle.counter(name)}


# 5.7: accumulation


def counts(oracle):
    """Counts beside the cells of the only tile, as numbers."""
    half = 1 << oracle.chip.accumulate_bits - 1
    return ((oracle.state.accumulated[0].astype(int) ^ half) - half).tolist()


def test_counts_add_up_amplitudes_and_a_cell_gets_one_full_pulse_for_them():
    oracle = small(accumulate_bits=5, accumulate_threshold=6)
    oracle.state.theta_step = 0
    before = int(oracle.state.random[0])
    for line in (0, 1):
        oracle.spike(line)
        oracle.step()  # line 0 then has a trace of 3, bin 0, line 1 one of 7, bin 1
    oracle.decide()
    assert counts(oracle) == [[1, 0], [2, 0], [0, 0]] and (oracle.state.levels == 8).all()
    assert oracle.state.random[0] == before, "a pulse that is only counted draws nothing"
    assert counted(oracle) | {"set_events": 1, "accumulations": 2} == counted(oracle)
    oracle.dark()  # line 2 never spiked: a RESET pulse of full amplitude, bin 3, counts 4
    assert counts(oracle) == [[1, 0], [2, 0], [-4, 0]] and oracle.counter("reset_rows") == 0
    oracle.end()
    oracle.spike(2)
    oracle.decide()
    assert counts(oracle) == [[1, 0], [2, 0], [0, 0]], "what contradicts itself cancels"
    oracle.dark()
    assert counts(oracle) == [[-3, 0], [-2, 0], [0, 0]]
    oracle.end()
    oracle.spike(2)
    oracle.decide()
    oracle.dark()
    assert counts(oracle) == [[0, 0], [0, 0], [4, 0]], "at -6 or below it is given"
    assert oracle.state.levels[0].tolist() == [[4, 8], [4, 8], [8, 8]]
    assert [oracle.counter(name) for name in ("reset_rows", "reset_pulses[3]", "accumulations")] == [2, 2, 9]


def test_a_threshold_that_is_lowered_acts_at_the_next_pulse():
    oracle = small(accumulate_bits=5, accumulate_threshold=15)
    oracle.state.accumulated[0, 0, 0] = 14
    oracle.state.accumulate_threshold = 3
    oracle.spike(0)
    oracle.decide()
    assert counts(oracle) == [[0, 0], [0, 0], [0, 0]] and oracle.state.levels[0, 0, 0] == 12


def test_ranks_count_in_the_read_out():
    oracle = small(winners=2, classes=2, margin=255, score_bits=8, read_out_set_step=0.0, read_out_reset_step=0.0,
                   read_out_accumulate_bits=4, read_out_accumulate_threshold=4)
    oracle.state.learn = False
    oracle.state.read_out_set[:] = oracle.state.read_out_reset[:] = 256 * np.arange(1, 5)[:, None]
    for taught, expected in ((1, [[2, -2], [1, -1]]), (2, [[0, 0], [2, -2]]), (3, [[2, -2], [3, -3]])):
        oracle.spike(0)
        oracle.decide()
        oracle.label(0)
        oracle.end()
        held = oracle.state.read_out_accumulated.astype(int)
        assert ((held ^ 8) - 8).tolist() == expected, taught
    assert oracle.state.read_out.tolist() == [[12, 4], [8, 8]], "one pulse of the largest bin for the first rank"
    assert oracle.counter("read_out_accumulations") == 12 and oracle.counter("read_out_pulses") == 2
    assert oracle.counter("accumulations") == 0


# 2, 3.1: reading


def test_state_starts_as_the_chip_says():
    oracle = small()
    fresh = ChipState.initial(oracle.chip)
    assert not fresh.learn and fresh.theta_step == 5 and fresh.theta_base == 0
    assert fresh.theta.sum() == 0 and fresh.counters.sum() == 0
    assert oracle.step_number == 0 and not oracle.is_dark and oracle.fresh.all() and not oracle.closed.any()


def test_a_spike_reads_its_row():
    oracle = small([[[1, 2], [3, 4], [5, 6]]])
    oracle.spike(0)
    oracle.spike(2)
    assert oracle.membranes.tolist() == [[6, 8]]
    assert oracle.reads.tolist() == [2] and not oracle.fresh[0]
    assert oracle.pre_traces.tolist() == [15, 0, 15] and oracle.spiked.tolist() == [True, False, True]
    assert counted(oracle) == {"in_spikes": 2, "row_reads": 2, "read_sum": 14, "active_sq_sum": 4, "pre_recharge": 30}


def test_weights_come_from_the_table():
    oracle = small([[[0, 1], [2, 2], [2, 2]]], weights=tuple(range(15, -1, -1)))
    oracle.spike(0)
    assert oracle.membranes.tolist() == [[15, 14]]


def test_membranes_saturate_and_the_sum_of_weights_does_not():
    oracle = small([[[15, 3]] * 3], membrane_bits=4)
    for line in (0, 1):
        oracle.spike(line)
    assert oracle.membranes.tolist() == [[15, 6]]
    assert oracle.counter("read_sum") == 36


def test_read_pulses_saturate():
    oracle = small()
    for _ in range(4100):
        oracle.spike(1)
    assert oracle.reads.tolist() == [4095]
    assert oracle.counter("row_reads") == 4100
    assert oracle.counter("active_sq_sum") == 4095**2 + 5 * (2 * 4095 + 1)
    assert oracle.counter("pre_recharge") == 15  # recharging a full trace adds nothing


def test_a_line_nobody_sees_still_speaks():
    oracle = small(plane_width=4, stride=2)  # one tile on lines 0 to 2
    oracle.spike(3)
    assert counted(oracle) == {"in_spikes": 1, "pre_recharge": 15}
    assert oracle.spiked.tolist() == [False, False, False, True]


def test_every_tile_that_sees_a_line_reads_it():
    oracle = small(plane_width=5)  # tiles on lines 0-2, 1-3, 2-4
    oracle.spike(2)
    assert oracle.reads.tolist() == [1, 1, 1]
    oracle.spike(0)
    assert oracle.reads.tolist() == [2, 1, 1]
    assert oracle.membranes[:, 0].tolist() == [16, 8, 8]
    assert oracle.counter("active_sq_sum") == 4 + 1 + 1


# 3.2


def test_a_frame_is_its_spikes_and_ignores_padding():
    one, other = small(), small()
    one.frame(bytes([0b11111101]))
    other.spike(0)
    other.spike(2)
    assert not one.state.differences(other.state)
    assert one.membranes.tolist() == other.membranes.tolist()


# 3.3: threshold mode


def free(cells=None, **fields):
    return small(cells, **({"fire_mode": "threshold", "theta_base": 10, "learners": 2} | fields))


def test_the_largest_neuron_fires_at_its_threshold():
    oracle = free([[[9, 10], [0, 0], [0, 0]]])
    oracle.spike(0)
    assert oracle.step() == [(0, 1)]
    assert oracle.membranes.tolist() == [[0, 0]] and oracle.fresh[0] and oracle.reads.tolist() == [1]
    assert oracle.state.theta.tolist() == [[0, 5]]
    assert oracle.state.levels[0].tolist() == [[9, 14], [0, 0], [0, 0]]  # SET of bin 3: four levels
    assert oracle.units == [[(1, 7), None]]  # recharged before the step number rises
    assert counted(oracle) == {
        "steps": 1, "in_spikes": 1, "row_reads": 1, "read_sum": 19, "active_sq_sum": 1, "decisions": 1, "out_spikes": 1,
        "set_events": 1, "pre_recharge": 15, "post_recharge": 15, "set_pulses[3]": 1, "set_weight[3]": 10}


@pytest.mark.parametrize("level, base, theta, fires", [(9, 10, 0, 0), (10, 10, 0, 1), (15, 10, 6, 0), (15, 10, 5, 1)])
def test_a_neuron_fires_at_and_above_base_plus_theta(level, base, theta, fires):
    oracle = free([[[level, 0]] * 3])
    oracle.state.theta_base = base
    oracle.state.theta[:] = theta
    oracle.spike(0)
    assert len(oracle.step()) == fires
    assert oracle.counter("decisions") == 1


def test_differences_below_zero_are_below_every_base():
    oracle = free([[[1, 0]] * 3])
    oracle.state.theta_base = 0
    oracle.state.theta[:] = 2
    oracle.spike(0)
    assert oracle.step() == []


def test_ties_go_to_the_lowest_neuron():
    oracle = free([[[12, 12]] * 3])
    oracle.spike(0)
    assert oracle.step() == [(0, 0)]


def test_a_fresh_tile_and_a_tile_with_few_pulses_do_not_evaluate():
    oracle = free([[[12, 12]] * 3], min_spikes=2)
    oracle.spike(0)
    assert oracle.step() == [] and oracle.counter("decisions") == 0
    oracle.spike(1)
    assert len(oracle.step()) == 1
    assert oracle.step() == [] and oracle.counter("decisions") == 1  # fresh
    oracle.spike(2)  # pulses of the sample stay counted, so one is enough now
    assert len(oracle.step()) == 1 and oracle.counter("decisions") == 2


def test_not_learning_changes_no_cell():
    oracle = free([[[12, 12]] * 3])
    oracle.state.learn = False
    before = oracle.state.copy()
    oracle.spike(0)
    assert oracle.step() == [(0, 0)]
    assert oracle.units == [[None, None]]
    before.counters = oracle.state.counters
    assert not oracle.state.differences(before)


# 3.1b, 4: traces


def test_traces_decay_by_steps():
    oracle = small()
    oracle.spike(0)
    seen = []
    for _ in range(5):
        seen.append(int(oracle.pre_traces[0]))
        oracle.step()
    assert seen == [15, 7, 3, 1, 0]
    assert oracle.spiked[0]


@pytest.mark.parametrize("bits, shift", [(8, 3), (4, 7), (8, 7), (5, 1)])
def test_a_trace_is_the_table_of_its_age(bits, shift):
    oracle = small(trace_bits=bits, trace_shift=shift)
    oracle.spike(0)
    table = oracle.chip.trace_table.tolist() + [0] * 255
    for age in range(254):
        assert oracle.pre_traces[0] == table[age]
        oracle.step()


def test_a_pre_spike_resets_by_the_post_trace():
    oracle = free([[[12, 1], [5, 1], [6, 1]]])
    oracle.spike(0)
    oracle.step()  # neuron 0 fires; its post-trace is now 7
    oracle.spike(1)
    assert oracle.state.levels[0, 1].tolist() == [3, 1]  # bin 1: two levels
    assert oracle.membranes.tolist() == [[5, 1]]  # read first, then pulse
    assert [oracle.counter(name) for name in ("reset_rows", "reset_pulses[1]", "reset_weight[1]")] == [1, 1, 5]
    for _ in range(3):
        oracle.step()
    oracle.spike(2)  # the post-trace is 0 now
    assert oracle.state.levels[0, 2].tolist() == [6, 1] and oracle.counter("reset_rows") == 1


def test_units_are_taken_in_turn_and_recharged_by_their_holder():
    oracle = free([[[15, 0, 0]] * 3], neurons=3, learners=2, theta_base=1)
    oracle.state.set[:] = oracle.state.reset[:] = 0
    for neuron in (1, 0, 1, 2):
        oracle.state.levels[:] = 0
        oracle.state.levels[0, :, neuron] = 15
        oracle.state.theta[:] = 0
        oracle.spike(0)
        assert oracle.step() == [(0, neuron)]
    # 1 took unit 0, 0 took unit 1, 1 recharged unit 0, 2 took unit 0 from 1
    assert oracle.units == [[(2, 7), (0, 1)]]
    assert oracle.counter("post_recharge") == 15 + 15 + (15 - 3) + 15


def test_units_act_in_ascending_order_and_count_one_row():
    oracle = free([[[15, 0]] * 3], theta_base=1)
    for neuron in (1, 0):
        oracle.state.levels[:] = 8
        oracle.state.levels[0, :, neuron] = 15
        oracle.state.theta[:] = 0
        oracle.spike(0)
        oracle.step()
    assert oracle.units == [[(1, 3), (0, 7)]]
    oracle.state.levels[:] = 8
    before = oracle.counter("reset_rows")
    oracle.spike(2)
    assert oracle.state.levels[0, 2].tolist() == [6, 7]
    assert oracle.counter("reset_rows") == before + 1


# 3.4 - 3.6: race mode


def test_decide_ranks_by_membrane_minus_theta():
    oracle = small([[[5, 9, 7, 9]] * 3], neurons=4, winners=3, learners=2)
    oracle.state.theta[:] = [[0, 4, 0, 0]]
    oracle.spike(0)
    assert oracle.decide() == [(0, 3), (0, 2), (0, 0)]  # 9, 7, then 5 before 9 - 4 by the tie
    assert oracle.closed.tolist() == [True]
    assert oracle.state.theta.tolist() == [[0, 4, 0, 5]]  # rank 0 only
    assert oracle.units == [[(3, 15), (2, 15)]]
    assert oracle.state.levels[0].tolist() == [[5, 9, 11, 13], [5, 9, 7, 9], [5, 9, 7, 9]]
    assert counted(oracle) == {
        "in_spikes": 1, "row_reads": 1, "read_sum": 30, "active_sq_sum": 1, "decisions": 1, "out_spikes": 3,
        "set_events": 2, "pre_recharge": 15, "post_recharge": 30, "set_pulses[3]": 2, "set_weight[3]": 16}


def test_an_old_spike_sets_less():
    oracle = small()
    oracle.spike(0)
    oracle.step()
    oracle.spike(1)
    oracle.decide()
    assert oracle.state.levels[0, :, 0].tolist() == [10, 12, 8]  # bins 1 and 3


def test_a_vanished_trace_sets_nothing_but_the_post_spike_counts():
    oracle = small()
    oracle.spike(0)
    for _ in range(4):
        oracle.step()
    oracle.decide()
    assert (oracle.state.levels == 8).all() and oracle.counter("set_events") == 1


def test_a_closed_tile_does_not_read_but_is_reset():
    oracle = small()
    oracle.spike(0)
    oracle.decide()
    before = oracle.membranes.tolist()
    oracle.spike(1)
    assert oracle.membranes.tolist() == before and oracle.reads.tolist() == [1]
    assert oracle.state.levels[0, 1].tolist() == [4, 8]
    counts = [oracle.counter(name) for name in ("closed_tile_pulses", "row_reads", "reset_rows")]
    assert counts == [1, 1, 1]
    assert oracle.decide() == [] and oracle.counter("decisions") == 1


def test_a_tile_that_was_not_live_stays_open():
    oracle = small(plane_width=6, stride=3, min_spikes=2)  # tiles on lines 0-2 and 3-5
    oracle.frame(bytes([0b001011]))
    assert oracle.decide() == [(0, 0)]
    assert oracle.closed.tolist() == [True, False]
    oracle.spike(4)
    assert oracle.decide() == [(1, 0)]


def test_dark_lines_reset_the_winner():
    oracle = small([[[9, 8], [9, 8], [1, 8]]], plane_width=4)  # line 3 is seen by tile 1 only
    oracle.state.levels[1] = 0
    oracle.spike(0)
    oracle.decide()
    oracle.dark()
    assert oracle.is_dark
    assert oracle.state.levels[0].tolist() == [[13, 8], [5, 8], [0, 8]]
    assert oracle.state.levels[1].tolist() == [[0, 0]] * 3  # open: tile 1 never saw a spike
    assert counted(oracle) == {
        "in_spikes": 1, "dark_spikes": 3, "row_reads": 1, "read_sum": 17, "active_sq_sum": 1, "decisions": 1,
        "out_spikes": 1, "set_events": 1, "reset_rows": 2, "pre_recharge": 15, "post_recharge": 15, "clipped_low": 1,
        "set_pulses[3]": 1, "set_weight[3]": 9, "reset_pulses[3]": 2, "reset_weight[3]": 10}


def test_dark_goes_unit_by_unit_with_the_trace_of_now():
    oracle = small(winners=2, learners=2, membrane_bits=8)
    oracle.spike(0)
    oracle.decide()
    oracle.step()
    oracle.dark()
    assert oracle.state.levels[0].tolist() == [[12, 12], [6, 6], [6, 6]]  # bin 1
    assert oracle.counter("reset_rows") == 4


def test_dark_without_learning_only_counts():
    oracle = small()
    oracle.state.learn = False
    oracle.spike(0)
    oracle.decide()
    oracle.dark()
    assert (oracle.state.levels == 8).all() and oracle.counter("dark_spikes") == 2


def test_end_starts_over():
    oracle = small(winners=2, learners=2)
    oracle.spike(0)
    oracle.step()
    oracle.decide()
    oracle.dark()
    oracle.end()
    assert oracle.membranes.sum() == 0 and oracle.reads.sum() == 0 and oracle.fresh.all()
    assert not oracle.closed.any() and oracle.units == [[None, None]] and oracle.pre_traces.sum() == 0
    assert not oracle.spiked.any() and oracle.step_number == 0 and not oracle.is_dark
    assert oracle.counter("samples") == 1


@pytest.mark.parametrize("learn, expected", [(True, [[75, 8]]), (False, [[100, 10]])])
def test_thresholds_leak_at_the_end_while_learning(learn, expected):
    oracle = small(theta_leak=2)
    oracle.state.theta[:] = [[100, 10]]
    oracle.state.learn = learn
    oracle.end()
    assert oracle.state.theta.tolist() == expected


# 3.8, 3.9


def test_refused_events_only_count():
    oracle = small()
    oracle.spike(3)
    assert counted(oracle) == {"refused": 1} and not oracle.spiked.any()
    oracle.dark()
    oracle.spike(0)
    oracle.spike(3)
    oracle.frame(b"\x07")
    oracle.step()
    oracle.decide()
    oracle.dark()
    assert counted(oracle) == {"refused": 7, "dark_spikes": 3} and oracle.step_number == 0
    oracle.end()
    oracle.spike(0)
    assert oracle.counter("in_spikes") == 1


def test_the_255th_step_is_refused():
    oracle = free()
    for _ in range(254):
        oracle.step()
    assert oracle.step_number == 254 and oracle.counter("refused") == 0
    oracle.spike(0)
    oracle.state.levels[:] = 15
    assert oracle.step() == [] and oracle.step_number == 254 and oracle.counter("decisions") == 0
    assert (oracle.counter("refused"), oracle.counter("steps")) == (1, 254)


def test_decide_is_refused_in_threshold_mode():
    oracle = free()
    oracle.spike(0)
    assert oracle.decide() == [] and oracle.counter("refused") == 1 and not oracle.closed.any()


def test_units_outlive_learning_but_are_made_only_by_it():
    oracle = small()
    oracle.spike(0)
    oracle.decide()
    oracle.state.learn = False
    oracle.spike(1)
    assert oracle.state.levels[0, 1, 0] == 8
    oracle.state.learn = True
    oracle.spike(1)
    assert oracle.state.levels[0, 1, 0] == 4


# 5, 6, 7.2, 8


def test_pulses_hold_at_the_rails_and_draw_there():
    oracle = small([[[14, 0], [2, 0], [0, 0]]])
    oracle.spike(0)
    oracle.decide()
    oracle.dark()
    assert oracle.state.levels[0, :, 0].tolist() == [15, 0, 0]
    assert (oracle.counter("clipped_high"), oracle.counter("clipped_low")) == (1, 2)
    state = int(ChipState.initial(oracle.chip).random[0])
    for _ in range(3):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
    assert oracle.state.random[0] == state


@pytest.mark.parametrize("entry, moved", [(0x100 - 0x42, 1), (0x100 - 0x43, 0), (0x200 - 0x42, 2)])
def test_a_step_is_rounded_by_the_top_bits_of_the_draw(entry, moved):
    oracle = small()
    oracle.state.random[:] = 1  # next state 0x00042021
    oracle.state.set[:] = entry
    oracle._draw(0)
    assert oracle.state.random[0] == 0x00042021
    oracle.state.random[:] = _before(0x42000000)
    oracle.spike(0)
    oracle.decide()
    assert oracle.state.levels[0, 0, 0] == 8 + moved


def _before(target):
    """The xorshift32 state whose next one is ``target``."""
    def undo(value, shift, left):
        found = value
        for _ in range(32):
            found = value ^ ((found << shift & 0xFFFFFFFF) if left else found >> shift)
        return found
    return undo(undo(undo(target, 5, True), 17, False), 13, True)


def test_theta_is_cut_off_at_its_top():
    oracle = small(threshold_bits=4, theta_base=0)
    oracle.state.theta[:] = 11
    oracle.spike(0)
    oracle.decide()
    assert oracle.state.theta.tolist() == [[15, 11]] and oracle.counter("theta_clipped") == 1
    oracle.end()
    oracle.state.theta[:] = 10
    oracle.spike(0)
    oracle.decide()
    assert oracle.state.theta.tolist() == [[15, 10]] and oracle.counter("theta_clipped") == 1


def test_counters_wrap():
    oracle = small()
    oracle.state.counters[:] = 2**64 - 1
    oracle.spike(0)
    assert oracle.counter("in_spikes") == 0 and oracle.counter("pre_recharge") == 14


def test_reads_are_squared_step_by_step():
    oracle = small()
    oracle.frame(b"\x07")
    oracle.step()
    oracle.frame(b"\x03")
    assert oracle.counter("active_sq_sum") == 9 + 4


# 10: the read-out


def reading(cells, neuron_levels=(9, 8), **fields) -> Oracle:
    """:func:`small` with a read-out of three classes whose pulses move cells by one more than their bin; not learning.

    Neurons fire in the order of ``neuron_levels``; with two winners their traces are 15 and 8, bins 3 and 2.
    """
    count = len(neuron_levels)
    oracle = small(**({"neurons": count, "winners": count, "classes": 3, "score_bits": 8, "margin": 10} | fields))
    state = oracle.state
    state.learn = False
    state.levels[:] = neuron_levels
    state.read_out[:] = cells
    state.read_out_set, state.read_out_reset = state.set.copy(), state.reset.copy()
    return oracle


def raced(oracle, *lines) -> Oracle:
    for line in lines or (0,):
        oracle.spike(line)
    oracle.decide()
    return oracle


def test_the_read_out_starts_in_the_middle_with_tables_and_a_random_state_of_its_own():
    oracle = small(classes=3, plane_width=4, score_bits=8, margin=77, set_step=0.2)
    state = ChipState.initial(oracle.chip)
    assert state.read_out.tolist() == [[8, 8, 8]] * 4 and state.margin == 77 and oracle.scores.tolist() == [0, 0, 0]
    assert state.random.tolist() == ChipState.initial(small(plane_width=5).chip).random.tolist()  # as that of a tile 2
    # 0.016 * 15 * 256 = 61.44 in every cell of the top bin, 1 / 7, 3 / 7 and 5 / 7 of it below
    assert state.read_out_set.tolist() == state.read_out_reset.tolist() == [[entry] * 16 for entry in (9, 26, 44, 61)]
    bound = small(classes=3, margin=0, read_out_set_bound=2.0, read_out_reset_bound=3.0).chip.read_out_tables()
    assert bound[0][3, [0, 15]].tolist() == [61, 8] and bound[1][3, [0, 15]].tolist() == [3, 61]  # e^-2, e^-3


def test_a_fire_sends_a_pulse_more_than_the_ranks_behind_it():
    oracle = raced(reading([[1, 2, 3], [4, 5, 6]]))
    assert oracle.scores.tolist() == [2 * 1 + 4, 2 * 2 + 5, 2 * 3 + 6]
    assert [oracle.counter(name) for name in ("read_out_reads", "read_out_sum")] == [3, 2 * 6 + 15]
    oracle = raced(reading([[1, 2, 3], [4, 5, 6]], neuron_levels=(8, 9)))
    assert oracle.scores.tolist() == [1 + 2 * 4, 2 + 2 * 5, 3 + 2 * 6]


def test_rows_of_the_read_out_are_tile_by_tile():
    oracle = reading([[1, 0, 0], [2, 0, 0], [4, 0, 0], [8, 0, 0]], plane_width=6, stride=3)
    raced(oracle, 3)
    assert oracle.scores.tolist() == [2 * 4 + 8, 0, 0]
    raced(oracle, 0)  # the tile that has fired is closed, its fires stand
    assert oracle.scores.tolist() == [2 * 4 + 8 + 2 * 1 + 2, 0, 0]


def test_scores_hold_at_their_top_and_the_sum_does_not():
    oracle = raced(reading([[15, 7, 8], [15, 1, 0]], weight_bits=8, weights=tuple(range(0, 256, 17)), membrane_bits=12))
    assert oracle.scores.tolist() == [255, 2 * 119 + 17, 255]  # 3 * 255, 255, 2 * 136
    assert oracle.counter("read_out_sum") == 3 * 255 + 255 + 2 * 136


@pytest.mark.parametrize("cells, answer", [
    ([1, 2, 3], (2, 9, 3)), ([3, 1, 3], (0, 9, 0)), ([2, 5, 5], (1, 15, 0)), ([7, 1, 2], (0, 21, 15)),
    ([0, 0, 0], (0, 0, 0))])
def test_the_answer_is_the_largest_score_with_its_lead(cells, answer):
    oracle = raced(reading([cells, cells]))
    assert oracle.answer() == answer == oracle.answer()
    assert oracle.counter("answers") == 2


def test_a_label_sets_its_column_and_resets_the_rival():
    oracle = raced(reading([[5, 5, 6], [1, 3, 2]]))
    scores = oracle.scores.tolist()
    assert scores == [11, 13, 14]
    oracle.label(0)
    assert oracle.state.read_out.tolist() == [[9, 5, 2], [4, 3, 0]]  # four levels in rank 0, three in rank 1, held at 0
    assert oracle.scores.tolist() == scores
    found = counted(oracle)
    assert {name: found[name] for name in found if "_pulses" in name or "_weight" in name or "clipped" in name} == {
        "clipped_low": 1, "set_pulses[3]": 1, "set_weight[3]": 5, "set_pulses[2]": 1, "set_weight[2]": 1,
        "reset_pulses[3]": 1, "reset_weight[3]": 6, "reset_pulses[2]": 1, "reset_weight[2]": 2}
    assert (found["labels"], found["taught"], found.get("labels_right", 0)) == (1, 1, 0)
    assert "set_events" not in found and "reset_rows" not in found
    oracle.label(0)  # the rows are still listed
    assert oracle.state.read_out.tolist() == [[13, 5, 0], [7, 3, 0]]


@pytest.mark.parametrize("cells, label, rival", [
    ([5, 5, 5], 1, 0), ([5, 5, 5], 0, 1), ([5, 6, 6], 0, 1), ([5, 6, 6], 1, 2), ([5, 6, 6], 2, 1), ([9, 6, 6], 0, 1)])
def test_the_rival_is_the_best_of_the_others_the_lowest_of_equals(cells, label, rival):
    oracle = raced(reading([cells, cells]))
    oracle.label(label)
    moved = (oracle.state.read_out[0].astype(int) - cells).tolist()
    assert moved == [4 if c == label else -4 if c == rival else 0 for c in range(3)]


@pytest.mark.parametrize("label, margin, taught", [(0, 6, 0), (0, 7, 1), (1, 0, 1), (2, 0, 1), (0, 0, 0), (0, 255, 1)])
def test_a_label_teaches_below_the_margin_only(label, margin, taught):
    oracle = raced(reading([[7, 5, 5], [7, 5, 5]]))  # leads by 6
    oracle.state.margin = margin
    before = oracle.state.read_out.copy()
    oracle.label(label)
    assert oracle.counter("taught") == taught and (oracle.state.read_out != before).any() == bool(taught)


@pytest.mark.parametrize("cells, label, right", [
    ([5, 5, 5], 0, 1), ([5, 5, 5], 1, 0), ([5, 6, 6], 1, 1), ([5, 6, 6], 2, 0), ([5, 6, 7], 2, 1), ([5, 6, 7], 0, 0)])
def test_a_label_is_right_if_it_is_the_answer(cells, label, right):
    oracle = raced(reading([cells, cells]))
    assert (oracle.answer()[0] == label) == bool(right)
    oracle.label(label)
    assert oracle.counter("labels_right") == right


def test_traces_of_ranks_are_rounded_up():
    oracle = raced(reading(8, neuron_levels=(9, 8, 7)))  # 15, 10 and 5 of 15: bins 3, 2, 1
    oracle.label(1)
    assert oracle.state.read_out.tolist() == [[4, 12, 8], [5, 11, 8], [6, 10, 8]]
    assert oracle.chip.trace_of_rank == [15, 10, 5]
    assert small(neurons=7, winners=7, classes=2, margin=0).chip.trace_of_rank == [15, 13, 11, 9, 7, 5, 3]


def test_all_set_pulses_are_drawn_before_all_reset_pulses_from_the_state_of_the_read_out():
    oracle = raced(reading(8))
    oracle.state.read_out_set[:] = 1 * 256 + 0x80  # one level, or two in half of the draws
    oracle.state.read_out_reset[:] = 2 * 256 + 0x80
    x, draws, tiles = int(oracle.state.random[1]), [], oracle.state.random[:1].tolist()
    for _ in range(4):
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        draws.append(x >> 31)
    oracle.label(2)
    assert oracle.state.read_out.tolist() == [
        [8 - 2 - draws[2], 8, 8 + 1 + draws[0]], [8 - 2 - draws[3], 8, 8 + 1 + draws[1]]]
    assert oracle.state.random.tolist() == [*tiles, x]


def test_rows_are_taught_in_the_order_in_which_they_fired():
    oracle = reading(8, plane_width=6, stride=3)
    raced(oracle, 3)
    raced(oracle, 0)
    oracle.state.read_out_set[:] = 0x80  # no level, or one
    oracle.state.read_out_reset[:] = 0
    x, draws = int(oracle.state.random[2]), []
    for _ in range(4):
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        draws.append(x >> 31)
    oracle.label(0)
    assert oracle.state.read_out[:, 0].tolist() == [8 + draws[2], 8 + draws[3], 8 + draws[0], 8 + draws[1]]


def test_labels_and_answers_act_in_a_dark_sample_and_whether_learning_is_on_or_not():
    for learn in (False, True):
        oracle = raced(reading(8))
        oracle.state.learn = learn
        oracle.dark()
        oracle.label(0)
        assert oracle.answer() == (0, 24, 0) and oracle.counter("refused") == 0
        assert oracle.state.read_out.tolist() == [[12, 4, 8], [11, 5, 8]]


def test_the_end_forgets_scores_and_list():
    oracle = raced(reading([[1, 2, 3], [4, 5, 6]]))
    oracle.end()
    assert oracle.scores.tolist() == [0, 0, 0] and oracle.answer() == (0, 0, 0)
    before = oracle.state.read_out.copy()
    oracle.label(1)
    assert (oracle.state.read_out == before).all()
    assert (oracle.counter("taught"), oracle.counter("labels_right")) == (1, 0)


def test_labels_of_no_column_and_answers_of_no_read_out_are_refused():
    oracle = raced(reading(8))
    oracle.state.counters[:] = 0
    oracle.label(3)
    assert counted(oracle) == {"refused": 1}
    oracle = small()
    oracle.label(0)
    assert oracle.answer() is None and counted(oracle) == {"refused": 2}


def test_run_gives_answers_by_sample():
    oracle = reading([[1, 2, 3], [4, 5, 6]])
    answer = EventCode.ANSWER
    codes = [0, EventCode.DECIDE, answer, EventCode.LABEL - 2, EventCode.END, answer, answer]
    answers = oracle.run(EventBatch(np.array(codes, np.int32), np.array([0, 5, 5, 7]))).answers
    assert answers.offsets.tolist() == [0, 1, 1, 3] and answers.label.tolist() == [2, 0, 0]
    assert answers.score.tolist() == [12, 0, 0] and answers.margin.tolist() == [3, 0, 0]
    assert oracle.counter("labels") == 1


# corners


def test_the_smallest_chip_works():
    oracle = small([[[1]]], plane_width=1, patch_width=1, neurons=1, levels=2, weight_bits=1, amplitudes=1)
    oracle.spike(0)
    assert oracle.decide() == [(0, 0)]
    oracle.dark()
    oracle.end()
    assert counted(oracle) == {
        "samples": 1, "in_spikes": 1, "row_reads": 1, "read_sum": 1, "active_sq_sum": 1, "decisions": 1,
        "out_spikes": 1, "set_events": 1, "pre_recharge": 15, "post_recharge": 15, "clipped_high": 1,
        "set_pulses[0]": 1, "set_weight[0]": 1}


def test_run_gives_fires_by_sample_and_goes_on_where_it_stopped():
    oracle = small(winners=2)
    codes = np.array([0, EventCode.DECIDE, EventCode.DARK, EventCode.END, 1, EventCode.DECIDE], np.int32)
    spikes = oracle.run(EventBatch(codes, np.array([0, 4, 4, 5, 6])))
    assert spikes.offsets.tolist() == [0, 2, 2, 2, 4]
    assert spikes.neuron.tolist() == [0, 1, 1, 0]
    assert spikes.ranks().tolist() == [0, 1, 0, 1]
    assert oracle.closed[0]


# 5.5, 5.6: write noise and stuck cells


def noisy(noise, **fields):
    """A chip whose SET and RESET move a cell by one level and some noise: the random state 1 leaves 0x42021."""
    oracle = small(noise_bits=12, **fields)
    oracle.state.set[:], oracle.state.reset[:], oracle.state.write_noise = 256, 256, noise
    oracle.state.random[:] = 1
    return oracle


def test_noise_is_of_the_state_that_the_draw_left():
    oracle = noisy(10)
    oracle._pulse(0, 0, 0, 15, +1)
    # fields 1, 1, 8, 8: n = -44; u = 0x42021 >> 24 = 0; 256 - 440 = -184 is a step of -1
    assert oracle.state.random.tolist() == [0x42021]
    assert oracle.state.levels[0, 0, 0] == 7
    oracle = noisy(10)
    oracle._pulse(0, 0, 0, 15, -1)
    assert oracle.state.levels[0, 0, 0] == 9


@pytest.mark.parametrize("noise, sign, level, counter", [
    (2000, +1, 0, "clipped_high"), (2000, -1, 15, "clipped_low"), (0, +1, 9, None), (5, -1, 8, None)])
def test_noise_is_held_at_either_rail_and_counted_by_the_kind_of_pulse(noise, sign, level, counter):
    oracle = noisy(noise)  # 256 - 88000 is a step of -343; 256 - 220 is a step of 0
    oracle._pulse(0, 1, 1, 15, sign)
    assert oracle.state.levels[0, 1, 1] == level
    assert [name for name in ("clipped_high", "clipped_low") if oracle.counter(name)] == [counter] * bool(counter)


def test_a_stuck_cell_draws_and_counts_and_stays():
    stuck, free = (small([[[14, 8]] * 3], stuck_cells="masked") for _ in range(2))
    stuck.state.stuck[0, 1, 0] = 1
    for oracle in (stuck, free):
        for line in range(3):
            oracle.spike(line)
        oracle.decide()
    assert free.state.levels[0, :, 0].tolist() == [15, 15, 15]
    assert stuck.state.levels[0, :, 0].tolist() == [15, 14, 15]
    assert counted(stuck) == counted(free) and stuck.counter("clipped_high") == 3
    assert stuck.state.random.tolist() == free.state.random.tolist()


def test_a_stuck_cell_of_the_read_out_stays():
    oracle = small([[[9, 8]] * 3], stuck_cells="masked", classes=2, margin=255, score_bits=8)
    oracle.state.read_out_set[:], oracle.state.read_out_reset[:] = 512, 512
    oracle.state.read_out_stuck[0, 1] = 1
    oracle.spike(0)
    oracle.decide()
    oracle.label(0)
    assert oracle.state.read_out[0].tolist() == [10, 8]
    oracle.label(1)
    assert oracle.state.read_out[0].tolist() == [8, 8] and oracle.counter("taught") == 2
