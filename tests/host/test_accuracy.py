"""The accuracy tables: runs are kept, not repeated, and add up."""

import dataclasses
import json
import re

import numpy as np
import pytest

from ohmspike.chip import Chip, Phase
from ohmspike.host.commands.accuracy import GROUPS
from ohmspike.host.studies.accuracy import (
    PUBLISHED,
    Baseline,
    Case,
    Results,
    cases,
    first_pass,
    run_baseline,
    run_case,
    spread,
    table,
)
from ohmspike.host.studies.classifiers import CLASSIFIERS
from ohmspike.host.studies.corruptions import CORRUPTIONS, corrupted
from ohmspike.host.support.errors import UserError
from support.bars import CHIP, data


def test_a_run_tells_vote_read_out_and_what_corruptions_cost():
    few = ("clean", "random pixels 30%", "inverted")
    case = Case("corruptions", "small", CHIP, corrupted=few)
    run = run_case(case, 3, data())
    assert run["vote"] > 0.9 and run["read_out"] > 0.9 and run["seed"] == 3
    assert run["passes"] == 1 and run["read_out_passes"] == 2 and len(run["prequential"]) == 2
    assert run["first_pass"] == run["prequential"][0][1]
    assert tuple(run["corruptions"]) == few and run["corruptions"]["clean"] == run["read_out"]
    assert run["corruptions"]["inverted"] < 0.8
    assert run == json.loads(json.dumps(run))
    again = run_case(case, 3, data(), threads=1)
    assert all(again[name] == run[name] for name in ("vote", "read_out", "corruptions", "prequential"))
    baselines = [run_baseline(Baseline(name, corrupted=few), 1, data()) for name in ("LR", "3-NN")]
    text = table([run, *baselines])
    assert "| test images, learned clean | `small` | LR | 3-NN (10,000 learned, 1,000 tested) |" in text
    assert re.search(r"\| random pixels 30% \| [\d.]+ \| [\d.]+ \| [\d.]+ \|", text)
    text = table([part | {"group": "shared-corruptions", "seed": seed} for part in (run, baselines[0])
                  for seed in (1, 2)])
    assert re.search(r"\| test images \| `small` \| LR \|\n.*\n\| clean \| [\d.]+ % \([\d.]+, [\d.]+\) \|", text)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_baseline_learns_clean_bars(name):
    assert run_baseline(Baseline(name, corrupted=("clean",)), 1, data())["corruptions"]["clean"] > 0.9


def test_the_first_pass_that_teaches_is_the_one_whose_labels_are_new():
    phases = [Phase(passes=2), Phase(learn=False, teach=True, passes=2)]
    assert first_pass([(2500, 0.1), (3000, 0.2), (3500, 0.8), (4000, 0.9)], phases, 1000) == 0.2
    assert first_pass([(1000, 0.3), (2000, 0.9)], [Phase(teach=True, passes=2)], 1000) == 0.3
    assert first_pass([], [Phase()], 1000) is None


def test_write_noise_acts_while_a_case_learns_and_is_a_row_of_its_own():
    clean, noisy = (Case("write-noise", "small", CHIP, c2c=strength) for strength in (0.0, 0.5))
    runs = [run_case(case, 3, data()) for case in (clean, noisy)]
    assert runs[0]["read_out"] > runs[1]["read_out"] and runs[1]["c2c"] == 0.5
    assert Results.key(clean, 3, "bars") != Results.key(noisy, 3, "bars")
    text = table(runs)
    assert "| read-out, deviation of a pulse | 0% | 50% |" in text
    assert f"| `small` | {spread([runs[0]['read_out']])} | {spread([runs[1]['read_out']])} |" in text


def test_a_chip_without_a_read_out_has_a_vote_alone():
    chip = dataclasses.replace(CHIP, classes=0, schedule=(Phase(),))
    run = run_case(Case("chips", "plain", chip), 1, data())
    assert run["read_out"] is None and run["first_pass"] is None and run["vote"] > 0.9


def test_a_run_tells_spikes_of_an_image_and_what_one_takes():
    run = run_case(Case("free", "small", CHIP), 1, data())
    text = table([run | {"label": "small"}])
    assert 0 < run["spikes"]["out"] <= CHIP.tiles * CHIP.winners and len(run["spikes"]["energy_j"]) == 3
    assert f"| `small` | {run['spikes']['in']:,.1f} | {run['spikes']['out']:,.1f} | " in text


