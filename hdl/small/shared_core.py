"""The core of a shared crossbar in the small form."""

from amaranth import Const

from ohmspike.hdl.shared.crossbar import SharedCrossbar
from ohmspike.hdl.shared.windows import WindowWalk

from .core import SmallCore

__all__ = ["SmallSharedCore"]


class SmallSharedCore(SharedCrossbar, SmallCore):
    """As :class:`~ohmspike.hdl.small.core.SmallCore`, with one crossbar that is shown all windows (contract 11).

    Timing, parameters and members are those of :class:`~ohmspike.hdl.small.core.SmallCore`; a SPIKE takes 3 clocks. A
    reset takes as many clocks as the read-out has rows, or the plane of lines.
    """

    walks = WindowWalk

    def _line_paths(self):
        return self._shared_paths(~self.storage.pulses.start_ready)

    def _closing(self, m):
        with m.State("CLOSE"):
            self._leave_tile(m)

    def _leave_tile(self, m):
        self.walk.advance(m)

    def _count_reset_rows(self, m):
        self.storage.count(m, "reset_rows", self.storage.pulses.pulse)

    def _address_random(self):
        layout = self.layout
        return [self.storage.array.address.eq(self.storage.map.random_address(Const(0, layout.stream)))]

    @property
    def _random(self):
        return self.storage.array.word[:32]

    def _write_random(self, state):
        return [self.storage.array.written.eq(state), self.storage.array.write.eq(1)]

    @property
    def _clear_clocks(self):
        return self.layout.chip.classes  # a score a clock
