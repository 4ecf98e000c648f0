"""Devices side by side: what a chip of each learns, spends, takes, wears and forgets. Runs on Dask."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.markdown import markdown_table
from ohmspike.chip.state import ChipState
from ohmspike.host.data.images import Dataset, load_dataset
from ohmspike.host.learning.classify import classify
from ohmspike.host.learning.run import learn, schedule_of
from ohmspike.host.runs.energy import Run
from ohmspike.host.runs.learned import load, read_arrays
from ohmspike.host.support.atomic import write_text
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.nonideal import NonIdealTarget
from ohmspike.sim.analog.device import Device
from ohmspike.sim.analog.energy import Activity, OperatingPoint, durations, energies, mean_annealing, noise_floor
from ohmspike.sim.analog.lifetime import AGES, WORN, decades, pulse_facts
from ohmspike.sim.model.nonideal import NonIdealities

from .pool import carried_out, client_of

__all__ = ["COLUMNS", "REFRESH", "Plan", "age_run", "aged", "compare_devices", "once_more", "read_lines", "run_point",
           "summary"]

REFRESH = 1000
"""Images that a chip goes on learning after each age, where learning is on."""

_TEXTS = ("key", "chip", "device", "mode")
_WHOLE = ("seed", "images", "pulses_max")
COLUMNS = (*_TEXTS, *_WHOLE, "accuracy", "learn_j", "infer_j", "learn_s", "infer_s", "electrons", "pulses_mean",
           *(f"images until {name}" for name in WORN), *(f"after {age}" for age in AGES),
           *(f"after {age}, learning on" for age in AGES))
"""Columns of the file: one line for every device, seed and mode. Joules and seconds are those of an image."""

_MODES = ("learned", "programmed")


@dataclass(frozen=True)
class Plan:
    """What is compared on what.

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.Chip`
        Made of the device (:func:`~ohmspike.sim.analog.device.chip_with_device`).
    device : :class:`~ohmspike.sim.analog.device.Device`
    data : str or None
        As ``--data``; workers load it themselves.
    images : int
        Images to learn, from the first on; validation images evaluate.
    seed : int
        Of the chip and of what is drawn for each cell.
    """

    chip: Chip
    device: Device
    data: str | None
    images: int
    seed: int

    @property
    def key(self) -> str:
        """What makes two points the same."""
        told = [self.chip.digest, dataclasses.asdict(self.device), self.data, self.images, self.seed]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _data(source):
    """The training samples of a source, divided for validation."""
    return load_dataset(source).validation()


def once_more(chip: Chip) -> Chip:
    """The chip with a schedule of one pass, at the rates with which its own schedule ends."""
    phases = [phase if phase.on_host else dataclasses.replace(
        phase, passes=1, scale=phase.scale * phase.decay**phase.passes, decay=1.0,
        read_out_scale=phase.read_out_scale * phase.read_out_decay**phase.passes, read_out_decay=1.0)
        for phase in schedule_of(chip)]
    return dataclasses.replace(chip, schedule=tuple(phases))


def aged(target: NonIdealTarget, state: ChipState, device: Device, shown: np.ndarray, labels: np.ndarray,
         judged: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Accuracy after every age, first as it is and then when the chip has gone on to learn :data:`REFRESH` images.

    Every cell loses ``retention_drift`` of the range per decade of time, from a second on. The target is left aged.
    """
    results, chip = {}, target.chip
    for age, seconds in AGES.items():
        target.nonideal.program(state)
        target.nonideal.drift(decades(seconds), share=device.retention_drift)
        results[f"after {age}"] = float((classify(target, judged) == truth).mean())
        target.chip = once_more(chip)
        try:
            learn(target, shown[:REFRESH], labels[:REFRESH])
        finally:
            target.chip = chip
        results[f"after {age}, learning on"] = float((classify(target, judged) == truth).mean())
    return results


def age_run(run: Run, device: Device, data: Dataset, images: int | None = None,
            threads: int | None = None) -> dict[str, Any]:
    """Accuracy of a run's chip by age, on the images that the run was evaluated on, and what is left of its cells.

    The chip keeps its own cells: those that the seed draws, with the pulses that the run counted.

    Parameters
    ----------
    data : :class:`~ohmspike.host.data.samples.Dataset`
        What the run learned.
    images : int, optional
        Images to evaluate at most.

    Returns
    -------
    dict
        ``accuracy`` of the new chip, ``after …`` as :func:`aged`, and ``pulses`` as
        :func:`~ohmspike.sim.analog.lifetime.pulse_facts`, None if the run did not count them.

    Raises
    ------
    UserError
        The run is of other data, of a chip without a taught race, or has no learned chip.
    """
    if run.metrics.get("data", data.name) != data.name:
        raise UserError(f"{run.path}: learned {run.metrics['data']}, not {data.name}", hint="name its data with --data")
    chip, state, _ = load(run.path / "learned.npz", run.chip)
    if chip.fire_mode != "race" or not any(phase.teach for phase in schedule_of(chip)):
        raise UserError(f"{run.path}: a chip that ages must race and teach a read-out, as tiles does, not {chip.name}")
    split = data.validation() if run.metrics.get("evaluated_on") == "validation" else data
    train_labels, test_labels = split.labels()
    judged, truth = split.test_images[:images], test_labels[:images]
    spread = NonIdealities.of_device(device, seed=chip.seed, chip=chip)
    with NonIdealTarget(chip, spread, device, threads=threads) as target:
        path, worn = run.path / "pulses.npz", None
        if path.exists():
            pulses = read_arrays(path)
            target.restore(target.history() | {"wear": pulses["tiles"], "read_out_wear": pulses["read_out"]})
            learned = (run.metrics.get("counters_learn") or run.metrics["counters"])["samples"]
            worn = pulse_facts(np.concatenate([cells.ravel() for cells in pulses.values()]), learned, device)
        target.nonideal.program(state)
        return {"accuracy": float((classify(target, judged) == truth).mean()), "evaluated": len(judged),
                **aged(target, state, device, split.train_images, train_labels, judged, truth), "pulses": worn}


def run_point(plan: Plan, threads: int | None = 1) -> list[dict[str, Any]]:
    """A line for each way in which the chip gets its levels: learned on it, or on an ideal chip and programmed once."""
    chip, device = dataclasses.replace(plan.chip, seed=plan.seed), plan.device
    data = _data(plan.data)
    shown, labels = data.train_images[:plan.images], data.train_labels[:plan.images]
    judged, truth = data.test_images, data.test_labels
    spread = NonIdealities.of_device(device, seed=plan.seed, chip=chip)
    ideal = ModelTarget(chip, threads=threads)
    learn(ideal, shown, labels)
    lines = []
    for mode in _MODES:
        with NonIdealTarget(chip, spread, device, threads=threads) as target:
            if mode == "learned":
                learn(target, shown, labels)
            else:
                target.nonideal.program(ideal.state(), error=device.c2c)
                target.write("counters", None)
            spent, state = target.counters(), target.state()
            pulses = np.concatenate([cells.ravel() for cells in target.nonideal.pulses()])
            answers = classify(target, judged)
            after = target.counters()
            infer = {name: after[name] - spent[name] for name in after}
            worn = pulse_facts(pulses, spent["samples"], device)
            lines.append({
                "key": plan.key, "chip": chip.name, "device": device.name, "seed": plan.seed, "mode": mode,
                "images": spent["samples"], "accuracy": float((answers == truth).mean()),
                **_priced(chip, device, spent, "learn"), **_priced(chip, device, infer, "infer"),
                "electrons": _electrons(chip, device, after), "pulses_mean": worn["mean"], "pulses_max": worn["max"],
                **{f"images until {name}": math.inf if value is None else value
                   for name, value in worn["images_until"].items()},
                **aged(target, state, device, shown, labels, judged, truth)})
    return lines


def _point(chip, device, counters):
    activity = Activity.from_counters(chip, counters)
    return activity, OperatingPoint.of(chip, device, activity, scale=mean_annealing(chip.schedule))


def _priced(chip, device, counters, what):
    """Joules and seconds of an image on average."""
    if not counters["samples"]:
        return {f"{what}_j": 0.0, f"{what}_s": 0.0}
    activity, point = _point(chip, device, counters)
    passes = sum(phase.passes for phase in chip.schedule)
    learning = sum(phase.passes for phase in chip.schedule if phase.learn) / passes
    seconds = durations(chip, device, activity, point)
    # tiles are written in the passes alone in which they learn
    write = point.set_width * device.set_s + point.reset_width * device.reset_s
    if activity.set_events and chip.fire_mode == "race":
        seconds["writing"] -= activity.images * chip.learners * (1 - learning) * write
    joules = sum(float(part) for part in energies(chip, device, activity, point).values())
    return {f"{what}_j": joules / activity.images, f"{what}_s": sum(seconds.values()) / activity.images}


def _electrons(chip, device, counters):
    activity, point = _point(chip, device, counters)
    return noise_floor(chip, device, activity, point)["electrons of one unit of weight"]


def compare_devices(plans: Sequence[Plan], path: Path, *, scheduler: str | None = None, workers: int = 2,
                    progress: Callable[[int, int], None] | None = None) -> list[dict[str, Any]]:
    """Run what the file lacks, and return its lines of the plans, in their order.

    The file is written after every point. A single point runs in this process, on all cores and without Dask, unless a
    scheduler is named.

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
    missing = [plan for plan in plans if plan.key not in done]
    before = len(plans) - len(missing)
    if progress is not None:
        progress(before, len(plans))
    if len(missing) == 1 and scheduler is None:
        lines += run_point(missing[0], None)
        _write(path, lines)
        if progress is not None:
            progress(len(plans), len(plans))
    elif missing:
        with client_of(scheduler, workers) as client:
            _data(missing[0].data)  # a data set that cannot be had is an error here, not on the workers
            futures = [client.submit(run_point, plan, retries=10, pure=False) for plan in missing]
            for lines_of_one in carried_out(client, futures, before, len(plans), progress):
                lines += lines_of_one
                _write(path, lines)
    order = {plan.key: index for index, plan in enumerate(plans)}
    return sorted((line for line in lines if line["key"] in order), key=lambda line: order[line["key"]])


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a comparison's file, numbers as numbers; none if there is no file.

    Raises
    ------
    UserError
        The file is not one of a comparison.
    """
    if not Path(path).exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{path}: not a comparison: columns must be {', '.join(COLUMNS)}, not "
                            f"{', '.join(reader.fieldnames or ())}", hint="name another file with --out")
        lines = []
        for line in reader:
            try:
                lines.append({name: value if name in _TEXTS else int(value) if name in _WHOLE else float(value)
                              for name, value in line.items()})
            except (TypeError, ValueError) as error:
                raise UserError(f"{path}: line {reader.line_num}: {error}",
                                hint="remove the lines of this key; the point is then run again") from None
        return lines


def _write(path, lines):
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, text.getvalue(), make_folder=True)


def _count(value):
    return "never" if math.isinf(value) else f"{value:.2g}"


def summary(lines: list[dict[str, Any]]) -> str:
    """Devices side by side as a Markdown table; mean (lowest, highest) of the seeds."""
    def over(device, mode, name):
        return [line[name] for line in lines if (line["device"], line["mode"]) == (device, mode)]

    def accuracy(device, mode, name="accuracy"):
        values = [100 * value for value in over(device, mode, name)]
        if not values:
            return "–"
        return f"{np.mean(values):.2f} %" + (f" ({min(values):.2f}, {max(values):.2f})" if len(values) > 1 else "")

    def mean(device, name, unit):
        numbers = over(device, "learned", name)
        return engineering(float(np.mean(numbers)), unit) if numbers else "–"

    devices = list(dict.fromkeys(line["device"] for line in lines))
    rows = [("learned on the chip", lambda d: accuracy(d, "learned")),
            ("programmed once", lambda d: accuracy(d, "programmed")),
            ("learning, an image", lambda d: f"{mean(d, 'learn_j', 'J')}, {mean(d, 'learn_s', 's')}"),
            ("answering, an image", lambda d: f"{mean(d, 'infer_j', 'J')}, {mean(d, 'infer_s', 's')}"),
            ("electrons of one unit of weight", lambda d: f"{np.mean(over(d, 'learned', 'electrons')):.3g}"),
            ("pulses of a cell, mean, most", lambda d: f"{np.mean(over(d, 'learned', 'pulses_mean')):.3g}, "
                                                       f"{max(over(d, 'learned', 'pulses_max')):,}"),
            *((f"images until {name} worn",
               lambda d, name=name: _count(min(over(d, "learned", f"images until {name}")))) for name in WORN),
            *((f"after {age}{how}", lambda d, age=age, how=how: accuracy(d, "learned", f"after {age}{how}"))
              for how in ("", ", learning on") for age in AGES)]
    table = markdown_table(["", *devices], [[name, *(told(device) for device in devices)] for name, told in rows])
    return table.rstrip()
