"""The chip's end of the link: frames in, programs out; output in, replies out (docs/link.md)."""

from amaranth import Array, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import crc, data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from ohmspike.chip.instructions import PROTOCOL_VERSION, FrameKind, NakReason, Status

from .framing import FRAME_BYTE, FRAME_ITEM, Stuffer, Unstuffer

__all__ = ["Link", "Receiver", "ReplyStore", "RequestBuffer", "SlotMemory", "Transmitter"]

CRC_BYTES = 4
NONCE_BYTES = 4
BUFFERS = 2
DIGEST_BYTES = 8

_REASON = unsigned(bits_for(max(NakReason)))
_CRC32 = crc.catalog.CRC32_ISO_HDLC(8)


def _next(value):
    """One more, modulo the width."""
    return (value + 1)[:len(value)]


class SlotMemory(wiring.Component):
    """Equal slots of bytes in one memory: written byte by byte, read as a stream.

    Timing
    ------
    Throughput
        One byte per cycle in and out.
    Latency
        2 cycles from :py:`fetch` to the first byte on :py:`bytes`.
    Reset
        Breaks off the reading. Contents stay; after power-up they are undefined.

    Parameters
    ----------
    slots : :class:`int`
        Number of slots.
    size : :class:`int`
        Bytes in a slot.

    Members
    -------
    store : :py:`In(1)`
        Write :py:`data` at :py:`store_offset` of :py:`store_slot`.
    fetch : :py:`In(1)`
        Read the first :py:`fetch_length` (at least 1) bytes of :py:`fetch_slot`; both must stay as they are from the
        next clock on until the last byte is out. Only when no other reading is under way.
    drop : :py:`In(1)`
        Break off the reading.
    bytes : :py:`Out(stream.Signature(FRAME_BYTE))`
        What was read.
    """

    def __init__(self, slots: int, size: int):
        self._slot_bits = ceil_log2(slots)
        self._offset_bits = ceil_log2(size)
        self.memory = Memory(shape=8, depth=1 << self._slot_bits + self._offset_bits, init=[])
        super().__init__({
            "store": In(1),
            "store_slot": In(self._slot_bits),
            "store_offset": In(self._offset_bits),
            "data": In(8),
            "fetch": In(1),
            "fetch_slot": In(self._slot_bits),
            "fetch_length": In(range(size + 1)),
            "drop": In(1),
            "bytes": Out(stream.Signature(FRAME_BYTE)),
        })

    def elaborate(self, platform):
        m = Module()

        # storage
        m.submodules.memory = self.memory
        write, read = self.memory.write_port(), self.memory.read_port()
        active, offset = Signal(), Signal(self.fetch_length.shape())
        full, last = Signal(), Signal()

        # sequencing: the memory's own output register is the byte under way, so it must not be clocked while one waits
        advance = Signal()
        m.d.comb += advance.eq(~full | self.bytes.ready)
        with m.If(self.fetch):
            m.d.sync += [active.eq(1), offset.eq(0)]
        with m.Elif(advance):
            final = (offset + 1)[:len(offset)] == self.fetch_length
            m.d.sync += [full.eq(active), last.eq(final), offset.eq(_next(offset))]
            with m.If(final):
                m.d.sync += active.eq(0)
        with m.If(self.drop):
            m.d.sync += [active.eq(0), full.eq(0)]

        # ports
        m.d.comb += [
            write.en.eq(self.store),
            write.addr.eq(self.store_offset | self.store_slot << self._offset_bits),
            write.data.eq(self.data),
            read.en.eq(advance),
            read.addr.eq(offset[:self._offset_bits] | self.fetch_slot << self._offset_bits),
            self.bytes.valid.eq(full),
            self.bytes.payload.data.eq(read.data),
            self.bytes.payload.last.eq(last),
        ]
        return m


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
        super().__init__({
            "items": In(stream.Signature(FRAME_ITEM)),
            "room": In(1),
            "store": Out(1),
            "offset": Out(ceil_log2(max_request)),
            "data": Out(8),
            "verdict": Out(stream.Signature(data.StructLayout({
                "seq": 16, "length": range(max_request + 1), "hello": 1, "reason": _REASON}))),
        })

    def elaborate(self, platform):
        m = Module()

        # storage: header, bytes after the header, CRC
        place = Signal(2)
        seq, kind = Signal(16), Signal(8)
        count, overlong = Signal(range(self._max_request + CRC_BYTES + 1)), Signal()
        finished = Signal()
        m.submodules.check = check = ResetInserter(finished)(_CRC32.create())

        # datapath: one byte
        byte, accept = self.items.payload.data, Signal()
        m.d.comb += [
            accept.eq(self.items.valid & ~self.items.payload.end & self.room),
            check.valid.eq(accept),
            check.data.eq(byte),
            self.data.eq(byte),
            self.offset.eq(count[:len(self.offset)]),
            self.store.eq(accept & (place == 3) & (count < self._max_request)),
        ]
        with m.If(accept):
            with m.Switch(place):
                with m.Case(0):
                    m.d.sync += [place.eq(1), seq[:8].eq(byte)]
                with m.Case(1):
                    m.d.sync += [place.eq(2), seq[8:].eq(byte)]
                with m.Case(2):
                    m.d.sync += [place.eq(3), kind.eq(byte)]
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
            m.d.sync += [place.eq(0), seq.eq(0), count.eq(0), overlong.eq(0)]

        # ports
        m.d.comb += [
            self.verdict.valid.eq(self.items.valid & self.items.payload.end & self.room),
            finished.eq(self.verdict.valid & self.verdict.ready),
            self.items.ready.eq(self.room & (~self.items.payload.end | self.verdict.ready)),
        ]
        return m


