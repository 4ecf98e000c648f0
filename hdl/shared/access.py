"""What the host reads and writes, a cell at a time (docs/link.md)."""

from amaranth import Cat, Signal
from amaranth.lib import wiring
from amaranth.utils import bits_for

from ohmspike.chip.instructions import MEMORIES, STATUS_WORDS, identity_words

from .logic import lookup
from .state import Registers
from .storage import CommonStorage

__all__ = ["CODE", "HostAccess"]

CODE = {entry.name: entry.code for entry in MEMORIES}


class HostAccess:
    """Accesses to all memories: of a cell whose storage both forms share here, of all others in the form's own class.

    An access waits for the events before it. In state ADDRESS it is taken, in CELL the cell is addressed, in DATA it is
    there and written.

    Parameters
    ----------
    ports
        The core: its members ``access``, ``access_ready``, ``access_data`` and ``status``.
    storage, registers
        What is accessed.
    quiet
        No read is under way.
    """

    holds_early = False
    """The scanner of the counters rests a clock before a total is read, so that it is not written while it is read."""

    def __init__(self, ports: wiring.Component, storage: CommonStorage, registers: Registers, quiet: Signal):
        self.layout, self.storage, self.registers, self.quiet = storage.layout, storage, registers, quiet
        self.access, self.ready, self.data, self.status = (
            ports.access, ports.access_ready, ports.access_data, ports.status)
        self.resting = Signal()  # no event acts in this clock
        self.settled = Signal(range(storage.counters.settle + 1))  # how long all counting has been over

    def paths(self, m):
        """What an access addresses whether it is under way or not."""
        layout, chip, access = self.layout, self.layout.chip, self.access
        pulses, counters, accumulator = self.storage.pulses, self.storage.counters, self.storage.accumulator
        with m.If(~self.resting | ~self.quiet):
            m.d.sync += self.settled.eq(0)
        with m.Elif(self.settled != counters.settle):
            m.d.sync += self.settled.eq(self.settled + 1)
        level = access.column[:layout.level.width]
        taught = (access.memory == CODE["read_out_set"]) | (access.memory == CODE["read_out_reset"])
        table_address = Cat(level, access.row[:layout.bin.width], taught)[:layout.table_address.width]
        m.d.comb += [
            counters.address.eq(access.column[:len(counters.address)]),
            pulses.table_address.eq(table_address),
            pulses.table_write_data.eq(access.data[:16]),
            pulses.weight_read_level.eq(level),
            pulses.weight_write_level.eq(level),
            pulses.weight_write_weight.eq(access.data[:chip.weight_bits]),
            accumulator.write_level.eq(level),
            accumulator.write_weight.eq(access.data[:chip.weight_bits]),
        ]

    def states(self, m):
        """Read or write one cell, from state ADDRESS on."""
        chip, access, result = self.layout.chip, self.access, self.result
        pulses, counters = self.storage.pulses, self.storage.counters
        with m.State("ADDRESS"):
            m.d.comb += self.resting.eq(1)
            self._note_address(m)
            with m.If((access.memory != CODE["counters"]) | (self.settled == counters.settle)):
                if self.holds_early:
                    m.d.comb += counters.hold.eq(access.memory == CODE["counters"])
                m.next = "CELL"
        with m.State("CELL"):
            m.d.comb += [self.resting.eq(1), counters.hold.eq(access.memory == CODE["counters"])]
            self._address_cell(m)
            m.next = "DATA"
        with m.State("DATA"):
            self._finish(m)
            with m.Switch(access.memory):
                self._tile_cells(m)
                with m.Case(CODE["weight"]):
                    m.d.comb += [result.eq(pulses.weight_value), pulses.weight_write.eq(access.write),
                                 self.storage.accumulator.write.eq(access.write)]
                with m.Case(*(CODE[name] for name in ("set", "read_out_set")[:1 + (chip.classes > 0)])):
                    m.d.comb += [result.eq(pulses.table_value_set), pulses.table_write_set.eq(access.write)]
                with m.Case(*(CODE[name] for name in ("reset", "read_out_reset")[:1 + (chip.classes > 0)])):
                    m.d.comb += [result.eq(pulses.table_value_reset), pulses.table_write_reset.eq(access.write)]
                self._other_cells(m)
                with m.Case(CODE["registers"]):
                    self.registers.access(m, access, result)
                with m.Case(CODE["counters"]):
                    self._counter(m)
                with m.Case(CODE["status"]):
                    m.d.comb += result.eq(self.status[access.column[:bits_for(len(STATUS_WORDS) - 1)]])
                with m.Case(CODE["identity"]):
                    m.d.comb += result.eq(self._identity(m))
        self._tell(m)
        clearing = Signal(range(counters.settle + 1))
        with m.State("CLEAR COUNTERS"):
            m.d.comb += counters.clear.eq(1)
            m.d.sync += clearing.eq(clearing + 1)
            with m.If(clearing == counters.settle):
                m.d.comb += self.ready.eq(1)
                m.d.sync += clearing.eq(0)
                m.next = "IDLE"

    def _identity(self, m):
        chip = self.layout.chip
        options = {spec.name: spec.metadata.get("options") for spec in chip.__dataclass_fields__.values()}
        words = [options[name].index(getattr(chip, name)) if options[name] else getattr(chip, name)
                 for name in identity_words(chip)]
        return lookup(m, self.access.column, words, name="identity")

    # what a form provides

    @property
    def result(self):
        """Where what was read comes out in state DATA."""
        raise NotImplementedError

    def _note_address(self, m):
        """State ADDRESS: what is worked out a clock before the cell is addressed."""

    def _address_cell(self, m):
        """State CELL: address the cell in the memories of the form."""
        raise NotImplementedError

    def _finish(self, m):
        """State DATA: accept the access, or go on to what accepts it."""
        raise NotImplementedError

    def _tile_cells(self, m):
        """State DATA: cases of levels, thresholds and random states."""
        raise NotImplementedError

    def _other_cells(self, m):
        """State DATA: cases of cells that lie in memories of their own."""

    def _counter(self, m):
        """State DATA: a counter is read, or all are cleared."""
        raise NotImplementedError

    def _tell(self, m):
        """States between DATA and the end of the access."""
