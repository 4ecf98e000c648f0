"""Pictures of devices side by side, and of the pulses that cells had."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ohmspike.chip import Chip
from ohmspike.sim.analog.lifetime import AGES

from .palette import ACCENT, EMBER, INK, NIGHT, QUIET, SOFT
from .style import plain, saved, titled

__all__ = ["comparison_picture", "pulses_figure", "pulses_picture"]


def comparison_picture(lines: list[dict], path: str | Path) -> None:
    """Draw accuracy, energy, time, wear and retention of devices side by side; PNG, SVG or PDF by the path's suffix.

    Parameters
    ----------
    lines : list of dict
        As :func:`ohmspike.host.studies.devices.compare_devices` returns them.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    devices = list(dict.fromkeys(line["device"] for line in lines))
    seeds = len({line["seed"] for line in lines})
    height = 2.6 + 0.42 * len(devices)
    figure = titled(14, height, f"Devices on {lines[0]['chip'].removesuffix('-' + devices[0])}",
                     f"validation images; mean and range of {seeds} seed{'s' if seeds > 1 else ''}; energies and times "
                     "are those of an image, a model")
    grid = figure.add_gridspec(1, 5, left=0.1, right=0.985, top=1 - 1.2 / height, bottom=0.75 / height, wspace=0.12)
    positions = np.arange(len(devices))

    def values(device, mode, name):
        return [line[name] for line in lines if (line["device"], line["mode"]) == (device, mode)]

    def bars(axes, series, scale):
        tall = 0.8 / len(series)
        for index, (mode, name, colour, label) in enumerate(series):
            drawn = [[scale * value for value in values(device, mode, name)] for device in devices]
            middle = np.array([np.mean(each) for each in drawn])
            spread = np.array([middle - [min(each) for each in drawn], [max(each) for each in drawn] - middle])
            axes.barh(positions + (index - (len(series) - 1) / 2) * tall, middle, tall * 0.9, color=colour, label=label,
                      xerr=spread if seeds > 1 else None, error_kw={"ecolor": SOFT, "elinewidth": 1, "capsize": 2})

    panels = (
        ("accuracy, %", [("learned", "accuracy", NIGHT, "learned"), ("programmed", "accuracy", QUIET, "programmed")],
         100.0, "linear"),
        ("energy, pJ", [("learned", "learn_j", ACCENT, "learning"), ("learned", "infer_j", SOFT, "answering")],
         1e12, "log"),
        ("time, µs", [("learned", "learn_s", ACCENT, "learning"), ("learned", "infer_s", SOFT, "answering")],
         1e6, "log"))
    for column, (what, series, scale, axis) in enumerate(panels):
        axes = figure.add_subplot(grid[0, column])
        bars(axes, series, scale)
        axes.set_xscale(axis)
        axes.set_xlabel(what, fontsize=9, color=INK)
        axes.legend(frameon=False, fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.1)
        _labelled(axes, positions, devices if column == 0 else None)
    wear = figure.add_subplot(grid[0, 3])
    lives = [min(values(device, "learned", "images until 0.1 %")) for device in devices]
    finite = [life for life in lives if math.isfinite(life)]
    wear.barh(positions, [life if math.isfinite(life) else max(finite, default=1.0) for life in lives], 0.6,
              color=[NIGHT if math.isfinite(life) else QUIET for life in lives])
    wear.set_xscale("log")
    wear.set_xlabel("images until 0.1 % is worn", fontsize=9, color=INK)
    _labelled(wear, positions, None)
    kept = figure.add_subplot(grid[0, 4])
    for index, device in enumerate(devices):
        colour, marker = (NIGHT, ACCENT, EMBER, SOFT)[index % 4], "osD^v*"[index // 4 % 6]
        for how, style in (("", "-"), (", learning on", "--")):
            course = [np.mean(values(device, "learned", name)) * 100
                      for name in ("accuracy", *(f"after {age}{how}" for age in AGES))]
            kept.plot(range(1 + len(AGES)), course, style, color=colour, marker=marker, markersize=4, linewidth=1.2,
                      label=None if how else device)
    kept.set_xticks(range(1 + len(AGES)), ["new", *(age.split()[-1] for age in AGES)])
    kept.set_xlabel("accuracy, %; dashed: learning on", fontsize=9, color=INK)
    if len(devices) > 1:
        kept.legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.1)
    plain(kept)
    saved(figure, path, make_folder=True)


def _labelled(axes, positions, names):
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(positions, names or [""] * len(positions))
    axes.invert_yaxis()
    plain(axes)


def pulses_picture(chip: Chip, pulses: np.ndarray, path: str | Path) -> None:
    """Draw the pulses that the cells of the tiles had, as :func:`pulses_figure`, into a file.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    saved(pulses_figure(chip, pulses), path, make_folder=True)


def pulses_figure(chip: Chip, pulses: np.ndarray) -> Figure:
    """The pulses that the cells of the tiles had: a map, and a histogram.

    The map is of the tiles on their grid, channel beside channel; of a shared crossbar, whose window pulses all rows of
    a column, it is of the cells.

    Parameters
    ----------
    pulses : integer array of shape (tiles, rows, neurons)
    """
    if chip.shared:
        most, what = pulses[0], "cell, a column of pixels a neuron"
    else:
        most = pulses.max(axis=2).reshape(chip.grid_height, chip.grid_width, chip.channels, chip.patch_height,
                                          chip.patch_width).transpose(0, 3, 2, 1, 4)
        most, what = most.reshape(chip.grid_height * chip.patch_height, -1), "row of a tile, its most used cell"
    figure = titled(11, 5, f"Pulses of the cells of {chip.name}",
                     f"mean {pulses.mean():,.1f}, most {int(pulses.max()):,}; a pixel is a {what}")
    grid = figure.add_gridspec(1, 2, left=0.06, right=0.97, top=0.8, bottom=0.13, wspace=0.2)
    axes = figure.add_subplot(grid[0, 0])
    shown = axes.imshow(most, cmap="magma", aspect="auto" if chip.shared else "equal")
    axes.set_xticks([])
    axes.set_yticks([])
    figure.colorbar(shown, ax=axes, fraction=0.046)
    beside = figure.add_subplot(grid[0, 1])
    beside.hist(pulses.ravel(), bins=60, color=NIGHT)
    beside.set_yscale("log")
    beside.set_xlabel("pulses of a cell", fontsize=9, color=INK)
    beside.set_ylabel("cells", fontsize=9, color=INK)
    plain(beside)
    return figure
