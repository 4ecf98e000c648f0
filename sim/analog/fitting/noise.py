"""What of the error does not add up belongs to writing, and what to reading: repeated readings tell."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are first used

from .course import Course, measured_course
from .process import CONTINUED
from .search import Estimate, Readings, simulate

__all__ = ["Split", "lasting", "split", "structure"]

_FEWEST = 3
_SURE = 0.977
"""One-sided level of two standard errors."""


_REPLICAS, _SATURATED, _FEWEST_LAGS, _LONGEST = 30, 0.75, 5, 64


def structure(readings: Readings, course: Course) -> tuple[np.ndarray, np.ndarray]:
    """Structure function of what readings are off their mean course: lags in pulses, and the mean square difference.

    An error that adds up makes it grow with the lag; one that is drawn anew leaves it flat. In shares of the range;
    lags double, up to an eighth of a branch and 64 readings.
    """
    states = (readings.values - course.g_min) / course.g_range
    for k, kind in enumerate(("set", "reset")):
        here = readings.kinds == k
        states[here] -= course.means[kind](readings.position[here])
    cuts = np.flatnonzero(readings.begins > 0)
    parts = np.split(states, cuts[1:])
    step = float(np.median(readings.pulses[readings.pulses > 0]))
    lags = [lag for lag in 2 ** np.arange(7) if lag <= min(_LONGEST, max(len(part) for part in parts) // 8)]
    means = [np.mean(np.concatenate([(part[lag:] - part[:-lag]) ** 2 for part in parts if len(part) > lag]))
             for lag in lags]
    return np.array(lags) * step, np.array(means)


def lasting(readings: Readings, estimate: Estimate, course: Course) -> float | None:
    """Deviation of a pulse that adds up even over many pulses, where that is less than the likelihood takes it for.

    A likelihood of a random walk and of errors drawn anew is ruled by neighbouring readings. Errors that fade over some
    pulses look like a random walk there, and do not at longer lags: the structure function saturates. Replicas of the
    fitted device say how it would grow. None if it grows so.
    """
    lags, seen = structure(readings, course)
    if len(lags) < _FEWEST_LAGS:
        return None
    random, replicas = np.random.default_rng(11), []
    for _ in range(_REPLICAS):
        values = estimate.values[0] + estimate.values[1] * simulate(readings, estimate, random)
        other = dataclasses.replace(readings, values=values)
        own = measured_course(other)
        if own is not None:
            replicas.append(structure(other, own)[1] * (own.g_range / course.g_range) ** 2)
    if len(replicas) < _REPLICAS // 2:
        return None
    grown = np.array([each[-1] - each[0] for each in replicas])
    if seen[-1] - seen[0] >= min(_SATURATED * np.median(grown), grown.min()):
        return None
    return math.sqrt(max(seen[-1] - seen[-2], 0.0) / (lags[-1] - lags[-2]))


@dataclass(frozen=True)
class Split:
    """Deviations of reading and of writing anew, shares of the range, their errors, and how they were told apart."""

    read: float
    write: float
    read_error: float
    write_error: float
    how: str


def split(readings: Readings, estimate: Estimate, known: float | None = None) -> Split:
    """Divide the deviation that is drawn anew into that of readings and that of writes.

    Parameters
    ----------
    known : float, optional
        Read noise of the set-up, share of the range.
    """
    anew, error = float(estimate.values[5]), float(estimate.errors[5])
    if known is not None:
        write = math.sqrt(max(anew**2 - known**2, 0.0))
        return Split(known, write, 0.0, error * anew / max(write, anew / 2, 1e-12), "read noise as given")
    again = (readings.pulses == 0) & ((readings.begins == 0) | ((readings.begins == 1)
                                                                & (estimate.process.start == CONTINUED)))
    again[0] = False
    pairs = np.flatnonzero(again)
    if len(pairs) < _FEWEST:
        return Split(0.0, anew, 0.0, error, "no state was read twice: all of it is taken as an error of writing; "
                                            "--read-noise tells the part of reading")
    apart = (readings.values[pairs] - readings.values[pairs - 1]) / estimate.values[1]
    read = math.sqrt(float(np.mean(apart**2)) / 2)
    read_error = read / math.sqrt(2 * len(pairs))
    limit = scipy.stats.f.ppf(_SURE, max(len(readings.values) - len(pairs), 1), len(pairs))
    if anew**2 <= limit * read**2:
        bound = math.sqrt(max(anew**2 * (1 - 1 / limit), 0.0))
        return Split(anew, 0.0, error, bound / 2, f"{len(pairs)} states were read twice: no error of writing is seen")
    write = math.sqrt(anew**2 - read**2)
    return Split(read, write, read_error, math.hypot(anew * error, read * read_error) / write,
                 f"{len(pairs)} states were read twice")
