"""A run that cannot work says so and stops: checks that every learning run and every classification passes."""

import warnings
from dataclasses import dataclass, field

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.host.data.dataset import Samples
from ohmspike.host.support.errors import RunWarning, UserError
from ohmspike.host.targets.base import Target

__all__ = ["FutileRun", "RunWarning", "Watch", "full_membranes", "unseen_lines",
           "warn_of_damaged_images", "warn_of_full_thresholds"]


_BLOCK_CELLS = 2_000_000
"""Samples times lines that are looked at together."""


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
    _full: bool = field(default=False, init=False)
    _counters: dict[str, int] = field(default_factory=dict, init=False)

    def before(self, target: Target, batch: EventBatch, images: Samples) -> None:
        """Check the events of samples before a target sees them: the first ones in all respects.

        Those of a stream are all checked for full membranes, until there was a warning: its samples differ in length.

        Raises
        ------
        FutileRun
            No line spikes in any of the first samples, or every line in each.
        """
        if not self._full and not (self._looked and isinstance(images, np.ndarray)):
            self._full = _warn_of_full_membranes(target, batch)
        if self._looked:
            return
        chip, samples = self.chip, len(batch)
        spikes = np.diff(np.r_[0, np.cumsum(batch.codes >= 0)][batch.offsets]) if samples else np.zeros(0, int)
        alone = not self.learn and samples == 1  # one sample that says nothing is answered "don't know"
        if samples and not alone and not spikes.any():
            raise FutileRun(f"no line spikes in the first {samples:,} samples: {_range(chip, images)}",
                            hint="brighter images, a lower dark_level under [code] of the chip, or contrast = "
                                 "\"auto\" there" if isinstance(images, np.ndarray) else
                                 "offsets divide the spikes into samples: docs/data.md, Spikes")
        if samples and not alone and isinstance(images, np.ndarray) and _plain_images(images).all():
            raise FutileRun(f"every image of the first {samples:,} is of one grey level: {_range(chip, images)}",
                            hint="look at the images before they are saved, and at what scaled them")
        if samples and isinstance(images, np.ndarray) and (spikes == chip.lines).all() and (
                batch.codes != EventCode.STEP).all():
            raise FutileRun(f"every line spikes in each of the first {samples:,} samples: {_range(chip, images)}",
                            hint="images with a dark background, a higher dark_level under [code] of the chip, or "
                                 "contrast = \"auto\" there; 255 - images turns dark strokes on white around")
        if unseen := unseen_lines(chip):
            warnings.warn(f"{unseen:,} of {chip.lines:,} lines of the plane are seen by no tile of {chip.name}: "
                          "patch and stride do not cover it", RunWarning, stacklevel=3)
        if silent := int(np.count_nonzero(spikes == 0)):
            warnings.warn(f"no line spikes in {silent:,} of the first {samples:,} samples: nothing can fire in those",
                          RunWarning, stacklevel=3)
        elif isinstance(images, np.ndarray) and (plain := int(np.count_nonzero(_plain_images(images)))):
            warnings.warn(f"{plain:,} of the first {samples:,} images are of one grey level: there is nothing to learn "
                          "in those", RunWarning, stacklevel=3)
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


def _plain_images(images):
    """Which images have the same value in all of their pixels."""
    flat = images.reshape(len(images), -1)
    return flat.min(axis=1) == flat.max(axis=1)


def _range(chip, images):
    if not isinstance(images, np.ndarray):
        return "the stream has none there"
    return (f"their pixels are {images.min()} to {images.max()}, and those up to dark_level = {chip.dark_level} are "
            "dark" + (" (contrast is fixed)" if chip.contrast == "fixed" else ""))


