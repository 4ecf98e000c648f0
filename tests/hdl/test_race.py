"""The race: neurons in the order of falling V - theta, ties to the lowest."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.hdl.fast.race import Race
from ohmspike.hdl.shared.layout import Layout
from support.bench import Bench, Scoreboard
from support.stimulus import varied

CHIP = Chip(name="race", plane_height=1, plane_width=1, patch_height=1, patch_width=1, stride=1, neurons=7, winners=7,
            membrane_bits=4, threshold_bits=4)
CORNERS = {
    "lanes do not divide neurons": (CHIP, 3),
    "one lane": (CHIP, 1),
    "lanes equal neurons": (CHIP, 7),
    "one neuron": (varied(CHIP, neurons=1, winners=1), 1),
    "two neurons in a word": (varied(CHIP, neurons=2, winners=2), 2),
    "two stages of maxima": (varied(CHIP, neurons=21, winners=21), 10),
    "thresholds wider than membranes": (varied(CHIP, threshold_bits=9), 4),
    "membranes wider than thresholds": (varied(CHIP, membrane_bits=9), 4),
    "streamed, no spare lanes": (varied(CHIP, neurons=6, winners=6), 2),
    "streamed, two stages of maxima": (varied(CHIP, neurons=31, winners=31), 10),
}


async def winner_of(ctx, dut, layout):
    """The winner, taken some clocks after it was found; and the clocks from the last word, or from next, to done."""
    clocks = 1
    while not ctx.get(dut.done):
        await ctx.tick()
        clocks += 1
        assert clocks < 50, "no winner"
    found = ctx.get(dut.winner.neuron.word) * layout.lanes + ctx.get(dut.winner.neuron.lane)
    score = ctx.get(dut.winner.score)
    for _ in range(clocks % 3):
        await ctx.tick()
        assert ctx.get(dut.done) and ctx.get(dut.winner.score) == score, "the winner left before it was taken"
    return found, score, clocks


async def take(ctx, dut, *, following):
    """Take the winner; ``following``: and ask for the next one."""
    ctx.set(dut.taken, 1)
    ctx.set(dut.next, following)
    await ctx.tick()
    ctx.set(dut.taken, 0)
    ctx.set(dut.next, 0)
    assert following or not ctx.get(dut.done)


async def run_pass(ctx, dut, layout, membranes, thetas, *, behind, idle, rng):
    """One pass, with idle clocks between its words: its winner and score, and the clocks from its last word to done."""
    ctx.set(dut.behind, behind)
    for word in range(layout.words):
        while rng.random() < idle:
            ctx.set(dut.word.valid, 0)
            await ctx.tick()
        ctx.set(dut.word, {"valid": 1, "index": word, "first": word == 0, "last": word == layout.words - 1})
        for port, values in ((dut.membranes, membranes), (dut.thetas, thetas)):
            ctx.set(port, values[word * layout.lanes:(word + 1) * layout.lanes])
        await ctx.tick()
    ctx.set(dut.word.valid, 0)
    return await winner_of(ctx, dut, layout)


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("idle", [0, 0.4])
def test_winners_come_in_order_with_the_stated_latency(corner, idle):
    chip, lanes = CORNERS[corner]
    layout, rng = Layout(chip, lanes), np.random.default_rng(3)
    bench = Bench(Race(layout))

    async def testbench(ctx):
        for trial in range(4):
            spread = 3 if trial % 2 else 1 << 24  # many ties, or few
            size = layout.words * lanes
            membranes = [int(v) for v in rng.integers(0, min(spread, 1 << chip.membrane_bits), size)]
            thetas = [int(v) for v in rng.integers(0, min(spread, 1 << chip.threshold_bits), size)]
            membranes[chip.neurons:] = [(1 << chip.membrane_bits) - 1] * (size - chip.neurons)  # spare lanes never win
            order = sorted(range(chip.neurons), key=lambda j: (thetas[j] - membranes[j], j))
            came = []
            for rank in range(chip.winners):
                if rank == 0 or not layout.holds_scores:
                    winner, score, clocks = await run_pass(ctx, bench.dut, layout, membranes, thetas, behind=rank != 0,
                                                           idle=idle, rng=rng)
                else:
                    winner, score, clocks = await winner_of(ctx, bench.dut, layout)
                came.append(winner)
                assert clocks == Race.latency(layout)
                assert score == membranes[winner] - thetas[winner]
                await take(ctx, bench.dut, following=layout.holds_scores and rank != chip.winners - 1)
            Scoreboard(corner).compare(came, order, f"seed 3, trial {trial}")

    bench.run(testbench)


def test_reset_drops_the_pass():
    layout, rng = Layout(CHIP, 2), np.random.default_rng(0)
    bench = Bench(Race(layout))
    dut = bench.dut

    async def testbench(ctx):
        ctx.set(dut.word, {"valid": 1, "index": 0, "first": 1, "last": 0})
        ctx.set(dut.membranes, [15, 15])
        await ctx.tick()
        ctx.set(bench.reset, 1)
        ctx.set(dut.word, {"valid": 1, "index": 3, "first": 0, "last": 1})
        await ctx.tick()
        ctx.set(bench.reset, 0)
        ctx.set(dut.word.valid, 0)
        for _ in range(10):
            assert not ctx.get(dut.done)
            await ctx.tick()
        winner, *_ = await run_pass(ctx, dut, layout, [1, 2, 3, 4, 5, 4, 3, 0], [0] * 8, behind=False, idle=0, rng=rng)
        assert winner == 4

    bench.run(testbench)


@pytest.mark.parametrize("lanes, streamed, held", [(1, 2, 1), (2, 3, 2), (8, 3, 2), (9, 4, 3), (64, 4, 3), (65, 5, 4)])
def test_latency_grows_with_what_is_compared_at_once(lanes, streamed, held):
    layouts = [Layout(varied(CHIP, neurons=words * lanes, winners=1), lanes) for words in (1, 2, 3)]
    whole = Layout(varied(CHIP, neurons=2 * lanes, winners=1), 2 * lanes)
    assert list(map(Race.latency, layouts)) == [held, Race.latency(whole), streamed]
