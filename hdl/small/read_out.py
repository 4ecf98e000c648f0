"""The read-out of the small form: one class per clock."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ohmspike.hdl.shared.accumulator import WeightTable
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.logic import saturate
from ohmspike.hdl.shared.read_out import CommonReadOut

__all__ = ["SerialReadOut"]


class SerialReadOut(CommonReadOut):
    """Add up read pulses on rows of the read-out, and find the best column (contract 10).

    Like :class:`~ohmspike.hdl.fast.read_out.ReadOut`.

    The levels lie in the array, the scores in a memory. *p* pulses on a cell add ``p * weight`` at once, which is what
    *p* saturating additions come to::

        0 address   the word of the class is addressed
        1 weigh     its level is picked; the score is addressed
        2 add       score + pulses * weight is written back

    Timing
    ------
    Throughput
        A fire takes ``classes + 4`` clocks; :attr:`search` clocks a search, from :py:`ask` to :py:`done`.
    Latency
        A listed row comes 1 clock after its index.
    Reset
        Scores stay until they are cleared, which takes ``classes`` clocks of :py:`clear`; nothing listed.

    Parameters
    ----------
    layout : :class:`Layout`
        Of a chip with ``classes`` > 0.

    Members
    -------
    fire_valid, fire_ready, fire : :py:`In`, :py:`Out`
        A row that fires, and how many pulses it sends; held by the sender until :py:`idle` is back.
    idle : :py:`Out(1)`
        Nothing is being added or searched.
    reading, word, lane, level : :py:`Out`, :py:`In`
        A word of the row of the fire is wanted; and, 1 clock later, the level of one of its lanes.
    added, weight_sum : :py:`Out`
        One clock: a fire was added; and, until the next one begins, the sum of the weights of all its pulses.
    clear : :py:`In(1)`
        Scores 0 and the list empty.
    place, gained, clear_all, cleared
        Of a shared crossbar, as in :class:`~ohmspike.hdl.fast.read_out.ReadOut`. A fire that gains nothing takes 2
        clocks, any other one more than elsewhere.
    ask, excluding, exclude, done, best, best_score, second_score, excluded_score, listed, index, row, load, load_level,
    load_weight
        As in :class:`~ohmspike.hdl.fast.read_out.ReadOut`.
    """

    def __init__(self, layout: Layout):
        super().__init__(layout, {
            "reading": Out(1), "word": Out(bits_for(layout.read_out_words - 1)), "lane": Out(layout.lane),
            "level": In(layout.level), "added": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        layout, chip = self._layout, self._layout.chip

        taken = self._list_fires(m)

        # scores; label runs ahead, one_label and two_label are that of the stages behind it
        m.submodules.scores = scores = Memory(shape=unsigned(chip.score_bits), depth=1 << layout.label.width, init=[],
                                              attrs={"ram_style": "block"})
        score, write = scores.read_port(), scores.write_port()
        m.submodules.weights = weights = WeightTable(layout)
        label, one_label, two_label = (Signal(layout.label, name=name) for name in ("label", "one_label", "two_label"))
        adding, one, two, last = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [one.eq(adding), two.eq(one), one_label.eq(label), two_label.eq(one_label)]
        pulses = self.fire.pulses
        if chip.shared:
            pulses = Signal.like(pulses)
            with m.If(self.gained != 0):
                m.d.sync += pulses.eq(self.gained)
        product = weights.weight * pulses
        m.d.comb += [
            weights.level.eq(self.level), weights.write.eq(self.load), weights.write_level.eq(self.load_level),
            weights.write_weight.eq(self.load_weight),
            score.addr.eq(Mux(one, one_label, label)),
            write.addr.eq(Mux(self.clear, label, two_label)),
            write.en.eq(two | self.clear),
            write.data.eq(Mux(self.clear, 0, saturate(score.data + product, chip.score_bits))),
            last.eq(two & ~one),
        ]
        m.d.sync += self.added.eq(last)
        with m.If(taken):
            m.d.sync += self.weight_sum.eq(0)
        with m.Elif(two):
            m.d.sync += self.weight_sum.eq(self.weight_sum + product)

        # sequence
        next_lane = Signal(layout.lane)
        m.d.sync += self.lane.eq(next_lane)
        with m.FSM(name="read_out"):
            with m.State("IDLE"):
                m.d.comb += self.fire_ready.eq(~self.clear)
                m.d.sync += [label.eq(Mux(self.clear, label + 1, 0)), self.word.eq(0), next_lane.eq(0)]
                with m.If(~self.clear & self.fire_valid):
                    m.next = "POOL" if chip.shared else "ADD"
                with m.Elif(~self.clear & self.ask):
                    m.next = "SEARCH"
            if chip.shared:
                with m.State("POOL"):
                    m.next = "IDLE"
                    with m.If(self.gained != 0):
                        m.next = "ADD"
            with m.State("ADD"):
                m.d.comb += [self.reading.eq(1), adding.eq(1)]
                m.d.sync += [label.eq(label + 1), next_lane.eq(next_lane + 1)]
                with m.If(next_lane == layout.lanes - 1):
                    m.d.sync += [next_lane.eq(0), self.word.eq(self.word + 1)]
                with m.If(label == chip.classes - 1):
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                with m.If(last):
                    m.next = "IDLE"
            self._search(m, label, score.data, one_label)
        m.d.comb += self.idle.eq(self.fire_ready)
        return m
