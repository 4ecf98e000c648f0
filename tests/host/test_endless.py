"""An endless stream: its lines, its samples, what is kept; against the batch path."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip, Phase
from ohmspike.host.coding.streams import Sampler, camera_steps, stream_events
from ohmspike.host.commands.cli import run as command
from ohmspike.host.data import sources
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.sources import EventText, blocks
from ohmspike.host.data.streams import Stream
from ohmspike.host.learning.endless import Endless
from ohmspike.host.runs.learned import load
from ohmspike.host.targets.model import ModelTarget

SENSOR = (28, 28)


def free_chip(**changes):
    return dataclasses.replace(Chip.preset("tiles-free"), **{
        "name": "own", "neurons": 6, "theta_base": 40, "min_spikes": 1, "schedule": (Phase(),), "patch_height": 14,
        "patch_width": 14, "stride": 14, "classes": 3, **changes})


def events(count=600, seed=0, spread=40):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.integers(0, spread, count)), rng.integers(0, 784, count)


def lines_of(time_us, line):
    return "".join(f"{t},{at}\n" for t, at in zip(time_us.tolist(), line.tolist(), strict=True)).encode()


def cut(text, places):
    bounds = [0, *sorted(places), len(text)]
    return [text[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]


def streamed(chip, parts, *, learn=True, keep=None, drop=False, sensor=SENSOR, step_us=100):
    said = []
    target = ModelTarget(chip, threads=1)
    run = Endless(target, step_us, learn, said.append, keep, None, drop)
    run.run(EventText("source", sensor), iter(parts))
    return said, target.state(), run


def batch_path(chip, time_us, line, *, learn=True, step_us=100):
    """The same events cut into samples by time, as a stream of a camera of the chip's plane."""
    span = step_us * camera_steps(chip)
    number = time_us // span
    names, counts = np.unique(number, return_counts=True)
    stream = Stream(time_us - number * span, line, np.r_[0, np.cumsum(counts)], sensor=SENSOR, span=span)
    target = ModelTarget(chip, threads=1)
    fired = target.present(stream_events(chip, stream, learn=learn, answer=bool(chip.classes)), learn=learn)
    return names, fired, target.state()


@pytest.mark.parametrize("chip", [free_chip(), free_chip(classes=0), dataclasses.replace(
    Chip.preset("tiny"), winners=3)], ids=["free", "no read-out", "race"])
@pytest.mark.parametrize("learn", [True, False])
def test_a_stream_equals_the_batch_path(chip, learn):
    time_us, line = events()
    said, state, run = streamed(chip, [lines_of(time_us, line)], learn=learn)
    names, fired, expected = batch_path(chip, time_us, line, learn=learn)
    assert not state.differences(expected)
    assert run.samples == len(names) and run.events == 600 and fired.offsets[-1] == run.spikes > 0
    by_number = {one["sample"]: one for one in said}
    for index, name in enumerate(names.tolist()):
        here = slice(fired.offsets[index], fired.offsets[index + 1])
        spikes = np.stack([fired.tile[here], fired.neuron[here]], axis=1).tolist()
        assert by_number.get(name, {"spikes": []})["spikes"] == spikes
        if chip.classes:
            assert by_number[name]["answer"] == (fired.answers.label[index] if spikes else None)


WHOLE = lines_of(*events(300))
EXPECTED = None


@settings(max_examples=40, deadline=None)
@given(places=st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_any_cutting_of_the_source_gives_the_same(places):
    global EXPECTED
    if EXPECTED is None:
        EXPECTED = streamed(free_chip(), [WHOLE])[:2]
    said, state, _ = streamed(free_chip(), cut(WHOLE, places))
    assert said == EXPECTED[0] and not state.differences(EXPECTED[1])


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(-50, 4000), st.integers(-2, 900)), max_size=40),
       places=st.lists(st.integers(0, 400), max_size=6))
def test_what_is_left_out_does_not_depend_on_the_cutting(rows, places):
    text = "".join(f"{t},{line}\n" for t, line in rows).encode()
    chip = free_chip()
    runs = [streamed(chip, parts, drop=True) for parts in ([text], cut(text, [min(at, len(text)) for at in places]))]
    assert runs[0][0] == runs[1][0] and not runs[0][1].differences(runs[1][1])
    assert runs[0][2].dropped == runs[1][2].dropped and runs[0][2].events == runs[1][2].events
    latest, good = -10**9, 0  # plain Python: what may be taken
    for t, line in rows:
        if 0 <= line < 784 and t // 100 >= latest:
            latest, good = t // 100, good + 1
    assert runs[0][2].events == good


