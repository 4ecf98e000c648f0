"""The facts of a board: its device, its clock, its wires, its lights.

The driver of a serial port reads them too, so nothing here imports Amaranth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amaranth.build import Platform, Resource

__all__ = ["Board", "UsbPort"]


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
    clock : :class:`str`
        Resource of the board's oscillator.
    oscillator_hz : :class:`int`
        Its frequency; a PLL makes the clock of the chip from it.
    clock_hz : :class:`int`
        Clock of the chip, unless the build is told another.
    baud : :class:`int`
        Rate of the serial line.
    lanes : :class:`int`
        Synapses per clock, unless the build is told otherwise.
    lights : mapping
        ``activity``, ``answer``, ``error`` to a resource: name, number, and the path to one of its signals.
    usb : :class:`UsbPort`, optional
        None where the user wires a converter: any that is plugged in could be it, so its port must be named.
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
    sdram : mapping, optional
        What its SDRAM (resource ``sdram``) is: parameters of :class:`ohmspike.hdl.top.sdram.Sdram`, but its clock.
    pll : :class:`str`, optional
        Key of :data:`ohmspike.boards.pll.PLLS` where that of the family will not do.
    """

    name: str
    title: str
    device: str
    platform: "Callable[[], Platform]"
    clock: str
    oscillator_hz: int
    clock_hz: int
    baud: int
    lanes: int
    lights: Mapping[str, tuple[str, int] | tuple[str, int, str]]
    usb: UsbPort | None
    chip: str = "tiles"
    level_ports: int = 2
    undefined: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    loader: tuple[str, ...] = ()
    bitstream: str = "bit"
    extra_resources: "Callable[[Platform], list[Resource]]" = lambda platform: []
    pll: str | None = None
    sdram: Mapping[str, int] | None = None

    @property
    def family(self) -> str:
        """Family of the device: ``ecp5``, ``ice40`` or ``gowin``."""
        return next((family for family in ("ecp5", "ice40") if self.device.startswith(family)), "gowin")
