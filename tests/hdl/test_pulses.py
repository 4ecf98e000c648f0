"""The pulse generator: what a sweep does to a column, and in how many clocks."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.hdl.fast.pulses import Pulses
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.plasticity import PulseMode, TraceLookup
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState
from support.bench import Bench, Scoreboard
from support.stimulus import random_state, varied

CHIP = Chip(name="pulses", plane_height=3, plane_width=4, patch_height=2, patch_width=3, stride=1, neurons=5, levels=16,
            weight_bits=4, amplitudes=4, trace_bits=5, trace_shift=2)
TILE_MODES = [PulseMode.POST, PulseMode.DARK, PulseMode.CELL]
CORNERS = {
    "lanes do not divide neurons": Layout(CHIP, 2),
    "one lane": Layout(CHIP, 1),
    "lanes equal neurons": Layout(CHIP, 5),
    "one cell": Layout(varied(CHIP, plane_height=1, plane_width=1, patch_height=1, patch_width=1, neurons=1), 1),
    "two levels, one amplitude": Layout(varied(CHIP, levels=2, amplitudes=1, set_step=1.0, reset_step=1.0), 3),
    "256 levels, 16 amplitudes": Layout(varied(CHIP, levels=256, amplitudes=16, weight_bits=8, trace_bits=8,
                                               set_step=0.05, reset_step=0.05), 2),
    "16 fraction bits": Layout(varied(CHIP, levels=4, fraction_bits=16, set_step=0.2, reset_step=0.2), 2),
    "fixed weights": Layout(varied(CHIP, weight_store="fixed"), 2),
    "noise": Layout(varied(CHIP, noise_bits=10), 2),
    "noise, 16 bits, 8 fraction bits": Layout(varied(CHIP, noise_bits=16, fraction_bits=8), 5),
    "stuck cells": Layout(varied(CHIP, stuck_cells="masked"), 2),
    "noise, stuck cells": Layout(varied(CHIP, noise_bits=12, stuck_cells="masked"), 3),
    "one cell, noise": Layout(varied(CHIP, plane_height=1, plane_width=1, patch_height=1, patch_width=1, neurons=1,
                                     noise_bits=1), 1),
}
READ_OUT = varied(CHIP, winners=3, classes=3, score_bits=8, margin=9, read_out_set_step=0.3, read_out_reset_step=0.4,
                  read_out_set_bound=1.0)
TAUGHT = {
    "read-out wider than a word": Layout(READ_OUT, 2),
    "read-out narrower than a word": Layout(varied(READ_OUT, classes=2), 5),
    "one winner": Layout(varied(READ_OUT, winners=1), 3),
    "one row": Layout(varied(READ_OUT, plane_height=1, plane_width=1, patch_height=1, patch_width=1, neurons=1,
                             winners=1), 1),
    "ten classes, all win": Layout(varied(READ_OUT, classes=10, winners=5), 1),
    "two levels, one amplitude": Layout(varied(READ_OUT, levels=2, amplitudes=1, read_out_set_step=1.0), 2),
    "16 amplitudes, 8 bits of trace": Layout(varied(READ_OUT, amplitudes=16, trace_bits=8, winners=4), 2),
    "fixed weights": Layout(varied(READ_OUT, weight_store="fixed"), 2),
    "noise": Layout(varied(READ_OUT, noise_bits=12), 2),
    "stuck cells": Layout(varied(READ_OUT, stuck_cells="masked"), 2),
    "noise, stuck cells, narrower than a word": Layout(varied(READ_OUT, classes=2, noise_bits=14,
                                                              stuck_cells="masked"), 5),
}


class Memories:
    """The memories around the pulse generator, one clock from address to data; and what it counted."""

    def __init__(self, dut, layout, state, stamps):
        self.dut, self.layout, self.random = dut, layout, state.random.astype(object)
        self.stamps, self.writes, self.counted = stamps, [], []
        cells = np.zeros((layout.chip.tiles * layout.chip.rows, layout.words * layout.lanes), int)
        cells[:, :layout.chip.neurons] = state.levels.reshape(-1, layout.chip.neurons)
        self.words = cells.reshape(-1, layout.lanes)
        self.stuck = None
        if layout.chip.has_stuck_cells:
            cells = np.zeros((layout.chip.tiles * layout.chip.rows, layout.words * layout.lanes), int)
            cells[:, :layout.chip.neurons] = state.stuck.reshape(-1, layout.chip.neurons)
            self.stuck = cells.reshape(-1, layout.lanes)

    def levels(self):
        chip = self.layout.chip
        return self.words.reshape(chip.tiles, chip.rows, -1)[:, :, :chip.neurons]

    async def run(self, ctx):
        dut, clock = self.dut, 0
        sampled = ctx.tick().sample(
            dut.level_address, dut.line_address, dut.random_address, dut.level_write, dut.level_write_address,
            dut.written, dut.random_write, dut.random_write_address, dut.random_write_data,
            dut.pulse, dut.pulse_reset, dut.pulse_bin, dut.pulse_weight, dut.clipped)
        while True:
            (_, reset, level, line, tile, write, where, word, random_write, stored, random, *counted) = await sampled
            ctx.set(dut.level_data, self.words[min(level, len(self.words) - 1)].tolist())
            if self.stuck is not None:
                ctx.set(dut.level_stuck, self.stuck[min(level, len(self.stuck) - 1)].tolist())
            ctx.set(dut.line_stamp, self.stamps[min(line, len(self.stamps) - 1)])
            ctx.set(dut.random_data, int(self.random[tile]))
            if write and not reset:
                self.words[where][lanes_of(write)] = word
                self.writes.append(clock)
            if random_write and not reset:
                self.random[stored] = random
            if counted[0]:
                self.counted.append(tuple(counted[1:]))
            clock += 1


def lanes_of(mask):
    """The bits set, at most one of them by contract."""
    assert mask & (mask - 1) == 0
    return mask.bit_length() - 1


class ReadOutCells:
    """The levels of the read-out and the list of rows that fired, one clock from address to data."""

    def __init__(self, dut, state, rows):
        self.dut, self.rows, self.writes = dut, rows, []  # writes: clock and row
        self.cells, self.stuck = state.read_out.astype(int), state.read_out_stuck

    async def run(self, ctx):
        dut, clock = self.dut, 0
        sampled = ctx.tick().sample(dut.index, dut.read_out_address, dut.read_out_write, dut.read_out_write_address,
                                    dut.written)
        while True:
            _, reset, place, row, write, where, word = await sampled
            ctx.set(dut.row, self.rows[min(place, len(self.rows) - 1)])
            ctx.set(dut.read_out_data, self.cells[min(row, len(self.cells) - 1)].tolist())
            if len(self.stuck):
                ctx.set(dut.read_out_stuck, self.stuck[min(row, len(self.cells) - 1)].tolist())
            if write and not reset:
                self.cells[where][lanes_of(write)] = word
                self.writes.append((clock, where))
            clock += 1


def table_address(chip, address, taught):
    """Where an entry of a table lies: level, amplitude bin, and above them the tables of the read-out."""
    bin_, level = divmod(address, chip.levels)
    return (taught * chip.amplitudes + bin_) << (chip.levels - 1).bit_length() | level


async def load(ctx, dut, chip, state):
    for name, taught in (("set", 0), ("reset", 0), ("read_out_set", 1), ("read_out_reset", 1)):
        enable = getattr(dut, f"table_write_{name.removeprefix('read_out_')}")
        ctx.set(enable, 1)
        for address, entry in enumerate(getattr(state, name).ravel().tolist()):
            ctx.set(dut.table_address, table_address(chip, address, taught))
            ctx.set(dut.table_write_data, entry)
            await ctx.tick()
        ctx.set(enable, 0)
    ctx.set(dut.weight_write, 1)
    for level, weight in enumerate(state.weight.tolist()):
        ctx.set(dut.weight_write_level, level)
        ctx.set(dut.weight_write_weight, weight)
        await ctx.tick()
    ctx.set(dut.weight_write, 0)
    if chip.noise_bits:
        ctx.set(dut.write_noise, state.write_noise)


async def sweep(ctx, bench, **start):
    """One sweep; clocks from the one that accepts it to the one in which nothing is under way."""
    await begin(ctx, bench, **start)
    return await rest(ctx, bench) + 1


async def begin(ctx, bench, **start):
    """Offer a sweep; clocks until it was accepted."""
    dut, clocks = bench.dut, 1
    ctx.set(dut.start, start)
    ctx.set(dut.start_valid, 1)
    while not ctx.get(dut.start_ready):
        await ctx.tick()
        clocks += 1
        assert clocks < 10_000, "the sweep is not accepted"
    await ctx.tick()
    ctx.set(dut.start_valid, 0)
    return clocks


async def rest(ctx, bench):
    """Clocks until nothing is under way."""
    clocks = 0
    while not ctx.get(bench.dut.idle):
        await ctx.tick()
        clocks += 1
        assert clocks < 10_000, "the sweep does not end"
    return clocks


def prepared(layout, seed, bench):
    chip, rng = layout.chip, np.random.default_rng(seed)
    state = random_state(chip, rng)
    state.counters[:] = 0
    state.weight[:] = chip.weight_table if chip.weight_store == "fixed" else rng.integers(
        0, 1 << chip.weight_bits, chip.levels)
    step = int(rng.integers(0, 30))
    stamps = [int(rng.integers(0, step + 1)) if rng.random() < 0.6 else 255 for _ in range(chip.lines)]
    memories = Memories(bench.dut, layout, state, stamps)
    bench.add(memories.run, background=True)
    return rng, state, step, memories


def first_pulses(oracle, chip, mode, tile, row, neuron, trace, stamps, step):
    """Pulses of a sweep on the oracle, by contract 5.2; rows in ascending order."""
    table = [*chip.trace_table.tolist(), *[0] * 256]
    for r, line in enumerate(chip.row_lines[tile].tolist()):
        silent = stamps[line] == 255
        if mode == PulseMode.POST and not silent and table[step - stamps[line]]:
            oracle._pulse(tile, r, neuron, table[step - stamps[line]], +1)
        elif mode == PulseMode.DARK and silent or mode == PulseMode.CELL and r == row:
            oracle._pulse(tile, r, neuron, trace, -1)


@pytest.mark.parametrize("corner", CORNERS)
def test_sweeps_match_the_oracle_in_the_stated_clocks(corner):
    layout = CORNERS[corner]
    chip, bench = layout.chip, Bench(Pulses(layout))
    rng, state, step, memories = prepared(layout, 17, bench)
    oracle = Oracle(chip, state)

    async def testbench(ctx):
        await load(ctx, bench.dut, chip, state)
        ctx.set(bench.dut.step, step)
        for index in range(14):
            where = f"{corner}, seed 17, sweep {index}"
            mode = TILE_MODES[index % 3]
            tile, neuron = int(rng.integers(chip.tiles)), int(rng.integers(chip.neurons))
            row = int(rng.integers(chip.rows)) if mode == PulseMode.CELL else 0
            trace = int(rng.integers(1, 1 << chip.trace_bits))
            word, lane = divmod(neuron, layout.lanes)
            clocks = await sweep(
                ctx, bench, mode=mode, address=(tile * chip.rows + row) * layout.words + word, lane=lane,
                line=int(chip.row_lines[tile, row]), trace=trace, tile=tile)
            rows = 1 if mode == PulseMode.CELL else chip.rows
            assert clocks == rows + 6, where
            first_pulses(oracle, chip, mode, tile, row, neuron, trace, memories.stamps, step)
            assert np.array_equal(memories.levels(), oracle.state.levels), where
            assert memories.random.tolist() == oracle.state.random.tolist(), where
            counted_alike(memories, oracle, where)

    bench.run(testbench)


CHAINS = {  # mode, and the clocks from an accepted sweep to the next one: rows + 1, or once it is idle
    "tiles ascending": ([(PulseMode.POST, tile) for tile in range(4)], [7] * 3),
    "DARK, tiles ascending by more": ([(PulseMode.DARK, tile) for tile in (0, 2, 3)], [7] * 2),
    "one tile twice": ([(PulseMode.POST, 1)] * 3 + [(PulseMode.POST, 2)], [12, 12, 7]),
    "a lower tile": ([(PulseMode.DARK, 3), (PulseMode.DARK, 0), (PulseMode.DARK, 1)], [12, 7]),
    "modes in turn": ([(PulseMode.POST, 0), (PulseMode.DARK, 1), (PulseMode.CELL, 2), (PulseMode.CELL, 3)],
                      [12, 12, 7]),
}


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("case", CHAINS)
def test_sweeps_of_other_tiles_follow_each_other_without_a_pause(case, lanes):
    """Rows of two sweeps are then under way at once; lanes, random states and levels stay apart."""
    sweeps, intervals = CHAINS[case]
    chained_alike(Layout(varied(CHIP, plane_height=3, plane_width=4), lanes), sweeps, intervals, case)


@pytest.mark.parametrize("case", [name for name in CHAINS if "ascending" in name])
def test_sweeps_of_one_row_follow_each_other_without_a_pause(case):
    chip = varied(CHIP, plane_height=1, plane_width=4, patch_height=1, patch_width=1)
    sweeps, intervals = CHAINS[case]
    chained_alike(Layout(chip, 2), sweeps, [2] * len(intervals), case)


def chained_alike(layout, sweeps, intervals, case):
    """Sweeps offered one after the other: levels, states and counts are the oracle's, the clocks between as told."""
    chip, bench = layout.chip, Bench(Pulses(layout))
    rng, state, step, memories = prepared(layout, 31, bench)
    oracle, waits = Oracle(chip, state), []

    async def testbench(ctx):
        await load(ctx, bench.dut, chip, state)
        ctx.set(bench.dut.step, step)
        for _ in range(3):
            waits.clear()
            for mode, tile in sweeps:
                neuron, trace = int(rng.integers(chip.neurons)), int(rng.integers(1, 1 << chip.trace_bits))
                word, lane = divmod(neuron, layout.lanes)
                waits.append(await begin(
                    ctx, bench, mode=mode, address=tile * chip.rows * layout.words + word, lane=lane,
                    line=int(chip.row_lines[tile, 0]), trace=trace, tile=tile))
                first_pulses(oracle, chip, mode, tile, 0, neuron, trace, memories.stamps, step)
            await rest(ctx, bench)
            assert waits[1:] == intervals, case
            assert np.array_equal(memories.levels(), oracle.state.levels), case
            assert memories.random.tolist() == oracle.state.random.tolist(), case
            counted_alike(memories, oracle, case)

    bench.run(testbench)


