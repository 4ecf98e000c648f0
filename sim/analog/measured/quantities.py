"""Readings to siemens: units stated, assumed or doubted, currents, resistances, and normalised values."""

import numpy as np

from ..device import DeviceError
from .curves import Options
from .tables import Table
from .words import UNITS, unit_of

__all__ = ["conductances"]

_MOST = 0.1
"""S; what no memristor reaches: ten times the conductance of a good contact."""
_PLAUSIBLE = 2e-3
"""S; above it a value without a unit may be anything."""
_DIMENSION = {"conductance": "S", "resistance": "ohm", "current": "A"}


def conductances(table: Table, k: int, options: Options, read: np.ndarray | None) -> tuple[np.ndarray, str]:
    """A column in S, NaN without a reading, and what was assumed.

    Parameters
    ----------
    read : float array, optional
        Read voltage of every row, V, where the column holds currents.

    Raises
    ------
    DeviceError
        The unit is missing, none that is known, or cannot be right.
    """
    column, values = table.columns[k], table.numbers[k]
    where = f"{table.sheet.name}: column {k + 1} ({column.head})"
    quantity, dimension, factor, note = column.quantity, column.dimension, column.factor, ""
    if options.unit is not None:
        stated = unit_of(options.unit)
        if stated is None:
            raise DeviceError(f"unit must be one of {UNITS}, not {options.unit!r}")
        dimension, factor = stated
    if column.unit and unit_of(column.unit) is None and options.unit is None:
        raise DeviceError(f"{where}: unit must be one of {UNITS}, not {column.unit!r}")
    if dimension == "s" and factor != 1.0:
        dimension = "S"  # µs of a conductance
    elif dimension == "s":
        dimension = "S" if quantity == "conductance" else ""
    if not quantity:
        quantity = {"ohm": "resistance", "A": "current"}.get(dimension, "conductance")
    known = values[np.isfinite(values)]
    if options.scale is not None and (dimension in ("share", "") or quantity == "conductance"):
        return _scaled(table, k, values, known, options.scale)
    if dimension == "share":
        raise DeviceError(f"{where}: values are normalised ({column.unit or 'relative'}); give what they stand for "
                          f"with --range G_MIN G_MAX, in S")
    if dimension and dimension != _DIMENSION[quantity]:
        raise DeviceError(f"{where}: unit must be one of {UNITS} that fits a {quantity}, not {column.unit!r}")
    if not dimension:
        factor, note = _assumed(where, table.sheet.name, quantity, known)
    if quantity == "current":
        return values * factor / read, note
    if quantity == "resistance":
        wrong = np.flatnonzero(values <= 0)
        if len(wrong):
            raise DeviceError(f"{table.sheet.name}: line {table.lines[wrong[0]]}, column {k + 1} ({column.head}): must "
                              f"be a number above 0, not '{values[wrong[0]]:g}'")
        return 1 / (values * factor), note
    if len(known) and np.abs(known * factor).max() > _MOST:
        unit = column.unit or options.unit or "S"
        raise DeviceError(f"{where}: values reach {np.abs(known * factor).max():g} S in the unit {unit!r}, which no "
                          f"memristor conducts; if they are µS, say --unit uS, and if they are normalised, "
                          f"--range G_MIN G_MAX")
    return values * factor, note


def _assumed(where, table, quantity, known):
    """Factor of values without a unit, if only one can be meant."""
    top = float(np.abs(known).max()) if len(known) else 0.0
    if quantity == "conductance":
        if top > _PLAUSIBLE or (len(known) and known.min() < -0.2 * top):
            raise DeviceError(f"{where}: has no unit, and values reach {top:g}; say --unit uS (or another of {UNITS}), "
                              f"or if they are normalised --range G_MIN G_MAX, in S")
        return 1.0, f"{table}: no unit; taken as S"
    if quantity == "resistance":
        if top < 100:
            raise DeviceError(f"{where}: has no unit, and values reach {top:g}; say --unit kohm (or another of "
                              f"{UNITS})")
        return 1.0, f"{table}: no unit; taken as Ω"
    if top > 0.01:
        raise DeviceError(f"{where}: has no unit, and values reach {top:g}; say --unit uA (or another of {UNITS})")
    return 1.0, f"{table}: no unit; taken as A"


def _scaled(table, k, values, known, scale):
    """Normalised values on a range of conductance."""
    low, high = scale
    if not 0 < low < high:
        raise DeviceError(f"range must be two conductances in S that rise, both above 0, not {low:g} and {high:g}")
    every = np.concatenate([table.numbers[other][np.isfinite(table.numbers[other])] for other in table.values()])
    least, most = float(every.min()), float(every.max())
    if table.columns[k].dimension == "share" and table.columns[k].factor != 1.0:
        bottom, top, form = 0.0, 100.0, "0 to 100 %"
    elif least >= -0.2 and most <= 1.3:
        bottom, top, form = 0.0, 1.0, "0 to 1"
    elif least >= -1.5 and most <= 1.5:
        bottom, top, form = -1.0, 1.0, "-1 to 1"
    else:
        bottom, top, form = least, most, f"{least:g} to {most:g}, the least and the most"
    return low + (values - bottom) / (top - bottom) * (high - low), \
        f"{table.sheet.name}: values of {form} stand for {low:g} to {high:g} S"
