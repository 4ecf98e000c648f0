"""A device out of measurements: conductance against pulse number, fitted to a nonlinearity, a range and a spread."""

import csv
import dataclasses
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy  # its parts are loaded when they are first used

from ohmspike.chip.wording import reason

from .device import NOMINAL, Device, DeviceError, Provenance, curvature, saturation

__all__ = ["Branch", "Fit", "FORMAT", "Measurement", "curve", "fit_device", "read_measurement"]

_BRANCHES = {"set": "set", "ltp": "set", "p": "set", "pot": "set", "potentiation": "set", "up": "set", "1": "set",
             "+1": "set", "reset": "reset", "ltd": "reset", "d": "reset", "dep": "reset", "depression": "reset",
             "down": "reset", "-1": "reset", "0": "reset"}
_COLUMNS = {"pulse": ("pulse", "pulses", "n", "number", "index", "pulse number", "pulse no"),
            "branch": ("branch", "direction", "polarity", "kind", "type", "mode", "phase"),
            "cycle": ("cycle", "run", "sweep", "repetition", "device", "cell"),
            "conductance": ("conductance", "g"), "resistance": ("resistance", "r"),
            "set": ("potentiation", "ltp", "set", "g ltp", "conductance ltp", "g potentiation"),
            "reset": ("depression", "ltd", "reset", "g ltd", "conductance ltd", "g depression")}
_PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "k": 1e3, "M": 1e6, "G": 1e9}
_UNIT = re.compile(r"(?P<prefix>[munpkMG]?)(?P<unit>S|ohm|Ohm|Ω)$")

FORMAT = """Columns, in any order, names in any case: `pulse` (pulses so far; the first row of a branch is where it
starts), `conductance` or `resistance` with a unit behind it (`conductance (µS)`, `G_nS`, `resistance [kohm]`; S and Ω
if none), `branch` (potentiation or depression, LTP or LTD, SET or RESET), `cycle` if there are several. Or one column a
branch in place of conductance and branch: `LTP (µS)` and `LTD (µS)`. Comma, semicolon or tab; lines with # are left
out."""


@dataclass(frozen=True)
class Branch:
    """One potentiation or depression.

    Parameters
    ----------
    kind : ``"set"`` or ``"reset"``
    pulses : float array of shape (points,)
        Pulses since the first point.
    conductance : float array of shape (points,)
        S.
    """

    kind: str
    pulses: np.ndarray
    conductance: np.ndarray


@dataclass(frozen=True)
class Measurement:
    """All branches of a file."""

    source: str
    branches: tuple[Branch, ...]

    def of(self, kind: str) -> list[Branch]:
        """The branches of one kind."""
        return [branch for branch in self.branches if branch.kind == kind]


def read_measurement(path) -> Measurement:
    """Read a CSV of conductance against pulse number.

    Raises
    ------
    DeviceError
        The file cannot be read, or is not of that form: the message tells line and column.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"{path}: cannot be read: {reason(error)}") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1)
             if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise DeviceError(f"{path}: must hold a header and rows, and is empty")
    header_line, header = lines[0]
    delimiter = max(",;\t", key=header.count)
    heads = _cells(header, delimiter)
    columns, factors = _columns(path, header_line, heads)
    series = {}
    for number, line in lines[1:]:
        cells = _cells(line, delimiter)
        if len(cells) != len(heads):
            raise DeviceError(f"{path}: line {number}: must have {len(heads)} columns, not {len(cells)}")
        _take(path, number, cells, heads, columns, factors, delimiter, series)
    branches = tuple(_branch(path, *key, points) for key, points in series.items())
    for kind, name in (("set", "potentiation"), ("reset", "depression")):
        if not any(branch.kind == kind for branch in branches):
            raise DeviceError(f"{path}: must hold {name} and does not")
    return Measurement(str(path), branches)


def _cells(line, delimiter):
    return [cell.strip() for cell in next(csv.reader(io.StringIO(line), delimiter=delimiter))]


def _split(head):
    """A column's name without its unit, and the unit."""
    found = (re.match(r"^(.*?)\s*[\[(]([^\])]*)[\])]\s*$", head)
             or re.match(r"^(.*?)[_ ]([munpkMGµμ]?(?:S|[oO]hm|Ω))$", head))
    name, unit = found.groups() if found else (head, "")
    return re.sub(r"[_\s]+", " ", name).strip().lower(), unit.replace("µ", "u").replace("μ", "u").strip()


