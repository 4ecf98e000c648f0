"""``ohmspike classify``: answers of a learned chip for images or spikes."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ohmspike.host.support import console
from ohmspike.host.support.atomic import check_places, write_text
from ohmspike.host.support.errors import UserError

from .body import body_of, ideal_option
from .options import Choice, TargetName, encoding_of, encoding_options, json_option, recording_options

if TYPE_CHECKING:
    from ohmspike.host.coding.images import Encode
    from ohmspike.host.data.recordings.sets import Cut

__all__ = ["classify"]

SHOWN = 20


@click.command()
@click.argument("learned", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--data", "data_source", required=True, metavar="mnist|fashion|FOLDER|FILE",
              help="what to classify: as for learning, or one picture; of a set with a test split, the test split")
@click.option("--target", "target_name", type=TargetName(), default="model", show_default=True, metavar="NAME",
              help="what carries out the events; the learned chip is loaded into it")
@click.option("--read-out", type=Choice(["auto", "crossbar", "vote"]), default="auto", show_default=True,
              help="which classifier answers; auto takes the crossbar if it was taught")
@click.option("--margin", type=click.FloatRange(0.0), default=None,
              help="lead over the second best class below which the answer is \"don't know\"  [default: any lead]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="CSV file for the answers: sample, answer (empty: don't know), lead, and label if there is one")
@recording_options
@ideal_option
@encoding_options
@json_option
def classify(learned: Path, data_source: str, cut: Cut, target_name: str, read_out: str, margin: float | None,
             out: Path | None, ideal: bool, encoding: str | None, steps: int | None, peak: float | None,
             as_json: bool) -> None:
    """answers of the chip saved in LEARNED (learned.npz of a run) for images or spikes"""
    import numpy as np

    from ohmspike.host.coding.images import Encoding
    from ohmspike.host.coding.streams import StreamEncoding
    from ohmspike.host.data.streams import Stream
    from ohmspike.host.learning.classify import decisions
    from ohmspike.host.learning.confusion import evaluation, matrix_text
    from ohmspike.host.runs.learned import load

    chip, state, vote = load(learned)
    check_places(out)
    samples, labels, name = _samples(data_source, chip, cut)
    taught = bool(chip.classes) and bool(np.any(state.read_out != chip.levels // 2))
    if read_out == "auto":
        read_out = "crossbar" if taught else "vote"
    if read_out == "crossbar" and not taught:
        raise UserError(f"{learned}: the read-out of {chip.name} "
                        + ("was never taught" if chip.classes else "is missing"), hint="--read-out vote")
    if read_out == "vote" and vote is None:
        raise UserError(f"{learned}: holds no vote: the chip learned without any labels to count",
                        hint="learn with labels, or with --no-labels on data that has them")
    code: Encode
    if isinstance(samples, Stream):
        code = StreamEncoding()
    else:
        code = encoding_of(chip, encoding, steps, peak)
    learner = body_of(chip, None, ideal=ideal or target_name != "model", target=target_name,
                      whole_images=isinstance(code, Encoding) and not code.steps)
    if learner.device is not None:
        console.status(learner.summary)
    with learner.open(target_name, console.status) as target:
        target.load(state)
        if target_name == "model":
            console.status(console.COMPILING)
        with console.progress("classifying", "images") as shown:
            answers, leads = decisions(target, samples, vote if read_out == "vote" else None, encoding=code,
                                       progress=shown)
    known = leads > 0 if margin is None else leads >= max(margin, np.nextafter(0, 1))
    result = {"chip": chip.name, "digest": chip.digest, "target": target_name, "data": name, "read_out": read_out,
              "samples": len(answers), "unknown": int((~known).sum()),
              "answers": [int(a) if k else None for a, k in zip(answers, known, strict=True)],
              "leads": [float(lead) for lead in leads]}
    text = []
    if len(answers) <= SHOWN:
        text += [f"{number:>5}: " + (f"{answer}  (lead {lead:g})" if sure else f"don't know (lead {lead:g})")
                 for number, (answer, lead, sure) in enumerate(zip(answers, leads, known, strict=True))]
    text.append(f"{chip.name}, {read_out}: {len(answers):,} samples of {name}"
                + (f", {result['unknown']:,} of them unknown" if result["unknown"] else ""))
    if labels is not None:
        facts = evaluation(labels[known], answers[known], max(chip.classes, int(labels.max(initial=0)) + 1))
        right = int((answers[known] == labels[known]).sum())
        result |= {"accuracy": right / len(answers), "accuracy_of_known": right / max(1, int(known.sum())), **facts}
        text += [f"{result['accuracy']:.2%} right" + (f", {result['accuracy_of_known']:.2%} of those it knew"
                                                      if result["unknown"] else ""), "", *matrix_text(facts)]
    if out is not None:
        _write(out, answers, leads, known, labels)
        text.append(f"answers in {out}")
    console.show(result, as_json=as_json, text="\n".join(text))


def _samples(source, chip, cut):
    """What to classify, its labels or None, and what to call it."""
    from ohmspike.host.data.foreign import is_events, kind_of, picture, read_images
    from ohmspike.host.data.images import checked_images, checked_label_array
    from ohmspike.host.data.recordings.sets import Cut
    from ohmspike.host.data.samples import load_events, load_samples

    path = Path(source)
    if path.is_file():
        kind = kind_of(path)
        if is_events(path):
            stream = load_events(path, console.status, cut)
            return stream, stream.labels, path.name
        if cut != Cut():
            load_samples(source, console.status, cut)  # which says that there is no recording
        if kind.title.startswith("one picture"):
            images = picture(path)[None]
            _check_plane(images, chip, path)
            return images, None, path.name
        if kind.read is not None:
            arrays = read_images(path)
            part = "test_" if "test_images" in arrays else ""
            images = checked_images(path, f"{part}images", arrays[f"{part}images"])
            labels = arrays.get(f"{part}labels")
            _check_plane(images, chip, path)
            return images, None if labels is None else checked_label_array(
                path, f"{part}labels", labels, len(images)), path.name
    data = load_samples(source, console.status, cut)
    data.check_plane(chip)
    return data.test_images, data.test_labels, data.name


def _check_plane(images, chip, path):
    from ohmspike.host.data.formats import DataError

    if images.shape[1:] != (chip.plane_height, chip.plane_width):
        raise DataError(f"{path}: images must be {chip.plane_height}x{chip.plane_width} for the chip {chip.name}, "
                        f"not {images.shape[1]}x{images.shape[2]}",
                        hint=f"ohmspike convert SOURCE OUT.npz --plane {chip.plane_height}x{chip.plane_width} scales "
                             "pictures")


def _write(out, answers, leads, known, labels):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sample", "answer", "lead"] + ["label"] * (labels is not None))
    for sample, (answer, lead, sure) in enumerate(zip(answers, leads, known, strict=True)):
        writer.writerow([sample, int(answer) if sure else "", f"{lead:g}"]
                        + ([int(labels[sample])] if labels is not None else []))
    write_text(out, text.getvalue(), make_folder=True)
