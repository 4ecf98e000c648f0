"""Devices side by side, and one line from a device to a figure."""

import csv
import json

import numpy as np
import pytest
import tomli_w

from ohmspike.chip import Chip, Phase
from ohmspike.host.commands import cli
from ohmspike.host.studies.devices import COLUMNS, Plan, compare_devices, read_lines, summary
from ohmspike.host.support.errors import UserError
from ohmspike.sim.analog.device import Device, chip_with_device

CHIP = Chip(name="small", plane_height=6, plane_width=6, patch_height=6, patch_width=6, stride=1, neurons=12, winners=3,
            set_step=0.2, reset_step=0.2, theta_step=20.0, classes=3, margin=60, read_out_set_step=0.02,
            read_out_reset_step=0.02, schedule=(Phase(), Phase(learn=False, teach=True, passes=1)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Bars at three places, with noise, and a chip for them."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 1_500).astype(np.uint8)
    images = (rng.random((len(labels), 6, 6)) < 0.1) * np.uint8(255)
    for place in range(3):
        images[labels == place, 2 * place:2 * place + 2] = 255
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "bars.npz", images=images[:1_400], labels=labels[:1_400], test_images=images[1_400:],
             test_labels=labels[1_400:])
    (folder / "small.toml").write_text(tomli_w.dumps(CHIP.to_dict()))
    return str(folder / "bars.npz"), str(folder / "small.toml")


@pytest.fixture
def ohmspike(capsys):
    """Run a command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        try:
            code = cli.run([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_study_leads_from_a_file_to_accuracy_energy_lifetime_and_a_figure(ohmspike, files, tmp_path):
    data, chip = files
    mine = tmp_path / "mine.toml"
    mine.write_text(Device.preset("target65").varied(name="mine", retention_drift=0.1).to_toml())
    code, out, err = ohmspike("device", "study", mine, "--chip", chip, "--data", data, "--images", 400, "--out",
                              tmp_path / "s", "--json")
    assert code == 0, err
    learned, programmed = json.loads(out)["lines"]
    assert (learned["mode"], programmed["mode"]) == ("learned", "programmed")
    assert min(learned["accuracy"], programmed["accuracy"]) > 0.9
    assert learned["learn_j"] > learned["infer_j"] > 0 and learned["learn_s"] > learned["infer_s"] > 0
    assert 0 < learned["pulses_mean"] < learned["pulses_max"] and programmed["pulses_max"] == 0
    assert 0 < learned["images until 1 cell"] < learned["images until 1 %"] and programmed["images until 1 %"] is None
    # three quarters of the range are lost in a year; who goes on learning keeps up
    assert learned["after a year"] < learned["after an hour"]
    assert learned["after a year, learning on"] > learned["after a year"]
    for name in ("mine.toml", "chip.toml", "study.csv", "study.md", "study.png", "study.svg"):
        assert (tmp_path / "s" / name).stat().st_size > 100, name
    assert "| after a year, learning on |" in (tmp_path / "s" / "study.md").read_text()
    code, _, err = ohmspike("device", "study", mine, "--chip", "spiking", "--data", data)
    assert code == 1 and "chip must race and teach a read-out" in err
    code, _, err = ohmspike("device", "compare", mine, mine, "--chip", chip, "--data", data)
    assert code == 1 and "not mine twice" in err


def test_a_measured_binary_device_learns_as_one(ohmspike, files, tmp_path):
    data, chip = files
    rows = [f"{cycle},{branch},{pulse},{high if (branch == 'LTP') == (pulse > 0) else 1.0}" for cycle in range(10)
            for branch in ("LTP", "LTD") for pulse in range(21) for high in [50.0]]
    (tmp_path / "switch.csv").write_text("cycle,branch,pulse,conductance (uS)\n" + "\n".join(rows) + "\n")
    code, out, err = ohmspike("device", "study", tmp_path / "switch.csv", "--chip", chip, "--data", data, "--images",
                              300, "--out", tmp_path / "s", "--json")
    assert code == 0 and "this device is binary" in err, err
    made = Chip.load(str(tmp_path / "s" / "chip.toml"))
    assert made.levels == 2 and Device.of_chip(made).states == "discrete"
    assert json.loads(out)["lines"][0]["accuracy"] > 0.4


def test_an_existing_run_ages(ohmspike, files, tmp_path, monkeypatch):
    data, chip = files
    mine = tmp_path / "mine.toml"
    mine.write_text(Device.preset("target65").varied(name="mine", retention_drift=0.1).to_toml())
    monkeypatch.chdir(tmp_path)
    code, out, err = ohmspike("learn", "--chip", chip, "--device", mine, "--data", data, "--images", 400)
    assert code == 0, err
    (run,) = (tmp_path / "runs").iterdir()
    code, out, err = ohmspike("device", "age", run, "--data", data, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["accuracy"] > 0.9 and result["after a year"] < result["after an hour"]
    assert result["after a year, learning on"] > result["after a year"] and result["pulses"]["max"] > 0
    code, out, _ = ohmspike("device", "age", run, "--data", data, "--test-images", 20)
    assert code == 0 and "| after a year |" in out and "worn: 1 cell after" in out and "20 images" in out
    (run / "pulses.npz").unlink()
    code, out, _ = ohmspike("device", "age", run, "--data", data, "--test-images", 20)
    assert code == 0 and "did not count pulses" in out


def test_points_that_are_there_are_not_run_again(files, tmp_path, monkeypatch):
    data, _ = files
    device = Device.preset("ag_asi")
    plans = [Plan(chip_with_device(CHIP, device), device, data, 200, seed) for seed in (1, 2)]
    path = tmp_path / "d.csv"
    for stop in (1, 2):  # a point at a time runs here, without Dask
        lines = compare_devices(plans[:stop], path)
    assert [line["seed"] for line in lines] == [1, 1, 2, 2] and "(" in summary(lines)
    monkeypatch.setattr("ohmspike.host.studies.devices.run_point", None)
    assert compare_devices(plans, path) == lines == read_lines(path)
    assert Plan(plans[0].chip, device.varied(c2c=0.1), data, 200, 1).key != plans[0].key
    with open(path, newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not a comparison"):
        read_lines(path)
