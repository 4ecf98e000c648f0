"""What of a sample the host follows: which events output spikes (contract 3.8), and where its image is."""

import numba
import numpy as np

from ohmspike.chip.events import EventCode
from ohmspike.chip.limits import STEP_MAX

__all__ = ["followed", "images_in", "outputs_spikes"]

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


@numba.njit(cache=True)
def images_in(codes, offsets):
    """From which code to before which the spikes of every sample are, and STEPs between them: int64 (samples, 2)."""
    ends = np.empty((len(offsets) - 1, 2), np.int64)
    for s in range(len(offsets) - 1):
        ends[s, 0], end = offsets[s], offsets[s + 1]
        while end > offsets[s] and codes[end - 1] < 0:
            end -= 1
        ends[s, 1] = end
    return ends
