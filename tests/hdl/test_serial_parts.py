"""Parts of the small form by themselves: the race in its order, and counters that lose nothing."""

import random

import pytest

from ohmspike.chip import Chip
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.ports import counter_peaks
from ohmspike.hdl.small.counters import SerialCounterBank
from ohmspike.hdl.small.race import SerialRace
from support.bench import Bench

CHIP = Chip(name="serial", plane_height=2, plane_width=3, patch_height=2, patch_width=2, stride=1, neurons=7, winners=5,
            learners=1, levels=16, weight_bits=4, membrane_bits=6, threshold_bits=7, amplitudes=2, classes=3,
            score_bits=8, margin=3)


@pytest.mark.parametrize("lanes", [1, 3, 7])
@pytest.mark.parametrize("spread", [1, 3, 60])
def test_neurons_fire_in_the_order_of_the_contract(lanes, spread):
    layout, draw = Layout(CHIP, lanes, level_ports=1), random.Random(lanes * spread)
    bench = Bench(SerialRace(layout))
    dut = bench.dut

    async def one_pass(ctx, scores, behind):
        ctx.set(dut.behind, behind)
        for neuron, (membrane, theta) in enumerate(scores):
            ctx.set(dut.entry, {"valid": 1, "neuron": {"word": neuron // lanes, "lane": neuron % lanes},
                                "first": neuron == 0, "last": neuron == len(scores) - 1})
            ctx.set(dut.membrane, membrane)
            ctx.set(dut.theta, theta)
            await ctx.tick()
        ctx.set(dut.entry.valid, 0)
        for _ in range(dut.latency - 1):
            assert not ctx.get(dut.done)
            await ctx.tick()
        assert ctx.get(dut.done)
        found = [ctx.get(winner) for winner in dut.winners]
        await ctx.tick()
        return [(winner.neuron.word * lanes + winner.neuron.lane, winner.score) for winner in found]

    async def testbench(ctx):
        for _ in range(12):
            scores = [(draw.randrange(min(spread, 64)), draw.randrange(min(2 * spread, 128))) for _ in range(7)]
            order = sorted((theta - membrane, neuron) for neuron, (membrane, theta) in enumerate(scores))
            found = await one_pass(ctx, scores, 0) + await one_pass(ctx, scores, 1)
            assert found == [(neuron, -value) for value, neuron in order[:6]], scores

    bench.run(testbench)


PULSE = ("set_pulses", "set_weight"), ("reset_pulses", "reset_weight")


@pytest.mark.parametrize("seed", range(3))
def test_increments_as_close_as_the_small_form_makes_them_are_all_counted(seed):
    """Spikes every 4 clocks, a visit every 8, read_sum in every clock; then pulses every 4, and what comes seldom."""
    layout, draw = Layout(CHIP, 2, level_ports=1), random.Random(seed)
    peaks = counter_peaks(layout)
    bench = Bench(SerialCounterBank(peaks, CHIP.amplitudes))
    dut, totals = bench.dut, dict.fromkeys(peaks, 0)

    async def testbench(ctx):
        pressed = []

        def count(name, amount):
            port = getattr(dut, f"increment_{name}")
            ctx.set(port, amount)
            pressed.append(port)
            totals[name] += amount

        async def tick():
            await ctx.tick()
            for port in pressed:
                ctx.set(port, 0)
            pressed.clear()

        for clock in range(300):
            count("read_sum", draw.randint(0, peaks["read_sum"]))
            if clock % 4 == 1:
                count("in_spikes", 1)
                count("pre_recharge", draw.randint(0, peaks["pre_recharge"]))
            if clock % 8 == 2:
                count(draw.choice(["row_reads", "closed_tile_pulses"]), 1)
                count("active_sq_sum", draw.randint(0, peaks["active_sq_sum"]))
            await tick()
        for _ in range(dut.settle):
            await tick()
        for _ in range(60):
            reset, bin_, weight = draw.randint(0, 1), draw.randint(0, 1), draw.randint(0, 15)
            for port, value in (("pulse", 1), ("pulse_reset", reset), ("pulse_bin", bin_), ("pulse_weight", weight)):
                ctx.set(getattr(dut, port), value)
            pressed.append(dut.pulse)
            for name, amount in zip(PULSE[reset], (1, weight), strict=True):
                totals[f"{name}_{bin_}"] += amount
            count("reset_rows", reset)
            await tick()
            count("clipped_low", draw.randint(0, 1))
            await tick()
            await tick()
            await tick()
        ctx.set(dut.held_dark_spikes, 5)
        for name in ("dark_spikes", "out_spikes", "read_out_reads", "post_recharge", "labels", "taught"):
            count(name, 1)
        totals["dark_spikes"] += 4
        await tick()
        for _ in range(dut.settle):
            await tick()
        ctx.set(dut.hold, 1)
        for address, name in enumerate(peaks):
            ctx.set(dut.address, address)
            await ctx.tick()
            assert ctx.get(dut.value) == totals[name], f"{name}, seed {seed}"
        ctx.set(dut.hold, 0)
        ctx.set(dut.clear, 1)
        for _ in range(dut.settle):
            await ctx.tick()
        ctx.set(dut.clear, 0)
        ctx.set(dut.hold, 1)
        for address in range(len(peaks)):
            ctx.set(dut.address, address)
            await ctx.tick()
            assert ctx.get(dut.value) == 0

    bench.run(testbench)
