"""The benchmark: what it counts and what it prints; how fast anything is, is not tested."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.host.coding.images import latency_events
from ohmspike.host.data import images as data
from ohmspike.host.studies import bench
from ohmspike.host.studies.baselines import BASELINES, measure_baseline
from ohmspike.host.targets.model import ModelTarget

IMAGES = np.random.default_rng(1).integers(0, 256, (40, 28, 28)).astype(np.uint8)


@pytest.mark.parametrize("weights", [None, tuple(2 * level for level in range(32)) + (63,) * 32])
def test_bytes_of_an_image_are_those_its_counters_tell(weights):
    chip = dataclasses.replace(Chip.preset("tiny"), weights=weights)
    with ModelTarget(chip, threads=1) as target:
        batch = latency_events(chip, IMAGES, learn=True)
        target.present(batch, learn=True)
        counters = target.counters()
    tile_reads = (IMAGES > chip.dark_level).sum()  # four tiles, of which one sees each line
    pulses = sum(counters[f"{kind}_pulses[{bin_}]"] for kind in ("set", "reset") for bin_ in range(chip.amplitudes))
    assert pulses == 40 * 784 * chip.learners  # every row meets every learner, by SET or by RESET
    expected = (tile_reads * 12 + pulses * (2 if weights is None else 3) + 40 * 4 * 12 * 4 + 40 * (784 + 784)
                + 4 * len(batch.codes)) / 40
    assert bench.bytes_per_image(chip, counters) == pytest.approx(expected)


def test_clocks_of_an_image_are_those_the_chip_counted_though_the_count_wraps():
    class Counting(ModelTarget):
        busy = (1 << 32) - 100

        def read(self, memory):
            assert memory == "status"
            return np.array([[self.busy % (1 << 32), 0, 0, 0]])

        def present(self, batch, *, learn, report=True):
            self.busy += 30 * len(batch)

    chip = Chip.preset("tiny")
    batches = [latency_events(chip, part, learn=False) for part in (IMAGES[:7], IMAGES[7:10])]
    with Counting(chip, threads=1) as target:
        assert bench.clocks_per_image(target, batches, learn=False) == 30


def test_bandwidth_is_a_positive_number_of_bytes():
    assert bench.measure_bandwidth(1 << 16, 1) > 1e6


def test_a_baseline_that_is_not_installed_is_reported_and_not_fatal():
    assert measure_baseline("no-such-simulator", 4, IMAGES) == {
        "error": "not installed (pip install 'ohmspike[baselines]')"}


def test_baselines_are_not_imported_before_they_run():
    code = "import sys, ohmspike.host.studies.bench; sys.exit(any(name in sys.modules for name in ('brian2', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BASELINES))
def test_a_baseline_learns_where_it_is_installed(name):
    result = measure_baseline(name, 5, IMAGES, 0.2)
    if "not installed" in result.get("error", ""):
        pytest.skip(f"{name} is not installed")
    assert result["images_per_s"] > 0 and result["images"] >= 1 and result["version"], result


def test_figures_are_printed_for_people_and_as_json(monkeypatch, capsys):
    monkeypatch.setattr(bench, "load_mnist", lambda progress: data.Dataset(IMAGES, None, IMAGES, None))
    monkeypatch.setattr(bench, "_MEMORY_BYTES", 1 << 16)
    arguments = ["--chip", "tiny", "--images", "40", "--rtl-images", "0", "--baseline-seconds", "0"]
    bench.main(arguments, standalone_mode=False)
    out = capsys.readouterr().out
    assert "model, threads: 1" in out and "limit, memory" in out and "not of the same arithmetic" in out
    bench.main([*arguments, "--json"], standalone_mode=False)
    figures = json.loads(capsys.readouterr().out)
    assert figures["chips"]["tiny"]["model, threads: 1"]["learning"] > 0 and figures["memory_bytes_per_s"] > 0
