"""Pictures of the analog twin: a fitted device, and where the energy goes."""

import itertools
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ohmspike.sim.analog.fit import Fit, Measurement
from ohmspike.sim.model.nonidealities import NONIDEALITIES

from .palette import ACCENT, EMBER, INK, NIGHT, QUIET, SOFT
from .style import plain, saved, titled

__all__ = ["energy_figure", "energy_picture", "fit_picture", "robustness_picture"]

_PHASES = (ACCENT, NIGHT, EMBER, SOFT, QUIET)
_STRENGTH_OF = {name: meaning for name, (meaning, *_) in NONIDEALITIES.items()} | {
    "drift": "share of the range that cells lose after learning, deviation as large"}
_LEAST_SPAN = 4.0
"""Points of accuracy that an axis shows at least: what seeds do is not to look like what a non-ideality does."""


def fit_picture(measured: Measurement, fit: Fit, path: str | Path) -> None:
    """Draw measured points, the fitted course of both branches, and what is left between them.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    device = fit.device
    note = (f"{fit.points} points, the fit is {fit.verdict}; labels {device.nl_set:.2f} and {device.nl_reset:.2f}; a "
            f"pulse misses by {device.c2c:.2%} of the range, a reading by "
            f"{device.read_noise:.2%}, a write by {device.write_error:.2%}")
    figure = titled(9, 6, f"Device {device.name}", note)
    grid = figure.add_gridspec(2, 2, height_ratios=[3, 1], left=0.08, right=0.97, top=0.83, bottom=0.09, hspace=0.16,
                               wspace=0.14)
    span = device.g_max_s - device.g_min_s
    for column, (kind, name, colour) in enumerate((("set", "Potentiation", ACCENT), ("reset", "Depression", NIGHT))):
        above, below = figure.add_subplot(grid[0, column]), figure.add_subplot(grid[1, column])
        for branch in measured.of(kind):
            above.plot(branch.pulses, branch.conductance * 1e6, ".", color=colour, markersize=3, alpha=0.35)
            below.plot(branch.pulses, (branch.conductance - fit.expected(kind, branch.pulses)) / span * 100, ".",
                       color=colour, markersize=3, alpha=0.35)
        if kind not in fit.rms:
            above.set_title(f"{name} was not measured", loc="left", fontsize=10.5, color=SOFT)
            for axes in (above, below):
                axes.set_axis_off()
            continue
        pulses = np.linspace(0, getattr(device, f"{kind}_pulses"), 200)
        above.plot(pulses, fit.expected(kind, pulses) * 1e6, color=INK, linewidth=1.4)
        below.axhline(0, color=INK, linewidth=1)
        above.set_title(f"{name}, rms {fit.rms[kind]:.2%} of the range", loc="left", fontsize=10.5, fontweight="bold",
                        color=INK)
        above.set_xticklabels([])
        below.set_xlabel("pulses", fontsize=9, color=INK)
        if column == 0:
            above.set_ylabel("conductance, µS", fontsize=9, color=INK)
            below.set_ylabel("left, %", fontsize=9, color=INK)
        for axes in (above, below):
            plain(axes)
    saved(figure, path)


def energy_picture(bill: dict, path: str | Path) -> None:
    """Draw what ``ohmspike energy`` found, as :func:`energy_figure`, into a file.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    saved(energy_figure(bill), path)


