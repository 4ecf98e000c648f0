"""The sequence of events of a shared crossbar, for both forms of the core (contract 11)."""

from amaranth import Const, Signal

from .plasticity import PulseMode, xorshift
from .ports import EventKind
from .visits import WindowReads

__all__ = ["SharedCrossbar"]


class SharedCrossbar:
    """What a shared crossbar does otherwise; a core of a form is a subclass of this and of the core of that form.

    SPIKE notes a line. DECIDE walks the windows, and acts on each that is active before it reads the next::

        WALK -> READ -> RACE ... the next rank ... -> DRAW -> DRAWN -> JUDGE -> THETA -> RAISE -> SET -> RESET -> WALK
                                                                |
                                                                +-> it does not learn -> WALK

    A form gives how the random state of the crossbar is addressed, read and written.
    """

    learns_in = "DRAW"

    def __init__(self, layout):
        super().__init__(layout)
        self.beyond = Signal()  # there is no such line

    def _reading(self):
        return None, WindowReads(self.storage, self.registers, self.sample)

    def _shared_paths(self, sweeping) -> list:
        """Connections of the noted lines, to the line of the event, to the walk and to the pulses."""
        noted, windows, pulses = self.storage.noted, self.storage.windows, self.storage.pulses
        both = [noted.seek_row.eq(windows.seek_row), noted.seek_column.eq(windows.seek_column),
                windows.seek_bits.eq(noted.seek_bits), noted.seeks.eq(windows.seeks),
                noted.read_row.eq(windows.read_row), noted.read_column.eq(windows.read_column),
                windows.read_bits.eq(noted.read_bits)]
        line = self.events.payload.line[:self.layout.line.width]
        return [noted.line.eq(line), noted.sweep.eq(sweeping), noted.place.eq(pulses.line_address),
                pulses.noted.eq(noted.noted), *both]

    def _swept_line(self) -> list:
        return []

    def _read_out(self, m):
        super()._read_out(m)
        if self.layout.chip.classes:
            m.d.comb += self.storage.pulses.place.eq(self.storage.read_out.place)
            self.storage.count(m, "read_out_reads", self.storage.read_out.gained)

    # sequence

    def _spike_rules(self):
        # whether there is such a line is known a clock later: the way from the bits of a FRAME to it is long
        return self.sample.dark, Const(1)

    def _take_spike(self, m):
        m.d.comb += self.storage.noted.address.eq(1)
        m.next = "NOTE"
        with m.If(self.beyond):
            m.d.comb += self.events.ready.eq(1)
            self.storage.count(m, "refused")
            m.next = "IDLE"

    def _begin_step(self, m):
        m.next = "WALKED"

    def _act(self, m):
        """States of the walk over the windows; and NOTE, which ends a SPIKE."""
        storage, windows = self.storage, self.storage.windows
        full = (1 << self.layout.chip.trace_bits) - 1
        with m.State("NOTE"):
            m.d.comb += [storage.noted.note.eq(1), self.events.ready.eq(1)]
            storage.count(m, "in_spikes")
            with m.If(~storage.noted.noted):
                storage.count(m, "pre_recharge", full)
            m.next = "IDLE"
        with m.State("WALK"):
            with m.If(windows.found):
                self._take_window(m)
            with m.Elif(windows.over):
                m.next = "WALKED"
        with m.State("READ"):
            with m.If(self.visits.quiet):
                m.next = "RACE"

    def _take_window(self, m):
        """Act on the window that was found: it is read."""
        self.walk.take(m)
        self.storage.count(m, "decisions")
        m.next = "READ"

    def _finish(self, m, reports):
        super()._finish(m, reports)
        with m.If(self.events.ready & (self.events.payload.kind == EventKind.DECIDE)):
            m.d.sync += self.sample.dark.eq(1)

    def _after_fire(self, m):
        self._next_rank(m)

    def _learn(self, m):
        """A draw tells whether the window learns; its first winner then does."""
        storage, drawn = self.storage, Signal(32)
        with m.State("DRAW"):
            m.d.comb += self._address_random()
            m.next = "DRAWN"
        with m.State("DRAWN"):
            m.d.sync += drawn.eq(xorshift(m, self._random))
            m.next = "JUDGE"
        with m.State("JUDGE"):
            m.d.comb += [*self._address_random(), *self._write_random(drawn)]
            m.next = "THETA"
            with m.If(drawn[20:] >= self.registers.learn_share):
                self._leave_tile(m)
        self.homeostasis.states(m, self._raised)
        full = (1 << self.layout.chip.trace_bits) - 1
        for state, mode in (("SET", PulseMode.POST), ("RESET", PulseMode.DARK)):
            with m.State(state):
                self._start_sweep(m, mode, self.homeostasis.first_winner)
                if mode == PulseMode.POST:
                    storage.count(m, "set_events")
                    storage.count(m, "post_recharge", full)
                m.next = f"{state}, SWEEPING"
            with m.State(f"{state}, SWEEPING"):
                if mode == PulseMode.DARK:
                    self._count_reset_rows(m)
                with m.If(storage.pulses_over):
                    if mode == PulseMode.POST:
                        m.next = "RESET"
                    else:
                        self._leave_tile(m)

    def _raised(self, m):
        m.next = "SET"

    @property
    def _sweep_trace(self):
        return (1 << self.layout.chip.trace_bits) - 1

    def _darken(self, m):
        """DARK is refused."""

    def _clear(self, m):
        storage, swept = self.storage, Signal(range(self._clear_clocks + 1))
        with m.State("CLEAR"):
            over = storage.noted.cleared & (swept == self._clear_clocks)
            with m.If(swept != self._clear_clocks):
                m.d.sync += swept.eq(swept + 1)
            m.d.comb += storage.noted.clear.eq(1)
            if self.layout.chip.classes:
                m.d.comb += [storage.read_out.clear.eq(1), storage.read_out.clear_all.eq(~self.ending)]
                over &= storage.read_out.cleared
            with m.If(over):
                m.d.sync += [swept.eq(0), *self.sample.forget()]
                m.next = "CLEARED"
        with m.State("CLEARED"):
            m.d.comb += self.events.ready.eq(self.ending)
            m.d.sync += self.ending.eq(0)
            storage.count(m, "samples", self.ending)
            m.next = "IDLE"

    # what a form provides

    def _address_random(self) -> list:
        """Address the random state of the crossbar."""
        raise NotImplementedError

    @property
    def _random(self):
        """The random state that was addressed."""
        raise NotImplementedError

    def _write_random(self, state) -> list:
        """Write it where it is addressed."""
        raise NotImplementedError

    def _leave_tile(self, m):
        """The window is done with."""
        raise NotImplementedError

    def _count_reset_rows(self, m):
        """RESET pulses, if nothing else counts them."""

    @property
    def _clear_clocks(self) -> int:
        """Clocks that clearing takes at least."""
        return 0
