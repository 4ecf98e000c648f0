"""Events as tables: lines of text, and NumPy arrays as Tonic makes them."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ohmspike.host.data.formats import UNREADABLE_ERRORS, DataError, read_arrays_of

from .events import FALLS, Events, Recording

__all__ = ["COLUMNS", "event_columns", "is_event_array", "read_array", "read_npy", "read_npz_events", "read_text"]

COLUMNS = {"t": "t", "ts": "t", "time": "t", "timestamp": "t", "timestamps": "t", "t_us": "t", "timestamp_us": "t",
           "time_us": "t", "x": "x", "x_pos": "x", "y": "y", "y_pos": "y", "p": "p", "pol": "p", "polarity": "p",
           "polarities": "p", "on": "p"}
"""Names of columns and fields, in small letters, and what they mean."""

ORDERS = ("txyp", "xytp", "xypt")
"""Orders that columns without names may have, the first that fits is taken."""

_DELIMITERS = ",;\t"
_TIME_TOP = 1 << 53
_HINT = "name the columns x, y, t and p in the first line; docs/data.md, Recordings"


def event_columns(names: Sequence[str]) -> list[str] | None:
    """What columns mean by their names, "" for one that is not used; None if they are not those of events."""
    meant = [COLUMNS.get(name.strip().lower().strip("\"'# "), "") for name in names]
    return meant if sorted(filter(None, meant)) == ["p", "t", "x", "y"] else None


def is_event_array(dtype: np.dtype, shape: tuple[int, ...]) -> bool:
    """Whether an array has fields x, y, t and p, or four columns of numbers."""
    if dtype.names is not None:
        return event_columns(dtype.names) is not None and len(shape) == 1
    return dtype.kind in "iuf" and len(shape) == 2 and shape[1] == 4


def read_text(path: Path) -> Recording:
    """Events as lines of text: t, x, y and p, in any order if a first line names them.

    Columns without names are in the first of :data:`ORDERS` in which times rise, but for one in ten, and polarities are
    0 and 1 or −1 and 1. Times are whole µs; fractions are seconds. Lines that begin with ``#`` or ``%`` are left out,
    but that ``geometry`` of either kind is taken for the sensor.

    Raises
    ------
    DataError
        With the number of the line that is no event.
    """
    try:
        content = read_arrays_of(path)
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, byte {error.start:,}: is no text") from None
    lines = text.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.strip() and line[0] not in "#%"), len(lines))
    sensor = None
    for line in lines[:begin]:
        if found := re.match(r"[#%]\s*geometry\W+(\d{1,5})\D+(\d{1,5})", line):
            sensor = int(found[2]), int(found[1])
    if begin == len(lines):
        return Recording(sensor, iter(()))
    mark = max(_DELIMITERS, key=lines[begin].count)
    delimiter = mark if mark in lines[begin] else None
    names = [cell.strip() for cell in lines[begin].split(delimiter)]
    columns = None
    if not all(map(_is_number, names)):
        columns = event_columns(names)
        if columns is None:
            raise DataError(f"{path}, line {begin + 1}: must name x, y, t and p, or be numbers, not "
                            f"{lines[begin][:60]!r}", hint=_HINT)
        begin += 1
    rows = lines[begin:]
    try:
        values = np.loadtxt(rows, delimiter=delimiter, comments=["#", "%"], ndmin=2) if any(map(str.strip, rows)) else (
            np.zeros((0, len(names))))
    except ValueError:
        raise _wrong_line(path, rows, begin, delimiter, len(names)) from None
    if values.shape[1] != len(names):
        raise _wrong_line(path, rows, begin, delimiter, len(names))
    return Recording(sensor, iter([_from_columns(path, values, columns)]))


def _wrong_line(path, rows, begin, delimiter, width):
    """The error of the first line that has no numbers, or not as many as the first."""
    for number, row in enumerate(rows, begin + 1):
        cells = re.split(r"[#%]", row)[0].split(delimiter)
        if row.strip() and row[0] not in "#%" and (len(cells) != width or not all(map(_is_number, cells))):
            return DataError(f"{path}, line {number:,}: must be {width} numbers, not {row[:60]!r}", hint=_HINT)
    return DataError(f"{path}: must be lines of {width} numbers", hint=_HINT)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_npy(path: Path) -> Recording:
    """One recording as a NumPy array: fields x, y, t and p, or four columns."""
    try:
        array = np.load(path, allow_pickle=False)
    except UNREADABLE_ERRORS as error:
        raise DataError(f"{path}: not readable: {error}", hint="write it with numpy.save") from None
    return read_array(path, array)


def read_array(path: Path, array: np.ndarray) -> Recording:
    """An array that :func:`is_event_array`."""
    if array.dtype.names is None:
        return Recording(None, iter([_from_columns(path, array.astype(np.float64), None)]))
    meant = event_columns(array.dtype.names) or []
    fields = {what: array[name] for name, what in zip(array.dtype.names, meant, strict=True) if what}
    return Recording(None, iter([_checked(path, **fields)]))


def read_npz_events(path: Path) -> tuple[list[Recording], np.ndarray | None]:
    """Recordings of an archive, and their labels if it has them.

    Arrays x, y, t and p are one recording; else every array is one that :func:`is_event_array`, as ``numpy.savez(path,
    *recordings)`` writes them, but ``labels``.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except UNREADABLE_ERRORS as error:
        hint = "write it with numpy.savez(path, *recordings)"
        raise DataError(f"{path}: not a readable .npz file: {error}", hint=hint) from None
    labels = arrays.pop("labels", None)
    if (meant := event_columns(list(arrays))) is not None:
        fields = {what: array for what, array in zip(meant, arrays.values(), strict=True) if what}
        return [Recording(None, iter([_checked(path, **fields)]))], labels
    for name, array in arrays.items():
        if array.dtype.names is None or not is_event_array(array.dtype, array.shape):
            raise DataError(f"{path}: {name} must have the fields x, y, t and p, not {array.dtype} of {array.shape}",
                            hint="an archive holds recordings, and labels")
    return [read_array(Path(f"{path}: {name}"), array) for name, array in arrays.items()], labels


