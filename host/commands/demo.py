"""``ohmspike demo``: the main job. Learn in the model, learn on in the RTL, compare everything, let the chip answer."""

import time
from pathlib import Path

import click
import numpy as np

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError
from ohmspike.sim.state import ChipState, spikes_difference

from .options import chip_of, chip_option, data_option, json_option, seed_option

__all__ = ["demo"]

CHUNK = 100


def _together(model, rtl, images, *, labels=None, description):
    """Present images to both; compare every output spike and answer. Returns those of the RTL and the seconds of each.

    With labels both learn, tiles and read-out.
    """
    from ohmspike.host.coding.images import Encoding

    learn_on = labels is not None
    code, seconds, presented = Encoding(), {"model": 0.0, "rtl": 0.0}, []
    with console.progress(description, "images") as shown:
        for first in range(0, len(images), CHUNK):
            labels_chunk = labels[first:first + CHUNK] if learn_on and model.chip.classes else None
            batch = code(model.chip, images[first:first + CHUNK], learn=learn_on, labels=labels_chunk,
                         answer=bool(model.chip.classes))
            spikes = {}
            for name, target in (("model", model), ("rtl", rtl)):
                started = time.perf_counter()
                spikes[name] = target.present(batch, learn=learn_on)
                seconds[name] += time.perf_counter() - started
            if difference := spikes_difference(spikes["rtl"], spikes["model"]):
                where = f"images {first} to {first + CHUNK - 1}"
                raise UserError(f"RTL and model differ in the output spikes or answers of {where}: {difference}",
                                hint="ohmspike compare finds the first image that differs")
            presented.append(spikes["rtl"])
            shown(min(first + CHUNK, len(images)), len(images))
    return presented, seconds


def _equal_states(model, rtl):
    """Compare everything that was learned, and every counter; returns the state."""
    state = rtl.state()
    if difference := state.differences(model.state()):
        raise UserError(f"RTL and model differ in what they learned: {difference}",
                        hint="ohmspike compare --learn finds the first image that differs")
    return state


@click.command()
@chip_option
@seed_option
@data_option
@click.option("--learn-on", type=click.IntRange(1), default=1000, show_default=True,
              help="images learned in both the RTL and the model")
@click.option("--test-images", type=click.IntRange(1), default=10_000, show_default=True,
              help="test images classified in the RTL")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
              help="where the run folder is made")
