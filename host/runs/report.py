"""The report of a run: what ran, how well, what it learned, what it counted, what it would cost."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.instructions import COUNTERS
from ohmspike.chip.state import ChipState
from ohmspike.chip.wording import reason
from ohmspike.host.plots.analog import energy_figure
from ohmspike.host.plots.chip import prequential_figure, race_figure
from ohmspike.host.plots.devices import pulses_figure
from ohmspike.host.plots.runs import change_figure, confusion_figure, histogram_figure, raster_figure
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.sim.analog.device import Device
from ohmspike.sim.analog.lifetime import endured_pulses

from .energy import Run, energy_of
from .examples import NAME as EXAMPLES_NAME
from .examples import Examples, rasters, read_examples
from .exhibits import Exhibit, Table, document, image, table
from .learned import load, read_arrays

__all__ = ["exhibits_of", "flat", "page"]

_REDRAWN = ("wrong.png", "conductances.png", "prequential.png", "pulses.png")
"""Pictures of a run folder that the report draws itself, or shows elsewhere."""

_RASTERS = 4


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int | float | str]]:
    """Names with dots and plain values of a nested document; long lists as their length."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and len(str(value)) > 400:
            yield f"{prefix}{name}", f"{len(value)} entries"
        else:
            yield f"{prefix}{name}", value if isinstance(value, int | float | str) else json.dumps(value)


def _figures(run, bill):
    shown = []
    for name, label, text in (("accuracy", "accuracy", "{:.2%}"),
                              ("accuracy_vote", "accuracy of the vote", "{:.2%}"),
                              ("images_per_s_learn", "images/s, learning", "{:,.0f}"),
                              ("images_per_s_infer", "images/s, inference", "{:,.0f}")):
        if run.metrics.get(name) is not None:
            shown.append((label, text.format(run.metrics[name])))
    shown += [(f"an image, {phase}", engineering(figures["per_j"]["image"]["value"], "J"))
              for phase, figures in bill["phases"].items() if "image" in figures["per_j"]]
    return '<div class="figures">' + "".join(
        f"<div><b>{html.escape(value)}</b>{html.escape(label)}</div>" for label, value in shown) + "</div>"


def _first_state(chip: Chip, state: ChipState) -> ChipState:
    """The state before the first sample; stuck cells are where they have been all along."""
    first = ChipState.initial(chip)
    if chip.has_stuck_cells:
        first.levels = np.where(state.stuck.astype(bool), state.levels, first.levels)
        first.read_out = np.where(state.read_out_stuck.astype(bool), state.read_out, first.read_out)
    return first


def _conductances(chip, state):
    before = _first_state(chip, state)
    change = state.levels.astype(int) - before.levels
    neurons = [(tile, neuron, int(state.theta[tile, neuron]), float(before.levels[tile, :, neuron].mean()),
                float(state.levels[tile, :, neuron].mean()), int((change[tile, :, neuron] != 0).sum()),
                float(np.abs(change[tile, :, neuron]).mean()))
               for tile in range(chip.tiles) for neuron in range(chip.neurons)]
    moved = float((change != 0).mean())
    # a threshold tells how often its neuron won
    return Exhibit(
        "conductances", "What it learned", figures={"conductances": change_figure(
            chip, before.levels, state.levels, state.theta)},
        note=f"The most used neurons before and after learning, a map a neuron. {moved:.1%} of {chip.synapses:,} cells "
             f"hold another level than before, by {np.abs(change).mean():.2f} levels in the mean over all cells.",
        tables={"neurons": Table(("tile", "neuron", "theta", "mean_level_before", "mean_level_after", "cells_changed",
                                  "mean_change"), neurons)})


def _rasters(chip, state, examples, run, picked):
    if examples is None or state is None:
        return Exhibit("spikes", "Spikes of single samples",
                       note="The folder has no samples: examples.npz is there when learn made the run.")
    indices = _shown(examples) if picked is None else picked
    drawn = rasters(chip, state, examples, indices)
    rows = [(int(examples.samples[index]), kind, int(step), int(cell))
            for index, raster in zip(indices, drawn, strict=True)
            for kind, steps, cells in (("line", raster["in_step"], raster["in_line"]),
                                       ("neuron", raster["out_step"], raster["out_cell"]))
            for step, cell in zip(steps, cells, strict=True)]
    figures = {"raster": raster_figure(chip, drawn)}
    if examples.images is not None and chip.fire_mode == "race" and run.metrics.get("encoding") == "latency":
        figures["race"] = race_figure(chip, state, examples.images[indices[0]])
    return Exhibit("spikes", "Spikes of single samples", figures=figures,
                   note="Above the lines that spiked, below the neurons that fired, both over the steps of the sample; "
                        "by the exact model with the learned state and learning off.",
                   tables={"raster": Table(("sample", "kind", "step", "number"), rows)})


