"""Tables to branches: long and wide forms, trains, ramps in columns, and dumps of voltage and current."""

import re
from pathlib import Path

import numpy as np

from ..device import DeviceError
from .curves import Branch, Options
from .quantities import conductances
from .tables import Table, preamble_voltage
from .words import branch_of

__all__ = ["branches_of"]

_FEWEST = 4
_TURN, _QUIET = 0.4, 0.012
"""Share of the range by which a train must come back before it counts as turned, and what noise may be left then."""


def branches_of(table: Table, options: Options) -> list[Branch]:
    """All branches of a table, in the order of its rows.

    Raises
    ------
    DeviceError
        There are no readings, or nothing tells potentiation from depression.
    """
    values = table.values()
    if not values:
        heads = ", ".join(repr(column.head) for column in table.columns[:12])
        heads += ", …" if len(table.columns) > 12 else ""
        missing = "conductance, resistance or current"
        raise DeviceError(f"{table.sheet.name}: line {table.sheet.lines[0]}: missing column {missing}; found {heads}")
    voltage, current = table.index("voltage"), [k for k in values if table.columns[k].quantity == "current"]
    if voltage is not None and len(current) == 1 and values == current and table.index("branch") is None:
        return _dump(table, voltage, current[0], options)
    read = _read_voltage(table, options) if current else None
    wide = len(values) > 1
    branches: list[Branch] = []
    for k in values:
        series, unit_note = conductances(table, k, options, read)
        if unit_note and unit_note not in table.notes:
            table.notes.append(unit_note)
        branches += _wide(table, k, series, options) if wide else _long(table, k, series)
    return branches


def _read_voltage(table, options):
    if options.read_v is not None:
        return np.full(len(table.lines), abs(options.read_v))
    column = table.index("read_v")
    if column is not None:
        volts = np.abs(table.numbers[column]) * table.columns[column].factor
        if np.nanmin(volts) > 0:
            return volts
    stated = preamble_voltage(table.sheet.comments, table.sheet.rows)
    if stated:
        table.notes.append(f"{table.sheet.name}: read voltage {stated:g} V, as its head says")
        return np.full(len(table.lines), abs(stated))
    raise DeviceError(f"{table.sheet.name}: holds currents and no voltage that they were read at; give it with "
                      f"--read-v")


# long tables

def _long(table, k, series):
    column = table.columns[k]
    rows = np.arange(len(table.lines))
    pulses = _numbers(table, "pulse", column.kind)
    kinds = _kinds(table, column, series)
    cycle, device = _labels(table, "cycle"), _labels(table, "device")
    kept = np.isfinite(series) & (np.isfinite(pulses) if pulses is not None else True)
    _count(table, ~kept)
    rows = rows[kept]
    if kinds is None and not cycle and not device:
        return _train(table, series, pulses, rows, "", "")
    groups = _runs(rows, kinds, cycle, device, pulses)
    branches: list[Branch] = []
    ended: dict[str, float] = {}
    turned = 0
    for (kind, of_device, of_cycle), chosen in groups:
        if kind is None:
            branches += _train(table, series, pulses, chosen, of_device, of_cycle)
            continue
        branches.append(_branch(table, kind, series[chosen], None if pulses is None else pulses[chosen], chosen,
                                of_device, of_cycle, ended))
        turned += bool(pulses is not None and len(chosen) > 2 and pulses[chosen][1] < pulses[chosen][0])
    if turned:
        table.notes.append(f"{table.sheet.name}: pulse numbers of {turned} branches fall; taken in the order of rows")
    return branches


def _numbers(table, role, kind=""):
    column = table.index(role, kind) if kind else None
    column = table.index(role) if column is None else column
    return None if column is None else table.numbers[column]


def _labels(table, role):
    column = table.index(role)
    if column is None:
        return None
    if table.words[column] is not None:
        return table.words[column]
    return [f"{value:g}" if np.isfinite(value) else "" for value in table.numbers[column]]


