"""Descriptions: frozen dataclasses whose fields say what they may be, read from TOML and written as TOML.

:class:`~ohmspike.chip.Chip` and :class:`~ohmspike.sim.analog.device.Device` are such.
"""

import dataclasses
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import tomli_w

from .wording import did_you_mean, reason

__all__ = ["Described", "DescriptionError", "entry", "toml_text"]

_WIDTH = 120
_SHORT = 8
_EXTENDS = "extends"


class DescriptionError(ValueError):
    """A description names an unknown field or holds a value out of its range.

    Parameters
    ----------
    message : str
        What was wrong, what was expected, what was given.
    hint : str, optional
        What may have been meant.
    """

    def __init__(self, message: str, *, hint: str | None = None):
        super().__init__(message)
        self.hint = hint


def entry(section: str, kind: type, summary: str, *, default: Any = dataclasses.MISSING, **more: Any) -> Any:
    """A field of a description.

    Parameters
    ----------
    section : str
        Table of the TOML file it stands in; empty for the top.
    kind : type
        ``int``, ``float``, ``str``, or ``tuple``, which the class checks itself.
    summary : str
        One line for documents.
    more
        ``low`` and ``high`` of a number, ``options`` of a text; ``table`` if a file holds it as a table of its own; and
        what the class wants to know of a field.
    """
    return dataclasses.field(default=default,
                             metadata={"section": section, "kind": kind, "summary": summary, **more})


