"""The walk of the small form: every tile in turn."""

from amaranth import Signal

from ohmspike.hdl.shared.walk import CommonWalk

from .storage import SmallStorage

__all__ = ["SmallWalk"]


class SmallWalk(CommonWalk):
    """Where the walk is; the sequence of events looks at the state of the tile and acts on it, or advances.

    Parameters
    ----------
    storage, registers, sample, event
        As for :class:`~ohmspike.hdl.shared.walk.CommonWalk`.
    """

    state = "TILE"
    """State of the sequence of events in which it looks at a tile."""

    def __init__(self, storage: SmallStorage, registers, sample, event):
        super().__init__(storage, registers, sample, event)
        layout = storage.layout
        self.tile = storage.tile
        self.column = Signal(range(layout.chip.grid_width))
        self.level = Signal(layout.level_address)
        self.line = Signal(layout.line)
        self.row = Signal(layout.read_out_row)
        self.used = Signal(layout.unit_count)
        self.next = Signal(layout.unit)

    def begin(self, m):
        chip = self.storage.layout.chip
        m.d.sync += [self.tile.eq(0), self.column.eq(0), self.level.eq(0), self.rank.eq(0), self.unit.eq(0),
                     self.line.eq(chip.top * chip.plane_width + chip.left)]
        if chip.classes:
            m.d.sync += self.row.eq(0)

    def take(self, m):
        """Keep the post-trace units of the tile."""
        state = self.storage.tile_states.read.data
        m.d.sync += [self.used.eq(state.used), self.next.eq(state.next)]

    def advance(self, m):
        """On to the next tile, or to the end of the walk."""
        layout, chip = self.storage.layout, self.storage.layout.chip
        m.d.sync += [
            self.tile.eq(self.tile + 1),
            self.column.eq(self.column + 1),
            self.level.eq(self.level + chip.rows * layout.words),
            self.line.eq(self.line + chip.stride),
            self.rank.eq(0),
            self.unit.eq(0),
        ]
        if chip.classes:
            m.d.sync += self.row.eq(self.row + chip.neurons)
        with m.If(self.column == chip.grid_width - 1):
            m.d.sync += [self.column.eq(0), self.line.eq(self.line + self._back())]
        m.next = "TILE"
        with m.If(self.tile == chip.tiles - 1):
            m.next = "WALKED"
