"""The race of the small form: one neuron per clock."""

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .layout import Layout

__all__ = ["SerialRace"]


class SerialRace(wiring.Component):
    """Find the neuron with the largest ``V - theta`` among those that have not fired yet, like
    :class:`~ohmspike.hdl.race.Race`, one neuron per clock in ascending order.

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
        The pass is not the tile's first: only neurons behind :py:`winner` as it stands count. Held for the pass.
    winner : :py:`Out(StructLayout)`
        ``neuron`` and ``score``; stable from the clock after :py:`done` until the next pass is done.
    done : :py:`Out(1)`
        One clock: the pass is over.
    """

    latency = 2

    def __init__(self, layout: Layout):
        self._score = signed(max(layout.chip.membrane_bits, layout.chip.threshold_bits) + 1)
        super().__init__({
            "entry": In(data.StructLayout({"valid": 1, "neuron": layout.neuron, "first": 1, "last": 1})),
            "membrane": In(layout.chip.membrane_bits),
            "theta": In(layout.chip.threshold_bits),
            "behind": In(1),
            "winner": Out(data.StructLayout({"neuron": layout.neuron, "score": self._score})),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        entry, score = Signal.like(self.entry), Signal(self._score)
        m.d.sync += [entry.eq(self.entry), score.eq(self.membrane - self.theta)]

        # a neuron behind the last winner: a smaller score, or the same one and a larger number
        last = self.winner
        place, passed = (Cat(~_number(neuron), value).as_signed() for neuron, value in
                         ((entry.neuron, score), (last.neuron, last.score)))
        best = Signal(self.winner.shape())
        any_best = Signal()
        leads = (~self.behind | (place < passed)) & (entry.first | ~any_best | (score > best.score))
        m.d.sync += self.done.eq(entry.valid & entry.last)
        with m.If(entry.valid):
            m.d.sync += any_best.eq(leads | (any_best & ~entry.first))
            with m.If(leads):
                m.d.sync += [best.score.eq(score), best.neuron.eq(entry.neuron)]
        with m.If(self.done):
            m.d.sync += self.winner.eq(best)
        return m


def _number(neuron):
    """What orders neurons: their word, then their lane."""
    return Cat(neuron.lane, neuron.word)
