"""Targets by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ohmspike.host.support.errors import UserError

if TYPE_CHECKING:
    from ohmspike.chip import Chip

    from .base import Target

__all__ = ["TARGETS", "is_target", "open_target"]

TARGETS = ("model", "rtl", "rtl-small", "rtl-uart", "rtl-spi", "serial:PORT", "spi:DEVICE")
"""What :func:`open_target` opens."""


def is_target(name: str) -> bool:
    """Whether :func:`open_target` knows the name."""
    kind, _, port = name.partition(":")
    return name in TARGETS[:-2] or kind == "serial" or (kind == "spi" and bool(port))


def open_target(name: str, chip: Chip, *, progress: Callable[[str], None] | None = None, keep: bool = False,
                **options: Any) -> Target:
    """Open a target by name, in the state before the first sample.

    A sample that another host left half done is ended, without learning and without being counted.

    Parameters
    ----------
    name : str
        ``model``; ``rtl``, the compiled RTL; ``rtl-small``, that of boards with an SPRAM; ``rtl-uart``, the RTL behind
        the UART of a board; ``rtl-spi``, the RTL behind an SPI; ``serial:PORT``, a board, or ``ohmspike bridge``
        (``serial`` alone for the one known board that is connected); ``spi:DEVICE``, a chip at an SPI of Linux,
        ``/dev/spidev0.0`` for example.
    progress : callable, optional
        Told what is going on, one line at a time.
    keep : bool
        Leave what the target keeps across samples as it is.
    options
        Go to the class of the target.

    Raises
    ------
    UserError
        There is no such target.
    """
    if not is_target(name):
        raise UserError(f"target must be one of {', '.join(TARGETS)}, not {name!r}")
    kind, _, port = name.partition(":")
    if chip.layers and kind != "model":
        raise UserError(f"target must be model for a chip with a second layer, not {name}",
                        hint="there are no gates of a second layer: it gained nothing (docs/shared.md)")
    from ohmspike.chip.state import ChipState

    target: Target
    # only what is opened is imported: each target needs other things
    if kind == "serial":
        from .serial import SerialTarget

        target = SerialTarget(chip, port=port, progress=progress, **options)
    elif kind == "model":
        from .model import ModelTarget

        target = ModelTarget(chip, **options)
    elif kind == "spi":
        from .spi import SpiTarget

        target = SpiTarget(chip, port=port, progress=progress, **options)
    elif kind == "rtl-spi":
        from .rtl import RtlSpiTarget

        target = RtlSpiTarget(chip, progress=progress, **options)
    elif kind == "rtl-uart":
        from .rtl import RtlUartTarget

        target = RtlUartTarget(chip, progress=progress, **options)
    else:
        from .rtl import RtlTarget

        target = RtlTarget(chip, small=kind == "rtl-small", progress=progress, **options)
    try:
        target.settle()
        if not keep:
            target.load(ChipState.initial(chip))
    except BaseException:
        target.close()
        raise
    return target