class RequestBuffer(wiring.Component):
    """Two buffers in a ring: programs wait in one while a frame is received into the other.

    Timing
    ------
    Throughput
        One byte per cycle in and out.
    Latency
        2 cycles from :py:`start` to the first byte on :py:`bytes`; :py:`waiting` and :py:`empty` follow 1 cycle
        after :py:`commit` and :py:`release`.
    Reset
        Both buffers are free.

    Parameters
    ----------
    size : :class:`int`
        Bytes in a buffer.

    Members
    -------
    store, offset, data
        Write a byte to the free buffer.
    close : :py:`In(1)`
        The free buffer holds :py:`length` bytes; must come at latest with :py:`commit`.
    commit : :py:`In(1)`
        The free buffer waits from now on.
    waiting : :py:`Out(range(3))`
        Buffers that wait.
    empty : :py:`Out(1)`
        The oldest waiting buffer is of length 0.
    start : :py:`In(1)`
        Read the oldest waiting buffer; if none waits, the closed free one.
    drop : :py:`In(1)`
        Break off the reading.
    release : :py:`In(1)`
        The oldest waiting buffer is free again.
    bytes : :py:`Out(stream.Signature(FRAME_BYTE))`
        What was read.
    """

    def __init__(self, size: int):
        self._size = size
        self.slots = SlotMemory(BUFFERS, size)
        super().__init__({
            "store": In(1),
            "offset": In(ceil_log2(size)),
            "data": In(8),
            "close": In(1),
            "length": In(range(size + 1)),
            "commit": In(1),
            "waiting": Out(range(BUFFERS + 1)),
            "empty": Out(1),
            "start": In(1),
            "drop": In(1),
            "release": In(1),
            "bytes": Out(stream.Signature(FRAME_BYTE)),
        })

    def elaborate(self, platform):
        m = Module()

        # storage
        m.submodules.slots = slots = self.slots
        lengths = Array(Signal(range(self._size + 1), name=f"length_{slot}") for slot in range(BUFFERS))
        newest, oldest = Signal(), Signal()

        # sequencing
        with m.If(self.close):
            m.d.sync += lengths[newest].eq(self.length)
        m.d.sync += [
            newest.eq(newest ^ self.commit),
            oldest.eq(oldest ^ self.release),
            self.waiting.eq(self.waiting + self.commit - self.release),
        ]

        # ports
        m.d.comb += [
            slots.store.eq(self.store),
            slots.store_slot.eq(newest),
            slots.store_offset.eq(self.offset),
            slots.data.eq(self.data),
            slots.fetch.eq(self.start),
            slots.drop.eq(self.drop),
            slots.fetch_slot.eq(oldest),
            slots.fetch_length.eq(lengths[oldest]),
            self.empty.eq(lengths[oldest] == 0),
        ]
        wiring.connect(m, wiring.flipped(self.bytes), slots.bytes)
        return m