def _from_columns(path, values, columns):
    """Events of a float table of four columns or more; ``columns`` as of :func:`event_columns`, or None."""
    if columns is None:
        if values.shape[1] != 4:
            raise DataError(f"{path}: columns without names must be 4, {', '.join(map(','.join, ORDERS))}, not "
                            f"{values.shape[1]}", hint=_HINT)
        columns = next((list(order) for order in ORDERS if _fits(values, order)), None)
        if columns is None:
            raise DataError(f"{path}: columns without names must be {' or '.join(map(','.join, ORDERS))}, with times "
                            "that rise and polarities of 0 and 1, and are none of these", hint=_HINT)
    return _checked(path, **{what: values[:, i] for i, what in enumerate(columns) if what})


def _fits(values, order):
    time, polarity = values[:, order.index("t")], values[:, order.index("p")]
    return bool((np.diff(time) < 0).sum() <= FALLS * len(time) and np.isin(polarity, (-1, 0, 1)).all())


def _checked(path, t, x, y, p):
    """Events of four arrays of any type of number."""
    arrays = {"t": t, "x": x, "y": y, "p": p}
    for name, array in arrays.items():
        if array.dtype.kind not in "iufb" or array.ndim != 1 or len(array) != len(t):
            raise DataError(f"{path}: {name} must be numbers of shape ({len(t)},), not {array.dtype} of {array.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            at = int(np.argmin(np.isfinite(array)))
            raise DataError(f"{path}: {name} must be finite, not {array[at]} (event {at:,})")
    for name in "xy":
        if (arrays[name] != np.rint(arrays[name])).any():
            raise DataError(f"{path}: {name} must be whole numbers, and some are fractions", hint=_HINT)
    if t.dtype.kind == "f" and (t != np.rint(t)).any():
        t = np.rint(t * 1e6)  # seconds
    if len(t) and not -_TIME_TOP <= t.min() <= t.max() <= _TIME_TOP:
        raise DataError(f"{path}: t must be at most {_TIME_TOP} µs, not {t.min()} to {t.max()}")
    if not np.isin(p, (-1, 0, 1)).all():
        at = int(np.argmin(np.isin(p, (-1, 0, 1))))
        raise DataError(f"{path}: p must be 0 or 1, or -1 or 1, not {p[at]} (event {at:,})", hint=_HINT)
    return Events(t.astype(np.int64), x.astype(np.int64), y.astype(np.int64), p > 0)
