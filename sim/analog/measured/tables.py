"""Rows of cells to a table: header, units and titles found, columns of numbers with their roles."""

import re
from dataclasses import dataclass, field

import numpy as np

from ..device import DeviceError
from .curves import Options
from .numbers import MISSING, Marks, is_number, marks_of
from .sheets import Sheet
from .words import Column, branch_of, column_of, unit_of

__all__ = ["Table", "table_of"]

_HEAD_ROWS = 200
_FEW_VALUES = 6


@dataclass
class Table:
    """Columns with roles.

    Parameters
    ----------
    sheet : :class:`~.sheets.Sheet`
    columns : list of :class:`~.words.Column`
    numbers : list of float arrays of shape (rows,)
        By column; NaN without a reading. None for columns of words.
    words : list of lists of str
        By column; None for columns of numbers.
    lines : int array of shape (rows,)
    sections : list of str
        Kind of branch that a title row above each row stated, or nothing.
    notes : list of str
    skipped : list of (int, int)
        Readings that were blank or NaN, and the first line, by column.
    """

    sheet: Sheet
    columns: list[Column]
    numbers: list
    words: list
    lines: np.ndarray
    sections: list[str]
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[int, int]] = field(default_factory=list)

    def index(self, role: str, kind: str | None = None) -> int | None:
        """The first column of a role (and kind), or None."""
        return next((k for k, column in enumerate(self.columns)
                     if column.role == role and (kind is None or column.kind == kind)), None)

    def values(self) -> list[int]:
        """Columns that hold readings."""
        return [k for k, column in enumerate(self.columns) if column.role == "value"]


def table_of(sheet: Sheet, options: Options) -> Table:
    """Make a table of a sheet.

    Raises
    ------
    DeviceError
        There are no rows of numbers, or a cell holds neither a number nor a blank.
    """
    rows = [row for row in sheet.rows]
    heads, begin, notes = _header(sheet, rows)
    if begin >= len(rows):
        raise DeviceError(f"{sheet.name}: must hold rows of numbers below line {sheet.lines[-1]}, and has none")
    width = _width(rows[begin:])
    if options.columns:
        if len(options.columns) != width:
            raise DeviceError(f"{sheet.name}: columns must be {width} headers, as many as there are columns, not "
                              f"{len(options.columns)}")
        heads = list(options.columns)
    kept, lines, sections = _rows(sheet, rows, begin, width, heads, notes)
    if not kept:
        raise DeviceError(f"{sheet.name}: must hold rows of numbers, and has none")
    columns = None if heads is None else [column_of(head) for head in heads]
    numbers, words, bad = _columns(kept, lines, columns, width)
    if columns is None:
        columns = _guessed(sheet, numbers, words, notes)
    elif not any(column.role in ("value", "step", "branch", "cycle") for column in columns):
        columns = _only_values(columns, numbers)
    _complain(sheet, columns, heads, numbers, words, bad)
    return Table(sheet, columns, numbers, words, np.array(lines), sections, notes)


def _width(rows):
    widths = [max((k + 1 for k, cell in enumerate(row) if cell), default=0) for row in rows[:2000]]
    return max(set(widths), key=widths.count) if max(widths) - min(widths) == 0 else max(
        width for width in set(widths) if widths.count(width) >= max(2, 0.02 * len(widths)) or len(widths) < 8)


def _shape(row):
    """How many numbers, blanks with a name (NaN), and texts a row holds."""
    filled = [cell for cell in row if cell]
    numbers = sum(is_number(cell) or cell.lower() in MISSING for cell in filled)
    return numbers, len(filled) - numbers, len(filled)


def _names_roles(row, above_numbers):
    """How many cells of a row are headers."""
    roles = [column_of(cell) for cell in row if cell and not is_number(cell)]
    return sum(column.role != "none" for column in roles) if above_numbers else 0


