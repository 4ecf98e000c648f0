"""Numbers as people and instruments write them: decimal comma or point, thousands, and what stands for nothing."""

import re
from collections.abc import Iterable

__all__ = ["MISSING", "Marks", "is_number", "marks_of"]

MISSING = {"", "nan", "na", "n/a", "#n/a", "null", "none", "-", "--", "---", "inf", "-inf", "+inf", "#num!", "#div/0!",
           "#value!", "overflow", "ovrflw", "overflw", "9.9e37", "9.90e37", "9.91e37", "9.9e+37", "9.90e+37",
           "9.91e+37", "+9.91e+37", "9.910000e+37", "+9.910000e+37"}
"""Cells without a reading, in lower case: blanks, NaN, and what instruments give beyond their range."""

_SPACES = re.compile(r"(?<=\d)[\s   '’_](?=\d{3}(?!\d))")
_ANY = re.compile(r"[+\-−]?(\d[\d.,]*|[.,]\d+)([eEdD][+\-−]?\d+)?$")


def _tidy(text):
    return _SPACES.sub("", text.strip()).replace("−", "-")


def is_number(text: str) -> bool:
    """Whether a cell is a number, however it is written."""
    return _ANY.match(_tidy(text)) is not None


class Marks:
    """How the numbers of a table are written.

    Parameters
    ----------
    decimal, thousands : str
        One character each; ``thousands`` may be empty.
    """

    def __init__(self, decimal: str = ".", thousands: str = ""):
        self.decimal, self.thousands = decimal, thousands

    def value(self, text: str) -> float | None:
        """The number a cell holds, NaN if it stands for no reading, None if it is neither."""
        try:
            return float(text)  # nearly all of them
        except ValueError:
            pass
        tidy = _tidy(text)
        if tidy.lower() in MISSING:
            return float("nan")
        if self.thousands:
            tidy = tidy.replace(self.thousands, "")
        if self.decimal == ",":
            tidy = tidy.replace(",", ".")
        tidy = tidy.replace("d", "e").replace("D", "e") if tidy[-1:].isdigit() else tidy
        try:
            return float(tidy)
        except ValueError:
            return None


def marks_of(cells: Iterable[str]) -> Marks:
    """Find decimal mark and thousands mark in the number-like cells of a table."""
    comma_decimal = point_decimal = False
    for cell in cells:
        tidy = _tidy(cell)
        if "," not in tidy and tidy.count(".") < 2:
            point_decimal |= "." in tidy
            continue
        if not _ANY.match(tidy):
            continue
        if "," in tidy and "." in tidy:
            return Marks(".", ",") if tidy.rfind(".") > tidy.rfind(",") else Marks(",", ".")
        if tidy.count(",") > 1:
            return Marks(".", ",")
        if tidy.count(".") > 1:
            return Marks(",", ".")
        comma_decimal = True
    if comma_decimal and point_decimal:
        return Marks(".", ",")
    return Marks(",") if comma_decimal else Marks()
