"""``ohmspike learn``, also called ``mnist``: learn and classify handwritten digits, or other data, on a target."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ohmspike.host.support import console
from ohmspike.host.support.errors import Interrupted, UserError

from .body import body_of, ideal_option, made_of, made_of_option, pulses_option
from .options import (
    RenamedOptions,
    chip_of,
    chip_option,
    command_line,
    data_option,
    encoding_of,
    encoding_options,
    json_option,
    nonidealities_option,
    recording_options,
    seed_option,
    target_option,
)

if TYPE_CHECKING:
    from ohmspike.host.coding.images import Encode
    from ohmspike.host.data.recordings.sets import Cut
    from ohmspike.sim.model.nonideal import NonIdealities

__all__ = ["learn"]


@click.command(cls=RenamedOptions)
@chip_option
@made_of_option
@ideal_option
@pulses_option
@target_option
@seed_option
@data_option
@recording_options
@click.option("--images", type=click.IntRange(1), default=None, help="training images  [default: all, 60,000]")
@click.option("--passes", type=click.IntRange(1), default=None,
              help="passes of every phase in which the tiles learn  [default: the chip's]")
@click.option("--labels/--no-labels", default=True, show_default=True,
              help="train the read-out on the labels; without labels, classify by neuron vote")
@click.option("--test-images", type=click.IntRange(1), default=None, help="test images  [default: all, 10,000]")
@click.option("--validate", is_flag=True,
              help="evaluate on validation images, a sixth of those to learn from (the last 10,000 of MNIST)")
@encoding_options
@nonidealities_option
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
              help="where the run folder is made")
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="file that keeps an interrupted learning run  [default: OUT/CHIP-TARGET-SEED-DIGEST.checkpoint.npz]")
@click.option("--resume", is_flag=True, help="go on from the checkpoint of an interrupted run")
@click.option("--spikes", is_flag=True,
              help="keep output spikes, answers and labels of the test images in the run folder")
@json_option
def learn(chip_name: str, device_name: str | None, ideal: bool, count_pulses: bool, target: str, seed: int | None,
          data_source: str | None, cut: Cut, images: int | None, passes: int | None, labels: bool,
          test_images: int | None, validate: bool, encoding: str | None, steps: int | None, peak: float | None,
          nonidealities: NonIdealities | None, out: Path, checkpoint: Path | None, resume: bool, spikes: bool,
          as_json: bool) -> None:
    """learn MNIST or --data, then classify by the read-out of the chip and by a neuron vote (alias: mnist)"""
    from ohmspike.host.coding.streams import StreamEncoding
    from ohmspike.host.data.samples import load_samples
    from ohmspike.host.data.streams import Stream
    from ohmspike.host.learning.checkpoint import checkpoint_path
    from ohmspike.host.learning.classify import classify, train_vote
    from ohmspike.host.learning.confusion import evaluation, matrix_text
    from ohmspike.host.learning.run import learn as learn_samples
    from ohmspike.host.learning.run import run_facts, schedule_of, warm_up
    from ohmspike.host.plots.answers import wrong_answers
    from ohmspike.host.plots.chip import prequential
    from ohmspike.host.plots.devices import pulses_picture
    from ohmspike.host.runs.examples import NAME as EXAMPLES_NAME
    from ohmspike.host.runs.examples import Examples, chosen
    from ohmspike.host.runs.folder import RunFolder, tool_versions
    from ohmspike.host.runs.learned import save
    from ohmspike.host.support.atomic import check_writable
    from ohmspike.sim.analog.device import NOMINAL, Device
    from ohmspike.sim.analog.lifetime import pulse_facts, wear_text

    made = made_of(chip_of(chip_name, seed), device_name)
    data = load_samples(data_source, console.status, cut)
    is_stream = isinstance(data.train_images, Stream)
    rated = encoding_of(made, encoding, steps, peak)
    code: Encode = StreamEncoding() if is_stream else rated
    learner = body_of(made, nonidealities, ideal=ideal, target=target,
                      whole_images=not is_stream and not rated.steps, pulses=count_pulses)
    chip, strengths = learner.chip, learner.strengths
    taught = labels and data.classes is not None and any(phase.teach for phase in chip.schedule)
    data.check(chip, labels_for="the read-out (--no-labels learns without)" if taught else None)
    split = data.validation() if validate else data
    train, train_labels, test, test_labels = (
        split.train_images, split.train_labels, split.test_images, split.test_labels)
    train, test = train[:images], test[:test_images]
    if train_labels is not None and test_labels is not None:
        train_labels, test_labels = train_labels[:images], test_labels[:test_images]
    known = train_labels if taught else None
    checkpoint = checkpoint or checkpoint_path(
        out, chip, target, run_facts(chip, train, known, passes=passes, encoding=code, nonidealities=strengths))
    if resume and not checkpoint.exists():
        others = sorted(checkpoint.parent.glob(f"{chip.name}-*.checkpoint.npz"))
        left = f", or give the data and options of the run that left {', '.join(map(str, others))}" if others else ""
        raise UserError(f"{checkpoint}: no checkpoint to resume from", hint=f"start the run without --resume{left}")
    if checkpoint.exists() and not resume:
        console.say(f"warning: starting again; --resume would go on from {checkpoint}")
    check_writable(out)
    check_writable(checkpoint.parent)
    if target == "model" and not is_stream:
        console.status("compiling the model (a minute the first time)")
        warm_up(chip, rated)
    if learner.device is not None:
        console.status(learner.summary)
    with learner.open(target, console.status) as body:
        if learner.initial is not None:
            body.load(learner.initial)
        try:
            with console.progress("learning", "images") as shown:
                learned = learn_samples(body, train, known, passes=passes, encoding=code,
                                        progress=shown, checkpoint=checkpoint, resume=resume, nonidealities=strengths,
                                        answered=lambda right: shown.note(f"{right:.1%} right"))
        except KeyboardInterrupt:
            raise Interrupted(f"the run goes on from {checkpoint} with --resume") from None
        counters_learn, pulses = body.counters(), body.pulses()
        state = body.state()
        answers, vote, infer_seconds = {}, None, None
        if data.classes is not None and train_labels is not None:
            with console.progress("counting the vote", "images") as shown:
                vote = train_vote(body, train, train_labels, classes=data.classes, encoding=code, progress=shown)
        for classifier in ("vote", "crossbar")[:(vote is not None) + taught]:
            started = time.perf_counter()
            with console.progress(f"classifying, {classifier}", "images") as shown:
                answers[classifier] = classify(body, test, vote if classifier == "vote" else None, encoding=code,
                                               progress=shown)
            infer_seconds = time.perf_counter() - started
        counters = body.counters()
        output_spikes = body.present(code(chip, test, learn=False), learn=False) if spikes else None
    accuracies = {name: float((predicted == test_labels).mean()) for name, predicted in answers.items()}
    read_out = list(accuracies)[-1] if accuracies else None
    accuracy = accuracies[read_out] if read_out is not None else None
    metrics = {
        "chip": chip.name, "digest": chip.digest, "target": target, "seed": chip.seed,
        "accuracy": accuracy, "read_out": read_out, "accuracy_vote": accuracies.get("vote"), "data": data.name,
        "evaluated_on": "validation" if validate else "held-out" if data.held_out else "test", "labels": taught,
        "encoding": "stream" if is_stream else rated.kind, "steps": rated.steps, "peak": rated.peak,
        "data_source": data_source, **cut.facts(), "command": command_line(), "nonidealities": strengths,
        "device": learner.device and learner.device.name, "ideal": learner.strengths is None,
        "train_images": len(train), "test_images": len(test),
        "schedule": [dataclasses.asdict(phase) for phase in schedule_of(chip, passes=passes, labelled=taught)],
        "prequential": learned.prequential, "resumed": learned.resumed,
        "images_per_s_learn": learned.images / learned.seconds if learned.images else None,
        "images_per_s_infer": len(test) / infer_seconds if infer_seconds else None,
        "counters_phases": learned.phases, "counters_learn": counters_learn, "counters": counters,
    }
    worn = None
    if pulses is not None:
        every = np.concatenate([cells.ravel() for cells in pulses])
        worn = metrics["pulses_per_cell"] = pulse_facts(every, counters_learn["samples"],
                                                        learner.device or Device.preset(NOMINAL))
    judged: dict[str, Any] = {}
    if read_out is not None and test_labels is not None and data.classes is not None:
        metrics |= (judged := evaluation(test_labels, answers[read_out], data.classes))
    folder = RunFolder.create(out, chip.name, target)
    metrics["run"] = str(folder.path)
    folder.write_json("chip.json", chip.to_dict())
    folder.write_json("versions.json", tool_versions())
    folder.write_json("metrics.json", metrics)
    save(folder.path / "learned.npz", chip, state, vote)
    if output_spikes is not None:
        truth: dict[str, np.ndarray] = {}
        if read_out is not None and test_labels is not None:
            truth = {"answers": answers[read_out], "labels": test_labels}
        folder.write_arrays("fires.npz", tile=output_spikes.tile, neuron=output_spikes.neuron,
                            offsets=output_spikes.offsets, **truth)
    answered = None if read_out is None else answers[read_out]
    few = chosen(test_labels, answered, len(test))
    folder.write_arrays(EXAMPLES_NAME, **Examples(
        few, code(chip, test[few], learn=False), None if test_labels is None else test_labels[few],
        None if answered is None else answered[few], None if is_stream else test[few]).arrays())
    if pulses is not None:
        folder.write_arrays("pulses.npz", tiles=pulses[0], read_out=pulses[1])
        pulses_picture(chip, pulses[0], folder.path / "pulses.png")
    if learned.prequential:
        prequential(chip, learned.prequential, len(train), folder.path / "prequential.png")
    if judged.get("wrong") and answered is not None and isinstance(test, np.ndarray):
        wrong_answers(chip.name, test, judged["wrong"], int((answered != test_labels).sum()), folder.path / "wrong.png")
    checkpoint.unlink(missing_ok=True)
    how = {"vote": "vote of the neurons, learned without labels", "crossbar": "read-out crossbar, taught by labels"}
    console.show(metrics, as_json=as_json, text="\n".join([
        *([learner.summary] if learner.device is not None else []),
        f"{chip.name} on {target}, seed {chip.seed}, {len(test):,} {metrics['evaluated_on']} images",
        *(f"{value:.2%} {how[name]}" for name, value in accuracies.items()),
        f"learning {metrics['images_per_s_learn'] or 0:,.0f} images/s, inference "
        f"{metrics['images_per_s_infer'] or 0:,.0f} images/s",
        *([wear_text(worn)] if worn is not None else []),
        *(["", *matrix_text(metrics), ""] if answers else []),
        f"run folder {folder.path}"]))
