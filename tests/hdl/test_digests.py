"""The RTL of chips is what it was when its digests were stored: a change of the gates is meant as one."""

import os

import pytest

from ohmspike.hdl.flow.digests import digest, lines
from support.digests import digested_chips, stored
from support.stimulus import varied

FEW = ("tiny", "random0", "random1", "random4")


def test_every_preset_and_twenty_random_chips_are_stored_in_both_forms():
    assert [line.split()[:2] for line in stored()] == [
        [name, form] for name in digested_chips() for form in ("fast", "small")]


@pytest.mark.parametrize("name", FEW)
def test_the_rtl_is_the_stored_one(name):
    """If it is meant to differ: write the table anew, as support/digests.py says."""
    assert list(lines({name: digested_chips()[name]})) == [line for line in stored() if line.split()[0] == name]


@pytest.mark.skipif("OHMSPIKE_LONG_TESTS" not in os.environ, reason="takes minutes: make test-boards")
@pytest.mark.parametrize("name", [name for name in digested_chips() if name not in FEW])
def test_the_rtl_of_all_others_is_the_stored_one(name):
    test_the_rtl_is_the_stored_one(name)


def test_another_chip_has_another_digest():
    chip = digested_chips()["random0"]
    assert digest(chip, small=True) != digest(varied(chip, theta_leak=chip.theta_leak + 1), small=True)
