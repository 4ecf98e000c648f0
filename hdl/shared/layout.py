"""How a chip is laid out in memories, given the number of synapses processed per clock."""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data
from amaranth.utils import bits_for, ceil_log2

from ohmspike.chip import Chip

__all__ = ["Layout", "SILENT", "lookup", "narrow", "saturate"]

SILENT = 255
"""Stamp of a line that has not spoken in this sample."""


@dataclass(frozen=True)
class Layout:
    """Widths, depths and strides of one chip at ``lanes`` synapses per clock.

    A *word* is the cells of ``lanes`` neighbouring neurons in one row. Levels lie row after row, ``words`` words
    each (row layout: a read streams ``words`` addresses, a column sweep steps by ``words``); membranes and thresholds
    lie at ``{tile, word}``, both fields padded to whole bits.

    ``level_ports`` is 2 where the levels lie in memories that read and write in the same clock (block RAM): the fast
    form. It is 1 where they do one or the other (the SPRAM of an iCE40UP5K): the *small form*. There one memory,
    the array, holds the levels of tiles and read-out, a threshold per neuron and the random states, each in a region of
    its own; races, the read-out and the counters work through neurons, classes and increments one after the other.
    The fast form clears a bank of line stamps and tile states while the sample after it uses the other.

    Raises
    ------
    ValueError
        ``lanes`` is not 1 to the number of neurons, or ``level_ports`` not 1 or 2.
    """

    chip: Chip
    lanes: int
    level_ports: int = 2

    def __post_init__(self):
        if not 1 <= self.lanes <= self.chip.neurons:
            raise ValueError(f"lanes must be 1 to neurons = {self.chip.neurons}, not {self.lanes!r}")
        if self.level_ports not in (1, 2):
            raise ValueError(f"level_ports must be 1 or 2, not {self.level_ports!r}")

    @property
    def holds_scores(self) -> bool:
        """The race keeps the scores of a tile in registers: its words are streamed once, not once a winner."""
        return self.words <= 2

    @property
    def small(self) -> bool:
        """Clocks are traded for gates."""
        return self.level_ports == 1

    @property
    def visit_clocks(self) -> int:
        """Clocks of a visit: its words; in the small form no less than its increments need to be counted."""
        return max(self.words, 6) if self.small else self.words

    @property
    def noisy(self) -> bool:
        """Pulses have write noise."""
        return self.chip.noise_bits > 0

    @property
    def words(self) -> int:
        return -(-self.chip.neurons // self.lanes)

    @property
    def last_lanes(self) -> int:
        """Lanes in use in the last word of a row."""
        return self.chip.neurons - (self.words - 1) * self.lanes

    @property
    def level_depth(self) -> int:
        return self.chip.tiles * self.chip.rows * self.words

    @property
    def neuron_depth(self) -> int:
        return self.chip.tiles << self.word.width if self.words > 1 else self.chip.tiles

    @property
    def level(self):
        return unsigned(bits_for(self.chip.levels - 1))

    @property
    def level_word(self):
        return data.ArrayLayout(self.level, self.lanes)

    @property
    def level_address(self):
        return unsigned(bits_for(self.level_depth - 1))

    @property
    def stuck_word(self):
        """Which cells of a level word are stuck."""
        return data.ArrayLayout(1, self.lanes)

    @property
    def weight(self):
        return unsigned(self.chip.weight_bits)

    @property
    def weight_sum(self):
        """Sum of the weights of one word."""
        return unsigned(bits_for(self.lanes * ((1 << self.chip.weight_bits) - 1)))

    @property
    def membrane_word(self):
        return data.ArrayLayout(unsigned(self.chip.membrane_bits), self.lanes)

    @property
    def theta_word(self):
        return data.ArrayLayout(unsigned(self.chip.threshold_bits), self.lanes)

    @property
    def tile(self):
        return unsigned(bits_for(self.chip.tiles - 1))

    @property
    def word(self):
        return unsigned(bits_for(self.words - 1))

    @property
    def lane(self):
        return unsigned(bits_for(self.lanes - 1))

    @property
    def line(self):
        return unsigned(bits_for(self.chip.lines - 1))

    @property
    def unit(self):
        return unsigned(bits_for(self.chip.learners - 1))

    @property
    def unit_count(self):
        return unsigned(bits_for(self.chip.learners))

    @property
    def trace(self):
        return unsigned(self.chip.trace_bits)

    @property
    def bin(self):
        """Amplitude bin of a pulse; zero bits wide for a single amplitude."""
        return unsigned(self.chip.amplitudes.bit_length() - 1)

    @property
    def access_bits(self) -> int:
        """Width of an access to a cell; a counter is read in two of 32 bits."""
        return 32 if self.small else 64

    @property
    def column(self):
        """Where a column of a tile or of the read-out lies in its row."""
        words = max(self.words, self.read_out_words) if self.small else self.words
        return data.StructLayout({"word": bits_for(words - 1), "lane": self.lane})

    @property
    def neuron(self):
        """Where a neuron of a tile lies."""
        return data.StructLayout({"word": self.word, "lane": self.lane})

    @property
    def table_address(self):
        """Level, bin, and above them whether the table is that of the read-out."""
        return unsigned(self.level.width + self.bin.width + (self.chip.classes > 0))

    # the read-out; of no use without one

    @property
    def label(self):
        return unsigned(bits_for(max(1, self.chip.classes - 1)))

    @property
    def read_out_row(self):
        return unsigned(bits_for(self.chip.read_out_rows - 1))

    @property
    def read_out_word(self):
        """A row of the read-out: the level of every class."""
        return data.ArrayLayout(self.level, max(1, self.chip.classes))

    @property
    def read_out_stuck_word(self):
        return data.ArrayLayout(1, max(1, self.chip.classes))

    @property
    def fire_count(self):
        return unsigned(bits_for(self.chip.tiles * self.chip.winners))

    @property
    def stream(self):
        """Number of a random state: that of a tile, or one more for the read-out."""
        return unsigned(bits_for(self.chip.tiles - (self.chip.classes == 0)))

    @property
    def pulsed_word(self):
        """A word that the pulse generator changes: of a tile or of the read-out, whichever is wider."""
        return data.ArrayLayout(self.level, max(self.lanes, self.chip.classes))

    @property
    def pulsed_lane(self):
        return unsigned(bits_for(max(self.lanes, self.chip.classes) - 1))

    def banked(self, place, bank):
        """Address of a line stamp or a tile state in one of two banks."""
        return Cat(place, bank)

    # the array of the small form: every region but the levels begins at a multiple of its depth, a power of two

    @property
    def array_word(self):
        thresholds = self.chip.threshold_bits
        stuck = self.lanes if self.chip.has_stuck_cells else 0
        return unsigned(max(32, thresholds, self.level_word.size + stuck))

    @property
    def ranks_per_pass(self) -> int:
        """Neurons that one pass of the serial race finds."""
        return min(3, self.chip.winners)

    @property
    def read_out_words(self) -> int:
        """Words of a row of the read-out."""
        return -(-self.chip.classes // self.lanes)

    @property
    def theta_depth(self) -> int:
        return 1 << self.tile_bits + self.word_bits + self.lane_bits

    @property
    def tile_bits(self) -> int:
        return ceil_log2(self.chip.tiles)

    @property
    def word_bits(self) -> int:
        return ceil_log2(self.words)

    @property
    def lane_bits(self) -> int:
        return ceil_log2(self.lanes)

    @property
    def regions(self) -> dict[str, int]:
        """First address of each region, and of what lies behind the last."""
        depths = {"random": 1 << ceil_log2(self.chip.tiles + (self.chip.classes > 0)), "theta": self.theta_depth}
        if self.chip.classes:
            depths["read_out"] = 1 << ceil_log2(self.chip.read_out_rows) + ceil_log2(self.read_out_words)
        found, end = {"levels": 0}, self.level_depth
        for name, depth in sorted(depths.items(), key=lambda item: item[1]):
            found[name] = -(-end // depth) * depth
            end = found[name] + depth
        return found | {"end": end}

    @property
    def array_address(self):
        return unsigned(bits_for(self.regions["end"] - 1))

    def _place(self, region, *fields):
        return Cat(*fields, Const(self.regions[region] >> sum(map(len, fields)),
                                  max(0, self.array_address.width - sum(map(len, fields)))))

    def region_address(self, region, place):
        """Address of a place in a region of the array."""
        return self._place(region, place)

    def theta_address(self, tile, neuron):
        """Address of the threshold of a neuron in the array."""
        return self._place("theta", neuron.lane[:self.lane_bits], neuron.word[:self.word_bits],
                           tile[:self.tile_bits])

    def random_address(self, stream):
        """Address of a random state in the array."""
        return self._place("random", stream[:ceil_log2(self.chip.tiles + (self.chip.classes > 0))])

    def read_out_address(self, row, word):
        """Address of a word of a row of the read-out in the array."""
        return self._place("read_out", word[:ceil_log2(self.read_out_words)],
                           row[:ceil_log2(self.chip.read_out_rows)])

    def neuron_address(self, tile, word):
        """Address of a word of membranes or thresholds."""
        return tile << self.word.width | word if self.words > 1 else tile

    def in_use(self, word):
        """Which lanes of a word hold neurons: a list of one-bit values."""
        padded = self.words - 1
        return [Const(1) if lane < self.last_lanes else word != padded for lane in range(self.lanes)]


def narrow(target: Signal, value):
    """Assign a value known to fit: the one place where bits may be dropped."""
    return target.eq(value[:len(target)])


def saturate(value, width: int):
    """An unsigned value held at the top of ``width`` bits."""
    if len(value) <= width:
        return value
    top = value[width:].any()
    return value[:width] | top.replicate(width)


def lookup(m: Module, index, table, *, name: str) -> Signal:
    """A constant table in gates; an index beyond it gives 0."""
    width = max(1, bits_for(max(table)))
    result = Signal(width, name=name)
    with m.Switch(index):
        for position, value in enumerate(table):
            if value and position < 1 << len(index):
                with m.Case(position):
                    m.d.comb += result.eq(value)
    return result
