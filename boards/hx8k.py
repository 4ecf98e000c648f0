"""iCE40HX8K breakout board: an iCE40HX8K with a dual USB serial converter; no SPRAM, so levels lie in block RAM."""

from .board import Board, UsbPort

__all__ = ["BOARDS"]


def _platform():
    from amaranth_boards.ice40_hx8k_b_evn import ICE40HX8KBEVNPlatform

    return ICE40HX8KBEVNPlatform()


BOARDS = [Board(
    name="hx8k-b-evn", title="iCE40HX8K-B-EVN, iCE40HX8K", device="ice40hx8k", platform=_platform,
    clock="clk12", oscillator_hz=12_000_000, clock_hz=36_000_000, baud=3_000_000, lanes=5, chip="shared-tiny",
    level_ports=1, lights={"activity": ("led", 0), "answer": ("led", 1), "error": ("led", 2)},
    usb=UsbPort(0x0403, 0x6010, "Lattice", 1), loader=("-b", "ice40_generic"), bitstream="bin", pll="ice40-core")]
