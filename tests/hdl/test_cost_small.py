"""The stated clocks of the small form are the measured ones."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode, label_code
from ohmspike.hdl.fast import timing as cost
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.small import timing as cost_small
from support.bench import ExecutorBench
from support.clocks import facts, measured, visits_of
from support.programs import encode_events, frame, read, write
from support.stimulus import varied

STEP, DECIDE, DARK, END = EventCode.STEP, EventCode.DECIDE, EventCode.DARK, EventCode.END
ANSWER, LABEL = EventCode.ANSWER, label_code(0)

WIDE = Chip(name="wide", plane_height=4, plane_width=5, patch_height=2, patch_width=3, stride=1, neurons=5, winners=2,
            learners=2, levels=4, weight_bits=2, amplitudes=1, membrane_bits=8, threshold_bits=8)
LAYOUTS = {
    "5 words": Layout(WIDE, 1, level_ports=1),
    "8 words": Layout(varied(WIDE, neurons=16), 2, level_ports=1),
    "one word, one unit, leak": Layout(varied(WIDE, winners=1, learners=1, theta_leak=3), 5, level_ports=1),
    "unseen lines": Layout(varied(WIDE, patch_height=1, patch_width=1, stride=2), 2, level_ports=1),
}
READ_OUT = varied(WIDE, plane_height=3, plane_width=4, classes=3, score_bits=10, margin=0)
READ_OUTS = {
    "3 words": Layout(READ_OUT, 2, level_ports=1),
    "ten classes": Layout(varied(READ_OUT, classes=10, learners=1), 5, level_ports=1),
    "more classes than lines": Layout(varied(READ_OUT, plane_height=2, plane_width=3, classes=9), 2, level_ports=1),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("learn", [False, True], ids=["inference", "learning"])
def test_every_event_of_a_race_costs_what_is_stated(name, learn):
    layout = LAYOUTS[name]
    chip, rng = layout.chip, np.random.default_rng(12)
    seen, _ = facts(chip, range(chip.lines))
    programs, expected = [], []

    def case(program, *instructions):
        clocks = cost_small.Clocks(layout, learn=learn)
        for instruction, *arguments in instructions:
            getattr(clocks, instruction)(*arguments)
        programs.append(program)
        expected.append(clocks.total)

    for _ in range(1 if name == "8 words" else 2):
        lines = rng.integers(0, chip.lines, 12).tolist()
        case(encode_events(lines), *(("spike", seen[line]) for line in lines))
        lit = np.flatnonzero(rng.random(chip.lines) < 0.6).tolist()
        case(frame(chip, lit), ("frame", facts(chip, lit)[0]))
        case(encode_events([STEP]), ("step",))
        case(encode_events([END]), ("end",))
        lit = np.flatnonzero(rng.random(chip.lines) < 0.2).tolist()
        visits, live = facts(chip, lit)
        units = sum(live) * chip.learners if learn else 0
        case(frame(chip, lit) + encode_events([STEP, DECIDE, DARK, END]), ("frame", visits), ("step",),
             ("decide", live), ("dark", units), ("end",))
        case(frame(chip, lit), ("frame", visits))
        case(encode_events([DECIDE]), ("decide", live))
        case(encode_events([DARK]), ("dark", units))
        case(encode_events([END]), ("end",))
    assert measured(layout, programs, learn=learn) == expected


@pytest.mark.parametrize("name, learn, report", [
    ("3 words", True, True), ("more classes than lines", False, True), ("ten classes", True, False)])
def test_the_read_out_costs_what_is_stated(name, learn, report):
    """All cells alike: label 0 leads by nothing, which the margin 0 lets pass."""
    layout = READ_OUTS[name]
    chip, rng = layout.chip, np.random.default_rng(13)
    programs, expected = [write("registers", [report], column=3)], []

    def case(program, *instructions):
        clocks = cost_small.Clocks(layout, learn=learn, report=report)
        for instruction, *arguments in instructions:
            getattr(clocks, instruction)(*arguments)
        programs.append(program)
        expected.append(clocks.total)

    for density, margin in ((0.4, 0), (1, 1023)):
        lit = np.flatnonzero(rng.random(chip.lines) < density).tolist()
        visits, live = facts(chip, lit)
        taught, units = sum(live) * chip.winners * (margin > 0), sum(live) * chip.learners * learn
        case(write("registers", [margin], column=4), ("burst", "registers", 1, 4))
        case(frame(chip, lit) + encode_events([DECIDE, ANSWER, LABEL, ANSWER, ANSWER, DARK, END]),
             ("frame", visits), ("decide", live), ("answer",), ("label", taught), ("answer",), ("answer",),
             ("dark", units), ("end",))
        case(frame(chip, lit), ("frame", visits))
        for code, *instruction in ((DECIDE, "decide", live), (LABEL, "label", taught), (ANSWER, "answer"),
                                   (DARK, "dark", units), (LABEL, "label", taught), (END, "end"), (LABEL, "label", 0)):
            case(encode_events([code]), instruction)
        lines = rng.integers(0, chip.lines, 5).tolist()
        case(encode_events([*lines, ANSWER, LABEL, *lines, END]), *(("spike", visits_of(chip, line)) for line in lines),
             ("answer",), ("label", 0), *(("spike", visits_of(chip, line)) for line in lines), ("end",))
    assert measured(layout, programs, learn=learn)[1:] == expected


@pytest.mark.parametrize("name", READ_OUTS)
def test_functions_of_the_read_out_agree_with_the_clocks_of_programs(name):
    layout = READ_OUTS[name]
    for learn in (False, True):
        clocks = cost_small.Clocks(layout, learn=learn, report=False)
        clocks.decide([True] * layout.chip.tiles)
        assert clocks.total == cost_small.decide(layout, layout.chip.tiles, learn=learn) + 2
    for clocks_of, instruction, *taught in ((cost_small.answer, "answer"), (cost_small.label, "label"),
                                            (cost_small.label, "label", 4)):
        clocks = cost_small.Clocks(layout)
        getattr(clocks, instruction)(*taught)
        more = 7 if instruction == "answer" else 1  # bytes of the answer, or of the label
        assert clocks.total == clocks_of(layout, *taught) + more + 2, instruction


@pytest.mark.parametrize("taught", [False, True])
def test_a_labelled_image_costs_what_is_stated(taught):
    layout = READ_OUTS["3 words"]
    chip = layout.chip
    visits, live = cost.blob(chip, 6)
    lit = [line for line, count in enumerate(visits) if count is not None]
    programs = [write("registers", [1023 * taught], column=4),
                frame(chip, lit) + encode_events([DECIDE, ANSWER, LABEL, DARK, END])]
    assert measured(layout, programs, learn=True)[1:] == [
        cost.image(layout, visits, live, learn=True, answered=True, taught=taught)]


@pytest.mark.parametrize("lanes", [2])
@pytest.mark.parametrize("learn", [False, True], ids=["inference", "learning"])
def test_steps_of_threshold_mode_cost_what_is_stated(lanes, learn):
    """One tile that always fires; the units hold nothing, then its neuron."""
    chip = varied(WIDE, fire_mode="threshold", winners=1, learners=3, patch_height=4, patch_width=5, theta_leak=1,
                  theta_base=0)
    layout = Layout(chip, lanes, level_ports=1)
    searches = [cost_small.find_unit(layout, 0), cost_small.find_unit(layout, 1, held=0)] if learn else [0, 0]
    expected = []
    for outcome in (None, searches[0], None):
        clocks = cost_small.Clocks(layout, learn=learn)
        clocks.step([outcome])
        expected.append(clocks.total)
    clocks = cost_small.Clocks(layout, learn=learn)
    clocks.end()
    programs = [encode_events([STEP]), frame(chip, range(20)), encode_events([STEP]), encode_events([STEP]),
                encode_events([END])]
    came = measured(layout, programs, learn=learn)
    assert [came[0], *came[2:]] == [*expected, clocks.total]


@pytest.mark.parametrize("units, faded", [(2, 0), (0, 2)])
def test_a_plastic_visit_costs_what_is_stated(units, faded):
    """The same spike while learning and not, on a closed tile whose units are all in use."""
    layout = Layout(varied(WIDE, patch_height=4, patch_width=5, neurons=14, trace_bits=4, trace_shift=1), 2,
                    level_ports=1)
    clocks = {}
    for learn in (0, 1):
        programs = [encode_events([0, DECIDE, *[STEP] * (8 if faded else 0)]), write("registers", [learn]),
                    encode_events([1])]
        clocks[learn] = measured(layout, programs, learn=True)[-1]
    assert clocks[1] - clocks[0] == cost_small.plastic_visit(layout, units, faded) - cost_small.visit(layout) - 2


@pytest.mark.parametrize("name, cells, column", [("levels", 12, 3), ("theta", 7, 0), ("set", 0, 2), ("random", 4, 0)])
@pytest.mark.parametrize("direction", [read, write])
def test_bursts_cost_what_is_stated(name, cells, column, direction):
    layout = LAYOUTS["5 words"]
    program = (read(name, cells, column=column) if direction is read
               else write(name, np.zeros(cells, int), column=column))
    clocks = cost_small.Clocks(layout)
    clocks.burst(name, cells, column)
    assert measured(layout, [program], learn=False) == [clocks.total]


def test_after_a_reset_the_sample_is_cleared_in_the_stated_clocks():
    layout = LAYOUTS["unseen lines"]
    bench = ExecutorBench(layout)

    async def session(bench, ctx):
        for _ in range(2):
            assert await bench.execute(ctx, b"\x00") == b"\x00"
            await bench.execute(ctx, encode_events([0, 1, STEP, DECIDE, END]), reset_after=11)

    bench.run(session)
    assert bench.clocks == [max(layout.chip.lines, layout.chip.tiles) + 1 + 1] * 2
