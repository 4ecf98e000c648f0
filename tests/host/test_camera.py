"""Events of a camera: the set made of saccades, and what a chip is sent of a sensor (contract 9.8)."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode
from ohmspike.host.coding.streams import CAMERA_STEPS, camera_steps, encoding_for, stream_events
from ohmspike.host.data import saccades as made
from ohmspike.host.data.dataset import Dataset
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.images import load_dataset
from ohmspike.host.data.saccades import PATH, SACCADE, SENSOR, THRESHOLD, saccades
from ohmspike.host.data.samples import load_samples
from ohmspike.host.data.streams import Stream
from ohmspike.host.learning.classify import classify
from ohmspike.host.learning.run import learn
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.model import ModelTarget


def strokes(count, seed=0, side=28):
    rng = np.random.default_rng(seed)
    images = np.zeros((count, side, side), np.uint8)
    for image in images:
        y, x = rng.integers(4, side - 12, 2)
        image[y:y + 8, x:x + 3] = rng.integers(60, 256)
        image[y:y + 3, x:x + 8] = 255
    return images


def seen(image, step):
    """Intensity at every pixel of the sensor, ``step`` ms after the beginning."""
    side, part = divmod(step, SACCADE)
    begin, end = PATH[side], PATH[min(side + 1, 3)]
    offset = [(34 - 28) / 2 - 3.5 + a + (b - a) * part / SACCADE for a, b in zip(begin, end, strict=True)]
    wide = np.zeros((100, 100))
    wide[30:58, 30:58] = image / 255
    rows, columns = (np.arange(34) - shift + 30 for shift in offset)
    low_y, low_x = np.floor(rows).astype(int), np.floor(columns).astype(int)
    share_y, share_x = (rows - low_y)[:, None], (columns - low_x)[None, :]
    value = sum(wide[np.ix_(low_y + dy, low_x + dx)] * (share_y if dy else 1 - share_y)
                * (share_x if dx else 1 - share_x) for dy in (0, 1) for dx in (0, 1))
    return np.log(made.DARKEST + (1 - made.DARKEST) * value)


def test_events_are_those_of_a_pixel_that_compares_logarithms():
    image = strokes(1)[0]
    stream = saccades(image[None])
    counts = np.zeros((2, *SENSOR), int)
    np.add.at(counts.reshape(-1), stream.line, 1)
    first = seen(image, 0)
    levels = np.stack([seen(image, step) for step in range(301)]) - first
    # a pixel remembers up to half a threshold more or less than it sees
    sent = np.zeros((301, *SENSOR), int)
    y, x = np.divmod(stream.line.astype(int) % 1156, 34)
    np.add.at(sent, (stream.time.astype(int) + 1, y, x), np.where(stream.line < 1156, 1, -1))
    left = levels - THRESHOLD * np.cumsum(sent, axis=0)
    assert np.abs(left).max() < 1.5 * THRESHOLD + 1e-9
    assert (np.diff(stream.time.astype(int)) >= 0).all() and stream.time.max() < made.SPAN
    assert counts[0].sum() > 100 and counts[1].sum() > 100
    assert np.abs(counts[0] - counts[1]).max() <= 1  # the path ends where it began


def test_a_sample_depends_on_its_number_and_the_seed_alone(monkeypatch):
    images = strokes(7)
    whole = saccades(images)
    monkeypatch.setattr(made, "_CHUNK", 2)
    monkeypatch.setattr(made, "_ROOM", 3)
    parts = saccades(images[3:], first_sample=3)
    assert whole[3:].line.tolist() == parts.line.tolist() and whole[3:].time.tolist() == parts.time.tolist()
    assert whole[3:].offsets.tolist() == parts.offsets.tolist()
    assert saccades(images, seed=2).line.tolist() != whole.line.tolist()
    assert len(saccades(images[:0])) == 0


@pytest.mark.parametrize(("images", "threshold", "complaint"), [
    (np.zeros((1, 29, 3), np.uint8), 0.5, "at most 28x28"), (np.zeros((1, 3, 3)), 0.5, "must be uint8"),
    (np.zeros((1, 3, 3), np.uint8), 0.0, "threshold must be above 0, not 0.0")])
def test_arguments_are_checked(images, threshold, complaint):
    with pytest.raises(ValueError, match=complaint):
        saccades(images, threshold=threshold)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A cache of our own, and an MNIST of a few strokes."""
    images, tests = strokes(30), strokes(9, seed=1)
    monkeypatch.setattr(made.platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    monkeypatch.setattr(made, "load_mnist", lambda progress: Dataset(
        images, np.arange(30) % 3, tests, np.arange(9) % 3))
    return tmp_path / "ohmspike" / "saccades-1"


def test_the_set_is_made_once_and_then_read_from_its_files(small, monkeypatch):
    said = []
    first = load_samples("saccades", said.append)
    assert said == ["making saccades of 39 images of MNIST (a minute or two)"]
    monkeypatch.setattr(made, "load_mnist", None)
    again = load_samples("saccades", said.append)
    assert len(said) == 1 and isinstance(again.train_images.time, np.memmap)
    for a, b in ((first.train_images, again.train_images), (first.test_images, again.test_images)):
        assert a.line.tolist() == b.line.tolist() and a.offsets.tolist() == b.offsets.tolist()
    assert first.classes == 3 and first.validation_last == 5
    assert sorted(path.name for path in small.parent.iterdir()) == ["saccades-1"]
    split = again.validation()
    assert split.train_images.time.base is not None and len(split.test_images) == 5


@pytest.mark.parametrize("damage", ["train-time", "test.npz"])
def test_a_damaged_set_is_made_again(small, damage):
    whole = load_samples("saccades").train_images.line.tolist()
    (small / damage).write_bytes((small / damage).read_bytes()[:-2])
    assert load_samples("saccades").train_images.line.tolist() == whole


def test_a_cache_that_cannot_be_written_costs_the_cache_only(small):
    small.parent.parent.joinpath("ohmspike").write_text("no folder")
    said = []
    data = load_samples("saccades", said.append)
    assert "cannot be kept and will be made again" in said[-1]
    assert data.labels()[0].tolist() == (np.arange(30) % 3).tolist()


def test_what_takes_images_alone_says_so():
    with pytest.raises(DataError, match="saccades: events of a camera, and images are needed here") as caught:
        load_dataset("saccades")
    assert "ohmspike learn" in caught.value.hint


# what a chip is sent
def camera_chip(mode="race", **changes):
    chip = Chip.preset("shared-saccades" if mode == "shared" else "tiny")
    if mode == "threshold":
        changes = {"winners": 1, "fire_mode": "threshold", "learners": 12, "classes": 0, "schedule":
                   Chip.preset("spiking").schedule, "theta_base": 10, **changes}
    return dataclasses.replace(chip, name="own", **changes)


def oracle(chip, samples, sensor, span, learn):
    """Contract 9.8 in plain Python: samples of (time, polarity, y, x)."""
    height, width = sensor
    steps, windows, result = camera_steps(chip), max(1, chip.channels // 2), []

    def place(at, size, plane):
        return at * plane // size if size > plane else at + (plane - size) // 2

    for events in samples:
        times = [event[0] for event in events]
        begin, length = (0, span) if span else (min(times, default=0), max(times, default=0) - min(times, default=0))
        sets = [set() for _ in range(steps)]
        for t, polarity, y, x in events:
            step = min(math.floor((t - begin) * steps / length), steps - 1) if length else 0
            channel = 2 * (step * windows // steps) + polarity if chip.channels > 1 else 0
            sets[step].add((channel * chip.plane_height + place(y, height, chip.plane_height)) * chip.plane_width
                           + place(x, width, chip.plane_width))
        codes = []
        for step, lines in enumerate(sets):
            codes += [EventCode.STEP] * (step > 0) + sorted(lines)
        if chip.fire_mode == "threshold":
            codes += [EventCode.STEP]
        else:
            codes += [EventCode.DECIDE] + [EventCode.DARK] * (learn and not chip.shared)
        result.append([int(code) for code in codes] + [int(EventCode.END)])
    return result


EVENTS = st.lists(st.tuples(st.integers(0, 299), st.integers(0, 1), st.integers(0, 19), st.integers(0, 39)),
                  max_size=30)


@settings(max_examples=60, deadline=None)
@given(samples=st.lists(EVENTS, min_size=1, max_size=3), mode=st.sampled_from(["race", "threshold", "shared"]),
       span=st.sampled_from([None, 300, 300.0]), learn=st.booleans(), windows=st.integers(1, 3),
       kind=st.sampled_from([np.uint16, np.int64, np.float64]))
def test_events_are_those_of_the_contract(samples, mode, span, learn, windows, kind):
    chip = camera_chip(mode, **({"channels": 2 * windows} if mode == "shared" else {}))
    flat = np.array([event for events in samples for event in events], int).reshape(-1, 4)
    stream = Stream(flat[:, 0].astype(kind), ((flat[:, 1] * 20 + flat[:, 2]) * 40 + flat[:, 3]).astype(np.uint16),
                    np.cumsum([0] + [len(events) for events in samples]), sensor=(20, 40), span=span)
    batch = stream_events(chip, stream, learn=learn)
    found = [batch.codes[a:b].tolist() for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)]
    assert found == oracle(chip, samples, (20, 40), span, learn)


def test_steps_are_the_chips():
    assert camera_steps(camera_chip("race")) == 4  # latency_bins
    assert camera_steps(camera_chip("shared")) == 3  # a window each
    assert camera_steps(camera_chip("threshold")) == CAMERA_STEPS
    assert camera_steps(camera_chip("threshold", rate_steps=7)) == 7


@pytest.mark.parametrize(("chip", "complaint"), [
    (Chip.preset("shared"), "the planes of shared are edges or brightness of images"),
    (dataclasses.replace(Chip.preset("shared-saccades"), channels=3), "channels must be 1, or 2 for every window")])
def test_chips_of_other_planes_are_refused(chip, complaint):
    with pytest.raises(UserError, match=complaint):
        stream_events(chip, saccades(strokes(1)), learn=False)


def test_a_line_that_the_sensor_has_not_is_refused():
    stream = dataclasses.replace(saccades(strokes(1)), sensor=(20, 20))
    with pytest.raises(DataError, match="line must be 0 to 799 for a sensor of 20x20"):
        stream_events(camera_chip(), stream, learn=False)


def test_a_chip_learns_events_of_a_camera():
    images, labels = np.zeros((120, 28, 28), np.uint8), np.arange(120) % 2
    images[labels == 0, 6:22, 12:15] = 255
    images[labels == 1, 12:15, 6:22] = 255
    chip = dataclasses.replace(Chip.preset("shared-saccades"), neurons=24, classes=2)
    target, stream = ModelTarget(chip, threads=1), saccades(images)
    assert dataclasses.asdict(encoding_for(chip, stream)) == {"width": None}
    learn(target, stream[:100], labels[:100])
    assert (classify(target, stream[100:]) == labels[100:]).mean() > 0.9
