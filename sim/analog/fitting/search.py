"""The search for the device that makes readings most likely, and how sure of it they make us."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy  # its parts are loaded when they are first used

from ..device import curvature, saturation
from ..measured.curves import Branch
from .process import CONTINUED, LOOSE, RAIL, Process

__all__ = ["Estimate", "NAMES", "GRID", "Readings", "curve", "formula_steps", "most_likely", "readings_of",
           "simulate"]

NAMES = ("g_min", "range", "nl_set", "nl_reset", "c2c", "anew")
"""What is searched: rails in a unit of conductance, labels, deviations of pulses and readings by the range."""

LOW, STATES = -1.0, 97
_STEP = 3.0 / (STATES - 1)
GRID = LOW + _STEP * np.arange(STATES)
_LABEL, _LEAST, _MOST = 9.0, 1e-6, 1.5
_BOUNDS = ((None, None), (1e-3, None), (-_LABEL, _LABEL), (-_LABEL, _LABEL),
           (math.log(_LEAST), math.log(_MOST)), (math.log(_LEAST), math.log(_MOST)))
_SCALES = np.array([0.01, 0.01, 0.2, 0.2, 0.1, 0.1])
_HOPELESS, _PLAUSIBLE = 20.0, 8.0
"""A process so much less likely than the best is not searched, or has no say in the end."""
_AWAY = 1.5
"""Deviations of a pulse by which the range of held cells is unsure for each visit to a rail, with few readings."""
_HEDGE = 3.0
"""With few readings evidence is rough: differences of it count by so much less."""
_FEW, _SLIDES = 400, (0.04, 0.08, 0.16, 0.32)
"""Up to so many readings rails are slid; how far, in shares of the range."""
_FIRST_STEPS, _FAR = 30, 120.0
"""Steps of the first search of held cells, and how much less likely they may be then."""
_HEAD_START = 1.0
"""Of cells that are not held: holding them must explain the readings better, not as well."""
_SUBSET = 12_000
"""Points with which the search begins where there are more."""
_BLUR = 0.15
"""Share of a pulse's deviation below which readings are not told apart: without it a likelihood has no maximum when a
rail rests on one reading."""


@dataclass(frozen=True)
class Readings:
    """Branches of one cell, or of several that are to be alike, as the filters take them; conductance in ``unit``."""

    values: np.ndarray
    pulses: np.ndarray
    kinds: np.ndarray
    begins: np.ndarray
    position: np.ndarray
    unit: float
    span: tuple[int, int]

    def part(self, points: int) -> "Readings":
        """Whole branches from the beginning, about so many points."""
        ends = np.flatnonzero(self.begins > 0)
        end = next((end for end in ends if end >= points), len(self.values))
        return dataclasses.replace(self, **{name: getattr(self, name)[:end] for name in
                                            ("values", "pulses", "kinds", "begins", "position")})


def readings_of(branches: Sequence[Branch], span: dict[str, float], unit: float) -> Readings:
    """Readings of branches in their order; a branch follows on one of the same cell and of the other kind."""
    columns, last = [], None
    for branch in branches:
        pulses = np.rint(branch.pulses).astype(np.int64)
        kind = int(branch.kind == "reset")
        follows = last is not None and last.device == branch.device and last.kind != branch.kind
        begins = np.zeros(len(pulses), np.int64)
        begins[0] = 1 if follows else 2
        columns.append((branch.conductance / unit, np.diff(pulses, prepend=0), np.full(len(pulses), kind), begins,
                        pulses))
        last = branch
    values, steps, kinds, begins, position = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Readings(values, steps, kinds, begins, position, unit, (int(span["set"]), int(span["reset"])))


def curve(kind: str, label: float, share: npt.ArrayLike) -> np.ndarray:
    """State, 0 to 1, after a share of the pulses from rail to rail."""
    a = curvature(label)
    b, share = saturation(a), np.asarray(share, float)
    if kind == "set":
        return b * -np.expm1(-share / a)
    return b - (b - 1) * np.exp(share / a)


def formula_steps(labels: Sequence[float] | np.ndarray, span: Sequence[float]) -> np.ndarray:
    """What a pulse adds to each state of the tables by NeuroSim's curve, of shape (2, states); RESET's is below 0."""
    steps = np.empty((2, STATES))
    for kind, sign in ((0, 1), (1, -1)):
        a = curvature(labels[kind])
        steps[kind] = (saturation(a) - GRID) * -math.expm1(-sign / (span[kind] * a))
    return steps


def _spread(steps, c2c, law, span):
    if law == "pulse":
        return np.full((2, STATES), c2c**2)
    relative = np.abs(steps) * np.array(span, float)[:, None]
    return c2c**2 * (relative if law == "sqrt_step" else relative**2)


class Surprise:
    """Negative logarithm of the likelihood as a function of what is searched.

    Parameters
    ----------
    steps : function of the two labels to an array of shape (2, states), optional
        NeuroSim's curve if absent.
    nodes : int
        Of the grid; 0 for the Gaussian filter.
    """

    def __init__(self, readings: Readings, process: Process, law: str = "pulse",
                 steps: Callable | None = None, nodes: int = 0):
        self.readings, self.process, self.law, self.nodes = readings, process, law, nodes
        self.steps = (lambda labels: formula_steps(labels, readings.span)) if steps is None else steps
        self.expected, self.deviation = np.empty(len(readings.values)), np.empty(len(readings.values))

    def __call__(self, guess: np.ndarray, foresee: bool = False) -> float:
        """Of (g_min, range, labels, logarithms of both deviations)."""
        from .filters import gaussian, on_grid  # they bring a compiler

        of = self.readings
        steps = self.steps(guess[2:4])
        c2c, anew = np.exp(guess[4:6])
        spread = _spread(steps, c2c, self.law, of.span)
        first = np.array([span * c2c**2 / 2 + anew**2 + 1e-6 for span in of.span])
        seen = (of.values - guess[0]) / guess[1]
        shared = (seen, of.pulses, of.kinds, of.begins, GRID + steps, spread, LOW, _STEP, anew**2,
                  self.process.start, first)
        if self.nodes:
            cost = on_grid(*shared, self.nodes, self.process.ends_at_rail, foresee, self.expected, self.deviation)
        else:
            cost = gaussian(*shared, self.expected, self.deviation)
        return cost + len(seen) * math.log(guess[1]) + 0.5 * (_BLUR * c2c / anew) ** 2


def simulate(readings: Readings, estimate: "Estimate", random: np.random.Generator,
             steps: np.ndarray | None = None) -> np.ndarray:
    """Readings that the fitted device might have given in place of the measured ones, as states, shape (points,)."""
    from .filters import simulated

    steps = formula_steps(estimate.values[2:4], readings.span) if steps is None else steps
    normal = random.standard_normal(int(readings.pulses.sum()) + len(readings.pulses))
    return simulated(readings.pulses, readings.kinds, readings.begins, GRID + steps,
                     _spread(steps, estimate.values[4], estimate.law, readings.span), LOW, _STEP,
                     estimate.values[5] ** 2, estimate.process.start, estimate.process.held,
                     estimate.process.ends_at_rail, normal)


@dataclass(frozen=True)
class Estimate:
    """The most likely device and process.

    Parameters
    ----------
    values : float array of shape (6,)
        As :data:`NAMES`; deviations themselves, not their logarithms.
    covariance : float array of shape (6, 6)
        Of the values; 0 where a value is at a bound or was given.
    at_bound : tuple of str
        Names of what ended at a bound of the search.
    cost, evidence : float
        Negative logarithms of the likelihood, and of that times the volume of its peak.
    expected, deviation : float arrays of shape (points,)
        Of each reading as a state, before it was read.
    plane
        Where and how steeply the likelihood peaks; ``expected`` is of the rails there.
    """

    process: Process
    law: str
    values: np.ndarray
    covariance: np.ndarray
    at_bound: tuple[str, ...]
    cost: float
    evidence: float
    expected: np.ndarray
    deviation: np.ndarray
    plane: "_Plane" = dataclasses.field(repr=False)

    def surprises(self, readings: Readings) -> np.ndarray | None:
        """What each reading was off its expectation, in deviations, shape (points,); None for readings of others."""
        if len(readings.values) != len(self.expected):
            return None
        at = self.plane.centre
        return ((readings.values - at[0]) / at[1] - self.expected) / self.deviation

    @property
    def errors(self) -> np.ndarray:
        """Standard errors, shape (6,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0))


