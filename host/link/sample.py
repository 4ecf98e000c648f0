"""What of a sample the host follows, to know which events output spikes (contract 3.8)."""

import numba

from ohmspike.chip.events import EventCode
from ohmspike.chip.limits import STEP_MAX

__all__ = ["followed", "outputs_spikes"]

_STEP, _DECIDE = int(EventCode.STEP), int(EventCode.DECIDE)
_DARK, _END = int(EventCode.DARK), int(EventCode.END)


@numba.njit(cache=True)
def outputs_spikes(code, step, dark, race):
    """Whether an event outputs a record of spikes: in a dark sample it is refused, and so is a STEP too many."""
    if dark:
        return False
    return code == _DECIDE if race else code == _STEP and step < STEP_MAX


@numba.njit(cache=True)
def followed(code, step, dark, shared):
    """Step and darkness of the sample after an event; that of a shared crossbar darkens at DECIDE (contract 11.8)."""
    if code == _END:
        return 0, False
    if code == _STEP and not dark and step < STEP_MAX:
        return step + 1, dark
    return step, dark or code == (_DECIDE if shared else _DARK)
