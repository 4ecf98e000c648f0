"""Figures of a run: how conductances changed, what fired, levels and thresholds, answers, and runs side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ohmspike.chip import Chip

from .chip import CONDUCTANCE, conductance_canvas
from .palette import ACCENT, EMBER, INK, NIGHT, PAPER, QUIET, SOFT
from .style import blank, plain

__all__ = ["change_figure", "compared_curves", "compared_energy", "compared_levels", "confusion_figure",
           "histogram_figure", "raster_figure"]

_COLOURS = (ACCENT, NIGHT, EMBER, SOFT, "#2a9d8f", "#b5179e")


def _named(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK)
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)


def change_figure(chip: Chip, before: np.ndarray, after: np.ndarray, usage: np.ndarray) -> Figure:
    """Conductance maps before and after, and their difference; the same neurons at the same places.

    Parameters
    ----------
    before, after : uint8 arrays of shape (tiles, rows, neurons)
    usage : integer array of shape (tiles, neurons)
        The most used neurons are drawn.
    """
    clear = (0, 0, 0, 0)  # between the maps the page shows through
    first, _ = conductance_canvas(chip, before, usage)
    last, _ = conductance_canvas(chip, after, usage)
    top = chip.levels - 1
    figure = blank(13, 4.9)
    grid = figure.add_gridspec(1, 3, left=0.01, right=0.99, top=0.92, bottom=0.1, wspace=0.05)
    shown = (("before", first, CONDUCTANCE, 0, top), ("learned", last, CONDUCTANCE, 0, top),
             ("change", last - first, colormaps["RdBu_r"], -top, top))
    for column, (title, canvas, colours, low, high) in enumerate(shown):
        axes = figure.add_subplot(grid[0, column])
        drawn = axes.imshow(canvas, cmap=colours.with_extremes(bad=clear), vmin=low, vmax=high, interpolation="none")
        axes.set_axis_off()
        _named(axes, title)
        bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", fraction=0.04, pad=0.03,
                              ticks=np.unique(np.linspace(low, high, 5).round()))
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, length=2, color=SOFT, labelcolor=INK)
    return figure


def raster_figure(chip: Chip, rasters: Sequence[dict]) -> Figure:
    """Spikes of some samples: lines that spiked, below them the neurons that fired, over the steps of the sample.

    Parameters
    ----------
    rasters : sequence of dict
        Each with ``title``; ``in_step``, ``in_line``; ``out_step``, ``out_cell`` (tile · neurons + neuron); ``steps``;
        and ``image``, a uint8 array or None.
    """
    columns = min(4, len(rasters))
    rows = -(-len(rasters) // columns)
    figure = blank(13, 4.4 * rows + 0.2)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[3, 2] * rows, left=0.05, right=0.99, top=0.95,
                               bottom=0.06 / rows + 0.03, hspace=0.28, wspace=0.2)
    for place, raster in enumerate(rasters):
        row, column = divmod(place, columns)
        above = figure.add_subplot(grid[2 * row, column])
        below = figure.add_subplot(grid[2 * row + 1, column], sharex=above)
        above.plot(raster["in_step"], raster["in_line"], ".", color=NIGHT, markersize=2.2)
        above.set_ylim(chip.lines, -1)
        above.set_xlim(-0.6, max(raster["steps"], 1) - 0.4)
        below.plot(raster["out_step"], raster["out_cell"], "|", color=ACCENT, markersize=7)
        below.set_ylim(chip.tiles * chip.neurons, -1)
        if raster["image"] is not None:
            inset = above.inset_axes((0.7, 0.6, 0.3, 0.4))
            inset.imshow(raster["image"], cmap="gray", vmin=0, vmax=255, interpolation="none")
            inset.set_axis_off()
        _named(above, raster["title"], y="line" if column == 0 else "")
        _named(below, "", "step", "tile · N + neuron" if column == 0 else "")
        above.tick_params(labelbottom=False)
        for axes in (above, below):
            plain(axes)
    return figure


def confusion_figure(matrix: np.ndarray) -> Figure:
    """A confusion matrix, rows the labels; colours on a log scale, since the diagonal is far above the rest."""
    counts = np.asarray(matrix)
    classes = len(counts)
    figure = blank(6.6, 6)
    axes = figure.add_axes((0.1, 0.1, 0.86, 0.86))
    axes.imshow(np.log1p(counts), cmap=colormaps["magma_r"], interpolation="none")
    if classes <= 20:
        middle = np.log1p(counts).max() / 2
        for label, answer in np.argwhere(counts):
            axes.text(answer, label, f"{counts[label, answer]}", ha="center", va="center", fontsize=7.5,
                      color="#fffffe" if np.log1p(counts[label, answer]) > middle else "#101114")
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
    _named(axes, "", "answer", "label")
    plain(axes)
    return figure


def histogram_figure(chip: Chip, parts: Mapping[str, np.ndarray], theta: np.ndarray) -> Figure:
    """Histograms of levels, one after the other in the same axes, and of thresholds.

    Parameters
    ----------
    parts : mapping
        Levels by what they are of.
    theta : integer array
    """
    figure = blank(11, 3.6)
    grid = figure.add_gridspec(1, 2, width_ratios=[3, 2], left=0.07, right=0.99, top=0.9, bottom=0.16, wspace=0.2)
    axes = figure.add_subplot(grid[0, 0])
    for (name, levels), colour in zip(parts.items(), _COLOURS, strict=False):
        shares = np.bincount(np.asarray(levels).ravel(), minlength=chip.levels) / max(1, np.size(levels))
        axes.step(np.arange(chip.levels), 100 * shares, where="mid", color=colour, linewidth=1.5, label=name)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=8.5)
    _named(axes, "Levels", "conductance level", "cells, %")
    beside = figure.add_subplot(grid[0, 1])
    beside.hist(np.asarray(theta).ravel(), bins=50, color=NIGHT)
    _named(beside, "Thresholds", "θ of a neuron", "neurons")
    for each in (axes, beside):
        plain(each)
    return figure


def compared_curves(curves: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Prequential accuracies of several runs over the images presented, in percent, smoothed over ten points."""
    figure = blank(11, 4)
    axes = figure.add_axes((0.07, 0.14, 0.91, 0.8))
    for (name, curve), colour in zip(curves.items(), _COLOURS, strict=False):
        shown, right = np.array(curve, float).T
        span = min(10, len(right))
        smooth = np.convolve(right, np.ones(span) / span, mode="valid")
        axes.plot(shown[span - 1:], 100 * smooth, color=colour, linewidth=1.6, label=name)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _named(axes, "", "images presented", "answered right before the label was taught, %")
    plain(axes)
    return figure


