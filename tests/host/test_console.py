"""What a person sees while waiting, where stderr is a file."""

import json
from pathlib import Path

import numpy as np

from ohmspike.host.support import console


def test_progress_without_a_terminal_is_lines_of_text(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("learning") as shown:
        for done in (0, 100, 200, 250, 300):
            now[0] += 20
            shown(done, 300)
            shown(done, 300)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["learning: 100 of 300, 40 s, about 80 s left", "learning: 250 of 300, 80 s, about 16 s left",
                     "learning: 300 of 300, 100 s"]


def test_what_numpy_counted_is_json(capsys):
    data = {"ok": np.bool_(True), "n": np.int64(3), "x": np.float32(0.5), "a": np.arange(2), "gone": float("nan"),
            "deep": [{"y": np.float64("inf")}, (1, Path("a/b"))]}
    console.show(data, as_json=True, text="")
    assert json.loads(capsys.readouterr().out) == {
        "ok": True, "n": 3, "x": 0.5, "a": [0, 1], "gone": None, "deep": [{"y": None}, [1, "a/b"]]}
