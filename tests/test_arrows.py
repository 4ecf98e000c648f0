"""Who may import whom: the folders form layers, and every Python file keeps to them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "chip": {"chip"},
    "hdl": {"hdl", "chip"},
    "sim": {"sim", "hdl", "chip"},
    "host": {"host", "boards", "sim", "chip"},
    "boards": {"boards", "hdl", "chip"},
}


def imported(path, root):
    """Dotted names below ``ohmspike`` that a file imports, relative ones resolved, with their lines."""
    package = ("ohmspike", *path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[:len(package) - node.level + 1] if node.level else ()
            start = ".".join([*above, *filter(None, [node.module])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name.split("."), node.lineno) for name in names if name.split(".")[0] == "ohmspike")


def violations(root):
    """Every import against an arrow, as ``file:line imports folder``."""
    found = []
    for folder, allowed in ALLOWED.items():
        for path in sorted((root / folder).rglob("*.py")):
            for name, line in imported(path, root):
                if len(name) < 2 or name[1] not in allowed:
                    found.append(f"{path.relative_to(root)}:{line} imports {'.'.join(name)}")
    return found


def test_every_import_follows_the_arrows():
    assert violations(ROOT) == []


@pytest.mark.parametrize("folder, statement", [
    ("chip", "import ohmspike.hdl.flow.emit"),
    ("chip", "from ..sim import exact"),
    ("hdl", "from ohmspike.sim.rtl.compiled import CompiledRtl"),
    ("hdl", "from ohmspike import host"),
    ("sim", "def late():\n    from ..host import cli"),
    ("host", "from .. import hdl"),
    ("host", "from ohmspike.hdl.flow.emit import emit"),
    ("boards", "from ohmspike.host import link"),
])
def test_planted_violation_is_caught(tmp_path, folder, statement):
    (tmp_path / folder / "deep").mkdir(parents=True)
    (tmp_path / folder / "good.py").write_text("from . import near\nfrom ohmspike.chip import Chip\nimport numpy\n")
    (tmp_path / folder / "bad.py").write_text(f"{statement}\n")
    found = violations(tmp_path)
    assert len(found) == 1 and found[0].startswith(f"{folder}/bad.py:")


def test_relative_import_of_a_deeper_file_is_resolved(tmp_path):
    (tmp_path / "hdl" / "deep").mkdir(parents=True)
    (tmp_path / "hdl" / "deep" / "file.py").write_text("from ..emit import emit\nfrom ...sim import exact\n")
    assert violations(tmp_path) == ["hdl/deep/file.py:2 imports ohmspike.sim.exact"]


def test_every_folder_with_code_is_a_package():
    assert {path.parent for folder in ALLOWED for path in (ROOT / folder).rglob("*.py")} == {
        path.parent for folder in ALLOWED for path in (ROOT / folder).rglob("__init__.py")}


def test_the_front_door_leads_to_every_folder():
    assert {path.name: path.resolve() for path in (ROOT / "src/ohmspike").iterdir() if path.is_symlink()} == {
        folder: ROOT / folder for folder in ALLOWED}


def room_of(parts):
    """The room of a dotted name below ``ohmspike``: ``host.link.frames`` is of ``host.link``."""
    return ".".join(parts[:2] if (ROOT / Path(*parts[:2])).is_dir() else parts[:1])


def room_arrows():
    """Which rooms of a folder import which: ``{(from, to), …}``."""
    arrows = set()
    for folder in ALLOWED:
        for path in (ROOT / folder).rglob("*.py"):
            here = room_of(path.relative_to(ROOT).parent.parts)
            for name, _ in imported(path, ROOT):
                there = room_of(name[1:])
                if len(name) > 2 and there.split(".")[0] == folder and there != here:
                    arrows.add((here, there))
    return arrows


def test_rooms_form_no_circle():
    arrows = room_arrows()
    order = []
    left = {room for arrow in arrows for room in arrow}
    while left:
        free = {room for room in left if not any(here == room and there in left for here, there in arrows)}
        assert free, f"rooms in a circle: {sorted(arrow for arrow in arrows if set(arrow) <= left)}"
        order += sorted(free)
        left -= free
    assert order.index("host.support") < order.index("host.commands")


def test_the_forms_of_the_gateware_know_nothing_of_each_other():
    assert not {("hdl.fast", "hdl.small"), ("hdl.small", "hdl.fast")} & room_arrows()
    assert {there for here, there in room_arrows() if here in ("hdl.fast", "hdl.small")} == {"hdl.shared"}


def test_files_form_no_circle():
    import graphlib

    graph = {}
    for folder in ALLOWED:
        for path in (ROOT / folder).rglob("*.py"):
            own = "ohmspike." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
            names = [name for name, _ in imported(path, ROOT)]
            graph[own] = {".".join(name[:depth]) for name in names for depth in (len(name), len(name) - 1)
                          if (ROOT / Path(*name[1:depth])).with_suffix(".py").is_file()} - {own}
    graphlib.TopologicalSorter(graph).prepare()
