"""Types: public functions have them, and a stranger's checker sees them in the installed package."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("chip", "sim", "host", "boards")


def is_public(name):
    return not name.startswith("_") or name in ("__init__", "__call__")


def is_compiled(function):
    """Compiled by numba, which infers types: of a kernel they would be told twice."""
    return any(ast.unparse(decorator).partition("(")[0] in ("inlined", "kernel", "njit", "numba.njit")
               for decorator in function.decorator_list)


def untyped(tree):
    """Public functions and methods of a file that lack the type of an argument or of what they return."""
    found = []

    def visit(body, where, inside):
        for node in body:
            if isinstance(node, ast.ClassDef) and is_public(node.name):
                visit(node.body, f"{where}{node.name}.", True)
            elif isinstance(node, ast.FunctionDef) and is_public(node.name) and not is_compiled(node):
                spec, static = node.args, any(ast.unparse(entry) == "staticmethod" for entry in node.decorator_list)
                named = [*spec.posonlyargs, *spec.args][inside and not static:] + spec.kwonlyargs
                named += [entry for entry in (spec.vararg, spec.kwarg) if entry is not None]
                missing = [entry.arg for entry in named if entry.annotation is None]
                if missing or (node.returns is None and node.name != "__init__"):
                    found.append(f"{where}{node.name}({', '.join(missing)})")

    visit(tree.body, "", False)
    return found


def test_public_functions_are_typed():
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 80
    found = [f"{path.relative_to(ROOT)}: {name}" for path in files for name in untyped(ast.parse(path.read_text()))]
    assert found == []


def test_what_lacks_a_type_is_seen():
    source = ("def f(a, b: int) -> int: ...\ndef g(a: int): ...\ndef _h(a): ...\n"
              "class C:\n    def __init__(self, x): ...\n"
              "    def m(self, *rest) -> int: ...\n    @staticmethod\n    def s(a) -> int: ...\n@njit\ndef k(a): ...\n")
    assert untyped(ast.parse(source)) == ["f(a)", "g()", "C.__init__(x)", "C.m(rest)", "C.s(a)"]


NOTEBOOK = """
from ohmspike import Chip, learn, load_mnist, open_target

chip = Chip.preset("tiles")
data = load_mnist()
with open_target("model", chip) as target:
    reveal_type(chip.digest)
    reveal_type(data.train_images)
    reveal_type(target)
    reveal_type(learn(target, data.train_images).seconds)
    target.presnt()
"""


@pytest.mark.slow
def test_a_checker_in_a_foreign_folder_sees_the_types(tmp_path):
    """In the editable install that `make setup` makes, and without a word of configuration."""
    (tmp_path / "notebook.py").write_text(NOTEBOOK)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run([sys.executable, "-m", "mypy", "notebook.py"], cwd=tmp_path, env=environment, text=True,
                          capture_output=True)
    told = [line.split(": ", 2)[2] for line in done.stdout.splitlines() if line.startswith("notebook.py")]
    assert [line.partition('"')[2].rstrip('"') for line in told[:4]] == [
        "str", "numpy.ndarray[tuple[Any, ...], numpy.dtype[Any]]", "ohmspike.host.targets.base.Target",
        "float"], done.stdout
    assert told[4:] == ['"Target" has no attribute "presnt"; maybe "present"?  [attr-defined]'], done.stdout
