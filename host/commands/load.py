"""``ohmspike load``: a learned chip onto a target, a board above all."""

import sys
from pathlib import Path

import click

from ohmspike.host.support import console

from .options import TargetName, json_option

__all__ = ["load"]


@click.command()
@click.argument("learned", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--target", "target_name", type=TargetName(), required=True, metavar="serial:PORT",
              help="the chip that is to hold it")
@json_option
def load(learned: Path, target_name: str, as_json: bool) -> None:
    """write the chip saved in LEARNED (learned.npz of a run) into a target, and check every memory"""
    from ohmspike.host.integrity.scrub import scrub
    from ohmspike.host.runs.learned import load as load_learned
    from ohmspike.host.targets.registry import open_target

    chip, state, _ = load_learned(learned)
    with open_target(target_name, chip, progress=console.status) as target:
        console.status("writing levels, thresholds, tables and random states")
        target.load(state, keep_counters=True)
        with console.progress("checking memories") as shown:
            report = scrub(target, state, restore=False, progress=shown)
    cells = sum(report.cells.values())
    result = {"chip": chip.name, "digest": chip.digest, "target": target_name, "state": str(learned), "cells": cells,
              "sound": not report.damages}
    console.show(result, as_json=as_json, text=(
        f"{chip.name}: {cells:,} cells of {len(report.cells)} memories are in {target_name}, checksums equal"
        if not report.damages else f"{chip.name}: {len(report.damages):,} cells differ after writing: ohmspike scrub "
                                   f"--target {target_name} --state {learned} --restore"))
    if report.damages:
        sys.exit(1)
