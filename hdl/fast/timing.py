"""Clocks of every event and instruction of the fast form."""

from collections.abc import Sequence

from ohmspike.chip.instructions import neuron_bytes, tile_bytes
from ohmspike.hdl.shared.timing import Clocks, Timing

from .pulses import Pulses
from .race import Race
from .read_out import ReadOut

__all__ = ["FastClocks", "FastTiming"]


class FastClocks(Clocks):
    """The clocks of programs in the fast form; the program finds the bank clear that its first END takes.

    Parameters
    ----------
    timing, learn, report
        As for :class:`~ohmspike.hdl.shared.timing.Clocks`.
    """

    def __init__(self, timing: "FastTiming", *, learn: bool = False, report: bool = True):
        super().__init__(timing, learn=learn, report=report)
        self._swept = None  # last sweep of this event: the clock it was accepted, and its tile
        self._emptied = 0  # first clock in which the bank in the background may have been written
        self._stamped, self._noted = [], []  # clocks since then that write line stamps, and tile states

    def _line(self, earliest, visits):
        accepted = max(earliest, self._taken)
        self._taken = max(accepted + 1, self._last)
        self._last = self._taken + visits * self.timing.visit()
        self._stamped.append(accepted)
        self._noted += range(self._taken + 2, self._last + 2, self.timing.visit())
        self._quiet = max(self._quiet, self._taken + 1, self._last + 3 if visits else 0)
        return accepted

    def _begin(self):
        self._swept = None
        return super()._begin()

    def _walk(self, begun, tasks, act):
        """Seek tiles and act on them: the clock in which walk and sweeps are over.

        ``act`` gives the clock in which a tile is left from that in which it is taken. A task is ``None`` for a tile
        that is passed over.
        """
        tested, free, waiting = begun + 2, begun + 1, begun + 1
        for tile, task in enumerate(tasks):
            if task is None:
                tested += 1
                continue
            taken = max(tested + 1, free)
            left = act(tile, task, taken)
            tested, free, waiting = taken + 1, left, left + 1
        clock = max(tested, waiting) + 1
        return max(clock, self._swept[0] + self.timing.sweep()) if self._swept else clock

    def _sweep(self, tile, clock):
        """A sweep is wanted in a clock: when it is accepted."""
        if self._swept:
            last, of = self._swept
            clock = max(clock, last + self.timing.next_sweep(same_tile=tile == of))
        self._swept = clock, tile
        return clock

    def _threshold_step(self, begun, outcomes):
        def act(tile, outcome, taken):
            clock = taken + self.timing.race_cycles()
            if outcome is False:
                return clock
            clock = self._found(clock, tile_bytes(self.layout.chip) + neuron_bytes(self.layout.chip)) - 1
            if self.layout.chip.classes:
                self._quiet = clock + ReadOut.latency
            if outcome:
                clock = self._sweep(tile, clock + self._search(outcome) + 1) + 2
            self._noted.append(clock + 1)
            return clock + 1

        return self._walk(begun, outcomes, act)

    def _races(self, begun, live):
        timing, chip = self.timing, self.layout.chip

        def act(tile, _, taken):
            self._noted.append(taken + 1)
            clock = taken
            for rank in range(chip.winners):
                clock += timing.next_winner_cycles() if rank else timing.race_cycles()
                clock = self._found(clock, neuron_bytes(chip) + (0 if rank else tile_bytes(chip))) - 1
                if chip.classes:
                    self._quiet = clock + ReadOut.latency
                if self.learn and rank < chip.learners:
                    clock = self._sweep(tile, clock + 2)
            return clock + 2 * self.learn

        return self._walk(begun, [True if is_live else None for is_live in live], act)

    def _window(self, read, window):
        timing, chip, clock = self.timing, self.layout.chip, read
        for rank in range(chip.winners):
            clock += timing.next_winner_cycles() if rank else timing.race_cycles()
            clock = self._found(clock, neuron_bytes(chip) + (0 if rank else tile_bytes(chip))) - 1
            if chip.classes:
                self._quiet = clock + ReadOut.latency
        return clock + self.learn * (3 + window.learns * (4 + 2 * timing.sweep()))

    def _dark_sweeps(self, begun, units):
        def act(tile, traces, taken):
            for pulsing in traces:
                taken = self._sweep(tile, taken + 2) if pulsing else taken + 2
            return taken

        return self._walk(begun, [list(traces) or None for traces in units], act)

    def _cleared(self, clock):
        chip = self.layout.chip
        if chip.shared:
            return clock
        if self._emptied:
            clock = max(clock, _free(self._emptied, self._stamped, chip.lines),
                        _free(self._emptied, self._noted, chip.tiles))
        self._emptied, self._stamped, self._noted = clock + 1, [], []
        return clock


class FastTiming(Timing):
    """Clocks of every event of the fast form.

    Parameters
    ----------
    layout : :class:`~ohmspike.hdl.shared.layout.Layout`
    """

    access = 5
    clocks = FastClocks

    def sweep(self, rows: int | None = None) -> int:
        """A column sweep (SET or RESET), or pulses on ``rows`` rows, until nothing of it is under way."""
        return (self.layout.chip.rows if rows is None else rows) + 6

    def next_sweep(self, *, same_tile: bool) -> int:
        """From a column sweep to the next one of the same event."""
        return self.sweep() if same_tile else self.layout.chip.rows + 1

    def race_cycles(self) -> int:
        """The race of a tile: from its first word to the winner."""
        return self.layout.words + Race.latency(self.layout) + 1

    def next_winner_cycles(self) -> int:
        """From a winner to the next one of its tile."""
        return Race.latency(self.layout) if self.layout.holds_scores else self.race_cycles()

    def teach(self, rows: int) -> int:
        """SET pulses, or RESET pulses, on ``rows`` rows of the read-out."""
        if self.layout.chip.fire_mode == "threshold":
            rows = Pulses.SPACING * (rows - 1) + 1
        return self.sweep(rows) + 1

    def end(self, *, learn: bool = False, listed: int = 0) -> int:
        """END, with the leak of the thresholds while learning; of a shared crossbar, ``listed`` rows of its read-out.

        It is the least: END waits until the bank it takes is clear, which takes as many clocks after the END before it
        as there are lines, and one more for every spike in them. A shared crossbar has no banks.
        """
        leak = 2 * self.layout.neuron_depth if self.layout.chip.theta_leak and learn else 0
        return leak + (self._forget(listed) if self.layout.chip.shared else 2)


def _free(begun: int, busy: Sequence[int], count: int) -> int:
    """The clock after ``count`` clocks from ``begun`` on that are not among the busy ones."""
    clock = begun + count
    for taken in busy:
        clock += begun <= taken < clock
    return clock