def _kinds(table, column, series):
    """Kind of every row, by its branch, its section, its pulse's sign, or the header or file's name, or None."""
    branch = table.index("branch")
    if branch is not None:
        kinds = [branch_of(cell) for cell in table.words[branch]]
        for row, kind in enumerate(kinds):
            if not kind and np.isfinite(series[row]):
                raise DeviceError(f"{table.sheet.name}: line {table.lines[row]}, column {branch + 1} "
                                  f"({table.columns[branch].head}): must be potentiation or depression, not "
                                  f"{table.words[branch][row]!r}")
        return kinds
    if column.kind:
        return [column.kind] * len(series)
    if any(table.sections):
        return list(table.sections)
    voltage = table.index("voltage")
    if voltage is not None:
        volts = table.numbers[voltage]
        if np.nanmin(volts) < 0 < np.nanmax(volts):
            return _by_sign(table, volts, series)
    named = _named(table.sheet.name)
    return [named] * len(series) if named else None


def _by_sign(table, volts, series):
    """Positive pulses potentiate unless conductance tells the other way round."""
    sign = np.sign(np.nan_to_num(volts))
    steps, before = np.diff(series), sign[1:]
    with np.errstate(invalid="ignore"):
        up, down = np.nanmean(steps[before > 0]), np.nanmean(steps[before < 0])
    positive, negative = ("set", "reset") if not up < down else ("reset", "set")
    note = f"{table.sheet.name}: split by the sign of the pulse; positive pulses are " \
           f"{'potentiation' if positive == 'set' else 'depression, for conductance falls with them'}"
    if note not in table.notes:
        table.notes.append(note)
    kinds, last = [], positive
    for value in sign:
        last = positive if value > 0 else negative if value < 0 else last
        kinds.append(last)
    return kinds


def _named(name):
    """Kind that the name of a file or a sheet says."""
    words = [branch_of(word) for word in re.findall(r"[a-z]+", Path(name.split(",")[0]).stem.lower()
                                                    + " " + " ".join(name.split(",")[1:]).lower())
             if len(word) > 2]
    kinds = set(filter(None, words))
    return kinds.pop() if len(kinds) == 1 else ""


def _runs(rows, kinds, cycle, device, pulses):
    """Rows of each branch: ((kind, device, cycle), rows). Rows that alternate are gathered by label."""
    def key(row):
        return (kinds[row] if kinds else None, device[row] if device else "", cycle[row] if cycle else "")

    runs: list[tuple[tuple, list[int]]] = []
    last, rising = None, None
    for row in rows.tolist():
        here = key(row)
        step = None if pulses is None or not runs else pulses[row] - pulses[runs[-1][1][-1]]
        if here == last and (step is None or step == 0 or rising is None or (step > 0) == rising):
            runs[-1][1].append(row)
            rising = step > 0 if step else rising
            continue
        runs.append((here, [row]))
        last, rising = here, None
    if runs and np.median([len(chosen) for _, chosen in runs]) < _FEWEST:
        gathered: dict[tuple, list[int]] = {}
        for here, chosen in runs:
            gathered.setdefault(here, []).extend(chosen)
        if np.median([len(chosen) for chosen in gathered.values()]) > np.median([len(chosen) for _, chosen in runs]):
            runs = list(gathered.items())
    return [(here, np.array(chosen)) for here, chosen in runs]


def _branch(table, kind, conductance, pulses, chosen, device, cycle, ended):
    """A branch with its pulses counted from its own beginning; ``ended`` keeps the last pulse number of each device."""
    where = f"{table.sheet.name}: lines {table.lines[chosen[0]]} to {table.lines[chosen[-1]]}"
    if pulses is None:
        counted = np.arange(len(chosen), dtype=float) + (1.0 if _each_row_is_a_pulse(table) else 0.0)
    elif len(pulses) > 1 and pulses[1] < pulses[0]:
        counted = pulses[0] - pulses
    else:
        start = pulses[0]
        counted = pulses - start + (1.0 if start == 1 or ended.get(device) == start - 1 else 0.0)
    if np.any(counted < 0):
        counted = counted - counted.min()
    if pulses is not None:
        ended[device] = pulses[-1]
    return Branch(kind, counted, conductance, device, cycle, where)


