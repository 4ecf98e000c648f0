"""What a core remembers outside of its memories: registers of the host, and what lives within a sample."""

from amaranth import Signal
from amaranth.utils import bits_for

from ohmspike.chip import Chip
from ohmspike.chip.instructions import register, register_names

__all__ = ["Registers", "Sample"]


class Registers:
    """The registers that the host reads and writes (docs/link.md), as wide as they are declared.

    Parameters
    ----------
    chip : :class:`Chip`
    """

    def __init__(self, chip: Chip):
        self.names = register_names(chip)
        (self.learn, self.report, self.theta_step, self.theta_base, self.margin, self.write_noise,
         self.accumulate_threshold, self.read_out_accumulate_threshold, self.learn_share) = (
            Signal(entry.bits(chip), init=entry.reset, name=entry.name) for entry in map(register, (
                "learn", "report", "theta_step", "theta_base", "margin", "write_noise", "accumulate_threshold",
                "read_out_accumulate_threshold", "learn_share")))

    def access(self, m, access, result):
        """The register that is addressed comes out on ``result``, and takes the data of a write."""
        with m.Switch(access.column[:bits_for(len(self.names) - 1)]):
            for address, name in enumerate(self.names):
                held = getattr(self, name)
                with m.Case(address):
                    m.d.comb += result.eq(held)
                    with m.If(access.write):
                        m.d.sync += held.eq(access.data[:len(held)])


class Sample:
    """What lives within a sample; END and a reset forget it.

    Parameters
    ----------
    chip : :class:`Chip`
    """

    def __init__(self, chip: Chip):
        self.step = Signal(8)
        self.spiked = Signal(range(chip.lines + 1))  # lines that have spiked
        self.any_units = Signal()  # a post-trace unit is in use
        self.dark = Signal()

    def forget(self):
        """Assignments at the end of a sample."""
        return [self.step.eq(0), self.spiked.eq(0), self.any_units.eq(0), self.dark.eq(0)]
