"""Learning runs: schedule, interruption, resumption, vote."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest

from ohmspike import Vote, classify, learn, train_vote
from ohmspike.chip import Chip, Phase
from ohmspike.chip.events import OutputSpikes
from ohmspike.host.runs.learned import read_arrays
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.model import ModelTarget
from ohmspike.sim.state import ChipState

CHIP = dataclasses.replace(Chip.preset("tiny"), plane_height=8, plane_width=8, patch_height=4, patch_width=4, stride=4)


def pictures(count, seed=0):
    """Two kinds of images: bright on the left or on the right, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 60, (count, 8, 8))
    for image, label in zip(images, labels, strict=True):
        image[:, 4 * label:4 * label + 4] += rng.integers(80, 190, (8, 4))
    return images.astype(np.uint8), labels.astype(np.uint8)


def target_of(chip=CHIP):
    target = ModelTarget(chip)
    target.load(ChipState.initial(chip))
    return target


def test_a_run_that_was_interrupted_and_resumed_ends_in_the_same_bits(tmp_path):
    images, _ = pictures(3500)
    whole = target_of()
    learn(whole, images, passes=2)
    checkpoint = tmp_path / "not" / "there" / "yet" / "run.npz"

    def interrupt(done, total):
        if done >= 4500:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        learn(target_of(), images, passes=2, checkpoint=checkpoint, progress=interrupt)
    resumed = ModelTarget(CHIP)
    report = learn(resumed, images, passes=2, checkpoint=checkpoint, resume=True)
    assert report.resumed and 0 < report.images < 7000
    assert resumed.state().differences(whole.state()) == ""


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    images, _ = pictures(2000)
    checkpoint = tmp_path / "run.npz"

    def interrupt(done, total):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        learn(target_of(), images, passes=2, checkpoint=checkpoint, progress=interrupt)
    with pytest.raises(UserError, match="another run: schedule is "):
        learn(target_of(), images, passes=3, checkpoint=checkpoint, resume=True)
    with pytest.raises(UserError, match="another run: images"):
        learn(target_of(), images[::-1], passes=2, checkpoint=checkpoint, resume=True)
    with pytest.raises(UserError, match="another chip"):
        learn(target_of(dataclasses.replace(CHIP, seed=9)), images, passes=2, checkpoint=checkpoint, resume=True)


def test_rates_follow_the_schedule_and_thresholds_are_rebased():
    chip = dataclasses.replace(CHIP, schedule=(Phase(decay=0.25),))
    target, images = target_of(chip), pictures(2000)[0]
    seen = []
    set_rates = target.set_rates
    target.set_rates = lambda scale, theta: (seen.append(scale), set_rates(scale, theta))
    learn(target, images, passes=2)
    assert seen == pytest.approx([1.0, 0.25**0.5, 0.25, 0.25**1.5])
    assert (target.read("theta").min(axis=1) == 0).all()


FREE = dataclasses.replace(
    CHIP, fire_mode="threshold", depression="post", winners=1, learners=1, theta_base=600, theta_step=16.0, classes=2,
    margin=20, read_out_set_step=0.05, read_out_reset_step=0.05, rate_steps=8, rate_peak=0.5,
    schedule=(Phase(decay=0.5, theta_decay=0.25), Phase(learn=False, teach=True)))


def test_a_free_running_chip_learns_without_labels_and_its_read_out_with():
    images, labels = pictures(2000)
    target = target_of(FREE)
    learned = learn(target, images, labels)
    tests, answers = pictures(500, seed=1)
    vote = train_vote(target, images, labels, classes=2)
    assert (classify(target, tests, vote) == answers).mean() > 0.97 < (classify(target, tests) == answers).mean()
    assert [done for done, _ in learned.prequential] == [3000, 4000]
    counters = target.counters()
    assert counters["dark_spikes"] == counters["refused"] == counters["post_recharge"] == 0
    assert counters["samples"] == 4000 + 2000 + 500 + 500 and counters["out_spikes"] > counters["set_events"] > 0


def test_thresholds_of_a_free_running_chip_rise_slower_and_are_rebased_every_thousand_images():
    target, images = target_of(FREE), pictures(3000)[0]
    seen = []
    learn(target, images, progress=lambda *_: seen.append(
        (int(target.model.state.theta_step), int(target.read("theta").min()))))
    assert seen == [(16, 0), (round(16 * 0.25**(1 / 3)), 0), (round(16 * 0.25**(2 / 3)), 0)]


