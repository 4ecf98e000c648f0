"""Event counters of the small form: increments wait, and are added one per clock."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ohmspike.chip.instructions import BIN_COUNTERS
from ohmspike.hdl.shared.ports import COUNTER_BITS

__all__ = ["SerialCounterBank"]

URGENT = ("in_spikes", "pre_recharge", "row_reads", "closed_tile_pulses", "active_sq_sum", "reset_rows")
STREAMED = "read_sum"
HELD = ("dark_spikes", "read_out_sum")


class SerialCounterBank(wiring.Component):
    """64-bit counters like :class:`~ohmspike.hdl.fast.counters.CounterBank`, for increments that come seldom.

    An increment waits in a register of its counter until the counters before it have been served; one total is read,
    and in the next clock written back with the increment, per clock. A counter must not rise again before it was
    served. The small form sees to that: a spike takes 4 clocks or more, a visit 6, a pulse 4, and in that time at most
    2, 2 and 4 counters rise. ``read_sum`` alone may rise in every clock: it adds up what waits, and comes last. A pulse
    counts in the bins of its kind::

        increments -> waiting -> the first that waits -> + -> totals memory

    Timing
    ------
    Throughput
        One counter per clock.
    Latency
        While :py:`hold`, :py:`value` is counter :py:`address` 1 clock after the address; all that waits is in it
        :attr:`settle` clocks after the last increment.
    Reset
        Forgets what waits; totals stay.

    Parameters
    ----------
    peaks : dict
        Name of every counter to its largest increment, in address order.
    amplitudes : :class:`int`
        Bins of a pulse.

    Members
    -------
    increment_NAME : :py:`In`
        What to add, of every counter but those of bins; of ``dark_spikes`` and ``read_out_sum`` whether to add
        what is on :py:`held_NAME`.
    held_NAME : :py:`In`
        Stays as it is until it was added.
    pulse, pulse_reset, pulse_bin, pulse_weight : :py:`In`
        A pulse; the last three stay for 3 clocks after it.
    hold, address, value, clear
        As in :class:`~ohmspike.hdl.fast.counters.CounterBank`.
    """

    def __init__(self, peaks: dict[str, int], amplitudes: int):
        self._peaks = dict(peaks)
        self._amplitudes = amplitudes
        self._bins = {f"{name}_{bin_}" for name in BIN_COUNTERS for bin_ in range(amplitudes)}
        self.settle = len(peaks) + 2
        super().__init__({
            **{f"increment_{name}": In(1 if name in HELD else bits_for(peak))
               for name, peak in peaks.items() if name not in self._bins},
            **{f"held_{name}": In(bits_for(peaks[name])) for name in HELD if name in peaks},
            "pulse": In(1), "pulse_reset": In(1), "pulse_bin": In(max(1, (amplitudes - 1).bit_length())),
            "pulse_weight": In(bits_for(peaks["set_weight_0"])),
            "hold": In(1),
            "address": In(bits_for(len(peaks) - 1)),
            "value": Out(COUNTER_BITS),
            "clear": In(1),
        })

        # storage: what waits as (waits, served, index, amount), in the order of service, and what is being added
        widest = max(max(bits_for(peak) for name, peak in peaks.items() if name not in self._bins),
                     len(self.increment_read_sum) + 4)
        self._queue = []
        self._streamed, self._resting = Signal(), Signal(name="resting")
        self._adding, self._written, self._added = Signal(), Signal(len(self.address)), Signal(widest)

    def elaborate(self, platform):
        m = Module()
        names = list(self._peaks)
        count = len(names)
        m.submodules.totals = totals = Memory(shape=unsigned(COUNTER_BITS), depth=count, init=[])
        read, write = totals.read_port(), totals.write_port()
        widest = len(self._added)

        # what waits
        queue = self._queue = []
        index_bits = len(self.address)
        plain = [name for name in names if name not in self._bins and name != STREAMED]
        plain = [*URGENT, *(name for name in plain if name not in URGENT)]
        bin_bits = (self._amplitudes - 1).bit_length()
        first = {kind: names.index(f"{kind}_0") for kind in BIN_COUNTERS}
        counts, weighs = Signal(), Signal()
        for waits, kind, amount in ((weighs, "weight", self.pulse_weight), (counts, "pulses", 1)):
            served = Signal(name=f"served_{kind}")
            number = Mux(self.pulse_reset, first[f"reset_{kind}"], first[f"set_{kind}"]) + self.pulse_bin[:bin_bits]
            m.d.sync += waits.eq(self.pulse | (waits & ~served))
            queue.append((waits, served, number[:index_bits], amount))
        for name in plain:
            increment = getattr(self, f"increment_{name}")
            waits, served = Signal(name=f"waits_{name}"), Signal(name=f"served_{name}")
            m.d.sync += waits.eq(increment.any() | (waits & ~served))
            amount = 1
            if name in HELD:
                amount = getattr(self, f"held_{name}")
            elif len(increment) > 1:
                amount = Signal.like(increment, name=f"amount_{name}")
                with m.If(increment.any()):
                    m.d.sync += amount.eq(increment)
            queue.append((waits, served, names.index(name), amount))
        streamed, resting = self._streamed, self._resting  # resting: its total is being written, and may not be read
        summed, served = Signal(widest), Signal(name=f"served_{STREAMED}")
        m.d.sync += [summed.eq(Mux(served, 0, summed) + self.increment_read_sum),
                     streamed.eq(self.increment_read_sum.any() | (streamed & ~served))]
        m.d.sync += resting.eq(served)
        queue.append((streamed & ~resting, served, names.index(STREAMED), summed))

        # the first that waits is served
        index, amount = [], []
        before = 0
        for waits, served, number, value in queue:
            m.d.comb += served.eq(waits & ~before)
            before = before | waits
            mask = served.replicate(widest)
            index.append(mask[:index_bits] & number)
            amount.append(mask & value if not isinstance(value, int) else served)
        turn, adding, written, added = Signal(range(count)), self._adding, self._written, self._added
        m.d.sync += [written.eq(read.addr), added.eq(_either(amount)), adding.eq(before)]
        with m.If(self.clear):
            m.d.sync += turn.eq(Mux(turn == count - 1, 0, turn + 1))
        m.d.comb += [
            self.value.eq(read.data),
            read.addr.eq(Mux(self.hold, self.address, _either(index))),
            write.addr.eq(Mux(self.clear, turn, written)),
            write.en.eq(adding | self.clear),
            write.data.eq(Mux(self.clear, 0, read.data + added)),
        ]
        return m


def _either(values):
    """Bitwise or, as a balanced tree."""
    while len(values) > 1:
        values = [a | b for a, b in zip(values[::2], values[1::2], strict=False)] + values[len(values) & ~1:]
    return values[0]
