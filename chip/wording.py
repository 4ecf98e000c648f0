"""How errors are worded: which name was meant, what the system said."""

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "reason"]


def did_you_mean(given: str, known: Iterable[str]) -> str | None:
    """A hint that names what is spelled most like ``given``; None if nothing is."""
    matches = difflib.get_close_matches(given.lower(), list(known), n=1)
    return f"did you mean {matches[0]}?" if matches else None


def reason(error: Exception) -> str:
    """What an error says, without number and file name where the system raised it."""
    return getattr(error, "strerror", None) or str(error)
