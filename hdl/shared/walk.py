"""The walk over the tiles, as both forms know it: where an event is at work."""

from amaranth import Signal

from .state import Registers, Sample
from .storage import CommonStorage

__all__ = ["CommonWalk"]


class CommonWalk:
    """Where STEP, DECIDE and DARK are at work, in ascending order of tiles.

    A form gives, of the tile that is acted on: its number ``tile``, the addresses ``level`` of its first word of levels
    and ``line`` of its first line, its first ``row`` of the read-out; and how many post-trace units it has in ``used``
    and which it takes ``next``, which may be assigned.

    Parameters
    ----------
    storage, registers, sample
        What the walk looks at.
    event
        The event under way (:func:`~ohmspike.hdl.shared.ports.event_shape`).
    """

    def __init__(self, storage: CommonStorage, registers: Registers, sample: Sample, event):
        self.storage, self.registers, self.sample, self.event = storage, registers, sample, event
        self.rank = Signal(range(storage.layout.chip.winners))
        self.unit = Signal(storage.layout.unit)  # the post-trace unit looked at

    @property
    def window(self):
        """What an output spike names: the tile that is acted on."""
        return self.tile

    def begin(self, m):
        """Walk from the first tile on."""
        raise NotImplementedError

    def _back(self) -> int:
        """Lines from the last tile of a row of tiles to the first of the next row."""
        chip = self.storage.layout.chip
        return chip.stride * (chip.plane_width - chip.grid_width + 1)
