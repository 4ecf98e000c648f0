"""Names of values: what the states of machines and the members of enumerations are called, signal by signal."""

import contextlib
import re
from collections.abc import Callable

from amaranth.hdl import Fragment, Signal
from amaranth.lib import wiring

from .emit import rtlil_of

__all__ = ["value_names"]

_MODULE, _CELL, _WIRE = (re.compile(pattern) for pattern in (
    r"module \\(\S+)", r"\s+cell \\(\S+) \\(\S+)", r"\s+wire .*\\(\S+)$"))
_VALUE = re.compile(r'\s+attribute \\enum_value_([01]+) "(.*)"')


def value_names(make: Callable[[], wiring.Component], name: str) -> dict[tuple[str, ...], dict[str, dict[int, str]]]:
    """Names of the values of signals, by the path of their module below the top, then by signal.

    Parameters
    ----------
    make : callable
        Makes the top of the design; called twice, since a component is elaborated once.
    name : :class:`str`
        Name of the top module.
    """
    component = make()
    modules, cells = _declared(rtlil_of(component, name))
    found: dict[tuple[str, ...], dict[str, dict[int, str]]] = {}

    def enumerations(module, path):
        if modules.get(module):
            found[path] = dict(modules[module])
        for instance, below in cells.get(module, {}).items():
            enumerations(below, (*path, instance))

    def machines(fragment, path):
        for signal in _written(fragment):
            if values := _states(signal):
                found.setdefault(path, {})[signal.name] = values
        for below, instance, *_ in fragment.subfragments:
            machines(below, (*path, str(instance)))

    enumerations(name, ())
    machines(Fragment.get(make(), None), ())
    return found


def _written(fragment):
    """Signals that the statements of a fragment write; the name of the method is not public."""
    statements = [statement for group in fragment.statements.values() for statement in group]
    return [signal for statement in statements for signal in statement._lhs_signals() if isinstance(signal, Signal)]


def _states(signal):
    """States of a machine by value, from the decoder that Amaranth gives its signal: ``READ/3``."""
    if signal.decoder is None or not signal.name.endswith("_state"):
        return {}
    values = {}
    for value in range(1 << len(signal)):
        with contextlib.suppress(KeyError):
            values[value] = signal.decoder(value).rpartition("/")[0]
    return values


def _declared(text):
    """Enumerations of every module by wire, and its instances by name, from RTLIL."""
    modules: dict[str, dict[str, dict[int, str]]] = {}
    cells: dict[str, dict[str, str]] = {}
    module, values = "", {}
    for line in text.splitlines():
        if match := _MODULE.match(line):
            module = match[1]
        elif match := _VALUE.match(line):
            values[int(match[1], 2)] = match[2]
        elif match := _CELL.match(line):
            cells.setdefault(module, {})[match[2]] = match[1]
        elif match := _WIRE.match(line):
            if values:
                modules.setdefault(module, {})[match[1]] = values
            values = {}
    return modules, cells
