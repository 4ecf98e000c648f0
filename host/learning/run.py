"""Learning runs: the schedule, what interrupts it, and how it goes on; classification."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ohmspike.chip import Chip, Phase
from ohmspike.chip.events import checked_labels
from ohmspike.chip.initial import presentation_order
from ohmspike.host.coding.images import Encode, Encoding, noisy, shifted
from ohmspike.host.coding.streams import encoding_for
from ohmspike.host.data.dataset import Samples
from ohmspike.host.targets.base import Target
from ohmspike.host.targets.model import ModelTarget

from .checkpoint import CHECKPOINT_SECONDS, Interruption, digest_of, resumed_run, save_checkpoint
from .checks import Watch, warn_of_damaged_images, warn_of_full_thresholds
from .host_read_out import HostReadOut

__all__ = ["Learned", "learn", "rebases_within_pass", "run_facts", "schedule_of", "warm_up"]

RELOAD_IMAGES = 1000
"""Images between two reloads of the plasticity tables: the grain of the annealing, and of a checkpoint."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Learned:
    """What a learning run did.

    Parameters
    ----------
    images : int
        Images presented now.
    seconds : float
        Time of the learning loop.
    resumed : bool
        The run had been interrupted.
    prequential : list of (int, float)
        Prequential accuracy, while labels were taught: images presented so far in the whole run, and the accuracy over
        the last 1,000 or fewer, each answered before its label was taught.
    phases : list of dict
        For every phase of the schedule that is over: which it was (``phase``, from 0), and the counters at its end.
    """

    images: int
    seconds: float
    resumed: bool
    prequential: list[tuple[int, float]]
    phases: list[dict]


def warm_up(chip: Chip, encoding: Encoding | None = None) -> None:
    """Have everything compiled that a run will need, so that its timing is that of the run alone."""
    encoding = Encoding.of(chip) if encoding is None else encoding
    images = np.full((2, chip.plane_height, chip.plane_width), 255, np.uint8)
    target = ModelTarget(chip)
    labels = np.array([0, 1]) if chip.classes else None
    for learning in (True, False):
        for taught in (None, labels):
            batch = encoding(chip, images, learn=learning, labels=taught, answer=bool(chip.classes))
            target.present(batch, learn=learning)


def schedule_of(chip: Chip, *, passes: int | None = None, labelled: bool = True) -> list[Phase]:
    """The schedule of a chip.

    Parameters
    ----------
    passes : int, optional
        Passes of every phase in which the tiles learn, in place of the chip's.
    labelled : bool
        There are labels to teach; without them the read-out learns nothing, and phases that only teach are left out.
    """
    phases = [dataclasses.replace(phase, passes=passes) if passes is not None and phase.learn else phase
              for phase in chip.schedule]
    return phases if labelled else [dataclasses.replace(phase, teach=False) for phase in phases if phase.learn]


def rebases_within_pass(chip: Chip) -> bool:
    """Whether thresholds are rebased every ``RELOAD_IMAGES`` samples that are learned, not at the ends of passes.

    Those of a shared crossbar rise in every image (contract 6.2), those of a chip that runs free only rise (6.4).
    """
    return chip.shared or chip.depression == "post"


