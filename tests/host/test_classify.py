"""A learned chip answers: images, one picture, spikes; silent ones are not known; it goes onto other targets."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from ohmspike import classify, learn, open_target, save, train_vote
from ohmspike.host.commands.cli import run
from ohmspike.host.learning.confusion import confusion_matrix, evaluation, matrix_text
from support.bars import CHIP, data

DATA = data()


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A learned chip with its vote, its answers, and a file of images with labels."""
    folder = tmp_path_factory.mktemp("learned")
    with open_target("model", CHIP) as target:
        learn(target, DATA.train_images, DATA.train_labels)
        state = target.state()
        vote = train_vote(target, DATA.train_images, DATA.train_labels, classes=2)
        answers = classify(target, DATA.test_images)
    save(folder / "learned.npz", CHIP, state, vote)
    save(folder / "untaught.npz", CHIP, open_target("model", CHIP).state())
    np.savez(folder / "set.npz", images=DATA.test_images, labels=DATA.test_labels)
    return folder, answers


def called(capsys, *arguments):
    code = run([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_a_saved_chip_gives_the_answers_of_the_python_api(learned, capsys, tmp_path):
    folder, answers = learned
    code, out, _ = called(capsys, "classify", folder / "learned.npz", "--data", folder / "set.npz", "--json", "--out",
                          tmp_path / "answers.csv")
    found = json.loads(out)
    assert code == 0 and found["answers"] == answers.tolist() and found["read_out"] == "crossbar"
    assert found["accuracy"] == (answers == DATA.test_labels).mean() > 0.9
    assert sum(map(sum, found["confusion"])) == len(answers)
    rows = list(csv.DictReader((tmp_path / "answers.csv").open()))
    assert [int(row["answer"]) for row in rows] == answers.tolist()
    assert [int(row["label"]) for row in rows] == DATA.test_labels.tolist()
    code, out, _ = called(capsys, "classify", folder / "learned.npz", "--data", folder / "set.npz", "--read-out",
                          "vote")
    assert code == 0 and "recall" in out and "% right" in out


def test_one_picture_is_answered_and_a_silent_one_is_not_known(learned, capsys, tmp_path):
    folder, answers = learned
    Image.fromarray(DATA.test_images[0]).save(tmp_path / "one.png")
    code, out, _ = called(capsys, "classify", folder / "learned.npz", "--data", tmp_path / "one.png")
    assert code == 0 and f"0: {answers[0]}  (lead" in out
    np.savez(tmp_path / "two.npz", images=np.stack([DATA.test_images[0], np.zeros((6, 6), np.uint8)]))
    for read_out in ("crossbar", "vote"):
        code, out, _ = called(capsys, "classify", folder / "learned.npz", "--data", tmp_path / "two.npz", "--read-out",
                              read_out, "--json")
        assert code == 0 and json.loads(out)["answers"] == [answers[0], None]
    code, out, _ = called(capsys, "classify", folder / "learned.npz", "--data", tmp_path / "two.npz", "--margin", "1e9")
    assert code == 0 and out.count("don't know") == 2


def test_what_cannot_be_classified_is_said(learned, capsys, tmp_path):
    folder, _ = learned
    Image.fromarray(np.zeros((7, 6), np.uint8)).save(tmp_path / "odd.png")
    for arguments, message in (
            ((folder / "learned.npz", "--data", tmp_path / "odd.png"), "images must be 6x6 for the chip small"),
            ((folder / "set.npz", "--data", folder / "set.npz"), "not a saved chip"),
            ((folder / "untaught.npz", "--data", folder / "set.npz"), "holds no vote"),
            ((folder / "untaught.npz", "--data", folder / "set.npz", "--read-out", "crossbar"), "was never taught"),
            ((folder / "learned.npz", "--data", tmp_path / "none.npz"), "no such file")):
        code, _, err = called(capsys, "classify", *arguments)
        assert code == 1 and message in err and "Traceback" not in err


def test_a_learned_chip_is_loaded_and_checked(learned, capsys):
    code, out, _ = called(capsys, "load", learned[0] / "learned.npz", "--target", "model", "--json")
    assert code == 0 and json.loads(out)["sound"]


def test_the_matrix_counts_every_sample_once():
    rng = np.random.default_rng(1)
    labels, answers = rng.integers(0, 4, (2, 300))
    matrix = confusion_matrix(labels, answers, 4)
    assert all(matrix[i, j] == ((labels == i) & (answers == j)).sum() for i in range(4) for j in range(4))
    found = evaluation(labels, answers, 5)
    assert found["recall"][4] is None and found["recall"][0] == (answers[labels == 0] == 0).mean()
    assert len(found["wrong"]) == (labels != answers).sum()
    assert len(matrix_text(found)) == 6
    many = evaluation(np.arange(120), np.arange(120)[::-1], 120)
    assert many["confusion"] is None and matrix_text(many)[0].startswith("lowest recall: class 0 0.0%")