def _each_row_is_a_pulse(table):
    return table.index("voltage") is not None


def _train(table, series, pulses, rows, device, cycle):
    """Branches of readings of unknown kind: cut where conductance turns."""
    cuts = _turns(series[rows])
    if len(cuts) == 2:
        kind = "set" if series[rows[-1]] > series[rows[0]] else "reset"
        table.notes.append(f"{table.sheet.name}: taken as {'potentiation' if kind == 'set' else 'depression'}, for "
                           f"conductance {'rises' if kind == 'set' else 'falls'}")
    else:
        note = f"{table.sheet.name}: nothing tells branches apart; cut where conductance turns"
        if note not in table.notes:
            table.notes.append(note)
    branches: list[Branch] = []
    for begin, end in zip(cuts, cuts[1:], strict=False):
        chosen = rows[begin:end]
        if len(chosen) < 2:
            continue
        kind = "set" if series[chosen[-1]] > series[chosen[0]] else "reset"
        counted = np.arange(len(chosen), dtype=float) if pulses is None else pulses[chosen] - pulses[chosen[0]]
        counted = counted + (1.0 if begin else 0.0)
        branches.append(Branch(kind, counted, series[chosen], device, cycle,
                               f"{table.sheet.name}: lines {table.lines[chosen[0]]} to {table.lines[chosen[-1]]}"))
    return branches


def _turns(values):
    """Where a train turns: extremes that it leaves by more than a share of its range; with both ends."""
    values = _smoothed(values)
    wide = _TURN * (np.quantile(values, 0.98) - np.quantile(values, 0.02))
    cuts, extreme, rising = [0], 0, None
    for k in range(1, len(values)):
        ahead = values[k] - values[extreme]
        if rising is None:
            if abs(ahead) > wide > 0:
                rising, extreme = ahead > 0, k
        elif (ahead > 0) == rising and ahead != 0:
            extreme = k
        elif abs(ahead) > wide > 0:
            cuts.append(extreme + 1)
            extreme, rising = k, not rising
    return [*cuts, len(values)]