class ReplyStore(wiring.Component):
    """Collect the output of programs, one slot per reply, and keep it for repeats.

    Output beyond ``size`` − 1 bytes is dropped; the status byte always fits. If something was dropped, status OK
    becomes OVERFLOW.

    Timing
    ------
    Throughput
        One byte per cycle in and out.
    Latency
        2 cycles from :py:`start` to the first byte on :py:`bytes`; :py:`done` is high in the clock of the last byte.
    Reset
        Forgets all replies.

    Parameters
    ----------
    slots : :class:`int`
        Replies kept.
    size : :class:`int`
        Bytes in a reply, status included.

    Members
    -------
    output : :py:`In(stream.Signature(FRAME_BYTE))`
        Always taken: bytes of the reply in :py:`slot`, the last one is the status.
    done : :py:`Out(1)`
        The reply in :py:`slot` is complete with this clock.
    start : :py:`In(1)`
        Read the reply in :py:`sent`, which must stay as it is until the last byte is out.
    bytes : :py:`Out(stream.Signature(FRAME_BYTE))`
        What was read.
    """

    def __init__(self, slots: int, size: int):
        self._size = size
        self._count = slots
        self.slots = SlotMemory(slots, size)
        super().__init__({
            "output": In(stream.Signature(FRAME_BYTE, always_ready=True)),
            "slot": In(ceil_log2(slots)),
            "done": Out(1),
            "start": In(1),
            "sent": In(ceil_log2(slots)),
            "bytes": Out(stream.Signature(FRAME_BYTE)),
        })

    def elaborate(self, platform):
        m = Module()

        # storage
        m.submodules.slots = slots = self.slots
        lengths = Array(Signal(range(self._size + 1), name=f"length_{slot}") for slot in range(self._count))
        count, cut = Signal(range(self._size)), Signal()

        # datapath: `count` never passes the place of the status, so the status has room whatever came before
        byte = self.output.payload
        room = Signal()
        m.d.comb += [
            room.eq(count != self._size - 1),
            slots.store.eq(self.output.valid & (byte.last | room)),
            slots.store_slot.eq(self.slot),
            slots.store_offset.eq(count[:len(slots.store_offset)]),
            slots.data.eq(Mux(byte.last & cut & (byte.data == Status.OK), Status.OVERFLOW, byte.data)),
        ]

        # sequencing
        with m.If(self.output.valid):
            with m.If(byte.last):
                m.d.sync += [lengths[self.slot].eq(count + 1), count.eq(0), cut.eq(0)]
            with m.Elif(room):
                m.d.sync += count.eq(count + 1)
            with m.Else():
                m.d.sync += cut.eq(1)

        # ports
        m.d.comb += [
            self.done.eq(self.output.valid & byte.last),
            slots.fetch.eq(self.start),
            slots.fetch_slot.eq(self.sent),
            slots.fetch_length.eq(lengths[self.sent]),
        ]
        wiring.connect(m, wiring.flipped(self.bytes), slots.bytes)
        return m


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
            "reason": In(_REASON),
            "bytes": In(stream.Signature(FRAME_BYTE)),
            "frame": Out(stream.Signature(FRAME_BYTE)),
        })

    def elaborate(self, platform):
        m = Module()

        # storage: the two numbers of a frame, low byte of the next one first
        numbers = Signal(32, reset_less=True)
        is_reply, reason = Signal(reset_less=True), Signal(_REASON, reset_less=True)
        step = Signal(range(len(self._identity)))
        m.submodules.check = check = ResetInserter(self.idle)(_CRC32.create())

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
                m.d.sync += step.eq(_next(step))
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
                 watchdog: int = 1 << 16):
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
        self._window = window
        self._watchdog = watchdog
        self._unstuffer, self._stuffer = Unstuffer(), Stuffer()
        self._receiver = Receiver(max_request)
        self._requests = RequestBuffer(max_request)
        self._replies = ReplyStore(window, max_reply)
        self._transmitter = Transmitter(b"OHMS" + bytes([PROTOCOL_VERSION, window]) + max_request.to_bytes(2, "little")
                                        + max_reply.to_bytes(2, "little") + bytes(digest))
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.unstuffer = self._unstuffer
        m.submodules.stuffer = self._stuffer
        m.submodules.receiver = receiver = self._receiver
        m.submodules.requests = requests = self._requests
        m.submodules.replies = self._replies
        m.submodules.transmitter = transmitter = self._transmitter

        # storage: numbers. Replies of the programs numbered expected - waiting - window and up are kept.
        self._expected = Signal(16)
        self._following = Signal(16)  # what is expected after the frame under judgement
        self._session = Signal()
        self._accepted = Signal(range(self._window + 1))
        self._slot = Signal(range(self._window))  # of the oldest program not done
        self._wanted = Signal(self._window)
        self._notice = Signal(data.StructLayout({"pending": 1, "seq": 16, "reason": _REASON}))
        self._refused, self._greeted = Signal(_REASON), Signal()
        self._adopt = Signal()  # a new session
        self._sent = Signal(range(self._window))
        self._sending = Signal()  # a reply

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
        self._resting, self._expired = Signal(), Signal()
        ticks, stale, alive, tick = Signal(range(self._watchdog)), Signal(), Signal(), Signal()
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
            m.d.sync += [self._wanted.bit_select(self._slot, 1).eq(1), self._slot.eq(_next(self._slot))]

        with m.FSM():
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
