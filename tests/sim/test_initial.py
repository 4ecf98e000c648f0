"""Numbers from seeds, pinned: a change here changes every result of the project (docs/contract.md, 7)."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.initial import initial_levels, initial_random, mix, presentation_order


def plain_mix(seed, stream, index):
    """7.1 with Python's integers."""
    z = (seed * 0x9E3779B97F4A7C15 + stream * 0xBF58476D1CE4E5B9 + (index + 1) * 0x94D049BB133111EB) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def test_mix_is_pinned():
    assert [int(word) for word in mix(1, 1, np.arange(3))] == [
        0x2F2A45881D06C3AD, 0x26E9B9B126B89ADA, 0x401A7EDF3C09BC9C]


@pytest.mark.parametrize("seed", [0, 1, 12345678901234567, 2**63 - 1])
@pytest.mark.parametrize("stream", [1, 4])
def test_mix_follows_the_formula(seed, stream):
    indices = [0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
    assert mix(seed, stream, np.array(indices, np.uint64)).tolist() == [plain_mix(seed, stream, i) for i in indices]


def test_initial_levels_are_pinned():
    levels = initial_levels(Chip.preset("tiles"))
    assert levels.shape == (64, 49, 64) and levels.dtype == np.uint8
    assert levels[0, 0, :8].tolist() == [21, 20, 24, 46, 32, 26, 31, 44]
    assert (levels.min(), levels.max()) == (16, 47)


@pytest.mark.parametrize("levels, low, high", [(2, 0, 0), (3, 0, 0), (5, 1, 2), (256, 64, 191)])
def test_initial_levels_are_the_middle_half(levels, low, high):
    chip = Chip(name="middle", plane_height=40, plane_width=40, patch_height=40, patch_width=40, stride=1, neurons=3,
                levels=levels, weight_bits=8, set_step=0.01, reset_step=0.01)
    found = initial_levels(chip)
    assert (found.min(), found.max()) == (low, high)
    flat = [levels // 4 + ((plain_mix(1, 1, i) >> 32) * (levels // 2) >> 32) for i in range(10)]
    assert found.ravel()[:10].tolist() == flat


def test_initial_random_states_are_pinned():
    assert initial_random(Chip.preset("tiles"))[:3].tolist() == [287275835, 320351597, 3123462012]


def test_presentation_orders_are_pinned():
    chip = Chip.preset("tiny")
    assert presentation_order(chip, 0, 10).tolist() == [1, 9, 4, 5, 7, 3, 8, 2, 0, 6]
    assert presentation_order(chip, 1, 10).tolist() == [0, 9, 7, 2, 4, 6, 1, 5, 8, 3]
    assert sorted(presentation_order(chip, 2, 1000).tolist()) == list(range(1000))
