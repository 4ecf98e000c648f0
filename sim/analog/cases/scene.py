"""What a case takes from a chip and gives: the scene, and checks of the twin by SPICE."""

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ohmspike.chip.description import Chip
from ohmspike.sim.state import ChipState

from ..device import Device

__all__ = ["Check", "Scene"]


@dataclass(frozen=True)
class Check:
    """One figure of the twin beside that of SPICE.

    Parameters
    ----------
    case, what : str
    twin, spice : float
    limit : float
        Largest deviation: a share of the SPICE figure, or absolute where ``share`` is false.
    unit : str
    """

    case: str
    what: str
    twin: float
    spice: float
    limit: float
    unit: str = ""
    share: bool = True

    @property
    def deviation(self) -> float:
        """Of the twin from SPICE, signed."""
        difference = self.twin - self.spice
        if not self.share:
            return difference
        return difference / abs(self.spice) if self.spice else (0.0 if difference == 0 else math.inf)

    @property
    def ok(self) -> bool:
        """Whether twin and SPICE agree as far as is asked."""
        return abs(self.deviation) <= self.limit  # false for NaN

    def to_dict(self) -> dict:
        """For JSON."""
        return {**dataclasses.asdict(self), "deviation": self.deviation, "ok": self.ok}


@dataclass(frozen=True)
class Scene:
    """What the cases take from a chip: the tile that reads most of an image, its conductances and its spikes.

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.description.Chip`
    state : :class:`~ohmspike.sim.state.ChipState`
    device : :class:`~ohmspike.sim.analog.device.Device`
    image : uint8 array of shape (plane_height, plane_width)
    seed : int
        Of the spikes of the rate code.
    """

    chip: Chip
    state: ChipState
    device: Device
    image: np.ndarray
    seed: int = 1

    @cached_property
    def tile(self) -> int:
        """The tile with the most bright lines."""
        return int((self._pixels > self.chip.dark_level).sum(axis=1).argmax())

    @cached_property
    def _pixels(self):
        return np.asarray(self.image).ravel()[self.chip.row_lines]

    @property
    def pixels(self) -> np.ndarray:
        """Pixels of the tile's rows, uint8 of shape (rows,)."""
        return self._pixels[self.tile]

    @cached_property
    def column(self) -> int:
        """The neuron of the tile that reads the most from the image."""
        bright = self.pixels > self.chip.dark_level
        return int(self.state.weight[self.state.levels[self.tile][bright]].sum(axis=0, dtype=np.int64).argmax())

    def cells(self, count: int) -> np.ndarray:
        """States, 0 to 1, of so many cells of the tile, that column first: float of shape (count,)."""
        columns = np.roll(self.state.levels[self.tile].T, -self.column, axis=0).ravel()
        return np.resize(columns, count) / (self.chip.levels - 1)

    def spikes(self, count: int, steps: int, peak: float) -> np.ndarray:
        """Rate-coded spikes of so many rows, bool of shape (steps, count); past the last row the first comes again."""
        random = np.random.default_rng(self.seed)
        pixels = np.resize(np.maximum(self.pixels, 16), count)
        return random.random((steps, count)) < peak * pixels / 255
