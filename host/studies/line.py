"""Images a second through serial lines and an SPI of boards, simulated at the pins; bytes of an image in several codes.

``python -m ohmspike.host.studies.line``

Every byte crosses the simulated wires, bit by bit, in both directions, with the code of the host at the other end; the
host itself takes no time. Clocks do not depend on what the cells hold, so none are loaded. Images come out of a store
as they do in every pass but the first.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import click
import numpy as np

from ohmspike.boards import BOARDS
from ohmspike.boards.pll import PLLS
from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch
from ohmspike.chip.instructions import STATUS_WORDS
from ohmspike.chip.markdown import markdown_table
from ohmspike.host.coding.images import Encoding
from ohmspike.host.data.images import load_mnist
from ohmspike.host.link.frames import encode_frame
from ohmspike.host.link.programs import NO_REPLAYS, programs_of
from ohmspike.host.support import console
from ohmspike.host.targets.rtl import RtlSpiTarget, RtlUartTarget

__all__ = ["HEADS", "Through", "candidates", "line_bytes", "measure"]

_BUSY = list(STATUS_WORDS).index("busy_cycles")
_ROWS = ("ecpix5-85:12000000:runs", "icebreaker:3000000:runs", "ecpix5-85:12000000:bitmap", "icebreaker:3000000:bitmap",
         "ecpix5-85:3000000:bitmap", "ecpix5-85:3000000:runs", "ecpix5-85:spi:bitmap", "ecpix5-85:spi:runs",
         "icebreaker:spi:runs", "ulx3s-85f:3000000:runs", "ulx3s-85f:3000000:store")
_STORE_ROWS = 192
"""48 KiB of block RAM, for some 1,300 images."""
_SPI_CLOCKS = 8  # of the chip, in a bit: the fastest that it follows

HEADS = ("board, chip", "clock", "line", "images as", "bytes an image", "answered/s through the line", "of the engine",
         "learned/s through the line", "of the engine")


@dataclass(frozen=True)
class Through:
    """Clocks of an image, on average: through the line, and with a program in execution."""

    line: float
    engine: float


def line_bytes(chip: Chip, batch: EventBatch, *, runs: bool, replays: np.ndarray = NO_REPLAYS) -> float:
    """Bytes of an image on the way to the chip, on average: frames, numbers, CRC and stuffing included."""
    programs = programs_of(chip, batch, 512, 511, runs=runs, replays=replays, report=False)
    return sum(len(encode_frame(seq, 2, program)) for seq, program in enumerate(programs)) / len(batch)


def measure(target: RtlUartTarget | RtlSpiTarget, batch: EventBatch, *, learn: bool) -> Through:
    """Clocks of the images of a batch through the line of a target."""
    target.present(batch if target.keeps_images else batch[:1], learn=learn, report=False)
    busy, first = int(target.read("status").ravel()[_BUSY]), target.cycles
    target.present(batch, learn=learn, report=False)
    clocks = target.cycles - first
    engine = (int(target.read("status").ravel()[_BUSY]) - busy) % (1 << 32)
    return Through(clocks / len(batch), engine / len(batch))


def _runs_bits(bitmap, skip_bits, run_bits):
    """Bits of the lengths of runs in turn: a length that is all ones goes on in the next number."""
    lengths = np.diff(np.r_[0, np.flatnonzero(np.diff(np.r_[0, bitmap, 0]))])
    return sum(bits * (length // ((1 << bits) - 1) + 1)
               for at, length in enumerate(lengths.tolist()) for bits in (run_bits if at % 2 else skip_bits,))


def _run_bytes(bitmap, skip_bits):
    """Bytes that pass over lines with some bits and let lines spike with the others."""
    skip_max, run_max = (1 << skip_bits) - 1, (1 << 8 - skip_bits) - 1
    lengths = np.diff(np.r_[0, np.flatnonzero(np.diff(np.r_[0, bitmap, 0]))]).tolist()
    return sum((skip - 1) // skip_max * (skip > skip_max) + -(-run // run_max)
               for skip, run in zip(lengths[::2], lengths[1::2], strict=True))


def candidates(bitmaps: np.ndarray) -> dict[str, float]:
    """Bytes of an image on average in codes that could have been chosen, and entropies, by name.

    Parameters
    ----------
    bitmaps : bool array of shape (images, 28, 28)
        Which lines spike. Entropies are those of a pixel given its neighbours, in counts over these images.
    """
    flat = bitmaps.reshape(len(bitmaps), -1).astype(np.uint8)
    packed = np.packbits(flat, axis=1, bitorder="little")
    padded = np.pad(bitmaps.astype(int), ((0, 0), (1, 0), (1, 1)))
    near = {"left": padded[:, 1:, :-2], "above": padded[:, :-1, 1:-1], "above left": padded[:, :-1, :-2],
            "above right": padded[:, :-1, 2:]}

    def entropy(*names):
        context = sum((near[name] << at for at, name in enumerate(names)), np.zeros(bitmaps.shape, int))
        shares = [(chosen.size, chosen.mean()) for value in np.unique(context)
                  for chosen in (bitmaps[context == value],)]
        bits = -sum(count * (p * np.log2(p) + (1 - p) * np.log2(1 - p)) for count, p in shares if 0 < p < 1)
        return float(bits / len(bitmaps) / 8)

    return {
        "FRAME: a bit a line": 1.0 + packed.shape[1],
        "a bit a byte that is not 0, and those bytes": 1.0 + -(-packed.shape[1] // 8)
        + float((packed != 0).sum(1).mean()),
        **{f"numbers in turn, {skip} bits of silent and {run} of spiking lines": 1.0 + float(np.mean(
            [-(-_runs_bits(image, skip, run) // 8) for image in flat])) for skip, run in ((4, 4), (5, 3), (6, 3))},
        **{f"bytes, {skip} bits of silent and {8 - skip} of spiking lines" + " (RUNS)" * (skip == 5):
           2.0 + float(np.mean([_run_bytes(image, skip) for image in flat])) for skip in (4, 5, 6)},
        "entropy, each line by itself": entropy(),
        "entropy, given the line to the left": entropy("left"),
        "entropy, given four neighbours": entropy(*near)}


def _spiking(count):
    """Which lines of the first training images spike in latency code."""
    chip, pictures = Chip.preset("tiles"), load_mnist(progress=console.status).train_images[:count]
    batch = Encoding()(chip, pictures, learn=False, answer=True)
    bitmaps = np.zeros((count, chip.lines), bool)
    for at in range(count):
        codes = batch[at:at + 1].codes
        bitmaps[at, codes[codes >= 0]] = True
    return bitmaps.reshape(count, chip.plane_height, chip.plane_width)


def _row(board, line, images_as, images):
    stored = images_as == "store"
    runs = stored or images_as == "runs"
    entry = BOARDS[board]
    chip = Chip.preset(entry.chip)
    clock, _ = PLLS[entry.pll or entry.family].dividers(entry.oscillator_hz, entry.clock_hz)
    pictures, code = load_mnist(progress=console.status).train_images[:images], Encoding()
    answered, learned = (code(chip, pictures, learn=learn, answer=not learn) for learn in (False, True))
    form = {"lanes": entry.lanes, "small": entry.level_ports == 1, "runs": runs,
            "store": _STORE_ROWS if stored else 0, "progress": console.status}
    opened: RtlSpiTarget | RtlUartTarget
    if line == "spi":
        rate, opened = f"SPI, {clock / _SPI_CLOCKS / 1e6:.2f} MHz", RtlSpiTarget(chip, bit_clocks=_SPI_CLOCKS, **form)
    else:
        baud = int(line)
        rate, opened = f"{baud / 1e6:g} Mbaud", RtlUartTarget(chip, bit_clocks=Fraction(clock, baud), **form)
    with opened as target:
        target.keeps_images = stored
        found = [measure(target, batch, learn=learn) for batch, learn in ((answered, False), (learned, True))]
        replays = NO_REPLAYS if target.stored is None else target.stored.replays(answered, keep=False)
    cells = [f"`{board}`, `{chip.name}`", f"{clock / 1e6:.2f} MHz", rate,
             {"runs": "runs", "store": "replays"}.get(images_as, "bitmaps"),
             f"{line_bytes(chip, answered, runs=runs, replays=replays):.1f}"]
    for through in found:
        cells += [f"{clock / through.line:,.0f}", f"{through.engine / through.line:.0%}"]
    return cells


@click.command()
@click.option("--row", "rows", multiple=True, default=_ROWS, show_default=True,
              metavar="BOARD:BAUD|spi:runs|bitmap|store", help="rows of the table")
@click.option("--images", type=click.IntRange(2), default=200, show_default=True, help="images of each row")
@click.option("--entropy", is_flag=True, help="bytes of an image in several codes instead, of 2,000 images")
def main(rows: Sequence[str], images: int, entropy: bool) -> None:
    """Images/s through the serial lines and an SPI of boards, measured at the pins of the compiled RTL."""
    if entropy:
        click.echo(markdown_table(["code", "bytes an image"], [
            (name, f"{value:.1f}") for name, value in candidates(_spiking(2000)).items()]))
        return
    found = []
    for row in rows:
        board, line, form = row.split(":")
        found.append(_row(board, line, form, images))
        sys.stderr.write(" | ".join(found[-1]) + "\n")
    click.echo(markdown_table(list(HEADS), found))


if __name__ == "__main__":
    main()
