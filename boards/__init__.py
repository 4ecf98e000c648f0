"""Real boards: pins, clocks, memories, and how a chip becomes their bitstream."""

from . import colorlight, ecpix5, hx8k, icebreaker, icesugar, tang_nano, ulx3s
from .board import Board, UsbPort

__all__ = ["BOARDS", "Board", "UsbPort"]

BOARDS = {board.name: board
          for module in (ulx3s, ecpix5, colorlight, icebreaker, icesugar, hx8k, tang_nano) for board in module.BOARDS}
"""Every board, by name."""
