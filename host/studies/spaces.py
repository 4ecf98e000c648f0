"""What a search may vary."""

from dataclasses import dataclass

__all__ = ["SPACES", "Space"]


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
}
"""What is searched: the rates of the tiles, or those of the read-out."""
