"""The core of a shared crossbar in the fast form."""

from ohmspike.hdl.shared.crossbar import SharedCrossbar
from ohmspike.hdl.shared.windows import WindowWalk

from .core import Core

__all__ = ["SharedCore"]


class SharedCore(SharedCrossbar, Core):
    """As :class:`~ohmspike.hdl.fast.core.Core`, with one crossbar that is shown all windows (contract 11).

    The next active window is sought while one is read, races or learns. Timing, parameters and members are those of
    :class:`~ohmspike.hdl.fast.core.Core`; a SPIKE takes 3 clocks. A reset takes as many clocks as the read-out has
    rows, or the plane of lines.
    """

    walks = WindowWalk

    def _line_paths(self, line):
        return self._shared_paths(self.storage.pulses.busy)

    def _spike_paths(self, line):
        return []

    def _background(self, m):
        self.homeostasis.add_to(m)
        m.d.sync += self.beyond.eq(self.events.payload.line >= self.layout.chip.lines)

    def _leave_tile(self, m):
        """On to the next window, if it is found already."""
        self.walk.advance(m)
        with m.If(self.storage.windows.found):
            self._take_window(m)

    def _address_random(self):
        return [self.storage.randoms.read.addr.eq(0)]

    @property
    def _random(self):
        return self.storage.randoms.read.data

    def _write_random(self, state):
        write = self.storage.randoms.write
        return [write.addr.eq(0), write.data.eq(state), write.en.eq(1)]
