"""Visits: the rows that spikes read, and the RESET pulses that follow while learning (contract 3.1)."""

from amaranth import Mux, Signal
from amaranth.lib import data

from .plasticity import PulseMode
from .ports import READS_MAX
from .state import Registers, Sample
from .storage import CommonStorage, tile_state_shape
from .units import PostTraceUnits

__all__ = ["Visits", "WindowReads"]


class Visits:
    """Every tile that sees a line of a spike: its row is read and added up, its post-trace units send RESET pulses.

    Parameters
    ----------
    storage, registers, sample, units
        What visits work on.
    """

    def __init__(self, storage: CommonStorage, registers: Registers, sample: Sample, units: PostTraceUnits):
        self.layout, self.storage = storage.layout, storage
        self.registers, self.sample, self.units = registers, sample, units
        self.quiet = Signal()  # no visit is under way

    def add_to(self, m):
        """Stream the words of every visited row: address, weights one clock later, membranes two clocks later."""
        layout, storage = self.layout, self.storage
        visit = storage.router.visits
        word = Signal(range(max(2, layout.visit_clocks)))
        issue = Signal()
        first = Signal()
        m.d.comb += first.eq(word == 0)
        storage.address_visit(m, visit, word)

        stage = data.StructLayout({"valid": 1, "tile": layout.tile, "word": layout.word, "first": 1})
        one, two = Signal(stage), Signal(stage)
        m.d.sync += [one.valid.eq(issue), one.tile.eq(visit.payload.tile), one.word.eq(word), one.first.eq(first),
                     two.eq(one)]
        state = self._visit_state(m, one)
        self._integrate(m, one, two, state)

        # a visit ends with its last word, or with the RESET pulses after it
        unit = Signal(layout.unit)
        pulsed = Signal()
        last_word = word == layout.visit_clocks - 1
        plastic = self.registers.learn & self.sample.any_units
        with m.FSM(name="visit") as fsm:
            with m.State("STREAM"):
                with m.If(visit.valid):
                    m.d.comb += issue.eq(1 if layout.visit_clocks == layout.words else word < layout.words)
                    m.d.sync += word.eq(Mux(last_word, 0, word + 1))
                    with m.If(last_word):
                        m.d.comb += visit.ready.eq(~plastic)
                        with m.If(plastic):
                            m.next = "STATE"
            with m.State("STATE"):
                m.d.sync += [unit.eq(0), pulsed.eq(0)]
                m.next = "UNIT"
            with m.State("UNIT"):
                m.d.comb += self.units.read.addr.eq(self.units.address(visit.payload.tile, unit))
                m.next = "PULSE"
                with m.If(unit == state.used):
                    storage.count(m, "reset_rows", pulsed)
                    m.d.comb += visit.ready.eq(1)
                    m.next = "STREAM"
            with m.State("PULSE"):
                m.d.comb += [
                    self.units.read.addr.eq(self.units.address(visit.payload.tile, unit)),
                    storage.pulses.start_valid.eq(storage.unit_trace.trace != 0),
                ]
                m.d.sync += pulsed.eq(pulsed | storage.pulses.start_valid)
                m.next = "PULSED"
            with m.State("PULSED"):
                with m.If(storage.pulses_over):
                    with m.If(unit == layout.chip.learners - 1):
                        storage.count(m, "reset_rows", pulsed)
                        m.d.comb += visit.ready.eq(1)
                        m.next = "STREAM"
                    with m.Else():
                        m.d.sync += unit.eq(unit + 1)
                        m.next = "UNIT"
        m.d.comb += [
            self.quiet.eq(fsm.ongoing("STREAM") & storage.router.idle & ~one.valid & ~two.valid),
            storage.pulses.start.mode.eq(PulseMode.CELL),
            storage.pulses.start.address.eq(visit.payload.address + self.units.read.data.neuron.word),
            storage.pulses.start.tile.eq(visit.payload.tile),
            storage.pulses.start.lane.eq(self.units.read.data.neuron.lane),
            storage.pulses.start.trace.eq(storage.unit_trace.trace),
            storage.pulses.step.eq(self.sample.step),
            storage.unit_trace.stamp.eq(self.units.read.data.stamp),
            storage.unit_trace.step.eq(self.sample.step),
        ]

    def _visit_state(self, m, one):
        """State of the visited tile as it was before this visit: read in the clock after its first word, then held."""
        storage, write = self.storage, self.storage.tile_states.write
        held = Signal(tile_state_shape(self.layout))
        state = Signal(tile_state_shape(self.layout))
        now = storage.tile_states.read.data
        m.d.comb += state.eq(Mux(one.first, now, held))
        same_step = now.active & (now.step == self.sample.step)
        step_reads = Mux(same_step, now.step_reads, 0)
        visited = one.valid & one.first
        with m.If(visited):
            m.d.sync += held.eq(now)
            m.d.comb += write.en.eq(~now.closed)
            storage.note_visit(m, one.tile)
            m.d.comb += write.data.eq(now)
            m.d.comb += [
                write.data.reads.eq(Mux(now.reads == READS_MAX, READS_MAX, now.reads + 1)),
                write.data.step_reads.eq(Mux(step_reads == READS_MAX, READS_MAX, step_reads + 1)),
                write.data.step.eq(self.sample.step),
                write.data.active.eq(1),
            ]
            storage.count(m, "row_reads", ~now.closed)
            storage.count(m, "closed_tile_pulses", now.closed)
            storage.count(m, "active_sq_sum", Mux(now.closed, 0, (step_reads << 1) | 1))
        return state

    def _integrate(self, m, one, two, state):
        layout, storage = self.layout, self.storage
        fresh, closed, summed = Signal(), Signal(), Signal()
        m.d.sync += [fresh.eq(~state.active), closed.eq(state.closed), summed.eq(two.valid & ~closed)]
        m.d.comb += [
            storage.accumulator.levels.eq(storage.visited_levels),
            storage.membranes.read.addr.eq(layout.neuron_address(one.tile, one.word)),
            storage.accumulator.membranes.eq(storage.membranes.read.data),
            storage.accumulator.fresh.eq(fresh),
            storage.accumulator.last_word.eq(two.word == layout.words - 1),
            storage.membranes.write.addr.eq(layout.neuron_address(two.tile, two.word)),
            storage.membranes.write.data.eq(storage.accumulator.raised),
            storage.membranes.write.en.eq(two.valid & ~closed),
        ]
        storage.count(m, "read_sum", Mux(summed, storage.accumulator.weight_sum, 0))


