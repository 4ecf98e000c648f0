"""The race: which neuron of a tile crosses the falling reference next."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ohmspike.hdl.shared.layout import Layout

__all__ = ["Race"]

_LEVELS_PER_STAGE = 3


class Race(wiring.Component):
    """Find the neuron with the largest ``V - theta`` among those that have not fired yet.

    Neurons fire in the order of falling ``(V - theta, -neuron)``. There are two forms (:attr:`Layout.holds_scores`).
    Where the scores of all neurons of a tile stay in registers, the words are streamed once; a winner is struck out,
    and the tree finds the next::

        words -> V - theta -> scores, struck out or not -> maximum of 8 -> ... -> maximum of all

    Else the words are streamed once a winner, through a tree of one word and a register with the maximum so far; those
    that have not fired are the ones behind the last that has, so no mask of fired neurons is kept::

        words -> V - theta -> behind the last? -> maximum of 8 -> ... -> maximum of the word -> maximum so far

    Timing
    ------
    Throughput
        One word per clock; passes may not overlap.
    Latency
        :py:`Race.latency(layout)` clocks from the last word of a pass, or from :py:`next`, to :py:`done`.
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
        Scores not held: the pass is not the tile's first: only candidates behind :py:`winner` as it stands count. Held
        for the pass.
    taken : :py:`In(1)`
        The winner was taken: :py:`done` falls, and where scores are held the winner is struck out.
    next : :py:`In(1)`
        Scores held, with :py:`taken` or after it: find the next.
    winner : :py:`Out(StructLayout)`
        ``neuron`` and ``score``; stable while :py:`done`.
    done : :py:`Out(1)`
        The winner is found and not yet taken.
    """

    @staticmethod
    def latency(layout: Layout) -> int:
        """Clocks from the last word of a pass to :py:`done`."""
        neurons = layout.chip.neurons if layout.holds_scores else layout.lanes
        return 2 - layout.holds_scores + -(-ceil_log2(neurons) // _LEVELS_PER_STAGE)

    def __init__(self, layout: Layout):
        self._layout = layout
        self._score = signed(max(layout.chip.membrane_bits, layout.chip.threshold_bits) + 1)
        self._entry = data.StructLayout({"score": self._score, "neuron": layout.neuron, "eligible": 1})
        super().__init__({
            "word": In(data.StructLayout({"valid": 1, "index": layout.word, "first": 1, "last": 1})),
            "membranes": In(layout.membrane_word),
            "thetas": In(layout.theta_word),
            "behind": In(1),
            "taken": In(1),
            "next": In(1),
            "winner": Out(data.StructLayout({"neuron": layout.neuron, "score": self._score})),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        arrives = Signal()
        held = Signal()
        m.d.comb += self.done.eq(arrives | held)
        m.d.sync += held.eq(self.done & ~self.taken)
        if self._layout.holds_scores:
            self._hold(m, arrives)
        else:
            self._stream(m, arrives)
        return m

    def _entry_of(self, score, neuron, eligible):
        return data.View(self._entry, Cat(score, neuron, eligible))

    def _scores(self, m):
        scores = []
        for lane in range(self._layout.lanes):
            score = Signal(self._score, name=f"score_{lane}")
            m.d.comb += score.eq(self.membranes[lane] - self.thetas[lane])
            scores.append(score)
        return scores

    def _tree(self, m, entries, travelling):
        """The maximum of the entries, ties to the first; what travels with them comes out in the same clock."""
        stage = 0
        while len(entries) > 1:
            for _ in range(_LEVELS_PER_STAGE):
                entries = [self._better(m, entries[i:i + 2], f"best_{stage}_{len(entries)}_{i}", self._entry)
                           for i in range(0, len(entries), 2)]
            held = []
            for index, value in enumerate(entries):
                register = Signal(self._entry, name=f"stage_{stage}_{index}")
                m.d.sync += register.eq(value)
                held.append(register)
            entries = held
            travelling = self._delayed(m, travelling, f"stage_{stage}_travelling")
            stage += 1
        return entries[0], travelling

    def _hold(self, m, arrives):
        """The scores of all neurons, and which have not fired."""
        layout = self._layout
        scores = self._scores(m)
        entries = []
        for neuron in range(layout.chip.neurons):
            word, lane = divmod(neuron, layout.lanes)
            position = Const({"word": word, "lane": lane}, layout.neuron)
            score, eligible = Signal(self._score, name=f"held_{neuron}"), Signal(name=f"eligible_{neuron}")
            with m.If(self.word.valid & (self.word.index == word)):
                m.d.sync += [score.eq(scores[lane]), eligible.eq(1)]
            with m.Elif(self.taken & (self.winner.neuron == position)):
                m.d.sync += eligible.eq(0)
            entries.append(self._entry_of(score, position, eligible))
        sought = Signal()
        m.d.sync += sought.eq(self.word.valid & self.word.last | self.next)
        top, arrived = self._tree(m, entries, sought)
        m.d.comb += [arrives.eq(arrived), self.winner.neuron.eq(top.neuron), self.winner.score.eq(top.score)]

    def _stream(self, m, arrives):
        layout = self._layout

        # scores of the word; a neuron is eligible if it lies behind the last winner
        entries = []
        last = self.winner
        scores = self._scores(m)
        for lane, used in enumerate(layout.in_use(self.word.index)):
            score = scores[lane]
            later = (self.word.index > last.neuron.word) | (
                (self.word.index == last.neuron.word) & (Const(lane, layout.lane) > last.neuron.lane))
            eligible = ~self.behind | (score < last.score) | ((score == last.score) & later)
            held, stands = Signal(self._score, name=f"held_{lane}"), Signal(name=f"eligible_{lane}")
            m.d.sync += [held.eq(score), stands.eq(used & eligible)]
            entries.append(self._entry_of(held, Const({"word": 0, "lane": lane}, layout.neuron), stands))
        top, word = self._tree(m, entries, self._delayed(m, self.word, "scored"))

        # the maximum of the pass, ties to the lower word; the winner changes only at the end of a pass
        best = Signal(self.winner.shape())
        best_valid = Signal()
        leading = Signal(self.winner.shape())
        leads = top.eligible & (word.first | ~best_valid | (top.score > best.score))
        m.d.comb += leading.eq(best)
        with m.If(leads):
            m.d.comb += [leading.score.eq(top.score), leading.neuron.lane.eq(top.neuron.lane),
                         leading.neuron.word.eq(word.index)]
        m.d.sync += arrives.eq(word.valid & word.last)
        with m.If(word.valid):
            m.d.sync += [best.eq(leading), best_valid.eq(leads | (best_valid & ~word.first))]
            with m.If(word.last):
                m.d.sync += self.winner.eq(leading)

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
        # one comparison: what is eligible lies above what is not, below that the score with its sign turned
        low_key, high_key = (Cat(side.score[:-1], ~side.score[-1], side.eligible) for side in pair)
        chosen = high_key > low_key
        m.d.comb += result.eq(Mux(chosen, high, low))
        return result
