"""The history of benchmarks: what is compared with what."""

import json

import pytest

from ohmspike.host.studies.history import append, comparison, entry, last_alike, machine, read
from ohmspike.host.support.errors import UserError

OPTIONS = {"images": 1000}


def figures(learning):
    return {"chips": {"tiles": {"model, threads: 1": {"learning": learning, "inference": 2000.0},
                                "limit, memory": {"learning": 1e6, "inference": 1e6}}}}


def test_a_benchmark_is_compared_with_the_last_one_of_such_a_machine(tmp_path):
    path = tmp_path / "deep" / "speed.jsonl"
    for learning in (500.0, 1000.0):
        append(path, entry(figures(learning), OPTIONS))
    append(path, entry(figures(1.0), OPTIONS) | {"machine": machine() | {"cores": 999}})
    append(path, entry(figures(2.0), {"images": 7}))
    now = entry(figures(800.0), OPTIONS)
    lines = comparison(last_alike(read(path), now), now).splitlines()
    assert len(lines) == 3 and lines[1].split()[-4:] == ["1,000", "800", "-20.0%", "slower"]
    assert lines[2].split()[-3:] == ["2,000", "2,000", "+0.0%"]


def test_the_first_benchmark_has_nothing_to_be_compared_with(tmp_path):
    now = entry(figures(1.0), OPTIONS)
    assert "no earlier" in comparison(last_alike(read(tmp_path / "none.jsonl"), now), now)


def test_a_line_says_when_where_and_of_what(tmp_path):
    append(tmp_path / "speed.jsonl", entry(figures(1.0), OPTIONS))
    [line] = (tmp_path / "speed.jsonl").read_text().splitlines()
    assert {"time", "commit", "machine", "versions", "options", "chips"} <= set(json.loads(line))
    assert json.loads(line)["machine"]["cores"] >= 1 and "numba" in json.loads(line)["versions"]


@pytest.mark.parametrize("line", ["not json", "[1]", '{"chips": {}}'])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "speed.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match="line 1 is not a benchmark"):
        read(tmp_path / "speed.jsonl")
