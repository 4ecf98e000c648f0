"""From files to a measurement: all tables read, branches in the order of time, nonsense refused."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..device import DeviceError
from .branches import branches_of
from .curves import NAMES_OF_KINDS, Branch, Measurement, Options
from .sheets import sheets_of
from .steps import is_steps, refuse_segments, steps_of
from .tables import table_of

__all__ = ["FORMAT", "preview", "read_measurement"]

FORMAT = """Text in any encoding with any separator, .xlsx, .mat or .npz; one file or several (one a branch, or one a
device). Columns in any order: `pulse` (pulses so far; time or the order of rows will do), `conductance`, `resistance`
or `current` with its unit (`G (µS)`, `R [kΩ]`, `I_nA`; currents with `--read-v`), `branch` (potentiation or depression,
LTP or LTD, SET or RESET, + or -), `cycle`, `device`. Or a column for each branch, cycle or device (`LTP cycle 3 (µS)`).
Or `pulse voltage`, split by its sign; or voltage and current of every pulse and reading. Or, in place of
curves, steps with the conductance that they begin at: `G (µS)`, `dG up (µS)`, `dG down (µS)`. Blanks and NaN are
skipped. `--preview` shows what was understood."""

_FEWEST = 4
_ORDER = re.compile(r"(\d+)")


def read_measurement(*paths: str | Path, options: Options | None = None) -> Measurement:
    """Read measured curves.

    Parameters
    ----------
    paths : one or several
        Files.
    options : :class:`~.curves.Options`, optional
        What they do not say.

    Raises
    ------
    DeviceError
        A file cannot be read or understood: the message tells line and column, and what would help.
    """
    options = Options() if options is None else options
    branches, notes, layout, steps = [], [], [], []
    for path in paths:
        own = []
        sheets, failed = sheets_of(path), []
        for sheet in sheets:
            try:
                if is_steps(sheet):
                    steps += (found := steps_of(sheet))
                    layout += [f"{sheet.name}: table of steps ΔG over G, {NAMES_OF_KINDS[each.kind]}" for each in found]
                    continue
                if not options.columns:
                    refuse_segments(sheet)
                table = table_of(sheet, options)
                of_table = branches_of(table, options)
            except DeviceError as error:
                failed.append(error)
                continue
            own += of_table
            notes += table.notes
            if table.skipped:
                count = sum(number for number, _ in table.skipped)
                notes.append(f"{table.sheet.name}: {count} reading{'s' if count > 1 else ''} that "
                             f"{'are' if count > 1 else 'is'} blank or NaN skipped, the first in line "
                             f"{min(line for _, line in table.skipped)}")
            layout += _roles(table)
        if failed and (len(failed) == len(sheets) or len(sheets) == 1):
            raise failed[0]
        notes += [f"left out: {error}" for error in failed]
        branches.append((str(path), own))
    merged = _merged(branches, options, notes)
    source = ", ".join(str(path) for path in paths)
    if not merged and not steps:
        raise DeviceError(f"{source}: must hold potentiation or depression, and holds neither")
    merged = _sized([_forward(branch) for branch in merged], notes)
    merged = _directed(merged, source, notes)
    merged = _ordered(merged)
    _negative(merged, notes)
    return Measurement(source, tuple(merged), tuple(dict.fromkeys(notes)), tuple(layout), tuple(steps))


def _roles(table):
    lines = [f"{table.sheet.name}: {table.sheet.form}, {len(table.lines)} rows of numbers from line {table.lines[0]}"]
    shown = table.columns if len(table.columns) <= 12 else [*table.columns[:6], *table.columns[-3:]]
    for column in shown:
        about = [word for word in (NAMES_OF_KINDS.get(column.kind, ""),
                                   column.quantity if column.role == "value" else "",
                                   f"cycle {column.cycle}" if column.cycle else "",
                                   f"device {column.device}" if column.device else "") if word]
        role = {"value": "reading", "none": "left out", "step": "step", "read_v": "read voltage",
                "voltage": "pulse voltage"}.get(column.role, column.role)
        unit = f" in {column.unit}" if column.unit and column.role != "none" else ""
        lines.append(f"  {column.head!r}: {role}{unit}{' (' + ', '.join(about) + ')' if about else ''}")
    if len(shown) < len(table.columns):
        lines.append(f"  … and {len(table.columns) - len(shown)} more")
    return lines


def _merged(files, options, notes):
    """Branches of all files; files that each hold both kinds are devices (or cycles) of their own."""
    whole = [path for path, own in files if {branch.kind for branch in own} == {"set", "reset"}]
    kinds = [frozenset(branch.kind for branch in own) for _, own in files]
    apart = len(whole) > 1 or max(Counter(kinds).values(), default=0) > 1
    if len(files) == 1 or not apart:
        return [branch for _, own in files for branch in own]
    label = options.traces or "device"
    notes.append(f"every file is taken as a {label} of its own" + ("" if options.traces else
                                                                    "; --traces cycle takes them as cycles of one"))
    named = []
    for path, own in files:
        stem = re.sub(r"(?i)[_\- ]?(ltp|ltd|set|reset|potentiation|depression|pot|dep)[_\- ]?", "", Path(path).stem)
        for branch in own:
            old = getattr(branch, label)
            named.append(replace(branch, **{label: f"{stem}/{old}" if old and stem else stem or old}))
    return named


def _forward(branch: Branch) -> Branch:
    """Readings in the order of pulses."""
    order = np.argsort(branch.pulses, kind="stable")
    if np.array_equal(order, np.arange(len(order))):
        return branch
    return replace(branch, pulses=branch.pulses[order], conductance=branch.conductance[order])


def _sized(branches, notes):
    """Branches with enough readings."""
    long = [branch for branch in branches if len(branch.pulses) >= _FEWEST]
    short = [branch for branch in branches if len(branch.pulses) < _FEWEST]
    if short and (not long or len(short) > 0.5 * len(branches)):
        first = short[0]
        name = NAMES_OF_KINDS[first.kind] + (f" of cycle {first.cycle}" if first.cycle else "")
        raise DeviceError(f"{first.where}: {name} must have at least {_FEWEST} points, not {len(first.pulses)}; if "
                          f"pulses restart more often than cycles do, name the columns with --columns")
    if short:
        notes.append(f"{len(short)} branches of less than {_FEWEST} readings left out, the first at {short[0].where}")
    return long


def _trend(branch):
    third = max(1, len(branch.conductance) // 3)
    return float(np.mean(branch.conductance[-third:]) - np.mean(branch.conductance[:third]))


def _directed(branches, source, notes):
    """Depression that rises is turned round if potentiation rises too; others against their names are refused."""
    if not branches:
        return branches
    scale = np.ptp(np.concatenate([branch.conductance for branch in branches]))
    trends = {kind: [_trend(branch) for branch in branches if branch.kind == kind] for kind in ("set", "reset")}
    typical = {kind: float(np.median(values)) if values else 0.0 for kind, values in trends.items()}
    up, down = typical["set"], typical["reset"]
    rises, falls = down > 0.2 * scale, up < -0.2 * scale
    if rises and up > 0.2 * scale:
        notes.append("depression rises with the pulse number, as NeuroSim's nonlinear_fit.m holds it: mirrored, and "
                     "turned round")
        return [replace(branch, pulses=branch.pulses[-1] - branch.pulses[::-1], conductance=branch.conductance[::-1])
                if branch.kind == "reset" else branch for branch in branches]
    if falls and down < -0.2 * scale:
        raise DeviceError(f"{source}: potentiation falls, by {-up:.3g} S, and so does depression; if potentiation is "
                          f"mirrored, number its pulses the other way round")
    if rises or falls:
        names = " and ".join(text for text, wrong in ((f"depression rises, by {down:.3g} S", rises),
                                                      (f"potentiation falls, by {-up:.3g} S", falls)) if wrong)
        raise DeviceError(f"{source}: {names}; the branches are named the wrong way round, or the values are "
                          f"resistances named conductances")
    return branches


def _key(label):
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in _ORDER.split(label) if part]


def _ordered(branches):
    """By device and cycle, potentiation first in a cycle; as they came where there are no cycles."""
    devices = {label: k for k, label in enumerate(dict.fromkeys(branch.device for branch in branches))}
    if not branches or any(not branch.cycle for branch in branches):
        return sorted(branches, key=lambda branch: devices[branch.device])
    single = max(Counter((b.device, b.cycle, b.kind) for b in branches).values()) == 1
    if not single:
        return sorted(branches, key=lambda branch: (devices[branch.device], _key(branch.cycle)))
    first: dict[tuple[str, str], str] = {}
    for branch in branches:
        first.setdefault((branch.device, branch.cycle), branch.kind)
    lead = Counter(first.values()).most_common(1)[0][0]
    return sorted(branches, key=lambda b: (devices[b.device], _key(b.cycle), b.kind != lead))


def _negative(branches, notes):
    below = [(branch, int((branch.conductance < 0).sum())) for branch in branches]
    count = sum(number for _, number in below)
    if not count:
        return
    total = sum(len(branch.conductance) for branch in branches)
    if count > 0.5 * total:
        raise DeviceError(f"{branches[0].where}: {count} of {total} conductances are negative; the sign of current or "
                          f"read voltage is turned, or the values are normalised (--range G_MIN G_MAX)")
    first = next(branch for branch, number in below if number)
    notes.append(f"negative conductance in {count} of {total} readings, the first in {first.where}")


def preview(measured: Measurement) -> list[str]:
    """What was understood, as lines for people: columns, notes, and every branch."""
    lines = list(measured.layout)
    lines += [f"note: {note}" for note in measured.notes]
    lines.append(f"{'device':10} {'cycle':8} {'branch':12} {'points':>6} {'pulses':>12} {'G, µS':>22}  where")
    shown = measured.branches if len(measured.branches) <= 24 else measured.branches[:20]
    for b in shown:
        lines.append(f"{b.device[:10]:10} {b.cycle[:8]:8} {NAMES_OF_KINDS[b.kind]:12} {len(b.pulses):>6} "
                     f"{f'{b.pulses[0]:g} – {b.pulses[-1]:g}':>12} "
                     f"{f'{b.conductance[0] * 1e6:.4g} → {b.conductance[-1] * 1e6:.4g}':>22}  "
                     f"{b.where}")
    if len(shown) < len(measured.branches):
        lines.append(f"… and {len(measured.branches) - len(shown)} more branches")
    for step in measured.steps:
        lines.append(f"{NAMES_OF_KINDS[step.kind]}: {len(step.step)} steps ΔG at {len(set(step.conductance))} "
                     f"conductances, {step.conductance.min() * 1e6:.4g} – {step.conductance.max() * 1e6:.4g} µS")
    points = sum(len(branch.pulses) for branch in measured.branches)
    lines.append(f"{len(measured.branches)} branches, {points} readings, {len(measured.devices)} device"
                 f"{'s' if len(measured.devices) != 1 else ''}")
    return lines
