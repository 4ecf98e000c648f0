"""What the documents name is there: paths, links, and places within documents."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = ("boards", "chip", "docs", "hdl", "host", "sim", "src", "tests", ".ci")
_CODE, _FENCE = re.compile(r"`([^`\n]+)`"), re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_PATH = re.compile(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def missing_paths(text):
    """Paths of the repository in backticks, and in drawings, that are not there."""
    named = {match for code in _CODE.findall(_FENCE.sub("", text)) for match in [_PATH.fullmatch(code)] if match}
    paths = {match[0] for match in named}
    for drawing in _FENCE.findall(text):
        drawn = {path.rstrip(".") for path in _PATH.findall(drawing)}
        paths |= {path for path in drawn if path.endswith((".py", ".md", ".toml"))}
    return sorted(path for path in paths if "NAME" not in path and not list(ROOT.glob(path.rstrip("/"))))


def anchors(text):
    """Names by which the headings of a document are reached."""
    heads = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(document, text):
    """Links into the repository that lead nowhere."""
    dead = []
    for link in _LINK.findall(_FENCE.sub("", text)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, place = link.partition("#")
        target = document if not path else document.parent / path
        if not target.exists() or (place and place not in anchors(target.read_text("utf-8"))):
            dead.append(link)
    return dead


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_exists(document):
    assert missing_paths(document.read_text("utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    assert dead_links(document, document.read_text("utf-8")) == []


def test_a_path_and_a_link_that_lead_nowhere_are_seen():
    text = ("See `hdl/levels.py`, `chip/presets/*.toml`, [x](docs/none.md), [y](README.md#no-such).\n"
            "```\na/b hdl/none.py\n```\n")
    assert missing_paths(text) == ["hdl/levels.py", "hdl/none.py"]
    assert dead_links(ROOT / "README.md", text) == ["docs/none.md", "README.md#no-such"]


def test_what_a_package_index_shows_has_no_link_into_the_repository():
    assert _LINK.findall((ROOT / "docs/package.md").read_text("utf-8")) == []


def test_the_makefile_has_every_target_that_the_documents_name():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = {target for document in DOCUMENTS
             for target in re.findall(r"`make ([a-z][a-z-]*)", document.read_text("utf-8"))}
    assert sorted(target for target in named if f"\n{target}:" not in makefile) == []
