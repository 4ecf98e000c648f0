"""Spikes as NIR data and back by `ohmspike convert`: what goes out comes back, what is no spikes is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmspike.chip.events import EventCode
from ohmspike.host.coding.images import Encoding
from ohmspike.host.commands import cli
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.nir_spikes import read_spikes
from ohmspike.host.data.samples import load_events, load_samples
from ohmspike.host.data.streams import Stream, load_stream
from ohmspike.host.exchange.spikes import coded_stream, write_spikes
from support.bars import CHIP, data

nir = pytest.importorskip("nir", reason="needs the extra exchange")

FREE = dataclasses.replace(CHIP, fire_mode="threshold", winners=1, learners=1, schedule=CHIP.schedule[:1])


@st.composite
def streams(draw):
    counts = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5))
    size = sum(counts)
    times = draw(st.sampled_from([st.integers(0, 1 << 53), st.floats(0, 1e12)]))
    time = np.array(draw(st.lists(times, min_size=size, max_size=size)))
    line = np.array(draw(st.lists(st.integers(0, 1000), min_size=size, max_size=size)), np.int64)
    return Stream(time.astype(float if time.dtype.kind == "f" else np.int64), line, np.r_[0, np.cumsum(counts)])


def same(first, second):
    return all((getattr(first, name) == getattr(second, name)).all() for name in ("time", "line", "offsets"))


@settings(max_examples=40)
@given(streams())
def test_what_goes_out_comes_back(tmp_path_factory, stream):
    path = tmp_path_factory.getbasetemp() / "spikes.nir"
    write_spikes(path, stream)
    again = read_spikes(path)
    assert same(again, stream) and again.time.dtype.kind in ("i", stream.time.dtype.kind)


def test_a_stream_with_labels_goes_through_convert_and_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    np.savez("a.npz", time=rng.integers(0, 40, 30), line=rng.integers(0, 9, 30), offsets=np.array([0, 10, 10, 30]),
             labels=np.array([2, 0, 1]))
    assert cli.run(["convert", "a.npz", "a.nir"]) == 0
    assert "a-labels.npy, which --labels takes" in capsys.readouterr().err
    assert cli.run(["convert", "a.nir", "b.npz", "--labels", "a-labels.npy"]) == 0
    assert "3 samples, 30 spikes on" in capsys.readouterr().out
    first, second = load_stream("a.npz"), load_stream("b.npz")
    assert same(first, second) and (first.labels == second.labels).all()
    assert same(load_events(Path("a.nir")), second)
    assert len(load_samples("a.nir").train_images) == 2


@pytest.mark.parametrize(("chip", "code"), [(CHIP, Encoding()), (FREE, Encoding(steps=32))], ids=["latency", "rate"])
def test_images_become_the_spikes_that_the_chip_gets(chip, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = data().train_images[:9]
    np.savez("a.npz", images=images)
    (tmp_path / "chip.toml").write_text(tomli_w.dumps(chip.to_dict()))
    assert cli.run(["convert", "a.npz", "a.nir", "--chip", "chip.toml"]) == 0
    frames = nir.read_data("a.nir").nodes["input"].observables["spikes"].to_time_gridded(1.0).data
    batch = code(chip, images, learn=False)
    expected = np.zeros((9, code.steps or chip.latency_bins, 36), bool)
    for sample in range(9):
        step = 0
        for event in batch.codes[batch.offsets[sample]:batch.offsets[sample + 1]]:
            step += event == EventCode.STEP
            if event >= 0:
                expected[sample, step, event] = True
    assert (frames == expected).all() and same(read_spikes("a.nir"), coded_stream(chip, batch))


def test_a_grid_of_time_is_read_in_steps(tmp_path):
    grid = np.random.default_rng(2).random((4, 6, 3)) < 0.3
    node = nir.NIRNodeData({"spikes": nir.TimeGriddedData(grid, 1e-3)})
    nir.write_data(tmp_path / "g.nir", nir.NIRGraphData({"n": node}))
    stream = read_spikes(tmp_path / "g.nir")
    again = np.zeros_like(grid)
    again[np.repeat(np.arange(4), np.diff(stream.offsets)), stream.time, stream.line] = True
    assert (again == grid).all() and stream.bin == 1


def events(lines=3, index=(0, 2), times=(1.0, 2.0)):
    return nir.EventData(np.array([index]), np.array([times]), lines, 5.0)


@pytest.mark.parametrize(("nodes", "node", "complaint"), [
    ({"a": {"spikes": events()}, "b": {"spikes": events()}}, None, r"has a/spikes \(spikes\), b/spikes \(spikes\)"),
    ({"a": {"spikes": events()}}, "c", "spikes is to be c, and the file has a/spikes"),
    ({"a": {"v": nir.TimeGriddedData(np.zeros((1, 2, 3)), 1.0)}}, None, r"has a/v \(values of type float64\)"),
    ({}, None, "the file has nothing"),
    ({"a": {"spikes": events(index=(0, 3))}}, None, "idx must be 0 to 2, or -1, not 0 to 3"),
    ({"a": {"spikes": events(times=(1.0, np.inf))}}, None, "times of spikes must be finite, not inf"),
    ({"a": {"spikes": events(index=(0.0, 1.0))}}, None, "idx must be integers"),
])
def test_what_is_no_spikes_is_refused(tmp_path, nodes, node, complaint):
    nir.write_data(tmp_path / "x.nir", nir.NIRGraphData({name: nir.NIRNodeData(of) for name, of in nodes.items()}))
    with pytest.raises(DataError, match=complaint):
        read_spikes(tmp_path / "x.nir", node)


def test_a_node_of_several_is_named(tmp_path):
    nodes = {"a": events(), "c": events(index=(2, 2))}
    nir.write_data(tmp_path / "x.nir", nir.NIRGraphData({name: nir.NIRNodeData({"spikes": spikes})
                                                         for name, spikes in nodes.items()}))
    assert read_spikes(tmp_path / "x.nir", "c").line.tolist() == [2, 2]
    assert read_spikes(tmp_path / "x.nir", "a/spikes").line.tolist() == [0, 2]


@pytest.mark.parametrize(("words", "complaint"), [
    (["images.npz", "x.nir"], "images become spikes by the code of a chip"),
    (["images.npz", "x.nir", "--chip", "tiles"], "images must be of 28x28 for tiles, not 6x6"),
    (["images.npz", "x.npz", "--chip", "tiles"], "--chip has no meaning from"),
    (["stream.npz", "x.nir", "--labels", "stream.npz"], "--labels has no meaning from"),
    (["early.npz", "x.nir"], r"times must be 0 to 2^53 for NIR data, not -1 to 4"),
    (["cut.nir", "x.npz"], "not readable as NIR data"),
    (["spikes.nir", "x.nir"], "has spikes as NIR data already"),
    (["spikes.nir", "x.npz", "--labels", "three.txt"], "labels must be integers 0 to 65535 of shape (1,), not"),
])
def test_what_cannot_be_converted_is_said(tmp_path, monkeypatch, capsys, words, complaint):
    monkeypatch.chdir(tmp_path)
    np.savez("images.npz", images=data().train_images[:3])
    np.savez("stream.npz", time=np.array([1]), line=np.array([1]), offsets=np.array([0, 1]))
    np.savez("early.npz", time=np.array([-1, 4]), line=np.array([1, 1]), offsets=np.array([0, 2]))
    (tmp_path / "three.txt").write_text("1\n2\n3\n")
    write_spikes(tmp_path / "spikes.nir", load_stream("stream.npz"))
    (tmp_path / "cut.nir").write_bytes((tmp_path / "spikes.nir").read_bytes()[:3000])
    assert cli.run(["convert", *words]) == 1
    assert complaint in " ".join(capsys.readouterr().err.split()) and not list(tmp_path.glob("x.*"))
