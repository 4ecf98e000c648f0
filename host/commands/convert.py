"""``ohmspike convert``: images of other programs into an archive that every command reads."""

import re
from pathlib import Path
from typing import Any

import click
import numpy as np

from ohmspike.host.data.formats import DataError
from ohmspike.host.support import console
from ohmspike.host.support.atomic import check_places, write_arrays

from .options import json_option

__all__ = ["convert"]


class Plane(click.ParamType):
    """Height and width, as ``28x28``."""

    name = "HEIGHTxWIDTH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Two integers, or a usage error."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,4})[x×](\d{1,4})", value)
        if match is None or not (0 < int(match[1]) and 0 < int(match[2])):
            self.fail(f"plane must be HEIGHTxWIDTH, as 28x28, not {value!r}", param, ctx)
        return int(match[1]), int(match[2])


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--labels", "labels_file", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None,
              help="labels that stand in a file of their own: .npy, IDX, or text with one in a line")
@click.option("--plane", type=Plane(), default=None, help="scale the images to this height and width")
@json_option
def convert(source: Path, out: Path, labels_file: Path | None, plane: tuple[int, int] | None, as_json: bool) -> None:
    """write SOURCE (folders of pictures, CSV, IDX, Parquet, .mat, .npy) as OUT.npz, which --data takes"""
    from ohmspike.host.data.dataset import Dataset
    from ohmspike.host.data.foreign import read_images, scaled
    from ohmspike.host.data.images import checked_images, checked_label_array

    if out.suffix != ".npz":
        raise DataError(f"OUT must end in .npz, not {str(out)!r}")
    check_places(out)
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
