"""The RTL of a chip, compiled: what the host talks to when there is no board."""

from collections.abc import Callable
from fractions import Fraction

from amaranth.lib import wiring

from ohmspike.chip import Chip
from ohmspike.hdl.flow.emit import emit, emit_verilog, memory_files
from ohmspike.hdl.link.axi import AXI_REGISTERS
from ohmspike.hdl.link.uart import BitRate
from ohmspike.hdl.shared.layout import Layout, default_lanes, small_lanes, unbuilt
from ohmspike.hdl.shared.timing import all_units
from ohmspike.hdl.top.aer import AerChip
from ohmspike.hdl.top.chip import ChipTop
from ohmspike.hdl.top.serial import SerialChip
from ohmspike.hdl.top.timing import active_of, image, listed_of, synthetic, synthetic_image, timing_of
from ohmspike.hdl.top.wrapped import AxiChip, SpiChip

from .compiled import CompiledRtl

__all__ = ["AXI_REGISTERS", "WRAPPERS", "compile_chip", "compile_serial_chip", "cost_table", "default_lanes",
           "emit_chip", "faults_rtl", "lanes_of", "layout_of", "small_lanes", "top_of", "unbuilt", "write_rtl"]

MNIST_SPIKES = 122
"""Bright lines of an MNIST image, mean."""

MNIST_GREY = 102.4
"""Sum of the pixels of an MNIST image over that of a white one, mean: white lines that would spike as often."""


def emit_chip(chip: Chip, *, lanes: int | None = None, small: bool = False) -> str:
    """SystemVerilog of a chip behind its link; the top module is ``chip``."""
    return emit(top_of(chip, lanes=lanes, small=small), "chip")


def lanes_of(chip: Chip, *, lanes: int | None = None, small: bool = False) -> int:
    """Synapses per clock: those asked for, or as many as the form takes by default."""
    return (small_lanes if small else default_lanes)(chip) if lanes is None else lanes


def _serial(layout, rate):
    return SerialChip(layout, BitRate(*rate))


WRAPPERS: dict[str, Callable[[Layout, tuple[int, int]], wiring.Component]] = {
    "stream": lambda layout, rate: ChipTop(layout), "uart": _serial, "spi": lambda layout, rate: SpiChip(layout),
    "axi": lambda layout, rate: AxiChip(layout), "aer": lambda layout, rate: AerChip(layout)}
"""What stands around a chip: a layout, and clock in Hz and baud of a serial line, to its top."""


def write_rtl(chip: Chip, *, lanes: int | None = None, small: bool = False, wrapper: str = "stream",
              rate: tuple[int, int] = (50_000_000, 1_000_000)) -> dict[str, str]:
    """SystemVerilog and Verilog-2001 of the same chip, ``chip.sv`` and ``chip.v``, and the files that they read.

    Those hold the initial contents of memories. All belong into one folder; the top is ``chip``.

    Parameters
    ----------
    wrapper : str
        One of :data:`WRAPPERS`.
    rate : tuple of int
        Clock in Hz and baud, if it is a serial line.

    Raises
    ------
    ValueError
        ``lanes`` is not 1 to the number of neurons, or a bit of the line would be shorter than 4 clocks.
    """
    def top():
        return WRAPPERS[wrapper](layout_of(chip, lanes=lanes, small=small), rate)

    systemverilog, files = memory_files(emit(top(), "chip"))
    verilog, files = memory_files(emit_verilog(top(), "chip"), files)
    return {"chip.sv": systemverilog, "chip.v": verilog, **files}


def layout_of(chip: Chip, *, lanes: int | None = None, small: bool = False) -> Layout:
    """The layout of a chip in a form, with the lanes asked for or those the form takes by default."""
    return Layout(chip, lanes_of(chip, lanes=lanes, small=small), 1 if small else 2)


def top_of(chip: Chip, *, lanes: int | None = None, small: bool = False) -> ChipTop:
    """The top of a chip that has the byte streams of its link."""
    return ChipTop(layout_of(chip, lanes=lanes, small=small))


