"""``ohmspike spice``: the analog twin checked against ngspice, on a real chip and a real image."""

import sys
from pathlib import Path

import click

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.sim.analog.cases import CASES, Scene, evaluate
from ohmspike.sim.analog.spice import Simulator
from ohmspike.sim.state import ChipState

from .energy import device_of, device_option
from .options import Choice, chip_of, chip_option, data_option, json_option, seed_option

__all__ = ["spice", "table"]


def _figure(value, unit):
    if unit in ("J", "V", "A"):
        return engineering(value, unit)
    return f"{value:.4g} {unit}".strip()


def table(checks: list[dict]) -> str:
    """Checks of :meth:`ohmspike.sim.analog.cases.Check.to_dict`, one a line."""
    lines = [f"{'case':9} {'what':48} {'twin':>17} {'SPICE':>17} {'off by':>9} {'allowed':>8}"]
    for check in checks:
        style = ".2%" if check["share"] else ".2g"
        off, allowed = (format(check[key], style) for key in ("deviation", "limit"))
        lines.append(f"{check['case']:9} {check['what']:48} {_figure(check['twin'], check['unit']):>17} "
                     f"{_figure(check['spice'], check['unit']):>17} {off:>9} {allowed:>8}"
                     f"{'' if check['ok'] else '  violated'}")
    return "\n".join(lines)


@click.command()
@click.argument("learned", metavar="[RUN|FILE]", type=click.Path(path_type=Path), required=False)
@chip_option
@seed_option
@device_option
@click.option("--case", "cases", multiple=True, type=Choice(list(CASES)), help="a case  [default: all]")
@click.option("--image", type=click.IntRange(0, 9999), default=0, show_default=True, help="test image that is shown")
@data_option
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), default=None,
              help="folder in which netlists and waveforms stay")
@json_option
def spice(learned: Path | None, chip_name: str, seed: int | None, device_name: str, cases: tuple[str, ...], image: int,
          data_source: str | None, keep: Path | None, as_json: bool) -> None:
    """ngspice against the analog twin; exit code 1 if they differ by more than allowed

    Conductances are those of a learned chip (a run folder, or its learned.npz); without one, those of --chip before it
    learns.
    """
    from ohmspike.host.data.images import load_dataset
    from ohmspike.host.runs.learned import load

    if learned is None:
        chip = chip_of(chip_name, seed)
        state = ChipState.initial(chip)
    else:
        chip, state, _ = load(learned / "learned.npz" if learned.is_dir() else learned)
    device, simulator = device_of(chip, device_name), Simulator(keep)
    console.status(f"{simulator.path}, version {simulator.version}")
    data = load_dataset(data_source, progress=console.status)
    data.check_plane(chip)
    if image >= len(data.test_images):
        raise UserError(f"--image must be 0 to {len(data.test_images) - 1} for {data.name}, not {image}")
    shown = data.test_images[image]
    checks = [check.to_dict() for check in evaluate(Scene(chip, state, device, shown), simulator, cases or None,
                                                 progress=console.status)]
    failed = sum(not check["ok"] for check in checks)
    text = f"{chip.name} on {device.name}, image {image}, ngspice {simulator.version}\n\n{table(checks)}\n\n"
    text += f"{len(checks)} checks, {f'{failed} violated' if failed else 'all within what is allowed'}"
    console.show({"chip": chip.name, "device": device.name, "image": image, "ngspice": simulator.version,
                  "checks": checks, "violated": failed}, as_json=as_json, text=text)
    if failed:
        sys.exit(1)
