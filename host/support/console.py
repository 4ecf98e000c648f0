"""What a person sees while waiting: progress on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["progress", "say", "show", "status"]


@functools.cache
def _console() -> Console:
    """The console of stderr, made with the first line: rich takes longer to import than help takes to print."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(line: str) -> None:
    """One line about what is going on, on stderr."""
    _console().print(line, markup=False)


def status(line: str) -> None:
    """A line about a long step of a tool, on stderr, dimmed."""
    _console().print(f"  {line}", style="dim", markup=False)


class _Lines:
    """Progress as lines, for a file or a pipe."""

    def __init__(self, description: str, every: float = 30.0) -> None:
        self._description, self._every = description, every
        self._started = self._said = time.monotonic()
        self._last: tuple[int, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._last != (done, total) and (now - self._said >= self._every or done >= total):
            spent = now - self._started
            left = f", about {spent * (total - done) / done:,.0f} s left" if 0 < done < total else ""
            say(f"{self._description}: {done:,} of {total:,}, {spent:,.0f} s{left}")
            self._said, self._last = now, (done, total)


@contextlib.contextmanager
def progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with an estimate of what is left; yields a function of (done, total).

    Where stderr is no terminal, a line says the same about every half minute and at the end.
    """
    if not _console().is_terminal:
        yield _Lines(description)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=_console()) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(data: dict, *, as_json: bool, text: str) -> None:
    """The result on stdout: JSON alone, or the text for a person.

    NumPy's numbers and arrays become plain ones; what is no number (NaN, infinite) becomes null.
    """
    click.echo(json.dumps(_plain(data), indent=2, allow_nan=False) if as_json else text)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