def _columns(path, line, heads):
    columns, factors = {}, {}
    for index, head in enumerate(heads):
        name, unit = _split(head)
        role = next((role for role, names in _COLUMNS.items() if name in names), None)
        if role is None:
            continue
        where = f"{path}: line {line}, column {index + 1}"
        if role in columns:
            raise DeviceError(f"{where}: second column for {role}: {head!r}")
        columns[role], factors[role] = index, 1.0
        if role in ("conductance", "resistance", "set", "reset"):
            match = _UNIT.match(unit or ("Ω" if role == "resistance" else "S"))
            if match is None or (match["unit"] == "S") == (role == "resistance"):
                raise DeviceError(f"{where}: unit must be S, mS, µS, nS or pS, or ohm, kohm or Mohm of a resistance, "
                                  f"not {unit!r}")
            factors[role] = _PREFIX[match["prefix"]]
    wide = "set" in columns and "reset" in columns
    missing = [name for name in ("pulse", *(() if wide else ("branch",))) if name not in columns]
    if not wide and not {"conductance", "resistance"} & set(columns):
        missing.append("conductance")
    if missing:
        raise DeviceError(f"{path}: line {line}: missing column {', '.join(missing)}; found {', '.join(heads)}")
    return columns, factors


def _take(path, line, cells, heads, columns, factors, delimiter, series):
    """Put one row into the series, keyed by (kind, cycle)."""
    def number(role, low=-math.inf):
        index = columns[role]
        text = cells[index].replace(",", ".") if delimiter != "," else cells[index]
        try:
            value = float(text)
            if not math.isfinite(value) or value < low:
                raise ValueError
        except ValueError:
            expected = {"pulse": "a number from 0", "resistance": "a number above 0"}.get(role, "a number")
            raise DeviceError(f"{path}: line {line}, column {index + 1} ({heads[index]}): must be {expected}, "
                              f"not {cells[index]!r}") from None
        return value

    cycle = cells[columns["cycle"]] if "cycle" in columns else ""
    pulse = number("pulse", 0)
    if "branch" in columns:
        index = columns["branch"]
        kind = _BRANCHES.get(cells[index].lower())
        if kind is None:
            raise DeviceError(f"{path}: line {line}, column {index + 1} ({heads[index]}): must be potentiation or "
                              f"depression, not {cells[index]!r}")
        role = "conductance" if "conductance" in columns else "resistance"
        value = number(role, 1e-9 if role == "resistance" else -math.inf) * factors[role]
        series.setdefault((kind, cycle), []).append((line, pulse, value if role == "conductance" else 1 / value))
        return
    for kind in ("set", "reset"):
        if cells[columns[kind]]:  # branches of unequal length leave cells empty
            series.setdefault((kind, cycle), []).append((line, pulse, number(kind) * factors[kind]))


def _branch(path, kind, cycle, points):
    lines, pulses, conductance = (np.array(column) for column in zip(*points, strict=True))
    name = "potentiation" if kind == "set" else "depression"
    name += f" of cycle {cycle}" if cycle else ""
    if len(points) < 4:
        raise DeviceError(f"{path}: line {lines[-1]}: {name} must have at least 4 points, not {len(points)}")
    back = np.flatnonzero(np.diff(pulses) <= 0)
    if len(back):
        raise DeviceError(f"{path}: line {lines[back[0] + 1]}: pulse numbers of {name} must rise, not "
                          f"{pulses[back[0]]:g} to {pulses[back[0] + 1]:g}; number the cycles in a column cycle")
    return Branch(kind, pulses - pulses[0], conductance)


