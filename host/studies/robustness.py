"""The robustness study: what non-idealities of real cells cost, and what on-chip learning compensates. Runs on Dask."""

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.markdown import markdown_table
from ohmspike.host.data.images import load_dataset
from ohmspike.host.learning.classify import classify
from ohmspike.host.learning.run import learn, schedule_of
from ohmspike.host.support.atomic import write_text
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.nonideal import NonIdealTarget
from ohmspike.sim.analog.device import Device
from ohmspike.sim.analog.energy import Activity, OperatingPoint, energies, mean_annealing
from ohmspike.sim.model.nonideal import NonIdealities
from ohmspike.sim.state import ChipState

from .pool import carried_out, client_of

__all__ = ["COLUMNS", "MODES", "STRENGTHS", "Plan", "Point", "points", "run_point", "run_study", "summary"]

STRENGTHS = {
    "ideal": (0.0,),
    "c2c": (0.02, 0.05, 0.1, 0.2, 0.3),
    "write_error": (0.02, 0.05, 0.1, 0.2, 0.3),
    "d2d_step": (0.2, 0.4, 0.6, 0.8, 1.0),
    "d2d_range": (0.07, 0.15, 0.3, 0.45, 0.6),
    "stuck": (0.02, 0.05, 0.1, 0.2, 0.3),
    "threshold": (1.0, 2.0, 5.0, 10.0, 20.0),
    "read_noise": (0.01, 0.05, 0.1, 0.2, 0.3),
    "supply": (0.02, 0.05, 0.1, 0.2, 0.3),
    "line_ohm": (1.0, 3.0, 10.0, 30.0, 100.0),
    "unclamped": (0.2, 0.5, 1.0, 2.0, 4.0),
    "endurance": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    "temperature": (20.0, 40.0, 60.0, 80.0, 100.0),
    "warming": (20.0, 40.0, 60.0, 80.0, 100.0),
    "drift": (0.01, 0.02, 0.05, 0.1, 0.2),
}
"""What is tried: the fields of :class:`~ohmspike.sim.model.nonideal.NonIdealities`; ``drift`` is the share of the range
that cells lose after learning, with as large a deviation."""

MODES = {
    "learned": "learned on the non-ideal chip",
    "programmed": "learned on an ideal chip, written to the non-ideal one",
    "relearned": "written, then one pass of learning more on the non-ideal chip",
}
"""How the non-ideal chip got its levels."""

FORMER_COLUMNS = {"effect": "nonideality"}
"""What columns were called in earlier versions: still read."""

COLUMNS = ("key", "chip", "device", "nonideality", "strength", "seed", "mode", "accuracy", "images", "learn_j",
           "infer_j", "set_pulses", "reset_pulses", "worn")
"""Columns of the file: one line for every point, seed and mode."""


