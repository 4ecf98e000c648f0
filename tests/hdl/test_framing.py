"""Stuffing and unstuffing against the reference, with idle, stall, noise and reset."""

import random

import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from ohmspike.chip.instructions import ESCAPE, FLAG
from ohmspike.hdl.link import framing
from ohmspike.hdl.link.framing import FRAME_BYTE, FRAME_ITEM, Stuffer, Unstuffer
from support.reference_link import split, stuff
from support.streams import StreamSink, StreamSource, watch_stream

NASTY = [FLAG, ESCAPE, FLAG ^ 0x20, ESCAPE ^ 0x20, 0x00, 0x7F]


class Loop(wiring.Component):
    """A Stuffer into an Unstuffer."""

    frame: In(stream.Signature(FRAME_BYTE))
    items: Out(stream.Signature(FRAME_ITEM))

    def elaborate(self, platform):
        m = Module()
        m.submodules.stuffer = stuffer = Stuffer()
        m.submodules.unstuffer = unstuffer = Unstuffer()
        wiring.connect(m, wiring.flipped(self.frame), stuffer.frame)
        wiring.connect(m, stuffer.line, unstuffer.line)
        wiring.connect(m, unstuffer.items, wiring.flipped(self.items))
        return m


def run(dut, given, taken, values, *, idle=0.0, stall=0.0, seed=0, reset_at=None):
    """Put values in, give source and sink after nothing has come out for long."""
    source, sink = StreamSource(given, idle=idle, seed=seed), StreamSink(taken, stall=stall, seed=seed)
    reset = Signal()
    source.queue.extend(values)

    async def main(ctx):
        if reset_at is not None:
            await ctx.tick().repeat(reset_at)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            sink.taken.clear()
            source.left = list(source.queue)
        while source.queue:
            await ctx.tick()
        await ctx.tick().repeat(100)

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    for role in (source.run, sink.run, watch_stream(taken, name="output", reset=reset)):
        sim.add_testbench(role, background=True)
    sim.add_testbench(main)
    sim.run()
    return source, sink


def bytes_of(frames):
    return [{"data": byte, "last": place == len(frame) - 1} for frame in frames for place, byte in enumerate(frame)]


def frames_of(items):
    """Items as (content, aborted), like the reference."""
    found, content = [], b""
    for item in items:
        if item.end:
            found.append((content, bool(item.aborted)))
            content = b""
        else:
            content += bytes([item.data])
    assert not content
    return found


def nasty_frames(rng, count):
    return [bytes(rng.choice(NASTY + [rng.randrange(256)]) for _ in range(rng.choice([1, 2, 3, 9])))
            for _ in range(count)]


RATES = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.6, 0.6)]


@pytest.mark.parametrize("idle, stall", RATES)
def test_stuffer_matches_reference(idle, stall):
    frames = nasty_frames(random.Random(f"{idle} {stall}"), 60)
    dut = Stuffer()
    _, sink = run(dut, dut.frame, dut.line, bytes_of(frames), idle=idle, stall=stall)
    flag = bytes([FLAG])
    assert bytes(sink.taken) == b"".join(flag + stuff(frame) + flag for frame in frames)


@pytest.mark.parametrize("idle, stall", RATES)
def test_unstuffer_matches_reference_on_any_bytes(idle, stall):
    rng = random.Random(f"{idle} {stall}")
    line = bytes(rng.choice(NASTY + [rng.randrange(256)]) for _ in range(600)) + bytes([FLAG])
    dut = Unstuffer()
    _, sink = run(dut, dut.line, dut.items, line, idle=idle, stall=stall)
    assert frames_of(sink.taken) == split(line)[0]


@pytest.mark.parametrize("idle, stall", RATES)
def test_frames_come_back_as_they_were(idle, stall):
    frames = nasty_frames(random.Random(f"{idle} {stall} loop"), 60) + [bytes(range(256))]
    dut = Loop()
    _, sink = run(dut, dut.frame, dut.items, bytes_of(frames), idle=idle, stall=stall)
    assert frames_of(sink.taken) == [(frame, False) for frame in frames]


@pytest.mark.parametrize("line, frames", [
    (b"noise\x7eab\x7e", [(b"ab", False)]),
    (b"\x7e\x7e\x7ea\x7eb\x7e", [(b"a", False), (b"b", False)]),
    (b"\x7eab\x7d\x7ecd\x7e", [(b"ab", True), (b"cd", False)]),
    (b"\x7e\x7d\x7e", [(b"", True)]),
    (b"\x7d\x7e\x7d\x7d\x7e", [(b"\x5d", False)]),
])
def test_unstuffer_by_hand(line, frames):
    dut = Unstuffer()
    _, sink = run(dut, dut.line, dut.items, line)
    assert frames_of(sink.taken) == frames == split(line)[0]


def test_latency_and_throughput_are_as_documented():
    dut = Unstuffer()
    source, sink = run(dut, dut.line, dut.items, bytes([FLAG]) + b"abcdefgh" + bytes([FLAG]))
    assert [out - into for into, out in zip(source.times[1:], sink.times, strict=True)] == [1] * 9
    assert source.times == list(range(source.times[0], source.times[0] + 10))

    dut = Stuffer()
    source, sink = run(dut, dut.frame, dut.line, bytes_of([b"ab\x7ecd", b"e"]))
    assert sink.times == list(range(2, 2 + 5 + 1 + 2 + 1 + 2))  # offered in clock 1
    assert [sink.times[place] - source.times[taken] for place, taken in ((1, 0), (2, 1), (4, 2), (5, 3))] == [1] * 4
    assert sink.times[1] - 1 == 2


@pytest.mark.parametrize("clock", range(1, 30, 2))
def test_reset_forgets_the_frame_in_progress(clock):
    line = b"\x7e" + b"abcdefg" + b"\x7ehij\x7d\x5e\x7eklm\x7e" + b"\x7enopq\x7e"
    dut = Unstuffer()
    source, sink = run(dut, dut.line, dut.items, line, reset_at=clock)
    assert frames_of(sink.taken) == split(bytes(source.left))[0]

    dut = Stuffer()
    source, sink = run(dut, dut.frame, dut.line, bytes_of([b"a\x7eb", b"\x7d\x7d", b"cdefgh"] * 3), reset_at=clock)
    content, frames = b"", []
    for byte in source.left:
        content += bytes([byte["data"]])
        if byte["last"]:
            frames, content = frames + [content], b""
    assert [frame for frame, _ in split(bytes(sink.taken))[0]] == frames


def test_planted_missing_escape_is_caught(monkeypatch):
    frames = nasty_frames(random.Random(3), 60)
    dut = Stuffer()
    with monkeypatch.context() as patch:
        patch.setattr(framing, "ESCAPE", 0x7C)
        _, sink = run(dut, dut.frame, dut.line, bytes_of(frames))
    assert split(bytes(sink.taken))[0] != [(frame, False) for frame in frames]
