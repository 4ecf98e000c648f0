"""Small pieces of logic that every part uses: saturation, narrowing, constant tables."""

from amaranth import Module, Signal
from amaranth.utils import bits_for

__all__ = ["lookup", "narrow", "saturate"]


def narrow(target: Signal, value):
    """Assign a value known to fit: the one place where bits may be dropped."""
    return target.eq(value[:len(target)])


def saturate(value, width: int):
    """An unsigned value held at the top of ``width`` bits."""
    if len(value) <= width:
        return value
    top = value[width:].any()
    return value[:width] | top.replicate(width)


def lookup(m: Module, index, table, *, name: str) -> Signal:
    """A constant table in gates; an index beyond it gives 0."""
    width = max(1, bits_for(max(table)))
    result = Signal(width, name=name)
    with m.Switch(index):
        for position, value in enumerate(table):
            if value and position < 1 << len(index):
                with m.Case(position):
                    m.d.comb += result.eq(value)
    return result
