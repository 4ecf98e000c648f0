"""A run that cannot work says so and stops; one that goes on with a fault says that."""

import dataclasses
import warnings

import numpy as np
import pytest

from ohmspike import Chip, UserError, classify, learn, open_target, train_vote
from ohmspike.host.coding.images import Encoding
from ohmspike.host.coding.streams import StreamEncoding, stream_events
from ohmspike.host.commands.cli import run
from ohmspike.host.data.streams import Stream
from ohmspike.host.learning.checks import FutileRun, RunWarning, full_membranes, unseen_lines

RNG = np.random.default_rng(1)
LABELS = RNG.integers(0, 4, 60)
IMAGES = np.zeros((60, 28, 28), np.uint8)
for _image, _label in zip(IMAGES, LABELS, strict=True):
    _image[7 * _label:7 * _label + 6, 4:24] = 200
TINY = dataclasses.replace(Chip.preset("tiny"), latency_bins=1)
FIXED = dataclasses.replace(TINY, contrast="fixed")


def accuracy(images, chip=TINY):
    with open_target("model", chip) as target:
        learn(target, images, LABELS)
        return float((classify(target, images) == LABELS).mean())


@pytest.mark.parametrize("poor", [IMAGES // 200, IMAGES // 4, IMAGES // 12, IMAGES // 2 + 100], ids=[
    "0 and 1", "a quarter of the contrast", "0 to 16", "a grey background"])
def test_images_of_any_contrast_learn_the_same(poor):
    assert accuracy(poor) == accuracy(IMAGES) > 0.8


@pytest.mark.parametrize(("images", "chip", "message", "hint"), [
    (IMAGES // 4, FIXED, "no line spikes in the first 60 samples: their pixels are 0 to 50, and those up to dark_level "
                         "= 64 are dark", "contrast"),
    (IMAGES * 0, TINY, "no line spikes in the first 60 samples: their pixels are 0 to 0", "brighter"),
    (IMAGES // 2 + 100, FIXED, "every line spikes in each of the first 60 samples: their pixels are 100 to 200",
     "dark background"),
    (IMAGES, dataclasses.replace(TINY, min_spikes=1000), "no neuron fired in the first 60 samples, though",
     "min_spikes"),
])
def test_a_run_that_cannot_work_stops_with_reason_and_cure(images, chip, message, hint):
    with open_target("model", chip) as target:
        with pytest.raises(FutileRun, match=message) as caught:
            learn(target, images, LABELS)
        assert hint in caught.value.hint
        if "no neuron fired" not in message:
            with pytest.raises(FutileRun, match=message):
                classify(target, images)


def test_a_chip_with_thresholds_is_not_shown_a_race():
    chip = Chip.preset("spiking")
    with open_target("model", chip) as target:
        with pytest.raises(UserError, match="ends in a DECIDE") as caught:
            learn(target, IMAGES)
        assert "--encoding rate" in caught.value.hint
        unreachable = dataclasses.replace(chip, theta_base=(1 << chip.threshold_bits) - 1)
    with open_target("model", unreachable) as target, pytest.raises(FutileRun, match="no neuron fired") as caught:
        learn(target, IMAGES, encoding=Encoding(steps=8))
    assert "theta_base" in caught.value.hint


def test_refused_events_stop_the_run():
    chip = Chip.preset("spiking")

    def with_decide(chip, images, **options):
        batch = Encoding(steps=2)(chip, images, learn=False)
        batch.codes[batch.codes == -1] = -2  # every STEP becomes a DECIDE
        return batch

    with open_target("model", chip) as target, pytest.raises(FutileRun, match="refused 120 events of the first 60"):
        train_vote(target, IMAGES, LABELS, classes=4, encoding=with_decide)


def test_images_of_one_grey_level_are_said_and_if_all_are_the_run_stops():
    some = IMAGES.copy()
    some[:5] = 90
    with open_target("model", TINY) as target, pytest.warns(RunWarning, match="5 of the first 60 images are of one"):
        learn(target, some, LABELS)
    some[5:] = 30
    with open_target("model", FIXED) as target, pytest.raises(FutileRun, match="every image of the first 60 is of one"):
        learn(target, some, LABELS)


