"""``ohmspike mnist``: learn and classify handwritten digits, or other data, on a target."""

import dataclasses
import re
import time
from pathlib import Path

import click

from ohmspike.host.support import console
from ohmspike.host.support.errors import Interrupted, UserError

from .options import (
    chip_of,
    chip_option,
    data_option,
    encoding_of,
    encoding_options,
    flawed,
    flaws_option,
    json_option,
    seed_option,
    target_option,
)

__all__ = ["mnist"]


@click.command()
@chip_option
@target_option
@seed_option
@data_option
@click.option("--images", type=click.IntRange(1), default=None, help="training images  [default: all, 60,000]")
@click.option("--passes", type=click.IntRange(1), default=None,
              help="passes of every phase in which the tiles learn  [default: the chip's]")
@click.option("--labels/--no-labels", default=True, show_default=True,
              help="teach them to the read-out, if the chip has one; without, a vote answers")
@click.option("--test-images", type=click.IntRange(1), default=None, help="test images  [default: all, 10,000]")
@click.option("--validate", is_flag=True,
              help="judge on the last 10,000 training images (a sixth of fewer than 60,000), learn on the others")
@encoding_options
@flaws_option
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
              help="where the run folder is made")
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="file that keeps an interrupted learning run  [default: OUT/CHIP-TARGET-SEED.checkpoint.npz]")
@click.option("--resume", is_flag=True, help="go on from the checkpoint of an interrupted run")
@click.option("--spikes", is_flag=True, help="keep fires, answers and labels of the test images in the run folder")
@json_option
def mnist(chip_name, target, seed, data_source, images, passes, labels, test_images, validate, encoding, steps, peak,
          flaws, out, checkpoint, resume, spikes, as_json):
    """learn MNIST (or --data), classify by the read-out of the chip and by a vote"""
    from ohmspike.host.coding.streams import StreamEncoding
    from ohmspike.host.data.formats import DataError
    from ohmspike.host.data.samples import load_samples
    from ohmspike.host.data.streams import Stream
    from ohmspike.host.learning.classify import classify, train_vote
    from ohmspike.host.learning.run import learn, schedule_of, warm_up
    from ohmspike.host.plots.chip import prequential
    from ohmspike.host.runs.folder import RunFolder, tool_versions
    from ohmspike.host.runs.learned import save
    from ohmspike.host.targets.registry import open_target

    chip, initial = flawed(chip_of(chip_name, seed), flaws)
    told = flaws and dataclasses.asdict(flaws)
    data = load_samples(data_source, progress=console.status)
    spoken = isinstance(data.train_images, Stream)
    code = StreamEncoding() if spoken else encoding_of(encoding, steps, peak)
    if not spoken:
        data.check_plane(chip)
    train, train_labels = data.train_images, data.train_labels
    test, test_labels = data.test_images, data.test_labels
    if validate:
        last = min(10_000, len(train) // 6)
        train, test = train[:-last], train[-last:]
        if data.classes is not None:
            train_labels, test_labels = train_labels[:-last], train_labels[-last:]
    train, test = train[:images], test[:test_images]
    if data.classes is not None:
        train_labels, test_labels = train_labels[:images], test_labels[:test_images]
    checkpoint = checkpoint or out / f"{chip.name}-{re.sub(r'[^a-z0-9]+', '-', target)}-{chip.seed}.checkpoint.npz"
    if resume and not checkpoint.exists():
        raise UserError(f"{checkpoint}: no checkpoint to resume from", hint="start the run without --resume")
    if target == "model" and not spoken:
        warm_up(chip, code)
    taught = labels and data.classes is not None and any(phase.teach for phase in chip.schedule)
    if taught and data.classes > chip.classes:
        raise DataError(f"{data.name}: labels must be 0 to {chip.classes - 1} for the read-out of {chip.name}, "
                        f"not up to {data.classes - 1}",
                        hint="describe a chip with more classes, or learn with --no-labels")
    with open_target(target, chip, progress=console.status) as body:
        if initial is not None:
            body.load(initial)
        try:
            with console.progress("learning") as shown:
                learned = learn(body, train, train_labels if taught else None, passes=passes, encoding=code,
                                progress=shown, checkpoint=checkpoint, resume=resume, flaws=told)
        except KeyboardInterrupt:
            raise Interrupted(f"the run goes on from {checkpoint} with --resume") from None
        counters_learn = body.counters()
        state = body.state()
        clipped = counters_learn["theta_clipped"]
        if clipped:
            console.say(f"warning: {clipped} thresholds reached the top of threshold_bits = {chip.threshold_bits}")
        answers, vote, infer_seconds = {}, None, None
        if data.classes is not None:
            with console.progress("counting the vote") as shown:
                vote = train_vote(body, train, train_labels, classes=data.classes, encoding=code, progress=shown)
        for read_out in ("vote", "crossbar")[:(vote is not None) + taught]:
            started = time.perf_counter()
            with console.progress(f"classifying, {read_out}") as shown:
                answers[read_out] = classify(body, test, vote if read_out == "vote" else None, encoding=code,
                                             progress=shown)
            infer_seconds = time.perf_counter() - started
        counters = body.counters()
        fires = body.present(code(chip, test, learn=False), learn=False) if spikes else None
    accuracies = {name: float((found == test_labels).mean()) for name, found in answers.items()}
    read_out, accuracy = list(accuracies.items())[-1] if accuracies else (None, None)
    metrics = {
        "chip": chip.name, "digest": chip.digest, "target": target, "seed": chip.seed,
        "accuracy": accuracy, "read_out": read_out, "accuracy_vote": accuracies.get("vote"), "data": data.name,
        "judged_on": "validation" if validate else "held-out" if data.held_out else "test", "labels": taught,
        "encoding": "stream" if spoken else encoding, "flaws": told,
        "train_images": len(train), "test_images": len(test),
        "schedule": [dataclasses.asdict(phase) for phase in schedule_of(chip, passes=passes, labelled=taught)],
        "prequential": learned.curve, "resumed": learned.resumed,
        "images_per_s_learn": learned.images / learned.seconds if learned.images else None,
        "images_per_s_infer": len(test) / infer_seconds if infer_seconds else None,
        "counters_learn": counters_learn, "counters": counters,
    }
    folder = RunFolder.create(out, chip.name, target)
    metrics["run"] = str(folder.path)
    folder.write_json("chip.json", chip.to_dict())
    folder.write_json("versions.json", tool_versions())
    folder.write_json("metrics.json", metrics)
    save(folder.path / "learned.npz", chip, state, vote)
    if fires is not None:
        known = {"answers": answers[read_out], "labels": test_labels} if answers else {}
        folder.write_arrays("fires.npz", tile=fires.tile, neuron=fires.neuron, offsets=fires.offsets, **known)
    if learned.curve:
        prequential(chip, learned.curve, len(train), folder.path / "prequential.png")
    checkpoint.unlink(missing_ok=True)
    how = {"vote": "vote of the neurons, learned without labels", "crossbar": "read-out crossbar, taught by labels"}
    console.show(metrics, as_json=as_json, text="\n".join([
        f"{chip.name} on {target}, seed {chip.seed}, {len(test):,} {metrics['judged_on']} images",
        *(f"{value:.2%} {how[name]}" for name, value in accuracies.items()),
        f"learning {metrics['images_per_s_learn'] or 0:,.0f} images/s, inference "
        f"{metrics['images_per_s_infer'] or 0:,.0f} images/s",
        f"run folder {folder.path}"]))
