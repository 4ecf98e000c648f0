"""A chip of a device behaves like the device, and what reads its runs knows which it was."""

import dataclasses
import json

import numpy as np
import pytest
import tomli_w

from ohmspike.chip import Chip, Phase
from ohmspike.host.commands import cli
from ohmspike.host.learning.run import learn
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.nonideal import NonIdealTarget
from ohmspike.sim.analog.device import Device, chip_with_device
from ohmspike.sim.model.nonideal import NonIdealities

CHIP = Chip(name="small", plane_height=6, plane_width=6, patch_height=6, patch_width=6, stride=1, neurons=12, winners=3,
            set_step=0.2, reset_step=0.2, theta_step=20.0, classes=3, margin=60, read_out_set_step=0.02,
            read_out_reset_step=0.02, schedule=(Phase(), Phase(learn=False, teach=True, passes=1)))


@pytest.fixture(scope="module")
def bars():
    """Bars at three places, with noise."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 1_400).astype(np.uint8)
    images = (rng.random((len(labels), 6, 6)) < 0.1) * np.uint8(255)
    for place in range(3):
        images[labels == place, 2 * place:2 * place + 2] = 255
    return images, labels


@pytest.fixture(scope="module")
def files(bars, tmp_path_factory):
    """Paths of the data, and of the chip."""
    folder, (images, labels) = tmp_path_factory.mktemp("data"), bars
    np.savez(folder / "bars.npz", images=images[:1_200], labels=labels[:1_200], test_images=images[1_200:],
             test_labels=labels[1_200:])
    (folder / "small.toml").write_text(tomli_w.dumps(CHIP.to_dict()))
    return folder / "bars.npz", folder / "small.toml"


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


def test_mnist_on_a_device_has_all_of_its_non_idealities_unless_told_otherwise(ohmspike, files, tmp_path):
    data, chip = files
    (tmp_path / "rough.toml").write_text(Device.preset("target65").varied(name="rough", c2c=0.3).to_toml())
    learned = {}
    for how, options in (("real", ()), ("ideal", ("--ideal",))):
        code, out, err = ohmspike("mnist", "--chip", chip, "--device", tmp_path / "rough.toml", "--data", data,
                                  "--out", tmp_path, "--json", *options)
        assert code == 0, err
        learned[how] = json.loads(out)
    assert learned["ideal"]["accuracy"] > 0.9 > learned["real"]["accuracy"]
    assert learned["real"]["device"] == learned["ideal"]["device"] == "rough"
    assert learned["ideal"]["ideal"] and not learned["real"]["ideal"]
    # the chip that the run kept is of this device, and nothing takes it for another
    run = learned["real"]["run"]
    code, out, err = ohmspike("energy", run)
    assert code == 0 and out.startswith("small-rough on rough"), err
    for command in ("energy", "report"):
        code, _, err = ohmspike(command, run, "--device", "pcmo")
        assert code == 1 and "device must be rough, of which small-rough is made, not pcmo" in err
    code, _, err = ohmspike("mnist", "--chip", f"{run}/chip.toml", "--device", "pcmo")
    assert code == 1


def test_chip_file_of_a_device_has_them_too(ohmspike, files, tmp_path):
    data, chip = files
    made = tmp_path / "made.toml"
    code, _, err = ohmspike("device", "chip", "ag_asi", "--chip", chip, "--out", made)
    assert code == 0, err
    code, out, err = ohmspike("mnist", "--chip", made, "--data", data, "--out", tmp_path, "--images", "300")
    assert code == 0 and "device ag_asi; non-idealities: c2c 0.0488" in out, err
    assert "pulses of a cell: mean" in out
    run = out.strip().rpartition("run folder ")[2]
    with np.load(f"{run}/pulses.npz") as pulses:
        metrics = json.loads(open(f"{run}/metrics.json").read())
        assert max(pulses["tiles"].max(), pulses["read_out"].max()) == metrics["pulses_per_cell"]["max"] > 0
        given = sum(count for name, count in metrics["counters_learn"].items() if "_pulses[" in name)
        assert pulses["tiles"].sum() + pulses["read_out"].sum() == given
    # the saved chip answers with the same cells as it learned with, or as an ideal one
    code, out, err = ohmspike("classify", f"{run}/learned.npz", "--data", data, "--json")
    assert code == 0 and "non-idealities: c2c 0.0488" in err, err
    assert json.loads(out)["accuracy"] == pytest.approx(metrics["accuracy"], abs=0.1)
    code, _, err = ohmspike("classify", f"{run}/learned.npz", "--data", data, "--ideal")
    assert code == 0 and "none, an ideal chip" in err, err
    code, _, err = ohmspike("mnist", "--chip", made, "--data", data, "--out", tmp_path, "--target", "rtl")
    assert code == 1 and "target must be model for all non-idealities of ag_asi" in err and "--ideal" in err
    code, _, err = ohmspike("mnist", "--chip", made, "--data", data, "--out", tmp_path, "--encoding", "rate")
    assert code == 1 and "need latency-coded images" in err
    code, _, err = ohmspike("mnist", "--chip", made, "--data", data, "--device", "pcmo")
    assert code == 1 and "device must be ag_asi" in err


def test_an_interrupted_run_on_a_device_ends_in_the_same_bits(bars, tmp_path):
    device = Device.preset("ag_asi").varied(stuck=0.05)
    chip = dataclasses.replace(chip_with_device(CHIP, device), schedule=(
        Phase(), Phase(learn=False, teach=True, passes=2)))
    images, labels = bars
    found = NonIdealities.of_device(device)
    whole = NonIdealTarget(chip, found, device)
    learn(whole, images, labels)
    first, path, asked = NonIdealTarget(chip, found, device), tmp_path / "run.npz", []

    def interrupt(done, total):
        asked.append(done)
        if len(asked) == 3:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        learn(first, images, labels, checkpoint=path, progress=interrupt)
    again = NonIdealTarget(chip, found, device)
    more = learn(again, images, labels, checkpoint=path, resume=True)
    assert more.resumed and [mark["phase"] for mark in more.phases] == [0, 1]
    for name in ("levels", "read_out", "theta", "random", "counters"):
        assert np.array_equal(getattr(again.state(), name), getattr(whole.state(), name)), name
    for name, kept in whole.history().items():
        assert np.array_equal(kept, again.history()[name]), name
    with pytest.raises(UserError, match="cannot go on from a run of the non-ideal model"):
        learn(ModelTarget(chip), images, labels, checkpoint=path, resume=True)


def test_pulses_are_counted_where_they_are_asked_for_and_change_no_bit(ohmspike, files, tmp_path):
    data, chip = files
    runs = []
    for options in ((), ("--pulses",)):
        code, out, err = ohmspike("learn", "--chip", chip, "--data", data, "--out", tmp_path, "--json", *options)
        assert code == 0, err
        runs.append(json.loads(out))
    assert runs[0]["counters"] == runs[1]["counters"] and runs[0]["accuracy"] == runs[1]["accuracy"]
    assert "pulses_per_cell" not in runs[0] and runs[1]["pulses_per_cell"]["max"] > 0 and runs[1]["ideal"]
    code, _, err = ohmspike("learn", "--chip", chip, "--data", data, "--pulses", "--target", "rtl")
    assert code == 1 and "pulses of cells are counted by --target model" in err
