"""The UART against a wire drawn bit by bit: rates that differ, disturbances, breaks, bytes without a pause."""

import random
from fractions import Fraction
from math import ceil, floor

import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmspike.hdl.link import uart
from ohmspike.hdl.link.uart import BitRate, UartReceiver, UartTransmitter
from ohmspike.hdl.top.serial import Afterglow
from support.bench import Bench
from support.streams import StreamSink, StreamSource, watch_stream

RATES = [BitRate(4, 1), BitRate(12_000_000, 1_000_000), BitRate(50_000_000, 3_000_000), BitRate(1000, 77)]


def drawn(data, clocks, *, idle=0.0, offset=0.0, rng=None, stop=1):
    """The wire at every clock: bytes as start bit, data from the lowest bit, stop bit, of ``clocks`` clocks a bit.

    Before each byte the wire idles for up to ``idle`` bits more; ``offset`` moves the edges against the clock.
    """
    wire, at = [], 2 * clocks + offset
    changes = [(0.0, 1)]
    for byte in data:
        for bit in [0, *(byte >> k & 1 for k in range(8)), stop]:
            changes.append((at, bit))
            at += clocks
        changes.append((at, 1))
        at += 0 if rng is None else rng.random() * idle * clocks
    changes.append((at + 4 * clocks, 1))
    for (start, bit), (end, _) in zip(changes, changes[1:], strict=False):
        wire += [bit] * (ceil(end) - ceil(start))
    return wire


def read_off(wire, clocks):
    """Bytes on a wire, read in the middle of its bits; every bit must be as long as it should, one clock at most."""
    found, at = [], 0
    while 0 in wire[at:]:
        start = wire.index(0, at)
        bits = [wire[start + floor((k + 0.5) * clocks)] for k in range(10)]
        assert bits[0] == 0 and bits[9] == 1
        for k in range(1, 10):
            if bits[k] != bits[k - 1]:  # an edge where the bits change, and nowhere else
                edge = start + k * clocks
                assert wire[floor(edge) - 1] == bits[k - 1] and wire[ceil(edge) + 1] == bits[k], f"bit {k}"
        found.append(sum(bit << k for k, bit in enumerate(bits[1:9])))
        at = start + ceil(9.5 * clocks)
    return found


def received(rate, wire, *, ready=lambda clock: True):
    """Bytes, framing errors and overruns a receiver makes of a wire, and the clocks of the bytes."""
    dut = UartReceiver(rate)
    bench = Bench(dut, limit=len(wire) + 100)
    bench.add(watch_stream(dut.bytes, name="bytes"), background=True)
    taken, errors = [], [0, 0]

    async def testbench(ctx):
        sampled = ctx.tick().sample(dut.bytes.valid, dut.bytes.payload, dut.framing_error, dut.overrun)
        for clock, level in enumerate(wire):
            ctx.set(dut.line, level)
            ctx.set(dut.bytes.ready, taking := ready(clock))
            _, _, valid, byte, framing, overrun = await sampled
            if valid and taking:
                taken.append((clock, byte))
            errors[0] += framing
            errors[1] += overrun

    bench.run(testbench)
    return [byte for _, byte in taken], *errors, [clock for clock, _ in taken]


