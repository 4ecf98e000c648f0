"""A data set: images or event streams to learn from and to be judged on."""

import dataclasses
import warnings
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from ohmspike.chip import Chip
from ohmspike.host.support.errors import RunWarning

from .formats import DataError

__all__ = ["HELD_OUT_SEED", "HELD_OUT_SHARE", "LABEL_TOP", "Dataset", "Samples", "held_out"]

LABEL_TOP = (1 << 16) - 1
"""The largest label of a class."""

HELD_OUT_SHARE = 7
"""Without a test split one sample of so many is held out."""

HELD_OUT_SEED = 1
"""Seed of the draw of those samples."""


class Samples(Protocol):
    """What is learned: an array of images, or a :class:`~ohmspike.host.data.streams.Stream`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


S = TypeVar("S", bound=Samples)


@dataclass(frozen=True)
class Dataset(Generic[S]):
    """Images to learn from and to be judged on, and their labels if there are any.

    Parameters
    ----------
    train_images, test_images : uint8 arrays of shape (samples, height, width)
    train_labels, test_labels : integer arrays of shape (samples,), or None
        Labels from 0 up.
    name : str
        A built-in data set, or the file.
    held_out : bool
        The test images had to be taken from the training images.
    validation_last : int
        The last so many training images are the validation set by convention; 0 if there is no convention.
    """

    train_images: S
    train_labels: np.ndarray | None
    test_images: S
    test_labels: np.ndarray | None
    name: str = "mnist"
    held_out: bool = False
    validation_last: int = 0

    @property
    def classes(self) -> int | None:
        """The largest label + 1; None without labels."""
        highest = [int(labels.max()) for labels in (self.train_labels, self.test_labels)
                 if labels is not None and len(labels)]
        return None if self.train_labels is None else 1 + max(highest)

    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the training and the test samples, as a :class:`DataError` if there are none."""
        if self.train_labels is None or self.test_labels is None:
            raise DataError(f"{self.name}: labels are missing", hint="bring labels with the samples, see docs/data.md")
        return self.train_labels, self.test_labels

    @property
    def plane(self) -> tuple[int, int]:
        """Height and width of an image, as a :class:`DataError` if the samples are event streams."""
        if not isinstance(self.train_images, np.ndarray):
            raise DataError(f"{self.name}: must be images, not an event stream")
        return self.train_images.shape[1], self.train_images.shape[2]

    def check(self, chip: Chip, *, labels_for: str | None = None) -> None:
        """Refuse what a chip or a command cannot work with, as a :class:`DataError`.

        Parameters
        ----------
        labels_for : str, optional
            What needs labels that fit the read-out of the chip, if it has one, as messages call it.
        """
        self.check_plane(chip)
        if labels_for is None:
            return
        if self.classes is None:
            raise DataError(f"{self.name}: labels are missing, and {labels_for} needs them",
                            hint="add labels, or learn without them: ohmspike learn --no-labels")
        if chip.classes and self.classes > chip.classes:
            raise DataError(f"{self.name}: labels must be 0 to {chip.classes - 1} for the read-out of {chip.name}, "
                            f"not up to {self.classes - 1}",
                            hint=f"describe a chip with classes = {self.classes} under [read_out]")
        self._warn_of_classes()

    def _warn_of_classes(self) -> None:
        """Warn of classes without samples to learn, and of labels that are all the same."""
        present = np.unique(self.labels()[0])
        missing = np.setdiff1d(np.arange(self.classes or 0), present)
        if len(present) == 1:
            warnings.warn(f"{self.name}: all samples to learn are of class {present[0]}: one answer is always right",
                          RunWarning, stacklevel=3)
        elif len(missing):
            listed = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
            warnings.warn(f"{self.name}: {len(missing):,} of {self.classes:,} classes have no samples to learn: "
                          f"{listed}; labels are numbered from 0 without gaps", RunWarning, stacklevel=3)

    def validation(self, seed: int = HELD_OUT_SEED) -> "Dataset[S]":
        """The training samples alone, divided into those to learn from and those that evaluate hyper-parameters.

        The last 10,000 images of MNIST and Fashion-MNIST; of other data a sixth, 10,000 at most, drawn at random and
        the same share of every class. They stand in place of the test images.
        """
        count, labels = len(self.train_images), self.train_labels
        if count < 2:
            raise DataError(f"{self.name}: samples must be at least 2, one of them for validation, not {count}")
        if self.validation_last:
            kept, out = np.split(np.arange(count), [count - self.validation_last])
        else:
            kept, out = held_out(count, labels, max(1, validation_count(count)), seed)
        return dataclasses.replace(
            self, train_images=self.train_images[kept], test_images=self.train_images[out], held_out=False,
            validation_last=0, train_labels=None if labels is None else labels[kept],
            test_labels=None if labels is None else labels[out])

    def check_plane(self, chip: Chip) -> None:
        """Refuse a chip that sees another plane, as a :class:`DataError`."""
        if not isinstance(self.train_images, np.ndarray):
            return  # a stream: its lines are checked when they become events
        height, width = self.plane
        if (height, width) != (chip.plane_height, chip.plane_width):
            raise DataError(f"{self.name}: images must be {chip.plane_height}x{chip.plane_width} for the chip "
                            f"{chip.name}, not {height}x{width}",
                            hint=f"describe a chip with plane = {{ height = {height}, width = {width} }}")


def validation_count(count: int) -> int:
    """How many of the training samples judge hyper-parameters: a sixth, 10,000 at most."""
    return min(10_000, count // 6)


def held_out(count: int, labels: np.ndarray | None, wanted: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which samples are learned and which are held out, drawn at random, of every class the same share.

    Parameters
    ----------
    count : int
        Samples there are.
    labels : integer array of shape (count,), or None
        Their classes; without them the draw looks at nothing.
    wanted : int
        Samples to hold out, 1 to ``count - 1``.
    seed : int
        Of the draw.

    Returns
    -------
    kept, out : int64 arrays
        Indices in ascending order, ``wanted`` of them in ``out``.
    """
    if not 1 <= wanted < count:
        raise ValueError(f"wanted must be 1 to count - 1 = {count - 1}, not {wanted}")
    order = np.random.default_rng(seed).permutation(count)
    if labels is not None:
        # Every class in shares as even as can be: samples sorted by how far into their class they come.
        shuffled = np.asarray(labels)[order]
        rank = np.zeros(count)
        for label in np.unique(shuffled):
            members = np.flatnonzero(shuffled == label)
            rank[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = order[np.argsort(rank, kind="stable")]
    return np.sort(order[wanted:]), np.sort(order[:wanted])
