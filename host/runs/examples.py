"""A few samples of a run, kept as events, so that a report can show how they run through the learned chip."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.host.support.errors import UserError
from ohmspike.sim.model.exact import ExactModel
from ohmspike.sim.state import ChipState

from .learned import read_arrays

__all__ = ["NAME", "Examples", "chosen", "rasters", "read_examples"]

NAME = "examples.npz"
"""The file in a run folder."""

EXAMPLES_MAX = 12
WRONG_MAX = 2


@dataclass(frozen=True)
class Examples:
    """Samples of a run.

    Parameters
    ----------
    samples : integer array of shape (count,)
        Their numbers among those that were classified.
    batch : EventBatch
        Their events.
    labels, answers : integer arrays of shape (count,), or None
    images : uint8 array of shape (count, height, width), or None
    """

    samples: np.ndarray
    batch: EventBatch
    labels: np.ndarray | None = None
    answers: np.ndarray | None = None
    images: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """As a file keeps them."""
        arrays = {"samples": self.samples, "codes": self.batch.codes, "offsets": self.batch.offsets}
        optional = {"labels": self.labels, "answers": self.answers, "images": self.images}
        return arrays | {name: value for name, value in optional.items() if value is not None}

    def title(self, index: int) -> str:
        """What a picture of a sample is called: its number, label and answer."""
        title = f"sample {self.samples[index]}"
        if self.labels is not None:
            title += f", a {self.labels[index]}"
        if self.answers is not None:
            title += f", answered {self.answers[index]}"
        return title


def chosen(labels: np.ndarray | None, answers: np.ndarray | None, samples: int) -> np.ndarray:
    """Numbers of samples worth showing: the first of every class, then the first two answered wrong; ascending."""
    if labels is None:
        return np.arange(min(samples, 4))
    first = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:EXAMPLES_MAX - WRONG_MAX]]
    wrong = [] if answers is None else np.flatnonzero(np.asarray(labels) != np.asarray(answers))[:WRONG_MAX].tolist()
    return np.array(sorted({*first, *wrong}), np.int64)


def read_examples(path: Path, chip: Chip) -> Examples | None:
    """The examples of a run folder; None if it has none.

    Raises
    ------
    UserError
        The file is damaged, or its events are not of the chip.
    """
    if not path.exists():
        return None
    arrays = read_arrays(path)
    try:
        batch = EventBatch(arrays["codes"].astype(np.int32), arrays["offsets"].astype(np.int64))
        samples = arrays["samples"]
    except KeyError as error:
        raise UserError(f"{path}: {error} is missing") from None
    if len(batch) != len(samples) or (len(batch.codes) and batch.codes.max() >= chip.lines):
        raise UserError(f"{path}: samples must be of the chip {chip.name}, with lines up to {chip.lines - 1}",
                        hint="remove the file; learn writes it again")
    return Examples(samples, batch, *(arrays.get(name) for name in ("labels", "answers", "images")))


def rasters(chip: Chip, state: ChipState, examples: Examples, indices: list[int]) -> list[dict]:
    """Spikes of samples through the exact model of the chip, learning off, as ``raster_figure`` draws them.

    The samples are cut behind every STEP and DECIDE, so that it is known at which of them a neuron fired; a DECIDE
    stands in a step of its own.
    """
    model = ExactModel(chip, state)
    model.state.learn = False
    found = []
    for index in indices:
        codes = examples.batch.codes[examples.batch.offsets[index]:examples.batch.offsets[index + 1]]
        ends = np.isin(codes, (EventCode.STEP, EventCode.DECIDE))
        step = np.cumsum(ends) - ends + np.where(codes == EventCode.DECIDE, 1, 0)
        cuts = np.r_[0, np.flatnonzero(ends) + 1, len(codes)]
        fires = model.run(EventBatch(codes.astype(np.int32), cuts.astype(np.int64)), threads=1)
        piece = np.repeat(np.arange(len(cuts) - 1), np.diff(fires.offsets))
        at = np.array([step[stop - 1] if stop else 0 for stop in cuts[1:]], np.int64)
        spiked = codes >= 0
        found.append({
            "title": examples.title(index), "image": None if examples.images is None else examples.images[index],
            "in_step": step[spiked], "in_line": codes[spiked], "steps": int(step.max(initial=0)) + 1,
            "out_step": at[piece], "out_cell": fires.tile * chip.last.neurons + fires.neuron})
    return found
