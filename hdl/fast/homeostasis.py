"""Thresholds of the fast form: raised after a fire, leaking at the end of a sample (contract 6)."""

from amaranth import Signal

from ohmspike.hdl.shared.logic import saturate

from .storage import FastStorage, all_lanes

__all__ = ["FastHomeostasis"]


class FastHomeostasis:
    """The threshold of the first winner rises; while learning, all leak at END.

    Parameters
    ----------
    storage, registers, walk
        Where thresholds lie, by how much they rise, the tile acted on.
    """

    def __init__(self, storage: FastStorage, registers, walk):
        self.storage, self.registers, self.walk = storage, registers, walk
        layout, chip = storage.layout, storage.layout.chip
        self.read, self.write = storage.thetas.read, storage.thetas.write
        self.first_winner = Signal(layout.neuron)
        self.raising = Signal()
        self.theta = Signal(chip.threshold_bits)
        self.raised_address = Signal.like(self.write.addr)
        self.raised_lane = Signal(layout.lane)

    def add_to(self, m):
        """A threshold is written back raised, in the clock after RAISE has picked it."""
        chip = self.storage.layout.chip
        raised = Signal(max(chip.threshold_bits, 16) + 1)
        m.d.comb += raised.eq(self.theta + self.registers.theta_step)
        m.d.sync += self.raising.eq(0)
        with m.If(self.raising):
            m.d.comb += [self.write.addr.eq(self.raised_address), self.write.en.eq(1 << self.raised_lane),
                         *all_lanes(self.write, saturate(raised, chip.threshold_bits))]
            self.storage.count(m, "theta_clipped", raised[chip.threshold_bits:].any())

    def states(self, m, close):
        """States from THETA on: pick the threshold of the first winner, then ``close`` the tile."""
        address = self.storage.layout.neuron_address(self.walk.tile, self.first_winner.word)
        with m.State("THETA"):
            m.d.comb += self.read.addr.eq(address)
            m.next = "RAISE"
        with m.State("RAISE"):
            lane = self.first_winner.lane
            m.d.sync += [self.raising.eq(1), self.raised_address.eq(address), self.raised_lane.eq(lane),
                         self.theta.eq(self.read.data[lane])]
            close(m)

    def leak(self, m):
        """States from LEAK on, to CLEAR: a word of thresholds after the other."""
        layout, chip = self.storage.layout, self.storage.layout.chip
        index = Signal(range(layout.neuron_depth))
        leaked = Signal(layout.theta_word)
        for lane in range(layout.lanes):
            theta = self.read.data[lane]
            m.d.comb += leaked[lane].eq(theta - (theta >> chip.theta_leak))
        with m.State("LEAK"):
            m.d.comb += self.read.addr.eq(index)
            m.next = "LEAKED"
        with m.State("LEAKED"):
            m.d.comb += [self.write.addr.eq(index), self.write.data.eq(leaked), self.write.en.eq(-1)]
            m.d.sync += index.eq(index + 1)
            m.next = "LEAK"
            with m.If(index == layout.neuron_depth - 1):
                m.d.sync += index.eq(0)
                m.next = "CLEAR"
