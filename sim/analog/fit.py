"""A device out of measurements: conductance against pulse number, fitted to a nonlinearity, a range and a spread."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .device import NOMINAL, Device, DeviceError, Provenance
from .fitting.course import Course, measured_course
from .fitting.doubt import NOT_THIS_KIND, Doubt, doubts_of, flat, systematic, two_states, verdict
from .fitting.noise import Split, lasting, split
from .fitting.population import pooled
from .fitting.process import Process
from .fitting.search import NAMES, Estimate, Readings, curve, most_likely, readings_of
from .fitting.table import device_of_steps
from .measured.curves import NAMES_OF_KINDS, Branch, Measurement, Options
from .measured.read import FORMAT, preview, read_measurement

__all__ = ["Branch", "Fit", "FORMAT", "Measurement", "NOT_THIS_KIND", "Options", "curve", "fit_device", "preview",
           "read_measurement"]

_LAWS = ("pulse", "sqrt_step", "step")
_LAW_GAIN, _COURSE_GAIN, _COURSE_OFF = 6.0, 10.0, 0.03
"""How much likelier another law of noise, or the measured course, must be; how far off the formula must be, too."""
_KNOTS, _COURSE_READINGS = 10, 24
"""Of a measured course; and readings below which none is taken by itself: any curve goes through them."""
_KNOWN_PROCESS = 4
"""Devices whose process is searched; the others are taken to have the one that most of them have."""
_PASSING = tuple(Process(start=start) for start in (0, 1, 2))
_INHERITED = ("d2d_label", "d2d_range", "read_noise", "write_error", "endurance_cycles", "retention_drift")


@dataclass(frozen=True)
class Fit:
    """A fitted device and how well it fits.

    Parameters
    ----------
    device : :class:`~ohmspike.sim.analog.device.Device`
    errors : dict
        Standard error of every fitted value.
    rms : dict
        Root mean square of what is left, in shares of the range, by kind.
    points : int
    verdict : str
        ``good``, ``poor`` or ``not this kind of device``.
    doubts : tuple of :class:`~.fitting.doubt.Doubt`
        Why it is not good.
    curve : ``"formula"`` or ``"measured"``
        What makes the tables: NeuroSim's curve or the measured steps.
    notes : tuple of str
        What was found on the way: the process, what tells noise apart, what was taken from the base.
    by_device : dict
        Values by device where there are several: label to names and values.
    """

    device: Device
    errors: dict[str, float]
    rms: dict[str, float]
    points: int
    verdict: str = "good"
    doubts: tuple[Doubt, ...] = ()
    curve: str = "formula"
    notes: tuple[str, ...] = ()
    by_device: dict = dataclasses.field(default_factory=dict)
    course: Course | None = dataclasses.field(default=None, repr=False, compare=False)

    def expected(self, kind: str, pulses: npt.ArrayLike) -> np.ndarray:
        """Fitted conductance after so many pulses from the rail, S."""
        if self.curve == "measured" and self.course is not None:
            return self.device.conductance(self.course.means[kind](pulses))
        label = getattr(self.device, f"nl_{kind}")
        return self.device.conductance(curve(kind, label, np.asarray(pulses) / getattr(self.device, f"{kind}_pulses")))


def fit_device(measured: Measurement, name: str, base: Device | None = None, *, access_ohm: float = 0.0,
               read_noise: float | None = None, curve_of: str = "auto",
               progress: Callable[[int, int], None] | None = None) -> Fit:
    """Fit range, nonlinearity labels and spread; voltages, lines and neuron are those of ``base``.

    The likelihood of all readings is maximised: a pulse moves a cell along its curve and misses by ``c2c``, which adds
    up; a reading misses by an error that does not. Cells that are held at their rails and cells that may pass them are
    both tried, and branches that begin at a rail, about it, or where the last one ended (docs/analog.md).

    Parameters
    ----------
    access_ohm : float
        Resistance in series with the measured conductance, Ω; 0: the measurement had all of the cell in it.
    read_noise : float, optional
        Of the set-up, share of the range, if it is known.
    curve_of : ``"auto"``, ``"formula"`` or ``"measured"``
        What makes the tables.
    progress : function of (done, total), optional
        Called as devices are done.

    Raises
    ------
    DeviceError
        The readings are no device at all: they are all the same, nothing but noise, or negative.
    """
    base = Device.preset(NOMINAL) if base is None else base
    if measured.steps and not measured.branches:
        return _stepped(measured, name, base, access_ohm)
    _possible(measured)
    span = {kind: max((float(round(branch.pulses[-1])) for branch in measured.of(kind)),
                      default=getattr(base, f"{kind}_pulses")) for kind in ("set", "reset")}
    values = np.concatenate([branch.conductance for branch in measured.branches])
    unit = float(np.ptp(values))
    switched = two_states(measured)
    if switched is not None:
        return _binary(measured, name, base, access_ohm, switched)
    whole = readings_of(measured.branches, span, unit)
    fixed = {f"nl_{kind}": getattr(base, f"nl_{kind}") for kind in span if not measured.of(kind)}
    notes = [f"no {NAMES_OF_KINDS[kind]} was measured: its label {getattr(base, f'nl_{kind}'):g} and pulses "
             f"{span[kind]:g} are those of {base.name}" for kind in span if not measured.of(kind)]
    estimate, told, apart = _devices(measured, span, unit, fixed, progress)
    first = whole if told is None else readings_of(measured.part(measured.devices[0]).branches, span, unit)
    estimate = _law(first, estimate, fixed, told)
    course = None if fixed else measured_course(whole)
    adds_up = lasting(whole, estimate, course) if course is not None and told is None else None
    if course is not None and adds_up is not None:
        notes.append(f"errors of pulses fade over some pulses (the structure function saturates): {adds_up:.2%} of the "
                     f"range a pulse adds up, not {estimate.values[4]:.2%}; the rest is taken as drawn anew")
        # a share of the range: with free rails the search would widen the range for it
        rails = {"g_min": course.g_min, "range": course.g_range, "c2c": math.log(max(adds_up, 1e-5))}
        estimate = _with_c2c(most_likely(whole, fixed=fixed | rails, processes=_PASSING), adds_up, whole)
    by_course = _course_wins(whole, estimate, course, curve_of, told, adds_up)
    if by_course:
        estimate = by_course
    shown = _Shown(measured, whole, estimate, course if by_course else None, unit, span)
    noise = split(whole, estimate, read_noise)
    tested = systematic(whole, estimate, course.steps if by_course and course is not None else None)
    doubts = doubts_of(whole, estimate, bool(by_course), shown.rms(), tested)
    notes += [estimate.process.words, noise.how] + ([f"noise of a pulse follows its step: {estimate.law}"]
                                                 if estimate.law != "pulse" else [])
    if by_course:
        notes.append("the measured steps make the tables, not NeuroSim's curve; the labels are the nearest ones")
    return shown.fit(name, base, access_ohm, noise, doubts, notes, told, apart, fixed)


def _possible(measured):
    """Refuse what no fit can come of."""
    values = np.concatenate([branch.conductance for branch in measured.branches])
    if np.ptp(values) == 0:
        raise DeviceError(f"{measured.source}: conductance must change, and is {values[0]:g} S throughout")
    if reason := flat(measured):
        raise DeviceError(f"{measured.source}: {reason}; use stronger pulses, or average readings")


def _devices(measured, span, unit, fixed, progress):
    """The typical device; and by device and by value where there are several."""
    labels = measured.devices
    if len(labels) == 1:
        return most_likely(readings_of(measured.branches, span, unit), fixed=fixed), None, {}
    estimate: dict[str, Any] = {}
    known = None
    for done, label in enumerate(labels):
        if done == _KNOWN_PROCESS:
            counted = [each.process for each in estimate.values()]
            known = (max(counted, key=counted.count),)
        readings = readings_of(measured.part(label).branches, span, unit)
        present = set(readings.kinds.tolist())
        missing = {f"nl_{kind}": 0.0 for k, kind in enumerate(("set", "reset")) if k not in present}
        estimate[label] = most_likely(readings, fixed=missing | fixed, processes=known)
        if progress is not None:
            progress(done + 1, len(labels))
    return *_typical(estimate, fixed), estimate


def _typical(estimate, fixed):
    """Random effects over devices: values of the typical one, and how far they are apart."""
    each = list(estimate.values())
    told = {}
    values, errors = np.array([one.values for one in each]), np.array([one.errors for one in each])
    mean, error = np.empty(6), np.empty(6)
    for k, name in enumerate(NAMES):
        if name in fixed:
            mean[k], error[k] = fixed[name], 0.0
            continue
        if k < 4:
            told[name] = pooled(values[:, k], errors[:, k])
        else:  # deviations spread by factors
            logs = np.log(np.maximum(values[:, k], 1e-6))
            told[name] = pooled(logs, np.minimum(errors[:, k] / np.maximum(values[:, k], 1e-6), 3.0))
        mean[k], error[k] = told[name].mean, told[name].error
        if k >= 4:
            mean[k] = math.exp(mean[k])
            error[k] *= mean[k]
    tops = values[:, 0] + values[:, 1]
    top_errors = np.sqrt([one.covariance[0, 0] + one.covariance[1, 1] + 2 * one.covariance[0, 1] for one in each])
    told["g_max"] = pooled(tops, top_errors)
    likely = max(each, key=lambda one: [other.process for other in each].count(one.process))
    return dataclasses.replace(likely, values=mean, covariance=np.diag(error**2)), told


def _law(readings, estimate, fixed, told):
    """The law of noise that explains the readings best; the plain one unless another is much likelier.

    A single course of a kind does not tell it: labels that differ a little do as much.
    """
    once = np.sum(readings.begins > 0) < 3
    if once or told is not None or estimate.values[4] < max(0.01, 2 * estimate.errors[4]):
        return estimate
    best = estimate
    for law in _LAWS[1:]:
        other = most_likely(readings, law=law, processes=(estimate.process,), fixed=fixed)
        if other.cost < best.cost - (_LAW_GAIN if best is estimate else 0.0):
            best = other
    return best


def _with_c2c(estimate, c2c, readings):
    """The same with a deviation that the structure function told, unsure by half of it, and rails of the course."""
    values, covariance = estimate.values.copy(), estimate.covariance.copy()
    values[4] = c2c
    covariance[4, :] = covariance[:, 4] = 0.0
    covariance[4, 4] = (c2c / 2) ** 2
    # a rail is the mean of a knot's readings, and of what pulses between knots have added up
    each = len(readings.values) / np.sum(readings.begins > 0) / _KNOTS
    covariance[0, 0] = covariance[1, 1] = (values[5] ** 2 / each + c2c**2 * each) * values[1] ** 2
    return dataclasses.replace(estimate, values=values, covariance=covariance)


def _course_wins(readings, estimate, course, curve_of, told, adds_up):
    """The device by its measured steps if they explain the readings much better, or are asked for; None otherwise."""
    if course is None or curve_of == "formula" or (curve_of == "auto" and len(readings.values) < _COURSE_READINGS):
        if curve_of == "measured":
            raise DeviceError("measured steps need potentiation and depression, and one of them is missing")
        return None
    processes = list(_PASSING)
    given = {"g_min": course.g_min, "range": course.g_range}
    if adds_up is not None:
        given["c2c"] = math.log(max(adds_up, 1e-5))
    if estimate.process.held:
        processes.append(estimate.process)
    other = most_likely(readings, law=estimate.law, steps=lambda _: course.steps, processes=tuple(processes),
                        fixed=given)
    other = other if adds_up is None else _with_c2c(other, adds_up, readings)
    if curve_of == "auto":
        cost = estimate.cost if told is None else most_likely(readings, processes=(estimate.process,)).cost
        off = _apart(readings, estimate, course)
        # Schwarz' criterion for the values that the course has more
        more = (course.free - 4) * math.log(len(readings.values)) / 2
        if other.cost + max(more, 0.0) > cost - _COURSE_GAIN or off < _COURSE_OFF:
            return None
    values = other.values.copy()
    values[2:4] = _nearest_labels(course, readings.span)
    covariance = other.covariance.copy()
    counts = max(np.sum(readings.begins > 0) / 2, 1)
    rails = (values[5] ** 2 + values[4] ** 2) / counts
    covariance[0, 0] = covariance[1, 1] = rails * values[1] ** 2
    return dataclasses.replace(other, values=values, covariance=covariance)


def _apart(readings, estimate, course):
    """Distance of the formula's course from the measured one, rms, shares of the range."""
    total = []
    for k, kind in enumerate(("set", "reset")):
        share = np.linspace(0, 1, 50)
        formula = estimate.values[0] + estimate.values[1] * curve(kind, estimate.values[2 + k], share)
        measured = course.g_min + course.g_range * course.means[kind](share * readings.span[k])
        total.append((formula - measured) / course.g_range)
    return float(np.sqrt(np.mean(np.square(total))))