def _nodes(guess):
    return int(min(2500, max(60, math.ceil(3 / math.exp(guess[4])), math.ceil(1.2 / math.exp(guess[5])))))


def _first_guess(readings):
    """Least squares over all points, branches from rail to rail."""
    share = readings.position / np.array(readings.span)[readings.kinds]
    of_set = readings.kinds == 0

    def left(guess):
        course = np.where(of_set, curve("set", guess[2], share), curve("reset", guess[3], share))
        return readings.values - guess[0] - guess[1] * course

    tries = [scipy.optimize.least_squares(left, (readings.values.min(), max(np.ptp(readings.values), 0.01), up, down),
                           x_scale=(0.1, 0.1, 1, 1), diff_step=1e-5,
                           bounds=((-np.inf, 1e-3, -_LABEL, -_LABEL), (np.inf, np.inf, _LABEL, _LABEL)))
             for up, down in ((0.5, -0.5), (4.0, -4.0))]
    best = min(tries, key=lambda estimate: estimate.cost)
    rough = float(np.sqrt(np.mean(best.fun**2)) / best.x[1])
    return np.array([*best.x, math.log(min(max(rough / 4, 1e-5), 0.5)), math.log(min(max(rough / 4, 1e-5), 0.5))])


class _Plane:
    """The searched values as ``centre + axes @ z``, axes so long that a step of 1 is about a standard error."""

    def __init__(self, centre, bounds, axes=None):
        self.centre, self.bounds = np.array(centre, float), bounds
        self.free = [i for i, (low, high) in enumerate(bounds) if low is None or low != high]
        self.axes = np.diag(_SCALES)[:, self.free] if axes is None else axes

    def at(self, z):
        """Values of a place, kept inside the bounds."""
        return np.array([min(max(value, -math.inf if low is None else low), math.inf if high is None else high)
                         for value, (low, high) in zip(self.centre + self.axes @ z, self.bounds, strict=True)])

    def descend(self, cost, most: int = 80):
        """The place where the cost is least, and that cost, in at most so many steps."""
        estimate = scipy.optimize.minimize(lambda z: cost(self.at(z)), np.zeros(self.axes.shape[1]), method="L-BFGS-B",
                         options={"eps": 0.01, "maxiter": most, "ftol": 1e-9, "gtol": 0.02})
        return self.at(estimate.x), float(estimate.fun)

    def edges(self):
        """Which values lie at a bound."""
        return [i for i in self.free if any(edge is not None and abs(self.centre[i] - edge) < 1e-5
                                            for edge in self.bounds[i])]