def _header(sheet, rows):
    """Headers (None if there are none), the first row of numbers, and what was left out above."""
    usual = max((_shape(row)[2] for row in rows[-_HEAD_ROWS:]), default=0)
    best, most = None, 0
    for k, row in enumerate(rows[:_HEAD_ROWS]):
        numbers, texts, filled = _shape(row)
        if not texts or (filled == 1 and usual > 1):
            continue
        below = rows[k + 1:k + 5]
        ahead = any(_shape(other)[0] >= max(1, 0.5 * _shape(other)[2]) for other in below)
        named = _names_roles(row, ahead)
        only_kinds = numbers > 0 and all(branch_of(cell) for cell in row if cell and not is_number(cell))
        if named > most and not only_kinds:
            best, most = k, named
        if numbers > texts and k > 3 and best is not None:
            break
    notes = []
    if best is None:
        named = _commented(sheet, usual)
        begin = next((k for k, row in enumerate(rows) if _shape(row)[0] >= max(1, 0.5 * usual)), len(rows))
        if begin:
            notes.append(f"{sheet.name}: {begin} rows above the numbers left out")
        return named, begin, notes
    heads = list(rows[best])
    begin = best + 1
    while begin < len(rows) and _shape(rows[begin])[0] < max(1, 0.34 * _shape(rows[begin])[2]):
        _add_row(heads, rows[begin])
        begin += 1
    above = best
    while above and _shape(rows[above - 1])[0] == 0 and _shape(rows[above - 1])[2] > 1 \
            and sheet.lines[above] - sheet.lines[above - 1] == 1 and _fits_above(rows[above - 1], heads):
        above -= 1
        _add_row(heads, rows[above])
    if above:
        notes.append(f"{sheet.name}: {above} row{'s' if above > 1 else ''} above the header left out: "
                     f"{' '.join(cell for cell in rows[0] if cell)[:60]!r}")
    return heads, begin, notes


def _fits_above(row, heads):
    """A row of LTP, LTD, cycle 1, device 2 above a header, or of units."""
    filled = [cell for cell in row if cell]
    useful = sum(bool(branch_of(cell) or unit_of(cell) or column_of(cell).role in ("cycle", "device", "value"))
                 for cell in filled)
    return len(row) <= len(heads) and useful >= 0.5 * len(filled)


def _add_row(heads, row):
    """Units and comments of an Origin sheet, joined to the names they stand below."""
    heads += [""] * (len(row) - len(heads))
    for k, cell in enumerate(row):
        if not cell:
            continue
        if unit_of(cell) and not column_of(heads[k]).dimension:
            heads[k] = f"{heads[k]} ({cell})"
        elif branch_of(cell) or column_of(cell).cycle or column_of(cell).device or not heads[k]:
            heads[k] = f"{heads[k]} {cell}".strip()


