"""Tables of steps: ΔG over G, as columns or as CrossSim's table of quantiles (rows: shares, columns: conductances)."""

import re

import numpy as np

from ..device import DeviceError
from .curves import Steps
from .numbers import is_number
from .sheets import Sheet
from .words import branch_of, column_of

__all__ = ["is_steps", "steps_of"]


def is_steps(sheet: Sheet) -> bool:
    """Whether a sheet holds ΔG in place of a curve."""
    if _is_quantiles(sheet):
        return True
    return any(column_of(cell).role == "step" for row in sheet.rows[:5] for cell in row)


def _is_quantiles(sheet):
    """A first row of conductances, a second of shares from 0 to 1, then a share's steps in every row."""
    head = " ".join(" ".join(row) for row in sheet.rows[:1]).lower() + " ".join(sheet.comments[:3]).lower()
    return "cdf" in head and "dg" in head


def steps_of(sheet: Sheet) -> Steps:
    """The steps of a sheet.

    Raises
    ------
    DeviceError
        It is not of that form.
    """
    if _is_quantiles(sheet):
        return _quantiles(sheet)
    begin = next(k for k, row in enumerate(sheet.rows) if any(column_of(cell).role == "step" for cell in row))
    heads = [column_of(cell) for cell in sheet.rows[begin]]
    at = next((k for k, head in enumerate(heads) if head.role == "value"), None)
    step = next(k for k, head in enumerate(heads) if head.role == "step")
    if at is None:
        raise DeviceError(f"{sheet.name}: holds steps ΔG, and must hold the conductance they begin at, too")
    rows = [row for row in sheet.rows[begin + 1:]
            if len(row) > max(at, step) and is_number(row[at]) and is_number(row[step])]
    if len(rows) < 4:
        raise DeviceError(f"{sheet.name}: must hold at least 4 steps, not {len(rows)}")
    conductance = np.array([float(row[at]) for row in rows]) * heads[at].factor
    values = np.array([float(row[step]) for row in rows]) * (heads[step].factor if heads[step].dimension
                                                             else heads[at].factor)
    kind = heads[step].kind or ("set" if np.median(values) > 0 else "reset")
    return Steps(kind, conductance, values, f"{sheet.name}: lines {sheet.lines[begin + 1]} to {sheet.lines[-1]}")


def _quantiles(sheet):
    rows = [[float(cell) for cell in row if is_number(cell)] for row in sheet.rows]
    rows = [row for row in rows if len(row) > 3]
    grid, shares = np.array(rows[0]), np.array(rows[1])
    body = rows[2:]
    if len(body) == len(grid) and all(len(row) == len(shares) for row in body):
        table = np.array(body).T
    elif len(body) == len(shares) and all(len(row) == len(grid) for row in body):
        table = np.array(body)
    else:
        raise DeviceError(f"{sheet.name}: a table of steps must have {len(shares)} rows of {len(grid)} steps, not "
                          f"{len(body)} of {len(body[0]) if body else 0}")
    even = (np.arange(64) + 0.5) / 64
    drawn = np.array([np.interp(even, shares, table[:, k]) for k in range(len(grid))])
    name = sheet.name.lower()
    kind = branch_of(" ".join(re.findall(r"[a-z]+", name))) or ("set" if np.median(drawn) > 0 else "reset")
    return Steps(kind, np.repeat(grid, len(even)), drawn.ravel(), sheet.name)