def sent(rate, data, *, idle=0.0, seed=0):
    """The wire a transmitter drives, and the clocks in which it took its bytes."""
    dut = UartTransmitter(rate)
    source = StreamSource(dut.bytes, idle=idle, seed=seed)
    source.queue.extend(data)
    wire = []

    async def testbench(ctx):
        quiet = 0
        while source.queue or quiet < 11 * rate.clocks:
            _, _, level = await ctx.tick().sample(dut.line)
            wire.append(level)
            quiet = 0 if source.queue else quiet + 1

    bench = Bench(dut, limit=200_000)
    bench.add(source.run, background=True)
    bench.run(testbench)
    return wire, source.times


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{rate.clocks:.3g}")
def test_bytes_without_a_pause_take_ten_bits_each(rate):
    data = random.Random(1).randbytes(16)
    wire, times = sent(rate, data)
    assert read_off(wire, rate.clocks) == list(data)
    for first, later in ((0, 1), (0, 15), (7, 13)):
        assert abs(times[later] - times[first] - 10 * (later - first) * rate.clocks) <= 1
    assert wire.index(0) == times[0]  # the start bit is on the line in the clock after


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{rate.clocks:.3g}")
def test_sent_bytes_are_those_given_with_pauses(rate):
    data = random.Random(2).randbytes(8)
    assert read_off(sent(rate, data, idle=0.99, seed=3)[0], rate.clocks) == list(data)


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(RATES), st.floats(-0.02, 0.02), st.floats(0, 1), st.sampled_from([0.0, 0.3, 3.0]),
       st.integers(0, 2**32))
def test_bytes_arrive_from_a_clock_two_percent_off(rate, mismatch, offset, idle, seed):
    rng = random.Random(seed)
    data = rng.randbytes(4)
    wire = drawn(data, rate.clocks * (1 + mismatch), idle=idle, offset=offset, rng=rng)
    assert received(rate, wire)[:3] == (list(data), 0, 0)


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{rate.clocks:.3g}")
@pytest.mark.parametrize("side", [-1, 1])
def test_the_stated_tolerance_holds_to_its_end(rate, side):
    data = bytes([0x00, 0xFF, 0x55, 0x80, 0x7F])
    for offset in (0.0, 0.5, 0.99):
        clocks = rate.clocks * (1 + side * 0.98 * rate.tolerance)
        wire = drawn(data, clocks, offset=offset, idle=1, rng=random.Random(5))
        assert received(rate, wire)[:3] == (list(data), 0, 0), f"offset {offset}"


@pytest.mark.parametrize("mismatch", [-0.08, 0.08])
def test_a_wrong_baud_rate_does_not_pass_unnoticed(mismatch):
    wire = drawn(bytes([0x00, 0xFF, 0x55, 0x80, 0x7F]) * 4, 12 * (1 + mismatch))
    came, framing, _, _ = received(BitRate(12, 1), wire)
    assert framing > 0 or came != list(bytes([0x00, 0xFF, 0x55, 0x80, 0x7F]) * 4)


@pytest.mark.parametrize("seed", range(4))
def test_disturbances_of_a_clock_change_nothing(seed):
    rng = random.Random(seed)
    data = rng.randbytes(12)
    wire = drawn(data, 12, idle=2, rng=rng)
    at = 0
    while (at := at + rng.randrange(4, 30)) < len(wire):
        wire[at] ^= 1
    assert received(BitRate(12, 1), wire)[:3] == (list(data), 0, 0)


def test_a_low_shorter_than_half_a_bit_is_no_start_bit():
    wire = [1] * 20 + [0] * 4 + [1] * 40 + drawn(b"\x5a", 12)
    assert received(BitRate(12, 1), wire)[:3] == ([0x5A], 0, 0)


def test_a_break_is_one_error_and_what_follows_is_received():
    wire = drawn(b"A", 12) + [0] * 1000 + drawn(b"BC", 12)
    assert received(BitRate(12, 1), wire)[:3] == ([0x41, 0x42, 0x43], 1, 0)


def test_a_byte_without_its_stop_bit_is_dropped():
    wire = drawn(b"A", 12) + drawn(b"\x0f", 12, stop=0) + drawn(b"B", 12)
    assert received(BitRate(12, 1), wire)[:3] == ([0x41, 0x42], 1, 0)


def test_a_line_that_is_low_at_reset_starts_nothing():
    assert received(BitRate(12, 1), [0] * 60 + drawn(b"B", 12))[:3] == ([0x42], 0, 0)


