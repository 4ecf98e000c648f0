"""What docs/data.md shows works as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

from ohmspike.host.data import collections

DOCUMENT = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example of the page in a folder of its own; returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(number):
        exec(compile(EXAMPLES[number], f"docs/data.md, example {number}", "exec"), {})
        return capsys.readouterr().out.splitlines()

    return run


def test_every_example_is_ten_lines_of_code_and_run_here():
    assert len(EXAMPLES) == 6
    for example in EXAMPLES:
        assert sum(bool(line.strip()) for line in example.splitlines()) <= 11


def test_fashion_is_named(run, monkeypatch):
    images, labels = np.zeros((20, 28, 28), np.uint8), np.arange(20, dtype=np.uint8) % 10
    monkeypatch.setattr(collections, "_from_cache", lambda collection, tell: {
        name: bytes([0, 0, 8, a.ndim]) + b"".join(n.to_bytes(4, "big") for n in a.shape) + a.tobytes()
        for name, a in zip(collection.files, (images, labels, images, labels), strict=True)})
    assert run(0) == ["fashion (20, 28, 28) 10 (28, 28)"]


def test_own_images_are_written_and_learned(run):
    assert run(1) == []
    told, accuracy = run(2)
    assert told == "bars.npz: no test_images: 100 of 700 images, drawn at random, are held out"
    assert float(accuracy) > 0.9  # chance is 0.25


def test_a_recording_is_cut_into_samples(run):
    assert run(3) == ["35 5 (128, 128)"]  # 2 s of 50 ms


def test_own_spikes_are_written_and_learned(run):
    assert run(4) == []
    (accuracy,) = run(5)
    assert float(accuracy) > 0.9  # chance is 0.5
