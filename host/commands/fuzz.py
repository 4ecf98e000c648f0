"""``ohmspike fuzz``: damaged frames at the link of a chip."""

import time

import click

from ohmspike.host.support import console

from .options import chip_of, json_option

__all__ = ["fuzz"]


@click.command()
@click.option("--chip", "chip_name", default="tiny", show_default=True, metavar="NAME|FILE", help="preset or TOML file")
@click.option("--frames", type=click.IntRange(1), default=1_000_000, show_default=True, help="damaged frames sent")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="seed of the damage")
@json_option
def fuzz(chip_name: str, frames: int, seed: int, as_json: bool) -> None:
    """damaged frames at the link of the compiled RTL; exit code 1 if one is acted upon or the chip hangs"""
    from ohmspike.host.integrity.fuzz import fuzz as fuzz_link
    from ohmspike.host.link.ports import CompiledPort
    from ohmspike.sim.rtl.build import compile_chip

    chip = chip_of(chip_name, None)
    with compile_chip(chip, progress=console.status) as rtl:
        start = time.monotonic()
        with console.progress("damaged frames") as progress:
            report = fuzz_link(CompiledPort(rtl, patience=1_000_000), chip, frames, seed=seed, progress=progress)
        result = {"chip": chip.name, **report.as_dict(), "clocks": rtl.cycles,
                  "seconds": round(time.monotonic() - start, 1)}
    lines = [f"{report.mutants:,} damaged frames, seed {seed}: none acted upon, no hang", "",
             *(f"{kind:16} {count:>10,}" for kind, count in result["kinds"].items()), "",
             *(f"{kind:16} {count:>10,} from the chip" for kind, count in result["frames_from_chip"].items())]
    console.show(result, as_json=as_json, text="\n".join(lines))
