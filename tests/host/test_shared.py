"""A shared crossbar end to end: learning, the vote by regions, files, energy, and what it is refused."""

import dataclasses
import json
import signal

import numpy as np
import pytest
from click.testing import CliRunner

from ohmspike import classify, learn, train_vote
from ohmspike.chip import Chip, DescriptionError, Layer, Phase
from ohmspike.chip.instructions import counter_names
from ohmspike.hdl.shared.layout import Layout
from ohmspike.host.coding.images import Encoding
from ohmspike.host.commands.cli import cli
from ohmspike.host.runs.learned import load, save
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.nonideal import NonIdealTarget
from ohmspike.host.targets.registry import open_target
from ohmspike.sim.analog.device import Device, DeviceError
from ohmspike.sim.analog.energy import Activity, OperatingPoint, durations, facts
from ohmspike.sim.model.kernels.pulses import advance
from ohmspike.sim.model.nonideal import NonIdealities, NonIdealModel, as_hardware
from ohmspike.sim.state import spikes_difference

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


@pytest.fixture(scope="module")
def counted(learned):
    """A target of the non-ideal model without any non-ideality that has learned the same strokes."""
    target = NonIdealTarget(CHIP, NonIdealities(), Device.preset("target65"))
    learn(target, *strokes(1200))
    return target


def test_pulses_of_cells_add_up_to_the_counters_and_change_no_bit(learned, counted):
    counters, (tiles, read_out) = learned[1], counted.pulses()
    expected = dataclasses.replace(learned[0].state(), counters=counted.state().counters)  # those have gone on
    assert not counted.state().differences(expected)
    assert counted.counters() == counters
    every = sum(count for name, count in counters.items() if name.startswith(("set_pulses", "reset_pulses")))
    assert tiles.sum() + read_out.sum() == every
    assert tiles.sum() == counters["set_events"] * CHIP.rows and (tiles == tiles[:, :1]).all()  # all rows of a column


def test_the_non_ideal_model_reads_the_one_array_window_after_window():
    """Noise of reading is drawn anew for every window and neuron; what threads do is the same."""
    images, labels = strokes(60, seed=3)
    batch = Encoding.of(CHIP)(CHIP, images, learn=True, labels=labels, answer=True)
    runs = []
    for threads in (1, 3):
        model = NonIdealModel(CHIP, NonIdealities(c2c=0.02, read_noise=0.3, supply=0.1, line_ohm=5.0, unclamped=0.5))
        before = model.history()["noise"].copy()
        model.state.learn = True
        runs.append((model.run(batch, threads=threads), model))
        model.state.learn = False
        runs[-1] += (model.run(batch, threads=threads), model.history()["noise"])
        assert (runs[-1][3] != before).all()
    assert not spikes_difference(runs[0][0], runs[1][0]) and not spikes_difference(runs[0][2], runs[1][2])
    assert not runs[0][1].state.differences(runs[1][1].state) and (runs[0][3] == runs[1][3]).all()
    drawn, decisions = 0, runs[0][1].state.counters[counter_names(CHIP).index("decisions")]
    x = NonIdealModel(CHIP, NonIdealities())._drawn.reading.noise[0]
    while x != runs[0][3][0]:
        x, drawn = advance.py_func(x), drawn + 1
        assert drawn <= decisions * (CHIP.neurons + 1)
    assert drawn == decisions * (CHIP.neurons + 1)  # the droop of a window, and every neuron's noise


LAYERED = dataclasses.replace(CHIP, name="layered", pool=4, membrane_bits=14, layers=(
    Layer(patch_height=2, patch_width=2, neurons=10, winners=2, min_spikes=2, pool=2, learn_share=1000,
          theta_step=20),))


@pytest.fixture(scope="module")
def layered():
    """A target of two layers that has learned strokes, and the counters of that."""
    target = ModelTarget(LAYERED)
    learn(target, *strokes(1200))
    return target, target.counters()


