"""What of the code the tests ran: ``python tests/support/coverage.py .coverage.json [--lines]``.

slipcover names a file by the path it was imported by (``src/ohmspike/chip``, a link) and, where it lists what was not
imported, by the folder that path leads to; here both are one file. Hardware (``hdl``) and kernels are not counted:
their code describes what runs, it is not what runs.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from ohmspike.chip.markdown import markdown_table

__all__ = ["by_room", "lines_of"]


def lines_of(files: dict[str, dict[str, list[int]]], base: Path) -> dict[str, tuple[set[int], set[int]]]:
    """Lines of every file below ``base`` that were run, and those that were not, by the file's own path."""
    ran: dict[str, set[int]] = defaultdict(set)
    known: dict[str, set[int]] = defaultdict(set)
    for name, lines in files.items():
        path = str((base / name).resolve().relative_to(base.resolve()))
        ran[path] |= set(lines["executed_lines"])
        known[path] |= {*lines["executed_lines"], *lines["missing_lines"]}
    return {path: (ran[path], known[path] - ran[path]) for path in sorted(known)}


def by_room(lines: dict[str, tuple[set[int], set[int]]]) -> str:
    """A table of lines, and the share of them that was run, for every room and for all."""
    total, ran = Counter[str](), Counter[str]()
    for path, (reached, missed) in lines.items():
        for room in (str(Path(path).parent), "all"):
            total[room] += len(reached) + len(missed)
            ran[room] += len(reached)
    rooms = [*sorted(total.keys() - {"all"}), "all"]
    return markdown_table(["room", "lines", "run"], [(room, total[room], f"{ran[room] / max(1, total[room]):.0%}")
                                                     for room in rooms])


def _spans(lines):
    """``3, 7–9`` of ``{3, 7, 8, 9}``."""
    spans: list[list[int]] = []
    for line in sorted(lines):
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in spans)


def main(report: str, *options: str) -> None:
    """Print the table, after the lines of every file that were not run if they are asked for."""
    try:
        files = json.loads(Path(report).read_text())["files"]
    except FileNotFoundError:
        sys.exit(f"error: {report} is not there: run `make test` or `make test-fast` first")
    lines = lines_of(files, Path.cwd())
    if "--lines" in options:
        print("".join(f"{path}: {_spans(missed)}\n" for path, (_, missed) in lines.items() if missed))
    print(by_room(lines), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
