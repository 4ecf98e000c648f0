"""What the clocks of both forms have in common: events by their parts, and a simulator of programs."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from ohmspike.chip.instructions import ANSWER_BYTES, CHECK_BYTES, memory, tile_bytes

from .layout import Layout

__all__ = ["Clocks", "Timing", "all_units"]


class Timing:
    """Clocks of every event of a form, from the layout and a few facts about the event.

    :class:`ohmspike.hdl.fast.timing.FastTiming` and :class:`ohmspike.hdl.small.timing.SmallTiming` take the same
    arguments; ``tests/hdl/test_timing*.py`` measure all that is stated here in the gates.

    Parameters
    ----------
    layout : :class:`Layout`
    """

    access: ClassVar[int]
    """Clocks of an access to one cell of a memory; counters wait until all counting is over first."""

    clocks: ClassVar[type["Clocks"]]
    """The simulator of this form."""

    def __init__(self, layout: Layout):
        self.layout = layout

    def visit(self) -> int:
        """One tile that sees a line: a word per clock, and in the small form time to count it."""
        return self.layout.visit_clocks

    def plastic_visit(self, pulsing: int, faded: int = 0) -> int:
        """A visit to a tile while learning, once a unit is in use: ``pulsing`` have a trace > 0, ``faded`` have none.

        Its membranes are written meanwhile, so that an event after it waits 2 clocks less than after a :meth:`visit`.
        """
        return (self.visit() + 1 + pulsing * (2 + self.sweep(1)) + faded * 3
                + int(pulsing + faded < self.layout.chip.learners))

    def sweep(self, rows: int | None = None) -> int:
        """A column sweep (SET or RESET), or pulses on ``rows`` rows, until nothing of it is under way."""
        raise NotImplementedError

    def race_cycles(self) -> int:
        """The race of a tile: from its first word or neuron to the winner, or to the winners of a pass."""
        raise NotImplementedError

    def next_winner_cycles(self) -> int:
        """From a winner to the next one of its tile; in the small form, where that is one of another pass."""
        raise NotImplementedError

    def find_unit(self, used: int, held: int | None = None) -> int:
        """Threshold mode: recharge the unit that holds a neuron (number ``held``), else one more than ``used``."""
        if held is not None:
            return 2 * (held + 1)
        return 2 * used + 1 + int(used < self.layout.chip.learners)

    def decide(self, live: Sequence[bool], *, learn: bool) -> int:
        """DECIDE, for every tile whether it is live, as long as writing the fires holds nothing up."""
        clocks = self.clocks(self, learn=learn, report=False)
        clocks.decide(live)
        return clocks.event

    def search(self) -> int:
        """A search of the best column of the read-out."""
        return self.layout.chip.classes + 2

    def answer(self) -> int:
        """ANSWER."""
        return self.search() + 3

    def teach(self, rows: int) -> int:
        """SET pulses, or RESET pulses, on ``rows`` rows of the read-out."""
        raise NotImplementedError

    def label(self, taught: int = 0) -> int:
        """LABEL that teaches ``taught`` rows, all that fired; 0 if the lead is large enough."""
        return self.search() + 4 + (2 * (self.teach(taught) + 1) if taught else 0)

    def dark(self, units: Sequence[Sequence[bool]]) -> int:
        """DARK, for every tile which of its post-trace units have a trace > 0; none where it did not learn."""
        clocks = self.clocks(self)
        clocks.dark(units)
        return clocks.event

    def end(self, *, learn: bool = False) -> int:
        """END, with the leak of the thresholds while learning."""
        raise NotImplementedError


def all_units(chip, live: Iterable[bool]) -> list[list[bool]]:
    """The units of the live tiles after a learning DECIDE, as :meth:`Timing.dark` asks for them."""
    return [[True] * chip.learners if is_live else [] for is_live in live]


class Clocks:
    """The clock at which every instruction of a program is over, if neither its bytes nor its output ever wait.

    Exact, but for spikes after a DECIDE or a learning fire of the same sample: their RESET pulses
    (:meth:`Timing.plastic_visit`) are not in it.

    Parameters
    ----------
    timing : :class:`Timing`
    learn, report : :class:`bool`
        The registers of these names.
    """

    def __init__(self, timing: Timing, *, learn: bool = False, report: bool = True):
        self.timing, self.layout, self.learn, self.report = timing, timing.layout, learn, report
        self.event = 0  # clocks of the last event but SPIKE and FRAME
        self._now = 0  # clock in which the next opcode is taken
        self._quiet = 0  # first clock without a read under way
        self._taken = self._last = -1  # router: the clock its last line was taken, the clock of its last visit
        self._written = 0  # first clock in which the record writer is free

    @property
    def total(self) -> int:
        """Clocks from the first byte of the program to its status."""
        return max(self._now, self._quiet, self._written) + 1

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

    def step(self, outcomes: Iterable[int | bool | None] = ()):
        """STEP. In threshold mode what became of every tile.

        Not live (``None``), no fire (``False``), or a fire, with the clocks of :meth:`Timing.find_unit`; 0 if it did
        not learn. With depression at the post spike there are no units, and any other number says that it did.
        """
        if self.layout.chip.fire_mode == "race":
            self._event(2)
        else:
            begun = self._begin()
            self._over(begun, self._closing_record(self._threshold_step(begun, outcomes)) - 1)

    def decide(self, live: Iterable[bool]):
        """DECIDE: for every tile whether it is live."""
        begun = self._begin()
        self._over(begun, self._closing_record(self._races(begun, live)) - 1)

    def dark(self, units: Iterable[Sequence[bool]]):
        """DARK: for every tile which of its post-trace units have a trace > 0; none where it did not learn."""
        begun = self._begin()
        self._over(begun, self._dark_sweeps(begun, units))

    def answer(self):
        """ANSWER."""
        self._event(self.timing.answer() - 1)
        self._now = self._recorded(self._now, ANSWER_BYTES)

    def label(self, taught: int = 0):
        """LABEL: the rows it teaches, all that fired in this sample."""
        self._now += 1
        self._event(self.timing.label(taught))

    def end(self):
        """END."""
        begun = self._begin()
        self._over(begun, self._cleared(begun + self.timing.end(learn=self.learn) - 1))

    def burst(self, name: str, cells: int, column: int = 0):
        """READ or WRITE of ``cells`` cells from ``column`` on, of any memory but the counters."""
        self._cells(cells, column, memory(name).cell_bytes)

    def check(self, name: str, cells: int, column: int = 0):
        """CHECK alike: 8 clocks a byte, 4 bytes of output."""
        self._cells(cells, column, 8 * memory(name).cell_bytes)
        self._now += CHECK_BYTES

    def _cells(self, cells, column, clocks):
        start = max(self._now + 11 + column, self._quiet) if cells else self._now + 11 + column
        self._now = start + cells * (clocks + 1 + self.timing.access)

    def _begin(self):
        """An event other than a spike is taken: the clock."""
        return max(self._now + 1, self._quiet)

    def _over(self, begun, clock):
        """The event is over in a clock."""
        self.event, self._now = clock - begun + 1, clock + 1

    def _event(self, clocks):
        begun = self._begin()
        self._over(begun, begun + clocks - 1)

    def _found(self, clock, size):
        """A winner is found: its record is taken by the writer, which may still be busy."""
        return self._recorded(clock, size) if self.report else clock + 1

    def _recorded(self, clock, size):
        clock = max(clock, self._written)
        self._written = clock + 1 + size
        return clock + 1

    def _closing_record(self, clock):
        return self._found(clock, tile_bytes(self.layout.chip))

    def _search(self, outcome):
        """Clocks in which a learning fire of threshold mode looks for its unit, if there are any."""
        return 0 if self.layout.chip.depression == "post" else outcome

    # what a form provides

    def _line(self, earliest: int, visits: int) -> int:
        """A line offered to the router in clock ``earliest``: the clock in which it is accepted."""
        raise NotImplementedError

    def _threshold_step(self, begun: int, outcomes) -> int:
        """STEP in threshold mode, begun in a clock: when its closing record can be written."""
        raise NotImplementedError

    def _races(self, begun: int, live) -> int:
        """DECIDE, begun in a clock: when its closing record can be written."""
        raise NotImplementedError

    def _dark_sweeps(self, begun: int, units) -> int:
        """DARK, begun in a clock: its last clock."""
        raise NotImplementedError

    def _cleared(self, clock: int) -> int:
        """END could be over in a clock: its last clock."""
        return clock
