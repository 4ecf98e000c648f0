"""Continual learning: classes come in stages, and what was learned before is tested after each."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ohmspike.chip import Chip, Phase
from ohmspike.chip.markdown import markdown_table
from ohmspike.host.data.dataset import Dataset
from ohmspike.host.data.formats import DataError
from ohmspike.host.learning.classify import classify, train_vote
from ohmspike.host.learning.run import learn
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.base import Target
from ohmspike.host.targets.model import ModelTarget

from .accuracy import spread
from .classifiers import SGD_CLASSIFIERS, SgdClassifier

__all__ = ["HELD_MARGIN", "HELD_SCALE", "LEARNERS", "checked_stages", "held_chip", "hold_columns", "run_stages",
           "stages_text", "summary"]

HELD_SCALE = 0.05
"""Rates of the read-out in a stage with held columns, as a share of the chip's."""

HELD_MARGIN = 1
"""Margin of such a stage: an image teaches if it is answered wrong, or by chance."""

LEARNERS = {
    "read-out": "tiles and read-out go through the chip's schedule again at every stage",
    "read-out, replay": "likewise, with some images of every earlier class among those of the stage",
    "read-out, held columns": "the tiles learn at the first stage alone; later the columns of earlier classes are held "
                              "by the mask of stuck cells (contract 5.6), rates are small, and an image teaches if it "
                              "is answered wrong; no image is kept",
    "vote, counted anew": "the tiles of the first line; what each neuron answers is counted on images of all classes "
                          "so far, which the host has to keep",
    "logistic regression": "stochastic gradient descent on the images of the stage",
    "logistic regression, replay": "likewise, with the images of earlier classes",
    "MLP256": "a hidden layer of 256 units, stochastic gradient descent on the images of the stage",
    "MLP256, replay": "likewise, with the images of earlier classes",
}
"""Who learns, and how."""

Progress = Callable[[int, int], None]


