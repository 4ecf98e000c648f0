"""How accurate the chips are: every figure of the accuracy tables, one run after the other, each kept as it is done."""

import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmspike.chip import Chip, Phase
from ohmspike.chip.markdown import markdown_table
from ohmspike.host.coding.images import Encode, Encoding
from ohmspike.host.coding.streams import encoding_for
from ohmspike.host.data.dataset import Dataset
from ohmspike.host.learning.classify import classify, train_vote
from ohmspike.host.learning.run import learn, schedule_of, warm_up
from ohmspike.host.support.atomic import write_text
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.host.targets.registry import open_target
from ohmspike.sim.analog.device import NOMINAL, Device
from ohmspike.sim.analog.energy import Activity, OperatingPoint, estimate
from ohmspike.sim.model.nonideal import NonIdealities, as_hardware

from .classifiers import CLASSIFIERS
from .corruptions import CORRUPTIONS, corrupted

__all__ = ["PUBLISHED", "Baseline", "Case", "Results", "cases", "first_pass", "run_baseline", "run_case", "spread",
           "table"]

WRITE_NOISE = (0.0, 0.01, 0.02, 0.05, 0.1)
"""Deviations of a pulse, shares of the range, of chips that learn with them from the first image on."""

CORRUPTED_CHIPS = ("tiles", "tiles200", "paper400")
"""Chips of the table of corruptions."""

SHARED_CORRUPTIONS = ("clean", "random pixels 10%", "random pixels 20%", "shift 2")
"""Corruptions of the table of shared crossbars: all of them would take minutes a seed."""

_SHARED_CHIPS, _LINEAR_AND_MLP = ("shared", "shared-noise"), ("LR", "MLP256")
"""What that table has."""

MEANINGS = ("synaptic read, cell alone", "input spike with all its synapses",
            "output spike with the charge that led to it")
