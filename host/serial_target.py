"""A chip on a board, or behind the bridge, as a target."""

from collections.abc import Callable

from ohmspike.boards import BOARDS
from ohmspike.chip import Chip
from ohmspike.sim.rtl import compile_serial_chip

from .errors import UserError
from .link import CompiledPort, LinkSession
from .serial_port import SerialPort, find_board
from .targets import LinkTarget

__all__ = ["RtlUartTarget", "SerialTarget"]

_BAUD = 3_000_000


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
        Of :class:`~ohmspike.host.serial_port.SerialPort`.

    Raises
    ------
    UserError
        No board or more than one was found, or the baud rate is not a number.
    LinkError
        The port cannot be opened, or the chip behind it is another or silent.
    """

    name = "serial"

    def __init__(self, chip: Chip, *, port: str = "auto", progress: Callable[[str], None] | None = None, **options):
        name, _, baud = port.partition("@")
        if baud and not (baud.isdecimal() and int(baud)):
            raise UserError(f"baud rate must be a positive integer, not {baud!r}",
                            hint=f"serial:{name}@115200, for example")
        rate = _BAUD
        if name in ("", "auto"):
            found = find_board()
            name, rate = found.port, found.baud
            if progress is not None:
                progress(f"{BOARDS[found.board].title} on {name}")
        self.port = SerialPort(name, int(baud or rate), report=progress, **options)
        try:
            super().__init__(chip, LinkSession(self.port, chip))
        except BaseException:
            self.port.close()
            raise

    def close(self):
        self.port.close()


class RtlUartTarget(LinkTarget):
    """The RTL with its UART, compiled: every byte goes over two simulated wires, bit by bit.

    Parameters
    ----------
    lanes : int, optional
        Synapses per clock.
    bit_clocks : int, optional
        Length of a bit, in clocks.
    progress : callable, optional
        Told what the compilation is at, one line at a time.
    """

    name = "rtl-uart"

    def __init__(self, chip: Chip, *, lanes: int | None = None, bit_clocks: int = 8,
                 progress: Callable[[str], None] | None = None):
        self.rtl = compile_serial_chip(chip, lanes=lanes, bit_clocks=bit_clocks, progress=progress)
        super().__init__(chip, LinkSession(CompiledPort(self.rtl), chip))

    @property
    def cycles(self) -> int:
        """Clocks since the target was opened."""
        return self.rtl.cycles

    def close(self):
        self.rtl.close()
