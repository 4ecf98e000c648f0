"""Components and parts of the gateware say in ``__init__`` what they have."""

import ast
from pathlib import Path

import ohmspike.hdl

ROOT = Path(ohmspike.hdl.__file__).parent


def _assigned(function):
    """Names that a function sets on ``self``, in whatever form of assignment, with their lines."""
    for node in ast.walk(function):
        if (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name) and node.value.id == "self"):
            yield node.attr, node.lineno


def late_attributes(sources):
    """Attributes that are first set outside of ``__init__``, own or inherited: ``file:line Class.name``."""
    classes = {node.name: (name, node) for name, source in sources.items()
               for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)}
    assert len(classes) == sum(source.count("\nclass ") + source.startswith("class ") for source in sources.values())

    def first_set(name):
        if name not in classes:
            return set()
        node = classes[name][1]
        inherited = (first_set(base.id) for base in node.bases if isinstance(base, ast.Name))
        return {attribute for function in node.body if getattr(function, "name", "") in ("__init__", "__post_init__")
                for attribute, _ in _assigned(function)}.union(*inherited)

    return [f"{file}:{line} {name}.{attribute}" for name, (file, node) in classes.items()
            for function in node.body if isinstance(function, ast.FunctionDef)
            for attribute, line in _assigned(function) if attribute not in first_set(name)]


def test_no_attribute_is_first_set_outside_of_init():
    sources = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in ROOT.rglob("*.py")}
    assert len(sources) > 40 and late_attributes(sources) == []


def test_planted_late_attributes_are_seen():
    sources = {"base.py": "class Base:\n    def __init__(self):\n        self.known = 0",
               "late.py": "class Late(Base):\n    def go(self):\n        self.known = 1\n        a, self.late = 1, 2"}
    assert late_attributes(sources) == ["late.py:4 Late.late"]
