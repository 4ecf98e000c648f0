"""The memories of the fast form, one of each kind, and the two banks of what a sample leaves behind."""

from amaranth import Signal, unsigned

from ohmspike.hdl.shared.layout import SILENT, Layout
from ohmspike.hdl.shared.ports import counter_peaks
from ohmspike.hdl.shared.storage import CommonStorage, MemoryPorts, tile_state_shape, unit_depth, unit_shape

from .counters import CounterBank
from .pulses import Pulses
from .race import Race
from .read_out import ReadOut

__all__ = ["FastStorage", "all_lanes"]


def all_lanes(write, value):
    """Assignments of a value to every lane of a word; which of them are written, their enables say."""
    return [lane.eq(value) for lane in write.data]


class FastStorage(CommonStorage):
    """Memories that read and write in the same clock.

    Line stamps and tile states have two banks: the one not in use is cleared in clocks that leave its write ports free.

    Parameters
    ----------
    layout : :class:`Layout`
    """

    def __init__(self, layout: Layout):
        chip, of = layout.chip, MemoryPorts.of
        bypass = layout.words == 1  # consecutive reads of one tile then meet in its membranes and state
        of_sample = {} if chip.shared else {
            "tile_states": of(tile_state_shape(layout), 2 << layout.tile.width, transparent=bypass),
            "units": of(unit_shape(layout), unit_depth(layout)),
            "lines": of(unsigned(8), 2 << layout.line.width),
        }
        memories = {
            "levels": of(layout.level_word, layout.level_depth, granularity=1),
            "membranes": of(layout.membrane_word, layout.neuron_depth, transparent=bypass),
            "thetas": of(layout.theta_word, layout.neuron_depth, granularity=1),
            **of_sample,
            "randoms": of(unsigned(32), chip.tiles + (chip.classes > 0)),
        }
        if chip.has_stuck_cells:
            memories["stuck"] = of(layout.stuck_word, layout.level_depth)
            if chip.classes:
                memories["read_out_stuck"] = of(layout.read_out_stuck_word, chip.read_out_rows)
        if chip.accumulate_bits:
            memories["accumulated"] = of(layout.accumulated_word, layout.level_depth, granularity=1)
        if chip.read_out_accumulate_bits:
            memories["read_out_accumulated"] = of(layout.read_out_accumulated_word, chip.read_out_rows, granularity=1)
        super().__init__(
            layout, memories, race=Race(layout), pulses=Pulses(layout), counters=CounterBank(counter_peaks(layout)),
            read_out=ReadOut(layout) if chip.classes else None)
        self.levels, self.thetas, self.randoms = memories["levels"], memories["thetas"], memories["randoms"]
        self.stuck, self.read_out_stuck = memories.get("stuck"), memories.get("read_out_stuck")
        self.bank = Signal()  # of line stamps and tile states: the one of this sample
        self.line_noted = Signal()  # their write ports are taken
        self.tile_noted = Signal()
        self.cleared = Signal()  # the bank that END takes next is clear
        self.changes_bank = Signal()

    def add_to(self, m):
        self.add_memories(m)
        self.add_components(m)

    def add_background(self, m):
        """Clear the bank of line stamps and tile states not in use, in clocks that leave its write ports free."""
        layout, chip = self.layout, self.layout.chip
        if chip.shared:
            return
        over = []
        for write, shape, count, silent, noted in (
                (self.lines.write, layout.line, chip.lines, SILENT, self.line_noted),
                (self.tile_states.write, layout.tile, chip.tiles, 0, self.tile_noted)):
            index, done = Signal(shape), Signal()
            with m.If(~done):
                m.d.comb += [write.addr.eq(layout.banked(index, ~self.bank)), write.data.eq(silent), write.en.eq(1)]
                with m.If(~noted):
                    m.d.sync += [index.eq(index + 1), done.eq(index == count - 1)]
            over.append((index, done))
        m.d.comb += self.cleared.eq(over[0][1] & over[1][1])
        with m.If(self.changes_bank):
            m.d.sync += [self.bank.eq(~self.bank), *(signal.eq(0) for pair in over for signal in pair)]

    @property
    def visited_levels(self):
        return self.levels.read.data

    @property
    def pulses_over(self):
        return self.pulses.idle

    def address_visit(self, m, visit, word):
        m.d.comb += self.levels.read.addr.eq(visit.payload.address + word)
        if not self.layout.chip.shared:
            m.d.comb += self.tile_states.read.addr.eq(self.layout.banked(visit.payload.tile, self.bank))

    def note_visit(self, m, tile):
        m.d.comb += [self.tile_noted.eq(1), self.tile_states.write.addr.eq(self.layout.banked(tile, self.bank))]

    def note_tile(self, m, tile, state):
        """Write the state of a tile, but for what the caller changes in it."""
        write = self.tile_states.write
        m.d.comb += [self.tile_noted.eq(1), write.en.eq(1), write.data.eq(state),
                     write.addr.eq(self.layout.banked(tile, self.bank))]

    def stamp_line(self, m, line, step):
        write = self.lines.write
        m.d.comb += [self.line_noted.eq(1),
                     write.addr.eq(self.layout.banked(line[:self.layout.line.width], self.bank)),
                     write.data.eq(step),
                     write.en.eq(1)]