def energy_figure(bill: dict) -> Figure:
    """The components of an image as ``ohmspike energy`` found them, and the values that matter most."""
    figure = titled(11, 5, f"Chip {bill['chip']} on {bill['device']}: energy of an image",
                     f"{bill['note']}; whiskers from the 5th to the 95th percentile")
    grid = figure.add_gridspec(1, 2, width_ratios=[3, 2], left=0.12, right=0.97, top=0.78, bottom=0.11, wspace=0.35)
    axes = figure.add_subplot(grid[0, 0])
    phases = bill["phases"]
    names = [name for name in next(iter(phases.values()))["components_j"]
             if any(phase["components_j"][name]["value"] for phase in phases.values())]
    height = 0.8 / len(phases)
    for index, (phase, colour) in enumerate(zip(phases, itertools.cycle(_PHASES))):
        figures, images = phases[phase]["components_j"], max(phases[phase]["images"], 1)
        rows = np.arange(len(names)) + (index - (len(phases) - 1) / 2) * height
        value, low, high = (np.array([figures[name][key] for name in names]) / images * 1e12
                            for key in ("value", "p5", "p95"))
        drawn = value > 0
        # a median may lie outside what it is nominally
        bars = np.maximum(np.array([value - low, high - value])[:, drawn], 0)
        axes.barh(rows[drawn], value[drawn], height * 0.9, color=colour, label=phase, xerr=bars,
                  error_kw={"ecolor": SOFT, "elinewidth": 1, "capsize": 2})
    axes.set_yticks(np.arange(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("pJ an image", fontsize=9, color=INK)
    axes.legend(frameon=False, fontsize=8.5, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.1)
    plain(axes)
    beside = figure.add_subplot(grid[0, 1])
    shown = bill["tornado"][:8]
    total = sum(phase["total_j"]["value"] for phase in phases.values())
    for row, entry in enumerate(shown):
        low, high = (entry[key] / total * 100 - 100 for key in ("low_j", "high_j"))
        beside.barh(row, high - low, 0.7, left=low, color=QUIET)
    beside.axvline(0, color=INK, linewidth=1)
    beside.set_yticks(range(len(shown)), [entry["value"] for entry in shown])
    beside.invert_yaxis()
    beside.set_xlabel("total, %, one sigma lower and higher", fontsize=9, color=INK)
    plain(beside)
    return figure


def robustness_picture(lines: list[dict], path: str | Path) -> None:
    """Draw accuracy against the strength of every non-ideality, for each way in which the chip got its levels.

    Parameters
    ----------
    lines : list of dict
        As :func:`ohmspike.host.robustness.run_study` returns them.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    present = {line["nonideality"] for line in lines} - {"ideal"}
    shown = [name for name in (*NONIDEALITIES, "drift") if name in present] or ["ideal"]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    seeds = len({line["seed"] for line in lines})
    height = 1.6 + 2.5 * rows
    seeds_shown = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
    figure = titled(10, height, f"Non-idealities of {lines[0]['chip']}",
                     f"accuracy on validation images against the strength of a non-ideality; {seeds_shown}; "
                     f"strength 0 is the ideal chip")
    grid = figure.add_gridspec(rows, columns, left=0.07, right=0.98, top=1 - 1.15 / height, bottom=0.75 / height,
                               hspace=0.62, wspace=0.22)
    for index, name in enumerate(shown):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        strengths = [0.0, *sorted({line["strength"] for line in lines if line["nonideality"] == name})]
        for mode, colour in (("learned", NIGHT), ("relearned", EMBER), ("programmed", SOFT)):
            accuracies = [[100 * line["accuracy"] for line in lines if line["mode"] == mode
                      and (line["nonideality"], line["strength"]) in ((name, strength), ("ideal", strength))]
                     for strength in strengths]
            positions = [position for position, values in enumerate(accuracies) if values]
            values = [accuracies[position] for position in positions]
            axes.plot(positions, [np.mean(each) for each in values], "o-", color=colour, markersize=3.5, linewidth=1.4,
                      label=mode)
            axes.fill_between(positions, [min(each) for each in values], [max(each) for each in values], color=colour,
                              alpha=0.18, linewidth=0)
        axes.set_xticks(range(len(strengths)), [f"{strength:g}" for strength in strengths])
        axes.set_title(name, loc="left", fontsize=10.5, fontweight="bold", color=INK)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, high - _LEAST_SPAN), high + 0.2)
        axes.set_xlabel(textwrap.fill(_STRENGTH_OF.get(name, ""), 52), fontsize=7.5, color=SOFT, loc="left")
        plain(axes)
        if index == 0:
            figure.legend(*axes.get_legend_handles_labels(), loc="upper right", ncols=3, frameon=False, fontsize=9)
        if index % columns == 0:
            axes.set_ylabel("accuracy, %", fontsize=9, color=INK)
    saved(figure, path, make_folder=True)
