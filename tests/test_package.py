"""Wheel and source distribution, built from a fresh clone, hold everything that a user needs."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("boards", "chip", "hdl", "host", "sim")
DATA = (".cpp", ".toml", ".v")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs a git checkout")]


def run(*command, folder):
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package") / "clone"
    run("git", "clone", "--quiet", ROOT, folder, folder=ROOT)
    return folder


@pytest.fixture(scope="module")
def expected(clone):
    """Files of the package: all Python of the folders, and what it reads."""
    files = [Path(name) for name in run("git", "ls-files", *FOLDERS, folder=clone).splitlines()]
    kept = {f"ohmspike/{file.as_posix()}" for file in files
            if file.suffix in (".py", *DATA) or file.parent.name in ("static", "templates")}
    return kept | {"ohmspike/__init__.py", "ohmspike/__main__.py", "ohmspike/py.typed"}


def test_the_wheel_is_complete(clone, expected, tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ".", folder=clone)
    [wheel] = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected
    assert {"ohmspike/chip/presets/tiles.toml", "ohmspike/sim/rtl/compiled.cpp", "ohmspike/sim/rtl/DP16KD.v",
            "ohmspike/host/export/templates/Makefile", "ohmspike/py.typed"} <= names


def test_the_source_distribution_builds_the_same_wheel(clone, expected, tmp_path):
    run(sys.executable, "-m", "build", "--outdir", tmp_path, clone, folder=tmp_path)  # the wheel from the distribution
    [archive], [wheel] = tmp_path.glob("*.tar.gz"), tmp_path.glob("*.whl")
    with tarfile.open(archive) as packed:
        names = {name.split("/", 1)[1] for name in packed.getnames() if "/" in name}
    assert {"LICENSE", "NOTICE", "README.md", "CHANGELOG.md", "docs/contract.md", "pyproject.toml"} <= names
    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == expected
    run(sys.executable, "-m", "twine", "check", "--strict", archive, wheel, folder=tmp_path)
