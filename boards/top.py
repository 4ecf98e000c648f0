"""A chip on a board: the top of a bitstream."""

from amaranth import ClockDomain, ClockSignal, Elaboratable, Module
from amaranth.build import Platform
from amaranth.lib import cdc, io
from amaranth.lib.io import PortLike

from ohmspike.hdl.link.uart import BitRate
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.serial import SerialChip

from .board import Board
from .pll import PLLS

__all__ = ["BoardTop"]


class BoardTop(Elaboratable):
    """A chip on a board: pins, clock, lights, and no logic of its own.

    Parameters
    ----------
    board : :class:`Board`
    layout : :class:`~ohmspike.hdl.shared.layout.Layout`
    clock_hz, baud : :class:`int`
        As asked for; :attr:`clock_hz` is what the PLL makes of it.
    runs : :class:`bool`
        The chip takes images as runs (docs/link.md, Runs).
    """

    def __init__(self, board: Board, layout: Layout, *, clock_hz: int, baud: int, runs: bool = False):
        self.board, self._layout, self._runs = board, layout, runs
        self._pll = PLLS[board.pll or board.family](board.oscillator_hz, clock_hz)
        self.clock_hz, self.baud = self._pll.out_hz, baud
        self._rate = BitRate(self.clock_hz, baud)

    def elaborate(self, platform: Platform) -> Module:
        m = Module()
        board = self.board
        m.submodules.pll = pll = self._pll
        pll.clock_in = platform.request(board.clock, dir="-")

        # the chip sleeps until the clock is steady
        m.domains.sync = ClockDomain()
        m.d.comb += ClockSignal().eq(pll.clock)
        m.submodules.reset = cdc.ResetSynchronizer(~pll.locked)
        platform.add_clock_constraint(pll.clock, self.clock_hz)

        m.submodules.serial = serial = SerialChip(self._layout, self._rate, runs=self._runs)
        wires = platform.request("uart", dir="-")
        m.submodules.rx = rx = io.Buffer("i", wires.rx)
        m.submodules.tx = tx = io.Buffer("o", wires.tx)
        m.d.comb += [serial.rx.eq(rx.i), tx.o.eq(serial.tx)]

        requested: dict[tuple[str, int], PortLike] = {}
        for name, (resource, number, *path) in board.lights.items():
            port = requested.get((resource, number))
            if port is None:
                port = requested[resource, number] = platform.request(resource, number, dir="-")
            for part in path:
                port = getattr(port, part)
            m.submodules[f"{name}_light"] = light = io.Buffer("o", port)
            m.d.comb += light.o.eq(getattr(serial, name))
        return m
