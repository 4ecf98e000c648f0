"""A read-out that the host teaches: a copy of the chip's."""

import dataclasses

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import OutputSpikes
from ohmspike.sim.model.exact import ExactModel


class HostReadOut:
    """A copy of the read-out without non-idealities, taught on the host."""

    def __init__(self, chip: Chip, levels: np.ndarray):
        self._model = ExactModel(dataclasses.replace(chip, noise_bits=0, write_noise=0.0, stuck_cells="none"))
        self.levels[...] = levels.reshape(self.levels.shape)

    @property
    def levels(self) -> np.ndarray:
        """Levels of the copy, of shape (tiles * neurons, classes)."""
        return self._model.state.read_out

    def teach(self, spikes: OutputSpikes, labels: np.ndarray, scale: float) -> float:
        """Teach what fired; returns the share answered right before."""
        self._model.set_read_out_tables(*self._model.chip.read_out_tables(scale))
        return float((self._model.teach(spikes, labels).label == labels).mean())

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint needs."""
        return {"host_read_out": self.levels, "host_random": self._model.state.random}

    def resume(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from a checkpoint."""
        self.levels[...], self._model.state.random[...] = arrays["host_read_out"], arrays["host_random"]
