"""The counter bank: nothing is lost, whatever rises at once."""

import random

import pytest

from ohmspike.hdl.fast.counters import CounterBank
from support.bench import Bench

PEAKS = {
    "several": {"a": 1, "b": 7, "c": 8191, "d": 1, "e": 300},
    "two": {"a": 1, "b": 4095},
    "three": {"a": 2, "b": 1, "c": 5},
}


def increments(dut, names):
    return [getattr(dut, f"increment_{name}") for name in names]


async def values(ctx, dut, count):
    found = []
    ctx.set(dut.hold, 1)
    for address in range(count):
        ctx.set(dut.address, address)
        await ctx.tick()
        found.append(ctx.get(dut.value))
    ctx.set(dut.hold, 0)
    return found


@pytest.mark.parametrize("bank", PEAKS)
@pytest.mark.parametrize("full", [True, False])
def test_every_counter_may_rise_in_every_clock(bank, full):
    peaks, draw = PEAKS[bank], random.Random(5)
    bench = Bench(CounterBank(peaks))
    dut, totals = bench.dut, dict.fromkeys(peaks, 0)

    async def testbench(ctx):
        for stretch in (1, 60, 3):
            for _ in range(stretch):
                for (name, peak), port in zip(peaks.items(), increments(dut, peaks), strict=True):
                    amount = peak if full else draw.randint(0, peak)
                    ctx.set(port, amount)
                    totals[name] += amount
                await ctx.tick()
            for port in increments(dut, peaks):
                ctx.set(port, 0)
            for _ in range(dut.settle - 1):
                await ctx.tick()
            assert await values(ctx, dut, len(peaks)) == list(totals.values()), f"seed 5, after {stretch}"

    bench.run(testbench)


@pytest.mark.parametrize("bank", PEAKS)
def test_an_increment_is_seen_after_the_stated_clocks_whenever_it_comes(bank):
    peaks = PEAKS[bank]
    bench = Bench(CounterBank(peaks))
    dut = bench.dut
    assert dut.settle == len(peaks) + 2

    async def testbench(ctx):
        expected = 0
        for phase in range(2 * len(peaks)):
            for _ in range(phase % 3):
                await ctx.tick()
            port = increments(dut, peaks)[-1]
            ctx.set(port, 1)
            expected += 1
            await ctx.tick()
            ctx.set(port, 0)
            for _ in range(dut.settle - 1):
                await ctx.tick()
            assert (await values(ctx, dut, len(peaks)))[-1] == expected, f"phase {phase}"

    bench.run(testbench)


def test_clear_zeroes_and_reset_keeps_the_totals():
    peaks = PEAKS["several"]
    bench = Bench(CounterBank(peaks))
    dut = bench.dut

    async def count(ctx, clocks):
        for port in increments(dut, peaks):
            ctx.set(port, 1)
        for _ in range(clocks):
            await ctx.tick()
        for port in increments(dut, peaks):
            ctx.set(port, 0)
        for _ in range(dut.settle):
            await ctx.tick()

    async def testbench(ctx):
        await count(ctx, 9)
        ctx.set(bench.reset, 1)
        await ctx.tick()
        ctx.set(bench.reset, 0)
        assert await values(ctx, dut, 5) == [9] * 5
        await count(ctx, 4)
        assert await values(ctx, dut, 5) == [13] * 5
        ctx.set(dut.clear, 1)
        for _ in range(dut.settle):
            await ctx.tick()
        ctx.set(dut.clear, 0)
        assert await values(ctx, dut, 5) == [0] * 5
        await count(ctx, 2)
        assert await values(ctx, dut, 5) == [2] * 5

    bench.run(testbench)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_counters_are_refused(count):
    with pytest.raises(ValueError, match=f"^peaks must name at least 2 counters, not {count}$"):
        CounterBank(dict.fromkeys("a"[:count], 1))
