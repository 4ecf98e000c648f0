"""The read: weights of one word of cells, added to the membranes of their neurons."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .layout import Layout
from .logic import saturate

__all__ = ["Accumulator", "WeightTable", "total"]


class WeightTable(wiring.Component):
    """Level to weight: one lookup per clock.

    One instance per reader (a lane, the pulse generator): a memory with one read and one write port maps to a block
    RAM anywhere, one with many read ports maps nowhere. A fixed table is gates and ignores writes.

    Timing
    ------
    Throughput
        One lookup per clock.
    Latency
        1 clock from :py:`level` to :py:`weight`.
    Reset
        Keeps the table.

    Members
    -------
    level : :py:`In(level)`
    weight : :py:`Out(weight)`
    write_level, write_weight, write : :py:`In`
        Load one entry.
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        super().__init__({
            "level": In(layout.level),
            "weight": Out(layout.weight),
            "write": In(1),
            "write_level": In(layout.level),
            "write_weight": In(layout.weight),
        })

    def elaborate(self, platform):
        m = Module()
        chip = self._layout.chip
        table = chip.weight_table.tolist()
        if chip.weight_store == "fixed":
            looked_up = Signal(self._layout.weight)
            with m.Switch(self.level):
                for level, weight in enumerate(table):
                    with m.Case(level):
                        m.d.comb += looked_up.eq(weight)
            m.d.sync += self.weight.eq(looked_up)
            return m
        m.submodules.table = memory = Memory(shape=self._layout.weight, depth=chip.levels, init=table,
                                             attrs={"ram_style": "distributed"})
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(self.level),
            self.weight.eq(read.data),
            write.addr.eq(self.write_level),
            write.data.eq(self.write_weight),
            write.en.eq(self.write),
        ]
        return m


class Accumulator(wiring.Component):
    """Add the weights of one word of cells to their membranes.

    ``V' = min(V + weight[level], 2**membrane_bits - 1)`` in every lane (contract 3.1a); ``V = 0`` where :py:`fresh`.

    Timing
    ------
    Throughput
        One word per clock.
    Latency
        1 clock from :py:`levels` to :py:`raised`, which belongs to the :py:`membranes` of that clock;
        1 clock more to :py:`weight_sum`.
    Reset
        Keeps the weight tables.

    Members
    -------
    levels : :py:`In(level_word)`
        Levels of the word.
    membranes, fresh : :py:`In`
        One clock later: the membranes, and whether they count as 0.
    last_word : :py:`In(1)`
        With :py:`membranes`: the word is the last of its row, whose spare lanes do not count.
    raised : :py:`Out(membrane_word)`
        The membranes after the read.
    weight_sum : :py:`Out(weight_sum)`
        Sum of the weights of the lanes in use, one clock after :py:`raised`.
    write, write_level, write_weight : :py:`In`
        Load one entry of the weight table.
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        super().__init__({
            "levels": In(layout.level_word),
            "membranes": In(layout.membrane_word),
            "fresh": In(1),
            "last_word": In(1),
            "raised": Out(layout.membrane_word),
            "weight_sum": Out(layout.weight_sum),
            "write": In(1),
            "write_level": In(layout.level),
            "write_weight": In(layout.weight),
        })

    def elaborate(self, platform):
        m = Module()
        layout = self._layout
        weights = []
        for lane in range(layout.lanes):
            m.submodules[f"weights_{lane}"] = table = WeightTable(layout)
            m.d.comb += [
                table.level.eq(self.levels[lane]),
                table.write.eq(self.write),
                table.write_level.eq(self.write_level),
                table.write_weight.eq(self.write_weight),
            ]
            membrane = Mux(self.fresh, 0, self.membranes[lane])
            m.d.comb += self.raised[lane].eq(saturate(membrane + table.weight, layout.chip.membrane_bits))
            spare = lane >= layout.last_lanes
            weights.append(Mux(self.last_word, 0, table.weight) if spare else table.weight)
        m.d.sync += self.weight_sum.eq(total(weights))
        return m


def total(values):
    """The sum of unsigned values, as a balanced tree."""
    while len(values) > 1:
        pairs = [a + b for a, b in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[len(pairs) * 2:]
    return values[0]
