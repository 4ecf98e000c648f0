"""How accurate the chips are: every figure of the accuracy tables, one run after the other, each kept as it is done."""

import dataclasses
import json
import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.markdown import markdown_table
from ohmspike.host.coding.images import Encoding
from ohmspike.host.data.dataset import Dataset
from ohmspike.host.learning.classify import classify, train_vote
from ohmspike.host.learning.run import learn, schedule_of, warm_up
from ohmspike.host.support.atomic import write_text
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.registry import open_target

__all__ = ["NOISE", "PUBLISHED", "Case", "Results", "cases", "noisy", "run_case", "spread", "table"]

NOISE = (0.05, 0.1, 0.2, 0.3)
"""Shares of the pixels of a test image that noise replaces."""

PUBLISHED = (
    ("one crossbar 784x100, 100 neurons, software", "82.9 %", "Diehl and Cook 2015, doi 10.3389/fncom.2015.00099"),
    ("784x400, 400 neurons, software", "87.0 %", "Diehl and Cook 2015"),
    ("784x1600, 1,600 neurons, software", "91.9 %", "Diehl and Cook 2015"),
    ("784x6400, 6,400 neurons, software", "95.0 %", "Diehl and Cook 2015"),
    ("RRAM crossbar, neuron count not known to us", "95 %", "El Arrassi et al., VLSI-SoC 2022, abstract"),
)
"""What was published: network, accuracy on the MNIST test set, source. None of it was run here."""


@dataclass(frozen=True)
class Case:
    """One line of a table: a chip, a code, and what is asked of it.

    Parameters
    ----------
    group : str
        The table it belongs to.
    label : str
        Its name there.
    chip : :class:`~ohmspike.chip.Chip`
        Without regard to its seed.
    encoding : :class:`Encoding`
    noise : bool
        Classify noisy test images as well.
    """

    group: str
    label: str
    chip: Chip
    encoding: Encoding = Encoding()
    noise: bool = False


def cases(groups: list[str]) -> list[Case]:
    """The lines of the tables asked for, of ``chips``, ``levels``, ``codes``, and ``size``, which takes its time."""
    chosen = []
    if "chips" in groups:
        chosen += [Case("chips", name, Chip.preset(name), noise=name == "tiles") for name in (
            "paper100", "paper400", "paper", "up5k", "tiles", "tiles-online", "tiles-annealed", "tiles84", "tiles128",
            "tiles200", "patches")]
    if "size" in groups:
        chosen += [Case("chips", "wide", Chip.preset("wide"))]
    tiles = Chip.preset("tiles")
    if "levels" in groups:
        chosen += [Case("levels", f"{levels} levels", dataclasses.replace(
            tiles, name=f"tiles-{levels}", levels=levels)) for levels in (64, 32, 16, 8, 4, 2)]
    if "codes" in groups:
        chosen += [Case("codes", "latency, 1 bin, dark last", tiles),
                  Case("codes", "latency, 4 bins, dark last", dataclasses.replace(tiles, latency_bins=4)),
                  Case("codes", "rate, 16 steps", _short(tiles), Encoding(steps=16, peak=0.25))]
    return chosen


def _short(chip):
    """A schedule of one pass each, for codes that are slow to present."""
    phases = tuple(dataclasses.replace(phase, passes=1) for phase in chip.schedule)
    return dataclasses.replace(chip, schedule=phases)


