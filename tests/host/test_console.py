"""What a person sees while waiting, where stderr is a file."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.shell_completion import get_completion_class
from rich.console import Console

from ohmspike.host.commands import cli
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


def test_progress_tells_rate_and_accuracy(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("learning", "images") as shown:
        shown(1000, 3000)  # a run that was resumed: what was done before has no part in the rate
        shown.note("97.5% right")
        for done in (2000, 3000):
            now[0] += 40
            shown(done, 3000)
    assert capsys.readouterr().err.splitlines() == [
        "learning: 2,000 of 3,000, 40 s, 25 images/s, 97.5% right, about 20 s left",
        "learning: 3,000 of 3,000, 80 s, 25 images/s, 97.5% right"]


def test_a_quiet_command_says_warnings_alone(capsys):
    console.be_quiet(True)
    try:
        console.say("written x")
        console.status("compiling")
        console.say("warning: full")
        with console.progress("learning") as shown:
            shown.note("x")
            shown(5, 5)
        console.show({}, as_json=False, text="result")
    finally:
        console.be_quiet(False)
    captured = capsys.readouterr()
    assert captured.err == "warning: full\n" and captured.out == "result\n"
    assert cli.run(["--quiet", "info", "tiny", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["chip"] == "tiny" and captured.err == ""


def test_a_terminal_without_colour_gets_none(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "")
    shown = io.StringIO()
    Console(file=shown, force_terminal=True).print("  compiling", style="red")
    assert "\x1b[31m" not in shown.getvalue()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(shell, capsys, monkeypatch):
    if shutil.which("bash") is None and shell == "bash":
        pytest.skip("bash is not installed")
    assert cli.run(["completion", shell]) == 0
    captured = capsys.readouterr()
    assert "_OHMSPIKE_COMPLETE" in captured.out and "put this line into" in captured.err
    complete = get_completion_class(shell)(cli.cli, {}, "ohmspike", "_OHMSPIKE_COMPLETE")
    assert {item.value for item in complete.get_completions([], "re")} == {"report"}
    assert "--sample" in {item.value for item in complete.get_completions(["report"], "--")}


def test_a_shell_that_is_none_has_a_suggestion(capsys):
    assert cli.run(["completion", "bsh"]) == 2
    assert "did you mean bash" in capsys.readouterr().err


def test_what_numpy_counted_is_json(capsys):
    data = {"ok": np.bool_(True), "n": np.int64(3), "x": np.float32(0.5), "a": np.arange(2), "gone": float("nan"),
            "deep": [{"y": np.float64("inf")}, (1, Path("a/b"))]}
    console.show(data, as_json=True, text="")
    assert json.loads(capsys.readouterr().out) == {
        "ok": True, "n": 3, "x": 0.5, "a": [0, 1], "gone": None, "deep": [{"y": None}, [1, "a/b"]]}
