"""Clocks of whole samples in either form; ``python -m ohmspike.hdl.top.timing`` prints those of presets."""

import sys
from collections.abc import Sequence

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.markdown import markdown_table
from ohmspike.hdl.fast.pulses import Pulses
from ohmspike.hdl.fast.timing import FastTiming
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.timing import Timing, Window, all_units
from ohmspike.hdl.small.timing import SmallTiming

__all__ = ["active_of", "image", "listed_of", "max_idle_cycles", "noted_of", "report", "synthetic", "synthetic_image",
           "timing_of"]

TABLE = {
    "tiles": ((16, 2), (32, 2), (64, 2)), "up5k": ((5, 1), (8, 2), (20, 2)), "paper400": ((16, 2), (50, 2)),
    "paper": ((16, 2), (50, 2), (100, 2)), "shared-tiny": ((5, 1),), "shared-up5k": ((5, 1),),
    "shared-small": ((14, 2), (35, 2)), "shared": ((20, 2), (60, 2))}
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
    if chip.shared:
        window = (layout.noted_rows + 16 + chip.rows * (timing.visit() + 1) + 2 * swept
                  + chip.winners * (timing.race_cycles() + chip.classes + 8))
        events = [
            chip.windows * window + 16,  # DECIDE
            2 * chip.neurons + 64 + layout.noted_depth + chip.read_out_rows + chip.classes,  # END, or a reset
            chip.classes + 7 + 2 * (timing.sweep(chip.listed) + 2),  # LABEL
        ]
        return max(events) + 11 + max(chip.neurons, chip.levels) + 8 * 8 + FastTiming.access
    cell = 11 + max(chip.neurons, chip.levels) + 8 * 8 + FastTiming.access  # the longer of both forms
    return seen * timing.plastic_visit(chip.learners) + max(events) + cell


def image(layout: Layout, visits: Sequence[int | None], live: Sequence[bool] | Sequence[Window], *, bins: int = 1,
          learn: bool, answered: bool = False, taught: bool | None = None) -> int:
    """Clocks of a latency-coded image: FRAMEs with a STEP between two, DECIDE, ANSWER, LABEL, while learning DARK, END.

    There is no DARK in a shared crossbar.

    Parameters
    ----------
    layout : :class:`Layout`
    visits : sequence
        For every line how many tiles see it, ``None`` if its pixel is dark. The lines are dealt to the bins in turn.
    live : sequence
        For every tile whether it is live at DECIDE; of a shared crossbar, every window.
    answered : :class:`bool`
        There is an ANSWER.
    taught : :class:`bool`, optional
        There is a LABEL, and whether it teaches.
    """
    timing = timing_of(layout)
    clocks = timing.clocks(timing, learn=learn)
    listed = listed_of(layout, live)
    for bin_ in range(bins):
        if bin_:
            clocks.step()
        clocks.frame([count if line % bins == bin_ else None for line, count in enumerate(visits)])
    clocks.decide(live)
    if answered:
        clocks.answer()
    if taught is not None:
        clocks.label(taught * listed)
    if learn and not layout.chip.shared:
        clocks.dark(all_units(layout.chip, live))
    clocks.end(listed)
    return clocks.total


def listed_of(layout: Layout, live: Sequence[bool] | Sequence[Window]) -> int:
    """Rows of the read-out that are listed after DECIDE, as of :func:`image`."""
    if layout.chip.shared:
        return sum(window.listed for window in live if isinstance(window, Window))
    return active_of(layout, live) * layout.chip.winners


def active_of(layout: Layout, live: Sequence[bool] | Sequence[Window]) -> int:
    """How many tiles are live, or windows of a shared crossbar see enough noted lines."""
    return sum(sum(window.noted) >= layout.chip.min_spikes if isinstance(window, Window) else window for window in live)


