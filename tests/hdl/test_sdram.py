"""The controller of an SDRAM against a chip that asserts what its data sheet asks for."""

import random
from dataclasses import replace

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from ohmspike.hdl.top.sdram import Sdram, SdramStore
from ohmspike.hdl.top.store import store_signature
from support.bench import Bench
from support.planted import built_anew
from support.sdram import SdramChip

CHIPS = {
    "50 MHz": Sdram(50_000_000, start=1_000),
    "133 MHz, CAS 3": Sdram(133_000_000, start=1_000, cas=3),
    "25 MHz, small": Sdram(25_000_000, start=1_000, row_bits=11, column_bits=8, bank_bits=1),
}


class Both(wiring.Component):
    """A controller and its chip."""

    def __init__(self, sdram, store=SdramStore, told=None):
        self.store, self.chip = store(sdram), SdramChip(sdram)
        self.store.sdram = sdram if told is None else told
        super().__init__({"port": In(store_signature())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.store, m.submodules.chip = self.store, self.chip
        connect(m, flipped(self.port), self.store.port)
        connect(m, self.store.pins, self.chip.pins)
        return m


class User:
    """Seeks, takes and writes as a chip does, and notes the clocks."""

    def __init__(self, ctx, port, draw, stall=0.0):
        self.ctx, self.port, self.draw, self.stall = ctx, port, draw, stall

    async def rest(self, clocks):
        for _ in range(clocks):
            await self.ctx.tick()

    async def put(self, address, byte):
        ctx, port, clocks, ready = self.ctx, self.port, 0, False
        ctx.set(port.address, address)
        ctx.set(port.written.payload, byte)
        ctx.set(port.written.valid, 1)
        while not ready:
            _, _, ready = await ctx.tick().sample(port.written.ready)
            clocks += 1
        ctx.set(port.written.valid, 0)
        return clocks

    async def take(self, first, count):
        ctx, port = self.ctx, self.port
        ctx.set(port.address, first)
        ctx.set(port.seek, 1)
        await ctx.tick()
        ctx.set(port.seek, 0)
        ctx.set(port.address, self.draw.randrange(1 << 20))
        taken, clock, self.clocks = [], 0, []
        while len(taken) < count:
            ready = self.draw.random() >= self.stall
            ctx.set(port.bytes.ready, ready)
            _, _, valid, byte = await ctx.tick().sample(port.bytes.valid, port.bytes.payload)
            clock += 1
            if valid and ready:
                taken.append(byte)
                self.clocks.append(clock)
        ctx.set(port.bytes.ready, 0)
        return taken


def cells(sdram):
    """Bytes that the chip of the bench really has, in one piece: the rest of the rows share them."""
    return 4 << sdram.column_bits + sdram.bank_bits + 1


def run(sdram, session, *, stall=0.0, seed=0, store=SdramStore, told=None, limit=60_000):
    bench = Bench(Both(sdram, store, told), limit=limit)

    async def testbench(ctx):
        await session(ctx, User(ctx, bench.dut.port, random.Random(seed), stall))

    bench.run(testbench)


def random_session(sdram, seed, rounds=25):
    """Writes, reads from anywhere, seeks in the midst of a burst, rests with refreshes; a copy tells what is right."""
    size = cells(sdram)

    async def session(ctx, user):
        draw, copy, written = user.draw, {}, {}
        for _ in range(rounds):
            base = draw.choice([0, size // 4 - 8, size // 2 - 9, size - 100, draw.randrange(size - 100)])
            kind = draw.random()
            if kind < 0.45:
                written[base] = draw.choice([1, 2, 9, 90])
                for address in range(base, base + written[base]):
                    copy[address] = draw.randrange(256)
                    await user.put(address, copy[address])
                await user.rest(draw.randrange(1, 20))
                assert not ctx.get(user.port.bytes.valid)
            elif kind < 0.9 and copy:
                first = draw.choice(list(copy))
                count = draw.choice([1, 2, 15, 90])
                came = await user.take(first, count)
                expected = [copy.get(address) for address in range(first, first + count)]
                assert all(value in (None, byte) for byte, value in zip(came, expected, strict=True)), (first, count)
            else:
                await user.rest(draw.randrange(1, 30))
        for first, count in written.items():
            assert await user.take(first, count) == [copy[address] for address in range(first, first + count)]

    return session


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("stall", [0, 0.5])
def test_what_is_written_is_read_and_the_chip_never_complains(name, stall):
    run(CHIPS[name], random_session(CHIPS[name], 1), stall=stall, seed=len(name))


@pytest.mark.parametrize("name", CHIPS)
def test_clocks_are_those_stated(name):
    sdram, gaps = CHIPS[name], []
    opens, closes, recovers = (sdram.clocks(time) for time in (sdram.activate, sdram.precharge, sdram.recover))

    async def session(ctx, user):
        await user.put(0, 1)  # it is awake
        for address in range(30):
            gaps.append(await user.put(address, address + 1))
        assert sorted(gaps)[len(gaps) // 2] == closes + max(opens + recovers, sdram.clocks(sdram.active))
        firsts = []
        for first in (0, 1, 0, 0, 6, 0):
            await user.rest(60)
            await user.take(first, 1)
            firsts.append(user.clocks[0] - (first % 16) // 2)
        assert min(firsts) == opens + sdram.cas + 4 and sorted(firsts)[3] <= min(firsts) + 1, firsts
        await user.take(0, 800)
        assert 800 / user.clocks[-1] > 0.95 * min(1, 16 / (max(sdram.cas, closes) + opens + 10))

    run(sdram, session)


def test_clocks_that_are_too_slow_and_latencies_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="^cas must be 2 or 3, not 1$"):
        Sdram(50_000_000, cas=1)
    with pytest.raises(ValueError, match="^clock_hz must leave an SDRAM time between two refreshes, not 1000000$"):
        Sdram(1_000_000)


def test_a_store_is_as_large_as_the_link_can_name():
    assert CHIPS["50 MHz"].bytes == 32 << 20 and CHIPS["50 MHz"].rows == 65_535
    assert CHIPS["25 MHz, small"].rows * 256 == CHIPS["25 MHz, small"].bytes == 2 << 20


@pytest.mark.parametrize("name, lie", [
    ("activate", 10), ("precharge", 10), ("refresh", 20), ("recover", 0), ("start", 500), ("interval", 20_000)])
def test_a_controller_that_is_told_wrong_times_is_noticed(name, lie):
    """The chip of the bench complains; only tRAS is kept by the length of a burst, whatever it is."""
    sdram = replace(CHIPS["133 MHz, CAS 3"], recover=40)
    with pytest.raises(AssertionError, match="Assertion violated"):
        run(sdram, random_session(sdram, 2, rounds=60), told=replace(sdram, **{name: lie}))


BUGS = {
    "bytes are swapped": ("word_select(half, 8)", "word_select(~half, 8)"),
    "both bytes of a word are written": ("Mux(port.address[0], 0b01, 0b10)", "0b00"),
    "a word is taken a clock early": ("(beat >= sdram.cas)", "(beat >= sdram.cas - 1)"),
    "words before the first are handed out": ("(word >= skipping) & ", ""),
    "a seek does not stop the words under way": (" & ~stale & ~port.seek", ""),
    "bytes read before a write are handed out after it": ("ResetInserter(port.seek | port.written.valid)",
                                                          "ResetInserter(port.seek)"),
    "it reads ahead of what it can hold": ("words.w_level <= BURST", "words.w_level <= 2 * BURST"),
    "the next block is the same": ("block.eq(block + 1)", "block.eq(block)"),
    "banks and rows are mixed up": ("pins.address.eq(place[sdram.column_bits + sdram.bank_bits:])",
                                    "pins.address.eq(place[sdram.column_bits:])"),
    "refreshes are forgotten": ("with m.If(due != 0):", "with m.If(0):"),
    "a row stays open": ("pins.address.eq(column | 1 << 10)]\n                    m.d.sync += beat.eq(0)",
                         "pins.address.eq(column)]\n                    m.d.sync += beat.eq(0)"),
    "the mode is set too early": ('then("REFRESH", clocks(sdram.precharge))', 'then("MODE", clocks(sdram.precharge))'),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_caught(bug):
    sdram, broken = CHIPS["50 MHz"], built_anew("ohmspike.hdl.top.sdram", *BUGS[bug]).SdramStore
    with pytest.raises(AssertionError):
        run(sdram, random_session(sdram, 3), store=broken, stall=0.6, limit=20_000)


def test_no_bug_is_found_where_none_is_planted():
    run(CHIPS["50 MHz"], random_session(CHIPS["50 MHz"], 3), stall=0.6, limit=20_000)
