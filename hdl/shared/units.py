"""Post-trace units: the traces of neurons that spiked and learned (contract 4)."""

from amaranth import Mux

from .state import Sample
from .storage import CommonStorage
from .walk import CommonWalk

__all__ = ["PostTraceUnits"]


class PostTraceUnits:
    """The post-trace units of all tiles: recharged by learning post spikes, read by visits and DARK.

    Parameters
    ----------
    storage, sample, walk
        Where they lie, the step they are stamped with, the tile and unit that an event is at.
    """

    def __init__(self, storage: CommonStorage, sample: Sample, walk: CommonWalk):
        self.read, self.write = storage.units.read, storage.units.write
        self.trace = storage.unit_trace.trace
        self._storage, self._sample, self._walk = storage, sample, walk
        self._chip = storage.layout.chip

    def address(self, tile, unit):
        """Where a unit of a tile lies."""
        return tile << self._storage.layout.unit.width | unit if self._chip.learners > 1 else tile

    def look(self, m):
        """Address the unit that the event is at."""
        m.d.comb += self.read.addr.eq(self.address(self._walk.tile, self._walk.unit))

    def recharge(self, m, neuron, then: str):
        """States from FIND UNIT or TAKE UNIT on: recharge the unit of a neuron, go on to ``then``.

        In threshold mode the unit that holds the neuron, if one does; else the one that was taken longest ago.
        """
        chip, walk, count = self._chip, self._walk, self._storage.count
        full = (1 << chip.trace_bits) - 1

        def stamp(unit):
            m.d.comb += [
                self.write.addr.eq(self.address(walk.tile, unit)),
                self.write.data.neuron.eq(neuron),
                self.write.data.stamp.eq(self._sample.step),
                self.write.en.eq(1),
            ]
            m.d.sync += self._sample.any_units.eq(1)
            m.next = then

        if chip.fire_mode == "threshold":
            with m.State("FIND UNIT"):
                self.look(m)
                m.next = "MATCH UNIT"
                with m.If(walk.unit == walk.used):
                    m.next = "TAKE UNIT"
            with m.State("MATCH UNIT"):
                with m.If(self.read.data.neuron == neuron):
                    count(m, "post_recharge", full - self.trace)
                    stamp(walk.unit)
                with m.Elif(walk.unit == chip.learners - 1):
                    m.next = "TAKE UNIT"
                with m.Else():
                    m.d.sync += walk.unit.eq(walk.unit + 1)
                    m.next = "FIND UNIT"
        with m.State("TAKE UNIT"):
            count(m, "post_recharge", full)
            stamp(walk.next)
            m.d.sync += walk.next.eq(Mux(walk.next == chip.learners - 1, 0, walk.next + 1))
            with m.If(walk.used != chip.learners):
                m.d.sync += walk.used.eq(walk.used + 1)
