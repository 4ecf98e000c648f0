"""``ohmspike compare``: the same events through two targets, to the first difference."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import click
import numpy as np

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError
from ohmspike.sim.state import spikes_difference

from .options import (
    RenamedOptions,
    TargetName,
    chip_of,
    chip_option,
    data_option,
    encoding_of,
    encoding_options,
    json_option,
    nonidealities_option,
    recording_options,
    seed_option,
    with_nonidealities,
)

if TYPE_CHECKING:
    from ohmspike.host.coding.images import Encode
    from ohmspike.host.data.recordings.sets import Cut
    from ohmspike.host.targets.base import Target
    from ohmspike.sim.model.nonideal import NonIdealities

__all__ = ["compare", "difference_of"]

CHUNK = 10


def difference_of(a: Target, b: Target, images: np.ndarray, labels: np.ndarray | None, code: Encode, *, learn: bool,
                  first: int) -> str:
    """Present images to two targets; describe the first difference in output spikes, answers, state or counters.

    A read-out answers every image; while learning it is taught the labels.
    """
    taught = labels if learn and a.chip.classes else None
    batch = code(a.chip, images, learn=learn, first_sample=first, labels=taught, answer=bool(a.chip.classes))
    difference = spikes_difference(a.present(batch, learn=learn), b.present(batch, learn=learn))
    if difference:
        return f"output spikes: {difference}"
    return a.state().differences(b.state(), host_only_last=True)


def _first_difference(a, b, images, labels, code, *, learn, progress):
    """Chunks of images, and in the first chunk that differs one image after the other."""
    for start in range(0, len(images), CHUNK):
        before = {target: target.state() for target in (a, b)}
        chunk = images[start:start + CHUNK]
        known = None if labels is None else labels[start:start + CHUNK]
        if whole := difference_of(a, b, chunk, known, code, learn=learn, first=start):
            for target, state in before.items():
                target.load(state, keep_counters=True)
            for index in range(len(chunk)):
                image = chunk[index:index + 1]
                label = None if known is None else known[index:index + 1]
                if difference := difference_of(a, b, image, label, code, learn=learn, first=start + index):
                    return {"image": start + index, "what": difference}
            return {"image": start, "what": f"{whole} (only if {len(chunk)} images are presented at once)"}
        progress(start + len(chunk), len(images))
    return None


def _alter(target, entries):
    """Deliberately wrong weights in one target, to see that a difference is found."""
    table = target.read("weight").ravel()
    for entry in entries:
        try:
            level, weight = (int(part) for part in entry.split("="))
            table[level] = weight
        except (ValueError, IndexError, OverflowError):
            expected = f"LEVEL=WEIGHT with a level below {len(table)}"
            raise UserError(f"--alter-weight must be {expected}, not {entry!r}") from None
    target.write("weight", table.reshape(1, -1))


@click.command(cls=RenamedOptions)
@chip_option
@click.option("--a", "name_a", type=TargetName(), default="model", show_default=True, help="reference target")
@click.option("--b", "name_b", type=TargetName(), default="rtl", show_default=True,
              help="target under test")
@click.option("--images", type=click.IntRange(1), default=50, show_default=True, help="images presented")
@click.option("--learn/--no-learn", default=False, show_default=True,
              help="with plasticity on; the read-out is trained on the labels")
@seed_option
@encoding_options
@data_option
@recording_options
@nonidealities_option
@click.option("--alter-weight", "altered", multiple=True, metavar="LEVEL=WEIGHT",
              help="change the weight table of the target under test: a difference that must be detected")
@json_option
def compare(chip_name: str, name_a: str, name_b: str, images: int, learn: bool, seed: int | None, encoding: str | None,
            steps: int | None, peak: float | None, data_source: str | None, cut: Cut,
            nonidealities: NonIdealities | None, altered: tuple[str, ...], as_json: bool) -> None:
    """the same events through two targets; the first difference, exit code 1 if there is one"""
    from ohmspike.host.coding.streams import StreamEncoding
    from ohmspike.host.data.samples import load_samples
    from ohmspike.host.data.streams import Stream
    from ohmspike.host.targets.registry import open_target

    chip, state = with_nonidealities(chip_of(chip_name, seed), nonidealities)
    data = load_samples(data_source, console.status, cut)
    is_stream = isinstance(data.train_images, Stream)
    rated = encoding_of(chip, encoding, steps, peak)
    code: Encode = StreamEncoding() if is_stream else rated
    data.check(chip, labels_for="learning with labels" if learn and chip.classes else None)
    order = np.random.default_rng(chip.seed).permutation(len(data.train_images))[:images]

    labels = data.labels()[0][order] if learn and chip.classes else None

    def opened(name):
        return open_target(name, chip, progress=console.status)

    with opened(name_a) as a, opened(name_b) as b:
        for target in (a, b):
            if state is not None:
                target.load(state)
            target.set_rates(1.0)
            if chip.classes:
                target.set_read_out_rates(1.0)
        if altered:
            _alter(b, altered)
        if "model" in (name_a, name_b):
            console.status(console.COMPILING)
        with console.progress("comparing", "images") as progress:
            first = _first_difference(a, b, data.train_images[order], labels, code, learn=learn, progress=progress)
    result = {"chip": chip.name, "digest": chip.digest, "a": name_a, "b": name_b, "seed": chip.seed,
              "images": images, "learn": learn, "encoding": "stream" if is_stream else rated.kind,
              "nonidealities": nonidealities and dataclasses.asdict(nonidealities),
              "differences": 0 if first is None else 1, "first_difference": first}
    text = (f"{images} images through {name_a} and {name_b}: no difference in output spikes, "
            f"{'answers, ' if chip.classes else ''}levels, thresholds, random states and counters")
    if first is not None:
        text = f"{name_a} and {name_b} differ at image {first['image']}: {first['what']}"
    console.show(result, as_json=as_json, text=text)
    if first is not None:
        sys.exit(1)