def fired(chip, rng):
    """Rows that fired with their ranks, as races list them: some tiles, of each ``winners`` neurons."""
    tiles = np.flatnonzero(rng.random(chip.tiles) < 0.7).tolist() or [chip.tiles - 1]
    return [(tile * chip.neurons + neuron, rank) for tile in tiles
            for rank, neuron in enumerate(rng.permutation(chip.neurons)[:chip.winners].tolist())]


def counted_alike(memories, oracle, where):
    """What was counted is what the oracle counted."""
    for kind, reset in (("set", 0), ("reset", 1)):
        for bin_ in range(oracle.chip.amplitudes):
            weights = [w for r, b, w, _ in memories.counted if r == reset and b == bin_]
            for name, found in (("pulses", len(weights)), ("weight", sum(weights))):
                assert found == oracle.counter(f"{kind}_{name}[{bin_}]"), f"{where}: {kind}_{name}, bin {bin_}"
        clipped = sum(c for r, _, _, c in memories.counted if r == reset)
        assert clipped == oracle.counter("clipped_low" if reset else "clipped_high"), where


@pytest.mark.parametrize("corner", TAUGHT)
def test_teaching_matches_the_oracle_in_the_stated_clocks(corner):
    """SET and RESET pulses in the read-out, between them sweeps of tiles: tables, states and cells stay apart."""
    layout, seed = TAUGHT[corner], 23
    chip, bench = layout.chip, Bench(Pulses(layout))
    rng, state, step, memories = prepared(layout, seed, bench)
    oracle, read_out = Oracle(chip, state), ReadOutCells(bench.dut, state, [0])
    bench.add(read_out.run, background=True)

    async def testbench(ctx):
        dut = bench.dut
        await load(ctx, dut, chip, state)
        ctx.set(dut.step, step)
        for index in range(8):
            where = f"{corner}, seed {seed}, sweep {index}"
            mode = (PulseMode.POTENTIATE_LABEL, PulseMode.DEPRESS_RIVAL)[index % 2]
            oracle._fired = fired(chip, rng)
            read_out.rows, column = [row for row, _ in oracle._fired], int(rng.integers(chip.classes))
            read_out.writes.clear()
            ctx.set(dut.listed, len(read_out.rows))
            clocks = await sweep(ctx, bench, mode=mode, lane=column, trace=int(rng.integers(1 << chip.trace_bits)))
            assert clocks == len(read_out.rows) + 7, where
            for row, rank in oracle._fired:
                oracle._teach(row, rank, column, +1 if mode == PulseMode.POTENTIATE_LABEL else -1)
            written = [row for row in read_out.rows if not (len(state.read_out_stuck)
                                                            and state.read_out_stuck[row, column])]
            Scoreboard("rows written").compare([row for _, row in read_out.writes], written, where)
            if written == read_out.rows:
                assert (np.diff([clock for clock, _ in read_out.writes]) == 1).all(), where
            if index % 3 == 2:
                neuron = int(rng.integers(chip.neurons))
                word, lane = divmod(neuron, layout.lanes)
                await sweep(ctx, bench, mode=PulseMode.POST, address=word, lane=lane, line=int(chip.row_lines[0, 0]))
                first_pulses(oracle, chip, PulseMode.POST, 0, 0, neuron, 0, memories.stamps, step)
            assert np.array_equal(read_out.cells, oracle.state.read_out), where
            assert np.array_equal(memories.levels(), oracle.state.levels), where
            assert memories.random.tolist() == oracle.state.random.tolist(), where
            counted_alike(memories, oracle, where)

    bench.run(testbench)


