"""``ohmspike accuracy``: the accuracy tables, from the first image on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ohmspike.host.support import console

from .options import Choice, data_option, json_option, recording_options

if TYPE_CHECKING:
    from ohmspike.host.data.recordings.sets import Cut

__all__ = ["accuracy"]

GROUPS = ("chips", "levels", "codes", "free", "shared", "corruptions", "shared-corruptions", "size", "write-noise",
          "events")


@click.command()
@click.option("--table", "groups", multiple=True, type=Choice(GROUPS), default=GROUPS[:4],
              show_default=True, help="which tables; repeatable")
@click.option("--only", multiple=True, metavar="LABEL", help="only lines of this name (a preset's, of the table chips)")
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(0), default=(1, 2, 3), show_default=True,
              help="seeds; repeatable")
@click.option("--results", type=click.Path(path_type=Path, dir_okay=False), default=Path("runs/accuracy.jsonl"),
              show_default=True, help="finished runs, a line of JSON each; what is there is not run again")
@data_option
@recording_options
@json_option
def accuracy(groups: tuple[str, ...], only: tuple[str, ...], seeds: tuple[int, ...], results: Path,
             data_source: str | None, cut: Cut, as_json: bool) -> None:
    """accuracy of every chip on the test set, mean and spread of several seeds, next to published figures"""
    from ohmspike.host.data.samples import load_samples
    from ohmspike.host.studies.accuracy import Baseline, Results, cases, run_baseline, run_case, table
    from ohmspike.host.support.atomic import check_places

    check_places(results)
    chosen = [case for case in cases(list(groups)) if not only or case.label in only]
    if only and (missing := sorted(set(only) - {case.label for case in chosen})):
        labels = dict.fromkeys(case.label for case in cases(list(groups)))
        raise click.UsageError(f"--only must be one of {', '.join(labels)}, not {missing[0]!r}")
    data, kept, runs = load_samples(data_source, console.status, cut), Results(results), []
    for case in chosen:
        if isinstance(case, Baseline):
            data.labels()
            continue
        data.check(case.chip, labels_for="a table of accuracy")
    console.status(console.COMPILING)
    with console.progress("runs") as shown:
        plan = [(case, seed) for case in chosen for seed in seeds]
        for number, (case, seed) in enumerate(plan):
            shown(number, len(plan))
            key = Results.key(case, seed, data.name)
            run = kept.find(key)
            if run is None:
                strength = "" if isinstance(case, Baseline) or not case.c2c else f", c2c {case.c2c:g}"
                console.status(f"{case.label}{strength}, seed {seed}")
                done = (run_baseline(case, seed, data) if isinstance(case, Baseline) else
                        run_case(case, seed, data))
                run = kept.add(key, done)
            runs.append({"c2c": 0.0} | run | {"group": case.group, "label": case.label})  # two tables may share a run
            shown(number + 1, len(plan))
    console.show({"runs": runs}, as_json=as_json, text=table(runs))
