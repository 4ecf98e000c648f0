"""Pictures of a chip: what it learned, and how one image is decided."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from ohmspike.chip import Chip
from ohmspike.sim.state import ChipState

from .encode import latency_events

__all__ = ["conductance_maps", "race"]

_CONDUCTANCE = "magma"
_INK, _QUIET, _BRIGHT, _DARK = "#22252b", "#c3c8d0", "#d1495b", "#9aa3b2"
_WINNERS = ("#d1495b", "#e07a5f", "#eda96b", "#f2c57c", "#f7dfa5")


def _figure(width, height):
    figure = Figure(figsize=(width, height), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _mosaic(maps, columns, gap, fill):
    """Maps of shape (count, height, width) side by side, ``columns`` to a row, ``gap`` pixels of ``fill`` between."""
    count, height, width = maps.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), fill, float)
    for index, image in enumerate(maps):
        y, x = divmod(index, columns)
        canvas[y * (height + gap):y * (height + gap) + height, x * (width + gap):x * (width + gap) + width] = image
    return canvas


def conductance_maps(chip: Chip, levels: np.ndarray, usage: np.ndarray, path) -> None:
    """Draw what the neurons learned: the level of every cell, at the place of its pixel.

    Of one crossbar the most used neurons are shown; of a grid the most used four of every tile, where it sees.

    Parameters
    ----------
    levels : uint8 array of shape (tiles, rows, neurons)
    usage : integer array of shape (tiles, neurons)
        How often each neuron fired: the most used are drawn.
    path : path
        PNG file.
    """
    shape = (chip.patch_height, chip.patch_width)
    order = np.argsort(-usage, axis=1, kind="stable")
    if chip.tiles == 1:
        columns = min(16, int(np.ceil(np.sqrt(chip.neurons))))
        shown = min(chip.neurons, columns * columns)
        maps = levels[0][:, order[0, :shown]].T.reshape(shown, *shape)
        canvas = _mosaic(maps, columns, 2, np.nan)
        note = f"{shown} most used of {chip.neurons} neurons, {chip.rows} cells each"
    else:
        shown = min(4, chip.neurons)
        side = int(np.ceil(np.sqrt(shown)))
        tiles = np.stack([
            _mosaic(levels[tile][:, order[tile, :shown]].T.reshape(shown, *shape), side, 1, np.nan)
            for tile in range(chip.tiles)])
        canvas = _mosaic(tiles, chip.grid_width, 4, np.nan)
        note = (f"{chip.grid_height}×{chip.grid_width} tiles where they see the plane; of each the {shown} most used "
                f"of {chip.neurons} neurons, {chip.rows} cells each")
    height = 8.2 * canvas.shape[0] / canvas.shape[1]
    figure = _figure(9.4, min(max(height, 3), 14) + 0.7)
    axes = figure.add_subplot()
    drawn = axes.imshow(canvas, cmap=_CONDUCTANCE, vmin=0, vmax=chip.levels - 1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(f"Learned conductances of {chip.name}", loc="left", fontsize=13, fontweight="bold", color=_INK,
                   pad=20)
    axes.text(0, 1.008, note, transform=axes.transAxes, fontsize=9, color=_INK, va="bottom")
    bar = figure.colorbar(drawn, ax=axes, shrink=0.6, aspect=35, pad=0.02)
    bar.set_label(f"conductance level, 0 … {chip.levels - 1}", fontsize=9)
    bar.outline.set_visible(False)
    _save(figure, path)


def race(chip: Chip, state: ChipState, image: np.ndarray, path) -> None:
    """Draw how one image is decided: its spikes, the race in the tile that reads most, and the winners everywhere.

    Parameters
    ----------
    image : uint8 array of shape (plane_height, plane_width)
    path : path
        PNG file.
    """
    bins = _bins(chip, image)
    spoke = bins >= 0
    seen = spoke[chip.row_lines]
    weights = state.weight[state.levels].astype(np.int64)
    membranes = np.minimum(np.einsum("tr,trn->tn", seen, weights), (1 << chip.membrane_bits) - 1)
    scores = membranes - state.theta.astype(np.int64)
    reads = seen.sum(axis=1)
    tile = int(reads.argmax())

    figure = _figure(13, 4.6)
    pixels, raster, contest = figure.subplots(1, 3, width_ratios=[1, 1.25, 1.6])
    _draw_pixels(pixels, chip, image, tile)
    _draw_spikes(raster, chip, bins)
    _draw_race(contest, chip, scores[tile], tile, int(reads[tile]))
    figure.suptitle(f"One image on {chip.name}", x=0.01, ha="left", fontsize=13, fontweight="bold", color=_INK)
    _save(figure, path)


def _bins(chip, image):
    """Bin of every line's spike, -1 where it is dark, by way of the events themselves."""
    codes = latency_events(chip, image[None], learn=False).codes
    steps = np.cumsum(codes == -1)
    bins = np.full(chip.lines, -1)
    bins[codes[codes >= 0]] = steps[codes >= 0]
    return bins


