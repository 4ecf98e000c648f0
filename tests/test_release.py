"""The release script: what it changes, and what it refuses."""

import importlib.machinery
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci/release"
CHANGELOG = "# Changelog\n\n## Unreleased\n\n### Added\n- A thing.\n\n## 0.1.0 – 2026-01-01\n- First.\n"
PROJECT = '[project]\nname = "thing"\nversion = "0.2.0.dev0"\n'


@pytest.fixture(scope="module")
def script():
    loader = importlib.machinery.SourceFileLoader("release_script", str(SCRIPT))
    spec = importlib.util.spec_from_loader("release_script", loader)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "someone")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "someone@example.org")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_release_is_tagged_and_the_next_version_begins(script, checkout):
    left = script.release("0.2.0", checkout, sys.executable, build=False)
    assert "push" in left and git(checkout, "status", "--porcelain") == ""
    assert 'version = "0.2.0"' in git(checkout, "show", "v0.2.0:pyproject.toml")
    assert tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"] == "0.3.0.dev0"
    tagged = git(checkout, "show", "v0.2.0:CHANGELOG.md")
    assert tagged.index("## Unreleased\n\nNothing yet.\n") < tagged.index("## 0.2.0 – ") < tagged.index("- A thing.")
    assert tagged.endswith(CHANGELOG[CHANGELOG.index("## 0.1.0"):])


@pytest.mark.parametrize(("version", "message"), [
    ("0.2", "version must be MAJOR.MINOR.PATCH, not '0.2'"), ("0.2.0.dev0", "version must be"),
])
def test_other_versions_are_refused(script, checkout, version, message):
    with pytest.raises(script.ReleaseError, match=message):
        script.release(version, checkout, sys.executable, build=False)


def test_what_is_not_committed_is_not_released(script, checkout):
    (checkout / "new").write_text("x")
    with pytest.raises(script.ReleaseError, match="must be clean"):
        script.release("0.2.0", checkout, sys.executable, build=False)


def test_nothing_is_released_twice(script, checkout):
    script.release("0.2.0", checkout, sys.executable, build=False)
    with pytest.raises(script.ReleaseError, match="tag v0.2.0 is there already"):
        script.release("0.2.0", checkout, sys.executable, build=False)
    with pytest.raises(script.ReleaseError, match="nothing is unreleased"):
        script.release("0.2.1", checkout, sys.executable, build=False)


def test_a_build_that_fails_leaves_the_checkout_as_it_was(script, checkout):
    with pytest.raises(script.ReleaseError, match="build"):
        script.release("0.2.0", checkout, "false")
    assert git(checkout, "status", "--porcelain") == "" and git(checkout, "tag") == ""


def test_the_project_itself_could_be_released(script):
    root = SCRIPT.parents[1]
    assert script.with_version((root / "pyproject.toml").read_text("utf-8"), "9.9.9") != ""
    assert "## 9.9.9" in script.cut((root / "CHANGELOG.md").read_text("utf-8"), "9.9.9", "2026-01-01") or (
        "Nothing yet." in (root / "CHANGELOG.md").read_text("utf-8"))
