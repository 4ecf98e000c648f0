"""iCESugar: an iCE40UP5K with its own debugger as serial port; levels lie in the SPRAM."""

from .board import Board, UsbPort

__all__ = ["BOARDS"]


def _platform():
    from amaranth_boards.icesugar import ICESugarPlatform

    return ICESugarPlatform()


BOARDS = [Board(
    name="icesugar", title="iCESugar, iCE40UP5K", device="ice40up5k", platform=_platform,
    clock="clk12", oscillator_hz=12_000_000, clock_hz=17_000_000, baud=115_200, lanes=5, chip="up5k", level_ports=1,
    undefined=("cells*",),
    lights={"activity": ("led_g", 0), "answer": ("led_b", 0), "error": ("led_r", 0)},
    usb=UsbPort(0x1D50, 0x602B), options={"synth_opts": "-dsp -spram"}, loader=("-b", "icesugar"), bitstream="bin")]
