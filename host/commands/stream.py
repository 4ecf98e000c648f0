"""``ohmspike stream``: spikes in, output spikes and answers out, without an end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ohmspike.host.support import console

from .options import Size, chip_of, seed_option, target_option

__all__ = ["stream"]


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option("--chip", "chip_name", default=None, metavar="NAME|FILE",
              help="preset (see `ohmspike info`) or TOML file  [default: that of --state, or tiles-free]")
@target_option
@seed_option
@click.option("--state", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="learned chip to begin with  [default: a chip that has learned nothing]")
@click.option("--keep", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="where the chip is saved, every ten seconds and at the end, on Ctrl-C and errors too  [default: "
                   "--state, or stream-CHIP.npz, if it learns]")
@click.option("--learn/--no-learn", default=False, show_default=True, help="whether the tiles learn")
@click.option("--step", "step_ms", type=click.FloatRange(0.001), default=1.0, show_default=True,
              help="length of a step, ms")
@click.option("--sensor", type=Size(), default=None,
              help="size of the camera  [default: that of the recording, or the plane of the chip]")
@click.option("--drop", is_flag=True, help="leave out events that cannot be taken, and count them")
@click.option("--idle", type=click.FloatRange(0.0, min_open=True), default=None,
              help="seconds without events that end a pipe or udp  [default: it is waited for them]")
def stream(source: str, chip_name: str | None, target: str, seed: int | None, state: Path | None, keep: Path | None,
           learn: bool, step_ms: float, sensor: tuple[int, int] | None, drop: bool, idle: float | None) -> None:
    """events of SOURCE (FILE, - or udp:PORT) through a chip; output spikes and answers as JSON lines"""
    from ohmspike.host.data.sources import EventBlocks, EventText, blocks, check_source, recording_blocks
    from ohmspike.host.learning.checkpoint import Interruption
    from ohmspike.host.learning.endless import Endless
    from ohmspike.host.runs.learned import load
    from ohmspike.host.support.atomic import check_writable
    from ohmspike.host.support.errors import Interrupted
    from ohmspike.host.targets.registry import open_target

    check_source(source)
    given, vote = None, None
    if state is not None:
        chip, given, vote = load(state, None if chip_name is None else chip_of(chip_name, seed))
    else:
        chip = chip_of(chip_name or "tiles-free", seed)
    plane = (chip.plane_height, chip.plane_width)
    if keep is None and learn:
        keep = state or Path(f"stream-{chip.name}.npz")
    if keep is not None:
        check_writable(keep.parent)

    def out(said):
        sys.stdout.write(json.dumps(said) + "\n")

    def flushed(source_blocks):
        for block in source_blocks:
            yield block
            sys.stdout.flush()

    with Interruption() as interruption, open_target(target, chip, progress=console.status) as body:
        if given is not None:
            body.load(given, keep_counters=True)
        if target == "model":
            console.status(console.COMPILING)
        text: EventText | EventBlocks
        events: Iterator[Any]
        recorded = None if source == "-" else recording_blocks(Path(source), lambda: interruption.asked)
        if recorded is not None:
            text, events = EventBlocks(source, sensor or recorded[0] or plane), recorded[1]
        else:
            text = EventText(source, sensor or plane)
            events = blocks(source, stopped=lambda: interruption.asked, say=console.say, idle=idle)
        run = Endless(body, round(step_ms * 1000), learn, out, keep, vote, drop)
        try:
            run.run(text, flushed(events))
            sys.stdout.flush()
        finally:
            run.save()
            left = f", {run.dropped:,} events dropped" if run.dropped else ""
            kept = "" if keep is None else f"; the chip is in {keep}"
            console.say(f"{run.events:,} events, {run.samples:,} samples, {run.spikes:,} output spikes{left}{kept}")
    if interruption.asked:
        goes_on = "" if keep is None else f", and {keep} goes on from them"
        raise Interrupted(f"{run.samples:,} samples are done{goes_on}")
