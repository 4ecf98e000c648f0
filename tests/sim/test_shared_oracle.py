"""The oracle's shared crossbar against cases worked out by hand, clause by clause of docs/contract.md, 11 and 12."""

import numpy as np

from ohmspike.chip import Chip, Layer
from ohmspike.chip.instructions import counter_names
from ohmspike.sim.oracle import Oracle


def strip(**fields) -> Oracle:
    """A crossbar of two rows and three neurons that is shown the four windows of five lines, in one region.

    A pulse moves a cell by exactly one level.
    """
    chip = Chip(**({
        "name": "strip", "plane_height": 1, "plane_width": 5, "patch_height": 1, "patch_width": 2, "stride": 1,
        "shared": True, "neurons": 3, "winners": 2, "levels": 16, "weight_bits": 4, "membrane_bits": 8,
        "threshold_bits": 8, "trace_bits": 4, "amplitudes": 4, "fraction_bits": 8, "theta_step": 5.0,
        "learn_share": 4096, "classes": 2, "score_bits": 12, "margin": 4095} | fields))
    oracle = Oracle(chip)
    for name in ("set", "reset", "read_out_set", "read_out_reset"):
        getattr(oracle.state, name)[:] = 256
    oracle.state.levels[0, :2] = [[8, 4, 2], [1, 2, 3]]
    return oracle


def counted(oracle) -> dict[str, int]:
    """The counters that are not zero."""
    return {name: oracle.counter(name) for name in counter_names(oracle.chip) if oracle.counter(name)}


def xorshift(x):
    x ^= x << 13 & 0xFFFFFFFF
    x ^= x >> 17
    return x ^ (x << 5 & 0xFFFFFFFF)


def test_spikes_are_noted_and_nothing_is_read_before_decide():
    oracle = strip()
    oracle.spike(1)
    oracle.step()
    oracle.spike(1)
    assert counted(oracle) == {"in_spikes": 2, "steps": 1, "pre_recharge": 15}
    assert oracle.membranes.tolist() == [[0, 0, 0]]


def test_windows_are_walked_in_order_and_those_without_lines_are_passed_over():
    oracle = strip()
    oracle.spike(1)
    # window 0 sees line 1 in row 1, window 1 in row 0, windows 2 and 3 see none
    assert oracle.decide() == [(0, 2), (0, 1), (1, 0), (1, 1)]
    assert {name: count for name, count in counted(oracle).items() if not name.startswith("read_out")} == {
        "in_spikes": 1, "pre_recharge": 15, "row_reads": 2, "read_sum": 6 + 14, "active_sq_sum": 2, "decisions": 2,
        "out_spikes": 4}
    assert oracle.is_dark


def test_few_lines_pass_a_window_over_without_a_draw():
    oracle = strip(min_spikes=2)
    oracle.state.learn = True
    before = oracle.state.random.copy()
    oracle.spike(0)
    oracle.spike(2)
    assert oracle.decide() == [] and (oracle.state.random == before).all()


def test_membranes_start_over_in_every_window():
    oracle = strip(membrane_bits=4)
    for line in range(5):
        oracle.spike(line)
    assert oracle.decide() == [(window, neuron) for window in range(4) for neuron in (0, 1)]
    assert oracle.counter("active_sq_sum") == 4 * 4


def test_one_draw_a_window_tells_whether_it_learns():
    oracle = strip(learn_share=2048)
    oracle.state.learn = True
    oracle.state.random[0] = x = 12345
    oracle.spike(1)
    oracle.decide()
    learned = 0
    for _ in range(2):  # two windows, each draws once, and once more for each of its two rows if it learns
        x = xorshift(x)
        if x >> 20 < 2048:
            learned += 1
            x = xorshift(xorshift(x))
    assert oracle.state.random[0] == x and oracle.counter("set_events") == learned


