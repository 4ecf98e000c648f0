"""Speed of the model and of the compiled RTL: ``python -m ohmspike.host.bench`` (or ``make bench``)."""

import os
import sys
import time

import click

from ohmspike.chip import Chip
from ohmspike.sim.state import ChipState

from . import console
from .data import load_mnist
from .learning import Encoding
from .targets import ModelTarget, RtlTarget

__all__ = ["measure"]

_CHIPS = ("paper100", "paper400", "paper", "tiles", "up5k")
_REPEATS = 3


def measure(target, batches, *, learn: bool) -> tuple[float, float]:
    """Images/s of the best and of the median of repeated presentations of encoded batches."""
    images, seconds = sum(len(batch) for batch in batches), []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        for batch in batches:
            target.present(batch, learn=learn)
        seconds.append(time.perf_counter() - started)
    return images / min(seconds), images / sorted(seconds)[len(seconds) // 2]


@click.command()
@click.option("--chip", "names", multiple=True, default=_CHIPS, help="presets to measure")
@click.option("--images", type=click.IntRange(1), default=20_000, show_default=True, help="images for the model")
@click.option("--rtl-images", type=click.IntRange(0), default=300, show_default=True, help="images for the RTL, or 0")
def main(names, images, rtl_images):
    """images/s of exact model and compiled RTL, events encoded beforehand, all counters on"""
    pictures, code = load_mnist(progress=console.status).train_images, Encoding()
    cores = os.cpu_count() or 1
    write = sys.stdout.write
    write(f"{'chip':10} {'body':22} {'learning':>12} {'inference':>12}   images/s, best of {_REPEATS}\n")
    for name in names:
        chip = Chip.load(name)

        def batches(count, learn, chip=chip):
            parts = (pictures[first:min(first + 1000, count)] for first in range(0, count, 1000))
            return [code(chip, part, learn=learn) for part in parts]

        for threads in sorted({1, cores}):
            target = ModelTarget(chip, threads=threads)
            target.load(ChipState.initial(chip))
            infer = measure(target, batches(images, False), learn=False)[0]
            learn = measure(target, batches(images, True), learn=True)[0]
            write(f"{name:10} {f'model, threads: {threads}':22} {learn:12,.0f} {infer:12,.0f}\n")
        if rtl_images:
            with RtlTarget(chip, progress=console.status) as target:
                target.load(ChipState.initial(chip))
                learn = measure(target, batches(rtl_images, True), learn=True)[0]
                infer = measure(target, batches(rtl_images, False), learn=False)[0]
                write(f"{name:10} {'RTL, compiled':22} {learn:12,.0f} {infer:12,.0f}\n")


if __name__ == "__main__":
    main()
