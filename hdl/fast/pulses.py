"""The STDP pulse generator: SET and RESET pulses down a column, or on one cell."""

import contextlib

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ohmspike.hdl.shared.layout import SILENT, Layout
from ohmspike.hdl.shared.logic import narrow
from ohmspike.hdl.shared.plasticity import PulseMode, TraceLookup, delayed, noisy, stepped_level, xorshift
from ohmspike.hdl.shared.pulses import CommonPulses

__all__ = ["Pulses"]


class Pulses(CommonPulses):
    """Sweep one column of a tile, or of the read-out, with pulses: stochastic, saturating read-modify-write of levels.

    A pulse draws ``u`` and moves the level by ``(table[bin][level] + u) >> fraction_bits`` (contract 5.2)::

        0 fetch     level word and line stamp are addressed; in the read-out the row listed at the index asked before
        1 select    the lane's level is picked; stamp -> trace -> is there a pulse, of which bin?
        2 look up   table entry and weight are addressed; the random state advances if there is a pulse. With
                    accumulation (5.7) the count beside the cell tells whether it is given
        3 sum       table[bin][level] + u; with write noise (5.5) also its product, noise * write_noise; the count is
                    written
        4 step      level +- step, held at the rails; counted
        5 write     the cell alone, unless it is stuck (5.6)

    Timing
    ------
    Throughput
        One row per clock within a sweep; in the read-out of a chip that fires at a threshold one per 6 clocks.
        A sweep of a higher tile in the same mode (POST or DARK) is accepted
        ``rows + 1`` clocks after the one before it, while that is still under way; any other when :py:`idle`.
    Latency
        ``rows + 6`` clocks from an accepted :py:`start` to :py:`idle` (one row in mode CELL: 7; rows that fired and one
        clock more in the read-out).
    Reset
        Drops the sweep under way: rows not yet written keep their levels, the random state is not stored.

    Parameters
    ----------
    layout : :class:`Layout`

    Members
    -------
    start_valid, start_ready, start : :py:`In`, :py:`Out`
        A sweep: ``mode``; ``address`` of the column's word in its first row; ``lane``; ``line`` of the first row;
        ``trace`` of the unit; ``tile`` whose random state is used. In the read-out ``lane`` is the column, and
        at least one row must be listed. :py:`start_ready` depends on :py:`start`.
    busy, idle : :py:`Out(1)`
        Rows are being addressed; nothing is under way at all.
    step : :py:`In(8)`
        Step of the sample.
    level_address, level_data, level_write_address, level_write
        The level memory: data one clock after the address; which lane of a word is written, a bit each.
    line_address, line_stamp
        The line memory, alike.
    random_address, random_data, random_write_address, random_write_data, random_write
        The random states of the tiles, alike.
    listed, index, row : :py:`In`, :py:`Out`, :py:`In`
        How many rows of the read-out have fired; and the row listed at an index, one clock after it.
    read_out_address, read_out_data, read_out_write_address, read_out_write
        The levels of the read-out, as those of the tiles; a bit for each class.
    written : :py:`Out(level)`
        What is written, to either.
    table_* : loading and reading back the tables; :py:`table_value` one clock after the address while idle.
    pulse, pulse_reset, pulse_dark, pulse_bin, pulse_weight, clipped : :py:`Out`
        What was done, for the counters: in the stage *step*.
    write_noise : :py:`In(noise_bits)`
        The register; of chips with write noise.
    level_stuck, read_out_stuck : :py:`In`
        Which cells of the words in ``level_data`` and ``read_out_data`` are stuck; of chips with stuck cells.
    accumulate_threshold, read_out_accumulate_threshold : :py:`In`
        The registers; of chips that accumulate in the tiles, or in the read-out, like all that follows.
    level_counts, read_out_counts : :py:`In`
        The counts beside the cells of the words in ``level_data`` and ``read_out_data``.
    count_address, count_written, level_count_write, read_out_count_write : :py:`Out`
        Where a count is written, what, and in which lanes of which memory; ``count_written`` is as wide as the wider
        of both, the other takes its low bits.
    accumulations, read_out_accumulations, read_out_pulses : :py:`Out(1)`
        What was done, for the counters of these names.
    """

    SPACING = 6
    """Clocks from a listed row of the read-out to the next one in threshold mode."""

    def __init__(self, layout: Layout):
        members = {
            "busy": Out(1),
            "idle": Out(1),
            "level_address": Out(layout.level_address),
            "level_data": In(layout.level_word),
            "level_write_address": Out(layout.level_address),
            "level_write": Out(layout.lanes),
            "read_out_address": Out(layout.read_out_row),
            "read_out_data": In(layout.read_out_word),
            "read_out_write_address": Out(layout.read_out_row),
            "read_out_write": Out(max(1, layout.chip.classes)),
            "written": Out(layout.level),
            "random_address": Out(layout.stream),
            "random_data": In(32),
            "random_write_address": Out(layout.stream),
            "random_write_data": Out(32),
            "random_write": Out(1),
            "pulse_dark": Out(1),
        }
        if layout.chip.has_stuck_cells:
            members |= {"level_stuck": In(layout.stuck_word), "read_out_stuck": In(layout.read_out_stuck_word)}
        if layout.chip.accumulates:
            members |= {"count_address": Out(max(layout.level_address.width, layout.read_out_row.width)),
                        "level_count_write": Out(layout.lanes), "accumulations": Out(1),
                        "read_out_count_write": Out(max(1, layout.chip.classes)), "read_out_accumulations": Out(1)}
        if layout.chip.accumulate_bits:
            members["level_counts"] = In(layout.accumulated_word)
        if layout.chip.read_out_accumulate_bits:
            members["read_out_counts"] = In(layout.read_out_accumulated_word)
        super().__init__(layout, members)

    def elaborate(self, platform):
        m = Module()
        layout, chip = self._layout, self._layout.chip
        sweep = Signal.like(self.start)
        random = Signal(32)
        issued = Signal(data.StructLayout({"row": 1, "first": 1, "last": 1}))
        fetched = Signal.like(issued)  # stage 0: level word, stamp and random state are addressed in this clock
        teaching = sweep.mode.as_value()[2] if chip.classes else Const(0)
        rank = Signal(range(chip.winners))
        m.d.comb += fetched.eq(issued)
        if chip.classes:
            listing = Signal.like(issued)  # the row listed at the index of the clock before is there
            m.d.sync += listing.eq(Mux(teaching, issued, 0))
            m.d.comb += fetched.eq(Mux(teaching, listing, issued))
        self._sequence(m, sweep, issued)

        # stage 1: select
        travelling = Signal(5)  # stages 1 to 5
        m.d.sync += travelling.eq(Cat(fetched.row, travelling))
        m.d.comb += self.idle.eq(~self.busy & ~fetched.row & ~travelling.any())
        lane_3 = self._random_state(m, sweep, random, fetched)
        addresses = [Mux(teaching, self.row, self.level_address) if chip.classes else self.level_address]
        taken = Signal(layout.pulsed_word)
        for lane in range(layout.pulsed_word.length):
            tile = self.level_data[lane] if lane < layout.lanes else 0
            m.d.comb += taken[lane].eq(Mux(teaching, self.read_out_data[lane], tile) if lane < chip.classes else tile)
        for stage in range(1, 6):
            address = Signal(max(layout.level_address.width, layout.read_out_row.width), name=f"address_{stage}")
            m.d.sync += address.eq(addresses[-1])
            addresses.append(address)
        if chip.shared:
            posted, strength, silent, dark = self.noted, None, None, ~self.noted
            m.d.comb += self.read_out_address.eq(self.row)
        else:
            m.submodules.pre_trace = pre = TraceLookup(layout)
            m.d.comb += [pre.stamp.eq(self.line_stamp), pre.step.eq(self.step), self.read_out_address.eq(self.row)]
            (posted, strength, silent), dark = self._post_pulse(pre.trace), self.line_stamp == SILENT
        level = Signal(layout.level)
        trace = Signal(layout.trace)
        selected = Signal()
        m.d.sync += [level.eq(taken[sweep.lane]), trace.eq(sweep.trace)]
        with m.Switch(sweep.mode):
            with m.Case(PulseMode.POST):
                m.d.sync += selected.eq(travelling[0] & posted)
                if strength is not None:
                    m.d.sync += trace.eq(strength)
            with m.Case(PulseMode.DARK):
                m.d.sync += selected.eq(travelling[0] & dark)
            with m.Default():
                m.d.sync += selected.eq(travelling[0])
        if chip.classes:
            with m.If(teaching):
                m.d.sync += trace.eq(self._trace_of_row(m, rank))
            if not chip.shared:
                with m.If(self.idle):
                    m.d.sync += rank.eq(0)
                with m.Elif(travelling[0]):
                    m.d.sync += rank.eq(Mux(rank == chip.winners - 1, 0, rank + 1))
        if chip.has_stuck_cells:
            stuck = self._stuck(m, sweep.lane, teaching)

        # stage 2: look up, draw
        resetting = (sweep.mode != PulseMode.POST) & (sweep.mode != PulseMode.POTENTIATE_LABEL)
        resetting_3 = resetting_4 = resetting
        sweeping = sweep.mode == PulseMode.DARK
        if silent is not None:  # a post spike raises some rows and lowers the others
            lowers = Signal()
            m.d.sync += lowers.eq(silent)
            resetting = resetting | ((sweep.mode == PulseMode.POST) & lowers)
            resetting_3 = delayed(m, resetting)
            resetting_4 = delayed(m, resetting_3)
            sweeping = sweeping | ((sweep.mode == PulseMode.POST) & resetting_4)
        bin_ = Signal(max(1, layout.bin.width))
        if layout.bin.width:
            m.d.comb += bin_.eq(trace[-layout.bin.width:])
        given = selected
        if chip.accumulates:
            given, bin_, counted = self._counted(m, sweep, selected, bin_, rank, teaching, resetting)
        tables, weight = self._tables(m, self.idle, level, bin_, teaching)
        drawn = xorshift(m, random)
        with m.If(given):
            m.d.sync += random.eq(drawn)
        level_3, bin_3, pulse_3 = Signal.like(level), Signal.like(bin_), Signal()
        m.d.sync += [level_3.eq(level), bin_3.eq(bin_), pulse_3.eq(given)]

        # stage 3: sum; the count is written
        if chip.accumulates:
            self._write_count(m, counted, lane_3, addresses[3], teaching)
        entry = Mux(resetting_3, tables["reset"].data, tables["set"].data)
        fraction = random[32 - chip.fraction_bits:]  # the state after this pulse's draw
        moved = entry + fraction
        moved = noisy(m, drawn, moved, self.write_noise) if layout.noisy else delayed(m, moved)
        level_4, bin_4, pulse_4, weight_4, lane_4 = (
            delayed(m, signal) for signal in (level_3, bin_3, pulse_3, weight, lane_3))

        # stage 4: step
        step = Signal((signed if layout.noisy else unsigned)(len(moved) - chip.fraction_bits))
        stepped, clipped = stepped_level(level_4, step, lower=resetting_4, top=chip.levels - 1)
        held = Signal(layout.level)
        m.d.comb += [
            step.eq(moved >> chip.fraction_bits),
            narrow(held, stepped),
            self.pulse.eq(pulse_4),
            self.pulse_reset.eq(resetting_4),
            self.pulse_dark.eq(pulse_4 & sweeping),
            self.pulse_bin.eq(bin_4),
            self.pulse_weight.eq(weight_4),
            self.clipped.eq(pulse_4 & clipped),
        ]
        if chip.accumulates:
            m.d.comb += self.read_out_pulses.eq(pulse_4 & teaching)

        # stage 5: write
        place_5 = Signal(max(layout.lanes, chip.classes))
        writes = pulse_4 & ~stuck if chip.has_stuck_cells else pulse_4
        m.d.sync += [place_5.eq(Mux(writes, 1 << lane_4, 0)), self.written.eq(held)]
        m.d.comb += [
            self.level_write.eq(Mux(teaching, 0, place_5)),
            narrow(self.level_write_address, addresses[-1]),
            self.read_out_write.eq(Mux(teaching, place_5, 0)),
            narrow(self.read_out_write_address, addresses[-1]),
        ]
        return m

    def _counted(self, m, sweep, selected, bin_, rank, teaching, resetting):
        """What accumulation makes of a pulse in the stage *look up*: whether it is given, its bin, is a count changed.

        The counts are picked in the stage *select*.
        """
        chip = self._layout.chip
        count, row_count, amount = Signal(chip.accumulate_bits), Signal(chip.read_out_accumulate_bits), Signal(
            range(chip.winners + 1))
        m.d.sync += amount.eq(self.place if chip.shared else chip.winners - rank)
        if chip.accumulate_bits:
            m.d.sync += count.eq(self.level_counts[sweep.lane])
        if chip.read_out_accumulate_bits:
            m.d.sync += row_count.eq(self.read_out_counts[sweep.lane])
        counted, kept, given, bin_ = self._accumulate(m, selected, count, row_count, bin_, amount, teaching=teaching,
                                                      resetting=resetting)
        m.d.sync += self.count_written.eq(kept)
        return given, bin_, counted

    def _write_count(self, m, counted, lane, address, teaching):
        """Write the count in the stage *sum*, in which ``lane`` and ``address`` are."""
        changes = delayed(m, counted)
        place = Mux(changes, 1 << lane, 0)
        m.d.comb += [
            narrow(self.count_address, address),
            narrow(self.level_count_write, Mux(teaching, 0, place)),
            narrow(self.read_out_count_write, Mux(teaching, place, 0)),
            self.accumulations.eq(changes & ~teaching),
            self.read_out_accumulations.eq(changes & teaching),
        ]

    def _stuck(self, m, lane, teaching):
        """Whether the cell is stuck, in the stage *step*."""
        chip = self._layout.chip
        tile = self.level_stuck.as_value().bit_select(lane, 1)
        row = self.read_out_stuck.as_value().bit_select(lane, 1) if chip.classes else 0
        stuck = Mux(teaching, row, tile)
        for _ in range(3):
            stuck = delayed(m, stuck)
        return stuck

    def _random_state(self, m, sweep, random, fetched):
        """Fetch the random state with the first row, store it after the draw of the last; the lane in stage 3.

        A row is in stage 1 when the next sweep is accepted at the earliest, so ``sweep`` is its own until then. Stages
        2 and 3 keep what differs between two sweeps that follow each other: lane and tile, never the mode.
        """
        layout, chip = self._layout, self._layout.chip
        stream = Mux(sweep.mode.as_value()[2], chip.tiles, sweep.tile) if chip.classes else sweep.tile
        first_1, last = Signal(), Signal(3)
        m.d.sync += [first_1.eq(fetched.first), last.eq(Cat(fetched.last, last))]
        with m.If(first_1):
            m.d.sync += random.eq(self.random_data)
        lane_3, stream_3 = sweep.lane, stream
        for stage in (2, 3):
            lane, number = Signal(layout.pulsed_lane, name=f"lane_{stage}"), Signal(layout.stream, name=f"of_{stage}")
            m.d.sync += [lane.eq(lane_3), number.eq(stream_3)]
            lane_3, stream_3 = lane, number
        m.d.comb += [
            self.random_address.eq(stream),
            self.random_write_address.eq(stream_3),
            self.random_write_data.eq(random),
            self.random_write.eq(last[2]),
        ]
        return lane_3

    def _sequence(self, m, sweep, issued):
        """Accept a sweep, address its rows."""
        layout, chip = self._layout, self._layout.chip
        row_x, row_y = Signal(range(chip.patch_width)), Signal(range(chip.patch_height))
        left = Signal(range(max(chip.rows, chip.listed if chip.classes else 0) + 1))
        begun = Signal()
        mode = self.start.mode
        chained = ((mode == PulseMode.POST) | (mode == PulseMode.DARK)) & (mode == sweep.mode) & (
            self.start.tile > sweep.tile)
        m.d.comb += [
            self.level_address.eq(sweep.address),
            self.line_address.eq(sweep.line),
        ]
        free = self._row_free(m, sweep)
        with m.FSM(name="sweep"):
            with m.State("IDLE"):
                m.d.comb += self.start_ready.eq(self.idle | chained)
                with m.If(self.start_valid & self.start_ready):
                    m.d.sync += [
                        sweep.eq(self.start),
                        row_x.eq(0),
                        left.eq(Mux(self.start.mode == PulseMode.CELL, 1, chip.rows)),
                        self.index.eq(0),
                        begun.eq(0),
                    ]
                    if chip.shared:
                        m.d.sync += row_y.eq(0)
                    if chip.classes:
                        with m.If(self.start.mode.as_value()[2]):
                            m.d.sync += left.eq(self.listed)
                    m.next = "ROWS"
            with m.State("ROWS"):
                m.d.comb += self.busy.eq(1)
                with contextlib.nullcontext() if free is None else m.If(free):
                    m.d.comb += [issued.row.eq(1), issued.first.eq(~begun), issued.last.eq(left == 1)]
                    m.d.sync += [
                        begun.eq(1),
                        left.eq(left - 1),
                        self.index.eq(self.index + 1),
                        sweep.address.eq(sweep.address + layout.words),
                    ]
                    self._next_line(m, sweep.line, row_x, row_y)
                    with m.If(left == 1):
                        m.next = "IDLE"

    def _row_free(self, m, sweep):
        """The clocks of state ROWS in which a row is addressed; none where all are, because no row is listed twice.

        In threshold mode a neuron fires as often as it likes, so a listed row waits until the one before it is written.
        """
        chip = self._layout.chip
        if chip.fire_mode == "race" or not chip.classes:
            return None
        waited = Signal(range(self.SPACING))
        waits = self.busy & sweep.mode.as_value()[2] & (waited != self.SPACING - 1)
        m.d.sync += waited.eq(Mux(waits, waited + 1, 0))
        return waited == 0
