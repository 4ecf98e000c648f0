"""What both pulse generators share: their ports, and the tables of steps and weights."""

from amaranth import Cat, Const, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .accumulator import WeightTable
from .layout import Layout
from .logic import lookup
from .plasticity import PulseMode, accumulated

__all__ = ["CommonPulses"]


class CommonPulses(wiring.Component):
    """A pulse generator without its way to the levels, which a form adds (contract 5).

    Parameters
    ----------
    layout : :class:`Layout`
    members : dict
        Ports of the form; all others are described in :class:`~ohmspike.hdl.fast.pulses.Pulses`.
    """

    def __init__(self, layout: Layout, members: dict):
        self._layout = layout
        super().__init__({
            "start_valid": In(1),
            "start_ready": Out(1),
            "start": In(data.StructLayout({
                "mode": PulseMode, "address": layout.level_address, "lane": layout.pulsed_lane, "line": layout.place,
                "trace": layout.trace, "tile": layout.tile})),
            "step": In(8),
            "line_address": Out(layout.place),
            **({"noted": In(1), "place": In(range(layout.chip.winners + 1))} if layout.chip.shared else {
                "line_stamp": In(8)}),
            "listed": In(layout.fire_count),
            "index": Out(layout.fire_count),
            "row": In(layout.read_out_row),
            "table_address": In(layout.table_address),
            "table_write_data": In(16),
            "table_write_set": In(1),
            "table_write_reset": In(1),
            "table_value_set": Out(16),
            "table_value_reset": Out(16),
            "weight_write": In(1),
            "weight_write_level": In(layout.level),
            "weight_write_weight": In(layout.weight),
            "weight_read_level": In(layout.level),
            "weight_value": Out(layout.weight),
            "pulse": Out(1),
            "pulse_reset": Out(1),
            "pulse_bin": Out(max(1, layout.bin.width)),
            "pulse_weight": Out(layout.weight),
            "clipped": Out(1),
            **({"write_noise": In(layout.chip.noise_bits)} if layout.noisy else {}),
            **self._counts(),
            **members,
        })

    def _counts(self):
        """Ports of accumulation that both forms have."""
        chip = self._layout.chip
        bits = {"accumulate_threshold": chip.accumulate_bits,
                "read_out_accumulate_threshold": chip.read_out_accumulate_bits}
        ports = {name: In(width - 1) for name, width in bits.items() if width}
        return ports | {"count_written": Out(self._layout.count.width), "read_out_pulses": Out(1)} if ports else {}

    def _post_pulse(self, stamped):
        """Whether a row gets a pulse of a post spike, that pulse's trace, and whether it lowers (contract 5.3).

        ``stamped`` is the pre-trace of the row. With depression at the post spike every row gets one.
        """
        chip = self._layout.chip
        if chip.depression == "pre":
            return stamped != 0, stamped, None
        silent = stamped == 0
        return Const(1), Mux(silent, (1 << chip.trace_bits) - 1, stamped), silent

    def _next_line(self, m, line, row_x, row_y, *others):
        """From the line of a row to that of the next, and ``others``; ``row_x``, ``row_y``: its place in the window."""
        chip = self._layout.chip
        if chip.shared:
            self._next_place(m, line, row_x, row_y)
            m.d.sync += others
            return
        m.d.sync += [line.eq(line + 1), row_x.eq(row_x + 1), *others]
        with m.If(row_x == chip.patch_width - 1):
            m.d.sync += [row_x.eq(0), line.eq(line + chip.plane_width - chip.patch_width + 1)]

    def _next_place(self, m, place, row_x, row_y):
        layout, chip = self._layout, self._layout.chip
        m.d.sync += [row_x.eq(row_x + 1), place.bit.eq(place.bit + 1)]
        with m.If(row_x == chip.patch_width - 1):
            m.d.sync += [row_x.eq(0), row_y.eq(row_y + 1), place.row.eq(place.row + 1),
                         place.bit.eq(place.bit - (chip.patch_width - 1))]
            with m.If(row_y == chip.patch_height - 1):
                m.d.sync += row_y.eq(0)
                if layout.noted_channels > 1:
                    m.d.sync += [place.row.eq(place.row - (chip.patch_height - 1)),
                                 place.bit.eq(place.bit + chip.plane_width - (chip.patch_width - 1))]
                else:
                    m.d.sync += place.row.eq(place.row + chip.plane_height - chip.patch_height + 1)

    def _trace_of_row(self, m, rank):
        """The trace of a row of the read-out: of its rank, or of its best place in a shared crossbar."""
        chip = self._layout.chip
        if chip.shared:
            return lookup(m, self.place, [0, *reversed(chip.trace_of_rank)], name="trace_of_place")
        return lookup(m, rank, chip.trace_of_rank, name="trace_of_rank")

    def _tables(self, m, idle, level, bin_, teaching):
        """Tables and weights: addressed by the level and bin of a pulse, or by the host while idle.

        Returns
        -------
        tables : dict
            The read ports of the tables ``set`` and ``reset``.
        weight
            The weight of the level. Both come one clock after their address.
        """
        layout = self._layout
        entry = Cat(level, bin_[:layout.bin.width], teaching)[:layout.table_address.width]
        tables = {}
        for name, write in (("set", self.table_write_set), ("reset", self.table_write_reset)):
            m.submodules[f"{name}_table"] = table = Memory(shape=unsigned(16), init=[],
                                                           depth=1 << layout.table_address.width)
            tables[name], load = table.read_port(), table.write_port()
            m.d.comb += [
                tables[name].addr.eq(Mux(idle, self.table_address, entry)),
                load.addr.eq(self.table_address),
                load.data.eq(self.table_write_data),
                load.en.eq(write),
                getattr(self, f"table_value_{name}").eq(tables[name].data),
            ]
        m.submodules.weights = weights = WeightTable(layout)
        m.d.comb += [
            weights.level.eq(Mux(idle, self.weight_read_level, level)),
            weights.write.eq(self.weight_write),
            weights.write_level.eq(self.weight_write_level),
            weights.write_weight.eq(self.weight_write_weight),
            self.weight_value.eq(weights.weight),
        ]
        return tables, weights.weight

    def _accumulate(self, m, selected, count, row_count, bin_, amount_of_rank, *, teaching, resetting):
        """What accumulation makes of the pulse of a row (contract 5.7), in a chip that accumulates; combinational.

        Parameters
        ----------
        selected, bin_
            Whether another chip would give it, and of which amplitude bin.
        count, row_count
            The counts beside its cell, in the tile and in the read-out; of no use where they do not accumulate.
        amount_of_rank
            What a row of its rank counts in the read-out.

        Returns
        -------
        counted, kept
            Whether a count changes, and to what.
        given, bin
            Whether the pulse is given, and of which bin.
        """
        layout, chip = self._layout, self._layout.chip
        counts, thresholds, amounts = [], [], []
        if chip.accumulate_bits:
            counts.append(count.as_signed())
            thresholds.append(self.accumulate_threshold)
            amounts.append(bin_ + 1)
        if chip.read_out_accumulate_bits:
            counts.append(row_count.as_signed())
            thresholds.append(self.read_out_accumulate_threshold)
            amounts.append(amount_of_rank)
        here = Const(1) if len(counts) == 2 else ~teaching if chip.accumulate_bits else teaching
        count, threshold, amount = (
            pair[0] if len(pair) == 1 else Mux(teaching, pair[1], pair[0]) for pair in (counts, thresholds, amounts))
        counted, kept, given, bin_given = Signal(), Signal(layout.count.width), Signal(), Signal.like(bin_)
        changed, due = accumulated(count, amount, threshold, lower=resetting)
        m.d.comb += [
            counted.eq(selected & here),
            kept.eq(changed[:len(kept)]),  # wide enough for what is not due
            given.eq(selected & (due | ~here)),
            bin_given.eq(Mux(here, chip.amplitudes - 1, bin_)),
        ]
        return counted, kept, given, bin_given
