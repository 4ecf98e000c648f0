"""What docs/library.md shows of the gateware elaborates, simulates and is right, as it stands there."""

import re
from pathlib import Path

import pytest

DOCUMENT = (Path(__file__).parents[2] / "docs" / "library.md").read_text("utf-8")
EXAMPLES = [(section.split("\n")[0], block) for section in DOCUMENT.split("\n## ")
            for block in re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)]
(_, COMMON), *SHOWN = EXAMPLES
PARTS = ("Core", "Executor", "ChipTop", "Link", "UartReceiver", "UartTransmitter", "Race", "Pulses", "ReadOut")


def run(title, example):
    names = {}
    for part in (COMMON, example):
        exec(compile(part, f"docs/library.md, {title}", "exec"), names)
    return names


@pytest.mark.parametrize("title, example", SHOWN, ids=[title for title, _ in SHOWN])
def test_an_example_of_the_page_runs_and_its_results_are_the_models(title, example):
    assert "simulate(" in example and "assert " in example
    run(title, example)


def test_every_block_of_the_page_is_run_and_every_part_is_shown():
    assert DOCUMENT.count("```python") == len(EXAMPLES)
    imported = " ".join(re.findall(r"^from ohmspike\.hdl.* import (.*)$", DOCUMENT, re.MULTILINE))
    assert [part for part in PARTS if not re.search(rf"\b{part}\b", imported)] == []


def test_the_small_form_takes_the_place_of_the_core_of_the_page():
    title, example = next(pair for pair in SHOWN if "Core(LAYOUT)" in pair[1])
    small = example.replace("fast.core import Core", "small.core import SmallCore").replace(
        "core = Core(LAYOUT)", "LAYOUT = Layout(CHIP, 2, level_ports=1)\ncore = SmallCore(LAYOUT)")
    run(title, small)


def test_a_result_that_is_wrong_is_seen():
    title, example = next(pair for pair in SHOWN if pair[0] == "The race")
    with pytest.raises(AssertionError):
        run(title, example.replace("[20, 35, 35, 0]", "[20, 35, 36, 0]"))
