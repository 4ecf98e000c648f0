"""Proofs of what decides levels, winners and membranes; all combinational, so one clock is all there is."""

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from ohmspike.chip import Chip
from ohmspike.hdl.fast.pulses import Pulses
from ohmspike.hdl.fast.race import Race
from ohmspike.hdl.flow.formal import FormalFailure, prove
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.logic import saturate
from ohmspike.hdl.shared.plasticity import accumulated, noise_of, stepped_level

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


class NoisyLevelStaysBetweenItsRails(wiring.Component):
    """A pulse with noise (contract 5.5): the level is moved by the floor of the sum, either way, held at its rails."""

    def __init__(self, top, fraction_bits, noise_bits, stepped=stepped_level, noise_of=noise_of):
        self.top, self.fraction_bits, self.stepped, self.noise_of = top, fraction_bits, stepped, noise_of
        super().__init__({"level": In(top.bit_length()), "entry": In(16), "state": In(32),
                          "write_noise": In(noise_bits), "lower": In(1)})

    def elaborate(self, platform):
        m = Module()
        level, top, size = self.level, self.top, 1 << self.fraction_bits
        noise, total, step = Signal(signed(8)), Signal(signed(28)), Signal(signed(28))
        drawn = self.state[32 - self.fraction_bits:]
        fields = [self.state[place:place + 5] for place in range(0, 20, 5)]
        m.d.comb += [noise.eq(self.noise_of(self.state)), total.eq(self.entry + drawn + noise * self.write_noise),
                     step.eq(total >> self.fraction_bits)]
        result, clipped = self.stepped(level, step, lower=self.lower, top=top)
        wanted = Signal(signed(30))
        m.d.comb += [
            wanted.eq(Mux(self.lower, level - step, level + step)),
            Assume(level <= top),
            Assert((noise >= -62) & (noise <= 62) & (noise + 62 == sum(fields))),
            Assert((step * size <= total) & (total < step * size + size)),
            Assert(clipped == ((wanted < 0) | (wanted > top))),
            Assert(result == Mux(wanted < 0, 0, Mux(wanted > top, top, wanted))),
        ]
        return m


class StuckCellsStay(wiring.Component):
    """Whatever is swept, nothing is written where every cell is stuck; random states go on."""

    def __init__(self, layout, pulses=Pulses):
        self.layout, self.pulses = layout, pulses
        dut = pulses(layout)
        self.free = [name for name, member in dut.signature.members.items()
                     if member.flow == In and name not in ("level_stuck", "read_out_stuck")]
        super().__init__({name: dut.signature.members[name] for name in self.free})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self.pulses(self.layout)
        for name in self.free:
            m.d.comb += getattr(dut, name).eq(getattr(self, name))
        m.d.comb += [dut.level_stuck.eq(-1), dut.read_out_stuck.eq(-1)]
        m.d.comb += [Assert(dut.level_write == 0), Assert(dut.read_out_write == 0)]
        return m


class CountsFitTheirBits(wiring.Component):
    """A count changes by an amount (contract 5.7), whatever the register holds: a pulse is due at the threshold, on the
    side of the change alone, and sets it to 0; what is not due fits the bits of the count."""

    def __init__(self, bits, amount_bits, accumulated=accumulated):
        self.bits, self.accumulated = bits, accumulated
        super().__init__({"count": In(signed(bits)), "amount": In(amount_bits), "threshold": In(bits - 1),
                          "lower": In(1)})

    def elaborate(self, platform):
        m = Module()
        kept, wanted = Signal(signed(self.bits + 9)), Signal(signed(self.bits + 9))
        changed, due = self.accumulated(self.count, self.amount, self.threshold, lower=self.lower)
        half = 1 << self.bits - 1
        m.d.comb += [
            kept.eq(changed),
            wanted.eq(Mux(self.lower, self.count - self.amount, self.count + self.amount)),
            Assert(due == (Mux(self.lower, -wanted, wanted) >= self.threshold)),
            Assert(kept == Mux(due, 0, wanted)),
            Assert((kept >= -half) & (kept < half)),
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


@pytest.mark.parametrize("top, fraction_bits, noise_bits", [(63, 12, 3), (1, 8, 2)])
def test_noisy_levels_stay_between_their_rails(top, fraction_bits, noise_bits):
    prove(NoisyLevelStaysBetweenItsRails(top, fraction_bits, noise_bits), depth=1)


STUCK = Layout(Chip(name="stuck", plane_height=2, plane_width=2, patch_height=2, patch_width=2, stride=1, neurons=2,
                    levels=4, weight_bits=2, weight_store="fixed", amplitudes=1, classes=2, noise_bits=2,
                    stuck_cells="masked"), 2)


@pytest.mark.parametrize("ports", [1, 2])
def test_stuck_cells_stay(ports):
    prove(StuckCellsStay(Layout(STUCK.chip, 2, level_ports=ports)), depth=8, mode="prove")


@pytest.mark.parametrize("bits, amount_bits", [(2, 1), (5, 4), (8, 8)])
def test_counts_fit_their_bits(bits, amount_bits):
    prove(CountsFitTheirBits(bits, amount_bits), depth=1)


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


def uncentred(state):
    return noise_of(state) + 1


def noise_of_three_fields(state):
    return noise_of(state) - state[15:20]


def due_on_the_other_side(count, amount, threshold, *, lower):
    changed = Mux(lower, count - amount, count + amount)
    due = (changed >= threshold) | (changed <= -threshold)
    return Mux(due, 0, changed), due


def due_above_the_threshold(count, amount, threshold, *, lower):
    return accumulated(count, amount, threshold + 1, lower=lower)


class OnlyTilesStuck(Pulses):
    """The mask of the read-out is forgotten."""

    def _stuck(self, m, lane, teaching):
        return super()._stuck(m, lane, teaching) & ~teaching


@pytest.mark.parametrize("spec", [
    lambda: NoisyLevelStaysBetweenItsRails(63, 12, 2, wraps_below),
    lambda: NoisyLevelStaysBetweenItsRails(63, 12, 2, noise_of=uncentred),
    lambda: NoisyLevelStaysBetweenItsRails(63, 12, 2, noise_of=noise_of_three_fields),
    lambda: LevelStaysBetweenItsRails(63, 6, wraps_below), lambda: LevelStaysBetweenItsRails(62, 6, rail_one_too_high),
    lambda: CountsFitTheirBits(5, 4, due_on_the_other_side), lambda: CountsFitTheirBits(5, 4, due_above_the_threshold),
    lambda: WinnerLeads(3, higher_lane_on_a_tie), lambda: WinnerLeads(3, eligibility_ignored),
    lambda: MembraneHoldsAtItsTop(8, 4, lambda value, width: value[:width]),
], ids=["noisy level wraps below", "noise not centred", "noise of three fields", "wraps below", "rail one too high",
        "due on the other side", "due above the threshold",
        "higher lane on a tie", "eligibility ignored", "membrane wraps"])
def test_planted_bug_is_caught(spec):
    with pytest.raises(FormalFailure, match="FAIL"):
        prove(spec(), depth=1)


def test_a_stuck_cell_that_moves_is_caught():
    with pytest.raises(FormalFailure, match="FAIL"):
        prove(StuckCellsStay(STUCK, OnlyTilesStuck), depth=20)