def noted_of(layout: Layout, lines: Sequence[int]) -> list[tuple[int, ...]]:
    """For every window of a shared crossbar how many of the noted ``lines`` each of its words has."""
    chip = layout.chip
    rows = np.isin(chip.row_lines, lines).reshape(chip.windows, chip.channels, chip.patch_height, chip.patch_width)
    counts = rows.sum(3) if layout.noted_channels == 1 else rows.sum((1, 3))
    return [tuple(window) for window in counts.reshape(chip.windows, -1).tolist()]


def synthetic(layout: Layout, spikes: int) -> tuple[list[int | None], list[bool] | list[Window]]:
    """As :func:`synthetic_image`, with every window of a shared crossbar.

    There ``learn_share`` of the windows that see enough learn, evenly; their winners are neurons in turn, so that few
    fires find their row listed: more clocks than of an image.
    """
    chip = layout.chip
    visits, live = synthetic_image(chip, spikes)
    if not chip.shared:
        return visits, live
    windows, listed, active = [], set(), 0
    lines = [line for line, count in enumerate(visits) if count is not None]
    for number, noted in enumerate(noted_of(layout, lines)):
        region = int(chip.region_of_window[number])
        learns, gains = False, (False,) * chip.winners
        if sum(noted) >= chip.min_spikes:
            learns = (active + 1) * chip.learn_share // 4096 > active * chip.learn_share // 4096
            rows = [(region, (active * chip.winners + rank) % chip.neurons) for rank in range(chip.winners)]
            gains, active = tuple(row not in listed for row in rows), active + 1
            listed |= set(rows)
        windows.append(Window(noted, learns, gains, sum(gains)))
    return visits, windows


def synthetic_image(chip: Chip, spikes: int) -> tuple[list[int | None], list[bool]]:
    """A stand-in for an image, the ``spikes`` lines nearest to the centre: what :func:`image` asks about it."""
    y, x = np.divmod(np.arange(chip.lines) % (chip.plane_height * chip.plane_width), chip.plane_width)
    distance = (2 * y + 1 - chip.plane_height) ** 2 + (2 * x + 1 - chip.plane_width) ** 2
    lit = np.zeros(chip.lines, bool)
    lit[np.argsort(distance, kind="stable")[:spikes]] = True
    seen = np.bincount(chip.row_lines.ravel(), minlength=chip.lines)
    live = lit[chip.row_lines].sum(1) >= chip.min_spikes
    return [int(count) if on else None for count, on in zip(seen, lit, strict=True)], live.tolist()


def report(presets: dict[str, Sequence[tuple[int, int]]], spikes: int = 150) -> str:
    """The clocks of presets with a read-out as a Markdown table, for each of their choices of lanes and level ports."""
    heads = ["chip (live tiles, windows)", "lanes", "ports", "visit", "sweep", "race", "next", "DECIDE",
             "DECIDE, learning", "DARK", "ANSWER", "LABEL, taught", "END", "image", "image, learning", "image, taught"]
    lines = []
    for name, choices in presets.items():
        chip = Chip.preset(name)
        for lanes, ports in choices:
            layout = Layout(chip, lanes, level_ports=ports)
            timing, (visits, live) = timing_of(layout), synthetic(layout, spikes)
            listed = listed_of(layout, live)
            dark = "" if chip.shared else timing.dark(all_units(chip, live))
            costs = [lanes, ports, timing.visit(), timing.sweep(), timing.race_cycles(), timing.next_winner_cycles(),
                     timing.decide(live, learn=False), timing.decide(live, learn=True), dark, timing.answer(),
                     timing.label(listed), timing.end(listed=listed),
                     image(layout, visits, live, learn=False, answered=True),
                     image(layout, visits, live, learn=True), image(layout, visits, live, learn=False, taught=True)]
            lines.append([f"{name} ({active_of(layout, live)})", *costs])
    return markdown_table(heads, lines)


if __name__ == "__main__":
    sys.stdout.write(report(TABLE))
