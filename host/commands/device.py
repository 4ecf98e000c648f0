"""``ohmspike device``: memristors, and a memristor of one's own."""

import contextlib
import dataclasses
from pathlib import Path

import click

from ohmspike.host.support import console
from ohmspike.host.support.atomic import check_places, write_text
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.sim.analog.device import (
    NOMINAL,
    Device,
    DeviceError,
    chip_with_device,
    curvature,
    devices,
    matched_widths,
    plasticity_tables,
    weight_table,
    with_states,
)
from ohmspike.sim.analog.fit import (
    FORMAT,
    NOT_THIS_KIND,
    Fit,
    Measurement,
    Options,
    fit_device,
    preview,
    read_measurement,
)

from .device_study import age, compare, study
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
    try:
        set_table, reset_table = plasticity_tables(shown, chip, 1.0, 1.0)
    except DeviceError:  # one pulse goes far: fewer bits of fraction tell it
        chip = dataclasses.replace(chip, fraction_bits=8)
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
        presets = [Device.preset(entry) for entry in devices()]
        lines = [f"{'device':16} {'G, µS':>18} {'levels':>7} {'labels':>12} {'SET':>16}  what"]
        lines += [f"{d.name:16} {f'{d.g_min_s * 1e6:.3g} – {d.g_max_s * 1e6:.3g}':>18} {d.levels:>7} "
                  f"{f'{d.nl_set:g} / {d.nl_reset:g}':>12} "
                  f"{f'{d.set_v:g} V, ' + engineering(d.set_s, 's'):>16}  {d.summary}" for d in presets]
        console.show({"devices": [{"name": d.name, "summary": d.summary, **d.values()} for d in presets]},
                     as_json=as_json, text="\n".join(lines))
        return
    shown = Device.load(name)
    chip = with_states(chip_of(chip_name, None), shown)
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
        provenance = f"{entry['status']}{': ' if entry['source'] else ''}{entry['source']}"
        lines.append(f"  {entry['name']:18} {figure:>14} {spread:>5}  {entry['summary']}; {provenance}")
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
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", default=None, help="name of the device  [default: the first file's]")
@click.option("--base", default=NOMINAL, show_default=True, metavar="NAME|FILE",
              help="device that voltages, lines, neuron and what was not measured are taken from")
@click.option("--preview", "only_preview", is_flag=True, help="show what was understood of the files, and fit nothing")
@click.option("--read-v", type=click.FloatRange(0, min_open=True), default=None, metavar="V",
              help="voltage that currents were read at")
@click.option("--unit", default=None, help="unit of the readings, where the file has none or a wrong one")
@click.option("--range", "scale", type=(float, float), default=None, metavar="G_MIN G_MAX",
              help="conductances in S that normalised readings stand for")
@click.option("--columns", default=None, metavar="HEAD,…", help="headers in place of the file's")
@click.option("--traces", type=click.Choice(["cycle", "device"]), default=None,
              help="what columns or files without a label stand for")
@click.option("--curve", "curve_of", type=click.Choice(["auto", "formula", "measured"]), default="auto",
              show_default=True,
              help="what makes the tables: NeuroSim's curve, or the measured steps where it does not fit")
@click.option("--read-noise", type=click.FloatRange(0, 1), default=None, metavar="SHARE",
              help="read noise of the set-up, share of the range, where no state was read twice")
@click.option("--access-ohm", type=click.FloatRange(0, 1e7), default=0.0, show_default=True, metavar="OHM",
              help="resistance of the cell that the measurement had not in it")
@click.option("--accept", is_flag=True, help="write a device even of a fit that is no device of this kind")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="TOML file of the device")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="picture of readings, fit and what is left, PNG or SVG")
@json_option
def fit(files: tuple[Path, ...], name: str | None, base: str, only_preview: bool, read_v: float | None,
        unit: str | None, scale: tuple[float, float] | None, columns: str | None, traces: str | None, curve_of: str,
        read_noise: float | None, access_ohm: float, accept: bool, out: Path | None, plot: Path | None,
        as_json: bool) -> None:
    """fit a device to measured curves of conductance against pulses"""
    heads = tuple(column.strip() for column in columns.split(",")) if columns else ()
    options = Options(read_v, unit, scale, heads, traces)
    measured = read_measurement(*files, options=options)
    if only_preview:
        lines = preview(measured)
        console.show({"lines": lines}, as_json=as_json, text="\n".join(lines))
        return
    check_places(out, plot)
    with contextlib.ExitStack() as stack:
        many = len(measured.devices) > 1
        fit_result = fit_device(measured, name or files[0].stem, Device.load(base), access_ohm=access_ohm,
                           read_noise=read_noise, curve_of=curve_of,
                           progress=stack.enter_context(console.progress("devices fitted")) if many else None)
    if plot is not None:
        from ohmspike.host.plots.analog import fit_picture

        fit_picture(measured, fit_result, plot)
    refused = fit_result.verdict == NOT_THIS_KIND and not accept
    if out is not None and not refused:
        write_text(out, fit_result.device.to_toml())
    written = [path for path in (out if not refused else None, plot) if path is not None]
    _show_fit(measured, fit_result, written, as_json)
    if refused:
        grave = next(doubt for doubt in fit_result.doubts if doubt.grave)
        raise UserError(f"{measured.source}: not this kind of device: {grave.reason}",
                        hint=grave.cure if "--accept" in grave.cure else f"{grave.cure}; --accept writes it all the "
                                                                         f"same")


