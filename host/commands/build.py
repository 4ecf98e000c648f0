"""``ohmspike build``: the bitstream of a chip for a board, and what it takes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ohmspike.boards import BOARDS
from ohmspike.host.support import console

from .options import Choice, chip_of, json_option

__all__ = ["build"]


class BoardName(Choice):
    """A board of ours, or a Python file with one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name or the file as it is typed, or a usage error."""
        return value if value.endswith(".py") else super().convert(value, param, ctx)


SDRAM = -1
KIB_MAX = 16_383


class StoreSize(click.ParamType):
    """KiB of block RAM, or ``sdram``."""

    name = "KIB|sdram"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The KiB, or :data:`SDRAM`."""
        if value == "sdram":
            return SDRAM
        if not (str(value).isdecimal() and 1 <= int(value) <= KIB_MAX):
            self.fail(f"must be 1 to {KIB_MAX} KiB or sdram, not {value!r}", param, ctx)
        return int(value)


@click.command()
@click.option("--board", type=BoardName(list(BOARDS)), required=True,
              help="what it is for, or a Python file that sets BOARD")
@click.option("--chip", "chip_name", default=None, metavar="NAME|FILE",
              help="preset or TOML file  [default: that of the board]")
@click.option("--lanes", type=click.IntRange(1), default=None, help="synapses per clock  [default: of the board]")
@click.option("--mhz", type=click.FloatRange(1.0), default=None, help="clock of the chip  [default: of the board]")
@click.option("--baud", type=click.IntRange(1), default=None, help="rate of the serial line  [default: of the board]")
@click.option("--runs", is_flag=True, help="a chip that takes images as runs: a third of the bytes on the line")
@click.option("--store", type=StoreSize(), default=None,
              help="a store that keeps the images of several passes on the board: KiB of block RAM, or sdram")
@click.option("--seed", type=click.IntRange(0), default=None, help="seed of the placer  [default: the tool's]")
@click.option("--out", type=click.Path(path_type=Path), default=None,
              help="folder for bitstream, logs and report.json  [default: build/BOARD-CHIP]")
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="file of builds to which the figures are added (docs/builds.json in the repository)")
@click.option("--program", is_flag=True, help="load the bitstream into the board, with openFPGALoader")
@json_option
def build(board: str, chip_name: str | None, lanes: int | None, mhz: float | None, baud: int | None, runs: bool,
          store: int | None, seed: int | None, out: Path | None, record: Path | None, program: bool,
          as_json: bool) -> None:
    """bitstream of a chip for a board: resources, frequency, worst path"""
    from ohmspike.boards.build import build as build_bitstream
    from ohmspike.boards.build import load
    from ohmspike.boards.foreign import board_of
    from ohmspike.boards.records import added, read
    from ohmspike.host.support.atomic import check_writable, write_text
    from ohmspike.host.support.errors import UserError

    entry = board_of(board)
    if record is not None:
        if board not in BOARDS:
            raise UserError(f"--record must be of a board of ours, not of {board!r}",
                            hint="report.json has the figures")
        check_writable(record.parent)
        read(record)
    chip = chip_of(chip_name or entry.chip, None)
    folder = out or Path("build", f"{entry.name}-{chip.name}")
    report = build_bitstream(board, chip, folder=folder, lanes=lanes, baud=baud, runs=runs, seed=seed,
                             store=4 * max(0, store or 0), sdram=store == SDRAM,
                             progress=console.status, clock_hz=None if mhz is None else round(mhz * 1e6))
    if record is not None:
        write_text(record, json.dumps(added(read(record), report), indent=1) + "\n", make_folder=True)
    console.show(asdict(report), as_json=as_json, text=report.text())
    if program:
        load(board, Path(report.bitstream))
        console.say(f"loaded into {entry.title}")