class WindowReads(Visits):
    """Reads of a shared crossbar: the noted rows of a window, one after the other (contract 11.4a).

    Parameters
    ----------
    storage, registers, sample
        As for :class:`Visits`.
    """

    def __init__(self, storage: CommonStorage, registers: Registers, sample: Sample):
        super().__init__(storage, registers, sample, None)

    def add_to(self, m):
        """Stream the words of every noted row: address, weights one clock later, membranes two clocks later."""
        layout, storage = self.layout, self.storage
        visit = storage.windows.visits
        word = Signal(range(max(2, layout.visit_clocks)))
        issue, last_word = Signal(), Signal()
        stage = data.StructLayout({"valid": 1, "tile": layout.tile, "word": layout.word, "row": 1, "first": 1})
        one, two = Signal(stage), Signal(stage)
        storage.address_visit(m, visit, word)
        m.d.comb += [
            issue.eq(visit.valid if layout.visit_clocks == layout.words else visit.valid & (word < layout.words)),
            last_word.eq(word == layout.visit_clocks - 1),
            visit.ready.eq(last_word),
        ]
        with m.If(visit.valid):
            m.d.sync += word.eq(Mux(last_word, 0, word + 1))
        m.d.sync += [one.valid.eq(issue), one.word.eq(word), one.row.eq(issue & (word == 0)),
                     one.first.eq(visit.payload.first), two.eq(one)]
        earlier, reads = Signal(range(layout.chip.rows)), Signal(range(layout.chip.rows))
        m.d.comb += reads.eq(Mux(one.first, 0, earlier))
        with m.If(one.row):
            m.d.sync += earlier.eq(reads + 1)
        storage.count(m, "row_reads", one.row)
        storage.count(m, "active_sq_sum", Mux(one.row, (reads << 1) | 1, 0))
        state = Signal(data.StructLayout({"active": 1, "closed": 1}))
        m.d.comb += state.active.eq(~one.first)
        self._integrate(m, one, two, state)
        m.d.comb += self.quiet.eq(~storage.windows.reading & ~one.valid & ~two.valid)
