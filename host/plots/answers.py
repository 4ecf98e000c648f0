"""The picture of the images that a chip answered wrong."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .palette import ACCENT, INK, SOFT
from .style import blank, saved

__all__ = ["WRONG_SHOWN", "wrong_answers"]

WRONG_SHOWN = 60
"""Images that are drawn at most."""

_COLUMNS = 12


def wrong_answers(chip: str, images: np.ndarray, wrong: Sequence[Sequence[int]], count: int,
                  path: str | Path) -> None:
    """Draw images that were answered wrong, the first :data:`WRONG_SHOWN`, each with its label and its answer.

    Parameters
    ----------
    chip : str
        Its name.
    images : uint8 array of shape (samples, height, width)
    wrong : sequence of (int, int, int)
        Sample, label and answer, as :func:`~ohmspike.host.learning.confusion.evaluation` lists them.
    count : int
        How many were answered wrong.
    path : path
        PNG file.

    Raises
    ------
    ValueError
        There are none.
    UserError
        The file cannot be written.
    """
    if not len(wrong):
        raise ValueError("wrong must have a sample, not none")
    shown = list(wrong[:WRONG_SHOWN])
    rows = -(-len(shown) // _COLUMNS)
    width, height = 0.8 * _COLUMNS + 0.3, 0.95 * rows + 0.85
    figure = blank(width, height)
    which = f"all {count:,}" if len(shown) == count else f"the first {len(shown)} of {count:,}"
    figure.text(0.15 / width, 1 - 0.3 / height, f"Chip {chip}: answered wrong", fontsize=14, fontweight="bold",
                color=INK, va="center")
    figure.text(0.15 / width, 1 - 0.57 / height, f"{which} of {len(images):,} images: number, label → answer",
                fontsize=9, color=SOFT, va="center")
    for place, (sample, label, answer) in enumerate(shown):
        row, column = divmod(place, _COLUMNS)
        left, bottom = 0.15 + 0.8 * column, height - 0.85 - 0.95 * row - 0.75
        axes = figure.add_axes((left / width, bottom / height, 0.7 / width, 0.7 / height))
        axes.imshow(images[sample], cmap="gray", vmin=0, vmax=max(1, int(images[sample].max())),
                    interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(f"{label} → {answer}", fontsize=8, color=ACCENT, pad=2, loc="left")
        axes.set_title(f"{sample}", fontsize=6, color=SOFT, pad=2, loc="right")
    saved(figure, path)