def _nearest_labels(course, span):
    share = np.linspace(0, 1, 101)
    labels = np.linspace(-9, 9, 181)
    return [float(labels[int(np.argmin([np.sum((curve(kind, label, share) - course.means[kind](share * span[k])) ** 2)
                                        for label in labels]))]) for k, kind in enumerate(("set", "reset"))]


def _binary(measured, name, base, access_ohm, switched):
    """A device of two states, told as such."""
    low, high, scatter = switched
    file = Path(measured.source.split(",")[0]).name
    told = Provenance(0.0, "measured", f"fit of {file}")
    values = {"g_min_s": max(low, 1e-12), "g_max_s": high, "levels": 2, "nl_set": 0.0, "nl_reset": 0.0, "c2c": 0.0,
              "set_pulses": 1.0, "reset_pulses": 1.0, "read_noise": 0.0, "write_error": min(scatter, 1.0)}
    whole = Provenance(0.0, "design choice", "not in series with what was measured")
    device = base.varied(told, **values).varied(whole, access_ohm=access_ohm)
    summary = f"two states, of {len(measured.branches)} branches of {file}"
    device = dataclasses.replace(device, name=name, summary=summary, set_steps=(), reset_steps=(), states="discrete",
                                 pulse_width="fixed")
    points = sum(len(branch.pulses) for branch in measured.branches)
    count = math.sqrt(points / 2)
    errors = {"g_min_s": scatter * (high - low) / count, "g_max_s": scatter * (high - low) / count,
              "write_error": scatter / count / math.sqrt(2)}
    doubt = Doubt(f"this device is binary: it switches between {low:.3g} and {high:.3g} S within a pulse, with nothing "
                  f"between", "use weaker pulses for more levels, or take it as a device of two levels with --accept",
                  True)
    return Fit(device, errors, {kind: scatter for kind in ("set", "reset") if measured.of(kind)}, points,
               verdict([doubt]), (doubt,), "formula", ("levels = 2, one pulse from state to state",))


