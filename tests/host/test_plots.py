"""Pictures: they are made, they show something, and what they show is what the model does."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ohmspike.chip import Chip
from ohmspike.host.coding.images import latency_events
from ohmspike.host.plots import chip as plots
from ohmspike.host.plots.chip import conductance_maps, prequential, race
from ohmspike.host.support.errors import UserError
from ohmspike.sim.model.exact import ExactModel
from ohmspike.sim.state import ChipState

BASE = Chip(name="grid", plane_height=12, plane_width=16, patch_height=4, patch_width=6, stride=3, neurons=10,
            winners=3, learners=1, min_spikes=4, theta_step=20.0)
CHIPS = {
    "grid": BASE,
    "bins": dataclasses.replace(BASE, name="bins", latency_bins=6),
    "many bins": dataclasses.replace(BASE, name="many bins", latency_bins=16, winners=1),
    "crossbar": dataclasses.replace(BASE, name="crossbar", patch_height=12, patch_width=16, stride=1, neurons=50,
                                    winners=7),
    "one neuron": dataclasses.replace(BASE, name="one neuron", neurons=1, winners=1),
    "threshold": dataclasses.replace(BASE, name="threshold", fire_mode="threshold", winners=1, learners=1,
                                     theta_base=300),
}


def state_of(chip, seed=0):
    rng = np.random.default_rng(seed)
    state = ChipState.initial(chip)
    state.levels[:] = rng.integers(0, chip.levels, state.levels.shape)
    state.theta[:] = 30_000 + rng.integers(0, 200, state.theta.shape)
    return state


def image_of(chip, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(70, 256, (chip.plane_height, chip.plane_width)).astype(np.uint8)
    image[:, :6] = 0
    return image


def picture(path, colours=20):
    """A PNG that is there alone, whole and not blank, as an array."""
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    pixels = imread(path)
    assert len(np.unique((pixels[..., :3] * 255).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1]))) > colours
    return pixels


@pytest.mark.parametrize("name", CHIPS)
def test_maps_are_drawn(tmp_path, name):
    chip = CHIPS[name]
    usage = np.random.default_rng(1).integers(0, 99, (chip.tiles, chip.neurons))
    conductance_maps(chip, state_of(chip).levels, usage, tmp_path / "maps.png")
    height, width = picture(tmp_path / "maps.png").shape[:2]
    assert 700 < width < 1500 and 300 < height < 1500


@pytest.mark.parametrize("name", CHIPS)
def test_a_race_is_drawn(tmp_path, name):
    chip = CHIPS[name]
    race(chip, state_of(chip), image_of(chip), tmp_path / "race.png")
    assert picture(tmp_path / "race.png").shape[:2] == (960, 1620)


@pytest.mark.parametrize("name", ["grid", "crossbar", "threshold"])
@pytest.mark.parametrize("pixel", [0, 255])
def test_blank_and_full_images_are_drawn(tmp_path, name, pixel):
    chip = CHIPS[name]
    race(chip, state_of(chip), np.full((12, 16), pixel, np.uint8), tmp_path / "race.png")
    picture(tmp_path / "race.png")


@pytest.mark.parametrize("name", ["grid", "bins", "crossbar", "one neuron"])
def test_the_winners_drawn_are_those_of_the_model(name):
    chip = CHIPS[name]
    state, image = state_of(chip), image_of(chip)
    decision = plots._decide(chip, state, image)
    drawn = [(tile, int(neuron)) for tile in np.flatnonzero(decision.live)
             for neuron in decision.order[tile, :chip.winners]]
    spikes = ExactModel(chip, state).run(latency_events(chip, image[None], learn=False))
    assert drawn == list(zip(spikes.tile.tolist(), spikes.neuron.tolist(), strict=True)) and drawn
    assert name != "grid" or not decision.live.all()


def test_the_most_used_neuron_comes_first(tmp_path):
    chip = CHIPS["crossbar"]
    levels = np.zeros((1, chip.rows, chip.neurons), np.uint8)
    levels[..., 7] = chip.levels - 1
    usage = np.zeros((1, chip.neurons), np.int64)
    usage[0, 7] = 5
    conductance_maps(chip, levels, usage, tmp_path / "maps.png")
    pixels = picture(tmp_path / "maps.png")[..., :3]
    top = np.array(plots.CONDUCTANCE(255)[:3])
    y, x = np.nonzero(np.abs(pixels[:, :600] - top).max(axis=-1) < 0.01)
    scale = (x.max() - x.min() + 1) // chip.patch_width
    assert y.min() == 92 and x.min() == 36 and scale > 1
    assert (y.max() - y.min() + 1, x.max() - x.min() + 1) == (12 * scale, 16 * scale)


@pytest.mark.parametrize(("levels", "usage", "message"), [
    ((2, 3, 4), None, r"levels must have shape .*, not \(2, 3, 4\)"), (None, (2, 3), r"usage must have shape .*, not")])
def test_arrays_of_another_chip_are_refused(tmp_path, levels, usage, message):
    chip = CHIPS["grid"]
    levels = np.zeros(levels or (chip.tiles, chip.rows, chip.neurons), np.uint8)
    usage = np.zeros(usage or (chip.tiles, chip.neurons), int)
    with pytest.raises(ValueError, match=message):
        conductance_maps(chip, levels, usage, tmp_path / "maps.png")
    assert not list(tmp_path.iterdir())


def test_an_image_of_another_plane_is_refused(tmp_path):
    with pytest.raises(ValueError, match="images must be uint8 of shape"):
        race(CHIPS["grid"], state_of(CHIPS["grid"]), np.zeros((3, 3), np.uint8), tmp_path / "race.png")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    chip = CHIPS["grid"]

    def full(figure, file, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(UserError, match="race.png: cannot be written: No space left on device"):
        race(chip, state_of(chip), image_of(chip), tmp_path / "race.png")
    assert not list(tmp_path.iterdir())


def test_pyplot_keeps_no_figure(tmp_path):
    import matplotlib.pyplot as pyplot

    chip = CHIPS["grid"]
    race(chip, state_of(chip), image_of(chip), tmp_path / "race.png")
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("points", [1, 7, 120])
def test_a_prequential_curve_is_drawn(tmp_path, points):
    curve = [(1000 * (i + 1), 1 - 0.5 / (i + 1)) for i in range(points)]
    prequential(BASE, curve, 60_000, tmp_path / "curve.png")
    picture(tmp_path / "curve.png", colours=5)
    with pytest.raises(ValueError, match="^curve must have a point, not none$"):
        prequential(BASE, [], 60_000, tmp_path / "none.png")
