"""A store of instructions on the board, and what plays them back to the decoder (docs/link.md, Store)."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ohmspike.chip.instructions import STORE_COLUMNS, STORE_ROWS_MAX
from ohmspike.hdl.shared.access import CODE
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.ports import access_shape

__all__ = ["BlockStore", "Replayer", "byte_shape", "replay_shape", "store_signature"]

ADDRESS_BITS = 24


def byte_shape():
    """A byte of a program or of its output; ``last`` marks the end."""
    return data.StructLayout({"data": 8, "last": 1})


def replay_shape():
    """Operands of a REPLAY: first byte, bytes, and how often they are carried out."""
    return data.StructLayout({"first": ADDRESS_BITS, "length": ADDRESS_BITS, "times": 8})


def store_signature():
    """A store, as its user sees it.

    ``seek`` asks for the bytes from ``address`` on, one after the other on ``bytes``; those asked for before are
    dropped. A byte offered on ``written`` is written at ``address``; after that, ``bytes`` hold nothing until ``seek``.
    """
    return wiring.Signature({
        "address": Out(ADDRESS_BITS),
        "seek": Out(1),
        "bytes": In(stream.Signature(8)),
        "written": Out(stream.Signature(8)),
    })


class BlockStore(wiring.Component):
    """A store in the block RAM of the device.

    Timing
    ------
    Throughput
        One byte per clock in and out.
    Latency
        2 clocks from ``seek`` to the first byte.
    Reset
        Breaks off the reading. What is stored stays.

    Parameters
    ----------
    rows : :class:`int`
        Rows of 256 bytes, 1 to 65,535.

    Members
    -------
    port : :py:`In(store_signature())`
    """

    def __init__(self, rows: int):
        if not 1 <= rows <= STORE_ROWS_MAX:
            raise ValueError(f"rows must be 1 to {STORE_ROWS_MAX}, not {rows!r}")
        self.memory = Memory(shape=8, depth=rows * STORE_COLUMNS, init=[])
        super().__init__({"port": In(store_signature())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self.memory
        port, write, read = self.port, self.memory.write_port(), self.memory.read_port()
        place = Signal(ceil_log2(self.memory.depth))
        active, full, advance = Signal(), Signal(), Signal()

        # the memory's own output register is the byte offered, so it is not clocked while one waits
        m.d.comb += advance.eq(~full | port.bytes.ready)
        with m.If(advance):
            m.d.sync += full.eq(active)
            with m.If(active):
                m.d.sync += place.eq(place + 1)
        with m.If(port.seek):
            m.d.sync += [active.eq(1), full.eq(0), place.eq(port.address)]
        with m.Elif(port.written.valid):
            m.d.sync += [active.eq(0), full.eq(0)]
        m.d.comb += [
            read.en.eq(advance & active),
            read.addr.eq(place),
            port.bytes.valid.eq(full),
            port.bytes.payload.eq(read.data),
            write.en.eq(port.written.valid),
            write.addr.eq(port.address),
            write.data.eq(port.written.payload),
            port.written.ready.eq(1),
        ]
        return m


class Replayer(wiring.Component):
    """Hand the decoder the bytes of a program, and in its midst those of the store that a REPLAY names.

    The decoder sees every round of a REPLAY as a program that ends with :py:`last`. When it has carried it out it says
    :py:`turn`: then comes the next round, or what the host's program has left. Meanwhile accesses to cells of the store
    go to it, one at a time; there are none while it is played back.

    Timing
    ------
    Throughput
        One byte per clock, as far as the store gives one.
    Latency
        None from :py:`program` to :py:`bytes`; those of the store from :py:`start` or :py:`turn` on. A cell is read
        in 1 clock more than the store takes to its first byte, and written in as many as it takes.
    Reset
        Forgets the replay.

    Parameters
    ----------
    layout : :class:`Layout`

    Members
    -------
    program, bytes : :py:`In`, :py:`Out(stream.Signature(byte_shape()))`
        From the host; to the decoder.
    start : :py:`In(1)`
        Carry out :py:`order`, of at least one byte and one round.
    turn, drop : :py:`In(1)`
        The round is over; there will be no other.
    active : :py:`Out(1)`
        Bytes come from the store.
    resumes : :py:`Out(1)`
        After :py:`turn` more bytes come: of another round, or of the host's program.
    over : :py:`Out(1)`
        The last byte of the host's program was taken.
    access, access_valid, access_ready, access_data
        A cell of the store.
    store : :py:`Out(store_signature())`
    """

    def __init__(self, layout: Layout):
        super().__init__({
            "program": In(stream.Signature(byte_shape())),
            "bytes": Out(stream.Signature(byte_shape())),
            "order": In(replay_shape()),
            "start": In(1),
            "turn": In(1),
            "drop": In(1),
            "active": Out(1),
            "resumes": Out(1),
            "over": Out(1),
            "access": In(access_shape(layout)),
            "access_valid": In(1),
            "access_ready": Out(1),
            "access_data": Out(8),
            "store": Out(store_signature()),
        })

    def elaborate(self, platform):
        m = Module()
        first, length, left = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        rounds = Signal(8)  # after this one
        bytes_, program, store = self.bytes, self.program, self.store
        stored = store.bytes

        # the bytes that the decoder takes
        with m.If(self.active):
            m.d.comb += [
                bytes_.valid.eq(stored.valid & (left != 0)),
                bytes_.payload.data.eq(stored.payload),
                bytes_.payload.last.eq(left == 1),
                stored.ready.eq(bytes_.ready & (left != 0)),
            ]
            with m.If(bytes_.valid & bytes_.ready):
                m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.comb += [bytes_.valid.eq(program.valid), bytes_.payload.eq(program.payload),
                         program.ready.eq(bytes_.ready)]
            with m.If(program.valid & program.ready):
                m.d.sync += self.over.eq(program.payload.last)

        # rounds
        again = Signal()
        m.d.comb += [again.eq(self.active & (rounds != 0)), self.resumes.eq(self.active & ((rounds != 0) | ~self.over)),
                     store.address.eq(Mux(self.start, self.order.first, first))]
        with m.If(self.start):
            m.d.comb += store.seek.eq(1)
            m.d.sync += [self.active.eq(1), first.eq(self.order.first), length.eq(self.order.length),
                         left.eq(self.order.length), rounds.eq(self.order.times - 1)]
        with m.Elif(self.turn):
            m.d.comb += store.seek.eq(again)
            m.d.sync += [self.active.eq(again), rounds.eq(rounds - 1), left.eq(length)]
        with m.Elif(self.drop):
            m.d.sync += self.active.eq(0)

        # cells
        here, sought = Signal(), Signal()
        m.d.comb += [
            here.eq(self.access_valid & (self.access.memory == CODE["store"])),
            self.access_data.eq(stored.payload),
            store.written.valid.eq(here & self.access.write),
            store.written.payload.eq(self.access.data[:8]),
            self.access_ready.eq(here & Mux(self.access.write, store.written.ready, sought & stored.valid)),
        ]
        with m.If(here):
            m.d.comb += store.address.eq(Cat(self.access.column[:8], self.access.row))
            with m.If(~self.access.write):
                m.d.comb += store.seek.eq(~sought)
                m.d.sync += sought.eq(~(sought & stored.valid))
        return m
