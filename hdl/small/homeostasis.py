"""Thresholds of the small form: raised after a fire, leaking at the end of a sample (contract 6)."""

from amaranth import Signal

from ohmspike.hdl.shared.logic import saturate

from .storage import SmallStorage

__all__ = ["SmallHomeostasis"]


class SmallHomeostasis:
    """The threshold of the first winner rises; while learning, all leak at END, one after the other.

    Parameters
    ----------
    storage, registers, walk
        Where thresholds lie, by how much they rise, the tile acted on.
    """

    def __init__(self, storage: SmallStorage, registers, walk):
        self.storage, self.registers, self.walk = storage, registers, walk
        self.first_winner = Signal(storage.layout.neuron)

    def states(self, m, close):
        """States from THETA on: raise the threshold of the first winner, then ``close`` the tile."""
        chip, array = self.storage.layout.chip, self.storage.array
        address = self.storage.map.theta_address(self.walk.tile, self.first_winner)
        with m.State("THETA"):
            m.d.comb += array.address.eq(address)
            m.next = "RAISE"
        with m.State("RAISE"):
            raised = Signal(max(chip.threshold_bits, 16) + 1)
            m.d.comb += [
                raised.eq(array.word[:chip.threshold_bits] + self.registers.theta_step),
                array.address.eq(address),
                array.written.eq(saturate(raised, chip.threshold_bits)),
                array.write.eq(1),
            ]
            self.storage.count(m, "theta_clipped", raised[chip.threshold_bits:].any())
            close(m)

    def leak(self, m):
        """States from LEAK on, to CLEAR: a threshold after the other."""
        chip, array, map_ = self.storage.layout.chip, self.storage.array, self.storage.map
        index = Signal(range(map_.theta_depth))
        theta = array.word[:chip.threshold_bits]
        address = map_.region_address("theta", index)
        with m.State("LEAK"):
            m.d.comb += array.address.eq(address)
            m.next = "LEAKED"
        with m.State("LEAKED"):
            m.d.comb += [array.address.eq(address), array.written.eq(theta - (theta >> chip.theta_leak)),
                         array.write.eq(1)]
            m.d.sync += index.eq(index + 1)
            m.next = "LEAK"
            with m.If(index == map_.theta_depth - 1):
                m.d.sync += index.eq(0)
                m.next = "CLEAR"
