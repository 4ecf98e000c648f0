"""An endless stream through a target: samples as they are complete, output as it happens, state kept."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ohmspike.chip.events import Answers, EventBatch
from ohmspike.host.coding.streams import Sampler
from ohmspike.host.coding.vote import Vote
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.sources import EventBlocks, EventText
from ohmspike.host.runs.learned import save
from ohmspike.host.targets.base import Target

from .checkpoint import CHECKPOINT_SECONDS
from .run import RELOAD_IMAGES, rebases_within_pass

__all__ = ["Endless"]


@dataclass
class Endless:
    """Carry samples through a target, one after the other.

    Parameters
    ----------
    target : Target
    step_us : int
        Length of a step, µs.
    learn : bool
        The tiles learn; every 1,000 samples thresholds are rebased where
        :func:`~ohmspike.host.learning.run.learn` does it.
    out : callable
        Given a dict for every sample that has output spikes or an answer.
    keep : path, optional
        Where the chip is saved every 10 seconds and by :meth:`save`.
    vote : Vote, optional
        Answers where the chip has no read-out.
    drop : bool
        Leave out events that cannot be taken, and count them; else they are an error.
    """

    target: Target
    step_us: int
    learn: bool
    out: Callable[[dict[str, Any]], object]
    keep: Path | None = None
    vote: Vote | None = None
    drop: bool = False
    events: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)
    samples: int = field(default=0, init=False)
    spikes: int = field(default=0, init=False)

    def run(self, text: EventText | EventBlocks, source: Iterator[Any]) -> None:
        """Everything that a source has: its bytes by :class:`~ohmspike.host.data.sources.EventText`, or its events.

        Raises
        ------
        DataError
            An event cannot be taken or a line is no event; everything before it is.
        """
        sampler, saved = None, time.perf_counter()
        last = False
        while not last:
            block = next(source, None)
            last = block is None
            times, lines, numbers, error = text.feed(block, last=last)
            if sampler is None and text.is_camera is not None:
                sampler = Sampler(self.target.chip, text.sensor if text.is_camera else None, self.step_us,
                                  learn=self.learn)
            if sampler is not None:
                wrong = sampler.refused(times, lines)
                if wrong.any() and not self.drop:
                    first = int(wrong.argmax())
                    error = _refusal(text, sampler, int(numbers[first]), int(times[first]), int(lines[first]))
                    wrong[first:] = True
                else:
                    self.dropped += int(wrong.sum())
                self.events += int((~wrong).sum())
                self.present(*sampler.feed(times[~wrong], lines[~wrong]))
                if last and error is None:
                    self.present(*sampler.finish())
            if error is not None:
                raise error
            if time.perf_counter() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.perf_counter()

    def present(self, numbers: np.ndarray, batch: EventBatch) -> None:
        """Carry out samples that are complete, and give out what they put out."""
        chip, first = self.target.chip, 0
        while first < len(batch):
            stop = min(len(batch), first + RELOAD_IMAGES - self.samples % RELOAD_IMAGES)
            spikes = self.target.present(batch[first:stop], learn=self.learn)
            answers = Answers.none(len(spikes)) if spikes.answers is None else spikes.answers
            voted = None if self.vote is None or chip.classes else self.vote.answers(chip, spikes)
            for index in range(stop - first):
                here = slice(spikes.offsets[index], spikes.offsets[index + 1])
                said: dict[str, Any] = {"sample": int(numbers[first + index]), "spikes": np.stack(
                    [spikes.tile[here], spikes.neuron[here]], axis=1).tolist()}
                for at in range(answers.offsets[index], answers.offsets[index + 1]):
                    answer = int(answers.label[at]) if said["spikes"] else None  # of scores that are all 0: none
                    said |= {"answer": answer, "lead": int(answers.margin[at])}
                if voted is not None and said["spikes"]:
                    said["answer"] = int(voted[index])
                self.spikes += len(said["spikes"])
                if len(said) > 2 or said["spikes"]:
                    self.out(said)
            self.samples += stop - first
            first = stop
            if self.learn and rebases_within_pass(chip) and self.samples % RELOAD_IMAGES == 0:
                self.target.rebase()

    def save(self) -> None:
        """Save the chip, if there is a place for it."""
        if self.keep is not None:
            save(self.keep, self.target.chip, self.target.state(), self.vote)


def _refusal(text, sampler, number, time_us, line):
    where = f"{text.name}, {text.unit} {number:,}"
    if not 0 <= line < sampler.lines:
        height, width = text.sensor
        wanted = f"of a sensor of {height}x{width}" if text.is_camera else f"of line 0 to {sampler.lines - 1:,}"
        given = "one outside of it" if text.is_camera else f"of line {line:,}"
        return DataError(f"{where}: an event must be {wanted}, not {given}",
                         hint="--sensor HEIGHTxWIDTH names the sensor, --drop leaves such events out")
    return DataError(f"{where}: times must not fall by a step, and {time_us:,} µs comes after later events",
                     hint="sort the events by time; --drop leaves late ones out")
