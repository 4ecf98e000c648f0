"""Whether errors are honest: devices of known values simulated, fitted, and counted where two errors hold the truth."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..device import curvature, saturation
from ..measured.curves import Branch
from .search import most_likely, readings_of

__all__ = ["CASES", "COLUMNS", "Case", "Coverage", "counted", "coverage", "draw_and_fit", "markdown"]

COLUMNS = ("nl_set", "nl_reset", "g_min", "g_max", "c2c", "anew")
"""Values that are counted; *anew* is the deviation that does not add up."""
_PULSES, _LOW, _HIGH = 64, 1e-7, 5e-6


@dataclass(frozen=True)
class Case:
    """A device and how it was measured.

    Parameters
    ----------
    held : bool
        NeuroSim's process: steps along the curve, noise, held at the rails, branches begin where the last one ended.
        If not, cells may pass their rails, and each branch begins at its rail.
    labels : (float, float)
    c2c, reading : float
        Deviations of a pulse and of a reading, shares of the range.
    cycles : int
    """

    held: bool
    labels: tuple[float, float]
    c2c: float
    reading: float
    cycles: int

    @property
    def name(self) -> str:
        """For people."""
        return (f"{'held' if self.held else 'passing'}, {self.labels[0]:g}/{self.labels[1]:g}, c2c {self.c2c:.1%}, "
                f"reading {self.reading:.1%}, {self.cycles} cycle{'s' if self.cycles > 1 else ''}")

    def truth(self) -> np.ndarray:
        """True values, as :data:`COLUMNS`."""
        return np.array([*self.labels, _LOW, _HIGH, self.c2c, self.reading])


CASES = tuple(Case(held, *rest) for held, rest in [
    *((held, ((2.4, -4.88), 0.0, 0.01, 1)) for held in (False, True)),
    *((held, ((2.4, -4.88), c2c, 0.01, cycles)) for held in (False, True)
      for c2c, cycles in ((0.01, 10), (0.03, 10), (0.05, 10), (0.035, 1))),
    *((held, (labels, 0.02, 0.005, 10)) for held in (False, True)
      for labels in ((1.0, -1.0), (0.0, 0.0), (5.0, -5.0)))])


@dataclass(frozen=True)
class Coverage:
    """What seeds of a case came to, by :data:`COLUMNS`: means, deviations, told errors, shares held by two errors."""

    case: Case
    mean: np.ndarray
    deviation: np.ndarray
    told: np.ndarray
    cover: np.ndarray
    seeds: int


def _branches(case, seed):
    random = np.random.default_rng(seed)
    state, branches = 0.0, []
    for _ in range(case.cycles):
        for kind, label, sign in (("set", case.labels[0], 1), ("reset", case.labels[1], -1)):
            a = curvature(label)
            b, keep = saturation(a), np.exp(-sign / (_PULSES * a))
            state = state if case.held else float(kind == "reset")
            course = [state]
            for _ in range(_PULSES):
                state = b - (b - state) * keep
                if case.held:
                    state = min(max(state, 0.0), 1.0)
                state += case.c2c * random.standard_normal()
                if case.held:
                    state = min(max(state, 0.0), 1.0)
                course.append(state)
            seen = np.array(course) + case.reading * random.standard_normal(_PULSES + 1)
            branches.append(Branch(kind, np.arange(_PULSES + 1.0), _LOW + (_HIGH - _LOW) * seen))
    return branches


def draw_and_fit(case: Case, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors of one simulated measurement, as :data:`COLUMNS`."""
    branches = _branches(case, seed)
    unit = float(np.ptp(np.concatenate([branch.conductance for branch in branches])))
    estimate = most_likely(readings_of(branches, {"set": _PULSES, "reset": _PULSES}, unit))
    low, span, *rest = estimate.values
    top = np.sqrt(max(estimate.covariance[0, 0] + estimate.covariance[1, 1] + 2 * estimate.covariance[0, 1], 0.0))
    values = np.array([*rest[:2], low * unit, (low + span) * unit, *rest[2:]])
    return values, np.array([*estimate.errors[2:4], estimate.errors[0] * unit, top * unit, *estimate.errors[4:]])


def coverage(case: Case, seeds: int, *, run: Callable[..., Iterable[tuple[np.ndarray, np.ndarray]]] = map,
             first: int = 1) -> Coverage:
    """Fit as many simulated measurements; ``run`` maps, as :func:`map` does, perhaps in other processes."""
    return counted(case, list(run(functools.partial(draw_and_fit, case), range(first, first + seeds))))


def counted(case: Case, fits: Sequence[tuple[np.ndarray, np.ndarray]]) -> Coverage:
    """What values and standard errors of simulated measurements come to, as :func:`draw_and_fit` returns them."""
    values, errors = (np.array(column) for column in zip(*fits, strict=True))
    cover = np.mean(np.abs(values - case.truth()) <= 2 * errors + 1e-15, axis=0)
    return Coverage(case, values.mean(0), values.std(0), errors.mean(0), cover, len(fits))


def markdown(estimate: list[Coverage]) -> str:
    """A table: mean ± told error, and the share held by two errors."""
    heads = ("process, labels, noise", "label SET", "label RESET", "g_min, µS", "g_max, µS", "c2c, %", "anew, %")
    scale = np.array([1, 1, 1e6, 1e6, 100, 100])
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---'] * len(heads))} |"]
    for each in estimate:
        cells = [f"{mean:.3g} ± {told:.2g} ({cover:.0%})" for mean, told, cover in
                 zip(each.mean * scale, each.told * scale, each.cover, strict=True)]
        lines.append(f"| {' | '.join([each.case.name, *cells])} |")
    return "\n".join(lines)
