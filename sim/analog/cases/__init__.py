"""Cases in which SPICE checks the analog twin, on conductances of a real chip and spikes of a real image."""

from collections.abc import Callable, Iterable

from ..spice import Simulator, library
from .learning import learning_column
from .race import race
from .reading import fast_reset, held_reset, membrane_on_bit_line, read_energy
from .scene import Check, Scene
from .transistors import access_transistor, ungated_rows
from .wires import trace, wire_resistance, word_line
from .writing import published_cell, single_pulses, trains

__all__ = ["CASES", "Check", "Scene", "evaluate", "subject"]

CASES: dict[str, Callable[[Scene, Simulator], list[Check]]] = {
    "V1": read_energy, "V2": membrane_on_bit_line, "V3": held_reset, "V4": fast_reset, "V5": wire_resistance,
    "V6": word_line, "V7": trace, "V8": single_pulses, "V9": trains, "V10": access_transistor, "V11": ungated_rows,
    "V12": race, "V13": published_cell, "learning": learning_column,
}
"""The cases by name; each runs ngspice and returns its checks."""


def subject(case: Callable[[Scene, Simulator], list[Check]]) -> str:
    """What a case looks at, by its docstring."""
    return (case.__doc__ or "").splitlines()[0].split(": ", 1)[1]


def evaluate(scene: Scene, spice: Simulator, cases: Iterable[str] | None = None,
             progress: Callable[[str], None] | None = None) -> list[Check]:
    """Run cases, all of them if none are named, and return every check."""
    checks = []
    if spice.keep is not None:
        spice.keep.mkdir(parents=True, exist_ok=True)
        (spice.keep / f"{scene.device.name}.lib").write_text(library(scene.device), "utf-8")
    for name in CASES if cases is None else cases:
        if progress is not None:
            progress(f"{name}: {subject(CASES[name])}")
        spice.remarks = (f"case {name}: {subject(CASES[name])}",
                         f"chip {scene.chip.name}, device {scene.device.name}, tile {scene.tile}")
        checks += CASES[name](scene, spice)
    return checks
