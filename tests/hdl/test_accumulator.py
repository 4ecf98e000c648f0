"""The read: weights of a word of cells onto their membranes."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.hdl.shared.accumulator import Accumulator, WeightTable
from ohmspike.hdl.shared.layout import Layout
from support.bench import Bench
from support.stimulus import varied

CHIP = Chip(name="read", plane_height=2, plane_width=2, patch_height=2, patch_width=2, stride=1, neurons=5, levels=16,
            weight_bits=5, weights=tuple(range(31, 15, -1)), membrane_bits=6, set_step=0.01, reset_step=0.01)
CORNERS = {
    "lanes do not divide neurons": (CHIP, 2),
    "one lane": (CHIP, 1),
    "lanes equal neurons": (CHIP, 5),
    "one neuron": (varied(CHIP, neurons=1), 1),
    "two levels, fixed": (varied(CHIP, levels=2, weights=(0, 31), weight_store="fixed"), 3),
    "256 levels": (varied(CHIP, levels=256, weight_bits=12, weights=tuple(range(4095, 3839, -1)), membrane_bits=4), 3),
}


async def load(ctx, dut, table):
    """Load the weight table."""
    for level, weight in enumerate(table):
        ctx.set(dut.write, 1)
        ctx.set(dut.write_level, level)
        ctx.set(dut.write_weight, int(weight))
        await ctx.tick()
    ctx.set(dut.write, 0)


@pytest.mark.parametrize("corner", CORNERS)
def test_reads_match_the_contract_one_word_per_clock(corner):
    chip, lanes = CORNERS[corner]
    layout, rng = Layout(chip, lanes), np.random.default_rng(11)
    bench = Bench(Accumulator(layout))
    dut, top = bench.dut, (1 << chip.membrane_bits) - 1
    table = chip.weight_table
    words = [(rng.integers(0, chip.levels, lanes), rng.integers(0, top + 1, lanes), rng.random() < 0.2,
              rng.random() < 0.5) for _ in range(60)]

    async def testbench(ctx):
        nonlocal table
        total = None
        if chip.weight_store == "memory":
            table = rng.integers(0, 1 << chip.weight_bits, chip.levels)
            await load(ctx, dut, table)
        ctx.set(dut.levels, [int(level) for level in words[0][0]])
        for step, (levels, membranes, fresh, last) in enumerate(words):
            await ctx.tick()  # the latency of 1 clock, while the next word is offered
            ctx.set(dut.levels, [int(level) for level in words[(step + 1) % len(words)][0]])
            ctx.set(dut.membranes, [int(value) for value in membranes])
            ctx.set(dut.fresh, fresh)
            ctx.set(dut.last_word, last)
            raised = [min(int(0 if fresh else v) + int(table[level]), top)
                      for v, level in zip(membranes, levels, strict=True)]
            assert list(ctx.get(dut.raised)) == raised, f"{corner}, seed 11, word {step}"
            if step:
                assert ctx.get(dut.weight_sum) == total, f"{corner}, seed 11, sum of word {step - 1}"
            used = levels[:layout.last_lanes] if last else levels
            total = int(sum(int(table[level]) for level in used))

    bench.run(testbench)


def test_reset_keeps_the_table():
    bench = Bench(WeightTable(Layout(CHIP, 1)))
    dut = bench.dut

    async def testbench(ctx):
        await load(ctx, dut, range(16))
        ctx.set(bench.reset, 1)
        await ctx.tick()
        ctx.set(bench.reset, 0)
        for level in range(16):
            ctx.set(dut.level, level)
            await ctx.tick()
            assert ctx.get(dut.weight) == level

    bench.run(testbench)


def test_fixed_table_ignores_writes():
    bench = Bench(WeightTable(Layout(varied(CHIP, weight_store="fixed"), 1)))
    dut = bench.dut

    async def testbench(ctx):
        await load(ctx, dut, range(16))
        for level in range(16):
            ctx.set(dut.level, level)
            await ctx.tick()
            assert ctx.get(dut.weight) == 31 - level

    bench.run(testbench)
