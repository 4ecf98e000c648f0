"""The chip's end of the link: frames in, programs out; output in, replies out (docs/link.md)."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.chip.instructions import STORE_ROWS_MAX, NakReason, Status, protocol_of

from .buffers import BUFFERS, ReplyStore, RequestBuffer, following
from .framing import FRAME_BYTE, Stuffer, Unstuffer
from .receiver import NONCE_BYTES, REASON, Receiver
from .transmitter import Transmitter

__all__ = ["Link"]

DIGEST_BYTES = 8


class Link(wiring.Component):
    """The chip's end of the link (docs/link.md): every program once, in order, answered until the host has heard.

    ::

        rx -> Unstuffer -> Receiver -> RequestBuffer ------------> program
                              |  verdict                |
                          sequence numbers -- notice    |  nonce
                              |                 |       |
        tx <- Stuffer <- Transmitter <----------+   ReplyStore <-- output

    The receiver judges a frame, this component its number. An accepted RUN waits in the request buffer; when the slot
    of its reply (its number modulo ``window``) is neither wanted nor being sent it is handed out, and its output
    collected. A reply is *wanted* when it is complete and again for every repeat; the oldest wanted one is sent first.
    One notice (NAK or IDENTITY) goes before replies; a NAK replaces a NAK that still waits. A HELLO stops the
    receiver until programs, replies and notices before it are through and its IDENTITY starts.

    Two ticks of the watchdog without a sign of life while something is under way mean that nothing will come any more:
    if a program is in execution it is broken off (:py:`abort`) and answered with the status ABORTED; anything else asks
    for a reset of the whole chip (:py:`restart`). Signs of life are :py:`moved`, bytes of a program and of its output,
    and a byte that :py:`tx` offers, taken or not: a slow host is not a fault.

    Timing
    ------
    Throughput
        One byte per cycle on every stream. :py:`rx` is stalled while both request buffers are in use, and by a HELLO.
    Latency
        4 cycles from the closing FLAG on :py:`rx` to the first byte on :py:`program` or to the opening FLAG of a NAK;
        3 cycles from the status on :py:`output` to the opening FLAG of its REPLY, if :py:`tx` is idle. If not, the
        opening FLAG comes in the clock after the closing FLAG of the frame before.
    Watchdog
        Acts after more than ``watchdog`` and at most 2 ``watchdog`` clocks without a sign of life.
    Reset
        Forgets session, programs and replies, breaks off the frame on :py:`tx`, and skips to the next FLAG on :py:`rx`.

    Parameters
    ----------
    digest : :class:`bytes`
        First 8 bytes of the chip's structure digest.
    max_request : :class:`int`
        Bytes of the longest program, 4 to 65535.
    max_reply : :class:`int`
        Bytes of the longest reply, status included, 2 to 65535.
    window : :class:`int`
        Programs the host may have unanswered, replies kept; a power of two, 1 to 128.
    watchdog : :class:`int`
        Clocks between two ticks of the watchdog, a power of two, at least 16.
    runs : :class:`bool`
        IDENTITY says that programs may have RUNS.
    store : :class:`int`
        Rows of the store, which IDENTITY tells; 0: there is none.

    Members
    -------
    rx, tx : :py:`stream.Signature(8)`
        Bytes from and to the host.
    program : :py:`Out(stream.Signature(FRAME_BYTE))`
        Bytes of a program that was checked. Programs without a byte are answered here and not handed out.
    output : :py:`In(stream.Signature(FRAME_BYTE))`
        Output of the program, then its status with ``last`` set, not before the program was taken to its end. Taken in
        every clock of :py:`busy`.
    busy : :py:`Out(1)`
        A program is in execution.
    moved : :py:`In(1)`
        The program in execution got on.
    abort : :py:`Out(1)`
        What executes programs must be reset after this clock.
    restart : :py:`Out(1)`
        It and the link must be.
    bad_frames, out_of_sequence, repeats : :py:`Out(16)`
        Damaged frames; frames refused for their number; frames that were not executed again. Modulo 2^16.
    """

    rx: In(stream.Signature(8))
    tx: Out(stream.Signature(8))
    program: Out(stream.Signature(FRAME_BYTE))
    output: In(stream.Signature(FRAME_BYTE))
    busy: Out(1)
    moved: In(1)
    abort: Out(1)
    restart: Out(1)
    bad_frames: Out(16)
    out_of_sequence: Out(16)
    repeats: Out(16)

    def __init__(self, digest: bytes, *, max_request: int = 512, max_reply: int = 512, window: int = 2,
                 watchdog: int = 1 << 16, runs: bool = False, store: int = 0):
        if len(digest) != DIGEST_BYTES:
            raise ValueError(f"digest must be {DIGEST_BYTES} bytes, not {digest!r}")
        if not NONCE_BYTES <= max_request <= 65535:
            raise ValueError(f"max_request must be {NONCE_BYTES} to 65535, not {max_request!r}")
        if not 2 <= max_reply <= 65535:
            raise ValueError(f"max_reply must be 2 to 65535, not {max_reply!r}")
        if window not in (1 << bits for bits in range(8)):
            raise ValueError(f"window must be a power of two, 1 to 128, not {window!r}")
        if watchdog < 16 or watchdog & (watchdog - 1):
            raise ValueError(f"watchdog must be a power of two, at least 16, not {watchdog!r}")
        if not 0 <= store <= STORE_ROWS_MAX:
            raise ValueError(f"store must have at most {STORE_ROWS_MAX} rows, not {store!r}")
        self._window = window
        self._watchdog = watchdog
        self._unstuffer, self._stuffer = Unstuffer(), Stuffer()
        self._receiver = Receiver(max_request)
        self._requests = RequestBuffer(max_request)
        self._replies = ReplyStore(window, max_reply)
        version = protocol_of(runs=runs, store=store)
        self._transmitter = Transmitter(b"OHMS" + bytes([version, window]) + max_request.to_bytes(2, "little")
                                        + max_reply.to_bytes(2, "little") + bytes(digest)
                                        + (store.to_bytes(2, "little") if store else b""))
        super().__init__()

        # storage: numbers. Replies of the programs numbered expected - waiting - window and up are kept.
        self._expected = Signal(16)
        self._following = Signal(16)  # what is expected after the frame under judgement
        self._session = Signal()
        self._accepted = Signal(range(self._window + 1))
        self._slot = Signal(range(self._window))  # of the oldest program not done
        self._wanted = Signal(self._window)
        self._notice = Signal(data.StructLayout({"pending": 1, "seq": 16, "reason": REASON}))
        self._refused, self._greeted = Signal(REASON), Signal()
        self._adopt = Signal()  # a new session
        self._sent = Signal(range(self._window))
        self._sending = Signal()  # a reply
        self._resting, self._expired = Signal(), Signal()
        self._ticks, self._stale = Signal(range(self._watchdog)), Signal()
        self._states: Any = None  # of programs, for proofs; known once elaborated

    def elaborate(self, platform):
        m = Module()
        m.submodules.unstuffer = self._unstuffer
        m.submodules.stuffer = self._stuffer
        m.submodules.receiver = receiver = self._receiver
        m.submodules.requests = requests = self._requests
        m.submodules.replies = self._replies
        m.submodules.transmitter = transmitter = self._transmitter

        # ports
        wiring.connect(m, wiring.flipped(self.rx), self._unstuffer.line)
        wiring.connect(m, self._unstuffer.items, receiver.items)
        wiring.connect(m, self._replies.bytes, transmitter.bytes)
        wiring.connect(m, transmitter.frame, self._stuffer.frame)
        wiring.connect(m, wiring.flipped(self.tx), self._stuffer.line)
        m.d.comb += [
            receiver.room.eq(requests.waiting != BUFFERS),
            requests.store.eq(receiver.store),
            requests.offset.eq(receiver.offset),
            requests.data.eq(receiver.data),
            requests.close.eq(receiver.verdict.valid),
            requests.length.eq(receiver.verdict.payload.length),
        ]

        # sequencing: later statements win, so what arrives is noted even in the clock in which its like is sent
        self._send(m)
        self._watch(m)
        self._execute(m)
        self._judge(m)
        m.d.comb += self._following.eq(receiver.verdict.payload.seq + 1)
        with m.If(requests.commit | self._adopt):
            m.d.sync += self._expected.eq(self._following)
        with m.If((self._refused != 0) | self._greeted):
            m.d.sync += [self._notice.pending.eq(1), self._notice.seq.eq(receiver.verdict.payload.seq),
                         self._notice.reason.eq(self._refused)]
        return m

    def _watch(self, m):
        """Two ticks without a sign of life while something is under way."""
        ticks, stale, alive, tick = self._ticks, self._stale, Signal(), Signal()
        m.d.comb += [
            alive.eq(self._resting | self.moved | self.tx.valid | (self.output.valid & self.output.ready)
                     | (self.program.valid & self.program.ready)),
            tick.eq(ticks.all()),
            self._expired.eq(tick & stale & ~alive),
            self.restart.eq(self._expired & ~self.abort),
        ]
        m.d.sync += [ticks.eq(ticks + 1), stale.eq(~alive & (stale | tick))]

    def _judge(self, m):
        """Act upon frames, except for HELLO."""
        verdict, waiting = self._receiver.verdict, self._requests.waiting
        frame = verdict.payload
        behind, near = Signal(16), Signal(range(max(self._window, BUFFERS) + 1))
        kept = Signal()
        m.d.comb += [
            behind.eq(self._expected - frame.seq),
            near.eq(behind[:len(near)]),
            kept.eq((behind[len(near):] == 0) & (near <= self._accepted)),  # by its low bits
        ]
        with m.If(verdict.valid):
            with m.If(frame.reason != 0):
                m.d.comb += [verdict.ready.eq(1), self._refused.eq(frame.reason)]
                m.d.sync += self.bad_frames.eq(self.bad_frames + 1)
            with m.Elif(~frame.hello):
                m.d.comb += verdict.ready.eq(1)
                with m.If(self._session & (behind == 0)):
                    m.d.comb += self._requests.commit.eq(1)
                    with m.If(self._accepted != self._window):
                        m.d.sync += self._accepted.eq(self._accepted + 1)
                with m.Elif(self._session & kept):
                    m.d.sync += self.repeats.eq(self.repeats + 1)
                    with m.If(near > waiting):
                        m.d.sync += self._wanted.bit_select(frame.seq[:len(self._slot)], 1).eq(1)
                with m.Else():
                    m.d.comb += self._refused.eq(NakReason.SEQUENCE)
                    m.d.sync += self.out_of_sequence.eq(self.out_of_sequence + 1)

    def _execute(self, m):
        """Hand out programs and collect their output; greet when none is left."""
        requests, replies, verdict = self._requests, self._replies, self._receiver.verdict
        nonce, differs = Signal(8 * NONCE_BYTES, reset_less=True), Signal()
        occupied, greeting = Signal(), Signal()
        m.d.comb += [
            occupied.eq(self._wanted.bit_select(self._slot, 1) | (self._sending & (self._sent == self._slot))),
            greeting.eq(verdict.valid & verdict.payload.hello & (verdict.payload.reason == 0)
                        & ~self._wanted.any() & ~self._notice.pending),
            replies.slot.eq(self._slot),
            self.program.payload.eq(requests.bytes.payload),
        ]
        with m.If(replies.done):
            m.d.comb += requests.release.eq(1)
            m.d.sync += [self._wanted.bit_select(self._slot, 1).eq(1), self._slot.eq(following(self._slot))]

        with m.FSM() as self._states:
            with m.State("IDLE"):
                m.d.comb += self._resting.eq((requests.waiting == 0) & ~verdict.valid & self._transmitter.idle
                                             & ~self._wanted.any() & ~self._notice.pending)
                with m.If(requests.waiting == 0):
                    with m.If(greeting):
                        m.d.comb += requests.start.eq(1)
                        m.d.sync += differs.eq(~self._session)
                        m.next = "NONCE"
                with m.Elif(~occupied):
                    with m.If(requests.empty):
                        m.next = "EMPTY"
                    with m.Else():
                        m.d.comb += requests.start.eq(1)
                        m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += [
                    self.busy.eq(1),
                    self.program.valid.eq(requests.bytes.valid),
                    requests.bytes.ready.eq(self.program.ready),
                    self.output.ready.eq(1),
                    replies.output.valid.eq(self.output.valid),
                    replies.output.payload.eq(self.output.payload),
                ]
                with m.If(replies.done):
                    m.next = "IDLE"
                with m.Elif(self._expired & (requests.waiting != 0)):
                    m.d.comb += [self.abort.eq(1), requests.drop.eq(1)]
                    m.next = "ABORTED"
            with m.State("ABORTED"):
                m.d.comb += [
                    replies.output.valid.eq(1),
                    replies.output.payload.data.eq(Status.ABORTED),
                    replies.output.payload.last.eq(1),
                ]
                m.next = "IDLE"
            with m.State("EMPTY"):
                m.d.comb += [
                    replies.output.valid.eq(1),
                    replies.output.payload.data.eq(Status.OK),
                    replies.output.payload.last.eq(1),
                ]
                m.next = "IDLE"
            with m.State("NONCE"):
                m.d.comb += requests.bytes.ready.eq(1)
                with m.If(requests.bytes.valid):
                    byte = requests.bytes.payload.data
                    m.d.sync += nonce.eq(nonce[8:] | byte << len(nonce) - 8)
                    with m.If(byte != nonce[:8]):
                        m.d.sync += differs.eq(1)
                    with m.If(requests.bytes.payload.last):
                        m.d.comb += self._greeted.eq(1)
                        m.next = "GREET"
            with m.State("GREET"):
                with m.If(self._transmitter.idle):
                    m.d.comb += verdict.ready.eq(1)
                    with m.If(differs):
                        m.d.comb += self._adopt.eq(1)
                        m.d.sync += [self._session.eq(1), self._accepted.eq(0),
                                     self._slot.eq(self._following[:len(self._slot)])]
                    m.next = "IDLE"

    def _send(self, m):
        """Choose what the transmitter sends next."""
        transmitter, replies = self._transmitter, self._replies
        oldest, behind = Signal(range(self._window)), Signal(range(1, self._window + 1))
        for age in range(1, self._window + 1):  # the last match is the oldest
            slot = (self._slot - age)[:len(self._slot)]
            with m.If(self._wanted.bit_select(slot, 1)):
                m.d.comb += [oldest.eq(slot), behind.eq(age)]
        number = self._expected - (self._requests.waiting + behind)
        m.d.comb += [
            transmitter.expected.eq(self._expected),
            transmitter.reason.eq(self._notice.reason),
            transmitter.reply.eq(~self._notice.pending),
            transmitter.seq.eq(Mux(self._notice.pending, self._notice.seq, number)),
            replies.sent.eq(self._sent),
        ]
        with m.If(transmitter.idle):
            m.d.sync += self._sending.eq(0)
            with m.If(self._notice.pending):
                m.d.comb += transmitter.send.eq(1)
                m.d.sync += self._notice.pending.eq(0)
            with m.Elif(self._wanted.any()):
                m.d.comb += [transmitter.send.eq(1), replies.start.eq(1)]
                m.d.sync += [self._sending.eq(1), self._sent.eq(oldest), self._wanted.bit_select(oldest, 1).eq(0)]
