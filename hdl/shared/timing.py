"""What the clocks of both forms have in common: events by their parts, and a simulator of programs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from ohmspike.chip.instructions import ANSWER_BYTES, CHECK_BYTES, memory, tile_bytes

from .layout import Layout

__all__ = ["Clocks", "Timing", "Window", "all_units"]


@dataclass(frozen=True)
class Window:
    """What the clocks of a window of a shared crossbar depend on.

    Parameters
    ----------
    noted : :class:`tuple` of :class:`int`
        Noted lines in every word of it, ``layout.noted_rows`` of them.
    learns : :class:`bool`
        It learns, if the register ``learn`` is set: the draw is below ``learn_share``.
    gains : :class:`tuple` of :class:`bool`
        For every rank whether its fire is above the best place of its row; of no use without a read-out.
    listed : :class:`int`
        Rows of the read-out that join the list.
    """

    noted: tuple[int, ...]
    learns: bool = False
    gains: tuple[bool, ...] = ()
    listed: int = 0


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

    def decide(self, live: Sequence[bool] | Sequence[Window], *, learn: bool) -> int:
        """DECIDE, for every tile whether it is live, as long as writing the fires holds nothing up.

        Of a shared crossbar, every :class:`Window`.
        """
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

    def end(self, *, learn: bool = False, listed: int = 0) -> int:
        """END, with the leak of thresholds while learning; of a shared crossbar, ``listed`` rows of its read-out."""
        raise NotImplementedError

    def _forget(self, listed: int) -> int:
        """END of a shared crossbar without a leak: its noted lines and best places, a word and a row a clock."""
        layout = self.layout
        scores = layout.chip.classes + 1 if layout.small else 0
        return 2 + max(layout.noted_depth, listed + 1 if layout.chip.classes else 0, scores)


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
        self._now = self._accept(self._now + 4, visits) + 1

    def frame(self, visits: Sequence[int | None]):
        """FRAME: for every line how many tiles see it, ``None`` where it is silent."""
        clock = max(self._now + 1, self._quiet, self._written) + 1
        for start in range(0, len(visits), 8):
            spikes = [count for count in visits[start:start + 8] if count is not None]
            clock += 1
            for count in spikes:
                clock = self._accept(clock + 1, count) + 1
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

    def decide(self, live: Iterable[bool] | Iterable[Window]):
        """DECIDE: for every tile whether it is live; of a shared crossbar, every :class:`Window`."""
        begun = self._begin()
        walked = self._windows(begun, live) if self.layout.chip.shared else self._races(begun, live)
        self._over(begun, self._closing_record(walked) - 1)

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

    def end(self, listed: int = 0):
        """END; of a shared crossbar, the rows of its read-out that are listed."""
        begun = self._begin()
        self._over(begun, self._cleared(begun + self.timing.end(learn=self.learn, listed=listed) - 1))

    def burst(self, name: str, cells: int, column: int = 0):
        """READ or WRITE of ``cells`` cells from ``column`` on, of any memory but the counters."""
        self._cells(cells, column, memory(name).cell_bytes)

    def check(self, name: str, cells: int, column: int = 0):
        """CHECK alike: 8 clocks a byte, 4 bytes of output."""
        self._cells(cells, column, 8 * memory(name).cell_bytes)
        self._now += CHECK_BYTES

    def _accept(self, earliest, visits):
        """A line in a clock: the clock in which it is accepted. A shared crossbar notes it in the next."""
        return earliest + 1 if self.layout.chip.shared else self._line(earliest, visits)

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

    def _windows(self, begun, windows):
        """Walk over the windows of a shared crossbar: when the closing record can be written.

        A window is sought in ``noted_rows + 3`` clocks, in the fast form while the one before it is acted on.
        """
        layout = self.layout
        sought, free, waiting = begun + 1, begun + 1, begun + 1
        for window in windows:
            found = sought + layout.noted_rows + 3
            sought = found
            if sum(window.noted) < layout.chip.min_spikes:
                continue
            taken = max(found, free)
            read = taken + _clocks_of_reads(window.noted, layout.words, layout.visit_clocks)
            left = self._window(read, window)
            sought, free, waiting = (left if layout.small else taken) + 1, left, left + 1
        return max(sought, waiting) + 1

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

    def _window(self, read: int, window: Window) -> int:
        """A window of a shared crossbar, read in a clock: the clock in which it is left."""
        raise NotImplementedError

    def _dark_sweeps(self, begun: int, units) -> int:
        """DARK, begun in a clock: its last clock."""
        raise NotImplementedError

    def _cleared(self, clock: int) -> int:
        """END could be over in a clock: its last clock."""
        return clock


@cache
def _clocks_of_reads(noted: tuple[int, ...], words: int, visit_clocks: int) -> int:
    """From the clock in which a window is taken to the one in which all its reads are over.

    What the reader of :class:`~ohmspike.hdl.shared.windows.Windows` does, clock after clock: words are loaded, their
    bits become visits, one waiting behind the one under way.
    """
    clock, loaded, bits, waits, visit, addressed = 0, -1, 0, False, False, 0
    issued: list[int] = []
    while True:
        clock += 1
        over = visit and addressed == visit_clocks - 1
        moves = not visit or over
        shifts = not waits or moves
        loads = 0 <= loaded < len(noted) and (bits == 0 or (shifts and bits == 1))
        if not (visit or waits or bits or loaded < len(noted)) and clock > max(issued, default=0) + 2:
            return clock
        if visit and addressed < words:
            issued.append(clock)
        addressed = 0 if over or not visit else addressed + 1
        if moves:
            visit = waits
        if shifts:
            waits, bits = bits > 0, max(0, bits - 1)
        if loaded < 0:
            loaded = 0
        elif loads:
            bits, loaded = noted[loaded], loaded + 1
