"""Errors a user can mend: one line of what was wrong, and a hint."""

__all__ = ["Interrupted", "RunWarning", "UserError"]


class UserError(Exception):
    """Something outside the program was wrong.

    Parameters
    ----------
    message : str
        What was wrong, what was expected, what was given.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, message: str, *, hint: str | None = None):
        super().__init__(message)
        self.hint = hint


class Interrupted(Exception):
    """Ctrl-C, at a place from which the run can go on; the message says how."""


class RunWarning(UserWarning):
    """Something about a run that a person should know, though it goes on."""
