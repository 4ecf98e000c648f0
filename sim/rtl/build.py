"""The RTL of a chip, compiled: what the host talks to when there is no board."""

from collections.abc import Callable
from fractions import Fraction

from amaranth.lib import wiring

from ohmspike.chip import Chip
from ohmspike.hdl.flow.emit import emit, emit_verilog, memory_files
from ohmspike.hdl.link.axi import AXI_REGISTERS
from ohmspike.hdl.link.uart import BitRate
from ohmspike.hdl.shared.layout import Layout, default_lanes, small_lanes, unbuilt
from ohmspike.hdl.top import costs
from ohmspike.hdl.top.aer import AerChip
from ohmspike.hdl.top.chip import ChipTop
from ohmspike.hdl.top.serial import SerialChip
from ohmspike.hdl.top.wrapped import AxiChip, SpiChip

from .compiled import CompiledRtl

__all__ = ["AXI_REGISTERS", "WRAPPERS", "compile_chip", "compile_serial_chip", "compile_spi_chip", "cost_table",
           "default_lanes", "emit_chip", "faults_rtl", "lanes_of", "layout_of", "small_lanes", "top_of", "unbuilt",
           "write_rtl"]


def emit_chip(chip: Chip, *, lanes: int | None = None, small: bool = False, runs: bool = False,
              store: int = 0) -> str:
    """SystemVerilog of a chip behind its link; the top module is ``chip``."""
    return emit(top_of(chip, lanes=lanes, small=small, runs=runs, store=store), "chip")


def lanes_of(chip: Chip, *, lanes: int | None = None, small: bool = False) -> int:
    """Synapses per clock: those asked for, or as many as the form takes by default."""
    return (small_lanes if small else default_lanes)(chip) if lanes is None else lanes


WRAPPERS: dict[str, Callable[..., wiring.Component]] = {
    "stream": lambda layout, rate, **options: ChipTop(layout, **options),
    "uart": lambda layout, rate, **options: SerialChip(layout, BitRate(*rate), **options),
    "spi": lambda layout, rate, **options: SpiChip(layout, **options),
    "axi": lambda layout, rate, **options: AxiChip(layout, **options),
    "aer": lambda layout, rate, **options: AerChip(layout, **options)}
"""What stands around a chip: a layout, clock in Hz and baud of a serial line, and options of :class:`ChipTop`, to its
top."""


def write_rtl(chip: Chip, *, lanes: int | None = None, small: bool = False, wrapper: str = "stream",
              rate: tuple[int, int] = (50_000_000, 1_000_000), runs: bool = False, split: bool = False,
              store: int = 0) -> dict[str, str]:
    """SystemVerilog and Verilog-2001 of the same chip, ``chip.sv`` and ``chip.v``, and the files that they read.

    Those hold the initial contents of memories. All belong into one folder; the top is ``chip``.

    Parameters
    ----------
    wrapper : str
        One of :data:`WRAPPERS`.
    rate : tuple of int
        Clock in Hz and baud, if it is a serial line.
    runs : bool
        The chip takes images as runs (docs/link.md, Runs).
    split : bool
        One memory for each lane of a word that is written by lanes (docs/rtl.md).
    store : int
        Rows of 256 bytes of its store (docs/link.md, Store).

    Raises
    ------
    ValueError
        ``lanes`` is not 1 to the number of neurons, or a bit of the line would be shorter than 4 clocks.
    """
    def top():
        return WRAPPERS[wrapper](layout_of(chip, lanes=lanes, small=small), rate, runs=runs, store=store)

    systemverilog, files = memory_files(emit(top(), "chip", split=split))
    verilog, files = memory_files(emit_verilog(top(), "chip", split=split), files)
    return {"chip.sv": systemverilog, "chip.v": verilog, **files}


def layout_of(chip: Chip, *, lanes: int | None = None, small: bool = False) -> Layout:
    """The layout of a chip in a form, with the lanes asked for or those the form takes by default."""
    return Layout(chip, lanes_of(chip, lanes=lanes, small=small), 1 if small else 2)


def top_of(chip: Chip, *, lanes: int | None = None, small: bool = False, runs: bool = False,
           store: int = 0) -> ChipTop:
    """The top of a chip that has the byte streams of its link."""
    return ChipTop(layout_of(chip, lanes=lanes, small=small), runs=runs, store=store)


