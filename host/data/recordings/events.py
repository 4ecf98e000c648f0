"""Events of a camera as readers give them: block by block, with what the file says of its sensor."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np

from ohmspike.host.data.formats import DataError
from ohmspike.host.support.errors import RunWarning

__all__ = ["BLOCK", "FALLS", "Events", "Reader", "Recording", "Unwrapped", "ends_within", "records", "sensor_for"]

BLOCK = 1 << 20
"""Bytes that are read at once."""

FALLS = 0.1
"""Cameras send some events late: times in which so many steps fall are still taken for times."""

USUAL_SENSORS = ((34, 34), (128, 128), (180, 240), (240, 304), (260, 346), (480, 640), (720, 1280))
"""Heights and widths of published sets and of cameras that are sold, ascending."""


class Events(NamedTuple):
    """Some consecutive events of a recording, arrays of shape (events,).

    ``time`` int64, µs; ``x`` and ``y`` integers from 0 up, as the file has them; ``on`` bool, light has increased.
    """

    time: np.ndarray
    x: np.ndarray
    y: np.ndarray
    on: np.ndarray


@dataclass
class Recording:
    """An open recording.

    Parameters
    ----------
    sensor : (int, int), optional
        Height and width, if the file or its format says so.
    blocks : iterator of Events
        Raises :class:`~ohmspike.host.data.formats.DataError` with the byte or line where a file is damaged; a file that
        ends within an event gives all whole ones and a :class:`~ohmspike.host.support.errors.RunWarning`.
    span : int, optional
        Time of a sample that the published set has, µs.
    """

    sensor: tuple[int, int] | None
    blocks: Iterator[Events]
    span: int | None = None


Reader = Callable[[BinaryIO, str], Recording]
"""Opens a file that is recognised already; the text is what messages call it."""


def records(file: BinaryIO, name: str, size: int, at: int) -> Iterator[tuple[np.ndarray, int]]:
    """Whole records of ``size`` bytes from byte ``at`` on, as uint8 of shape (records, size), and where they begin."""
    while block := file.read(BLOCK // size * size):
        whole = len(block) // size
        yield np.frombuffer(block, np.uint8, whole * size).reshape(whole, size), at
        at += whole * size
        if len(block) % size:
            ends_within(name, at, len(block) % size, size)


def ends_within(name: str, at: int, left: int, size: int) -> None:
    """Warn of a file that ends within a record."""
    warnings.warn(f"{name}: ends within an event, at byte {at:,}: {left} bytes where it takes {size}; all before it is "
                  "read", RunWarning, stacklevel=2)


class Unwrapped:
    """Times of a counter that begins again at 0, made to go on.

    Parameters
    ----------
    bits : int
        Of the counter. A fall by more than half of its range is a new turn, a rise by as much is one back.
    """

    def __init__(self, bits: int):
        self._range, self._last, self._turns = 1 << bits, -1, 0

    def __call__(self, counted: np.ndarray) -> np.ndarray:
        """The next values of the counter, int64, with full turns added."""
        if not len(counted):
            return counted
        rises = np.diff(counted, prepend=counted[0] if self._last < 0 else self._last)
        turns = self._turns + np.cumsum((2 * rises < -self._range).astype(np.int64) - (2 * rises > self._range))
        self._last, self._turns = int(counted[-1]), int(turns[-1])
        return counted + turns * self._range


def sensor_for(height: int, width: int) -> tuple[int, int]:
    """The smallest usual sensor that has so many rows and columns; one of this size if there is none."""
    return next((sensor for sensor in USUAL_SENSORS if height <= sensor[0] and width <= sensor[1]), (height, width))


def damaged(name: str, at: int, what: str) -> DataError:
    """The error of a file that is no recording from some byte on."""
    return DataError(f"{name}, byte {at:,}: {what}", hint="fetch the file again")
