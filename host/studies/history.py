"""Speeds over time: a line of JSON for every benchmark, compared with the last one of such a machine."""

import datetime
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ohmspike.host.runs.folder import tool_versions
from ohmspike.host.support.errors import UserError

__all__ = ["append", "comparison", "entry", "last_alike", "machine", "read"]

SLOWER = 0.9
"""A speed below this share of the last one is pointed out: repeated runs differ by a few per cent."""


def machine() -> dict[str, str | int]:
    """What makes two machines alike: processor, cores and system."""
    return {"processor": _processor(), "cores": os.cpu_count() or 1,
            "system": f"{platform.system()} {platform.machine()}"}


def _processor():
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text("utf-8", "replace").splitlines() if facts.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware")))
    return next(named, platform.processor() or platform.machine())


def entry(figures: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """A line of the history: when, of what state of the code, on what machine, with which options, and how fast."""
    return {"time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "commit": _commit(),
            "machine": machine(), "versions": tool_versions(), "options": options, **figures}


def _commit():
    """The state of the code by git, with ``-dirty`` behind it; None outside of a checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run([git, "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True,
                          cwd=Path(__file__).resolve().parent)
    return done.stdout.strip() or None


def read(path: Path) -> list[dict[str, Any]]:
    """Lines of a history, oldest first.

    Raises
    ------
    UserError
        The file holds something else.
    """
    if not path.exists():
        return []
    entries = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            kept = json.loads(line)
            if not isinstance(kept, dict) or not {"machine", "options", "chips"} <= set(kept):
                raise ValueError("machine, options or chips is missing")
        except ValueError as error:
            raise UserError(f"{path}: line {number} is not a benchmark: {error}", hint="remove the line") from None
        entries.append(kept)
    return entries


def last_alike(lines: list[dict[str, Any]], now: dict[str, Any]) -> dict[str, Any] | None:
    """The last line of a history from such a machine with such options, if there is one."""
    alike = (line for line in reversed(lines)
             if line["machine"] == now["machine"] and line["options"] == now["options"])
    return next(alike, None)


def append(path: Path, now: dict[str, Any]) -> None:
    """Add a line to a history."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(now) + "\n")


def comparison(before: dict[str, Any] | None, now: dict[str, Any]) -> str:
    """How speeds changed, a line for each; what became slower than :data:`SLOWER` is marked."""
    if before is None:
        return "no earlier benchmark of such a machine with these options"
    lines = [f"against {before.get('commit') or 'unknown code'} of {before.get('time', 'unknown time')}, images/s"]
    for chip, bodies in now["chips"].items():
        for body, speeds in bodies.items():
            for what in ("learning", "inference"):
                new, old = speeds.get(what), before["chips"].get(chip, {}).get(body, {}).get(what)
                if not new or not old or body.startswith("limit"):
                    continue
                mark = "  slower" if new < SLOWER * old else ""
                lines.append(f"{chip:10} {body:22} {what:10} {old:>12,.0f} {new:>12,.0f} {new / old - 1:>+7.1%}{mark}")
    return "\n".join(lines)
