"""``ohmspike device``: memristors, and a memristor of one's own."""

import dataclasses
from pathlib import Path

import click

from ohmspike.host.support import console
from ohmspike.host.support.atomic import write_whole
from ohmspike.host.support.units import engineering
from ohmspike.sim.analog.device import (
    NOMINAL,
    Device,
    chip_with_device,
    curvature,
    devices,
    matched_widths,
    plasticity_tables,
    weight_table,
)
from ohmspike.sim.analog.fit import FORMAT, fit_device, read_measurement

from .device_study import compare, study
from .groups import Group
from .options import chip_of, chip_option, json_option, seed_option

__all__ = ["device"]

_PLAIN = ("S", "Ω", "V", "s", "F", "J", "A")
"""Units that take a prefix."""


@click.group(cls=Group)
def device() -> None:
    """memristors: presets, one's own measurements, chips with their tables"""


def _quantities(shown):
    return [{"section": spec.metadata["section"], "name": spec.name, "value": getattr(shown, spec.name),
             "unit": spec.metadata["unit"], "summary": spec.metadata["summary"],
             **dataclasses.asdict(shown.about(spec.name))} for spec in Device.quantities()]


def _tables(shown, chip):
    widths = matched_widths(shown, chip)
    set_table, reset_table = plasticity_tables(shown, chip, 1.0, 1.0)
    return {"chip": chip.name, "weights": weight_table(shown, chip.levels, chip.weight_bits).tolist(),
            "set_levels_per_pulse": (set_table[-1] / 2**chip.fraction_bits).tolist(),
            "reset_levels_per_pulse": (reset_table[-1] / 2**chip.fraction_bits).tolist(),
            "set_width": widths[0], "reset_width": widths[1]}


@device.command()
@click.argument("name", metavar="[NAME|FILE]", required=False)
@chip_option
@json_option
def show(name: str | None, chip_name: str, as_json: bool) -> None:
    """all devices; or one: every value with spread, status and source, and its tables on a chip"""
    if name is None:
        found = [Device.preset(entry) for entry in devices()]
        lines = [f"{'device':16} {'G, µS':>18} {'levels':>7} {'labels':>12} {'SET':>16}  what"]
        lines += [f"{d.name:16} {f'{d.g_min_s * 1e6:.3g} – {d.g_max_s * 1e6:.3g}':>18} {d.levels:>7} "
                  f"{f'{d.nl_set:g} / {d.nl_reset:g}':>12} "
                  f"{f'{d.set_v:g} V, ' + engineering(d.set_s, 's'):>16}  {d.summary}" for d in found]
        console.show({"devices": [{"name": d.name, "summary": d.summary, **d.values()} for d in found]},
                     as_json=as_json, text="\n".join(lines))
        return
    shown, chip = Device.load(name), chip_of(chip_name, None)
    values, tables = _quantities(shown), _tables(shown, chip)
    energies = {f"level {level}": float(shown.read_energy(level / (chip.levels - 1)))
                for level in (0, (chip.levels - 1) // 2, chip.levels - 1)}
    result = {"name": shown.name, "summary": shown.summary, "readout": shown.readout, "values": values,
              "a_set": curvature(shown.nl_set), "a_reset": curvature(shown.nl_reset), "tables": tables,
              "read_j": energies}
    lines = [f"{shown.name}: {shown.summary}", f"read-out {shown.readout}"]
    section = None
    for entry in values:
        if entry["section"] != section:
            section = entry["section"]
            lines.append(f"\n{section}")
        spread = f"±{entry['sigma']:.0%}" if entry["sigma"] else ""
        figure = engineering(entry["value"], entry["unit"]) if entry["unit"] in _PLAIN else \
            f"{entry['value']:g} {entry['unit']}"
        told = f"{entry['status']}{': ' if entry['source'] else ''}{entry['source']}"
        lines.append(f"  {entry['name']:18} {figure:>14} {spread:>5}  {entry['summary']}; {told}")
    middle = (chip.levels - 1) // 2
    lines += ["", f"on chip {chip.name}, {chip.levels} levels",
              f"  weights of levels 0, {middle}, {chip.levels - 1}: "
              f"{', '.join(str(tables['weights'][level]) for level in (0, middle, chip.levels - 1))}"]
    for kind in ("set", "reset"):
        steps = ", ".join(f"{tables[f'{kind}_levels_per_pulse'][level]:.3f}" for level in (0, middle, -1))
        lines.append(f"  a full {kind.upper()} pulse moves levels 0, {middle}, {chip.levels - 1} by {steps}; the "
                     f"chip's own step takes {tables[f'{kind}_width']:.2f} pulses")
    reads = (f"{engineering(value, 'J')} at {level}" for level, value in energies.items())
    lines.append(f"  a read costs {', '.join(reads)}")
    console.show(result, as_json=as_json, text="\n".join(lines))


@device.command(epilog=FORMAT.replace("\n", " "))
@click.argument("csv", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", default=None, help="name of the device  [default: the file's]")
@click.option("--base", default=NOMINAL, show_default=True, metavar="NAME|FILE",
              help="device that voltages, lines and neuron are taken from")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="TOML file of the device")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), default=None, help="PNG of points and fit")
@json_option
def fit(csv: Path, name: str | None, base: str, out: Path | None, plot: Path | None, as_json: bool) -> None:
    """fit a device to a CSV of conductance against pulse number"""
    measured = read_measurement(csv)
    found = fit_device(measured, name or csv.stem, Device.load(base))
    if out is not None:
        write_whole(out, lambda file: file.write(found.device.to_toml().encode()))
    if plot is not None:
        from ohmspike.host.plots.analog import fit_picture

        fit_picture(measured, found, plot)
    fitted = {key: getattr(found.device, key) for key in found.errors}
    result = {"name": found.device.name, "points": found.points, "branches": len(measured.branches), "values": fitted,
              "standard_errors": found.errors, "rms_of_range": found.rms, "set_pulses": found.device.set_pulses,
              "reset_pulses": found.device.reset_pulses}
    lines = [f"{found.device.name}: {found.points} points in {len(measured.branches)} branches"]
    lines += [f"  {key:12} {value:>12.5g} ± {found.errors[key]:.2g}" for key, value in fitted.items()]
    lines += [f"  {kind.upper():5} off the curve by {value:.2%} of the range, rms" for kind, value in found.rms.items()]
    lines += [f"written {path}" for path in (out, plot) if path is not None]
    console.show(result, as_json=as_json, text="\n".join(lines))


@device.command()
@click.argument("name", metavar="NAME|FILE")
@chip_option
@seed_option
@click.option("--width", type=(float, float), default=None, metavar="SET RESET",
              help="width of an update in full pulses  [default: as far as the chip's own tables go]")
@click.option("--fraction-bits", type=click.IntRange(8, 16), default=None,
              help="fraction bits of the tables, fewer where pulses move far  [default: the chip's]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="TOML file of the chip")
def chip(name: str, chip_name: str, seed: int | None, width: tuple[float, float] | None, fraction_bits: int | None,
         out: Path) -> None:
    """write a chip whose weight, SET and RESET tables are those of a device

    The chip keeps the device: what learns on it has the device's non-idealities, and its energy is the device's.
    """
    made = chip_with_device(chip_of(chip_name, seed), Device.load(name), widths=width, fraction_bits=fraction_bits)
    write_whole(out, lambda file: file.write(made.to_toml().encode()))
    console.say(f"written {out}; use it with --chip {out}")


device.add_command(compare)
device.add_command(study)
