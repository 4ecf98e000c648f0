"""Generated documentation is current."""

from pathlib import Path

import pytest

from ohmspike.chip.instructions import MEMORIES, REGISTERS, Opcode
from ohmspike.chip.markdown import renewed
from ohmspike.chip.reference import DOCUMENTS, OPERANDS, PROGRAM, file_tables, link_tables, rewritten
from ohmspike.chip.state import ChipState

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_tables_are_current(document):
    text = (DOCS / document).read_text("utf-8")
    assert rewritten(text, document) == text, f"run {PROGRAM}"


def test_every_instruction_memory_and_register_is_documented():
    assert set(OPERANDS) == set(Opcode)
    assert all(f"| {entry.name} |" in link_tables() for entry in (*MEMORIES, *REGISTERS))
    assert all(f"`{entry.name}`" in file_tables() for entry in (*ChipState.memories(), *ChipState.registers()))


@pytest.mark.parametrize("document, word", [("link.md", "| SPIKE |"), ("files.md", "| `levels` |")])
def test_a_stale_table_is_noticed(document, word):
    text = (DOCS / document).read_text("utf-8").replace(word, "| S |")
    assert PROGRAM in text and rewritten(text, document) != text


def test_what_stands_around_a_table_stays():
    text = "# A\n\nbefore\n"
    once = renewed(text, "make", "| a |\n| --- |\n") + "\nafter\n"
    twice = renewed(once, "make", "| b |\n| --- |\n")
    assert twice.startswith(text) and twice.endswith("\nafter\n") and "| a |" not in twice and "| b |" in twice
