"""What a board is to a chip: its device, its clock, its wires, its lights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from amaranth import ClockDomain, ClockSignal, Elaboratable, Module
from amaranth.build import Platform
from amaranth.lib import cdc, io

from ohmspike.hdl.link.uart import BitRate
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.serial import SerialChip

from .pll import Pll

__all__ = ["Board", "BoardTop", "UsbPort"]


@dataclass(frozen=True)
class UsbPort:
    """How the serial port of a board shows on USB.

    Parameters
    ----------
    vendor, product : :class:`int`
        Numbers of the USB device.
    text : :class:`str`
        Regular expression its description must match; many boards share the numbers of a converter.
    interface : :class:`int`
        Which of the ports of a device with several, counted from 0.
    """

    vendor: int
    product: int
    text: str = ""
    interface: int = 0


@dataclass(frozen=True)
class Board:
    """A board on which a chip can live.

    Parameters
    ----------
    name, title : :class:`str`
        As typed, as printed.
    device : :class:`str`
        Key of :data:`ohmspike.hdl.flow.synth.BUDGETS`.
    platform : callable
        Makes the platform of amaranth-boards.
    pll : type
        What makes the clock of the chip from that of the board.
    clock : :class:`str`
        Resource of the board's clock.
    clock_hz : :class:`int`
        Clock of the chip, unless the build is told another.
    baud : :class:`int`
        Rate of the serial line.
    lanes : :class:`int`
        Synapses per clock, unless the build is told otherwise.
    lights : mapping
        ``activity``, ``answer``, ``error`` to a resource: name, number, and the path to one of its signals.
    usb : :class:`UsbPort`
    chip : :class:`str`
        Preset that is built if none is named.
    level_ports : :class:`int`
        2 if the levels lie in block RAM, 1 if in single-ported RAM.
    undefined : tuple of :class:`str`
        Memories (name patterns) that have no initial contents, as an SPRAM needs them.
    options : mapping
        Overrides of the platform's build templates.
    loader : tuple of :class:`str`
        Arguments of openFPGALoader that name the board and load, not flash, the bitstream.
    bitstream : :class:`str`
        File name extension of what the loader takes.
    extra_resources : callable
        Resources to add, given the platform.
    """

    name: str
    title: str
    device: str
    platform: Callable[[], Platform]
    pll: type[Pll]
    clock: str
    clock_hz: int
    baud: int
    lanes: int
    lights: Mapping[str, tuple]
    usb: UsbPort
    chip: str = "tiles"
    level_ports: int = 2
    undefined: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    loader: tuple[str, ...] = ()
    bitstream: str = "bit"
    extra_resources: Callable[[Platform], list] = lambda platform: []


class BoardTop(Elaboratable):
    """A chip on a board: pins, clock, lights, and no logic of its own.

    Parameters
    ----------
    board : :class:`Board`
    layout : :class:`~ohmspike.hdl.layout.Layout`
    clock_hz, baud : :class:`int`
        As asked for; :attr:`clock_hz` is what the PLL makes of it.
    """

    def __init__(self, board: Board, layout: Layout, *, clock_hz: int, baud: int):
        self.board, self._layout = board, layout
        self._pll = board.pll(clock_hz)
        self.clock_hz, self.baud = self._pll.out_hz, baud
        self._rate = BitRate(self.clock_hz, baud)

    def elaborate(self, platform):
        m = Module()
        board = self.board
        m.submodules.pll = pll = self._pll
        pll.clock_in = platform.request(board.clock, dir="-")

        # the chip sleeps until the clock is steady
        m.domains.sync = ClockDomain()
        m.d.comb += ClockSignal().eq(pll.clock)
        m.submodules.reset = cdc.ResetSynchronizer(~pll.locked)
        platform.add_clock_constraint(pll.clock, self.clock_hz)

        m.submodules.serial = serial = SerialChip(self._layout, self._rate)
        wires = platform.request("uart", dir="-")
        m.submodules.rx = rx = io.Buffer("i", wires.rx)
        m.submodules.tx = tx = io.Buffer("o", wires.tx)
        m.d.comb += [serial.rx.eq(rx.i), tx.o.eq(serial.tx)]

        requested = {}
        for name, (resource, number, *path) in board.lights.items():
            port = requested.get((resource, number))
            if port is None:
                port = requested[resource, number] = platform.request(resource, number, dir="-")
            for part in path:
                port = getattr(port, part)
            m.submodules[f"{name}_light"] = light = io.Buffer("o", port)
            m.d.comb += light.o.eq(getattr(serial, name))
        return m