def test_rows_are_taught_by_the_amplitude_of_their_rank():
    """Ranks in turn, tile after tile: with K = 3 traces are 31, 21, 11 of 31, bins 3, 2, 1 of 4."""
    layout = Layout(READ_OUT, 2)
    bench = Bench(Pulses(layout))
    _, state, _, _ = prepared(layout, 4, bench)
    state.read_out[:] = 8
    for table in (state.read_out_set, state.read_out_reset):  # bin a moves a cell by a + 1 levels, whatever is drawn
        table[:] = (np.arange(4)[:, None] + 1) << READ_OUT.fraction_bits
    read_out = ReadOutCells(bench.dut, state, [4, 0, 2, 9, 8, 5])
    bench.add(read_out.run, background=True)

    async def testbench(ctx):
        await load(ctx, bench.dut, READ_OUT, state)
        ctx.set(bench.dut.listed, 6)
        await sweep(ctx, bench, mode=PulseMode.POTENTIATE_LABEL, lane=1)
        await sweep(ctx, bench, mode=PulseMode.DEPRESS_RIVAL, lane=2)

    bench.run(testbench)
    assert read_out.cells[:10].tolist() == [
        [8, 11, 5], [8, 8, 8], [8, 10, 6], [8, 8, 8], [8, 12, 4], [8, 10, 6], [8, 8, 8], [8, 8, 8], [8, 11, 5],
        [8, 12, 4]]
    assert (read_out.cells[10:] == 8).all()


