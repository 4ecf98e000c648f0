"""``ohmspike report``: one HTML page of a run."""

from pathlib import Path

import click

from ohmspike.host.support import console
from ohmspike.host.support.atomic import write_text

from .energy import device_of, device_option

__all__ = ["report"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@device_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="HTML file  [default: RUN/report.html]")
def report(run: Path, device_name: str, out: Path | None) -> None:
    """one page of a run: chip, metrics, counters, energy, pictures"""
    from ohmspike.host.runs.energy import read_run
    from ohmspike.host.runs.report import page

    out = out or run / "report.html"
    ran = read_run(run)
    text = page(ran, device_of(ran.chip, device_name))
    write_text(out, text)
    console.say(f"written {out}")
