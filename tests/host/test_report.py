"""Reports of runs: every figure is there, with its data beside it, and a real browser opens them from disk."""

import csv
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tomli_w

from ohmspike.chip.events import EventCode
from ohmspike.host.coding.images import Encoding
from ohmspike.host.commands import cli
from ohmspike.host.runs.examples import Examples, chosen, rasters, read_examples
from ohmspike.host.runs.exhibits import Exhibit, Table
from ohmspike.host.runs.learned import load
from ohmspike.host.support.errors import UserError
from ohmspike.sim.model.exact import ExactModel
from ohmspike.sim.state import ChipState
from support.bars import CHIP
from support.bars import data as bars_data
from support.browser import chromium, page

FIGURES = {"conductances", "raster", "race", "confusion", "learning", "histograms", "endurance", "energy"}
DATA = {"neurons", "raster", "confusion", "recall", "wrong", "learning", "levels", "thresholds", "endurance", "energy",
        "twins", "metrics", "counters", "provenance"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of a small chip on bars, of two seeds, as ``learn`` leaves them."""
    folder = tmp_path_factory.mktemp("runs")
    bars = bars_data(images=650)
    swapped = np.arange(50) < 20  # test samples that cannot be answered right
    np.savez(folder / "bars.npz", images=bars.train_images, labels=bars.train_labels, test_images=bars.test_images,
             test_labels=bars.test_labels ^ swapped)
    (folder / "chip.toml").write_text(tomli_w.dumps(CHIP.to_dict()))
    for seed in (1, 2):
        assert cli.run(["learn", "--chip", str(folder / "chip.toml"), "--data", str(folder / "bars.npz"), "--seed",
                        str(seed), "--pulses", "--out", str(folder / f"seed{seed}")]) == 0
    return [next(path for path in (folder / f"seed{seed}").iterdir() if path.is_dir()) for seed in (1, 2)]


@pytest.fixture(scope="module")
def reported(runs):
    assert cli.run(["report", str(runs[0])]) == 0
    return runs[0]


def test_report_has_every_figure_and_its_data_beside_it(reported):
    text = (reported / "report.html").read_text("utf-8")
    files = {path.name for path in (reported / "report").iterdir()}
    assert {f"{name}.svg" for name in FIGURES} | {f"{name}.csv" for name in DATA} == files
    for name in FIGURES:
        assert f'aria-label="{name}"' in text
        ET.parse(reported / "report" / f"{name}.svg")
    for expected in ("synaptic read", "Digital beside analog", "The command that repeats it", "ohmspike learn --chip",
                     CHIP.digest[:16]):
        assert expected in text


def test_data_beside_the_report_are_those_of_the_run(reported):
    def rows(name):
        return list(csv.DictReader((reported / "report" / f"{name}.csv").open()))

    chip, state, _ = load(reported / "learned.npz")
    metrics = json.loads((reported / "metrics.json").read_text())
    assert [int(row["tiles, learned"]) for row in rows("levels")] == np.bincount(
        state.levels.ravel(), minlength=chip.levels).tolist()
    assert sum(int(row["cells"]) for row in rows("endurance")) == chip.synapses
    matrix = [[int(row[str(answer)]) for answer in range(chip.classes)] for row in rows("confusion")]
    assert matrix == metrics["confusion"]
    assert len(rows("wrong")) >= 10 and len(rows("neurons")) == chip.tiles * chip.neurons
    fires = [row for row in rows("raster") if row["kind"] == "neuron"]
    assert fires and len(fires) % chip.winners == 0


def test_the_command_in_the_report_repeats_the_run(runs, capsys):
    command = json.loads((runs[0] / "metrics.json").read_text())["command"]
    assert command.split()[0] == "ohmspike" and cli.run(command.split()[1:]) == 0
    again = capsys.readouterr().out.split()[-1]
    first, second = (load(f"{path}/learned.npz")[1] for path in (runs[0], again))
    assert first.equal(second)


def test_samples_can_be_chosen(runs, tmp_path):
    assert cli.run(["report", str(runs[1]), "--sample", "7", "--sample", "3", "--out", str(tmp_path / "x.html")]) == 0
    with (tmp_path / "x" / "raster.csv").open() as file:
        assert {row["sample"] for row in csv.DictReader(file)} == {"7", "3"}


@pytest.mark.parametrize("arguments, complaint", [
    (["{0}", "--sample", "50"], "sample must be 0 to 49, not 50"),
    (["{0}", "{1}", "--sample", "1"], "--sample needs one run, not several"),
    (["{0}", "--out", "{0}/page"], "--out must be a file such as"),
])
def test_what_a_report_cannot_show_is_refused(runs, capsys, arguments, complaint):
    assert cli.run(["report", *(word.format(*runs) for word in arguments)]) == 1
    assert complaint in capsys.readouterr().err


def test_runs_are_compared(runs):
    assert cli.run(["report", *map(str, runs)]) == 0
    text = (runs[0] / "comparison.html").read_text("utf-8")
    assert "Where the chips differ" in text and "<td>seed</td><td>1</td><td class=differs>2</td>" in text
    assert {path.name for path in (runs[0] / "comparison").iterdir()} >= {"learning.svg", "energy.csv", "levels.svg"}


def test_report_opens_from_disk_without_requests_or_complaints(reported, runs):
    cli.run(["report", *map(str, runs)])
    with chromium() as browser:
        for options in ({}, {"viewport": {"width": 390, "height": 800}}, {"color_scheme": "dark"}):
            for path in (reported / "report.html", runs[0] / "comparison.html"):
                with page(browser, **options) as (shown, asked, complaints):
                    shown.goto(path.as_uri())
                    assert asked == [path.as_uri()] and complaints == []
                    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
                    boxes = [box.bounding_box() for box in shown.query_selector_all("figure svg, figure img")]
                    assert len(boxes) >= 3 and all(box and box["width"] > 200 and box["height"] > 60 for box in boxes)
                    shown.emulate_media(media="print")
                    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_rasters_are_what_the_model_fires():
    bars = bars_data()
    images, labels = bars.test_images[:6], bars.test_labels[:6]
    batch = Encoding()(CHIP, images, learn=False)
    examples = Examples(np.arange(6), batch, labels, labels, images)
    state = ChipState.initial(CHIP)
    whole = ExactModel(CHIP, state).infer(batch)
    for index, raster in enumerate(rasters(CHIP, state, examples, list(range(6)))):
        first, last = whole.offsets[index:index + 2]
        assert raster["out_cell"].tolist() == (whole.tile * CHIP.neurons + whole.neuron)[first:last].tolist()
        codes = batch.codes[batch.offsets[index]:batch.offsets[index + 1]]
        assert raster["in_line"].tolist() == codes[codes >= 0].tolist()
        assert set(raster["out_step"]) == {np.count_nonzero(codes == EventCode.STEP) + 1}


def test_examples_are_the_first_of_every_class_and_wrong_ones():
    labels, answers = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 0, 2, 0])
    assert chosen(labels, answers, 6).tolist() == [0, 2, 3, 4, 5]
    assert chosen(None, None, 9).tolist() == [0, 1, 2, 3]


def test_damaged_examples_are_refused(tmp_path):
    assert read_examples(tmp_path / "none.npz", CHIP) is None
    np.savez(tmp_path / "e.npz", samples=[0], codes=[CHIP.lines], offsets=[0, 1])
    with pytest.raises(UserError, match=f"lines up to {CHIP.lines - 1}"):
        read_examples(tmp_path / "e.npz", CHIP)
    np.savez(tmp_path / "e.npz", samples=[0])
    with pytest.raises(UserError, match="'codes' is missing"):
        read_examples(tmp_path / "e.npz", CHIP)


def test_words_of_a_run_are_no_markup(tmp_path):
    shown = Exhibit("x", "<script>", note="a & b", tables={"t": Table(("a,b", "c"), [(1, 'say "x"')])})
    assert "<script>" not in shown.section() and "&amp;" in shown.section()
    shown.write(tmp_path)
    assert (tmp_path / "t.csv").read_text() == '"a,b",c\n1,"say ""x"""\n'
