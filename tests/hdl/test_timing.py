"""The stated clocks are the measured ones, in both forms."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode, label_code
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.timing import Window
from ohmspike.hdl.top.timing import image, listed_of, noted_of, report, synthetic_image, timing_of
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState
from support.bench import ExecutorBench
from support.clocks import facts, measured, units_of, visits_of
from support.programs import check, encode_events, frame, read, write
from support.stimulus import varied

STEP, DECIDE, DARK, END = EventCode.STEP, EventCode.DECIDE, EventCode.DARK, EventCode.END
ANSWER, LABEL = EventCode.ANSWER, label_code(0)

WIDE = Chip(name="wide", plane_height=4, plane_width=5, patch_height=2, patch_width=3, stride=1, neurons=5, winners=2,
            learners=2, levels=4, weight_bits=2, amplitudes=1, membrane_bits=8, threshold_bits=8)
LAYOUTS = {
    "3 words": Layout(WIDE, 2),
    "1 word": Layout(WIDE, 5),
    "one winner, one unit": Layout(varied(WIDE, winners=1, learners=1, theta_leak=3), 3),
    "unseen lines, one winner": Layout(varied(WIDE, patch_height=1, patch_width=1, stride=2, winners=1, learners=1), 5),
    "noise": Layout(varied(WIDE, noise_bits=8), 2),
    "noise, stuck cells": Layout(varied(WIDE, noise_bits=8, stuck_cells="masked"), 5),
    "small, 5 words": Layout(WIDE, 1, level_ports=1),
    "small, 8 words": Layout(varied(WIDE, neurons=16), 2, level_ports=1),
    "small, one word, one unit, leak": Layout(varied(WIDE, winners=1, learners=1, theta_leak=3), 5, level_ports=1),
    "small, unseen lines": Layout(varied(WIDE, patch_height=1, patch_width=1, stride=2), 2, level_ports=1),
}
READ_OUT = varied(WIDE, plane_height=3, plane_width=4, classes=3, score_bits=10, margin=0)
BOTH = {"accumulate_bits": 3, "accumulate_threshold": 2, "read_out_accumulate_bits": 4,
        "read_out_accumulate_threshold": 3}
READ_OUTS = {
    "3 words": Layout(READ_OUT, 2),
    "ten classes": Layout(varied(READ_OUT, classes=10, learners=1), 5),
    "races wait for the read-out": Layout(varied(READ_OUT, plane_height=2, plane_width=4, patch_height=1, neurons=9,
                                                 winners=9, learners=1), 9),
    "one winner": Layout(varied(READ_OUT, winners=1, learners=1, plane_height=2, plane_width=3), 5),
    "noise, stuck cells": Layout(varied(READ_OUT, noise_bits=8, stuck_cells="masked"), 3),
    "accumulates": Layout(varied(READ_OUT, **BOTH), 3),
    "small, accumulates": Layout(varied(READ_OUT, **BOTH), 2, level_ports=1),
    "small, 3 words": Layout(READ_OUT, 2, level_ports=1),
    "small, ten classes": Layout(varied(READ_OUT, classes=10, learners=1), 5, level_ports=1),
    "small, more classes than lines": Layout(varied(READ_OUT, plane_height=2, plane_width=3, classes=9), 2,
                                             level_ports=1),
}


def clocks_of(layout, **registers):
    """The simulator of programs of the form a layout is of."""
    timing = timing_of(layout)
    return timing.clocks(timing, **registers)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("learn", [False, True], ids=["inference", "learning"])
def test_every_event_of_a_race_costs_what_is_stated(name, learn):
    layout = LAYOUTS[name]
    chip, rng = layout.chip, np.random.default_rng(12)
    seen, _ = facts(chip, range(chip.lines))
    programs, expected = [], []

    def case(program, *instructions):
        clocks = clocks_of(layout, learn=learn)
        for instruction, *arguments in instructions:
            getattr(clocks, instruction)(*arguments)
        programs.append(program)
        expected.append(clocks.total)

    for _ in range(3):
        lines = rng.integers(0, chip.lines, 12).tolist()
        case(encode_events(lines), *(("spike", seen[line]) for line in lines))
        lit = np.flatnonzero(rng.random(chip.lines) < 0.6).tolist()
        case(frame(chip, lit), ("frame", facts(chip, lit)[0]))
        case(encode_events([STEP]), ("step",))
        case(encode_events([END]), ("end",))
        lit = np.flatnonzero(rng.random(chip.lines) < 0.2).tolist()
        visits, live = facts(chip, lit)
        units = units_of(chip, live, learn)
        case(frame(chip, lit) + encode_events([STEP, DECIDE, DARK, END]), ("frame", visits), ("step",),
             ("decide", live), ("dark", units), ("end",))
        case(frame(chip, lit), ("frame", visits))
        case(encode_events([DECIDE]), ("decide", live))
        case(encode_events([DARK]), ("dark", units))
        case(encode_events([END]), ("end",))
    assert measured(layout, programs, learn=learn) == expected


@pytest.mark.parametrize("name, learn, report", [
    ("3 words", True, True), ("noise, stuck cells", True, True), ("accumulates", True, True),
    ("small, accumulates", True, True), ("ten classes", True, True),
    ("one winner", False, True),
    ("races wait for the read-out", False, True), ("races wait for the read-out", True, False),
    ("small, 3 words", True, True), ("small, more classes than lines", False, True),
    ("small, ten classes", True, False)])
def test_the_read_out_costs_what_is_stated(name, learn, report):
    """All cells alike: label 0 leads by nothing, which the margin 0 lets pass."""
    layout = READ_OUTS[name]
    chip, rng = layout.chip, np.random.default_rng(13)
    programs, expected = [write("registers", [report], column=3)], []

    def case(program, *instructions):
        clocks = clocks_of(layout, learn=learn, report=report)
        for instruction, *arguments in instructions:
            getattr(clocks, instruction)(*arguments)
        programs.append(program)
        expected.append(clocks.total)

    for density, margin in ((0.4, 0), (1, 1023)):
        lit = np.flatnonzero(rng.random(chip.lines) < density).tolist()
        visits, live = facts(chip, lit)
        taught, units = sum(live) * chip.winners * (margin > 0), units_of(chip, live, learn)
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
    for instruction, *taught in (("answer",), ("label",), ("label", 4)):
        clocks = clocks_of(layout)
        getattr(clocks, instruction)(*taught)
        more = 7 if instruction == "answer" else 1  # bytes of the answer, or of the label
        assert clocks.total == getattr(timing_of(layout), instruction)(*taught) + more + 2, instruction


@pytest.mark.parametrize("name", ["3 words", "small, 3 words"])
@pytest.mark.parametrize("taught", [False, True])
def test_a_labelled_image_costs_what_is_stated(name, taught):
    layout = READ_OUTS[name]
    chip = layout.chip
    visits, live = synthetic_image(chip, 6)
    lit = [line for line, count in enumerate(visits) if count is not None]
    programs = [write("registers", [1023 * taught], column=4),
                frame(chip, lit) + encode_events([DECIDE, ANSWER, LABEL, DARK, END])]
    assert measured(layout, programs, learn=True)[1:] == [
        image(layout, visits, live, learn=True, answered=True, taught=taught)]


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), READ_OUTS["small, ten classes"]],
                         ids=[*LAYOUTS, "small, ten classes"])
def test_functions_agree_with_the_clocks_of_programs(layout):
    everything = [True] * layout.chip.tiles
    for learn in (False, True):
        clocks = clocks_of(layout, learn=learn, report=False)
        clocks.decide(everything)
        assert clocks.total == timing_of(layout).decide(everything, learn=learn) + 2  # opcode and status


@pytest.mark.parametrize("bins, learn", [(1, True), (3, False)])
def test_an_image_costs_what_is_stated(bins, learn):
    layout = LAYOUTS["3 words"]
    chip = layout.chip
    visits, live = synthetic_image(chip, 9)
    lit = [line for line, count in enumerate(visits) if count is not None]
    program = b""
    for bin_ in range(bins):
        program += encode_events([STEP] * (bin_ > 0)) + frame(chip, [line for line in lit if line % bins == bin_])
    program += encode_events([DECIDE, *[DARK] * learn, END])
    assert measured(layout, [program], learn=learn) == [image(layout, visits, live, bins=bins, learn=learn)]


@pytest.mark.parametrize("lanes, ports", [(1, 2), (3, 2), (5, 2), (2, 1)])
@pytest.mark.parametrize("learn", [False, True], ids=["inference", "learning"])
@pytest.mark.parametrize("fields", [{}, {"depression": "post"}, {"depression": "post", "classes": 3}],
                         ids=["units", "free running", "with a read-out"])
def test_steps_of_threshold_mode_cost_what_is_stated(lanes, ports, learn, fields):
    """One tile that always fires; the units hold nothing, then its neuron."""
    chip = varied(WIDE, fire_mode="threshold", winners=1, learners=3, patch_height=4, patch_width=5, theta_leak=1,
                  theta_base=0, **fields)
    layout = Layout(chip, lanes, level_ports=ports)
    timing = timing_of(layout)
    searches = [timing.find_unit(0), timing.find_unit(1, held=0)] if learn else [0, 0]
    expected = []
    for outcome in (None, searches[0], None):
        clocks = clocks_of(layout, learn=learn)
        clocks.step([outcome])
        expected.append(clocks.total)
    clocks = clocks_of(layout, learn=learn)
    clocks.end()
    programs = [encode_events([STEP]), frame(chip, range(20)), encode_events([STEP]), encode_events([STEP]),
                encode_events([END])]
    came = measured(layout, programs, learn=learn)
    assert [came[0], *came[2:]] == [*expected, clocks.total]


@pytest.mark.parametrize("ports", [2, 1])
@pytest.mark.parametrize("fires", [1, 3])
def test_a_label_of_threshold_mode_costs_what_is_stated(ports, fires):
    """It teaches one row, as often as its neuron has fired."""
    chip = varied(WIDE, fire_mode="threshold", depression="post", winners=1, patch_height=4, patch_width=5, classes=3,
                  theta_base=0, neurons=1, learners=1, margin=200)
    layout = Layout(chip, 1, level_ports=ports)
    clocks = clocks_of(layout)
    clocks.label(fires)
    programs = [frame(chip, range(20)) + encode_events([STEP])] * fires + [encode_events([label_code(1)])]
    assert measured(layout, programs, learn=False)[-1] == clocks.total


@pytest.mark.parametrize("neurons, ports", [(5, 2), (14, 1)])
@pytest.mark.parametrize("units, faded", [(2, 0), (0, 2)])
def test_a_plastic_visit_costs_what_is_stated(units, faded, neurons, ports):
    """The same spike while learning and not, on a closed tile whose units are all in use."""
    chip = varied(WIDE, patch_height=4, patch_width=5, neurons=neurons, trace_bits=4, trace_shift=1)
    layout = Layout(chip, 2, level_ports=ports)
    timing = timing_of(layout)
    clocks = {}
    for learn in (0, 1):
        programs = [encode_events([0, DECIDE, *[STEP] * (8 if faded else 0)]), write("registers", [learn]),
                    encode_events([1])]
        clocks[learn] = measured(layout, programs, learn=True)[-1]
    assert clocks[1] - clocks[0] == timing.plastic_visit(units, faded) - timing.visit() - 2


@pytest.mark.parametrize("form", ["3 words", "small, 5 words"])
def test_bursts_cost_what_is_stated(form):
    """One after another: what a burst costs does not depend on those before it."""
    layout, programs, expected = LAYOUTS[form], {}, {}
    for name, cells, column in (("levels", 12, 3), ("theta", 7, 0), ("set", 0, 2), ("random", 4, 0)):
        for direction in (read, write, check):
            burst = name, direction.__name__
            programs[burst] = (write(name, np.zeros(cells, int), column=column) if direction is write
                               else direction(name, cells, column=column))
            clocks = clocks_of(layout)
            (clocks.check if direction is check else clocks.burst)(name, cells, column)
            expected[burst] = clocks.total
    assert dict(zip(programs, measured(layout, programs.values(), learn=False), strict=True)) == expected


@pytest.mark.parametrize("name", ["3 words", "1 word", "unseen lines, one winner"])
def test_end_waits_for_the_bank_that_is_cleared_as_stated(name):
    """Samples shorter than it takes to clear a bank, with and without spikes that take the ports."""
    layout = LAYOUTS[name]
    chip, rng = layout.chip, np.random.default_rng(14)
    seen, everything = facts(chip, range(chip.lines))[0], list(range(chip.lines))
    samples = [[], [], [3], everything[:9], [], everything, [0, 0], everything[4:], []]
    samples += [rng.integers(0, chip.lines, rng.integers(0, 12)).tolist() for _ in range(8)]
    program, clocks = b"", clocks_of(layout)
    for index, lines in enumerate(samples):
        if index % 3 == 2:
            program += frame(chip, lines)
            clocks.frame(facts(chip, lines)[0])
        else:
            program += encode_events(lines)
            for line in lines:
                clocks.spike(seen[line])
        if index % 4 == 3:
            program += encode_events([DECIDE])
            lit = np.bincount(lines, minlength=chip.lines) if index % 3 != 2 else np.isin(everything, lines)
            clocks.decide((lit[chip.row_lines].sum(1) >= chip.min_spikes).tolist())
        program += encode_events([END])
        clocks.end()
    assert measured(layout, [program], learn=False) == [clocks.total]


SHARED = varied(READ_OUT, shared=True, learners=1, channels=2, plane_width=7, patch_height=2, patch_width=3, pool=2,
                min_spikes=2, learn_share=2048, theta_leak=3)
SHARED_LAYOUTS = {
    "3 words": Layout(SHARED, 2),
    "1 word, one channel": Layout(varied(SHARED, channels=1, winners=3), 5),
    "no read-out": Layout(varied(SHARED, classes=0, pool=1, theta_leak=0), 1),
    "small, 3 words": Layout(SHARED, 2, level_ports=1),
    "small, 8 words, ten classes": Layout(varied(SHARED, neurons=16, classes=10, winners=4), 2, level_ports=1),
    "small, no read-out": Layout(varied(SHARED, classes=0, pool=1, theta_leak=0), 5, level_ports=1),
}


class Watched(Oracle):
    """Tells of every window that is acted on whether it learns, and which fires gain and list a row."""

    def _race_order(self, t):
        self.acted_on.append([False, 0])
        return super()._race_order(t)

    def _pool(self, t, row, rank):
        best = self._best[t]
        before, listed = best.get(row, 0), len(best)
        super()._pool(t, row, rank)
        self.acted_on[-1][1] += len(best) - listed
        self.acted_on[-1].append(best.get(row, 0) > before)

    def _raise_threshold(self, t, neuron):
        self.acted_on[-1][0] = True
        super()._raise_threshold(t, neuron)

    def windows(self, layout, lines):
        """What the clocks of every window of an image depend on."""
        self.acted_on = []
        for line in lines:
            self.spike(line)
        self.decide()
        self.end()
        acted_on = iter(self.acted_on)
        windows = []
        for noted in noted_of(layout, lines):
            learns, listed, *gains = next(acted_on) if sum(noted) >= layout.chip.min_spikes else [False, 0]
            windows.append(Window(noted, learns, tuple(gains), listed))
        return windows


@pytest.mark.parametrize("name", SHARED_LAYOUTS)
@pytest.mark.parametrize("learn", [False, True], ids=["inference", "learning"])
def test_every_event_of_a_shared_crossbar_costs_what_is_stated(name, learn):
    layout = SHARED_LAYOUTS[name]
    chip, rng = layout.chip, np.random.default_rng(15)
    state = ChipState.initial(chip)
    state.learn = learn
    oracle, programs, expected = Watched(chip, state), [], []
    for density in (0.5, 0.1, 0, 1, 0.3):
        lines = np.flatnonzero(rng.random(chip.lines) < density).tolist()
        windows = oracle.windows(layout, lines)
        listed = listed_of(layout, windows)
        noted = [0 if line in lines else None for line in range(chip.lines)]
        parts = [(encode_events(lines[:4]), [("spike", 0)] * len(lines[:4])), (frame(chip, lines), [("frame", noted)]),
                 (encode_events([STEP]), [("step",)]), (encode_events([DECIDE]), [("decide", windows)])]
        if chip.classes:
            parts.append((encode_events([ANSWER]), [("answer",)]))
        parts.append((encode_events([END]), [("end", listed)]))
        whole = [(b"".join(program for program, _ in parts), [one for _, calls in parts for one in calls])]
        for program, calls in parts if density == 0.5 else whole:
            clocks = clocks_of(layout, learn=learn)
            for instruction, *arguments in calls:
                getattr(clocks, instruction)(*arguments)
            programs.append(program)
            expected.append(clocks.total)
    assert measured(layout, programs, learn=learn) == expected


def test_the_table_names_every_preset():
    table = report({"tiles": ((16, 2),), "paper": ((16, 2),), "shared-small": ((14, 2), (5, 1))})
    assert "| tiles (" in table and "| paper (" in table and table.count("| shared-small (") == 2


@pytest.mark.parametrize("name", ["3 words", "unseen lines, one winner", "small, unseen lines"])
def test_after_a_reset_the_sample_is_cleared_in_the_stated_clocks(name):
    layout = LAYOUTS[name]
    bench = ExecutorBench(layout)

    async def session(bench, ctx):
        for _ in range(2):
            assert await bench.execute(ctx, b"\x00") == b"\x00"
            await bench.execute(ctx, encode_events([0, 1, STEP, DECIDE, END]), reset_after=11)

    bench.run(session)
    assert bench.clocks == [max(layout.chip.lines, layout.chip.tiles) + 1 + 1] * 2