def _draw_pixels(axes, chip, image, tile):
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    y, x = divmod(int(chip.row_lines[tile, 0]), chip.plane_width)
    if chip.tiles > 1:
        axes.add_patch(_rectangle(x, y, chip))
        axes.text(x, y - 1.1, f"tile {tile}", color=_BRIGHT, fontsize=8)
    axes.set_title("Input plane", loc="left", fontsize=10, color=_INK)
    axes.set_xticks([])
    axes.set_yticks([])


def _rectangle(x, y, chip):
    return Rectangle((x - 0.5, y - 0.5), chip.patch_width, chip.patch_height, fill=False, color=_BRIGHT, linewidth=1.6)


def _draw_spikes(axes, chip, bins):
    lines = np.arange(chip.lines)
    dark = bins < 0
    last = chip.latency_bins
    axes.scatter(bins[~dark], lines[~dark], s=3, color=_BRIGHT, marker="s", linewidths=0)
    axes.scatter(np.full(dark.sum(), last + 0.6), lines[dark], s=3, color=_DARK, marker="s", linewidths=0)
    axes.axvline(last - 0.2, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(last - 0.15, -0.012 * chip.lines, "DECIDE", fontsize=8, color=_INK, va="bottom", ha="center")
    axes.set_xlim(-0.6, last + 1.2)
    axes.set_ylim(chip.lines, 0)
    axes.set_xticks([*range(last), last + 0.6], [*(f"bin {b}" for b in range(last)), "dark"], fontsize=8)
    axes.set_ylabel("line", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.set_title(f"Spikes: {int((~dark).sum())} bright lines, then {int(dark.sum())} dark ones", loc="left",
                   fontsize=10, color=_INK, pad=14)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_race(axes, chip, scores, tile, reads):
    order = np.argsort(-scores, kind="stable")[:min(len(scores), 40)]
    winners = min(chip.winners, len(order))
    colours = [_WINNERS[min(rank, len(_WINNERS) - 1)] if rank < winners else _QUIET for rank in range(len(order))]
    axes.bar(range(len(order)), scores[order], color=colours, width=0.8)
    floor = scores[order[winners - 1]]
    axes.axhline(floor, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
    span = scores[order].max() - scores[order].min() or 1
    axes.set_ylim(scores[order].min() - 0.1 * span, scores[order].max() + 0.12 * span)
    for rank in range(winners):
        axes.text(rank, scores[order[rank]] + 0.015 * span, f"{order[rank]}", ha="center", fontsize=7, color=_INK)
    axes.legend(handles=[Line2D([], [], color=_INK, linestyle=(0, (4, 3)), linewidth=1,
                                label=f"the falling reference when {winners} have fired")],
                loc="upper right", fontsize=8, frameon=False)
    where = f"tile {tile}" if chip.tiles > 1 else "the crossbar"
    axes.set_title(f"Race in {where} after {reads} reads: winners by neuron", loc="left", fontsize=10, color=_INK)
    axes.set_xlabel(f"neurons in the order in which the reference meets them (first {len(order)})", fontsize=9)
    axes.set_ylabel("V − θ", fontsize=9)
    axes.set_xticks([])
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure, path):
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(temporary, format="png")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
