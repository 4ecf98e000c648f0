"""Clocks of every event and instruction, from the layout and a few facts about the event."""

import sys
from collections.abc import Iterable, Sequence

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.instructions import ANSWER_BYTES, CHECK_BYTES, memory, neuron_bytes, tile_bytes

from .layout import Layout
from .race import Race

__all__ = ["Clocks", "answer", "dark", "decide", "end", "find_unit", "image", "label", "longest_silence",
           "pass_of_race", "plastic_visit",
           "read_out_fire", "sweep", "teach", "visit"]

WALK = 2
"""Clocks to look at a tile in STEP (threshold mode), DECIDE and DARK."""

ACCESS = 4
"""Clocks of an access to one cell of a memory; counters wait until all counting is over first."""


def visit(layout: Layout) -> int:
    """One tile that sees a line: a word per clock."""
    return layout.words


def sweep(layout: Layout, rows: int | None = None) -> int:
    """A column sweep (SET or RESET), or pulses on ``rows`` rows."""
    rows = layout.chip.rows if rows is None else rows
    return 4 * rows + 4 if layout.small else rows + 8


def plastic_visit(layout: Layout, pulsing: int, faded: int = 0) -> int:
    """A visit to a tile while learning, once a unit is in use: ``pulsing`` units have a trace > 0, ``faded`` have none.

    Its membranes are written meanwhile, so that an event after it waits 2 clocks less than after a :func:`visit`.
    """
    return (layout.words + 1 + pulsing * (2 + sweep(layout, 1)) + faded * 3
            + int(pulsing + faded < layout.chip.learners))


def pass_of_race(layout: Layout) -> int:
    """One race of a tile: from its first word to the winner."""
    return layout.words + Race.latency(layout.lanes) + 1


def find_unit(layout: Layout, used: int, held: int | None = None) -> int:
    """Threshold mode: recharge the unit that holds a neuron (number ``held``), or if none of ``used`` does, another."""
    if held is not None:
        return 2 * (held + 1)
    return 2 * used + 1 + int(used < layout.chip.learners)


def _fire(layout, search):
    """A fire and what follows it until the next rank; ``search`` clocks for its unit, none if it does not learn."""
    return 2 + (search + 1 + sweep(layout) if search else 0)


def read_out_fire(pulses: int) -> int:
    """A fire of ``pulses`` read pulses keeps the read-out from taking the next."""
    return pulses + 2


def decide(layout: Layout, live: int, *, learn: bool) -> int:
    """DECIDE with ``live`` live tiles, as long as writing the fires holds nothing up.

    A race that finds its winner before the read-out has added the pulses of the rank before waits for it.
    """
    chip = layout.chip
    tile = 1 + 2 * learn
    for rank, pulses in enumerate(chip.pulses_of_rank):
        clocks = pass_of_race(layout) + _fire(layout, 1 if learn and rank < chip.learners else 0)
        tile += max(clocks, read_out_fire(pulses)) if chip.classes and rank < chip.winners - 1 else clocks
    return 2 + chip.tiles * WALK + live * tile


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


def dark(layout: Layout, units: int = 0, faded: int = 0) -> int:
    """DARK with ``units`` post-trace units in closed tiles with a trace > 0 while learning, and ``faded`` without."""
    return 2 + layout.chip.tiles * WALK + units * (2 + sweep(layout)) + faded * 3


def end(layout: Layout, *, learn: bool = False) -> int:
    """END, with the leak of the thresholds while learning."""
    chip = layout.chip
    leak = 2 * layout.neuron_depth if chip.theta_leak and learn else 0
    return 2 + leak + max(chip.lines, chip.tiles)


def longest_silence(layout: Layout) -> int:
    """Clocks in which a program may be at work without an event or a cell done, a byte taken or put out: at most this.

    The worst event after the worst spike, every tile live, every unit with a trace.
    """
    chip = layout.chip
    seen = int(np.bincount(chip.row_lines.ravel(), minlength=chip.lines).max())
    events = [end(layout, learn=True), dark(layout, chip.tiles * chip.learners), decide(layout, chip.tiles, learn=True)]
    if chip.fire_mode == "threshold":
        fire = _fire(layout, find_unit(layout, chip.learners))
        events.append(2 + chip.tiles * (WALK + pass_of_race(layout) + fire + 3))
    if chip.classes:
        fired = chip.tiles * chip.winners
        events += [label(layout, fired), events[-1] + fired * (chip.winners + chip.classes + 4)]
    cell = 11 + max(chip.neurons, chip.levels) + 8 * 8 + ACCESS
    longest = seen * plastic_visit(layout, chip.learners) + max(events) + cell
    return longest if layout.level_ports > 1 else 4 * longest + chip.tiles * chip.neurons * (chip.winners + 4)


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
        self._written = 0  # first clock in which the record writer is free
        self._added = 0  # first clock in which the read-out takes a fire

    @property
    def total(self) -> int:
        """Clocks from the first byte of the program to its status."""
        return max(self._now, self._quiet, self._written) + 1

    def _line(self, earliest, visits):
        """A line offered to the router in clock ``earliest``: the clock in which it is accepted."""
        accepted = max(earliest, self._taken)
        self._taken = max(accepted + 1, self._last)
        self._last = self._taken + visits * visit(self.layout)
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

    def _event(self, clocks):
        self._now = max(self._now + 1, self._quiet) + clocks

    def step(self, outcomes: Iterable[int | bool | None] = ()):
        """STEP. In threshold mode what became of every tile: not live (``None``), no fire (``False``), or a fire, with
        the clocks of :func:`find_unit`; 0 if it did not learn."""
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
                clock = self._found(max(clock + pass_of_race(layout), self._added), size)
                if chip.classes:
                    self._added = clock - 1 + read_out_fire(chip.pulses_of_rank[rank])
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
    clocks = Clocks(layout, learn=learn)
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
        clocks.dark(units=sum(live) * layout.chip.learners)
    clocks.end()
    return clocks.total


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
    heads = ["chip (live tiles)", "lanes", "ports", "visit", "sweep", "race", "DECIDE", "DECIDE, learning", "DARK",
             "ANSWER", "LABEL, taught", "END", "image", "image, learning", "image, taught"]
    lines = [heads, ["---"] * len(heads)]
    for name, choices in presets.items():
        chip = Chip.preset(name)
        visits, live = blob(chip, spikes)
        count = sum(live)
        for lanes, ports in choices:
            layout = Layout(chip, lanes, level_ports=ports)
            costs = [lanes, ports, visit(layout), sweep(layout), pass_of_race(layout),
                     decide(layout, count, learn=False), decide(layout, count, learn=True),
                     dark(layout, count * chip.learners), answer(layout), label(layout, count * chip.winners),
                     end(layout), image(layout, visits, live, learn=False, answered=True),
                     image(layout, visits, live, learn=True), image(layout, visits, live, learn=False, taught=True)]
            lines.append([f"{name} ({count})", *(f"{value:,}" for value in costs)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(report({
        "tiles": ((8, 2), (16, 2), (64, 2)), "up5k": ((8, 1), (8, 2), (16, 2)), "paper400": ((16, 2), (50, 2)),
        "paper": ((16, 2), (50, 2), (100, 2))}))
