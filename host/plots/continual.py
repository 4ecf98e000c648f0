"""The picture of a study of continual learning: how much of each stage is left at the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from .palette import INK, QUIET, SOFT
from .style import plain, saved, titled

__all__ = ["continual_picture"]


def continual_picture(chip: str, lines: list[dict[str, Any]], stages: Sequence[str], path: str | Path) -> None:
    """Draw, for every learner and stage, the accuracy just after the stage (open) and at the end (filled).

    Parameters
    ----------
    lines : list of dict
        As :func:`~ohmspike.host.studies.continual.run_stages` returns them; of several seeds, means are drawn.
    stages : sequence of str
        Names of the stages.
    path : path
        PNG file.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    learners = list(dict.fromkeys(line["learner"] for line in lines))
    height = 1.7 + len(learners) * (0.26 + 0.12 * len(stages))
    figure = titled(9.2, height, f"Chip {chip}: classes in stages",
                    "accuracy just after a stage (open) and after the last (filled); the line is what was forgotten")
    axes = figure.add_axes((0.27, 0.62 / height, 0.69, 1 - 1.75 / height))
    colours = colormaps["viridis"](np.linspace(0.15, 0.75, len(stages)))
    for row, learner in enumerate(learners):
        for number, colour in enumerate(colours):
            then, now = (100 * _mean(lines, learner, stage, number) for stage in (number + 1, len(stages)))
            y = row + 0.55 * ((number + 0.5) / len(stages) - 0.5)
            axes.plot([then, now], [y, y], color=colour, linewidth=2, alpha=0.6)
            axes.plot(then, y, "o", markersize=6, markerfacecolor="white", markeredgecolor=colour)
            axes.plot(now, y, "o", markersize=6, color=colour,
                      label=f"classes {stages[number]}" if row == 0 else None)
    axes.set_yticks(range(len(learners)), learners)
    axes.set_ylim(len(learners) - 0.45, -0.55)
    axes.set_xlim(-2, 102)
    axes.set_xlabel("answered right, %", fontsize=9, color=INK)
    axes.grid(axis="x", color=QUIET, linewidth=0.6)
    axes.set_axisbelow(True)
    plain(axes)
    figure.legend(loc="upper right", fontsize=8, frameon=False, labelcolor=SOFT, ncols=min(len(stages), 5),
                  bbox_to_anchor=(0.97, 1 - 0.72 / height))
    saved(figure, path)


def _mean(lines, learner, stage, number):
    """Accuracy on the classes of one stage after another, mean of the seeds."""
    return float(np.mean([line["of_stages"][number] for line in lines
                          if (line["learner"], line["stage"]) == (learner, stage)]))
