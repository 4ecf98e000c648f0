"""Clocks of every event and instruction in the small form, as :mod:`ohmspike.hdl.fast.timing` of the fast one."""

from collections.abc import Iterable, Sequence

from ohmspike.chip.instructions import ANSWER_BYTES, memory, neuron_bytes, tile_bytes
from ohmspike.hdl.shared.layout import Layout

from .race import SerialRace

__all__ = ["Clocks", "answer", "dark", "decide", "end", "find_unit", "label", "next_of_race", "pass_of_race",
           "plastic_visit", "read_out_fire", "search", "sweep", "teach", "visit"]

SPIKE_SPACING = 4
"""Clocks from one spike to the next, at least."""

WALK = 2
"""Clocks to look at a tile in STEP (threshold mode), DECIDE and DARK."""

ACCESS = 4
"""Clocks of an access to one cell of a memory; counters wait until all counting is over first."""


def visit(layout: Layout) -> int:
    """One tile that sees a line: a word per clock, and time to count it."""
    return layout.visit_clocks


def sweep(layout: Layout, rows: int | None = None) -> int:
    """A column sweep (SET or RESET), or pulses on ``rows`` rows."""
    rows = layout.chip.rows if rows is None else rows
    return 4 * rows + 4


def plastic_visit(layout: Layout, pulsing: int, faded: int = 0) -> int:
    """A visit to a tile while learning, once a unit is in use: ``pulsing`` units have a trace > 0, ``faded`` have none.

    Its membranes are written meanwhile, so that an event after it waits 2 clocks less than after a :func:`visit`.
    """
    return (layout.visit_clocks + 1 + pulsing * (2 + sweep(layout, 1)) + faded * 3
            + int(pulsing + faded < layout.chip.learners))


def pass_of_race(layout: Layout) -> int:
    """A pass of the race of a tile: from its first neuron to the winners, up to ``ranks_per_pass``."""
    return layout.chip.neurons + SerialRace.latency + 1


def next_of_race(layout: Layout) -> int:
    """From a winner to the next one of its tile, where it is that of another pass."""
    return pass_of_race(layout)


def find_unit(layout: Layout, used: int, held: int | None = None) -> int:
    """Threshold mode: recharge the unit that holds a neuron (number ``held``), or if none of ``used`` does, another."""
    if held is not None:
        return 2 * (held + 1)
    return 2 * used + 1 + int(used < layout.chip.learners)


def _fire(layout, search):
    """A fire and what follows it until the next rank; ``search`` clocks for its unit, none if it does not learn."""
    return 2 + (search + 1 + sweep(layout) if search else 0)


def read_out_fire(layout: Layout) -> int:
    """Clocks until a fire is added to the read-out, for which everything waits; 0 without one."""
    return layout.chip.classes + 3 if layout.chip.classes else 0


def decide(layout: Layout, live: int, *, learn: bool) -> int:
    """DECIDE with ``live`` live tiles, as long as writing the fires holds nothing up."""
    chip = layout.chip
    tile = 1 + 2 * learn
    for rank in range(chip.winners):
        tile += (pass_of_race(layout) if rank % layout.ranks_per_pass == 0 else 0) + read_out_fire(layout)
        tile += _fire(layout, int(learn and rank < chip.learners))
    return 2 + chip.tiles * WALK + live * tile


def search(layout: Layout) -> int:
    """A search of the best column of the read-out."""
    return layout.chip.classes + 2


def answer(layout: Layout) -> int:
    """ANSWER."""
    return search(layout) + 3


def teach(layout: Layout, rows: int) -> int:
    """SET pulses, or RESET pulses, on ``rows`` rows of the read-out."""
    return sweep(layout, rows)


def label(layout: Layout, taught: int = 0) -> int:
    """LABEL that teaches ``taught`` rows, all that fired; 0 if the lead is large enough."""
    return search(layout) + 4 + (2 * (teach(layout, taught) + 1) if taught else 0)


def dark(layout: Layout, units: int = 0, faded: int = 0) -> int:
    """DARK with ``units`` post-trace units in closed tiles with a trace > 0 while learning, and ``faded`` without."""
    return 2 + layout.chip.tiles * WALK + units * (2 + sweep(layout)) + faded * 3


def end(layout: Layout, *, learn: bool = False) -> int:
    """END, with the leak of the thresholds while learning."""
    chip = layout.chip
    leak = 2 * layout.theta_depth if chip.theta_leak and learn else 0
    return 2 + leak + max(chip.lines, chip.tiles, chip.classes)


