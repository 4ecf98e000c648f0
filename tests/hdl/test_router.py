"""The router: every tile that sees a line, and where."""

import pytest

from ohmspike.chip import Chip, DescriptionError
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.router import Router
from support.bench import Bench, Scoreboard
from support.stimulus import varied

OVERLAPPING = Chip(name="overlapping", plane_height=5, plane_width=7, patch_height=3, patch_width=2, stride=2,
                   neurons=5)
CORNERS = {
    "overlapping": (OVERLAPPING, 2),
    "one line, one neuron": (varied(OVERLAPPING, plane_height=1, plane_width=1, patch_height=1, patch_width=1,
                                    neurons=1), 1),
    "one tile": (varied(OVERLAPPING, patch_height=5, patch_width=7), 5),
    "lines between the tiles": (varied(OVERLAPPING, patch_height=1, patch_width=1, stride=3), 4),
    "every line in many tiles": (varied(OVERLAPPING, patch_height=3, patch_width=4, stride=1), 1),
    "one column of lines": (varied(OVERLAPPING, plane_width=1, patch_width=1), 3),
    "a plane as wide as a power of two": (varied(OVERLAPPING, plane_width=8), 2),
    "a plane just wider than one": (varied(OVERLAPPING, plane_height=7, plane_width=9), 2),
    "the plane of MNIST": (varied(OVERLAPPING, plane_height=28, plane_width=28, patch_height=14, patch_width=14,
                                  stride=14), 5),
    "more than 255 tiles": (varied(OVERLAPPING, plane_height=16, plane_width=17, patch_height=1, patch_width=1,
                                   stride=1, neurons=1), 1),
}


def expected_visits(layout, lines):
    """Visits of the lines, from the geometry of the description."""
    chip, found = layout.chip, []
    for line in lines:
        for tile in range(chip.tiles):
            for row in (chip.row_lines[tile] == line).nonzero()[0].tolist():
                found.append({"tile": tile, "address": (tile * chip.rows + row) * layout.words})
    return found


def run_lines(layout, lines, *, idle=0.0, stall=0.0, seed=0):
    """Visits, the clocks in which they were taken, and the clocks in which the lines were accepted."""
    bench = Bench(Router(layout))
    source = bench.source(bench.dut.spikes, idle=idle, seed=seed)
    sink = bench.sink(bench.dut.visits, stall=stall, seed=seed + 1)
    source.send(*lines)

    async def testbench(ctx):
        await bench.settle(ctx, lambda: not source.items)
        while not ctx.get(bench.dut.idle):
            await ctx.tick()

    bench.run(testbench)
    return sink.items, sink.taken, source.accepted


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("idle, stall", [(0, 0), (0.4, 0.4)])
def test_visits_match_the_description(corner, idle, stall):
    layout = Layout(*CORNERS[corner])
    lines = [*range(layout.chip.lines), *range(0, layout.chip.lines, 3)]
    visits, _, _ = run_lines(layout, lines, idle=idle, stall=stall, seed=7)
    Scoreboard(corner).compare(visits, expected_visits(layout, lines), f"seed 7, idle {idle}, stall {stall}")


def test_latency_is_2_clocks():
    layout = Layout(OVERLAPPING, 2)
    line = int(OVERLAPPING.row_lines[0, 0])
    _, taken, accepted = run_lines(layout, [line])
    assert taken[0] - accepted[0] == 2


def test_throughput_is_one_visit_per_clock_and_one_clock_per_unseen_line():
    chip = CORNERS["lines between the tiles"][0]
    layout, lines = Layout(chip, 4), list(range(chip.lines))
    seen = {line for line in chip.row_lines.ravel().tolist()}
    first, last = min(seen), max(seen)
    _, taken, _ = run_lines(layout, lines)
    unseen = sum(line not in seen for line in range(first, last))
    assert taken[-1] - taken[0] == len(seen) - 1 + unseen
    layout = Layout(OVERLAPPING, 2)
    lines = [line for line in range(OVERLAPPING.lines) if expected_visits(layout, [line])]
    _, taken, _ = run_lines(layout, lines)
    assert taken[-1] - taken[0] == len(taken) - 1


def test_reset_drops_what_is_under_way():
    layout = Layout(varied(OVERLAPPING, patch_height=3, patch_width=4, stride=1), 1)
    middle = layout.chip.lines // 2
    bench = Bench(Router(layout))
    source, sink = bench.source(bench.dut.spikes), bench.sink(bench.dut.visits)
    source.send(middle, middle)

    async def testbench(ctx):
        await bench.settle(ctx, lambda: len(sink.items) == 2)
        ctx.set(bench.reset, 1)
        source.items.clear()
        await ctx.tick()
        ctx.set(bench.reset, 0)
        sink.items.clear()
        assert ctx.get(bench.dut.idle)
        source.send(0, middle)
        await bench.settle(ctx, lambda: not source.items)
        while not ctx.get(bench.dut.idle):
            await ctx.tick()

    bench.run(testbench)
    Scoreboard("after reset").compare(sink.items, expected_visits(layout, [0, middle]))


def test_chips_that_are_not_built_are_refused():
    told = "^channels must be 1 in RTL of a chip that is not shared, not 2$"
    with pytest.raises(DescriptionError, match=told) as refusal:
        Layout(varied(OVERLAPPING, channels=2), 2)
    assert refusal.value.hint == "the target model takes it: --target model"


@pytest.mark.parametrize("lanes", [0, 6, -1])
def test_bad_lanes_are_refused(lanes):
    with pytest.raises(ValueError, match=f"^lanes must be 1 to neurons = 5, not {lanes}$"):
        Layout(OVERLAPPING, lanes)
