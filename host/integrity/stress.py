"""States and samples that reach every part of a chip: for fault campaigns and test vectors."""

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, label_code
from ohmspike.chip.state import ChipState

__all__ = ["stress_samples", "stress_state"]


def stress_state(chip: Chip, rng: np.random.Generator) -> ChipState:
    """A state with random levels, low random thresholds and random states of the generators."""
    state = ChipState.initial(chip)
    state.levels[:] = rng.integers(0, chip.levels, state.levels.shape)
    state.read_out[:] = rng.integers(0, chip.levels, state.read_out.shape)
    state.theta[:] = rng.integers(0, 8, state.theta.shape)
    state.random[:] = rng.integers(1, 1 << 32, state.random.shape)
    return state


def stress_samples(chip: Chip, rng: np.random.Generator, count: int, *, together: bool = False) -> EventBatch:
    """Samples of random lines that are learned: answered and labelled in a race, or two steps with a threshold.

    Parameters
    ----------
    together : bool
        The lines of a sample are neighbours, as in an image, so that they are short as runs.
    """
    samples = []
    for _ in range(count):
        many = max(1, chip.lines // 3)
        lines = np.sort(rng.integers(chip.lines - many + 1) + np.arange(many) if together
                        else rng.choice(chip.lines, many, replace=False))
        later = rng.integers(chip.lines)
        codes = [*lines, EventCode.STEP, later, EventCode.STEP]
        if chip.fire_mode == "race":
            codes = [*lines, EventCode.STEP, later, EventCode.DECIDE]
            if chip.classes:
                codes += [EventCode.ANSWER, label_code(int(rng.integers(chip.classes)))]
            codes += [EventCode.DARK]
        samples.append(np.array([*codes, EventCode.END], np.int32))
    return EventBatch(np.concatenate(samples), np.cumsum([0, *map(len, samples)]))
