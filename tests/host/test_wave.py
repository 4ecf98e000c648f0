"""Waveforms of one image: complete, with names of states, in a form that other tools read."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import tomli_w

from ohmspike.host.commands import cli
from ohmspike.sim.rtl.waves import named_waves, names_of
from support.bars import CHIP, data


def test_a_string_follows_every_change_of_a_named_signal():
    lines = ["$scope module chip $end\n", "$scope module chip $end\n", "$scope module core $end\n",
             "$var wire 2 # state [1:0] $end\n", "$var wire 1 ! go $end\n", "$upscope $end\n", "$upscope $end\n",
             "$upscope $end\n", "$enddefinitions $end\n", "#0\n", "b00 #\n", "0!\n", "#1\n", "b10 #\n", "1!\n", "#2\n",
             "bxx #\n", "b11 #\n"]
    names = {("core",): {"state": {0: "IDLE", 2: "READ ROW"}, "go": {0: "NO", 1: "YES"}}}
    text = "".join(named_waves(lines, names))
    assert text.replace(" ~n0", "").count("$var string 1") == 2 and "state_name $end" in text
    assert [line.split()[0] for line in text.splitlines() if line.endswith("~n0")] == ["sIDLE", "sREAD_ROW", "sxx",
                                                                                       "s11"]
    assert [line.split()[0] for line in text.splitlines() if line.endswith("~n1")] == ["sNO", "sYES"]
    assert [line for line in text.splitlines(keepends=True) if "~n" not in line] == lines


def test_states_and_events_of_a_chip_have_names():
    names = names_of(CHIP)
    found = {label for signals in names.values() for values in signals.values() for label in values.values()}
    assert {"SPIKE", "DECIDE", "DARK"} <= found
    machines = [path for path, signals in names.items() if "fsm_state" in signals]
    assert len(machines) >= 3 and all(len(names[path]["fsm_state"]) > 1 for path in machines)


@pytest.mark.slow
def test_wave_of_an_image_is_named_and_read_by_gtkwaves_tools(tmp_path, capsys):
    bars = data()
    np.savez(tmp_path / "bars.npz", images=bars.train_images, labels=bars.train_labels, test_images=bars.test_images,
             test_labels=bars.test_labels)
    (tmp_path / "chip.toml").write_text(tomli_w.dumps(CHIP.to_dict()))
    assert cli.run(["wave", "--chip", str(tmp_path / "chip.toml"), "--data", str(tmp_path / "bars.npz"), "--out",
                    str(tmp_path / "w.vcd"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    text = (tmp_path / "w.vcd").read_text()
    assert told["clocks"] > 50 and told["answer"] in (0, 1) and "sDECIDE" in text and "fsm_state_name" in text
    for line in (tmp_path / "w.gtkw").read_text().splitlines():
        if line.startswith("chip."):
            assert f" {line.rsplit('.', 1)[1]} " in text
    surfer = (tmp_path / "w.sucl").read_text().splitlines()
    assert len(surfer) > 5 and all(re.fullmatch(r"variable_add chip(\.\w+)+", line) for line in surfer), surfer
    assert all(f" {line.rsplit('.', 1)[1]} " in text for line in surfer)
    assert cli.run(["wave", "--chip", str(tmp_path / "chip.toml"), "--data", str(tmp_path / "bars.npz"), "--image",
                    "50", "--out", str(tmp_path / "w.vcd")]) == 1
    assert "image must be 0 to 49, not 50" in capsys.readouterr().err
    if shutil.which("vcd2fst"):
        subprocess.run(["vcd2fst", tmp_path / "w.vcd", tmp_path / "w.fst"], check=True, capture_output=True)
        back = subprocess.run(["fst2vcd", tmp_path / "w.fst"], check=True, capture_output=True, text=True).stdout
        assert "fsm_state_name" in back and "DECIDE" in back
