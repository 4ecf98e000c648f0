"""Compiled RTL behind a pseudo-terminal: a board made of software, for everything that talks to serial ports."""

import os
import select
import threading
import tty

from ohmspike.sim.rtl.compiled import CompiledRtl

__all__ = ["Bridge"]

_CHUNK = 20_000  # clocks between two looks at the terminal
_READ = 4096


class Bridge:
    """Pass bytes between a pseudo-terminal and a compiled chip.

    The chip is clocked while it has something to do: from a byte that comes in until it has been quiet for
    ``quiet_cycles`` clocks. A chip that computes for longer than that is woken by the host's next request.

    Parameters
    ----------
    rtl : CompiledRtl
    quiet_cycles : int

    Attributes
    ----------
    name : str
        Name of the terminal, to be given to the host as its serial port.
    received, sent : int
        Bytes to the chip and from it.
    """

    def __init__(self, rtl: CompiledRtl, *, quiet_cycles: int = 5_000_000):
        self._rtl, self._quiet_cycles = rtl, quiet_cycles
        self._terminal, self._far_end = os.openpty()  # the far end stays open, so that hosts may come and go
        tty.setraw(self._far_end)
        os.set_blocking(self._terminal, False)
        self._wake_read, self._wake_write = os.pipe()
        self._stopped = threading.Event()
        self.name = os.ttyname(self._far_end)
        self.received = self.sent = 0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def serve(self) -> None:
        """Pass bytes until :meth:`stop`."""
        quiet = self._quiet_cycles
        while not self._stopped.is_set():
            busy = quiet < self._quiet_cycles
            if data := self._take(0.0 if busy else None):
                self._rtl.write(data)
                self.received += len(data)
                quiet = 0
            elif not busy:
                continue
            self._rtl.run(_CHUNK, until_quiet=True)
            out = self._rtl.read()
            quiet = 0 if out or self._rtl.queued else quiet + _CHUNK
            self._give(out)

    def stop(self) -> None:
        """Make :meth:`serve` return; may be called from another thread."""
        self._stopped.set()
        os.write(self._wake_write, b"\0")

    def close(self) -> None:
        """Remove the terminal."""
        for descriptor in (self._terminal, self._far_end, self._wake_read, self._wake_write):
            os.close(descriptor)

    def _take(self, wait):
        """Bytes from the host; waits for some if ``wait`` is None."""
        ready, _, _ = select.select([self._terminal, self._wake_read], [], [], wait)
        return os.read(self._terminal, _READ) if self._terminal in ready else b""

    def _give(self, data):
        """Bytes to the host; as with a wire, what nobody reads is lost when the terminal is full."""
        while data and not self._stopped.is_set():
            _, writable, _ = select.select([], [self._terminal], [], 1.0)
            if not writable:
                return
            try:
                written = os.write(self._terminal, data)
            except BlockingIOError:
                return
            self.sent += written
            data = data[written:]
