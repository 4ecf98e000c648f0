"""Proofs about the small blocks of the link: frames survive the line, and streams hold what they offer."""

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.hdl.flow.formal import FormalFailure, prove
from ohmspike.hdl.link.buffers import SlotMemory
from ohmspike.hdl.link.framing import FRAME_BYTE, FRAME_ITEM, Stuffer, Unstuffer

ROUND_TRIP_DEPTH = 14
"""Clocks: two frames of three bytes, stuffing and flags included, with clocks to spare for stalls."""

STREAM_DEPTH = 12
"""Clocks: two readings of a slot of four bytes."""


def holds(m, port):
    """The stream rule: what is offered stays offered, unchanged, until it is taken."""
    held, before = Signal(), Signal.like(port.payload)
    m.d.sync += [held.eq(port.valid & ~port.ready), before.eq(port.payload)]
    with m.If(held):
        m.d.comb += [Assert(port.valid), Assert(port.payload == before)]


class RoundTrip(wiring.Component):
    """Every byte into the Stuffer comes out of the Unstuffer, in order, ends included; with ``bug``, a line error."""

    frame: In(stream.Signature(FRAME_BYTE))
    items: Out(stream.Signature(FRAME_ITEM))

    def __init__(self, *, bug=False):
        self.bug = bug
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.stuffer = stuffer = Stuffer()
        m.submodules.unstuffer = unstuffer = Unstuffer()
        m.submodules.sent = sent = fifo.SyncFIFO(width=9, depth=4)
        wiring.connect(m, wiring.flipped(self.frame), stuffer.frame)
        wiring.connect(m, unstuffer.items, wiring.flipped(self.items))
        line = stuffer.line.payload
        m.d.comb += [
            unstuffer.line.valid.eq(stuffer.line.valid),
            stuffer.line.ready.eq(unstuffer.line.ready),
            unstuffer.line.payload.eq(Mux(line == 0x5D, 0x5C, line) if self.bug else line),
        ]

        # the source keeps the stream rule
        waiting, before = Signal(), Signal(FRAME_BYTE)
        m.d.sync += [waiting.eq(self.frame.valid & ~self.frame.ready), before.eq(self.frame.payload)]
        with m.If(waiting):
            m.d.comb += [Assume(self.frame.valid), Assume(self.frame.payload == before)]

        # what went in is what comes out
        item, ending = self.items.payload, Signal()
        m.d.comb += [sent.r_en.eq(self.items.valid & self.items.ready & ~item.end),
                     sent.w_data.eq(self.frame.payload), sent.w_en.eq(self.frame.valid & self.frame.ready)]
        with m.If(sent.w_en):
            m.d.comb += Assert(sent.w_rdy)
        with m.If(self.items.valid):
            with m.If(item.end):
                m.d.comb += [Assert(ending), Assert(~item.aborted)]
            with m.Else():
                m.d.comb += [Assert(~ending), Assert(sent.r_rdy), Assert(item.data == sent.r_data[:8])]
            with m.If(self.items.ready):
                m.d.sync += ending.eq(~item.end & sent.r_data[8])
        holds(m, stuffer.line)
        holds(m, unstuffer.items)
        return m


class SlotReading(wiring.Component):
    """A reading gives as many bytes as were asked for, the last marked, and holds every byte until it is taken."""

    store: In(1)
    address: In(3)
    data: In(8)
    fetch: In(1)
    slot: In(1)
    length: In(range(5))
    bytes: Out(stream.Signature(FRAME_BYTE))

    def elaborate(self, platform):
        m = Module()
        m.submodules.slots = slots = SlotMemory(2, 4)
        wiring.connect(m, slots.bytes, wiring.flipped(self.bytes))
        reading, slot, length = Signal(), Signal(1), Signal(range(5))
        count = Signal(range(5))
        taken = self.bytes.valid & self.bytes.ready
        m.d.comb += [
            slots.store.eq(self.store), slots.data.eq(self.data),
            slots.store_offset.eq(self.address[:2]), slots.store_slot.eq(self.address[2]),
            slots.fetch.eq(self.fetch), slots.fetch_slot.eq(slot), slots.fetch_length.eq(length),
            Assume(~(self.fetch & reading)), Assume((self.length > 0) & (self.length <= 4)),
            Assert(~self.bytes.valid | reading),
        ]
        with m.If(self.fetch):
            m.d.sync += [reading.eq(1), slot.eq(self.slot), length.eq(self.length), count.eq(0)]
        with m.If(self.bytes.valid):
            m.d.comb += Assert(self.bytes.payload.last == (count + 1 == length))
        with m.If(taken):
            m.d.sync += [count.eq(count + 1), reading.eq(~self.bytes.payload.last)]
        holds(m, self.bytes)
        return m


def test_frames_survive_the_line():
    prove(RoundTrip(), depth=ROUND_TRIP_DEPTH)


def test_planted_line_error_is_caught():
    with pytest.raises(FormalFailure):
        prove(RoundTrip(bug=True), depth=ROUND_TRIP_DEPTH)


def test_slot_reading_is_complete_and_steady():
    prove(SlotReading(), depth=STREAM_DEPTH)