def _stepped(measured, name, base, access_ohm):
    """A device of tables of steps; the branch without one is the base's."""
    estimate = device_of_steps(measured.steps, measured.source)
    file = Path(measured.source.split(",")[0]).name
    told = Provenance(0.0, "measured", f"steps of {file}")
    values: dict[str, Any] = {"g_min_s": estimate.low, "g_max_s": estimate.high, "read_noise": 0.0,
                              "levels": int(np.clip(min(estimate.pulses.values()), 2, 65536))}
    if estimate.c2c is not None:
        values["c2c"] = min(estimate.c2c, 1.0)
    for kind, speed in estimate.speeds.items():
        values |= {f"{kind}_steps": tuple(speed.tolist()), f"{kind}_pulses": estimate.pulses[kind],
                   f"nl_{kind}": estimate.labels[kind]}
    whole = Provenance(0.0, "design choice", "what was measured is taken as the whole cell")
    device = base.varied(told, **values).varied(whole, access_ohm=access_ohm)
    device = dataclasses.replace(device, name=name, summary=f"steps of {file}", provenance=_in_order(device._about))
    notes = [f"no steps of {NAMES_OF_KINDS[kind]}: its curve is that of {base.name}"
             for kind in ("set", "reset") if kind not in estimate.speeds]
    if estimate.c2c is None:
        notes.append("one step at each conductance: how much a pulse misses by was not measured, and c2c = "
                     f"{base.c2c:g} is that of {base.name}")
    points = sum(len(steps.step) for steps in measured.steps)
    doubts = [Doubt(f"a pulse misses by {estimate.c2c:.0%} of the range", "measure the same cell again")] \
        if estimate.c2c is not None and estimate.c2c > 0.15 else []
    errors = {} if estimate.error is None else {"c2c": estimate.error}
    return Fit(device, errors, {}, points, verdict(doubts), tuple(doubts), "measured", tuple(notes))


