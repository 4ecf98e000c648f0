"""Learned chips in files: round trip, strangers' files, full disks."""

import dataclasses
import json
import os

import numpy as np
import pytest

from ohmspike import Vote, load, save
from ohmspike.chip import Chip, DescriptionError
from ohmspike.host.runs.learned import write_arrays
from ohmspike.host.support.errors import UserError
from ohmspike.sim.analog.fit import read_measurement
from ohmspike.sim.model.nonideal import NonIdealities, as_hardware
from ohmspike.sim.state import ChipState

CHIP = Chip.preset("tiny")


def saved(path, chip=CHIP, **changes):
    state = ChipState.initial(chip)
    vote = Vote(np.zeros((chip.tiles, chip.neurons, 3), np.float32))
    save(path, chip, state, vote)
    if changes:
        with np.load(path) as archive:
            arrays = dict(archive)
        for name, change in changes.items():
            arrays[name] = change(arrays[name])
        np.savez(path, **arrays)
    return state, vote


def test_what_was_saved_is_loaded(tmp_path):
    state, vote = saved(tmp_path / "chip.npz")
    chip, loaded, loaded_vote = load(tmp_path / "chip.npz", CHIP)
    assert chip == CHIP and loaded.differences(state) == ""
    assert np.array_equal(loaded_vote.table, vote.table)


def test_nonidealities_are_saved_where_there_are_any(tmp_path):
    saved(tmp_path / "flawless.npz")
    with np.load(tmp_path / "flawless.npz") as archive:
        assert "stuck" not in archive.files and "write_noise" not in json.loads(str(archive["header"]))
    chip, state = as_hardware(CHIP, NonIdealities(c2c=0.1, stuck=0.2, threshold=2.0))
    save(tmp_path / "flawed.npz", chip, state)
    found, loaded, _ = load(tmp_path / "flawed.npz", chip)
    assert found == chip and loaded.differences(state) == "" and loaded.stuck.any() and loaded.write_noise
    with np.load(tmp_path / "flawed.npz") as archive:
        arrays = dict(archive)
    arrays.pop("stuck")
    np.savez(tmp_path / "flawed.npz", **arrays)
    with pytest.raises(UserError, match="not a saved chip: 'stuck' is missing"):
        load(tmp_path / "flawed.npz")


@pytest.mark.parametrize(("changes", "message"), [
    ({"levels": lambda a: a + 200}, "levels must be 0 to 63"),
    ({"levels": lambda a: a.astype(float)}, "levels must be a contiguous array of uint8"),
    ({"theta": lambda a: a[:1]}, "theta must have shape"),
    ({"vote": lambda a: a[0]}, "vote must be float32 of shape"),
    ({"header": lambda a: np.array("[]")}, "not a saved chip"),
    ({"header": lambda a: np.array("{")}, "not a saved chip"),
    ({"header": lambda a: np.array(str(a).replace('"format": 2', '"format": 1'))}, "file format must be 2, not 1"),
    ({"header": lambda a: np.array(str(a).replace('"seed": 1', '"seed": 2'))}, "digest of the description must be"),
])
def test_damage_is_named(tmp_path, changes, message):
    path = tmp_path / "chip.npz"
    saved(path, **changes)
    with pytest.raises(UserError, match=message):
        load(path)


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "chip.npz"
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="not a readable .npz"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"\x00" * 100, json.dumps({}).encode()])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "chip.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a readable .npz|not a saved chip"):
        load(path)


def test_a_pipe_is_refused_and_a_picture_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: must be a file or a folder, not a pipe"):
        load(tmp_path / "pipe")
    with pytest.raises(DescriptionError, match="pipe: must be a file, not a pipe"):
        read_measurement(tmp_path / "pipe")
    (tmp_path / "a.png").write_bytes(b"\x89PNG" + bytes(20))
    with pytest.raises(UserError, match="a.png: not a readable .npz file: it is no archive of plain arrays"):
        load(tmp_path / "a.png")


def test_a_missing_file_and_another_chip_are_named(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        load(tmp_path / "none.npz")
    saved(tmp_path / "chip.npz")
    with pytest.raises(UserError, match="holds another chip"):
        load(tmp_path / "chip.npz", dataclasses.replace(CHIP, seed=5))


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "chip.npz"
    saved(path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ohmspike.host.runs.learned.np.savez_compressed", full)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        write_arrays(path, {"a": np.zeros(3)})
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["chip.npz"]
