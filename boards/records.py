"""Figures of builds, kept with the digest of the RTL they are of: ``python -m ohmspike.boards.records``.

``ohmspike build --record docs/builds.json`` adds its figures to that file; this program renews the table of
docs/boards.md from them, and says which were built of other RTL than today's.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ohmspike.chip import Chip
from ohmspike.chip.description import presets
from ohmspike.chip.markdown import markdown_table, renewed
from ohmspike.hdl.flow.digests import digest

from . import BOARDS
from .build import BuildError, BuildReport

__all__ = ["PROGRAM", "RECORDS", "added", "moved", "read", "rewritten", "table", "today"]

PROGRAM = "python -m ohmspike.boards.records"

RECORDS = Path("docs/builds.json")
"""The file of the repository, from its root."""

_KEY = ("board", "chip", "lanes", "clock_hz", "baud")
_KEPT = (*_KEY, "seed", "structure_digest", "rtl", "plan", "resources", "placed", "fmax_mhz", "versions")


def read(path: Path) -> list[dict[str, Any]]:
    """Records of a file, none if it is not there.

    Raises
    ------
    BuildError
        The file holds something else.
    """
    try:
        records = json.loads(path.read_text("utf-8")) if path.exists() else []
        if not isinstance(records, list) or any(not isinstance(entry, dict) or set(_KEPT) - set(entry)
                                                for entry in records):
            raise ValueError("must be a list of records")
    except (OSError, ValueError) as error:
        raise BuildError(f"{path}: not a file of builds: {error}", hint="name another file with --record") from None
    return records


def _build(entry):
    """What tells builds apart; records from before there were runs say nothing of them."""
    return (*(entry[name] for name in _KEY), entry.get("runs", False), entry.get("store", 0),
            entry.get("sdram", False))


def added(records: list[dict[str, Any]], report: BuildReport) -> list[dict[str, Any]]:
    """Records with that of a build, in place of an earlier one that does not differ in what :func:`_build` names."""
    facts = asdict(report)
    new = {name: facts[name] for name in _KEPT} | ({"runs": True} if report.runs else {})
    new |= {"store": report.store, "sdram": report.sdram} if report.store else {}
    others = [entry for entry in records if _build(entry) != _build(new)]
    boards = list(BOARDS)
    return sorted([*others, new], key=lambda entry: (boards.index(entry["board"]), *_build(entry)[1:]))


def today(entry: dict[str, Any]) -> str | None:
    """Digest of the RTL of a record's chip as the code makes it now; None if the chip is no preset."""
    if entry["chip"] not in presets():
        return None
    return digest(Chip.preset(entry["chip"]), small=BOARDS[entry["board"]].level_ports == 1, lanes=entry["lanes"],
                  runs=entry.get("runs", False), store=entry.get("store", 0), outside=entry.get("sdram", False))


def moved(records: list[dict[str, Any]], now: Callable[[dict[str, Any]], str | None] = today) -> list[bool]:
    """Whether the RTL of each record has changed since its build."""
    return [now(entry) not in (None, entry["rtl"]) for entry in records]


def table(records: list[dict[str, Any]], changed: list[bool]) -> str:
    """Markdown table of builds; ``changed`` as :func:`moved` returns it."""
    rows = []
    for entry, other in zip(records, changed, strict=True):
        used = {name: f"{row['used']:,} of {row['available']:,}" for name, row in entry["resources"].items()
                if row["available"]}
        cells = entry["placed"].get("ICESTORM_LC")
        runs = " with runs" if entry.get("runs") else ""
        if entry.get("store"):
            runs = " with a store " + ("in SDRAM" if entry["sdram"] else f"of {entry['store'] / 4:g} KiB")
        rows.append([
            f"`{entry['board']}`", f"`{entry['chip']}`{runs}", entry["lanes"], f"{entry['clock_hz'] / 1e6:.2f} MHz",
            used.get("LUT4", "–"), f"{cells['used']:,} of {cells['available']:,}" if cells else "–",
            used.get("block RAM", "–"), used.get("SPRAM", "–"), f"{entry['fmax_mhz']:.2f} MHz",
            "–" if entry["seed"] is None else str(entry["seed"]), f"`{entry['rtl']}`",
            "earlier RTL: build it again" if other else "today's RTL"])
    heads = ["board", "chip", "lanes", "clock", "LUT4", "logic cells placed", "block RAM", "SPRAM", "Fmax", "seed",
             "digest of the RTL", "built of"]
    return markdown_table(heads, rows)


def rewritten(text: str, records: list[dict[str, Any]], changed: list[bool]) -> str:
    """A document with the table brought up to date, or put at its end."""
    return renewed(text, PROGRAM, table(records, changed))


if __name__ == "__main__":
    document, kept = Path("docs/boards.md"), read(RECORDS)
    document.write_text(rewritten(document.read_text("utf-8"), kept, moved(kept)), "utf-8")
