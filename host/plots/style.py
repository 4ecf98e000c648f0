"""What all pictures have in common: colours, canvas, title, axes, and how they are written."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ohmspike.host.support.atomic import write_whole

from .palette import DPI, INK, QUIET, SOFT

__all__ = ["blank", "plain", "saved", "titled"]


def blank(width: float, height: float) -> Figure:
    """An empty picture, in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def titled(width: float, height: float, title: str, note: str) -> Figure:
    """A picture with a title and a line under it."""
    figure = blank(width, height)
    figure.text(0.06, 1 - 0.35 / height, title, fontsize=14, fontweight="bold", color=INK, va="center")
    figure.text(0.06, 1 - 0.62 / height, note, fontsize=9, color=SOFT, va="center")
    return figure


def plain(axes: Axes) -> None:
    """Axes with two quiet lines and small numbers."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(labelsize=8, color=QUIET, labelcolor=INK)


def saved(figure: Figure, path: str | Path, **options: Any) -> None:
    """Write a picture, whole or not at all: PNG, or what its suffix says.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    kind = Path(path).suffix.lstrip(".").lower()
    kind = kind if kind in figure.canvas.get_supported_filetypes() else "png"
    write_whole(path, lambda file: figure.savefig(file, format=kind), **options)
