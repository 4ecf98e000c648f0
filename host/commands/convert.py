"""``ohmspike convert``: images and spikes of other programs into archives that every command reads, spikes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ohmspike.host.data.formats import DataError
from ohmspike.host.support import console
from ohmspike.host.support.atomic import check_places, write_arrays, write_whole

from .options import Size, chip_of, encoding_of, json_option, recording_options

if TYPE_CHECKING:
    from ohmspike.host.data.recordings.sets import Cut

__all__ = ["convert"]


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--labels", "labels_file", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None,
              help="labels that stand in a file of their own: .npy, IDX, or text with one in a line")
@click.option("--plane", type=Size(), default=None, help="scale the images to this height and width")
@click.option("--node", default=None, help="NIR data: node, or NODE/OBSERVABLE, whose spikes are taken")
@click.option("--chip", "chip_name", default=None, metavar="NAME|FILE",
              help="images to OUT.nir: the chip whose code makes spikes of them")
@recording_options
@json_option
def convert(source: Path, out: Path, labels_file: Path | None, plane: tuple[int, int] | None, node: str | None,
            chip_name: str | None, cut: Cut, as_json: bool) -> None:
    """write SOURCE (folders of pictures, CSV, IDX, Parquet, .mat, .npy) as OUT.npz, which --data takes

    Recordings of an event camera and spikes as NIR data become an event stream in OUT.npz; an event stream, or images
    with --chip, become NIR data in OUT.nir.
    """
    from ohmspike.host.data.dataset import Dataset
    from ohmspike.host.data.foreign import NIR_SPIKES, is_events, kind_of, read_images, scaled
    from ohmspike.host.data.images import checked_images, checked_label_array

    if out.suffix not in (".npz", ".nir"):
        raise DataError(f"OUT must end in .npz or .nir, not {str(out)!r}")
    spikes, stream = kind_of(source) is NIR_SPIKES, is_events(source)
    recorded = kind_of(source).events
    for option, given, meant in (("--node", node, spikes), ("--chip", chip_name, out.suffix == ".nir" and not stream),
                                 ("--labels", labels_file, out.suffix == ".npz"),
                                 ("--plane", plane, not stream),
                                 ("--window", cut.window_ms, recorded), ("--sensor", cut.sensor, recorded)):
        if given is not None and not meant:
            raise DataError(f"{option} has no meaning from {source} to {out}")
    check_places(out)
    if out.suffix == ".nir" or spikes or recorded:
        _convert_spikes(source, out, labels_file, plane, node, chip_name, cut, as_json)
        return
    arrays = read_images(source, plane)
    if labels_file is not None:
        arrays["labels"] = _labels(labels_file)
    checked = {}
    for name, array in arrays.items():
        if name.endswith("images"):
            images = checked_images(source, name, array)
            checked[name] = images if plane is None or images.shape[1:] == plane else scaled(images, plane)
    for name, array in arrays.items():
        if name.endswith("labels"):
            count = len(checked[name.replace("labels", "images")])
            checked[name] = checked_label_array(labels_file or source, name, array, count)
    write_arrays(out, checked)
    data = Dataset(checked["images"], checked.get("labels"), checked.get("test_images", checked["images"][:0]),
                   checked.get("test_labels", None if "labels" not in checked else checked["labels"][:0]), out.name)
    facts = {"file": str(out), "images": len(data.train_images), "test_images": len(data.test_images),
             "plane": list(data.plane), "classes": data.classes}
    console.show(facts, as_json=as_json, text="\n".join([
        f"{out}: {facts['images']:,} images, {facts['test_images']:,} test images of {data.plane[0]}x{data.plane[1]}, "
        + (f"{data.classes} classes" if data.classes is not None else "without labels")]))


def _convert_spikes(source, out, labels_file, plane, node, chip_name, cut, as_json):
    from ohmspike.host.data.dataset import LABEL_TOP
    from ohmspike.host.data.foreign import NIR_SPIKES, is_events, kind_of, read_images, scaled
    from ohmspike.host.data.images import checked_images
    from ohmspike.host.data.nir_spikes import read_spikes
    from ohmspike.host.data.recordings.sets import load_recordings
    from ohmspike.host.data.streams import joined, load_stream
    from ohmspike.host.exchange.spikes import coded_stream, write_spikes

    from .exchange import needs_nir

    facts: dict[str, Any] = {}
    test = 0
    if kind_of(source) is NIR_SPIKES:
        if out.suffix != ".npz":
            raise DataError(f"{source} has spikes as NIR data already", hint="name a file that ends in .npz")
        needs_nir()
        found = read_spikes(source, node)
    elif kind_of(source).events:
        recorded = load_recordings(source, console.status, cut)
        found = recorded.train
        if recorded.test is not None:
            test = len(recorded.test)
            found = joined(found, recorded.test)
    elif is_events(source):
        found = load_stream(source, console.status)
    elif chip_name is None:
        raise DataError(f"{source}: images become spikes by the code of a chip", hint="name one with --chip")
    else:
        chip = chip_of(chip_name, None)
        images = checked_images(source, "images", read_images(source, plane)["images"])
        images = images if plane is None or images.shape[1:] == plane else scaled(images, plane)
        if images.shape[1:] != (chip.plane_height, chip.plane_width):
            raise DataError(f"{source}: images must be of {chip.plane_height}x{chip.plane_width} for {chip.name}, not "
                            f"{images.shape[1]}x{images.shape[2]}",
                            hint=f"--plane {chip.plane_height}x{chip.plane_width} scales them")
        code = encoding_of(chip, None, None, None)
        found = coded_stream(chip, code(chip, images, learn=False))
        facts = {"lines": chip.lines, "duration": float(code.steps_answered(chip) or chip.latency_bins)}
    if out.suffix == ".nir":
        needs_nir()
        write_spikes(out, found, **facts)
        if (classes := found.labels) is not None:
            beside = out.with_name(f"{out.stem}-labels.npy")
            write_whole(beside, lambda file: np.save(file, classes), error=DataError)
            console.say(f"note: NIR data has no labels: they are in {beside}, which --labels takes")
    else:
        arrays = {"time": found.time, "line": found.line, "offsets": found.offsets}
        labels = found.labels if labels_file is None else _labels(labels_file)
        if labels is not None:
            if labels.shape != (len(found),) or labels.dtype.kind not in "iu" or labels.size and not (
                    0 <= labels.min() and labels.max() <= LABEL_TOP):
                raise DataError(f"{labels_file}: labels must be integers 0 to {LABEL_TOP} of shape ({len(found)},), "
                                f"not {labels.dtype} of {labels.shape}")
            arrays["labels"] = labels.astype(np.int64)
        for name in ("bin", "sensor", "span"):
            if getattr(found, name) is not None:
                arrays[name] = np.array(getattr(found, name))
        if test:
            arrays["test"] = np.array(test)
        write_arrays(out, arrays)
    told = {"file": str(out), "samples": len(found), "spikes": len(found.line),
            "lines": facts.get("lines", int(found.line.max(initial=0)) + 1)}
    console.show(told, as_json=as_json, text=f"{out}: {told['samples']:,} samples, {told['spikes']:,} spikes on "
                 f"{told['lines']:,} lines")


def _labels(path: Path) -> np.ndarray:
    from ohmspike.host.data.formats import UNREADABLE_ERRORS, check_regular, read_idx

    check_regular(path)
    with path.open("rb") as file:
        head = file.read(6)
    try:
        if head[:3] == b"\0\0\x08" or path.suffix == ".gz":
            return read_idx(path)
        if head == b"\x93NUMPY":
            return np.load(path, allow_pickle=False)
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
        return np.array([int(line) for line in lines])
    except UNREADABLE_ERRORS as error:
        raise DataError(f"{path}: not readable as labels: {error}", hint="an integer in every line, .npy or IDX"
                        ) from None
