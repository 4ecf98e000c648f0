"""The rule of a pulse, shared by both pulse generators: traces, draws, noise, steps (contract 4, 5 and 7)."""

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from .layout import SILENT, Layout
from .logic import lookup

__all__ = ["PulseMode", "TraceLookup", "accumulated", "delayed", "noise_of", "noisy", "stepped_level", "xorshift"]


class PulseMode(enum.Enum, shape=3):
    """Which rows of a column get a pulse, and which."""

    POST = 0  # SET where the line has a pre-trace, amplitude that trace; RESET elsewhere in some chips (contract 5.3)
    DARK = 1  # RESET where the line has not spiked, amplitude the unit's trace (contract 3.5)
    CELL = 2  # one RESET, amplitude the unit's trace (contract 3.1b)
    POTENTIATE_LABEL = 4  # SET in the read-out where a row fired, amplitude the trace of its rank (contract 10.5)
    DEPRESS_RIVAL = 5  # RESET alike


def accumulated(count, amount, threshold, *, lower):
    """The count beside a cell after it changed by ``amount``, and whether its pulse is due (contract 5.7)."""
    changed = Mux(lower, count - amount, count + amount)
    due = Mux(lower, changed <= -threshold, changed >= threshold)
    return Mux(due, 0, changed), due


def noise_of(state):
    """The noise of a pulse, -62 to 62, of the random state that its draw left (contract 5.5)."""
    return sum(state[start:start + 5] for start in (0, 5, 10, 15)) - 62


def noisy(m, drawn, moved, write_noise):
    """What a pulse moves (contract 5.5), one clock after ``moved``.

    ``drawn`` is the state that its draw leaves, one clock before it.
    """
    noise, later = Signal(signed(7)), Signal.like(moved)
    product = Signal(signed(7 + len(write_noise)))
    m.d.sync += [noise.eq(noise_of(drawn)), product.eq(noise * write_noise), later.eq(moved)]
    return later + product


def delayed(m, signal):
    """A signal one clock later."""
    later = Signal(Value.cast(signal).shape())
    m.d.sync += later.eq(signal)
    return later


def stepped_level(level, step, *, lower, top: int):
    """The level after a pulse, held at 0 and ``top``, and whether it had to be (contract 5.2, 8.6)."""
    raw = Mux(lower, level - step, level + step)
    below, above = raw < 0, raw > top
    return Mux(below, 0, Mux(above, top, raw)), below | above


def xorshift(m, state):
    """The next state of xorshift32 (contract 7.2)."""
    for index, (direction, distance) in enumerate((("<<", 13), (">>", 17), ("<<", 5))):
        shifted = Signal(32, name=f"xorshift_{index}")
        moved = (state << distance)[:32] if direction == "<<" else state >> distance
        m.d.comb += shifted.eq(state ^ moved)
        state = shifted
    return state


class TraceLookup(wiring.Component):
    """A trace from the step of its recharge: ``x <- x - ceil(x / 2**trace_shift)`` at every step since (contract 4.1).

    Timing
    ------
    Throughput, latency
        Combinational.

    Members
    -------
    stamp, step : :py:`In(8)`
        The step of the recharge, and now. A stamp of 255 is a line that has not spiked.
    trace : :py:`Out(trace)`
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        super().__init__({"stamp": In(8), "step": In(8), "trace": Out(layout.trace)})

    def elaborate(self, platform):
        m = Module()
        age = Signal(8)
        m.d.comb += age.eq(self.step - self.stamp)
        trace = lookup(m, age, self._layout.chip.trace_table.tolist(), name="trace_of_age")
        m.d.comb += self.trace.eq(Mux(self.stamp == SILENT, 0, trace))
        return m