def _show_fit(measured: Measurement, fit_result: Fit, written: list[Path], as_json: bool) -> None:
    fitted = {key: getattr(fit_result.device, key) for key in fit_result.errors}
    result = {"name": fit_result.device.name, "points": fit_result.points, "branches": len(measured.branches),
              "verdict": fit_result.verdict, "doubts": [dataclasses.asdict(doubt) for doubt in fit_result.doubts],
              "curve": fit_result.curve, "notes": [*measured.notes, *fit_result.notes], "values": fitted,
              "standard_errors": fit_result.errors, "rms_of_range": fit_result.rms, "levels": fit_result.device.levels,
              "set_pulses": fit_result.device.set_pulses, "reset_pulses": fit_result.device.reset_pulses,
              "noise_law": fit_result.device.noise_law, "by_device": fit_result.by_device}
    of_devices = f" of {len(measured.devices)} devices" if len(measured.devices) > 1 else ""
    lines = [f"{fit_result.device.name}: {fit_result.points} points in {len(measured.branches)} branches{of_devices}; "
             f"the fit is {fit_result.verdict}"]
    for doubt in fit_result.doubts:
        lines.append(f"  doubt: {doubt.reason}{f'; {doubt.cure}' if doubt.cure else ''}")
    lines += [f"  {key:12} {value:>12.5g} ± {fit_result.errors[key]:.2g}" for key, value in fitted.items()]
    lines += [f"  {kind.upper():5} off the curve by {value:.2%} of the range, rms"
              for kind, value in fit_result.rms.items()]
    for label, values in list(fit_result.by_device.items())[:12]:
        lines.append(f"  device {label}: labels {values['nl_set']:.2f} / {values['nl_reset']:.2f}, "
                     f"{values['g_min_s'] * 1e6:.4g} – {values['g_max_s'] * 1e6:.4g} µS")
    lines += [f"  note: {note}" for note in (*measured.notes, *fit_result.notes)]
    lines += [f"written {path}" for path in written]
    console.show(result, as_json=as_json, text="\n".join(lines))


@device.command()
@click.option("--seeds", type=click.IntRange(2), default=50, show_default=True,
              help="simulated measurements of each case")
@click.option("--case", "cases", type=click.IntRange(1), multiple=True, metavar="N",
              help="of the table alone, from 1; may be repeated")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="processes")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="CSV file of all fits; those that are there are not made again")
@json_option
def coverage(seeds: int, cases: tuple[int, ...], jobs: int, out: Path | None, as_json: bool) -> None:
    """how often two standard errors of a fit hold the truth: a study on simulated measurements"""
    from ohmspike.host.studies.coverage import cover_cases
    from ohmspike.sim.analog.fitting.coverage import CASES, COLUMNS, markdown

    if cases and max(cases) > len(CASES):
        raise click.BadParameter(f"must be 1 to {len(CASES)}, not {max(cases)}", param_hint="--case")
    chosen = [CASES[number - 1] for number in cases] if cases else list(CASES)
    check_places(out)
    with console.progress("fits") as progress:
        covered = cover_cases(chosen, seeds, out, jobs=jobs, progress=progress)
    result = [{"case": each.case.name, "seeds": seeds, **{
        name: {"truth": float(truth), "mean": float(mean), "deviation": float(deviation), "told": float(told),
               "cover": float(cover)} for name, truth, mean, deviation, told, cover in
        zip(COLUMNS, each.case.truth(), each.mean, each.deviation, each.told, each.cover, strict=True)}}
        for each in covered]
    console.show({"cases": result}, as_json=as_json, text=markdown(covered))


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
    write_text(out, made.to_toml())
    console.say(f"written {out}; use it with --chip {out}")


device.add_command(age)
device.add_command(compare)
device.add_command(study)
