"""The memories of the small form: one array for everything wide, and what lives within a sample beside it."""

from amaranth import Mux, Signal, unsigned

from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.ports import counter_peaks
from ohmspike.hdl.shared.storage import CommonStorage, MemoryPorts, tile_state_shape, unit_depth, unit_shape

from .array import Array, ArrayMap
from .counters import SerialCounterBank
from .pulses import SerialPulses
from .race import SerialRace
from .read_out import SerialReadOut

__all__ = ["SmallStorage"]


def _peaks(layout):
    """The largest increments: the read-out counts all pulses of a fire at once, a sweep all counts that it changed."""
    peaks, chip = counter_peaks(layout), layout.chip
    if chip.classes:
        peaks["read_out_sum"] = chip.winners * chip.classes * ((1 << chip.weight_bits) - 1)
    if chip.accumulates:
        peaks |= {"accumulations": chip.rows, "read_out_accumulations": chip.listed}
    return peaks


class SmallStorage(CommonStorage):
    """The array and four small memories; no two parts want any of them in the same clock.

    Parameters
    ----------
    layout : :class:`Layout`
        With ``level_ports`` 1.
    """

    def __init__(self, layout: Layout):
        chip, of = layout.chip, MemoryPorts.of
        memories = {"membranes": of(layout.membrane_word, layout.neuron_depth)}
        if not chip.shared:
            memories |= {
                "tile_states": of(tile_state_shape(layout), chip.tiles),
                "units": of(unit_shape(layout), unit_depth(layout)),
                "lines": of(unsigned(8), chip.lines),
            }
        self.array, self.map = Array(layout), ArrayMap(layout)
        if chip.accumulate_bits:
            memories["accumulated"] = of(layout.accumulated_word, layout.level_depth, granularity=1)
        if chip.read_out_accumulate_bits:
            memories["read_out_accumulated"] = of(layout.read_out_accumulated_word, self.map.depths["read_out"],
                                                  granularity=1)
        super().__init__(layout, memories, race=SerialRace(layout), pulses=SerialPulses(layout),
                         counters=SerialCounterBank(_peaks(layout), chip.amplitudes),
                         read_out=SerialReadOut(layout) if chip.classes else None)
        self.tile = Signal(layout.tile)  # whose state is read while there is no visit: where the walk is

    def replace_count(self, m, name, write, written):
        """Replace one count of the word that lies where the array is addressed, in the lane of the array, if ``write``.

        As with the array, the address must have been the same in the clock before.
        """
        port = self.counts[name].write
        m.d.comb += [*(lane.eq(written) for lane in port.data), port.en.eq(Mux(write, 1 << self.array.lane, 0))]

    def add_background(self, m):
        """Counts lie in memories of their own, where their cells lie in the array."""
        for _, read, write in self.counts.values():
            m.d.comb += [port.addr.eq(self.array.address[:len(port.addr)]) for port in (read, write)]

    def add_to(self, m):
        self.add_memories(m)
        m.submodules.array = self.array
        self.add_components(m)

    @property
    def visited_levels(self):
        return self.array.levels

    @property
    def pulses_over(self):
        return self.pulses.start_ready

    def address_visit(self, m, visit, word):
        if not self.layout.chip.shared:
            m.d.comb += self.tile_states.read.addr.eq(Mux(visit.valid, visit.payload.tile, self.tile))
        m.d.comb += self.array.address.eq(visit.payload.address + word)

    def note_visit(self, m, tile):
        m.d.comb += self.tile_states.write.addr.eq(tile)

    def stamp_line(self, m, line, step):
        write = self.lines.write
        m.d.comb += [write.addr.eq(line[:len(write.addr)]), write.data.eq(step), write.en.eq(1)]
