"""The lines that have spiked, of a shared crossbar: a bit each, a row of the plane to a word (contract 11.2)."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .layout import Layout
from .logic import lookup

__all__ = ["NotedLines"]


class NotedLines(wiring.Component):
    """Note lines, and show which lines of a window are noted.

    A line is split into row and column like in :class:`~ohmspike.hdl.shared.router.Router`, without a division. Its
    word is read and written back with its bit::

        line -> row of the plane, column -> word and bit -> read -> bit set -> write

    Where the walk seeks a window while another is read, there are two copies, each with a read port.

    Timing
    ------
    Throughput
        A line takes 3 clocks: held on :py:`line` in the first, addressed in the second, noted in the third.
    Latency
        Words, bits and :py:`noted` come one clock after their addresses.
    Reset
        Keeps what is noted.

    Parameters
    ----------
    layout : :class:`Layout`
        Of a shared crossbar.

    Members
    -------
    line : :py:`In(line)`
        In the clock before it is addressed.
    address, note : :py:`In(1)`
        Address that line; in the next clock note it.
    sweep, place : :py:`In`
        While ``sweep``: address a line by its word and bit.
    read_row, read_column, read_bits : :py:`In`, :py:`Out`
        In other clocks: a word, and one clock later the bits of a window that begins in a column.
    noted : :py:`Out(1)`
        The line that was addressed is noted.
    seek_row, seek_column, seek_bits : :py:`In`, :py:`Out`
        As ``read``, for the walk. In the small form it has the port when nothing else does (:py:`seeks`).
    seeks : :py:`In(1)`
    clear, cleared : :py:`In`, :py:`Out`
        While ``clear``: a word a clock is forgotten; the last in the clock of ``cleared``.
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        bits = layout.noted_channels * layout.chip.patch_width
        column = range(layout.chip.plane_width)
        super().__init__({
            "line": In(layout.line), "address": In(1), "note": In(1),
            "sweep": In(1), "place": In(layout.place),
            "read_row": In(layout.noted_address), "read_column": In(column), "read_bits": Out(bits),
            "noted": Out(1),
            "seek_row": In(layout.noted_address), "seek_column": In(column), "seek_bits": Out(bits), "seeks": In(1),
            "clear": In(1), "cleared": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        layout = self._layout
        copies = []
        for name in ("noted", "sought")[:1 if layout.small else 2]:
            m.submodules[name] = memory = Memory(shape=layout.noted_word, depth=layout.noted_depth, init=[])
            copies.append((memory.read_port(), memory.write_port()))
        read, write = copies[0]
        located = self._located(m)
        word, bit = Signal(layout.noted_address), Signal(layout.place["bit"].shape)
        m.d.comb += read.addr.eq(self.read_row)
        if layout.small:
            with m.If(self.seeks):
                m.d.comb += read.addr.eq(self.seek_row)
        else:
            m.d.comb += copies[1][0].addr.eq(self.seek_row)
        with m.If(self.address):
            m.d.comb += read.addr.eq(located.row)
            m.d.sync += [word.eq(located.row), bit.eq(located.bit)]
        with m.Elif(self.sweep):
            m.d.comb += read.addr.eq(self.place.row)
            m.d.sync += bit.eq(self.place.bit)
        m.d.comb += [
            self.noted.eq(read.data.bit_select(bit, 1)),
            self.read_bits.eq(self._window(read.data, self.read_column)),
            self.seek_bits.eq(self._window(copies[-1][0].data, self.seek_column)),
        ]

        swept = Signal(layout.noted_address)
        m.d.comb += self.cleared.eq(swept == layout.noted_depth - 1)
        with m.If(self.clear):
            m.d.sync += swept.eq(Mux(self.cleared, swept, swept + 1))
        with m.Else():
            m.d.sync += swept.eq(0)
        for _, port in copies:
            m.d.comb += [port.addr.eq(Mux(self.clear, swept, word)), port.en.eq(self.note | self.clear),
                         port.data.eq(Mux(self.clear, 0, read.data | (1 << bit)))]
        return m

    def _window(self, word, column):
        """The bits of a window, channel after channel."""
        layout, chip = self._layout, self._layout.chip
        rows = [word[channel * chip.plane_width:][:chip.plane_width] for channel in range(layout.noted_channels)]
        return Cat((row >> column)[:chip.patch_width] for row in rows)

    def _located(self, m):
        """Word and bit of the line of the clock before."""
        layout, chip = self._layout, self._layout.chip
        width, low = chip.plane_width, ceil_log2(chip.plane_width)
        starts = range(0, chip.lines, 1 << low)
        rows = chip.channels * chip.plane_height
        first, x, row = Signal(range(rows)), Signal(range(width + (1 << low) - 1)), Signal(range(rows + 2))
        run = self.line[low:]
        m.d.sync += [first.eq(lookup(m, run, [start // width for start in starts], name="row_of_run")),
                     x.eq(lookup(m, run, [start % width for start in starts], name="x_of_run") + self.line[:low])]
        wraps = (x >= width) + (x >= 2 * width)
        column = Signal(range(width))
        located = Signal(layout.place)
        m.d.comb += [row.eq(first + wraps),
                     column.eq(Mux(x >= 2 * width, x - 2 * width, Mux(x >= width, x - width, x)))]
        if layout.noted_channels == 1:
            m.d.comb += [located.row.eq(row), located.bit.eq(column)]
        else:
            channel_rows = [divmod(index, chip.plane_height) for index in range(rows)]
            m.d.comb += [
                located.row.eq(lookup(m, row, [y for _, y in channel_rows], name="y_of_row")),
                located.bit.eq(lookup(m, row, [channel * width for channel, _ in channel_rows], name="bit_of_row")
                               + column),
            ]
        return located