@pytest.mark.parametrize("text", [
    "t,x,y,p\n5,1,2,1\n900,3,4,0\n", "5,1,2,1\n900,3,4,0\n", "y,p,t,x\n2,1,5,1\n4,0,900,3\n",
    "# a comment\r\nx,y,polarity,timestamp\r\n1,2,1,5\r\n\r\n3,4,-1,900", "x,y,p,t\n1,2,1,5\n3,4,0,900"])
def test_columns_may_stand_in_any_order(text):
    for parts in ([text.encode()], [bytes([one]) for one in text.encode()]):
        reader = EventText("source", (10, 20))
        found = [reader.feed(part) for part in parts] + [reader.feed(b"", last=True)]
        assert [one[3] for one in found] == [None] * len(found)
        assert np.concatenate([one[0] for one in found]).tolist() == [5, 900]
        assert np.concatenate([one[1] for one in found]).tolist() == [2 * 20 + 1, (10 + 4) * 20 + 3]


@pytest.mark.parametrize(("text", "complaint"), [
    ("1,2\n3,x\n", "source, line 2: must be the integers t,line, not '3,x'"),
    ("1,2\n3,4,5\n", "source, line 2: must be the integers t,line, not '3,4,5'"),
    ("1,2\n3.5,4\n", "line 2: must be the integers"), ("1,2\n3,\n", "line 2: must be the integers"),
    ("1,2\n--3,4\n", "line 2: must be the integers"), ("1,2\n3,99999999999999999999\n", "line 2: must be the integers"),
    ("1,2,3\n", "lines must be t,line or t,x,y,p, or begin with these names"),
    ("t,x,y\n", "lines must be t,line or t,x,y,p"), ("\x00\x01\x02\n", "lines must be t,line or t,x,y,p"),
    ("1,2\n" + "7" * 70000, "line 2: must be shorter than 65,536 bytes"),
    ("1,2\n3,784\n", "line 2: an event must be of line 0 to 783, not of line 784"),
    ("1,1,1,1\n2,28,1,0\n", "line 2: an event must be of a sensor of 28x28, not one outside of it"),
    ("1000,2\n3,4\n", "line 2: times must not fall by a step, and 3 µs comes after later events")])
def test_what_cannot_be_taken_is_told_with_its_line(text, complaint):
    with pytest.raises(DataError, match=complaint.replace("(", r"\(")):
        streamed(free_chip(), [text.encode()])


