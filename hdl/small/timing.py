"""Clocks of every event and instruction of the small form."""

from ohmspike.chip.instructions import neuron_bytes, tile_bytes
from ohmspike.hdl.shared.timing import Clocks, Timing

from .array import ArrayMap
from .race import SerialRace

__all__ = ["SmallClocks", "SmallTiming"]

SPIKE_SPACING = 4
"""Clocks from one spike to the next, at least."""

WALK = 2
"""Clocks to look at a tile in STEP (threshold mode), DECIDE and DARK."""


class SmallClocks(Clocks):
    """The clocks of programs in the small form.

    Parameters
    ----------
    timing, learn, report
        As for :class:`~ohmspike.hdl.shared.timing.Clocks`.
    """

    def __init__(self, timing: "SmallTiming", *, learn: bool = False, report: bool = True):
        super().__init__(timing, learn=learn, report=report)
        self._spiked = -SPIKE_SPACING  # the clock in which the last spike was accepted

    def _line(self, earliest, visits):
        self._spiked = accepted = max(earliest, self._taken, self._spiked + SPIKE_SPACING)
        self._taken = max(accepted + 1, self._last)
        self._last = self._taken + visits * self.timing.visit()
        drain = max(1, 3 - (self.timing.visit() - self.layout.words))
        self._quiet = max(self._quiet, self._taken + 1, self._last + drain if visits else 0)
        return accepted

    def _after_fire(self, search, learns):
        """From a fire to the next rank; if it learns after ``search`` clocks for its unit."""
        return 1 + (search + 1 + self.timing.sweep() if learns else 0)

    def _threshold_step(self, begun, outcomes):
        clock = begun + 1
        for outcome in outcomes:
            clock += WALK
            if outcome is None:
                continue
            clock += self.timing.race_cycles()
            if outcome is False:
                clock += 1
                continue
            clock = self._found(clock, tile_bytes(self.layout.chip) + neuron_bytes(self.layout.chip))
            clock += self.timing.read_out_fire() + self._after_fire(self._search(outcome), bool(outcome))
            clock += 1 + 2 * self.learn
        return clock

    def _races(self, begun, live):
        timing, chip = self.timing, self.layout.chip
        clock = begun + 1
        for is_live in live:
            clock += WALK
            for rank in range(chip.winners if is_live else 0):
                size = neuron_bytes(chip) + (tile_bytes(chip) if rank == 0 else 0)
                clock += timing.race_cycles() if rank % SerialRace.ranks_per_pass(self.layout) == 0 else 0
                clock = self._found(clock, size) + timing.read_out_fire()
                clock += self._after_fire(1, self.learn and rank < chip.learners)
            clock += (1 + 2 * self.learn) if is_live else 0
        return clock

    def _window(self, read, window):
        timing, chip, clock = self.timing, self.layout.chip, read + 1
        for rank in range(chip.winners):
            size = neuron_bytes(chip) + (tile_bytes(chip) if rank == 0 else 0)
            clock += timing.race_cycles() if rank % SerialRace.ranks_per_pass(self.layout) == 0 else 0
            clock = self._found(clock, size) + 1
            if chip.classes:
                clock += timing.read_out_fire() + 1 if window.gains[rank] else 2
        return clock + self.learn * (2 + window.learns * (4 + 2 * timing.sweep()))

    def _dark_sweeps(self, begun, units):
        swept = sum(2 + self.timing.sweep() if pulsing else 3 for traces in units for pulsing in traces)
        return begun + 1 + self.layout.chip.tiles * WALK + swept


class SmallTiming(Timing):
    """Clocks of every event of the small form.

    Parameters
    ----------
    layout : :class:`~ohmspike.hdl.shared.layout.Layout`
    """

    access = 4
    clocks = SmallClocks

    def sweep(self, rows: int | None = None) -> int:
        """A column sweep (SET or RESET), or pulses on ``rows`` rows."""
        return 4 * (self.layout.chip.rows if rows is None else rows) + 4

    def race_cycles(self) -> int:
        """A pass of the race of a tile: from its first neuron to the winners, up to ``ranks_per_pass``."""
        return self.layout.chip.neurons + SerialRace.latency + 1

    def next_winner_cycles(self) -> int:
        """From a winner to the next one of its tile, where it is one of another pass."""
        return self.race_cycles()

    def read_out_fire(self) -> int:
        """Clocks until a fire is added to the read-out, for which everything waits; 0 without one."""
        return self.layout.chip.classes + 3 if self.layout.chip.classes else 0

    def teach(self, rows: int) -> int:
        """SET pulses, or RESET pulses, on ``rows`` rows of the read-out."""
        return self.sweep(rows)

    def end(self, *, learn: bool = False, listed: int = 0) -> int:
        """END, with the leak of thresholds while learning; of a shared crossbar, ``listed`` rows of its read-out."""
        chip = self.layout.chip
        leak = 2 * ArrayMap(self.layout).theta_depth if chip.theta_leak and learn else 0
        if chip.shared:
            return leak + self._forget(listed)
        return 2 + leak + max(chip.lines, chip.tiles, chip.classes)
