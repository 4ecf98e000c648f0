"""What of the error does not add up belongs to writing, and what to reading: repeated readings tell."""

import math
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are first used

from .process import CONTINUED
from .search import Found, Readings

__all__ = ["Split", "split"]

_FEWEST = 3
_SURE = 0.977
"""One-sided level of two standard errors."""


@dataclass(frozen=True)
class Split:
    """Deviations of reading and of writing anew, shares of the range, their errors, and how they were told apart."""

    read: float
    write: float
    read_error: float
    write_error: float
    how: str


def split(readings: Readings, found: Found, known: float | None = None) -> Split:
    """Divide the deviation that is drawn anew into that of readings and that of writes.

    Parameters
    ----------
    known : float, optional
        Read noise of the set-up, share of the range.
    """
    anew, error = float(found.values[5]), float(found.errors[5])
    if known is not None:
        write = math.sqrt(max(anew**2 - known**2, 0.0))
        return Split(known, write, 0.0, error * anew / max(write, anew / 2, 1e-12), "read noise as given")
    again = (readings.pulses == 0) & ((readings.begins == 0) | ((readings.begins == 1)
                                                                & (found.process.start == CONTINUED)))
    again[0] = False
    pairs = np.flatnonzero(again)
    if len(pairs) < _FEWEST:
        return Split(0.0, anew, 0.0, error, "no state was read twice: all of it is taken as an error of writing; "
                                            "--read-noise tells the part of reading")
    apart = (readings.values[pairs] - readings.values[pairs - 1]) / found.values[1]
    read = math.sqrt(float(np.mean(apart**2)) / 2)
    read_error = read / math.sqrt(2 * len(pairs))
    limit = scipy.stats.f.ppf(_SURE, max(len(readings.values) - len(pairs), 1), len(pairs))
    if anew**2 <= limit * read**2:
        bound = math.sqrt(max(anew**2 * (1 - 1 / limit), 0.0))
        return Split(anew, 0.0, error, bound / 2, f"{len(pairs)} states were read twice: no error of writing is seen")
    write = math.sqrt(anew**2 - read**2)
    return Split(read, write, read_error, math.hypot(anew * error, read * read_error) / write,
                 f"{len(pairs)} states were read twice")