def _shown(examples: Examples) -> list[int]:
    """Of the examples, first those answered wrong, then others, as many as fit side by side."""
    wrong = np.zeros(len(examples.samples), bool)
    if examples.labels is not None and examples.answers is not None:
        wrong = np.asarray(examples.labels) != np.asarray(examples.answers)
    right = np.flatnonzero(~wrong)[:_RASTERS - min(1, int(wrong.sum()))].tolist()
    return [*right, *np.flatnonzero(wrong)[:_RASTERS - len(right)].tolist()]


def _answers(run):
    """Confusion matrix, recall of every class, and the images that were answered wrong, if the run has labels."""
    recall, matrix, wrong = (run.metrics.get(name) for name in ("recall", "confusion", "wrong"))
    if not recall:
        return None
    shares = ["–" if share is None else f"{share:.1%}" for share in recall]
    figures, tables = {}, {"recall": Table(("class", "recall"), list(enumerate(recall)))}
    body = table(["class", "recall"], enumerate(shares))
    if matrix:
        body = f'<details><summary>The matrix as a table</summary>{_matrix(matrix, shares)}</details>'
        figures["confusion"] = confusion_figure(np.array(matrix))
        tables["confusion"] = Table(("label", *range(len(matrix))), [(label, *row) for label, row in enumerate(matrix)])
    picture = run.path / "wrong.png"
    if picture.exists():
        body += f'<figure>{image(picture.read_bytes(), "images answered wrong")}</figure>'
    if wrong:
        body += (f"<details><summary>{len(wrong):,} answered wrong</summary>"
                 f"{table(['image', 'label', 'answer'], wrong)}</details>")
        tables["wrong"] = Table(("sample", "label", "answer"), wrong)
    return Exhibit("answers", "What it answered", body, figures=figures, tables=tables)


def _matrix(matrix, shares):
    head = "".join(f"<th>{label}</th>" for label in ("label \\ answer", *range(len(matrix)), "recall"))
    body = "".join(
        f"<tr><th>{label}</th>" + "".join(
            f'<td class="number{" right" if label == answer else ""}">{count or "·"}</td>'
            for answer, count in enumerate(row)) + f'<td class="number">{shares[label]}</td></tr>'
        for label, row in enumerate(matrix))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _learning(run):
    curve = run.metrics.get("prequential")
    if not curve:
        return Exhibit("learning", "Accuracy over learning",
                       note="No labels were taught on the chip, so no image was answered while it learned.")
    figure = prequential_figure(run.chip, curve, int(run.metrics.get("train_images") or curve[-1][0]))
    return Exhibit("learning", "Accuracy over learning", figures={"learning": figure},
                   note="Every image is answered before its label is taught.",
                   tables={"learning": Table(("images", "accuracy"), curve)})


def _histograms(chip, state):
    before = _first_state(chip, state)
    parts = {"tiles, before": before.levels, "tiles, learned": state.levels}
    if chip.classes:
        parts["read-out, learned"] = state.read_out
    counts = [np.bincount(levels.ravel(), minlength=chip.levels) for levels in parts.values()]
    theta, neurons = np.unique(state.theta, return_counts=True)
    return Exhibit(
        "histograms", "Levels and thresholds", figures={"histograms": histogram_figure(chip, parts, state.theta)},
        tables={"levels": Table(("level", *parts), zip(range(chip.levels), *(each.tolist() for each in counts),
                                                       strict=True)),
                "thresholds": Table(("theta", "neurons"), zip(theta.tolist(), neurons.tolist(), strict=True))})


