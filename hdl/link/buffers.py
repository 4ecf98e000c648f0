"""Buffers of the link: programs that wait, replies that are kept."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ohmspike.chip.instructions import Status

from .framing import FRAME_BYTE

__all__ = ["BUFFERS", "ReplyStore", "RequestBuffer", "SlotMemory", "following"]

BUFFERS = 2


def following(value):
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
            m.d.sync += [full.eq(active), last.eq(final), offset.eq(following(offset))]
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
        self._lengths = Array(Signal(range(size + 1), name=f"length_{slot}") for slot in range(BUFFERS))
        self._newest, self._oldest = Signal(), Signal()
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
        lengths, newest, oldest = self._lengths, self._newest, self._oldest

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
