"""``ohmspike continual``: classes in stages, and what is forgotten."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import click

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError

from .options import Mistaken, chip_of, chip_option, data_option, json_option

__all__ = ["continual"]


class Classes(click.ParamType):
    """Classes of a stage: ``0-4``, ``7`` or ``0,2,5-9``."""

    name = "0-4|0,2,7"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The classes in the order given, or a usage error."""
        if isinstance(value, tuple):
            return value
        classes: list[int] = []
        for part in value.split(","):
            match = re.fullmatch(r"\s*(\d{1,5})(?:\s*-\s*(\d{1,5}))?\s*", part)
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
            if last < first:
                raise Mistaken(f"must be classes as in 0-4 or 0,2,7, not {value!r}", ctx, param)
            classes += range(first, last + 1)
        return tuple(classes)


@click.command()
@chip_option
@click.option("--stage", "stages", multiple=True, type=Classes(),
              help="classes that come together; once for every stage  [default: the lower half, then the upper half]")
@click.option("--replay", type=click.IntRange(0), default=500, show_default=True,
              help="images of every earlier class that learners with replay are shown again")
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(0), default=(1, 2, 3), show_default=True,
              help="seeds; repeatable")
@click.option("--images", type=click.IntRange(1), default=None, help="training images  [default: all]")
@click.option("--validate", is_flag=True,
              help="evaluate on validation images, a sixth of those to learn from (the last 10,000 of MNIST)")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("runs/continual.json"),
              show_default=True, help="JSON file of all results; the picture goes into a .png of that name")
@data_option
@json_option
def continual(chip_name: str, stages: tuple[tuple[int, ...], ...], replay: int, seeds: tuple[int, ...],
              images: int | None, validate: bool, out: Path, data_source: str | None, as_json: bool) -> None:
    """classes in stages: what is forgotten by read-out, vote and baselines, with and without replay"""
    from ohmspike.host.data.images import load_dataset
    from ohmspike.host.plots.continual import continual_picture
    from ohmspike.host.studies.continual import LEARNERS, checked_stages, run_stages, stages_text, summary
    from ohmspike.host.support.atomic import check_writable, write_text

    chip = chip_of(chip_name, None)
    if not any(phase.teach for phase in chip.schedule):
        raise click.UsageError(f"the study needs a chip whose schedule teaches a read-out; {chip.name}'s does not")
    if out.suffix == ".png":
        raise UserError(f"--out must be a JSON file, not {out.name!r}: the picture goes into a .png of that name")
    data = load_dataset(data_source, progress=console.status)
    data.check(chip, labels_for="the study")
    data = data.validation() if validate else data
    labels, _ = data.labels()
    data = dataclasses.replace(data, train_images=data.train_images[:images], train_labels=labels[:images])
    chosen = checked_stages(stages, data)
    check_writable(out.parent)
    lines: list[dict[str, Any]] = []
    console.status(console.COMPILING)
    for seed in seeds:
        with console.progress(f"seed {seed}") as shown:
            lines += run_stages(chip, data, chosen, replay=replay, seed=seed, progress=shown)
    names, picture = stages_text(chosen), out.with_suffix(".png")
    evaluated_on = "validation" if validate else "held-out" if data.held_out else "test"
    results = {"chip": chip.name, "digest": chip.digest, "data": data.name, "stages": [list(stage) for stage in chosen],
               "replay": replay, "evaluated_on": evaluated_on, "train_images": len(data.train_images),
               "learners": LEARNERS, "lines": lines}
    write_text(out, json.dumps(results, indent=2) + "\n", make_folder=True)
    continual_picture(chip.name, lines, names, picture)
    console.show(results, as_json=as_json, text="\n".join([
        summary(lines, chosen), "", *(f"{learner}: {what}" for learner, what in LEARNERS.items()), "",
        f"{chip.name}, {evaluated_on} images, replay of {replay:,} images a class; {out} has the results, "
        f"{picture} the picture"]))