def _bend(cost, plane, width=0.5):
    """Second derivatives along the axes, by differences."""
    size = plane.axes.shape[1]
    bend, ahead, behind = np.empty((size, size)), np.empty(size), np.empty(size)
    steps = np.eye(size) * width
    middle = cost(plane.at(np.zeros(size)))
    for k in range(size):
        ahead[k], behind[k] = cost(plane.at(steps[k])), cost(plane.at(-steps[k]))
        bend[k, k] = (ahead[k] + behind[k] - 2 * middle) / width**2
    for k, m in itertools.combinations(range(size), 2):
        both = cost(plane.at(steps[k] + steps[m]))
        bend[k, m] = bend[m, k] = (both - ahead[k] - ahead[m] + middle) / width**2
    return bend, (ahead - behind) / (2 * width)


def _tight(cost, plane):
    """Axes made as long as standard errors, without values at a bound; and bend and slope along them."""
    edges = plane.edges()
    free = [i for i in plane.free if i not in edges]
    axes = plane.axes if plane.axes.shape[1] == len(free) else np.diag(_SCALES)[:, free]
    for _ in range(4):
        plane = _Plane(plane.centre, plane.bounds, axes)
        bend, lean = _bend(cost, plane)
        values, vectors = np.linalg.eigh(bend)
        if not len(values) or 0.3 < values[0] <= values[-1] < 3:
            break
        axes = axes @ vectors / np.sqrt(np.clip(values, 0.05, None))
    return plane, bend, lean


