"""The array of the small form: conductances, thresholds and random states in one single-ported memory."""

from amaranth import Module
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmspike.hdl.shared.layout import Layout

__all__ = ["Array"]


class Array(wiring.Component):
    """One memory for everything wide: a word is read or written, or one cell of a word is replaced.

    A cell is replaced by writing the word that was read in the clock before, so the address must have been the same
    then. Contents after power-up are undefined (an SPRAM has no initial contents): the host loads them.

    Timing
    ------
    Throughput
        A read or a write per clock.
    Latency
        1 clock from :py:`address` to :py:`word` and, by :py:`lane`, :py:`level`; both stay over a write.
    Reset
        Keeps the contents.

    Members
    -------
    address : :py:`In(array_address)`
    word, levels : :py:`Out`
        What was read: as it is, and as a word of levels.
    lane, level : :py:`In`, :py:`Out`
        The level of one lane of the word.
    write_level, written_level : :py:`In`
        Replace that level.
    write, written : :py:`In`
        Write a word.
    stuck, write_stuck, written_stuck : :py:`Out`, :py:`In`
        Whether that cell is stuck; replace it. Of chips with stuck cells, whose bits lie behind the levels of a word.
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        stuck = {"stuck": Out(1), "write_stuck": In(1), "written_stuck": In(1)}
        super().__init__({
            "address": In(layout.array_address),
            "word": Out(layout.array_word),
            "levels": Out(layout.level_word),
            "lane": In(layout.lane),
            "level": Out(layout.level),
            "write_level": In(1),
            "written_level": In(layout.level),
            "write": In(1),
            "written": In(layout.array_word),
            **(stuck if layout.chip.has_stuck_cells else {}),
        })

    def elaborate(self, platform):
        m = Module()
        layout = self._layout
        m.submodules.cells = cells = Memory(shape=layout.array_word, depth=layout.regions["end"], init=[])
        read, write = cells.read_port(), cells.write_port()
        levels = data.View(layout.level_word, read.data[:layout.level_word.size])
        m.d.comb += [
            read.addr.eq(self.address),
            read.en.eq(~write.en),
            write.addr.eq(self.address),
            write.en.eq(self.write | self.write_level),
            write.data.eq(self.written),
            self.word.eq(read.data),
            self.levels.eq(levels),
            self.level.eq(levels[self.lane]),
        ]
        for lane in range(layout.lanes):
            place = slice(lane * layout.level.width, (lane + 1) * layout.level.width)
            with m.If(self.write_level):
                m.d.comb += write.data[place].eq(levels[lane])
                with m.If(self.lane == lane):
                    m.d.comb += write.data[place].eq(self.written_level)
        if layout.chip.has_stuck_cells:
            self._stuck(m, read, write)
        return m

    def _stuck(self, m, read, write):
        """Replacing a level keeps the bits of stuck cells, replacing one of them keeps the rest."""
        layout = self._layout
        bits = slice(layout.level_word.size, layout.level_word.size + layout.lanes)
        m.d.comb += self.stuck.eq(read.data[bits].bit_select(self.lane, 1))
        with m.If(self.write_level):
            m.d.comb += write.data[bits].eq(read.data[bits])
        with m.If(self.write_stuck):
            m.d.comb += [write.en.eq(1), write.data.eq(read.data)]
            m.d.comb += write.data[bits].bit_select(self.lane, 1).eq(self.written_stuck)
