"""``ohmspike device compare`` and ``study``: from a device, or a lab's file, to accuracy, energy, lifetime, figure."""

from collections.abc import Sequence
from pathlib import Path

import click

from ohmspike.host.support import console
from ohmspike.host.support.atomic import check_places, write_text
from ohmspike.host.support.errors import UserError
from ohmspike.sim.analog.device import NOMINAL, Device, devices

from .body import made_of
from .energy import device_of, device_option
from .options import chip_of, chip_option, data_option, json_option

__all__ = ["age", "compare", "study"]

_scheduler = click.option("--scheduler", default=None, metavar="ADDRESS",
                          help="a Dask scheduler whose workers have Ohmspike, in place of processes of this machine")


def _fitted(path: Path, base: str) -> Device:
    """The device of a file of measurements."""
    from ohmspike.sim.analog.fit import fit_device, read_measurement

    fit_result = fit_device(read_measurement(path), path.stem, Device.load(base))
    verdict = getattr(fit_result, "verdict", "good")
    if verdict != "good":
        reasons = "; ".join(doubt.reason for doubt in getattr(fit_result, "doubts", ()))
        if verdict != "poor" and fit_result.device.states != "discrete":
            raise UserError(f"{path}: {verdict}: {reasons}", hint="ohmspike device fit tells more")
        console.say(f"warning: {path}: the fit is {verdict}: {reasons}")
    return fit_result.device


def _device(name: str, base: str) -> Device:
    if name in devices() or name.endswith(".toml") or not Path(name).exists():
        return Device.load(name)
    return _fitted(Path(name), base)


def _compared(chosen: Sequence[Device], chip_name: str, seeds: Sequence[int], images: int, out: Path, data: str | None,
              scheduler: str | None, workers: int, as_json: bool, also: Sequence[str] = ()) -> None:
    from ohmspike.host.data.images import load_dataset
    from ohmspike.host.plots.devices import comparison_picture
    from ohmspike.host.studies.devices import Plan, compare_devices, summary

    check_places(out)
    names = [device.name for device in chosen]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise UserError(f"devices must have names of their own, not {', '.join(sorted(doubled))} twice")
    chip = chip_of(chip_name, None)
    if not any(phase.teach for phase in chip.schedule) or chip.fire_mode != "race":
        raise UserError(f"chip must race and teach a read-out, as tiles does, not {chip.name}")
    load_dataset(data, progress=console.status).check(chip, labels_for="the comparison")
    plans = [Plan(made_of(chip, device), device, data, images, seed) for device in chosen for seed in seeds]
    console.status(console.COMPILING)
    with console.progress("points") as shown:
        lines = compare_devices(plans, out, scheduler=scheduler, workers=workers, progress=shown)
    table = summary(lines)
    written = [out, *(out.with_suffix(suffix) for suffix in (".md", ".png", ".svg"))]
    write_text(written[1], f"{table}\n")
    for path in written[2:]:
        comparison_picture(lines, path)
    console.show({"chip": chip.name, "devices": names, "evaluated_on": "validation", "lines": lines}, as_json=as_json,
                 text="\n".join([table, "", "validation images; energies, times and wear are a model",
                                 f"written {', '.join(map(str, [*also, *written]))}"]))


@click.command()
@click.argument("names", metavar="NAME|FILE...", nargs=-1, required=True)
@chip_option
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(0), default=(1, 2, 3), show_default=True,
              help="seeds; repeatable")
@click.option("--images", type=click.IntRange(100), default=50_000, show_default=True,
              help="training images at most; validation images are used to evaluate, not to learn")
@click.option("--base", default=NOMINAL, show_default=True, metavar="NAME|FILE",
              help="device that gives what files of measurements do not")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("runs/devices.csv"),
              show_default=True,
              help="CSV file; points that are there are not run again; table and pictures go to the same folder")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="processes of this machine")
@_scheduler
@data_option
@json_option
def compare(names: tuple[str, ...], chip_name: str, seeds: tuple[int, ...], images: int, base: str, out: Path,
            workers: int, scheduler: str | None, data_source: str | None, as_json: bool) -> None:
    """devices side by side: accuracy learned and programmed, energy, time, endurance, retention

    A device is a preset, a TOML file, or a file of measurements, which is fitted first.
    """
    _compared([_device(name, base) for name in names], chip_name, seeds, images, out, data_source, scheduler, workers,
              as_json)


@click.command()
@click.argument("measured", metavar="FILE|NAME")
@chip_option
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(0), default=(1,), show_default=True,
              help="seeds; repeatable")
@click.option("--images", type=click.IntRange(100), default=10_000, show_default=True,
              help="training images at most; validation images are used to evaluate, not to learn")
@click.option("--base", default=NOMINAL, show_default=True, metavar="NAME|FILE",
              help="device that gives what the file does not")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=None,
              help="folder for device, chip, table and pictures  [default: runs/study-NAME]")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True,
              help="processes of this machine, if there are several seeds")
@_scheduler
@data_option
@json_option
def study(measured: str, chip_name: str, seeds: tuple[int, ...], images: int, base: str, out: Path | None, workers: int,
          scheduler: str | None, data_source: str | None, as_json: bool) -> None:
    """from a file of measurements to accuracy, energy, lifetime and a figure, in one line

    Fits the device, makes a chip of it, learns with all of its non-idealities, programs it once for comparison, lets it
    age, and prices everything.
    """
    chosen = _device(measured, base)
    folder = out or Path("runs") / f"study-{chosen.name}"
    made = made_of(chip_of(chip_name, None), chosen)
    written = [folder / f"{chosen.name}.toml", folder / "chip.toml"]
    for path, text in zip(written, (chosen.to_toml(), made.to_toml()), strict=True):
        write_text(path, text, make_folder=True)
    _compared([chosen], chip_name, seeds, images, folder / "study.csv", data_source, scheduler, workers, as_json,
              also=[str(path) for path in written])


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path, exists=True, file_okay=False))
@device_option
@click.option("--test-images", type=click.IntRange(1), default=None, help="images to evaluate  [default: all]")
@data_option
@json_option
def age(run: Path, device_name: str | None, test_images: int | None, data_source: str | None, as_json: bool) -> None:
    """accuracy of a run's chip after an hour, a day and a year, as it is and learning on; and when its cells wear out

    Every cell drifts by the device's retention. The chip is evaluated on the images that the run was evaluated on.
    """
    from ohmspike.chip.markdown import markdown_table
    from ohmspike.host.data.images import load_dataset
    from ohmspike.host.runs.energy import read_run
    from ohmspike.host.studies.devices import REFRESH, age_run
    from ohmspike.sim.analog.lifetime import AGES, wear_text

    read = read_run(run)
    device = device_of(read.chip, device_name)
    result = age_run(read, device, load_dataset(data_source, progress=console.status), test_images)
    rows = [["new", f"{result['accuracy']:.2%}", ""],
            *([f"after {name}", f"{result[f'after {name}']:.2%}", f"{result[f'after {name}, learning on']:.2%}"]
              for name in AGES)]
    lines = [markdown_table(["", "as it is", f"learning on, {REFRESH:,} images"], rows).rstrip(), "",
             f"{result['evaluated']:,} images; drift of {device.retention_drift:.2%} of the range per decade of time",
             wear_text(result["pulses"]) if result["pulses"] else
             "the run did not count pulses of cells: `ohmspike learn --pulses` does"]
    console.show({"chip": read.chip.name, "device": device.name, **result}, as_json=as_json, text="\n".join(lines))
