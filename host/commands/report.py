"""``ohmspike report``: the report of a run, or of several side by side, as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError

from .energy import device_of, device_option

if TYPE_CHECKING:
    from ohmspike.host.runs.energy import Run
    from ohmspike.host.runs.examples import Examples

__all__ = ["report"]


def _examples(ran: Run, numbers: tuple[int, ...]) -> Examples:
    """The samples of those numbers, of the data that the run was judged on, answered by the learned chip."""
    import numpy as np

    from ohmspike.host.coding.images import Encode
    from ohmspike.host.coding.streams import StreamEncoding
    from ohmspike.host.data.recordings.sets import Cut
    from ohmspike.host.data.samples import load_samples
    from ohmspike.host.data.streams import Stream
    from ohmspike.host.runs.examples import Examples
    from ohmspike.host.runs.learned import load
    from ohmspike.sim.model.exact import ExactModel

    from .options import encoding_of

    metrics = ran.metrics
    if "data_source" not in metrics:
        raise UserError(f"{ran.path}: does not tell its data, so --sample cannot show others",
                        hint="leave --sample away, or learn again")
    data = load_samples(metrics["data_source"], console.status, Cut.of(metrics))
    split = data.validation() if metrics.get("evaluated_on") == "validation" else data
    count = min(len(split.test_images), metrics["test_images"])
    for number in numbers:
        if number >= count:
            raise UserError(f"sample must be 0 to {count - 1}, not {number}")
    chosen = np.array(numbers)
    code: Encode = StreamEncoding() if isinstance(split.test_images, Stream) else encoding_of(
        ran.chip, metrics["encoding"], metrics["steps"], metrics["peak"])
    images, answers = split.test_images[chosen], None
    batch = code(ran.chip, images, learn=False)
    if ran.chip.classes and metrics.get("read_out") == "crossbar":
        model = ExactModel(ran.chip, load(ran.path / "learned.npz", ran.chip)[1])
        found = model.infer(code(ran.chip, images, learn=False, answer=True)).answers
        answers = None if found is None else found.label
    return Examples(chosen, batch, None if split.test_labels is None else split.test_labels[chosen], answers,
                    images if isinstance(images, np.ndarray) else None)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN…",
                type=click.Path(path_type=Path, file_okay=False))
@device_option
@click.option("--sample", "samples", type=click.IntRange(0), multiple=True,
              help="number of a test sample whose spikes are drawn; can be repeated  [default: a few, right and wrong]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="HTML file; figures (SVG) and data (CSV) go into a folder of that name  [default: RUN/report.html, "
                   "RUN/comparison.html of several runs]")
def report(runs: tuple[Path, ...], device_name: str | None, samples: tuple[int, ...], out: Path | None) -> None:
    """one HTML page of a run, or of several side by side, with figures and data as files"""
    from ohmspike.host.runs.comparison import comparison_page
    from ohmspike.host.runs.energy import read_run
    from ohmspike.host.runs.report import page
    from ohmspike.host.support.atomic import write_text

    if samples and len(runs) > 1:
        raise UserError("--sample needs one run, not several")
    out = out or runs[0] / ("report.html" if len(runs) == 1 else "comparison.html")
    files = out.with_suffix("")
    if files == out:
        raise UserError(f"--out must be a file such as {out}.html, not {str(out)!r}")
    read = [read_run(run) for run in runs]
    devices = [device_of(ran.chip, device_name) for ran in read]
    console.status("drawing")
    if len(read) > 1:
        text = comparison_page(read, devices, files=files)
    else:
        examples = _examples(read[0], samples) if samples else None
        text = page(read[0], devices[0], files=files, examples=examples,
                    picked=range(len(samples)) if samples else None)
    write_text(out, text, make_folder=True)
    console.say(f"written {out}, figures and data in {files}")
