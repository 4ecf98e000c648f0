"""Digests of the gateware of chips, to see whether a change changes it: ``python -m ohmspike.hdl.flow.digests``."""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator

from ohmspike.chip import Chip
from ohmspike.chip.description import presets
from ohmspike.hdl.shared.layout import Layout, default_lanes, small_lanes, unbuilt
from ohmspike.hdl.top.chip import ChipTop

from .emit import rtlil_of

__all__ = ["digest", "lines", "nameless"]

_NAME = re.compile(r"[\\$]\S+")


def nameless(text: str) -> str:
    """RTLIL with a number in place of the name of every wire, memory, process and cell, and without names of states.

    Amaranth takes the names of signals from Python's bytecode, which is not the same from version to version; and a
    new name is no other gate. Kinds of cells, modules, values at power-up and the order of everything stay.
    """
    kept, numbers, connected = [], {}, None

    def number(name):
        return numbers.setdefault(name[0], f"${len(numbers)}")

    for line in text.splitlines():
        words = line.split(maxsplit=2)
        keyword = words[0] if words else ""
        if keyword == "module":
            numbers.clear()
        elif keyword == "cell":
            line = f"cell {words[1]} {_NAME.sub(number, words[2])}"
            connected = "port" if words[1].startswith("\\") else "pin"  # a module's ports are named after signals
        elif keyword == "end":
            connected = None
        elif keyword == "connect" and connected:
            line = f"connect {words[1] if connected == 'pin' else ''} {_NAME.sub(number, words[2])}"
        elif keyword == "attribute":
            if words[1].startswith("\\enum"):
                continue
        elif keyword != "parameter":
            line = _NAME.sub(number, line)
        kept.append(line)
    return "\n".join(kept)


def digest(chip: Chip, *, small: bool, lanes: int | None = None, names: bool = False,
           runs: bool = False, store: int = 0, outside: bool = False) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a chip's RTLIL, its link included.

    Parameters
    ----------
    small : :class:`bool`
        The small form.
    names : :class:`bool`
        Of the text to the byte, and not :func:`nameless`.
    runs : :class:`bool`
        With the instruction RUNS.
    store, outside
        As of :class:`~ohmspike.hdl.top.chip.ChipTop`.
    lanes : :class:`int`, optional
        :func:`~ohmspike.hdl.shared.layout.default_lanes` or
        :func:`~ohmspike.hdl.shared.layout.small_lanes` if not given.
    """
    if lanes is None:
        lanes = (small_lanes if small else default_lanes)(chip)
    top = ChipTop(Layout(chip, lanes, 1 if small else 2), runs=runs, store=store, outside=outside)
    text = rtlil_of(top, "chip")
    return hashlib.sha256((text if names else nameless(text)).encode()).hexdigest()[:16]


def lines(chips: dict[str, Chip], *, names: bool = False) -> Iterator[str]:
    """``NAME FORM DIGEST`` of every chip in both forms."""
    for name, chip in chips.items():
        for form in ("fast", "small"):
            yield f"{name} {form} {digest(chip, small=form == 'small', names=names)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help="all of them if none is named")
    parser.add_argument("--names", action="store_true", help="of the text to the byte, names of signals included")
    options = parser.parse_args()
    chips = {name: Chip.preset(name) for name in options.presets or presets()}
    if not options.presets:
        chips = {name: chip for name, chip in chips.items() if not unbuilt(chip)}
    for line in lines(chips, names=options.names):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
