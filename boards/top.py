"""A chip on a board: the top of a bitstream."""

from amaranth import ClockDomain, ClockSignal, Const, Elaboratable, Module
from amaranth.build import Platform
from amaranth.lib import cdc, io
from amaranth.lib.io import PortLike

from ohmspike.hdl.link.uart import BitRate
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.sdram import Sdram
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
    store : :class:`int`
        Rows of a store in block RAM (docs/link.md, Store).
    sdram : :class:`bool`
        The store is in the SDRAM of the board.

    Raises
    ------
    ValueError
        The PLL cannot make the clock, or the board has no SDRAM.
    """

    def __init__(self, board: Board, layout: Layout, *, clock_hz: int, baud: int, runs: bool = False, store: int = 0,
                 sdram: bool = False):
        self.board, self._layout, self._runs, self._store_rows = board, layout, runs, store
        if sdram and board.sdram is None:
            raise ValueError(f"{board.title} has no SDRAM")
        self._pll = PLLS[board.pll or board.family](board.oscillator_hz, clock_hz)
        self.clock_hz, self.baud = self._pll.out_hz, baud
        self._rate = BitRate(self.clock_hz, baud)
        self._sdram = Sdram(self.clock_hz, **board.sdram) if sdram and board.sdram is not None else None

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

        options = {"store": self._store_rows} if self._sdram is None else {"sdram": self._sdram}
        m.submodules.serial = serial = SerialChip(self._layout, self._rate, runs=self._runs, **options)
        if self._sdram is not None:
            self._connect_sdram(m, serial.sdram, platform.request("sdram", 0, dir="-"))
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

    @property
    def store(self) -> int:
        """Rows of the store, wherever it is."""
        return self._store_rows if self._sdram is None else self._sdram.rows

    @staticmethod
    def _connect_sdram(m, pins, wires):
        """Registers in the pads, and the clock half a period late: commands and data change while it does not rise."""
        ras, cas, we = reversed(pins.command)
        for name, value in (("clk_en", pins.enable), ("cs", pins.select), ("ras", ras), ("cas", cas), ("we", we),
                            ("ba", pins.bank), ("a", pins.address), ("dqm", pins.mask)):
            m.submodules[f"sdram_{name}"] = pad = io.FFBuffer("o", getattr(wires, name))
            m.d.comb += pad.o.eq(value)
        m.submodules.sdram_dq = data = io.FFBuffer("io", wires.dq)
        m.d.comb += [data.o.eq(pins.data), data.oe.eq(pins.drive), pins.read.eq(data.i)]
        m.submodules.sdram_clk = clock = io.DDRBuffer("o", wires.clk)
        m.d.comb += [clock.o[0].eq(Const(0)), clock.o[1].eq(Const(1))]
