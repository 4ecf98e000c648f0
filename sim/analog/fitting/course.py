"""The measured course itself: a smooth curve that only rises, or only falls, through readings, and its steps."""

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are first used

from .search import GRID, Readings

__all__ = ["Course", "measured_course"]

_STATES = 33
_KNOTS = (3, 10)
_POINTS_A_KNOT = 5


@dataclass(frozen=True)
class Course:
    """Steps by state, free of any formula.

    Parameters
    ----------
    g_min, g_range : float
        Rails of the course, in the readings' unit.
    steps : float array of shape (2, states)
        What a pulse adds at the states of :data:`~.search.GRID`, by kind; RESET's is below 0.
    speeds : dict of float arrays of shape (33,)
        By kind: shares of the range a pulse at evenly spaced states from rail to rail, above 0.
    means : dict of functions of pulses
        By kind: the course, as states.
    free : int
        Values that were fitted.
    """

    g_min: float
    g_range: float
    steps: np.ndarray
    speeds: dict
    means: dict
    free: int


def measured_course(readings: Readings) -> Course | None:
    """Fit monotone splines (Ramsay 1988, I-splines by non-negative least squares) to the mean of all branches.

    None if a kind is missing or nothing moves.
    """
    curves, free = {}, 0
    for kind, name in ((0, "set"), (1, "reset")):
        of_kind = readings.kinds == kind
        if of_kind.sum() < 4:
            return None
        positions, place = np.unique(readings.position[of_kind], return_inverse=True)
        count = np.bincount(place)
        mean = np.bincount(place, readings.values[of_kind]) / count
        curves[name], count_free = _monotone(positions.astype(float), mean, count, 1 if kind == 0 else -1,
                                             readings.span[kind])
        free += count_free
    ends = {name: curves[name](np.array([0.0, span]))
            for name, span in zip(("set", "reset"), readings.span, strict=True)}
    low, high = min(ends["set"][0], ends["reset"][1]), max(ends["set"][1], ends["reset"][0])
    if not high - low > 0:
        return None
    steps, speeds, means = np.empty((2, len(GRID))), {}, {}
    for kind, (name, sign) in enumerate((("set", 1), ("reset", -1))):
        pulses = np.linspace(0, readings.span[kind], min(4 * readings.span[kind], 8000) + 1)
        states = (curves[name](pulses) - low) / (high - low)
        ahead = (curves[name](np.minimum(pulses + 1, readings.span[kind])) - low) / (high - low)
        # the last pulse's step is that of the one before it
        moved = np.where(pulses <= readings.span[kind] - 1, sign * (ahead - states), np.nan)
        moved = np.maximum(np.where(np.isnan(moved), moved[np.isfinite(moved)][-1], moved), 0.0)
        speed = np.maximum(sign * np.gradient(states, pulses), 0.0)
        rising = np.maximum.accumulate(sign * states + 1e-9 * np.arange(len(states)))
        steps[kind] = sign * np.interp(sign * GRID, rising, moved)
        speeds[name] = np.interp(sign * np.linspace(0, 1, _STATES), rising, speed)
        means[name] = _as_states(curves[name], low, high - low)
    return Course(float(low), float(high - low), steps, speeds, means, free)


def _as_states(curve, low, span):
    return lambda pulses: (curve(np.asarray(pulses, float)) - low) / span


def _monotone(positions, values, weights, sign, span):
    """A smooth function of pulses that only rises (sign 1) or falls, and how many of its values were fitted."""
    inner = int(np.clip(len(positions) // _POINTS_A_KNOT, *_KNOTS))
    # knots closer where a course begins: that is where steps are large
    knots = span * np.linspace(0, 1, inner + 1) ** 1.5
    whole = np.concatenate([[0.0] * 3, knots, [span] * 3])
    count = len(whole) - 4
    basis = [scipy.interpolate.BSpline(whole, np.eye(count)[k], 3, extrapolate=True) for k in range(count)]

    def rising(pulses):
        inside = np.clip(pulses, 0, span)
        b = np.array([spline(inside) for spline in basis])
        return np.cumsum(b[::-1], axis=0)[::-1][1:]  # I-splines: sums of the B-splines from k on

    matrix = np.vstack([np.ones(len(positions)), -np.ones(len(positions)), sign * rising(positions)]).T
    scale = np.sqrt(weights)[:, None]
    estimate, _ = scipy.optimize.nnls(matrix * scale, values * scale[:, 0], maxiter=50 * matrix.shape[1])

    def course(pulses):
        return estimate[0] - estimate[1] + sign * estimate[2:] @ rising(np.asarray(pulses, float))

    return course, 1 + int(np.count_nonzero(estimate[2:]))
