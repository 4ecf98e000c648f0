"""A chip behind an SPI, and behind AXI4-Streams with registers on an AXI4-Lite bus."""

from amaranth import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from ohmspike.hdl.link.axi import AxiRegisters
from ohmspike.hdl.link.spi import SpiPeripheral
from ohmspike.hdl.shared.layout import Layout

from .chip import ChipTop

__all__ = ["AxiChip", "SpiChip"]


class SpiChip(wiring.Component):
    """A chip behind its link behind an SPI (mode 0, highest bit first, ``sck`` at most an eighth of the clock).

    Timing
    ------
    Throughput, latency
        Of :class:`~ohmspike.hdl.link.spi.SpiPeripheral` and :class:`~ohmspike.hdl.top.chip.ChipTop`.
    Reset
        Of both.

    Parameters
    ----------
    layout : :class:`Layout`
    options
        Of :class:`~ohmspike.hdl.top.chip.ChipTop`.

    Members
    -------
    sck, cs_n, mosi, miso, miso_oe : pins
    irq : :py:`Out(1)`
        The chip has a byte for the host.
    error : :py:`Out(1)`
        A byte was lost, because the host did not wait for replies; until the next reset.
    """

    sck: In(1)
    cs_n: In(1, init=1)
    mosi: In(1)
    miso: Out(1)
    miso_oe: Out(1)
    irq: Out(1)
    error: Out(1)

    def __init__(self, layout: Layout, **options):
        self._chip = ChipTop(layout, **options)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.chip = chip = self._chip
        m.submodules.spi = spi = SpiPeripheral()
        connect(m, spi.rx, chip.rx)
        connect(m, chip.tx, spi.tx)
        m.d.comb += [spi.sck.eq(self.sck), spi.cs_n.eq(self.cs_n), spi.mosi.eq(self.mosi), self.miso.eq(spi.miso),
                     self.miso_oe.eq(spi.miso_oe), self.irq.eq(spi.waiting)]
        with m.If(spi.overrun):
            m.d.sync += self.error.eq(1)
        return m


class AxiChip(wiring.Component):
    """A chip whose link is two AXI4-Streams, with registers on an AXI4-Lite bus.

    Timing
    ------
    Throughput, latency
        Of :class:`~ohmspike.hdl.link.axi.AxiRegisters` and :class:`~ohmspike.hdl.top.chip.ChipTop`.
    Reset
        Of both; bit 0 of ``control`` resets the chip alone.

    Parameters
    ----------
    layout : :class:`Layout`
    window : :class:`int`
    runs : :class:`bool`
    store : :class:`int`
    options
        Of :class:`~ohmspike.hdl.top.chip.ChipTop`.

    Members
    -------
    s_axi_..., s_axis_..., m_axis_... :
        In the names of the AXI specification.
    """

    def __init__(self, layout: Layout, *, window: int = 2, runs: bool = False, store: int = 0,
                 **options):
        self._chip = ChipTop(layout, window=window, runs=runs, store=store, **options)
        self._registers = AxiRegisters(bytes.fromhex(layout.chip.structure_digest)[:8], window=window, runs=runs,
                                       store=store)
        self._bus = {name: member for name, member in self._registers.signature.members.items()
                     if name.startswith("s_axi_")}
        super().__init__(self._bus | {
            "s_axis_tdata": In(8), "s_axis_tvalid": In(1), "s_axis_tready": Out(1),
            "m_axis_tdata": Out(8), "m_axis_tvalid": Out(1), "m_axis_tready": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers = registers = self._registers
        m.submodules.chip = ResetInserter(registers.hold)(self._chip)
        for name, member in self._bus.items():
            ours, theirs = getattr(self, name), getattr(registers, name)
            m.d.comb += theirs.eq(ours) if member.flow == In else ours.eq(theirs)
        connect(m, registers.rx, self._chip.rx)
        connect(m, self._chip.tx, registers.tx)
        m.d.comb += [
            registers.s_axis.payload.eq(self.s_axis_tdata), registers.s_axis.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(registers.s_axis.ready), self.m_axis_tdata.eq(registers.m_axis.payload),
            self.m_axis_tvalid.eq(registers.m_axis.valid), registers.m_axis.ready.eq(self.m_axis_tready),
        ]
        return m
