"""Whether a fit is to be believed: what nonsense looks like before it, and what a bad fit looks like behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are first used

from ..measured.curves import Measurement
from .search import Estimate, Readings, simulate

__all__ = ["NOT_THIS_KIND", "Doubt", "doubts_of", "flat", "systematic", "two_states", "verdict"]

_REPLICAS = 24
_BINS = 6
GOOD, POOR, NOT_THIS_KIND = "good", "poor", "not this kind of device"


@dataclass(frozen=True)
class Doubt:
    """A reason not to believe a fit, and what would help.

    Parameters
    ----------
    grave : bool
        It is no device of this kind at all.
    """

    reason: str
    cure: str = ""
    grave: bool = False


def verdict(doubts: Sequence[Doubt]) -> str:
    """``good``, ``poor`` or ``not this kind of device``."""
    return NOT_THIS_KIND if any(doubt.grave for doubt in doubts) else POOR if doubts else GOOD


# before a fit

def flat(measured: Measurement) -> str | None:
    """Why pulses move nothing, or None: branches end no farther from where they began than readings scatter.

    Where they began is the mean of the first quarter; the first reading where a pulse may do all of it, in two states.
    """
    moved, noise = [], []
    switches = two_states(measured) is not None
    for branch in measured.branches:
        part = max(1, len(branch.conductance) // 4)
        g = branch.conductance
        began = 1 if switches else part
        moved.append((g[-part:].mean() - g[:began].mean()) * (1 if branch.kind == "set" else -1))
        scatter = float(np.std(np.diff(g))) / math.sqrt(2)
        noise.append(scatter * math.sqrt(1 / began + 1 / part))
    mean, unsure = float(np.mean(moved)), float(np.sqrt(np.mean(np.square(noise)) / len(noise)))
    if mean > 3 * unsure:
        return None
    typical = float(np.mean(np.concatenate([b.conductance for b in measured.branches])))
    scatter = float(np.mean(noise)) / math.sqrt(2) * math.sqrt(max(1, len(measured.branches[0].conductance) // 4))
    return (f"pulses move nothing that can be told from noise: branches end {mean:.2g} ± {unsure:.2g} S from where "
            f"they began, readings scatter by {scatter:.2g} S about {typical:.3g} S")


def two_states(measured: Measurement) -> tuple[float, float, float] | None:
    """Low and high conductance and scatter of a device that only switches between two states, or None."""
    values = np.concatenate([branch.conductance for branch in measured.branches])
    low, high = np.quantile(values, 0.1), np.quantile(values, 0.9)
    for _ in range(8):  # two means
        middle = (low + high) / 2
        low, high = np.median(values[values <= middle]), np.median(values[values > middle])
    span = high - low
    near = (np.abs(values - low) < 0.2 * span) | (np.abs(values - high) < 0.2 * span)
    between = 0
    for branch in measured.branches:
        inside = (branch.conductance > low + 0.2 * span) & (branch.conductance < high - 0.2 * span)
        between = max(between, int(inside.sum()))
    longest = min(len(branch.conductance) for branch in measured.branches)
    first = [abs(_at_first(branch) - branch.conductance[0]) for branch in measured.branches if branch.pulses[0] == 0]
    at_once = bool(first) and float(np.median(first)) > 0.8 * span
    if longest < 5 or not (near.mean() > 0.97 and between <= 1 and (at_once or near.mean() > 0.99 and longest >= 8)):
        return None
    apart = np.concatenate([values[values <= middle] - low, values[values > middle] - high])
    return float(low), float(high), float(np.std(apart) / span)


def _at_first(branch):
    """Conductance behind the first pulse."""
    behind = np.flatnonzero(branch.pulses > 0)
    return branch.conductance[behind[0]]


# behind a fit

def systematic(readings: Readings, estimate: Estimate, steps: np.ndarray | None = None) -> tuple[float, float, float]:
    """How far the mean course is off what the fitted device would do, shares of the range, rms.

    Returns
    -------
    off, usual : float
        Of the readings, and what devices exactly like the fit show (95th percentile of replicas).
    probability : float
        Of a lack-of-fit test: chi-squared of what filters did not expect, by branch and part of the course.
    """
    random = np.random.default_rng(7)
    keys = readings.kinds * (int(readings.position.max()) + 1) + readings.position
    places, place = np.unique(keys, return_inverse=True)
    count = np.bincount(place)

    def course(states):
        return np.bincount(place, states) / count

    seen = course((readings.values - estimate.values[0]) / estimate.values[1])
    drawn = np.array([course(simulate(readings, estimate, random, steps)) for _ in range(_REPLICAS)])
    mean = drawn.mean(0)
    off = float(np.sqrt(np.average((seen - mean) ** 2, weights=count)))
    usual = [float(np.sqrt(np.average((each - (mean * _REPLICAS - each) / (_REPLICAS - 1)) ** 2, weights=count)))
             for each in drawn]
    return off, float(np.quantile(usual, 0.95)), _lack(readings, estimate)


def _lack(readings, estimate):
    surprise = estimate.surprises(readings)
    if surprise is None:
        return 1.0
    after_pulse = readings.pulses > 0
    total, bins = 0.0, 0
    for kind in (0, 1):
        of_kind = after_pulse & (readings.kinds == kind)
        if not of_kind.any():
            continue
        part = np.minimum(readings.position[of_kind] * _BINS // max(readings.span[kind], 1), _BINS - 1)
        for k in range(_BINS):
            here = surprise[of_kind][part == k]
            if len(here) >= 3:
                total += float(np.mean(np.clip(here, -8, 8))) ** 2 * len(here)
                bins += 1
    return float(scipy.stats.chi2.sf(total, bins)) if bins else 1.0


def doubts_of(readings: Readings, estimate: Estimate, by_course: bool, rms: dict[str, float],
              tested: tuple[float, float, float]) -> list[Doubt]:
    """All doubts about a fit."""
    off, usual, probability = tested
    doubts = []
    labels = dict(zip(("potentiation", "depression"), estimate.values[2:4], strict=True))
    unsure = dict(zip(("potentiation", "depression"), estimate.errors[2:4], strict=True))
    if not by_course:
        for name, label in labels.items():
            if abs(label) > 8.9:
                doubts.append(Doubt(f"the label of {name} ended at the bound of the search, {label:+.2f}: nearly all "
                                    f"of the range in the first pulses",
                                    "use weaker or shorter pulses, or --curve measured"))
            elif unsure[name] > 1.5:
                doubts.append(Doubt(f"the label of {name} is unsure by {unsure[name]:.1f}", "measure more cycles"))
    if off > 1.25 * usual + 0.005 and off > 0.03:
        what = "measured steps are" if by_course else "NeuroSim's curve is"
        doubts.append(Doubt(f"{what} off the mean course by {off:.1%} of the range, where noise explains {usual:.1%}",
                            "" if by_course else "--curve measured takes the measured steps themselves",
                            grave=off > 0.3))
    elif not by_course and probability < 1e-4 and off > 0.02:
        doubts.append(Doubt(f"steps are off NeuroSim's curve more than noise explains (probability {probability:.1g})",
                            "--curve measured takes the measured steps themselves"))
    worst = max(rms.values(), default=0.0)
    if worst > 0.25:
        doubts.append(Doubt(f"readings are off the course by {worst:.0%} of the range, rms",
                            "look at --preview and --plot",
                            grave=worst > 0.6))
    for value, name in ((estimate.values[4], "pulse"), (estimate.values[5], "reading or write")):
        if value > 0.15:
            doubts.append(Doubt(f"a {name} misses by {value:.0%} of the range: hardly a level is told apart",
                                "look at --preview for branches that were put together wrongly", grave=value > 0.5))
    fewest = min(np.sum(readings.kinds == kind) for kind in set(readings.kinds.tolist()))
    if fewest < 6 and len(readings.values) < 24:
        doubts.append(Doubt(f"{len(readings.values)} readings for 6 values: errors are hardly known",
                            "measure more pulses or cycles"))
    if estimate.errors[1] > 0.2 * estimate.values[1]:
        unsure_by = estimate.errors[1] / estimate.values[1]
        doubts.append(Doubt(f"the range is unsure by {unsure_by:.0%}", "measure more cycles"))
    return doubts
