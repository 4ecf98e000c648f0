"""A chip behind an SPI of the computer, as a target."""

from collections.abc import Callable

from ohmspike.chip import Chip
from ohmspike.host.link.session import LinkSession
from ohmspike.host.link.spi_port import SPI_HZ, SpiPort, open_spidev
from ohmspike.host.support.errors import UserError

from .linked import LinkTarget

__all__ = ["SpiTarget"]


class SpiTarget(LinkTarget):
    """RTL behind an SPI of Linux, as ``ohmspike rtl --wrapper spi`` makes it.

    Parameters
    ----------
    port : str
        ``/dev/spidevBUS.DEVICE``, with ``@hz`` behind it where the clock of the SPI is not 5 MHz. The chip follows up
        to an eighth of its own clock.
    timeout_s : float
        Silence after which a wait ends. Longer than the longest program takes.

    Raises
    ------
    UserError
        The name or the clock is no such thing, or the package spidev is missing.
    LinkError
        The device cannot be opened, or the chip behind it is another or silent.
    """

    name = "spi"

    def __init__(self, chip: Chip, *, port: str, timeout_s: float = 1.0,
                 progress: Callable[[str], None] | None = None):
        name, _, clock = port.partition("@")
        if clock and not (clock.isdecimal() and int(clock)):
            raise UserError(f"clock of the SPI must be a positive integer, in Hz, not {clock!r}",
                            hint=f"spi:{name}@{SPI_HZ}, for example")
        hz = int(clock or SPI_HZ)
        transfer, self._close = open_spidev(name, hz)
        try:
            super().__init__(chip, LinkSession(SpiPort(transfer, patience=max(1, int(timeout_s * hz / 8))), chip))
        except BaseException:
            self._close()
            raise

    def close(self) -> None:
        """Let go of the SPI."""
        self._close()
