"""The walk of the fast form: the next tile is sought while one is acted on."""

from amaranth import Signal
from amaranth.lib import data

from ohmspike.hdl.shared.ports import EventKind
from ohmspike.hdl.shared.storage import tile_state_shape
from ohmspike.hdl.shared.walk import CommonWalk

from .storage import FastStorage

__all__ = ["FastWalk"]


class FastWalk(CommonWalk):
    """Seek the tiles to act on, in ascending order: the live ones, or for DARK those that learned.

    Timing
    ------
    Throughput
        A tile that is passed over takes a clock.
    Latency
        3 clocks from :meth:`begin` to the first tile found, if it is the first.
    Reset
        The walk is over.

    Parameters
    ----------
    storage, registers, sample, event
        As for :class:`~ohmspike.hdl.shared.walk.CommonWalk`.
    """

    state = "WALK"
    """State of the sequence of events in which it waits for a tile."""

    def __init__(self, storage: FastStorage, registers, sample, event):
        super().__init__(storage, registers, sample, event)
        layout = storage.layout
        position = data.StructLayout({
            "tile": layout.tile, "level": layout.level_address, "line": layout.line, "row": layout.read_out_row})
        self.sought = Signal(position)  # where the walk is, and what it found there
        self.sought_state = Signal(tile_state_shape(layout))
        self.here = Signal(position)  # the tile acted on, and its state
        self.held = Signal(tile_state_shape(layout))
        self.begins = Signal()
        self.found = Signal()
        self.over = Signal()
        self.goes_on = Signal()

    @property
    def tile(self):
        return self.here.tile

    @property
    def level(self):
        return self.here.level

    @property
    def line(self):
        return self.here.line

    @property
    def row(self):
        return self.here.row

    @property
    def used(self):
        return self.held.used

    @property
    def next(self):
        return self.held.next

    def begin(self, m):
        m.d.comb += self.begins.eq(1)

    def take(self, m):
        """Act on the tile that was found, and seek the next."""
        m.d.comb += self.goes_on.eq(1)
        m.d.sync += [self.here.eq(self.sought), self.held.eq(self.sought_state), self.rank.eq(0), self.unit.eq(0)]

    def add_to(self, m):
        """Seek."""
        storage, sought, chip = self.storage, self.sought, self.storage.layout.chip
        state, banked = storage.tile_states.read.data, storage.layout.banked
        column = Signal(range(chip.grid_width))
        wanted = Signal()
        m.d.comb += wanted.eq(~state.closed & state.active & (state.reads >= chip.min_spikes))
        with m.If(self.event.kind == EventKind.DARK):
            m.d.comb += wanted.eq(self.registers.learn & state.closed & (state.used != 0))

        following = Signal(storage.layout.tile)
        m.d.comb += following.eq(sought.tile + 1)
        with m.FSM(name="walk"):
            with m.State("OVER"):
                m.d.comb += self.over.eq(1)
                with m.If(self.begins):
                    m.d.sync += [column.eq(0), sought.eq(0), sought.line.eq(chip.top * chip.plane_width + chip.left)]
                    m.next = "FIRST"
            with m.State("FIRST"):
                m.d.comb += storage.tile_states.read.addr.eq(banked(sought.tile, storage.bank))
                m.next = "TEST"
            with m.State("TEST"):
                m.d.comb += storage.tile_states.read.addr.eq(banked(following, storage.bank))
                m.d.sync += self.sought_state.eq(state)
                with m.If(wanted):
                    m.next = "FOUND"
                with m.Else():
                    self._advance(m, column)
            with m.State("FOUND"):
                m.d.comb += [self.found.eq(1), storage.tile_states.read.addr.eq(banked(following, storage.bank))]
                with m.If(self.goes_on):
                    self._advance(m, column)

    def _advance(self, m, column):
        """On to the next tile, or to the end of the walk."""
        layout, chip, sought = self.storage.layout, self.storage.layout.chip, self.sought
        m.d.sync += [
            column.eq(column + 1),
            sought.tile.eq(sought.tile + 1),
            sought.level.eq(sought.level + chip.rows * layout.words),
            sought.line.eq(sought.line + chip.stride),
        ]
        if chip.classes:
            m.d.sync += sought.row.eq(sought.row + chip.neurons)
        with m.If(column == chip.grid_width - 1):
            m.d.sync += [column.eq(0), sought.line.eq(sought.line + self._back())]
        m.next = "TEST"
        with m.If(sought.tile == chip.tiles - 1):
            m.next = "OVER"
