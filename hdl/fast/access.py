"""What the host reads and writes in the memories of the fast form."""

from amaranth import Mux, Signal

from ohmspike.hdl.shared.access import CODE, HostAccess

from .storage import all_lanes

__all__ = ["FastAccess"]


class FastAccess(HostAccess):
    """An access is accepted a clock after its cell was there: the way from the memories through all choices is long.

    Parameters
    ----------
    ports, storage, registers, quiet
        As for :class:`~ohmspike.hdl.shared.access.HostAccess`.
    """

    holds_early = True

    def __init__(self, ports, storage, registers, quiet):
        super().__init__(ports, storage, registers, quiet)
        self.picked = Signal.like(self.data)  # what an access reads
        self.level_address = Signal(self.layout.level_address)
        self.kept = Signal.like(self.data)

    @property
    def result(self):
        return self.picked

    @property
    def _neuron_address(self):
        access = self.access
        return self.layout.neuron_address(access.row[:self.layout.tile.width], access.neuron.word)

    def _note_address(self, m):
        m.d.sync += self.level_address.eq(self.access.row * self.layout.words + self.access.neuron.word)

    def _address_cell(self, m):
        storage = self.storage
        m.d.comb += [storage.levels.read.addr.eq(self.level_address), storage.thetas.read.addr.eq(self._neuron_address),
                     storage.randoms.read.addr.eq(self.access.row[:self.layout.stream.width])]

    def _finish(self, m):
        m.next = "DELIVER"
        m.d.comb += self.resting.eq(1)
        m.d.sync += self.kept.eq(self.result)

    def _tell(self, m):
        with m.State("DELIVER"):
            m.d.comb += [self.resting.eq(1), self.ready.eq(1), self.data.eq(self.kept)]
            m.next = "IDLE"

    def _tile_cells(self, m):
        layout, access = self.layout, self.access
        levels, thetas, randoms = self.storage.levels, self.storage.thetas, self.storage.randoms
        with m.Case(CODE["levels"]):
            m.d.comb += [
                self.result.eq(levels.read.data[access.neuron.lane]),
                levels.write.addr.eq(self.level_address),
                *all_lanes(levels.write, access.data[:layout.level.width]),
                levels.write.en.eq(Mux(access.write, 1 << access.neuron.lane, 0)),
            ]
        with m.Case(CODE["theta"]):
            m.d.comb += [
                self.result.eq(thetas.read.data[access.neuron.lane]),
                thetas.write.addr.eq(self._neuron_address),
                *all_lanes(thetas.write, access.data[:layout.chip.threshold_bits]),
                thetas.write.en.eq(Mux(access.write, 1 << access.neuron.lane, 0)),
            ]
        with m.Case(CODE["random"]):
            m.d.comb += [
                self.result.eq(randoms.read.data),
                randoms.write.addr.eq(access.row[:layout.stream.width]),
                randoms.write.data.eq(access.data[:32]),
                randoms.write.en.eq(access.write),
            ]

    def _other_cells(self, m):
        layout, access, storage = self.layout, self.access, self.storage
        row, column = access.row[:layout.read_out_row.width], access.column[:layout.label.width]
        if layout.chip.classes:
            with m.Case(CODE["read_out"]):
                cell = storage.read_out
                m.d.comb += [
                    self.result.eq(cell.data[column]),
                    cell.write_address.eq(row),
                    cell.written.eq(access.data[:layout.level.width]),
                    cell.write.eq(Mux(access.write, 1 << column, 0)),
                ]
        masks = {"stuck": (storage.stuck, self.level_address, access.neuron.lane),
                 "read_out_stuck": (storage.read_out_stuck, row, column)}
        for name, (mask, address, lane) in masks.items():
            if mask is not None:
                with m.Case(CODE[name]):
                    m.d.comb += [self.result.eq(mask.read.data[lane]), mask.write.addr.eq(address),
                                 mask.write.data.eq(mask.read.data), mask.write.en.eq(access.write)]
                    m.d.comb += mask.write.data[lane].eq(access.data[0])

        places = {"accumulated": (self.level_address, access.neuron.lane), "read_out_accumulated": (row, column)}
        for name, counts in storage.counts.items():
            address, lane = places[name]
            with m.Case(CODE[name]):
                m.d.comb += [
                    self.result.eq(counts.read.data[lane]),
                    counts.write.addr.eq(address),
                    *all_lanes(counts.write, access.data),
                    counts.write.en.eq(Mux(access.write, 1 << lane, 0)),
                ]

    def _counter(self, m):
        m.d.comb += self.result.eq(self.storage.counters.value)
        with m.If(self.access.write):
            m.next = "CLEAR COUNTERS"