def test_it_learns_two_classes_without_labels():
    images, labels = pictures(3000)
    target = target_of()
    learn(target, images)
    vote = train_vote(target, images, labels, classes=2)
    tests, answers = pictures(500, seed=1)
    assert (classify(target, tests, vote) == answers).mean() > 0.97


TAUGHT = dataclasses.replace(CHIP, classes=2, margin=20, read_out_set_step=0.05, read_out_reset_step=0.05, schedule=(
    Phase(decay=0.5, teach=True), Phase(learn=False, teach=True, read_out_scale=0.5, read_out_decay=0.5)))


def test_the_read_out_is_taught_while_the_tiles_learn_and_after():
    images, labels = pictures(3000)
    target = target_of(TAUGHT)
    learned = learn(target, images, labels)
    tests, answers = pictures(500, seed=1)
    assert (classify(target, tests) == answers).mean() > 0.97
    assert [done for done, _ in learned.prequential] == [1000, 2000, 3000, 4000, 5000, 6000]
    assert learned.prequential[-1][1] > 0.95
    counters = target.counters()
    assert counters["answers"] == 6500 and counters["labels"] == 6000
    assert counters["labels_right"] == pytest.approx(sum(right for _, right in learned.prequential) * 1000)
    assert 0 < counters["taught"] < 6000


def test_without_labels_the_read_out_learns_nothing():
    images, _ = pictures(1000)
    taught, untaught = target_of(TAUGHT), target_of(dataclasses.replace(TAUGHT, schedule=(Phase(decay=0.5),)))
    assert learn(taught, images).images == learn(untaught, images).images == 1000
    assert taught.state().equal(untaught.state()) and (taught.read("read_out") == 32).all()


HOSTED = dataclasses.replace(TAUGHT, schedule=(Phase(decay=0.5), Phase(
    passes=2, learn=False, teach=True, on_host=True, read_out_decay=0.5, shift=1)))


@pytest.mark.parametrize("chip", [TAUGHT, HOSTED], ids=["on the chip", "on the host"])
def test_an_interrupted_teaching_run_ends_in_the_same_bits(tmp_path, chip):
    images, labels = pictures(2000)
    whole, resumed, checkpoint = target_of(chip), target_of(chip), tmp_path / "run.npz"
    prequential = learn(whole, images, labels).prequential

    def interrupt(done, total):
        if done == 3000:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        learn(resumed, images, labels, checkpoint=checkpoint, progress=interrupt)
    arrays = read_arrays(checkpoint)
    kept = json.loads(str(arrays["run"]))
    former = {{"nonidealities": "flaws", "prequential": "curve"}.get(name, name): value for name, value in kept.items()}
    assert {"flaws", "curve"} <= former.keys()
    old = tmp_path / "former.npz"  # as an earlier version wrote it
    np.savez(old, **arrays | {"run": np.array(json.dumps(former))})
    assert learn(target_of(chip), images, labels, checkpoint=old, resume=True).prequential == prequential
    resumed = target_of(chip)
    assert learn(resumed, images, labels, checkpoint=checkpoint, resume=True).prequential == prequential
    assert resumed.state().differences(whole.state()) == ""
    with pytest.raises(UserError, match="another run: labels"):
        learn(target_of(chip), images, 1 - labels, checkpoint=checkpoint, resume=True)


def test_the_host_teaches_what_the_chip_would_have_learned():
    images, labels = pictures(1500)
    on_chip = dataclasses.replace(HOSTED, schedule=tuple(dataclasses.replace(phase, on_host=False)
                                                         for phase in HOSTED.schedule))
    hosted, taught = target_of(HOSTED), target_of(on_chip)
    prequential = learn(hosted, images, labels).prequential
    assert prequential == learn(taught, images, labels).prequential and prequential[-1][1] > 0.7
    assert (hosted.read("read_out") == taught.read("read_out")).all() and (hosted.read("read_out") != 32).any()
    assert not any(hosted.counters()[name] for name in ("labels", "taught", "answers"))


def test_a_written_read_out_misses_by_the_noise_of_its_cells():
    flawed = dataclasses.replace(HOSTED, noise_bits=14, write_noise=0.05, stuck_cells="masked")
    target, rng = target_of(flawed), np.random.default_rng(0)
    stuck = rng.random((flawed.read_out_rows, flawed.classes)) < 0.2
    before = rng.integers(0, 64, stuck.shape)
    target.write("read_out_stuck", stuck)
    target.write("read_out", before)
    wanted = np.full(stuck.shape, 30)
    target.program_read_out(wanted)
    found = target.read("read_out").reshape(stuck.shape)
    assert (found[stuck] == before[stuck]).all()
    error = found[~stuck] - 30.0
    assert abs(error.std() / 63 - 0.05) < 0.01 and abs(error.mean()) < 1
    target.write("read_out", before)
    target.program_read_out(wanted)
    assert (target.read("read_out").reshape(stuck.shape) == found).all()


