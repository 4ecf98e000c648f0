"""Clocks of every event and instruction, from the layout and a few facts about the event."""

import sys
from collections.abc import Iterable, Sequence

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.instructions import ANSWER_BYTES, CHECK_BYTES, memory, neuron_bytes, tile_bytes
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.small import timing as cost_small

from .race import Race
from .read_out import ReadOut

__all__ = ["Clocks", "all_units", "answer", "dark", "decide", "end", "find_unit", "image", "label", "longest_silence",
           "next_of_race", "next_sweep", "pass_of_race", "plastic_visit", "sweep", "teach", "visit"]

ACCESS = 5
"""Clocks of an access to one cell of a memory; counters wait until all counting is over first."""


def visit(layout: Layout) -> int:
    """One tile that sees a line: a word per clock."""
    return layout.words


def sweep(layout: Layout, rows: int | None = None) -> int:
    """A column sweep (SET or RESET), or pulses on ``rows`` rows, until nothing of it is under way."""
    return (layout.chip.rows if rows is None else rows) + 6


def next_sweep(layout: Layout, *, same_tile: bool) -> int:
    """From a column sweep to the next one of the same event."""
    return sweep(layout) if same_tile else layout.chip.rows + 1


def plastic_visit(layout: Layout, pulsing: int, faded: int = 0) -> int:
    """A visit to a tile while learning, once a unit is in use: ``pulsing`` units have a trace > 0, ``faded`` have none.

    Its membranes are written meanwhile, so that an event after it waits 2 clocks less than after a :func:`visit`.
    """
    return (layout.words + 1 + pulsing * (2 + sweep(layout, 1)) + faded * 3
            + int(pulsing + faded < layout.chip.learners))


def pass_of_race(layout: Layout) -> int:
    """The race of a tile: from its first word to the winner."""
    return layout.words + Race.latency(layout) + 1


def next_of_race(layout: Layout) -> int:
    """From a winner to the next one of its tile."""
    return Race.latency(layout) if layout.holds_scores else pass_of_race(layout)


def find_unit(layout: Layout, used: int, held: int | None = None) -> int:
    """Threshold mode: recharge the unit that holds a neuron (number ``held``), or if none of ``used`` does, another."""
    if held is not None:
        return 2 * (held + 1)
    return 2 * used + 1 + int(used < layout.chip.learners)


def decide(layout: Layout, live: Sequence[bool], *, learn: bool) -> int:
    """DECIDE, for every tile whether it is live, as long as writing the fires holds nothing up."""
    clocks = Clocks(layout, learn=learn, report=False)
    clocks.decide(live)
    return clocks.event


def search(layout: Layout) -> int:
    """A search of the best column of the read-out."""
    return layout.chip.classes + 2


def answer(layout: Layout) -> int:
    """ANSWER."""
    return search(layout) + 3


def teach(layout: Layout, rows: int) -> int:
    """SET pulses, or RESET pulses, on ``rows`` rows of the read-out."""
    return sweep(layout, rows) + 1


def label(layout: Layout, taught: int = 0) -> int:
    """LABEL that teaches ``taught`` rows, all that fired; 0 if the lead is large enough."""
    return search(layout) + 4 + (2 * (teach(layout, taught) + 1) if taught else 0)


def dark(layout: Layout, units: Sequence[Sequence[bool]]) -> int:
    """DARK, for every tile which of its post-trace units have a trace > 0; none where it did not learn."""
    clocks = Clocks(layout)
    clocks.dark(units)
    return clocks.event


def end(layout: Layout, *, learn: bool = False) -> int:
    """END, with the leak of the thresholds while learning.

    It is the least: END waits until the bank it takes is clear, which takes as many clocks after the END before it as
    there are lines, and one more for every spike in them.
    """
    return 2 + (2 * layout.neuron_depth if layout.chip.theta_leak and learn else 0)


def _free(begun, busy, count):
    """The clock after ``count`` clocks from ``begun`` on that are not among the busy ones."""
    clock = begun + count
    for taken in busy:
        clock += begun <= taken < clock
    return clock


def longest_silence(layout: Layout) -> int:
    """Clocks in which a program may be at work without an event or a cell done, a byte taken or put out: at most this.

    The worst event after the worst spike, every tile live, every unit with a trace, nothing overlapping.
    """
    chip, form = layout.chip, cost_small if layout.small else sys.modules[__name__]
    seen = int(np.bincount(chip.row_lines.ravel(), minlength=chip.lines).max())
    fired = chip.tiles * chip.winners
    swept = form.sweep(layout) + 3
    fire = form.pass_of_race(layout) + 3 * (chip.learners + 1) + swept + chip.classes + 7
    events = [
        fired * fire + chip.tiles * 10,  # STEP, DECIDE
        chip.tiles * (chip.learners * swept + 4) + swept,  # DARK
        2 * (chip.lines + chip.tiles + chip.tiles * chip.neurons * 2) + chip.classes + 4,  # END
        chip.classes + 7 + 2 * (form.sweep(layout, fired) + 2),  # LABEL
    ]
    cell = 11 + max(chip.neurons, chip.levels) + 8 * 8 + ACCESS
    return seen * form.plastic_visit(layout, chip.learners) + max(events) + cell