def compile_chip(chip: Chip, *, lanes: int | None = None, small: bool = False, trace: bool = False,
                 initial_seed: int | None = None, progress: Callable[[str], None] | None = None) -> CompiledRtl:
    """Emit, compile and load the RTL of a chip; what was compiled before comes out of the cache.

    Parameters
    ----------
    lanes : :class:`int`
        Synapses per clock, 1 to the number of neurons; if not given, as many as
        :func:`~ohmspike.hdl.shared.layout.default_lanes` or :func:`~ohmspike.hdl.shared.layout.small_lanes` say.
    small : :class:`bool`
        The small form, as on boards with an SPRAM.
    trace : :class:`bool`
        Build with waveform support (slower).
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
    text = emit_chip(chip, lanes=lanes, small=small)
    return CompiledRtl(text, top="chip", trace=trace, initial_seed=initial_seed, progress=progress)


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


def compile_serial_chip(chip: Chip, *, lanes: int | None = None, bit_clocks: int | Fraction = 8,
                        host_bit_clocks: int | Fraction | None = None, trace: bool = False,
                        progress: Callable[[str], None] | None = None) -> CompiledRtl:
    """Emit, compile and load the RTL of a chip behind its UART; bytes go over two simulated wires.

    Parameters
    ----------
    bit_clocks : :class:`int` or :class:`~fractions.Fraction`
        Length of a bit in the chip, in clocks, at least 4.
    host_bit_clocks : :class:`int` or :class:`~fractions.Fraction`
        Length of a bit at the other end, if it is to differ.
    lanes, trace, progress, raises
        As for :func:`compile_chip`.
    """
    if progress is not None:
        progress("emitting RTL")
    layout = Layout(chip, default_lanes(chip) if lanes is None else lanes)
    text = emit(SerialChip(layout, BitRate(*Fraction(bit_clocks).as_integer_ratio())), "chip")
    return CompiledRtl(text, top="chip", trace=trace, progress=progress,
                       bit_clocks=bit_clocks if host_bit_clocks is None else host_bit_clocks)


def cost_table(chip: Chip, lanes: int) -> dict[str, int]:
    """Clocks of every event, and of an image like those of MNIST, by name (docs/architecture.md)."""
    layout = Layout(chip, lanes)
    timing = timing_of(layout)
    visits, live = synthetic(layout, MNIST_SPIKES)
    table = {"read of a row": timing.visit(), "column sweep": timing.sweep(), "race, one winner": timing.race_cycles()}
    costs = _threshold_costs if chip.fire_mode == "threshold" else _shared_costs if chip.shared else _race_costs
    table |= costs(layout, timing, visits, live)
    if chip.classes:
        listed = listed_of(layout, live)
        table |= {"ANSWER": timing.answer(), f"LABEL, {listed} rows taught": timing.label(listed)}
    if chip.classes and chip.fire_mode == "race":
        name, bins = f"image of {MNIST_SPIKES} spikes", chip.latency_bins
        table |= {
            f"{name}, answered": image(layout, visits, live, bins=bins, learn=False, answered=True),
            f"{name}, taught": image(layout, visits, live, bins=bins, learn=False, taught=True),
        }
    return table


def _race_costs(layout, timing, visits, live):
    """Clocks of the events of race mode, and of an image in latency code."""
    chip, count, name = layout.chip, sum(live), f"image of {MNIST_SPIKES} spikes"
    return {
        f"DECIDE, {count} live tiles": timing.decide(live, learn=False),
        f"DECIDE, {count} live tiles, learning": timing.decide(live, learn=True),
        f"DARK, {count} live tiles, learning": timing.dark(all_units(chip, live)),
        "END": timing.end(),
        name: image(layout, visits, live, bins=chip.latency_bins, learn=False),
        f"{name}, learning": image(layout, visits, live, bins=chip.latency_bins, learn=True),
    }


def _shared_costs(layout, timing, visits, live):
    """Clocks of the events of a shared crossbar, and of an image."""
    count, name = active_of(layout, live), f"image of {MNIST_SPIKES} spikes"
    return {
        f"DECIDE, {count} active windows": timing.decide(live, learn=False),
        f"DECIDE, {count} active windows, learning": timing.decide(live, learn=True),
        "END": timing.end(listed=listed_of(layout, live)),
        name: image(layout, visits, live, learn=False),
        f"{name}, learning": image(layout, visits, live, learn=True),
    }


def _threshold_costs(layout, timing, visits, live):
    """Clocks of the events of threshold mode, and of an image in rate code, without RESET pulses of spikes."""
    chip = layout.chip
    steps, peak = (chip.rate_steps, chip.rate_peak) if chip.rate_steps else (32, 0.25)
    lines = round(MNIST_GREY * peak)  # that spike at a step: the same ones, those nearest to the centre
    spikes, _ = synthetic_image(chip, lines)
    search = timing.find_unit(0)
    silent, every = [False if is_live else None for is_live in live], [0 if is_live else None for is_live in live]
    learned = [search if is_live else None for is_live in live]

    def step(outcomes, learn=False):
        clocks = timing.clocks(timing, learn=learn, report=False)
        clocks.step(outcomes)
        return clocks.event

    def sample(outcomes, learn=False):
        clocks = timing.clocks(timing, learn=learn)
        for number in range(1, steps + 1):
            clocks.frame(spikes)
            clocks.step(outcomes if number == steps else silent)
        clocks.end()
        return clocks.total

    count, name = sum(live), f"image of {steps * lines} spikes"
    return {
        f"STEP, {count} live tiles": step(silent),
        f"STEP, {count} live tiles, each fires": step(every),
        f"STEP, {count} live tiles, each fires, learning": step(learned, learn=True),
        "END": timing.end(),
        f"{name}, {count} fires": sample(every),
        f"{name}, {count} fires, learning": sample(learned, learn=True),
    }
