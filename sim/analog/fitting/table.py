"""A device of measured steps ΔG over G: the steps themselves are its tables."""

from dataclasses import dataclass

import numpy as np

from ..device import DeviceError
from ..measured.curves import NAMES_OF_KINDS, Steps
from .search import curve

__all__ = ["Stepped", "device_of_steps"]

_STATES = 33
_LEAST_SPEED = 1e-6


@dataclass(frozen=True)
class Stepped:
    """What tables of steps come to.

    Parameters
    ----------
    low, high : float
        Rails, S.
    speeds : dict of float arrays of shape (33,)
        By kind: mean step at evenly spaced states, shares of the range.
    pulses, labels : dict
        By kind: pulses from rail to rail, and the nearest label of NeuroSim.
    c2c, error : float or None
        Deviation of a step about its mean, share of the range, and its standard error; None where no conductance has
        two steps.
    """

    low: float
    high: float
    speeds: dict
    pulses: dict
    labels: dict
    c2c: float | None
    error: float | None


def device_of_steps(steps: tuple[Steps, ...], source: str) -> Stepped:
    """Rails, mean steps and their spread.

    Raises
    ------
    DeviceError
        Steps go the wrong way.
    """
    every = np.concatenate([each.conductance for each in steps])
    low, high = float(every.min()), float(every.max())
    if not 0 < low < high:
        raise DeviceError(f"{source}: conductances of steps must differ and be above 0 S, not {low:g} to {high:g}")
    states = np.linspace(0, 1, _STATES)
    speeds, pulses, labels, left, count = {}, {}, {}, 0.0, 0
    for each in steps:
        sign = 1 if each.kind == "set" else -1
        grid, place = np.unique(each.conductance, return_inverse=True)
        number = np.bincount(place)
        mean = np.bincount(place, each.step) / number
        if np.median(mean) * sign <= 0:
            raise DeviceError(f"{source}: steps of {NAMES_OF_KINDS[each.kind]} must be "
                              f"{'above' if sign > 0 else 'below'} 0 S, not {np.median(mean):.3g} S in the middle")
        left += float(np.sum((each.step - mean[place]) ** 2))
        count += int(np.sum(number - 1))
        speed = np.maximum(np.interp(states, (grid - low) / (high - low), sign * mean / (high - low)), 0.0)
        speeds[each.kind] = speed
        needed = np.diff(states) / np.maximum((speed[1:] + speed[:-1]) / 2, _LEAST_SPEED)
        course = np.concatenate([[0.0], np.cumsum(needed)])
        pulses[each.kind] = float(np.clip(course[-1], 1.0, 1e7))
        labels[each.kind] = _nearest(each.kind, course / course[-1], states, speed)
    c2c = (left / count) ** 0.5 / (high - low) if count else None
    return Stepped(low, high, speeds, pulses, labels, c2c, None if c2c is None else c2c / (2 * count) ** 0.5)


def _nearest(kind, share, states, speed):
    """Label whose course is nearest to the one that steps at states make."""
    if kind == "reset":  # depression walks the states downwards
        backwards = np.diff(states) / np.maximum((speed[1:] + speed[:-1]) / 2, _LEAST_SPEED)
        share = np.concatenate([[0.0], np.cumsum(backwards[::-1])])
        share, states = share / share[-1], states[::-1]
    labels = np.linspace(-9, 9, 181)
    off = [np.sum((curve(kind, label, share) - states) ** 2) for label in labels]
    return float(labels[int(np.argmin(off))])
