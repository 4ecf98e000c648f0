"""A chip small enough to test tools with: every byte comes back one higher."""

from amaranth import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Echo"]


class Echo(wiring.Component):
    """Send every received byte back plus one, and keep a tally in a memory that nothing initialises.

    Timing
    ------
    Throughput
        One byte per cycle.
    Latency
        1 cycle.
    Reset
        Drops the byte on its way.

    Members
    -------
    rx : :py:`In(stream.Signature(8))`
        Bytes into the chip.
    tx : :py:`Out(stream.Signature(8))`
        Bytes out of it.
    """

    rx: In(stream.Signature(8))
    tx: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()

        # storage: the last byte at every address 0 to 15
        m.submodules.seen = seen = memory.Memory(shape=8, depth=16, init=[])
        write = seen.write_port()
        m.d.comb += [write.addr.eq(self.rx.payload[:4]), write.data.eq(self.rx.payload)]

        # datapath: one register between the two streams
        full, byte = Signal(), Signal(8)
        accept = Signal()
        m.d.comb += [
            self.rx.ready.eq(~full | self.tx.ready),
            accept.eq(self.rx.valid & self.rx.ready),
            write.en.eq(accept),
            self.tx.valid.eq(full),
            self.tx.payload.eq(byte),
        ]
        with m.If(accept):
            m.d.sync += [byte.eq(self.rx.payload + 1), full.eq(1)]
        with m.Elif(self.tx.ready):
            m.d.sync += full.eq(0)
        return m