def _endurance(run, device):
    path = run.path / "pulses.npz"
    pulses = read_arrays(path).get("tiles") if path.exists() else None
    endured = endured_pulses(device)
    if pulses is None:
        counters = run.metrics.get("counters_learn") or run.metrics["counters"]
        given = sum(count for name, count in counters.items() if name.startswith(("set_pulses", "reset_pulses")))
        given -= counters.get("read_out_pulses", 0)
        mean = f" The counters tell {given / run.chip.synapses:,.1f} pulses a cell in the mean." if given else ""
        return Exhibit("endurance", "Endurance",
                       note=f"Pulses of single cells were not counted; learn --pulses does.{mean} Half of the cells of "
                            f"{device.name} have failed after {endured:.3g} pulses.")
    values, cells = np.unique(pulses, return_counts=True)
    facts = run.metrics.get("pulses_per_cell") or {}
    until = ", ".join(f"{name} after {'–' if images is None else format(images, '.3g')} images"
                      for name, images in (facts.get("images_until") or {}).items())
    return Exhibit("endurance", "Endurance", figures={"endurance": pulses_figure(run.chip, pulses)},
                   note=f"Half of the cells of {device.name} have failed after {endured:.3g} pulses."
                        + (f" At this use worn: {until}." if until else ""),
                   tables={"endurance": Table(("pulses", "cells"), zip(values.tolist(), cells.tolist(), strict=True))})


def _part(name, part, images):
    value, low, high = (engineering(part[key] / images, "J") for key in ("value", "p5", "p95"))
    return (f'<tr><td>{name.replace("_", " ")}</td><td class="number">{value}</td>'
            f'<td class="number">[{low} – {high}]</td>'
            f'<td><span class="bar" style="width: {12 * part["share"]:.2f}rem"></span> {part["share"]:.1%}</td>'
            f'<td>{html.escape(part["what"])}</td></tr>')


def _energy(bill):
    parts, rows = [], []
    for phase, figures in bill["phases"].items():
        images = max(figures["images"], 1)
        body = "".join(_part(name, part, images) for name, part in figures["components_j"].items() if part["value"])
        parts.append(f'<h3>{html.escape(phase)}: one image, mean of {figures["images"]:,.0f}</h3>'
                     '<div class="wide"><table>'
                     f"<tbody>{body}</tbody></table></div>")
        claims = [(name, engineering(figure["value"], "J"), f"{figure['times_claim']:.3g} times",
                   "consistent" if figure["consistent"] else "") for name, figure in figures["claims"].items()]
        per = [(f"per {name}", engineering(figure["value"], "J"), engineering(figure["p5"], "J"),
                engineering(figure["p95"], "J")) for name, figure in figures["per_j"].items()]
        parts.append(table(["all of it", "", "p5", "p95"], per))
        parts.append(table(["“20 fJ per spike”, if a spike is", "", "of 20 fJ", ""], claims))
        rows += [(phase, name, part["value"], part["p5"], part["p95"])
                 for name, part in figures["components_j"].items()]
        rows += [(phase, f"per {name}", *(figure[key] for key in ("value", "p5", "p95")))
                 for name, figure in figures["per_j"].items()]
    parts.append(f"<details><summary>What it rests on</summary>{table(['', ''], bill['facts'].items())}</details>")
    return Exhibit("energy", "Energy of the analog chip", "".join(parts), figures={"energy": energy_figure(bill)},
                   note=f"On device {bill['device']}; {bill['note']}. Brackets and whiskers: 5th and 95th percentile "
                        "of the values' spread.",
                   tables={"energy": Table(("phase", "component", "joules", "p5", "p95"), rows)})


def _twins(run, bill):
    """The digital chip beside the analog one: clocks, time and energy of an image."""
    twin = bill["twin"]
    assumed = f"assumed: {twin['assumed_watts']:g} W, {engineering(twin['assumed_hertz'], 'Hz')}"
    rows = []
    for name, clocks in twin["clocks_per_image"].items():
        seconds = clocks / twin["assumed_hertz"]
        rows.append((f"RTL on an FPGA, {name}", f"{clocks:,.0f}", f"{1 / seconds:,.0f}",
                     engineering(twin["image_j"][name], "J"), f"{assumed}; clocks {twin['clocks']}"))
    for name, figures in bill["phases"].items():
        seconds = sum(figures["image_s"].values())
        if seconds:
            rows.append((f"analog chip, {name}", "", f"{1 / seconds:,.0f}",
                         engineering(figures["per_j"]["image"]["value"], "J"), bill["note"]))
    for name, key in (("learning", "images_per_s_learn"), ("inference", "images_per_s_infer")):
        if run.metrics.get(key):
            rows.append((f"this run, {name}", "", f"{run.metrics[key]:,.0f}", "",
                         f"measured, target {run.metrics.get('target')}"))
    heads = ("what", "clocks an image", "images/s", "energy an image", "how known")
    return Exhibit("twins", "Digital beside analog", table(heads, rows), tables={"twins": Table(heads, rows)})