def _in_order(told):
    """Provenance in the order of the device's values, as files have it."""
    return tuple((spec.name, told[spec.name]) for spec in dataclasses.fields(Device) if spec.name in told)


@dataclass(frozen=True)
class _Shown:
    """A found device on its way to a description."""

    measured: Measurement
    readings: Readings
    estimate: Estimate
    course: Course | None
    unit: float
    span: dict[str, float]

    def rms(self):
        """What is left between readings and the course from rail to rail, shares of the range, by kind."""
        of, estimate = self.readings, self.estimate
        left = {}
        for k, kind in enumerate(("set", "reset")):
            here = of.kinds == k
            if not here.any():
                continue
            position = of.position[here]
            states = (of.values[here] - estimate.values[0]) / estimate.values[1]
            course = curve(kind, estimate.values[2 + k], position / of.span[k]) if self.course is None \
                else self.course.means[kind](position)
            left[kind] = float(np.sqrt(np.mean((states - course) ** 2)))
        return left

    def fit(self, name, base, access_ohm, noise: Split, doubts, notes, told, apart, fixed):
        """The device with provenance, and all that is told about it."""
        estimate, unit = self.estimate, self.unit
        error = estimate.errors
        low, high = estimate.values[0] * unit, (estimate.values[0] + estimate.values[1]) * unit
        covariance = estimate.covariance[:2, :2]  # of the lower rail and the range; their sum is the upper rail
        top = math.sqrt(max(covariance.sum(), 0.0)) * unit
        low, notes, doubts = self._above_zero(low, error[0] * unit, high, notes, list(doubts))
        values = {"g_min_s": low, "g_max_s": high, "nl_set": estimate.values[2], "nl_reset": estimate.values[3],
                  "c2c": estimate.values[4], "read_noise": noise.read, "write_error": noise.write}
        errors = {"g_min_s": error[0] * unit, "g_max_s": top, "nl_set": error[2], "nl_reset": error[3], "c2c": error[4],
                  "read_noise": noise.read_error, "write_error": noise.write_error}
        for key in (*fixed, *(("nl_set", "nl_reset") if self.course is not None else ())):
            errors.pop(key, None)
        file = Path(self.measured.source.split(",")[0]).name
        spread = {}
        if told is not None:
            spread = {"d2d_label": math.sqrt(np.mean([told[key].apart ** 2 for key in ("nl_set", "nl_reset")
                                                      if key in told])),
                      "d2d_range": told["g_max"].apart * unit / high}
            errors |= {"d2d_label": math.sqrt(np.mean([told[key].apart_error ** 2 for key in ("nl_set", "nl_reset")
                                                       if key in told])) / math.sqrt(2),
                       "d2d_range": told["g_max"].apart_error * unit / high}
            values |= {key: min(value, 5.0 if key == "d2d_label" else 2.0) for key, value in spread.items()}
        levels, dense = int(min(self.span.values())), self._dense()
        taken = {spec: Provenance(base.about(spec).sigma, "design choice",
                                  f"that of {base.name}, not measured ({base.about(spec).source or 'no source'})")
                 for spec in _INHERITED if spec not in values}
        measured = {key: Provenance(round(float(min(max(errors.get(key, 0.0) / value, 0.0), 3.0)), 6)
                                    if key.endswith("_s") else 0.0,
                                    "measured", f"fit of {file}") for key, value in values.items() if key not in fixed}
        for key in ("read_noise", "write_error"):
            measured[key] = dataclasses.replace(measured[key], source=f"fit of {file}: {noise.how}")
        for key in fixed:
            measured[key] = Provenance(0.0, "design choice", f"that of {base.name}, not measured")
        pulses = {f"{kind}_pulses": count for kind, count in self.span.items()}
        measured |= {key: Provenance(0.0, "measured", f"pulses of a branch of {file}") for key in pulses}
        measured["levels"] = Provenance(0.0, "measured" if dense else "design choice",
                                        f"pulses of a branch of {file}{'' if dense else ', not read at each of them'}")
        measured["access_ohm"] = Provenance(0.0, "design choice" if not access_ohm else "user",
                                            "what was measured is taken as the whole cell" if not access_ohm else
                                            "in series with what was measured")
        steps = {}
        if self.course is not None:
            steps = {f"{kind}_steps": tuple(float(min(step, 1e3)) for step in self.course.speeds[kind])
                     for kind in self.span}
            measured |= {key: Provenance(0.0, "measured", f"smooth course of {file}") for key in steps}
        measured["noise_law"] = Provenance(0.0, "design choice" if estimate.law == "pulse" else "measured",
                                           f"fit of {file}{': the plainest' if estimate.law == 'pulse' else ''}")
        device = dataclasses.replace(
            base, name=name, summary=f"fitted to {len(self.measured.branches)} branches of {file}",
            provenance=_in_order(dict(base.provenance) | taken | measured), noise_law=estimate.law,
            levels=max(levels, 2), access_ohm=float(access_ohm),
            **{"set_steps": (), "reset_steps": ()} | steps,
            **{key: float(value) for key, value in (values | pulses).items()})
        by_device = {label: {name: float(value) for name, value in
                             zip(("g_min_s", "g_max_s", *NAMES[2:]),
                                 [each.values[0] * unit, (each.values[0] + each.values[1]) * unit, *each.values[2:]],
                                 strict=True)} for label, each in apart.items()}
        return Fit(device, {key: float(value) for key, value in errors.items()}, self.rms(), len(self.readings.values),
                   verdict(doubts), tuple(doubts), "formula" if self.course is None else "measured", tuple(notes),
                   by_device, self.course)

    def _above_zero(self, low, error, high, notes, doubts):
        """A lower rail above 0 S: what noise took below it is put back, an offset is refused."""
        floor = max(1e-12, 1e-4 * high)
        if low >= floor:
            return low, notes, doubts
        below = [branch for branch in self.measured.branches if np.any(branch.conductance < 0)]
        count = sum(int((branch.conductance < 0).sum()) for branch in below)
        if low + 2 * error < 0:
            raise DeviceError(f"{self.measured.source}: negative conductance: {count} readings, the first in "
                              f"{below[0].where if below else 'none'}; the lower rail would be {low:.3g} ± {error:.1g} "
                              f"S. Take the offset of the current meter off first")
        if low + error < 0 and count > 0.05 * len(self.readings.values):
            doubts.append(Doubt(f"negative conductance in {count} readings, the first in {below[0].where}: the lower "
                                f"rail would be {low:.2g} ± {error:.1g} S",
                                "take the offset of the current meter off first"))
        note = f"the lower rail is {low:.2g} ± {error:.1g} S, not told from 0; {floor:.2g} S is written"
        return floor, [*notes, note], doubts

    def _dense(self):
        return all(np.all(np.diff(branch.pulses) <= 1) for branch in self.measured.branches)
