"""The tables of docs/devices.md, made from the declarations: ``python -m ohmspike.sim.analog.reference``."""

import sys
from pathlib import Path

from ohmspike.chip.markdown import markdown_table, renewed

from .cases import CASES, subject
from .device import STATUSES, Device, devices
from .energy import COMPONENTS, PUBLISHED
from .fit import FORMAT

__all__ = ["PROGRAM", "rewritten", "tables"]

PROGRAM = "python -m ohmspike.sim.analog.reference"


def _figure(device, spec):
    if spec.metadata["kind"] is str:
        return f"`{getattr(device, spec.name)}`"
    return f"{getattr(device, spec.name):g} {spec.metadata['unit']}".strip()


_SHOWN = [spec for spec in Device.specs() if Device.has_source(spec) and spec.metadata["kind"] is not tuple]


def _source(about):
    return f"{about.status}{': ' if about.source else ''}{about.source}"


def tables() -> str:
    """Markdown tables of values, presets, components, cases and published figures."""
    target, shown = Device.preset("target65"), [Device.preset(name) for name in devices()]
    differing = [(f"`{device.name}`", f"`{spec.name}`", _figure(device, spec),
                  f"{device.about(spec.name).sigma:g}", _source(device.about(spec.name)))
                 for device in shown for spec in _SHOWN if spec.name in dict(device.provenance)]
    parts = [
        "## Values of `target65`\n", f"Status is one of {'; '.join(STATUSES)}. σ is that of the logarithm.\n\n",
        markdown_table(["section", "name", "value", "σ", "what", "status and source"], [
            (spec.metadata["section"], f"`{spec.name}`", _figure(target, spec), f"{target.about(spec.name).sigma:g}",
             spec.metadata["summary"], _source(target.about(spec.name))) for spec in _SHOWN]),
        "## Presets: what differs from `target65`\n",
        markdown_table(["preset", "what"], [(f"`{device.name}`", device.summary) for device in shown]),
        markdown_table(["preset", "name", "value", "σ", "status and source"], differing),
        "## Components\n",
        markdown_table(["component", "what"], [(f"`{name}`", what) for name, what in COMPONENTS.items()]),
        "## Cases\n", markdown_table(["case", "what SPICE checks"], [
            (name, subject(case).rstrip(".")) for name, case in CASES.items()]),
        "## Measurements\n", FORMAT + "\n\n",
        "## Published, for context\n",
        markdown_table(["what", "figure", "source, as stated in the literature, not verified here"], PUBLISHED),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def rewritten(text: str) -> str:
    """A document with the tables brought up to date, or put at its end."""
    return renewed(text, PROGRAM, tables())


if __name__ == "__main__":
    document = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/devices.md")
    document.write_text(rewritten(document.read_text("utf-8")), "utf-8")
