"""Tables of steps: ΔG over G, as columns or as CrossSim's table of quantiles (rows: shares, columns: conductances)."""

import re

import numpy as np

from ..device import DeviceError
from .curves import Steps
from .numbers import is_number
from .sheets import Sheet
from .words import branch_of, column_of

__all__ = ["is_steps", "refuse_segments", "steps_of"]

_MOST_SEGMENTS = 64


def is_steps(sheet: Sheet) -> bool:
    """Whether a sheet holds ΔG in place of a curve."""
    if _is_quantiles(sheet):
        return True
    return any(column_of(cell).role == "step" for row in sheet.rows[:5] for cell in row)


def _is_quantiles(sheet):
    """A first row of conductances, a second of shares from 0 to 1, then a share's steps in every row."""
    head = " ".join(" ".join(row) for row in sheet.rows[:1]).lower() + " ".join(sheet.comments[:3]).lower()
    return "cdf" in head and "dg" in head


def refuse_segments(sheet: Sheet) -> None:
    """Refuse steps by segments of the range, which have neither a header nor the conductances they begin at.

    aihwkit's example of a piecewise device holds them so: a column of steps up, one of steps down, each constant over
    some rows. Read as a curve, they would be a cell that pulses hardly move.

    Raises
    ------
    DeviceError
        Two columns of positive numbers alone stay as they are in at least half of their rows, and neither only rises
        nor only falls.
    """
    rows = sheet.rows
    if not 4 <= len(rows) <= _MOST_SEGMENTS or any(len(row) != 2 or not all(map(is_number, row)) for row in rows):
        return
    values = np.array([[float(cell) for cell in row] for row in rows])
    moves = np.sign(np.diff(values, axis=0))
    still = (moves == 0).sum(axis=0)
    turns = [len(set(column[column != 0])) == 2 for column in moves.T]
    if (values > 0).all() and all(turns) and (2 * still >= len(moves)).all():
        raise DeviceError(
            f"{sheet.name}: must hold conductance after pulses, not steps: two columns without a header stay as they "
            f"are in {int(still.min())} of {len(moves)} rows and then turn, as steps ΔG by segments of the range do "
            f"(aihwkit's PiecewiseStepDevice); put the conductance at which each segment begins beside them, "
            f"under the headers G (µS), dG up (µS), dG down (µS)")


def steps_of(sheet: Sheet) -> list[Steps]:
    """The steps of a sheet, a table for each column of them.

    Raises
    ------
    DeviceError
        It is not of that form.
    """
    if _is_quantiles(sheet):
        return [_quantiles(sheet)]
    begin = next(k for k, row in enumerate(sheet.rows) if any(column_of(cell).role == "step" for cell in row))
    heads = [column_of(cell) for cell in sheet.rows[begin]]
    at = next((k for k, head in enumerate(heads) if head.role == "value"), None)
    if at is None:
        raise DeviceError(f"{sheet.name}: holds steps ΔG, and must hold the conductance they begin at, too")
    return [_column(sheet, begin, heads, at, k) for k, head in enumerate(heads) if head.role == "step"]


def _column(sheet, begin, heads, at, step):
    rows = [row for row in sheet.rows[begin + 1:]
            if len(row) > max(at, step) and is_number(row[at]) and is_number(row[step])]
    if len(rows) < 4:
        raise DeviceError(f"{sheet.name}: must hold at least 4 steps, not {len(rows)}")
    conductance = np.array([float(row[at]) for row in rows]) * heads[at].factor
    values = np.array([float(row[step]) for row in rows]) * (heads[step].factor if heads[step].dimension
                                                             else heads[at].factor)
    kind = heads[step].kind or ("set" if np.median(values) > 0 else "reset")
    if kind == "reset" and np.median(values) > 0:
        values = -values
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
