"""Bytes on a wire: an asynchronous serial receiver and transmitter, 8 data bits, no parity, one stop bit."""

from dataclasses import dataclass
from math import gcd

from amaranth import Cat, Module, Signal
from amaranth.lib import cdc, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BitRate", "UartReceiver", "UartTransmitter"]

DATA_BITS = 8
CLOCKS_MIN = 4


@dataclass(frozen=True)
class BitRate:
    """The length of a bit, exactly: ``clock_hz / baud`` clocks, whole or not.

    A counter rises by :attr:`step` in every clock and falls by :attr:`wrap` when it gets there: so a bit is as many
    clocks long as the fraction says on average, one more or less at a time, and nothing adds up.

    Raises
    ------
    ValueError
        A rate is not positive, or a bit shorter than 4 clocks.
    """

    clock_hz: int
    baud: int

    def __post_init__(self):
        for name in ("clock_hz", "baud"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if self.clock_hz < CLOCKS_MIN * self.baud:
            raise ValueError(f"baud must be at most {self.clock_hz // CLOCKS_MIN} at a clock of {self.clock_hz} Hz, "
                             f"not {self.baud!r}")

    @property
    def step(self) -> int:
        return self.baud // gcd(self.clock_hz, self.baud)

    @property
    def wrap(self) -> int:
        return self.clock_hz // gcd(self.clock_hz, self.baud)

    @property
    def clocks(self) -> float:
        """Clocks of a bit."""
        return self.clock_hz / self.baud

    @property
    def tolerance(self) -> float:
        """By how much of a bit's length the other end may be off before its stop bit is missed."""
        return (0.5 - 1 / self.clocks) / (1.5 + DATA_BITS)


class _Phase:
    """Place within a bit, in units of ``1 / wrap``; :attr:`tick` is high in the last clock of a bit."""

    def __init__(self, m, rate: BitRate):
        self._m, self._rate = m, rate
        self.value = Signal(range(rate.wrap))
        self.tick = Signal()
        left = rate.wrap - rate.step  # from here on the next step wraps
        m.d.comb += self.tick.eq(self.value >= left)

    def advance(self):
        value, rate = self.value, self._rate
        with self._m.If(self.tick):
            self._m.d.sync += value.eq(value - (rate.wrap - rate.step))
        with self._m.Else():
            self._m.d.sync += value.eq(value + rate.step)

    def restart(self, at: int = 0):
        self._m.d.sync += self.value.eq(at)


class UartReceiver(wiring.Component):
    """Bytes off a line that idles high.

    ::

        line -> 2 registers -> majority of 3 samples -> start bit's edge -> samples in the middle of every bit

    A disturbance of one clock changes nothing. A low that is over by the middle of the start bit is no start bit. A
    byte whose stop bit is low is dropped (:py:`framing_error`), and the line must go high before the next start bit is
    looked for: a break is one error. A byte that comes while the one before has not been taken is dropped
    (:py:`overrun`). What is lost here damages a frame, which the link notices.

    Timing
    ------
    Throughput
        A byte per 10 bits; the next start bit may begin in the middle of the stop bit.
    Latency
        9.5 bits and 5 clocks, one more or less, from the edge of the start bit to :py:`bytes.valid`.
    Reset
        Forgets the byte under way and one not taken; looks for a start bit once the line is high.
    Tolerance
        ``(1/2 - 1/clocks) / 9.5`` of a bit, see :attr:`BitRate.tolerance`: 2.6 % at 4 clocks, 4.7 % at 20.

    Parameters
    ----------
    rate : :class:`BitRate`

    Members
    -------
    line : :py:`In(1)`
        From the pin, asynchronous.
    bytes : :py:`Out(stream.Signature(8))`
    framing_error, overrun : :py:`Out(1)`
        High for one clock when a byte is dropped.
    """

    line: In(1, init=1)
    bytes: Out(stream.Signature(8))
    framing_error: Out(1)
    overrun: Out(1)

    def __init__(self, rate: BitRate):
        self._rate = rate
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        # the line, in step with the clock and without short disturbances; low until it was seen high
        level, held, quiet = Signal(), Signal(2), Signal()
        m.submodules.synchronise = cdc.FFSynchronizer(self.line, level, reset_less=False)
        m.d.sync += [
            held.eq(Cat(level, held[0])),
            quiet.eq((level & held[0]) | (level & held[1]) | (held[0] & held[1])),
        ]

        # storage
        phase = _Phase(m, self._rate)
        count = Signal(range(DATA_BITS + 1))
        shift = Signal(DATA_BITS)

        # a byte stays until it is taken
        with m.If(self.bytes.ready):
            m.d.sync += self.bytes.valid.eq(0)

        def finish():
            with m.If(~quiet):
                m.d.comb += self.framing_error.eq(1)
                m.next = "BREAK"
            with m.Else():
                m.next = "IDLE"
                with m.If(self.bytes.valid & ~self.bytes.ready):
                    m.d.comb += self.overrun.eq(1)
                with m.Else():
                    m.d.sync += [self.bytes.valid.eq(1), self.bytes.payload.eq(shift)]

        # sequencing: the edge is seen up to a clock late and ticks are rounded up, so aim a clock before the middle
        phase.advance()
        with m.FSM(init="BREAK"):
            with m.State("BREAK"):
                with m.If(quiet):
                    m.next = "IDLE"
            with m.State("IDLE"):
                phase.restart(self._rate.wrap // 2 + self._rate.step)
                m.d.sync += count.eq(0)
                with m.If(~quiet):
                    m.next = "START"
            with m.State("START"):
                with m.If(phase.tick):
                    m.next = "IDLE"
                    with m.If(~quiet):
                        m.next = "BITS"
            with m.State("BITS"):
                with m.If(phase.tick):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == DATA_BITS):
                        finish()
                    with m.Else():
                        m.d.sync += shift.eq(Cat(shift[1:], quiet))
        return m


class UartTransmitter(wiring.Component):
    """Bytes onto a line that idles high.

    Timing
    ------
    Throughput
        A byte per 10 bits, without a pause between them.
    Latency
        1 clock from a byte taken to its start bit.
    Reset
        Breaks off the byte under way: the line is high.

    Parameters
    ----------
    rate : :class:`BitRate`

    Members
    -------
    bytes : :py:`In(stream.Signature(8))`
        Taken while idle, or in the last clock of a stop bit.
    line : :py:`Out(1)`
        To the pin, out of a register.
    """

    bytes: In(stream.Signature(8))
    line: Out(1, init=1)

    def __init__(self, rate: BitRate):
        self._rate = rate
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        phase = _Phase(m, self._rate)
        shift = Signal(DATA_BITS + 1)  # what follows the bit on the line; ones follow the stop bit
        left = Signal(range(DATA_BITS + 3))  # bits on the line and behind it

        m.d.comb += self.bytes.ready.eq((left == 0) | ((left == 1) & phase.tick))
        phase.advance()
        with m.If(self.bytes.ready):
            m.d.sync += [left.eq(0), self.line.eq(1)]
            with m.If(self.bytes.valid):
                m.d.sync += [left.eq(DATA_BITS + 2), shift.eq(Cat(self.bytes.payload, 1)), self.line.eq(0)]
                with m.If(left == 0):
                    phase.restart()
        with m.Elif(phase.tick):
            m.d.sync += [left.eq(left - 1), self.line.eq(shift[0]), shift.eq(Cat(shift[1:], 1))]
        return m
