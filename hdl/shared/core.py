"""What both forms of the core have in common: ports, registers, visits of rows, answers, and part of the accesses."""

from amaranth import Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ohmspike.chip.instructions import STATUS_WORDS, identity_words, register_names

from .layout import Layout
from .logic import lookup
from .plasticity import PulseMode
from .ports import READS_MAX, EventKind, access_shape, answer_shape, event_shape, fire_shape

__all__ = ["CommonCore"]


class CommonCore(wiring.Component):
    """The parts of a core that do not depend on where it keeps its cells.

    A form of the core gives, before the methods here are called, ``router``, ``accumulator``, ``pulses``, ``counters``,
    ``unit_trace`` and the memories ``membrane``, ``tile`` and ``unit`` (``_read``, ``_write``), and

    visited_levels
        The word of levels that a visit addressed in the clock before.
    pulses_over
        The pulses that were started are done.
    _address_visit(m, visit, word)
        Address the levels and the state of a visit.
    _note_visit(m, tile)
        Address the state of a visited tile, to be written.
    """

    def __init__(self, layout: Layout):
        self.layout = layout
        super().__init__({
            "events": In(stream.Signature(event_shape())),
            "fires": Out(stream.Signature(fire_shape(layout))),
            "answers": Out(stream.Signature(answer_shape())),
            "access": In(access_shape(layout)),
            "access_valid": In(1),
            "access_ready": Out(1),
            "access_data": Out(layout.access_bits),
            "idle": Out(1),
            "dark": Out(1),
            "status": In(data.ArrayLayout(32, len(STATUS_WORDS))),
        })

    def _registers_and_shapes(self):
        """Registers, what lives within a sample, and the shapes of the state of a tile and of a unit."""
        layout, chip = self.layout, self.layout.chip
        self.tile_shape = data.StructLayout({
            "reads": bits_for(READS_MAX), "active": 1, "closed": 1, "step_reads": bits_for(READS_MAX), "step": 8,
            "used": layout.unit_count, "next": layout.unit})
        self.unit_shape = data.StructLayout({"neuron": layout.neuron, "stamp": 8})
        self.unit_depth = (chip.tiles << layout.unit.width) if chip.learners > 1 else chip.tiles
        self.learn = Signal()
        self.report = Signal(init=1)
        self.theta_step = Signal(16)
        self.theta_base = Signal(chip.threshold_bits)
        self.margin = Signal(chip.score_bits)
        self.write_noise = Signal(chip.noise_bits)
        self.step = Signal(8)
        self.spoken = Signal(range(chip.lines + 1))
        self.any_units = Signal()
        self.dark_sample = Signal()
        self.visits_quiet = Signal()
        self.quiet = Signal()  # no read is under way, in the tiles or in the read-out

    def _unit_address(self, tile, unit):
        return tile << self.layout.unit.width | unit if self.layout.chip.learners > 1 else tile

    def _count(self, m, name, amount=1):
        m.d.comb += getattr(self.counters, f"increment_{name}").eq(amount)

    # reads

    def _reads(self, m):
        """Stream the words of every visited row: address, weights one clock later, membranes two clocks later."""
        layout = self.layout
        visit = self.router.visits
        word = Signal(range(max(2, layout.visit_clocks)))
        issue = Signal()
        first = Signal()
        m.d.comb += first.eq(word == 0)
        self._address_visit(m, visit, word)

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
        plastic = self.learn & self.any_units
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
                m.d.comb += self.unit_read.addr.eq(self._unit_address(visit.payload.tile, unit))
                m.next = "PULSE"
                with m.If(unit == state.used):
                    self._count(m, "reset_rows", pulsed)
                    m.d.comb += visit.ready.eq(1)
                    m.next = "STREAM"
            with m.State("PULSE"):
                m.d.comb += [
                    self.unit_read.addr.eq(self._unit_address(visit.payload.tile, unit)),
                    self.pulses.start_valid.eq(self.unit_trace.trace != 0),
                ]
                m.d.sync += pulsed.eq(pulsed | self.pulses.start_valid)
                m.next = "PULSED"
            with m.State("PULSED"):
                with m.If(self.pulses_over):
                    with m.If(unit == layout.chip.learners - 1):
                        self._count(m, "reset_rows", pulsed)
                        m.d.comb += visit.ready.eq(1)
                        m.next = "STREAM"
                    with m.Else():
                        m.d.sync += unit.eq(unit + 1)
                        m.next = "UNIT"
        m.d.comb += [
            self.visits_quiet.eq(fsm.ongoing("STREAM") & self.router.idle & ~one.valid & ~two.valid),
            self.pulses.start.mode.eq(PulseMode.CELL),
            self.pulses.start.address.eq(visit.payload.address + self.unit_read.data.neuron.word),
            self.pulses.start.tile.eq(visit.payload.tile),
            self.pulses.start.lane.eq(self.unit_read.data.neuron.lane),
            self.pulses.start.trace.eq(self.unit_trace.trace),
            self.pulses.step.eq(self.step),
            self.unit_trace.stamp.eq(self.unit_read.data.stamp),
            self.unit_trace.step.eq(self.step),
        ]

    def _visit_state(self, m, one):
        """State of the visited tile as it was before this visit: read in the clock after its first word, then held."""
        held = Signal(self.tile_shape)
        state = Signal(self.tile_shape)
        now = self.tile_read.data
        m.d.comb += state.eq(Mux(one.first, now, held))
        same_step = now.active & (now.step == self.step)
        step_reads = Mux(same_step, now.step_reads, 0)
        visited = one.valid & one.first
        with m.If(visited):
            m.d.sync += held.eq(now)
            m.d.comb += self.tile_write.en.eq(~now.closed)
            self._note_visit(m, one.tile)
            m.d.comb += self.tile_write.data.eq(now)
            m.d.comb += [
                self.tile_write.data.reads.eq(Mux(now.reads == READS_MAX, READS_MAX, now.reads + 1)),
                self.tile_write.data.step_reads.eq(Mux(step_reads == READS_MAX, READS_MAX, step_reads + 1)),
                self.tile_write.data.step.eq(self.step),
                self.tile_write.data.active.eq(1),
            ]
            self._count(m, "row_reads", ~now.closed)
            self._count(m, "closed_tile_pulses", now.closed)
            self._count(m, "active_sq_sum", Mux(now.closed, 0, (step_reads << 1) | 1))
        return state

    def _integrate(self, m, one, two, state):
        layout = self.layout
        fresh, closed, summed = Signal(), Signal(), Signal()
        m.d.sync += [fresh.eq(~state.active), closed.eq(state.closed), summed.eq(two.valid & ~closed)]
        m.d.comb += [
            self.accumulator.levels.eq(self.visited_levels),
            self.membrane_read.addr.eq(layout.neuron_address(one.tile, one.word)),
            self.accumulator.membranes.eq(self.membrane_read.data),
            self.accumulator.fresh.eq(fresh),
            self.accumulator.last_word.eq(two.word == layout.words - 1),
            self.membrane_write.addr.eq(layout.neuron_address(two.tile, two.word)),
            self.membrane_write.data.eq(self.accumulator.raised),
            self.membrane_write.en.eq(two.valid & ~closed),
        ]
        self._count(m, "read_sum", Mux(summed, self.accumulator.weight_sum, 0))

    # read-out

    def _answer(self, m):
        """ANSWER puts out the best column; LABEL teaches its column and the best rival's if the lead is too small."""
        if not self.layout.chip.classes:
            return
        event, read_out, pulses = self.events.payload, self.read_out, self.pulses
        lead_wanted = Signal(self.layout.chip.score_bits + 1)
        m.d.comb += [
            self.answers.payload.label.eq(read_out.best),
            self.answers.payload.score.eq(read_out.best_score),
            self.answers.payload.margin.eq(read_out.best_score - read_out.second_score),
            lead_wanted.eq(read_out.best_score + self.margin),
        ]
        with m.State("SEARCH"):
            m.d.comb += read_out.ask.eq(1)
            m.next = "SEARCHING"
        with m.State("SEARCHING"):
            with m.If(read_out.done):
                m.next = "LABELLED"
                with m.If(event.kind == EventKind.ANSWER):
                    m.next = "ANSWERED"
        with m.State("ANSWERED"):
            m.d.comb += [self.answers.valid.eq(1), self.events.ready.eq(self.answers.ready)]
            with m.If(self.answers.ready):
                self._count(m, "answers")
                m.next = "IDLE"
        with m.State("LABELLED"):
            own, best = read_out.own_score, read_out.best_score
            teaches = own < lead_wanted
            self._count(m, "labels")
            self._count(m, "labels_right", (own > best) | ((own == best) & (event.line < read_out.best)))
            self._count(m, "taught", teaches)
            m.next = "LABEL DONE"
            with m.If(teaches & (read_out.listed != 0)):
                m.next = "TEACH"
        for state, mode, column, then in (("TEACH", PulseMode.TEACH, event.line, "UNTEACH"),
                                          ("UNTEACH", PulseMode.UNTEACH, read_out.best, "LABEL DONE")):
            with m.State(state):
                m.d.comb += [pulses.start_valid.eq(1), pulses.start.mode.eq(mode),
                             pulses.start.lane.eq(column[:len(pulses.start.lane)])]
                m.next = f"{state}ING"
            with m.State(f"{state}ING"):
                with m.If(self.pulses_over):
                    m.next = then
        with m.State("LABEL DONE"):
            m.d.comb += self.events.ready.eq(1)
            m.next = "IDLE"

    # accesses

    def _registers(self, m):
        access = self.access
        registers = {"learn": self.learn, "theta_step": self.theta_step, "theta_base": self.theta_base,
                     "report": self.report, "margin": self.margin, "write_noise": self.write_noise}
        names = register_names(self.layout.chip)
        with m.Switch(access.column[:bits_for(len(names) - 1)]):
            for address, name in enumerate(names):
                with m.Case(address):
                    m.d.comb += self.access_found.eq(registers[name])
                    with m.If(access.write):
                        m.d.sync += registers[name].eq(access.data[:len(registers[name])])

    def _identity(self, m):
        chip = self.layout.chip
        options = {spec.name: spec.metadata.get("options") for spec in chip.__dataclass_fields__.values()}
        words = [options[name].index(getattr(chip, name)) if options[name] else getattr(chip, name)
                 for name in identity_words(chip)]
        return lookup(m, self.access.column, words, name="identity")
