"""Stored digests of RTL; ``PYTHONPATH=tests python -m support.digests > tests/hdl/digests.txt`` writes them anew."""

import sys
from pathlib import Path

from ohmspike.chip import Chip
from ohmspike.chip.description import presets
from ohmspike.hdl.flow.digests import lines
from ohmspike.hdl.shared.layout import unbuilt

from .stimulus import accumulating_chip, random_chip

__all__ = ["digested_chips", "stored"]

TABLE = Path(__file__).parents[1] / "hdl" / "digests.txt"


def digested_chips() -> dict[str, Chip]:
    """Every preset that there is RTL of, 20 random chips, and three that accumulate."""
    return {name: chip for name in presets() if not unbuilt(chip := Chip.preset(name))} | {
        f"random{seed}": random_chip(seed, ("race", "threshold")[seed % 2]) for seed in range(20)} | {
        f"accumulating{seed}": accumulating_chip(seed) for seed in range(3)}


def stored() -> list[str]:
    """The lines of the stored table."""
    return TABLE.read_text("utf-8").splitlines()


if __name__ == "__main__":
    for line in lines(digested_chips()):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
