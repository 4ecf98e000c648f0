"""Clocks of whole samples in either form; ``python -m ohmspike.hdl.top.timing`` prints those of presets."""

import sys
from collections.abc import Sequence

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.markdown import markdown_table
from ohmspike.hdl.fast.pulses import Pulses
from ohmspike.hdl.fast.timing import FastTiming
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.timing import Timing, all_units
from ohmspike.hdl.small.timing import SmallTiming

__all__ = ["image", "max_idle_cycles", "report", "synthetic_image", "timing_of"]

TABLE = {
    "tiles": ((16, 2), (32, 2), (64, 2)), "up5k": ((5, 1), (8, 2), (20, 2)), "paper400": ((16, 2), (50, 2)),
    "paper": ((16, 2), (50, 2), (100, 2))}
"""Presets of the table in docs/architecture.md, with their lanes and level ports."""


def timing_of(layout: Layout) -> Timing:
    """The clocks of the form that a layout is of."""
    return (SmallTiming if layout.small else FastTiming)(layout)


def max_idle_cycles(layout: Layout) -> int:
    """Clocks in which a program may be at work without an event or a cell done, a byte taken or put out: at most this.

    The worst event after the worst spike, every tile live, every unit with a trace, nothing overlapping.
    """
    chip, timing = layout.chip, timing_of(layout)
    seen = int(np.bincount(chip.row_lines.ravel(), minlength=chip.lines).max())
    fired = chip.tiles * chip.winners
    taught = Pulses.SPACING * chip.listed if chip.fire_mode == "threshold" and chip.classes else fired
    swept = timing.sweep() + 3
    fire = timing.race_cycles() + 3 * (chip.learners + 1) + swept + chip.classes + 7
    events = [
        fired * fire + chip.tiles * 10,  # STEP, DECIDE
        chip.tiles * (chip.learners * swept + 4) + swept,  # DARK
        2 * (chip.lines + chip.tiles + chip.tiles * chip.neurons * 2) + chip.classes + 4,  # END
        chip.classes + 7 + 2 * (timing.sweep(taught) + 2),  # LABEL
    ]
    cell = 11 + max(chip.neurons, chip.levels) + 8 * 8 + FastTiming.access  # the longer of both forms
    return seen * timing.plastic_visit(chip.learners) + max(events) + cell


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
    timing = timing_of(layout)
    clocks = timing.clocks(timing, learn=learn)
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
        clocks.dark(all_units(layout.chip, live))
    clocks.end()
    return clocks.total


def synthetic_image(chip: Chip, spikes: int) -> tuple[list[int | None], list[bool]]:
    """A stand-in for an image, the ``spikes`` lines nearest to the centre: what :func:`image` asks about it."""
    y, x = np.divmod(np.arange(chip.lines), chip.plane_width)
    distance = (2 * y + 1 - chip.plane_height) ** 2 + (2 * x + 1 - chip.plane_width) ** 2
    lit = np.zeros(chip.lines, bool)
    lit[np.argsort(distance, kind="stable")[:spikes]] = True
    seen = np.bincount(chip.row_lines.ravel(), minlength=chip.lines)
    live = lit[chip.row_lines].sum(1) >= chip.min_spikes
    return [int(count) if on else None for count, on in zip(seen, lit, strict=True)], live.tolist()


def report(presets: dict[str, Sequence[tuple[int, int]]], spikes: int = 150) -> str:
    """The clocks of presets with a read-out as a Markdown table, for each of their choices of lanes and level ports."""
    heads = ["chip (live tiles)", "lanes", "ports", "visit", "sweep", "race", "next", "DECIDE", "DECIDE, learning",
             "DARK", "ANSWER", "LABEL, taught", "END", "image", "image, learning", "image, taught"]
    lines = []
    for name, choices in presets.items():
        chip = Chip.preset(name)
        visits, live = synthetic_image(chip, spikes)
        count = sum(live)
        for lanes, ports in choices:
            layout = Layout(chip, lanes, level_ports=ports)
            timing = timing_of(layout)
            costs = [lanes, ports, timing.visit(), timing.sweep(), timing.race_cycles(), timing.next_winner_cycles(),
                     timing.decide(live, learn=False), timing.decide(live, learn=True),
                     timing.dark(all_units(chip, live)), timing.answer(), timing.label(count * chip.winners),
                     timing.end(), image(layout, visits, live, learn=False, answered=True),
                     image(layout, visits, live, learn=True), image(layout, visits, live, learn=False, taught=True)]
            lines.append([f"{name} ({count})", *costs])
    return markdown_table(heads, lines)


if __name__ == "__main__":
    sys.stdout.write(report(TABLE))
