"""A chip at two wires: what a board has between its pins."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ohmspike.hdl.link.uart import BitRate, UartReceiver, UartTransmitter
from ohmspike.hdl.shared.layout import Layout

from .chip import ChipTop
from .sdram import Sdram, SdramStore, sdram_signature

__all__ = ["Afterglow", "SerialChip"]

GLOW_S = 0.05


class Afterglow(wiring.Component):
    """Make events of one clock visible: a light stays on for a while after its event.

    All lights share one clock divider.

    Timing
    ------
    Latency
        1 clock.
    Reset
        Dark.

    Parameters
    ----------
    clocks : :class:`int`
        Least number of clocks a light stays on; less than 4 times as many.
    count : :class:`int`
        Number of lights.

    Members
    -------
    events, lights : :py:`In(count)`, :py:`Out(count)`
    """

    def __init__(self, clocks: int, count: int = 1):
        if clocks < 1:
            raise ValueError(f"clocks must be at least 1, not {clocks!r}")
        self._bits = (clocks - 1).bit_length()
        super().__init__({"events": In(count), "lights": Out(count)})

    def elaborate(self, platform):
        m = Module()
        divider = Signal(self._bits)
        wraps = (divider == (1 << self._bits) - 1) if self._bits else Const(1)
        m.d.sync += divider.eq(divider + 1)
        for event, light in zip(self.events, self.lights, strict=True):
            left = Signal(2)  # times the divider has yet to wrap
            m.d.comb += light.eq(left != 0)
            with m.If(event):
                m.d.sync += left.eq(2)
            with m.Elif(light & wraps):
                m.d.sync += left.eq(left - 1)
        return m


class SerialChip(wiring.Component):
    """A chip behind its link behind a UART, with three lights.

    Timing
    ------
    Throughput, latency
        Of :class:`~ohmspike.hdl.top.chip.ChipTop` and the UART. The link takes a byte per clock unless it has more
        programs unanswered than the window allows, so one byte of room in the receiver is enough.
    Reset
        Of :class:`~ohmspike.hdl.top.chip.ChipTop`; the line goes high.

    Parameters
    ----------
    layout : :class:`Layout`
    rate : :class:`BitRate`
    sdram : :class:`~ohmspike.hdl.top.sdram.Sdram`, optional
        An SDRAM at the pins, in which there is a store (docs/link.md, Store).
    options
        Of :class:`~ohmspike.hdl.top.chip.ChipTop`.

    Members
    -------
    rx, tx : :py:`In(1)`, :py:`Out(1)`
        Pins, seen from the chip.
    activity, answer, error : :py:`Out(1)`
        Lights: bytes come in; bytes go out; a byte was lost (noise, wrong baud rate, or a host that does not wait).
    sdram : :py:`Out(sdram_signature(sdram))`
        Pins of the SDRAM, if there is one.
    """

    def __init__(self, layout: Layout, rate: BitRate, *, sdram: Sdram | None = None, **options):
        self._rate = rate
        self._sdram = None if sdram is None else SdramStore(sdram)
        self._chip = ChipTop(layout, **options, **({} if sdram is None else {"store": sdram.rows, "outside": True}))
        super().__init__({
            "rx": In(1, init=1),
            "tx": Out(1, init=1),
            "activity": Out(1),
            "answer": Out(1),
            "error": Out(1),
        } | ({} if sdram is None else {"sdram": Out(sdram_signature(sdram))}))

    def elaborate(self, platform):
        m = Module()
        m.submodules.chip = chip = self._chip
        m.submodules.receiver = receiver = UartReceiver(self._rate)
        m.submodules.transmitter = transmitter = UartTransmitter(self._rate)
        connect(m, receiver.bytes, chip.rx)
        connect(m, chip.tx, transmitter.bytes)
        if self._sdram is not None:  # a reset by the watchdog does not reach it
            m.submodules.sdram = self._sdram
            connect(m, chip.store, self._sdram.port)
            connect(m, self._sdram.pins, flipped(self.sdram))
        m.d.comb += [receiver.line.eq(self.rx), self.tx.eq(transmitter.line)]
        events = {
            "activity": receiver.bytes.valid,
            "answer": transmitter.bytes.valid,
            "error": receiver.framing_error | receiver.overrun,
        }
        m.submodules.glow = glow = Afterglow(max(1, int(GLOW_S * self._rate.clock_hz)), len(events))
        m.d.comb += [glow.events.eq(Cat(events.values())),
                     Cat(getattr(self, name) for name in events).eq(glow.lights)]
        return m
