"""A device out of measurements: conductance against pulse number, fitted to a nonlinearity, a range and a spread."""

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

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
branch in place of conductance and branch: `LTP (µS)` and `LTD (µS)`. Comma, semicolon or tab; lines with # are left out."""


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
        raise DeviceError(f"{path}: cannot be read: {error}") from None
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
    """Fit range, nonlinearity labels and spread; pulses, lines and neuron are those of ``base``.

    The mean course gives ``g_min_s``, ``g_max_s``, ``nl_set`` and ``nl_reset`` by least squares over all points. What
    is left of single steps gives ``c2c``, which adds up from pulse to pulse, and ``read_noise``, which does not: a
    wrong reading shows in two neighbouring steps with opposite signs, a wrong step in one.
    """
    base = Device.preset(NOMINAL) if base is None else base
    span = {kind: max(branch.pulses[-1] for branch in measured.of(kind)) for kind in ("set", "reset")}
    values = np.concatenate([branch.conductance for branch in measured.branches])
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise DeviceError(f"{measured.source}: conductance must change, and is {low:g} S throughout")

    def residuals(guess):
        g_min, g_range, *labels = guess
        return np.concatenate([
            branch.conductance / (high - low) - g_min
            - g_range * curve(branch.kind, labels[branch.kind == "reset"], branch.pulses / span[branch.kind])
            for branch in measured.branches])

    solved = least_squares(residuals, (low / (high - low), 1.0, 0.5, -0.5),
                           bounds=((-np.inf, 1e-3, -9, -9), (np.inf, np.inf, 9, 9)), x_scale=(0.1, 0.1, 1, 1),
                           diff_step=1e-5)
    g_min, g_range = solved.x[:2] * (high - low)
    if g_min <= 0:
        raise DeviceError(f"{measured.source}: the fitted curves would begin at {g_min:g} S: too few points, or too "
                          f"noisy")
    labels = {"set": float(solved.x[2]), "reset": float(solved.x[3])}
    spread = 2 * solved.cost / max(1, len(solved.fun) - 4)
    errors = np.sqrt(np.diag(np.linalg.pinv(solved.jac.T @ solved.jac)) * spread)
    c2c, read_noise = _noise(measured, g_min, g_range, labels, span)

    def told(error):
        return Provenance(round(float(min(error, 3.0)), 6), "measured", f"fit of {Path(measured.source).name}")

    found = {"g_min_s": float(g_min), "g_max_s": float(g_min + g_range)}
    error = {"g_min_s": errors[0] * (high - low), "g_max_s": math.hypot(*errors[:2]) * (high - low),
             "nl_set": errors[2], "nl_reset": errors[3]}
    exact = {"nl_set": labels["set"], "nl_reset": labels["reset"], "c2c": c2c, "read_noise": read_noise,
             "levels": int(min(span.values())), "set_pulses": float(span["set"]), "reset_pulses": float(span["reset"])}
    device = base
    for key, value in found.items():
        device = device.varied(told(error[key] / value), **{key: value})
    device = device.varied(told(0.0), **exact)
    device = device.varied(name=name, summary=f"fitted to {len(measured.branches)} branches of "
                                              f"{Path(measured.source).name}")
    kinds = np.concatenate([[branch.kind] * len(branch.pulses) for branch in measured.branches])
    rms = {kind: float(np.sqrt(np.mean(solved.fun[kinds == kind] ** 2)) * (high - low) / g_range)
           for kind in ("set", "reset")}
    return Fit(device, {key: float(value) for key, value in error.items()}, rms, len(solved.fun))


def _noise(measured, g_min, g_range, labels, span):
    """Deviations of a pulse and of a reading, in shares of the range, from what is left of single steps."""
    square, neighbours, keeps = [], [], []
    for branch in measured.branches:
        a = curvature(labels[branch.kind])
        sign = 1 if branch.kind == "set" else -1
        x = (branch.conductance - g_min) / g_range
        keep = np.exp(-sign * np.diff(branch.pulses) / span[branch.kind] / a)
        left = x[1:] - (saturation(a) - (saturation(a) - x[:-1]) * keep)
        left = left - left.mean()
        square.append(left**2 / np.diff(branch.pulses))
        neighbours.append(left[1:] * left[:-1])
        keeps.append(keep)
    keep = float(np.mean(np.concatenate(keeps)))
    reading = max(0.0, -float(np.mean(np.concatenate(neighbours))) / keep)
    pulse = max(0.0, float(np.mean(np.concatenate(square))) - (1 + keep**2) * reading)
    return math.sqrt(pulse), math.sqrt(reading)
