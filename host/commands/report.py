"""``ohmspike report``: one HTML page of a run."""

from pathlib import Path

import click

from ohmspike.sim.analog.device import Device

from .. import console
from ..energy import read_run
from ..report import page
from ..whole import write_whole
from .energy import device_option

__all__ = ["report"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@device_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="HTML file  [default: RUN/report.html]")
def report(run, device_name, out):
    """one page of a run: chip, metrics, counters, energy, pictures"""
    out = out or run / "report.html"
    text = page(read_run(run), Device.load(device_name))
    write_whole(out, lambda file: file.write(text.encode()))
    console.say(f"written {out}")
