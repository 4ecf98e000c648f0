"""Proofs of what decides levels, winners and membranes; all combinational, so one clock is all there is."""

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from ohmspike.hdl.formal import FormalFailure, prove
from ohmspike.hdl.layout import saturate
from ohmspike.hdl.pulses import stepped_level
from ohmspike.hdl.race import Race

LANES = 6
ENTRY = data.StructLayout({"score": signed(5), "lane": 3, "eligible": 1})


class LevelStaysBetweenItsRails(wiring.Component):
    """A pulse moves a level by its step, but never past 0 or ``top``, and says when it would have."""

    def __init__(self, top, step_bits, stepped=stepped_level):
        self.top, self.stepped = top, stepped
        super().__init__({"level": In(top.bit_length()), "step": In(step_bits), "lower": In(1)})

    def elaborate(self, platform):
        m = Module()
        level, step, top = self.level, self.step, self.top
        result, clipped = self.stepped(level, step, lower=self.lower, top=top)
        room = Mux(self.lower, level, top - level)  # never negative
        fits = step <= room
        m.d.comb += [
            Assume(level <= top),
            Assert(clipped == ~fits),
            Assert(result == Mux(fits, Mux(self.lower, level - step, level + step), Mux(self.lower, 0, top))),
        ]
        return m


class WinnerLeads(wiring.Component):
    """The winner of a word is the eligible neuron with the largest score, the lowest of those."""

    def __init__(self, lanes, better=Race._better):
        self.better = better
        given = data.StructLayout({"score": signed(5), "eligible": 1})
        super().__init__({f"lane_{lane}": In(given) for lane in range(lanes)})
        self.lanes = [getattr(self, f"lane_{lane}") for lane in range(lanes)]

    def elaborate(self, platform):
        m = Module()
        entries = []
        for lane, given in enumerate(self.lanes):
            entry = Signal(ENTRY, name=f"entry_{lane}")
            m.d.comb += [entry.score.eq(given.score), entry.lane.eq(lane), entry.eligible.eq(given.eligible)]
            entries.append(entry)
        while len(entries) > 1:
            entries = [self.better(m, entries[i:i + 2], f"best_{len(entries)}_{i}", ENTRY)
                       for i in range(0, len(entries), 2)]
        winner = entries[0]
        any_eligible = 0
        for lane, given in enumerate(self.lanes):
            any_eligible |= given.eligible
            behind = (given.score < winner.score) | ((given.score == winner.score) & (winner.lane <= lane))
            with m.If(given.eligible):
                m.d.comb += Assert(behind)
            with m.If(winner.eligible & (winner.lane == lane)):
                m.d.comb += [Assert(given.eligible), Assert(given.score == winner.score)]
        m.d.comb += [Assert(winner.eligible == any_eligible),
                     Assert(~winner.eligible | (winner.lane < len(self.lanes)))]
        return m


class MembraneHoldsAtItsTop(wiring.Component):
    """A membrane plus a weight is the sum, or the top where that does not fit."""

    def __init__(self, membrane_bits, weight_bits, saturate=saturate):
        self.bits, self.saturate = membrane_bits, saturate
        super().__init__({"membrane": In(membrane_bits), "weight": In(weight_bits)})

    def elaborate(self, platform):
        m = Module()
        top = (1 << self.bits) - 1
        raised = self.saturate(self.membrane + self.weight, self.bits)
        fits = self.membrane + self.weight <= top
        m.d.comb += [Assert(raised == Mux(fits, self.membrane + self.weight, top)), Assert(raised >= self.membrane)]
        return m


@pytest.mark.parametrize("top, step_bits", [(1, 1), (1, 8), (62, 5), (63, 9), (255, 4), (255, 9)])
def test_levels_stay_between_their_rails(top, step_bits):
    prove(LevelStaysBetweenItsRails(top, step_bits), depth=1)


@pytest.mark.parametrize("lanes", [1, 2, LANES])
def test_the_winner_of_a_word_leads(lanes):
    prove(WinnerLeads(lanes), depth=1)


@pytest.mark.parametrize("membrane_bits, weight_bits", [(4, 12), (12, 6), (24, 1)])
def test_membranes_hold_at_their_top(membrane_bits, weight_bits):
    prove(MembraneHoldsAtItsTop(membrane_bits, weight_bits), depth=1)


def wraps_below(level, step, *, lower, top):
    result, clipped = stepped_level(level, step, lower=lower, top=top)
    return Mux(lower, (level - step)[:len(level)], result), clipped


def rail_one_too_high(level, step, *, lower, top):
    return stepped_level(level, step, lower=lower, top=top + 1)


def higher_lane_on_a_tie(m, pair, name, entry):
    return Race._better(m, pair[::-1], name, entry)


def eligibility_ignored(m, pair, name, entry):
    return data.View(entry, Mux(pair[-1].score > pair[0].score, pair[-1].as_value(), pair[0].as_value()))


@pytest.mark.parametrize("spec", [
    lambda: LevelStaysBetweenItsRails(63, 6, wraps_below), lambda: LevelStaysBetweenItsRails(62, 6, rail_one_too_high),
    lambda: WinnerLeads(3, higher_lane_on_a_tie), lambda: WinnerLeads(3, eligibility_ignored),
    lambda: MembraneHoldsAtItsTop(8, 4, lambda value, width: value[:width]),
], ids=["wraps below", "rail one too high", "higher lane on a tie", "eligibility ignored", "membrane wraps"])
def test_planted_bug_is_caught(spec):
    with pytest.raises(FormalFailure, match="FAIL"):
        prove(spec(), depth=1)