def checked_stages(stages: Sequence[Sequence[int]], data: Dataset) -> tuple[tuple[int, ...], ...]:
    """Stages as tuples of classes; the lower and the upper half of the classes if there are none.

    Raises
    ------
    UserError
        There are fewer than two stages or classes, a class stands twice, or a class has no images to learn or to test.
    """
    labels, test_labels = data.labels()
    if not stages:
        classes = [int(label) for label in np.unique(labels)]
        if len(classes) < 2:
            raise DataError(f"{data.name}: classes must be at least 2 to come in stages, not {len(classes)}")
        stages = [classes[:len(classes) // 2], classes[len(classes) // 2:]]
    if len(stages) < 2:
        raise UserError(f"stages must be at least 2, not {len(stages)}", hint="--stage 0-4 --stage 5-9")
    every = [label for stage in stages for label in stage]
    if twice := sorted({label for label in every if every.count(label) > 1}):
        raise UserError(f"a class must be of one stage, not {twice[0]} of two")
    for label in every:
        if not (labels == label).any() or not (test_labels == label).any():
            raise DataError(f"{data.name}: class {label} must have images to learn and to test, and has "
                            f"{(labels == label).sum()} and {(test_labels == label).sum()}")
    return tuple(tuple(stage) for stage in stages)


def held_chip(chip: Chip) -> Chip:
    """The chip of a later stage with held columns: it teaches alone, once over the images, at :data:`HELD_SCALE`.

    Its cells have mask bits (contract 5.6), which change nothing as long as none is set.
    """
    taught = next(phase for phase in chip.schedule if phase.teach)
    phase = Phase(learn=False, teach=True, passes=1, read_out_scale=HELD_SCALE, shift=taught.shift)
    return dataclasses.replace(chip, stuck_cells="masked", margin=HELD_MARGIN, schedule=(phase,))


def hold_columns(target: Target, classes: Sequence[int]) -> None:
    """Hold the columns of classes in the read-out: their cells get pulses and keep their levels (contract 5.6).

    The chip must have ``stuck_cells = "masked"``. Cells that are stuck already stay so.
    """
    mask = target.read("read_out_stuck").reshape(target.chip.read_out_rows, target.chip.classes)
    mask[:, list(classes)] = 1
    target.write("read_out_stuck", mask)


def run_stages(chip: Chip, data: Dataset, stages: Sequence[Sequence[int]], *, replay: int, seed: int,
               learners: Sequence[str] = tuple(LEARNERS), threads: int | None = None,
               progress: Progress | None = None) -> list[dict[str, Any]]:
    """Learn stage after stage, and classify the test images of all classes so far after each.

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.Chip`
        With a read-out that its schedule teaches; its seed is replaced.
    data : Dataset
        Images; those of classes in no stage are not used.
    stages : sequence of sequences of int
        Classes, as :func:`checked_stages` gives them.
    replay : int
        Images of every earlier class that are shown again.
    learners : sequence of str
        Keys of :data:`LEARNERS`.

    Returns
    -------
    list of dict
        For every learner and stage: ``learner``, ``seed``, ``stage`` (from 1), ``own`` (accuracy on the classes of
        this stage), ``earlier`` (on those before; None at the first), ``all`` (on both), and ``of_stages`` (on the
        classes of every stage so far). Classes of later stages are neither shown nor tested.
    """
    chip = dataclasses.replace(chip, seed=seed)
    rows = _Rows(data, stages, replay, seed)
    lines, done = [], 0

    def tested(learner, stage, answers):
        nonlocal done
        done += 1
        lines.append(rows.line(learner, stage, answers))
        if progress is not None:
            progress(done, len(learners) * len(stages))

    if wanted := {"read-out", "vote, counted anew"} & set(learners):
        with ModelTarget(chip, threads=threads) as target:
            for stage in range(len(stages)):
                learn(target, *rows.shown(stage, 0))
                if "read-out" in wanted:
                    tested("read-out", stage, classify(target, rows.test(stage)))
                if "vote, counted anew" in wanted:
                    vote = train_vote(target, *rows.so_far(stage), classes=chip.classes)
                    tested("vote, counted anew", stage, classify(target, rows.test(stage), vote))
    if "read-out, replay" in learners:
        with ModelTarget(chip, threads=threads) as target:
            for stage in range(len(stages)):
                learn(target, *rows.shown(stage, replay))
                tested("read-out, replay", stage, classify(target, rows.test(stage)))
    if "read-out, held columns" in learners:
        for stage, target in _held(chip, rows, len(stages), threads):
            tested("read-out, held columns", stage, classify(target, rows.test(stage)))
    for name in SGD_CLASSIFIERS:
        for learner, kept in ((name, 0), (f"{name}, replay", replay)):
            if learner in learners:
                model = SgdClassifier(name, chip.classes, seed)
                for stage in range(len(stages)):
                    model.teach(*rows.shown(stage, kept))
                    tested(learner, stage, model.answers(rows.test(stage)))
    return sorted(lines, key=lambda line: (list(LEARNERS).index(line["learner"]), line["stage"]))


def _held(chip, rows, stages, threads):
    """A target after each stage, its columns held from the second on."""
    masked, later = dataclasses.replace(chip, stuck_cells="masked"), held_chip(chip)
    with ModelTarget(masked, threads=threads) as first:
        learn(first, *rows.shown(0, 0))
        yield 0, first
        state = first.state()
    state.margin = later.margin
    with ModelTarget(later, threads=threads) as target:
        target.load(state)
        for stage in range(1, stages):
            hold_columns(target, [label for classes in rows.stages[:stage] for label in classes])
            learn(target, *rows.shown(stage, 0))
            yield stage, target


class _Rows:
    """Which images are shown and tested at a stage."""

    def __init__(self, data: Dataset, stages: Sequence[Sequence[int]], replay: int, seed: int):
        self._data, self.stages, self._seed = data, stages, seed
        self._labels, self._test_labels = data.labels()
        rng = np.random.default_rng(seed)
        self._kept = {label: rng.permutation(np.flatnonzero(self._labels == label))[:replay]
                      for stage in stages for label in stage}

    def shown(self, stage: int, replay: int) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of a stage, and those replayed of the classes before."""
        rows = np.flatnonzero(np.isin(self._labels, self.stages[stage]))
        earlier = [label for classes in self.stages[:stage] for label in classes]
        if replay and earlier:
            rows = np.concatenate([rows, *(self._kept[label] for label in earlier)])
        return self._data.train_images[rows], self._labels[rows]

    def so_far(self, stage: int) -> tuple[np.ndarray, np.ndarray]:
        """All images and labels up to a stage."""
        rows = np.flatnonzero(self._seen(self._labels, stage))
        return self._data.train_images[rows], self._labels[rows]

    def test(self, stage: int) -> np.ndarray:
        """Test images of all classes up to a stage."""
        return self._data.test_images[self._seen(self._test_labels, stage)]

    def line(self, learner: str, stage: int, answers: np.ndarray) -> dict[str, Any]:
        """What a learner reached after a stage."""
        labels = self._test_labels[self._seen(self._test_labels, stage)]
        right = np.asarray(answers) == labels
        of_stages = [float(right[np.isin(labels, self.stages[number])].mean()) for number in range(stage + 1)]
        own = np.isin(labels, self.stages[stage])
        return {"learner": learner, "seed": self._seed, "stage": stage + 1, "own": of_stages[-1],
                "earlier": float(right[~own].mean()) if stage else None, "all": float(right.mean()),
                "of_stages": of_stages}

    def _seen(self, labels, stage):
        return np.isin(labels, [label for classes in self.stages[:stage + 1] for label in classes])


def stages_text(stages: Sequence[Sequence[int]]) -> list[str]:
    """Stages as a person writes them: ``0-4``, or ``0,2,7``."""
    return [f"{stage[0]}-{stage[-1]}" if len(stage) > 2 and list(stage) == list(range(stage[0], stage[-1] + 1)) else
            ",".join(map(str, stage)) for stage in stages]


def summary(lines: list[dict[str, Any]], stages: Sequence[Sequence[int]]) -> str:
    """A Markdown table: a row for every learner, mean (lowest, highest) of the seeds."""
    names = stages_text(stages)

    def cell(learner, stage, what):
        return spread([line[what] for line in lines if (line["learner"], line["stage"]) == (learner, stage)])

    columns = [(1, "own", f"after {names[0]}")]
    for stage, name in enumerate(names[1:], 2):
        columns += [(stage, "earlier", f"after {name}: earlier classes"), (stage, "own", f"{name}"),
                    (stage, "all", "all so far")]
    learners = [learner for learner in LEARNERS if any(line["learner"] == learner for line in lines)]
    return markdown_table(["learner", *(head for _, _, head in columns)],
                          [[learner, *(cell(learner, stage, what) for stage, what, _ in columns)]
                           for learner in learners]).rstrip()
