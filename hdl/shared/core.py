"""The sequence of every event, shared by both forms of the core."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.chip.counters import ACCUMULATE_COUNTERS
from ohmspike.chip.instructions import STATUS_WORDS
from ohmspike.chip.limits import STEP_MAX

from .access import HostAccess
from .answers import Answers
from .layout import SILENT, Layout
from .plasticity import PulseMode
from .ports import EventKind, access_shape, answer_shape, event_shape, output_spike_shape
from .state import Registers, Sample
from .storage import CommonStorage
from .units import PostTraceUnits
from .visits import Visits
from .walk import CommonWalk

__all__ = ["CommonCore"]


class CommonCore(wiring.Component):
    """Take events, refuse what contract 3.8 refuses, and carry each out by the parts of the form.

    The parts are classes that add signals and statements to the module of the core, and states to its sequence::

        events -> CommonCore --+-- Visits          rows that are read, and their RESET pulses
                     |         +-- walk            tiles to act on, one after the other
                     |         +-- PostTraceUnits  recharged by a learning post spike
                     |         +-- homeostasis     thresholds: raised, and leaking
                     |         +-- Answers         of the read-out
                     |         +-- HostAccess      cells of all memories
                     +-- storage: the memories and components that all of them work on

    A form of the core is a subclass with its own storage, walk, homeostasis and access. It gives ``winner``, the neuron
    that won the race and its score, ``fired``, the neuron of the last fire, and what is asked for at the end of the
    class.

    Parameters
    ----------
    layout : :class:`Layout`
    storage : :class:`CommonStorage`
    walk, homeostasis, access : :class:`type`
        Classes of the parts.
    """

    learns_in = "THETA"
    """State in which learning goes on after the last winner of a tile."""

    def __init__(self, layout: Layout, storage: CommonStorage, *, walk: type[CommonWalk], homeostasis: type,
                 access: type[HostAccess]):
        super().__init__({
            "events": In(stream.Signature(event_shape())),
            "output_spikes": Out(stream.Signature(output_spike_shape(layout))),
            "answers": Out(stream.Signature(answer_shape())),
            "access": In(access_shape(layout)),
            "access_valid": In(1),
            "access_ready": Out(1),
            "access_data": Out(layout.access_bits),
            "idle": Out(1),
            "dark": Out(1),
            "status": In(data.ArrayLayout(32, len(STATUS_WORDS))),
        })
        self.layout, self.storage = layout, storage
        self.registers, self.sample = Registers(layout.chip), Sample(layout.chip)
        self.quiet = Signal()  # no read is under way, in the tiles or in the read-out
        self.walk = walk(storage, self.registers, self.sample, self.events.payload)
        self.units, self.visits = self._reading()
        self.homeostasis = homeostasis(storage, self.registers, self.walk)
        self.answering = Answers(storage, self.registers, self.events, self.answers)
        self.host_access = access(self, storage, self.registers, self.quiet)
        self.race_issue = Signal()  # what races is addressed in this clock
        self.ending = Signal()  # an END, and not a reset, leads to CLEAR

    def _reading(self):
        """The post-trace units, if there are any, and what reads the rows of a spike."""
        units = PostTraceUnits(self.storage, self.sample, self.walk)
        return units, Visits(self.storage, self.registers, self.sample, units)

    def elaborate(self, platform):
        m = Module()
        self.storage.add_to(m)
        m.d.comb += self.dark.eq(self.sample.dark)
        self._count_pulses(m)
        self.storage.add_background(m)
        self.visits.add_to(m)
        self._paths(m)
        self._race_feed(m)
        self._read_out(m)
        self._flaws(m)
        self._accumulation(m)
        self.host_access.paths(m)
        self._background(m)
        with m.FSM(init="CLEAR", name="event") as fsm:
            self._accept(m)
            self._act(m)
            with m.State("WALKED"):
                self._finish(m, self._reports())
            with m.State("RACE"):
                self._feed_race(m)
            self._race(m)
            self._learn(m)
            self._darken(m)
            if self.layout.chip.classes:
                self.answering.states(m)
            if self.layout.chip.theta_leak:
                self.homeostasis.leak(m)
            self._clear(m)
            self.host_access.states(m)
        m.d.comb += self.idle.eq(fsm.ongoing("IDLE") & self.quiet & ~self.events.valid)
        return m

    def _count_pulses(self, m):
        """Pulses, their weights, and how many were held at a rail."""
        pulses, count = self.storage.pulses, self.storage.count
        self._count_bins(m)
        count(m, "clipped_high", pulses.clipped & ~pulses.pulse_reset)
        count(m, "clipped_low", pulses.clipped & pulses.pulse_reset)
        if self.layout.chip.accumulates:
            for name in ACCUMULATE_COUNTERS:
                count(m, name, getattr(pulses, name))

    def _read_out(self, m):
        """Fires of ranks 0 to K - 1 send K to 1 pulses; the pulse generator and the host share what is left."""
        layout, chip, read_out, pulses = self.layout, self.layout.chip, self.storage.read_out, self.storage.pulses
        if not chip.classes:
            m.d.comb += self.quiet.eq(self.visits.quiet)
            return
        neuron, accumulator = self.winner.neuron, self.storage.accumulator
        m.d.comb += [
            self.quiet.eq(self.visits.quiet & read_out.idle),
            read_out.fire.row.eq(self.walk.row + neuron.word * layout.lanes + neuron.lane),
            read_out.fire.pulses.eq(chip.winners - self.walk.rank),
            read_out.exclude.eq(self.events.payload.line[:layout.label.width]),
            read_out.excluding.eq(self.events.payload.kind == EventKind.LABEL),
            read_out.index.eq(pulses.index),
            *self._read_out_cells(),
            read_out.load.eq(accumulator.write),
            read_out.load_level.eq(accumulator.write_level),
            read_out.load_weight.eq(accumulator.write_weight),
            pulses.listed.eq(read_out.listed),
            pulses.row.eq(read_out.row),
        ]
        self._read_out_sums(m)

    def _accept(self, m):
        """Take an event; all but SPIKE wait for the reads under way."""
        chip, event, sample = self.layout.chip, self.events.payload, self.sample
        refuse = Signal()
        refuses_spike, takes_spike = self._spike_rules()
        with m.State("IDLE"):
            m.d.comb += self.host_access.resting.eq(~self.events.valid)
            with m.If(self.events.valid & (event.kind == EventKind.SPIKE)):
                with m.If(refuses_spike):
                    m.d.comb += refuse.eq(1)
                with m.Elif(takes_spike):
                    m.next = "SPIKE"
            with m.Elif(self.events.valid & self.quiet):
                with m.Switch(event.kind):
                    with m.Case(EventKind.STEP):
                        with m.If(sample.dark | (sample.step == STEP_MAX)):
                            m.d.comb += refuse.eq(1)
                        with m.Else():
                            self._begin_step(m)
                    with m.Case(EventKind.DECIDE):
                        with m.If(sample.dark | (chip.fire_mode == "threshold")):
                            m.d.comb += refuse.eq(1)
                        with m.Else():
                            self.walk.begin(m)
                            m.next = self.walk.state
                    with m.Case(EventKind.DARK):
                        if chip.shared:
                            m.d.comb += refuse.eq(1)
                        else:
                            with m.If(sample.dark):
                                m.d.comb += refuse.eq(1)
                            with m.Else():
                                self.walk.begin(m)
                                m.next = self.walk.state
                    with m.Case(EventKind.END):
                        m.d.sync += self.ending.eq(1)
                        m.next = "CLEAR"
                        if chip.theta_leak:
                            with m.If(self.registers.learn):
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
                self.storage.count(m, "refused")
        with m.State("SPIKE"):
            self._take_spike(m)

    def _take_spike(self, m):
        """State SPIKE: a line that the plane has."""
        with self._turned_back(m):
            m.next = "IDLE"  # a RESET pulse took the line memory: read the stamp again
        with m.Else():
            self._spike(m)

    def _spike(self, m):
        """Hand a line to the router; stamp it when it is taken."""
        storage, sample, router = self.storage, self.sample, self.storage.router
        m.d.comb += router.spikes.valid.eq(1)
        with m.If(router.spikes.ready):
            full = (1 << self.layout.chip.trace_bits) - 1
            m.d.comb += self.events.ready.eq(1)
            storage.stamp_line(m, self.events.payload.line, sample.step)
            self._note_spike(m)
            m.d.sync += sample.spiked.eq(sample.spiked + (storage.lines.read.data == SILENT))
            storage.count(m, "in_spikes")
            storage.count(m, "pre_recharge", full - storage.line_trace.trace)
            m.next = "IDLE"

    def _offer_spike(self, m, fires, read):
        """The winner as an output spike, if there is one to report."""
        m.d.comb += [
            self.output_spikes.valid.eq(fires & self.registers.report & read),
            self.output_spikes.payload.tile.eq(self.walk.window),
            self.output_spikes.payload.neuron.eq(self.winner.neuron),
            self.output_spikes.payload.first.eq(self.walk.rank == 0),
        ]

    def _note_fire(self, m):
        """The winner fires: it is counted and added to the read-out; the threshold of the first will be raised."""
        chip = self.layout.chip
        self.storage.count(m, "out_spikes")
        if chip.classes:
            m.d.comb += self.storage.read_out.fire_valid.eq(1)
            if not chip.shared:
                self.storage.count(m, "read_out_reads", chip.winners - self.walk.rank)
        self._keep_fired(m)
        with m.If(self.walk.rank == 0):
            m.d.sync += self.homeostasis.first_winner.eq(self.winner.neuron)

    def _after_fire(self, m):
        """What follows a fire: its learning, or the next rank."""
        chip = self.layout.chip
        with m.If(self.registers.learn & (self.walk.rank < chip.learners)):
            if chip.depression == "post":
                m.next = "SWEEP"
            else:
                m.next = "FIND UNIT" if chip.fire_mode == "threshold" else "TAKE UNIT"
        with m.Else():
            self._next_rank(m)

    def _reports(self):
        """The event under way ends with a record of its own."""
        event, chip = self.events.payload, self.layout.chip
        reports = self.registers.report & (event.kind != EventKind.DARK)
        if chip.fire_mode == "race":
            reports &= event.kind == EventKind.DECIDE
        return reports

    def _learn(self, m):
        """A learning post spike: post-trace unit, SET sweep; at the end the threshold of the first winner."""
        if self.layout.chip.depression == "pre":
            self.units.recharge(m, self.fired, then="SWEEP")
        with m.State("SWEEP"):
            self._start_sweep(m, PulseMode.POST, self.fired)
            self._sweep(m)
        self._swept(m)
        self.homeostasis.states(m, self._close)

    def _darken(self, m):
        """RESET pulses from silent lines to every post-trace unit of a tile."""
        with m.State("DARK UNIT"):
            self.units.look(m)
            m.next = "DARK SWEEP"
        self._dark_sweep(m)

    def _start_sweep(self, m, mode, neuron):
        """Ask for pulses down the column of a neuron of the tile acted on."""
        start, walk = self.storage.pulses.start, self.walk
        m.d.comb += [
            self.storage.pulses.start_valid.eq(1),
            start.mode.eq(mode),
            start.address.eq(walk.level + neuron.word),
            start.lane.eq(neuron.lane),
            start.line.eq(walk.line),
            start.trace.eq(self._sweep_trace),
            start.tile.eq(walk.tile),
        ]

    @property
    def _sweep_trace(self):
        """The amplitude of a sweep whose rows have none of their own."""
        return self.units.trace

    def _sweep_unit(self, m):
        """Ask for RESET pulses of silent lines down the column of the post-trace unit looked at."""
        self._start_sweep(m, PulseMode.DARK, self.units.read.data.neuron)

    # what a form provides

    def _count_bins(self, m):
        """What pulses count in the bins of their kind."""
        raise NotImplementedError

    def _paths(self, m):
        """Connections that hold whatever happens."""
        raise NotImplementedError

    def _race_feed(self, m):
        """What is addressed in state RACE reaches the race one clock later."""
        raise NotImplementedError

    def _read_out_cells(self) -> list:
        """Connections of the levels of the read-out where they lie in a memory of their own."""
        return []

    def _read_out_sums(self, m):
        """Connections of the levels of the read-out where they do not, and what a fire counts."""
        raise NotImplementedError

    def _flaws(self, m):
        """Connections of write noise and stuck cells that are not among the paths."""

    def _accumulation(self, m):
        """Connections of the counts beside cells."""
        for name in self.storage.counts:
            register = name.replace("accumulated", "accumulate_threshold")
            m.d.comb += getattr(self.storage.pulses, register).eq(getattr(self.registers, register))
        self._connect_counts(m)

    def _connect_counts(self, m):
        """Between the memories of counts and the pulses."""
        raise NotImplementedError

    def _background(self, m):
        """What goes on beside the sequence of events."""
        raise NotImplementedError

    def _spike_rules(self) -> tuple:
        """Whether a SPIKE is refused in the clock in which it comes, and whether it may be tried."""
        raise NotImplementedError

    def _turned_back(self, m):
        """State SPIKE: the If or Elif of pulses that began meanwhile."""
        raise NotImplementedError

    def _note_spike(self, m):
        """The router takes a line."""

    def _begin_step(self, m):
        """A STEP was accepted: it walks over the tiles if they fire at a threshold."""
        raise NotImplementedError

    def _act(self, m):
        """States of the walk over the tiles."""
        raise NotImplementedError

    def _finish(self, m, reports):
        """State WALKED: the end of STEP, DECIDE and DARK, with a record if the event reports."""
        raise NotImplementedError

    def _feed_race(self, m):
        """State RACE: address what races."""
        raise NotImplementedError

    def _race(self, m):
        """States from RACING on: the fires of a tile."""
        raise NotImplementedError

    def _keep_fired(self, m):
        """The winner fires: keep it as ``fired``, if the race does not."""

    def _next_rank(self, m):
        """On to the next winner of the tile, or to its end."""
        raise NotImplementedError

    def _sweep(self, m):
        """State SWEEP: the pulses down the column of the last fire are asked for."""
        raise NotImplementedError

    def _swept(self, m):
        """States between SWEEP and what comes after it."""

    def _close(self, m):
        """The tile is done with."""
        raise NotImplementedError

    def _dark_sweep(self, m):
        """States from DARK SWEEP on: the column of one unit, unless its trace has faded; then the next unit or tile."""
        raise NotImplementedError

    def _clear(self, m):
        """States from CLEAR on, which is also what follows a reset: forget the sample."""
        raise NotImplementedError
