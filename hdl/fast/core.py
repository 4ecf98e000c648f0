"""The core of a chip in the fast form: parts that overlap, memories that read and write in the same clock."""

from amaranth import Mux, Signal

from ohmspike.hdl.shared.core import CommonCore
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.logic import narrow
from ohmspike.hdl.shared.ports import EventKind

from .access import FastAccess
from .homeostasis import FastHomeostasis
from .storage import FastStorage, all_lanes
from .walk import FastWalk

__all__ = ["Core"]


class Core(CommonCore):
    """Carry out events on the synapses of a chip (docs/contract.md).

    Spikes stream: the router walks the tiles that see a line while the words of the row before are still being read ::

        events -> line stamp -> Router -> level word -> weights -> + membranes
                                                                     |
        spikes <- Race  <- V - theta  <------------------------------+
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
    output_spikes : :py:`Out(stream.Signature(output_spike_shape(layout)))`
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

    walks: type = FastWalk

    def __init__(self, layout: Layout):
        super().__init__(layout, FastStorage(layout), walk=self.walks, homeostasis=FastHomeostasis, access=FastAccess)
        self.fired = Signal(layout.neuron)
        self.race_word = Signal(layout.word)

    @property
    def winner(self):
        return self.storage.race.winner

    def _count_bins(self, m):
        storage, pulses, chip = self.storage, self.storage.pulses, self.layout.chip
        for bin_ in range(chip.amplitudes):
            here = pulses.pulse if chip.amplitudes == 1 else pulses.pulse & (pulses.pulse_bin == bin_)
            for kind, wanted in (("set", ~pulses.pulse_reset), ("reset", pulses.pulse_reset)):
                storage.count(m, f"{kind}_pulses_{bin_}", here & wanted)
                storage.count(m, f"{kind}_weight_{bin_}", Mux(here & wanted, pulses.pulse_weight, 0))

    def _paths(self, m):
        layout, storage, pulses, event = self.layout, self.storage, self.storage.pulses, self.events.payload
        line = event.line[:layout.line.width]
        m.d.comb += [
            pulses.level_data.eq(storage.levels.read.data),
            storage.levels.write.addr.eq(pulses.level_write_address),
            *all_lanes(storage.levels.write, pulses.written),
            storage.levels.write.en.eq(pulses.level_write),
            *self._line_paths(line),
            storage.randoms.read.addr.eq(pulses.random_address),
            storage.randoms.write.addr.eq(pulses.random_write_address),
            pulses.random_data.eq(storage.randoms.read.data),
            storage.randoms.write.data.eq(pulses.random_write_data),
            storage.randoms.write.en.eq(pulses.random_write),
            *self._spike_paths(line),
            storage.race.membranes.eq(storage.membranes.read.data),
            storage.race.thetas.eq(storage.thetas.read.data),
            storage.race.behind.eq(self.walk.rank != 0),
        ]
        with m.If(pulses.busy):
            m.d.comb += [storage.levels.read.addr.eq(pulses.level_address), *self._swept_line()]
        with m.If(pulses.pulse_dark):
            storage.count(m, "reset_rows")

    def _line_paths(self, line) -> list:
        """Connections of the line memory, to that of the event and to the pulses."""
        lines, storage = self.storage.lines.read, self.storage
        return [storage.pulses.line_stamp.eq(lines.data), lines.addr.eq(self.layout.banked(line, storage.bank)),
                storage.line_trace.stamp.eq(lines.data), storage.line_trace.step.eq(self.sample.step)]

    def _spike_paths(self, line) -> list:
        """Connections of the line of a SPIKE to what takes it."""
        return [self.storage.router.spikes.payload.eq(line)]

    def _swept_line(self) -> list:
        """Address the line of a row that is swept."""
        storage = self.storage
        return [storage.lines.read.addr.eq(self.layout.banked(storage.pulses.line_address, storage.bank))]

    def _race_feed(self, m):
        word = self.storage.race.word
        feed = Signal(word.shape())
        m.d.sync += [
            feed.valid.eq(self.race_issue),
            feed.index.eq(self.race_word),
            feed.first.eq(self.race_word == 0),
            feed.last.eq(self.race_word == self.layout.words - 1),
        ]
        m.d.comb += word.eq(feed)

    def _read_out_cells(self):
        read_out, pulses = self.storage.read_out, self.storage.pulses
        return [
            read_out.address.eq(Mux(pulses.idle, self.access.row[:self.layout.read_out_row.width],
                                    pulses.read_out_address)),
            read_out.write_address.eq(pulses.read_out_write_address),
            read_out.written.eq(pulses.written),
            read_out.write.eq(pulses.read_out_write),
        ]

    def _read_out_sums(self, m):
        m.d.comb += self.storage.pulses.read_out_data.eq(self.storage.read_out.data)
        self.storage.count(m, "read_out_sum", self.storage.read_out.weight_sum)

    def _background(self, m):
        self.walk.add_to(m)
        self.homeostasis.add_to(m)

    def _flaws(self, m):
        """The mask of stuck cells is read with the levels, and never written by a pulse."""
        chip, storage, pulses = self.layout.chip, self.storage, self.storage.pulses
        if chip.noise_bits:
            m.d.comb += pulses.write_noise.eq(self.registers.write_noise)
        if storage.stuck:
            m.d.comb += [storage.stuck.read.addr.eq(storage.levels.read.addr),
                         pulses.level_stuck.eq(storage.stuck.read.data)]
        if storage.read_out_stuck:
            m.d.comb += [storage.read_out_stuck.read.addr.eq(storage.read_out.address),
                         pulses.read_out_stuck.eq(storage.read_out_stuck.read.data)]

    def _connect_counts(self, m):
        """The counts are read with the levels, and written two clocks later."""
        storage, pulses = self.storage, self.storage.pulses
        for name, (_, read, write) in storage.counts.items():
            taught = name != "accumulated"
            m.d.comb += [
                read.addr.eq(storage.read_out.address if taught else storage.levels.read.addr),
                (pulses.read_out_counts if taught else pulses.level_counts).eq(read.data),
                narrow(write.addr, pulses.count_address),
                *all_lanes(write, pulses.count_written),
                write.en.eq(pulses.read_out_count_write if taught else pulses.level_count_write),
            ]

    # sequence

    def _spike_rules(self):
        beyond = self.events.payload.line >= self.layout.chip.lines
        return self.sample.dark | beyond, ~self.storage.pulses.busy

    def _turned_back(self, m):
        return m.If(self.storage.pulses.busy)

    def _begin_step(self, m):
        m.next = "WALKED"
        if self.layout.chip.fire_mode == "threshold":
            self.walk.begin(m)
            m.next = "WALK"

    def _act(self, m):
        """Act on the tiles found; the event is over when the walk is, and the last sweep."""
        with m.State("WALK"):
            with m.If(self.walk.found):
                self._take_tile(m)
            with m.Elif(self.walk.over):
                m.next = "WALKED"

    def _finish(self, m, reports):
        event, idle = self.events.payload, self.storage.pulses.idle
        m.d.comb += [self.output_spikes.payload.end.eq(1), self.output_spikes.valid.eq(reports & idle)]
        with m.If((~reports | self.output_spikes.ready) & idle):
            m.d.comb += self.events.ready.eq(1)
            with m.If(event.kind == EventKind.DARK):
                self.storage.count(m, "dark_spikes", self.layout.chip.lines - self.sample.spiked)
                m.d.sync += self.sample.dark.eq(1)
            with m.If(event.kind == EventKind.STEP):
                self.storage.count(m, "steps")
                m.d.sync += self.sample.step.eq(self.sample.step + 1)
            m.next = "IDLE"

    def _take_tile(self, m):
        """Act on the tile that the walk found."""
        self.walk.take(m)
        with m.If(self.events.payload.kind == EventKind.DARK):
            m.next = "DARK UNIT"
        with m.Else():
            self.storage.count(m, "decisions")
            m.next = "RACE"

    def _leave_tile(self, m):
        """On to the tile after it, if it is found already."""
        m.next = "WALK"
        with m.If(self.walk.found):
            self._take_tile(m)

    def _feed_race(self, m):
        layout, chip, storage = self.layout, self.layout.chip, self.storage
        address = layout.neuron_address(self.walk.tile, self.race_word)
        m.d.comb += [self.race_issue.eq(1), storage.membranes.read.addr.eq(address),
                     storage.thetas.read.addr.eq(address)]
        m.d.sync += self.race_word.eq(self.race_word + 1)
        if chip.fire_mode == "race" and not chip.shared:  # every unit is new, for the tile has not fired in this sample
            with m.If((self.walk.rank == 0) & (self.race_word == 0)):
                storage.note_tile(m, self.walk.tile, self.walk.held)
                m.d.comb += storage.tile_states.write.data.closed.eq(1)
                with m.If(self.registers.learn):
                    m.d.comb += storage.tile_states.write.data.used.eq(chip.learners)
        with m.If(self.race_word == layout.words - 1):
            m.d.sync += self.race_word.eq(0)
            m.next = "RACING"

    def _race(self, m):
        chip, storage, race = self.layout.chip, self.storage, self.storage.race
        with m.State("RACING"):
            fires, read = Signal(), Signal()
            m.d.comb += [fires.eq(race.done), read.eq(storage.read_out.fire_ready if chip.classes else 1)]
            if chip.fire_mode == "threshold":
                m.d.comb += fires.eq(race.done & (self.winner.score >= self.registers.theta_base))
            self._offer_spike(m, fires, read)
            with m.If(race.done & ~fires):
                m.d.comb += race.taken.eq(1)
                self._leave_tile(m)
            with m.Elif(fires & read & (~self.registers.report | self.output_spikes.ready)):
                m.d.comb += race.taken.eq(1)
                self._note_fire(m)
                self._after_fire(m)

    def _keep_fired(self, m):
        m.d.sync += self.fired.eq(self.winner.neuron)

    def _next_rank(self, m):
        rank = self.walk.rank
        with m.If(rank != self.layout.chip.winners - 1):
            m.d.sync += rank.eq(rank + 1)
            if self.layout.holds_scores:
                m.d.comb += self.storage.race.next.eq(1)
                m.next = "RACING"
            else:
                m.next = "RACE"
        with m.Elif(self.registers.learn):
            m.next = self.learns_in
        with m.Else():
            self._close(m)

    def _close(self, m):
        if self.layout.chip.fire_mode == "threshold":
            m.next = "CLOSE"
        else:
            self._leave_tile(m)

    def _sweep(self, m):
        with m.If(self.storage.pulses.start_ready):
            self.storage.count(m, "set_events")
            self._next_rank(m)

    def _learn(self, m):
        super()._learn(m)
        if self.layout.chip.fire_mode == "threshold":
            with m.State("CLOSE"):
                self.storage.note_tile(m, self.walk.tile, self.walk.held)
                m.d.comb += self.storage.tile_states.write.data.active.eq(0)
                self._leave_tile(m)

    def _dark_sweep(self, m):
        chip, walk = self.layout.chip, self.walk
        over = Signal()
        m.d.comb += over.eq((walk.unit == chip.learners - 1) | (walk.unit + 1 == walk.used))
        with m.State("DARK SWEEP"):
            self.units.look(m)
            faded = self.units.trace == 0
            with m.If(~faded):
                self._sweep_unit(m)
            with m.If(faded | self.storage.pulses.start_ready):
                m.d.sync += walk.unit.eq(walk.unit + 1)
                m.next = "DARK UNIT"
                with m.If(over):
                    self._leave_tile(m)

    def _clear(self, m):
        with m.State("CLEAR"):
            with m.If(self.storage.cleared):
                m.d.comb += [self.storage.changes_bank.eq(1), self.events.ready.eq(self.ending)]
                m.d.sync += [*self.sample.forget(), self.ending.eq(0)]
                if self.layout.chip.classes:
                    m.d.comb += self.storage.read_out.clear.eq(1)
                self.storage.count(m, "samples", self.ending)
                m.next = "IDLE"
