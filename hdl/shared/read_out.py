"""What both read-outs share: ports, the list of rows that fired, and the search of the best column."""

from amaranth import Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from .layout import Layout

__all__ = ["CommonReadOut"]


class CommonReadOut(wiring.Component):
    """A read-out without its levels and scores, which a form adds (contract 10).

    Parameters
    ----------
    layout : :class:`Layout`
        Of a chip with ``classes`` > 0.
    members : dict
        Ports of the form; all others are described in :class:`~ohmspike.hdl.fast.read_out.ReadOut`.
    """

    def __init__(self, layout: Layout, members: dict):
        self._layout = layout
        chip = layout.chip
        self.search = chip.classes + 2
        super().__init__({
            "fire_valid": In(1), "fire_ready": Out(1),
            "fire": In(data.StructLayout({"row": layout.read_out_row, "pulses": bits_for(chip.winners)})),
            "idle": Out(1),
            "weight_sum": Out(bits_for(chip.winners * chip.classes * ((1 << chip.weight_bits) - 1))),
            "clear": In(1),
            "ask": In(1), "excluding": In(1), "exclude": In(layout.label),
            "done": Out(1), "best": Out(layout.label), "best_score": Out(chip.score_bits),
            "second_score": Out(chip.score_bits), "excluded_score": Out(chip.score_bits),
            "listed": Out(layout.fire_count), "index": In(layout.fire_count), "row": Out(layout.read_out_row),
            "load": In(1), "load_level": In(layout.level), "load_weight": In(layout.weight),
            **(self._pooling(chip) if chip.shared else {}),
            **members,
        })

    @staticmethod
    def _pooling(chip):
        """Ports of a shared crossbar (contract 11.6)."""
        place = range(chip.winners + 1)
        return {"place": Out(place), "gained": Out(place), "clear_all": In(1), "cleared": Out(1)}

    def _list_fires(self, m):
        """Keep the rows that fire, and put out the one that is asked for; whether a fire is taken in this clock."""
        layout, chip = self._layout, self._layout.chip
        m.submodules.fired = fired = Memory(shape=layout.read_out_row, depth=chip.listed, init=[])
        recall, note = fired.read_port(), fired.write_port()
        taken = self.fire_valid & self.fire_ready
        if chip.shared:
            self._pool(m, taken, recall, note)
            return taken
        listing = taken
        if chip.fire_mode == "threshold":  # a sample may fire more often than the list is long (contract 10.1)
            listing = taken & (self.listed != chip.listed)
        m.d.comb += [
            recall.addr.eq(self.index[:len(recall.addr)]), self.row.eq(recall.data),
            note.addr.eq(self.listed[:len(note.addr)]), note.data.eq(self.fire.row), note.en.eq(listing),
        ]
        m.d.sync += self.listed.eq(Mux(self.clear, 0, self.listed + listing))
        return taken

    def _pool(self, m, taken, recall, note):
        """Keep the best place of every row; in the clock after a fire tell by how much it is above the best so far.

        What is listed is forgotten row after row while ``clear``; after a reset all rows are.
        """
        layout, chip = self._layout, self._layout.chip
        m.submodules.best_places = places = Memory(shape=range(chip.winners + 1), depth=chip.read_out_rows, init=[])
        read, write = places.read_port(), places.write_port()
        fired, row, place = Signal(), Signal(layout.read_out_row), Signal(range(chip.winners + 1))
        m.d.sync += [fired.eq(taken), row.eq(self.fire.row), place.eq(self.fire.pulses)]
        above = Signal()
        swept, forgets = Signal(range(chip.read_out_rows + 1)), Signal()
        reached, done = Signal(), Signal()
        m.d.comb += [
            read.addr.eq(Mux(self.fire_valid, self.fire.row, self.row)),
            self.place.eq(read.data),
            above.eq(fired & (place > read.data)),
            self.gained.eq(Mux(above, place - read.data, 0)),
            write.addr.eq(row), write.data.eq(place), write.en.eq(above),
            recall.addr.eq(self.index[:len(recall.addr)]), self.row.eq(recall.data),
            note.addr.eq(self.listed[:len(note.addr)]), note.data.eq(row), note.en.eq(above & (read.data == 0)),
        ]
        m.d.sync += [self.listed.eq(self.listed + note.en), swept.eq(0), forgets.eq(0), done.eq(0)]
        with m.If(self.clear):
            m.d.comb += [
                recall.addr.eq(swept[:len(recall.addr)]),
                write.addr.eq(Mux(self.clear_all, swept[:len(write.addr)], recall.data)),
                write.data.eq(0), write.en.eq(self.clear_all | forgets),
                reached.eq(swept == Mux(self.clear_all, chip.read_out_rows - 1, self.listed)),
                self.cleared.eq(reached | done),
            ]
            m.d.sync += done.eq(self.cleared)
            with m.If(self.cleared):
                m.d.sync += self.listed.eq(0)
            with m.Else():
                m.d.sync += [swept.eq(swept + 1), forgets.eq(1)]

    def _search(self, m, label, picked, picked_label, *, rewinds=False):
        """States from SEARCH on: a column per clock, addressed in one clock, compared in the next.

        Parameters
        ----------
        label, picked, picked_label
            The column that is addressed; the score that is there, and of which column it is.
        rewinds : :class:`bool`
            ``label`` goes back to 0 after the last column; else the form sees to that.
        """
        chip = self._layout.chip
        any_best, any_second, valid = Signal(), Signal(), Signal()
        leads = ~any_best | (picked > self.best_score)
        with m.State("SEARCH"):
            m.d.sync += [label.eq(label + 1), valid.eq(1)]
            with m.If(~valid):
                m.d.sync += [any_best.eq(0), any_second.eq(0), self.second_score.eq(0), self.best_score.eq(0)]
            with m.Elif(self.excluding & (picked_label == self.exclude)):
                m.d.sync += self.excluded_score.eq(picked)
            with m.Elif(leads):
                m.d.sync += [self.best.eq(picked_label), self.best_score.eq(picked), any_best.eq(1),
                             self.second_score.eq(self.best_score), any_second.eq(any_best)]
            with m.Elif(~any_second | (picked > self.second_score)):
                m.d.sync += [self.second_score.eq(picked), any_second.eq(1)]
            with m.If(valid & (picked_label == chip.classes - 1)):
                m.d.sync += [label.eq(0), valid.eq(0)] if rewinds else valid.eq(0)
                m.next = "SEARCHED"
        with m.State("SEARCHED"):
            m.d.comb += self.done.eq(1)
            m.next = "IDLE"