@dataclass(frozen=True)
class Plan:
    """What a study is of.

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.Chip`
    device : :class:`~ohmspike.sim.analog.device.Device`
        Prices the pulses.
    data : str or None
        As ``--data``; workers load it themselves.
    images : int
        Images to learn, from the first on; validation images evaluate and are never learned.
    """

    chip: Chip
    device: Device
    data: str | None
    images: int

    def key(self, point: "Point") -> str:
        """What makes two points the same."""
        facts = [self.chip.digest, dataclasses.asdict(self.device), self.data, self.images,
                 dataclasses.astuple(point)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Point:
    """One non-ideality at one strength, with a seed for the chip and for what is drawn per cell."""

    nonideality: str
    strength: float
    seed: int


def points(nonidealities: list[str], seeds: list[int], strengths: list[float] | None = None) -> list[Point]:
    """Points of a study, the ideal chip first; ``strengths`` in place of the usual ones."""
    return [Point(name, float(strength), seed) for name in ["ideal", *nonidealities]
            for strength in (strengths if strengths and name != "ideal" else STRENGTHS[name]) for seed in seeds]


@cache
def _data(source):
    """The training samples of a source, divided for validation."""
    return load_dataset(source).validation()


def learn_ideal(plan: Plan, seed: int, threads: int = 1) -> ChipState:
    """The state of an ideal chip after its schedule."""
    target = ModelTarget(dataclasses.replace(plan.chip, seed=seed), threads=threads)
    shown, labels = _shown(plan)
    learn(target, shown, labels)
    return target.state()


def _shown(plan):
    data = _data(plan.data)
    return data.train_images[:plan.images], data.labels()[0][:plan.images]


def run_point(plan: Plan, point: Point, ideal: ChipState, threads: int = 1) -> list[dict]:
    """A line for every mode of one point."""
    chip = dataclasses.replace(plan.chip, seed=point.seed)
    data, (shown, labels) = _data(plan.data), _shown(plan)
    judged, truth = data.test_images, data.labels()[1]
    drifting = point.strength if point.nonideality == "drift" else 0.0
    nonidealities = NonIdealities(seed=point.seed)
    if point.nonideality not in ("ideal", "drift"):
        nonidealities = dataclasses.replace(nonidealities, **{point.nonideality: cast(Any, point.strength)})
    once = [phase if phase.on_host else dataclasses.replace(
        phase, passes=1, scale=phase.scale * phase.decay**(phase.passes - 0.5), decay=1.0,
        read_out_scale=phase.read_out_scale * phase.read_out_decay**(phase.passes - 0.5), read_out_decay=1.0)
        for phase in schedule_of(chip)]
    again = dataclasses.replace(chip, schedule=tuple(once))
    lines = []
    for mode in MODES:
        with NonIdealTarget(chip, nonidealities, plan.device, threads=threads) as target:
            if mode != "learned":
                target.nonideal.program(ideal, error=nonidealities.c2c)
                target.write("counters", None)
            if mode == "learned":
                learn(target, shown, labels)
            target.nonideal.drift(1.0, share=drifting, deviation=drifting)
            if mode == "relearned":
                target.chip = again
                learn(target, shown, labels)
                target.chip = chip
            spent = target.counters()
            answers = classify(target, judged)
            after = target.counters()
            lines.append({
                "key": plan.key(point), "chip": chip.name, "device": plan.device.name,
                "nonideality": point.nonideality, "strength": point.strength, "seed": point.seed, "mode": mode,
                "accuracy": float((answers == truth).mean()), "images": spent["samples"],
                "learn_j": _joules(plan, chip, spent),
                "infer_j": _joules(plan, chip, {name: after[name] - spent[name] for name in after}),
                "set_pulses": sum(spent[name] for name in spent if name.startswith("set_pulses")),
                "reset_pulses": sum(spent[name] for name in spent if name.startswith("reset_pulses")),
                "worn": target.nonideal.worn})
    return lines


def _joules(plan, chip, counters):
    """Energy of an image, on average, of the analog chip; a model."""
    if not counters["samples"]:
        return 0.0
    activity = Activity.from_counters(chip, counters)
    point = OperatingPoint.of(chip, plan.device, activity, scale=mean_annealing(chip.schedule))
    return float(sum(np.sum(part) for part in energies(chip, plan.device, activity, point).values())
                 / counters["samples"])


def run_study(plan: Plan, wanted: list[Point], path: Path, *, scheduler: str | None = None, workers: int = 2,
              progress: Callable[[int, int], None] | None = None) -> list[dict]:
    """Run what the file lacks, and return its lines of the points wanted.

    The file is written after every point, so that neither an interrupted study nor a worker that dies loses a finished
    point; Dask runs the points of a dead worker again, up to ten times.

    Parameters
    ----------
    path : path
        CSV file.
    scheduler : str, optional
        Address of a Dask scheduler whose workers have Ohmspike; processes of this machine if absent.
    workers : int
        Processes of this machine.

    Raises
    ------
    UserError
        Dask is not installed, the scheduler does not answer, or the file is of something else.
    """
    lines = read_lines(path)
    done = {line["key"] for line in lines}
    missing = [point for point in wanted if plan.key(point) not in done]
    if progress is not None:
        progress(len(wanted) - len(missing), len(wanted))
    if missing:
        with client_of(scheduler, workers) as client:
            _data(plan.data)  # a data set that cannot be had is an error here, not on the workers
            ideals = {seed: client.submit(learn_ideal, plan, seed, retries=10, pure=False)
                      for seed in dict.fromkeys(point.seed for point in missing)}
            futures = [client.submit(run_point, plan, point, ideals[point.seed], retries=10, pure=False)
                       for point in missing]
            for point_lines in carried_out(client, futures, len(wanted) - len(missing), len(wanted), progress):
                lines += point_lines
                _write(path, lines)
    keys = {plan.key(point) for point in wanted}
    return [line for line in lines if line["key"] in keys]


def read_lines(path: Path) -> list[dict]:
    """Lines of a study's file, numbers as numbers; none if there is no file.

    Raises
    ------
    UserError
        The file is not one of a study.
    """
    if not Path(path).exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        reader.fieldnames = [FORMER_COLUMNS.get(name, name) for name in reader.fieldnames or ()]
        if tuple(reader.fieldnames) != COLUMNS:
            raise UserError(f"{path}: not a study: columns must be {', '.join(COLUMNS)}, not "
                            f"{', '.join(reader.fieldnames)}", hint="name another file with --out")
        lines = []
        for line in reader:
            try:
                for name in ("strength", "accuracy", "learn_j", "infer_j", "worn"):
                    line[name] = float(line[name])
                for name in ("seed", "images", "set_pulses", "reset_pulses"):
                    line[name] = int(line[name])
            except (TypeError, ValueError) as error:
                raise UserError(f"{path}: line {reader.line_num}, {name}: {error}",
                                hint="remove the line; its point is then run again") from None
            lines.append(line)
    return lines


def _write(path, lines):
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, text.getvalue(), make_folder=True)


def summary(lines: list[dict]) -> str:
    """Accuracies and energies as a Markdown table: a row for every non-ideality and strength, mean (lowest, highest).

    Energies are of an image, learned on the non-ideal chip and answered by it after that.
    """

    def values(nonideality: str, strength: float, mode: str, name: str) -> list[float]:
        return [line[name] for line in lines
                if (line["nonideality"], line["strength"], line["mode"]) == (nonideality, strength, mode)]

    def accuracy(effect, strength, mode):
        accuracies = [100 * value for value in values(effect, strength, mode, "accuracy")]
        return f"{np.mean(accuracies):.2f} % ({min(accuracies):.2f}, {max(accuracies):.2f})" if accuracies else "–"

    def energy(name, effect, strength):
        joules = values(effect, strength, "learned", name)
        return engineering(float(np.mean(joules)), "J") if joules else "–"

    names = [*MODES, "learning an image", "answering one"]
    rows = []
    for which in sorted({(line["nonideality"], line["strength"]) for line in lines},
                        key=lambda pair: (list(STRENGTHS).index(pair[0]), pair[1])):
        cells = [which[0], f"{which[1]:g}", *(accuracy(*which, mode) for mode in MODES), energy("learn_j", *which),
                 energy("infer_j", *which)]
        rows.append(cells)
    return markdown_table(["non-ideality", "strength", *names], rows).rstrip()
