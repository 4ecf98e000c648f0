"""Frames on a byte stream: byte stuffing as in RFC 1662, off and on."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.chip.instructions import ESCAPE, ESCAPE_XOR, FLAG

__all__ = ["FRAME_BYTE", "FRAME_ITEM", "Stuffer", "Unstuffer"]

FRAME_BYTE = data.StructLayout({"data": 8, "last": 1})
"""A byte of something that ends: a frame, a program, a reply."""

FRAME_ITEM = data.StructLayout({"data": 8, "end": 1, "aborted": 1})
"""What comes out of a line: a byte of a frame, or (``end``) the news that the frame is over.

``aborted``: the frame ended in an escape, so what came of it is damaged. ``data`` means nothing in an end.
"""


class Unstuffer(wiring.Component):
    """Find the frames in a byte stream and take the stuffing off.

    Every frame gives its bytes, then an end. Frames without a byte give nothing, and so does whatever precedes the
    first FLAG after reset. ESCAPE followed by FLAG ends the frame with ``aborted`` set, even a frame without a byte.

    Timing
    ------
    Throughput
        One line byte per cycle.
    Latency
        1 cycle.
    Reset
        Forgets the frame in progress; everything up to the next FLAG is skipped.

    Members
    -------
    line : :py:`In(stream.Signature(8))`
        Stuffed bytes.
    items : :py:`Out(stream.Signature(FRAME_ITEM))`
        Frame bytes and ends.
    """

    line: In(stream.Signature(8))
    items: Out(stream.Signature(FRAME_ITEM))

    def elaborate(self, platform):
        m = Module()

        # storage: where in a frame the line is, and one item on its way out
        hunting = Signal(init=1)
        begun, escaped = Signal(), Signal()
        item, full = Signal(FRAME_ITEM), Signal()

        # datapath
        flag, escape = Signal(), Signal()
        m.d.comb += [
            flag.eq(self.line.payload == FLAG),
            escape.eq((self.line.payload == ESCAPE) & ~escaped),
        ]

        # sequencing: an item may leave and the next one enter in the same clock
        with m.If(self.line.ready):
            m.d.sync += full.eq(0)
            with m.If(self.line.valid):
                m.d.sync += [
                    item.data.eq(self.line.payload ^ escaped * ESCAPE_XOR),
                    item.end.eq(flag),
                    item.aborted.eq(escaped),
                    escaped.eq(escape),
                ]
                with m.If(flag):
                    m.d.sync += [full.eq(~hunting & (begun | escaped)), begun.eq(0), hunting.eq(0)]
                with m.Elif(~escape):
                    m.d.sync += [full.eq(~hunting), begun.eq(1)]

        # ports
        m.d.comb += [
            self.line.ready.eq(~full | self.items.ready),
            self.items.valid.eq(full),
            self.items.payload.eq(item),
        ]
        return m


class Stuffer(wiring.Component):
    """Put frames on a byte stream: FLAG, the stuffed bytes, FLAG.

    Timing
    ------
    Throughput
        One line byte per cycle; a frame of n bytes, e of them FLAG or ESCAPE, takes n + e + 2 cycles.
    Latency
        2 cycles from the first byte of a frame to itself on the line, 1 cycle from any other byte.
    Reset
        Breaks off the frame in progress; the next byte is the first of a frame.

    Members
    -------
    frame : :py:`In(stream.Signature(FRAME_BYTE))`
        Frames of at least one byte.
    line : :py:`Out(stream.Signature(8))`
        Stuffed bytes.
    """

    frame: In(stream.Signature(FRAME_BYTE))
    line: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()

        # storage: the byte on the line
        byte, full = Signal(8), Signal()
        escaped = Signal()

        # datapath
        special, advance = Signal(), Signal()
        given = self.frame.payload.data
        m.d.comb += [
            special.eq(((given == FLAG) | (given == ESCAPE)) & ~escaped),
            advance.eq(~full | self.line.ready),
        ]

        # sequencing
        def put(value):
            m.d.sync += [byte.eq(value), full.eq(1)]

        with m.If(advance):
            m.d.sync += full.eq(0)
        with m.FSM():
            with m.State("OPEN"):
                with m.If(advance & self.frame.valid):
                    put(FLAG)
                    m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += self.frame.ready.eq(advance & ~special)
                with m.If(advance & self.frame.valid):
                    m.d.sync += escaped.eq(special)
                    with m.If(special):
                        put(ESCAPE)
                    with m.Else():
                        put(given ^ escaped * ESCAPE_XOR)
                        with m.If(self.frame.payload.last):
                            m.next = "CLOSE"
            with m.State("CLOSE"):
                with m.If(advance):
                    put(FLAG)
                    m.next = "OPEN"

        # ports
        m.d.comb += [self.line.valid.eq(full), self.line.payload.eq(byte)]
        return m
