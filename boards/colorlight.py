"""Colorlight 5A-75B, revision 7.0: an ECP5 on a card for walls of LEDs; a serial converter is wired to its J19."""

from .board import Board

__all__ = ["BOARDS"]


def _platform():
    from amaranth_boards.colorlight_5a75b_r7_0 import Colorlight_5A75B_R70Platform

    return Colorlight_5A75B_R70Platform()


BOARDS = [Board(
    name="colorlight-5a-75b", title="Colorlight 5A-75B, LFE5U-25F", device="ecp5-25f", platform=_platform,
    clock="clk25", oscillator_hz=25_000_000, clock_hz=40_000_000, baud=1_000_000, lanes=6, chip="tiny",
    lights={},  # its one light is on the wire to the host
    usb=None, options={"synth_opts": "-abc9"}, loader=("-b", "colorlight", "-m"))]
