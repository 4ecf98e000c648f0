"""What a report shows: figures with their data and words, and how they become HTML, SVG and CSV."""

import base64
import csv
import functools
import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from ohmspike.host.plots.palette import ACCENT, INK, NIGHT, PAPER, QUIET, SOFT
from ohmspike.host.support.atomic import write_text

__all__ = ["Exhibit", "Table", "document", "image", "table"]

_STYLE = Template("""
:root { color-scheme: light dark; --ink: $ink; --soft: $soft; --quiet: $quiet; --paper: $paper; --accent: $accent;
  --night: $night; --page: #ffffff }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ee; --soft: #a2a9b8; --quiet: #454b57; --paper: #2a2e37;
  --accent: #f0566f; --night: #a08fd6; --page: #16181d } }
@media print { :root { color-scheme: light; --ink: $ink; --soft: $soft; --quiet: $quiet; --paper: $paper;
  --accent: $accent; --night: $night; --page: #ffffff } body { max-width: none; margin: 0 }
  section, figure, tr { break-inside: avoid } nav { display: none } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 1rem 0 } a { color: var(--accent) }
.note { color: var(--soft) } .figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.4rem 0 }
.figures div { border: 1px solid var(--quiet); border-radius: .5rem; padding: .6rem 1rem; min-width: 8rem }
.figures b { display: block; font-size: 1.4rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--paper); vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td:nth-child(n+5):last-child:not(.number) { min-width: 10em } td.number:nth-child(2):last-child { text-align: left }
td.right { font-weight: bold }
td.differs { color: var(--accent) } figure { margin: 1rem 0 } figure img { max-width: 100%; background: #fff }
figure svg { width: 100%; height: auto; max-height: 90vh } details { margin: .6rem 0 }
.bar { background: var(--accent); height: .6rem; display: inline-block; print-color-adjust: exact }
pre { background: var(--paper); padding: .6rem .8rem; border-radius: .4rem; overflow-x: auto; white-space: pre-wrap }
""").substitute(ink=INK, soft=SOFT, quiet=QUIET, paper=PAPER, accent=ACCENT, night=NIGHT)

_VARIABLES = {INK: "ink", SOFT: "soft", QUIET: "quiet", PAPER: "paper", ACCENT: "accent", NIGHT: "night",
              "#ffffff": "page"}
"""Colours of figures that follow the page: light, dark or printed."""


@dataclass(frozen=True)
class Table:
    """Data of an exhibit: names of columns, and rows of plain values."""

    heads: Sequence[str]
    rows: Iterable[Sequence[Any]]

    def text(self) -> str:
        """As CSV."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.heads)
        writer.writerows(self.rows)
        return file.getvalue()


@dataclass(frozen=True)
class Exhibit:
    """A section of a report.

    Parameters
    ----------
    name : str
        Of its files, and of its place in the page.
    title : str
    body : str
        HTML below the figures.
    note : str
        A plain line above them.
    figures : dict
        Figures by the name of their file.
    tables : dict
        Data by the name of their file.
    """

    name: str
    title: str
    body: str = ""
    note: str = ""
    figures: dict[str, Figure] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)

    @functools.cached_property
    def drawings(self) -> dict[str, str]:
        """The figures as SVG documents."""
        return {name: _svg(figure, name) for name, figure in self.figures.items()}

    def section(self) -> str:
        """The section as HTML, figures inside."""
        note = f'<p class="note">{html.escape(self.note)}</p>' if self.note else ""
        drawn = "".join(f"<figure>{_inline(svg, name)}</figure>" for name, svg in self.drawings.items())
        return f'<section id="{self.name}"><h2>{html.escape(self.title)}</h2>{note}{drawn}{self.body}</section>'

    def write(self, folder: Path) -> list[Path]:
        """Write figures as SVG and data as CSV into a folder; returns the files."""
        written = []
        for name, svg in self.drawings.items():
            written.append(write_text(folder / f"{name}.svg", svg, make_folder=True))
        for name, data in self.tables.items():
            written.append(write_text(folder / f"{name}.csv", data.text(), make_folder=True))
        return written


def _svg(figure: Figure, name: str) -> str:
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "image.composite_image": False}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return file.getvalue()


def _inline(svg: str, name: str) -> str:
    """An SVG document as an element of a page: names of its own, colours of the page, as wide as there is room."""
    body = svg[svg.index("<svg"):]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r' xmlns(:xlink)?="[^"]*"', "", body.replace("xlink:href", "href"))
    for colour, variable in _VARIABLES.items():
        body = body.replace(f": {colour}", f": var(--{variable})")
    head, rest = body.split(">", 1)
    width = re.search(r'width="([\d.]+)pt"', head)
    head = re.sub(r' (width|height|version)="[^"]*"', "", head)
    style = f' style="max-width: {float(width[1]) * 4 / 3:.0f}px"' if width else ""
    # axes write their texts without a colour: that of the page
    rest = rest.replace("<text style=\"", "<text fill=\"currentColor\" style=\"")
    return f'{head} role="img" aria-label="{html.escape(name.replace("-", " "))}"{style}>{rest}'


def _cell(value):
    if isinstance(value, bool) or value is None:
        return f"<td>{html.escape(str(value))}</td>"
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    if isinstance(value, float):
        return f'<td class="number">{value:,.6g}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as HTML; numbers stand at the right."""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def image(data: bytes, name: str) -> str:
    """A PNG inside the page."""
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def document(title: str, subtitle: str, head: str, exhibits: Sequence[Exhibit]) -> str:
    """The whole page.

    Parameters
    ----------
    head : str
        HTML above the sections.
    """
    places = "".join(f'<a href="#{exhibit.name}">{html.escape(exhibit.title)}</a>' for exhibit in exhibits)
    sections = "\n".join(exhibit.section() for exhibit in exhibits)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p class="note">{html.escape(subtitle)}</p>
{head}
<nav aria-label="sections">{places}</nav>
{sections}
</body></html>
"""
