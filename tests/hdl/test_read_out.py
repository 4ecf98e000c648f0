"""The read-out crossbar on its own: scores, searches and the list of rows, against a model in plain Python."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.hdl.fast.read_out import ReadOut
from ohmspike.hdl.shared.layout import Layout
from support.bench import Bench, Scoreboard
from support.stimulus import varied

CHIP = Chip(name="read out", plane_height=1, plane_width=2, patch_height=1, patch_width=1, stride=1, neurons=4,
            winners=3, levels=16, weight_bits=5, classes=3, score_bits=8, margin=9)
ONE = varied(CHIP, plane_width=1, neurons=1, winners=1)
CORNERS = {
    "two classes": varied(CHIP, classes=2),
    "three classes": CHIP,
    "four classes, winners all": varied(CHIP, classes=4, winners=4),
    "ten classes": varied(CHIP, classes=10),
    "255 classes, two levels": varied(CHIP, classes=255, levels=2, plane_width=1, neurons=2, winners=1,
                                      weight_store="fixed", weights=(3, 7)),
    "one row": ONE,
    "one winner": varied(CHIP, winners=1),
    "seven winners, one tile": varied(CHIP, plane_width=1, neurons=7, winners=7),
    "five tiles": varied(CHIP, plane_width=5, neurons=3),
    "fixed weights": varied(CHIP, weight_store="fixed", weights=tuple(range(31, 15, -1))),
    "256 levels, weights wider than scores": varied(
        CHIP, levels=256, weight_bits=12, weights=tuple(range(4095, 3839, -1)), set_step=0.05, reset_step=0.05),
    "wide scores": varied(CHIP, score_bits=24),
}


class Model:
    """Contract 10.2 to 10.5 in the words of the component: rows that fire, columns that are sought."""

    def __init__(self, chip, cells, table):
        self.chip, self.cells, self.table = chip, cells, table
        self.clear()

    def clear(self):
        self.scores, self.listed = [0] * self.chip.classes, []

    def fire(self, row, pulses):
        """Every weight that a pulse reads, pulse after pulse; the sum of them all."""
        top = (1 << self.chip.score_bits) - 1
        weights = [self.table[level] for level in self.cells[row]]
        for _ in range(pulses):
            self.scores = [min(score + weight, top) for score, weight in zip(self.scores, weights, strict=True)]
        self.listed.append(row)
        return sum(weights) * pulses

    def search(self, but=None):
        """Column, score, and the largest score of the others but ``but``; none of those is 0."""
        order = sorted((c for c in range(self.chip.classes) if c != but), key=lambda c: (-self.scores[c], c))
        return order[0], self.scores[order[0]], self.scores[order[1]] if len(order) > 1 else 0


async def load(ctx, dut, chip, cells, table):
    """Weights by entry, levels by row."""
    for level, weight in enumerate(table):
        ctx.set(dut.load, 1)
        ctx.set(dut.load_level, level)
        ctx.set(dut.load_weight, int(weight))
        await ctx.tick()
    ctx.set(dut.load, 0)
    for row, levels in enumerate(cells):
        ctx.set(dut.write_address, row)
        for label, level in enumerate(levels):
            ctx.set(dut.write, 1 << label)
            ctx.set(dut.written, level)
            await ctx.tick()
    ctx.set(dut.write, 0)


async def fire(ctx, dut, row, pulses):
    """A fire; clocks from the one that accepts it to the one in which it is in the scores."""
    ctx.set(dut.fire, {"row": row, "pulses": pulses})
    ctx.set(dut.fire_valid, 1)
    clocks = 0
    while not clocks or not ctx.get(dut.idle):
        assert ctx.get(dut.fire_ready)
        await ctx.tick()
        ctx.set(dut.fire_valid, 0)
        clocks += 1
        assert clocks < 300, "the fire does not end"
    return clocks


async def search(ctx, dut, but=None):
    """What a search finds, and the clocks from the question to the answer."""
    ctx.set(dut.ask, 1)
    ctx.set(dut.excluding, but is not None)
    ctx.set(dut.exclude, but or 0)
    clocks = 0
    while not ctx.get(dut.done):
        await ctx.tick()
        ctx.set(dut.ask, 0)
        assert not ctx.get(dut.idle), "a search is under way"
        clocks += 1
        assert clocks < 300, "the search does not end"
    await ctx.tick()
    assert not ctx.get(dut.done) and ctx.get(dut.idle)
    return (ctx.get(dut.best), ctx.get(dut.best_score), ctx.get(dut.second_score)), clocks


async def rows_listed(ctx, dut):
    rows = []
    for place in range(ctx.get(dut.listed)):
        ctx.set(dut.index, place)
        await ctx.tick()
        rows.append(ctx.get(dut.row))
    return rows


def prepared(chip, seed, *, spread=None):
    """Bench and model; what ``weight_sum`` told, clock by clock where it is not 0. Few weights make many ties."""
    bench, rng = Bench(ReadOut(Layout(chip, 1))), np.random.default_rng(seed)
    cells = rng.integers(0, chip.levels, (chip.read_out_rows, chip.classes)).tolist()
    table = chip.weight_table.tolist() if chip.weight_store == "fixed" else rng.integers(
        0, spread or 1 << chip.weight_bits, chip.levels).tolist()
    sums = []

    async def watch(ctx):
        sampled = ctx.tick().sample(bench.dut.weight_sum)
        while True:
            _, _, found = await sampled
            sums.extend([found] if found else [])

    bench.add(watch, background=True)
    return bench, rng, Model(chip, cells, table), sums


@pytest.mark.parametrize("corner", CORNERS)
def test_scores_searches_and_list_match_the_model_in_the_stated_clocks(corner):
    chip, seed = CORNERS[corner], len(corner)
    bench, rng, model, sums = prepared(chip, seed, spread=3 if seed % 3 == 0 else None)
    dut, expected = bench.dut, []

    async def testbench(ctx):
        await load(ctx, dut, chip, model.cells, model.table)
        for trial in range(1 if chip.classes > 16 else 4):
            for index in range(int(rng.integers(0, chip.tiles * chip.winners + 1))):
                row, pulses = int(rng.integers(chip.read_out_rows)), int(rng.integers(1, chip.winners + 1))
                expected.extend(total for total in [model.fire(row, pulses)] if total)
                assert await fire(ctx, dut, row, pulses) == ReadOut.latency == 4, f"{corner}, trial {trial}, {index}"
            columns = rng.permutation(chip.classes)[:4 if chip.classes <= 16 else 1].tolist()
            for but in [None, *columns, 0, chip.classes - 1, None]:
                where = f"{corner}, seed {seed}, trial {trial}, all but {but}"
                found, clocks = await search(ctx, dut, but)
                Scoreboard(where).compare(found, model.search(but))
                assert clocks == dut.search == chip.classes + 2, where
                assert but is None or ctx.get(dut.excluded_score) == model.scores[but], where
            assert await rows_listed(ctx, dut) == model.listed, f"{corner}, trial {trial}"
            assert sums == expected, f"{corner}, trial {trial}"
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            model.clear()
            assert ctx.get(dut.listed) == 0 and (await search(ctx, dut))[0] == (0, 0, 0)
        for row, levels in enumerate(model.cells):  # neither clear nor a fire changes a cell
            ctx.set(dut.address, row)
            await ctx.tick()
            assert list(ctx.get(dut.data)) == levels, f"{corner}, row {row}"

    bench.run(testbench)


TIES = {  # scores, all but, best, its score, the largest of the others
    "the lowest of equals": ([5, 7, 7, 7], None, (1, 7, 7)),
    "all alike": ([3, 3, 3, 3], None, (0, 3, 3)),
    "second behind the best": ([9, 2, 4, 4], None, (0, 9, 4)),
    "second before the best": ([4, 2, 4, 9], None, (3, 9, 4)),
    "falling": ([9, 8, 7, 6], None, (0, 9, 8)),
    "rising": ([6, 7, 8, 9], None, (3, 9, 8)),
    "the others are 0": ([0, 0, 6, 0], None, (2, 6, 0)),
    "nothing fired": ([0, 0, 0, 0], None, (0, 0, 0)),
    "all but the best": ([5, 9, 7, 7], 1, (2, 7, 7)),
    "all but the lowest of equals": ([7, 7, 7, 1], 0, (1, 7, 7)),
    "all but the first, nothing fired": ([0, 0, 0, 0], 0, (1, 0, 0)),
    "all but the last": ([1, 2, 3, 9], 3, (2, 3, 2)),
    "all but one of no account": ([1, 0, 8, 2], 1, (2, 8, 2)),
}


@pytest.mark.parametrize("case", TIES)
def test_ties_go_to_the_lowest_column(case):
    scores, but, expected = TIES[case]
    chip = varied(CHIP, classes=4)
    bench = Bench(ReadOut(Layout(chip, 1)))

    async def testbench(ctx):
        await load(ctx, bench.dut, chip, [scores], range(16))
        await fire(ctx, bench.dut, 0, 1)
        await search(ctx, bench.dut, 0 if but is None else None)  # what was found before does not count
        found, _ = await search(ctx, bench.dut, but)
        assert found == expected
        assert but is None or ctx.get(bench.dut.excluded_score) == scores[but]

    bench.run(testbench)


@pytest.mark.parametrize("weight, pulses, fires, score", [(31, 3, 3, 255), (17, 3, 5, 255), (15, 1, 17, 255),
                                                          (16, 1, 15, 240), (16, 1, 16, 255)])
def test_scores_hold_at_their_top(weight, pulses, fires, score):
    chip = varied(CHIP, plane_width=9)
    bench = Bench(ReadOut(Layout(chip, 1)))

    async def testbench(ctx):
        await load(ctx, bench.dut, chip, [[1, 0, 0]], [0, weight])
        for _ in range(fires):
            await fire(ctx, bench.dut, 0, pulses)
        assert (await search(ctx, bench.dut))[0] == (0, score, 0)

    bench.run(testbench)


def test_fires_come_back_to_back():
    bench, _, model, sums = prepared(CHIP, 5)
    dut, accepted, expected = bench.dut, [], []
    fires = [(0, 3), (7, 2), (7, 1), (2, 3), (5, 1)]

    async def testbench(ctx):
        await load(ctx, dut, CHIP, model.cells, model.table)
        clock = 0
        for row, pulses in fires:
            ctx.set(dut.fire, {"row": row, "pulses": pulses})
            ctx.set(dut.fire_valid, 1)
            taken = False
            while not taken:
                taken = ctx.get(dut.fire_ready)
                await ctx.tick()
                clock += 1
            accepted.append(clock)
        ctx.set(dut.fire_valid, 0)
        while not ctx.get(dut.idle):
            await ctx.tick()
        expected.extend(model.fire(row, pulses) for row, pulses in fires)
        for but in range(CHIP.classes):  # asked in the first idle clock, and in every one after a search
            found, _ = await search(ctx, dut, but)
            assert (found, ctx.get(dut.excluded_score)) == (model.search(but), model.scores[but])
        assert await rows_listed(ctx, dut) == [row for row, _ in fires]

    bench.run(testbench)
    assert np.diff(accepted).tolist() == [1] * (len(fires) - 1)
    assert sums == expected


def test_levels_are_read_and_written_row_by_row():
    bench, rng, model, _ = prepared(CHIP, 6)
    dut = bench.dut

    async def testbench(ctx):
        await load(ctx, dut, CHIP, model.cells, model.table)
        for _ in range(30):
            row, other = (int(rng.integers(CHIP.read_out_rows)) for _ in range(2))
            ctx.set(dut.address, row)
            ctx.set(dut.write_address, other)
            ctx.set(dut.written, level := int(rng.integers(0, CHIP.levels)))
            ctx.set(dut.write, write := int(rng.integers(1 << CHIP.classes)) * (other != row))
            await ctx.tick()
            assert list(ctx.get(dut.data)) == model.cells[row]
            for label in range(CHIP.classes):
                if write >> label & 1:
                    model.cells[other][label] = level
        ctx.set(dut.write, 0)
        model.fire(3, 2)
        await fire(ctx, dut, 3, 2)  # a fire takes what was written
        assert (await search(ctx, dut))[0] == model.search()

    bench.run(testbench)


@pytest.mark.parametrize("after", range(1, 9))
@pytest.mark.parametrize("what", ["fire", "search"])
def test_reset_in_mid_operation_forgets_scores_and_list_and_keeps_levels(what, after):
    bench, _, model, _ = prepared(CHIP, 7)
    dut = bench.dut

    async def testbench(ctx):
        await load(ctx, dut, CHIP, model.cells, model.table)
        await fire(ctx, dut, 1, 3)
        ctx.set(dut.fire, {"row": 2, "pulses": 3})
        ctx.set(dut.fire_valid, what == "fire")
        ctx.set(dut.ask, what == "search")
        for _ in range(after):
            await ctx.tick()
            ctx.set(dut.fire_valid, 0)
            ctx.set(dut.ask, 0)
        ctx.set(bench.reset, 1)
        await ctx.tick()
        ctx.set(bench.reset, 0)
        assert ctx.get(dut.idle) and ctx.get(dut.fire_ready) and not ctx.get(dut.done) and ctx.get(dut.listed) == 0
        assert ctx.get(dut.weight_sum) == 0
        assert await search(ctx, dut) == ((0, 0, 0), CHIP.classes + 2)
        for row, pulses in ((2, 3), (6, 1)):
            model.fire(row, pulses)
            assert await fire(ctx, dut, row, pulses) == ReadOut.latency
        for but in (None, 0, 1, 2):
            assert (await search(ctx, dut, but))[0] == model.search(but)
        assert await rows_listed(ctx, dut) == [2, 6]

    bench.run(testbench)
