"""Pictures of a chip: what it learned, and how one image is decided."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from ohmspike.chip import Chip
from ohmspike.host.coding.images import latency_bins
from ohmspike.sim.state import ChipState

from .palette import ACCENT, DPI, INK, NIGHT, PAPER, QUIET, SOFT, WINNERS
from .style import blank, saved

__all__ = ["CONDUCTANCE", "conductance_canvas", "conductance_maps", "prequential", "prequential_figure", "race",
           "race_figure"]

CONDUCTANCE = colormaps["magma"].with_extremes(bad="white")
"""Colours of conductance levels."""

_BARS = 40


# what was learned


def conductance_maps(chip: Chip, levels: np.ndarray, usage: np.ndarray, path: str | Path) -> None:
    """Draw what the neurons learned: the level of every cell, at the place of its pixel.

    Of one crossbar the most used neurons are shown, most used first; of a grid the most used 9 (4 or 1 where the grid
    is large) of every tile, where the tile sees the plane.

    Parameters
    ----------
    levels : uint8 array of shape (tiles, rows, neurons)
    usage : integer array of shape (tiles, neurons)
        How often each neuron fired: the most used are drawn.
    path : path
        PNG file.

    Raises
    ------
    ValueError
        ``levels`` or ``usage`` is not of this chip.
    UserError
        The file cannot be written.
    """
    canvas, note = conductance_canvas(chip, levels, usage)
    saved(_mapped(canvas, chip, note), path)


def conductance_canvas(chip: Chip, levels: np.ndarray, usage: np.ndarray) -> tuple[np.ndarray, str]:
    """The mosaic of :func:`conductance_maps`, NaN between the maps, and a line about it.

    Parameters
    ----------
    levels : array of shape (tiles, rows, neurons)
    usage : integer array of shape (tiles, neurons)

    Raises
    ------
    ValueError
        ``levels`` or ``usage`` is not of this chip.
    """
    for name, array, shape in (("levels", levels, (chip.tiles, chip.rows, chip.neurons)),
                               ("usage", usage, (chip.tiles, chip.neurons))):
        if np.shape(array) != shape:
            raise ValueError(f"{name} must have shape {shape}, not {np.shape(array)}")
    order = np.argsort(-np.asarray(usage, np.int64), axis=1, kind="stable")
    if chip.tiles == 1:
        columns = min(20, int(np.ceil(np.sqrt(chip.neurons))))
        shown = min(chip.neurons, columns * columns)
        canvas = _mosaic(_patches(chip, levels, 0, order[0, :shown]), columns, 2)
        which = f"all {shown}" if shown == chip.neurons else f"{shown} of {chip.neurons}"
        note = f"{which} neurons, most used first, {chip.rows} cells each"
    else:
        side = next((side for side in (3, 2) if chip.grid_width * (side * (chip.patch_width + 1) + 3) <= 240
                     and chip.neurons >= side * side), 1)
        shown = side * side
        tiles = np.stack([_mosaic(_patches(chip, levels, tile, order[tile, :shown]), side, 1)
                          for tile in range(chip.tiles)])
        canvas = _mosaic(tiles, chip.grid_width, 4)
        note = (f"{chip.grid_height} × {chip.grid_width} tiles at their places; of each the {shown} most used of "
                f"{chip.neurons} neurons, {chip.rows} cells each")
    return canvas, note


def _patches(chip, levels, tile, neurons):
    """Levels of some neurons of a tile as images, channels side by side: (neurons, height, channels · width)."""
    cells = np.asarray(levels)[tile][:, neurons].T
    maps = cells.reshape(len(neurons), chip.channels, chip.patch_height, chip.patch_width).transpose(0, 2, 1, 3)
    return maps.reshape(len(neurons), chip.patch_height, chip.channels * chip.patch_width)


def _mosaic(maps, columns, gap):
    """Maps of shape (count, height, width) side by side, ``columns`` to a row, ``gap`` empty cells between."""
    count, height, width = maps.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for index, image in enumerate(maps):
        y, x = (position * (size + gap) for position, size in zip(divmod(index, columns), (height, width), strict=True))
        canvas[y:y + height, x:x + width] = image
    return canvas


def _mapped(canvas, chip, note):
    """A figure of a mosaic in which every cell takes the same whole number of pixels."""
    rows, columns = canvas.shape
    scale = max(2, 1040 // max(rows, columns))
    left, right, top, bottom = 36, 120, 92, 36
    inner = max(columns * scale, 640), max(rows * scale, 240)
    width, height = inner[0] + left + right, inner[1] + top + bottom
    figure = blank(width / DPI, height / DPI)
    axes = figure.add_axes((left / width, 1 - (top + rows * scale) / height, columns * scale / width,
                            rows * scale / height))
    drawn = axes.imshow(canvas, cmap=CONDUCTANCE, vmin=0, vmax=chip.levels - 1, interpolation="nearest",
                        aspect="auto")
    axes.set_axis_off()
    length = min(inner[1], 480)
    beside = figure.add_axes(((left + inner[0] + 28) / width, 1 - (top + length) / height, 16 / width,
                              length / height))
    bar = figure.colorbar(drawn, cax=beside, ticks=np.unique(np.linspace(0, chip.levels - 1, 5).round()))
    bar.set_label("conductance level", fontsize=9, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=3, color=SOFT, labelcolor=INK)
    figure.text(left / width, 1 - 42 / height, f"Chip {chip.name}: learned conductances", fontsize=14,
                fontweight="bold", color=INK)
    figure.text(left / width, 1 - 68 / height, note, fontsize=9, color=SOFT)
    return figure


# how well it answers while it learns


def prequential(chip: Chip, curve: list[tuple[int, float]], images: int, path: str | Path) -> None:
    """Draw the prequential accuracy of a run, as :func:`prequential_figure`, into a PNG file.

    Raises
    ------
    ValueError
        The curve has no points.
    UserError
        The file cannot be written.
    """
    saved(prequential_figure(chip, curve, images), path)


def prequential_figure(chip: Chip, curve: list[tuple[int, float]], images: int) -> Figure:
    """The prequential accuracy of a run: every image answered before its label is taught.

    Parameters
    ----------
    curve : list of (int, float)
        Images presented in the run so far, and the share answered right since the point before.
    images : int
        Images of a pass; passes are distinguished.

    Raises
    ------
    ValueError
        The curve has no points.
    """
    if not curve:
        raise ValueError("curve must have a point, not none")
    shown, right = np.array(curve, float).T
    wrong = np.maximum(100 * (1 - right), 0.1)  # a log scale has no 0
    figure = blank(8.4, 4.4)
    axes = figure.add_axes((0.09, 0.13, 0.87, 0.68))
    for edge in np.arange(images, shown[-1], images):
        axes.axvline(edge, color=QUIET, linewidth=1)
    axes.plot(shown, wrong, color=ACCENT, linewidth=1, alpha=0.45)
    span = min(10, len(wrong))
    smooth = np.convolve(wrong, np.ones(span) / span, mode="valid")
    axes.plot(shown[span - 1:], smooth, color=INK, linewidth=1.8)
    axes.annotate(f"{smooth[-1]:.1f} %", (shown[-1], smooth[-1]), (-4, 8), textcoords="offset points", ha="right",
                  fontsize=10, color=INK, fontweight="bold")
    axes.set_yscale("log")
    low, high = wrong.min() * 0.8, wrong.max() * 1.25
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
                                               if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(0, shown[-1] * 1.01)
    axes.set_xlabel("images presented", fontsize=9, color=INK)
    axes.set_ylabel("answered wrong, before the label was taught", fontsize=9, color=INK)
    axes.tick_params(labelsize=8, which="both", color=QUIET, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    figure.text(0.09, 0.93, f"Chip {chip.name}: error while it is taught", fontsize=14, fontweight="bold", color=INK)
    figure.text(0.09, 0.875, f"every 1,000 images (red) and the mean of the last {span} of them (black); a line after "
                "each pass" if shown[-1] > images else
                f"every 1,000 images (red) and the mean of the last {span} of them (black); each image is seen once",
                fontsize=9, color=SOFT)
    return figure


# how one image is decided


_WINDOW = {False: "tile", True: "window"}
"""What sees a part of the plane, in a chip that is shared or not."""


@dataclass(frozen=True)
class _Decision:
    """One image before its DECIDE: what every tile has read, and who fires."""

    bins: np.ndarray  # (lines,): bin of the line's spike, -1 where it is dark
    reads: np.ndarray  # (tiles,)
    scores: np.ndarray  # (tiles, neurons): V - theta, theta from the smallest of its tile in race mode
    order: np.ndarray  # (tiles, neurons): neurons by falling score, ties lowest first
    live: np.ndarray  # (tiles,): whether the tile evaluates at DECIDE


def _of_windows(chip, array):
    """An array of the tiles as one of the windows, which share one tile in a shared crossbar."""
    return np.broadcast_to(array, (chip.windows, *array.shape[1:]))


def _decide(chip, state, image):
    bins = latency_bins(chip, np.asarray(image)[None])[0].astype(int)
    seen = (bins >= 0)[chip.row_lines]
    sums = np.stack([state.weight[levels[spiked]].sum(axis=0, dtype=np.int64)
                     for levels, spiked in zip(_of_windows(chip, state.levels), seen, strict=True)])
    theta = state.theta.astype(np.int64)
    if chip.fire_mode == "race":
        theta = theta - theta.min(axis=1, keepdims=True)
    scores = np.minimum(sums, (1 << chip.membrane_bits) - 1) - theta
    reads = seen.sum(axis=1)
    live = (reads >= max(1, chip.min_spikes)) & (chip.fire_mode == "race")
    return _Decision(bins, reads, scores, np.argsort(-scores, axis=1, kind="stable"), live)


def race(chip: Chip, state: ChipState, image: np.ndarray, path: str | Path) -> None:
    """Draw how one image is decided, as :func:`race_figure`, into a PNG file.

    Raises
    ------
    ValueError
        ``image`` is not of the chip's plane.
    UserError
        The file cannot be written.
    """
    saved(race_figure(chip, state, image), path)


def race_figure(chip: Chip, state: ChipState, image: np.ndarray) -> Figure:
    """How one image is decided: its spikes, the race in the tile that reads most, and the winners everywhere.

    A chip in threshold mode has no race: its membranes are drawn against the threshold, as if no neuron had been reset.

    Parameters
    ----------
    image : uint8 array of shape (plane_height, plane_width)

    Raises
    ------
    ValueError
        ``image`` is not of the chip's plane.
    """
    decision = _decide(chip, state, image)
    tile = int(decision.reads.argmax())
    figure = blank(13.5, 8)
    grid = figure.add_gridspec(2, 3, width_ratios=[1, 0.66, 1.85], left=0.022, right=0.982, top=0.875, bottom=0.055,
                               wspace=0.2, hspace=0.2)
    _draw_pixels(figure.add_subplot(grid[0, 0]), chip, image, tile)
    _draw_winners(figure.add_subplot(grid[1, 0]), chip, state, decision, tile)
    _draw_spikes(figure.add_subplot(grid[:, 1]), chip, decision.bins)
    _draw_race(figure.add_subplot(grid[:, 2]), chip, state, decision, tile)
    figure.suptitle(f"Chip {chip.name}: how one image is decided", x=0.022, y=0.975, ha="left", fontsize=14,
                    fontweight="bold", color=INK)
    return figure


def _titled(axes, title, note=""):
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=22 if note else 8)
    if note:
        axes.annotate(note, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", fontsize=8.5,
                      color=SOFT)


def _bare(axes):
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_anchor("NW")


def _draw_pixels(axes, chip, image, tile):
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    note = f"{chip.plane_height} × {chip.plane_width} lines"
    if chip.windows > 1:
        y, x = divmod(int(chip.row_lines[tile, 0]), chip.plane_width)
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), chip.patch_width, chip.patch_height, fill=False, color=ACCENT,
                                 linewidth=2))
        note += f", framed: {_WINDOW[chip.shared]} {tile}"
    _bare(axes)
    _titled(axes, "Input plane", note)


def _draw_winners(axes, chip, state, decision, tile):
    """The learned patches of the first winners: of every tile of a grid, or of all ranks of one crossbar."""
    if chip.windows > 1:
        gap, columns = 1, chip.grid_width
        ranked: list[str | None] = [None] * chip.windows
        levels, what = _of_windows(chip, state.levels), _WINDOW[chip.shared]
        maps = np.stack([_patches(chip, levels, t, decision.order[t, :1])[0] for t in range(chip.windows)])
        maps = np.where(decision.live[:, None, None], maps, np.nan)
        ranked[tile] = ACCENT if decision.live[tile] else None
        title, note = f"First winner of every {what}", (
            f"what it learned; grey: silent, {(~decision.live).sum()} {what}s")
    else:
        winners = chip.winners if decision.live[0] else 0
        gap, columns = 3, int(np.ceil(np.sqrt(max(winners, 1))))
        ranked = [WINNERS[min(rank, len(WINNERS) - 1)] for rank in range(winners)]
        maps = _patches(chip, state.levels, 0, decision.order[0, :winners]).astype(float)
        title, note = "Winners", "what they learned, in the order in which they fired"
        if not winners:
            maps = np.full((1, chip.patch_height, chip.channels * chip.patch_width), np.nan)
            note = "none" if chip.fire_mode == "race" else "none: neurons fire by threshold"
    canvas = _mosaic(maps, columns, gap)
    mask = np.isfinite(_mosaic(np.ones_like(maps), columns, gap))
    axes.imshow(np.where(mask, 1.0, np.nan), cmap=ListedColormap([PAPER]), interpolation="nearest")
    axes.imshow(canvas, cmap=CONDUCTANCE.with_extremes(bad=(0, 0, 0, 0)), vmin=0, vmax=chip.levels - 1,
                interpolation="nearest")
    for index, colour in enumerate(ranked):
        if colour:
            y, x = divmod(index, columns)
            height, width = maps.shape[1:]
            axes.add_patch(Rectangle((x * (width + gap) - 1, y * (height + gap) - 1), width + 1, height + 1,
                                     fill=False, color=colour, linewidth=2, clip_on=False))
    _bare(axes)
    _titled(axes, title, note)


def _draw_spikes(axes, chip, bins):
    """A raster: a column per bin, then the dark lines beyond DECIDE."""
    dark, last = bins < 0, chip.latency_bins
    wide = max(1, last / 3)
    decide, beyond = last + 0.15 * wide, last + 0.3 * wide
    raster = np.full((chip.lines, chip.latency_bins), np.nan)
    raster[np.flatnonzero(~dark), bins[~dark]] = 1
    shown = {"interpolation": "nearest", "aspect": "auto", "origin": "upper"}
    for content, left, right, colour in ((raster, 0, last, ACCENT),
                                         (np.where(dark, 1.0, np.nan)[:, None], beyond, beyond + wide, NIGHT)):
        axes.imshow(content, cmap=ListedColormap([colour]), **shown, extent=(left, right, chip.lines, 0))
    for edge in range(1, last):
        axes.axvline(edge, color=QUIET, linewidth=0.8)
    axes.set_xlim(0, beyond + wide)
    axes.set_ylim(chip.lines, 0)
    labelled = range(0, last, -(-last // 4))
    axes.set_xticks([*(b + 0.5 for b in labelled), beyond + wide / 2],
                    [*(f"bin {b}" if b == 0 else f"{b}" for b in labelled), "dark"])
    axes.set_ylabel("line", fontsize=9, color=INK)
    axes.tick_params(labelsize=8, length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    if chip.fire_mode == "race":
        axes.axvline(decide, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate("DECIDE", (decide, chip.lines), (0, -16), textcoords="offset points", fontsize=8,
                      fontweight="bold", color=INK, va="top", ha="center", annotation_clip=False)
    _titled(axes, "Spikes", f"{(~dark).sum()} bright lines, then {dark.sum()} dark ones")


def _draw_race(axes, chip, state, decision, tile):
    """Bars of the best neurons of one tile and the reference that falls onto them."""
    order, scores = decision.order[tile, :_BARS], decision.scores[tile]
    winners = min(chip.winners, len(order)) if decision.live[tile] else 0
    best, worst = int(scores[order[0]]), int(scores[order[-1]])
    span = max(best - worst, 10)
    floor, start = worst - 0.08 * span, best + 0.16 * span
    if chip.fire_mode != "race":
        floor, start = min(worst, 0), 1.1 * max(best, state.theta_base, 10)
    positions = np.arange(len(order))
    colours = [WINNERS[min(rank, len(WINNERS) - 1)] if rank < winners else QUIET for rank in range(len(order))]
    axes.bar(positions, scores[order] - floor, bottom=floor, color=colours, width=0.82)
    for rank in range(winners):
        axes.annotate(f"{order[rank]}", (rank, scores[order[rank]]), (0, 3), textcoords="offset points", ha="center",
                      fontsize=8, color=INK, fontweight="bold" if rank == 0 else "normal")
    right = len(order) - 0.4
    where = f"{_WINDOW[chip.shared]} {tile}" if chip.windows > 1 else "the crossbar"
    if winners:
        end = int(scores[order[winners - 1]])
        axes.fill_between((-0.6, right), end, start, color=ACCENT, alpha=0.05, linewidth=0)
        axes.axhline(start, color=SOFT, linewidth=1)
        axes.axhline(end, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        at = -0.6 + 0.62 * (right + 0.6)
        axes.annotate("", (at, end), (at, start), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.4})
        axes.annotate("the reference falls", (at, (start + end) / 2), (9, 0), textcoords="offset points", fontsize=9,
                      color=INK, va="center")
        axes.annotate(f"{winners} fired: it stops, all others are inhibited" if winners > 1 else
                      "one fired: it stops, all others are inhibited", (right, end), (0, -5),
                      textcoords="offset points", fontsize=8.5, color=SOFT, va="top", ha="right")
        title = f"Race in {where}"
        note = f"{decision.reads[tile]} reads; the {winners} winners with their numbers" if winners > 1 else \
            f"{decision.reads[tile]} reads; the winner with its number"
    elif chip.fire_mode == "race":
        title = f"No race in {where}"
        note = f"{decision.reads[tile]} reads, it takes part from {max(1, chip.min_spikes)} on"
    else:
        axes.axhline(state.theta_base, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        title, note = f"Membranes of {where}", f"{decision.reads[tile]} reads; dashed: θ0, from which a neuron fires"
    axes.set_xlim(-0.6, right)
    axes.set_ylim(floor, start + 0.02 * span)
    shown = f"the best {len(order)} of {chip.neurons} neurons" if len(order) < chip.neurons else \
        f"all {chip.neurons} neurons"
    axes.set_xlabel(f"{shown}, in the order in which the reference meets them" if winners else
                    f"{shown}, highest first", fontsize=9, color=INK)
    axes.set_ylabel("V − θ, θ counted from the smallest of the tile" if chip.fire_mode == "race" else "V − θ",
                    fontsize=9, color=INK)
    axes.set_xticks([])
    axes.tick_params(labelsize=8, color=QUIET, labelcolor=INK)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(QUIET)
    _titled(axes, title, note)