class Clocks:
    """The clock at which every instruction of a program is over, if neither its bytes nor its output ever wait.

    Exact, but for spikes after a DECIDE or a learning fire of the same sample: their RESET pulses
    (:func:`plastic_visit`) are not in it. The program finds the bank clear that its first END takes.

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
        self._written = 0  # first clock in which the record writer is free
        self._swept = None  # last sweep of this event: the clock it was accepted, and its tile
        self._emptied = 0  # first clock in which the bank in the background may have been written
        self._stamped, self._noted = [], []  # clocks since then that write line stamps, and tile states
        self.event = 0  # clocks of the last event but SPIKE and FRAME

    @property
    def total(self) -> int:
        """Clocks from the first byte of the program to its status."""
        return max(self._now, self._quiet, self._written) + 1

    def _line(self, earliest, visits):
        """A line offered to the router in clock ``earliest``: the clock in which it is accepted."""
        accepted = max(earliest, self._taken)
        self._taken = max(accepted + 1, self._last)
        self._last = self._taken + visits * visit(self.layout)
        self._stamped.append(accepted)
        self._noted += range(self._taken + 2, self._last + 2, visit(self.layout))
        self._quiet = max(self._quiet, self._taken + 1, self._last + 3 if visits else 0)
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

    def _begin(self):
        """An event other than a spike is taken: the clock."""
        self._swept = None
        return max(self._now + 1, self._quiet)

    def _over(self, begun, clock):
        """The event is over in a clock."""
        self.event, self._now = clock - begun + 1, clock + 1

    def _event(self, clocks):
        begun = self._begin()
        self._over(begun, begun + clocks - 1)

    def _walk(self, begun, tasks, act):
        """Seek and act on tiles: ``act`` tells from the clock in which a tile is taken in which it is left; the clock
        in which walk and sweeps are over. A task is ``None`` for a tile that is passed over.
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
        return max(clock, self._swept[0] + sweep(self.layout)) if self._swept else clock

    def _sweep(self, tile, clock):
        """A sweep is wanted in a clock: when it is accepted."""
        if self._swept:
            last, of = self._swept
            clock = max(clock, last + next_sweep(self.layout, same_tile=tile == of))
        self._swept = clock, tile
        return clock

    def step(self, outcomes: Iterable[int | bool | None] = ()):
        """STEP. In threshold mode what became of every tile: not live (``None``), no fire (``False``), or a fire, with
        the clocks of :func:`find_unit`; 0 if it did not learn.
        """
        layout = self.layout
        if layout.chip.fire_mode == "race":
            self._event(2)
            return

        def act(tile, outcome, taken):
            clock = taken + pass_of_race(layout)
            if outcome is False:
                return clock
            clock = self._found(clock, tile_bytes(layout.chip) + neuron_bytes(layout.chip)) - 1
            if outcome:
                clock = self._sweep(tile, clock + outcome + 1) + 2
            self._noted.append(clock + 1)
            return clock + 1

        begun = self._begin()
        self._over(begun, self._closing_record(self._walk(begun, outcomes, act)) - 1)

    def decide(self, live: Iterable[bool]):
        """DECIDE: for every tile whether it is live."""
        layout, chip = self.layout, self.layout.chip

        def act(tile, _, taken):
            self._noted.append(taken + 1)
            clock = taken
            for rank in range(chip.winners):
                clock += next_of_race(layout) if rank else pass_of_race(layout)
                clock = self._found(clock, neuron_bytes(chip) + (0 if rank else tile_bytes(chip))) - 1
                if chip.classes:
                    self._quiet = clock + ReadOut.latency
                if self.learn and rank < chip.learners:
                    clock = self._sweep(tile, clock + 2)
            return clock + 2 * self.learn

        begun = self._begin()
        tasks = [True if is_live else None for is_live in live]
        self._over(begun, self._closing_record(self._walk(begun, tasks, act)) - 1)

    def _found(self, clock, size):
        """A winner is found: its record is taken by the writer, which may still be busy."""
        return self._recorded(clock, size) if self.report else clock + 1

    def _recorded(self, clock, size):
        clock = max(clock, self._written)
        self._written = clock + 1 + size
        return clock + 1

    def _closing_record(self, clock):
        return self._found(clock, tile_bytes(self.layout.chip))

    def dark(self, units: Iterable[Sequence[bool]]):
        """DARK: for every tile which of its post-trace units have a trace > 0; none where it did not learn."""
        def act(tile, traces, taken):
            for pulsing in traces:
                taken = self._sweep(tile, taken + 2) if pulsing else taken + 2
            return taken

        begun = self._begin()
        self._over(begun, self._walk(begun, [list(traces) or None for traces in units], act))

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
        layout, chip = self.layout, self.layout.chip
        begun = self._begin()
        clock = begun + end(layout, learn=self.learn) - 1
        if self._emptied:
            clock = max(clock, _free(self._emptied, self._stamped, chip.lines),
                        _free(self._emptied, self._noted, chip.tiles))
        self._over(begun, clock)
        self._emptied, self._stamped, self._noted = clock + 1, [], []

    def burst(self, name: str, cells: int, column: int = 0):
        """READ or WRITE of ``cells`` cells from ``column`` on, of any memory but the counters."""
        start = max(self._now + 11 + column, self._quiet) if cells else self._now + 11 + column
        self._now = start + cells * (memory(name).cell_bytes + 1 + ACCESS)

    def check(self, name: str, cells: int, column: int = 0):
        """CHECK alike: 8 clocks a byte, 4 bytes of output."""
        start = max(self._now + 11 + column, self._quiet) if cells else self._now + 11 + column
        self._now = start + cells * (8 * memory(name).cell_bytes + 1 + ACCESS) + CHECK_BYTES


