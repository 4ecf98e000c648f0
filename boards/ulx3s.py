"""ULX3S: an ECP5 with a USB serial port, in four sizes, two of them here."""

from .board import Board, UsbPort

__all__ = ["BOARDS"]


def _board(size: str, *, chip: str, lanes: int, clock_hz: int) -> Board:
    def platform():
        from amaranth_boards import ulx3s

        return getattr(ulx3s, f"ULX3S_{size}_Platform")()

    return Board(
        name=f"ulx3s-{size.lower()}", title=f"ULX3S, LFE5U-{size}", device=f"ecp5-{size.lower()}", platform=platform,
        clock="clk25", oscillator_hz=25_000_000, clock_hz=clock_hz, baud=3_000_000, lanes=lanes, chip=chip,
        lights={"activity": ("led", 0), "answer": ("led", 1), "error": ("led", 2)},
        usb=UsbPort(0x0403, 0x6015, f"ULX3S FPGA {size[:-1]}K"), options={"synth_opts": "-abc9"},
        loader=("-b", "ulx3s", "-m"), sdram={"row_bits": 13, "column_bits": 9, "bank_bits": 2, "cas": 2})


BOARDS = [_board("85F", chip="tiles", lanes=32, clock_hz=42_000_000),
          _board("25F", chip="tiny", lanes=6, clock_hz=40_000_000)]