def test_a_second_layer_learns_strokes(layered):
    images, labels = strokes(300, seed=1)
    assert (classify(layered[0], images) == labels).mean() > 0.95
    assert layered[0].state().layer_theta.min() == 0 < layered[1]["layer_set_events"]


def test_files_hold_a_second_layer_and_its_vote(layered, tmp_path):
    target, _ = layered
    images, labels = strokes(100, seed=2)
    vote = train_vote(target, images, labels, classes=2)
    assert vote.table.shape == (4, 10, 2)
    save(tmp_path / "learned.npz", LAYERED, target.state(), vote)
    chip, state, read = load(tmp_path / "learned.npz")
    assert chip == LAYERED and not state.differences(target.state()) and (read.table == vote.table).all()


def test_a_run_of_two_layers_goes_on_from_its_checkpoint(layered, tmp_path):
    images, labels = strokes(1200)
    halfway, path = ModelTarget(LAYERED), tmp_path / "checkpoint.npz"

    def stop(done, total):
        if done >= 2400:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        learn(halfway, images, labels, checkpoint=path, progress=stop)
    resumed = ModelTarget(LAYERED)
    learn(resumed, images, labels, checkpoint=path, resume=True)
    expected = dataclasses.replace(layered[0].state(), counters=resumed.state().counters)  # those have gone on
    assert not resumed.state().differences(expected) and resumed.counters() == layered[1]


def test_energy_is_of_both_layers(layered):
    _, counters = layered
    activity = Activity.from_counters(LAYERED, counters)
    assert activity.slots == counters["decisions"] + counters["layer_decisions"] + counters["steps"]
    upper, pulses = LAYERED.upper, counters["layer_set_rows"] + counters["layer_reset_rows"]
    assert pulses == counters["layer_set_events"] * upper.rows
    assert activity.write_lines[0][0] == counters["set_events"] * LAYERED.rows
    device = Device.preset("target65")
    told = facts(LAYERED, device, activity, OperatingPoint.of(LAYERED, device, activity))
    assert told["writes of a cell of the second layer, mean"] == counters["layer_set_events"] / upper.neurons


def test_gates_links_and_drawn_cells_of_a_second_layer_are_refused():
    with pytest.raises(UserError, match="^target must be model for a chip with a second layer, not serial:x$"):
        open_target("serial:x", LAYERED)
    with pytest.raises(DescriptionError, match="^layers must be empty, for a second layer gained nothing"):
        Layout(LAYERED, 4)
    with pytest.raises(DeviceError, match="^stuck must be 0 in a chip with a second layer, not 0.1$"):
        as_hardware(LAYERED, NonIdealities(stuck=0.1))
    with pytest.raises(DeviceError, match="^layers must be empty in the non-ideal model, not one layer$"):
        NonIdealModel(LAYERED, NonIdealities(read_noise=0.1))


def test_the_command_line_takes_it(tmp_path):
    (tmp_path / "chip.toml").write_text(dataclasses.replace(Chip.preset("shared-small"), neurons=8).to_toml(), "utf-8")
    data = tmp_path / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(data, images=rng.integers(0, 256, (40, 28, 28)).astype(np.uint8), labels=np.arange(40) % 10)
    call = ["learn", "--chip", str(tmp_path / "chip.toml"), "--data", str(data), "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(cli, [*call, "--pulses"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["counters"]["refused"] == 0 and told["pulses_per_cell"]["max"] > 0
    details = json.loads(CliRunner().invoke(cli, ["info", str(tmp_path / "chip.toml"), "--json"]).stdout)
    assert details["grid"] == "25x25 windows" and details["cycles"]["END"] > 0
    assert details["memory_bits"]["noted lines"] == 3136 and not details["unbuilt"]
    (tmp_path / "layered.toml").write_text(LAYERED.to_toml(), "utf-8")
    told = CliRunner().invoke(cli, ["info", str(tmp_path / "layered.toml")]).stdout
    assert "second layer       48 x 10, 3x3 windows" in told and "no RTL: layers must be empty" in told