def test_bytes_that_nobody_takes_are_counted_and_dropped():
    wire = drawn(b"ABCD", 12) + [1] * 40
    came, framing, overruns, _ = received(BitRate(12, 1), wire, ready=lambda clock: clock > len(wire) - 20)
    assert (came, framing, overruns) == ([0x41], 0, 3)


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{rate.clocks:.3g}")
def test_a_byte_is_there_as_early_as_stated(rate):
    wire = drawn(b"\x00", rate.clocks)
    (clock,) = received(rate, wire)[3]
    assert abs(clock - wire.index(0) - 9.5 * rate.clocks - 5) <= 1


@pytest.mark.parametrize("dut", [UartReceiver, UartTransmitter])
def test_reset_in_the_middle_of_a_byte_leaves_nothing_behind(dut):
    rate, line = BitRate(12, 1), drawn(b"\xf0\x55", 12)
    dut = dut(rate)
    domain = ClockDomain("sync")
    top = Module()
    top.domains.sync = domain
    top.submodules.dut = dut
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    sending = isinstance(dut, UartTransmitter)
    sink = None if sending else StreamSink(dut.bytes)

    async def testbench(ctx):
        if sending:
            ctx.set(dut.bytes.valid, 1)
            await ctx.tick().repeat(30)
            ctx.set(dut.bytes.valid, 0)
        for level in [] if sending else line[:90]:
            ctx.set(dut.line, level)
            await ctx.tick()
        ctx.set(domain.rst, 1)
        await ctx.tick()
        ctx.set(domain.rst, 0)
        if sending:
            assert ctx.get(dut.line) == 1 and ctx.get(dut.bytes.ready) == 1
        for level in [] if sending else [1] * 200 + drawn(b"Z", 12):
            ctx.set(dut.line, level)
            await ctx.tick()

    simulator.add_testbench(testbench)
    if sink is not None:
        simulator.add_testbench(sink.run, background=True)
    simulator.run()
    assert sending or sink.taken == [0x5A]


@pytest.mark.parametrize(("clock_hz", "baud", "message"), [
    (12_000_000, 4_000_000, "baud must be at most 3000000 at a clock of 12000000 Hz, not 4000000"),
    (0, 1, "clock_hz must be at least 1, not 0"),
    (9, -1, "baud must be at least 1, not -1"),
])
def test_bad_rates_are_refused(clock_hz, baud, message):
    with pytest.raises(ValueError, match=message):
        BitRate(clock_hz, baud)


def test_bit_lengths_are_exact_fractions():
    rate = BitRate(25_000_000, 115_200)
    assert Fraction(rate.wrap, rate.step) == Fraction(25_000_000, 115_200)


def test_a_planted_receiver_that_samples_at_the_edges_is_noticed(monkeypatch):
    monkeypatch.setattr(uart._Phase, "restart", lambda self, at=0: self._m.d.sync.__iadd__(self.value.eq(0)))
    wire = drawn(bytes([0x55, 0x0F, 0x99]) * 3, 12 * 0.98, idle=1, rng=random.Random(1))
    assert received(BitRate(12, 1), wire)[:3] != (list(bytes([0x55, 0x0F, 0x99]) * 3), 0, 0)


@pytest.mark.parametrize("clocks", [1, 2, 5, 100])
def test_a_light_stays_on_and_goes_out(clocks):
    dut = Afterglow(clocks, 2)

    async def testbench(ctx):
        for light in (0b01, 0b10):
            ctx.set(dut.events, light)
            await ctx.tick()
            ctx.set(dut.events, 0)
            lit = 0
            while ctx.get(dut.lights):
                assert ctx.get(dut.lights) == light
                lit += 1
                await ctx.tick()
            assert clocks <= lit <= 4 * clocks

    Bench(dut).run(testbench)


def test_an_afterglow_of_no_clocks_is_refused():
    with pytest.raises(ValueError, match="clocks must be at least 1, not 0"):
        Afterglow(0)