def noisy(images: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Images in which a share of the pixels, drawn anew for each, has random values."""
    rng = np.random.default_rng(seed)
    hit = rng.random(images.shape) < share
    return np.where(hit, rng.integers(0, 256, images.shape), images).astype(np.uint8)


def run_case(case: Case, seed: int, data: Dataset, *, threads: int | None = None,
             progress: Callable[[int, int], None] | None = None) -> dict:
    """Learn, and classify the test set by the vote and, if labels were taught, by the read-out.

    The vote is taken of a chip that learned without labels: what the tiles learn does not depend on them.
    """
    chip = dataclasses.replace(case.chip, seed=seed)
    labels, test_labels = data.labels()
    classes = int(max(labels.max(), test_labels.max())) + 1
    warm_up(chip, case.encoding)
    taught = any(phase.teach for phase in chip.schedule)
    with open_target("model", chip, threads=threads) as target:
        learned = learn(target, data.train_images, labels if taught else None, encoding=case.encoding,
                        progress=progress)
        vote = train_vote(target, data.train_images, labels, classes=classes, encoding=case.encoding)

        def right(images, by):
            return float((classify(target, images, by, encoding=case.encoding) == test_labels).mean())

        accuracies = {"vote": right(data.test_images, vote),
                 "read_out": right(data.test_images, None) if taught else None}
        if case.noise:
            accuracies["noise"] = {str(share): right(noisy(data.test_images, share, seed), None if taught else vote)
                              for share in NOISE}
    phases = schedule_of(chip)
    return {"group": case.group, "label": case.label, "digest": chip.digest, "seed": seed,
            "synapses": chip.synapses, "read_out_synapses": chip.read_out_synapses,
            "passes": sum(phase.passes for phase in phases if phase.learn),
            "read_out_passes": sum(phase.passes for phase in phases if phase.teach),
            "on_line": learned.prequential[-1][1] if learned.prequential else None,
            "prequential": [list(point) for point in learned.prequential],
            "seconds": learned.seconds, "images_per_s": learned.images / learned.seconds,
            "threads": threads or os.cpu_count(), **accuracies}


class Results:
    """Finished runs in a file of JSON lines; a run that is there is not done again.

    Raises
    ------
    UserError
        The file holds something else.
    """

    def __init__(self, path: Path | None):
        self._path = path
        self.runs = []
        if path is not None and Path(path).exists():
            for number, line in enumerate(Path(path).read_text("utf-8").splitlines(), 1):
                try:
                    run = json.loads(line)
                    if "curve" in run:  # its name in earlier versions
                        run["prequential"] = run.pop("curve")
                    if not isinstance(run, dict) or not {"key", "group", "label", "seed"} <= set(run):
                        raise ValueError("not a run")
                except ValueError as error:
                    raise UserError(f"{path}: line {number} is not a finished run: {error}",
                                    hint="remove the line, or name another file with --results") from None
                self.runs.append(run)

    @staticmethod
    def key(case: Case, seed: int, data: str) -> str:
        """What makes two runs the same."""
        chip = dataclasses.replace(case.chip, seed=seed)
        return f"{data}-{chip.digest[:16]}-{case.encoding.steps}-{case.encoding.peak}-{case.noise}"

    def find(self, key: str) -> dict | None:
        """The finished run of this key."""
        return next((run for run in self.runs if run["key"] == key), None)

    def add(self, key: str, run: dict) -> dict:
        """Keep a finished run."""
        run = {"key": key, **run}
        self.runs.append(run)
        if self._path is not None:
            lines = "".join(json.dumps(run) + "\n" for run in self.runs)
            write_text(self._path, lines, make_folder=True)
        return run


def spread(values: list[float]) -> str:
    """Mean of accuracies and, of several, the lowest and the highest, in per cent."""
    if not values:
        return "–"
    mean = f"{100 * statistics.fmean(values):.2f} %"
    return mean if len(values) == 1 else f"{mean} ({100 * min(values):.2f}, {100 * max(values):.2f})"


def table(runs: list[dict]) -> str:
    """Markdown tables of finished runs: chips, levels, codes and noise; then what was published."""
    parts = []
    for group, head in (("chips", "chip"), ("levels", "`tiles` with"), ("codes", "`tiles`, code")):
        chosen = [run for run in runs if run["group"] == group]
        if not chosen:
            continue
        heads = [head, "synapses, read-out", "vote, no labels", "read-out, taught", "passes, read-out",
                 "on-line, last 1,000"]
        timed = group == "chips"  # a speed stands once: of levels and codes accuracy is the question
        heads += ["learning", "images/s"] * timed
        lines = []
        for same in _by_label(chosen):
            first = same[0]
            lines.append([
                f"`{first['label']}`" if group == "chips" else first["label"],
                f"{first['synapses']:,} + {first['read_out_synapses']:,}", spread([run["vote"] for run in same]),
                spread([run["read_out"] for run in same if run["read_out"] is not None]),
                f"{first['passes']}, {first['read_out_passes']}",
                spread([run["on_line"] for run in same if run["on_line"] is not None]),
                *[f"{statistics.median(run['seconds'] for run in same):.0f} s",
                  f"{statistics.median(run['images_per_s'] for run in same):,.0f}"] * timed])
        parts.append(markdown_table(heads, lines))
    for same in _by_label([run for run in runs if run.get("noise")]):
        shares = list(same[0]["noise"])
        parts.append(markdown_table(
            [f"`{same[0]['label']}`, pixels replaced at random", "0 %", *(f"{float(s):.0%}" for s in shares)],
            [["read-out", spread([run["read_out"] for run in same]),
              *(spread([run["noise"][share] for run in same]) for share in shares)]]))
    parts.append(markdown_table(["published (not run here)", "test set", "source"], PUBLISHED))
    return "\n".join(parts)


def _by_label(runs) -> Iterator[list[dict]]:
    for label in dict.fromkeys(run["label"] for run in runs):
        yield [run for run in runs if run["label"] == label]
