"""Tang Nano 9K: a Gowin GW1NR-9 whose debugger is the serial line too."""

from .board import Board, UsbPort
from .gowin import with_himbaechel

__all__ = ["BOARDS"]


def _platform():
    from amaranth_boards.tang_nano_9k import TangNano9kPlatform

    return with_himbaechel(TangNano9kPlatform, "GW1N-9C")()


BOARDS = [Board(
    name="tangnano9k", title="Tang Nano 9K, GW1NR-9", device="gw1nr-9", platform=_platform, clock="clk27",
    oscillator_hz=27_000_000, clock_hz=27_000_000, baud=115_200, lanes=5, chip="tiny", level_ports=1,
    lights={"activity": ("led", 0), "answer": ("led", 1), "error": ("led", 2)},
    usb=UsbPort(0x0403, 0x6010, "JTAG Debugger|SIPEED", 1), loader=("-b", "tangnano9k", "-m"), bitstream="fs")]
