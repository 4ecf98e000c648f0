"""The exact model against the oracle: output spikes, state and counters, to the bit."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip, Phase
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.sim.model import kernels
from ohmspike.sim.model.exact import ExactModel, Work
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState, spikes_difference
from support.planted_kernels import plant
from support.stimulus import chips, cut, random_samples, random_state, varied

STEP, DECIDE, DARK, END = EventCode.STEP, EventCode.DECIDE, EventCode.DARK, EventCode.END


def difference(model: ExactModel, oracle: Oracle, batch: EventBatch) -> str:
    """Run both; the first difference in output spikes, state or counters, or nothing."""
    return spikes_difference(model.run(batch), oracle.run(batch)) or model.state.differences(oracle.state)


def session_difference(chip: Chip, seed: int, runs: int = 4) -> str:
    """Several runs with everything that a host may do between them; the first difference with its run."""
    rng = np.random.default_rng(seed)
    state = random_state(chip, rng)
    model, oracle = ExactModel(chip, state), Oracle(chip, state)
    for run in range(runs):
        batch = random_samples(chip, rng, int(rng.integers(1, 6)))
        parts = cut(batch, int(rng.integers(0, len(batch.codes) + 1))) if rng.random() < 0.5 else (batch,)
        for part in parts:
            found = difference(model, oracle, part)
            if found:
                return f"seed {seed}, run {run}: {found}"
        if rng.random() < 0.3:
            model.state.learn = oracle.state.learn = not oracle.state.learn
        if rng.random() < 0.3:
            tables = rng.integers(0, 1 << 14, (2, chip.amplitudes, chip.levels))
            model.set_tables(*tables)
            oracle.state.set, oracle.state.reset = tables.astype(np.uint16)
        if rng.random() < 0.3 and chip.classes:
            tables = rng.integers(0, 1 << 14, (2, chip.amplitudes, chip.levels))
            model.set_read_out_tables(*tables)
            oracle.state.read_out_set, oracle.state.read_out_reset = tables.astype(np.uint16)
            model.state.margin = oracle.state.margin = int(rng.integers(0, 256))
        if rng.random() < 0.2:
            weights = rng.integers(0, 1 << chip.weight_bits, chip.levels)
            model.set_weights(weights)
            oracle.state.weight = weights.astype(np.uint16)
        if rng.random() < 0.2:
            theta_step = int(rng.integers(0, 100))
            model.set_theta_step(theta_step)
            oracle.state.theta_step = theta_step
        if rng.random() < 0.2:
            noise = int(rng.integers(0, 1 << int(rng.integers(0, chip.noise_bits + 1))))
            model.state.write_noise = oracle.state.write_noise = noise
        if rng.random() < 0.2 and chip.accumulate_bits:
            threshold = int(rng.integers(0, 1 << chip.accumulate_bits - 1))
            model.state.accumulate_threshold = oracle.state.accumulate_threshold = threshold
    return ""


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chip=chips(), seed=st.integers(0, 2**32 - 1))
def test_model_equals_oracle(chip, seed):
    assert not session_difference(chip, seed)


@pytest.mark.parametrize("name, images", [("tiny", 12), ("up5k", 2), ("spiking", 2), ("paper100-free", 2)])
def test_model_equals_oracle_on_presets(name, images):
    chip = Chip.preset(name)
    rng = np.random.default_rng(5)
    model, oracle = ExactModel(chip), Oracle(chip)
    model.state.learn = oracle.state.learn = True
    assert not difference(model, oracle, random_samples(chip, rng, images))


def test_whole_samples_at_a_threshold_take_the_faster_way(monkeypatch):
    """So that what is compared with the oracle above is this way and no other."""
    chip = Chip.preset("tiles-free")
    codes = [*range(0, 784, 2), STEP, *range(1, 784, 2), STEP, EventCode.ANSWER, EventCode.LABEL - 3, END]
    batch = EventBatch(np.array(3 * codes, np.int32), len(codes) * np.arange(4))
    monkeypatch.setattr(Work, "_run_any", None)
    model = ExactModel(chip)
    for learn in (True, False):
        model.state.learn = learn
        assert len(model.run(batch).answers.label) == 3


def test_every_event_alone_equals_oracle():
    """State and counters after each single event, so that RTL benches may stop anywhere."""
    chip = varied(Chip.preset("tiny"), min_spikes=1)
    rng = np.random.default_rng(3)
    model, oracle = ExactModel(chip), Oracle(chip)
    model.state.learn = oracle.state.learn = True
    for code in random_samples(chip, rng, 2).codes[-120:]:
        assert not difference(model, oracle, EventBatch(np.array([code], np.int32), np.array([0, 1])))


def test_whole_samples_equal_single_events():
    """The way for whole latency samples and the way for single events give the same bits at full size."""
    chip = Chip.preset("tiles")
    batch = random_samples(varied(chip, latency_bins=1), np.random.default_rng(7), 60)
    whole, single = ExactModel(chip), ExactModel(chip)
    whole.state.learn = single.state.learn = True
    codes = batch.codes
    spikes = whole.run(batch)
    ours = []
    for sample in range(len(batch)):
        for part in np.array_split(codes[batch.offsets[sample]:batch.offsets[sample + 1]], 2):
            out = single.run(EventBatch(part, np.array([0, len(part)])))
            ours += list(zip(out.tile.tolist(), out.neuron.tolist(), strict=True))
    assert ours == list(zip(spikes.tile.tolist(), spikes.neuron.tolist(), strict=True))
    assert not single.state.differences(whole.state)


@settings(max_examples=40, deadline=None)
@given(chip=chips(), seed=st.integers(0, 2**32 - 1))
def test_inference_ignores_the_number_of_threads(chip, seed):
    rng = np.random.default_rng(seed)
    state = random_state(chip, rng)
    batch = random_samples(chip, rng, 9, labels=False)
    codes = [np.r_[batch.codes[a:b], END] for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]
    batch = EventBatch(np.concatenate(codes).astype(np.int32), np.cumsum([0] + [len(code) for code in codes]))
    one, several, sequential = ExactModel(chip, state), ExactModel(chip, state), Oracle(chip, state)
    sequential.state.learn = False
    expected = sequential.run(batch)
    sequential.state.learn = state.learn
    for model, threads in ((one, 1), (several, 2), (ExactModel(chip, state), 20)):
        assert not spikes_difference(model.infer(batch, threads), expected)
        assert not model.state.differences(sequential.state)


@settings(max_examples=25, deadline=None)
@given(chip=chips(), seed=st.integers(0, 2**32 - 1), threads=st.integers(2, 5))
def test_learning_ignores_the_number_of_threads(chip, seed, threads):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (20, chip.plane_height, chip.plane_width)).astype(np.uint8)
    taught = [[EventCode.ANSWER, EventCode.LABEL - i % chip.classes] if chip.classes else [] for i in range(20)]
    codes = [np.r_[np.flatnonzero(image.ravel() > 128), DECIDE, *label, DARK, END]
             for image, label in zip(images, taught, strict=True)]
    batch = EventBatch(np.concatenate(codes).astype(np.int32), np.cumsum([0] + [len(code) for code in codes]))
    state = random_state(chip, rng)
    state.learn = True
    one, several, sequential = ExactModel(chip, state), ExactModel(chip, state), Oracle(chip, state)
    expected = sequential.run(batch)
    for model, count in ((one, 1), (several, threads)):
        assert not spikes_difference(model.run(batch, threads=count), expected)
        assert not model.state.differences(sequential.state)


@settings(max_examples=25, deadline=None)
@given(chip=chips(), seed=st.integers(0, 2**32 - 1))
def test_fires_told_elsewhere_teach_as_labels_do(chip, seed):
    if not chip.classes:
        return
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (20, chip.plane_height, chip.plane_width)).astype(np.uint8)
    labels = rng.integers(0, chip.classes, 20)
    state = random_state(chip, rng)
    state.learn = False

    def batch(told):
        codes = [np.r_[np.flatnonzero(image.ravel() > 128), DECIDE, [EventCode.ANSWER, EventCode.LABEL - label][:told],
                       END] for image, label in zip(images, labels, strict=True)]
        return EventBatch(np.concatenate(codes).astype(np.int32), np.cumsum([0] + [len(code) for code in codes]))

    taught, tiles, read_out = (ExactModel(chip, state) for _ in range(3))
    expected = taught.run(batch(2))
    answers = read_out.teach(tiles.run(batch(0)), labels)
    for name in ("label", "score", "margin", "offsets"):
        assert (getattr(answers, name) == getattr(expected.answers, name)).all()
    assert (read_out.state.read_out == taught.state.read_out).all()
    assert (read_out.state.random == taught.state.random).all()


def test_teaching_fires_that_cannot_be_is_refused():
    taught = ExactModel(dataclasses.replace(Chip.preset("tiny"), classes=2))
    spikes = taught.run(EventBatch(np.array([*range(200), DECIDE, END], np.int32), np.array([0, 202])))
    with pytest.raises(ValueError, match="^labels must be 0 to classes - 1 = 1, not 2 to 2$"):
        taught.teach(spikes, np.array([2]))
    spikes.tile[0] += 1
    with pytest.raises(ValueError, match="^every tile that fires must fire 3 times in a sample$"):
        taught.teach(spikes, np.array([1]))
    spikes.tile[0] -= 1
    spikes.neuron[0] = taught.chip.neurons
    with pytest.raises(ValueError, match="^neurons that fire must be 0 to 11$"):
        taught.teach(spikes, np.array([1]))
    with pytest.raises(ValueError, match="^teaching needs a chip with a read-out$"):
        ExactModel(dataclasses.replace(taught.chip, classes=0, schedule=(Phase(),))).teach(spikes, np.array([1]))


def test_inference_needs_whole_samples():
    model = ExactModel(Chip.preset("tiny"))
    with pytest.raises(ValueError, match=r"^sample 1 does not finish with END$"):
        model.infer(EventBatch(np.array([3, END, 4], np.int32), np.array([0, 2, 3])))
    model.run(EventBatch(np.array([3], np.int32), np.array([0, 1])))
    with pytest.raises(ValueError, match="between two samples"):
        model.infer(EventBatch(np.array([END], np.int32), np.array([0, 1])))
    with pytest.raises(ValueError, match="^infer takes no LABEL"):
        ExactModel(Chip.preset("tiny")).infer(EventBatch(np.array([EventCode.LABEL, END], np.int32), np.array([0, 2])))
    with pytest.raises(ValueError, match="^threads must be at least 1, not 0$"):
        ExactModel(Chip.preset("tiny")).infer(EventBatch(np.array([END], np.int32), np.array([0, 1])), 0)


def test_fires_may_be_left_out():
    chip = Chip.preset("tiny")
    batch = random_samples(chip, np.random.default_rng(1), 20)
    one, other = ExactModel(chip), ExactModel(chip)
    one.state.learn = other.state.learn = True
    quiet, told = one.run(batch, report=False), other.run(batch)
    assert len(quiet) == 20 and not len(quiet.tile) and len(told.tile)
    assert quiet.answers.score.tolist() == told.answers.score.tolist() and len(told.answers.score)
    assert one.state.equal(other.state)


@pytest.mark.parametrize("codes, offsets, message", [
    ([-261], [0, 1], r"^codes must be lines or STEP, DECIDE, DARK, END, ANSWER, LABEL, not -261$"),
    ([1, 2], [0, 1], r"^offsets must rise from 0 to the number of codes$"),
    ([1, 2], [0, 2, 1, 2], r"^offsets must rise"),
])
def test_bad_batches_are_refused(codes, offsets, message):
    with pytest.raises(ValueError, match=message):
        ExactModel(Chip.preset("tiny")).run(EventBatch(np.array(codes), np.array(offsets)))


def test_bad_tables_are_refused():
    model = ExactModel(Chip.preset("tiny"))
    with pytest.raises(ValueError, match=r"^set must have shape \(16, 64\), not \(2, 2\)$"):
        model.set_tables(np.zeros((2, 2), int), np.zeros((16, 64), int))
    with pytest.raises(ValueError, match=r"^reset must hold integers 0 to 65535$"):
        model.set_tables(np.zeros((16, 64), int), np.full((16, 64), 65536))
    with pytest.raises(ValueError, match=r"^weights must hold integers 0 to 63$"):
        model.set_weights(np.full(64, 64))
    with pytest.raises(ValueError, match=r"^theta_step must be 0 to 65535, not -1$"):
        model.set_theta_step(-1)
    with pytest.raises(ValueError, match="weight_store fixed"):
        ExactModel(Chip.preset("up5k")).set_weights(np.arange(64))


@pytest.mark.parametrize("name, value, message", [
    ("levels", np.full((4, 196, 12), 64, np.uint8), r"^levels must be 0 to 63, not 64$"),
    ("theta", np.zeros((4, 12), np.int32), r"^theta must be a contiguous array of uint32, not int32$"),
    ("random", np.zeros(4, np.uint32), r"^random must have shape \(5,\), not \(4,\)$"),
    ("read_out", np.full((48, 10), 64, np.uint8), "^read_out must be 0 to 63, not 64$"),
    ("margin", 1 << 16, "^margin must be 0 to 65535, not 65536$"),
    ("theta_base", -1, r"^theta_base must be 0 to 65535, not -1$"),
])
def test_bad_states_are_refused(name, value, message):
    chip = Chip.preset("tiny")
    state = ChipState.initial(chip)
    setattr(state, name, value)
    with pytest.raises(ValueError, match=message):
        ExactModel(chip, state)


def test_states_tell_their_first_difference():
    chip = Chip.preset("tiny")
    one, other = ChipState.initial(chip), ChipState.initial(chip)
    assert one.equal(other)
    other.counters[18 + 16 + 3] = 5
    assert one.differences(other) == "counter set_weight[3] is 0, expected 5"
    other.levels[1, 2, 3] = 0
    assert one.differences(other) == f"levels[1, 2, 3] is {one.levels[1, 2, 3]}, expected 0"
    assert not one.equal(other) and one.equal(one.copy())


# Planted bugs: a wrong operator in a kernel must be seen by the comparison above. (text of kernels, wrong text)
PLANTED = {
    "none": ("", ""),
    "random shift": ("x >> np.uint32(17)", "x >> np.uint32(16)"),
    "pulse without random": ("moves = entry + np.int64(x >> shift)", "moves = entry"),
    "pulse of one bin rounds otherwise": ("moves = np.int64(table[", "moves = 99 + np.int64(table["),
    "level wraps": ("held = max(0, min(moved, top))", "held = moved & top"),
    "clip counted at the rail": ("return held, moved != held", "return held, moved <= 0 or moved >= top"),
    "reset in place of set": ("fraction_bits, top_level, 1, column", "fraction_bits, top_level, -1, column"),
    "tie to the highest neuron": ("kind(mask - kind(j))\n", "kind(j)\n"),
    "theta not clipped": ("min(raised, top)", "min(raised, top + 1)"),
    "membrane saturates early": ("min(kind(membranes[j]), top)", "min(kind(membranes[j]), kind(top - 1))"),
    "membrane saturates early, single events": ("np.uint32(membranes[j] + weight), top)",
                                                "np.uint32(membranes[j] + weight), top - np.uint32(1))"),
    "live one pulse late": ("transient.reads[tile] >= geometry", "transient.reads[tile] > geometry"),
    "fires above, not at": ("largest >= cells.theta_base", "largest > cells.theta_base"),
    "no fresh after fire": ("transient.fresh[tile] = True\n", "transient.fresh[tile] = False\n"),
    "unit pointer stands": ("(holder + 1) % geometry.learners", "holder % geometry.learners"),
    "leak too strong": ("theta[j] >> np.uint32(shift)", "theta[j] >> np.uint32(shift - 1)"),
    "dark meets open tiles": ("if transient.closed[tile]:\n                count",
                              "if not transient.closed[tile]:\n                count"),
    "squares of sums": ("2 * transient.step_reads[tile] + 1", "2 * transient.step_reads[tile]"),
    "the rival may be the label": ("if c != but and (best", "if (best"),
    "a lead as large as the margin teaches": ("lead < cells.margin", "lead <= cells.margin"),
    "the higher of equal columns": ("scores[c] > scores[best])", "scores[c] >= scores[best])"),
    "rank 0 sends one pulse less": ("pulses = ranks - rank\n", "pulses = max(1, ranks - rank - 1)\n"),
    "sum of a sample nobody asks of": ("(ranks - rank) * row_sums", "ranks * row_sums"),
    "ranks not in turn": ("np.resize(rank_bins, chip.listed)", "np.resize(np.repeat(rank_bins, 2), chip.listed)"),
    "label right on a tie with a lower column": ("(lead == 0 and column < rival)", "lead == 0"),
    "stamps in place of ages": ("ages[i] = last_step - stamps", "ages[i] = stamps"),
    "random state not kept": ("        cells.tiles.random[tile] = x\n\n    pulses", "\n    pulses"),
    "noise of another field": ("x >> np.uint32(15) & np.uint32(31)", "x >> np.uint32(16) & np.uint32(31)"),
    "noise not centred": ("np.uint32(31)) - 62)", "np.uint32(31)) - 61)"),
    "noise rounds to zero": ("sign * (moves >> fraction)", "sign * int(moves / (1 << fraction))"),
    "a stuck cell moves": ("stays = effects.stuck[z, row, j] != 0", "stays = False"),
    "only the usual rail is counted": ("return held, moved != held", "return held, sign * moved > sign * held"),
    "noise forgotten": ("moves += noise_of(x) * strength", "moves += 0"),
    "a count reaches its threshold one late": ("if sign * count_of < effects.threshold:",
                                               "if sign * count_of <= effects.threshold:"),
    "a count stays": ("effects.counts[z, row, j] = 0", "effects.counts[z, row, j] = count_of & 1"),
    "a count has no sign": ("effects.half) - effects.half + sign", "0) + sign"),
    "a given pulse keeps its amplitude": ("            amplitude = amplitudes - 1\n", ""),
    "ranks count alike": ("effects.amounts[i] if", "effects.amounts[0] if"),
    "amplitudes count alike": ("else amplitude + 1\n", "else 1\n"),
    "pulses of the read-out not counted": ("tally[effects.tally + 1] += given", "tally[effects.tally + 1] += count"),
    "rows that only count": ("local[RESET_ROWS] += given", "local[RESET_ROWS] += rows - reads"),
    "ages off by one": ("row, geometry.pulse_bins[step - stamp]", "row, geometry.pulse_bins[step - stamp + 1]"),
    "depression by the smallest pulse": ("transient.bins[0] = geometry.amplitudes - 1", "transient.bins[0] = 0"),
    "post-traces in spite of depression by post spikes": ("if not geometry.post:", "if True:"),
    "depression not counted": ("tally[RESET_ROWS] += _pulse(geometry, cells, transient, tile, neuron, -1, "
                               "cells.tiles.reset_table, 1, tally)",
                               "_pulse(geometry, cells, transient, tile, neuron, -1, cells.tiles.reset_table, 1, "
                               "tally)"),
    "a sum is held too early": ("np.uint32(membranes[z, j] + sums[j]), highest)", "np.uint32(sums[j]), highest)"),
    "silent rows rise": ("bins[STEP_MAX + 1] = 0, 0", "bins[STEP_MAX + 1] = 0, 1"),
    "the faster way forgets what it fired": ("                    membranes[tile, j] = 0", "                    pass"),
    "a tile that did not fit does not fire": ("elif step_reads[tile]:", "elif False:"),
    "the faster way keeps counts of a step": ("step_reads[tile] = 0\n                if fresh", "if fresh"),
    "the higher of equal neurons": ("== largest:\n            return neuron\n    return -1",
                                    "== largest:\n            best = neuron\n    return best"),
    "a spike at the threshold is not read": (
        "if geometry.classes > 0:\n                        _read_read_out(geometry, cells, transient, tile * geometry.",
        "if False:\n                        _read_read_out(geometry, cells, transient, tile * geometry."),
}


@pytest.fixture
def planted(request, tmp_path, monkeypatch):
    """The kernels as plain Python with one bug planted."""
    plant(*PLANTED[request.param], tmp_path, monkeypatch)
    return request.param


@pytest.mark.parametrize("planted", PLANTED, indirect=True)
def test_planted_bugs_are_seen(planted):
    base = Chip(name="planted", plane_height=4, plane_width=3, patch_height=2, patch_width=2, stride=1, neurons=4,
                winners=2, learners=2, min_spikes=2, levels=8, weight_bits=9, weights=(0, 1, 1, 2, 3, 4, 5, 5),
                membrane_bits=4, threshold_bits=5, theta_leak=2, trace_bits=4, trace_shift=1, amplitudes=4,
                fraction_bits=8, set_step=0.4, reset_step=0.4, theta_step=9.0)
    free = varied(base, fire_mode="threshold", winners=1, learners=2, theta_base=3)
    taught = varied(base, classes=3, score_bits=8, margin=2, read_out_set_step=0.4, read_out_reset_step=0.4)
    flawed = varied(taught, noise_bits=8, stuck_cells="masked")
    counting = varied(flawed, accumulate_bits=4, accumulate_threshold=5, read_out_accumulate_bits=3,
                      read_out_accumulate_threshold=3)
    running = varied(free, depression="post", classes=3, score_bits=8, margin=2, read_out_set_step=0.4,
                     read_out_reset_step=0.4)
    chips_tried = (base, free, taught, flawed, counting, running)
    found = next(filter(None, (session_difference(chip, seed) for seed in range(25) for chip in chips_tried)), "")
    assert bool(found) == (planted != "none"), found


def test_a_cached_kernel_is_of_the_sources_as_they_are(tmp_path):
    """A kernel is compiled again when a function that it calls, in another file, has changed; otherwise not."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "__init__.py").touch()
    shutil.copy(Path(kernels.__file__).parent / "compiling.py", folder)
    (folder / "caller.py").write_text("from .called import value\nfrom .compiling import kernel\n\n\n@kernel\n"
                                      "def twice():\n    return 2 * value()\n")

    def outcome(value):
        (folder / "called.py").write_text(f"from .compiling import kernel\n\n\n@kernel\ndef value():\n"
                                          f"    return {value}\n")
        code = "from folder.caller import twice\nprint(twice(), sum(twice.stats.cache_hits.values()))"
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": ""}
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True,
                              check=True).stdout.split()

    assert outcome(1) == ["2", "0"]
    assert outcome(1) == ["2", "1"]
    assert outcome(4) == ["8", "0"]
