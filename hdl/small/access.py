"""What the host reads and writes in the array of the small form."""

from amaranth import Mux, Signal

from ohmspike.hdl.shared.access import CODE, HostAccess

__all__ = ["SmallAccess"]


class SmallAccess(HostAccess):
    """Cells of the array are read first, then written at the same address; a counter is read in two halves.

    Parameters
    ----------
    ports, storage, registers, quiet
        As for :class:`~ohmspike.hdl.shared.access.HostAccess`.
    """

    def __init__(self, ports, storage, registers, quiet):
        super().__init__(ports, storage, registers, quiet)
        self.accessed = Signal(storage.map.address)  # where a cell of the array lies

    @property
    def result(self):
        return self.data

    def paths(self, m):
        super().paths(m)
        layout, chip, access, map_ = self.layout, self.layout.chip, self.access, self.storage.map
        m.d.comb += self.accessed.eq(access.row * layout.words + access.neuron.word)
        with m.Switch(access.memory):
            with m.Case(CODE["theta"]):
                m.d.comb += self.accessed.eq(map_.theta_address(access.row[:layout.tile.width], access.neuron))
            with m.Case(CODE["random"]):
                m.d.comb += self.accessed.eq(map_.random_address(access.row[:layout.stream.width]))
            if chip.classes:
                with m.Case(*(CODE[name] for name, present in (
                        ("read_out", True), ("read_out_stuck", chip.has_stuck_cells),
                        ("read_out_accumulated", chip.read_out_accumulate_bits > 0)) if present)):
                    m.d.comb += self.accessed.eq(map_.read_out_address(
                        access.row[:layout.read_out_row.width], access.neuron.word))

    def _address_cell(self, m):
        m.d.comb += self.storage.array.address.eq(self.accessed)

    def _finish(self, m):
        m.next = "IDLE"
        m.d.comb += [self.resting.eq(1), self.ready.eq(1), self.storage.array.address.eq(self.accessed)]

    def _tile_cells(self, m):
        """Levels and bits of stuck cells replace a lane of their word, all others are words."""
        layout, chip, access, array = self.layout, self.layout.chip, self.access, self.storage.array
        with m.Case(*(CODE[name] for name in ("levels", "read_out")[:1 + (chip.classes > 0)])):
            m.d.comb += [self.result.eq(array.level), array.write_level.eq(access.write),
                         array.written_level.eq(access.data[:layout.level.width])]
        for name, width in (("theta", chip.threshold_bits), ("random", 32)):
            with m.Case(CODE[name]):
                m.d.comb += [self.result.eq(array.word[:width]), array.write.eq(access.write),
                             array.written.eq(access.data[:width])]
        if chip.has_stuck_cells:
            with m.Case(*(CODE[name] for name in ("stuck", "read_out_stuck")[:1 + (chip.classes > 0)])):
                m.d.comb += [self.result.eq(array.stuck), array.write_stuck.eq(access.write),
                             array.written_stuck.eq(access.data[0])]

    def _other_cells(self, m):
        for name, counts in self.storage.counts.items():
            with m.Case(CODE[name]):
                m.d.comb += self.result.eq(counts.read.data[self.storage.array.lane])
                self.storage.replace_count(m, name, self.access.write, self.access.data)

    def _counter(self, m):
        value = self.storage.counters.value
        half = Mux(self.access.high, value[32:], value[:32])
        m.d.comb += self.result.eq(half)
        with m.If(self.access.write):
            m.d.comb += self.ready.eq(0)
            m.next = "CLEAR COUNTERS"