def test_throughput_is_one_row_per_clock():
    layout = Layout(CHIP, 2)
    bench = Bench(Pulses(layout))
    _, state, _, memories = prepared(layout, 1, bench)
    memories.stamps[:] = [0] * CHIP.lines

    async def testbench(ctx):
        await load(ctx, bench.dut, CHIP, state)
        await sweep(ctx, bench, mode=PulseMode.POST, address=0, lane=0, line=0, trace=0, tile=0)

    bench.run(testbench)
    assert np.diff(memories.writes).tolist() == [1] * (CHIP.rows - 1)


def test_tables_are_read_back_while_idle():
    layout = Layout(CHIP, 2)
    bench = Bench(Pulses(layout))
    _, state, _, _ = prepared(layout, 2, bench)

    async def testbench(ctx):
        dut = bench.dut
        await load(ctx, dut, CHIP, state)
        for address in range(CHIP.levels * CHIP.amplitudes):
            ctx.set(dut.table_address, address)
            ctx.set(dut.weight_read_level, address % CHIP.levels)
            await ctx.tick()
            assert ctx.get(dut.table_value_set) == state.set.ravel()[address]
            assert ctx.get(dut.table_value_reset) == state.reset.ravel()[address]
            assert ctx.get(dut.weight_value) == state.weight[address % CHIP.levels]

    bench.run(testbench)


