"""The array of the small form: conductances, thresholds and random states in one single-ported memory."""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from ohmspike.hdl.shared.layout import Layout

__all__ = ["Array", "ArrayMap"]


@dataclass(frozen=True)
class ArrayMap:
    """What lies where in the array: levels, thresholds, random states and the read-out, each in a region of its own.

    Every region but the levels begins at a multiple of its depth, a power of two.

    Parameters
    ----------
    layout : :class:`Layout`
    """

    layout: Layout

    @property
    def word(self):
        """The shape of a word."""
        layout, chip = self.layout, self.layout.chip
        stuck = layout.lanes if chip.has_stuck_cells else 0
        return unsigned(max(32, chip.threshold_bits, layout.level_word.size + stuck))

    @property
    def address(self):
        """The shape of an address."""
        return unsigned(bits_for(self.regions["end"] - 1))

    @property
    def theta_depth(self) -> int:
        """Words of the thresholds, one each, padded to powers of two."""
        return 1 << sum(self._neuron_bits)

    @property
    def depths(self) -> dict[str, int]:
        """Words of every region but the levels, a power of two."""
        layout, chip = self.layout, self.layout.chip
        depths = {"random": 1 << ceil_log2(chip.tiles + (chip.classes > 0)), "theta": self.theta_depth}
        if chip.classes:
            depths["read_out"] = 1 << ceil_log2(chip.read_out_rows) + ceil_log2(layout.read_out_words)
        return depths

    @property
    def regions(self) -> dict[str, int]:
        """First address of each region, and of what lies behind the last."""
        first, end = {"levels": 0}, self.layout.level_depth
        for name, depth in sorted(self.depths.items(), key=lambda item: item[1]):
            first[name] = -(-end // depth) * depth
            end = first[name] + depth
        return first | {"end": end}

    @property
    def _neuron_bits(self):
        """Bits of lane, word and tile in the address of a threshold."""
        return ceil_log2(self.layout.lanes), ceil_log2(self.layout.words), ceil_log2(self.layout.chip.tiles)

    def region_address(self, region, *fields):
        """Address of a cell in a region, from the fields of its index, the lowest first."""
        width = sum(map(len, fields))
        return Cat(*fields, Const(self.regions[region] >> width, max(0, self.address.width - width)))

    def theta_address(self, tile, neuron):
        """Address of the threshold of a neuron."""
        lane_bits, word_bits, tile_bits = self._neuron_bits
        return self.region_address("theta", neuron.lane[:lane_bits], neuron.word[:word_bits], tile[:tile_bits])

    def random_address(self, stream):
        """Address of a random state."""
        chip = self.layout.chip
        return self.region_address("random", stream[:ceil_log2(chip.tiles + (chip.classes > 0))])

    def read_out_address(self, row, word):
        """Address of a word of a row of the read-out."""
        return self.region_address("read_out", word[:ceil_log2(self.layout.read_out_words)],
                                   row[:ceil_log2(self.layout.chip.read_out_rows)])


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
    address : :py:`In(ArrayMap.address)`
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
        self._layout, self._map = layout, ArrayMap(layout)
        stuck = {"stuck": Out(1), "write_stuck": In(1), "written_stuck": In(1)}
        super().__init__({
            "address": In(self._map.address),
            "word": Out(self._map.word),
            "levels": Out(layout.level_word),
            "lane": In(layout.lane),
            "level": Out(layout.level),
            "write_level": In(1),
            "written_level": In(layout.level),
            "write": In(1),
            "written": In(self._map.word),
            **(stuck if layout.chip.has_stuck_cells else {}),
        })

    def elaborate(self, platform):
        m = Module()
        layout = self._layout
        m.submodules.cells = cells = Memory(shape=self._map.word, depth=self._map.regions["end"], init=[])
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
            bits = slice(lane * layout.level.width, (lane + 1) * layout.level.width)
            with m.If(self.write_level):
                m.d.comb += write.data[bits].eq(levels[lane])
                with m.If(self.lane == lane):
                    m.d.comb += write.data[bits].eq(self.written_level)
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
