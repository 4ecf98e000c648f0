"""Bytes over an SPI: the chip is the peripheral, and says FLAG where it has nothing to say."""

from amaranth import Cat, Module, Signal
from amaranth.lib import cdc, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.chip.instructions import FLAG

__all__ = ["SpiPeripheral"]

BITS = 8


class SpiPeripheral(wiring.Component):
    """Bytes both ways at once, as a peripheral in mode 0, highest bit first.

    A byte from the host is taken with its last rising edge. The byte to the host is chosen while no bit of it is out:
    what :py:`tx` offers, else FLAG, which means nothing between frames (docs/link.md). The host likewise sends FLAG
    where it only wants to hear. A byte of :py:`tx` counts as sent with its last rising edge; if ``cs_n`` rises before,
    it is sent again, and the bits that came are forgotten. What :py:`tx` offers within 4 clocks of the byte before
    follows without a FLAG: so do the bytes of a frame of the link.

    Timing
    ------
    Throughput
        A bit in 8 clocks or more: ``sck`` at most an eighth of the clock, each half of it 4 clocks or more.
    Latency
        ``miso`` changes 3 clocks after the falling edge of ``sck`` or ``cs_n``, one more or less.
    Reset
        Forgets the byte under way, and waits for a rising edge of ``cs_n``.

    Members
    -------
    sck, cs_n, mosi : :py:`In(1)`
        From the pins, asynchronous.
    miso, miso_oe : :py:`Out(1)`
        To the pin, which is driven while ``miso_oe`` is high.
    rx : :py:`Out(stream.Signature(8))`
        Bytes from the host.
    tx : :py:`In(stream.Signature(8))`
        Bytes to the host.
    waiting : :py:`Out(1)`
        There is a byte for the host: an interrupt for it.
    overrun : :py:`Out(1)`
        High for one clock when a byte is dropped, because the one before has not been taken.
    """

    sck: In(1)
    cs_n: In(1, init=1)
    mosi: In(1)
    miso: Out(1)
    miso_oe: Out(1)
    rx: Out(stream.Signature(8))
    tx: In(stream.Signature(8))
    waiting: Out(1)
    overrun: Out(1)

    def elaborate(self, platform):
        m = Module()

        # the pins, in step with the clock
        sck, cs_n, mosi, before = Signal(), Signal(), Signal(), Signal()
        m.submodules.sck = cdc.FFSynchronizer(self.sck, sck)
        m.submodules.cs_n = cdc.FFSynchronizer(self.cs_n, cs_n)
        m.submodules.mosi = cdc.FFSynchronizer(self.mosi, mosi)
        m.d.sync += before.eq(sck)
        rising, falling = Signal(), Signal()
        m.d.comb += [rising.eq(sck & ~before), falling.eq(~sck & before)]

        # storage: bits that came, the byte that goes, whether it is one of tx
        count = Signal(range(BITS))
        came, going, real = Signal(BITS - 1), Signal(BITS, init=FLAG), Signal()
        began = Signal()  # its first bit may have been seen
        selected = Signal()  # cs_n was high since the reset

        m.d.comb += [self.waiting.eq(self.tx.valid), self.miso.eq(going[-1]), self.miso_oe.eq(selected & ~cs_n)]
        with m.If(self.rx.ready):
            m.d.sync += self.rx.valid.eq(0)

        def choose():
            m.d.sync += [real.eq(self.tx.valid), going.eq(FLAG), began.eq(0), count.eq(0)]
            with m.If(self.tx.valid):
                m.d.sync += going.eq(self.tx.payload)

        with m.If(cs_n):
            choose()
            m.d.sync += selected.eq(1)
        with m.Elif(selected):
            with m.If(rising):
                m.d.sync += [began.eq(1), count.eq(count + 1), came.eq(Cat(mosi, came))]
                with m.If(count == BITS - 1):
                    m.d.comb += self.tx.ready.eq(real)
                    with m.If(self.rx.valid & ~self.rx.ready):
                        m.d.comb += self.overrun.eq(1)
                    with m.Else():
                        m.d.sync += [self.rx.valid.eq(1), self.rx.payload.eq(Cat(mosi, came))]
            with m.Elif(falling & began):
                m.d.sync += going.eq(going << 1)
                with m.If(count == 0):
                    choose()
        return m
