"""SPI, AXI and address events at their pins: every byte arrives once, whatever the other end does in between."""

import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip, Phase
from ohmspike.chip.events import EventCode
from ohmspike.chip.instructions import FLAG, Opcode
from ohmspike.hdl.link.axi import AXI_REGISTERS, AxiRegisters
from ohmspike.hdl.link.spi import SpiPeripheral
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.aer import AerMark, AerProgram, AerWindow
from ohmspike.host.coding.streams import stream_events
from ohmspike.host.data.streams import Stream
from ohmspike.host.integrity.faults import FAULTS_CHIP
from support.bench import Bench
from support.streams import StreamSink, StreamSource, watch_stream

PLACES = {name: 4 * place for place, (name, _, _) in enumerate(AXI_REGISTERS)}


class Master:
    """An SPI master that rests, gives up bytes and takes its time, as its seed says."""

    def __init__(self, dut, seed, half):
        self.dut, self.draw, self.half = dut, random.Random(seed), half

    async def clocks(self, ctx, least):
        for _ in range(least + self.draw.randrange(3)):
            await ctx.tick()

    async def select(self, ctx, selected):
        ctx.set(self.dut.cs_n, not selected)
        await self.clocks(ctx, 8)

    async def transfer(self, ctx, byte, bits=8):
        """Send the first bits of a byte, highest first, and return those that came."""
        came = 0
        for place in range(bits):
            ctx.set(self.dut.mosi, byte >> 7 - place & 1)
            await self.clocks(ctx, self.half)
            came = came << 1 | ctx.get(self.dut.miso)
            ctx.set(self.dut.sck, 1)
            await self.clocks(ctx, self.half)
            ctx.set(self.dut.sck, 0)
        return came


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), half=st.integers(4, 7))
def test_bytes_cross_an_spi_both_ways_whatever_is_given_up(seed, half):
    draw = random.Random(seed)
    sent = [draw.randrange(256) for _ in range(12)]
    offered = [draw.choice([byte for byte in range(256) if byte != FLAG]) for _ in range(9)]
    dut = SpiPeripheral()
    bench = Bench(dut)
    source, sink = StreamSource(dut.tx, idle=0.5, seed=seed), StreamSink(dut.rx, stall=0.3, seed=seed)
    source.queue.extend(offered)
    for process in (source.run, sink.run, watch_stream(dut.rx, name="rx")):
        bench.add(process, background=True)
    heard = []

    async def testbench(ctx):
        master = Master(dut, seed, half)
        await master.select(ctx, False)
        await master.select(ctx, True)
        left = list(sent)
        while left or len(heard) < len(offered):
            if draw.random() < 0.2:
                await master.transfer(ctx, draw.randrange(256), bits=draw.randrange(1, 8))
                await master.select(ctx, False)
                assert not ctx.get(dut.miso_oe)
                await master.select(ctx, True)
            byte = await master.transfer(ctx, left.pop(0) if left else FLAG)
            assert ctx.get(dut.miso_oe)
            heard.extend([byte] * (byte != FLAG))
        await master.clocks(ctx, 20)

    bench.run(testbench)
    assert heard == offered
    assert sink.taken[:len(sent)] == sent and set(sink.taken[len(sent):]) <= {FLAG}


def test_a_byte_that_nobody_takes_is_an_overrun():
    dut = SpiPeripheral()
    bench, overruns = Bench(dut), []

    async def watch(ctx):
        sampled = ctx.tick().sample(dut.overrun)
        while True:
            overruns.append((await sampled)[2])

    bench.add(watch, background=True)

    async def testbench(ctx):
        master = Master(dut, 1, 4)
        await master.select(ctx, False)
        await master.select(ctx, True)
        for byte in (1, 2, 3):
            await master.transfer(ctx, byte)
        await master.clocks(ctx, 8)
        assert ctx.get(dut.rx.valid) and ctx.get(dut.rx.payload) == 1

    bench.run(testbench)
    assert sum(overruns) == 2


def test_an_spi_is_deaf_until_it_was_unselected():
    dut = SpiPeripheral()
    bench = Bench(dut)

    async def testbench(ctx):
        ctx.set(dut.cs_n, 0)
        master = Master(dut, 1, 4)
        await master.clocks(ctx, 8)
        await master.transfer(ctx, 0xA5)
        await master.clocks(ctx, 8)
        assert not ctx.get(dut.rx.valid) and not ctx.get(dut.miso_oe)

    bench.run(testbench)


