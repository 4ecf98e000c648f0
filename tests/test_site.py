"""The docs site is built from the documents, without a warning, and needs no network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ohmspike.host.commands.cli import SECTIONS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
                          cwd=ROOT, capture_output=True, text=True, timeout=600,
                          env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")})
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (0, "", "")
    return folder


@pytest.mark.slow
def test_the_site_has_every_document_and_every_command(site):
    pages = {path.stem for path in site.glob("*.html")}
    assert pages >= {path.stem for path in (ROOT / "docs").glob("*.md")} - {"package"}
    commands = (site / "cli.html").read_text("utf-8")
    for name in [name for section in SECTIONS.values() for name in section]:
        assert f'id="{name}"' in commands or f'id="ohmspike-{name}"' in commands, name
    assert "presentation_order" in (site / "api.html").read_text("utf-8")


@pytest.mark.slow
def test_the_site_asks_for_nothing_elsewhere(site):
    for path in site.glob("*.html"):
        text = path.read_text("utf-8")
        assert not re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]+"', text), path.name
