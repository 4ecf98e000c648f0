"""Published figures of builds are those of the records, and the document says which are of earlier RTL."""

import dataclasses
import functools
import json
from pathlib import Path

import pytest

from ohmspike.boards import BOARDS
from ohmspike.boards.build import BuildError, BuildReport
from ohmspike.boards.records import RECORDS, added, moved, read, rewritten, table, today
from ohmspike.chip import Chip
from ohmspike.hdl.shared.layout import default_lanes, small_lanes
from support.digests import stored

ROOT = Path(__file__).parents[2]
REPORT = BuildReport(
    board="icebreaker", chip="up5k", digest="0", structure_digest="1", lanes=5, clock_hz=16_875_000, baud=3_000_000,
    bitstream="x.bin", resources={"LUT4": {"used": 1234, "available": 5280}, "SPRAM": {"used": 0, "available": 0}},
    placed={"ICESTORM_LC": {"used": 2000, "available": 5280}}, fmax_mhz=18.5, worst_path=[], cycles={}, seconds={},
    versions={}, plan="2", rtl="abcd", seed=None)


@functools.cache
def digest_now(board, chip, lanes, runs, store, sdram):
    return today({"board": board, "chip": chip, "lanes": lanes, "runs": runs, "store": store, "sdram": sdram})


def quick(entry):
    """As ``today``, from the stored digests where they hold that chip: those are held against the code elsewhere."""
    small = BOARDS[entry["board"]].level_ports == 1
    chip = Chip.preset(entry["chip"])
    if entry.get("runs") or entry.get("store") or entry["lanes"] != (small_lanes if small else default_lanes)(chip):
        return digest_now(entry["board"], entry["chip"], entry["lanes"], entry.get("runs", False),
                          entry.get("store", 0), entry.get("sdram", False))
    wanted = [entry["chip"], "small" if small else "fast"]
    return next(line.split()[2] for line in stored() if line.split()[:2] == wanted)


def test_the_document_has_the_figures_of_the_records_and_says_which_are_of_earlier_rtl():
    """If the RTL was meant to change: `make docs` says so in the document, `ohmspike build --record` mends it."""
    records, document = read(ROOT / RECORDS), ROOT / "docs/boards.md"
    text = document.read_text("utf-8")
    assert records and text == rewritten(text, records, moved(records, quick))


def test_figures_elsewhere_are_those_of_the_records():
    [up5k] = [entry for entry in read(ROOT / RECORDS) if (entry["board"], entry["chip"]) == ("icebreaker", "up5k")]
    cells = f"{up5k['placed']['ICESTORM_LC']['used']:,} of 5,280 logic cells"
    readme, architecture = ((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/architecture.md"))
    assert f"{cells} |" in readme and f"built, {up5k['fmax_mhz']:.1f} MHz" in readme
    assert cells in architecture and f"{up5k['resources']['LUT4']['used']:,} (" in architecture


def test_a_record_replaces_that_of_the_same_build_and_no_other(tmp_path):
    other = dataclasses.replace(REPORT, board="ulx3s-85f", chip="tiles", fmax_mhz=40.0)
    records = added(added([], REPORT), other)
    assert [entry["board"] for entry in records] == ["ulx3s-85f", "icebreaker"]
    again = added(records, dataclasses.replace(REPORT, fmax_mhz=19.0, rtl="ef", seed=3))
    assert [entry["fmax_mhz"] for entry in again] == [40.0, 19.0]
    assert len(added(again, dataclasses.replace(REPORT, clock_hz=12_000_000))) == 3
    with_runs = added(again, dataclasses.replace(REPORT, runs=True))
    assert len(with_runs) == len(added(with_runs, dataclasses.replace(REPORT, runs=True))) == 3
    assert "| `up5k` with runs |" in table(with_runs, [False] * 3)
    (tmp_path / "b.json").write_text(json.dumps(again))
    assert read(tmp_path / "b.json") == again and read(tmp_path / "none.json") == []


def test_code_that_moved_is_told():
    records = added([], REPORT)
    assert moved(records, lambda entry: "abcd") == [False] and moved(records, lambda entry: "abce") == [True]
    assert moved(records, lambda entry: None) == [False]
    text = table(records, [True])
    assert "| 1,234 of 5,280 | 2,000 of 5,280 | – | – | 18.50 MHz | – | `abcd` | earlier RTL: build it again |" in text
    assert "today's RTL" in rewritten("# Boards\n", records, [False])
    assert today(records[0] | {"chip": "mine"}) is None


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"board": "x"}]', "not JSON"])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(BuildError, match="b.json: not a file of builds"):
        read(tmp_path / "b.json")


def test_a_record_of_other_rtl_than_the_code_makes_is_seen():
    entry = added([], dataclasses.replace(REPORT, board="ulx3s-25f", chip="tiny", lanes=6))[0]
    assert moved([entry], quick) == [True] and moved([entry | {"rtl": quick(entry)}], quick) == [False]
