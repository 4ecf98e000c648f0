"""Corrupted test images: what noise, blots, shifts and other light make of the images that a chip is shown."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["CORRUPTIONS", "corrupted"]

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def corrupted(images: np.ndarray, name: str, seed: int) -> np.ndarray:
    """Images under one corruption, by the same draw for the same seed.

    Parameters
    ----------
    images : uint8 array of shape (samples, height, width)
    name : str
        A key of :data:`CORRUPTIONS`.
    seed : int
        What is random is drawn from it, anew for every image.

    Returns
    -------
    uint8 array of shape (samples, height, width)
    """
    return CORRUPTIONS[name](images, np.random.default_rng(seed))


def _bytes(values):
    """Values as pixels: rounded, and held at 0 and 255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Pixels:
    """A share of the pixels gets random values, or one value."""

    share: float
    value: int | None = None

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        hit = rng.random(images.shape) < self.share
        return np.where(hit, rng.integers(0, 256, images.shape) if self.value is None else self.value,
                        images).astype(np.uint8)


@dataclass(frozen=True)
class _Gauss:
    """Every pixel is off by a normal deviate, in levels of grey."""

    sigma: float

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        result = np.empty_like(images)
        for first in range(0, len(images), 1000):  # deviates take eight bytes a pixel
            part = images[first:first + 1000]
            result[first:first + 1000] = _bytes(part + rng.normal(0.0, self.sigma, part.shape))
        return result


@dataclass(frozen=True)
class _Square:
    """A square of one value, anywhere in the image."""

    side: int
    value: int

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        result, (height, width) = images.copy(), images.shape[1:]
        side = min(self.side, height, width)
        tops, lefts = rng.integers(0, height - side + 1, len(images)), rng.integers(0, width - side + 1, len(images))
        for image, top, left in zip(result, tops, lefts, strict=True):
            image[top:top + side, left:left + side] = self.value
        return result


@dataclass(frozen=True)
class _Shift:
    """Every image is moved by so many pixels in one of the eight directions; what enters is 0."""

    pixels: int

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        ways = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)])
        height, width = images.shape[1:]
        edge = min(self.pixels, height, width)
        padded = np.pad(images, ((0, 0), (edge, edge), (edge, edge)))
        result = np.empty_like(images)
        for image, target, (y, x) in zip(padded, result, edge * ways[rng.integers(0, 8, len(images))], strict=True):
            target[:] = image[edge - y:edge - y + height, edge - x:edge - x + width]
        return result


@dataclass(frozen=True)
class _Rotation:
    """Every image is turned by the angle, to the left or to the right."""

    degrees: float

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        left = rng.random(len(images)) < 0.5
        result = np.empty_like(images)
        for which, angle in ((left, self.degrees), (~left, -self.degrees)):
            result[which] = ndimage.rotate(images[which], angle, axes=(1, 2), reshape=False, order=1)
        return result


@dataclass(frozen=True)
class _Scale:
    """Every image is made larger or smaller about its centre, by linear interpolation."""

    factor: float

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        centre = (np.array(images.shape[1:]) - 1) / 2
        matrix = np.array([1.0, 1 / self.factor, 1 / self.factor])
        return ndimage.affine_transform(images, matrix, np.r_[0.0, centre * (1 - 1 / self.factor)], order=1)


@dataclass(frozen=True)
class _Light:
    """Every pixel is ``pixel · contrast + brightness``, held at 0 and 255."""

    contrast: float = 1.0
    brightness: float = 0.0

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return _bytes(images * np.float32(self.contrast) + np.float32(self.brightness))


def _lower_half_gone(images, rng):
    result = images.copy()
    result[:, images.shape[1] // 2:] = 0
    return result


def _line_across(images, rng):
    """A white line of two pixels, in a row or a column, within the middle half."""
    result, (height, width) = images.copy(), images.shape[1:]
    for image, across in zip(result, rng.random(len(images)) < 0.5, strict=True):
        size = height if across else width
        at = int(rng.integers(size // 4, max(size // 4 + 1, 3 * size // 4)))
        image[(slice(at, at + 2), slice(None)) if across else (slice(None), slice(at, at + 2))] = 255
    return result


def _frame(images, rng):
    result = images.copy()
    for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        result[edge] = 255
    return result


CORRUPTIONS: dict[str, Change] = {
    "clean": lambda images, rng: images,
    **{f"random pixels {share:.0%}": _Pixels(share) for share in (0.05, 0.1, 0.2, 0.3)},
    **{f"gauss sigma {sigma}": _Gauss(sigma) for sigma in (25, 50, 100)},
    **{f"pepper (0) {share:.0%}": _Pixels(share, 0) for share in (0.2, 0.5)},
    **{f"salt (255) {share:.0%}": _Pixels(share, 255) for share in (0.05, 0.1, 0.2)},
    **{f"black square {side}": _Square(side, 0) for side in (8, 12)},
    **{f"white square {side}": _Square(side, 255) for side in (4, 8)},
    "lower half gone": _lower_half_gone,
    **{f"shift {pixels}": _Shift(pixels) for pixels in (1, 2, 3, 4)},
    **{f"rotation {degrees}": _Rotation(degrees) for degrees in (10, 20, 30, 45)},
    **{f"contrast x{factor}": _Light(factor) for factor in (0.75, 0.5, 0.25, 0.1)},
    **{f"brightness +{more}": _Light(brightness=more) for more in (1, 10, 20, 30, 50, 100)},
    "inverted": lambda images, rng: 255 - images,
    **{f"scale {factor}": _Scale(factor) for factor in (0.8, 1.2)},
    "blur sigma 1": lambda images, rng: ndimage.gaussian_filter(images, (0, 1, 1)),
    "dilate 3x3": lambda images, rng: ndimage.grey_dilation(images, (1, 3, 3)),
    "erode 2x2": lambda images, rng: ndimage.grey_erosion(images, (1, 2, 2)),
    "white line across": _line_across,
    "white frame": _frame,
}
"""Every corruption by its name in the table: a function of images and a random generator."""
