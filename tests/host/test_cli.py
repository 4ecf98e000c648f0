"""The command line: what it prints, where, and with which exit code."""

import gzip
import json
import re
from pathlib import Path

import click
import numpy as np
import pytest
import tomli_w

from ohmspike import load
from ohmspike.chip import Chip
from ohmspike.chip.events import OutputSpikes
from ohmspike.host.commands import cli
from ohmspike.host.data import images as data
from ohmspike.host.targets.model import ModelTarget
from support.bars import CHIP
from support.bars import data as bars_data


@pytest.fixture
def ohmspike(capsys, monkeypatch):
    """Run a command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        try:
            code = cli.run([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def small_mnist(monkeypatch):
    """A data set of the right shape, but small and made up."""
    rng = np.random.default_rng(3)

    def made(count):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = rng.integers(0, 40, (count, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 + label:18 + label, 2 * label:2 * label + 9] = rng.integers(120, 255)
        return images, labels

    made_up = data.Dataset(*made(1500), *made(300))
    for name in ("samples.load_samples", "images.load_dataset"):
        monkeypatch.setattr(f"ohmspike.host.data.{name}", lambda *args, **kwargs: made_up)
    return made_up


def test_info_lists_every_preset(ohmspike):
    code, out, _ = ohmspike("info", "--json")
    assert code == 0
    names = [chip["chip"] for chip in json.loads(out)["chips"]]
    assert {"paper", "paper400", "tiles", "up5k", "tiny"} <= set(names)


def test_info_of_a_chip_counts_its_synapses(ohmspike):
    code, out, _ = ohmspike("info", "tiles", "--json")
    details = json.loads(out)
    assert code == 0 and details["synapses"] == 64 * 49 * 64
    assert details["memory_bits"]["levels"] == details["synapses"] * 6
    assert details["digest"] == Chip.preset("tiles").digest
    code, out, _ = ohmspike("info", "tiles")
    assert code == 0 and "200,704" in out


def test_info_tells_the_clocks_of_steps_where_a_chip_runs_free(ohmspike):
    clocks = json.loads(ohmspike("info", "tiles-free", "--json")[1])["cycles"]
    still, fired, learned = [clocks[f"STEP, 32 live tiles{what}"] for what in ("", ", each fires",
                                                                               ", each fires, learning")]
    assert still < fired < learned < fired + 32 * (clocks["column sweep"] + 3)
    assert "DECIDE" not in " ".join(clocks) and clocks["LABEL, 32 rows taught"] > 2 * 6 * 31
    assert clocks["image of 732 spikes, 32 fires"] > 12 * still + 732


def test_mnist_prints_metrics_and_fills_a_run_folder(ohmspike, small_mnist, tmp_path):
    code, out, err = ohmspike("learn", "--chip", "tiny", "--target", "model", "--seed", 5, "--out", tmp_path, "--json")
    assert code == 0, err
    metrics = json.loads(out)
    assert {"chip", "digest", "target", "seed", "accuracy", "images_per_s_learn", "images_per_s_infer",
            "counters"} <= set(metrics)
    assert metrics["seed"] == 5 and metrics["accuracy"] > 0.5 and metrics["counters_learn"]["samples"] == 7500
    assert metrics["read_out"] == "crossbar" and metrics["accuracy_vote"] > 0.5 and len(metrics["prequential"]) == 8
    run = next(entry for entry in tmp_path.iterdir() if entry.is_dir())
    assert json.loads((run / "metrics.json").read_text())["accuracy"] == metrics["accuracy"]
    assert {"chip.json", "versions.json", "metrics.json", "learned.npz"} <= {entry.name for entry in run.iterdir()}
    assert not list(tmp_path.glob("*.checkpoint.npz"))


def test_a_finished_run_leaves_the_checkpoint_of_another_alone(ohmspike, small_mnist, tmp_path, monkeypatch):
    from ohmspike.host.learning import run as learning

    call = ("mnist", "--chip", "tiny", "--target", "model", "--out", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(learning, "CHECKPOINT_SECONDS", -1.0)
        present = learning._present

        def killed(target, phase, passed, encoding, images, labels, first_sample, *rest):
            if first_sample >= 2000:
                raise KeyboardInterrupt
            return present(target, phase, passed, encoding, images, labels, first_sample, *rest)

        patch.setattr(learning, "_present", killed)
        assert ohmspike(*call)[0] == 130
    (left,) = tmp_path.glob("*.checkpoint.npz")
    assert ohmspike(*call, "--images", 500)[0] == 0 and left.exists()
    code, _, err = ohmspike(*call, "--images", 400, "--resume")
    assert code == 1 and "no checkpoint to resume from" in err and str(left) in err
    code, out, _ = ohmspike(*call, "--resume", "--json")
    assert code == 0 and json.loads(out)["resumed"] and not left.exists()


def test_what_a_command_cannot_learn_is_refused_by_all_alike(ohmspike, tmp_path):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (70, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "eight.npz", images=images[:, :8, :8], labels=rng.integers(0, 10, 70))
    np.savez(tmp_path / "none.npz", images=images)
    np.savez(tmp_path / "many.npz", images=images, labels=np.arange(70) % 47)
    messages = {"eight": "images must be 28x28", "none": "labels are missing", "many": "labels must be 0 to 9"}
    for name, message in messages.items():
        for command in (["search", "--study", tmp_path / "s.db", "--trials", 1, "--chip", "paper100"],
                        ["accuracy", "--table", "chips", "--only", "paper100", "--results", tmp_path / "r.jsonl"],
                        ["robustness", "--chip", "paper100", "--effect", "stuck", "--strength", 0.1, "--workers", 1,
                         "--out", tmp_path / "r.csv"],
                        ["compare", "--chip", "tiny", "--b", "model", "--images", 5, "--learn"]):
            code, _, err = ohmspike(*command, "--data", tmp_path / f"{name}.npz")
            assert code == 1 and f"error: {tmp_path}" not in err and message in err and "Traceback" not in err, err


def test_an_out_that_cannot_be_written_is_noticed_before_the_run(ohmspike, small_mnist, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = ohmspike("mnist", "--chip", "tiny", "--target", "model", "--out", tmp_path / "file" / "runs")
    assert code == 1 and "cannot be written to" in err and "images/s" not in err


@pytest.mark.parametrize("words", [
    ["accuracy", "--results", "BAD/a.jsonl"], ["robustness", "--out", "BAD/r.csv"],
    ["search", "--study", "BAD/s.db"], ["search", "--study", "s.db", "--out", "BAD/c.toml"],
    ["continual", "--out", "BAD/c.json"], ["convert", "FILE", "BAD/a.npz"],
    ["device", "compare", "target65", "--out", "BAD/d.csv"], ["device", "coverage", "--out", "BAD/c.csv"],
    ["build", "--board", "icebreaker", "--record", "BAD/b.json"]], ids=lambda words: " ".join(words[:2]))
def test_every_place_that_cannot_be_written_is_noticed_before_the_work(words, ohmspike, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    code, _, err = ohmspike(*(word.replace("BAD", str(tmp_path / "file" / "x")).replace(
        "FILE", str(tmp_path / "file")) for word in words))
    assert code == 1 and f"{tmp_path / 'file' / 'x'}: cannot be written to" in err


def test_mnist_keeps_fires_where_asked(ohmspike, small_mnist, tmp_path):
    code, _, err = ohmspike("mnist", "--chip", "tiny", "--target", "model", "--spikes", "--no-labels", "--out",
                            tmp_path)
    assert code == 0, err
    with np.load(next(tmp_path.glob("*/fires.npz"))) as kept:
        spikes = OutputSpikes(kept["tile"], kept["neuron"], kept["offsets"])
        assert len(spikes) == len(kept["answers"]) == 300 and len(kept["tile"]) > 300
    chip, state, vote = load(next(tmp_path.glob("*/learned.npz")))
    assert vote.answers(chip, spikes).tolist() == np.load(next(tmp_path.glob("*/fires.npz")))["answers"].tolist()


def test_mnist_repeats_itself(ohmspike, small_mnist, tmp_path):
    runs = [json.loads(ohmspike("mnist", "--chip", "tiny", "--target", "model", "--out", tmp_path, "--json")[1])
            for _ in range(2)]
    assert runs[0]["counters"] == runs[1]["counters"] and runs[0]["accuracy"] == runs[1]["accuracy"]


def test_rate_code_learns_a_free_running_chip(ohmspike, small_mnist, tmp_path):
    code, out, err = ohmspike("mnist", "--chip", "spiking", "--target", "model", "--encoding", "rate", "--steps", 20,
                              "--images", 500, "--out", tmp_path, "--json")
    assert code == 0, err
    assert json.loads(out)["counters"]["out_spikes"] > 0


def test_a_free_running_chip_has_a_code_of_its_own(ohmspike, small_mnist, tmp_path):
    code, out, err = ohmspike("learn", "--chip", "tiles-free", "--images", 200, "--test-images", 100, "--out", tmp_path,
                              "--json")
    assert code == 0, err
    metrics = json.loads(out)
    assert (metrics["encoding"], metrics["steps"], metrics["peak"]) == ("rate", 12, 0.6)
    assert metrics["read_out"] == "crossbar" and metrics["counters"]["out_spikes"] > 0
    for command in (("classify", f"{metrics['run']}/learned.npz", "--data", "mnist"), ("energy", metrics["run"])):
        code, out, err = ohmspike(*command, "--json")
        assert code == 0, err
    assert "output spike with the charge that led to it" in out


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latency", "rate"])
@pytest.mark.parametrize("seed", [1, 2])
def test_model_and_rtl_do_not_differ(ohmspike, small_mnist, encoding, seed):
    code, out, err = ohmspike("compare", "--chip", "tiny", "--a", "model", "--b", "rtl", "--images", 20, "--learn",
                              "--seed", seed, "--encoding", encoding, "--steps", 12, "--json")
    assert code == 0, err
    assert json.loads(out)["differences"] == 0


@pytest.mark.slow
def test_the_demo_compares_and_draws(ohmspike, small_mnist, tmp_path):
    code, out, err = ohmspike("demo", "--chip", "tiny", "--learn-on", 30, "--test-images", 40, "--out",
                              tmp_path, "--json")
    assert code == 0, err
    metrics = json.loads(out)
    assert metrics["differences"] == 0 and metrics["counters"]["samples"] == 70
    run = next(tmp_path.iterdir())
    assert {"conductances.png", "race.png", "learned.npz", "metrics.json"} <= {entry.name for entry in run.iterdir()}


@pytest.mark.slow
def test_the_demo_notices_a_model_that_differs(ohmspike, small_mnist, tmp_path, monkeypatch):
    """A planted bug: the model draws one number more than the chip."""
    class Off(ModelTarget):
        def present(self, batch, *, learn, report=True):
            found = super().present(batch, learn=learn, report=report)
            self.model.state.random[0] ^= learn
            return found

    monkeypatch.setattr("ohmspike.host.targets.model.ModelTarget", Off)
    code, _, err = ohmspike("demo", "--chip", "tiny", "--learn-on", 30, "--test-images", 40, "--out", tmp_path)
    assert code == 1 and "differ" in err


@pytest.mark.slow
def test_a_free_running_chip_does_not_differ(ohmspike, small_mnist):
    code, out, err = ohmspike("compare", "--chip", "spiking", "--images", 6, "--learn", "--encoding", "rate",
                              "--steps", 16, "--json")
    assert code == 0, err
    assert json.loads(out)["differences"] == 0


@pytest.mark.slow
def test_an_altered_weight_is_found(ohmspike, small_mnist):
    code, out, _ = ohmspike("compare", "--chip", "tiny", "--images", 20, "--learn", "--alter-weight", "30=29", "--json")
    result = json.loads(out)
    assert code == 1 and result["differences"] == 1
    assert result["first_difference"]["image"] == 0


def test_compare_of_the_model_with_itself_finds_an_altered_weight(ohmspike, small_mnist):
    equal = ohmspike("compare", "--chip", "tiny", "--b", "model", "--images", 30, "--learn", "--json")
    assert equal[0] == 0 and json.loads(equal[1])["first_difference"] is None
    altered = ohmspike("compare", "--chip", "tiny", "--b", "model", "--images", 30, "--learn", "--alter-weight",
                       "30=29")
    assert altered[0] == 1 and "differ at image" in altered[1]


def test_nonidealities_of_the_cells_are_in_a_run(ohmspike, small_mnist, tmp_path):
    code, out, err = ohmspike("mnist", "--chip", "tiny", "--target", "model", "--images", 300, "--out", tmp_path,
                              "--nonidealities", "c2c=0.05,stuck=0.1,threshold=1,seed=4", "--json")
    assert code == 0, err
    metrics = json.loads(out)
    strengths = metrics["nonidealities"]
    assert strengths["stuck"] == 0.1 and strengths["seed"] == 4 and metrics["accuracy"] > 0.3
    run = next(entry for entry in tmp_path.iterdir() if entry.is_dir())
    chip, state, _ = load(run / "learned.npz")
    assert chip.write_noise == 0.05 and 0.07 < state.stuck.mean() < 0.13 and state.write_noise == chip.noise_register
    assert set(state.levels[state.stuck == 1].tolist()) == {0, 63}


def test_compare_takes_nonidealities(ohmspike, small_mnist):
    code, out, err = ohmspike("compare", "--chip", "tiny", "--b", "model", "--images", 12, "--learn", "--nonidealities",
                              "c2c=0.1,stuck=0.05,threshold=2", "--json")
    assert code == 0, err
    assert json.loads(out)["differences"] == 0 and json.loads(out)["nonidealities"]["threshold"] == 2.0


PRIVATE_WORDS = re.compile(
    r"\b(flaws?|flawed|imperfect\w*|effects?|in gates|told|tells?|judge\w*|found|alike|beside|puts? out|spoken?|"
    r"speaks?|silent|shut|apart|peers?|notices?|noticed|turned over|given again|the other|whose accuracy)\b")
"""Words of a private dialect, for which the field has its own (docs/glossary.md)."""


def commands_below(command, path=()):
    """Every command of the command line and the words that call it."""
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from commands_below(command.get_command(click.Context(command), name), (*path, name))


def test_the_help_of_every_command_has_the_words_of_the_field(ohmspike):
    paths = list(commands_below(cli.cli))
    assert len(paths) > 20 and ("device", "fit") in paths and ("faults",) in paths
    texts = {path: ohmspike(*path, "--help")[1] for path in paths}
    assert all(text.startswith("Usage") for text in texts.values())
    private = {path: PRIVATE_WORDS.findall(" ".join(text.split())) for path, text in texts.items()}
    assert not any(private.values()), private
    assert PRIVATE_WORDS.search("who notices: bits turned over")


def test_learn_is_also_called_mnist(ohmspike):
    context = click.Context(cli.cli)
    assert cli.cli.get_command(context, "mnist") is cli.cli.get_command(context, "learn")
    assert "mnist" not in ohmspike("--help")[1] and "alias: mnist" in ohmspike("learn", "--help")[1]


@pytest.mark.parametrize("former", [["--flaws", "c2c=x"], ["--flaws=c2c=x"]])
def test_the_former_name_of_an_option_is_taken_with_a_note(ohmspike, former):
    code, out, err = ohmspike("compare", *former)
    assert code == 2 and "note: --flaws is now called --nonidealities" in err and "c2c must be a number" in err
    code, out, err = ohmspike("faults", *former)
    assert code == 2 and "note" not in err and "--flaws" in err
    assert "--flaws" not in ohmspike("compare", "--help")[1]


@pytest.mark.slow
def test_nonideal_model_and_rtl_do_not_differ(ohmspike, small_mnist):
    code, out, err = ohmspike("compare", "--chip", "tiny", "--images", 20, "--learn", "--nonidealities",
                              "c2c=0.1,stuck=0.05,threshold=2", "--json")
    assert code == 0, err
    assert json.loads(out)["differences"] == 0


def test_nonidealities_that_the_model_alone_has_are_in_a_run(ohmspike, small_mnist, tmp_path):
    strengths = "c2c=0.05,noise_law=sqrt_step,set_step=0.1,write_error=0.02,supply=0.05,warming=20,read_noise=0.01"
    code, out, err = ohmspike("mnist", "--chip", "tiny", "--images", 300, "--out", tmp_path, "--nonidealities",
                              strengths, "--json")
    assert code == 0, err
    metrics = json.loads(out)
    assert metrics["nonidealities"]["supply"] == 0.05 and metrics["nonidealities"]["noise_law"] == "sqrt_step"
    assert metrics["accuracy"] > 0.3 and metrics["pulses_per_cell"]["max"] > 0
    without = json.loads(ohmspike("mnist", "--chip", "tiny", "--images", 300, "--out", tmp_path, "--json")[1])
    assert without["counters_learn"] != metrics["counters_learn"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["mnist", "--chip", "tiny", "--target", "rtl", "--nonidealities", "supply=0.1,warming=9"],
     r"target must be model for supply, warming, not rtl\s+hint: every target has c2c, stuck, threshold"),
    (["mnist", "--chip", "tiny", "--encoding", "rate", "--nonidealities", "c2c=0.1,noise_law=step"],
     "noise_law step must be of latency-coded images and a chip that races"),
    (["compare", "--chip", "tiny", "--nonidealities", "d2d_step=1"],
     "d2d_step must be 0 in hardware, which has c2c, stuck, threshold alone, not 1"),
    (["mnist", "--chip", "tiny", "--nonidealities", "c2c=0.1,noise_law=stpe"],
     "noise_law must be one of pulse, sqrt_step, step, not 'stpe'"),
])
def test_nonidealities_that_the_model_alone_has_are_refused_elsewhere(ohmspike, small_mnist, arguments, message):
    code, out, err = ohmspike(*arguments)
    assert code in (1, 2) and re.search(message, err), err


@pytest.mark.parametrize(("strengths", "message"), [
    ("d2d_stepp=1", "--nonidealities must be of c2c, write_error, .*, noise_law, .* and seed, not 'd2d_stepp=1'"),
    ("c2c=x", "c2c must be a number, not 'x'"), ("stuck=2", "stuck must be 0 to 1, not 2.0"),
    ("", "--nonidealities must be of c2c, .* and seed, not ''"),
])
def test_bad_nonidealities_are_usage_errors(ohmspike, strengths, message):
    code, out, err = ohmspike("compare", "--chip", "tiny", "--nonidealities", strengths)
    assert code == 2 and re.search(message, err), err


@pytest.mark.parametrize(("arguments", "message"), [
    (["mnist", "--chip", "nosuch"], "chip must be one of .*paper.*, not 'nosuch'"),
    (["mnist", "--chip", "missing.toml"], "missing.toml: cannot be read"),
    (["compare", "--chip", "tiny", "--b", "model", "--alter-weight", "x"], "--alter-weight must be LEVEL=WEIGHT"),
    (["mnist", "--chip", "tiny", "--target", "model", "--resume", "--out", "nowhere"], "no checkpoint to resume from"),
])
def test_errors_are_one_line_without_a_traceback(ohmspike, small_mnist, arguments, message):
    code, out, err = ohmspike(*arguments)
    assert code == 1 and out == "" and "Traceback" not in err
    assert err.startswith("error: ")
    assert re.search(message, err)


def test_a_bad_description_names_field_and_range(ohmspike, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nplane = { height = 28, width = 28 }\n'
                    'grid = { patch_height = 7, patch_width = 7, stride = 3 }\ntile = { neurons = 0 }\n')
    code, _, err = ohmspike("info", path)
    assert code == 1 and "neurons must be 1 to 4096, not 0" in err


def test_a_wrong_idx_file_is_named(ohmspike, tmp_path):
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                 "t10k-labels-idx1-ubyte"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"not an image"))
    code, _, err = ohmspike("mnist", "--target", "model", "--data", tmp_path)
    assert code == 1 and "train-images-idx3-ubyte" in err and "ba891046e6505d7a" in err and "Traceback" not in err


def test_learn_and_mnist_are_one_command(ohmspike):
    helps = [ohmspike(name, "--help")[1].replace(f"ohmspike {name}", "") for name in ("learn", "mnist")]
    assert helps[0] == helps[1] and "--chip" in helps[0]


def test_usage_errors_exit_with_2(ohmspike):
    assert ohmspike("mnist", "--target", "abacus")[0] == 2
    assert ohmspike("nosuch")[0] == 2


def test_interruption_exits_with_130_and_says_how_to_go_on(ohmspike, small_mnist, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ohmspike.host.learning.run.learn", interrupted)
    code, out, err = ohmspike("mnist", "--chip", "tiny", "--target", "model", "--out", tmp_path)
    assert code == 130 and out == "" and "--resume" in err and "Traceback" not in err


def test_a_missing_compiler_is_an_error_with_a_hint(ohmspike, small_mnist, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    code, _, err = ohmspike("compare", "--chip", "tiny", "--images", 1)
    assert code == 1 and "compiler" in err and "hint: " in err


def test_a_full_disk_is_an_error_and_leaves_nothing(ohmspike, small_mnist, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ohmspike.host.runs.learned.np.savez_compressed", full)
    code, _, err = ohmspike("mnist", "--chip", "tiny", "--target", "model", "--images", 200, "--out", tmp_path)
    assert code == 1 and "No space left on device" in err
    assert not list(tmp_path.rglob("learned.npz"))


def test_data_of_ones_own_is_learned(ohmspike, tmp_path):
    """Images of another plane with two classes, with labels and without; and spikes."""
    taught = tmp_path / "own.toml"
    taught.write_bytes(tomli_w.dumps(CHIP.to_dict()).encode())
    bars = bars_data(images=700)
    np.savez(tmp_path / "own.npz", images=bars.train_images, labels=bars.train_labels)
    where = ("--target", "model", "--out", tmp_path / "runs", "--json")
    code, out, err = ohmspike("mnist", "--chip", taught, "--data", tmp_path / "own.npz", *where)
    found = json.loads(out)
    assert code == 0 and found["data"] == "own.npz" and found["read_out"] == "crossbar" and found["accuracy"] > 0.9
    assert "held out" in err
    assert (Path(found["run"]) / "prequential.png").exists()
    np.savez(tmp_path / "bare.npz", images=bars.train_images)
    code, out, _ = ohmspike("mnist", "--chip", taught, "--data", tmp_path / "bare.npz", *where)
    assert code == 0 and json.loads(out)["accuracy"] is None
    code, _, err = ohmspike("mnist", "--chip", "tiny", "--data", tmp_path / "own.npz", *where)
    assert code == 1 and "own.npz: images must be 28x28 for the chip tiny, not 6x6" in err
    np.savez(tmp_path / "many.npz", images=bars.train_images, labels=bars.train_labels + 2)
    code, _, err = ohmspike("mnist", "--chip", taught, "--data", tmp_path / "many.npz", *where)
    assert code == 1 and "labels must be 0 to 1 for the read-out of small, not up to 3" in err
    sample, line = np.nonzero(bars.train_images.reshape(len(bars.train_images), -1))
    np.savez(tmp_path / "spikes.npz", time=line % 3, line=line, labels=bars.train_labels,
             offsets=np.searchsorted(sample, np.arange(len(bars.train_images) + 1)))
    code, out, _ = ohmspike("mnist", "--chip", taught, "--data", tmp_path / "spikes.npz", *where)
    found = json.loads(out)
    assert code == 0 and found["encoding"] == "stream" and found["accuracy"] > 0.9