class Bus:
    """The processor's end of AXI4-Lite."""

    def __init__(self, dut):
        self.dut = dut

    async def read(self, ctx, address):
        dut = self.dut
        ctx.set(dut.s_axi_araddr, address)
        ctx.set(dut.s_axi_arvalid, 1)
        await ctx.tick().until(dut.s_axi_arready)
        ctx.set(dut.s_axi_arvalid, 0)
        ctx.set(dut.s_axi_rready, 1)
        data, response = await ctx.tick().sample(dut.s_axi_rdata, dut.s_axi_rresp).until(dut.s_axi_rvalid)
        ctx.set(dut.s_axi_rready, 0)
        return data, response

    async def write(self, ctx, address, value, strobes=15):
        dut = self.dut
        ctx.set(dut.s_axi_awaddr, address)
        ctx.set(dut.s_axi_wdata, value)
        ctx.set(dut.s_axi_wstrb, strobes)
        ctx.set(dut.s_axi_awvalid, 1)
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.s_axi_awready), "a write needs its data"
        ctx.set(dut.s_axi_wvalid, 1)
        await ctx.tick().until(dut.s_axi_awready & dut.s_axi_wready)
        ctx.set(dut.s_axi_awvalid, 0)
        ctx.set(dut.s_axi_wvalid, 0)
        ctx.set(dut.s_axi_bready, 1)
        response, = await ctx.tick().sample(dut.s_axi_bresp).until(dut.s_axi_bvalid)
        ctx.set(dut.s_axi_bready, 0)
        return response


def test_registers_on_axi_lead_bytes_both_ways_and_refuse_what_is_not_theirs():
    dut = AxiRegisters(bytes(range(8)), window=2)
    bench, came = Bench(dut), []
    source, sink = StreamSource(dut.tx, idle=0.5, seed=1), StreamSink(dut.rx, stall=0.8, seed=1)
    for process in (source.run, sink.run, watch_stream(dut.rx, name="rx")):
        bench.add(process, background=True)

    async def testbench(ctx):
        bus = Bus(dut)
        assert await bus.read(ctx, PLACES["identity"]) == (int.from_bytes(b"OHMS", "little"), 0)
        assert await bus.read(ctx, PLACES["version"]) == (2 | 2 << 8, 0)
        assert await bus.read(ctx, PLACES["digest_low"]) == (0x03020100, 0)
        assert await bus.read(ctx, PLACES["digest_high"]) == (0x07060504, 0)
        assert await bus.read(ctx, PLACES["data"]) == (0, 2)
        assert await bus.read(ctx, 4 * len(PLACES)) == (0, 2)
        assert await bus.write(ctx, PLACES["data"], 1) == 2
        assert await bus.write(ctx, PLACES["identity"], 1) == 2
        assert await bus.write(ctx, PLACES["control"], 2, strobes=1) == 2
        assert await bus.write(ctx, PLACES["control"], 2) == 0
        assert await bus.read(ctx, PLACES["control"]) == (2, 0)
        for byte in range(20):
            assert await bus.write(ctx, PLACES["data"], 0xA0 + byte, strobes=1) == 0
        source.queue.extend(range(20))
        while len(came) < 20:
            word, response = await bus.read(ctx, PLACES["data"])
            assert response == 0
            came.extend([word & 255] * (word >> 8))
        assert await bus.read(ctx, PLACES["bytes_in"]) == (20, 0)
        assert await bus.read(ctx, PLACES["bytes_out"]) == (20, 0)
        assert await bus.write(ctx, PLACES["control"], 1) == 0
        assert ctx.get(dut.hold)
        source.queue.append(7)
        assert await bus.read(ctx, PLACES["status"]) == (0, 0)

    bench.run(testbench)
    assert came == list(range(20)) and sink.taken == [0xA0 + byte for byte in range(20)]


def test_streams_of_axi_carry_bytes_while_the_registers_are_read():
    dut = AxiRegisters(bytes(8))
    bench = Bench(dut)
    ends = [StreamSource(dut.s_axis, idle=0.3, seed=1), StreamSink(dut.rx, stall=0.3, seed=2),
            StreamSource(dut.tx, idle=0.3, seed=3), StreamSink(dut.m_axis, stall=0.3, seed=4)]
    ends[0].queue.extend(range(200))
    ends[2].queue.extend(range(200))
    for end in ends:
        bench.add(end.run, background=True)
    for port in (dut.rx, dut.m_axis):
        bench.add(watch_stream(port, name="port"), background=True)

    async def testbench(ctx):
        bus = Bus(dut)
        while len(ends[1].taken) < 200 or len(ends[3].taken) < 200:
            assert (await bus.read(ctx, PLACES["status"]))[1] == 0
        assert await bus.read(ctx, PLACES["bytes_in"]) == (200, 0)

    bench.run(testbench)
    assert ends[1].taken == ends[3].taken == list(range(200))


def words(dut, items, clocks, *, stall=0.3):
    """What comes out of a window that is given events, and the clock of each."""
    bench = Bench(dut, limit=100_000)
    source, sink = StreamSource(dut.events, idle=0.5, seed=1), StreamSink(dut.words, stall=stall, seed=2)
    source.queue.extend(items)
    for process in (source.run, sink.run, watch_stream(dut.words, name="words")):
        bench.add(process, background=True)

    async def testbench(ctx):
        await ctx.tick().repeat(clocks)

    bench.run(testbench)
    return [(word.mark, word.x) for word in sink.taken], sink.times


def test_marks_divide_events_into_bins_and_samples():
    events = [{"x": x, "y": 1, "polarity": x & 1, "mark": AerMark.EVENT} for x in range(300)]
    taken, _ = words(AerWindow(40, 3), events, 2000)
    marks = [mark for mark, _ in taken if mark != AerMark.EVENT]
    assert len(marks) > 30
    assert marks == ([AerMark.STEP, AerMark.STEP, AerMark.END] * 20)[:len(marks)]
    assert [x for mark, x in taken if mark == AerMark.EVENT] == list(range(300))