@json_option
def demo(chip_name: str, seed: int | None, data_source: str | None, learn_on: int, test_images: int, out: Path,
         as_json: bool) -> None:
    """learn in the model, learn on in the RTL, compare everything, have the RTL answer"""
    from ohmspike.host.data.images import load_dataset
    from ohmspike.host.learning.classify import train_vote
    from ohmspike.host.learning.run import learn, warm_up
    from ohmspike.host.plots.chip import conductance_maps, race
    from ohmspike.host.runs.folder import RunFolder, tool_versions
    from ohmspike.host.runs.learned import save
    from ohmspike.host.targets.model import ModelTarget
    from ohmspike.host.targets.rtl import RtlTarget

    chip = chip_of(chip_name, seed)
    data = load_dataset(data_source, progress=console.status)
    data.check(chip, labels_for="the demo")
    train_labels, test_labels = data.labels()
    folder = RunFolder.create(out, chip.name, "demo")
    console.say("compiling the model (a minute the first time)")
    warm_up(chip)
    model = ModelTarget(chip)
    model.load(ChipState.initial(chip))
    with console.progress("learning in the model", "images") as shown:
        learned = learn(model, data.train_images, train_labels, progress=shown)
    with console.progress("counting the vote", "images") as shown:
        vote = train_vote(model, data.train_images, train_labels, progress=shown)

    console.say("compiling the RTL (a minute or two the first time)")
    with RtlTarget(chip, progress=console.status) as rtl:
        console.say("loading the learned conductances over the link")
        loaded = model.state()
        rtl.load(loaded)
        model.load(loaded)
        more = np.random.default_rng(chip.seed).permutation(len(data.train_images))[:learn_on]
        before = rtl.cycles
        _, learn_seconds = _together(model, rtl, data.train_images[more], labels=train_labels[more],
                                     description="learning on, both")
        learn_cycles = (rtl.cycles - before) / len(more)
        console.say("comparing every conductance, threshold, random state and counter")
        state = _equal_states(model, rtl)
        counters_learn = rtl.counters()
        tests, labels = data.test_images[:test_images], test_labels[:test_images]
        before = rtl.cycles
        spikes, infer_seconds = _together(model, rtl, tests, description="classifying, both")
        infer_cycles = (rtl.cycles - before) / len(tests)
        _equal_states(model, rtl)
        counters = rtl.counters()
    accuracies = {"vote": np.concatenate([vote.answers(chip, part) for part in spikes]) == labels}
    if chip.classes:
        accuracies["crossbar"] = np.concatenate([part.answers.label for part in spikes]) == labels
    accuracies = {name: float(right.mean()) for name, right in accuracies.items()}
    read_out, accuracy = list(accuracies.items())[-1]
    metrics = {
        "chip": chip.name, "digest": chip.digest, "target": "rtl", "seed": chip.seed, "read_out": read_out,
        "accuracy": accuracy, "accuracy_vote": accuracies["vote"], "test_images": len(tests),
        "differences": 0, "images_learned_model": learned.images, "images_learned_rtl": len(more),
        "images_per_s_learn": len(more) / learn_seconds["rtl"], "images_per_s_infer": len(tests) / infer_seconds["rtl"],
        "images_per_s_learn_model": learned.images / learned.seconds,
        "images_per_s_infer_model": len(tests) / infer_seconds["model"],
        "cycles_per_image_learn": learn_cycles, "cycles_per_image_infer": infer_cycles,
        "counters_learn": counters_learn, "counters": counters, "run": str(folder.path),
    }
    folder.write_json("chip.json", chip.to_dict())
    folder.write_json("versions.json", tool_versions())
    folder.write_json("metrics.json", metrics)
    save(folder.path / "learned.npz", chip, state, vote)
    usage = np.zeros((chip.tiles, chip.neurons), np.int64)
    for part in spikes:
        np.add.at(usage, (part.tile if chip.tiles > 1 else 0, part.neuron), 1)
    conductance_maps(chip, state.levels, usage, folder.path / "conductances.png")
    race(chip, state, data.test_images[0], folder.path / "race.png")
    console.show(metrics, as_json=as_json, text=_text(chip, metrics))


def _text(chip, metrics):
    counters = "\n".join(f"  {name:18} {value:>15,}" for name, value in metrics["counters"].items() if value)
    crossbar = ""
    if metrics["read_out"] == "crossbar":
        crossbar = f"\n  the chip's own answer, read-out taught by labels        {metrics['accuracy']:.2%}"
    return f"""
{chip.name}: {chip.tiles} tiles of {chip.rows}x{chip.neurons}, {chip.synapses + chip.read_out_synapses:,} synapses
learned {metrics['images_learned_model']:,} images in the model, then {metrics['images_learned_rtl']:,} in both:
every conductance, threshold, random state, counter, output spike and answer is equal

accuracy of the RTL, {metrics['test_images']:,} test images
  vote of the neurons, learned without labels             {metrics['accuracy_vote']:.2%}{crossbar}

images/s                     learning    inference
  model                  {metrics['images_per_s_learn_model']:>12,.0f} {metrics['images_per_s_infer_model']:>12,.0f}
  RTL, simulated         {metrics['images_per_s_learn']:>12,.0f} {metrics['images_per_s_infer']:>12,.0f}
clocks per image         {metrics['cycles_per_image_learn']:>12,.0f} {metrics['cycles_per_image_infer']:>12,.0f}

counters of the RTL
{counters}

run folder {metrics['run']}
  conductances.png  what the tiles learned
  race.png          one image's spikes and the race of the neurons"""
