"""What a search may vary."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ohmspike.chip import Chip
from ohmspike.host.support.errors import UserError

__all__ = ["SPACES", "Space", "ranges_of", "spaces_of"]


@dataclass(frozen=True)
class Space:
    """The range of one hyper-parameter: a field of the chip, or of the phases of its schedule that it matters to."""

    low: float
    high: float
    log: bool = False


SPACES = {
    "tiles": {
        "set_step": Space(0.01, 0.25, log=True),
        "set_bound": Space(0.0, 6.0),
        "reset_step": Space(0.01, 0.25, log=True),
        "reset_bound": Space(0.0, 7.0),
        "theta_step": Space(2.0, 200.0, log=True),
        "decay": Space(0.05, 1.0, log=True),
    },
    "read-out": {
        "read_out_set_step": Space(0.004, 0.25, log=True),
        "read_out_reset_step": Space(0.004, 0.25, log=True),
        "read_out_set_bound": Space(0.0, 3.0),
        "read_out_reset_bound": Space(0.0, 3.0),
        "margin": Space(30, 10_000, log=True),
        "read_out_decay": Space(0.1, 1.0, log=True),
    },
    "threshold": {
        "theta_base": Space(10, 100_000, log=True),
        "theta_decay": Space(0.05, 1.0, log=True),
        "rate_peak": Space(0.1, 1.0),
    },
}
"""What is searched: rates of the tiles, those of the read-out, and what matters to a chip that fires at a threshold."""


def spaces_of(chip: Chip) -> list[str]:
    """The spaces that matter to a chip."""
    return [name for name in SPACES if name != "threshold" or chip.fire_mode == "threshold"]


def ranges_of(chip: Chip, spaces: Sequence[str]) -> dict[str, Space]:
    """The range of every hyper-parameter in some spaces, within what the chip's registers hold.

    Raises
    ------
    UserError
        A space does not matter to the chip.
    """
    for name in spaces:
        if name not in spaces_of(chip):
            raise UserError(f"space {name} must be of a chip that fires at a threshold, not of {chip.name}: it races",
                            hint=f"--space {' --space '.join(spaces_of(chip))}")
    ranges = {name: space for kind in spaces for name, space in SPACES[kind].items()}
    if "theta_base" in ranges:
        space = ranges["theta_base"]
        ranges["theta_base"] = replace(space, high=min(space.high, (1 << chip.threshold_bits) - 1))
    return ranges

