"""The core of a chip in the small form: one memory for everything wide, and one thing at a time."""

from amaranth import Mux, Signal

from ohmspike.hdl.shared.core import CommonCore
from ohmspike.hdl.shared.layout import SILENT, Layout
from ohmspike.hdl.shared.ports import EventKind

from .access import SmallAccess
from .homeostasis import SmallHomeostasis
from .race import SerialRace
from .storage import SmallStorage
from .walk import SmallWalk

__all__ = ["SmallCore"]


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

    walks: type = SmallWalk

    def __init__(self, layout: Layout):
        super().__init__(layout, SmallStorage(layout), walk=self.walks, homeostasis=SmallHomeostasis,
                         access=SmallAccess)
        self.took_spike = Signal()
        self.counted = Signal(init=1)  # the increments of the last spike have been taken
        self.beyond = Signal()  # there is no such line
        self.listed = Signal(range(SerialRace.ranks_per_pass(layout)))  # the rank within its pass
        self.winner = Signal(self.storage.race.winners[0].shape())
        self.racing = Signal(layout.neuron)
        self.race_last = Signal()

    @property
    def fired(self):
        return self.winner.neuron

    def _count_bins(self, m):
        counters, pulses = self.storage.counters, self.storage.pulses
        m.d.comb += counters.held_dark_spikes.eq(self.layout.chip.lines - self.sample.spiked)
        for name in ("pulse", "pulse_reset", "pulse_bin", "pulse_weight"):
            m.d.comb += getattr(counters, name).eq(getattr(pulses, name))

    def _paths(self, m):
        storage = self.storage
        m.d.comb += [
            *self._line_paths(),
            storage.race.behind.eq(self.walk.rank != 0),
            self.winner.eq(storage.race.winners[self.listed]),
        ]
        m.d.comb += storage.array.lane.eq(self.access.neuron.lane)
        self._pulse_paths(m)

    def _line_paths(self) -> list:
        """Connections of the line memory, to that of the event and to the pulses."""
        storage, lines = self.storage, self.storage.lines
        line = self.events.payload.line[:len(lines.read.addr)]
        return [
            storage.pulses.line_stamp.eq(lines.read.data),
            lines.read.addr.eq(line),
            storage.line_trace.stamp.eq(lines.read.data),
            storage.line_trace.step.eq(self.sample.step),
            storage.router.spikes.payload.eq(line),
        ]

    def _swept_line(self) -> list:
        """Address the line of a row that is swept."""
        return [self.storage.lines.read.addr.eq(self.storage.pulses.line_address)]

    def _pulse_paths(self, m):
        """What the pulse generator reads and writes; while it works the memories are its own."""
        pulses, array = self.storage.pulses, self.storage.array
        with m.If(~pulses.start_ready):
            m.d.comb += [*self._swept_line(), array.address.eq(pulses.address), array.lane.eq(pulses.lane)]
        m.d.comb += [
            pulses.level.eq(array.level),
            array.write_level.eq(pulses.write_level),
            array.written_level.eq(pulses.written_level),
            pulses.random_data.eq(array.word),
            array.written.eq(pulses.random_written),
            array.write.eq(pulses.random_write),
        ]
        if self.layout.noisy:
            m.d.comb += pulses.write_noise.eq(self.registers.write_noise)
        if self.layout.chip.has_stuck_cells:
            m.d.comb += pulses.stuck.eq(array.stuck)

    def _connect_counts(self, m):
        storage, pulses = self.storage, self.storage.pulses
        for name, write in (("accumulated", "write_count"), ("read_out_accumulated", "write_row_count")):
            if name in storage.counts:
                count = pulses.count if name == "accumulated" else pulses.row_count
                m.d.comb += count.eq(storage.counts[name].read.data[storage.array.lane])
                storage.replace_count(m, name, getattr(pulses, write), pulses.count_written)

    def _race_feed(self, m):
        layout, race, racing = self.layout, self.storage.race, self.racing
        entry = race.entry
        feed = Signal(entry.shape())
        end = racing.lane == layout.lanes - 1
        m.d.comb += self.race_last.eq((racing.word == layout.words - 1) & (racing.lane == layout.last_lanes - 1))
        m.d.sync += [feed.valid.eq(self.race_issue), feed.neuron.eq(racing), feed.last.eq(self.race_last),
                     feed.first.eq((racing.word == 0) & (racing.lane == 0))]
        with m.If(self.race_issue):
            m.d.sync += racing.lane.eq(racing.lane + 1)
            with m.If(end | self.race_last):
                m.d.sync += [racing.lane.eq(0), racing.word.eq(Mux(self.race_last, 0, racing.word + 1))]
        m.d.comb += [entry.eq(feed), race.membrane.eq(self.storage.membranes.read.data[feed.neuron.lane]),
                     race.theta.eq(self.storage.array.word)]

    def _read_out_sums(self, m):
        read_out, array = self.storage.read_out, self.storage.array
        m.d.comb += read_out.level.eq(array.level)
        with m.If(read_out.reading):
            m.d.comb += array.address.eq(self.storage.map.read_out_address(read_out.fire.row, read_out.word))
        with m.If(~read_out.idle):
            m.d.comb += array.lane.eq(read_out.lane)
        self.storage.count(m, "read_out_sum", read_out.added)
        m.d.comb += self.storage.counters.held_read_out_sum.eq(read_out.weight_sum)

    def _background(self, m):
        """A spike takes 4 clocks, so that its increments are counted before those of the next."""
        waiting = Signal()
        m.d.sync += [waiting.eq(self.took_spike), self.counted.eq(~self.took_spike & ~waiting)]
        # known a clock late: the way from the bits of a FRAME to the end of an event is long
        m.d.sync += self.beyond.eq(self.events.payload.line >= self.layout.chip.lines)

    # sequence

    def _spike_rules(self):
        return self.sample.dark, self.storage.pulses.start_ready & self.counted

    def _turned_back(self, m):
        with m.If(self.beyond):
            m.d.comb += self.events.ready.eq(1)
            self.storage.count(m, "refused")
            m.next = "IDLE"
        return m.Elif(~self.storage.pulses.start_ready)

    def _note_spike(self, m):
        m.d.comb += self.took_spike.eq(1)

    def _begin_step(self, m):
        self.walk.begin(m)
        m.next = "TILE" if self.layout.chip.fire_mode == "threshold" else "WALKED"

    def _act(self, m):
        """Look at every tile in turn; act on those that are live, or for DARK on those that learned."""
        event, storage = self.events.payload, self.storage
        state = storage.tile_states.read.data
        live = ~state.closed & state.active & (state.reads >= self.layout.chip.min_spikes)
        with m.State("TILE"):
            m.next = "TEST"
        with m.State("TEST"):
            self.walk.take(m)
            with m.If(event.kind == EventKind.DARK):
                with m.If(self.registers.learn & state.closed & (state.used != 0)):
                    m.next = "DARK UNIT"
                with m.Else():
                    self.walk.advance(m)
            with m.Elif(live):
                storage.count(m, "decisions")
                m.next = "RACE"
            with m.Else():
                self.walk.advance(m)

    def _finish(self, m, reports):
        event, storage = self.events.payload, self.storage
        with m.If(event.kind == EventKind.DARK):
            storage.count(m, "dark_spikes")
            m.d.sync += self.sample.dark.eq(1)
        with m.Elif(event.kind == EventKind.STEP):
            storage.count(m, "steps", self.events.ready)
        m.d.comb += [self.output_spikes.payload.end.eq(1), self.output_spikes.valid.eq(reports)]
        with m.If(~reports | self.output_spikes.ready):
            m.d.comb += self.events.ready.eq(1)
            with m.If(event.kind == EventKind.STEP):
                m.d.sync += self.sample.step.eq(self.sample.step + 1)
            m.next = "IDLE"

    def _feed_race(self, m):
        storage, tile = self.storage, self.walk.tile
        m.d.comb += [self.race_issue.eq(1),
                     storage.array.address.eq(storage.map.theta_address(tile, self.racing)),
                     storage.membranes.read.addr.eq(self.layout.neuron_address(tile, self.racing.word))]
        with m.If(self.race_last):
            m.next = "RACING"

    def _race(self, m):
        chip, storage, walk = self.layout.chip, self.storage, self.walk
        with m.State("RACING"):
            with m.If(storage.race.done):
                m.next = "FOUND"
        with m.State("FOUND"):
            fires, taken = Signal(), Signal()
            read = storage.read_out.fire_ready if chip.classes else 1
            m.d.comb += [fires.eq(1), taken.eq(read & (~self.registers.report | self.output_spikes.ready))]
            if chip.fire_mode == "threshold":
                m.d.comb += fires.eq(self.winner.score >= self.registers.theta_base)
            self._offer_spike(m, fires, read)
            with m.If(~fires):
                walk.advance(m)
            with m.Elif(taken):
                self._note_fire(m)
                if chip.classes:
                    m.next = "READ OUT"
                else:
                    self._after_fire(m)
        if chip.classes:  # the array is the read-out's until it has added the fire
            with m.State("READ OUT"):
                with m.If(storage.read_out.idle):
                    self._after_fire(m)
        with m.State("NEXT RANK"):
            m.d.sync += [walk.rank.eq(walk.rank + 1), self.listed.eq(self.listed + 1)]
            m.next = "FOUND"
            with m.If(self.listed == SerialRace.ranks_per_pass(self.layout) - 1):
                m.d.sync += self.listed.eq(0)
                m.next = "RACE"
            with m.If(walk.rank == chip.winners - 1):
                m.d.sync += self.listed.eq(0)
                m.next = "CLOSE"
                with m.If(self.registers.learn):
                    m.next = self.learns_in
        self._closing(m)

    def _closing(self, m):
        """State CLOSE: write the state of the tile, on to the next."""
        chip, storage, walk = self.layout.chip, self.storage, self.walk
        with m.State("CLOSE"):
            state = storage.tile_states.write
            m.d.comb += [state.en.eq(1), state.addr.eq(walk.tile)]
            m.d.comb += state.data.eq(storage.tile_states.read.data)  # of the tile that was addressed all the time
            m.d.comb += [state.data.used.eq(walk.used), state.data.next.eq(walk.next)]
            m.d.comb += state.data.closed.eq(1) if chip.fire_mode == "race" else state.data.active.eq(0)
            walk.advance(m)

    def _next_rank(self, m):
        m.next = "NEXT RANK"

    def _sweep(self, m):
        self.storage.count(m, "set_events")
        m.next = "SWEEPING"

    def _swept(self, m):
        with m.State("SWEEPING"):
            if self.layout.chip.depression == "post":
                pulses = self.storage.pulses
                self.storage.count(m, "reset_rows", pulses.pulse & pulses.pulse_reset)
            with m.If(self.storage.pulses.start_ready):
                m.next = "NEXT RANK"

    def _close(self, m):
        m.next = "CLOSE"

    def _dark_sweep(self, m):
        chip, walk, pulses = self.layout.chip, self.walk, self.storage.pulses
        with m.State("DARK SWEEP"):
            with m.If(self.units.trace != 0):
                self._sweep_unit(m)
            m.next = "DARK SWEEPING"
        with m.State("DARK SWEEPING"):
            self.storage.count(m, "reset_rows", pulses.pulse)
            with m.If(pulses.start_ready):
                m.next = "DARK UNIT"
                m.d.sync += walk.unit.eq(walk.unit + 1)
                with m.If((walk.unit == chip.learners - 1) | (walk.unit + 1 == walk.used)):
                    walk.advance(m)

    def _clear(self, m):
        chip, storage = self.layout.chip, self.storage
        lines, tiles = storage.lines.write, storage.tile_states.write
        last = max(chip.lines, chip.tiles, chip.classes) - 1
        swept = Signal(range(last + 1))
        with m.State("CLEAR"):
            m.d.comb += [
                lines.addr.eq(swept[:len(lines.addr)]),
                lines.data.eq(SILENT),
                lines.en.eq(swept < chip.lines),
                tiles.addr.eq(swept[:len(tiles.addr)]),
                tiles.data.eq(0),
                tiles.en.eq(swept < chip.tiles),
            ]
            m.d.sync += swept.eq(swept + 1)
            with m.If(swept == last):
                m.d.sync += [swept.eq(0), *self.sample.forget()]
                m.next = "CLEARED"
            if chip.classes:
                m.d.comb += storage.read_out.clear.eq(1)
        with m.State("CLEARED"):
            m.d.comb += self.events.ready.eq(self.ending)
            m.d.sync += self.ending.eq(0)
            storage.count(m, "samples", self.ending)
            m.next = "IDLE"
