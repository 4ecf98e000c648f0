"""Boards by name, or out of a file of one's own."""

import runpy
from pathlib import Path

from ohmspike.chip.wording import did_you_mean
from ohmspike.hdl.flow.synth import BUDGETS
from ohmspike.hdl.flow.toolchain import ToolchainError

from . import BOARDS
from .board import Board
from .pll import PLLS

__all__ = ["BoardError", "board_of"]

_HINT = "docs/boards.md has one to begin with"


class BoardError(ToolchainError):
    """There is no such board, or its file does not describe one."""


def board_of(name: str) -> Board:
    """A board by its name, or the ``BOARD`` of a Python file, which is executed.

    Raises
    ------
    BoardError
        There is no such board or file, or the file has no board.
    """
    if not name.endswith(".py"):
        if name not in BOARDS:
            raise BoardError(f"board must be one of {', '.join(BOARDS)}, or a file NAME.py, not {name!r}",
                             hint=did_you_mean(name, BOARDS))
        return BOARDS[name]
    if not Path(name).is_file():
        raise BoardError(f"board must be a file that is there, not {name!r}", hint=_HINT)
    try:
        found = runpy.run_path(name).get("BOARD")
    except Exception as error:
        raise BoardError(f"{name} must describe a board, but it ends in {type(error).__name__}: {error}",
                         hint=_HINT) from None
    if not isinstance(found, Board):
        raise BoardError(f"{name} must set BOARD to an ohmspike.boards.Board, not {found!r}", hint=_HINT)
    if found.device not in BUDGETS:
        raise BoardError(f"device of {found.name} must be one of {', '.join(BUDGETS)}, not {found.device!r}",
                         hint=_HINT)
    if found.pll not in (None, *PLLS):
        raise BoardError(f"pll of {found.name} must be one of {', '.join(PLLS)}, or None, not {found.pll!r}",
                         hint=_HINT)
    return found
