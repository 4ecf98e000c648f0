"""The link over an SPI: every byte sent brings one back, and the chip speaks when it is clocked."""

import re
from collections.abc import Callable

from ohmspike.chip.instructions import FLAG
from ohmspike.host.support.errors import UserError

from .frames import LONGEST_FRAME, LinkError, frame_ends

__all__ = ["SPI_HZ", "SpiPort", "open_spidev"]

SPI_HZ = 5_000_000
"""Clock of the SPI by default: at most an eighth of that of the chip."""

_FLAG = bytes([FLAG])
_POLL = _FLAG * 32
"""What is sent to hear. FLAG means nothing between frames."""


class SpiPort:
    """A port of :class:`~ohmspike.host.link.LinkSession` over an SPI.

    Parameters
    ----------
    transfer : callable
        Sends bytes and returns as many, those that came at the same time.
    patience : int
        Bytes without an answer after which a wait ends. They take longer than the longest program.
    """

    def __init__(self, transfer: Callable[[bytes], bytes], *, patience: int):
        self._transfer, self._patience = transfer, patience
        self._buffer = bytearray()
        self._inside = False  # a frame began and has not ended

    def write(self, data: bytes) -> None:
        """Send bytes, and keep what comes meanwhile."""
        self._hear(self._transfer(data))

    def read(self) -> bytes:
        """What has come, without the FLAGs that stand for silence."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def wait(self, frames: int) -> None:
        """Clock the chip until that many frames have ended, or for as long as it may be silent."""
        room, silent = (frames + 1) * LONGEST_FRAME, 0
        while frame_ends(self._buffer) < frames and room > 0 and silent < self._patience:
            before = len(self._buffer)
            self._hear(self._transfer(_POLL))
            came = len(self._buffer) - before
            room -= came
            silent = 0 if came else silent + len(_POLL)

    def _hear(self, data):
        """Keep frames with one FLAG before and one behind each."""
        for index, piece in enumerate(data.split(_FLAG)):
            if index and self._inside:
                self._buffer += _FLAG
                self._inside = False
            if piece:
                if not self._inside:
                    self._buffer += _FLAG
                self._buffer += piece
                self._inside = True


def open_spidev(name: str, hz: int) -> tuple[Callable[[bytes], bytes], Callable[[], None]]:
    """Open an SPI of Linux in mode 0: its transfers, and what lets go of it.

    Parameters
    ----------
    name : str
        ``/dev/spidevBUS.DEVICE``.
    hz : int

    Raises
    ------
    UserError
        This is no such name, or the package spidev is missing.
    LinkError
        The device cannot be opened, or refuses the clock; of a transfer: it failed.
    """
    place = re.fullmatch(r"(?:/dev/spidev)?(\d+)\.(\d+)", name)
    if place is None:
        raise UserError(f"SPI must be a device of Linux, /dev/spidevBUS.DEVICE, not {name!r}",
                        hint="--target spi:/dev/spidev0.0")
    try:
        from spidev import SpiDev
    except ImportError:
        raise UserError("an SPI needs the package spidev, which is missing",
                        hint="pip install 'ohmspike[spi]' (Linux)") from None
    device = SpiDev()
    try:
        device.open(int(place[1]), int(place[2]))
        device.mode, device.max_speed_hz = 0, hz
    except (OSError, OverflowError) as error:
        device.close()
        raise LinkError(f"{name}: cannot be opened at {hz} Hz: {_reason(error)}",
                        hint="is the SPI enabled? `ls -l /dev/spidev*` lists those there are") from None

    def transfer(data: bytes) -> bytes:
        try:
            return bytes(device.xfer3(data))
        except OSError as error:
            raise LinkError(f"{name}: a transfer failed: {_reason(error)}",
                            hint="the state of the chip is unknown: load a saved one before going on") from None

    return transfer, device.close


def _reason(error):
    return getattr(error, "strerror", None) or str(error)
