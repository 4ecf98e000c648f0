"""Classes in stages: what is shown and tested when, what is forgotten, and the columns that are held."""

import dataclasses
import json

import numpy as np
import pytest

from ohmspike.chip import Chip, Phase
from ohmspike.host.commands import cli
from ohmspike.host.data.dataset import Dataset
from ohmspike.host.learning.run import learn
from ohmspike.host.plots.continual import continual_picture
from ohmspike.host.studies.continual import (
    HELD_MARGIN,
    LEARNERS,
    checked_stages,
    held_chip,
    hold_columns,
    run_stages,
    stages_text,
    summary,
)
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.model import ModelTarget

CHIP = Chip(name="small", plane_height=8, plane_width=8, patch_height=4, patch_width=4, stride=2, neurons=8, winners=3,
            min_spikes=1, theta_step=20.0, classes=4, margin=100, read_out_set_step=0.2, read_out_reset_step=0.2,
            schedule=(Phase(), Phase(learn=False, teach=True, passes=3)))
STAGES = ((0, 1), (2, 3))


def pictures(count, seed):
    """Four classes: a bar in one of four places; a tenth of the pixels is noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    images = np.where(rng.random((count, 8, 8)) < 0.1, 255, 0).astype(np.uint8)
    for place in range(4):
        images[labels == place, 2 * place:2 * place + 2] = 255
    return images, labels


DATA = Dataset(*pictures(1200, 1), *pictures(300, 2), name="bars")


@pytest.fixture(scope="module")
def lines():
    return run_stages(CHIP, DATA, STAGES, replay=50, seed=1)


def of(lines, learner, stage=2):
    return next(line for line in lines if (line["learner"], line["stage"]) == (learner, stage))


def test_every_learner_is_tested_after_every_stage(lines):
    assert [(line["learner"], line["stage"]) for line in lines] == [(name, s) for name in LEARNERS for s in (1, 2)]
    assert all(line["own"] > 0.9 for line in lines)
    assert all(line["earlier"] is None and line["all"] == line["own"] for line in lines if line["stage"] == 1)
    assert lines == json.loads(json.dumps(lines))


def test_what_is_forgotten_and_what_helps(lines):
    earlier = {learner: of(lines, learner)["earlier"] for learner in LEARNERS}
    assert earlier["read-out"] < 0.5
    for learner in ("read-out, replay", "read-out, held columns", "vote, counted anew", "logistic regression, replay"):
        assert earlier[learner] > 0.7, learner


def test_a_held_column_keeps_every_level_and_the_others_learn():
    with ModelTarget(held_chip(CHIP)) as target:
        hold_columns(target, (0, 2))
        hold_columns(target, (2,))
        before = target.read("read_out").reshape(-1, 4)
        learn(target, *pictures(300, 3))
        changed = (target.read("read_out").reshape(-1, 4) != before).any(axis=0)
        assert changed.tolist() == [False, True, False, True] and target.state().margin == HELD_MARGIN


def test_the_mask_alone_changes_nothing(lines):
    masked = run_stages(dataclasses.replace(CHIP, stuck_cells="masked"), DATA, STAGES, replay=0, seed=1,
                        learners=["read-out"])
    assert masked == [line for line in lines if line["learner"] == "read-out"]


def test_stages_may_be_any_division_and_classes_may_be_missing():
    run = run_stages(CHIP, DATA, ((3,), (1,), (0,)), replay=10, seed=2, learners=["read-out, held columns"])
    assert [len(line["of_stages"]) for line in run] == [1, 2, 3]
    text = summary(run, ((3,), (1,), (0,)))
    assert "| after 3 | after 1: earlier classes | 1 | all so far | after 0: earlier classes | 0 |" in text
    assert stages_text([(0, 1, 2), (3, 5), (4,)]) == ["0-2", "3,5", "4"]
    assert checked_stages((), DATA) == STAGES


@pytest.mark.parametrize(("stages", "message"), [
    (((0, 1),), "stages must be at least 2, not 1"),
    (((0, 1), (1, 2)), "a class must be of one stage, not 1 of two"),
    (((0, 1), (2, 9)), "bars: class 9 must have images to learn and to test, and has 0 and 0"),
])
def test_stages_that_cannot_be_are_refused(stages, message):
    with pytest.raises(UserError, match=message):
        checked_stages(stages, DATA)


def test_the_command_writes_table_json_and_picture(tmp_path, capsys):
    np.savez(tmp_path / "bars.npz", images=DATA.train_images, labels=DATA.train_labels, test_images=DATA.test_images,
             test_labels=DATA.test_labels)
    (tmp_path / "chip.toml").write_text(
        "extends = 'tiles'\nname = 'small'\nplane = { height = 8, width = 8 }\n"
        "grid = { patch_height = 4, patch_width = 4, stride = 2 }\n"
        "tile = { neurons = 8, winners = 3, min_spikes = 1 }\nread_out = { classes = 4 }\n")
    words = ["continual", "--chip", str(tmp_path / "chip.toml"), "--data", str(tmp_path / "bars.npz"), "--seed", "1",
             "--replay", "20", "--out", str(tmp_path / "out" / "c.json")]
    assert cli.run([*words, "--stage", "0-1", "--stage", "2,3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "c.json").read_text())
    assert printed["stages"] == [[0, 1], [2, 3]] and len(printed["lines"]) == 2 * len(LEARNERS)
    assert (tmp_path / "out" / "c.png").read_bytes()[:4] == b"\x89PNG"
    for bad, message in ((["--stage", "4-0"], "--stage must be classes as in 0-4 or 0,2,7, not '4-0'"),
                         (["--stage", "0", "--stage", "one"], "not 'one'"),
                         (["--stage", "0-3"], "stages must be at least 2"),
                         (["--out", str(tmp_path / "c.png")], "--out must be a JSON file")):
        assert cli.run([*words, *bad]) in (1, 2)
        assert message in capsys.readouterr().err


def test_the_picture_is_drawn_for_many_stages(tmp_path):
    lines = [{"learner": "read-out", "stage": stage, "of_stages": [0.9 - 0.1 * stage] * stage, "seed": 1}
             for stage in (1, 2, 3)]
    continual_picture("small", lines, ["0", "1", "2"], tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 5000
