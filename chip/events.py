"""Event batches going into a chip, output spikes and answers coming out: what encoders, models and targets exchange."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["CODE_MIN", "Answers", "EventBatch", "EventCode", "OutputSpikes", "LABELS_MAX", "checked_labels",
           "label_code"]

L = TypeVar("L", int, np.ndarray)

LABELS_MAX = 255
"""Labels an event can name."""


class EventCode(IntEnum):
    """Codes of events other than SPIKE in an :class:`EventBatch`; codes from 0 up are SPIKEs on that line.

    LABEL is the label 0; label *c* is ``LABEL - c`` (:func:`label_code`).
    """

    STEP = -1
    DECIDE = -2
    DARK = -3
    END = -4
    ANSWER = -5
    LABEL = -6


CODE_MIN = EventCode.LABEL - (LABELS_MAX - 1)
"""The lowest code there is."""


def label_code(label: L) -> L:
    """The code of the event LABEL of a class, or of an array of classes."""
    return EventCode.LABEL - label


def checked_labels(labels: npt.ArrayLike | None, samples: int, classes: int) -> np.ndarray:
    """Labels of samples as an integer array of shape (samples,).

    Raises
    ------
    ValueError
        They are of another shape or kind, or no columns of a read-out with so many classes.
    """
    array = np.asarray(labels)
    if array.shape != (samples,) or array.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers of shape ({samples},), not {array.dtype} of {array.shape}")
    if samples and (array.min() < 0 or array.max() >= classes):
        raise ValueError(f"labels must be 0 to classes - 1 = {classes - 1}, not {array.min()} to {array.max()}")
    return array


@dataclass(frozen=True)
class EventBatch:
    """The events of consecutive samples.

    Parameters
    ----------
    codes : int32 array
        Lines (SPIKE), :class:`EventCode` and :func:`label_code`, all samples one after the other.
    offsets : int64 array of shape (samples + 1,)
        Sample *s* is ``codes[offsets[s]:offsets[s + 1]]``; it need not end with END.
    """

    codes: np.ndarray
    offsets: np.ndarray

    def __len__(self):
        return len(self.offsets) - 1

    def __getitem__(self, index: slice) -> "EventBatch":
        """Consecutive samples as a batch of their own."""
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise ValueError(f"step must be 1, not {step}")
        offsets = self.offsets[start:max(start, stop) + 1]
        return EventBatch(self.codes[offsets[0]:offsets[-1]], offsets - offsets[0])


@dataclass(frozen=True)
class Answers:
    """What the read-out crossbar answered, one for every ANSWER (contract 10.4).

    Parameters
    ----------
    label, score, margin : int32 arrays of shape (answers,)
        The column with the largest score, that score, and its lead over the best of the others.
    offsets : int64 array of shape (samples + 1,)
        Answers of sample *s* are ``[offsets[s]:offsets[s + 1]]``.
    """

    label: np.ndarray
    score: np.ndarray
    margin: np.ndarray
    offsets: np.ndarray

    @classmethod
    def none(cls, samples: int) -> "Answers":
        """No answers to ``samples`` samples."""
        none = np.zeros(0, np.int32)
        return cls(none, none.copy(), none.copy(), np.zeros(samples + 1, np.int64))

    def __len__(self):
        return len(self.offsets) - 1


@dataclass(frozen=True)
class OutputSpikes:
    """Neurons that fired, in the order of contract 3.7.

    Parameters
    ----------
    tile, neuron : int32 arrays of shape (spikes,)
    offsets : int64 array of shape (samples + 1,)
        Output spikes of sample *s* are ``[offsets[s]:offsets[s + 1]]``.
    answers : :class:`Answers`
        What the read-out answered to the same samples; none if absent.
    """

    tile: np.ndarray
    neuron: np.ndarray
    offsets: np.ndarray
    answers: Answers | None = None

    def __post_init__(self):
        if self.answers is None:
            object.__setattr__(self, "answers", Answers.none(len(self)))

    def __len__(self):
        return len(self.offsets) - 1

    def ranks(self) -> np.ndarray:
        """Rank of every output spike: its position among those of its sample and tile, int32 of shape (spikes,)."""
        sample = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        key = sample.astype(np.int64) << 32 | self.tile
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        first = np.r_[True, ordered[1:] != ordered[:-1]] if len(key) else np.zeros(0, bool)
        starts = np.flatnonzero(first)
        position = np.arange(len(key)) - np.repeat(starts, np.diff(np.r_[starts, len(key)]))
        ranks = np.empty(len(key), np.int32)
        ranks[order] = position
        return ranks
