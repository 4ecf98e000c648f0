"""The frames that the chip sends, put together."""

from amaranth import Array, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.chip.instructions import FrameKind

from .buffers import following
from .framing import FRAME_BYTE
from .receiver import CRC32, REASON

__all__ = ["Transmitter"]


class Transmitter(wiring.Component):
    """Put together the frames the chip sends: REPLY, NAK, IDENTITY.

    Timing
    ------
    Throughput
        One byte per cycle; 1 cycle between frames.
    Latency
        1 cycle from :py:`send` to the first byte on :py:`frame`.
    Reset
        Breaks off the frame in progress.

    Parameters
    ----------
    identity : :class:`bytes`
        Payload of IDENTITY up to the expected number.

    Members
    -------
    idle : :py:`Out(1)`
        A frame may be started.
    send : :py:`In(1)`
        Start a frame, only while :py:`idle`. :py:`seq`, :py:`expected`, :py:`reply`, :py:`reason` hold in this clock.
    reply : :py:`In(1)`
        A REPLY; its bytes come on :py:`bytes`.
    reason : :py:`In(...)`
        If no REPLY: 0 for an IDENTITY, else a NAK for this reason.
    bytes : :py:`In(stream.Signature(FRAME_BYTE))`
        Payload of a REPLY.
    frame : :py:`Out(stream.Signature(FRAME_BYTE))`
        Frames with their CRC, for a :class:`Stuffer`.
    """

    def __init__(self, identity: bytes):
        self._identity = bytes(identity)
        super().__init__({
            "idle": Out(1),
            "send": In(1),
            "seq": In(16),
            "expected": In(16),
            "reply": In(1),
            "reason": In(REASON),
            "bytes": In(stream.Signature(FRAME_BYTE)),
            "frame": Out(stream.Signature(FRAME_BYTE)),
        })

    def elaborate(self, platform):
        m = Module()

        # storage: the two numbers of a frame, low byte of the next one first
        numbers = Signal(32, reset_less=True)
        is_reply, reason = Signal(reset_less=True), Signal(REASON, reset_less=True)
        step = Signal(range(len(self._identity)))
        m.submodules.check = check = ResetInserter(self.idle)(CRC32.create())

        # datapath. The CRC over its own low byte is the CRC shifted by a byte: fed with the complement of what it
        # sends, the check register moves itself out.
        byte, accept = self.frame.payload.data, Signal()
        checking = Signal()
        m.d.comb += [
            accept.eq(self.frame.valid & self.frame.ready),
            check.valid.eq(accept),
            check.data.eq(byte ^ checking.replicate(8)),
            self.frame.valid.eq(~self.idle),
        ]

        # sequencing
        def forward(state, end=1):
            with m.If(accept):
                m.d.sync += step.eq(following(step))
                with m.If(end):
                    m.d.sync += step.eq(0)
                    m.next = state

        def number(state):
            m.d.comb += byte.eq(numbers[:8])
            with m.If(accept):
                m.d.sync += numbers.eq(numbers[8:])
            forward(state, step[0])

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.idle.eq(1)
                with m.If(self.send):
                    m.d.sync += [numbers.eq(self.seq | self.expected << 16), is_reply.eq(self.reply),
                                 reason.eq(self.reason)]
                    m.next = "SEQUENCE"
            with m.State("SEQUENCE"):
                number("KIND")
            with m.State("KIND"):
                with m.If(is_reply):
                    m.d.comb += byte.eq(FrameKind.REPLY)
                    forward("BYTES")
                with m.Elif(reason == 0):
                    m.d.comb += byte.eq(FrameKind.IDENTITY)
                    forward("IDENTITY")
                with m.Else():
                    m.d.comb += byte.eq(FrameKind.NAK)
                    forward("REASON")
            with m.State("BYTES"):
                m.d.comb += [
                    byte.eq(self.bytes.payload.data),
                    self.frame.valid.eq(self.bytes.valid),
                    self.bytes.ready.eq(self.frame.ready),
                ]
                forward("CHECK", self.bytes.payload.last)
            with m.State("IDENTITY"):
                m.d.comb += byte.eq(Array(self._identity)[step])
                forward("EXPECTED", step == len(self._identity) - 1)
            with m.State("REASON"):
                m.d.comb += byte.eq(reason)
                forward("EXPECTED")
            with m.State("EXPECTED"):
                number("CHECK")
            with m.State("CHECK"):
                m.d.comb += [checking.eq(1), byte.eq(check.crc[:8]), self.frame.payload.last.eq(step[:2] == 3)]
                forward("IDLE", self.frame.payload.last)
        return m
