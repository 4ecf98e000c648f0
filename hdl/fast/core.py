"""The core of a chip: its memories, and the sequence of every event."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.utils import bits_for

from ohmspike.chip.description import STEP_MAX
from ohmspike.chip.instructions import MEMORIES, STATUS_WORDS
from ohmspike.hdl.shared.accumulator import Accumulator
from ohmspike.hdl.shared.core import CommonCore
from ohmspike.hdl.shared.layout import SILENT
from ohmspike.hdl.shared.logic import saturate
from ohmspike.hdl.shared.plasticity import PulseMode, TraceLookup
from ohmspike.hdl.shared.ports import EventKind, counter_peaks
from ohmspike.hdl.shared.router import Router

from .counters import CounterBank
from .pulses import Pulses
from .race import Race
from .read_out import ReadOut

__all__ = ["Core"]


class Core(CommonCore):
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
        See :mod:`ohmspike.hdl.fast.timing` for the clocks of every event; ``words`` clocks per read in a run of spikes.
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
        self._registers_and_shapes()
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
        self.unit_read, self.unit_write = memory_of("units", self.unit_shape, self.unit_depth)
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

        self.bank = Signal()  # of line stamps and tile states: the one of this sample
        self.line_noted, self.tile_noted = Signal(), Signal()  # their write ports are taken
        self.cleared = Signal()  # the bank that END takes next is clear
        self.changes_bank = Signal()
        m.d.comb += self.dark.eq(self.dark_sample)

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

    @property
    def visited_levels(self):
        return self.level_read.data

    @property
    def pulses_over(self):
        return self.pulses.idle

    def _address_visit(self, m, visit, word):
        m.d.comb += [
            self.level_read.addr.eq(visit.payload.address + word),
            self.tile_read.addr.eq(self.layout.banked(visit.payload.tile, self.bank)),
        ]

    def _note_visit(self, m, tile):
        m.d.comb += [self.tile_noted.eq(1), self.tile_write.addr.eq(self.layout.banked(tile, self.bank))]

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

