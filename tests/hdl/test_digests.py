"""The RTL of chips is what it was when its digests were stored: a change of the gates is meant as one."""

import os

import pytest

from ohmspike.hdl.flow.digests import digest, lines, nameless
from support.digests import digested_chips, stored
from support.stimulus import varied

FEW = ("tiny", "random0", "random1", "random4", "accumulating0")


def test_every_preset_and_some_random_chips_are_stored_in_both_forms():
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


RTLIL = r"""
module \chip
  attribute \init 1'0
  wire width 1 \ready
  wire width 4 $1
  cell $add $2
    parameter \A_WIDTH 4
    connect \A \ready [0]
    connect \Y $1
  end
  cell \chip.core \core
    connect \events__valid \ready
  end
  process $3
    assign $1 [3:0] 4'0001
    switch \ready
      case 1'1
        assign $1 [3:0] { \ready 3'000 }
    end
  end
end
"""


@pytest.mark.parametrize("old, new, same", [
    (r"\ready", r"\steady", True), (r"\events__valid", r"\events__there", True), ("$1", "$8", True),
    ("$add", "$sub", False), ("width 4", "width 5", False), ("1'0", "1'1", False),
    (r"{ \ready 3'000 }", "4'0000", False),
    (r"connect \A", r"connect \B", False), (r"\chip.core", r"\chip.link", False), ("case 1'1", "case 1'0", False),
    (r"\Y $1", r"\Y \ready", False)])
def test_names_count_for_nothing_and_all_else_counts(old, new, same):
    assert old in RTLIL
    assert (nameless(RTLIL.replace(old, new)) == nameless(RTLIL)) is same
