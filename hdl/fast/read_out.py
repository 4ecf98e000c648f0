"""The read-out crossbar: feature neurons to scores of classes, and the columns a label teaches."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ohmspike.hdl.shared.accumulator import WeightTable, total
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.logic import saturate
from ohmspike.hdl.shared.read_out import CommonReadOut

__all__ = ["ReadOut"]


class ReadOut(CommonReadOut):
    """Add up read pulses on rows of the read-out, and find the best column (contract 10).

    A fire reads one row, a word of one cell per class. Its *p* pulses are added at once: ``min(score + p * weight,
    top)`` is what *p* additions, each held at the top, come to::

        fire -> row -> levels -> weights -> * p -> + scores     scores -> one column per clock -> best, second, excluded
                 |
                 +---> list of rows that fired --> the pulse generator, which teaches their cells

    Timing
    ------
    Throughput
        A fire per clock; :attr:`search` clocks a search, from :py:`ask` to :py:`done`.
    Latency
        A fire is in the scores :attr:`ReadOut.latency` clocks after it was taken. A row and a listed row come 1 clock
        after their address.
    Reset
        Scores 0, nothing listed; levels stay.

    Parameters
    ----------
    layout : :class:`Layout`
        Of a chip with ``classes`` > 0.

    Members
    -------
    fire_valid, fire_ready, fire : :py:`In`, :py:`Out`
        A row that fires, and how many pulses it sends. Ready unless a search is under way.
    idle : :py:`Out(1)`
        Nothing is being added or searched; :py:`weight_sum` may still come in this clock.
    weight_sum : :py:`Out`
        Sum of the weights that the pulses of a fire read, for the counters; 0 in other clocks.
    clear : :py:`In(1)`
        Scores 0 and the list empty.
    ask, excluding, exclude : :py:`In`
        While idle: search the best column; if ``excluding``, among those other than ``exclude``. Both are held until
        :py:`done`.
    done, best, best_score, second_score, excluded_score : :py:`Out`
        One clock: the search is over. The results stay until the next one: the best column, ties the lowest, its score,
        the largest of the others (0 if there are none), and if ``excluding`` the score of ``exclude``.
    listed, index, row : :py:`Out`, :py:`In`, :py:`Out`
        How many rows have fired, and which they were.
    address, data, write_address, written, write : :py:`In`, :py:`Out`
        The levels: read a row at a time, while idle; one level is written to the classes whose bit is set.
    load, load_level, load_weight : :py:`In`
        Load one entry of the weight tables.
    place : :py:`Out`
        Of a shared crossbar, like all that follows: the best place of the row that fired, or that was listed, one clock
        after it. ``fire.pulses`` is then the place of the fire; what it is above the best is read.
    gained : :py:`Out`
        One clock after a fire: its pulses, for the counters; 0 in other clocks.
    clear_all, cleared : :py:`In`, :py:`Out`
        With :py:`clear`, which is held until :py:`cleared`: the best places of all rows return to 0, not only those of
        the rows that are listed. One row a clock, and a clock for the list.
    """

    latency = 4

    def __init__(self, layout: Layout):
        super().__init__(layout, {
            "address": In(layout.read_out_row), "data": Out(layout.read_out_word),
            "write_address": In(layout.read_out_row), "written": In(layout.level), "write": In(layout.chip.classes),
        })
        self._label, self._picked_label = Signal(layout.label), Signal(layout.label)
        self._picked = Signal(layout.chip.score_bits, name="_picked")

    def elaborate(self, platform):
        m = Module()
        layout, chip = self._layout, self._layout.chip
        scores = [Signal(chip.score_bits, name=f"score_{label}") for label in range(chip.classes)]

        # levels
        m.submodules.cells = cells = Memory(shape=layout.read_out_word, depth=chip.read_out_rows, init=[])
        read, write = cells.read_port(), cells.write_port(granularity=1)
        m.d.comb += [
            read.addr.eq(Mux(self.fire_valid, self.fire.row, self.address)),
            self.data.eq(read.data),
            write.addr.eq(self.write_address), write.en.eq(self.write),
            *(write.data[label].eq(self.written) for label in range(chip.classes)),
        ]

        taken = self._list_fires(m)

        # add: a fire travels through levels, weights, and weights times pulses
        travelling = Signal(3)
        m.d.sync += travelling.eq(Cat(taken, travelling))
        pulses = [self.fire.pulses]
        if chip.shared:
            pulses.append(self.gained)
        for stage in ("levels", "weights", "product")[len(pulses) - 1:]:
            held = Signal(self.fire.pulses.shape(), name=f"pulses_{stage}")
            m.d.sync += held.eq(pulses[-1])
            pulses.append(held)
        weights = []
        for label, score in enumerate(scores):
            m.submodules[f"weights_{label}"] = table = WeightTable(layout)
            m.d.comb += [table.level.eq(read.data[label]), table.write.eq(self.load),
                         table.write_level.eq(self.load_level), table.write_weight.eq(self.load_weight)]
            weights.append(table.weight)
            product = Signal(chip.weight_bits + len(pulses[2]), name=f"product_{label}")
            m.d.sync += product.eq(self._times(table.weight, pulses[2]))
            with m.If(self.clear):
                m.d.sync += score.eq(0)
            with m.Elif(travelling[2]):
                m.d.sync += score.eq(saturate(score + product, chip.score_bits))
        sum_of_row = Signal(bits_for(chip.classes * ((1 << chip.weight_bits) - 1)))
        m.d.sync += [sum_of_row.eq(total(weights)),
                     self.weight_sum.eq(Mux(travelling[2], self._times(sum_of_row, pulses[3]), 0))]
        self._pick(m, scores)
        with m.FSM(name="read_out"):
            with m.State("IDLE"):
                m.d.comb += [self.fire_ready.eq(1), self.idle.eq(~travelling.any())]
                with m.If(self.ask):
                    m.next = "SEARCH"
            self._search(m, self._label, self._picked, self._picked_label, rewinds=True)
        return m

    @staticmethod
    def _times(value, pulses):
        """Value times pulses, of few bits: a sum of shifted values."""
        return total([Mux(pulse, value << bit, 0) for bit, pulse in enumerate(pulses)])

    def _pick(self, m, scores):
        """The score of a column, one clock after its label."""
        with m.Switch(self._label):
            for index, score in enumerate(scores):
                with m.Case(index):
                    m.d.sync += self._picked.eq(score)
        m.d.sync += self._picked_label.eq(self._label)