def test_an_error_loses_nothing_that_came_before(tmp_path):
    time_us, line = events()
    keep = tmp_path / "kept.npz"
    source = tmp_path / "source.csv"
    source.write_bytes(lines_of(time_us, line) + b"nonsense\n")
    chip = tmp_path / "own.toml"
    chip.write_text(free_chip().to_toml())
    assert command(["stream", str(source), "--chip", str(chip), "--learn", "--keep", str(keep), "--step", "0.1"]) == 1
    # all but the sample under way
    last = time_us // 1200 == time_us[-1] // 1200
    _, _, expected = batch_path(free_chip(), time_us[~last], line[~last])
    assert not load(keep)[1].differences(expected)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_chip_goes_on_from_where_it_was_kept(tmp_path, capsys):
    time_us, line = events()
    whole = lines_of(time_us, line)
    middle = int(np.searchsorted(time_us // 1200, 5))
    chip = tmp_path / "own.toml"
    chip.write_text(free_chip().to_toml())
    for name, text in (("a", lines_of(time_us[:middle], line[:middle])),
                       ("b", lines_of(time_us[middle:], line[middle:])), ("whole", whole)):
        (tmp_path / name).write_bytes(text)
    options = ["--learn", "--step", "0.1"]
    state = str(tmp_path / "state.npz")
    assert command(["stream", str(tmp_path / "a"), "--chip", str(chip), "--keep", state, *options]) == 0
    assert command(["stream", str(tmp_path / "b"), "--state", state, *options]) == 0
    parts = capsys.readouterr().out
    again = str(tmp_path / "w.npz")
    assert command(["stream", str(tmp_path / "whole"), "--chip", str(chip), "--keep", again, *options]) == 0
    assert capsys.readouterr().out == parts and len(parts.splitlines()) > 5
    assert all(set(json.loads(row)) == {"sample", "spikes", "answer", "lead"} for row in parts.splitlines())
    assert not load(state)[1].differences(load(again)[1])


def test_a_sample_in_which_nothing_fires_has_no_answer():
    said, _, _ = streamed(free_chip(theta_base=30000, theta_step=0.0), [b"1,2\n3,4\n5000,6\n"])
    assert said == [{"sample": number, "spikes": [], "answer": None, "lead": 0} for number in (0, 4)]


def prophesee(time_us, line):
    """EVT 2.0 by the rules of its maker: a word of time before every event, all ON."""
    words = []
    for t, at in zip(time_us.tolist(), line.tolist(), strict=True):
        words += [8 << 28 | t >> 6, 1 << 28 | (t & 63) << 22 | at % 28 << 11 | at // 28]
    return b"% evt 2.0\n% geometry 28x28\n% end\n" + np.array(words, "<u4").tobytes()


def test_a_recording_is_what_its_events_are_as_text(tmp_path, capsys, monkeypatch):
    time_us, line = events()
    chip = tmp_path / "own.toml"
    chip.write_text(free_chip().to_toml())
    (tmp_path / "text.csv").write_bytes(b"".join(b"%d,%d,%d,1\n" % (t, at % 28, at // 28)
                                                 for t, at in zip(time_us.tolist(), line.tolist(), strict=True)))
    (tmp_path / "a.raw").write_bytes(prophesee(time_us, line))
    monkeypatch.setattr(sources, "EVENTS", 7)
    said = {}
    for name in ("text.csv", "a.raw"):
        assert command(["stream", str(tmp_path / name), "--chip", str(chip), "--learn", "--step", "0.1", "--keep",
                        str(tmp_path / f"{name}.npz")]) == 0
        said[name] = capsys.readouterr().out
    assert said["text.csv"] == said["a.raw"] and len(said["a.raw"].splitlines()) > 5
    assert not load(tmp_path / "text.csv.npz")[1].differences(load(tmp_path / "a.raw.npz")[1])
    assert command(["stream", str(tmp_path / "a.raw"), "--chip", str(chip), "--step", "0.1", "--sensor", "28x9"]) == 1
    first = int(np.argmax(line % 28 >= 9)) + 1
    assert f"a.raw, event {first}: an event must be of a sensor of 28x9" in capsys.readouterr().err


@pytest.mark.parametrize(("source", "complaint"), [
    ("nothing.csv", "nothing.csv: cannot be read: No such file or directory"),
    (".", ".: cannot be read: Is a directory"), ("udp:no", "port of udp must be 0 to 65535"),
    ("a.npz", "a.npz: an archive, and a stream is one recording")])
def test_a_source_is_looked_at_before_anything_is_compiled(source, complaint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", time=np.arange(3))
    assert command(["stream", source, "--chip", "tiny"]) == 1
    error = capsys.readouterr().err
    assert complaint in error and "compiled" not in error


def test_samples_hold_no_more_than_a_bit_of_every_line_and_step():
    chip = free_chip()
    sampler = Sampler(chip, None, 1000, learn=False)
    for _ in range(50):
        assert len(sampler.feed(np.zeros(5000, np.int64), np.arange(5000) % 784)[0]) == 0
    assert len(sampler._held) == 784


def test_datagrams_are_taken_and_silence_ends_them():
    said = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    source = blocks(f"udp:{port}", stopped=lambda: False, say=said.append, idle=0.5)
    assert next(source) == b""  # it listens
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"1,2\n3,4", ("127.0.0.1", port))
    assert b"".join(source) == b"1,2\n3,4\n"
    assert said == [f"udp:{port}: no events for 0.5 s, which ends it"]


@pytest.mark.parametrize("source", ["udp:", "udp:x", "udp:70000", "/nowhere/at/all"])
def test_a_source_that_is_none_is_refused(source):
    with pytest.raises(DataError):
        list(blocks(source, stopped=lambda: False, say=print))


def test_ctrl_c_keeps_what_is_learned(tmp_path):
    time_us, line = events()
    chip = tmp_path / "own.toml"
    chip.write_text(free_chip().to_toml())
    keep = tmp_path / "kept.npz"
    with subprocess.Popen([sys.executable, "-m", "ohmspike", "stream", "-", "--chip", str(chip), "--learn", "--keep",
                           str(keep), "--step", "0.1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=os.environ) as process:
        process.stdin.write(lines_of(time_us, line))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["sample"] == 0
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert b"goes on from them" in process.stderr.read()
    _, _, expected = batch_path(free_chip(), time_us, line)
    assert not load(keep)[1].differences(expected)