def compared_levels(levels: Mapping[str, np.ndarray]) -> Figure:
    """Histograms of the tiles' levels of several runs, as shares of the range."""
    figure = blank(11, 3.4)
    axes = figure.add_axes((0.07, 0.16, 0.91, 0.78))
    for (name, cells), colour in zip(levels.items(), _COLOURS, strict=False):
        counts = np.bincount(np.asarray(cells).ravel())
        axes.step(np.arange(len(counts)) / max(1, len(counts) - 1), 100 * counts / counts.sum(), where="mid",
                  color=colour, linewidth=1.5, label=name)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=8.5)
    _named(axes, "", "conductance level, share of the range", "cells of the tiles, %")
    plain(axes)
    return figure


def compared_energy(parts: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """Energy of an image by component, of several runs: bars with whiskers from the 5th to the 95th percentile.

    Parameters
    ----------
    parts : mapping
        By run, then by component, joules an image: ``value``, ``p5``, ``p95``.
    """
    names = list(dict.fromkeys(name for each in parts.values() for name in each))
    figure = blank(11, 0.5 + 0.28 * len(names) * max(1, len(parts)) ** 0.7)
    axes = figure.add_axes((0.14, 0.16, 0.84, 0.8))
    height = 0.8 / max(1, len(parts))
    for index, ((run, figures), colour) in enumerate(zip(parts.items(), _COLOURS, strict=False)):
        rows = np.array([names.index(name) for name in figures]) + (index - (len(parts) - 1) / 2) * height
        value, low, high = (np.array([each[key] for each in figures.values()]) * 1e12 for key in ("value", "p5", "p95"))
        whiskers = np.maximum(np.array([value - low, high - value]), 0)
        axes.barh(rows, value, height * 0.9, color=colour, label=run, xerr=whiskers,
                  error_kw={"ecolor": QUIET, "elinewidth": 1, "capsize": 2})
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.grid(axis="x", color=PAPER)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8.5)
    _named(axes, "", "pJ an image")
    plain(axes)
    return figure
