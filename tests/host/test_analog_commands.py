"""The analog commands: what they print, and what they refuse."""

import html.parser
import json
import shutil

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.host.coding.images import Encoding
from ohmspike.host.commands import cli
from ohmspike.host.data import images as data
from ohmspike.host.learning.confusion import evaluation
from ohmspike.host.plots.answers import wrong_answers
from ohmspike.host.runs.energy import energy_of, read_run
from ohmspike.host.runs.folder import RunFolder, tool_versions
from ohmspike.host.runs.learned import save
from ohmspike.host.support.errors import UserError
from ohmspike.host.support.units import engineering
from ohmspike.host.targets.model import ModelTarget
from ohmspike.sim.analog.device import Device
from ohmspike.sim.analog.energy import Activity
from ohmspike.sim.state import ChipState

IMAGES = np.random.default_rng(1).integers(0, 256, (60, 28, 28)).astype(np.uint8)


@pytest.fixture
def ohmspike(capsys):
    """Run a command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        try:
            code = cli.run([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def run_of(name, tmp_path):
    """A run of a chip, as ``mnist`` leaves it."""
    chip = Chip.preset(name)
    target, code = ModelTarget(chip), Encoding.of(chip)
    target.load(ChipState.initial(chip))
    target.present(code(chip, IMAGES[:40], learn=True), learn=True)
    learning, state = target.counters(), target.state()
    target.present(code(chip, IMAGES[40:], learn=False), learn=False)
    folder = RunFolder.create(tmp_path, name, "model")
    folder.write_json("chip.json", chip.to_dict())
    folder.write_json("metrics.json", {"passes": 1, "counters_learn": learning, "counters": target.counters()})
    folder.write_json("versions.json", tool_versions())
    save(folder.path / "learned.npz", chip, state)
    return folder.path


@pytest.fixture
def run_folder(tmp_path):
    return run_of("tiny", tmp_path)


def test_the_twin_of_a_chip_that_fires_at_a_threshold_has_clocks_too(tmp_path):
    twin = energy_of(read_run(run_of("paper100-free", tmp_path)), Device.preset("target65"))["twin"]
    assert twin["clocks"] == "of the cost model"
    assert 3_000 < twin["clocks_per_image"]["inference"] < twin["clocks_per_image"]["learning"]


def test_energy_tells_phases_normalisations_claims_and_bars(ohmspike, run_folder, tmp_path):
    code, out, err = ohmspike("energy", run_folder, "--json", "--plot", tmp_path / "e.png")
    assert code == 0, err
    found = json.loads(out)
    assert found["note"] == "model, not measurement"
    learning, inference = found["phases"]["learning"], found["phases"]["inference"]
    assert (learning["images"], inference["images"]) == (40, 20)
    assert set(inference["per_j"]) == {"image", "synaptic read", "input spike", "output spike"}
    assert learning["components_j"]["set"]["value"] > 0 and inference["components_j"]["set"]["value"] == 0
    for phase in (learning, inference):
        parts = sum(figure["value"] for figure in phase["components_j"].values())
        assert parts == pytest.approx(phase["total_j"]["value"])
        assert phase["total_j"]["p5"] < phase["total_j"]["value"] < phase["total_j"]["p95"]
        assert phase["image_s"]["reading"] > 0 and phase["image_s"]["deciding"] > 0
    assert len(learning["claims"]) == 6 and len(inference["claims"]) == 5  # nothing is learned there
    assert learning["image_s"]["writing"] > 0 == inference["image_s"]["writing"]
    assert 0 < found["design_choices"]["bill"] < 1 and found["left_out"]
    assert found["twin"]["image_j"]["learning"] > found["twin"]["image_j"]["inference"] > 0
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = ohmspike("energy", run_folder, "--device", "seed20fJ")
    assert code == 0
    for line in ("an image takes", "left out: ", "design choice", "per synaptic read",
                 "per input spike", "per output spike", "model, not measurement", "write_lines"):
        assert line in out


def test_run_that_kept_no_counters_of_learning_takes_those_of_what_it_learned(run_folder):
    split = energy_of(read_run(run_folder), Device.preset("target65"))
    metrics = json.loads((run_folder / "metrics.json").read_text())
    del metrics["counters_learn"]
    (run_folder / "metrics.json").write_text(json.dumps(metrics))
    assert energy_of(read_run(run_folder), Device.preset("target65"))["phases"] == split["phases"]
    (run_folder / "learned.npz").unlink()
    whole = energy_of(read_run(run_folder), Device.preset("target65"))["phases"]
    assert set(whole) == {"all"} and whole["all"]["images"] == 60
    assert whole["all"]["total_j"]["value"] == pytest.approx(
        sum(phase["total_j"]["value"] for phase in split["phases"].values()))


def test_counters_of_every_phase_of_the_schedule_are_priced_apart(run_folder):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    half = {name: count // 2 for name, count in metrics["counters_learn"].items()}
    schedule = [phase.to_dict() for phase in Chip.preset("tiny").schedule]
    metrics |= {"schedule": schedule, "counters_phases": [{"phase": 0, "counters": half},
                                                          {"phase": 1, "counters": metrics["counters_learn"]}]}
    (run_folder / "metrics.json").write_text(json.dumps(metrics))
    found = energy_of(read_run(run_folder), Device.preset("target65"))["phases"]
    assert list(found) == ["learning 1: tiles, 1 pass", "learning 2: read-out, 4 passes", "inference"]
    assert [phase["images"] for phase in found.values()] == [20, 20, 20]
    metrics["counters_phases"].pop()
    (run_folder / "metrics.json").write_text(json.dumps(metrics))
    assert list(read_run(run_folder).phases) == ["learning", "inference"]


def test_a_run_that_calls_a_counter_by_its_former_name_costs_as_much(run_folder):
    expected = energy_of(read_run(run_folder), Device.preset("target65"))["phases"]
    metrics = json.loads((run_folder / "metrics.json").read_text())
    for counters in (metrics["counters"], metrics["counters_learn"]):
        counters["shut_rows"] = counters.pop("closed_tile_pulses")
    (run_folder / "metrics.json").write_text(json.dumps(metrics))
    assert energy_of(read_run(run_folder), Device.preset("target65"))["phases"] == expected
    assert Activity.from_counters(Chip.preset("tiny"), {"shut_rows": 7}).lines[0][0] == 7


def test_folder_that_is_no_run_is_refused(ohmspike, tmp_path):
    code, _, err = ohmspike("energy", tmp_path)
    assert code == 1 and "metrics.json: cannot be read" in err and "hint: name a folder that learn or demo made" in err
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "chip.json").write_text(json.dumps(Chip.preset("tiny").to_dict()))
    with pytest.raises(UserError, match="not a run folder: 'counters'"):
        read_run(tmp_path)


def test_report_is_one_page_with_everything_inside(ohmspike, run_folder):
    code, _, err = ohmspike("report", run_folder)
    assert code == 0, err
    text = (run_folder / "report.html").read_text("utf-8")
    assert text.count("<figure>") == 3 and "http" not in text
    for expected in ("What it learned", "write lines", "per synaptic read", "model, not measurement", "row_reads",
                     "numba"):
        assert expected in text
    parser = html.parser.HTMLParser()
    parser.feed(text)
    (run_folder / "versions.json").unlink()
    code, _, err = ohmspike("report", run_folder)
    assert code == 1 and "versions.json" in err


def test_report_shows_what_was_answered_wrong(ohmspike, run_folder):
    labels, answers = np.array([0, 0, 1, 2, 2]), np.array([0, 2, 1, 2, 2])
    facts = evaluation(labels, answers, 4)
    metrics = json.loads((run_folder / "metrics.json").read_text()) | facts
    (run_folder / "metrics.json").write_text(json.dumps(metrics))
    wrong_answers("tiny", IMAGES, facts["wrong"], 1, run_folder / "wrong.png")
    assert ohmspike("report", run_folder)[0] == 0
    text = (run_folder / "report.html").read_text("utf-8")
    assert "What it answered" in text and "images answered wrong" in text
    assert '<tr><th>0</th><td class="number right">1</td><td class="number">·</td><td class="number">1</td>' in text
    assert "50.0%" in text and "<td class=\"number\">–</td>" in text and "1 answered wrong" in text
    metrics["confusion"] = None
    (run_folder / "metrics.json").write_text(json.dumps(metrics))
    assert ohmspike("report", run_folder)[0] == 0 and "recall" in (run_folder / "report.html").read_text("utf-8")


def test_device_show_lists_and_details(ohmspike):
    code, out, _ = ohmspike("device", "show", "--json")
    assert code == 0 and {"target65", "pcmo"} <= {entry["name"] for entry in json.loads(out)["devices"]}
    assert "epiram" in ohmspike("device", "show")[1]
    code, out, _ = ohmspike("device", "show", "target65")
    assert code == 0 and "1.88 fJ at level 63" in out and "design choice" in out
    shown = json.loads(ohmspike("device", "show", "target65", "--json")[1])
    assert len(shown["tables"]["weights"]) == 64 and shown["a_set"] == pytest.approx(1.252, rel=1e-3)
    code, _, err = ohmspike("device", "show", "gold")
    assert code == 1 and "device must be one of" in err


def test_fit_writes_device_and_picture(ohmspike, tmp_path):
    points = [f"{p},{1 + 9 * (1 - np.exp(-p / 20)) / (1 - np.exp(-1.5)):.5f},"
              f"{1 + 9 * (np.exp(-p / 20) - np.exp(-1.5)) / (1 - np.exp(-1.5)):.5f}" for p in range(31)]
    (tmp_path / "lab.csv").write_text("\n".join(["pulse,LTP (uS),LTD (uS)", *points]))
    code, out, err = ohmspike("device", "fit", tmp_path / "lab.csv", "--out", tmp_path / "lab.toml", "--plot",
                              tmp_path / "lab.png", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["values"]["g_max_s"] == pytest.approx(10e-6, rel=0.01) and found["rms_of_range"]["set"] < 1e-3
    assert (tmp_path / "lab.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = ohmspike("device", "show", tmp_path / "lab.toml")
    assert code == 0 and "measured: fit of lab.csv" in out
    code, _, err = ohmspike("device", "chip", tmp_path / "lab.toml", "--chip", "tiles", "--out", tmp_path / "chip.toml")
    assert code == 0, err
    chip = Chip.load(str(tmp_path / "chip.toml"))
    assert chip.name == "tiles-lab" and chip.weights[0] == 6 and chip.set_table is not None


def test_preview_shows_what_was_understood_and_fits_nothing(ohmspike, tmp_path):
    (tmp_path / "lab.csv").write_text("pulse,LTP (uA),LTD (uA)\n" + "".join(f"{k},{k + 1},{9 - k}\n" for k in range(8)))
    code, _, err = ohmspike("device", "fit", tmp_path / "lab.csv", "--preview")
    assert code == 1 and "give it with --read-v" in err
    code, out, err = ohmspike("device", "fit", tmp_path / "lab.csv", "--preview", "--read-v", 0.5)
    assert code == 0, err
    assert "'LTP (uA)': reading in uA (potentiation, current)" in out and "2 → 16" in out


def test_fit_that_is_no_device_is_refused_and_told(ohmspike, tmp_path):
    rows = [f"{k},{50 if k else 1},{1 if k else 50}" for k in range(10)]
    (tmp_path / "lab.csv").write_text("\n".join(["pulse,LTP (uS),LTD (uS)", *rows]))
    code, out, err = ohmspike("device", "fit", tmp_path / "lab.csv", "--out", tmp_path / "lab.toml")
    assert code == 1 and "this device is binary" in err and "hint: " in err and not (tmp_path / "lab.toml").exists()
    assert "the fit is not this kind of device" in out
    code, _, err = ohmspike("device", "fit", tmp_path / "lab.csv", "--accept", "--out", tmp_path / "lab.toml", "--plot",
                            tmp_path / "lab.svg")
    assert code == 0, err
    assert Device.load(str(tmp_path / "lab.toml")).levels == 2 and b"<svg" in (tmp_path / "lab.svg").read_bytes()


def test_coverage_of_a_case_is_a_table_and_no_fit_is_made_twice(ohmspike, tmp_path, monkeypatch):
    fits = tmp_path / "fits.csv"
    code, out, err = ohmspike("device", "coverage", "--case", 1, "--seeds", 2, "--out", fits)
    assert code == 0, err
    assert "| passing, 2.4/-4.88, c2c 0.0%, reading 1.0%, 1 cycle |" in out
    assert len(fits.read_text().splitlines()) == 3
    monkeypatch.setattr("ohmspike.host.studies.coverage.draw_and_fit", None)
    assert ohmspike("device", "coverage", "--case", 1, "--seeds", 2, "--out", fits)[1] == out
    fits.write_text("some,thing\n")
    code, _, err = ohmspike("device", "coverage", "--case", 1, "--seeds", 2, "--out", fits)
    assert code == 1 and "not a study of coverage" in err
    code, _, err = ohmspike("device", "coverage", "--case", 99)
    assert code == 2 and "must be 1 to 16, not 99" in err


def test_malformed_measurement_is_told_with_line_and_column(ohmspike, tmp_path):
    (tmp_path / "lab.csv").write_text("pulse,LTP,LTD\n0,1,2\n1,oops,2\n")
    code, _, err = ohmspike("device", "fit", tmp_path / "lab.csv")
    assert code == 1 and "lab.csv: line 3, column 2 (LTP): must be a number, not 'oops'" in err


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
def test_spice_judges_what_a_run_learned(ohmspike, run_folder, tmp_path, monkeypatch):
    made_up = data.Dataset(IMAGES, np.zeros(60, np.uint8), IMAGES, np.zeros(60, np.uint8))
    monkeypatch.setattr("ohmspike.host.data.images.load_dataset", lambda *args, **kwargs: made_up)
    code, out, err = ohmspike("spice", run_folder, "--case", "V1", "--case", "V6", "--image", 3, "--keep",
                              tmp_path / "keep")
    assert code == 0, err
    assert "read rail, 16 cells" in out and "all within what is allowed" in out and "ngspice" in err
    assert len(list((tmp_path / "keep").glob("*.cir"))) == 4
    monkeypatch.setattr(Device, "wordline_energy", lambda self, cells, volts=None: 1e-15)
    code, out, _ = ohmspike("spice", run_folder, "--case", "V6", "--json")
    assert code == 1 and json.loads(out)["violated"] == 1


def test_spice_without_ngspice_says_how_to_get_it(ohmspike, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    code, _, err = ohmspike("spice", "--chip", "tiny")
    assert code == 1 and "ngspice: not found on the path" in err and "hint: install it: apt-get install ngspice" in err


@pytest.mark.parametrize("value, text", [(1.379e-11, "13.8 pJ"), (0, "0 J"), (9.999e-10, "1 nJ"), (2e-17, "0.02 fJ"),
                                         (-3.2e-6, "-3.2 µJ"), (5, "5 J")])
def test_figures_take_the_prefix_that_suits(value, text):
    assert engineering(value, "J") == text