class Clocks:
    """The clock at which every instruction of a program is over, if neither its bytes nor its output ever wait.

    Exact, but for spikes after a DECIDE or a learning fire of the same sample: their RESET pulses
    (:func:`plastic_visit`) are not in it.

    Parameters
    ----------
    layout : :class:`Layout`
    learn, report : :class:`bool`
        The registers of these names.
    """

    def __init__(self, layout: Layout, *, learn: bool = False, report: bool = True):
        self.layout, self.learn, self.report = layout, learn, report
        self._now = 0  # clock in which the next opcode is taken
        self._quiet = 0  # first clock without a read under way
        self._taken = self._last = -1  # router: the clock its last line was taken, the clock of its last visit
        self._spoke = -SPIKE_SPACING  # the clock in which the last spike was accepted
        self._written = 0  # first clock in which the record writer is free

    @property
    def total(self) -> int:
        """Clocks from the first byte of the program to its status."""
        return max(self._now, self._quiet, self._written) + 1

    def _line(self, earliest, visits):
        """A line offered to the router in clock ``earliest``: the clock in which it is accepted."""
        self._spoke = accepted = max(earliest, self._taken, self._spoke + SPIKE_SPACING)
        self._taken = max(accepted + 1, self._last)
        self._last = self._taken + visits * visit(self.layout)
        drain = max(1, 3 - (visit(self.layout) - self.layout.words))
        self._quiet = max(self._quiet, self._taken + 1, self._last + drain if visits else 0)
        return accepted

    def spike(self, visits: int):
        """SPIKE on a line that ``visits`` tiles see."""
        self._now = self._line(self._now + 4, visits) + 1

    def frame(self, visits: Sequence[int | None]):
        """FRAME: for every line how many tiles see it, ``None`` where it is silent."""
        clock = max(self._now + 1, self._quiet, self._written) + 1
        for start in range(0, len(visits), 8):
            spikes = [count for count in visits[start:start + 8] if count is not None]
            clock += 1
            for count in spikes:
                clock = self._line(clock + 1, count) + 1
        self._now = clock

    def _event(self, clocks):
        self._now = max(self._now + 1, self._quiet) + clocks

    def step(self, outcomes: Iterable[int | bool | None] = ()):
        """STEP. In threshold mode what became of every tile: not live (``None``), no fire (``False``), or a fire, with
        the clocks of :func:`find_unit`; 0 if it did not learn.
        """
        if self.layout.chip.fire_mode == "race":
            self._event(2)
            return
        clock = max(self._now + 1, self._quiet) + 1
        for outcome in outcomes:
            clock += WALK
            if outcome is not None:
                clock += pass_of_race(self.layout)
                if outcome is False:
                    clock += 1
                    continue
                clock = self._found(clock, tile_bytes(self.layout.chip) + neuron_bytes(self.layout.chip))
                clock += _fire(self.layout, outcome) - 1 + 1 + 2 * self.learn
        self._now = self._closing_record(clock)

    def decide(self, live: Iterable[bool]):
        """DECIDE: for every tile whether it is live."""
        layout, chip = self.layout, self.layout.chip
        clock = max(self._now + 1, self._quiet) + 1
        for is_live in live:
            clock += WALK
            for rank in range(chip.winners if is_live else 0):
                size = neuron_bytes(chip) + (tile_bytes(chip) if rank == 0 else 0)
                clock += pass_of_race(layout) if rank % layout.ranks_per_pass == 0 else 0
                clock = self._found(clock, size) + read_out_fire(layout)
                clock += _fire(layout, 1 if self.learn and rank < chip.learners else 0) - 1
            clock += (1 + 2 * self.learn) if is_live else 0
        self._now = self._closing_record(clock)

    def _found(self, clock, size):
        """A winner is found: its record is taken by the writer, which may still be busy."""
        return self._recorded(clock, size) if self.report else clock + 1

    def _recorded(self, clock, size):
        clock = max(clock, self._written)
        self._written = clock + 1 + size
        return clock + 1

    def _closing_record(self, clock):
        return self._found(clock, tile_bytes(self.layout.chip))

    def dark(self, units: int = 0, faded: int = 0):
        """DARK."""
        self._event(dark(self.layout, units, faded))

    def answer(self):
        """ANSWER."""
        self._event(answer(self.layout) - 1)
        self._now = self._recorded(self._now, ANSWER_BYTES)

    def label(self, taught: int = 0):
        """LABEL: the rows it teaches, all that fired in this sample."""
        self._now += 1
        self._event(label(self.layout, taught))

    def end(self):
        """END."""
        self._event(end(self.layout, learn=self.learn))

    def burst(self, name: str, cells: int, column: int = 0):
        """READ or WRITE of ``cells`` cells from ``column`` on, of any memory but the counters."""
        start = max(self._now + 11 + column, self._quiet) if cells else self._now + 11 + column
        self._now = start + cells * (memory(name).cell_bytes + 1 + ACCESS)
