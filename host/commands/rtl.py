"""``ohmspike rtl``: the RTL of a chip as a folder for other tools."""

from pathlib import Path

import click

from ohmspike.host.support import console

from .options import Choice, chip_of, json_option

__all__ = ["rtl"]


@click.command()
@click.argument("chip_name", metavar="CHIP")
@click.option("--out", type=click.Path(path_type=Path), default=None,
              help="a new folder for everything  [default: rtl-CHIP]")
@click.option("--small", is_flag=True, help="the small form: fewer gates, more clocks")
@click.option("--lanes", type=click.IntRange(1), default=None, help="synapses per clock  [default: of the form]")
@click.option("--wrapper", "--port", "port", type=Choice(["stream", "uart", "spi", "axi", "aer"]), default="stream",
              help="what is around the chip: byte streams, serial line, SPI, AXI with registers, address events")
@click.option("--runs", is_flag=True, help="a chip that takes images as runs: a third of the bytes on the line")
@click.option("--split-lanes", "split", is_flag=True,
              help="one memory per lane instead of one with an enable per lane: for Cyclone V (docs/rtl.md)")
@click.option("--store", "kib", type=click.IntRange(1, 16_383), default=None, metavar="KIB",
              help="KiB of a store that keeps the images of several passes in the chip")
@click.option("--mhz", type=click.FloatRange(0.001), default=50.0, help="clock, for constraints and serial line")
@click.option("--baud", type=click.IntRange(1), default=1_000_000, help="rate of the serial line")
@click.option("--samples", type=click.IntRange(1, 1000), default=4, help="samples that the test bench learns")
@click.option("--seed", type=click.IntRange(0), default=1, help="of the test bench")
@json_option
def rtl(chip_name: str, out: Path | None, small: bool, lanes: int | None, port: str, runs: bool, split: bool,
        kib: int | None, mhz: float, baud: int, samples: int, seed: int, as_json: bool) -> None:
    """write Verilog, register map, test bench and constraints

    The bench needs no Python: it replays a session in which the chip learns, and compares every byte with what the
    exact model says. It runs in Icarus Verilog and Verilator.
    """
    from ohmspike.host.export import export

    chip = chip_of(chip_name, None)
    given = [f"ohmspike rtl {chip_name}", *(["--small"] if small else []), *([f"--lanes {lanes}"] if lanes else []),
             *([f"--wrapper {port}"] if port != "stream" else []), *(["--runs"] if runs else []),
             *(["--split-lanes"] if split else []),
             *([f"--store {kib}"] if kib else []),
             *([f"--baud {baud}"] if port == "uart" else []),
             f"--mhz {mhz:g}"]
    result = export(chip, out or Path(f"rtl-{chip.name}"), lanes=lanes, small=small, port=port, runs=runs, split=split,
                    store=4 * (kib or 0), clock_hz=round(mhz * 1e6), baud=baud, samples=samples, seed=seed,
                    command=" ".join(given), progress=console.status)
    console.show({"folder": str(result.folder), "lanes": result.lanes, "vectors": result.vectors}, as_json=as_json,
                 text=f"{result.folder}: {result.lanes} lanes, a bench of {result.vectors:,} bytes; begin with "
                      f"{result.folder / 'README.md'}")
