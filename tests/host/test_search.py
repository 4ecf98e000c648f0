"""The search for rates: what it may see, and that it can be carried on."""

import contextlib
import dataclasses
import sqlite3

import pytest

from ohmspike.host.studies import search as search_module
from ohmspike.host.studies.search import evaluate, search, suggested
from ohmspike.host.studies.spaces import SPACES, ranges_of, spaces_of
from ohmspike.host.support.errors import UserError
from ohmspike.sim.model.nonideal import NonIdealities
from support.bars import CHIP, data

optuna = pytest.importorskip("optuna")


def run(path, trials, **options):
    return search(CHIP, data(), path, **({"spaces": ["tiles", "read-out"], "read_out": True, "seeds": 1,
                                          "trials": trials} | options))


def test_a_study_is_carried_on_and_begins_with_the_chip(tmp_path):
    path = tmp_path / "deeper" / "study.db"
    first = run(path, 2).trials
    assert len(first) == 2 and first[0].params["set_step"] == pytest.approx(CHIP.set_step)
    again = run(path, 3)
    assert len(again.trials) == 3 and [t.params for t in again.trials[:2]] == [t.params for t in first]
    assert again.trials[2].params != again.trials[1].params
    assert run(path, 3).best_value == max(trial.value for trial in again.trials)
    assert again.trials[2].user_attrs["accuracies"] == [again.trials[2].value]


def test_an_interrupted_trial_is_tried_again(tmp_path):
    path = tmp_path / "study.db"
    study = run(path, 1)
    lost = study.ask({"set_step": optuna.distributions.FloatDistribution(0.01, 0.25, log=True)})
    again = run(path, 2)
    assert again.trials[lost.number].state.name == "FAIL"
    assert again.trials[-1].state.name == "COMPLETE"
    assert again.trials[-1].params["set_step"] == pytest.approx(lost.params["set_step"])


def test_a_study_of_something_else_is_refused(tmp_path):
    path = tmp_path / "study.db"
    run(path, 1)
    with pytest.raises(UserError, match="a study of another search: seeds is 1, expected 2"):
        run(path, 2, seeds=2)
    with pytest.raises(UserError, match="a study of another search: spaces"):
        run(path, 2, spaces=["tiles"])
    (tmp_path / "text.db").write_text("hello, this is no database " * 100)
    with pytest.raises(UserError, match="text.db: not a study"):
        run(tmp_path / "text.db", 1)


@pytest.mark.parametrize("read_out", [True, False])
def test_the_test_set_and_the_held_out_labels_are_not_learned(monkeypatch, read_out):
    whole = data()
    seen = []
    learned = search_module.learn
    monkeypatch.setattr(search_module, "learn", lambda target, images, labels: (
        seen.append((images, labels)), learned(target, images, labels)))
    value = evaluate(CHIP, whole, read_out=read_out)
    blind = dataclasses.replace(whole, test_images=whole.test_images[:0], test_labels=whole.test_labels[:0])
    assert evaluate(CHIP, blind, read_out=read_out) == value > 0.9
    assert all(len(images) == 292 for images, _ in seen)
    assert all((labels is None) != read_out for _, labels in seen)


def test_nonidealities_are_evaluated_and_belong_to_the_study(tmp_path):
    path, nonidealities = tmp_path / "study.db", NonIdealities(stuck=0.3, seed=1)
    study = run(path, 1, nonidealities=nonidealities, seeds=2)
    assert study.user_attrs["nonidealities"]["stuck"] == 0.3
    expected = [evaluate(dataclasses.replace(suggested(CHIP, study.trials[0].params), seed=CHIP.seed + i), data(),
                         read_out=True, nonidealities=dataclasses.replace(nonidealities, seed=1 + i)) for i in range(2)]
    assert study.trials[0].user_attrs["accuracies"] == expected
    harmed = dataclasses.replace(nonidealities, stuck=0.9)
    assert evaluate(CHIP, data(), read_out=True, nonidealities=harmed) < evaluate(CHIP, data(), read_out=True)
    with pytest.raises(UserError, match="a study of another search: nonidealities is"):
        run(path, 2, seeds=2)
    with contextlib.closing(sqlite3.connect(path)) as database, database:  # as an earlier version wrote it
        database.execute("UPDATE study_user_attributes SET key = 'nonidealities' WHERE key = 'nonidealities'")
    with pytest.raises(UserError, match="a study of another search: nonidealities is"):
        run(path, 1, seeds=2)
    assert run(path, 1, nonidealities=nonidealities, seeds=2).trials[0].user_attrs["accuracies"] == expected


def test_values_go_where_they_belong():
    values = {name: 0.5 for space in SPACES.values() for name in space if name not in ("set_step", "reset_step")}
    values |= {"margin": 99.6, "decay": 0.25, "read_out_decay": 0.75, "set_step": 0.2, "reset_step": 0.2}
    values |= {"read_out_set_step": 0.01, "read_out_reset_step": 0.02, "theta_base": 0.0}
    chip = suggested(CHIP, values)
    assert chip.margin == 100 and chip.read_out_reset_step == 0.02 and chip.set_bound == 0.5
    assert [phase.decay for phase in chip.schedule] == [0.25, 1.0]
    assert [phase.read_out_decay for phase in chip.schedule] == [0.75, 0.75]


def test_a_chip_that_fires_at_a_threshold_has_a_space_of_its_own(tmp_path):
    with pytest.raises(UserError, match="space threshold must be of a chip that fires at a threshold, not of small"):
        run(tmp_path / "study.db", 1, spaces=["threshold"])
    chip = dataclasses.replace(CHIP, fire_mode="threshold", depression="post", theta_base=60, rate_steps=8,
                               winners=1, learners=1, threshold_bits=12)
    assert spaces_of(chip) == ["tiles", "read-out", "threshold"] and spaces_of(CHIP) == ["tiles", "read-out"]
    assert ranges_of(chip, ["threshold"])["theta_base"].high == 4095
    study = search(chip, data(), tmp_path / "free.db", spaces=["threshold"], read_out=False, trials=1, seeds=1)
    assert study.trials[0].params == {"theta_base": pytest.approx(60), "theta_decay": chip.schedule[0].decay,
                                      "rate_peak": 0.25}
    found = suggested(chip, {"theta_base": 70.4, "theta_decay": 0.5, "rate_peak": 0.6})
    assert (found.theta_base, found.rate_peak, found.schedule[0].theta_decay) == (70, 0.6, 0.5)
