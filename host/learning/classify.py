"""Classification: by the vote of the neurons, or by the chip's own answer."""

import numpy as np

from ohmspike.host.coding.images import Encode
from ohmspike.host.coding.streams import encoding_for
from ohmspike.host.coding.vote import Vote
from ohmspike.host.data.dataset import Samples
from ohmspike.host.targets.base import Target

from .checks import Watch
from .run import Progress

__all__ = ["classify", "decisions", "train_vote"]


def train_vote(target: Target, images: Samples, labels: np.ndarray, *, classes: int = 10,
               encoding: Encode | None = None, progress: Progress | None = None) -> Vote:
    """Count what every neuron answers on labelled images, learning off; the labels are used here alone."""
    last = target.chip.last
    counts = np.zeros((last.regions, last.neurons, classes), np.int64)
    for first, spikes in _presented(target, images, encoding, progress):
        counts += Vote.count(target.chip, spikes, labels[first:first + len(spikes)], classes)
    return Vote.from_counts(counts)


def classify(target: Target, images: Samples, vote: Vote | None = None, *, encoding: Encode | None = None,
             progress: Progress | None = None) -> np.ndarray:
    """The class of every image, learning off: int64 of shape (images,).

    The read-out of the chip answers; with a ``vote`` the host counts the votes of the neurons that fired.
    """
    if vote is None and not target.chip.classes:
        raise ValueError(f"{target.chip.name} has no read-out: a vote is needed")
    if vote is None:
        answers = [spikes.answers.label for _, spikes in _presented(target, images, encoding, progress, answer=True)]
    else:
        answers = [vote.answers(target.chip, spikes) for _, spikes in _presented(target, images, encoding, progress)]
    return np.concatenate(answers).astype(np.int64) if answers else np.zeros(0, np.int64)


def decisions(target: Target, images: np.ndarray, vote: Vote | None = None, *, encoding: Encode | None = None,
              progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The class of every image and its lead over the second best class, learning off; arguments as of :func:`classify`.

    Returns
    -------
    answers : int64 array of shape (images,)
    leads : float64 array of shape (images,)
        In units of the score of the read-out (contract 10.4), or of log-probability of a vote; 0 where nothing fired.
    """
    if vote is None and not target.chip.classes:
        raise ValueError(f"{target.chip.name} has no read-out: a vote is needed")
    answers, leads = [np.zeros(0, np.int64)], [np.zeros(0)]
    for _, spikes in _presented(target, images, encoding, progress, answer=vote is None):
        if vote is None:
            answers.append(spikes.answers.label.astype(np.int64))
            leads.append(spikes.answers.margin.astype(np.float64))
        else:
            scores = np.sort(table := vote.scores(target.chip, spikes), axis=1)
            answers.append(table.argmax(axis=1))
            leads.append(scores[:, -1] - scores[:, -2] if scores.shape[1] > 1 else np.ones(len(scores)))
    return np.concatenate(answers), np.concatenate(leads)


def _presented(target, images, encoding, progress, *, answer=False, chunk=1000):
    encoding = encoding_for(target.chip, images) if encoding is None else encoding
    watch = Watch(target.chip, learn=False)
    for first in range(0, len(images), chunk):
        part = images[first:first + chunk]
        batch = encoding(target.chip, part, learn=False, first_sample=first, answer=answer)
        watch.before(target, batch, part)
        spikes = target.present(batch, learn=False, report=not answer)
        watch.after(target, len(batch))
        yield first, spikes
        if progress is not None:
            progress(first + len(part), len(images))
