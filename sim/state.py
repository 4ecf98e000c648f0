"""States as a write leaves them, and results held against each other.

:class:`ChipState` is declared in :mod:`ohmspike.chip.state`.
"""

import numpy as np

from ohmspike.chip.description import Chip
from ohmspike.chip.events import OutputSpikes
from ohmspike.chip.state import ChipState

__all__ = ["ChipState", "spikes_difference", "written", "written_read_out"]


def written(levels: np.ndarray, top: int, error: float, rng: np.random.Generator) -> np.ndarray:
    """Levels 0 to ``top`` as a write leaves them that misses with deviation ``error``, a share of the range."""
    return np.clip(np.rint(levels + rng.normal(0.0, error * top, levels.shape)), 0, top).astype(np.uint8)


def written_read_out(chip: Chip, levels: np.ndarray, error: float) -> np.ndarray:
    """Levels of the read-out as a write leaves them, by the seed of the chip."""
    return written(levels, chip.levels - 1, error, np.random.default_rng([chip.seed, 3])) if error else levels


def spikes_difference(spikes: OutputSpikes, expected: OutputSpikes) -> str:
    """The first output spike, or answer, in which two results differ, with its sample; empty if they are the same."""
    if len(spikes) != len(expected):
        return f"{len(spikes)} samples, expected {len(expected)}"
    for sample in range(len(expected)):
        for what in ("output spike", "answer"):
            ours, theirs = (_records(each, what, sample) for each in (spikes, expected))
            if ours != theirs:
                index = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
                             min(len(ours), len(theirs)))
                return (f"sample {sample}, {what} {index} is {ours[index:index + 1]}, "
                        f"expected {theirs[index:index + 1]}")
    return ""


def _records(spikes, what, sample):
    """Output spikes or answers of a sample as tuples."""
    source = spikes if what == "output spike" else spikes.answers
    columns = (source.tile, source.neuron) if what == "output spike" else (source.label, source.score, source.margin)
    first, stop = source.offsets[sample:sample + 2]
    return list(zip(*(column[first:stop].tolist() for column in columns), strict=True))