def most_likely(readings: Readings, *, law: str = "pulse", steps: Callable | None = None,
                processes: tuple[Process, ...] | None = None, fixed: dict[str, float] | None = None) -> Estimate:
    """Search all processes and give the device of the most likely one; what processes do not agree on is unsure.

    Parameters
    ----------
    law : str
        How the noise of a pulse follows its step (:class:`~ohmspike.sim.analog.device.Device`).
    steps : function, optional
        As :class:`Surprise` takes it; the labels are then not searched.
    processes : optional
        To be tried; all of them if absent.
    fixed : dict, optional
        Values by name that are not searched: labels, rails.
    """
    few = readings.part(_SUBSET) if len(readings.values) > _SUBSET else readings
    start, bounds = _first_guess(few), list(_BOUNDS)
    for name, value in (({"nl_set": 0.0, "nl_reset": 0.0} if steps is not None else {}) | (fixed or {})).items():
        start[NAMES.index(name)] = value
        bounds[NAMES.index(name)] = (value, value)

    def make(process, at):
        return Surprise(few, process, law, steps, _nodes(at) if process.held else 0)

    tried = processes or (*(Process(start=place) for place in (RAIL, LOOSE, CONTINUED)),
                          *(Process(True, *way) for way in itertools.product((CONTINUED, RAIL, LOOSE), (True, False))))
    reached: dict[Process, tuple[np.ndarray, float]] = {}
    passing = [process for process in tried if not process.held]
    at = start
    for process in passing:
        tries = [at] if reached else [at, np.array([*at[:4], math.log(0.02), math.log(0.01)])]
        reached[process] = min((_Plane(begin, bounds).descend(make(process, begin)) for begin in tries),
                               key=lambda each: each[1])
        at = min(reached.values(), key=lambda each: each[1])[0]
    axes = None
    if reached:
        best = min(reached, key=lambda process: reached[process][1])
        axes = _tight(make(best, at), _Plane(at, bounds))[0].axes
    held = [process for process in tried if process.held]
    if held and (not passing or math.exp(at[4]) > 5e-4):
        at = np.array([*at[:4], max(at[4], math.log(2e-3)), max(at[5], math.log(2e-3))])
        while held:
            costs = {process: make(process, at)(at) for process in held}
            process = min(costs, key=lambda each: costs[each])
            known = [cost for name, (_, cost) in reached.items() if name.held]
            if known and costs[process] > min(known) + _HOPELESS:
                break
            place, value = _Plane(at, bounds, axes if known else None).descend(make(process, at),
                                                                               80 if known else _FIRST_STEPS)
            if not known:
                if reached and value > min(cost for _, cost in reached.values()) + _FAR:
                    break
                # rails bend the likelihood in another way
                axes = _tight(make(process, place), _Plane(place, bounds, axes))[0].axes
                place, value = _Plane(place, bounds, axes).descend(make(process, place))
            reached[process] = place, value
            held.remove(process)
            if reached[process][1] <= min(cost for name, (_, cost) in reached.items() if name.held):
                at = reached[process][0]
    estimate = [_certain(readings, few, place, process, law, steps, bounds, axes)
             for process, (place, _) in _plausible(reached)]
    if len(readings.values) <= _FEW:
        estimate = [_slid(make(each.process, each.plane.centre), each, bounds) for each in _foremost(estimate)]
        return _agreed(estimate, _HEDGE)
    return _agreed(estimate)


def _foremost(estimate):
    """The likeliest two of cells that are held and of cells that are not: sliding rails takes time."""
    ranked = sorted(estimate, key=lambda each: each.cost)
    return [each for held in (True, False) for each in [other for other in ranked if other.process.held == held][:2]]


def _slid(cost, estimate, bounds):
    """Values and covariance over all places of the rails, by sliding each rail outwards.

    With few branches the likelihood of a rail is no bell: it peaks where the rail is the outermost reading, and has a
    long slope of rails that were never reached.
    """
    at, axes = estimate.plane.centre, estimate.plane.axes
    whole = axes @ axes.T
    values, covariance, evidence = estimate.values.copy(), estimate.covariance.copy(), estimate.evidence
    for rail, outwards in ((1, 1.0), (0, -1.0)):
        wide = math.sqrt(max(whole[rail, rail], 0.0))
        if not wide:
            continue
        far = outwards * at[1] * np.array(_SLIDES)
        places = np.unique(np.concatenate([np.arange(-2, 2.5, 1) * wide, far[np.abs(far) > 4 * wide]]))
        rest = [i for i in range(6) if i != rail and whole[i, i] > 0]
        along = whole[:, rail] / whole[rail, rail]
        inside = whole - np.outer(whole[:, rail], along)
        narrow = np.zeros((6, len(rest)))
        spread, turned = np.linalg.eigh(inside[np.ix_(rest, rest)])
        narrow[rest] = turned * np.sqrt(np.maximum(spread, 1e-12))
        reached = [_Plane(at + along * place, bounds, narrow).descend(cost, 3) for place in places]
        costs = np.array([value for _, value in reached])
        weights = np.exp(costs.min() - costs) * np.gradient(places)
        share = weights / weights.sum()
        natural = np.array([[*where[:4], *np.exp(where[4:])] for where, _ in reached])
        scale = np.array([1, 1, 1, 1, *natural[int(np.argmin(costs)), 4:]])
        mean = share @ natural
        slid = inside * np.outer(scale, scale) + (natural - mean).T * share @ (natural - mean)
        own = whole * np.outer(scale, scale)
        values += mean - np.array([*at[:4], *np.exp(at[4:])])
        covariance += slid - own
        evidence += (costs.min() - estimate.cost) - math.log(weights.sum() / (wide * math.sqrt(2 * math.pi)))
    values[4:] = np.maximum(values[4:], _LEAST)
    if estimate.process.held:
        # where noise carries a held cell away from its rail for longer than a branch, no slope of the likelihood tells
        visits = max(np.sum(cost.readings.begins > 0) / 2, 1)
        covariance[1, 1] += (_AWAY * values[4] * values[1]) ** 2 / visits
    least = np.minimum(np.diag(estimate.covariance), np.diag(whole) + 1)
    covariance[np.diag_indices(6)] = np.maximum(np.diag(covariance), 0.25 * least)
    return dataclasses.replace(estimate, values=values, covariance=covariance, evidence=evidence)