def test_reset_drops_the_rest_of_the_sweep():
    layout = Layout(varied(CHIP, set_step=1.0, set_bound=0.0), 2)
    chip, bench = layout.chip, Bench(Pulses(layout))
    _, _, _, memories = prepared(layout, 3, bench)
    state = ChipState.initial(chip)
    memories.words[:], memories.stamps[:] = 0, [0] * chip.lines
    random = memories.random.copy()

    async def testbench(ctx):
        dut = bench.dut
        await load(ctx, dut, chip, state)
        ctx.set(dut.start, {"mode": PulseMode.POST, "address": 0, "lane": 0, "line": 0, "trace": 0, "tile": 0})
        ctx.set(dut.start_valid, 1)
        await ctx.tick()
        ctx.set(dut.start_valid, 0)
        while len(memories.writes) < 3:
            await ctx.tick()
        ctx.set(bench.reset, 1)
        await ctx.tick()
        ctx.set(bench.reset, 0)
        assert ctx.get(dut.start_ready)
        for _ in range(chip.rows + 9):
            await ctx.tick()
        assert len(memories.writes) == 3  # the write in the clock of the reset is lost in this memory
        assert np.array_equal(memories.random, random)
        assert await sweep(ctx, bench, mode=PulseMode.POST, address=0, lane=0, line=0, trace=0, tile=0) == chip.rows + 6
        assert len(memories.writes) == 3 + chip.rows

    bench.run(testbench)


@pytest.mark.parametrize("bits, shift", [(4, 1), (8, 3), (8, 7), (5, 2)])
def test_traces_decay_as_the_contract_says(bits, shift):
    bench = Bench(TraceLookup(Layout(varied(CHIP, trace_bits=bits, trace_shift=shift), 1)))
    dut = bench.dut

    async def testbench(ctx):
        ctx.set(dut.stamp, 255)
        assert ctx.get(dut.trace) == 0
        for stamp in (0, 7, 200):
            trace = (1 << bits) - 1
            ctx.set(dut.stamp, stamp)
            for step in range(stamp, 255):
                ctx.set(dut.step, step)
                assert ctx.get(dut.trace) == trace, f"stamp {stamp}, step {step}"
                trace -= -(-trace // (1 << shift))

    bench.run(testbench)