def _provenance(run, bill, versions):
    command = run.metrics.get("command")
    chip = run.chip
    facts = [("chip", chip.name), ("digest of its description", chip.digest), ("seed", chip.seed),
             ("device", run.metrics.get("device") or f"{bill['device']} (assumed for the energy)"),
             ("data", run.metrics.get("data", "not recorded")),
             ("evaluated on", run.metrics.get("evaluated_on", "not recorded")),
             ("target", run.metrics.get("target", "not recorded")), ("run folder", run.path.resolve().name),
             *versions.items()]
    repeat = f"<pre>{html.escape(command)}</pre>" if command else \
        '<p class="note">The run does not tell its command: an earlier version made it, or a program.</p>'
    return Exhibit("provenance", "Where it comes from", f"{table(['', ''], facts)}<h3>The command that repeats it</h3>"
                   f"{repeat}<details><summary>Chip description</summary>"
                   f"{table(['field', 'value'], flat(chip.to_dict()))}</details>",
                   tables={"provenance": Table(("what", "value"), [*facts, ("command", command or "")])})


def _numbers(run):
    hidden = ("counters", "confusion", "recall", "wrong", "prequential")
    metrics = [(name, value) for name, value in flat({name: value for name, value in run.metrics.items()
                                                      if not name.startswith(hidden)})]
    names = list(dict.fromkeys(name for counters in run.phases.values() for name, value in counters.items() if value))
    rows = [(name, *(int(phase.get(name, 0)) for phase in run.phases.values()), COUNTERS.get(name, ""))
            for name in names]
    heads = ("counter", *run.phases, "what")
    body = f"{table(['', ''], metrics)}<h3>Counters</h3>{table(heads, rows)}"
    return Exhibit("numbers", "Metrics and counters", body,
                   tables={"metrics": Table(("metric", "value"), metrics), "counters": Table(heads, rows)})


def exhibits_of(run: Run, bill: dict, device: Device, picked: Sequence[int] | None = None,
                examples: Examples | None = None) -> list[Exhibit]:
    """Everything the report of a run shows.

    Parameters
    ----------
    bill : dict
        Of :func:`~ohmspike.host.runs.energy.energy_of`.
    picked : sequence of int, optional
        Which of the examples to draw; a choice of right and wrong ones if absent.
    examples : Examples, optional
        In place of those of the folder.

    Raises
    ------
    UserError
        Something in the folder cannot be read.
    """
    try:
        versions = json.loads((run.path / "versions.json").read_text("utf-8"))
        learned = run.path / "learned.npz"
        state = load(learned, run.chip)[1] if learned.exists() else None
        kept = [(path.stem, path.read_bytes()) for path in sorted(run.path.glob("*.png")) if path.name not in _REDRAWN]
        shown = [_conductances(run.chip, state)] if state is not None else []
        examples = read_examples(run.path / EXAMPLES_NAME, run.chip) if examples is None else examples
        shown.append(_rasters(run.chip, state, examples, run, None if picked is None else list(picked)))
        shown += [exhibit for exhibit in (_answers(run), _learning(run)) if exhibit is not None]
        shown += [_histograms(run.chip, state)] if state is not None else []
        shown.append(_endurance(run, device))
    except (OSError, ValueError) as error:
        raise UserError(f"{getattr(error, 'filename', None) or run.path}: cannot be read: {reason(error)}",
                        hint="name a folder that learn or demo made") from None
    if kept:
        body = "".join(f"<figure>{image(data, name)}</figure>" for name, data in kept)
        shown.append(Exhibit("pictures", "Pictures of the run", body))
    return [*shown, _energy(bill), _twins(run, bill), _numbers(run), _provenance(run, bill, versions)]


def page(run: Run, device: Device, *, files: Path | None = None, picked: Sequence[int] | None = None,
         examples: Examples | None = None) -> str:
    """The report of a run as one HTML page with everything inside.

    Parameters
    ----------
    files : path, optional
        Folder for the figures as SVG and their data as CSV.
    picked, examples :
        As in :func:`exhibits_of`.

    Raises
    ------
    UserError
        Something in the folder cannot be read, or a file cannot be written.
    """
    bill, chip = energy_of(run, device), run.chip
    shown = exhibits_of(run, bill, device, picked, examples)
    if files is not None:
        for exhibit in shown:
            exhibit.write(files)
    subtitle = (f"{chip.tiles} tiles of {chip.rows} × {chip.neurons}, {chip.synapses:,} synapses; run "
                f"{run.path.resolve().name}; digest {chip.digest[:16]}")
    return document(f"{chip.name}: a run", subtitle, _figures(run, bill), shown)
