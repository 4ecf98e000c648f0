"""Threads that share out work."""

import functools
import itertools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["shared_out", "thread_count", "tile_groups"]

_HELPERS_MAX = 256


def thread_count(threads: int | None) -> int:
    """How many threads are wanted: as many as there are cores if none is told.

    Raises
    ------
    ValueError
        Fewer than one.
    """
    threads = (os.cpu_count() or 1) if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads!r}")
    return threads


def tile_groups(tiles: int, threads: int) -> list[int]:
    """Bounds of groups of tiles that threads take in turn.

    Large ones first, so that few are handed out, single tiles last, so that all threads finish together.
    """
    bounds = [0]
    while bounds[-1] < tiles:
        left = tiles - bounds[-1]
        bounds.append(bounds[-1] + (max(1, left // (2 * threads)) if threads > 1 else left))
    return bounds


@functools.cache
def _helpers(process):
    """Threads that wait for work, as many as were ever wanted at once; of this process: a fork takes none along."""
    return ThreadPoolExecutor(_HELPERS_MAX, f"ohmspike-{process}")


def shared_out(threads: int, function: Callable, *arguments: Iterable[Any]) -> list:
    """``list(map(function, *arguments))``, whose calls this thread and helpers take in turn."""
    calls = list(zip(*arguments, strict=True))
    threads = min(threads, len(calls))
    if threads < 2:
        return [function(*call) for call in calls]
    results, turns = [None] * len(calls), itertools.count()

    def help_out():
        while (turn := next(turns)) < len(calls):
            results[turn] = function(*calls[turn])

    helping = [_helpers(os.getpid()).submit(help_out) for _ in range(threads - 1)]
    try:
        help_out()
    finally:
        for helper in helping:
            if not helper.cancel():  # one that never started has nothing to give
                helper.result()
    return results
