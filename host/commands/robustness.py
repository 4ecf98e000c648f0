"""``ohmspike robustness``: what the non-idealities of real cells cost, and what on-chip learning compensates."""

from pathlib import Path

import click

from ohmspike.host.support import console
from ohmspike.sim.analog.device import NOMINAL, Device
from ohmspike.sim.model.nonidealities import NONIDEALITIES

from .body import made_of
from .options import Choice, RenamedOptions, chip_of, chip_option, data_option, json_option

__all__ = ["robustness"]

STUDIED = [*NONIDEALITIES, "drift"]


@click.command(cls=RenamedOptions)
@chip_option
@click.option("--device", "device_name", default=None, metavar="NAME|FILE",
              help="device whose curves the chip gets (see `ohmspike device show`)  [default: the chip's own tables]")
@click.option("--nonideality", "nonidealities", multiple=True, type=Choice(STUDIED), default=STUDIED,
              show_default="all", help="what to inject; repeatable")
@click.option("--strength", "strengths", multiple=True, type=click.FloatRange(0.0),
              help="in place of the usual strengths, for one non-ideality; repeatable")
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(0), default=(1, 2, 3), show_default=True,
              help="seeds; repeatable")
@click.option("--images", type=click.IntRange(100), default=50_000, show_default=True,
              help="training images at most; validation images are used to evaluate, not to learn")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("runs/robustness.csv"),
              show_default=True,
              help="CSV file; points that are there are not run again; the picture goes into a .png of that name")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="processes of this machine")
@click.option("--scheduler", default=None, metavar="ADDRESS",
              help="a Dask scheduler whose workers have Ohmspike, in place of processes of this machine")
@data_option
@json_option
def robustness(chip_name: str, device_name: str | None, nonidealities: tuple[str, ...], strengths: tuple[float, ...],
               seeds: tuple[int, ...], images: int, out: Path, workers: int, scheduler: str | None,
               data_source: str | None, as_json: bool) -> None:
    """accuracy and energy against every non-ideality, with and without learning on the non-ideal chip"""
    from ohmspike.host.data.images import load_dataset
    from ohmspike.host.plots.analog import robustness_picture
    from ohmspike.host.studies.robustness import MODES, Plan, points, run_study, summary
    from ohmspike.host.support.atomic import check_places

    if strengths and len(nonidealities) != 1:
        raise click.UsageError("--strength needs exactly one --nonideality")
    chip = chip_of(chip_name, None)
    if not any(phase.teach for phase in chip.schedule):
        raise click.UsageError(f"the study needs a chip whose schedule teaches a read-out; {chip.name}'s does not")
    check_places(out)
    load_dataset(data_source, progress=console.status).check(chip, labels_for="the study")
    chip = made_of(chip, device_name)
    device = Device.of_chip(chip) or Device.preset(NOMINAL)
    plan = Plan(chip, device, data_source, images)
    wanted = points(list(nonidealities), list(seeds), list(strengths))
    console.status(console.COMPILING)
    with console.progress("points") as shown:
        lines = run_study(plan, wanted, out, scheduler=scheduler, workers=workers, progress=shown)
    picture = out.with_suffix(".png")
    robustness_picture(lines, picture)
    text = [summary(lines), "", *(f"{mode}: {what}" for mode, what in MODES.items()),
            f"validation images; {out} has the lines, {picture} the picture"]
    console.show({"chip": plan.chip.name, "device": device.name, "evaluated_on": "validation", "lines": lines},
                 as_json=as_json, text="\n".join(text))
