"""Event counters: many, wide, and cheap."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ohmspike.hdl.shared.ports import COUNTER_BITS

__all__ = ["CounterBank"]

class CounterBank(wiring.Component):
    """64-bit counters that may all rise in every clock.

    Each counter has a small local accumulator. A scanner visits one counter per clock, adds its accumulator to
    the total in a memory, and restarts it with the increment of that clock::

        increments -> local accumulators -> (one per clock) -> + -> totals memory

    A local accumulator is wide enough for the increments of one scan, so nothing is ever lost, and the bank has
    one wide adder and one memory port whatever the number of counters.

    Timing
    ------
    Throughput
        Every counter may rise by its largest increment in every clock.
    Latency
        While :py:`hold`, :py:`value` is counter :py:`address` 1 clock after the address; increments are in it
        ``scan + 2`` clocks after they came (:attr:`settle`), ``scan`` being the number of counters.
    Reset
        Counting starts afresh from the totals, which stay.

    Parameters
    ----------
    peaks : dict
        Name of every counter to its largest increment per clock, in address order; at least 2, for a total is written
        back while the next one is read.

    Members
    -------
    increment_NAME : :py:`In`
        What to add in this clock.
    hold : :py:`In(1)`
        Stop the scanner to read a total. Nothing may be counted meanwhile.
    address : :py:`In`
        Which total to read.
    value : :py:`Out(64)`
    clear : :py:`In(1)`
        While high, totals and accumulators are zeroed; hold for ``scan + 2`` clocks.
    """

    def __init__(self, peaks: dict[str, int]):
        if len(peaks) < 2:
            raise ValueError(f"peaks must name at least 2 counters, not {len(peaks)}")
        self._peaks = dict(peaks)
        self.settle = len(peaks) + 2
        super().__init__({
            **{f"increment_{name}": In(bits_for(peak)) for name, peak in peaks.items()},
            "hold": In(1),
            "address": In(bits_for(len(peaks) - 1)),
            "value": Out(COUNTER_BITS),
            "clear": In(1),
        })

        # storage: the scanner, which reads the total of `turn` and one clock later writes it back with what was taken
        scan = len(peaks)
        self._turn, self._written = Signal(range(scan)), Signal(range(scan))
        self._taken = Signal(max(bits_for(peak * (scan + 1)) for peak in peaks.values()))
        self._started = Signal()
        self._locals = [Signal(bits_for(peak * (scan + 1)), name=f"local_{name}") for name, peak in peaks.items()]

    def elaborate(self, platform):
        m = Module()
        scan = len(self._peaks)
        m.submodules.totals = totals = Memory(shape=unsigned(COUNTER_BITS), depth=scan, init=[])
        read, write = totals.read_port(), totals.write_port()
        m.d.comb += self.value.eq(read.data)

        # scanner
        turn, taken, written, started = self._turn, self._taken, self._written, self._started
        m.d.sync += [written.eq(turn), started.eq(~self.hold)]
        with m.If(~self.hold):
            m.d.sync += turn.eq(Mux(turn == scan - 1, 0, turn + 1))
        m.d.comb += [
            read.addr.eq(Mux(self.hold, self.address, turn)),
            write.addr.eq(written),
            write.en.eq(started),
            write.data.eq(Mux(self.clear, 0, read.data + taken)),
        ]

        # local accumulators
        chosen = Signal.like(taken)
        for index, (name, local) in enumerate(zip(self._peaks, self._locals, strict=True)):
            increment = getattr(self, f"increment_{name}")
            m.d.sync += local.eq(Mux((turn == index) & ~self.hold, 0, local) + increment)
            with m.If(self.clear):
                m.d.sync += local.eq(0)
            with m.If(turn == index):
                m.d.comb += chosen.eq(local)
        m.d.sync += taken.eq(Mux(self.clear, 0, chosen))
        return m
