"""A host written from the documents alone, without this package, drives the emitted RTL and agrees with the oracle."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.instructions import counter_names, identity_words
from ohmspike.host.integrity.faults import FAULTS_CHIP
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.rtl.build import write_rtl
from ohmspike.sim.state import ChipState

HOST = Path(__file__).resolve().parent.parent / "independent"
PYTHON = [sys.executable, "-I", "-S"]  # without installed packages: the standard library alone
pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")


@pytest.fixture(scope="module")
def rtl(tmp_path_factory):
    """The files that `ohmspike rtl` puts into rtl/."""
    folder = tmp_path_factory.mktemp("rtl")
    for name, text in write_rtl(FAULTS_CHIP).items():
        (folder / name).write_text(text)
    return folder


def driven(script, rtl):
    return subprocess.run([*PYTHON, script, rtl], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def said(rtl):
    """What the host sent and heard."""
    result = driven(HOST / "host.py", rtl)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def carried_out(chip: Chip, said):
    """What the oracle makes of what was sent: output spikes and answers, memories, counters."""
    state = ChipState.initial(chip)
    for name, values in said["loaded"].items():
        getattr(state, name)[...] = np.array(values).reshape(getattr(state, name).shape)
    for name, value in said["registers"].items():
        if name != "report":
            setattr(state, name, value)
    oracle, results = Oracle(chip, state), []
    for learn, events in zip(said["learn"], said["events"], strict=True):
        oracle.state.learn = learn
        spikes, answer = [], None
        for name, *values in events:
            if name == "frame":
                bits = np.zeros(chip.lines, np.uint8)
                bits[values] = 1
                oracle.frame(np.packbits(bits, bitorder="little").tobytes())
            elif name == "answer":
                answer = list(oracle.answer())
            else:
                spikes += map(list, getattr(oracle, name)(*values))
        results.append([spikes, answer])
    memories = {name: getattr(oracle.state, name).ravel().tolist() for name in said["loaded"]}
    return results, memories, [oracle.counter(name) for name in counter_names(chip)]


def heard(said):
    return said["results"], said["state"], said["counters"]


def test_the_host_cannot_import_the_package():
    for name in ("ohmspike", "numpy"):
        result = subprocess.run([*PYTHON, "-c", f"import {name}"], capture_output=True, text=True)
        assert "ModuleNotFoundError" in result.stderr


def test_it_loads_a_chip_lets_it_learn_and_reads_back_what_the_oracle_says(said):
    assert heard(said) == carried_out(FAULTS_CHIP, said)
    counters = dict(zip(counter_names(FAULTS_CHIP), said["counters"], strict=True))
    assert all(counters[name] for name in ("samples", "set_events", "reset_rows", "closed_tile_pulses", "taught",
                                           "clipped_high", "clipped_low", "refused"))
    assert said["state"]["levels"] != said["loaded"]["levels"] and said["state"]["theta"] != said["loaded"]["theta"]
    assert said["state"]["read_out"] != said["loaded"]["read_out"] and said["crc"]
    assert said["registers_after_reset"] == [0, 0, 0, 1, 0] and said["registers_at_end"] == [0, 5, 0, 1, 40]


def test_it_reads_the_identity(said):
    fields = Chip.__dataclass_fields__
    words = [fields[name].metadata["options"].index(getattr(FAULTS_CHIP, name)) if "options" in fields[name].metadata
             else getattr(FAULTS_CHIP, name) for name in identity_words(FAULTS_CHIP)]
    assert said["identity"]["words"] == words
    assert said["identity"]["magic"] == "OHMS" and said["identity"]["protocol"] == 2
    assert said["identity"]["digest"] == FAULTS_CHIP.structure_digest[:16] and said["identity"]["expected"] == 0


def test_damaged_lost_and_repeated_frames_are_refused_or_answered_again_and_the_session_goes_on(said):
    assert said["without_session"] == {"seq": 5, "reason": "SEQUENCE", "expected": 0}
    assert said["naks"].count("CHECK") == 2 and set(said["naks"]) == {"CHECK", "SEQUENCE"} and said["resent"] >= 3
    _, bad_frames, out_of_sequence, repeats, aborts = said["status"]
    assert (bad_frames, aborts) == (2, 0) and out_of_sequence > said["naks"].count("SEQUENCE")
    assert said["repeated"] and repeats == 1 + said["answered_again"]


def test_programs_that_go_wrong_end_as_the_document_says(said):
    reply = said["identity"]["max_reply"] - 1
    assert {name: tuple(ending) for name, ending in said["endings"].items()} == {
        "no such opcode": (0, 1), "cut short": (0, 1), "a cut FRAME": (0, 1), "no such memory": (0, 2),
        "outside": (0, 2), "no such column": (0, 2), "over the end": (8, 2), "a CHECK over the end": (0, 2),
        "read-only": (0, 2), "too long": (reply, 3), "refused": (0, 0), "empty": (0, 0), "behind what failed": (0, 1)}
    assert said["samples_at_end"] == said["counters"][0] + 1, "an output too long breaks nothing off"


@pytest.mark.parametrize("part", ["weight", "levels", "random", "read_out_set"])
def test_a_cell_that_was_loaded_otherwise_is_noticed(said, part):
    other = copy.deepcopy(said)
    other["loaded"][part] = other["loaded"][part][::-1]
    assert heard(said) != carried_out(FAULTS_CHIP, other)
    results, memories, counters = carried_out(FAULTS_CHIP, other)
    memories[part] = said["state"][part]
    assert heard(said) != (results, memories, counters), "it is noticed by what the chip does, not only by this memory"


@pytest.mark.parametrize(("text", "wrong"), [
    ("zlib.crc32(body))", "zlib.adler32(body))"), ("byte ^ 0x20])", "byte ^ 0x40])")])
def test_a_host_that_frames_otherwise_fails(rtl, tmp_path, text, wrong):
    source = (HOST / "host.py").read_text("utf-8")
    assert source.count(text) == 1
    shutil.copy(HOST / "bench.v", tmp_path)
    (tmp_path / "host.py").write_text(source.replace(text, wrong), "utf-8")
    result = driven(tmp_path / "host.py", rtl)
    assert result.returncode == 1 and "Error" in result.stderr and not result.stdout
