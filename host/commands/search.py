"""``ohmspike search``: rates of a chip, found on validation images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ohmspike.host.studies.spaces import SPACES
from ohmspike.host.support import console
from ohmspike.host.support.atomic import check_places, write_text

from .options import (
    Choice,
    RenamedOptions,
    chip_of,
    chip_option,
    data_option,
    json_option,
    nonidealities_option,
    recording_options,
    seed_option,
)

if TYPE_CHECKING:
    from ohmspike.host.data.recordings.sets import Cut
    from ohmspike.sim.model.nonideal import NonIdealities

__all__ = ["search"]


@click.command(cls=RenamedOptions)
@chip_option
@seed_option
@data_option
@recording_options
@click.option("--study", "study_file", type=click.Path(path_type=Path, dir_okay=False), required=True,
              help="SQLite file of the study; one that is there is carried on")
@click.option("--space", "spaces", multiple=True, type=Choice(list(SPACES)), help="what is searched; repeatable  "
              "[default: all that matter to the chip]")
@click.option("--read-out", type=Choice(["crossbar", "vote"]), default="crossbar", show_default=True,
              help="which classifier's accuracy is optimised")
@nonidealities_option
@click.option("--trials", type=click.IntRange(1), default=60, show_default=True, help="trials of the study, in all")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True,
              help="seeds of a trial, from the chip's on; their mean counts")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="TOML file for the chip with the best rates")
@json_option
def search(chip_name: str, seed: int | None, data_source: str | None, cut: Cut, study_file: Path,
           spaces: tuple[str, ...], read_out: str, nonidealities: NonIdealities | None, trials: int, seeds: int,
           out: Path | None, as_json: bool) -> None:
    """search for rates with Optuna, evaluated on validation images (the last 10,000 of MNIST to learn from)"""
    from ohmspike.host.data.samples import load_samples
    from ohmspike.host.studies.search import search as search_rates
    from ohmspike.host.studies.search import suggested
    from ohmspike.host.studies.spaces import spaces_of

    chip = chip_of(chip_name, seed)
    check_places(study_file, out)
    data = load_samples(data_source, console.status, cut)
    data.check(chip, labels_for="the search")
    held = len(data.validation().test_images)
    console.status(console.COMPILING)
    with console.progress("trials") as shown:
        study = search_rates(chip, data, study_file, spaces=list(spaces) or spaces_of(chip),
                             read_out=read_out == "crossbar", trials=trials, seeds=seeds, nonidealities=nonidealities,
                             progress=lambda done, total, best: shown(done, total))
    best = suggested(chip, study.best_params)
    if out is not None:
        write_text(out, best.to_toml(), make_folder=True)
    result = {"chip": chip.name, "study": str(study_file), "trials": len(study.trials), "evaluated_on": "validation",
              "images": held, "nonidealities": nonidealities and dataclasses.asdict(nonidealities),
              "accuracy": study.best_value, "rates": study.best_params}
    console.show(result, as_json=as_json, text="\n".join([
        f"{chip.name}: {study.best_value:.2%} of {held:,} validation images, best of {len(study.trials)} trials",
        *(f"  {name:22} {value:.4g}" for name, value in study.best_params.items())]))
