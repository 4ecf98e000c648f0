"""Find what differs from the state the host last knew, with checksums made on the chip, and put it right."""

import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ohmspike.chip.instructions import memory, register_names
from ohmspike.host.targets.base import Target, expected_memories
from ohmspike.sim.state import ChipState

__all__ = ["Damage", "ScrubReport", "scrub"]

_LEAF_BYTES = 32
_SWITCHES = ("learn", "report")


@dataclass(frozen=True)
class Damage:
    """A cell that does not hold what the host last knew of it."""

    memory: str
    row: int
    column: int
    found: int
    expected: int

    def __str__(self):
        return f"{self.memory}[{self.row}, {self.column}] is {self.found}, expected {self.expected}"


@dataclass
class ScrubReport:
    """What was checked, found and put right."""

    cells: dict[str, int] = field(default_factory=dict)
    """Cells checked, by memory."""
    checks: int = 0
    """Checksums compared."""
    damages: list[Damage] = field(default_factory=list)
    restored: bool = False
    remaining: list[Damage] = field(default_factory=list)
    """What is still wrong after restoring, or all if nothing was to be restored."""

    @property
    def sound(self) -> bool:
        """Whether the chip now holds what it should."""
        return not self.remaining

    def as_dict(self) -> dict:
        """For JSON."""
        return {"cells": self.cells, "checks": self.checks, "restored": self.restored, "sound": self.sound,
                "damaged": dict(Counter(damage.memory for damage in self.damages)),
                "damages": [vars(damage) for damage in self.damages],
                "remaining": [vars(damage) for damage in self.remaining]}


def scrub(target: Target, state: ChipState, *, restore: bool = False, counters: bool = False,
          progress: Callable[[int, int], None] | None = None) -> ScrubReport:
    """Compare every memory of a chip with a state, between samples, and put right what differs.

    Of a memory that is sound 4 bytes for every 65,535 cells come over the link. A checksum that is wrong is followed by
    those of the halves, down to a few cells, which are read.

    What can be restored is what is known: everything if the chip was not learning since ``state`` was taken, or if
    ``state`` is that of a model that learned alongside. Otherwise a restore takes the chip back to ``state``.

    The weight table has copies that no instruction can read, one for every lane and class: a restore writes it in any
    case.

    Parameters
    ----------
    restore : bool
        Rewrite damaged cells. A weight table fixed in gates cannot be.
    counters : bool
        Event counters are to be those of ``state`` too. They are restored in the host, which adds them to the chip's.
    """
    state.validate(target.chip)
    wanted = expected_memories(target.chip, state)
    report = ScrubReport({name: cells.size for name, cells in wanted.items()}, restored=restore)
    report.damages = _pass(target, wanted, state, report, counters, progress)
    report.remaining = report.damages
    if restore:
        if report.damages:
            target.end_sample()  # what a sample keeps cannot be checked, but cleared
        _pass(target, wanted, state, report, counters, progress, rewrite=True)
        report.remaining = _pass(target, wanted, state, report, counters, progress) if report.damages else []
    return report


def _pass(target, wanted, state, report, counters, progress, *, rewrite=False):
    """Once through all memories: what differs; rewritten on request."""
    found = []
    for index, (name, cells) in enumerate(wanted.items()):
        if progress is not None:
            progress(index, len(wanted))
        if name == "registers":
            cells = _with_switches(target, cells)
        if rewrite and not report.damages and name != "weight":
            continue
        damages = _damages(target, name, cells, [(0, cells.size)], report)
        fixed = name == "weight" and target.chip.weight_store == "fixed"
        if rewrite and not fixed and (damages or name == "weight"):
            _rewrite(target, name, cells, damages)
        found += damages
    if counters and not (rewrite and not report.damages):
        report.cells["counters"] = len(state.counters)
        now = target.counted()
        found += [Damage("counters", 0, column, int(now[column]), int(state.counters[column]))
                  for column in np.flatnonzero(now != state.counters).tolist()]
        if rewrite:
            target.count_from(state.counters)
    return found


def _with_switches(target, registers):
    """Registers that every batch sets anew count only as far as this session has set them."""
    registers, known = registers.copy(), target.registers_known
    now = target.read("registers") if known is None else known
    for name in _SWITCHES:
        column = register_names(target.chip).index(name)
        registers[0, column] = now.ravel()[column]
    return registers


def _damages(target, name, cells, ranges, report):
    """Cells that differ: checksums of ever smaller ranges, then the cells."""
    entry, flat = memory(name), cells.ravel()
    data = flat.astype(f"<u{entry.cell_bytes}")
    leaf = max(1, _LEAF_BYTES // entry.cell_bytes)
    damages = []
    while ranges:
        sums = target.check(name, ranges)
        report.checks += len(sums)
        wrong = [(first, count) for (first, count), crc in zip(ranges, sums, strict=True)
                 if crc != zlib.crc32(data[first:first + count].tobytes())]
        ranges = []
        for first, count in wrong:
            if count > leaf:
                half = count // 2
                ranges += [(first, half), (first + half, count - half)]
                continue
            now = target.read_cells(name, first, count)
            for index in np.flatnonzero(now != flat[first:first + count]).tolist():
                row, column = divmod(first + index, cells.shape[1])
                damages.append(Damage(name, row, column, int(now[index]), int(flat[first + index])))
    return damages


def _rewrite(target, name, cells, damages):
    """Write damaged cells, neighbours together; the whole of the weight table."""
    flat, columns = cells.ravel(), cells.shape[1]
    places = sorted(damage.row * columns + damage.column for damage in damages)
    if name == "weight":
        places = list(range(flat.size))
    for run in np.split(np.array(places), np.flatnonzero(np.diff(places) != 1) + 1):
        target.write_cells(name, int(run[0]), flat[run[0]:run[-1] + 1])
