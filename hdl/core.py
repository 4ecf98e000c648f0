"""The core of a chip: its memories, and the sequence of every event."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ohmspike.chip.description import STEP_MAX
from ohmspike.chip.instructions import (
    BIN_COUNTERS,
    COUNTERS,
    MEMORIES,
    READ_OUT_COUNTERS,
    STATUS_WORDS,
    identity_words,
    register_names,
)

from .accumulator import Accumulator
from .counters import CounterBank
from .layout import SILENT, Layout, lookup, saturate
from .pulses import PulseMode, Pulses, TraceLookup
from .race import Race
from .read_out import ReadOut
from .router import Router

__all__ = ["Core", "EventKind", "access_shape", "answer_shape", "counter_peaks", "event_shape", "fire_shape"]

READS_MAX = 4095


class EventKind(enum.Enum, shape=3):
    """Events the core carries out."""

    SPIKE = 0
    STEP = 1
    DECIDE = 2
    DARK = 3
    END = 4
    REFUSE = 5
    ANSWER = 6
    LABEL = 7


def event_shape():
    """An event: its kind, and the line of a SPIKE or the column of a LABEL."""
    return data.StructLayout({"kind": EventKind, "line": 16})


def fire_shape(layout: Layout):
    """A fire; ``first`` opens the record of a tile, ``end`` closes the records of an event."""
    return data.StructLayout({"tile": layout.tile, "neuron": layout.neuron, "first": 1, "end": 1})


def answer_shape():
    """What the read-out answers (contract 10.4)."""
    return data.StructLayout({"label": 8, "score": 24, "margin": 24})


def access_shape(layout: Layout):
    """A cell of a memory; ``neuron`` is the column split into word and lane.

    ``high`` asks for the upper half of a counter where an access is 32 bits wide.
    """
    return data.StructLayout({
        "memory": 8, "row": 16, "column": 16, "neuron": layout.column, "write": 1, "high": 1,
        "data": layout.access_bits})


def counter_peaks(layout: Layout) -> dict[str, int]:
    """Every counter of the contract, in address order, with its largest increment in one clock."""
    chip = layout.chip
    weight = (1 << chip.weight_bits) - 1
    peaks = dict.fromkeys(COUNTERS, 1)
    peaks |= {
        "dark_spikes": chip.lines,
        "read_sum": weight * layout.lanes,
        "active_sq_sum": 2 * READS_MAX + 1,
        "pre_recharge": (1 << chip.trace_bits) - 1,
        "post_recharge": (1 << chip.trace_bits) - 1,
    }
    for name in BIN_COUNTERS:
        for bin_ in range(chip.amplitudes):
            peaks[f"{name}_{bin_}"] = weight if name.endswith("weight") else 1
    if chip.classes:
        peaks |= dict.fromkeys(READ_OUT_COUNTERS, 1)
        peaks |= {"read_out_reads": chip.winners, "read_out_sum": weight * chip.classes * chip.winners}
    return peaks


class Core(wiring.Component):
    """Carry out events on the synapses of a chip (docs/contract.md).

    Spikes stream: the router walks the tiles that see a line while the words of the row before are still being read ::

        events -> line stamp -> Router -> level word -> weights -> + membranes
                                                                     |
        fires  <- Race  <- V - theta  <------------------------------+
                   |
                   +-> post-trace unit -> Pulses (SET or RESET down the column) -> levels
                   +-> ReadOut: scores of the classes -> answers; a label -> Pulses -> levels of the read-out

    Every other event waits until the reads before it are done and then has the memories to itself. Within DECIDE, STEP
    and DARK the walk seeks the next tile while this one is acted on, and a sweep goes on beside the races after it; the
    event ends when all of it has. END takes the other bank of line stamps and tile states; the bank it leaves is
    cleared in clocks that leave its write ports free.

    Timing
    ------
    Throughput
        See :mod:`ohmspike.hdl.cost` for the clocks of every event; ``words`` clocks per read in a run of spikes.
    Latency
        An event is accepted in the clock in which it ends, a SPIKE when the router takes its line.
    Reset
        Forgets the sample; then accepts nothing for ``max(lines, tiles) + 1`` clocks. Levels, thresholds, random
        states, tables and counters stay, but for a column whose sweep was under way.

    Parameters
    ----------
    layout : :class:`Layout`

    Members
    -------
    events : :py:`In(stream.Signature(event_shape()))`
    fires : :py:`Out(stream.Signature(fire_shape(layout)))`
        Only while the register ``report`` is 1.
    answers : :py:`Out(stream.Signature(answer_shape()))`
    access, access_valid, access_ready, access_data
        One cell read or written; accepted when done, with the data of a read.
    idle : :py:`Out(1)`
        No event is under way; an access may be.
    dark : :py:`Out(1)`
        The sample is dark.
    status : :py:`In(32 * words)`
        What the memory ``status`` shows.
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

    def elaborate(self, platform):
        m = Module()
        self._storage(m)
        self._count_defaults(m)
        self._clear(m)
        self._reads(m)
        self._sequence(m)
        return m

    # storage

    def _storage(self, m):
        layout, chip = self.layout, self.layout.chip
        self.tile_shape = data.StructLayout({
            "reads": bits_for(READS_MAX), "active": 1, "closed": 1, "step_reads": bits_for(READS_MAX), "step": 8,
            "used": layout.unit_count, "next": layout.unit})
        self.unit_shape = data.StructLayout({"neuron": layout.neuron, "stamp": 8})
        unit_depth = (chip.tiles << layout.unit.width) if chip.learners > 1 else chip.tiles
        bypass = layout.words == 1  # consecutive reads of one tile then meet in its membranes and state

        def memory_of(name, shape, depth, transparent=False, lanes=False):
            store = Memory(shape=shape, depth=depth, init=[])
            m.submodules[name] = store
            write = store.write_port(granularity=1 if lanes else None)
            read = store.read_port(transparent_for=(write,) if transparent else ())
            return read, write

        self.level_read, self.level_write = memory_of("levels", layout.level_word, layout.level_depth, lanes=True)
        self.membrane_read, self.membrane_write = memory_of(
            "membranes", layout.membrane_word, layout.neuron_depth, bypass)
        self.theta_read, self.theta_write = memory_of("thetas", layout.theta_word, layout.neuron_depth, lanes=True)
        self.tile_read, self.tile_write = memory_of(
            "tile_states", self.tile_shape, 2 << layout.tile.width, bypass)
        self.unit_read, self.unit_write = memory_of("units", self.unit_shape, unit_depth)
        self.line_read, self.line_write = memory_of("lines", unsigned(8), 2 << layout.line.width)
        self.random_read, self.random_write = memory_of(
            "randoms", unsigned(32), chip.tiles + (chip.classes > 0))

        if chip.has_stuck_cells:
            self.stuck_read, self.stuck_write = memory_of("stuck", layout.stuck_word, layout.level_depth)
            if chip.classes:
                self.taught_stuck_read, self.taught_stuck_write = memory_of(
                    "read_out_stuck", layout.read_out_stuck_word, chip.read_out_rows)

        m.submodules.router = self.router = Router(layout)
        m.submodules.accumulator = self.accumulator = Accumulator(layout)
        m.submodules.race = self.race = Race(layout)
        m.submodules.pulses = self.pulses = Pulses(layout)
        m.submodules.counters = self.counters = CounterBank(counter_peaks(layout))
        m.submodules.unit_trace = self.unit_trace = TraceLookup(layout)
        m.submodules.line_trace = self.line_trace = TraceLookup(layout)

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
        self.bank = Signal()  # of line stamps and tile states: the one of this sample
        self.line_noted, self.tile_noted = Signal(), Signal()  # their write ports are taken
        self.cleared = Signal()  # the bank that END takes next is clear
        self.changes_bank = Signal()
        m.d.comb += self.dark.eq(self.dark_sample)

    def _unit_address(self, tile, unit):
        return tile << self.layout.unit.width | unit if self.layout.chip.learners > 1 else tile

    def _all_lanes(self, write, value):
        """What would be written is the same in all lanes; which of them are, their enables say."""
        return [write.data[lane].eq(value) for lane in range(self.layout.lanes)]

    def _clear(self, m):
        """Clear the bank of line stamps and tile states not in use, in clocks that leave its write ports free."""
        layout, chip = self.layout, self.layout.chip
        over = []
        for write, shape, count, silent, noted in (
                (self.line_write, layout.line, chip.lines, SILENT, self.line_noted),
                (self.tile_write, layout.tile, chip.tiles, 0, self.tile_noted)):
            place, done = Signal(shape), Signal()
            with m.If(~done):
                m.d.comb += [write.addr.eq(layout.banked(place, ~self.bank)), write.data.eq(silent), write.en.eq(1)]
                with m.If(~noted):
                    m.d.sync += [place.eq(place + 1), done.eq(place == count - 1)]
            over.append((place, done))
        m.d.comb += self.cleared.eq(over[0][1] & over[1][1])
        with m.If(self.changes_bank):
            m.d.sync += [self.bank.eq(~self.bank), *(signal.eq(0) for pair in over for signal in pair)]

    # counters

    def _count(self, m, name, amount=1):
        m.d.comb += getattr(self.counters, f"increment_{name}").eq(amount)

    def _count_defaults(self, m):
        pulses, chip = self.pulses, self.layout.chip
        for bin_ in range(chip.amplitudes):
            here = pulses.pulse if chip.amplitudes == 1 else pulses.pulse & (pulses.pulse_bin == bin_)
            for kind, wanted in (("set", ~pulses.pulse_reset), ("reset", pulses.pulse_reset)):
                self._count(m, f"{kind}_pulses_{bin_}", here & wanted)
                self._count(m, f"{kind}_weight_{bin_}", Mux(here & wanted, pulses.pulse_weight, 0))
        self._count(m, "clipped_high", pulses.clipped & ~pulses.pulse_reset)
        self._count(m, "clipped_low", pulses.clipped & pulses.pulse_reset)

    # reads

    def _reads(self, m):
        """Stream the words of every visited row: address, weights one clock later, membranes two clocks later."""
        layout = self.layout
        visit = self.router.visits
        word = Signal(layout.word)
        issue = Signal()
        first = Signal()
        m.d.comb += [
            first.eq(word == 0),
            self.level_read.addr.eq(visit.payload.address + word),
            self.tile_read.addr.eq(layout.banked(visit.payload.tile, self.bank)),
        ]

        stage = data.StructLayout({"valid": 1, "tile": layout.tile, "word": layout.word, "first": 1})
        one, two = Signal(stage), Signal(stage)
        m.d.sync += [one.valid.eq(issue), one.tile.eq(visit.payload.tile), one.word.eq(word), one.first.eq(first),
                     two.eq(one)]
        state = self._visit_state(m, one)
        self._integrate(m, one, two, state)

        # a visit ends with its last word, or with the RESET pulses after it
        unit = Signal(layout.unit)
        pulsed = Signal()
        last_word = word == layout.words - 1
        plastic = self.learn & self.any_units
        with m.FSM(name="visit") as fsm:
            with m.State("STREAM"):
                with m.If(visit.valid):
                    m.d.comb += issue.eq(1)
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
                with m.If(self.pulses.idle):
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
            m.d.comb += [self.tile_noted.eq(1), self.tile_write.en.eq(~now.closed), self.tile_write.data.eq(now),
                         self.tile_write.addr.eq(self.layout.banked(one.tile, self.bank))]
            m.d.comb += [
                self.tile_write.data.reads.eq(Mux(now.reads == READS_MAX, READS_MAX, now.reads + 1)),
                self.tile_write.data.step_reads.eq(Mux(step_reads == READS_MAX, READS_MAX, step_reads + 1)),
                self.tile_write.data.step.eq(self.step),
                self.tile_write.data.active.eq(1),
            ]
            self._count(m, "row_reads", ~now.closed)
            self._count(m, "shut_rows", now.closed)
            self._count(m, "active_sq_sum", Mux(now.closed, 0, (step_reads << 1) | 1))
        return state

    def _integrate(self, m, one, two, state):
        layout = self.layout
        fresh, closed, summed = Signal(), Signal(), Signal()
        m.d.sync += [fresh.eq(~state.active), closed.eq(state.closed), summed.eq(two.valid & ~closed)]
        m.d.comb += [
            self.accumulator.levels.eq(self.level_read.data),
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

    def _read_out(self, m):
        """Fires of ranks 0 to K - 1 send K to 1 pulses; the pulse generator and the host share what is left."""
        chip, pulses = self.layout.chip, self.pulses
        if not chip.classes:
            m.d.comb += self.quiet.eq(self.visits_quiet)
            return
        m.submodules.read_out = read_out = self.read_out = ReadOut(self.layout)
        neuron = self.race.winner.neuron
        m.d.comb += [
            self.quiet.eq(self.visits_quiet & read_out.idle),
            read_out.fire.row.eq(self.here.row + neuron.word * self.layout.lanes + neuron.lane),
            read_out.fire.pulses.eq(chip.winners - self.rank),
            read_out.but.eq(self.events.payload.line[:self.layout.label.width]),
            read_out.apart.eq(self.events.payload.kind == EventKind.LABEL),
            read_out.place.eq(pulses.place),
            read_out.address.eq(Mux(pulses.idle, self.access.row[:self.layout.read_out_row.width],
                                    pulses.read_out_address)),
            read_out.write_address.eq(pulses.read_out_write_address),
            read_out.written.eq(pulses.written),
            read_out.write.eq(pulses.read_out_write),
            read_out.load.eq(self.accumulator.write),
            read_out.load_level.eq(self.accumulator.write_level),
            read_out.load_weight.eq(self.accumulator.write_weight),
            pulses.listed.eq(read_out.listed),
            pulses.row.eq(read_out.row),
            pulses.read_out_data.eq(read_out.data),
        ]
        self._count(m, "read_out_sum", read_out.weight_sum)

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
                with m.If(pulses.idle):
                    m.next = then
        with m.State("LABEL DONE"):
            m.d.comb += self.events.ready.eq(1)
            m.next = "IDLE"

    def _flaws(self, m):
        """The mask of stuck cells is read with the levels, and never written by a pulse."""
        chip, pulses = self.layout.chip, self.pulses
        if chip.noise_bits:
            m.d.comb += pulses.write_noise.eq(self.write_noise)
        if chip.has_stuck_cells:
            m.d.comb += [self.stuck_read.addr.eq(self.level_read.addr), pulses.level_stuck.eq(self.stuck_read.data)]
            if chip.classes:
                m.d.comb += [self.taught_stuck_read.addr.eq(self.read_out.address),
                             pulses.read_out_stuck.eq(self.taught_stuck_read.data)]

    # sequence

    def _sequence(self, m):
        layout, chip = self.layout, self.layout.chip
        event = self.events.payload
        place = data.StructLayout({
            "tile": layout.tile, "level": layout.level_address, "line": layout.line, "row": layout.read_out_row})
        self.sought = Signal(place)  # where the walk is, and what it found there
        self.found = Signal(self.tile_shape)
        self.here, self.held = Signal(place), Signal(self.tile_shape)  # the tile acted on
        self.rank = Signal(range(chip.winners))
        self.unit = Signal(layout.unit)
        self.first_winner, self.last_winner = Signal(layout.neuron), Signal(layout.neuron)
        self.ending = Signal()  # an END, and not a reset, leads to CLEAR
        self.walk_begins, self.walk_found, self.walk_over = Signal(), Signal(), Signal()
        self.walk_goes_on = Signal()
        m.d.comb += [
            self.pulses.level_data.eq(self.level_read.data),
            self.level_write.addr.eq(self.pulses.level_write_address),
            *self._all_lanes(self.level_write, self.pulses.written),
            self.level_write.en.eq(self.pulses.level_write),
            self.pulses.line_stamp.eq(self.line_read.data),
            self.line_read.addr.eq(layout.banked(event.line[:layout.line.width], self.bank)),
            self.line_trace.stamp.eq(self.line_read.data),
            self.line_trace.step.eq(self.step),
            self.random_read.addr.eq(self.pulses.random_address),
            self.random_write.addr.eq(self.pulses.random_write_address),
            self.pulses.random_data.eq(self.random_read.data),
            self.random_write.data.eq(self.pulses.random_write_data),
            self.random_write.en.eq(self.pulses.random_write),
            self.router.spikes.payload.eq(event.line[:layout.line.width]),
            self.race.membranes.eq(self.membrane_read.data),
            self.race.thetas.eq(self.theta_read.data),
            self.race.behind.eq(self.rank != 0),
        ]
        with m.If(self.pulses.busy):
            m.d.comb += [self.level_read.addr.eq(self.pulses.level_address),
                         self.line_read.addr.eq(layout.banked(self.pulses.line_address, self.bank))]
        with m.If(self.pulses.pulse_dark):
            self._count(m, "reset_rows")
        self._race_feed(m)
        self._read_out(m)
        self._flaws(m)
        self._access_paths(m)
        self._walk(m)
        self._raise(m)
        with m.FSM(init="CLEAR", name="event") as fsm:
            self._accept(m)
            self._act(m)
            self._fire(m)
            self._learn(m)
            self._darken(m)
            self._answer(m)
            self._end(m)
            self._access(m)
        m.d.comb += self.idle.eq(fsm.ongoing("IDLE") & self.quiet & ~self.events.valid)

    def _accept(self, m):
        """Take an event; all but SPIKE wait for the reads under way."""
        chip, event = self.layout.chip, self.events.payload
        refuse = Signal()
        with m.State("IDLE"):
            m.d.comb += self.resting.eq(~self.events.valid)
            with m.If(self.events.valid & (event.kind == EventKind.SPIKE)):
                with m.If(self.dark_sample | (event.line >= chip.lines)):
                    m.d.comb += refuse.eq(1)
                with m.Elif(~self.pulses.busy):
                    m.next = "SPIKE"
            with m.Elif(self.events.valid & self.quiet):
                with m.Switch(event.kind):
                    with m.Case(EventKind.STEP):
                        with m.If(self.dark_sample | (self.step == STEP_MAX)):
                            m.d.comb += refuse.eq(1)
                        with m.Else():
                            m.next = "WALKED"
                            if chip.fire_mode == "threshold":
                                m.d.comb += self.walk_begins.eq(1)
                                m.next = "WALK"
                    with m.Case(EventKind.DECIDE):
                        with m.If(self.dark_sample | (chip.fire_mode == "threshold")):
                            m.d.comb += refuse.eq(1)
                        with m.Else():
                            m.d.comb += self.walk_begins.eq(1)
                            m.next = "WALK"
                    with m.Case(EventKind.DARK):
                        with m.If(self.dark_sample):
                            m.d.comb += refuse.eq(1)
                        with m.Else():
                            m.d.comb += self.walk_begins.eq(1)
                            m.next = "WALK"
                    with m.Case(EventKind.END):
                        m.d.sync += self.ending.eq(1)
                        m.next = "CLEAR"
                        if chip.theta_leak:
                            with m.If(self.learn):
                                m.next = "LEAK"
                    if chip.classes:
                        with m.Case(EventKind.ANSWER):
                            m.next = "SEARCH"
                        with m.Case(EventKind.LABEL):
                            m.next = "SEARCH"
                            with m.If(event.line >= chip.classes):
                                m.d.comb += refuse.eq(1)
                                m.next = "IDLE"
                    with m.Default():
                        m.d.comb += refuse.eq(1)
            with m.Elif(~self.events.valid & self.access_valid & self.quiet):
                m.next = "ADDRESS"
            with m.If(refuse):
                m.d.comb += self.events.ready.eq(1)
                self._count(m, "refused")
        with m.State("SPIKE"):
            with m.If(self.pulses.busy):
                m.next = "IDLE"  # a RESET pulse took the line memory: read the stamp again
            with m.Else():
                m.d.comb += self.router.spikes.valid.eq(1)
                with m.If(self.router.spikes.ready):
                    full = (1 << chip.trace_bits) - 1
                    m.d.comb += [
                        self.events.ready.eq(1),
                        self.line_noted.eq(1),
                        self.line_write.addr.eq(self.layout.banked(event.line[:self.layout.line.width], self.bank)),
                        self.line_write.data.eq(self.step),
                        self.line_write.en.eq(1),
                    ]
                    m.d.sync += self.spoken.eq(self.spoken + (self.line_read.data == SILENT))
                    self._count(m, "in_spikes")
                    self._count(m, "pre_recharge", full - self.line_trace.trace)
                    m.next = "IDLE"

    def _walk(self, m):
        """Seek the tiles to act on, in ascending order: the live ones, or for DARK those that learned."""
        layout, chip = self.layout, self.layout.chip
        event, state, sought = self.events.payload, self.tile_read.data, self.sought
        column = Signal(range(chip.grid_width))
        wanted = Signal()
        m.d.comb += wanted.eq(~state.closed & state.active & (state.reads >= chip.min_spikes))
        with m.If(event.kind == EventKind.DARK):
            m.d.comb += wanted.eq(self.learn & state.closed & (state.used != 0))

        def advance():
            m.d.sync += [
                column.eq(column + 1),
                sought.tile.eq(sought.tile + 1),
                sought.level.eq(sought.level + chip.rows * layout.words),
                sought.line.eq(sought.line + chip.stride),
            ]
            if chip.classes:
                m.d.sync += sought.row.eq(sought.row + chip.neurons)
            with m.If(column == chip.grid_width - 1):
                back = chip.stride * (chip.plane_width - chip.grid_width + 1)
                m.d.sync += [column.eq(0), sought.line.eq(sought.line + back)]
            m.next = "TEST"
            with m.If(sought.tile == chip.tiles - 1):
                m.next = "OVER"

        following = Signal(layout.tile)
        m.d.comb += following.eq(sought.tile + 1)
        with m.FSM(name="walk"):
            with m.State("OVER"):
                m.d.comb += self.walk_over.eq(1)
                with m.If(self.walk_begins):
                    m.d.sync += [column.eq(0), sought.eq(0), sought.line.eq(chip.top * chip.plane_width + chip.left)]
                    m.next = "FIRST"
            with m.State("FIRST"):
                m.d.comb += self.tile_read.addr.eq(layout.banked(sought.tile, self.bank))
                m.next = "TEST"
            with m.State("TEST"):
                m.d.comb += self.tile_read.addr.eq(layout.banked(following, self.bank))
                m.d.sync += self.found.eq(state)
                with m.If(wanted):
                    m.next = "FOUND"
                with m.Else():
                    advance()
            with m.State("FOUND"):
                m.d.comb += [self.walk_found.eq(1), self.tile_read.addr.eq(layout.banked(following, self.bank))]
                with m.If(self.walk_goes_on):
                    advance()

    def _act(self, m):
        """Act on the tiles found; the event is over when the walk is, and the last sweep."""
        chip, event = self.layout.chip, self.events.payload
        with m.State("WALK"):
            with m.If(self.walk_found):
                self._take_tile(m)
            with m.Elif(self.walk_over):
                m.next = "WALKED"
        with m.State("WALKED"):
            reports = self.report & (event.kind != EventKind.DARK)
            if chip.fire_mode == "race":
                reports &= event.kind == EventKind.DECIDE
            m.d.comb += [self.fires.payload.end.eq(1), self.fires.valid.eq(reports & self.pulses.idle)]
            with m.If((~reports | self.fires.ready) & self.pulses.idle):
                m.d.comb += self.events.ready.eq(1)
                with m.If(event.kind == EventKind.DARK):
                    self._count(m, "dark_spikes", chip.lines - self.spoken)
                    m.d.sync += self.dark_sample.eq(1)
                with m.If(event.kind == EventKind.STEP):
                    self._count(m, "steps")
                    m.d.sync += self.step.eq(self.step + 1)
                m.next = "IDLE"

    def _take_tile(self, m):
        """Act on the tile that the walk found."""
        m.d.comb += self.walk_goes_on.eq(1)
        m.d.sync += [self.here.eq(self.sought), self.held.eq(self.found), self.rank.eq(0), self.unit.eq(0)]
        with m.If(self.events.payload.kind == EventKind.DARK):
            m.next = "DARK UNIT"
        with m.Else():
            self._count(m, "decisions")
            m.next = "RACE"

    def _leave_tile(self, m):
        """On to the tile after it, if it is found already."""
        m.next = "WALK"
        with m.If(self.walk_found):
            self._take_tile(m)

    def _race_feed(self, m):
        """Words addressed in state RACE reach the race one clock later."""
        layout = self.layout
        self.race_word = Signal(layout.word)
        self.race_issue = Signal()
        word = self.race.word
        feed = Signal(word.shape())
        m.d.sync += [
            feed.valid.eq(self.race_issue),
            feed.index.eq(self.race_word),
            feed.first.eq(self.race_word == 0),
            feed.last.eq(self.race_word == layout.words - 1),
        ]
        m.d.comb += word.eq(feed)

    def _fire(self, m):
        layout, chip = self.layout, self.layout.chip
        winner = self.race.winner
        with m.State("RACE"):
            address = layout.neuron_address(self.here.tile, self.race_word)
            m.d.comb += [self.race_issue.eq(1), self.membrane_read.addr.eq(address), self.theta_read.addr.eq(address)]
            m.d.sync += self.race_word.eq(self.race_word + 1)
            if chip.fire_mode == "race":  # every unit is new, for the tile has not fired in this sample
                with m.If((self.rank == 0) & (self.race_word == 0)):
                    self._note_tile(m)
                    m.d.comb += self.tile_write.data.closed.eq(1)
                    with m.If(self.learn):
                        m.d.comb += self.tile_write.data.used.eq(chip.learners)
            with m.If(self.race_word == layout.words - 1):
                m.d.sync += self.race_word.eq(0)
                m.next = "RACING"
        with m.State("RACING"):
            fires, read = Signal(), Signal()
            m.d.comb += [fires.eq(self.race.done), read.eq(self.read_out.fire_ready if chip.classes else 1)]
            if chip.fire_mode == "threshold":
                m.d.comb += fires.eq(self.race.done & (winner.score >= self.theta_base))
            m.d.comb += [
                self.fires.valid.eq(fires & self.report & read),
                self.fires.payload.tile.eq(self.here.tile),
                self.fires.payload.neuron.eq(winner.neuron),
                self.fires.payload.first.eq(self.rank == 0),
            ]
            with m.If(self.race.done & ~fires):
                m.d.comb += self.race.taken.eq(1)
                self._leave_tile(m)
            with m.Elif(fires & read & (~self.report | self.fires.ready)):
                m.d.comb += self.race.taken.eq(1)
                self._count(m, "out_spikes")
                if chip.classes:
                    m.d.comb += self.read_out.fire_valid.eq(1)
                    self._count(m, "read_out_reads", chip.winners - self.rank)
                m.d.sync += self.last_winner.eq(winner.neuron)
                with m.If(self.rank == 0):
                    m.d.sync += self.first_winner.eq(winner.neuron)
                with m.If(self.learn & (self.rank < chip.learners)):
                    m.next = "FIND UNIT" if chip.fire_mode == "threshold" else "TAKE UNIT"
                with m.Else():
                    self._next_rank(m)

    def _note_tile(self, m):
        """Write the state of the tile acted on, as it was found but for what the caller changes."""
        m.d.comb += [self.tile_noted.eq(1), self.tile_write.en.eq(1), self.tile_write.data.eq(self.held),
                     self.tile_write.addr.eq(self.layout.banked(self.here.tile, self.bank))]

    def _next_rank(self, m):
        chip = self.layout.chip
        with m.If(self.rank != chip.winners - 1):
            m.d.sync += self.rank.eq(self.rank + 1)
            if self.layout.holds_scores:
                m.d.comb += self.race.next.eq(1)
                m.next = "RACING"
            else:
                m.next = "RACE"
        with m.Elif(self.learn):
            m.next = "THETA"
        with m.Else():
            self._close(m)

    def _close(self, m):
        """The tile is done with."""
        if self.layout.chip.fire_mode == "threshold":
            m.next = "CLOSE"
        else:
            self._leave_tile(m)

    def _raise(self, m):
        """A threshold is written back raised, in the clock after RAISE has picked it."""
        layout, chip = self.layout, self.layout.chip
        self.raising, self.theta = Signal(), Signal(chip.threshold_bits)
        self.raised_address, self.raised_lane = Signal.like(self.theta_write.addr), Signal(layout.lane)
        raised = Signal(max(chip.threshold_bits, 16) + 1)
        m.d.comb += raised.eq(self.theta + self.theta_step)
        m.d.sync += self.raising.eq(0)
        with m.If(self.raising):
            m.d.comb += [self.theta_write.addr.eq(self.raised_address), self.theta_write.en.eq(1 << self.raised_lane),
                         *self._all_lanes(self.theta_write, saturate(raised, chip.threshold_bits))]
            self._count(m, "theta_clipped", raised[chip.threshold_bits:].any())

    def _learn(self, m):
        """A learning post spike: post-trace unit, SET sweep; at the end the threshold of the first winner."""
        layout, chip = self.layout, self.layout.chip
        full = (1 << chip.trace_bits) - 1

        def recharge(unit):
            m.d.comb += [
                self.unit_write.addr.eq(self._unit_address(self.here.tile, unit)),
                self.unit_write.data.neuron.eq(self.last_winner),
                self.unit_write.data.stamp.eq(self.step),
                self.unit_write.en.eq(1),
            ]
            m.d.sync += self.any_units.eq(1)
            m.next = "SWEEP"

        if chip.fire_mode == "threshold":
            with m.State("FIND UNIT"):
                m.d.comb += self.unit_read.addr.eq(self._unit_address(self.here.tile, self.unit))
                m.next = "MATCH UNIT"
                with m.If(self.unit == self.held.used):
                    m.next = "TAKE UNIT"
            with m.State("MATCH UNIT"):
                with m.If(self.unit_read.data.neuron == self.last_winner):
                    self._count(m, "post_recharge", full - self.unit_trace.trace)
                    recharge(self.unit)
                with m.Elif(self.unit == chip.learners - 1):
                    m.next = "TAKE UNIT"
                with m.Else():
                    m.d.sync += self.unit.eq(self.unit + 1)
                    m.next = "FIND UNIT"
        with m.State("TAKE UNIT"):
            self._count(m, "post_recharge", full)
            recharge(self.held.next)
            m.d.sync += self.held.next.eq(Mux(self.held.next == chip.learners - 1, 0, self.held.next + 1))
            with m.If(self.held.used != chip.learners):
                m.d.sync += self.held.used.eq(self.held.used + 1)
        with m.State("SWEEP"):
            self._start_sweep(m, PulseMode.POST, self.last_winner)
            with m.If(self.pulses.start_ready):
                self._count(m, "set_events")
                self._next_rank(m)
        address = layout.neuron_address(self.here.tile, self.first_winner.word)
        with m.State("THETA"):
            m.d.comb += self.theta_read.addr.eq(address)
            m.next = "RAISE"
        with m.State("RAISE"):
            lane = self.first_winner.lane
            m.d.sync += [self.raising.eq(1), self.raised_address.eq(address), self.raised_lane.eq(lane),
                         self.theta.eq(self.theta_read.data[lane])]
            self._close(m)
        if chip.fire_mode == "threshold":
            with m.State("CLOSE"):
                self._note_tile(m)
                m.d.comb += self.tile_write.data.active.eq(0)
                self._leave_tile(m)

    def _start_sweep(self, m, mode, neuron):
        m.d.comb += [
            self.pulses.start_valid.eq(1),
            self.pulses.start.mode.eq(mode),
            self.pulses.start.address.eq(self.here.level + neuron.word),
            self.pulses.start.lane.eq(neuron.lane),
            self.pulses.start.line.eq(self.here.line),
            self.pulses.start.trace.eq(self.unit_trace.trace),
            self.pulses.start.tile.eq(self.here.tile),
        ]

    def _darken(self, m):
        """RESET pulses from silent lines to every post-trace unit of a tile."""
        chip = self.layout.chip
        unit = self.unit_read.data
        over = Signal()
        m.d.comb += over.eq((self.unit == chip.learners - 1) | (self.unit + 1 == self.held.used))
        with m.State("DARK UNIT"):
            m.d.comb += self.unit_read.addr.eq(self._unit_address(self.here.tile, self.unit))
            m.next = "DARK SWEEP"
        with m.State("DARK SWEEP"):
            m.d.comb += self.unit_read.addr.eq(self._unit_address(self.here.tile, self.unit))
            faded = self.unit_trace.trace == 0
            with m.If(~faded):
                self._start_sweep(m, PulseMode.DARK, unit.neuron)
            with m.If(faded | self.pulses.start_ready):
                m.d.sync += self.unit.eq(self.unit + 1)
                m.next = "DARK UNIT"
                with m.If(over):
                    self._leave_tile(m)

    def _end(self, m):
        """Leak, then forget the sample. CLEAR is also what follows a reset."""
        layout, chip = self.layout, self.layout.chip
        if chip.theta_leak:
            place = Signal(range(layout.neuron_depth))
            leaked = Signal(layout.theta_word)
            for lane in range(layout.lanes):
                theta = self.theta_read.data[lane]
                m.d.comb += leaked[lane].eq(theta - (theta >> chip.theta_leak))
            with m.State("LEAK"):
                m.d.comb += self.theta_read.addr.eq(place)
                m.next = "LEAKED"
            with m.State("LEAKED"):
                m.d.comb += [self.theta_write.addr.eq(place), self.theta_write.data.eq(leaked),
                             self.theta_write.en.eq(-1)]
                m.d.sync += place.eq(place + 1)
                m.next = "LEAK"
                with m.If(place == layout.neuron_depth - 1):
                    m.d.sync += place.eq(0)
                    m.next = "CLEAR"
        with m.State("CLEAR"):
            with m.If(self.cleared):
                m.d.comb += [self.changes_bank.eq(1), self.events.ready.eq(self.ending)]
                m.d.sync += [self.step.eq(0), self.spoken.eq(0), self.any_units.eq(0), self.dark_sample.eq(0),
                             self.ending.eq(0)]
                if chip.classes:
                    m.d.comb += self.read_out.clear.eq(1)
                self._count(m, "samples", self.ending)
                m.next = "IDLE"

    # access

    def _access_paths(self, m):
        """What an access addresses whether it is under way or not, and how long all counting has been over."""
        layout, chip, access = self.layout, self.layout.chip, self.access
        code = {entry.name: entry.code for entry in MEMORIES}
        self.resting = Signal()  # no event acts in this clock
        self.access_found = Signal.like(self.access_data)  # what an access reads
        self.settled = Signal(range(self.counters.settle + 1))
        with m.If(~self.resting | ~self.quiet):
            m.d.sync += self.settled.eq(0)
        with m.Elif(self.settled != self.counters.settle):
            m.d.sync += self.settled.eq(self.settled + 1)
        level = access.column[:layout.level.width]
        taught = (access.memory == code["read_out_set"]) | (access.memory == code["read_out_reset"])
        place = Cat(level, access.row[:layout.bin.width], taught)[:layout.table_address.width]
        m.d.comb += [
            self.counters.address.eq(access.column[:len(self.counters.address)]),
            self.pulses.table_address.eq(place),
            self.pulses.table_write_data.eq(access.data[:16]),
            self.pulses.weight_read_level.eq(level),
            self.pulses.weight_write_level.eq(level),
            self.pulses.weight_write_weight.eq(access.data[:chip.weight_bits]),
            self.accumulator.write_level.eq(level),
            self.accumulator.write_weight.eq(access.data[:chip.weight_bits]),
        ]

    def _access(self, m):
        """Read or write one cell."""
        layout, chip, access = self.layout, self.layout.chip, self.access
        code = {entry.name: entry.code for entry in MEMORIES}
        level_address = Signal(layout.level_address)
        neuron_address = layout.neuron_address(access.row[:layout.tile.width], access.neuron.word)
        found, told = self.access_found, Signal.like(self.access_data)
        with m.State("ADDRESS"):
            m.d.comb += self.resting.eq(1)
            m.d.sync += level_address.eq(access.row * layout.words + access.neuron.word)
            with m.If((access.memory != code["counters"]) | (self.settled == self.counters.settle)):
                # the scanner rests a clock before a total is read, so that it is not written while it is read
                m.d.comb += self.counters.hold.eq(access.memory == code["counters"])
                m.next = "CELL"
        with m.State("CELL"):
            m.d.comb += [self.resting.eq(1), self.counters.hold.eq(access.memory == code["counters"])]
            m.d.comb += [self.level_read.addr.eq(level_address), self.theta_read.addr.eq(neuron_address),
                         self.random_read.addr.eq(access.row[:layout.stream.width])]
            m.next = "DATA"
        with m.State("DATA"):
            m.next = "TOLD"
            m.d.comb += self.resting.eq(1)
            m.d.sync += told.eq(found)
            with m.Switch(access.memory):
                with m.Case(code["levels"]):
                    m.d.comb += [
                        found.eq(self.level_read.data[access.neuron.lane]),
                        self.level_write.addr.eq(level_address),
                        *self._all_lanes(self.level_write, access.data[:layout.level.width]),
                        self.level_write.en.eq(Mux(access.write, 1 << access.neuron.lane, 0)),
                    ]
                with m.Case(code["theta"]):
                    m.d.comb += [
                        found.eq(self.theta_read.data[access.neuron.lane]),
                        self.theta_write.addr.eq(neuron_address),
                        *self._all_lanes(self.theta_write, access.data[:chip.threshold_bits]),
                        self.theta_write.en.eq(Mux(access.write, 1 << access.neuron.lane, 0)),
                    ]
                with m.Case(code["random"]):
                    m.d.comb += [
                        found.eq(self.random_read.data),
                        self.random_write.addr.eq(access.row[:layout.stream.width]),
                        self.random_write.data.eq(access.data[:32]),
                        self.random_write.en.eq(access.write),
                    ]
                with m.Case(code["weight"]):
                    m.d.comb += [found.eq(self.pulses.weight_value),
                                 self.pulses.weight_write.eq(access.write), self.accumulator.write.eq(access.write)]
                with m.Case(*(code[name] for name in ("set", "read_out_set")[:1 + (chip.classes > 0)])):
                    m.d.comb += [found.eq(self.pulses.table_value_set),
                                 self.pulses.table_write_set.eq(access.write)]
                with m.Case(*(code[name] for name in ("reset", "read_out_reset")[:1 + (chip.classes > 0)])):
                    m.d.comb += [found.eq(self.pulses.table_value_reset),
                                 self.pulses.table_write_reset.eq(access.write)]
                if chip.classes:
                    with m.Case(code["read_out"]):
                        cell, column = self.read_out, access.column[:layout.label.width]
                        m.d.comb += [
                            found.eq(cell.data[column]),
                            cell.write_address.eq(access.row[:layout.read_out_row.width]),
                            cell.written.eq(access.data[:layout.level.width]),
                            cell.write.eq(Mux(access.write, 1 << column, 0)),
                        ]
                if chip.has_stuck_cells:
                    self._stuck_cells(m, code, level_address)
                with m.Case(code["registers"]):
                    self._registers(m)
                with m.Case(code["counters"]):
                    m.d.comb += found.eq(self.counters.value)
                    with m.If(access.write):
                        m.next = "CLEAR COUNTERS"
                with m.Case(code["status"]):
                    m.d.comb += found.eq(self.status[access.column[:bits_for(len(STATUS_WORDS) - 1)]])
                with m.Case(code["identity"]):
                    m.d.comb += found.eq(self._identity(m))
        with m.State("TOLD"):  # the way from the memories through all choices is a long one
            m.d.comb += [self.resting.eq(1), self.access_ready.eq(1), self.access_data.eq(told)]
            m.next = "IDLE"
        clearing = Signal(range(self.counters.settle + 1))
        with m.State("CLEAR COUNTERS"):
            m.d.comb += self.counters.clear.eq(1)
            m.d.sync += clearing.eq(clearing + 1)
            with m.If(clearing == self.counters.settle):
                m.d.comb += self.access_ready.eq(1)
                m.d.sync += clearing.eq(0)
                m.next = "IDLE"

    def _stuck_cells(self, m, code, level_address):
        """The masks of stuck cells, as the levels they belong to."""
        layout, access = self.layout, self.access
        masks = [("stuck", self.stuck_read, self.stuck_write, level_address, access.neuron.lane)]
        if layout.chip.classes:
            masks.append(("read_out_stuck", self.taught_stuck_read, self.taught_stuck_write,
                          access.row[:layout.read_out_row.width], access.column[:layout.label.width]))
        for name, read, write, address, place in masks:
            with m.Case(code[name]):
                m.d.comb += [self.access_found.eq(read.data[place]), write.addr.eq(address), write.data.eq(read.data),
                             write.en.eq(access.write)]
                m.d.comb += write.data[place].eq(access.data[0])

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
