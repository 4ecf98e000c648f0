"""Proofs of what matters most at the link and the counters: nothing hangs, nothing is lost."""

import pytest
from amaranth.hdl import Array, Assert, Assume, Module, Mux, ResetInserter, ResetSignal, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.hdl.fast.counters import CounterBank
from ohmspike.hdl.flow.formal import FormalFailure, prove
from ohmspike.hdl.link.framing import FRAME_BYTE
from ohmspike.hdl.link.link import Link

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
    """Whatever rises in whichever clock: once the bank has settled, every total is the sum of its increments."""

    def __init__(self, bank=CounterBank):
        self.bank = bank(PEAKS)
        super().__init__({"address": In(2), "still": In(1), **{f"up_{name}": In(2) for name in PEAKS}})

    def elaborate(self, platform):
        m = Module()
        m.submodules.bank = bank = self.bank
        sums = Array(Signal(64, name=f"sum_{name}") for name in PEAKS)
        quiet, asked = Signal(range(64)), Signal(2)
        for place, (name, peak) in enumerate(PEAKS.items()):
            up = Mux(bank.hold | self.still, 0, getattr(self, f"up_{name}"))
            m.d.comb += [Assume(getattr(self, f"up_{name}") <= peak), getattr(bank, f"increment_{name}").eq(up)]
            m.d.sync += sums[place].eq(sums[place] + up)
        rising = sum((getattr(bank, f"increment_{name}") != 0) for name in PEAKS) != 0
        m.d.sync += [quiet.eq(Mux(rising, 0, Mux(quiet == 63, 63, quiet + 1))), asked.eq(bank.address)]
        held = Signal()
        m.d.comb += [Assume(~ResetSignal()), Assume(self.address < len(PEAKS)), bank.address.eq(self.address),
                     bank.hold.eq((quiet >= bank.settle) & self.still)]
        m.d.sync += held.eq(bank.hold)
        with m.If(held & bank.hold):
            m.d.comb += Assert(bank.value == sums[asked])
        return m


class Overrun(CounterBank):
    """A planted bug: the accumulators hold what comes in one clock, not what comes in one scan."""

    def __init__(self, peaks):
        super().__init__(peaks)
        self._peaks = {name: 1 for name in peaks}


def test_nothing_hangs_for_more_than_two_ticks():
    prove(NothingHangs(), depth=2, mode="prove")


def test_a_watchdog_that_sleeps_is_caught():
    with pytest.raises(FormalFailure, match="FAIL|UNKNOWN"):
        prove(NothingHangs(Unwatched), depth=2, mode="prove")


def test_no_increment_is_dropped():
    prove(CountsAreKept(), depth=13)


def test_accumulators_that_are_too_narrow_are_caught():
    with pytest.raises(FormalFailure, match="FAIL"):
        prove(CountsAreKept(Overrun), depth=13)
