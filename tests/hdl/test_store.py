"""The store: its memory on its own, instructions carried out of it, and what a program may not do with it."""

import random

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from amaranth.sim import Simulator

from ohmspike.chip import Chip
from ohmspike.chip.events import label_code
from ohmspike.chip.instructions import FrameKind, Status
from ohmspike.chip.state import ChipState
from ohmspike.hdl.link.link import Link
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top import chip as top
from ohmspike.hdl.top.chip import ChipTop, Executor
from ohmspike.hdl.top.store import BlockStore
from support.bench import Bench, ExecutorBench
from support.planted import plant
from support.programs import (
    ReferenceExecutor,
    check,
    encode_events,
    frame,
    load_state,
    random_program,
    read,
    replay,
    runs,
    write,
)
from support.reference_link import decode, encode
from support.streams import StreamSink, StreamSource

CHIP = Chip(name="stored", plane_height=2, plane_width=3, patch_height=2, patch_width=2, stride=1, neurons=3, winners=2,
            learners=2, levels=16, weight_bits=4, membrane_bits=7, threshold_bits=8, amplitudes=2, trace_shift=2,
            set_step=0.3, reset_step=0.3, classes=3, score_bits=8, margin=16, read_out_set_step=0.3,
            read_out_reset_step=0.3)
ROWS = 2
SIZE = ROWS * 256
LOAD = load_state(CHIP, ChipState.initial(CHIP))
SAMPLE = runs([0, 2, 3]) + encode_events([-1, 5, -2, -5, label_code(1), -3, -4])


class Stored(wiring.Component):
    """An executor with a store behind it."""

    def __init__(self, layout, executor=Executor, body=BlockStore):
        self._executor, self._body = executor(layout, runs=True, store=ROWS), body(ROWS)
        members = dict(self._executor.signature.members)
        del members["store"]
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.executor, m.submodules.body = self._executor, self._body
        connect(m, self._executor.store, self._body.port)
        connect(m, flipped(self.program), self._executor.program)
        connect(m, self._executor.output, flipped(self.output))
        m.d.comb += [self._executor.status.eq(self.status), self.moved.eq(self._executor.moved)]
        return m


def bench_of(*, ports=2, rest=0.0, **parts):
    layout = Layout(CHIP, 2, ports)
    return ExecutorBench(layout, idle=rest, stall=rest, dut=Stored(layout, **parts))


# the memory


@pytest.mark.parametrize("stall", [0, 0.5])
def test_bytes_come_in_order_from_where_they_are_sought_and_a_write_ends_them(stall):
    bench, draw = Bench(BlockStore(1)), random.Random(3)
    port, content = bench.dut.port, [draw.randrange(256) for _ in range(256)]

    async def testbench(ctx):
        async def take(first, count):
            ctx.set(port.address, first)
            ctx.set(port.seek, 1)
            await ctx.tick()
            ctx.set(port.seek, 0)
            ctx.set(port.address, draw.randrange(256))
            taken, clocks = [], []
            sampled, clock = ctx.tick().sample(port.bytes.valid, port.bytes.payload), 0
            while len(taken) < count:
                ready = draw.random() >= stall
                ctx.set(port.bytes.ready, ready)
                clock += 1
                _, _, valid, byte = await sampled
                if valid and ready:
                    taken.append(byte)
                    clocks.append(clock)
            ctx.set(port.bytes.ready, 0)
            assert stall or clocks == list(range(2, count + 2))
            return taken

        async def put(address, byte):
            ctx.set(port.address, address)
            ctx.set(port.written.payload, byte)
            ctx.set(port.written.valid, 1)
            await ctx.tick()
            ctx.set(port.written.valid, 0)

        for address, byte in enumerate(content):
            await put(address, byte)
        for first, count in ((0, 256), (17, 5), (255, 1), (3, 9)):
            assert await take(first, count) == content[first:first + count]
        await put(4, content[4] ^ 255)
        await ctx.tick().repeat(3)
        assert not ctx.get(port.bytes.valid)
        assert await take(3, 3) == [content[3], content[4] ^ 255, content[5]]

    bench.run(testbench)