def test_finished_runs_are_kept_and_found(tmp_path):
    path, case = tmp_path / "runs" / "accuracy.jsonl", Case("chips", "small", CHIP)
    key = Results.key(case, 1, "bars")
    Results(path).add(key, {"group": "chips", "label": "small", "seed": 1, "vote": 0.5})
    kept = Results(path)
    assert kept.find(key)["vote"] == 0.5
    for other in (Results.key(case, 2, "bars"), Results.key(case, 1, "mnist"),
                  Results.key(dataclasses.replace(case, corrupted=tuple(CORRUPTIONS)), 1, "bars"),
                  Results.key(dataclasses.replace(case, corrupted=("clean",)), 1, "bars"),
                  Results.key(Baseline("LR"), 1, "bars"),
                  Results.key(dataclasses.replace(case, chip=dataclasses.replace(CHIP, margin=51)), 1, "bars")):
        assert kept.find(other) is None
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(UserError, match="line 2 is not a finished run"):
        Results(path)


def test_tables_show_means_and_spreads():
    run = {"group": "chips", "label": "small", "synapses": 1000, "read_out_synapses": 10, "passes": 2,
           "read_out_passes": 4, "first_pass": 0.8, "seconds": 2.0, "images_per_s": 1234.0, "read_out": 0.9}
    text = table([{**run, "seed": seed, "vote": vote} for seed, vote in ((1, 0.90), (2, 0.92), (3, 0.94))])
    assert "| `small` | 1,000 + 10 | 92.00 % (90.00, 94.00) | 90.00 % (90.00, 90.00) | 2, 4 |" in text
    assert all(source in text for _, _, source in PUBLISHED)
    assert spread([]) == "–" and spread([0.5]) == "50.00 %"


PICTURES = np.random.default_rng(2).integers(0, 256, (60, 28, 28)).astype(np.uint8)
PICTURES[:, :, 20:] //= 8


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_images_by_its_seed_alone(name):
    changed = corrupted(PICTURES, name, 1)
    assert changed.dtype == np.uint8 and changed.shape == PICTURES.shape
    assert np.array_equal(changed, corrupted(PICTURES, name, 1))
    assert np.array_equal(changed, PICTURES) == (name == "clean")


def test_corruptions_do_what_they_are_called():
    grey = np.full((50, 28, 28), 7, np.uint8)
    assert (corrupted(grey, "random pixels 20%", 1) != grey).mean() == pytest.approx(0.2, abs=0.01)
    assert (corrupted(grey, "salt (255) 10%", 1) == 255).mean() == pytest.approx(0.1, abs=0.01)
    assert (corrupted(grey, "pepper (0) 50%", 1) == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert corrupted(grey + 120, "gauss sigma 25", 1).std() == pytest.approx(25, abs=0.5)
    assert ((corrupted(grey, "white square 8", 1) == 255).sum(axis=(1, 2)) == 64).all()
    assert (corrupted(grey, "brightness +30", 1) == 37).all() and (corrupted(grey, "contrast x0.1", 1) == 1).all()
    assert ((corrupted(grey, "white line across", 1) == 255).sum(axis=(1, 2)) == 56).all()
    dot = np.zeros((200, 9, 9), np.uint8)
    dot[:, 4, 4] = 255
    where = np.argwhere(corrupted(dot, "shift 3", 1))[:, 1:] - 4
    assert len(where) == 200 and {tuple(abs(at)) for at in where} == {(0, 3), (3, 0), (3, 3)}
    bar = np.zeros((20, 9, 9), np.uint8)
    bar[:, :, 4] = 255
    turned = corrupted(bar, "rotation 45", 1)
    assert (turned[:, 4, 4] == 255).all() and (turned[:, 2, 4] < 100).all()
    wide = corrupted(bar, "scale 1.2", 1)
    assert (wide[:, 4, 4] == 255).all() and wide.sum() > bar.sum() > corrupted(bar, "scale 0.8", 1).sum()


def test_every_line_of_every_table_is_a_chip_that_can_learn():
    every = cases(list(GROUPS))
    found = [case for case in every if isinstance(case, Case)]
    assert len({(case.group, case.label, getattr(case, "c2c", 0.0)) for case in every}) == len(every)
    assert [case.chip.levels for case in found if case.group == "levels"] == [64, 32, 16, 8, 4, 2]
    assert all(isinstance(case.chip, Chip) for case in found)
