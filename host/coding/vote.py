"""The vote read-out: what a neuron answered in training, counted; labels are used nowhere else."""

from dataclasses import dataclass

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import OutputSpikes

__all__ = ["Vote"]

RANK_WEIGHTS = (4, 3, 2, 1)
"""Weight of the vote of a winner by its rank; later ranks weigh as the last."""


@dataclass(frozen=True)
class Vote:
    """Winners vote with the log-probabilities of the classes they answered.

    Parameters
    ----------
    table : float32 array of shape (regions, neurons, classes)
        Log-probability of every class, given that the neuron won; a region is a tile, but of a shared crossbar
        (contract 11.5). Regions and neurons are those of the last layer (12.4).
    """

    table: np.ndarray

    @staticmethod
    def count(chip: Chip, spikes: OutputSpikes, labels: np.ndarray, classes: int) -> np.ndarray:
        """How often each neuron answered each class, int64 of shape (regions, neurons, classes).

        In a race the first winner of a tile answers; in threshold mode every output spike, or, where neurons vote,
        every neuron that fires, once a sample. Counts of batches add up.
        """
        counted = spikes.ranks() == 0 if chip.fire_mode == "race" else _votes(chip, spikes)
        sample, tile, neuron = _samples(spikes)[counted], spikes.tile[counted], spikes.neuron[counted]
        last = chip.last
        flat = (last.region_of_window[tile].astype(np.int64) * last.neurons + neuron) * classes + labels[sample]
        counts = np.bincount(flat, minlength=last.regions * last.neurons * classes)
        return counts.reshape(last.regions, last.neurons, classes)

    @classmethod
    def from_counts(cls, counts: np.ndarray) -> "Vote":
        """Smoothed log-probabilities of counts, ``log((count + 0.01) / (all + 0.1))``."""
        total = counts.sum(axis=2, keepdims=True)
        return cls(np.log((counts + 0.01) / (total + 0.1)).astype(np.float32))

    def answers(self, chip: Chip, spikes: OutputSpikes) -> np.ndarray:
        """The class with the most votes for every sample, ties to the lower: int64 of shape (samples,)."""
        return self.scores(chip, spikes).argmax(axis=1)

    def scores(self, chip: Chip, spikes: OutputSpikes) -> np.ndarray:
        """The votes for every class: float64 of shape (samples, classes), all 0 where nothing fired.

        In a race the vote of a winner has the weight of its rank. In threshold mode every output spike has one vote or,
        in a chip with ``vote = "neurons"``, every neuron that fires, once a sample: in a lone crossbar the spikes of
        one neuron say the same again, and drown a second one. In tiles they tell how well the neuron fits.
        """
        sample = _samples(spikes)
        if chip.fire_mode == "race":
            weight = np.array(RANK_WEIGHTS)[np.minimum(spikes.ranks(), len(RANK_WEIGHTS) - 1)]
        else:
            weight = _votes(chip, spikes)
        table = self.table[chip.last.region_of_window[spikes.tile], spikes.neuron]
        return np.stack([np.bincount(sample, table[:, label] * weight, minlength=len(spikes))
                         for label in range(self.table.shape[2])], axis=1)


def _samples(spikes):
    """The sample of every output spike."""
    return np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))


def _votes(chip, spikes):
    """Whether an output spike of threshold mode has a vote: bool of shape (spikes,)."""
    if chip.vote == "spikes":
        return np.ones(len(spikes.tile), bool)
    key = (_samples(spikes) * chip.tiles + spikes.tile) * chip.neurons + spikes.neuron
    first = np.zeros(len(key), bool)
    first[np.unique(key, return_index=True)[1]] = True
    return first
