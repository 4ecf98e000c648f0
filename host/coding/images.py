"""Codes: from images to events (contract, section 9)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numba
import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, checked_labels, label_code
from ohmspike.chip.initial import Stream, mix
from ohmspike.chip.limits import SPLITMIX_INDEX, SPLITMIX_SEED, SPLITMIX_STREAM, STEP_MAX
from ohmspike.host.support.errors import UserError

__all__ = ["Encode", "Encoding", "latency_bins", "latency_events", "noisy", "rate_events", "sample_suffix", "shifted",
           "stretched"]

LOW_MAX, HIGH_MIN = 32, 192
"""An image is stretched if its darkest pixel is above the first, or its brightest below the second (contract 9.4)."""

_STEP, _DECIDE, _DARK, _END = (int(code) for code in (EventCode.STEP, EventCode.DECIDE, EventCode.DARK, EventCode.END))
_STREAM, _INDEX = np.uint64(SPLITMIX_STREAM), np.uint64(SPLITMIX_INDEX)


def _pixels(chip: Chip, images: np.ndarray) -> np.ndarray:
    """Pixels of images with their contrast as the chip wants it: uint8 of shape (samples, pixels)."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (chip.plane_height, chip.plane_width):
        raise ValueError(f"images must be uint8 of shape (samples, {chip.plane_height}, {chip.plane_width}), "
                         f"not {images.dtype} of {images.shape}")
    pixels = np.ascontiguousarray(images).reshape(len(images), chip.plane_height * chip.plane_width)
    return pixels if chip.contrast == "fixed" else stretched(pixels)


