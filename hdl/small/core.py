"""The core of a chip in the small form: one memory for everything wide, and one thing at a time."""

from amaranth import Cat, Module, Mux, Signal, unsigned
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

from .array import Array, ArrayMap
from .counters import SerialCounterBank
from .pulses import SerialPulses
from .race import SerialRace
from .read_out import SerialReadOut

__all__ = ["SmallCore"]


def _peaks(layout):
    """The largest increments: the read-out counts all pulses of a fire at once."""
    peaks, chip = counter_peaks(layout), layout.chip
    if chip.classes:
        peaks["read_out_sum"] = chip.winners * chip.classes * ((1 << chip.weight_bits) - 1)
    return peaks


class SmallCore(CommonCore):
    """Carry out events like :class:`~ohmspike.hdl.fast.core.Core`, with clocks traded for gates.

    One single-ported memory, the :class:`~ohmspike.hdl.small.array.Array`, holds levels of tiles and read-out,
    thresholds and random states. By construction no two parts want it in the same clock: visits stream words; a race,
    which begins when they are done, reads a threshold per clock; the read-out adds a fire before the race of the next
    rank; the pulse generator works while all of them wait.

    Nor is a word of any memory that is read while it is written ever used: it is dropped, or read again.

    Timing
    ------
    Throughput
        See :mod:`ohmspike.hdl.small.timing` for the clocks of every event; ``max(words, 6)`` clocks a read of a run of
        spikes, and 4 or more a spike.
    Latency
        An event is accepted in the clock in which it ends, a SPIKE when the router takes its line.
    Reset
        As of :class:`~ohmspike.hdl.fast.core.Core`; then accepts nothing for ``max(lines, tiles, classes) + 1`` clocks.

    Parameters and members
        Of :class:`~ohmspike.hdl.fast.core.Core`; the layout is one with ``level_ports`` 1.
    """

    def elaborate(self, platform):
        m = Module()
        self._storage(m)
        self._count_defaults(m)
        self._reads(m)
        self._sequence(m)
        return m

    # storage

    def _storage(self, m):
        layout, chip = self.layout, self.layout.chip
        self._registers_and_shapes()
        self.array_map = ArrayMap(layout)

        def memory_of(name, shape, depth):
            m.submodules[name] = store = Memory(shape=shape, depth=depth, init=[])
            return store.read_port(), store.write_port()

        self.membrane_read, self.membrane_write = memory_of("membranes", layout.membrane_word, layout.neuron_depth)
        self.tile_read, self.tile_write = memory_of("tile_states", self.tile_shape, chip.tiles)
        self.unit_read, self.unit_write = memory_of("units", self.unit_shape, self.unit_depth)
        self.line_read, self.line_write = memory_of("lines", unsigned(8), chip.lines)
        m.submodules.array = self.array = Array(layout)
        m.submodules.router = self.router = Router(layout)
        m.submodules.accumulator = self.accumulator = Accumulator(layout)
        m.submodules.race = self.race = SerialRace(layout)
        m.submodules.pulses = self.pulses = SerialPulses(layout)
        m.submodules.counters = self.counters = SerialCounterBank(_peaks(layout), chip.amplitudes)
        m.submodules.unit_trace = self.unit_trace = TraceLookup(layout)
        m.submodules.line_trace = self.line_trace = TraceLookup(layout)

        self.tile = Signal(layout.tile)  # the walk is there
        self.counted = Signal(init=1)  # the increments of the last spike have been taken
        m.d.comb += self.dark.eq(self.dark_sample)

    # counters

    def _count_defaults(self, m):
        pulses = self.pulses
        m.d.comb += self.counters.held_dark_spikes.eq(self.layout.chip.lines - self.spoken)
        for name in ("pulse", "pulse_reset", "pulse_bin", "pulse_weight"):
            m.d.comb += getattr(self.counters, name).eq(getattr(pulses, name))
        self._count(m, "clipped_high", pulses.clipped & ~pulses.pulse_reset)
        self._count(m, "clipped_low", pulses.clipped & pulses.pulse_reset)

    # reads

    @property
    def visited_levels(self):
        return self.array.levels

    @property
    def pulses_over(self):
        return self.pulses.start_ready

    def _address_visit(self, m, visit, word):
        m.d.comb += [
            self.tile_read.addr.eq(Mux(visit.valid, visit.payload.tile, self.tile)),
            self.array.address.eq(visit.payload.address + word),
        ]

    def _note_visit(self, m, tile):
        m.d.comb += self.tile_write.addr.eq(tile)

    # read-out

    def _read_out(self, m):
        """Fires of ranks 0 to K - 1 send K to 1 pulses; the pulse generator and the host share what is left."""
        chip, pulses = self.layout.chip, self.pulses
        if not chip.classes:
            m.d.comb += self.quiet.eq(self.visits_quiet)
            return
        m.submodules.read_out = read_out = self.read_out = SerialReadOut(self.layout)
        self.tile_row = Signal(self.layout.read_out_row)
        neuron = self.winner.neuron
        m.d.comb += [
            self.quiet.eq(self.visits_quiet & read_out.idle),
            read_out.fire.row.eq(self.tile_row + neuron.word * self.layout.lanes + neuron.lane),
            read_out.fire.pulses.eq(chip.winners - self.rank),
            read_out.but.eq(self.events.payload.line[:self.layout.label.width]),
            read_out.apart.eq(self.events.payload.kind == EventKind.LABEL),
            read_out.place.eq(pulses.place),
            read_out.load.eq(self.accumulator.write),
            read_out.load_level.eq(self.accumulator.write_level),
            read_out.load_weight.eq(self.accumulator.write_weight),
            pulses.listed.eq(read_out.listed),
            pulses.row.eq(read_out.row),
        ]
        m.d.comb += read_out.level.eq(self.array.level)
        with m.If(read_out.reading):
            m.d.comb += self.array.address.eq(self.array_map.read_out_address(read_out.fire.row, read_out.word))
        with m.If(~read_out.idle):
            m.d.comb += self.array.lane.eq(read_out.lane)
        self._count(m, "read_out_sum", read_out.added)
        m.d.comb += self.counters.held_read_out_sum.eq(read_out.weight_sum)

    # sequence

    def _space_spikes(self, m, spoken):
        """A spike takes 4 clocks, so that its increments are counted before those of the next."""
        waiting = Signal()
        m.d.sync += [waiting.eq(spoken), self.counted.eq(~spoken & ~waiting)]

    def _sequence(self, m):
        layout, chip = self.layout, self.layout.chip
        event = self.events.payload
        self.tile_x = Signal(range(chip.grid_width))
        self.tile_level = Signal(layout.level_address)
        self.tile_line = Signal(layout.line)
        self.rank = Signal(range(chip.winners))
        self.listed = Signal(range(SerialRace.ranks_per_pass(layout)))  # the rank within its pass
        self.winner = Signal(self.race.winners[0].shape())
        self.unit = Signal(layout.unit)
        self.units_used, self.next_unit = Signal(layout.unit_count), Signal(layout.unit)
        self.first_winner = Signal(layout.neuron)
        self.ending = Signal()  # an END, and not a reset, leads to CLEAR
        m.d.comb += [
            self.pulses.line_stamp.eq(self.line_read.data),
            self.line_read.addr.eq(event.line[:len(self.line_read.addr)]),
            self.line_trace.stamp.eq(self.line_read.data),
            self.line_trace.step.eq(self.step),
            self.router.spikes.payload.eq(event.line[:len(self.line_read.addr)]),
            self.race.behind.eq(self.rank != 0),
            self.winner.eq(self.race.winners[self.listed]),
        ]
        m.d.comb += self.array.lane.eq(self.access.neuron.lane)
        self._pulse_paths(m)
        self._race_feed(m)
        self._read_out(m)
        self._access_paths(m)
        with m.FSM(init="CLEAR", name="event") as fsm:
            self._accept(m)
            self._walk(m)
            self._fire(m)
            self._learn(m)
            self._darken(m)
            self._answer(m)
            self._end(m)
            self._access(m)
        m.d.comb += self.idle.eq(fsm.ongoing("IDLE") & self.quiet & ~self.events.valid)

    def _pulse_paths(self, m):
        """What the pulse generator reads and writes; while it works the memories are its own."""
        pulses, array = self.pulses, self.array
        with m.If(~pulses.start_ready):
            m.d.comb += [self.line_read.addr.eq(pulses.line_address), array.address.eq(pulses.address),
                         array.lane.eq(pulses.lane)]
        m.d.comb += [
            pulses.level.eq(array.level),
            array.write_level.eq(pulses.write_level),
            array.written_level.eq(pulses.written_level),
            pulses.random_data.eq(array.word),
            array.written.eq(pulses.random_written),
            array.write.eq(pulses.random_write),
        ]
        if self.layout.noisy:
            m.d.comb += pulses.write_noise.eq(self.write_noise)
        if self.layout.chip.has_stuck_cells:
            m.d.comb += pulses.stuck.eq(array.stuck)

    def _accept(self, m):
        """Take an event; all but SPIKE wait for the reads under way."""
        chip, event = self.layout.chip, self.events.payload
        refuse, spoke = Signal(), Signal()
        self._space_spikes(m, spoke)
        with m.State("IDLE"):
            m.d.comb += self.resting.eq(~self.events.valid)
            with m.If(self.events.valid & (event.kind == EventKind.SPIKE)):
                with m.If(self.dark_sample):
                    m.d.comb += refuse.eq(1)
                with m.Elif(self.pulses.start_ready & self.counted):
                    m.next = "SPIKE"
            with m.Elif(self.events.valid & self.quiet):
                with m.Switch(event.kind):
                    with m.Case(EventKind.STEP):
                        with m.If(self.dark_sample | (self.step == STEP_MAX)):
                            m.d.comb += refuse.eq(1)
                        with m.Else():
                            self._begin_walk(m)
                            m.next = "TILE" if chip.fire_mode == "threshold" else "WALKED"
                    with m.Case(EventKind.DECIDE):
                        with m.If(self.dark_sample | (chip.fire_mode == "threshold")):
                            m.d.comb += refuse.eq(1)
                        with m.Else():
                            self._begin_walk(m)
                            m.next = "TILE"
                    with m.Case(EventKind.DARK):
                        with m.If(self.dark_sample):
                            m.d.comb += refuse.eq(1)
                        with m.Else():
                            self._begin_walk(m)
                            m.next = "TILE"
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
        beyond = Signal()  # told a clock late: the way from the bits of a FRAME to the end of an event is long
        m.d.sync += beyond.eq(event.line >= chip.lines)
        with m.State("SPIKE"):
            with m.If(beyond):
                m.d.comb += self.events.ready.eq(1)
                self._count(m, "refused")
                m.next = "IDLE"
            with m.Elif(~self.pulses.start_ready):
                m.next = "IDLE"  # a RESET pulse took the line memory: read the stamp again
            with m.Else():
                m.d.comb += self.router.spikes.valid.eq(1)
                with m.If(self.router.spikes.ready):
                    full = (1 << chip.trace_bits) - 1
                    m.d.comb += [
                        self.events.ready.eq(1),
                        self.line_write.addr.eq(event.line[:len(self.line_write.addr)]),
                        self.line_write.data.eq(self.step),
                        self.line_write.en.eq(1),
                    ]
                    m.d.comb += spoke.eq(1)
                    m.d.sync += self.spoken.eq(self.spoken + (self.line_read.data == SILENT))
                    self._count(m, "in_spikes")
                    self._count(m, "pre_recharge", full - self.line_trace.trace)
                    m.next = "IDLE"

    def _begin_walk(self, m):
        chip = self.layout.chip
        m.d.sync += [self.tile.eq(0), self.tile_x.eq(0), self.tile_level.eq(0), self.rank.eq(0), self.unit.eq(0),
                     self.tile_line.eq(chip.top * chip.plane_width + chip.left)]
        if chip.classes:
            m.d.sync += self.tile_row.eq(0)

    def _advance(self, m):
        """On to the next tile, or to the end of the walk."""
        layout, chip = self.layout, self.layout.chip
        m.d.sync += [
            self.tile.eq(self.tile + 1),
            self.tile_x.eq(self.tile_x + 1),
            self.tile_level.eq(self.tile_level + chip.rows * layout.words),
            self.tile_line.eq(self.tile_line + chip.stride),
            self.rank.eq(0),
            self.unit.eq(0),
        ]
        if chip.classes:
            m.d.sync += self.tile_row.eq(self.tile_row + chip.neurons)
        with m.If(self.tile_x == chip.grid_width - 1):
            back = chip.stride * (chip.plane_width - chip.grid_width + 1)
            m.d.sync += [self.tile_x.eq(0), self.tile_line.eq(self.tile_line + back)]
        m.next = "TILE"
        with m.If(self.tile == chip.tiles - 1):
            m.next = "WALKED"

    def _walk(self, m):
        """Look at every tile in turn; act on those that are live, or for DARK on those that learned."""
        chip, event = self.layout.chip, self.events.payload
        state = self.tile_read.data
        live = ~state.closed & state.active & (state.reads >= chip.min_spikes)
        with m.State("TILE"):
            m.next = "TEST"
        with m.State("TEST"):
            m.d.sync += [self.units_used.eq(state.used), self.next_unit.eq(state.next)]
            with m.If(event.kind == EventKind.DARK):
                with m.If(self.learn & state.closed & (state.used != 0)):
                    m.next = "DARK UNIT"
                with m.Else():
                    self._advance(m)
            with m.Elif(live):
                self._count(m, "decisions")
                m.next = "RACE"
            with m.Else():
                self._advance(m)
        with m.State("WALKED"):
            with m.If(event.kind == EventKind.DARK):
                self._count(m, "dark_spikes")
                m.d.sync += self.dark_sample.eq(1)
            with m.Elif(event.kind == EventKind.STEP):
                self._count(m, "steps", self.events.ready)
            reports = self.report & (event.kind != EventKind.DARK)
            if chip.fire_mode == "race":
                reports &= event.kind == EventKind.DECIDE
            m.d.comb += [self.fires.payload.end.eq(1), self.fires.valid.eq(reports)]
            with m.If(~reports | self.fires.ready):
                m.d.comb += self.events.ready.eq(1)
                with m.If(event.kind == EventKind.STEP):
                    m.d.sync += self.step.eq(self.step + 1)
                m.next = "IDLE"

    def _race_feed(self, m):
        """Neurons addressed in state RACE reach the race one clock later."""
        layout = self.layout
        self.racing = racing = Signal(layout.neuron)
        self.race_issue = Signal()
        self.race_last = Signal()
        entry = self.race.entry
        feed = Signal(entry.shape())
        end = racing.lane == layout.lanes - 1
        m.d.comb += self.race_last.eq((racing.word == layout.words - 1) & (racing.lane == layout.last_lanes - 1))
        m.d.sync += [feed.valid.eq(self.race_issue), feed.neuron.eq(racing), feed.last.eq(self.race_last),
                     feed.first.eq((racing.word == 0) & (racing.lane == 0))]
        with m.If(self.race_issue):
            m.d.sync += racing.lane.eq(racing.lane + 1)
            with m.If(end | self.race_last):
                m.d.sync += [racing.lane.eq(0), racing.word.eq(Mux(self.race_last, 0, racing.word + 1))]
        m.d.comb += [entry.eq(feed), self.race.membrane.eq(self.membrane_read.data[feed.neuron.lane]),
                     self.race.theta.eq(self.array.word)]

    def _fire(self, m):
        layout, chip = self.layout, self.layout.chip
        winner = self.winner
        with m.State("RACE"):
            m.d.comb += [self.race_issue.eq(1),
                         self.array.address.eq(self.array_map.theta_address(self.tile, self.racing)),
                         self.membrane_read.addr.eq(layout.neuron_address(self.tile, self.racing.word))]
            with m.If(self.race_last):
                m.next = "RACING"
        with m.State("RACING"):
            with m.If(self.race.done):
                m.next = "FOUND"
        with m.State("FOUND"):
            fires, taken = Signal(), Signal()
            read = self.read_out.fire_ready if chip.classes else 1
            m.d.comb += [fires.eq(1), taken.eq(read & (~self.report | self.fires.ready))]
            if chip.fire_mode == "threshold":
                m.d.comb += fires.eq(winner.score >= self.theta_base)
            m.d.comb += [
                self.fires.valid.eq(fires & self.report & read),
                self.fires.payload.tile.eq(self.tile),
                self.fires.payload.neuron.eq(winner.neuron),
                self.fires.payload.first.eq(self.rank == 0),
            ]
            with m.If(~fires):
                self._advance(m)
            with m.Elif(taken):
                self._count(m, "out_spikes")
                if chip.classes:
                    m.d.comb += self.read_out.fire_valid.eq(1)
                    self._count(m, "read_out_reads", chip.winners - self.rank)
                with m.If(self.rank == 0):
                    m.d.sync += self.first_winner.eq(winner.neuron)
                if chip.classes:
                    m.next = "READ OUT"
                else:
                    self._fired(m)
        if chip.classes:  # the array is the read-out's until it has added the fire
            with m.State("READ OUT"):
                with m.If(self.read_out.idle):
                    self._fired(m)
        with m.State("NEXT RANK"):
            m.d.sync += [self.rank.eq(self.rank + 1), self.listed.eq(self.listed + 1)]
            m.next = "FOUND"
            with m.If(self.listed == SerialRace.ranks_per_pass(layout) - 1):
                m.d.sync += self.listed.eq(0)
                m.next = "RACE"
            with m.If(self.rank == chip.winners - 1):
                m.d.sync += self.listed.eq(0)
                m.next = "CLOSE"
                with m.If(self.learn):
                    m.next = "THETA"
        with m.State("CLOSE"):
            race = chip.fire_mode == "race"
            m.d.comb += [self.tile_write.en.eq(1), self.tile_write.addr.eq(self.tile)]
            m.d.comb += self.tile_write.data.eq(self.tile_read.data)  # of the tile that was addressed all the time
            m.d.comb += [self.tile_write.data.used.eq(self.units_used), self.tile_write.data.next.eq(self.next_unit)]
            m.d.comb += self.tile_write.data.closed.eq(1) if race else self.tile_write.data.active.eq(0)
            self._advance(m)

    def _fired(self, m):
        """What follows a fire: its learning, or the next rank."""
        chip = self.layout.chip
        with m.If(self.learn & (self.rank < chip.learners)):
            m.next = "FIND UNIT" if chip.fire_mode == "threshold" else "TAKE UNIT"
        with m.Else():
            m.next = "NEXT RANK"

    def _learn(self, m):
        """A learning post spike: post-trace unit, SET sweep; at the end the threshold of the first winner."""
        chip = self.layout.chip
        winner = self.winner
        full = (1 << chip.trace_bits) - 1

        def recharge(unit):
            m.d.comb += [
                self.unit_write.addr.eq(self._unit_address(self.tile, unit)),
                self.unit_write.data.neuron.eq(winner.neuron),
                self.unit_write.data.stamp.eq(self.step),
                self.unit_write.en.eq(1),
            ]
            m.d.sync += self.any_units.eq(1)
            m.next = "SWEEP"

        if chip.fire_mode == "threshold":
            with m.State("FIND UNIT"):
                m.d.comb += self.unit_read.addr.eq(self._unit_address(self.tile, self.unit))
                m.next = "MATCH UNIT"
                with m.If(self.unit == self.units_used):
                    m.next = "TAKE UNIT"
            with m.State("MATCH UNIT"):
                with m.If(self.unit_read.data.neuron == winner.neuron):
                    self._count(m, "post_recharge", full - self.unit_trace.trace)
                    recharge(self.unit)
                with m.Elif(self.unit == chip.learners - 1):
                    m.next = "TAKE UNIT"
                with m.Else():
                    m.d.sync += self.unit.eq(self.unit + 1)
                    m.next = "FIND UNIT"
        with m.State("TAKE UNIT"):
            self._count(m, "post_recharge", full)
            recharge(self.next_unit)
            m.d.sync += self.next_unit.eq(Mux(self.next_unit == chip.learners - 1, 0, self.next_unit + 1))
            with m.If(self.units_used != chip.learners):
                m.d.sync += self.units_used.eq(self.units_used + 1)
        with m.State("SWEEP"):
            self._start_sweep(m, PulseMode.POST, winner.neuron)
            self._count(m, "set_events")
            m.next = "SWEEPING"
        with m.State("SWEEPING"):
            with m.If(self.pulses.start_ready):
                m.next = "NEXT RANK"
        address = self.array_map.theta_address(self.tile, self.first_winner)
        with m.State("THETA"):
            m.d.comb += self.array.address.eq(address)
            m.next = "RAISE"
        with m.State("RAISE"):
            raised = Signal(max(chip.threshold_bits, 16) + 1)
            m.d.comb += [
                raised.eq(self.array.word[:chip.threshold_bits] + self.theta_step),
                self.array.address.eq(address),
                self.array.written.eq(saturate(raised, chip.threshold_bits)),
                self.array.write.eq(1),
            ]
            self._count(m, "theta_clipped", raised[chip.threshold_bits:].any())
            m.next = "CLOSE"

    def _start_sweep(self, m, mode, neuron):
        m.d.comb += [
            self.pulses.start_valid.eq(1),
            self.pulses.start.mode.eq(mode),
            self.pulses.start.address.eq(self.tile_level + neuron.word),
            self.pulses.start.lane.eq(neuron.lane),
            self.pulses.start.line.eq(self.tile_line),
            self.pulses.start.trace.eq(self.unit_trace.trace),
            self.pulses.start.tile.eq(self.tile),
        ]

    def _darken(self, m):
        """RESET pulses from silent lines to every post-trace unit of a tile."""
        chip = self.layout.chip
        unit = self.unit_read.data
        with m.State("DARK UNIT"):
            m.d.comb += self.unit_read.addr.eq(self._unit_address(self.tile, self.unit))
            m.next = "DARK SWEEP"
        with m.State("DARK SWEEP"):
            with m.If(self.unit_trace.trace != 0):
                self._start_sweep(m, PulseMode.DARK, unit.neuron)
            m.next = "DARK SWEEPING"
        with m.State("DARK SWEEPING"):
            self._count(m, "reset_rows", self.pulses.pulse)
            with m.If(self.pulses.start_ready):
                m.next = "DARK UNIT"
                m.d.sync += self.unit.eq(self.unit + 1)
                with m.If((self.unit == chip.learners - 1) | (self.unit + 1 == self.units_used)):
                    self._advance(m)

    def _end(self, m):
        """Leak, then forget the sample. CLEAR is also what follows a reset."""
        chip = self.layout.chip
        if chip.theta_leak:
            self._leak(m)
        last = max(chip.lines, chip.tiles, chip.classes) - 1
        swept = Signal(range(last + 1))
        with m.State("CLEAR"):
            m.d.comb += [
                self.line_write.addr.eq(swept[:len(self.line_write.addr)]),
                self.line_write.data.eq(SILENT),
                self.line_write.en.eq(swept < chip.lines),
                self.tile_write.addr.eq(swept[:len(self.tile_write.addr)]),
                self.tile_write.data.eq(0),
                self.tile_write.en.eq(swept < chip.tiles),
            ]
            m.d.sync += swept.eq(swept + 1)
            with m.If(swept == last):
                m.d.sync += [swept.eq(0), self.step.eq(0), self.spoken.eq(0), self.any_units.eq(0),
                             self.dark_sample.eq(0)]
                m.next = "CLEARED"
            if chip.classes:
                m.d.comb += self.read_out.clear.eq(1)
        with m.State("CLEARED"):
            m.d.comb += self.events.ready.eq(self.ending)
            m.d.sync += self.ending.eq(0)
            self._count(m, "samples", self.ending)
            m.next = "IDLE"

    def _leak(self, m):
        """Every threshold in turn."""
        chip, array = self.layout.chip, self.array
        place = Signal(range(self.array_map.theta_depth))
        theta = array.word[:chip.threshold_bits]
        address = self.array_map.region_address("theta", place)
        with m.State("LEAK"):
            m.d.comb += array.address.eq(address)
            m.next = "LEAKED"
        with m.State("LEAKED"):
            m.d.comb += [array.address.eq(address), array.written.eq(theta - (theta >> chip.theta_leak)),
                         array.write.eq(1)]
            m.d.sync += place.eq(place + 1)
            m.next = "LEAK"
            with m.If(place == self.array_map.theta_depth - 1):
                m.d.sync += place.eq(0)
                m.next = "CLEAR"

    # access

    def _access_paths(self, m):
        """What an access addresses whether it is under way or not, and how long all counting has been over."""
        layout, chip, access = self.layout, self.layout.chip, self.access
        code = {entry.name: entry.code for entry in MEMORIES}
        self.resting = Signal()  # no event acts in this clock
        self.access_found = self.access_data  # told in the clock in which it is found
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
        self.accessed = Signal(self.array_map.address)  # where a cell of the array lies
        m.d.comb += self.accessed.eq(access.row * layout.words + access.neuron.word)
        with m.Switch(access.memory):
            with m.Case(code["theta"]):
                m.d.comb += self.accessed.eq(
                    self.array_map.theta_address(access.row[:layout.tile.width], access.neuron))
            with m.Case(code["random"]):
                m.d.comb += self.accessed.eq(self.array_map.random_address(access.row[:layout.stream.width]))
            if chip.classes:
                with m.Case(*(code[name] for name in ("read_out", "read_out_stuck")[:1 + chip.has_stuck_cells])):
                    m.d.comb += self.accessed.eq(self.array_map.read_out_address(
                        access.row[:layout.read_out_row.width], access.neuron.word))

    def _access(self, m):
        """Read or write one cell. Cells of the array are read first, then written at the same address."""
        chip, access = self.layout.chip, self.access
        code = {entry.name: entry.code for entry in MEMORIES}
        with m.State("ADDRESS"):
            m.d.comb += self.resting.eq(1)
            with m.If((access.memory != code["counters"]) | (self.settled == self.counters.settle)):
                m.next = "CELL"
        with m.State("CELL"):
            m.d.comb += [self.resting.eq(1), self.counters.hold.eq(access.memory == code["counters"])]
            m.d.comb += self.array.address.eq(self.accessed)
            m.next = "DATA"
        with m.State("DATA"):
            m.next = "IDLE"
            m.d.comb += [self.resting.eq(1), self.access_ready.eq(1), self.array.address.eq(self.accessed)]
            with m.Switch(access.memory):
                self._array_cells(m, code)
                with m.Case(code["weight"]):
                    m.d.comb += [self.access_data.eq(self.pulses.weight_value),
                                 self.pulses.weight_write.eq(access.write), self.accumulator.write.eq(access.write)]
                with m.Case(*(code[name] for name in ("set", "read_out_set")[:1 + (chip.classes > 0)])):
                    m.d.comb += [self.access_data.eq(self.pulses.table_value_set),
                                 self.pulses.table_write_set.eq(access.write)]
                with m.Case(*(code[name] for name in ("reset", "read_out_reset")[:1 + (chip.classes > 0)])):
                    m.d.comb += [self.access_data.eq(self.pulses.table_value_reset),
                                 self.pulses.table_write_reset.eq(access.write)]
                with m.Case(code["registers"]):
                    self._registers(m)
                with m.Case(code["counters"]):
                    half = Mux(access.high, self.counters.value[32:], self.counters.value[:32])
                    m.d.comb += self.access_data.eq(half)
                    with m.If(access.write):
                        m.d.comb += self.access_ready.eq(0)
                        m.next = "CLEAR COUNTERS"
                with m.Case(code["status"]):
                    m.d.comb += self.access_data.eq(self.status[access.column[:bits_for(len(STATUS_WORDS) - 1)]])
                with m.Case(code["identity"]):
                    m.d.comb += self.access_data.eq(self._identity(m))
        clearing = Signal(range(self.counters.settle + 1))
        with m.State("CLEAR COUNTERS"):
            m.d.comb += self.counters.clear.eq(1)
            m.d.sync += clearing.eq(clearing + 1)
            with m.If(clearing == self.counters.settle):
                m.d.comb += self.access_ready.eq(1)
                m.d.sync += clearing.eq(0)
                m.next = "IDLE"

    def _array_cells(self, m, code):
        """Cells of the array: levels replace a lane of their word, all others are words."""
        layout, chip, access, array = self.layout, self.layout.chip, self.access, self.array
        with m.Case(*(code[name] for name in ("levels", "read_out")[:1 + (chip.classes > 0)])):
            m.d.comb += [self.access_data.eq(array.level), array.write_level.eq(access.write),
                         array.written_level.eq(access.data[:layout.level.width])]
        for name, width in (("theta", chip.threshold_bits), ("random", 32)):
            with m.Case(code[name]):
                m.d.comb += [self.access_data.eq(array.word[:width]), array.write.eq(access.write),
                             array.written.eq(access.data[:width])]
        if chip.has_stuck_cells:
            with m.Case(*(code[name] for name in ("stuck", "read_out_stuck")[:1 + (chip.classes > 0)])):
                m.d.comb += [self.access_data.eq(array.stuck), array.write_stuck.eq(access.write),
                             array.written_stuck.eq(access.data[0])]
