"""A shared crossbar end to end: learning, the vote by regions, files, energy, and what it is refused."""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

from ohmspike import classify, learn, train_vote
from ohmspike.chip import Chip, DescriptionError, Phase
from ohmspike.host.commands.cli import cli
from ohmspike.host.runs.learned import load, save
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.registry import open_target
from ohmspike.sim.analog.device import Device
from ohmspike.sim.analog.energy import Activity, OperatingPoint, durations, facts
from ohmspike.sim.model.nonideal import NonIdealities, NonIdealModel

CHIP = Chip(name="strokes", plane_height=10, plane_width=10, channels=4, edges=(20,), patch_height=3, patch_width=3,
            stride=1, shared=True, pool=2, neurons=12, winners=2, min_spikes=3, learn_share=600, theta_step=20.0,
            membrane_bits=12, classes=2, score_bits=16, margin=400, read_out_set_step=0.02, read_out_reset_step=0.02,
            schedule=(Phase(decay=0.5), Phase(learn=False, teach=True, passes=2, read_out_decay=0.5, shift=1)))


def strokes(count, seed=0):
    """Bars that stand or lie, anywhere."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = np.zeros((count, 10, 10), np.uint8)
    for image, label in zip(images, labels, strict=True):
        at = int(rng.integers(2, 7))
        if label:
            image[at:at + 2, 2:8] = 220
        else:
            image[2:8, at:at + 2] = 220
    return images, labels.astype(np.uint8)


@pytest.fixture(scope="module")
def learned():
    """A target that has learned strokes, and the counters of that."""
    target = ModelTarget(CHIP)
    images, labels = strokes(1200)
    learn(target, images, labels)
    return target, target.counters()


def test_it_learns_strokes(learned):
    images, labels = strokes(300, seed=1)
    assert (classify(learned[0], images) == labels).mean() > 0.97


def test_thresholds_are_rebased_every_thousand_images(learned):
    assert learned[0].state().theta.min() == 0 and learned[1]["theta_clipped"] == 0


def test_the_vote_is_of_regions(learned):
    images, labels = strokes(300, seed=1)
    vote = train_vote(learned[0], images, labels, classes=2)
    assert vote.table.shape == (4, 12, 2)
    assert (classify(learned[0], images, vote) == labels).mean() > 0.8


def test_files_hold_it(learned, tmp_path):
    target, _ = learned
    images, labels = strokes(100, seed=2)
    vote = train_vote(target, images, labels, classes=2)
    save(tmp_path / "learned.npz", CHIP, target.state(), vote)
    chip, state, read = load(tmp_path / "learned.npz")
    assert chip == CHIP and not state.differences(target.state())
    assert (read.table == vote.table).all()


def test_energy_counts_windows_as_times_of_reading(learned):
    _, counters = learned
    activity = Activity.from_counters(CHIP, counters)
    assert activity.slots == counters["decisions"] + counters["steps"]
    device = Device.preset("target65")
    point = OperatingPoint.of(CHIP, device, activity)
    told = facts(CHIP, device, activity, point)
    assert told["writes of a cell of the tiles, mean"] == counters["set_events"] / CHIP.neurons
    assert told["reads of a cell of the tiles in an image, mean"] == pytest.approx(
        counters["row_reads"] / CHIP.rows / counters["samples"])
    seconds = durations(CHIP, device, activity, point)
    compared = device.ramp_comparisons * device.compare_s
    assert seconds["deciding"] == pytest.approx((counters["decisions"] + counters["samples"]) * compared)


@pytest.mark.slow
def test_the_compiled_rtl_learns_what_the_model_learns():
    images, labels = strokes(30, seed=2)
    schedule = (Phase(), dataclasses.replace(CHIP.schedule[1], passes=1))
    chip = dataclasses.replace(CHIP, schedule=schedule)
    model = ModelTarget(chip)
    with open_target("rtl", chip) as rtl:
        for target in (model, rtl):
            learn(target, images, labels)
        assert rtl.state().differences(model.state()) == ""
        assert (classify(rtl, images) == classify(model, images)).all()
        assert rtl.counters() == model.counters()


def test_the_non_ideal_model_says_so():
    with pytest.raises(DescriptionError, match="^shared must be false in the non-ideal model, not true$"):
        NonIdealModel(CHIP, NonIdealities(read_noise=0.1))


def test_the_command_line_takes_it(tmp_path):
    (tmp_path / "chip.toml").write_text(dataclasses.replace(Chip.preset("shared-small"), neurons=8).to_toml(), "utf-8")
    data = tmp_path / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(data, images=rng.integers(0, 256, (40, 28, 28)).astype(np.uint8), labels=np.arange(40) % 10)
    call = ["learn", "--chip", str(tmp_path / "chip.toml"), "--data", str(data), "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(cli, call)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["counters"]["refused"] == 0
    details = json.loads(CliRunner().invoke(cli, ["info", str(tmp_path / "chip.toml"), "--json"]).stdout)
    assert details["grid"] == "25x25 windows" and details["cycles"]["END"] > 0
    assert details["memory_bits"]["noted lines"] == 3136