def compile_chip(chip: Chip, *, lanes: int | None = None, small: bool = False, runs: bool = False, store: int = 0,
                 trace: bool = False, initial_seed: int | None = None,
                 progress: Callable[[str], None] | None = None) -> CompiledRtl:
    """Emit, compile and load the RTL of a chip; what was compiled before comes out of the cache.

    Parameters
    ----------
    lanes : :class:`int`
        Synapses per clock, 1 to the number of neurons; if not given, as many as
        :func:`~ohmspike.hdl.shared.layout.default_lanes` or :func:`~ohmspike.hdl.shared.layout.small_lanes` say.
    small : :class:`bool`
        The small form, as on boards with an SPRAM.
    runs : :class:`bool`
        The chip takes images as runs.
    store : :class:`int`
        Rows of 256 bytes of its store (docs/link.md, Store).
    trace : :class:`bool`
        Build with waveform support (slower, and soon compiled: a waveform is of few clocks).
    initial_seed : :class:`int`
        Fill registers and memories at power-up with random bits of this seed instead of zeros.
    progress : callable
        Told what is going on, one line at a time.

    Raises
    ------
    ToolchainError
        The tools are missing or failed.
    """
    if progress is not None:
        progress("emitting RTL")
    text = emit_chip(chip, lanes=lanes, small=small, runs=runs, store=store)
    return CompiledRtl(text, top="chip", trace=trace, initial_seed=initial_seed, progress=progress, quick=trace)


def faults_rtl(chip: Chip, *, lanes: int = 2, quick: bool = False, top: type[ChipTop] = ChipTop,
               progress: Callable[[str], None] | None = None) -> Callable[[], CompiledRtl]:
    """Emit the RTL of a chip whose bits can be turned over; what is returned compiles it once and powers one up.

    Parameters
    ----------
    lanes : :class:`int`
        Synapses per clock.
    quick : :class:`bool`
        Soon compiled rather than fast.
    top : :class:`type`
        A :class:`~ohmspike.hdl.top.chip.ChipTop`, or one that is broken.
    """
    text = emit(top(Layout(chip, min(lanes, chip.neurons)), max_request=64, max_reply=64), "chip")
    return lambda: CompiledRtl(text, top="chip", faults=True, quick=quick, progress=progress)


def compile_serial_chip(chip: Chip, *, lanes: int | None = None, small: bool = False, runs: bool = False,
                        store: int = 0, bit_clocks: int | Fraction = 8,
                        host_bit_clocks: int | Fraction | None = None, trace: bool = False,
                        progress: Callable[[str], None] | None = None) -> CompiledRtl:
    """Emit, compile and load the RTL of a chip behind its UART; bytes go over two simulated wires.

    Parameters
    ----------
    bit_clocks : :class:`int` or :class:`~fractions.Fraction`
        Length of a bit in the chip, in clocks, at least 4.
    host_bit_clocks : :class:`int` or :class:`~fractions.Fraction`
        Length of a bit at the other end, if it is to differ.
    runs : :class:`bool`
        With the instruction RUNS: images go over the line as runs.
    store : :class:`int`
        Rows of 256 bytes of a store, with which the chip takes RUNS too.
    lanes, small, trace, progress, raises
        As for :func:`compile_chip`.
    """
    if progress is not None:
        progress("emitting RTL")
    layout = layout_of(chip, lanes=lanes, small=small)
    text = emit(SerialChip(layout, BitRate(*Fraction(bit_clocks).as_integer_ratio()), runs=runs,
                           store=store), "chip")
    return CompiledRtl(text, top="chip", trace=trace, progress=progress,
                       bit_clocks=bit_clocks if host_bit_clocks is None else host_bit_clocks)


def compile_spi_chip(chip: Chip, *, lanes: int | None = None, small: bool = False, runs: bool = False,
                     store: int = 0, bit_clocks: int = 8, trace: bool = False,
                     progress: Callable[[str], None] | None = None) -> CompiledRtl:
    """Emit, compile and load the RTL of a chip behind an SPI; bytes go over its simulated pins.

    Parameters
    ----------
    bit_clocks : :class:`int`
        Length of a bit in clocks, even; the chip follows from 8 on.
    lanes, small, runs, store, trace, progress, raises
        As for :func:`compile_serial_chip`; also
    ValueError
        ``bit_clocks`` is odd or less than 2.
    """
    if bit_clocks < 2 or bit_clocks % 2:
        raise ValueError(f"bit_clocks must be even and at least 2, not {bit_clocks!r}")
    if progress is not None:
        progress("emitting RTL")
    text = emit(SpiChip(layout_of(chip, lanes=lanes, small=small), runs=runs, store=store), "chip")
    return CompiledRtl(text, top="chip", trace=trace, progress=progress, spi_half=bit_clocks // 2)


def cost_table(chip: Chip, lanes: int) -> dict[str, int]:
    """Clocks of every event of the fast form, and of an image like those of MNIST, by name."""
    return costs.cost_table(Layout(chip, lanes))