@pytest.mark.parametrize("chip", [TAUGHT, HOSTED], ids=["on the chip", "on the host"])
def test_labels_outside_the_read_out_are_an_error(chip):
    images, labels = pictures(20)
    target = target_of(chip)
    with pytest.raises(ValueError, match="^labels must be 0 to classes - 1 = 1, not 0 to 2$"):
        learn(target, images, np.where(labels == 1, 2, 0))
    with pytest.raises(ValueError, match=r"^labels must be integers of shape \(20,\), not float64 of \(20,\)$"):
        learn(target, images, labels.astype(float))
    assert target.counters()["samples"] == 0  # told before anything is learned


def test_learning_off_changes_nothing_but_counters():
    images, labels = pictures(200)
    target = target_of()
    before = target.state()
    train_vote(target, images, labels, classes=2)
    after = target.state()
    assert after.counters.any()
    after.counters[:] = before.counters
    assert before.differences(after) == ""


def test_a_vote_weighs_ranks():
    chip = dataclasses.replace(CHIP, learners=1)
    table = np.zeros((chip.tiles, chip.neurons, 2), np.float32)
    table[0, 0], table[0, 1] = (0.0, -1.0), (-1.2, 0.0)
    spikes = OutputSpikes(np.zeros(2, np.int32), np.array([0, 1], np.int32), np.array([0, 2]))
    assert Vote(table).answers(chip, spikes).tolist() == [0]
    swapped = OutputSpikes(np.zeros(2, np.int32), np.array([1, 0], np.int32), np.array([0, 2]))
    assert Vote(table).answers(chip, swapped).tolist() == [1]


def test_votes_are_counted_by_first_winners_alone():
    spikes = OutputSpikes(np.array([0, 0, 1], np.int32), np.array([2, 3, 1], np.int32), np.array([0, 3]))
    counts = Vote.count(CHIP, spikes, np.array([1]), 2)
    assert counts.sum() == 2 and counts[0, 2, 1] == 1 and counts[1, 1, 1] == 1


LONE = Chip.preset("paper100-free")
AGAIN = OutputSpikes(np.zeros(6, np.int32), np.array([5, 5, 5, 7, 5, 7], np.int32), np.array([0, 4, 6]))
"""Neuron 5 fires three times and 7 once, then each of them once."""


def test_where_neurons_vote_each_that_fires_votes_once_a_sample():
    chip = dataclasses.replace(LONE, vote="neurons")
    counts = Vote.count(chip, AGAIN, np.array([1, 0]), 2)
    assert counts[0, 5].tolist() == counts[0, 7].tolist() == [1, 1] and counts.sum() == 4
    table = np.zeros((1, 100, 2), np.float32)
    table[0, 5], table[0, 7] = (0.0, -1.0), (-2.0, 0.0)
    assert Vote(table).scores(chip, AGAIN).tolist() == [[-2.0, -1.0]] * 2
    tiles = dataclasses.replace(Chip.preset("tiles-free"), vote="neurons")  # alike neurons of two tiles are two
    apart = OutputSpikes(np.array([0, 1, 1], np.int32), np.array([5, 5, 5], np.int32), np.array([0, 3]))
    assert Vote.count(tiles, apart, np.array([1]), 2)[:2, 5].tolist() == [[0, 1], [0, 1]]


def test_where_spikes_vote_each_has_its_own():
    counts = Vote.count(LONE, AGAIN, np.array([1, 0]), 2)
    assert counts[0, 5].tolist() == [1, 3] and counts[0, 7].tolist() == [1, 1]
    table = np.zeros((1, 100, 2), np.float32)
    table[0, 5] = (0.0, -1.0)
    assert Vote(table).scores(LONE, AGAIN).tolist() == [[0.0, -3.0], [0.0, -1.0]]


def test_votes_of_neurons_that_are_counted_spike_by_spike_are_seen(monkeypatch):
    monkeypatch.setattr("ohmspike.host.coding.vote._votes", lambda chip, spikes: np.ones(len(spikes.tile), bool))
    with pytest.raises(AssertionError):
        test_where_neurons_vote_each_that_fires_votes_once_a_sample()