def test_a_learning_window_sets_noted_rows_and_resets_the_others_of_its_first_winner():
    oracle = strip()
    oracle.state.learn = True
    oracle.spike(4)  # window 3 alone sees it, in row 1
    assert oracle.decide() == [(3, 2), (3, 1)]
    assert oracle.state.levels[0].tolist() == [[8, 4, 1], [1, 2, 4]]
    assert oracle.state.theta.tolist() == [[0, 0, 5]]
    counters = counted(oracle)
    assert (counters["set_pulses[3]"], counters["reset_pulses[3]"], counters["reset_rows"]) == (1, 1, 1)
    assert (counters["set_events"], counters["post_recharge"]) == (1, 15)


def test_set_pulses_are_drawn_before_reset_pulses():
    oracle = strip(patch_width=3)
    oracle.state.learn = True
    oracle.state.levels[0, :, 0] = 8
    oracle.state.set[:], oracle.state.reset[:] = 128, 128  # half a level: the draw decides
    oracle.spike(4)  # window 2 alone, in row 2
    x = int(oracle.state.random[0])
    oracle.decide()
    winner, moves = int(oracle.state.theta[0].argmax()), []
    x = xorshift(x)  # of the window
    for _ in range(3):
        x = xorshift(x)
        moves.append((128 + (x >> 24)) >> 8)
    before = Oracle(oracle.chip).state.levels.copy()
    before[0, :2] = [[8, 4, 2], [1, 2, 3]]
    before[0, :, 0] = 8
    assert (oracle.state.levels[0, :, winner].astype(int) - before[0, :, winner]).tolist() == [
        -moves[1], -moves[2], moves[0]]


def test_later_windows_see_what_earlier_ones_learned():
    oracle = strip(theta_step=20.0)
    oracle.state.learn = True
    for line in range(5):
        oracle.spike(line)
    fires = oracle.decide()
    assert fires[:2] == [(0, 0), (0, 1)] and fires[2] == (1, 1), "neuron 0 rests: its threshold rose"


def test_a_region_keeps_the_best_place_of_a_neuron():
    oracle = strip()
    oracle.spike(1)
    oracle.decide()  # window 0: neurons 2, 1; window 1: 0, 1; one region
    assert oracle.counter("read_out_reads") == 2 + 1 + 2, "neuron 1 was second twice"
    assert oracle.scores.tolist() == [40, 40]
    oracle.label(1)
    table = (oracle.state.read_out.astype(int) - 8).tolist()
    assert table == [[-1, 1], [-1, 1], [-1, 1]]


def test_a_better_place_adds_what_it_is_above():
    oracle = strip()
    oracle.state.levels[0, :2] = [[8, 4, 0], [4, 8, 0]]
    oracle.spike(1)
    oracle.spike(3)
    assert oracle.decide() == [(0, 1), (0, 0), (1, 0), (1, 1), (2, 1), (2, 0), (3, 0), (3, 1)]
    assert oracle.counter("read_out_reads") == 2 + 1 + 1


def test_rows_are_taught_in_the_order_of_their_first_fires_with_the_amplitude_of_their_best():
    oracle = strip(winners=3)
    oracle.state.levels[0, :2] = [[8, 4, 0], [4, 8, 0]]
    oracle.state.read_out_set[:] = np.arange(4, dtype=np.uint16)[:, None] * 256
    oracle.spike(1)
    oracle.spike(3)
    assert oracle.decide()[:3] == [(0, 1), (0, 0), (0, 2)]
    oracle.label(0)
    # neurons 0 and 1 have been first, neuron 2 only third: a trace of 5, bin 1
    assert (oracle.state.read_out[:, 0].astype(int) - 8).tolist() == [3, 3, 1]


def test_regions_divide_the_grid_evenly():
    chip = Chip(name="plane", plane_height=6, plane_width=8, patch_height=2, patch_width=2, stride=1, shared=True,
                pool=2, neurons=2, classes=2, channels=3)
    assert (chip.windows, chip.tiles, chip.regions, chip.rows, chip.read_out_rows) == (35, 1, 4, 12, 8)
    assert chip.region_of_window.reshape(5, 7).tolist() == [[0] * 4 + [1] * 3] * 3 + [[2] * 4 + [3] * 3] * 2
    # channel, then down, then right
    assert chip.row_lines[8].tolist() == [plane + line for plane in (0, 48, 96) for line in (9, 10, 17, 18)]


