"""Frames taken apart and judged."""

from amaranth import Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import crc, data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from ohmspike.chip.instructions import FrameKind, NakReason

from .framing import FRAME_ITEM

__all__ = ["CRC32", "NONCE_BYTES", "REASON", "Receiver"]

CRC_BYTES = 4
NONCE_BYTES = 4

REASON = unsigned(bits_for(max(NakReason)))
"""A :class:`NakReason`, or 0."""

CRC32 = crc.catalog.CRC32_ISO_HDLC(8)


class Receiver(wiring.Component):
    """Take frames apart and judge everything about them but their sequence number.

    Timing
    ------
    Throughput
        One item per cycle; the end of a frame waits for :py:`verdict` to be taken.
    Latency
        None from the end item to :py:`verdict`, which holds the same clock.
    Reset
        Forgets the frame in progress.

    Parameters
    ----------
    max_request : :class:`int`
        Longest payload.

    Members
    -------
    items : :py:`In(stream.Signature(FRAME_ITEM))`
        From an :class:`Unstuffer`.
    room : :py:`In(1)`
        A buffer is free. Nothing is taken and no verdict given while low.
    store : :py:`Out(1)`
        :py:`data` belongs at :py:`offset` of the free buffer. Bytes beyond the payload (CRC) may follow it.
    verdict : :py:`Out(stream.Signature(verdict))`
        The frame is over: its number (0 as far as not received), payload length, whether it is a HELLO, and the
        :class:`NakReason` or 0. Length and ``hello`` hold only if the reason is 0.
    """

    def __init__(self, max_request: int):
        self._max_request = max_request
        self._check = CRC32.create()
        super().__init__({
            "items": In(stream.Signature(FRAME_ITEM)),
            "room": In(1),
            "store": Out(1),
            "offset": Out(ceil_log2(max_request)),
            "data": Out(8),
            "verdict": Out(stream.Signature(data.StructLayout({
                "seq": 16, "length": range(max_request + 1), "hello": 1, "reason": REASON}))),
        })

        # storage: bytes of the header, bytes after it
        self._position = Signal(2)
        self._count = Signal(range(max_request + CRC_BYTES + 1))

    def elaborate(self, platform):
        m = Module()

        # storage: header, too many bytes, CRC
        position, count = self._position, self._count
        seq, kind = Signal(16), Signal(8)
        overlong, finished = Signal(), Signal()
        m.submodules.check = check = ResetInserter(finished)(self._check)

        # datapath: one byte
        byte, accept = self.items.payload.data, Signal()
        m.d.comb += [
            accept.eq(self.items.valid & ~self.items.payload.end & self.room),
            check.valid.eq(accept),
            check.data.eq(byte),
            self.data.eq(byte),
            self.offset.eq(count[:len(self.offset)]),
            self.store.eq(accept & (position == 3) & (count < self._max_request)),
        ]
        with m.If(accept):
            with m.Switch(position):
                with m.Case(0):
                    m.d.sync += [position.eq(1), seq[:8].eq(byte)]
                with m.Case(1):
                    m.d.sync += [position.eq(2), seq[8:].eq(byte)]
                with m.Case(2):
                    m.d.sync += [position.eq(3), kind.eq(byte)]
                with m.Default():
                    with m.If(count == self._max_request + CRC_BYTES):
                        m.d.sync += overlong.eq(1)
                    with m.Else():
                        m.d.sync += count.eq(count + 1)

        # datapath: the verdict, made of registers only
        verdict = self.verdict.payload
        hello = Signal()
        m.d.comb += [
            hello.eq(kind == FrameKind.HELLO),
            verdict.seq.eq(seq),
            verdict.length.eq((count - CRC_BYTES)[:len(verdict.length)]),
            verdict.hello.eq(hello),
        ]
        with m.If((count < CRC_BYTES) | overlong):
            m.d.comb += verdict.reason.eq(NakReason.LENGTH)
        with m.Elif(self.items.payload.aborted | ~check.match_detected):
            m.d.comb += verdict.reason.eq(NakReason.CHECK)
        with m.Elif(hello):
            m.d.comb += verdict.reason.eq(Mux(count != NONCE_BYTES + CRC_BYTES, NakReason.LENGTH, 0))
        with m.Elif(kind != FrameKind.RUN):
            m.d.comb += verdict.reason.eq(NakReason.KIND)

        # sequencing
        with m.If(finished):
            m.d.sync += [position.eq(0), seq.eq(0), count.eq(0), overlong.eq(0)]

        # ports
        m.d.comb += [
            self.verdict.valid.eq(self.items.valid & self.items.payload.end & self.room),
            finished.eq(self.verdict.valid & self.verdict.ready),
            self.items.ready.eq(self.room & (~self.items.payload.end | self.verdict.ready)),
        ]
        return m