"""What "energy of a spike" may mean, without learning (docs/energy.md)."""

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
    corrupted : tuple of str
        Corruptions of which test images are classified as well (:mod:`~ohmspike.host.studies.corruptions`).
    c2c : float
        Deviation of every pulse while the chip learns, share of the range; it adds up.
    """

    group: str
    label: str
    chip: Chip
    encoding: Encoding = Encoding()
    corrupted: tuple[str, ...] = ()
    c2c: float = 0.0


@dataclass(frozen=True)
class Baseline:
    """One column of a table of corruptions that is no chip: a key of ``CLASSIFIERS``."""

    label: str
    group: str = "corruptions"
    corrupted: tuple[str, ...] = tuple(CORRUPTIONS)


def cases(groups: list[str]) -> list[Case | Baseline]:
    """The lines of the tables asked for: ``GROUPS`` of the command that prints them.

    Those that are not printed by default take their time.
    """
    chosen: list[Case | Baseline] = []
    if "chips" in groups:
        chosen += [Case("chips", name, Chip.preset(name)) for name in (
            "paper100", "paper400", "paper", "up5k", "tiles", "tiles-online", "tiles-annealed", "tiles84", "tiles128",
            "tiles200", "patches")]
    if "free" in groups:
        free = [Chip.preset(name) for name in ("paper100-free", "paper400-free", "paper-free", "tiles-free")]
        chosen += [Case("free", chip.name, chip, Encoding.of(chip)) for chip in free]
    if "shared" in groups:
        chosen += [Case("chips", name, Chip.preset(name)) for name in ("shared-small", "shared", "shared-large")]
    if "events" in groups:  # of `--data saccades`, or another set of a camera
        chosen += [Case("chips", "shared-saccades", Chip.preset("shared-saccades"))]
    if "size" in groups:
        chosen += [Case("chips", "wide", Chip.preset("wide"))]
    tiles = Chip.preset("tiles")
    if "levels" in groups:
        chosen += [Case("levels", f"{levels} levels", dataclasses.replace(
            tiles, name=f"tiles-{levels}", levels=levels)) for levels in (64, 32, 16, 8, 4, 2)]
    if "codes" in groups:
        chosen += [Case("codes", "latency, 1 bin, dark last", tiles),
                  Case("codes", "latency, 4 bins, dark last", dataclasses.replace(tiles, latency_bins=4)),
                  Case("codes", "latency, 1 bin, dark last, images never shifted", _unshifted(tiles)),
                  Case("codes", "rate, 16 steps", _short(tiles), Encoding(steps=16, peak=0.25))]
    if "corruptions" in groups:
        chosen += [Case("corruptions", name, Chip.preset(name), corrupted=tuple(CORRUPTIONS))
                   for name in CORRUPTED_CHIPS]
        chosen += [Baseline(name) for name in CLASSIFIERS]
    if "shared-corruptions" in groups:
        chosen += [Case("shared-corruptions", name, Chip.preset(name), corrupted=SHARED_CORRUPTIONS)
                   for name in _SHARED_CHIPS]
        chosen += [Baseline(name, "shared-corruptions", SHARED_CORRUPTIONS) for name in _LINEAR_AND_MLP]
    if "write-noise" in groups:
        chosen += [Case("write-noise", name, Chip.preset(name), c2c=strength)
                   for name in ("tiles-accumulate", "paper400-accumulate") for strength in WRITE_NOISE]
    return chosen


def _unshifted(chip):
    """A schedule that shows every image at its place."""
    phases = tuple(dataclasses.replace(phase, shift=0) for phase in chip.schedule)
    return dataclasses.replace(chip, name=f"{chip.name}-unshifted", schedule=phases)


def _short(chip):
    """A schedule of one pass each, for codes that are slow to present."""
    phases = tuple(dataclasses.replace(phase, passes=1) for phase in chip.schedule)
    return dataclasses.replace(chip, schedule=phases)


def run_case(case: Case, seed: int, data: Dataset, *, threads: int | None = None,
             progress: Callable[[int, int], None] | None = None) -> dict:
    """Learn, and classify the test set by the vote and, if labels were taught, by the read-out.

    The vote is taken of a chip that learned without labels: what the tiles learn does not depend on them. A shared
    crossbar fires some thousand times in an image, and is asked for no vote.
    """
    chip, state = dataclasses.replace(case.chip, seed=seed), None
    if case.c2c:
        chip, state = as_hardware(chip, NonIdealities(c2c=case.c2c, seed=seed))
    labels, test_labels = data.labels()
    classes = int(max(labels.max(), test_labels.max())) + 1
    encoding: Encode = case.encoding
    if isinstance(data.train_images, np.ndarray):
        warm_up(chip, case.encoding)
    else:
        encoding = encoding_for(chip, data.train_images)
    taught = any(phase.teach for phase in chip.schedule)
    with open_target("model", chip, threads=threads) as target:
        if state is not None:
            target.load(state)
        learned = learn(target, data.train_images, labels if taught else None, encoding=encoding,
                        progress=progress)
        vote = None if chip.shared else train_vote(target, data.train_images, labels, classes=classes,
                                                   encoding=encoding)

        def right(images, by):
            return float((classify(target, images, by, encoding=encoding) == test_labels).mean())

        before = target.counters()
        accuracies = {"vote": None if vote is None else right(data.test_images, vote)}
        counted = {name: count - before[name] for name, count in target.counters().items()}
        spikes = None if vote is None else _spikes(chip, counted)
        accuracies["read_out"] = right(data.test_images, None) if taught else None
        under = _under_corruptions(case.corrupted, data, seed, lambda images: classify(
            target, images, None if taught else vote, encoding=encoding)) if case.corrupted else None
    phases = schedule_of(chip)
    return {"group": case.group, "label": case.label, "digest": chip.digest, "seed": seed, "c2c": case.c2c,
            "synapses": chip.synapses, "read_out_synapses": chip.read_out_synapses,
            "passes": sum(phase.passes for phase in phases if phase.learn),
            "read_out_passes": sum(phase.passes for phase in phases if phase.teach),
            "first_pass": first_pass(learned.prequential, phases, len(labels)), "corruptions": under,
            "prequential": [list(point) for point in learned.prequential],
            "seconds": learned.seconds, "images_per_s": learned.images / learned.seconds,
            "threads": threads or os.cpu_count(), "spikes": spikes, **accuracies}


def _spikes(chip, counters):
    """Spikes of an image that is classified, and the energy of one by meaning: means, J on the nominal device."""
    device, activity = Device.preset(NOMINAL), Activity.from_counters(chip, counters)
    claims = estimate(chip, device, activity, OperatingPoint.of(chip, device, activity)).claims
    return {"in": activity.input_spikes / activity.images, "out": activity.output_spikes / activity.images,
            "energy_j": {name: claims[name].value for name in MEANINGS if name in claims}}


def first_pass(prequential: list[tuple[int, float]], phases: list[Phase], count: int) -> float | None:
    """The last prequential accuracy of the first pass that teaches, the only one in which no label was seen before.

    Parameters
    ----------
    prequential : list of (int, float)
        Of a :class:`~ohmspike.host.learning.run.Learned`.
    phases : list of Phase
        The schedule that was run.
    count : int
        Images of a pass.

    Returns
    -------
    float or None
        Over the last 1,000 images of that pass, or fewer; None if nothing was taught.
    """
    before = 0
    for phase in phases:
        if phase.teach:
            return dict((done, right) for done, right in prequential).get((before + 1) * count)
        before += phase.passes
    return None


def _under_corruptions(names, data, seed, answers, most=None):
    """Accuracy on the test images under corruptions, by their names; of the first ``most`` images."""
    images, labels = data.test_images[:most], data.labels()[1][:most]
    return {name: float((answers(corrupted(images, name, seed)) == labels).mean()) for name in names}


def run_baseline(case: Baseline, seed: int, data: Dataset) -> dict:
    """Fit a classifier on the clean training images, and classify the test images under corruptions.

    Raises
    ------
    UserError
        scikit-learn is not installed.
    """
    which = CLASSIFIERS[case.label]
    started = time.perf_counter()
    answers = which.fitted(data.train_images, data.labels()[0], seed)
    seconds = time.perf_counter() - started
    return {"group": case.group, "label": case.label, "seed": seed, "seconds": seconds, "train_most": which.train_most,
            "test_most": which.test_most, "corruptions": _under_corruptions(case.corrupted, data, seed, answers,
                                                                         which.test_most)}


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
    def key(case: Case | Baseline, seed: int, data: str) -> str:
        """What makes two runs the same."""
        few = "" if len(case.corrupted) in (0, len(CORRUPTIONS)) else "-" + "-".join(case.corrupted)
        if isinstance(case, Baseline):
            return f"{data}-{case.label}-{seed}{few}"
        chip = dataclasses.replace(case.chip, seed=seed)
        return f"{data}-{chip.digest[:16]}-{case.encoding.steps}-{case.encoding.peak}-" + (
            "corrupted" if case.corrupted else "clean") + few + (f"-c2c{case.c2c:g}" if case.c2c else "")

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
    """Markdown tables of finished runs: chips, levels, codes and corruptions; then what was published."""
    parts = []
    for group, head in (("chips", "chip"), ("levels", "`tiles` with"), ("codes", "`tiles`, code"),
                        ("free", "free-running chip")):
        chosen = [run for run in runs if run["group"] == group]
        if not chosen:
            continue
        heads = [head, "synapses, read-out", "vote, no labels", "read-out, taught", "passes, read-out",
                 "first taught pass, last 1,000"]
        timed = group in ("chips", "free")  # a speed stands once: of levels and codes accuracy is the question
        heads += ["learning", "images/s"] * timed
        lines = []
        for same in _by_label(chosen):
            first = same[0]
            lines.append([
                f"`{first['label']}`" if timed else first["label"],
                f"{first['synapses']:,} + {first['read_out_synapses']:,}",
                *(spread([run[by] for run in same if run[by] is not None]) for by in ("vote", "read_out")),
                f"{first['passes']}, {first['read_out_passes']}",
                spread([run["first_pass"] for run in same if run["first_pass"] is not None]),
                *[f"{statistics.median(run['seconds'] for run in same):.0f} s",
                  f"{statistics.median(run['images_per_s'] for run in same):,.0f}"] * timed])
        parts.append(markdown_table(heads, lines))
        if group == "free":
            parts.append(markdown_table(
                [head, "spikes of an image, in", "out", *MEANINGS],
                [[f"`{same[0]['label']}`", *(f"{_mean(same, way):,.1f}" for way in ("in", "out")),
                  *(engineering(_mean(same, "energy_j", name), "J") for name in MEANINGS)]
                 for same in _by_label(chosen)]))
    for group, cell in (("corruptions", _per_cent), ("shared-corruptions", spread)):
        columns = list(_by_label([run for run in runs if run["group"] == group]))
        if columns:
            heads = [_column(same[0]) for same in columns]
            head = "test images" + ", learned clean" * (group == "corruptions")  # shared-noise learns with noise
            parts.append(markdown_table([head, *heads], [
                [name, *(cell([run["corruptions"][name] for run in same]) for same in columns)]
                for name in columns[0][0]["corruptions"]]))
    if written := [run for run in runs if run["group"] == "write-noise"]:
        strengths = sorted({run["c2c"] for run in written})
        parts.append(markdown_table(
            ["read-out, deviation of a pulse", *(f"{strength:.0%}" for strength in strengths)],
            [[f"`{same[0]['label']}`", *(spread([run["read_out"] for run in same if run["c2c"] == strength])
                                         for strength in strengths)] for same in _by_label(written)]))
    parts.append(markdown_table(["published (not run here)", "test set", "source"], PUBLISHED))
    return "\n".join(parts)


def _per_cent(values):
    """The mean of accuracies, per cent without its sign."""
    return f"{100 * statistics.fmean(values):.1f}"


def _mean(runs, *keys):
    """Mean of what runs say of their spikes."""
    values = []
    for run in runs:
        value = run["spikes"]
        for key in keys:
            value = value[key]
        values.append(value)
    return statistics.fmean(values)


def _column(run):
    """The head of a column of the table of corruptions."""
    if "digest" in run:
        return f"`{run['label']}`"
    most = run["train_most"]
    return run["label"] + (f" ({most:,} learned, {run['test_most']:,} tested)" if most else "")


def _by_label(runs) -> Iterator[list[dict]]:
    for label in dict.fromkeys(run["label"] for run in runs):
        yield [run for run in runs if run["label"] == label]
