"""Where the bytes of a link go: a port, and the compiled RTL as one."""

from typing import Protocol

from ohmspike.chip.instructions import FLAG
from ohmspike.sim.rtl.compiled import CompiledRtl

__all__ = ["CompiledPort", "Port"]


# ports


class Port(Protocol):
    """Where the bytes of a link go."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def read(self) -> bytes:
        """What has come so far; may be empty."""

    def wait(self, frames: int) -> None:
        """Let time pass until that many frames may have come, but not for ever."""


class CompiledPort:
    """The link of compiled RTL.

    Parameters
    ----------
    patience : int
        Clocks after which a wait ends, whatever came.
    """

    def __init__(self, rtl: CompiledRtl, *, patience: int = 20_000_000):
        self._rtl = rtl
        self._patience = patience
        self.write, self.read = rtl.write, rtl.read

    def wait(self, frames: int) -> None:
        """Let clocks pass until that many frames may have come."""
        self._rtl.run_until(FLAG, 2 * frames, self._patience)
