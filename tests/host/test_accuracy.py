"""The accuracy tables: runs are kept, not repeated, and add up."""

import dataclasses
import json

import numpy as np
import pytest

from ohmspike.chip import Chip, Phase
from ohmspike.host.studies.accuracy import PUBLISHED, Case, Results, cases, noisy, run_case, spread, table
from ohmspike.host.support.errors import UserError
from support.bars import CHIP, data


def test_a_run_tells_vote_read_out_and_noise():
    case = Case("chips", "small", CHIP, noise=True)
    run = run_case(case, 3, data())
    assert run["vote"] > 0.9 and run["read_out"] > 0.9 and run["seed"] == 3
    assert run["passes"] == 1 and run["read_out_passes"] == 2 and len(run["prequential"]) == 2
    assert list(run["noise"]) == ["0.05", "0.1", "0.2", "0.3"]
    assert run == json.loads(json.dumps(run))
    again = run_case(case, 3, data(), threads=1)
    assert all(again[name] == run[name] for name in ("vote", "read_out", "noise", "prequential"))


def test_a_chip_without_a_read_out_has_a_vote_alone():
    chip = dataclasses.replace(CHIP, classes=0, schedule=(Phase(),))
    run = run_case(Case("chips", "plain", chip), 1, data())
    assert run["read_out"] is None and run["on_line"] is None and run["vote"] > 0.9


def test_finished_runs_are_kept_and_found(tmp_path):
    path, case = tmp_path / "runs" / "accuracy.jsonl", Case("chips", "small", CHIP)
    key = Results.key(case, 1, "bars")
    Results(path).add(key, {"group": "chips", "label": "small", "seed": 1, "vote": 0.5})
    kept = Results(path)
    assert kept.find(key)["vote"] == 0.5
    for other in (Results.key(case, 2, "bars"), Results.key(case, 1, "mnist"),
                  Results.key(dataclasses.replace(case, noise=True), 1, "bars"),
                  Results.key(dataclasses.replace(case, chip=dataclasses.replace(CHIP, margin=51)), 1, "bars")):
        assert kept.find(other) is None
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(UserError, match="line 2 is not a finished run"):
        Results(path)


def test_tables_show_means_and_spreads():
    run = {"group": "chips", "label": "small", "synapses": 1000, "read_out_synapses": 10, "passes": 2,
           "read_out_passes": 4, "on_line": 0.9, "seconds": 2.0, "images_per_s": 1234.0, "read_out": 0.9}
    text = table([{**run, "seed": seed, "vote": vote} for seed, vote in ((1, 0.90), (2, 0.92), (3, 0.94))])
    assert "| `small` | 1,000 + 10 | 92.00 % (90.00, 94.00) | 90.00 % (90.00, 90.00) | 2, 4 |" in text
    assert all(source in text for _, _, source in PUBLISHED)
    assert spread([]) == "–" and spread([0.5]) == "50.00 %"


def test_noise_replaces_the_share_it_is_told():
    images = np.full((50, 28, 28), 7, np.uint8)
    changed = (noisy(images, 0.2, 1) != images).mean()
    assert changed == pytest.approx(0.2, abs=0.01)
    assert np.array_equal(noisy(images, 0.0, 1), images)


def test_every_line_of_every_table_is_a_chip_that_can_learn():
    found = cases(["chips", "levels", "codes", "size"])
    assert len({(case.group, case.label) for case in found}) == len(found)
    assert [case.chip.levels for case in found if case.group == "levels"] == [64, 32, 16, 8, 4, 2]
    assert all(isinstance(case.chip, Chip) for case in found)
