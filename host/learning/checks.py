"""A run that cannot work says so and stops: checks that every learning run and every classification passes."""

import warnings
from dataclasses import dataclass, field

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.host.data.dataset import Samples
from ohmspike.host.support.errors import RunWarning, UserError
from ohmspike.host.targets.base import Target

__all__ = ["FutileRun", "RunWarning", "Watch", "unseen_lines"]


class FutileRun(UserError):
    """A run that cannot work: no line spikes, or all do, events are refused, or nothing fires."""


def unseen_lines(chip: Chip) -> int:
    """How many lines of the plane no tile sees."""
    return chip.lines - len(np.unique(chip.row_lines))


@dataclass
class Watch:
    """Look at the first samples of a run, and stop it if it cannot work.

    Parameters
    ----------
    chip : Chip
    learn : bool
        The run learns; if it only classifies, samples in which nothing fires are none of its business.
    """

    chip: Chip
    learn: bool
    _looked: bool = field(default=False, init=False)
    _counters: dict[str, int] = field(default_factory=dict, init=False)

    def before(self, target: Target, batch: EventBatch, images: Samples) -> None:
        """Check the events of the first samples before a target sees them.

        Raises
        ------
        FutileRun
            No line spikes in any of them, or every line in each.
        """
        if self._looked:
            return
        chip, samples = self.chip, len(batch)
        spikes = np.diff(np.r_[0, np.cumsum(batch.codes >= 0)][batch.offsets]) if samples else np.zeros(0, int)
        if samples and not spikes.any():
            raise FutileRun(f"no line spikes in the first {samples:,} samples: {_range(chip, images)}",
                            hint="brighter images, a lower dark_level under [code] of the chip, or contrast = "
                                 "\"auto\" there")
        if samples and isinstance(images, np.ndarray) and (spikes == chip.lines).all() and (
                batch.codes != EventCode.STEP).all():
            raise FutileRun(f"every line spikes in each of the first {samples:,} samples: {_range(chip, images)}",
                            hint="images with a dark background, a higher dark_level under [code] of the chip, or "
                                 "contrast = \"auto\" there; 255 - images turns dark strokes on white around")
        if unseen := unseen_lines(chip):
            warnings.warn(f"{unseen:,} of {chip.lines:,} lines of the plane are seen by no tile of {chip.name}: "
                          "patch and stride do not cover it", RunWarning, stacklevel=3)
        _warn_of_full_membranes(chip, batch)
        self._counters = target.counters()

    def after(self, target: Target, samples: int) -> None:
        """Check what the first samples did.

        Raises
        ------
        FutileRun
            Most events were refused, or the run learns and nothing fired.
        """
        if self._looked or not samples:
            return
        self._looked = True
        now = target.counters()
        refused, fired, spikes = (now[name] - self._counters[name] for name in ("refused", "out_spikes", "in_spikes"))
        if refused >= samples:
            raise FutileRun(f"{self.chip.name} refused {refused:,} events of the first {samples:,} samples: it fires "
                            + ("at a threshold and takes no DECIDE, DARK" if self.chip.fire_mode == "threshold" else
                               "in a race") + " (contract 3.8)",
                            hint="take the rate code for a chip with thresholds: --encoding rate")
        if self.learn and not fired:
            raise FutileRun(f"no neuron fired in the first {samples:,} samples, though {spikes:,} lines spiked",
                            hint=f"a tile takes part with min_spikes = {self.chip.min_spikes} spikes or more" + (
                                f" and fires at theta_base = {self.chip.theta_base}: lower them"
                                if self.chip.fire_mode == "threshold" else ": lower it, or enlarge the patch"))


def _range(chip, images):
    if not isinstance(images, np.ndarray):
        return "the stream has no spikes there"
    return (f"their pixels are {images.min()} to {images.max()}, and those up to dark_level = {chip.dark_level} are "
            "dark" + (" (contrast is fixed)" if chip.contrast == "fixed" else ""))


def _warn_of_full_membranes(chip, batch):
    """Warn of samples whose read pulses may fill a membrane: full neurons can no longer be ranked."""
    top, heaviest = (1 << chip.membrane_bits) - 1, int(chip.weight_table.max())
    spikes = np.flatnonzero(batch.codes >= 0)
    if not heaviest or not len(spikes) or chip.fire_mode == "threshold":  # a membrane of which is reset when it fires
        return
    samples = np.searchsorted(batch.offsets, spikes, side="right") - 1
    seen = np.zeros((chip.lines, chip.windows), np.float32)  # small whole numbers: exact, and BLAS takes them
    np.add.at(seen, (chip.row_lines, np.arange(chip.windows)[:, None]), 1)
    per_line = np.zeros((len(batch), chip.lines), np.float32)
    np.add.at(per_line, (samples, np.minimum(batch.codes[spikes], chip.lines - 1)), 1)
    reads = (per_line @ seen).max(axis=1).astype(np.int64)
    full = reads * heaviest > top
    if full.any():
        warnings.warn(f"membranes may be full in {full.sum():,} of the first {len(batch):,} samples: up to "
                      f"{reads.max():,} read pulses of weights up to {heaviest} exceed the top of membrane_bits = "
                      f"{chip.membrane_bits}, {top:,}; neurons that are full fire in the order of their number; "
                      f"membrane_bits = {int(reads.max() * heaviest).bit_length()} holds them",
                      RunWarning, stacklevel=4)
