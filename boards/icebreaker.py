"""iCEBreaker: an iCE40UP5K with a dual USB serial converter; levels lie in the SPRAM."""

from .board import Board, UsbPort

__all__ = ["BOARDS"]


def _platform():
    from amaranth_boards.icebreaker import ICEBreakerPlatform

    return ICEBreakerPlatform()


BOARDS = [Board(
    name="icebreaker", title="iCEBreaker, iCE40UP5K", device="ice40up5k", platform=_platform,
    clock="clk12", oscillator_hz=12_000_000, clock_hz=17_000_000, baud=3_000_000, lanes=5, chip="up5k", level_ports=1,
    undefined=("cells*",),
    lights={"activity": ("led_g", 1), "answer": ("led_g", 0), "error": ("led_r", 0)},
    extra_resources=lambda platform: platform.break_off_pmod,  # a third light, on the part that breaks off
    usb=UsbPort(0x0403, 0x6010, "iCEBreaker", 1), options={"synth_opts": "-dsp -spram"},
    loader=("-b", "ice40_generic"), bitstream="bin")]