@pytest.mark.parametrize("rows", [0, 65_536])
def test_a_store_of_no_rows_or_too_many_is_refused(rows):
    with pytest.raises(ValueError, match=f"^rows must be 1 to 65535, not {rows}$"):
        BlockStore(rows)


def test_identity_has_room_for_65535_rows():
    with pytest.raises(ValueError, match="^store must have at most 65535 rows, not 65536$"):
        Link(bytes(8), store=65_536)


# programs

FIRST = 250  # over the end of a row
IN_PLACE = [write("registers", [1, 9]) + write("store", np.frombuffer(SAMPLE * 2, np.uint8), row=FIRST // 256,
                                               column=FIRST % 256),
            replay(FIRST, len(SAMPLE), 3),
            b"\0" + replay(FIRST, 2 * len(SAMPLE)) + replay(FIRST, len(SAMPLE), 2) + b"\0",
            replay(FIRST, 0) + replay(SIZE, 0, 9) + replay(FIRST, len(SAMPLE), 0) + encode_events([1])]
FAILING = {
    "runs without an end": (SAMPLE[:2], 1), "runs without a byte": (SAMPLE[:1], 1),
    "a frame without a byte": (frame(CHIP, [0, 3])[:1], 1), "no opcode": (b"\6\xff\6", 1),
    "a replay": (replay(0, 1), 1), "a cell cut short": (write("theta", [1, 2])[:-1], 1),
    "a cell too few": (write("theta", [1])[:-4], 1), "operands cut short": (write("theta", [1])[:-5], 1),
    "a label without a class": (b"\x08", 1), "a column too far": (write("theta", [1], column=9), 2),
    "a cell of the store written": (write("store", [1]), 2), "one read": (read("store", 1), 2),
    "one checked": (check("store", 1), 2)}
LEAVING = [write("store", [1, 2, 0]), replay(SIZE - 1, 2), replay(SIZE, 1), replay(2**24 - 1, 2**24 - 1, 255),
           replay(0, SIZE + 1, 0), *(replay(0, 3)[:size] for size in (1, 4, 7))]
CELLS = [write("store", np.random.default_rng(4).integers(0, 256, 70), column=200), read("store", 70, column=200),
         check("store", 71, column=199), read("store", 3, row=1, column=254), write("store", [7, 8], row=1, column=255),
         check("store", 3, row=2), read("store", 1, column=256), read("theta", 3)]


def failing():
    """Whether or not the program has more, and in whatever round: nothing is left over for the next one."""
    for stored, _ in FAILING.values():
        yield from (write("store", np.frombuffer(b"\3" + stored, np.uint8)), replay(0, 1 + len(stored), 2),
                    b"\0" + replay(1, len(stored)) + encode_events([1, -1, 2, -4]), encode_events([2, -4]))


