"""Digests of the gateware of chips, to see whether a change changes it: ``python -m ohmspike.hdl.flow.digests``."""

import argparse
import hashlib
import sys
from collections.abc import Iterator

from amaranth.back import rtlil

from ohmspike.chip import Chip
from ohmspike.chip.description import presets
from ohmspike.hdl.shared.layout import Layout, default_lanes, small_lanes
from ohmspike.hdl.top.chip import ChipTop

from .emit import ports

__all__ = ["digest", "lines"]


def digest(chip: Chip, *, small: bool, lanes: int | None = None) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a chip's RTLIL, its link included.

    Parameters
    ----------
    small : :class:`bool`
        The small form.
    lanes : :class:`int`, optional
        :func:`~ohmspike.hdl.shared.layout.default_lanes` or
        :func:`~ohmspike.hdl.shared.layout.small_lanes` if not given.
    """
    if lanes is None:
        lanes = (small_lanes if small else default_lanes)(chip)
    top = ChipTop(Layout(chip, lanes, 1 if small else 2))
    text = rtlil.convert(top, name="chip", ports=ports(top), emit_src=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def lines(chips: dict[str, Chip]) -> Iterator[str]:
    """``NAME FORM DIGEST`` of every chip in both forms."""
    for name, chip in chips.items():
        for form in ("fast", "small"):
            yield f"{name} {form} {digest(chip, small=form == 'small')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help="all of them if none is named")
    for line in lines({name: Chip.preset(name) for name in parser.parse_args().presets or presets()}):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
