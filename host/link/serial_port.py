"""The link of a board: a serial port, found, opened, and waited for when it goes away."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import serial
from serial.tools import list_ports

from ohmspike.boards import BOARDS
from ohmspike.host.support.errors import UserError

from .frames import LONGEST_FRAME, LinkError, frame_ends

__all__ = ["FoundBoard", "SerialPort", "find_board", "find_boards"]

_LOOK_S = 0.2  # between two looks for a port that went away


@dataclass(frozen=True)
class FoundBoard:
    """A serial port that may be a board of ours."""

    port: str
    board: str
    """Key of :data:`ohmspike.boards.BOARDS`."""
    baud: int
    description: str


def _interface(port):
    """Which of the ports of a USB device with several: the last number of its location."""
    last = re.search(r"[.:](\d+)$", port.location or "")
    return int(last[1]) if last else 0


def find_boards() -> list[FoundBoard]:
    """Serial ports whose USB identity is that of a known board, in the order of their names.

    Boards that share a converter and its description are all listed; the link tells which chip is there.
    """
    boards = []
    for port in sorted(list_ports.comports(), key=lambda port: port.device):
        for board in BOARDS.values():
            usb = board.usb
            text = f"{port.product or ''} {port.description or ''}"
            if (usb and (port.vid, port.pid) == (usb.vendor, usb.product) and re.search(usb.text, text)
                    and _interface(port) == usb.interface):
                boards.append(FoundBoard(port.device, board.name, board.baud, port.description or ""))
    return boards


def find_board() -> FoundBoard:
    """The one board that is connected.

    Raises
    ------
    UserError
        There is none, or more than one port.
    """
    boards = find_boards()
    ports = {board.port for board in boards}
    if len(ports) == 1:
        return boards[0]
    if not ports:
        have = ", ".join(sorted(port.device for port in list_ports.comports())) or "none"
        raise UserError(f"no known board is connected; serial ports: {have}",
                        hint="name the port: --target serial:/dev/ttyUSB0")
    raise UserError(f"more than one board is connected: {', '.join(sorted(ports))}",
                    hint="name one: --target serial:PORT")


class SerialPort:
    """A port of :class:`~ohmspike.host.link.LinkSession` over a serial line.

    A port that goes away (cable pulled, board reset by its USB side) is waited for. What was under way is lost; the
    session asks again. If the chip kept its session, the run goes on, every program executed exactly once; if it was
    reset, the session notices that its numbers are not expected any more, and says that the state is lost.

    Parameters
    ----------
    name : str
        Of the port, as the system calls it.
    baud : int
    timeout_s : float
        Silence after which a wait ends. Longer than the longest program takes.
    return_s : float
        How long a port that went away is waited for.
    report : callable, optional
        Told when the port goes and comes back.

    Raises
    ------
    LinkError
        The port cannot be opened, or went away and did not come back.
    """

    def __init__(self, name: str, baud: int, *, timeout_s: float = 1.0, return_s: float = 10.0,
                 report: Callable[[str], None] | None = None):
        self.name, self.baud = name, baud
        self._timeout_s, self._return_s = timeout_s, return_s
        self._report = report or (lambda line: None)
        self._buffer = bytearray()
        self._identity = self._usb_identity()
        try:
            self._line = self._opened(name)
        except (OSError, ValueError) as error:
            raise LinkError(f"{name}: cannot be opened: {_reason(error)}", hint=_hint(error)) from None

    def _opened(self, name):
        line = serial.Serial(name, self.baud, timeout=self._timeout_s, write_timeout=self._return_s, exclusive=True)
        line.reset_input_buffer()
        return line

    def _usb_identity(self):
        """What stays the same when the same device comes back under another name."""
        for port in list_ports.comports():
            if port.device == self.name and port.vid is not None:
                return port.vid, port.pid, port.serial_number, _interface(port)
        return None

    def _name_now(self):
        for port in list_ports.comports():
            if self._identity == (port.vid, port.pid, port.serial_number, _interface(port)):
                return port.device
        return self.name

    def _gone(self, error):
        """Wait for the port to come back."""
        self._report(f"{self.name} went away ({_reason(error)}); waiting {self._return_s:.0f} s for it")
        self._line.close()
        self._buffer.clear()
        end = time.monotonic() + self._return_s
        while time.monotonic() < end:
            try:
                name = self._name_now()
                self._line = self._opened(name)
            except (OSError, ValueError):
                time.sleep(_LOOK_S)
            else:
                self._report(f"{name} is back")
                return
        raise LinkError(f"{self.name} went away and did not come back within {self._return_s:.0f} s",
                        hint="connect it again and go on from a saved state: what the chip had learned since is lost "
                             "if it lost power")

    def write(self, data: bytes) -> None:
        """Send bytes; if the port goes away they are lost, and asked for again by the session."""
        try:
            self._line.write(data)
        except OSError as error:  # SerialException is one
            self._gone(error)

    def read(self) -> bytes:
        """What has come, up to the end of a frame unless the line fell silent in the middle of one."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def wait(self, frames: int) -> None:
        """Wait for the ends of that many frames, or for silence.

        A stream of something else ends the wait when more bytes came than so many frames have, or when they would have
        come by then.
        """
        room = (frames + 1) * LONGEST_FRAME
        end = time.monotonic() + frames * (self._timeout_s + LONGEST_FRAME * 10 / self.baud)
        try:
            while frame_ends(self._buffer) < frames and room > 0 and time.monotonic() < end:
                data = self._line.read(max(1, min(room, self._line.in_waiting)))
                if not data:
                    return
                self._buffer += data
                room -= len(data)
        except OSError as error:
            self._gone(error)

    def close(self) -> None:
        """Let go of the port."""
        self._line.close()


def _reason(error):
    """What the system said, without the ceremony."""
    text = getattr(error, "strerror", None) or str(error)
    match = re.search(r"\[Errno \d+\] ([^:']+)", text)
    return (match[1] if match else text.splitlines()[0] if text else type(error).__name__).strip()


def _hint(error):
    if getattr(error, "errno", None) == 13:
        return "you may have to join the group that owns it: sudo usermod -aG dialout $USER, then log in again"
    if getattr(error, "errno", None) in (11, 16):
        return "another program has it open"
    return "is it plugged in? `ohmspike info` and your system list the ports there are"