class Described:
    """What all descriptions have in common: checks of fields, presets, bases, reading and writing.

    A file may name another in ``extends``, a preset or a TOML file beside it: it is that description but for what it
    says itself. A field stands in the table of its section; of a name that begins with that of the section the rest is
    enough: ``[plane] height`` is ``plane_height``.
    """

    WHAT: ClassVar[str]
    """What is described, in errors."""
    HOME: ClassVar[str]
    """Package with a folder ``presets``."""
    ERROR: ClassVar[type[DescriptionError]] = DescriptionError
    SHORT_KEYS: ClassVar[bool] = True
    """Whether names are written without that of their section."""

    # fields

    @classmethod
    def specs(cls) -> list[dataclasses.Field[Any]]:
        """The fields of the description, in declaration order; metadata as :func:`entry` took it."""
        return [spec for spec in dataclasses.fields(cast(Any, cls)) if "section" in spec.metadata]

    @classmethod
    def key(cls, spec: dataclasses.Field) -> str:
        """What a field is called in the table of its section."""
        return spec.name.removeprefix(f"{spec.metadata['section']}_") if cls.SHORT_KEYS else spec.name

    def check_fields(self) -> None:
        """Check type, range and options of every field that is no tuple; an integer for a real number becomes one."""
        for spec in self.specs():
            value, meta = getattr(self, spec.name), spec.metadata
            kind = meta["kind"]
            if kind is tuple:
                continue
            if kind is float and type(value) is int:
                object.__setattr__(self, spec.name, value := float(value))
            if type(value) is not kind:
                raise self.ERROR(f"{spec.name} must be of type {kind.__name__}, not {value!r}")
            if meta.get("options") and value not in meta["options"]:
                raise self.ERROR(f"{spec.name} must be one of {', '.join(meta['options'])}, not {value!r}",
                                 hint=did_you_mean(value, meta["options"]))
            if "low" in meta and not meta["low"] <= value <= meta["high"]:  # also refuses NaN
                raise self.ERROR(f"{spec.name} must be {_number(meta['low'])} to {_number(meta['high'])}, "
                                 f"not {value!r}")

    # reading

    @classmethod
    def made(cls, values: dict[str, Any]) -> Self:
        """Build a description of what a document holds, by the names of fields."""
        return cls(**values)

    @classmethod
    def from_dict(cls, document: dict, *, source: str | None = None) -> Self:
        """Build a description from TOML-shaped nested tables.

        Parameters
        ----------
        source : str, optional
            Where they come from, for errors.

        Raises
        ------
        DescriptionError
            A name is unknown, a value is missing or out of its range, or two values contradict each other.
        """
        return cls._read(document, source or cls.WHAT, None, ())

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a description file.

        Raises
        ------
        DescriptionError
            The file cannot be read, is not TOML, or holds a bad description.
        """
        path = Path(path)
        return cls._read(cls._toml(path, str(path)), str(path), path.parent, (str(path.resolve()),))

    @classmethod
    def preset(cls, name: str) -> Self:
        """A description that ships with the project, by name."""
        if name not in cls.presets():
            raise cls.ERROR(f"{cls.WHAT} must be one of {', '.join(cls.presets())} or a TOML file, not {name!r}",
                            hint=did_you_mean(str(name), cls.presets()))
        return cls._read(cls._toml(cls._folder() / f"{name}.toml", name), name, None, (name,))

    @classmethod
    def load(cls, name_or_path: str) -> Self:
        """A preset's name, or the path of a TOML file."""
        return cls.from_toml(name_or_path) if str(name_or_path).endswith(".toml") else cls.preset(name_or_path)

    @classmethod
    def presets(cls) -> list[str]:
        """Names of the descriptions that ship with the project."""
        return sorted(file.name.removesuffix(".toml") for file in cls._folder().iterdir()
                      if file.name.endswith(".toml"))

    @classmethod
    def _folder(cls):
        return resources.files(cls.HOME).joinpath("presets")

    @classmethod
    def _toml(cls, file, source):
        try:
            return tomllib.loads(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise cls.ERROR(f"{source}: cannot be read: {reason(error)}") from None
        except tomllib.TOMLDecodeError as error:
            raise cls.ERROR(f"{source}: not TOML: {error}") from None

    @classmethod
    def _read(cls, document, source, folder, chain):
        values = cls._values(document, source, folder, chain)
        missing = [f"{_table(spec)}{spec.name}" for spec in cls.specs()
                   if spec.default is dataclasses.MISSING and spec.name not in values]
        if missing:
            raise cls.ERROR(f"{source}: missing {', '.join(missing)}")
        try:
            return cls.made(values)
        except DescriptionError as error:
            raise cls.ERROR(f"{source}: {error}", hint=error.hint) from None

    @classmethod
    def _values(cls, document, source, folder, chain):
        """Values by the names of fields: those of the base, but for those that the document holds itself."""
        if not isinstance(document, dict):
            raise cls.ERROR(f"{source}: the description of a {cls.WHAT} must be a table, not {document!r}")
        own = {}
        for section, content in document.items():
            if section == _EXTENDS:
                continue
            inside = isinstance(content, dict) and not cls._is_table(section)
            for key, value in content.items() if inside else [(section, content)]:
                name = cls._field(section if inside else "", key, source)
                if name in own:
                    raise cls.ERROR(f"{source}: {name} is given twice")
                own[name] = value
        base = {}
        if _EXTENDS in document:
            base = cls._base(document[_EXTENDS], source, folder, chain)
            base.pop("name", None)  # a description has a name of its own
        return base | own

    @classmethod
    def _is_table(cls, name):
        return any(spec.name == name and spec.metadata.get("table") for spec in cls.specs())

    @classmethod
    def _field(cls, section, key, source):
        specs = [spec for spec in cls.specs() if spec.metadata["section"] == section]
        match = next((spec.name for spec in specs if key in (spec.name, spec.name.removeprefix(f"{section}_"))), None)
        if match is None:
            expected = sorted(cls.key(spec) for spec in specs)
            sections = sorted({spec.metadata["section"] for spec in cls.specs()} - {""})
            told = f"expected one of {', '.join(expected)}" if expected else f"sections are {', '.join(sections)}"
            raise cls.ERROR(f"{source}: unknown field {f'[{section}] ' if section else ''}{key}; {told}",
                            hint=did_you_mean(key, expected) if expected else did_you_mean(section, sections))
        return match

    @classmethod
    def _base(cls, name, source, folder, chain):
        """Values of the description that another extends."""
        if isinstance(name, str) and name.endswith(".toml") and folder is not None:
            path = folder / name
            key, label, file, folder = str(path.resolve()), str(path), path, path.parent
        elif name in cls.presets():
            key, label, file, folder = name, name, cls._folder() / f"{name}.toml", None
        else:
            others = " or a TOML file" if folder is not None else ""
            raise cls.ERROR(f"{source}: {_EXTENDS} must be one of {', '.join(cls.presets())}{others}, not {name!r}",
                            hint=did_you_mean(str(name), cls.presets()))
        if key in chain:
            raise cls.ERROR(f"{source}: {_EXTENDS} goes in a circle: {' → '.join([*chain, key])}")
        return cls._values(cls._toml(file, label), label, folder, (*chain, key))

    # writing

    def to_dict(self) -> dict:
        """The TOML-shaped nested tables of :meth:`from_dict`."""
        raise NotImplementedError

    def to_toml(self) -> str:
        """The description as the text of a TOML file."""
        return toml_text(self.to_dict())

    def tabled(self, values: dict[str, Any]) -> dict:
        """Values by the names of fields as nested tables, with the keys that files have."""
        document: dict[str, Any] = {}
        for spec in self.specs():
            if spec.name in values:
                section = spec.metadata["section"]
                (document.setdefault(section, {}) if section else document)[self.key(spec)] = values[spec.name]
        return document


def _table(spec):
    return f"[{spec.metadata['section']}] " if spec.metadata["section"] else ""


def _number(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def toml_text(document: dict) -> str:
    """A TOML file: values at the top, tables of a few numbers on a line each, tables of more as sections below."""
    return "\n".join(_lines("", document)) + "\n"


def _lines(path, table):
    lines, sections = [], []
    for key, value in table.items():
        if isinstance(value, dict) and not _fits(path, key, value):
            inner = f"{path}{_key(key)}"
            sections += ["", f"[{inner}]", *_lines(f"{inner}.", value)]
        else:
            lines += _assigned(key, value)
    return lines + sections


def _fits(path, key, table):
    """Whether a table stands on a line: at the top a few numbers, texts, short lists; in a section all but tables."""
    if path:
        return not any(isinstance(item, dict) for item in table.values())
    return len(f"{key} = {_text(table)}") <= _WIDTH and not any(
        isinstance(item, dict | list | tuple) and not _is_short(item) for item in table.values())


def _is_short(item):
    return isinstance(item, list | tuple) and len(item) <= _SHORT and all(type(value) is int for value in item)


def _assigned(key, value):
    """A key and its value; a list too long for a line has a line for every entry that is a list or a table."""
    line = f"{_key(key)} = {_text(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list | tuple) or not any(
            isinstance(item, dict | list | tuple) for item in value):
        return [line]
    return [f"{_key(key)} = [", *(f"  {_text(item)}," for item in value), "]"]


def _key(key):
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(value):
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_text(item)}' for key, item in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    return tomli_w.dumps({"_": value}).removeprefix("_ = ").rstrip("\n")
