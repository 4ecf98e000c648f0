"""Learning runs: the schedule, what interrupts it, and how it goes on; classification."""

import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch
from ohmspike.chip.initial import presentation_order

from .encode import latency_events, rate_events
from .errors import UserError
from .files import load, read_arrays, save
from .targets import ModelTarget, Target
from .vote import Vote

__all__ = ["Encoding", "Learned", "classify", "learn", "train_vote", "warm_up"]

RELOAD_IMAGES = 1000
"""Images between two reloads of the plasticity tables: the grain of the annealing, and of a checkpoint."""

CHECKPOINT_SECONDS = 10.0

Progress = Callable[[int, int], None]


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

    def __call__(self, chip, images, *, learn: bool, first_sample: int = 0) -> EventBatch:
        """Events of the images; ``first_sample`` numbers the first of them for the rate code."""
        if self.steps == 0:
            return latency_events(chip, images, learn=learn)
        return rate_events(chip, images, learn=learn, first_sample=first_sample, steps=self.steps, peak=self.peak)


@dataclass(frozen=True)
class Learned:
    """What a learning run did: images presented now, seconds of the learning loop, whether it had been resumed."""

    images: int
    seconds: float
    resumed: bool


def warm_up(chip: Chip, encoding: Encoding | None = None) -> None:
    """Have everything compiled that a run will need, so that its timing is that of the run alone."""
    encoding = Encoding() if encoding is None else encoding
    images = np.full((2, chip.plane_height, chip.plane_width), 255, np.uint8)
    target = ModelTarget(chip)
    for learning in (True, False):
        target.present(encoding(chip, images, learn=learning), learn=learning)


class _Interruption:
    """Keep Ctrl-C until a chunk is done, so that a run stops where it can go on; a second Ctrl-C acts at once."""

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *exception):
        if self._main:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def learn(target: Target, images: np.ndarray, *, passes: int | None = None, encoding: Encoding | None = None,
          progress: Progress | None = None, checkpoint: Path | None = None, resume: bool = False) -> Learned:
    """Learn images on a target, by the schedule of its chip.

    Pass *p* presents the images in the order ``presentation_order(chip, p)``. Every 1,000 images all rates are
    scaled to ``decay ** (p + i / n)``; after a pass of race mode the thresholds are rebased (contract 6.2).

    Parameters
    ----------
    passes : int, optional
        Passes over the images; those of the chip if absent.
    checkpoint : path, optional
        Where to save state and position about every 10 seconds and when interrupted. A run that
        is resumed ends in the same bits as one that was not interrupted.
    resume : bool
        Go on from the checkpoint if there is one.

    Raises
    ------
    KeyboardInterrupt
        The run was interrupted; the checkpoint, if any, is written.
    UserError
        The checkpoint belongs to another chip, other images or another schedule.
    """
    chip, count = target.chip, len(images)
    passes = chip.passes if passes is None else passes
    encoding = Encoding() if encoding is None else encoding
    total, done = passes * count, 0
    run = {"images": hashlib.sha256(np.ascontiguousarray(images)).hexdigest(), "passes": passes,
           "steps": encoding.steps, "peak": encoding.peak}
    if resumed := resume and checkpoint is not None and Path(checkpoint).exists():
        done = _resume(target, Path(checkpoint), run)
    started, saved, begun = time.perf_counter(), time.perf_counter(), done
    order, order_pass = None, -1
    with _Interruption() as interruption:
        while done < total:
            learning_pass, position = divmod(done, count)
            if order_pass != learning_pass:
                order, order_pass = presentation_order(chip, learning_pass, count), learning_pass
            target.set_rates(chip.decay ** (learning_pass + position / count))
            chosen = order[position:position + RELOAD_IMAGES]
            target.present(encoding(chip, images[chosen], learn=True, first_sample=done), learn=True)
            done += len(chosen)
            if done % count == 0 and chip.fire_mode == "race":
                target.rebase()
            if progress is not None:
                progress(done, total)
            due = time.perf_counter() - saved > CHECKPOINT_SECONDS
            if checkpoint is not None and (interruption.asked or (due and done < total)):
                _save_checkpoint(target, Path(checkpoint), {**run, "done": done})
                saved = time.perf_counter()
            if interruption.asked:
                raise KeyboardInterrupt
    return Learned(done - begun, time.perf_counter() - started, resumed)


def _save_checkpoint(target, path, run):
    save(path, target.chip, target.state(), run=np.array(json.dumps(run)))


def _resume(target, path, run):
    _, state, _ = load(path, target.chip)
    arrays = read_arrays(path)
    if "run" not in arrays:
        raise UserError(f"{path}: is a saved chip, not a checkpoint of a run")
    found = json.loads(str(arrays["run"]))
    for name, expected in run.items():
        if found.get(name) != expected:
            raise UserError(f"{path}: checkpoint of another run: {name} is {found.get(name)!r}, expected {expected!r}",
                            hint="remove the checkpoint, or give the options of the interrupted run")
    target.load(state, keep_counters=True)
    return found["done"]


def train_vote(target: Target, images: np.ndarray, labels: np.ndarray, *, classes: int = 10,
               encoding: Encoding | None = None, progress: Progress | None = None) -> Vote:
    """Count what every neuron answers on labelled images, learning off; the labels are used here alone."""
    counts = 0
    for first, fires in _fires(target, images, encoding, progress):
        counts = counts + Vote.count(target.chip, fires, labels[first:first + len(fires)], classes)
    return Vote.from_counts(counts)


def classify(target: Target, images: np.ndarray, vote: Vote, *, encoding: Encoding | None = None,
             progress: Progress | None = None) -> np.ndarray:
    """The class of every image by the vote read-out, learning off: int64 of shape (images,)."""
    answers = [vote.answers(target.chip, fires) for _, fires in _fires(target, images, encoding, progress)]
    return np.concatenate(answers) if answers else np.zeros(0, np.int64)


def _fires(target, images, encoding, progress, chunk=1000):
    encoding = Encoding() if encoding is None else encoding
    for first in range(0, len(images), chunk):
        part = images[first:first + chunk]
        yield first, target.present(encoding(target.chip, part, learn=False, first_sample=first), learn=False)
        if progress is not None:
            progress(first + len(part), len(images))
