"""The robustness study, on processes of this machine."""

import csv
import json
import os
import signal

import numpy as np
import pytest
import tomli_w

from ohmspike.chip import Chip, Phase
from ohmspike.host.commands import cli
from ohmspike.host.studies.robustness import (
    COLUMNS,
    MODES,
    Plan,
    Point,
    learn_ideal,
    points,
    read_lines,
    run_point,
    run_study,
)
from ohmspike.host.support.errors import UserError
from ohmspike.sim.analog.device import Device

CHIP = Chip(name="small", plane_height=6, plane_width=6, patch_height=6, patch_width=6, stride=1, neurons=12, winners=3,
            set_step=0.2, reset_step=0.2, theta_step=20.0, classes=3, margin=60, read_out_set_step=0.02,
            read_out_reset_step=0.02, fraction_bits=8,
            schedule=(Phase(), Phase(learn=False, teach=True, passes=1)))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Bars at three places, with noise: 10,000 images evaluate, 400 are learned."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 10_500).astype(np.uint8)
    images = (rng.random((len(labels), 6, 6)) < 0.1) * np.uint8(255)
    for place in range(3):
        images[labels == place, 2 * place:2 * place + 2] = 255
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez(path, images=images[:10_400], labels=labels[:10_400], test_images=images[10_400:],
             test_labels=labels[10_400:])
    return str(path)


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


@pytest.fixture
def plan(data):
    return Plan(CHIP, Device.preset("target65"), data, 400)


def test_a_point_has_a_line_for_every_mode(plan):
    ideal, noisy, stuck = (run_point(plan, Point(name, strength, 1), learn_ideal(plan, 1))
                            for name, strength in (("ideal", 0.0), ("c2c", 0.5), ("stuck", 1.0)))
    assert [line["mode"] for line in ideal] == list(MODES) and set(ideal[0]) == set(COLUMNS)
    accuracy = {line["mode"]: line["accuracy"] for line in ideal}
    assert accuracy["learned"] == accuracy["programmed"] > 0.9
    assert noisy[0]["accuracy"] < accuracy["learned"] and noisy[0]["set_pulses"] > 0
    assert all(line["accuracy"] < 0.7 for line in stuck)
    assert ideal[0]["learn_j"] > ideal[0]["infer_j"] > 0 and ideal[1]["images"] == 0 == ideal[1]["set_pulses"]


@pytest.mark.slow
def test_command_and_resuming(data, tmp_path, ohmspike):
    chip, out = tmp_path / "small.toml", tmp_path / "study.csv"
    chip.write_text(tomli_w.dumps(CHIP.to_dict()))

    def study(*seeds):
        code, told, _ = ohmspike("robustness", "--chip", chip, "--data", data, "--images", 400,
                                 "--nonideality", "stuck", "--strength", 0.1, "--out", out, "--workers", 1, "--json",
                                 *(word for seed in seeds for word in ("--seed", seed)))
        assert code == 0
        return json.loads(told)

    first = study(1)
    assert len(first["lines"]) == 2 * len(MODES) and first["evaluated_on"] == "validation"
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    before = out.read_bytes()
    assert study(1)["lines"] == first["lines"] and out.read_bytes() == before
    study(1, 2)
    assert out.read_bytes().startswith(before)
    with open(out, newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 4 * len(MODES)


@pytest.mark.slow
def test_a_worker_that_dies_loses_nothing(plan, tmp_path):
    from distributed import LocalCluster

    wanted, killed = points(["stuck", "c2c"], [1]), []
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        def kill_one(done, total):
            if done == 3 and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        lines = run_study(plan, wanted, tmp_path / "study.csv", scheduler=cluster.scheduler_address, progress=kill_one)
    assert killed and len(lines) == len(wanted) * len(MODES)
    assert read_lines(tmp_path / "study.csv") == lines
    alone = [line for point in wanted[-2:] for line in run_point(plan, point, learn_ideal(plan, 1))]
    assert all(line in lines for line in alone)


def test_errors(plan, tmp_path, ohmspike):
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not a study: columns must be key, chip"):
        run_study(plan, points([], [1]), other)
    other.write_text(",".join(COLUMNS) + "\n" + ",".join(["x"] * len(COLUMNS)) + "\n")
    with pytest.raises(UserError, match="line 2, strength"):
        read_lines(other)
    code, _, told = ohmspike("robustness", "--strength", 1)
    assert code == 2 and "--strength needs exactly one --nonideality" in told
    code, _, told = ohmspike("robustness", "--chip", "spiking")
    assert code == 2 and "teaches a read-out; spiking's does not" in told


def test_a_study_whose_column_is_called_effect_goes_on(plan, tmp_path):
    former, wanted = tmp_path / "former.csv", points([], [1])
    lines = run_point(plan, wanted[0], learn_ideal(plan, 1))
    with open(former, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow("effect" if name == "nonideality" else name for name in COLUMNS)
        writer.writerows([line[name] for name in COLUMNS] for line in lines)
    assert read_lines(former) == lines
    assert run_study(plan, wanted, former) == lines  # nothing is missing


def test_the_former_option_is_taken_with_a_note(ohmspike):
    code, _, err = ohmspike("robustness", "--effect", "no-such-thing")
    assert code == 2 and "note: --effect is now called --nonideality" in err and "no-such-thing" in err
