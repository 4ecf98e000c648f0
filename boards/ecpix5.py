"""ECPIX-5: an ECP5 with a dual USB serial converter, the second port of which is the link."""

from .board import Board, UsbPort

__all__ = ["BOARDS"]


def _platform():
    from amaranth_boards.ecpix5 import ECPIX585Platform

    return ECPIX585Platform()


BOARDS = [Board(
    name="ecpix5-85", title="ECPIX-5, LFE5UM5G-85F", device="ecp5-85f", platform=_platform,
    clock="clk100", oscillator_hz=100_000_000, clock_hz=50_000_000, baud=3_000_000, lanes=32,
    lights={"activity": ("rgb_led", 0, "g"), "answer": ("rgb_led", 1, "b"), "error": ("rgb_led", 2, "r")},
    usb=UsbPort(0x0403, 0x6010, "ECPIX", 1), options={"synth_opts": "-abc9"}, loader=("-b", "ecpix5", "-m"))]
