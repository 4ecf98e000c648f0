"""The STDP pulse generator of the small form: one row after the other."""

from amaranth import Const, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ohmspike.hdl.shared.layout import SILENT, Layout
from ohmspike.hdl.shared.logic import lookup, narrow
from ohmspike.hdl.shared.plasticity import PulseMode, TraceLookup, noisy, stepped_level, xorshift
from ohmspike.hdl.shared.pulses import CommonPulses

from .array import ArrayMap

__all__ = ["SerialPulses"]


class SerialPulses(CommonPulses):
    """Sweep one column of a tile, or of the read-out, with pulses, like :class:`~ohmspike.hdl.fast.pulses.Pulses`.

    A row is done before the next begins, for the array has one port and increments are counted one by one ::

        1 fetch     the word of the cell is addressed; the stamp of its line is there
        2 look up   the level is there; stamp -> trace -> is there a pulse, of which bin? table entry and weight are
                    addressed; the random state advances if there is a pulse. With accumulation (5.7) the count
                    beside the cell tells whether it is given
        3 step      (entry + u) >> fraction_bits, or with write noise its product (contract 5.5); counted
        4 write     level +- step, held at the rails, replaces the cell unless it is stuck; counted if it was held;
                    the count is replaced

    Timing
    ------
    Throughput
        One row per 4 clocks.
    Latency
        ``4 * rows + 4`` clocks from an accepted :py:`start` to the clock in which :py:`start.ready` is back.
    Reset
        Drops the sweep under way: rows not yet written keep their levels, the random state is not stored.

    Parameters
    ----------
    layout : :class:`Layout`

    Members
    -------
    start_valid, start_ready, start : :py:`In`, :py:`Out`
        As in :class:`~ohmspike.hdl.fast.pulses.Pulses`.
    step : :py:`In(8)`
        Step of the sample.
    address, lane, level, write_level, written_level : :py:`Out`, :py:`In`
        A cell of the array, by its word and lane; while not :py:`start_ready`.
    random_data, random_write, random_written : :py:`In`, :py:`Out`
        The word read from the array; the random state to be written to it.
    line_address, line_stamp : :py:`Out`, :py:`In`
        The line memory: data one clock after the address.
    listed, index, row : :py:`In`, :py:`Out`, :py:`In`
        How many rows of the read-out have fired; and the row listed at an index, one clock after it.
    table_*, weight_* : loading and reading back the tables; values one clock after the address while idle.
    pulse, pulse_reset, pulse_bin, pulse_weight : :py:`Out`
        What was done, for the counters; the last three stay for 3 clocks after :py:`pulse`.
    clipped : :py:`Out(1)`
        One clock after :py:`pulse`: it was held at a rail.
    write_noise : :py:`In(noise_bits)`
        The register; of chips with write noise.
    stuck : :py:`In(1)`
        With ``level``: the cell is stuck; of chips with stuck cells.
    accumulate_threshold, read_out_accumulate_threshold : :py:`In`
        The registers; of chips that accumulate in the tiles, or in the read-out, like all that follows.
    count, row_count : :py:`In`
        With ``level``: the count beside the cell, of a tile and of the read-out.
    write_count, write_row_count, count_written : :py:`Out`
        Replace that count; where ``count_written`` is wider than a count, that takes its low bits.
    accumulations, read_out_accumulations : :py:`Out`
        How many counts a sweep has changed, for the counters of these names; in its last clock, else 0.
    read_out_pulses : :py:`Out(1)`
        As :py:`pulse`, of pulses on the read-out alone.
    """

    def __init__(self, layout: Layout):
        self._map = ArrayMap(layout)
        members = {
            "address": Out(self._map.address),
            "lane": Out(layout.lane),
            "level": In(layout.level),
            "write_level": Out(1),
            "written_level": Out(layout.level),
            "random_data": In(32),
            "random_write": Out(1),
            "random_written": Out(32),
        }
        if layout.chip.has_stuck_cells:
            members["stuck"] = In(1)
        chip = layout.chip
        if chip.accumulates:
            members |= {"write_count": Out(1), "write_row_count": Out(1),
                        "accumulations": Out(range(chip.rows + 1)),
                        "read_out_accumulations": Out(range(chip.listed + 1))}
        if chip.accumulate_bits:
            members["count"] = In(chip.accumulate_bits)
        if chip.read_out_accumulate_bits:
            members["row_count"] = In(chip.read_out_accumulate_bits)
        super().__init__(layout, members)

    def elaborate(self, platform):
        m = Module()
        layout, chip = self._layout, self._layout.chip
        sweep = Signal.like(self.start)
        random = Signal(32)
        rank = Signal(range(chip.winners))
        teaching = sweep.mode.as_value()[2] if chip.classes else Const(0)
        resetting = (sweep.mode != PulseMode.POST) & (sweep.mode != PulseMode.POTENTIATE_LABEL)

        # look up: which pulse
        if chip.shared:
            posted, strength, silent, dark = self.noted, None, None, ~self.noted
            m.d.comb += self.line_address.eq(sweep.line)
        else:
            m.submodules.pre_trace = pre = TraceLookup(layout)
            m.d.comb += [pre.stamp.eq(self.line_stamp), pre.step.eq(self.step), self.line_address.eq(sweep.line)]
            (posted, strength, silent), dark = self._post_pulse(pre.trace), self.line_stamp == SILENT
        selected, trace = Signal(), Signal(layout.trace)
        m.d.comb += [selected.eq(1), trace.eq(sweep.trace)]
        with m.Switch(sweep.mode):
            with m.Case(PulseMode.POST):
                m.d.comb += selected.eq(posted)
                if strength is not None:
                    m.d.comb += trace.eq(strength)
            with m.Case(PulseMode.DARK):
                m.d.comb += selected.eq(dark)
            if chip.classes:
                with m.Case(PulseMode.POTENTIATE_LABEL, PulseMode.DEPRESS_RIVAL):
                    m.d.comb += trace.eq(self._trace_of_row(m, rank))
        looking, held = Signal(), resetting
        if silent is not None:  # a post spike raises some rows and lowers the others
            resetting, held = resetting | ((sweep.mode == PulseMode.POST) & silent), Signal()
            with m.If(looking):
                m.d.sync += held.eq(resetting)
        bin_ = Signal(max(1, layout.bin.width))
        if layout.bin.width:
            m.d.comb += bin_.eq(trace[-layout.bin.width:])
        given, writing = selected, Signal()
        if chip.accumulates:
            given, bin_ = self._counted(m, selected, bin_, rank, teaching, resetting, looking, writing)
        tables, weight = self._tables(m, self.start_ready, self.level, bin_, teaching)
        m.d.comb += self.pulse_weight.eq(weight)
        entry = Mux(held, tables["reset"].data, tables["set"].data)

        # step and write
        level, pulse, bin_held = Signal(layout.level), Signal(), Signal.like(bin_)
        fraction = random[32 - chip.fraction_bits:]  # the state after this pulse's draw
        step = Signal(bits_for((0xFFFF + (1 << chip.fraction_bits) - 1) >> chip.fraction_bits))
        moved, drawn = entry + fraction, xorshift(m, random)
        if layout.noisy:
            moved = noisy(m, drawn, moved, self.write_noise)
            step = Signal(signed(len(moved) - chip.fraction_bits))
            m.d.comb += step.eq(moved >> chip.fraction_bits)
        else:
            m.d.sync += step.eq(moved >> chip.fraction_bits)
        stepped, clipped = stepped_level(level, step, lower=held, top=chip.levels - 1)
        stepping = Signal()
        with m.If(looking):
            m.d.sync += [pulse.eq(given), bin_held.eq(bin_), level.eq(self.level)]
            with m.If(given):
                m.d.sync += random.eq(drawn)
        writes = writing & pulse
        if chip.has_stuck_cells:
            stuck = Signal()
            with m.If(looking):
                m.d.sync += stuck.eq(self.stuck)
            writes &= ~stuck
        m.d.comb += [
            self.pulse.eq(stepping & pulse), self.pulse_reset.eq(held), self.pulse_bin.eq(bin_held),
            self.write_level.eq(writes), self.clipped.eq(writing & pulse & clipped),
            narrow(self.written_level, stepped),
        ]
        if chip.accumulates:
            m.d.comb += self.read_out_pulses.eq(self.pulse & teaching)
        self._sequence(m, sweep, random, rank, teaching, looking, stepping, writing)
        return m

    def _counted(self, m, selected, bin_, rank, teaching, resetting, looking, writing):
        """What accumulation makes of a pulse: whether it is given, and its bin. Counts are written, and told in sum."""
        chip = self._layout.chip
        counted, kept, given, bin_ = self._accumulate(
            m, selected, self.count if chip.accumulate_bits else None,
            self.row_count if chip.read_out_accumulate_bits else None, bin_,
            self.place if chip.shared else chip.winners - rank, teaching=teaching, resetting=resetting)
        changed = Signal()  # by the row under way
        changes = Signal(range(max(chip.rows, chip.listed) + 1))  # of the sweep
        with m.If(looking):
            m.d.sync += [self.count_written.eq(kept), changed.eq(counted), changes.eq(changes + counted)]
        with m.If(self.start_ready):
            m.d.sync += changes.eq(0)
        told = Mux(self.random_write, changes, 0)  # in the last clock
        m.d.comb += [
            self.write_count.eq(writing & changed & ~teaching),
            self.write_row_count.eq(writing & changed & teaching),
            narrow(self.accumulations, Mux(teaching, 0, told)),
            narrow(self.read_out_accumulations, Mux(teaching, told, 0)),
        ]
        return given, bin_

    def _sequence(self, m, sweep, random, rank, teaching, looking, stepping, writing):
        """Fetch the random state, give every row its four clocks, store the random state."""
        layout, chip = self._layout, self._layout.chip
        row_x, row_y = Signal(range(chip.patch_width)), Signal(range(chip.patch_height))
        left = Signal(range(max(chip.rows, chip.listed if chip.classes else 0) + 1))
        stream = Signal(layout.stream)
        m.d.comb += [
            stream.eq(Mux(teaching, chip.tiles, sweep.tile) if chip.classes else sweep.tile),
            self.random_written.eq(random),
            self.address.eq(sweep.address),
            self.lane.eq(sweep.lane),
        ]
        if chip.classes:  # a class lies in a word and a lane of its row
            word = lookup(m, sweep.lane, [label // layout.lanes for label in range(chip.classes)], name="word_of_class")
            lane = lookup(m, sweep.lane, [label % layout.lanes for label in range(chip.classes)], name="lane_of_class")
            with m.If(teaching):
                m.d.comb += [self.address.eq(self._map.read_out_address(self.row, word)), self.lane.eq(lane)]
        with m.FSM(name="sweep"):
            with m.State("IDLE"):
                m.d.comb += self.start_ready.eq(1)
                with m.If(self.start_valid):
                    m.d.sync += [sweep.eq(self.start), row_x.eq(0), rank.eq(0), self.index.eq(0),
                                 left.eq(Mux(self.start.mode == PulseMode.CELL, 1, chip.rows))]
                    if chip.shared:
                        m.d.sync += row_y.eq(0)
                    if chip.classes:
                        with m.If(self.start.mode.as_value()[2]):
                            m.d.sync += left.eq(self.listed)
                    m.next = "RANDOM"
            with m.State("RANDOM"):
                m.d.comb += self.address.eq(self._map.random_address(stream))
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += random.eq(self.random_data)
                m.next = "FETCH"
            with m.State("FETCH"):
                m.next = "LOOK UP"
            with m.State("LOOK UP"):
                m.d.comb += looking.eq(1)
                m.next = "STEP"
            with m.State("STEP"):  # line and index of the next row are addressed from the next clock on
                m.d.comb += stepping.eq(1)
                m.d.sync += [self.index.eq(self.index + 1), rank.eq(Mux(rank == chip.winners - 1, 0, rank + 1))]
                self._next_line(m, sweep.line, row_x, row_y, left.eq(left - 1))
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += writing.eq(1)
                m.d.sync += sweep.address.eq(sweep.address + layout.words)
                m.next = "FETCH"
                with m.If(left == 0):
                    m.next = "STORE"
            with m.State("STORE"):
                m.d.comb += [self.address.eq(self._map.random_address(stream)), self.random_write.eq(1)]
                m.next = "IDLE"
