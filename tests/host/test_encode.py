"""Codes against section 9 of the contract, written out in plain Python."""

import dataclasses

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode
from ohmspike.chip.initial import mix
from ohmspike.host.coding.images import Encoding, latency_events, noisy, rate_events, shifted
from ohmspike.host.support.errors import UserError

MASK = 2**64 - 1


def chip_of(height=5, width=7, **changes):
    return dataclasses.replace(Chip.preset("tiny"), plane_height=height, plane_width=width, patch_height=3,
                               patch_width=3, stride=1, **changes)


def images_of(chip, count, seed=0):
    """Random pixels with many at the ends of the range, a blank image and a full one."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, chip.plane_height, chip.plane_width)).astype(np.uint8)
    images[rng.random(images.shape) < 0.3] = 0
    images[rng.random(images.shape) < 0.1] = 255
    images[0], images[-1] = 0, 255
    return images


def samples_of(batch):
    return [batch.codes[batch.offsets[s]:batch.offsets[s + 1]].tolist() for s in range(len(batch))]


def contrast_oracle(chip, image):
    low, high = int(image.min()), int(image.max())
    if chip.contrast == "fixed" or low == high or low <= 32 and high >= 192:
        return image
    return np.array([[(int(pixel) - low) * 255 // (high - low) for pixel in row] for row in image])


def latency_oracle(chip, image, learn):
    image = contrast_oracle(chip, image)
    bins, dark = chip.latency_bins, chip.dark_level
    codes = []
    for wanted in range(bins):
        if wanted:
            codes.append(EventCode.STEP)
        codes += [line for line, pixel in enumerate(image.reshape(-1).tolist())
                  if pixel > dark and (255 - pixel) * bins // (255 - dark) == wanted]
    return codes + [EventCode.DECIDE] + [EventCode.DARK] * learn + [EventCode.END]


def mix32(seed, stream, i):
    z = (seed * 0x9E3779B97F4A7C15 + stream * 0xBF58476D1CE4E5B9 + (i + 1) * 0x94D049BB133111EB) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return (z ^ z >> 31) >> 32


def rate_oracle(chip, image, learn, sample, steps, peak):
    image = contrast_oracle(chip, image)
    codes = []
    for step in range(steps):
        codes += [line for line, pixel in enumerate(image.reshape(-1).tolist())
                  if mix32(chip.seed, 4, (sample * 256 + step) * chip.lines + line) < pixel * int(peak * 2**32) // 255]
        codes.append(EventCode.STEP)
    if chip.fire_mode == "race":
        codes += [EventCode.DECIDE] + [EventCode.DARK] * learn
    return codes + [EventCode.END]


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("dark_level", [0, 64, 254, 255])
@pytest.mark.parametrize("bins", [1, 2, 5, 16])
def test_latency_code_is_that_of_the_contract(bins, dark_level, learn):
    chip = chip_of(latency_bins=bins, dark_level=dark_level)
    images = images_of(chip, 12, seed=bins)
    batch = latency_events(chip, images, learn=learn)
    assert samples_of(batch) == [latency_oracle(chip, image, learn) for image in images]
    assert batch.codes.dtype == np.int32 and batch.offsets.dtype == np.int64


def test_every_pixel_value_goes_to_its_bin():
    chip = dataclasses.replace(Chip.preset("tiny"), plane_height=16, plane_width=16, latency_bins=7, dark_level=30)
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert samples_of(latency_events(chip, image, learn=True)) == [latency_oracle(chip, image[0], True)]


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize(("steps", "peak", "first", "seed"), [
    (1, 0.0, 0, 1), (1, 1.0, 0, 1), (4, 0.25, 0, 7), (9, 0.7, 60_000, 2**63 - 1), (254, 1 / 3, 3, 0), (3, 1e-9, 2, 1)])
def test_rate_code_is_that_of_the_contract(steps, peak, first, seed, learn):
    chip = chip_of(seed=seed)
    images = images_of(chip, 4, seed=steps)
    batch = rate_events(chip, images, learn=learn, first_sample=first, steps=steps, peak=peak)
    assert samples_of(batch) == [rate_oracle(chip, image, learn, first + s, steps, peak)
                                 for s, image in enumerate(images)]
    assert batch.codes.dtype == np.int32 and batch.offsets.dtype == np.int64


@pytest.mark.parametrize("contrast", ["auto", "fixed"])
def test_contrast_is_that_of_the_contract(contrast):
    chip = chip_of(latency_bins=3, contrast=contrast)
    rng = np.random.default_rng(3)
    bounds = [(low, high) for low in (0, 32, 33, 100, 254) for high in (1, 16, 191, 192, 255) if low <= high]
    images = np.stack([rng.integers(low, high + 1, (5, 7)).astype(np.uint8) for low, high in bounds])
    assert samples_of(latency_events(chip, images, learn=True)) == [latency_oracle(chip, i, True) for i in images]
    batch = rate_events(chip, images, learn=False, steps=3, peak=0.5)
    assert samples_of(batch) == [rate_oracle(chip, image, False, s, 3, 0.5) for s, image in enumerate(images)]


def test_dim_images_and_grey_backgrounds_are_coded_like_full_ones():
    chip, full = chip_of(), np.where(np.random.default_rng(4).random((9, 5, 7)) < 0.3, 255, 0).astype(np.uint8)
    wanted = samples_of(latency_events(chip, full, learn=True))
    for poor in (full // 255, full // 4, full // 16, full // 4 + 100, full // 2 + 127):
        assert samples_of(latency_events(chip, poor, learn=True)) == wanted


def test_the_latency_code_is_refused_by_a_chip_that_fires_at_a_threshold():
    chip = Chip.preset("spiking")
    with pytest.raises(UserError, match="ends in a DECIDE, which spiking does not take") as caught:
        latency_events(chip, images_of(chip, 3), learn=True)
    assert "--encoding rate" in caught.value.hint


@pytest.mark.parametrize("learn", [False, True])
def test_threshold_mode_has_neither_decide_nor_dark(learn):
    chip = Chip.preset("spiking")
    images = images_of(chip, 3)
    batch = rate_events(chip, images, learn=learn, steps=6, peak=0.2)
    assert samples_of(batch) == [rate_oracle(chip, image, learn, s, 6, 0.2) for s, image in enumerate(images)]


def test_images_that_are_neither_learned_nor_taught_have_the_steps_of_answering():
    chip = dataclasses.replace(Chip.preset("tiles-free"), rate_steps=2, answer_steps=5, rate_peak=0.1)
    images = images_of(chip, 3)

    def steps_of(code, **how):
        return (code(chip, images, **how).codes == EventCode.STEP).sum() / 3

    own = Encoding.of(chip)
    assert steps_of(own, learn=False) == steps_of(own, learn=False, answer=True) == own.steps_answered(chip) == 5
    assert steps_of(own, learn=True) == steps_of(own, learn=False, labels=np.zeros(3, int)) == 2
    assert steps_of(Encoding(steps=3, peak=0.1), learn=False) == 3  # another code than the chip's
    longer = rate_events(chip, images, learn=False, steps=5, peak=0.1)
    assert (own(chip, images, learn=False).codes == longer.codes).all()


@pytest.mark.parametrize("learn", [False, True])
def test_threshold_mode_asks_and_teaches_behind_the_last_step(learn):
    chip = dataclasses.replace(Chip.preset("tiles-free"), rate_steps=2, rate_peak=0.1)
    assert Encoding.of(chip) == Encoding(steps=2, peak=0.1) and Encoding.of(chip_of()) == Encoding()
    images = images_of(chip, 3)
    plain = samples_of(Encoding.of(chip)(chip, images, learn=learn))
    asked = samples_of(Encoding.of(chip)(chip, images, learn=learn, labels=np.array([4, 0, 9]), answer=True))
    assert asked == [[*events[:-1], EventCode.ANSWER, EventCode.LABEL - label, EventCode.END]
                     for events, label in zip(plain, (4, 0, 9), strict=True)]


def test_rate_code_does_not_depend_on_how_samples_are_batched():
    chip = chip_of()
    images = images_of(chip, 9)
    whole = samples_of(rate_events(chip, images, learn=True, first_sample=5, steps=8, peak=0.5))
    parts = [samples_of(rate_events(chip, images[a:b], learn=True, first_sample=5 + a, steps=8, peak=0.5))
             for a, b in ((0, 2), (2, 3), (3, 9))]
    assert whole == sum(parts, [])


def test_brightest_pixel_spikes_at_the_peak_probability():
    chip = chip_of()
    images = np.full((400, 5, 7), 255, np.uint8)
    codes = rate_events(chip, images, learn=False, steps=50, peak=0.3).codes
    assert (codes >= 0).sum() / (400 * 50 * 35) == pytest.approx(0.3, abs=0.003)


@pytest.mark.parametrize("line", [0, 17, 34])
def test_a_draw_equal_to_the_limit_does_not_spike(line):
    chip = chip_of()
    image = np.zeros((1, 5, 7), np.uint8)
    image.reshape(-1)[line] = 255
    drawn = mix32(chip.seed, 4, line)
    for limit, expected in ((drawn, []), (drawn + 1, [line])):
        codes = rate_events(chip, image, learn=False, steps=1, peak=limit / 2**32).codes
        assert codes[codes >= 0].tolist() == expected


def test_no_images_make_an_empty_batch():
    chip = chip_of()
    none = np.zeros((0, 5, 7), np.uint8)
    for batch in (latency_events(chip, none, learn=True), rate_events(chip, none, learn=True, steps=3, peak=0.5)):
        assert len(batch) == 0 and len(batch.codes) == 0 and batch.offsets.tolist() == [0]


def test_strided_images_are_read_as_they_look():
    chip = chip_of()
    images = images_of(chip, 8)
    assert samples_of(latency_events(chip, images[::-2], learn=False)) == \
        samples_of(latency_events(chip, images[::-2].copy(), learn=False))


@pytest.mark.parametrize("images", [
    np.zeros((2, 7, 5), np.uint8), np.zeros((5, 7), np.uint8), np.zeros((2, 5, 7), float), np.zeros((2, 35), np.uint8)])
def test_images_of_another_plane_are_refused(images):
    for encode in (latency_events, lambda *a, **k: rate_events(*a, **k, steps=1, peak=0.5)):
        with pytest.raises(ValueError, match=r"images must be uint8 of shape \(samples, 5, 7\), not (uint8|float64)"):
            encode(chip_of(), images, learn=False)


@pytest.mark.parametrize(("changes", "message"), [
    ({"steps": 0}, "steps must be 1 to 254, not 0"), ({"steps": 255}, "steps must be 1 to 254, not 255"),
    ({"peak": -0.1}, "peak must be 0 to 1, not -0.1"), ({"peak": 1.01}, "peak must be 0 to 1, not 1.01"),
    ({"peak": float("nan")}, "peak must be 0 to 1, not nan"),
    ({"first_sample": -1}, "first_sample must be at least 0, not -1")])
def test_bad_parameters_of_the_rate_code_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        rate_events(chip_of(), np.zeros((1, 5, 7), np.uint8), learn=False, **{"steps": 3, "peak": 0.5, **changes})


# shift


def test_shifts_are_those_of_the_contract():
    chip = dataclasses.replace(Chip.preset("tiny"), seed=11)
    images = np.random.default_rng(1).integers(0, 256, (40, 28, 28)).astype(np.uint8)
    found = shifted(chip, images, 2, first_sample=7)
    for i in range(len(images)):
        down, right = (((int(mix(11, 5, 2 * (7 + i) + k)) >> 32) * 5 >> 32) - 2 for k in (0, 1))
        expected = np.zeros((28, 28), np.uint8)
        for y in range(28):
            for x in range(28):
                if 0 <= y - down < 28 and 0 <= x - right < 28:
                    expected[y, x] = images[i, y - down, x - right]
        assert np.array_equal(found[i], expected), i
    assert np.array_equal(shifted(chip, images[3:], 2, first_sample=10), found[3:])
    assert np.array_equal(shifted(chip, images, 0), images)


# planes of edges and of brightness


def planes_oracle(chip, image):
    """Lines that spike by contract 9.5."""
    def p(y, x):
        inside = 0 <= y < chip.plane_height and 0 <= x < chip.plane_width
        return int(image[y, x]) if inside else 0

    channels = []
    for edge in chip.edges:
        channels += [lambda gx, gy, _, t=edge: gx > 4 * t, lambda gx, gy, _, t=edge: gx < -4 * t,
                     lambda gx, gy, _, t=edge: gy < -4 * t, lambda gx, gy, _, t=edge: gy > 4 * t]
    channels += [lambda gx, gy, value, t=threshold: value > t for threshold in chip.thresholds]
    lines = []
    for channel, spikes in enumerate(channels):
        for y in range(chip.plane_height):
            for x in range(chip.plane_width):
                gx = 2 * (p(y, x + 1) - p(y, x - 1)) + p(y - 1, x + 1) - p(y - 1, x - 1) + p(y + 1, x + 1) - p(
                    y + 1, x - 1)
                gy = 2 * (p(y + 1, x) - p(y - 1, x)) + p(y + 1, x - 1) - p(y - 1, x - 1) + p(y + 1, x + 1) - p(
                    y - 1, x + 1)
                if spikes(gx, gy, p(y, x)):
                    lines.append((channel * chip.plane_height + y) * chip.plane_width + x)
    return lines


@pytest.mark.parametrize("edges, thresholds", [((30,), ()), ((), (20, 200)), ((0, 100, 254), (128,))])
def test_planes_are_those_of_the_contract(edges, thresholds):
    chip = chip_of(channels=4 * len(edges) + len(thresholds), edges=edges, thresholds=thresholds, latency_bins=1)
    images = images_of(chip, 8)
    expected = [planes_oracle(chip, contrast_oracle(chip, image)) for image in images]
    for learn in (False, True):
        samples = samples_of(latency_events(chip, images, learn=learn))
        assert samples == [[*lines, EventCode.DECIDE, *[EventCode.DARK] * learn, EventCode.END] for lines in expected]


def test_edges_are_named_by_where_it_is_brighter():
    chip = chip_of(5, 5, channels=4, edges=(30,), latency_bins=1)
    bright = np.zeros((4, 5, 5), np.uint8)
    bright[0, :, 3:] = bright[1, :, :2] = bright[2, :2] = bright[3, 3:] = 255
    centre = 2 * 5 + 2
    for image, lines in enumerate(samples_of(latency_events(chip, bright, learn=False))):
        assert [line // 25 for line in lines if line >= 0 and line % 25 == centre] == [image]


def test_a_shared_crossbar_gets_no_dark():
    chip = chip_of(shared=True, learners=1, latency_bins=1)
    batch = latency_events(chip, images_of(chip, 3), learn=True, labels=np.zeros(3, int), answer=True)
    assert samples_of(batch)[1][-4:] == [EventCode.DECIDE, EventCode.ANSWER, EventCode.LABEL, EventCode.END]


def test_channels_want_planes_of_an_image():
    chip = chip_of(channels=2)
    with pytest.raises(UserError, match="^tiny has 2 planes of lines, and an image has one$"):
        latency_events(chip, images_of(chip, 2), learn=False)
    with pytest.raises(UserError, match="^the rate code makes one plane of lines of an image, and tiny has 2$"):
        rate_events(chip, images_of(chip, 2), learn=False, steps=3, peak=0.5)


# noise


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_noise_is_that_of_the_contract(share):
    chip = chip_of(4, 3, seed=5)
    images, pixels = images_of(chip, 6), 12
    expected = images.reshape(6, pixels).copy()
    for sample in range(6):
        at = (sample + 100) * (pixels + 1)
        draws = [int(drawn) for drawn in mix(5, 6, np.arange(at, at + pixels + 1))]
        limit = int(share * 2**32) * (draws[0] >> 32) >> 32
        for i, drawn in enumerate(draws[1:]):
            if drawn >> 32 < limit:
                expected[sample, i] = drawn % 256
    found = noisy(chip, images, share, first_sample=100)
    assert (found.reshape(6, pixels) == expected).all()
    assert (found != images).any() == (share > 0)