def random_session(seed):
    """Programs of everything, stored in pieces and carried out from there, whole and cut anywhere."""
    rng = np.random.default_rng(seed)
    programs = []
    for _ in range(3):
        stored = random_program(CHIP, rng, 6)[:200]
        first = int(rng.integers(0, SIZE - len(stored)))
        program = random_program(CHIP, rng, 2)
        for _ in range(2):
            cut = int(rng.integers(0, len(stored) + 1)) if rng.random() < 0.4 else len(stored)
            program += replay(first, cut, int(rng.integers(0, 4)))
        programs += [write("store", np.frombuffer(stored, np.uint8), row=first // 256, column=first % 256),
                     program + random_program(CHIP, rng, 1)]
    return programs


SESSIONS = {"in place": IN_PLACE, "failing": list(failing()), "leaving": LEAVING, "cells": CELLS,
            "random": random_session(0), "more random": random_session(1)}


@pytest.fixture(scope="module", params=[(2, 0.0), (1, 0.2)], ids=["fast form", "small form, with rests"])
def played(request):
    """Output of every program on the gateware and by the letter of docs/link.md, one session after the other."""
    ports, rest = request.param
    reference, found = ReferenceExecutor(CHIP, store=ROWS), {}

    async def session(bench, ctx):
        assert await bench.execute(ctx, LOAD) == reference.run(LOAD)
        for name, programs in SESSIONS.items():
            found[name] = [(await bench.execute(ctx, program), reference.run(program)) for program in programs]
        state, _ = await bench.state(ctx)
        found["state"] = state.differences(reference.oracle.state)

    bench_of(ports=ports, rest=rest).run(session)
    return found


def statuses(outputs):
    """Of every program, the same on both."""
    assert [came for came, _ in outputs] == [expected for _, expected in outputs]
    return [came[-1] for came, _ in outputs]


def test_what_is_stored_is_carried_out_as_if_the_host_had_sent_it(played):
    assert statuses(played["in place"]) == [0] * len(IN_PLACE)
    told, meant = ReferenceExecutor(CHIP, store=ROWS), ReferenceExecutor(CHIP, runs=True)
    for executor, programs in ((told, [LOAD, *IN_PLACE]),
                               (meant, [LOAD + write("registers", [1, 9]) + SAMPLE * 7 + encode_events([1])])):
        for program in programs:
            executor.run(program)
    assert told.oracle.state.differences(meant.oracle.state) == ""
    assert told.oracle.counter("labels") == 7


def test_a_failure_in_the_store_ends_the_program(played):
    wanted = [status for _, failure in FAILING.values() for status in (0, failure, failure, 0)]
    assert statuses(played["failing"]) == wanted


def test_a_replay_that_leaves_the_store_or_is_cut_short_does_nothing(played):
    assert statuses(played["leaving"]) == [0, 2, 2, 2, 2, 1, 1, 1]


def test_cells_of_the_store_are_read_written_and_checked_as_others_are(played):
    assert statuses(played["cells"]) == [0, 0, 0, 2, 2, 2, 2, 0]


def test_random_programs_out_of_the_store_do_what_the_text_says(played):
    assert {*statuses(played["random"]), *statuses(played["more random"])} == {0, 1, 2}
    assert played["state"] == ""


def test_a_chip_without_a_store_knows_neither_replay_nor_its_cells():
    bench, reference = ExecutorBench(Layout(CHIP, 2)), ReferenceExecutor(CHIP)

    async def session(bench, ctx):
        for program in (replay(0, 0), read("store", 1), write("store", [1]), b"\6"):
            assert await bench.execute(ctx, program) == reference.run(program)

    bench.run(session)
    assert reference.run(replay(0, 0)) == b"\1" and reference.run(read("store", 1)) == b"\2"


def test_clocks_of_a_replay_are_those_stated():
    """9 of REPLAY; of a round one in which the store seeks, its bytes, and one more; then the status."""
    bench = bench_of()

    async def session(bench, ctx):
        await bench.execute(ctx, write("store", [0] * 40))
        for length, times in ((1, 1), (40, 1), (40, 3), (3, 200)):
            await bench.execute(ctx, replay(0, length, times))
            assert bench.clocks[-1] == 9 + times * (1 + length + 1) + 1, (length, times)

    bench.run(session)


# life, and its end


def test_a_long_replay_shows_signs_of_life():
    bench, gaps = bench_of(), []

    async def watch(ctx):
        gap = 0
        while True:
            _, _, moved = await ctx.tick().sample(bench.dut.moved)
            gap = 0 if moved else gap + 1
            gaps.append(gap)

    async def session(bench, ctx):
        await bench.execute(ctx, write("store", [0] * 200))
        del gaps[:]
        assert await bench.execute(ctx, replay(0, 200, 9)) == b"\0"

    bench._bench.add(watch, background=True)
    bench.run(session)
    assert len(gaps) > 1800 and max(gaps) < 16


class Stuck(BlockStore):
    """Bytes from the second row on never come."""

    def elaborate(self, platform):
        m, far = super().elaborate(platform), Signal()
        with m.If(self.port.seek):
            m.d.sync += far.eq(self.port.address >= 256)
        with m.If(far):
            m.d.comb += self.port.bytes.valid.eq(0)
        return m


def test_a_store_that_hangs_is_broken_off_and_the_session_goes_on(monkeypatch):
    monkeypatch.setattr(top, "BlockStore", Stuck)
    dut = ChipTop(Layout(CHIP, 2), store=ROWS, watchdog=512, max_request=64, max_reply=64)
    stored = read("identity", 2)
    programs = [write("store", np.frombuffer(stored, np.uint8)), replay(0, 8, 2), replay(256, 5) + b"\6",
                read("store", 1, row=1), read("store", 2), replay(0, 8, 2)]
    host, sink = StreamSource(dut.rx), StreamSink(dut.tx, stall=0.0)
    host.queue.extend(encode(100, FrameKind.HELLO, b"abcd"))
    for place, program in enumerate(programs):
        host.queue.extend(encode(101 + place, FrameKind.RUN, program))
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for role in (host, sink):
        simulator.add_testbench(role.run, background=True)

    async def main(ctx):
        await ctx.tick().repeat(5000)

    simulator.add_testbench(main)
    simulator.run()
    frames = decode(bytes(sink.taken))
    greeting, *replies = [frame.payload for frame in frames]
    said = ReferenceExecutor(CHIP).run(stored * 2)
    assert greeting[4] == 4 and greeting[18:20] == ROWS.to_bytes(2, "little") and len(greeting) == 22
    assert replies == [b"\0", said, bytes([Status.ABORTED]), bytes([Status.ABORTED]), stored[:2] + b"\0", said]


BUGS = {
    "a round too few": ("top.store", "rounds.eq(self.order.times - 1)", "rounds.eq(self.order.times - 2)"),
    "the next round goes on behind the last": ("top.store", "store.seek.eq(again)", "store.seek.eq(0)"),
    "a round ends a byte late": ("top.store", "bytes_.payload.last.eq(left == 1)", "bytes_.payload.last.eq(left == 0)"),
    "bytes of the host come in the midst": ("top.store", "with m.If(self.active):\n            m.d.comb",
                                            "with m.If(self.active & (left != 3)):\n            m.d.comb"),
    "what the host has left is forgotten": ("top.store", "(rounds != 0) | ~self.over", "(rounds != 0)"),
    "rounds go on after a failure": ("top.decode", "m.d.comb += self.drop.eq(1)", "pass"),
    "the store may be left": ("top.decode", "beyond > self._store_rows", "beyond > 2 * self._store_rows"),
    "a stored WRITE changes the store": ("top.decode", "Mux(self.active, 0, STORE_COLUMNS)", "STORE_COLUMNS"),
    "a byte is read in the clock it is written": ("top.store", "full.eq(0), place.eq(port.address)",
                                                  "full.eq(1), place.eq(port.address)"),
    "a replay within a replay": ("top.decode", "with m.If(self.active):\n                self._fail",
                                 "with m.If(0):\n                self._fail"),
}


def bugged_session():
    """Without a decision: what is put out does not depend on what the memories of the chip hold."""
    body, tail = runs([0, 2, 3]) + encode_events([-1, 5]) + read("identity", 2), encode_events([1, -1, 2, -4])
    stored = body + write("store", [9], column=3) + replay(0, 0) + body
    return [write("store", np.frombuffer(stored, np.uint8)), b"\0" + replay(0, len(body), 3) + tail,
            replay(0, len(stored), 2) + tail, replay(len(body) + 9, 8, 2) + tail, read("store", 5),
            replay(SIZE - 4, 8) + tail, replay(0, len(body)), b"\0", read("counters", 4)]


async def same(bench, ctx, reference):
    for program in bugged_session():
        assert await bench.execute(ctx, program) == reference.run(program)


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_caught(monkeypatch, bug):
    name, old, new = BUGS[bug]
    built = plant(monkeypatch, name, old, new)
    layout, reference = Layout(CHIP, 2), ReferenceExecutor(CHIP, store=ROWS)

    async def session(bench, ctx):
        await same(bench, ctx, reference)

    with pytest.raises(AssertionError):
        ExecutorBench(layout, dut=Stored(layout, built.Executor, built.BlockStore), limit=3_000).run(session)


def test_no_bug_is_found_where_none_is_planted():
    async def session(bench, ctx):
        await same(bench, ctx, ReferenceExecutor(CHIP, store=ROWS))

    bench_of().run(session)
