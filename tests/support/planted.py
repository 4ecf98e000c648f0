"""Bugs planted in the source of the gateware, in memory alone."""

import ast
import graphlib
import importlib
import importlib.util
import inspect
import sys
import types
from pathlib import Path

import ohmspike.hdl.top.chip

__all__ = ["built_anew", "plant"]


def _imports(name):
    """The modules of the gateware that one of them imports."""
    package = name.rpartition(".")[0]
    for node in ast.walk(ast.parse(Path(importlib.util.find_spec(name).origin).read_text())):
        if isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (found for found in (module, *(f"{module}.{alias.name}" for alias in node.names))
                        if found in sys.modules and found.startswith("ohmspike.hdl."))


def _dependents(name, top):
    """The modules between one and the top that imports it, in the order of their imports; without the one."""
    graph, seen = {}, [top]
    for module in seen:
        graph[module] = set(_imports(module))
        seen += graph[module] - set(seen)
    reached = {name}
    order = [module for module in graphlib.TopologicalSorter(graph).static_order()]
    for module in order:
        if graph.get(module, set()) & reached:
            reached.add(module)
    return [module for module in order if module in reached and module != name]


def built_anew(name, old="", new=""):
    """A module anew from its source, with one piece replaced."""
    module = importlib.import_module(name)
    source = inspect.getsource(module)
    assert old in source, f"{name} has no {old!r} to replace"
    built = types.ModuleType(name)
    built.__package__, built.__file__ = module.__package__, module.__file__
    exec(compile(source.replace(old, new) if old else source, module.__file__, "exec"), built.__dict__)
    return built


def plant(monkeypatch, name, old, new):
    """Replace a piece of the source of ``ohmspike.hdl.NAME``, and build all that imports it anew.

    Parameters
    ----------
    monkeypatch
        Undoes it after the test.
    name : :class:`str`
        A module of the gateware, like ``fast.core``.
    old, new : :class:`str`
        What stands there, every time, and what is planted.

    Returns
    -------
    module
        ``ohmspike.hdl.top.chip`` with the bug inside.
    """
    name, top = f"ohmspike.hdl.{name}", ohmspike.hdl.top.chip.__name__
    for module in (name, *_dependents(name, top)):
        built = built_anew(module, old, new) if module == name else built_anew(module)
        monkeypatch.setitem(sys.modules, module, built)
        package, _, child = module.rpartition(".")
        monkeypatch.setattr(sys.modules[package], child, built)
    return sys.modules[top]