def curve(kind: str, label: float, share) -> np.ndarray:
    """State, 0 to 1, after a share of the pulses from rail to rail."""
    a = curvature(label)
    b, share = saturation(a), np.asarray(share, float)
    if kind == "set":
        return b * -np.expm1(-share / a)
    return b - (b - 1) * np.exp(share / a)


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
    """

    device: Device
    errors: dict[str, float]
    rms: dict[str, float]
    points: int

    def expected(self, kind: str, pulses) -> np.ndarray:
        """Fitted conductance after so many pulses from the rail, S."""
        label = getattr(self.device, f"nl_{kind}")
        return self.device.conductance(curve(kind, label, np.asarray(pulses) / getattr(self.device, f"{kind}_pulses")))


def fit_device(measured: Measurement, name: str, base: Device | None = None) -> Fit:
    """Fit range, nonlinearity labels and spread; voltages, lines and neuron are those of ``base``.

    Least squares over the mean course finds a start. From there the likelihood of all points is maximised, by a Kalman
    filter: a pulse moves a cell along its curve and misses by ``c2c``, a reading misses by ``read_noise``; the first
    adds up from pulse to pulse and the second does not, which tells them apart.

    Raises
    ------
    DeviceError
        The points do not look like a device: they are all the same, or begin below 0 S.
    """
    base = Device.preset(NOMINAL) if base is None else base
    span = {kind: float(max(branch.pulses[-1] for branch in measured.of(kind))) for kind in ("set", "reset")}
    values = np.concatenate([branch.conductance for branch in measured.branches])
    unit = float(np.ptp(values))
    if unit == 0:
        raise DeviceError(f"{measured.source}: conductance must change, and is {values[0]:g} S throughout")

    def residuals(guess):
        return np.concatenate([
            branch.conductance / unit - guess[0]
            - guess[1] * curve(branch.kind, guess[2 + (branch.kind == "reset")], branch.pulses / span[branch.kind])
            for branch in measured.branches])

    start = scipy.optimize.least_squares(
        residuals, (values.min() / unit, 1.0, 0.5, -0.5), x_scale=(0.1, 0.1, 1, 1), diff_step=1e-5,
        bounds=((-np.inf, 1e-3, -9, -9), (np.inf, np.inf, 9, 9))).x
    left = float(np.sqrt(np.mean(residuals(start) ** 2)) / start[1])
    groups = _groups(measured, unit, span)
    found, error = _most_likely(groups, (*start, math.log(max(left / 4, 1e-5)), math.log(max(left / 4, 1e-5))))
    g_min, g_range = found[0] * unit, found[1] * unit
    if g_min <= 0:
        raise DeviceError(f"{measured.source}: the fitted curves would begin at {g_min:g} S: too few points, or too "
                          f"noisy")
    errors = {"g_min_s": error[0] * unit, "g_max_s": math.hypot(error[0], error[1]) * unit, "nl_set": error[2],
              "nl_reset": error[3], "c2c": error[4] * math.exp(found[4]), "read_noise": error[5] * math.exp(found[5])}
    fitted = {"g_min_s": g_min, "g_max_s": g_min + g_range, "nl_set": found[2], "nl_reset": found[3],
              "c2c": math.exp(found[4]), "read_noise": math.exp(found[5]), "levels": int(min(span.values())),
              "set_pulses": span["set"], "reset_pulses": span["reset"]}
    file, told = Path(measured.source).name, dict(base.provenance)
    for key, value in fitted.items():
        sigma = errors[key] / value if key.endswith("_s") else 0.0
        told[key] = Provenance(round(float(min(sigma, 3.0)), 6), "measured", f"fit of {file}")
    device = dataclasses.replace(
        base, name=name, summary=f"fitted to {len(measured.branches)} branches of {file}",
        provenance=tuple(told.items()),
        **{key: value if key == "levels" else float(value) for key, value in fitted.items()})
    kinds = np.concatenate([[branch.kind] * len(branch.pulses) for branch in measured.branches])
    rms = {kind: float(np.sqrt(np.mean(residuals(found)[kinds == kind] ** 2)) / found[1]) for kind in span}
    return Fit(device, {key: float(value) for key, value in errors.items()}, rms, len(values))


def _groups(measured, unit, span):
    """Branches with the same pulses, stacked: (kind, pulses, conductances of shape (branches, points)), in ``unit``."""
    found = {}
    for branch in measured.branches:
        key = branch.kind, tuple(branch.pulses / span[branch.kind])
        found.setdefault(key, []).append(branch.conductance / unit)
    return [(kind, np.array(share), np.array(rows), span[kind]) for (kind, share), rows in found.items()]


def _most_likely(groups, start):
    """Maximise the likelihood of (g_min, range, labels, logarithms of both deviations); their standard errors."""
    def cost(guess):
        return sum(_surprise(guess, *group) for group in groups)

    bounds = ((None, None), (1e-3, None), (-9, 9), (-9, 9), (math.log(1e-6), 0), (math.log(1e-6), 0))
    found = scipy.optimize.minimize(
        cost, start, method="Nelder-Mead", bounds=bounds,
        options={"xatol": 1e-5, "fatol": 1e-4, "maxiter": 2500, "maxfev": 2500, "adaptive": True}).x
    step = np.array([1e-4, 1e-4, 1e-2, 1e-2, 1e-2, 1e-2])
    curvatures = np.array([[_mixed(cost, found, step, i, k) for k in range(6)] for i in range(6)])
    return found, np.sqrt(np.maximum(np.diag(np.linalg.pinv(curvatures)), 0))


def _mixed(cost, at, step, i, k):
    """Second derivative by differences."""
    total = 0.0
    for a in (1, -1):
        for b in (1, -1):
            moved = at.copy()
            moved[i] += a * step[i]
            moved[k] += b * step[k]
            total += a * b * cost(moved)
    return total / (4 * step[i] * step[k])


def _surprise(guess, kind, share, rows, pulses):
    """Negative logarithm of the likelihood of branches, by the Kalman filter of a linear step."""
    g_min, g_range = guess[:2]
    a = curvature(guess[2 + (kind == "reset")])
    b, sign = saturation(a), 1 if kind == "set" else -1
    pulse, reading = np.exp(2 * np.clip(guess[4:], -20, 1))
    x = (rows - g_min) / g_range
    state, variance = np.full(len(x), 0.0 if kind == "set" else 1.0), pulses * pulse / 2 + reading + 1e-6
    total = 0.0
    for k in range(x.shape[1]):
        if k:
            keep = math.exp(-sign * (share[k] - share[k - 1]) / a)
            state = b - (b - state) * keep
            variance = variance * keep**2 + pulse * (share[k] - share[k - 1]) * pulses
        whole = variance + reading
        miss = x[:, k] - state
        total += 0.5 * (np.dot(miss, miss) / whole + len(x) * math.log(whole))
        state = state + miss * (variance / whole)
        variance = variance * reading / whole
    return total + x.size * math.log(g_range)
