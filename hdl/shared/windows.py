"""The walk of a shared crossbar over its windows: which of them are active, and their noted rows (contract 11.4)."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .accumulator import total
from .layout import Layout
from .logic import lookup

__all__ = ["WindowWalk", "Windows"]


class Windows(wiring.Component):
    """Seek windows that see enough noted lines, in ascending order, and visit the noted rows of the one acted on.

    A row of lines is looked at per clock, of all channels that share a word at once. A seeker counts the noted lines of
    a window; a reader goes through those of the window acted on, bit after bit::

        seek:  word -> lines of the window -> how many -> enough? -> found
        read:  word -> lines of the window -> the lowest -> its row -> visits

    In the fast form the next window is sought while one is acted on. In the small form both share the memory.

    Timing
    ------
    Throughput
        A visit a clock, as long as every row of lines has one; a row of lines without noted ones takes a clock.
        ``noted_rows + 3`` clocks to pass over a window.
    Latency
        5 clocks from :py:`take` to the first visit, if there is one in the first row of lines.
    Reset
        The walk is over.

    Parameters
    ----------
    layout : :class:`Layout`
        Of a shared crossbar.

    Members
    -------
    begin : :py:`In(1)`
        Walk from the first window on.
    found, over : :py:`Out(1)`
        An active window is found; there is none any more.
    take, leave : :py:`In(1)`
        While ``found``: act on it. It is done with.
    window, row, place : :py:`Out`
        Of the window acted on: its number, its first row of the read-out, and where its first line lies.
    visits : :py:`Out(stream.Signature(StructLayout))`
        ``address`` of the first word of every noted row among the levels; ``first``: of the window.
    reading : :py:`Out(1)`
        Visits are still to come.
    seeks, seek_*, read_* : :py:`In`, :py:`Out`
        Words of :class:`~ohmspike.hdl.shared.noted.NotedLines`; ``seeks``: one is asked for to seek.
    """

    def __init__(self, layout: Layout):
        self._layout, chip = layout, layout.chip
        bits = layout.noted_channels * chip.patch_width
        ports = {}
        for name in ("seek", "read"):
            ports |= {f"{name}_row": Out(layout.noted_address), f"{name}_column": Out(range(chip.plane_width)),
                      f"{name}_bits": In(bits)}
        super().__init__({
            "begin": In(1), "found": Out(1), "over": Out(1), "take": In(1), "leave": In(1),
            "window": Out(layout.window), "row": Out(layout.read_out_row), "place": Out(layout.place),
            "visits": Out(stream.Signature(data.StructLayout({"address": layout.level_address, "first": 1}))),
            "reading": Out(1), "seeks": Out(1),
            **ports,
        })
        self._position = data.StructLayout({
            "window": layout.window, "y": range(chip.plane_height), "x": range(chip.plane_width),
            "column": range(chip.grid_width), "line": range(chip.grid_height)})

    def elaborate(self, platform):
        m = Module()
        layout, chip = self._layout, self._layout.chip
        sought, here = Signal(self._position), Signal(self._position)
        if layout.small:
            m.d.comb += here.eq(sought)
        else:
            with m.If(self.take):
                m.d.sync += here.eq(sought)
        self._seek(m, sought, self.leave if layout.small else self.take)
        self._read(m, sought, here)
        m.d.comb += [self.window.eq(here.window), self.place.row.eq(here.y), self.place.bit.eq(here.x)]
        if chip.classes:
            down, right = ([position * chip.pool // count * chip.neurons for position in range(count)]
                           for count in (chip.grid_height, chip.grid_width))
            first = Signal(layout.read_out_row)  # known long before a race is over
            m.d.sync += first.eq(lookup(m, here.line, [start * chip.pool for start in down], name="row_of_line")
                                 + lookup(m, here.column, right, name="row_of_column"))
            m.d.comb += self.row.eq(first)
        return m

    def _next_row(self, m, row, left):
        """On to the word of the next row of lines of a window; ``left`` in this group of channels."""
        layout, chip = self._layout, self._layout.chip
        m.d.sync += [row.eq(row + 1), left.eq(left - 1)]
        if layout.noted_rows > chip.patch_height:
            with m.If(left == 0):
                m.d.sync += [row.eq(row + chip.plane_height - chip.patch_height + 1), left.eq(chip.patch_height - 1)]

    def _seek(self, m, sought, goes_on):
        layout, chip = self._layout, self._layout.chip
        row, left = Signal(layout.noted_address), Signal(range(chip.patch_height))
        words = Signal(range(layout.noted_rows))  # that are still to be addressed, after this one
        one, two, bits = Signal(), Signal(), Signal(len(self.seek_bits))
        noted = Signal(range(chip.rows + 1))
        m.d.comb += [self.seek_row.eq(row), self.seek_column.eq(sought.x)]
        m.d.sync += [one.eq(0), two.eq(one), bits.eq(self.seek_bits)]
        with m.If(two):
            m.d.sync += noted.eq(noted + total(list(bits)))

        def look_at(y):
            m.d.sync += [row.eq(y), left.eq(chip.patch_height - 1), words.eq(layout.noted_rows - 1), noted.eq(0)]
            m.next = "COUNT"

        def advance():
            last_column, last_line = sought.column == chip.grid_width - 1, sought.line == chip.grid_height - 1
            m.d.sync += [sought.window.eq(sought.window + 1), sought.column.eq(sought.column + 1),
                         sought.x.eq(sought.x + chip.stride)]
            look_at(sought.y)
            with m.If(last_column):
                m.d.sync += [sought.column.eq(0), sought.x.eq(chip.left), sought.line.eq(sought.line + 1),
                             sought.y.eq(sought.y + chip.stride)]
                look_at(sought.y + chip.stride)
                with m.If(last_line):
                    m.next = "OVER"

        with m.FSM(name="seek"):
            with m.State("OVER"):
                m.d.comb += self.over.eq(1)
                with m.If(self.begin):
                    m.d.sync += [sought.eq(0), sought.y.eq(chip.top), sought.x.eq(chip.left)]
                    look_at(chip.top)
            with m.State("COUNT"):
                m.d.comb += self.seeks.eq(1)
                m.d.sync += [one.eq(1), words.eq(words - 1)]
                self._next_row(m, row, left)
                with m.If(words == 0):
                    m.next = "TEST"
            with m.State("TEST"):
                with m.If(~one & ~two):
                    with m.If(noted >= chip.min_spikes):
                        m.next = "FOUND"
                    with m.Else():
                        advance()
            with m.State("FOUND"):
                m.d.comb += self.found.eq(1)
                with m.If(goes_on):
                    advance()

    def _read(self, m, sought, here):
        """The noted rows of the window acted on, as visits."""
        layout, chip = self._layout, self._layout.chip
        row, left = Signal(layout.noted_address), Signal(range(chip.patch_height))
        words = Signal(range(layout.noted_rows + 1))  # that are not loaded yet
        base = Signal(layout.level_address)  # of the next word's first row
        there = Signal()  # the next word is there
        bits, bits_base = Signal(len(self.read_bits)), Signal(layout.level_address)
        alone, alone_base, valid = Signal(len(bits)), Signal(layout.level_address), Signal()
        visit, address, first = Signal(), Signal(layout.level_address), Signal()
        free_2 = ~visit | self.visits.ready
        free_1 = ~valid | free_2
        rest = Signal(len(bits))
        m.d.comb += [
            rest.eq(bits & (bits - 1)),
            self.visits.valid.eq(visit), self.visits.payload.address.eq(address), self.visits.payload.first.eq(first),
            self.reading.eq((words != 0) | (bits != 0) | valid | visit),
            self.read_column.eq(here.x), self.read_row.eq(row),
        ]
        load = Signal()
        m.d.comb += load.eq(there & (words != 0) & ((bits == 0) | (free_1 & (rest == 0))))
        m.d.sync += there.eq(words != 0)
        with m.If(free_2):
            m.d.sync += [visit.eq(valid), address.eq(alone_base + self._offset(alone))]
        with m.If(visit & self.visits.ready):
            m.d.sync += first.eq(0)
        with m.If(free_1):
            m.d.sync += [valid.eq(bits != 0), alone.eq(bits & ~rest), alone_base.eq(bits_base), bits.eq(rest)]
        with m.If(load):
            m.d.sync += [bits.eq(self.read_bits), bits_base.eq(base), words.eq(words - 1),
                         base.eq(base + chip.patch_width * layout.words), there.eq(words != 1)]
            self._next_row(m, row, left)
            self._look_ahead(m, row, left)
        with m.If(self.take):
            m.d.sync += [row.eq(sought.y), left.eq(chip.patch_height - 1), words.eq(layout.noted_rows), base.eq(0),
                         first.eq(1), there.eq(0)]

    def _look_ahead(self, m, row, left):
        """Address the word after the one that is loaded in this clock."""
        layout, chip = self._layout, self._layout.chip
        following = Signal(layout.noted_address)
        m.d.comb += following.eq(row + 1)
        if layout.noted_rows > chip.patch_height:
            with m.If(left == 0):
                m.d.comb += following.eq(row + chip.plane_height - chip.patch_height + 1)
        m.d.comb += self.read_row.eq(following)

    def _offset(self, alone):
        """From the first row of a word to that of a bit which is set alone: words of levels."""
        layout, chip = self._layout, self._layout.chip
        offsets = [(channel * chip.patch_height * chip.patch_width + x) * layout.words
                   for channel in range(layout.noted_channels) for x in range(chip.patch_width)]
        found = 0
        for bit, offset in enumerate(offsets):
            found = found | Mux(alone[bit], offset, 0)
        return found


class WindowWalk:
    """Where DECIDE is at work in a shared crossbar, for both forms of the core: a window in place of a tile.

    Parameters
    ----------
    storage, registers, sample, event
        As for :class:`~ohmspike.hdl.shared.walk.CommonWalk`.
    """

    state = "WALK"
    """State of the sequence of events in which it waits for a window."""

    def __init__(self, storage, registers, sample, event):
        layout, windows = storage.layout, storage.windows
        self._windows = windows
        self.rank = Signal(range(layout.chip.winners))
        self.tile, self.level = (Signal(shape, name=name) for shape, name in (
            (layout.tile, "tile"), (layout.level_address, "level")))  # 0: there is one crossbar
        self.window, self.row, self.line = windows.window, windows.row, windows.place

    def begin(self, m):
        """Walk from the first window on."""
        m.d.comb += self._windows.begin.eq(1)

    def advance(self, m):
        """On to the next window, or to the end of the walk."""
        m.d.comb += self._windows.leave.eq(1)
        m.next = self.state

    def take(self, m):
        """Act on the window that was found."""
        m.d.comb += self._windows.take.eq(1)
        m.d.sync += self.rank.eq(0)
