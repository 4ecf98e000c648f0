"""How a chip is laid out in memories, given the number of synapses processed per clock."""

from dataclasses import dataclass

from amaranth import Cat, Const, signed, unsigned
from amaranth.lib import data
from amaranth.utils import bits_for

from ohmspike.chip import Chip, DescriptionError
from ohmspike.chip.limits import SILENT

__all__ = ["Layout", "SILENT", "default_lanes", "small_lanes", "unbuilt"]


def unbuilt(chip: Chip) -> str:
    """Why there is no RTL of a chip; empty if there is."""
    if chip.channels != 1 and not chip.shared:
        return f"channels must be 1 in RTL of a chip that is not shared, not {chip.channels}"
    if chip.layers:
        return "layers must be empty, for a second layer gained nothing (docs/shared.md)"
    return ""


@dataclass(frozen=True)
class Layout:
    """Widths, depths and strides of one chip at ``lanes`` synapses per clock.

    A *word* is the cells of ``lanes`` neighbouring neurons in one row. Levels lie row after row, ``words`` words
    each (row layout: a read streams ``words`` addresses, a column sweep steps by ``words``); membranes and thresholds
    lie at ``{tile, word}``, both fields padded to whole bits.

    ``level_ports`` is 2 where the levels lie in memories that read and write in the same clock (block RAM): the fast
    form. It is 1 where they do one or the other (the SPRAM of an iCE40UP5K): the *small form*. There one memory holds
    the levels of tiles and read-out, a threshold per neuron and the random states
    (:class:`~ohmspike.hdl.small.array.ArrayMap`); races, the read-out and the counters work through neurons, classes
    and increments one after the other.
    The fast form clears a bank of line stamps and tile states while the sample after it uses the other.

    Raises
    ------
    ValueError
        ``lanes`` is not 1 to the number of neurons, or ``level_ports`` not 1 or 2.
    DescriptionError
        There is no RTL of such a chip (:func:`unbuilt`).
    """

    chip: Chip
    lanes: int
    level_ports: int = 2

    def __post_init__(self):
        if lacks := unbuilt(self.chip):
            raise DescriptionError(lacks, hint="the target model takes it: --target model")
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
    def accumulated_word(self):
        """The counts beside a level word, of a chip that accumulates in the tiles (contract 5.7)."""
        return data.ArrayLayout(unsigned(self.chip.accumulate_bits), self.lanes)

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
    def window(self):
        """The number of a window: that of its tile, but in a shared crossbar."""
        return unsigned(bits_for(self.chip.windows - 1))

    @property
    def word(self):
        return unsigned(bits_for(self.words - 1))

    @property
    def lane(self):
        return unsigned(bits_for(self.lanes - 1))

    @property
    def line(self):
        return unsigned(bits_for(self.chip.lines - 1))

    # the noted lines of a shared crossbar

    @property
    def noted_channels(self) -> int:
        """Channels whose rows of the plane share a word of noted lines; one in the small form, which spares memory."""
        return 1 if self.small else self.chip.channels

    @property
    def noted_rows(self) -> int:
        """Words of a window: its rows of lines, of all channels that share a word at once."""
        return self.chip.patch_height * self.chip.channels // self.noted_channels

    @property
    def noted_depth(self) -> int:
        return self.chip.plane_height * self.chip.channels // self.noted_channels

    @property
    def noted_word(self):
        """A row of lines, channel after channel, a bit each."""
        return unsigned(self.noted_channels * self.chip.plane_width)

    @property
    def noted_address(self):
        return unsigned(bits_for(self.noted_depth - 1))

    @property
    def place(self):
        """Where a line lies: its number; in a shared crossbar word and bit among the noted lines."""
        if not self.chip.shared:
            return self.line
        return data.StructLayout({"row": self.noted_address, "bit": bits_for(self.noted_word.width - 1)})

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
    def read_out_accumulated_word(self):
        """The counts beside a word of the read-out, of a chip that accumulates there; as wide as that word."""
        return data.ArrayLayout(unsigned(self.chip.read_out_accumulate_bits),
                                self.lanes if self.small else max(1, self.chip.classes))

    @property
    def count(self):
        """A count that the pulse generator changes: of the tiles or of the read-out, whichever is wider."""
        return signed(max(self.chip.accumulate_bits, self.chip.read_out_accumulate_bits))

    @property
    def fire_count(self):
        return unsigned(bits_for(self.chip.listed))

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

    def banked(self, index, bank):
        """Address of a line stamp or a tile state in one of two banks."""
        return Cat(index, bank)

    @property
    def read_out_words(self) -> int:
        """Words of a row of the read-out where it lies in words as wide as those of the tiles: in the small form."""
        return -(-self.chip.classes // self.lanes)

    def neuron_address(self, tile, word):
        """Address of a word of membranes or thresholds."""
        return tile << self.word.width | word if self.words > 1 else tile

    def in_use(self, word):
        """Which lanes of a word hold neurons: a list of one-bit values."""
        padded = self.words - 1
        return [Const(1) if lane < self.last_lanes else word != padded for lane in range(self.lanes)]


def default_lanes(chip: Chip) -> int:
    """Synapses per clock of the fast form where nothing else is asked for: the largest divisor of the neurons up to 40.

    Simulation is bound by synapses more than by clocks: 16 lanes or 32 differ little, uneven words cost spare lanes.
    """
    divisor = max(lanes for lanes in range(1, min(40, chip.neurons) + 1) if chip.neurons % lanes == 0)
    return divisor if divisor >= 16 or divisor == chip.neurons else min(32, chip.neurons)


def small_lanes(chip: Chip) -> int:
    """Synapses per clock of the small form: as many levels as a word of 32 bits holds."""
    return min(32 // (chip.levels - 1).bit_length(), chip.neurons)