def layered(**fields) -> Oracle:
    """:func:`strip`, its four windows in one region, and two neurons that see which of its three took a place there."""
    layer = Layer(patch_height=1, patch_width=1, neurons=2, winners=1, learn_share=4096, theta_step=7, **fields)
    oracle = strip(layers=(layer,))
    oracle.state.layer_levels[:] = [[1, 2], [5, 3], [8, 9]]
    return oracle


def test_a_second_layer_sees_which_neurons_took_a_place():
    oracle = layered()
    assert oracle.chip.upper.row_lines.tolist() == [[0, 1, 2]] and oracle.chip.read_out_rows == 2
    oracle.spike(4)  # window 3 alone: neurons 2 and 1
    assert oracle.decide() == [(0, 0)], "5 + 8 against 3 + 9"
    counters = counted(oracle)
    assert {name: count for name, count in counters.items() if name.startswith("layer_")} == {
        "layer_row_reads": 2, "layer_read_sum": 25, "layer_active_sq_sum": 4, "layer_decisions": 1,
        "layer_out_spikes": 1}
    assert (counters["row_reads"], counters["out_spikes"], counters["read_out_reads"]) == (1, 2, 1)


def test_a_second_layer_learns_behind_the_first_with_a_random_state_and_thresholds_of_its_own():
    oracle = layered()
    oracle.state.learn, oracle.state.learn_share = True, 0
    x = int(oracle.state.random[2])
    read_out = int(oracle.state.random[1])
    oracle.spike(4)
    oracle.decide()
    for _ in range(1 + 3):  # of the window, then of every row
        x = xorshift(x)
    assert oracle.state.random.tolist()[1:] == [read_out, x]
    assert oracle.state.layer_levels.tolist() == [[0, 2], [6, 3], [9, 9]]
    assert oracle.state.layer_theta.tolist() == [7, 0]
    assert oracle.state.levels[0].tolist() == [[8, 4, 2], [1, 2, 3]] and oracle.state.theta.tolist() == [[0, 0, 0]]
    counters = counted(oracle)
    assert [counters[f"layer_{name}"] for name in ("set_events", "set_rows", "reset_rows")] == [1, 2, 1]
    assert "set_events" not in counters and counters["post_recharge"] == 15


def test_lines_of_a_second_layer_are_planes_of_regions_and_few_of_them_pass_its_windows_over():
    chip = Chip(name="plane", plane_height=6, plane_width=8, patch_height=2, patch_width=2, stride=1, shared=True,
                pool=2, neurons=3, winners=1, classes=2, layers=(
                    Layer(patch_height=1, patch_width=2, neurons=5, winners=2, min_spikes=2, pool=1),))
    assert (chip.upper.channels, chip.upper.lines, chip.upper.windows) == (3, 12, 2)
    assert chip.upper.row_lines.tolist() == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]]
    oracle = Oracle(chip)
    oracle.spike(0)  # window 0 alone, region 0
    assert oracle.decide() == [] and oracle.counter("decisions") == 1 and oracle.counter("layer_decisions") == 0
    oracle.end()
    for line in range(8):
        oracle.spike(line)  # all windows of the upper row, of regions 0 and 1
    assert [window for window, _ in oracle.decide()] == [0, 0]


def test_what_a_decided_sample_takes():
    oracle = strip()
    oracle.dark()
    oracle.spike(0)
    oracle.decide()
    assert oracle.counter("refused") == 1
    for refused in (oracle.dark, oracle.decide, oracle.step, lambda: oracle.spike(0), lambda: oracle.frame(b"\x1f")):
        assert refused() == []
    assert oracle.counter("refused") == 6 and oracle.counter("steps") == 0
    assert oracle.answer() is not None and oracle.label(0) == []
    oracle.end()
    assert not oracle.is_dark and oracle.scores.tolist() == [0, 0] and not oracle.spiked.any()
    oracle.decide()
    assert oracle.counter("decisions") == 1, "no line is noted after END"
