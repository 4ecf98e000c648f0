"""A chip on a board, or behind the bridge, as a target."""

from collections.abc import Callable

from ohmspike.boards import BOARDS
from ohmspike.chip import Chip
from ohmspike.host.link.serial_port import SerialPort, find_board
from ohmspike.host.link.session import LinkSession
from ohmspike.host.support.errors import UserError

from .linked import LinkTarget

__all__ = ["SerialTarget"]

BAUD = 3_000_000
"""Rate of the serial line by default."""


class SerialTarget(LinkTarget):
    """RTL behind a serial port.

    Parameters
    ----------
    port : str
        Name of the port, with ``@baud`` behind it where it differs from that of the board (3,000,000 if the board is
        not known); empty or ``auto`` for the one known board that is connected.
    progress : callable, optional
        Told what was found, and when the port goes away and comes back.
    options
        Of :class:`~ohmspike.host.link.serial_port.SerialPort`.

    Raises
    ------
    UserError
        No board or more than one was found, or the baud rate is not a number.
    LinkError
        The port cannot be opened, or the chip behind it is another or silent.
    """

    name = "serial"

    def __init__(self, chip: Chip, *, port: str = "auto", progress: Callable[[str], None] | None = None,
                 **options: float):
        name, _, baud = port.partition("@")
        if baud and not (baud.isdecimal() and int(baud)):
            raise UserError(f"baud rate must be a positive integer, not {baud!r}",
                            hint=f"serial:{name}@115200, for example")
        rate = BAUD
        if name in ("", "auto"):
            board = find_board()
            name, rate = board.port, board.baud
            if progress is not None:
                progress(f"{BOARDS[board.board].title} on {name}")
        self.port = SerialPort(name, int(baud or rate), report=progress, **options)
        try:
            super().__init__(chip, LinkSession(self.port, chip))
        except BaseException:
            self.port.close()
            raise

    def close(self) -> None:
        self.port.close()
