"""Proof that the counter bank of the small form drops no increment, at the pace that the small form keeps."""

import importlib

import pytest
from amaranth.hdl import Array, Assert, Assume, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ohmspike.chip.instructions import BIN_COUNTERS
from ohmspike.hdl.flow.formal import FormalFailure, prove
from ohmspike.hdl.small.counters import URGENT
from support.planted import plant
from support.rows import Rows

PEAKS = dict.fromkeys(URGENT, 1) | {"dark_spikes": 3, "read_sum": 3, "active_sq_sum": 5, "post_recharge": 3} | {
    f"{name}_{bin_}": 3 if name.endswith("weight") else 1 for name in BIN_COUNTERS for bin_ in range(2)}
WAITS_MAX = 16
BITS = 8


class CountsAreKept(wiring.Component):
    """Once the bank has settled, every total is the sum of its increments.

    Taken for granted, as the docstring of the bank asks for it: a counter but ``read_sum`` does not rise while it
    waits, what is held stays until it was added, and ``read_sum`` waits for at most 16 clocks. Sums are modulo 2^8. By
    induction, so for all times.
    """

    def __init__(self, monkeypatch):
        module = "ohmspike.hdl.small.counters"
        monkeypatch.setattr(f"{module}.COUNTER_BITS", BITS)
        monkeypatch.setattr(f"{module}.Memory", self._memory)
        self.bank = importlib.import_module(module).SerialCounterBank(PEAKS, 2)
        self.chosen = [name for name in self.bank.signature.members if name not in ("hold", "clear", "value")]
        super().__init__({"still": In(1), **{name: In(len(getattr(self.bank, name))) for name in self.chosen}})

    def _memory(self, **options):
        self.totals = Rows(**options)
        return self.totals

    def elaborate(self, platform):
        m = Module()
        bank, names = self.bank, list(PEAKS)
        m.submodules.bank = bank.elaborate(platform)  # here, since its memory is made by it
        rows, queue = self.totals.rows, bank._queue
        adding, written, added, streamed, resting = (
            bank._adding, bank._written, bank._added, bank._streamed, bank._resting)

        # what comes: anything while nothing is read
        quiet, asked, held = Signal(range(64)), Signal.like(bank.address), Signal()
        rising = 0
        for name in self.chosen:
            mine, port = getattr(self, name), getattr(bank, name)
            if name == "pulse" or name.startswith("increment"):
                m.d.comb += port.eq(Mux(self.still, 0, mine))
                rising |= port.any()
            else:
                m.d.comb += port.eq(mine)
        for name in names:
            if hasattr(bank, f"increment_{name}") and f"held_{name}" not in self.chosen:
                m.d.comb += Assume(getattr(self, f"increment_{name}") <= PEAKS[name])
        m.d.comb += [Assume(~ResetSignal()), Assume(self.address < len(names)),
                     bank.hold.eq((quiet >= bank.settle) & self.still)]
        m.d.sync += [quiet.eq(Mux(rising, 0, Mux(quiet == 63, 63, quiet + 1))), asked.eq(bank.address),
                     held.eq(bank.hold)]

        # the pace of the small form
        weighs, counts, *plain, stream = queue
        waiting = {names[index]: (waits, amount) for waits, _, index, amount in plain}
        for name, (waits, _) in waiting.items():
            m.d.comb += Assume(~getattr(bank, f"increment_{name}").any() | ~waits)
        m.d.comb += Assume(~bank.pulse | ~(weighs[0] | counts[0]))
        unserved = bank.pulse | weighs[0] | counts[0] & ~counts[1]
        stays = dict.fromkeys(("pulse_reset", "pulse_bin", "pulse_weight"), unserved)
        for waits, served, index, _ in plain:
            if f"held_{names[index]}" in self.chosen:
                stays[f"held_{names[index]}"] = waits & ~served | getattr(bank, f"increment_{names[index]}")
        for name, keeps in stays.items():
            before, kept = Signal.like(getattr(bank, name), name=f"{name}_before"), Signal(name=f"{name}_kept")
            m.d.sync += [before.eq(getattr(bank, name)), kept.eq(keeps)]
            m.d.comb += Assume(~kept | (getattr(bank, name) == before))
        age = Signal(range(2 * WAITS_MAX))  # clocks whose increments wait
        summed = stream[3]
        m.d.sync += age.eq(Mux(stream[1] | ~streamed, 1, age + 1))
        m.d.comb += [Assume(age <= WAITS_MAX), Assert(summed <= PEAKS["read_sum"] * age),
                     Assert(streamed == (summed != 0))]

        # totals are sums
        for place, name in enumerate(names):
            total = Signal(BITS, name=f"sum_{name}")
            kind, _, bin_ = name.rpartition("_")
            if kind in BIN_COUNTERS:
                mine = (bank.pulse_reset == kind.startswith("reset")) & (bank.pulse_bin == int(bin_))
                waits, _, _, amount = weighs if kind.endswith("weight") else counts
                came, left_over, again = Mux(bank.pulse & mine, amount, 0), Mux(waits & mine, amount, 0), waits & mine
            elif name == "read_sum":
                came, left_over, again = bank.increment_read_sum, summed, ~resting
            else:
                waits, amount = waiting[name]
                came = getattr(bank, f"increment_{name}")
                if f"held_{name}" in self.chosen:
                    came = Mux(came, amount, 0)
                left_over, again = Mux(waits, amount, 0), waits
            m.d.sync += total.eq(total + came)
            with m.If(held & (asked == place)):
                m.d.comb += Assert(bank.value == total)
            under_way = adding & (written == place)  # its total was read, and may not be read again in this clock
            m.d.comb += [Assert(total == (rows[place] + left_over + Mux(under_way, added, 0))[:BITS]),
                         Assert(~(under_way & again))]

        # why
        left = sum(waits for waits, *_ in (weighs, counts, *plain)) + streamed
        m.d.comb += [
            Assert(~adding | (self.totals.read.data == Array(rows)[written]) & (written < len(names))),
            Assert((left == 0) | (left + quiet <= len(queue) + 1)),
            Assert(~adding | (quiet <= len(queue) + 1)),
            Assert(~resting | ~streamed | (quiet == 0)),
            Assert(asked < len(names)),
        ]
        return m


def test_no_increment_is_dropped(monkeypatch):
    prove(CountsAreKept(monkeypatch), depth=1, mode="prove")


@pytest.mark.parametrize(("old", "new"), [
    ("queue.append((streamed & ~resting,", "queue.append((streamed,"),  # a total is read while it is written
    ("waits.eq(increment.any() | (waits & ~served))", "waits.eq(increment.any())"),  # what waits is forgotten
])
def test_a_bank_that_drops_increments_is_caught(monkeypatch, old, new):
    plant(monkeypatch, "small.counters", old, new)
    with pytest.raises(FormalFailure, match=r"DONE \(FAIL"):
        prove(CountsAreKept(monkeypatch), depth=10)
