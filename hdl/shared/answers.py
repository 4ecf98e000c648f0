"""Answers of the read-out, and what labels teach it (contract 10)."""

from amaranth import Signal

from .plasticity import PulseMode
from .ports import EventKind
from .state import Registers
from .storage import CommonStorage

__all__ = ["Answers"]


class Answers:
    """ANSWER and LABEL, from state SEARCH on; of a chip with a read-out.

    Parameters
    ----------
    storage, registers
        What they work on.
    events, answers
        The streams of the core.
    """

    def __init__(self, storage: CommonStorage, registers: Registers, events, answers):
        self._storage, self._registers, self._events, self._answers = storage, registers, events, answers

    def states(self, m):
        """ANSWER puts out the best column; LABEL teaches its column and the best rival's if the lead is too small."""
        event, read_out, pulses = self._events.payload, self._storage.read_out, self._storage.pulses
        answer, count = self._answers.payload, self._storage.count
        lead_wanted = Signal(self._storage.layout.chip.score_bits + 1)
        m.d.comb += [
            answer.label.eq(read_out.best),
            answer.score.eq(read_out.best_score),
            answer.margin.eq(read_out.best_score - read_out.second_score),
            lead_wanted.eq(read_out.best_score + self._registers.margin),
        ]
        with m.State("SEARCH"):
            m.d.comb += read_out.ask.eq(1)
            m.next = "SEARCHING"
        with m.State("SEARCHING"):
            with m.If(read_out.done):
                m.next = "LABELLED"
                with m.If(event.kind == EventKind.ANSWER):
                    m.next = "ANSWERED"
        with m.State("ANSWERED"):
            m.d.comb += [self._answers.valid.eq(1), self._events.ready.eq(self._answers.ready)]
            with m.If(self._answers.ready):
                count(m, "answers")
                m.next = "IDLE"
        with m.State("LABELLED"):
            own, best = read_out.excluded_score, read_out.best_score
            teaches = own < lead_wanted
            count(m, "labels")
            count(m, "labels_right", (own > best) | ((own == best) & (event.line < read_out.best)))
            count(m, "taught", teaches)
            m.next = "LABEL DONE"
            with m.If(teaches & (read_out.listed != 0)):
                m.next = "POTENTIATE LABEL"
        for state, mode, column, then in (
                ("POTENTIATE LABEL", PulseMode.POTENTIATE_LABEL, event.line, "DEPRESS RIVAL"),
                ("DEPRESS RIVAL", PulseMode.DEPRESS_RIVAL, read_out.best, "LABEL DONE")):
            with m.State(state):
                m.d.comb += [pulses.start_valid.eq(1), pulses.start.mode.eq(mode),
                             pulses.start.lane.eq(column[:len(pulses.start.lane)])]
                m.next = f"{state}, SWEEPING"
            with m.State(f"{state}, SWEEPING"):
                with m.If(self._storage.pulses_over):
                    m.next = then
        with m.State("LABEL DONE"):
            m.d.comb += self._events.ready.eq(1)
            m.next = "IDLE"