def _smoothed(values):
    """A running mean, as wide as noise asks for: noise makes neighbouring differences run against each other."""
    differences = np.diff(values)
    if len(differences) < 8:
        return values
    span = np.quantile(values, 0.98) - np.quantile(values, 0.02)
    noise = max(-float(np.mean(differences[1:] * differences[:-1])), 0.0)
    width = int(min(noise / (_QUIET * span) ** 2, len(values) // 20)) if span > 0 else 1
    if width < 2:
        return values
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, "valid")


def _count(table, left_out):
    if left_out.any():
        table.skipped.append((int(left_out.sum()), int(table.lines[left_out][0])))


# wide tables

def _wide(table, k, series, options):
    column = table.columns[k]
    kept = np.isfinite(series)
    pulses = _numbers(table, "pulse", column.kind)
    if pulses is not None:
        kept &= np.isfinite(pulses)
    _count(table, ~kept)
    rows = np.flatnonzero(kept)
    if len(rows) == 0:
        return []
    cycle, device = column.cycle, column.device
    if not cycle and not device and not column.kind:
        cycle = column.head
    if options.traces == "device" and not device:
        cycle, device = "", cycle
    of_row = _labels(table, "cycle"), _labels(table, "device")
    kinds = _kinds(table, column, series)
    if kinds is None and _rising_or_falling(series[rows]):
        kinds = [_rising_or_falling(series[rows])] * len(series)
    if kinds is None:
        return _train(table, series, pulses, rows, device, cycle)
    branches: list[Branch] = []
    ended: dict[str, float] = {}
    for (kind, row_device, row_cycle), chosen in _runs(rows, kinds, *of_row, pulses):
        branches.append(_branch(table, kind, series[chosen], None if pulses is None else pulses[chosen], chosen,
                                device or row_device, row_cycle if not cycle else cycle if not row_cycle else
                                f"{row_cycle}/{cycle}", ended))
    return branches


def _rising_or_falling(values):
    """Kind of a course without a turn, or nothing."""
    if len(values) < 3 or len(_turns(values)) > 2:
        return ""
    third = max(1, len(values) // 3)
    return "set" if np.mean(values[-third:]) > np.mean(values[:third]) else "reset"


# dumps

def _dump(table, voltage, current, options):
    """Readings and pulses of a table of voltage and current, which differ in voltage."""
    volts = table.numbers[voltage] * table.columns[voltage].factor
    amps = table.numbers[current] * (table.columns[current].factor if table.columns[current].dimension else 1.0)
    known = np.isfinite(volts) & np.isfinite(amps)
    _count(table, ~known)
    rows = np.flatnonzero(known)
    size = np.abs(volts[rows])
    read = abs(options.read_v) if options.read_v is not None else _read_level(size)
    if read is None:
        read = preamble_voltage(table.sheet.comments, table.sheet.rows)
    if read is None:
        raise DeviceError(f"{table.sheet.name}: holds voltage and current, and no voltage below the pulses' at which "
                          f"the cell was read; give it with --read-v")
    at_read = np.abs(size - read) < 0.1 * read
    if not at_read.any():
        # one row a pulse: its voltage, and the current read behind it
        series = amps / read
        kinds = _by_sign(table, volts, series)
        return [_branch(table, kind, series[chosen], None, chosen, "", "", {})
                for (kind, _, _), chosen in _runs(rows, kinds, None, None, None)]
    pulsing = size > 1.5 * read
    rests = bool(np.any(size < 0.1 * read))
    branches: list[Branch] = []
    points: list[tuple] = []
    pulses, kind, last_pulse = 0, None, False
    signs = np.sign(volts[rows])
    readings = np.where(at_read, np.abs(amps[rows]) / read, np.nan)
    up = _sets(readings, pulsing, signs)
    table.notes.append(f"{table.sheet.name}: {int(at_read.sum())} readings at {read:g} V and "
                       f"{int(pulsing.sum())} rows of pulses; {'positive' if up > 0 else 'negative'} pulses potentiate")

    def close():
        if kind is not None and points:
            lines, counted, values = zip(*points, strict=True)
            branches.append(Branch(kind, np.array(counted, float), np.array(values), "", "",
                                   f"{table.sheet.name}: lines {table.lines[lines[0]]} to {table.lines[lines[-1]]}"))

    for k, row in enumerate(rows):
        if pulsing[k]:
            here = "set" if signs[k] == up else "reset"
            if here != kind:
                close()
                if kind is not None:
                    points = []
                kind, pulses = here, 0
            pulses += 0 if rests and last_pulse else 1
            last_pulse = True
        elif at_read[k]:
            points.append((row, pulses, readings[k]))
            last_pulse = False
        else:
            last_pulse = False
    close()
    return branches


def _read_level(size):
    """The voltage at which a cell was read: a level of many rows, well below the pulses'."""
    rounded = np.array([float(f"{value:.2g}") for value in size])
    top = rounded.max()
    levels, counts = np.unique(rounded, return_counts=True)
    fit = [(count, level) for level, count in zip(levels, counts, strict=True)
           if 0 < level <= 0.6 * top and count >= 0.1 * len(size)]
    if fit:
        return max(fit)[1]
    return float(top) if len(levels[levels > 0]) == 1 and counts[levels > 0][0] > 0.9 * len(size) else None


def _sets(readings, pulsing, signs):
    """Sign of the pulses with which conductance rises."""
    moved = {1.0: 0.0, -1.0: 0.0}
    last, sign = np.nan, 0.0
    for value, pulse, of in zip(readings, pulsing, signs, strict=True):
        if pulse:
            sign = float(of)
        elif np.isfinite(value):
            if sign and np.isfinite(last):
                moved[sign] += value - last
            last, sign = value, 0.0
    return 1.0 if moved[1.0] >= moved[-1.0] else -1.0
