"""Proofs of what matters most at the link and the counters: nothing hangs, nothing is lost."""

import pytest
from amaranth.hdl import Array, Assert, Assume, Module, Mux, ResetInserter, ResetSignal, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.hdl.fast.counters import CounterBank
from ohmspike.hdl.flow.formal import FormalFailure, prove
from ohmspike.hdl.link.framing import FRAME_BYTE
from ohmspike.hdl.link.link import Link
from support.rows import Rows

WATCHDOG = 16
PEAKS = {"single": 1, "triple": 3, "pair": 2}


class LinkSpec(wiring.Component):
    """A small link whose line, executor and host do what the solver likes."""

    rx: In(stream.Signature(8))
    tx: Out(stream.Signature(8))
    program: Out(stream.Signature(FRAME_BYTE))
    output: In(stream.Signature(FRAME_BYTE))
    moved: In(1)

    def __init__(self, link=Link):
        self.link = link(bytes(8), max_request=4, max_reply=2, window=1, watchdog=WATCHDOG)
        super().__init__()

    def join(self, m):
        link = self.link
        m.submodules.link = ResetInserter(link.restart)(link)
        for name in ("rx", "output"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(link, name))
        for name in ("tx", "program"):
            wiring.connect(m, getattr(link, name), wiring.flipped(getattr(self, name)))
        m.d.comb += link.moved.eq(self.moved)
        return link


class NothingHangs(LinkSpec):
    """Whatever a program does or does not: within two ticks there is a sign of life, or the watchdog ends it.

    ``moved``, a byte of a program or of its output, and a byte for the host are signs of life. A program that is broken
    off has its reply in the next clock. By induction, so for all programs and all times.
    """

    def elaborate(self, platform):
        m = Module()
        link = self.join(m)
        silent, alive = Signal(range(4 * WATCHDOG)), Signal()
        m.d.comb += alive.eq(link._resting | self.moved | self.tx.valid | (self.output.valid & self.output.ready)
                             | (self.program.valid & self.program.ready))
        aborted = Signal()
        m.d.sync += [silent.eq(Mux(alive | link.abort | link.restart, 0, silent + 1)), aborted.eq(link.abort)]
        m.d.comb += [
            Assert(silent <= 2 * WATCHDOG - 1),
            Assert(silent <= link._ticks + Mux(link._stale, WATCHDOG, 0)),  # why
            Assert(~link.abort | ~link.restart),
            Assert(~aborted | link._replies.done),
        ]
        return m


class Unwatched(Link):
    """A planted bug: the watchdog is off while a program runs."""

    def _watch(self, m):
        super()._watch(m)
        with m.If(self.busy):
            m.d.comb += self._expired.eq(0)


class CountsAreKept(wiring.Component):
    """Whatever rises in whichever clock: once the bank has settled, every total is the sum of its increments.

    Sums are modulo 2^6, as those of the bank are modulo 2^64. By induction, so for all times.
    """

    def __init__(self, monkeypatch, bank=CounterBank):
        monkeypatch.setattr("ohmspike.hdl.fast.counters.COUNTER_BITS", 6)
        monkeypatch.setattr("ohmspike.hdl.fast.counters.Memory", self._memory)
        self.bank = bank(PEAKS)
        super().__init__({"address": In(2), "still": In(1), **{f"up_{name}": In(2) for name in PEAKS}})

    def _memory(self, **options):
        self.totals = Rows(**options)
        return self.totals

    def elaborate(self, platform):
        m = Module()
        bank, scan = self.bank, len(PEAKS)
        m.submodules.bank = bank.elaborate(platform)  # here, since its memory is made by it
        sums = [Signal(6, name=f"sum_{name}") for name in PEAKS]
        quiet, asked = Signal(range(16)), Signal(2)
        for place, (name, peak) in enumerate(PEAKS.items()):
            up = Mux(bank.hold | self.still, 0, getattr(self, f"up_{name}"))
            m.d.comb += [Assume(getattr(self, f"up_{name}") <= peak), getattr(bank, f"increment_{name}").eq(up)]
            m.d.sync += sums[place].eq(sums[place] + up)
        rising = sum((getattr(bank, f"increment_{name}") != 0) for name in PEAKS) != 0
        m.d.sync += [quiet.eq(Mux(rising, 0, Mux(quiet == 15, 15, quiet + 1))), asked.eq(bank.address)]
        held = Signal()
        m.d.comb += [Assume(~ResetSignal()), Assume(self.address < scan), bank.address.eq(self.address),
                     bank.hold.eq((quiet >= bank.settle) & self.still)]
        m.d.sync += held.eq(bank.hold)
        with m.If(held):
            m.d.comb += Assert(bank.value == Array(sums)[asked])

        # why
        turn, written, started, taken = bank._turn, bank._written, bank._started, bank._taken
        rows = self.totals.rows
        m.d.comb += [
            Assert((turn < scan) & (written < scan) & (asked < scan)),
            Assert(~started | ((turn == Mux(written == scan - 1, 0, written + 1))
                               & (self.totals.read.data == Array(rows)[written]))),
            Assert((taken == 0) | (quiet < scan + 1)),
        ]
        for place, (local, peak) in enumerate(zip(bank._locals, PEAKS.values(), strict=True)):
            age = Signal(range(scan + 1), name=f"age_{place}")  # clocks since the scanner was here
            m.d.comb += [
                age.eq(Mux(turn > place, turn - place, turn + scan - place)),
                Assert(local <= peak * age),
                Assert((local == 0) | (quiet < age)),
                Assert(sums[place] == (rows[place] + local + Mux(started & (written == place), taken, 0))[:6]),
            ]
        return m


class Overrun(CounterBank):
    """A planted bug: the accumulators hold what comes in one clock, not what comes in one scan."""

    def __init__(self, peaks):
        super().__init__(peaks)
        self._locals = [Signal(2, name=f"local_{name}") for name in peaks]


class Restarting(CounterBank):
    """A planted bug: an accumulator forgets what comes in the clock in which it is taken."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        for index, local in enumerate(self._locals):
            with m.If((self._turn == index) & ~self.hold):
                m.d.sync += local.eq(0)
        return m


def test_nothing_hangs_for_more_than_two_ticks():
    prove(NothingHangs(), depth=2, mode="prove")


def test_a_watchdog_that_sleeps_is_caught():
    with pytest.raises(FormalFailure, match="FAIL|UNKNOWN"):
        prove(NothingHangs(Unwatched), depth=2, mode="prove")


def test_no_increment_is_dropped(monkeypatch):
    prove(CountsAreKept(monkeypatch), depth=1, mode="prove")


@pytest.mark.parametrize("bank", [Overrun, Restarting])
def test_a_bank_that_drops_increments_is_caught(monkeypatch, bank):
    with pytest.raises(FormalFailure, match="FAIL"):
        prove(CountsAreKept(monkeypatch, bank), depth=14)
