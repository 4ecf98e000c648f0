"""What the README tells people to type works."""

import re
from pathlib import Path

import numpy as np

from ohmspike.host.data import images as data

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    rng = np.random.default_rng(1)

    def made(count):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label:2 * label + 6, 4:24] = 200
        return images, labels

    monkeypatch.setattr(data, "load_mnist", lambda: data.Dataset(*made(2000), *made(200)))
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.5  # chance is 0.1; few, overlapping bars
    assert (tmp_path / "learned.npz").exists()
