"""Proof of the search of the read-out: whatever the scores, it finds the column that the contract names, in time."""

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ohmspike.chip import Chip
from ohmspike.hdl.fast.read_out import ReadOut
from ohmspike.hdl.flow.formal import FormalFailure, prove
from ohmspike.hdl.shared.layout import Layout

CHIP = {"name": "search", "plane_height": 1, "plane_width": 1, "patch_height": 1, "patch_width": 1, "stride": 1,
        "neurons": 1, "levels": 2, "score_bits": 8, "margin": 0}


class BestColumnIsFound(wiring.Component):
    """Scores may be any and are kept in a search, which is of all columns or of all but one (contract 10.4, 10.5)."""

    def __init__(self, classes, read_out=ReadOut):
        self.classes = classes
        self.read_out = read_out(Layout(Chip(**CHIP, classes=classes), 1))
        super().__init__({f"score_{label}": In(8) for label in range(classes)} | {
            "ask": In(1), "apart": In(1), "but": In(range(classes))})

    def elaborate(self, platform):
        m = Module()
        found, scores = self.read_out, [Signal(8, name=f"held_{label}") for label in range(self.classes)]
        apart, but = Signal(), Signal(range(self.classes))
        resting, clocks = Signal(), Signal(range(self.classes + 8))
        m.d.comb += [found.ask.eq(self.ask), Assume(self.but < self.classes),
                     found.excluding.eq(Mux(resting, self.apart, apart)), found.exclude.eq(Mux(resting, self.but, but))]

        # the search alone, on registers that change between searches only
        found._pick(m, scores)
        with m.FSM(name="read_out"):
            with m.State("IDLE"):
                m.d.comb += resting.eq(1)
                m.d.sync += [apart.eq(self.apart), but.eq(self.but), clocks.eq(1)]
                with m.If(self.ask):
                    m.next = "SEARCH"
                with m.Else():
                    m.d.sync += [score.eq(getattr(self, f"score_{label}")) for label, score in enumerate(scores)]
            found._search(m, found._label, found._picked, found._picked_label, rewinds=True)
        with m.If(~resting):
            m.d.sync += clocks.eq(clocks + 1)
            m.d.comb += [Assert(clocks <= found.search), Assert(found.done == (clocks == found.search))]

        # what is found
        leader, others = Signal(8), 0
        for label, score in enumerate(scores):
            with m.If(found.best == label):
                m.d.comb += leader.eq(score)
            sought = ~(apart & (but == label))
            with m.If(found.done & sought):
                m.d.comb += Assert((score < found.best_score) | (score == found.best_score) & (found.best <= label))
            with m.If(found.done & sought & (found.best != label)):
                m.d.comb += Assert(score <= found.second_score)
            with m.If(found.done & ~sought):
                m.d.comb += [Assert(found.excluded_score == score), Assert(found.best != label)]
            others |= sought & (found.best != label) & (score == found.second_score)
        with m.If(found.done):
            m.d.comb += [Assert(found.best < self.classes), Assert(found.best_score == leader),
                         Assert(others | (found.second_score == 0))]
        return m


class LastColumnUnseen(ReadOut):
    """A planted bug: in place of the last column the one before it is compared again."""

    def _pick(self, m, scores):
        super()._pick(m, scores[:-1])


@pytest.mark.parametrize("classes", [2, 4])
def test_the_best_column_is_found_twice_in_a_row(classes):
    prove(BestColumnIsFound(classes), depth=2 * (classes + 4))


def test_planted_bug_is_caught():
    with pytest.raises(FormalFailure, match="FAIL"):
        prove(BestColumnIsFound(3, LastColumnUnseen), depth=8)
