"""The race: which neuron of a tile crosses the falling reference next."""

from amaranth import Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .layout import Layout

__all__ = ["Race"]

_LEVELS_PER_STAGE = 3


class Race(wiring.Component):
    """Find the neuron with the largest ``V - theta`` among those that have not fired yet.

    One pass streams the words of a tile. Neurons fire in the order of falling ``(V - theta, -neuron)``, so those that
    have not fired are the ones behind the last that has: no mask of fired neurons is kept, only the last candidate::

        words -> V - theta -> behind the last? -> maximum of 8 -> ... -> maximum of the word -> maximum so far

    Timing
    ------
    Throughput
        One word per clock; passes may not overlap.
    Latency
        :py:`Race.latency(lanes)` clocks from the last word to :py:`done`.
    Reset
        Drops the pass under way.

    Parameters
    ----------
    layout : :class:`Layout`

    Members
    -------
    word : :py:`In(stream of word, first, last)`
        ``valid``, the number of the word, whether the pass begins and ends with it.
    membranes, thetas : :py:`In`
        V and theta of the word, in the same clock.
    behind : :py:`In(1)`
        The pass is not the tile's first: only candidates behind :py:`winner` as it stands count. Held for the pass.
    winner : :py:`Out(StructLayout)`
        ``neuron`` and ``score``; stable from :py:`done` until the next pass is done.
    done : :py:`Out(1)`
        One clock: the pass is over.
    """

    @staticmethod
    def latency(lanes: int) -> int:
        """Clocks from the last word of a pass to :py:`done`."""
        return 2 + -(-ceil_log2(lanes) // _LEVELS_PER_STAGE)

    def __init__(self, layout: Layout):
        self._layout = layout
        self._score = signed(max(layout.chip.membrane_bits, layout.chip.threshold_bits) + 1)
        super().__init__({
            "word": In(data.StructLayout({"valid": 1, "index": layout.word, "first": 1, "last": 1})),
            "membranes": In(layout.membrane_word),
            "thetas": In(layout.theta_word),
            "behind": In(1),
            "winner": Out(data.StructLayout({"neuron": layout.neuron, "score": self._score})),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        layout = self._layout
        entry = data.StructLayout({"score": self._score, "lane": layout.lane, "eligible": 1})

        # scores of the word; a neuron is eligible if it lies behind the last winner
        entries = []
        last = self.winner
        for lane, used in enumerate(layout.in_use(self.word.index)):
            score = Signal(self._score, name=f"score_{lane}")
            m.d.comb += score.eq(self.membranes[lane] - self.thetas[lane])
            later = (self.word.index > last.neuron.word) | (
                (self.word.index == last.neuron.word) & (Const(lane, layout.lane) > last.neuron.lane))
            eligible = ~self.behind | (score < last.score) | ((score == last.score) & later)
            held = Signal(entry, name=f"entry_{lane}")
            m.d.sync += [held.score.eq(score), held.lane.eq(lane), held.eligible.eq(used & eligible)]
            entries.append(held)
        word = self._delayed(m, self.word, "scored")

        # the maximum of the word, ties to the lower lane
        stage = 0
        while len(entries) > 1:
            for _ in range(_LEVELS_PER_STAGE):
                entries = [self._better(m, entries[i:i + 2], f"best_{stage}_{len(entries)}_{i}", entry)
                           for i in range(0, len(entries), 2)]
            held = []
            for index, value in enumerate(entries):
                register = Signal(entry, name=f"stage_{stage}_{index}")
                m.d.sync += register.eq(value)
                held.append(register)
            entries = held
            word = self._delayed(m, word, f"stage_{stage}_word")
            stage += 1

        # the maximum of the pass, ties to the lower word; the winner changes only at the end of a pass
        best = Signal(self.winner.shape())
        best_valid = Signal()
        found = Signal(self.winner.shape())
        top = entries[0]
        leads = top.eligible & (word.first | ~best_valid | (top.score > best.score))
        m.d.comb += found.eq(best)
        with m.If(leads):
            m.d.comb += [found.score.eq(top.score), found.neuron.lane.eq(top.lane), found.neuron.word.eq(word.index)]
        m.d.sync += self.done.eq(word.valid & word.last)
        with m.If(word.valid):
            m.d.sync += [best.eq(found), best_valid.eq(leads | (best_valid & ~word.first))]
            with m.If(word.last):
                m.d.sync += self.winner.eq(found)
        return m

    @staticmethod
    def _delayed(m, word, name):
        register = Signal(word.shape(), name=name)
        m.d.sync += register.eq(word)
        return register

    @staticmethod
    def _better(m, pair, name, entry):
        if len(pair) == 1:
            return pair[0]
        low, high = pair
        result = Signal(entry, name=name)
        chosen = high.eligible & (~low.eligible | (high.score > low.score))
        m.d.comb += result.eq(Mux(chosen, high, low))
        return result
