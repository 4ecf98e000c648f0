"""How cells behave at their rails, and where branches begin."""

from dataclasses import dataclass

__all__ = ["CONTINUED", "LOOSE", "RAIL", "Process"]

RAIL, LOOSE, CONTINUED = 0, 1, 2
"""Where a branch begins: at its rail, about its rail, where the branch before ended."""


@dataclass(frozen=True)
class Process:
    """How cells behave at their rails, and where branches begin.

    Parameters
    ----------
    held : bool
        States stay between the rails.
    start : int
        :data:`RAIL`, :data:`LOOSE` or :data:`CONTINUED`.
    ends_at_rail : bool
        Of held cells: the step itself ends at the rail, too.
    """

    held: bool = False
    start: int = LOOSE
    ends_at_rail: bool = False

    @property
    def words(self) -> str:
        """A sentence's part about it."""
        rails = "cells are held at their rails" if self.held else "cells may pass their rails"
        begin = {RAIL: "branches begin at a rail", LOOSE: "branches begin about a rail",
                 CONTINUED: "branches begin where the last one ended"}[self.start]
        return f"{rails}, {begin}"
