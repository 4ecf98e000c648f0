"""Commands and options that messages, help and documents name are there."""

import ast
import re
from pathlib import Path

import click
import pytest

from ohmspike.host.commands import cli

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("boards", "chip", "hdl", "host", "sim") for path in (ROOT / folder).rglob("*.py"))
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
PROGRAMS = {"make", "pip", "python", "surfer", "gtkwave", "yosys", "git", "openFPGALoader", "uv", "nextpnr"}
"""What else is called in backticks, with options."""

_CALL = re.compile(r"`(?:\.venv/bin/)?ohmspike ([^`]+)`")
_BARE = re.compile(r"`([a-z][a-z-]*(?: [a-z][a-z-]*)?(?: [^`\s]+)*? --[a-z][^`]*)`")
_SHELL = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?ohmspike ([^\n#]+)", re.MULTILINE)
_FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def texts_of(source):
    """Strings of a program; what is put into an f-string stands as X."""
    tree = ast.parse(source)
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
             for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


def calls_in(text, *, document):
    """Command lines of ohmspike that a text names, without its name."""
    prose = _FENCE.sub("", text) if document else text
    yield from (" ".join(call.split()) for call in _CALL.findall(prose))
    for call in _BARE.findall(prose):
        if call.split()[0] not in PROGRAMS | {"ohmspike"}:
            yield call
    for fence in _FENCE.findall(text) if document else ():
        yield from (call.strip() for call in _SHELL.findall(fence.replace("\\\n", " ")))


def wrong_with(call):
    """What of a command line is not there: a command, or an option; None if all is."""
    command, words = cli.cli, call.split()
    options = {name for option in command.params for name in option.opts + option.secondary_opts}
    while words and isinstance(command, click.Group):
        word = words.pop(0)
        if word.startswith("-"):
            if word.rstrip(",.;:)") not in options | {"--help"}:
                return word
        elif re.fullmatch(r"[a-z][a-z-]*", word):
            if word not in command.list_commands(click.Context(command)):
                return word
            command = command.get_command(click.Context(command), word)
            options = {name for option in command.params for name in option.opts + option.secondary_opts}
        else:
            return None  # NAME, …
    for word in words:
        if (found := re.match(r"--[a-z][a-z-]*", word)) and found[0] not in options | {"--help"}:
            return found[0]
    return None


def wrong_in(text, *, document):
    return [(call, wrong) for call in calls_in(text, document=document) if (wrong := wrong_with(call)) is not None]


def test_messages_and_help_name_commands_and_options_that_are_there():
    wrong = {path.relative_to(ROOT): found for path in SOURCES
             for text in texts_of(path.read_text("utf-8")) if (found := wrong_in(text, document=False))}
    assert wrong == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_commands_and_options_that_are_there(document):
    assert wrong_in(document.read_text("utf-8"), document=True) == []


def test_what_is_not_there_is_seen():
    text = ("`mnist --device x`, `ohmspike learn --devise x` and `ohmspike device shw`; `ohmspike info tiles`\n"
            "```\n.venv/bin/ohmspike learn --chip a \\\n  --oops # --no\n```\n")
    assert [wrong for _, wrong in wrong_in(text, document=True)] == ["--devise", "shw", "mnist", "--oops"]
    assert [wrong for text in texts_of('x = f"take `mnist --device {y}`"') for _, wrong in wrong_in(
        text, document=False)] == ["mnist"]
