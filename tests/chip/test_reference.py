"""Generated documentation is current."""

from pathlib import Path

from ohmspike.chip.instructions import MEMORIES, Opcode
from ohmspike.chip.reference import BEGIN, OPERANDS, rewritten, tables

LINK = Path(__file__).parents[2] / "docs" / "link.md"


def test_tables_of_the_link_are_current():
    text = LINK.read_text("utf-8")
    assert rewritten(text) == text, "run python -m ohmspike.chip.reference docs/link.md"


def test_every_instruction_and_memory_is_documented():
    assert set(OPERANDS) == set(Opcode)
    assert all(f"| {entry.name} |" in tables() for entry in MEMORIES)


def test_a_stale_table_is_noticed():
    text = LINK.read_text("utf-8").replace("| SPIKE |", "| SPIKES |")
    assert BEGIN in text and rewritten(text) != text
