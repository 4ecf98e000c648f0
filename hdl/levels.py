"""The crossbar's conductances: level words in block RAM, or in a single-ported RAM."""

from amaranth import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .layout import Layout

__all__ = ["LevelMemory"]


class LevelMemory(wiring.Component):
    """The levels of all cells, a word of ``lanes`` cells at a time.

    With one port a write takes the place of the read of that clock; the core never wants both. Contents after
    power-up are undefined (an SPRAM has no initial contents): the host loads them.

    Timing
    ------
    Throughput
        One read and one write per clock; with a single port one of them.
    Latency
        1 clock from :py:`read.addr` to :py:`read.data`.
    Reset
        Keeps the levels.

    Members
    -------
    read : ``addr``, ``data``
    write : ``addr``, ``data``, ``en``
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        super().__init__({
            "read": In(wiring.Signature({"addr": Out(layout.level_address), "data": In(layout.level_word)})),
            "write": In(wiring.Signature({
                "addr": Out(layout.level_address), "data": Out(layout.level_word), "en": Out(1)})),
        })

    def elaborate(self, platform):
        m = Module()
        layout = self._layout
        single = layout.level_ports == 1
        m.submodules.cells = cells = Memory(shape=layout.level_word, depth=layout.level_depth, init=[])
        read, write = cells.read_port(), cells.write_port()
        address = Mux(self.write.en, self.write.addr, self.read.addr) if single else None
        m.d.comb += [
            read.addr.eq(address if single else self.read.addr),
            read.en.eq(~self.write.en if single else 1),
            self.read.data.eq(read.data),
            write.addr.eq(address if single else self.write.addr),
            write.data.eq(self.write.data),
            write.en.eq(self.write.en),
        ]
        return m