def image(layout: Layout, visits: Sequence[int | None], live: Sequence[bool], *, bins: int = 1, learn: bool,
          answered: bool = False, taught: bool | None = None) -> int:
    """Clocks of a latency-coded image: FRAMEs with a STEP between two, DECIDE, ANSWER, LABEL, while learning DARK, END.

    Parameters
    ----------
    layout : :class:`Layout`
    visits : sequence
        For every line how many tiles see it, ``None`` if its pixel is dark. The lines are dealt to the bins in turn.
    live : sequence
        For every tile whether it is live at DECIDE.
    answered : :class:`bool`
        There is an ANSWER.
    taught : :class:`bool`, optional
        There is a LABEL, and whether it teaches.
    """
    clocks = (cost_small if layout.small else sys.modules[__name__]).Clocks(layout, learn=learn)
    for bin_ in range(bins):
        if bin_:
            clocks.step()
        clocks.frame([count if line % bins == bin_ else None for line, count in enumerate(visits)])
    clocks.decide(live)
    if answered:
        clocks.answer()
    if taught is not None:
        clocks.label(taught * sum(live) * layout.chip.winners)
    if learn:
        clocks.dark(sum(live) * layout.chip.learners if layout.small else all_units(layout.chip, live))
    clocks.end()
    return clocks.total


def all_units(chip, live):
    """The units of the live tiles after a learning DECIDE."""
    return [[True] * chip.learners if is_live else [] for is_live in live]


def blob(chip: Chip, spikes: int) -> tuple[list[int | None], list[bool]]:
    """A stand-in for an image, the ``spikes`` lines nearest to the centre: what :func:`image` asks about it."""
    y, x = np.divmod(np.arange(chip.lines), chip.plane_width)
    distance = (2 * y + 1 - chip.plane_height) ** 2 + (2 * x + 1 - chip.plane_width) ** 2
    lit = np.zeros(chip.lines, bool)
    lit[np.argsort(distance, kind="stable")[:spikes]] = True
    seen = np.bincount(chip.row_lines.ravel(), minlength=chip.lines)
    live = lit[chip.row_lines].sum(1) >= chip.min_spikes
    return [int(count) if on else None for count, on in zip(seen, lit, strict=True)], live.tolist()


def report(presets: dict[str, Sequence[tuple[int, int]]], spikes: int = 150) -> str:
    """The cost table of docs/architecture.md: for presets with a read-out their choices of lanes and level ports."""
    heads = ["chip (live tiles)", "lanes", "ports", "visit", "sweep", "race", "next", "DECIDE", "DECIDE, learning",
             "DARK", "ANSWER", "LABEL, taught", "END", "image", "image, learning", "image, taught"]
    lines = [heads, ["---"] * len(heads)]
    for name, choices in presets.items():
        chip = Chip.preset(name)
        visits, live = blob(chip, spikes)
        count = sum(live)
        for lanes, ports in choices:
            layout = Layout(chip, lanes, level_ports=ports)
            form = cost_small if layout.small else sys.modules[__name__]
            tiles, units = (count, count * chip.learners) if layout.small else (live, all_units(chip, live))
            costs = [lanes, ports, form.visit(layout), form.sweep(layout), form.pass_of_race(layout),
                     form.next_of_race(layout), form.decide(layout, tiles, learn=False),
                     form.decide(layout, tiles, learn=True), form.dark(layout, units), form.answer(layout),
                     form.label(layout, count * chip.winners), form.end(layout),
                     image(layout, visits, live, learn=False, answered=True), image(layout, visits, live, learn=True),
                     image(layout, visits, live, learn=False, taught=True)]
            lines.append([f"{name} ({count})", *(f"{value:,}" for value in costs)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(report({
        "tiles": ((16, 2), (32, 2), (64, 2)), "up5k": ((5, 1), (8, 2), (20, 2)), "paper400": ((16, 2), (50, 2)),
        "paper": ((16, 2), (50, 2), (100, 2))}))
