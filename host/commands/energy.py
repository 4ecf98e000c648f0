"""``ohmspike energy``: what a run would have cost on the analog chip."""

from pathlib import Path

import click

from ohmspike.chip import Chip
from ohmspike.host.runs.energy import TWIN_HERTZ, TWIN_WATTS, energy_of, read_run
from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.sim.analog.device import NOMINAL, Device

from .options import json_option

__all__ = ["device_of", "device_option", "energy"]

device_option = click.option("--device", "device_name", default=None, metavar="NAME|FILE",
                             help="device (see `ohmspike device show`) or TOML file  [default: that of which the chip "
                                  f"is made; {NOMINAL} if it is of none]")


def device_of(chip: Chip, device_name: str | None) -> Device:
    """The device of a chip: the one named, if the chip is not made of another; else its own, else a nominal one.

    Raises
    ------
    UserError
        The chip is made of another memristor than the one that is named.
    """
    own = Device.of_chip(chip)
    if device_name is None:
        if own is None:
            console.status(f"{chip.name} names no device: energy is that of the preset {NOMINAL}")
        return own or Device.preset(NOMINAL)
    named = Device.load(device_name)
    if own is not None and not own.same_memristor(named):
        raise UserError(f"device must be {own.name}, of which {chip.name} is made, not {named.name}",
                        hint=f"leave --device away; `ohmspike learn --device {device_name}` learns on a chip of "
                             "that one")
    return named


_FEW_ELECTRONS = 100.0


def _joules(value):
    return engineering(value, "J")


def _range(figure):
    return f"{_joules(figure['value']):>9}  [{_joules(figure['p5'])} – {_joules(figure['p95'])}]"


def _consistent(figure):
    if not figure["consistent"]:
        return ""
    return ", consistent" if figure["p95"] < 10 * figure["p5"] else ", within its wide spread"


def _text(bill):
    lines = [f"{bill['chip']} on {bill['device']}: {bill['note']}; in brackets the 5th and 95th percentile"]
    for name, phase in bill["phases"].items():
        images = max(phase["images"], 1)
        lines += ["", f"{name}, {phase['images']:,.0f} images: {_range(phase['total_j']).strip()}",
                  f"  {'an image':14}   share"]
        for part, figure in phase["components_j"].items():
            if figure["value"]:
                each = {key: figure[key] / images for key in ("value", "p5", "p95")}
                lines.append(f"  {part:14} {figure['share']:7.1%} {_range(each):34} {figure['what']}")
        if each := phase["image_s"]:
            parts = ", ".join(f"{name} {engineering(value, 's')}" for name, value in each.items() if value)
            lines.append(f"  an image takes {engineering(sum(each.values()), 's')}: {parts}")
        lines += [f"  per {per:18} {_range(figure)}" for per, figure in phase["per_j"].items()]
        lines.append("  \"20 fJ per spike\", if a spike is")
        lines += [f"    {meaning:46} {_range(figure):34} {figure['times_claim']:.3g} times"
                  f"{_consistent(figure)}" for meaning, figure in phase["claims"].items()]
    lines += ["", "what it rests on"]
    lines += [f"  {name:54} {value:.4g}" for name, value in bill["facts"].items()]
    electrons = bill["facts"]["electrons of one unit of weight"]
    if electrons < _FEW_ELECTRONS:
        lines.append(f"  warning: one unit of weight is {electrons:.2g} electrons; noise of that size is not in the "
                     f"accuracy")
    chosen = bill["design_choices"]
    lines.append(f"  {chosen['bill']:.0%} of the total stands in proportion to a design choice, "
                 f"{chosen['uncertainty']:.0%} of the width of its error bar comes of design choices")
    lines.append(f"  left out: {'; '.join(bill['left_out'])}")
    lines += ["", "learning and inference together, if one value is one sigma lower, higher"]
    lines += [f"  {entry['value']:18} {_joules(entry['low_j']):>9} – {_joules(entry['high_j']):9} {entry['status']}"
              for entry in bill["tornado"][:8]]
    twin = bill["twin"]
    lines += ["", f"the digital twin itself, assuming {twin['assumed_watts']:g} W at "
                  f"{engineering(twin['assumed_hertz'], 'Hz')}, clocks {twin['clocks']}"]
    lines += [f"  {name:12} {_joules(value):>9} an image, {twin['clocks_per_image'][name]:,.0f} clocks"
              for name, value in twin["image_j"].items()]
    lines += ["", "published, for context (as stated there)"]
    lines += [f"  {entry['what']:42} {entry['figure']:52} {entry['source']}" for entry in bill["published"]]
    return "\n".join(lines)


@click.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@device_option
@click.option("--twin-watts", type=click.FloatRange(0, min_open=True), default=TWIN_WATTS, show_default=True,
              help="assumed power of a board with the RTL")
@click.option("--twin-hertz", type=click.FloatRange(0, min_open=True), default=TWIN_HERTZ, show_default=True,
              help="assumed clock of that board")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), default=None, help="PNG of the breakdown")
@json_option
def energy(run: Path, device_name: str, twin_watts: float, twin_hertz: float, plot: Path | None, as_json: bool) -> None:
    """what a run would cost on the analog chip, by component, with error bars"""
    ran = read_run(run)
    bill = energy_of(ran, device_of(ran.chip, device_name), twin_watts=twin_watts, twin_hertz=twin_hertz)
    if plot is not None:
        from ohmspike.host.plots.analog import energy_picture

        energy_picture(bill, plot)
    console.show(bill, as_json=as_json, text=_text(bill))
