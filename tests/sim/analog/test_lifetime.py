"""Wear: what pulses of cells come to against the endurance of a device."""

import math

import numpy as np
import pytest

from ohmspike.sim.analog.device import Device
from ohmspike.sim.analog.lifetime import decades, endured_pulses, expected_worn, images_until, pulse_facts, wear_text
from ohmspike.sim.model.nonideal import NonIdealities

DEVICE = Device.preset("target65").varied(endurance_cycles=1e3, set_pulses=10.0, reset_pulses=10.0)


def test_half_of_the_cells_have_failed_at_the_endurance():
    assert endured_pulses(DEVICE) == 20_000
    assert expected_worn(np.full(7, 20_000), DEVICE) == pytest.approx(0.5)
    # what the non-ideal model draws: 63 % at 1 / endurance
    assert -np.log1p(-0.5) == pytest.approx((20_000 * NonIdealities.of_device(DEVICE).endurance) ** 2)


def test_images_until_are_those_at_which_so_many_are_expected_to_fail():
    random = np.random.default_rng(1)
    pulses = random.poisson(30, 5_000) * (random.random(5_000) < 0.8)
    for share in (0.0, 1e-3, 1e-2, 0.3):
        images = images_until(pulses, 100, DEVICE, share)
        assert expected_worn(pulses * images / 100, DEVICE) == pytest.approx(max(share, 1 / 5_000), rel=1e-6)
    assert images_until(pulses, 100, DEVICE, 0.9) == math.inf  # a fifth is never used
    assert images_until(np.zeros(4), 100, DEVICE, 0.1) == images_until(pulses, 0, DEVICE, 0.1) == math.inf


def test_facts_of_pulses():
    found = pulse_facts(np.array([0, 0, 1, 2, 3, 4]), 10, DEVICE)
    assert (found["mean"], found["max"], found["histogram"]) == (pytest.approx(10 / 6), 4, [2, 1, 2, 1])
    assert found["images_until"]["1 cell"] == found["images_until"]["1 %"]  # one of six is more than 1 %
    assert "most 4; worn: 1 cell after" in wear_text(found) and "never" in wear_text(
        pulse_facts(np.zeros(3), 10, DEVICE))
    assert decades(1e3) == pytest.approx(3) and decades(0.0) == 0
