"""``ohmspike wave``: the waveform of one image in the compiled RTL."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError

from .options import chip_of, chip_option, data_option, json_option, seed_option

__all__ = ["wave"]


@click.command()
@chip_option
@seed_option
@data_option
@click.option("--state", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="learned chip, in place of --chip")
@click.option("--image", type=click.IntRange(0), default=0, show_default=True, help="number of the test image")
@click.option("--learn", is_flag=True, help="let the tiles learn from the image")
@click.option("--small", is_flag=True, help="the small form of the RTL")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("wave.vcd"), show_default=True,
              help="waveform (VCD); views for GTKWave and Surfer get its name with .gtkw and .sucl")
@json_option
def wave(chip_name: str, seed: int | None, data_source: str | None, state: Path | None, image: int, learn: bool,
         small: bool, out: Path, as_json: bool) -> None:
    """write the waveform of one image, with names of states, and a saved view"""
    from ohmspike.host.coding.images import Encoding
    from ohmspike.host.data.images import load_dataset
    from ohmspike.host.runs.learned import load
    from ohmspike.host.support.atomic import check_writable, write_text, write_whole
    from ohmspike.host.targets.rtl import RtlTarget
    from ohmspike.sim.rtl.waves import named_waves, names_of, views
    from ohmspike.sim.state import ChipState

    chip = chip_of(chip_name, seed)
    given = ChipState.initial(chip)
    if state is not None:
        chip, given, _ = load(state)
    data = load_dataset(data_source, console.status)
    data.check(chip)
    if image >= len(data.test_images):
        raise UserError(f"image must be 0 to {len(data.test_images) - 1}, not {image}")
    check_writable(out.parent)
    code = Encoding() if chip.fire_mode == "race" else Encoding(steps=32)
    batch = code(chip, data.test_images[image:image + 1], learn=learn, answer=bool(chip.classes))
    with tempfile.TemporaryDirectory(prefix="ohmspike-wave-") as folder, RtlTarget(
            chip, small=small, progress=console.status, trace=True) as target:
        target.load(given)
        raw, before = Path(folder, "raw.vcd"), target.cycles
        target.rtl.start_trace(raw)
        found = target.present(batch, learn=learn)
        target.rtl.stop_trace()
        cycles = target.cycles - before
        console.status("naming states")
        names, named = names_of(chip, small=small), list[str]()
        with raw.open() as lines:
            write_whole(out, lambda file: file.writelines(
                line.encode() for line in named_waves(lines, names, named)))
    written = [out, *(write_text(out.with_suffix(f".{form}"), text) for form, text in views(out.name, named).items())]
    answer = int(found.answers.label[0]) if found.answers is not None and len(found.answers.label) else None
    view, commands = (out.with_suffix(suffix) for suffix in (".gtkw", ".sucl"))
    console.show({"chip": chip.name, "image": image, "clocks": cycles, "fired": len(found.tile), "answer": answer,
                  "files": [str(path) for path in written]}, as_json=as_json, text="\n".join([
                      f"{chip.name}, test image {image}: {cycles:,} clocks, {len(found.tile)} output spikes"
                      + ("" if answer is None else f", answer {answer}"),
                      f"written {', '.join(map(str, written))}",
                      f"gtkwave {view}, or surfer --command-file {commands} {out}"]))