def _plausible(reached):
    costs = {process: cost + (0.0 if not process.held else _HEAD_START) for process, (_, cost) in reached.items()}
    least = min(costs.values())
    return [(process, reached[process]) for process in sorted(costs, key=lambda each: costs[each])
            if costs[process] <= least + _PLAUSIBLE]


def _agreed(estimate, hedge=1.0):
    """The best process with values and covariance over all that are plausible, by their evidence.

    Evidence is the likelihood times the volume of values that share it (Laplace's approximation): a process whose rails
    rest on single readings is likely at one point and nowhere else. ``hedge`` above 1 trusts it less.
    """
    lead = [each.evidence + (_HEAD_START if each.process.held else 0.0) for each in estimate]
    weight = np.exp((min(lead) - np.array(lead)) / hedge)
    weight /= weight.sum()
    best = estimate[int(np.argmin(lead))]
    values = sum(w * each.values for w, each in zip(weight, estimate, strict=True))
    covariance = sum(w * (each.covariance + np.outer(each.values - values, each.values - values))
                     for w, each in zip(weight, estimate, strict=True))
    return dataclasses.replace(best, values=values, covariance=covariance)


def _certain(readings, few, at, process, law, steps, bounds, axes):
    """Go on with all points, and take standard errors from the curvature of the likelihood."""
    nodes = _nodes(at) if process.held else 0
    cost = Surprise(few, process, law, steps, nodes)
    plane, bend, lean = _tight(cost, _Plane(at, bounds, axes))
    if readings is not few:
        ratio = len(readings.values) / len(few.values)
        cost = Surprise(readings, process, law, steps, nodes)
        plane = _Plane(at, bounds, plane.axes / math.sqrt(ratio))
    values, vectors = np.linalg.eigh(bend)
    inverse = vectors / np.clip(values, 0.02, None) @ vectors.T
    value = cost(at)
    for _ in range(4 if readings is not few else 1):
        if readings is not few:
            ahead = np.array([[cost(plane.at(sign * 0.5 * unit)) for unit in np.eye(len(bend))] for sign in (1, -1)])
            lean = ahead[0] - ahead[1]
        moved = plane.at(np.clip(-inverse @ lean, -8, 8))
        after = cost(moved)
        if after >= value - 1e-4:
            break
        at, value = moved, after
        plane = _Plane(at, bounds, plane.axes)
    covariance = plane.axes @ inverse @ plane.axes.T
    free = [i for i, wide in enumerate(np.diag(covariance)) if wide > 0]
    volume = np.linalg.slogdet(covariance[np.ix_(free, free)])[1] / 2 if free else 0.0
    volume += len(free) / 2 * math.log(2 * math.pi)
    deviations = np.exp(at[4:])
    scale = np.array([1, 1, 1, 1, *deviations])
    covariance *= np.outer(scale, scale)
    for i in (4, 5):
        if not 0 < covariance[i, i] < (0.4 * scale[i]) ** 2:
            # the readings do not bound it from below: its error is how far up it may be
            covariance[i, :] = covariance[:, i] = 0.0
            covariance[i, i] = (_upper(cost, at, i, value) / 2) ** 2
    edges = tuple(NAMES[i] for i in _Plane(at, bounds).edges() if i < 4)
    cost(at, True)
    return Estimate(process, law, np.array([*at[:4], *deviations]), covariance, edges, value, value - volume,
                 cost.expected.copy(), cost.deviation.copy(), _Plane(at, bounds, plane.axes))


def _upper(cost, at, i, value):
    """How far above its value a deviation is as unlikely as two standard errors make it: likelihood ratio of 2."""
    def less_likely(candidate):
        moved = at.copy()
        moved[i] = math.log(candidate)
        return cost(moved) - value

    here = math.exp(at[i])
    low, high = here, max(2 * here, 1e-5)
    while less_likely(high) < 2.0 and high < 1.0:
        low, high = high, 2 * high
    for _ in range(10):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if less_likely(middle) < 2.0 else (low, middle)
    return high - here
