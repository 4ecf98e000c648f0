"""Whole builds of small boards, against the budget that is checked in."""

import os
import tomllib
from pathlib import Path

import pytest

from ohmspike.boards import BOARDS
from ohmspike.boards.build import build
from ohmspike.chip import Chip

BUDGET = tomllib.loads(Path(__file__).with_name("budget.toml").read_text())
BUILDS = [(board, chip) for board, chips in BUDGET.items() for chip in chips]


def excess(budget, placed, fmax_mhz):
    """What is over its budget, in words."""
    over = [f"{name}: {placed[name]['used']}, budget {most}" for name, most in budget.items()
            if name != "fmax_mhz" and placed[name]["used"] > most]
    return over + [f"Fmax: {fmax_mhz}, budget {budget['fmax_mhz']}"] * (fmax_mhz < budget["fmax_mhz"])


@pytest.mark.slow
@pytest.mark.skipif("OHMSPIKE_LONG_TESTS" not in os.environ, reason="takes minutes: make test-boards")
@pytest.mark.parametrize(("board", "chip"), BUILDS)
def test_a_build_keeps_within_its_budget(board, chip, tmp_path):
    report = build(board, Chip.preset(chip), folder=tmp_path)
    assert Path(report.bitstream).stat().st_size > 100_000
    assert excess(BUDGET[board][chip], report.placed, report.fmax_mhz) == []


@pytest.mark.parametrize(("board", "chip"), BUILDS)
def test_a_budget_is_no_more_than_the_board_has(board, chip):
    budget = BUDGET[board][chip]
    assert budget["ICESTORM_LC"] <= 5280 and budget["ICESTORM_RAM"] <= 30 and budget["ICESTORM_SPRAM"] <= 4
    assert budget["fmax_mhz"] * 1e6 >= BOARDS[board].clock_hz


def test_what_is_over_its_budget_is_told():
    placed = {"ICESTORM_LC": {"used": 11}, "ICESTORM_RAM": {"used": 3}}
    assert excess({"ICESTORM_LC": 10, "ICESTORM_RAM": 3, "fmax_mhz": 18.0}, placed, 17.5) == [
        "ICESTORM_LC: 11, budget 10", "Fmax: 17.5, budget 18.0"]