def _commented(sheet, width):
    """A header in the last comment line (as ``numpy.savetxt`` writes it)."""
    for comment in reversed(sheet.comments[-3:]):
        for separator in (",", ";", "\t", None):
            cells = [cell.strip() for cell in comment.split(separator)]
            if len(cells) == width and sum(column_of(cell).role != "none" for cell in cells) >= max(1, width // 2):
                return cells
    return None


def _rows(sheet, rows, begin, width, heads, notes):
    kept, lines, sections, section, repeated = [], [], [], "", 0
    for row, line in zip(rows[begin:], sheet.lines[begin:], strict=True):
        numbers, texts, filled = _shape(row)
        if not filled:
            continue
        if not numbers:
            kind = branch_of(next(cell for cell in row if cell)) if filled <= 2 else ""
            if kind:
                section = kind
                continue
            if heads is not None and sum(a == b for a, b in zip(row, heads, strict=False)) >= filled / 2:
                repeated += 1
                continue
        if len(row) > width and any(row[width:]):
            raise DeviceError(f"{sheet.name}: line {line}: must have {width} columns, not {len(row)}")
        if len(row) < width and width <= 4 and heads is not None and filled == len(row):
            raise DeviceError(f"{sheet.name}: line {line}: must have {width} columns, not {len(row)}")
        kept.append(row[:width] + [""] * (width - len(row)))
        lines.append(line)
        sections.append(section)
    if repeated:
        notes.append(f"{sheet.name}: {repeated} repeated headers left out")
    return kept, lines, sections


def _columns(rows, lines, columns, width):
    """Numbers or words of each column, and the first cell that is neither number nor blank where numbers belong."""
    numbers, words, bad = [], [], {}
    cells = [[row[k] for row in rows] for k in range(width)]
    for k in range(width):
        role = columns[k].role if columns is not None and k < len(columns) else None
        texts = role in ("branch", "cycle", "device", "none")
        marks = _marks(cells, k)
        values = [marks.value(cell) for cell in cells[k]]
        wrong = [index for index, value in enumerate(values) if value is None]
        if role is None and len(wrong) > len(values) / 2:
            texts = True
        if wrong and not texts:
            bad[k] = lines[wrong[0]], cells[k][wrong[0]]
        words.append(cells[k] if texts else None)
        numbers.append(None if texts and (wrong or role == "branch")
                       else np.array([np.nan if value is None else value for value in values]))
    return numbers, words, bad


def _marks(cells, k) -> Marks:
    own = [cell for cell in cells[k] if "," in cell or cell.count(".") > 1]
    return marks_of([*own, *(cell for cell in cells[k][:200])]) if own else Marks()


def _only_values(columns, numbers):
    """Columns that no word tells anything of, beside no column of readings: those of numbers are readings."""
    return [Column("value", column.head, cycle=column.head) if column.role == "none" and numbers[k] is not None
            and column.head and not column.dimension else column for k, column in enumerate(columns)]


def _guessed(sheet, numbers, words, notes):
    """Roles of columns without a header, from what they hold."""
    columns = []
    width = len(numbers)
    for k in range(width):
        head = f"column {k + 1}"
        if numbers[k] is None:
            kinds = sum(bool(branch_of(cell)) for cell in words[k])
            columns.append(Column("branch" if kinds > len(words[k]) / 2 else "device", head))
            continue
        columns.append(Column(_role_of(numbers[k], width), head))
    whole = [k for k, column in enumerate(columns) if column.role == "count"]
    pulse = max(whole, key=lambda k: (np.abs(np.diff(numbers[k])) == 1).mean(), default=None)
    for k in whole:
        columns[k] = Column("pulse" if k == pulse else "cycle", columns[k].head)
    voltages = [k for k, column in enumerate(columns) if column.role == "voltage"]
    for k in voltages:
        if len(set(numbers[k])) == 1 and len(voltages) > 1:
            columns[k] = Column("read_v", columns[k].head)
    assumed = ", ".join(f"{column.head} {column.role}" for column in columns[:8]) + (", …" if width > 8 else "")
    notes.append(f"{sheet.name}: no header; taken as {assumed}")
    return columns


def _role_of(values, width):
    known = values[np.isfinite(values)]
    if not len(known) or width == 1:
        return "value"
    different = len(set(known[:5000]))
    whole = bool(np.all(known == np.rint(known)))
    if whole and known.min() >= 0 and known.max() >= 3 and different > 3 and (np.diff(known) == 1).mean() > 0.5:
        return "count"
    if different <= _FEW_VALUES and len(known) > 20 and 0.01 <= np.abs(known).max() <= 20:
        if whole and known.min() >= 0 and bool(np.all(np.diff(known) >= 0)):
            return "count"
        return "voltage"
    if whole and bool(np.all(np.diff(known) >= 0)) and different < len(known) / 3:
        return "count"
    return "value"


def _complain(sheet, columns, heads, numbers, words, bad):
    for k, column in enumerate(columns):
        where = f"{sheet.name}: line {{}}, column {k + 1} ({column.head})"
        if k in bad and column.role in ("pulse", "value", "voltage", "read_v", "time", "step"):
            line, cell = bad[k]
            expected = "a number from 0" if column.role == "pulse" else "a number"
            raise DeviceError(f"{where.format(line)}: must be {expected}, not {cell!r}")
    seen: dict[tuple[str, str], int] = {}
    for k, column in enumerate(columns):
        if column.role not in ("branch", "cycle", "device", "pulse", "read_v"):
            continue
        if (column.role, column.kind) in seen:
            raise DeviceError(f"{sheet.name}: column {k + 1}: second column for {column.role}: {column.head!r}; the "
                              f"first is {columns[seen[column.role, column.kind]].head!r}")
        seen[column.role, column.kind] = k


def preamble_voltage(comments: list[str], rows: list[list[str]]) -> float | None:
    """A read voltage stated in comments or title rows, such as ``Vread = 0.1 V``."""
    for text in [*comments, *(" ".join(row) for row in rows[:_HEAD_ROWS])]:
        match = re.search(r"\b(?:v[_ ]?read|read[ _-]*(?:voltage|bias|v|at)|read)\W{0,4}(?:voltage\W*)?"
                          r"(-?\d+(?:[.,]\d+)?)\s*(m?)V\b", text, re.IGNORECASE)
        if match:
            return float(match[1].replace(",", ".")) * (1e-3 if match[2].lower() == "m" else 1.0)
    return None
