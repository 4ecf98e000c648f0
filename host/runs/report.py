"""One page of a run: what ran, how well, what it counted, what it would cost. HTML with everything inside."""

import base64
import html
import json
import tempfile
from pathlib import Path
from string import Template

from ohmspike.chip.instructions import COUNTERS
from ohmspike.chip.wording import reason
from ohmspike.host.plots.analog import energy_picture
from ohmspike.host.plots.chip import conductance_maps
from ohmspike.host.plots.palette import ACCENT, INK, PAPER, QUIET, SOFT
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.sim.analog.device import Device

from .energy import Run, energy_of
from .learned import load

__all__ = ["page"]

_STYLE = Template("""
body { font: 15px/1.5 system-ui, sans-serif; color: $ink; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
.note { color: $soft } .figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.4rem 0 }
.figures div { border: 1px solid $quiet; border-radius: .5rem; padding: .6rem 1rem; min-width: 8rem }
.figures b { display: block; font-size: 1.4rem } table { border-collapse: collapse; font-size: .9rem }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid $paper; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } img { max-width: 100% } details { margin: .6rem 0 }
.bar { background: $accent; height: .6rem; display: inline-block }
""").substitute(ink=INK, soft=SOFT, quiet=QUIET, paper=PAPER, accent=ACCENT)


def _cell(value):
    if isinstance(value, bool) or value is None:
        return f"<td>{html.escape(str(value))}</td>"
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    if isinstance(value, float):
        return f'<td class="number">{value:,.6g}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def _table(heads, rows):
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _drawn(draw) -> bytes:
    """The PNG that ``draw`` writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        return path.read_bytes()


def _image(data: bytes, name: str) -> str:
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def _flat(document, prefix=""):
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and len(str(value)) > 400:
            yield f"{prefix}{name}", f"{len(value)} entries"
        else:
            yield f"{prefix}{name}", value if isinstance(value, int | float | str) else json.dumps(value)


def _figures(run, bill):
    shown = []
    for name, label, text in (("accuracy", "accuracy", "{:.2%}"),
                              ("images_per_s_learn", "images/s, learning", "{:,.0f}"),
                              ("images_per_s_infer", "images/s, inference", "{:,.0f}")):
        if run.metrics.get(name) is not None:
            shown.append((label, text.format(run.metrics[name])))
    shown += [(f"an image, {phase}", engineering(figures["per_j"]["image"]["value"], "J"))
              for phase, figures in bill["phases"].items() if "image" in figures["per_j"]]
    return "".join(f"<div><b>{html.escape(value)}</b>{html.escape(label)}</div>" for label, value in shown)


def _part(name, part, images):
    value, low, high = (engineering(part[key] / images, "J") for key in ("value", "p5", "p95"))
    return (f'<tr><td>{name.replace("_", " ")}</td><td class="number">{value}</td>'
            f'<td class="number">[{low} – {high}]</td>'
            f'<td><span class="bar" style="width: {12 * part["share"]:.2f}rem"></span> {part["share"]:.1%}</td>'
            f'<td>{html.escape(part["what"])}</td></tr>')


def _energy(bill):
    parts = [f'<p class="note">On device {html.escape(bill["device"])}; {bill["note"]}. Brackets: 5th and 95th '
             'percentile of the values\' spread.</p>']
    for phase, figures in bill["phases"].items():
        images = max(figures["images"], 1)
        rows = "".join(_part(name, part, images) for name, part in figures["components_j"].items() if part["value"])
        parts.append(f"<h3>{phase}, an image of {figures['images']:,.0f}</h3><table><tbody>{rows}</tbody></table>")
        claims = [(name, engineering(figure["value"], "J"), f"{figure['times_claim']:.3g} times",
                   "consistent" if figure["consistent"] else "") for name, figure in figures["claims"].items()]
        per = [(f"per {name}", engineering(figure["value"], "J"), engineering(figure["p5"], "J"),
                engineering(figure["p95"], "J")) for name, figure in figures["per_j"].items()]
        parts.append(_table(["all of it", "", "p5", "p95"], per))
        parts.append(_table(["“20 fJ per spike”, if a spike is", "", "of 20 fJ", ""], claims))
    return "".join(parts)


def _pictures(run):
    """Pictures of the folder; what was learned is drawn from the saved chip if there is none of it."""
    kept = sorted(run.path.glob("*.png"))
    parts = [(path.stem, path.read_bytes()) for path in kept]
    learned = run.path / "learned.npz"
    if not (run.path / "conductances.png").exists() and learned.exists():
        chip, state, _ = load(learned)
        # a threshold tells how often its neuron won
        parts.insert(0, ("conductances", _drawn(
            lambda path: conductance_maps(chip, state.levels, state.theta, path))))
    return "".join(f"<figure>{_image(data, name)}</figure>" for name, data in parts)


def page(run: Run, device: Device) -> str:
    """The page of a run.

    Raises
    ------
    UserError
        Something in the folder cannot be read.
    """
    bill = energy_of(run, device)
    energy_drawn = _drawn(lambda path: energy_picture(bill, path))
    try:
        versions, pictures = json.loads((run.path / "versions.json").read_text("utf-8")), _pictures(run)
    except (OSError, ValueError) as error:
        raise UserError(f"{getattr(error, 'filename', None) or run.path}: cannot be read: {reason(error)}",
                        hint="name a folder that learn or demo made") from None
    metrics = [(name, value) for name, value in _flat({name: value for name, value in run.metrics.items()
                                                       if not name.startswith("counters")})]
    names = list(dict.fromkeys(name for counters in run.phases.values() for name, value in counters.items() if value))
    counters = _table(["counter", *run.phases, ""], [
        (name, *(int(phase.get(name, 0)) for phase in run.phases.values()), COUNTERS.get(name, "")) for name in names])
    chip = run.chip
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(chip.name)}: a run</title><style>{_STYLE}</style></head><body>
<h1>{html.escape(chip.name)}</h1>
<p class="note">{chip.tiles} tiles of {chip.rows} × {chip.neurons}, {chip.synapses:,} synapses; run
{html.escape(run.path.resolve().name)}; digest {chip.digest[:16]}</p>
<div class="figures">{_figures(run, bill)}</div>
<h2>What it learned</h2>{pictures or '<p class="note">no pictures in the folder</p>'}
<h2>Energy of the analog chip</h2>{_image(energy_drawn, "energy")}{_energy(bill)}
<h2>What it rests on</h2>{_table(["", ""], bill["facts"].items())}
<h2>Metrics</h2>{_table(["", ""], metrics)}
<h2>Counters</h2>{counters}
<details><summary>Chip description</summary>{_table(["field", "value"], _flat(chip.to_dict()))}</details>
<details><summary>Versions</summary>{_table(["", ""], versions.items())}</details>
</body></html>
"""