def learn(target: Target, images: Samples, labels: np.ndarray | None = None, *, passes: int | None = None,
          encoding: Encode | None = None, progress: Progress | None = None, checkpoint: Path | None = None,
          resume: bool = False, nonidealities: dict | None = None,
          answered: Callable[[float], None] | None = None) -> Learned:
    """Learn images on a target, by the schedule of its chip.

    Pass *p* of the run presents the images in the order ``presentation_order(chip, p)``. Every 1,000 images the rates
    are reloaded as the phase tells (:class:`~ohmspike.chip.Phase`); after a pass of race mode in which the tiles
    learned the thresholds are rebased (contract 6.2), every 1,000 images those of a shared crossbar, which rise in
    thousands of windows, and those of a chip with depression at the post spike (6.4). What a phase on the host taught
    is written when it is over. A target with a store keeps the images of several passes on its board.

    Parameters
    ----------
    images : uint8 array of shape (samples, plane_height, plane_width)
        Or a :class:`~ohmspike.host.streams.Stream`, with an encoding for it; it has neither shifts nor noise.
    labels : integer array of shape (samples,), optional
        Taught to the read-out, in the phases that teach; nothing else sees them.
    passes : int, optional
        Passes of every phase in which the tiles learn; those of the chip if absent.
    checkpoint : path, optional
        Where to save state and position about every 10 seconds and when interrupted. A run that
        is resumed ends in the same bits as one that was not interrupted.
    resume : bool
        Go on from the checkpoint if there is one.
    nonidealities : dict, optional
        Non-idealities of the target, for the checkpoint: a run is resumed with the same ones only.

    answered : callable, optional
        Told the share of the last images that was answered right, each before its label was taught.

    Raises
    ------
    KeyboardInterrupt
        The run was interrupted; the checkpoint, if any, is written.
    UserError
        The checkpoint belongs to another chip, other images or another schedule; or, as a
        :class:`~ohmspike.host.learning.checks.FutileRun`, the first samples show that the run cannot work.
    ValueError
        Labels that a phase teaches are not one for every image, or not of the read-out's columns.
    """
    chip, count = target.chip, len(images)
    phases = schedule_of(chip, passes=passes, labelled=labels is not None)
    plan = [(phase, number) for phase in phases for number in range(phase.passes)]
    if any(phase.teach for phase in phases):
        checked_labels(labels, count, chip.classes)  # now, and not when the tiles have learned
    encoding = encoding_for(chip, images) if encoding is None else encoding
    ends = np.cumsum([phase.passes for phase in phases])
    total, done = len(plan) * count, 0
    prequential: list[tuple[int, float]] = []
    marks: list[dict[str, Any]] = []
    run = run_facts(chip, images, labels, passes=passes, encoding=encoding, nonidealities=nonidealities)
    host = None
    if resumed := resume and checkpoint is not None and Path(checkpoint).exists():
        done, prequential, marks, host = resumed_run(target, Path(checkpoint), run)
    started, saved, begun = time.perf_counter(), time.perf_counter(), done
    order, order_pass = np.zeros(0, np.int64), -1
    watch, counted = Watch(chip, learn=True), target.counters()
    with Interruption() as interruption:
        while done < total:
            learning_pass, position = divmod(done, count)
            phase, number = plan[learning_pass]
            if order_pass != learning_pass:
                order, order_pass = presentation_order(chip, learning_pass, count), learning_pass
            chosen = order[position:position + RELOAD_IMAGES]
            if phase.on_host and host is None:
                host = HostReadOut(chip, target.read("read_out"))
            try:
                target.keeps_images = len(plan) > 1 and encoding.repeats and not (phase.shift or phase.noise)
                right = _present(target, phase, number + position / count, encoding, images[chosen],
                                 None if labels is None else labels[chosen], done, host, watch)
            finally:
                target.keeps_images = False
            done += len(chosen)
            if host is not None and number == phase.passes - 1 and done % count == 0:
                target.program_read_out(host.levels)
                host = None
            if right is not None:
                prequential.append((done, right))
                if answered is not None:
                    answered(right)
            if phase.learn and (rebases_within_pass(chip) or (done % count == 0 and chip.fire_mode == "race")):
                target.rebase()
            if done % count == 0 and done // count in ends:
                marks.append({"phase": int(np.searchsorted(ends, done // count)), "counters": target.counters()})
            if progress is not None:
                progress(done, total)
            due = time.perf_counter() - saved > CHECKPOINT_SECONDS
            if checkpoint is not None and (interruption.asked or (due and done < total)):
                save_checkpoint(target, Path(checkpoint), {
                    **run, "done": done, "prequential": prequential, "phases": marks}, host)
                saved = time.perf_counter()
            if interruption.asked:
                raise KeyboardInterrupt
    warn_of_damaged_images(target)
    warn_of_full_thresholds(target, counted)
    return Learned(done - begun, time.perf_counter() - started, resumed, prequential, marks)


def run_facts(chip: Chip, images: Samples, labels: np.ndarray | None = None, *, passes: int | None = None,
              encoding: Encode | None = None, nonidealities: dict | None = None) -> dict:
    """What makes a learning run this one and no other, as its checkpoint keeps it; arguments as of :func:`learn`."""
    phases = schedule_of(chip, passes=passes, labelled=labels is not None)
    return {"images": digest_of(images), "labels": None if labels is None else digest_of(labels),
            "schedule": [phase.to_dict() for phase in phases],
            "encoding": dataclasses.asdict(encoding_for(chip, images) if encoding is None else encoding),
            "nonidealities": nonidealities}


def _present(target, phase, passed, encoding, images, labels, first_sample, host, watch):
    """Present images in a phase, ``passed`` passes of it done; returns the share answered right, if it teaches."""
    scale = phase.read_out_scale * phase.read_out_decay**passed
    if phase.learn:
        target.set_rates(*phase.rates(passed))
    if phase.teach and not phase.on_host:
        target.set_read_out_rates(scale)
    if phase.shift and isinstance(images, np.ndarray):
        images = shifted(target.chip, images, phase.shift, first_sample=first_sample)
    if phase.noise and isinstance(images, np.ndarray):
        images = noisy(target.chip, images, phase.noise, first_sample=first_sample)
    if phase.on_host:
        batch = encoding(target.chip, images, learn=False, first_sample=first_sample)
        watch.before(target, batch, images)
        spikes = target.present(batch, learn=False)
        watch.after(target, len(batch))
        return host.teach(spikes, labels, scale)
    batch = encoding(target.chip, images, learn=phase.learn, first_sample=first_sample,
                     labels=labels if phase.teach else None, answer=phase.teach)
    watch.before(target, batch, images)
    answers = target.present(batch, learn=phase.learn, report=False).answers
    watch.after(target, len(batch))
    return float((answers.label == labels).mean()) if phase.teach else None