def test_a_bin_is_as_many_clocks_as_it_should():
    taken, times = words(AerWindow(40, 2), [], 1000, stall=0.0)
    assert [mark for mark, _ in taken[:4]] == [AerMark.STEP, AerMark.END] * 2
    assert {later - sooner for sooner, later in zip(times, times[1:], strict=False)} == {41}


@pytest.mark.parametrize(("arguments", "message"), [
    ((0, 1), "bin_clocks must be at least 1, not 0"), ((1, 0), "bins must be 1 to 255, not 0"),
    ((1, 256), "bins must be 1 to 255, not 256")])
def test_a_window_of_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AerWindow(*arguments)


@pytest.mark.parametrize("windows", [1, 3])
def test_polarities_and_windows_are_those_of_the_contract(windows):
    """Lines of the program are the codes that a host makes of the same events (contract 9.8)."""
    chip = dataclasses.replace(Chip.preset("shared-saccades"), name="own", channels=2 * windows, plane_height=5,
                               plane_width=7, neurons=4, pool=1, classes=0, schedule=(Phase(),))
    rng = np.random.default_rng(windows)
    taken = np.unique(rng.integers(0, 30 * 70, 60))
    time, line = taken // 70, taken % 70  # windows of 10, or one of 30
    codes = stream_events(chip, Stream(time, line, np.array([0, len(time)]), sensor=(5, 7), span=30), learn=True).codes
    marked = [{"y": at % 35 // 7, "x": at % 7, "polarity": at < 35, "mark": AerMark.EVENT} for at in (
        code % 70 for code in codes.tolist())]
    items = [event if code >= 0 else {"y": 0, "x": 0, "polarity": 0, "mark": AerMark.STEP}
             for code, event in zip(codes.tolist(), marked, strict=True) if code >= 0 or code == EventCode.STEP]
    items.append({"y": 0, "x": 0, "polarity": 0, "mark": AerMark.END})
    dut = AerProgram(Layout(chip, 2))
    bench = Bench(dut)
    source, sink = StreamSource(dut.words, idle=0.2, seed=1), StreamSink(dut.program, stall=0.3, seed=2)
    source.queue.extend(items + items)  # the second sample begins with the first window again
    for process in (source.run, sink.run):
        bench.add(process, background=True)

    async def testbench(ctx):
        ctx.set(dut.learn, 1)
        await ctx.tick().repeat(1500)

    bench.run(testbench)
    opcodes = {int(EventCode.STEP): Opcode.STEP, int(EventCode.DECIDE): Opcode.DECIDE, int(EventCode.END): Opcode.END}
    expected = [byte for code in codes.tolist() for byte in (
        [Opcode.SPIKE, code & 255, code >> 8] if code >= 0 else [opcodes[code]])]
    assert [byte.data for byte in sink.taken] == expected * 2


def test_an_odd_number_of_channels_is_refused():
    chip = dataclasses.replace(Chip.preset("shared-saccades"), channels=3)
    with pytest.raises(ValueError, match="channels must be 1, or 2 for every window of time, not 3"):
        AerProgram(Layout(chip, 2))


@pytest.mark.parametrize("learn", [False, True])
def test_words_become_the_program_of_a_sample(learn):
    chip = FAULTS_CHIP
    dut = AerProgram(Layout(chip, 2))
    bench = Bench(dut)
    source, sink = StreamSource(dut.words, idle=0.2, seed=1), StreamSink(dut.program, stall=0.3, seed=2)
    event = {"polarity": 1, "mark": AerMark.EVENT}
    source.queue.extend([
        {"y": 1, "x": 2, **event}, {"y": 0, "x": chip.plane_width, **event}, {"y": chip.plane_height, "x": 0, **event},
        {"y": 0, "x": 0, "polarity": 0, "mark": AerMark.STEP}, {"y": 0, "x": 3, **event},
        {"y": 0, "x": 0, "polarity": 0, "mark": AerMark.END}])
    outside = []

    async def watch(ctx):
        sampled = ctx.tick().sample(dut.outside)
        while True:
            outside.append((await sampled)[2])

    for process in (source.run, sink.run, watch, watch_stream(dut.program, name="program")):
        bench.add(process, background=True)
    labelled = [Opcode.LABEL, 1, Opcode.DARK] if learn else []
    expected = [Opcode.SPIKE, chip.plane_width + 2, 0, Opcode.STEP, Opcode.SPIKE, 3, 0, Opcode.DECIDE, Opcode.ANSWER,
                *labelled, Opcode.END]

    async def testbench(ctx):
        ctx.set(dut.learn, learn)
        ctx.set(dut.labelled, learn)
        ctx.set(dut.label, 1)
        await ctx.tick().repeat(200)

    bench.run(testbench)
    assert [byte.data for byte in sink.taken] == expected
    assert [byte.last for byte in sink.taken] == [0] * (len(expected) - 1) + [1]
    assert sum(outside) == 2