def full_membranes(chip: Chip, weights: np.ndarray, batch: EventBatch) -> np.ndarray:
    """How many membranes of every sample the read pulses of its spikes would fill, in race mode.

    A full membrane stays at ``2^membrane_bits - 1`` (contract 3.1a), and neurons that are full can no longer be ranked:
    they fire in the order of their number.

    Parameters
    ----------
    weights : integer array of shape (tiles, rows, neurons)
        Weight of every cell. Those of ``(tiles, rows, 1)`` give a bound: what as heavy cells would fill.
    batch : EventBatch
        A sample has one DECIDE at most; levels are taken as they stand before the first.

    Returns
    -------
    int64 array of shape (samples,)
        Of ``weights.shape[2]`` membranes of every tile, or of every window that a shared crossbar is shown.
    """
    full, block = np.zeros(len(batch), np.int64), max(1, _BLOCK_CELLS // chip.lines)
    for first in range(0, len(batch), block):
        offsets = batch.offsets[first:first + block + 1]
        codes = batch.codes[offsets[0]:offsets[-1]]
        spikes = np.flatnonzero((codes >= 0) & (codes < chip.lines))
        samples = np.searchsorted(offsets - offsets[0], spikes, side="right") - 1
        count = len(offsets) - 1
        times = np.bincount(samples * chip.lines + codes[spikes], minlength=count * chip.lines)
        times = times.reshape(count, chip.lines).astype(np.float64)  # products of floats are fast, and exact here
        for window, lines in enumerate(chip.row_lines):
            reached = times[:, lines] @ weights[0 if chip.shared else window]
            full[first:first + block] += (reached > (1 << chip.membrane_bits) - 1).sum(axis=1)
    return full


def _warn_of_full_membranes(target, batch):
    """Warn of samples that fill membranes, counted with the levels of the target; returns whether it did."""
    chip = target.chip
    top, heaviest = (1 << chip.membrane_bits) - 1, int(chip.weight_table.max())
    most = int(np.diff(batch.offsets).max(initial=0))
    if chip.fire_mode == "threshold" or most * heaviest <= top:  # a membrane of the former is reset when it fires
        return False
    bound = full_membranes(chip, np.full((chip.tiles, chip.rows, 1), heaviest), batch)
    if not bound.any():
        return False
    levels = target.read("levels").reshape(chip.tiles, chip.rows, chip.neurons)
    full = full_membranes(chip, np.asarray(chip.weight_table, np.int64)[levels], batch)
    counted = f"{full.sum():,} membranes are full, in {np.count_nonzero(full):,}" if full.any() else (
        f"membranes may be full as levels rise, in {np.count_nonzero(bound):,}")
    reads = most * heaviest
    warnings.warn(f"{counted} of {len(batch):,} samples: up to {most:,} events of weights up to {heaviest} exceed the "
                  f"top of membrane_bits = {chip.membrane_bits}, {top:,}; neurons that are full fire in the order of "
                  f"their number; membrane_bits = {reads.bit_length()} holds them", RunWarning, stacklevel=4)
    return True


def warn_of_damaged_images(target: Target) -> None:
    """Warn if images that a target has kept are no longer what they were: some may have been learned wrong."""
    if not target.images_intact():
        warnings.warn("the store of the chip no longer holds the images that were written to it: some may have been "
                      "learned wrong", RunWarning, stacklevel=3)


def warn_of_full_thresholds(target: Target, before: dict[str, int]) -> None:
    """Warn of thresholds that could not rise any further (contract 6.1).

    Parameters
    ----------
    before : dict of str to int
        Counters at the beginning of the run.
    """
    chip, now = target.chip, target.counters()
    clipped, samples = (now[name] - before.get(name, 0) for name in ("theta_clipped", "samples"))
    if clipped <= 0 or samples <= 0:
        return
    top = (1 << chip.threshold_bits) - 1
    theta = np.concatenate([np.asarray(target.read(name)).ravel()
                            for name in ("theta", "layer_theta")[:1 + len(chip.layers)]])
    there = f"{np.count_nonzero(theta == top):,} of {theta.size:,} thresholds stand there now"
    warnings.warn(f"{clipped:,} times in {samples:,} samples a threshold could not rise, for it was at the top of "
                  f"threshold_bits = {chip.threshold_bits}, {top:,} ({there}): such neurons win more often than their "
                  f"share; threshold_bits = {min(chip.threshold_bits + 2, 24)} or a smaller theta_step leaves room",
                  RunWarning, stacklevel=3)
