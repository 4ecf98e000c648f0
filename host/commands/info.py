"""``ohmspike info``: chips, and what a chip holds."""

import math

import click

from ohmspike.chip import Chip, presets
from ohmspike.chip.state import ChipState
from ohmspike.host.runs.folder import tool_versions
from ohmspike.host.support import console

from .options import json_option

__all__ = ["info"]


def _summary(chip: Chip) -> dict:
    grid = f"{chip.grid_height}x{chip.grid_width}" if chip.windows > 1 else "one"
    grid += " windows" if chip.shared else ""
    return {"chip": chip.name, "tiles": chip.tiles, "grid": grid, "rows": chip.rows, "neurons": chip.neurons,
            **({"second layer": f"{chip.upper.rows} x {chip.upper.neurons}, "
                                f"{chip.upper.grid_height}x{chip.upper.grid_width} windows"} if chip.upper else {}),
            "fire_mode": chip.fire_mode, "winners": chip.winners, "learners": chip.learners,
            "synapses": chip.synapses,
            **({"synapses, second layer": chip.layer_synapses} if chip.upper else {}),
            "read_out_synapses": chip.read_out_synapses, "levels": chip.levels,
            "digest": chip.digest, "structure_digest": chip.structure_digest}


def _details(chip: Chip, lanes: int | None) -> dict:
    from ohmspike.sim.rtl.build import cost_table, default_lanes, unbuilt

    lanes = min(lanes or default_lanes(chip), chip.neurons)
    memories = {entry.name: math.prod(entry.grid(chip)) * entry.bits(chip) for entry in ChipState.memories()
                if entry.rows(chip)}
    memories["registers"] = sum(entry.bits(chip) for entry in ChipState.registers())
    layers = (chip, chip.upper) if chip.upper else (chip,)
    memories["membranes"] = sum(layer.tiles * layer.neurons * layer.membrane_bits for layer in layers)
    if chip.shared:
        memories |= {"noted lines": sum(layer.lines for layer in layers), "best places": sum(
            layer.regions * layer.neurons * layer.winners.bit_length() for layer in layers)}
    return {**_summary(chip), "memory_bits": memories, "bits": sum(memories.values()), "lanes": lanes,
            "unbuilt": unbuilt(chip), "cycles": {} if unbuilt(chip) else cost_table(chip, lanes)}


@click.command()
@click.argument("chip_name", metavar="[CHIP]", required=False)
@click.option("--lanes", type=click.IntRange(1), default=None, help="synapses per clock  [default: of the RTL target]")
@json_option
def info(chip_name: str | None, lanes: int | None, as_json: bool) -> None:
    """chips and tools; or one chip: synapses, bits, memory, cycles"""
    if chip_name is None:
        chips = [Chip.preset(name) for name in presets()]
        versions = tool_versions()
        wide = max(len(chip.name) for chip in chips)
        lines = [f"{'chip':{wide}} {'tiles':>6} {'rows':>5} {'neurons':>8} {'synapses':>9}  fires"]
        lines += [f"{chip.name:{wide}} {chip.tiles:>6} {chip.rows:>5} {chip.neurons:>8} {chip.synapses:>9,}  "
                  f"{chip.fire_mode}" for chip in chips]
        lines += ["", *(f"{name:16} {version}" for name, version in versions.items())]
        summaries = [_summary(chip) for chip in chips] if as_json else []  # with digests, which take their time
        console.show({"chips": summaries, "versions": versions}, as_json=as_json, text="\n".join(lines))
        return
    chip = Chip.load(chip_name)
    details = _details(chip, lanes)
    lines = [f"{name:18} {details[name]:,}" if isinstance(details[name], int) else f"{name:18} {details[name]}"
             for name in _summary(chip)]
    lines += ["", "memory, bits", *(f"  {name:16} {bits:>12,}" for name, bits in details["memory_bits"].items()),
              f"  {'together':16} {details['bits']:>12,}"]
    if details["cycles"]:
        lines += ["", f"clocks at {details['lanes']} lanes",
                  *(f"  {name:44} {clocks:>8,}" for name, clocks in details["cycles"].items())]
    if lacks := details["unbuilt"]:
        lines += ["", f"no RTL: {lacks}"]
    console.show(details, as_json=as_json, text="\n".join(lines))