def test_samples_without_a_spike_are_counted():
    some = IMAGES.copy()
    some[:7] = 0
    with open_target("model", TINY) as target, pytest.warns(RunWarning, match="no line spikes in 7 of the first 60"):
        learn(target, some, LABELS)


def test_one_sample_that_says_nothing_is_answered_and_said():
    with open_target("model", TINY) as target, pytest.warns(RunWarning, match="no line spikes in 1 of the first 1"):
        assert len(classify(target, IMAGES[:1] * 0)) == 1


def crowd(samples, events, first=0):
    """A stream of samples with so many events each; the first ones have one event."""
    sizes = np.r_[np.ones(first, int), np.full(samples - first, events)]
    return Stream(np.zeros(sizes.sum(), np.int64), RNG.integers(0, 784, sizes.sum()), np.r_[0, np.cumsum(sizes)])


def test_full_membranes_are_counted_and_warned_of():
    chip, stream = Chip.preset("paper400"), crowd(4, 3000)
    events = stream_events(chip, stream, learn=False)
    with open_target("model", chip) as target:
        weights = np.asarray(chip.weight_table, np.int64)[target.read("levels").reshape(1, 784, 400)]
        read = np.array([weights[0, stream.line[3000 * s:3000 * (s + 1)]].sum(axis=0) for s in range(4)])
        full = (read > 65_535).sum(axis=1)
        assert full_membranes(chip, weights, events).tolist() == full.tolist() and full.sum() > 0
        said = f"{full.sum():,} membranes are full, in 4 of 4 samples: up to 3,00. events"
        with pytest.warns(RunWarning, match=said):
            learn(target, stream, encoding=StreamEncoding(), passes=1)


def test_a_later_sample_that_fills_membranes_is_seen_too():
    chip = Chip.preset("paper400")
    with open_target("model", chip) as target, pytest.warns(RunWarning, match="membranes are full, in 3 of 3 samples"):
        train_vote(target, crowd(1003, 3000, first=1000), np.zeros(1003, int), encoding=StreamEncoding())


def test_membranes_that_only_heavier_cells_would_fill_are_said_to_be_so():
    chip = dataclasses.replace(Chip.preset("paper400"), name="low")
    with open_target("model", chip) as target:
        target.write("levels", target.read("levels") * 0 + 1)
        with pytest.warns(RunWarning, match="membranes may be full as levels rise, in 4 of 4 samples"):
            classify(target, crowd(4, 3000), encoding=StreamEncoding())


def test_thresholds_at_their_top_are_told_in_numbers():
    chip = dataclasses.replace(TINY, threshold_bits=6, theta_step=20.0, theta_base=0)
    with open_target("model", chip) as target:
        said = (r"times in [\d,]+ samples a threshold could not rise, for it was at the top of threshold_bits = 6, 63 "
                r"\([\d,]+ of [\d,]+ thresholds stand there now\).* threshold_bits = 8 or")
        with pytest.warns(RunWarning, match=said):
            learn(target, IMAGES, LABELS)
        assert target.counters()["theta_clipped"] > 0


def test_lines_that_no_tile_sees_are_said():
    chip = dataclasses.replace(TINY, plane_height=9, plane_width=9, patch_height=4, patch_width=4, stride=4)
    assert unseen_lines(chip) == 17
    with open_target("model", chip) as target, pytest.warns(RunWarning, match="17 of 81 lines .* seen by no tile"):
        learn(target, np.where(RNG.random((20, 9, 9)) < 0.5, 255, 0).astype(np.uint8))


def test_a_good_run_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert accuracy(IMAGES) > 0.8


def test_the_command_says_it_and_ends_with_1(tmp_path, capsys):
    np.savez(tmp_path / "dark.npz", images=IMAGES * 0, labels=LABELS)
    arguments = ["mnist", "--chip", "tiny", "--target", "model", "--data", str(tmp_path / "dark.npz"), "--out",
                 str(tmp_path)]
    assert run(arguments) == 1
    error = capsys.readouterr().err
    assert "error: no line spikes" in error and "hint: brighter images" in error
