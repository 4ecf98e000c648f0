"""The race of the small form: one neuron per clock."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.hdl.shared.layout import Layout

__all__ = ["SerialRace"]


class SerialRace(wiring.Component):
    """Find the neurons with the largest ``V - theta`` among those that have not fired yet.

    A pass streams the neurons of a tile in ascending order through a sorted list of :meth:`ranks_per_pass`.
    Neurons fire in the order of falling ``(V - theta, -neuron)``, so those that have not fired are the ones behind the
    last of the pass before::

        neurons -> V - theta -> behind the last pass? -> list of the best so far

    Timing
    ------
    Throughput
        One neuron per clock; passes may not overlap.
    Latency
        :py:`SerialRace.latency` clocks from the last neuron to :py:`done`.
    Reset
        Drops the pass under way.

    Parameters
    ----------
    layout : :class:`Layout`

    Members
    -------
    entry : :py:`In(StructLayout)`
        ``valid``, the ``neuron``, whether the pass begins and ends with it.
    membrane, theta : :py:`In`
        Its V and theta, in the same clock.
    behind : :py:`In(1)`
        The pass is not the tile's first: only neurons behind those of the pass before count. Held for the pass.
    winners : :py:`Out(ArrayLayout)`
        ``neuron`` and ``score`` by rank within the pass; from :py:`done` until the next pass begins.
    done : :py:`Out(1)`
        One clock: the pass is over.
    """

    latency = 2

    @staticmethod
    def ranks_per_pass(layout: Layout) -> int:
        """Neurons that one pass finds."""
        return min(3, layout.chip.winners)

    def __init__(self, layout: Layout):
        self._count = self.ranks_per_pass(layout)
        self._score = signed(max(layout.chip.membrane_bits, layout.chip.threshold_bits) + 1)
        winner = data.StructLayout({"neuron": layout.neuron, "score": self._score})
        super().__init__({
            "entry": In(data.StructLayout({"valid": 1, "neuron": layout.neuron, "first": 1, "last": 1})),
            "membrane": In(layout.chip.membrane_bits),
            "theta": In(layout.chip.threshold_bits),
            "behind": In(1),
            "winners": Out(data.ArrayLayout(winner, self._count)),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        entry, score = Signal.like(self.entry), Signal(self._score)
        m.d.sync += [entry.eq(self.entry), score.eq(self.membrane - self.theta),
                     self.done.eq(entry.valid & entry.last)]

        # a neuron behind the last pass: a smaller score than its last, or the same one and a larger number
        last = Signal(self.winners[0].shape())
        with m.If(self.done):
            m.d.sync += last.eq(self.winners[self._count - 1])
        key, passed = (Cat(~Cat(neuron.lane, neuron.word), value).as_signed()
                         for neuron, value in ((entry.neuron, score), (last.neuron, last.score)))
        eligible = Signal()
        m.d.comb += eligible.eq(entry.valid & (~self.behind | (key < passed)))

        # the sorted list: what is better than an entry takes its rank, and that entry and all after it move on by one
        before, entry_before, filled_before = Const(0), None, Const(1)
        for rank in range(self._count):
            entry_of_rank = self.winners[rank]
            filled, now_filled, better = (Signal(name=f"{name}_{rank}") for name in ("filled", "now_filled", "better"))
            m.d.comb += [now_filled.eq(filled & ~entry.first),
                         better.eq(eligible & (~now_filled | (score > entry_of_rank.score)))]
            with m.If(entry.valid):
                m.d.sync += filled.eq(Mux(before, filled_before, now_filled | better))
            with m.If(better):
                m.d.sync += [entry_of_rank.score.eq(score), entry_of_rank.neuron.eq(entry.neuron)]
                if entry_before is not None:
                    with m.If(before):
                        m.d.sync += entry_of_rank.eq(entry_before)
            before, entry_before, filled_before = better, entry_of_rank, now_filled
        return m
