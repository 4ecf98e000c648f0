"""``ohmspike exchange``: networks and conductances in the forms of other tools."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError

from .energy import device_of, device_option
from .groups import Group
from .options import Choice, chip_of, json_option

__all__ = ["exchange", "needs_nir"]


@click.group(cls=Group)
def exchange() -> None:
    """a learned chip for other tools, or a network of theirs as a chip"""


def needs_nir() -> None:
    """Say what to install where the package nir is missing."""
    if importlib.util.find_spec("nir") is None:
        raise UserError("NIR needs the package nir, which is not installed",
                        hint="pip install 'ohmspike[exchange]'")


@exchange.command("export")
@click.argument("learned", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--form", type=Choice(["nir", "npz", "csv"]), required=True,
              help="nir, a graph of a free-running crossbar; npz or csv, conductances and weights as matrices")
@device_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="file, or a folder for csv")
def export(learned: Path, form: str, device_name: str | None, out: Path) -> None:
    """write a learned chip as a NIR graph, or its conductances for CrossSim, aihwkit and others"""
    from ohmspike.host.exchange.conductances import write_csv, write_npz
    from ohmspike.host.exchange.graphs import DIFFERENCES, export_graph
    from ohmspike.host.runs.learned import load

    chip, state, vote = load(learned)
    if form == "nir":
        needs_nir()
        export_graph(out, chip, state, vote)
        for difference in DIFFERENCES:
            console.say(f"note: {difference}")
    elif form == "npz":
        write_npz(out, chip, state, device_of(chip, device_name))
    else:
        write_csv(out, chip, state, device_of(chip, device_name))
    console.say(f"written {out}")


@exchange.command("import")
@click.argument("graph", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--chip", "chip_name", default="spiking", show_default=True, metavar="NAME|FILE",
              help="free-running chip whose cells and widths are taken")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="learned chip (.npz)")
@json_option
def import_(graph: Path, chip_name: str, out: Path, as_json: bool) -> None:
    """a chip of a NIR graph of one layer of integrate-and-fire neurons, and what quantisation costs it"""
    from ohmspike.host.exchange.graphs import DIFFERENCES, import_graph
    from ohmspike.host.runs.learned import save

    needs_nir()
    made = import_graph(graph, chip_of(chip_name, None))
    save(out, made.chip, made.state, made.vote)
    console.show({"chip": made.chip.name, "neurons": made.chip.neurons, "lines": made.chip.lines, "unit": made.unit,
                  "weight_error_worst": made.worst, "weight_error_mean": made.mean,
                  "threshold_error": made.threshold_error, "differences": list(DIFFERENCES), "out": out},
                 as_json=as_json, text="\n".join([
                     f"{made.chip.name}: {made.chip.lines} lines, {made.chip.neurons} neurons",
                     f"weights are off by {made.mean:.2%} of the largest in the mean, {made.worst:.2%} at most; "
                     f"thresholds by {made.threshold_error:.2%} at most",
                     *(f"note: {difference}" for difference in DIFFERENCES), f"written {out}"]))
