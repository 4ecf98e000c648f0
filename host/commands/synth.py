"""``ohmspike synth``: what chips take of six families of FPGAs, by the open front ends of yosys."""

import click

from ohmspike.chip.markdown import markdown_table
from ohmspike.host.support import console

from .options import Choice, chip_of, json_option

__all__ = ["synth"]


@click.command()
@click.argument("chip_names", metavar="CHIP…", nargs=-1, required=True)
@click.option("--family", "families", multiple=True,
              type=Choice(["xilinx", "gowin", "intel", "nexus", "ice40", "ecp5"]),
              help="may be given more than once  [default: all of them]")
@click.option("--small", is_flag=True, help="the small form: fewer gates, more clocks")
@click.option("--lanes", type=click.IntRange(1), default=None, help="synapses per clock  [default: of the form]")
@json_option
def synth(chip_names: tuple[str, ...], families: tuple[str, ...], small: bool, lanes: int | None,
          as_json: bool) -> None:
    """LUTs, flip-flops and RAM that the Verilog of chips takes in six families of FPGAs

    A latch, a combinational loop, a net with two drivers, or a memory of more than 2,048 bits in flip-flops is an
    error. Nothing is placed or routed: `ohmspike build` does that.
    """
    from ohmspike.host.support.errors import UserError
    from ohmspike.sim.rtl.build import lanes_of
    from ohmspike.sim.rtl.families import FAMILIES, RESOURCES, survey, verilog_of

    chips = [chip_of(name, None) for name in chip_names]
    rows = []
    for chip in chips:
        width = lanes_of(chip, lanes=lanes, small=small)
        console.status(f"emitting {chip.name}")
        chosen = families or tuple(FAMILIES)
        try:
            texts = {split: verilog_of(chip, lanes=width, small=small, split=split)
                     for split in {FAMILIES[name].split for name in chosen}}
        except ValueError as error:  # lanes
            raise UserError(str(error)) from None
        for name in chosen:
            console.status(f"{chip.name}: {FAMILIES[name].command}")
            taken = survey(texts[FAMILIES[name].split], FAMILIES[name])
            rows.append({"chip": chip.name, "form": "small" if small else "fast", "lanes": width,
                         "family": FAMILIES[name].title, **taken.cells, "memory bits in flip-flops": sum(
                             taken.registers.values())})
    table = markdown_table(["chip", "form, lanes", "family", *RESOURCES, "memory bits in flip-flops"], [
        (row["chip"], f"{row['form']}, {row['lanes']}", row["family"],
         *(f"{row[name]:,}" for name in (*RESOURCES, "memory bits in flip-flops"))) for row in rows])
    console.show({"rows": rows}, as_json=as_json, text=table.rstrip())
