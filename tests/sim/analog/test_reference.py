"""Generated documentation is current."""

from pathlib import Path

from ohmspike.sim.analog.cases import CASES
from ohmspike.sim.analog.device import Device, devices
from ohmspike.sim.analog.reference import PROGRAM, rewritten, tables

DOCUMENT = Path(__file__).parents[3] / "docs" / "devices.md"


def test_tables_of_the_document_are_current():
    text = DOCUMENT.read_text("utf-8")
    assert rewritten(text) == text, f"run {PROGRAM}"


def test_every_value_preset_and_case_is_documented():
    assert all(f"| `{spec.name}` |" in tables() for spec in Device.quantities())
    assert all(f"| `{name}` |" in tables() for name in devices())
    hand_written = (DOCUMENT.parent / "analog.md").read_text("utf-8")
    assert PROGRAM not in hand_written
    assert all(f"\n{case} " in hand_written for case in CASES), "put in what ohmspike spice prints"
    assert "violated" not in hand_written


def test_a_stale_table_is_noticed():
    text = DOCUMENT.read_text("utf-8").replace("| `read_v` |", "| `read_volts` |")
    assert rewritten(text) != text