def _valued(chip: Chip, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A value of every line, uint8 of shape (samples, lines), and the bin of the latency code of each value.

    Of a chip with planes (contract 9.5) the value is 1 where a line spikes, in the only bin, else 0.
    """
    pixels = _pixels(chip, images)
    if chip.edges or chip.thresholds:
        image = pixels.reshape(-1, chip.plane_height, chip.plane_width)
        planes = _planes(image, np.array(chip.edges, np.int64), np.array(chip.thresholds, np.int64))
        return planes.reshape(-1, chip.lines), np.array([-1, 0], np.int16)
    if chip.channels > 1:
        raise UserError(f"{chip.name} has {chip.channels} planes of lines, and an image has one",
                        hint="edges or thresholds under [code] of the chip make planes of an image")
    return pixels, _bin_table(chip)


@numba.njit(cache=True)
def _planes(images, edges, thresholds):
    """Contract 9.5: 1 where a line spikes, uint8 of shape (samples, channels, height, width)."""
    samples, height, width = images.shape
    planes = np.empty((samples, 4 * len(edges) + len(thresholds), height, width), np.uint8)
    image = np.zeros((height + 2, width + 2), np.int64)
    for s in range(samples):
        image[1:-1, 1:-1] = images[s]
        for y in range(height):
            for x in range(width):
                right = 2 * (image[y + 1, x + 2] - image[y + 1, x]) + image[y, x + 2] - image[y, x] + (
                    image[y + 2, x + 2] - image[y + 2, x])
                down = 2 * (image[y + 2, x + 1] - image[y, x + 1]) + image[y + 2, x] - image[y, x] + (
                    image[y + 2, x + 2] - image[y, x + 2])
                for i in range(len(edges)):
                    steep = 4 * edges[i]
                    planes[s, 4 * i, y, x] = right > steep
                    planes[s, 4 * i + 1, y, x] = right < -steep
                    planes[s, 4 * i + 2, y, x] = down < -steep
                    planes[s, 4 * i + 3, y, x] = down > steep
                for i in range(len(thresholds)):
                    planes[s, 4 * len(edges) + i, y, x] = image[y + 1, x + 1] > thresholds[i]
    return planes


def stretched(pixels: np.ndarray) -> np.ndarray:
    """Images whose pixels leave much of the range unused, stretched over all of it (contract 9.4).

    Parameters
    ----------
    pixels : uint8 array of shape (samples, lines)

    Returns
    -------
    uint8 array of shape (samples, lines)
        The array itself if no image of it is stretched.
    """
    if not pixels.size:
        return pixels
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    poor = ((low > LOW_MAX) | (high < HIGH_MIN)) & (high > low)
    if not poor.any():
        return pixels
    result = pixels.copy()
    first, last = (bound[poor, None].astype(np.int32) for bound in (low, high))
    result[poor] = (pixels[poor].astype(np.int32) - first) * 255 // (last - first)
    return result


def sample_suffix(chip: Chip, samples: int, learn: bool, labels: np.ndarray | None, answer: bool) -> np.ndarray:
    """What follows the spikes of every sample (contract 9.1, 9.2, 9.6), int32 of shape (samples, events)."""
    race = chip.fire_mode == "race"
    columns = [np.full(samples, _DECIDE)] * race
    if answer:
        columns.append(np.full(samples, EventCode.ANSWER))
    if labels is not None:
        columns.append(label_code(checked_labels(labels, samples, chip.classes).astype(np.int64)))
    columns += [np.full(samples, _DARK)] * (learn and race and not chip.shared) + [np.full(samples, _END)]
    return np.stack(columns, axis=1).astype(np.int32)


def shifted(chip: Chip, images: np.ndarray, limit: int, *, first_sample: int = 0) -> np.ndarray:
    """Images up to ``limit`` lines off their place each way, drawn for every sample (contract 9.3).

    Parameters
    ----------
    images : uint8 array of shape (samples, plane_height, plane_width)
    first_sample : int
        Number of the first sample: other numbers, other shifts.
    """
    numbers = np.uint64(2 * first_sample) + np.arange(2 * len(images), dtype=np.uint64)
    draws = (mix(chip.seed, Stream.SHIFT, numbers) >> np.uint64(32)) * np.uint64(2 * limit + 1) >> np.uint64(32)
    down, right = draws.astype(np.int64).reshape(-1, 2).T - limit
    result = np.zeros_like(images)
    for y, x in np.unique(np.stack([down, right], axis=1), axis=0):
        chosen = (down == y) & (right == x)
        height, width = images.shape[1] - abs(y), images.shape[2] - abs(x)
        if height > 0 and width > 0:
            result[chosen, max(y, 0):max(y, 0) + height, max(x, 0):max(x, 0) + width] = images[
                chosen, max(-y, 0):max(-y, 0) + height, max(-x, 0):max(-x, 0) + width]
    return result


@numba.njit(cache=True)
def _mix(start, index):
    """The generator of contract 7.1; ``start`` holds seed and stream."""
    z = start + (index + np.uint64(1)) * _INDEX
    z = (z ^ (z >> np.uint64(30))) * _STREAM
    z = (z ^ (z >> np.uint64(27))) * _INDEX
    return z ^ (z >> np.uint64(31))


def noisy(chip: Chip, images: np.ndarray, share: float, *, first_sample: int = 0) -> np.ndarray:
    """Images in which up to a ``share`` of the pixels is replaced, drawn for every sample (contract 9.7).

    Parameters
    ----------
    images : uint8 array of shape (samples, plane_height, plane_width)
    first_sample : int
        Number of the first sample: other numbers, other noise.
    """
    start = np.uint64((chip.seed * SPLITMIX_SEED + int(Stream.NOISE) * SPLITMIX_STREAM) % 2**64)
    pixels = np.ascontiguousarray(images).reshape(len(images), -1)
    return _noisy(pixels, start, np.uint64(first_sample), np.uint64(int(share * 2**32))).reshape(images.shape)


@numba.njit(cache=True)
def _noisy(pixels, start, first_sample, share):
    result, count = pixels.copy(), np.uint64(pixels.shape[1] + 1)
    for s in range(pixels.shape[0]):
        base = (first_sample + np.uint64(s)) * count
        limit = share * (_mix(start, base) >> np.uint64(32)) >> np.uint64(32)
        for i in range(pixels.shape[1]):
            drawn = _mix(start, base + np.uint64(i + 1))
            if drawn >> np.uint64(32) < limit:
                result[s, i] = drawn & np.uint64(255)
    return result


def latency_events(chip: Chip, images: np.ndarray, *, learn: bool, labels: np.ndarray | None = None,
                   answer: bool = False) -> EventBatch:
    """Latency code, dark last (contract 9.1): bright pixels spike early, silent lines at DARK; or planes (9.5).

    Parameters
    ----------
    images : uint8 array of shape (samples, plane_height, plane_width)
    learn : bool
        With DARK, for learning.
    labels : integer array of shape (samples,), optional
        With LABEL, for the read-out to be taught.
    answer : bool
        With ANSWER, before the label is taught.
    """
    if chip.fire_mode != "race":
        raise UserError(f"the latency code ends in a DECIDE, which {chip.name} does not take: it fires at a threshold",
                        hint="take the rate code: --encoding rate, or Encoding(steps=32)")
    values, bins = _valued(chip, images)
    suffix = sample_suffix(chip, len(values), learn, labels, answer)
    return EventBatch(*_latency(values, bins, chip.latency_bins, suffix))


def latency_bins(chip: Chip, images: np.ndarray) -> np.ndarray:
    """In which bin of the latency code each line spikes, −1 where it does not: int16 of shape (samples, lines)."""
    values, bins = _valued(chip, images)
    return bins[values]


def _bin_table(chip):
    """The bin of every value of a pixel."""
    values = np.arange(256)
    bins = (255 - values) * chip.latency_bins // (255 - chip.dark_level) if chip.dark_level < 255 else values * 0
    return np.where(values > chip.dark_level, bins, -1).astype(np.int16)


@numba.njit(cache=True)
def _latency(pixels, bin_of, bins, suffix):
    samples, lines = pixels.shape
    offsets = np.zeros(samples + 1, np.int64)
    codes = np.empty(samples * (lines + bins - 1 + suffix.shape[1]), np.int32)  # only what is written takes memory
    able, listed, cursor = bin_of >= 0, np.empty(lines + 1, np.int32), np.empty(bins, np.int64)
    at = 0
    for s in range(samples):
        count = np.uint64(0)
        for i in range(lines):  # no branch: which lines spike cannot be guessed
            listed[count] = i
            count += np.uint64(able[pixels[s, i]])
        cursor[:] = 0
        for k in range(count):
            cursor[bin_of[pixels[s, listed[k]]]] += 1
        for b in range(bins):
            ahead = cursor[b]
            cursor[b] = at
            at += ahead
            if b + 1 < bins:
                codes[at] = _STEP
                at += 1
        for k in range(count):
            b = bin_of[pixels[s, listed[k]]]
            codes[cursor[b]] = listed[k]
            cursor[b] += 1
        codes[at:at + suffix.shape[1]] = suffix[s]
        at += suffix.shape[1]
        offsets[s + 1] = at
    return codes[:at], offsets


def rate_events(chip: Chip, images: np.ndarray, *, learn: bool, steps: int, peak: float, first_sample: int = 0,
                labels: np.ndarray | None = None, answer: bool = False) -> EventBatch:
    """Rate code (contract 9.2): every line spikes at every step with a probability in proportion to its pixel.

    Parameters
    ----------
    images : uint8 array of shape (samples, plane_height, plane_width)
    learn : bool
        With DARK (race mode), for learning.
    steps : int
        Steps of a sample, 1 to 254.
    peak : float
        Probability of a spike of the brightest pixel at one step, 0 to 1.
    first_sample : int
        Number of the first sample: other numbers, other spikes.
    labels, answer :
        As in :func:`latency_events`.
    """
    if chip.channels > 1:
        raise UserError(f"the rate code makes one plane of lines of an image, and {chip.name} has {chip.channels}",
                        hint="--encoding latency")
    pixels = _pixels(chip, images)
    if not 1 <= steps <= STEP_MAX:
        raise ValueError(f"steps must be 1 to {STEP_MAX}, not {steps!r}")
    if not 0.0 <= peak <= 1.0:
        raise ValueError(f"peak must be 0 to 1, not {peak!r}")
    if first_sample < 0:
        raise ValueError(f"first_sample must be at least 0, not {first_sample!r}")
    limits = np.arange(256, dtype=np.uint64) * np.uint64(int(peak * 2**32)) // np.uint64(255)
    suffix = sample_suffix(chip, len(pixels), learn, labels, answer)
    start = np.uint64((chip.seed * SPLITMIX_SEED + int(Stream.RATE) * SPLITMIX_STREAM) % 2**64)
    return EventBatch(*_rate(pixels, limits, start, np.uint64(first_sample), steps, suffix))


@numba.njit(cache=True)
def _mix32(start, index):
    """The upper 32 bits of :func:`_mix`."""
    return _mix(start, index) >> np.uint64(32)


@numba.njit(cache=True)
def _rate(pixels, limits, start, first_sample, steps, suffix):
    samples, lines = pixels.shape
    offsets = np.zeros(samples + 1, np.int64)
    room = samples * (steps + suffix.shape[1])
    for s in range(samples):
        for i in range(lines):
            room += steps * (limits[pixels[s, i]] > 0)
    codes = np.empty(room, np.int32)  # only what is written takes memory
    able, drawn, below = np.empty(lines, np.int64), np.empty(lines, np.uint64), np.empty(lines, np.uint64)
    at = np.uint64(0)
    for s in range(samples):
        count = np.uint64(0)
        for i in range(lines):
            limit = limits[pixels[s, i]]
            able[count], below[count] = i, limit
            count += np.uint64(limit > 0)
        for step in range(steps):
            base = ((first_sample + np.uint64(s)) * np.uint64(256) + np.uint64(step)) * np.uint64(lines)
            for k in range(count):
                drawn[np.uint64(k)] = _mix32(start, base + np.uint64(able[np.uint64(k)]))
            for k in range(count):
                codes[at] = able[np.uint64(k)]
                at += np.uint64(drawn[np.uint64(k)] < below[np.uint64(k)])
            codes[at] = _STEP
            at += np.uint64(1)
        for i in range(suffix.shape[1]):
            codes[at] = suffix[s, i]
            at += np.uint64(1)
        offsets[s + 1] = at
    return codes[:at], offsets



class Encode(Protocol):
    """What makes events of samples: an :class:`Encoding`, or one of streams; a dataclass, as runs record its fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def repeats(self) -> bool:
        """A sample becomes the same spikes whenever it comes."""

    def __call__(self, chip: Chip, samples: Any, /, *, learn: bool, first_sample: int = 0,
                 labels: np.ndarray | None = None, answer: bool = False) -> EventBatch:
        """Events of the samples; see :meth:`Encoding.__call__`."""


@dataclass(frozen=True)
class Encoding:
    """How images become events: the latency code of the chip (contract 9.1), or a rate code (9.2).

    Parameters
    ----------
    steps : int
        Steps of the rate code; 0 is the latency code.
    peak : float
        Probability of a spike of the brightest pixel at one step.
    """

    steps: int = 0
    peak: float = 0.25

    @property
    def kind(self) -> str:
        """``latency`` or ``rate``."""
        return "rate" if self.steps else "latency"

    @property
    def repeats(self) -> bool:
        """A sample becomes the same spikes whenever it comes: not in the rate code, which draws them."""
        return not self.steps

    @classmethod
    def of(cls, chip: Chip) -> "Encoding":
        """The code that images of a chip have, by its description."""
        return cls(chip.rate_steps, chip.rate_peak) if chip.rate_steps else cls()

    def steps_answered(self, chip: Chip) -> int:
        """Steps of an image that is neither learned nor taught (contract 9.2): the chip's, where ``steps`` are."""
        return chip.answer_steps or self.steps if self.steps == chip.rate_steps else self.steps

    def __call__(self, chip: Chip, images: np.ndarray, *, learn: bool, first_sample: int = 0,
                 labels: np.ndarray | None = None, answer: bool = False) -> EventBatch:
        """Events of the images; ``first_sample`` numbers the first of them for the rate code."""
        if self.steps == 0:
            return latency_events(chip, images, learn=learn, labels=labels, answer=answer)
        steps = self.steps if learn or labels is not None else self.steps_answered(chip)
        return rate_events(chip, images, learn=learn, labels=labels, answer=answer, first_sample=first_sample,
                           steps=steps, peak=self.peak)
