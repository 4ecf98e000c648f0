"""The report of several runs side by side: figures, what differs between their chips and tools, energy."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

from ohmspike.chip.wording import reason
from ohmspike.host.plots.runs import compared_curves, compared_energy, compared_levels
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.sim.analog.device import Device

from .energy import Run, energy_of
from .exhibits import Exhibit, Table, document
from .learned import load
from .report import flat

__all__ = ["comparison_page"]

_METRICS = (("accuracy", "{:.2%}"), ("accuracy_vote", "{:.2%}"), ("read_out", "{}"), ("data", "{}"),
            ("evaluated_on", "{}"), ("train_images", "{:,}"), ("test_images", "{:,}"), ("target", "{}"), ("seed", "{}"),
            ("device", "{}"), ("images_per_s_learn", "{:,.0f}"), ("images_per_s_infer", "{:,.0f}"), ("command", "{}"))


def _names(runs: Sequence[Run]) -> list[str]:
    """A short name of every run, distinct: its folder's, with a number where two are called alike."""
    names: list[str] = []
    for run in runs:
        name = run.path.resolve().name
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    return names


def _side_by_side(heads, rows):
    """A table in which what differs from the first run is marked."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr><td>{html.escape(name)}</td>" + "".join(
            f'<td{" class=differs" if value != values[0] else ""}>{html.escape(str(value))}</td>' for value in values)
        + "</tr>" for name, *values in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _differing(documents: list[dict]) -> list[tuple]:
    """Rows of what is not the same in all documents."""
    flattened = [dict(flat(document)) for document in documents]
    names = list(dict.fromkeys(name for document in flattened for name in document))
    rows = [(name, *(document.get(name, "–") for document in flattened)) for name in names]
    return [row for row in rows if any(value != row[1] for value in row[2:])]


def comparison_page(runs: Sequence[Run], devices: Sequence[Device], *, files: Path | None = None) -> str:
    """Several runs as one HTML page with everything inside.

    Parameters
    ----------
    runs : sequence of Run
        At least two.
    devices : sequence of Device
        One for each, for the energy.
    files : path, optional
        Folder for the figures as SVG and their data as CSV.

    Raises
    ------
    UserError
        A folder cannot be read, or a file cannot be written.
    """
    names, heads = _names(runs), ("", *_names(runs))
    bills = [energy_of(run, device) for run, device in zip(runs, devices, strict=True)]
    rows = [(name, *("–" if run.metrics.get(name) is None else form.format(run.metrics[name]) for run in runs))
            for name, form in _METRICS if any(run.metrics.get(name) is not None for run in runs)]
    phases = list(dict.fromkeys(phase for bill in bills for phase in bill["phases"]))
    for phase in phases:
        found = [bill["phases"].get(phase, {}).get("per_j", {}).get("image") for bill in bills]
        rows.append((f"an image, {phase}", *("–" if each is None else engineering(each["value"], "J")
                                             for each in found)))
    shown = [Exhibit("metrics", "Side by side", _side_by_side(heads, rows), tables={"metrics": Table(heads, rows)},
                     note="Red: differs from the first run.")]
    curves = {name: run.metrics["prequential"] for name, run in zip(names, runs, strict=True)
              if run.metrics.get("prequential")}
    if curves:
        shown.append(Exhibit("learning", "Accuracy over learning", figures={"learning": compared_curves(curves)},
                             tables={"learning": Table(("run", "images", "accuracy"), [
                                 (name, *point) for name, curve in curves.items() for point in curve])}))
    levels = {name: load(run.path / "learned.npz", run.chip)[1].levels for name, run in zip(names, runs, strict=True)
              if (run.path / "learned.npz").exists()}
    if levels:
        shown.append(Exhibit("levels", "Levels", figures={"levels": compared_levels(levels)}))
    parts = {name: _components(bill) for name, bill in zip(names, bills, strict=True)}
    shown.append(Exhibit("energy", "Energy of an image by component", figures={"energy": compared_energy(parts)},
                         note=f"{bills[0]['note']}; learning and inference together; whiskers from the 5th to the 95th "
                              "percentile.",
                         tables={"energy": Table(("run", "component", "joules_an_image", "p5", "p95"), [
                             (name, part, each["value"], each["p5"], each["p95"]) for name, figures in parts.items()
                             for part, each in figures.items()])}))
    for name, title, documents in (("chips", "Where the chips differ", [run.chip.to_dict() for run in runs]),
                                   ("versions", "Where the tools differ", [_versions(run) for run in runs])):
        different = _differing(documents)
        shown.append(Exhibit(name, title, _side_by_side(heads, different) if different else "<p>Nowhere.</p>",
                             tables={name: Table(heads, different)}))
    if files is not None:
        for exhibit in shown:
            exhibit.write(files)
    return document(f"{len(runs)} runs side by side", ", ".join(names), "", shown)


def _components(bill):
    """Joules an image by component, over all phases."""
    images = max(1, sum(phase["images"] for phase in bill["phases"].values()))
    parts: dict[str, dict[str, float]] = {}
    for phase in bill["phases"].values():
        for name, figure in phase["components_j"].items():
            part = parts.setdefault(name, {"value": 0.0, "p5": 0.0, "p95": 0.0})
            for key in part:
                part[key] += figure[key] / images
    return {name: part for name, part in parts.items() if part["value"]}


def _versions(run):
    path = run.path / "versions.json"
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}",
                        hint="name a folder that learn or demo made") from None
