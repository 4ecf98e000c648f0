"""What a person sees while waiting: progress on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["COMPILING", "Shown", "be_quiet", "progress", "say", "show", "status"]

COMPILING = "the model is compiled first (a minute the first time, then kept)"
"""What a wait is for that every first run of the model has."""


@functools.cache
def _console() -> Console:
    """The console of stderr, made with the first line: rich takes longer to import than help takes to print."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


_quiet = False
_WARNINGS = ("warning", "error")


def be_quiet(quiet: bool) -> None:
    """Say nothing but warnings from now on, or everything again."""
    global _quiet
    _quiet = quiet


def say(line: str) -> None:
    """One line about what is going on, on stderr."""
    if not _quiet or line.startswith(_WARNINGS):
        _console().print(line, markup=False)


def status(line: str) -> None:
    """A line about a long step of a tool, on stderr, dimmed."""
    if not _quiet:
        _console().print(f"  {line}", style="dim", markup=False)


class Shown:
    """Progress that a person sees: called with what is done, and told what else there is to know.

    Parameters
    ----------
    unit : str
        What is done, in the plural, for a rate; empty for none.
    """

    def __init__(self, unit: str = ""):
        self._unit, self._note = unit, ""
        self._begun: tuple[int, float] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Tell how far it is."""
        now = time.monotonic()
        if self._begun is None:
            self._begun = done, now
        first, started = self._begun
        rate = ""
        if self._unit and done > first and now > started:
            rate = f"{(done - first) / (now - started):,.0f} {self._unit}/s"
        self._show(done, total, ", ".join(filter(None, (rate, self._note))))

    def note(self, text: str) -> None:
        """What stands behind the numbers from now on, such as an accuracy."""
        self._note = text

    def _show(self, done: int, total: int, facts: str) -> None:
        """Nothing: the one that is quiet."""


class _Lines(Shown):
    """Progress as lines, for a file or a pipe."""

    def __init__(self, description: str, unit: str = "", every: float = 30.0):
        super().__init__(unit)
        self._description, self._every = description, every
        self._started = self._said = time.monotonic()
        self._last: tuple[int, int] | None = None

    def _show(self, done, total, facts):
        now = time.monotonic()
        if self._last != (done, total) and (now - self._said >= self._every or done >= total):
            spent = now - self._started
            left = f", about {spent * (total - done) / done:,.0f} s left" if 0 < done < total else ""
            known = f", {facts}" if facts else ""
            say(f"{self._description}: {done:,} of {total:,}, {spent:,.0f} s{known}{left}")
            self._said, self._last = now, (done, total)


class _Bar(Shown):
    """Progress as a bar, for a terminal."""

    def __init__(self, bar: Progress, description: str, unit: str):
        super().__init__(unit)
        self._bar = bar
        self._task = bar.add_task(description, total=None, facts="")

    def _show(self, done, total, facts):
        self._bar.update(self._task, completed=done, total=total, facts=facts)


@contextlib.contextmanager
def progress(description: str, unit: str = "") -> Iterator[Shown]:
    """A progress bar with an estimate of what is left; yields a :class:`Shown`, a function of (done, total).

    Where stderr is no terminal, a line says the same about every half minute and at the end.
    """
    if _quiet:
        yield Shown()
        return
    if not _console().is_terminal:
        yield _Lines(description, unit)
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
               TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[facts]}"))
    with Progress(*columns, console=_console()) as bar:
        yield _Bar(bar, description, unit)


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
