"""The exact model of a shared crossbar against the oracle: output spikes, state and counters, to the bit."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip, Layer
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.sim.model.exact import ExactModel
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import spikes_difference
from support.planted_kernels import plant
from support.stimulus import cut, layered_chips, random_samples, random_state, shared_chips


def session_difference(chip: Chip, seed: int) -> str:
    """Several runs with everything that a host may do between them; the first difference."""
    rng = np.random.default_rng(seed)
    state = random_state(chip, rng)
    model, oracle = ExactModel(chip, state), Oracle(chip, state)
    for run in range(4):
        batch = random_samples(chip, rng, int(rng.integers(1, 6)))
        parts = cut(batch, int(rng.integers(0, len(batch.codes) + 1))) if rng.random() < 0.5 else (batch,)
        for part in parts:
            found = spikes_difference(model.run(part), oracle.run(part)) or model.state.differences(oracle.state)
            if found:
                return f"seed {seed}, run {run}: {found}"
        if rng.random() < 0.3:
            model.state.learn = oracle.state.learn = not oracle.state.learn
        if rng.random() < 0.3:
            model.state.learn_share = oracle.state.learn_share = int(rng.integers(0, 4097))
        if rng.random() < 0.3:
            levels = rng.integers(0, chip.levels, model.state.levels.shape).astype(np.uint8)
            model.state.levels[...] = oracle.state.levels[...] = levels
        if rng.random() < 0.3 and chip.layers:
            model.state.layer_learn_share = oracle.state.layer_learn_share = int(rng.integers(0, 4097))
            levels = rng.integers(0, chip.levels, model.state.layer_levels.shape).astype(np.uint8)
            model.state.layer_levels[...] = oracle.state.layer_levels[...] = levels
        if rng.random() < 0.3 and chip.classes:
            model.state.margin = oracle.state.margin = int(rng.integers(0, 256))
    return ""


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chip=shared_chips(), seed=st.integers(0, 2**32 - 1))
def test_model_equals_oracle(chip, seed):
    assert not session_difference(chip, seed)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chip=layered_chips(), seed=st.integers(0, 2**32 - 1))
def test_model_equals_oracle_with_a_second_layer(chip, seed):
    assert not session_difference(chip, seed)


def whole(chip: Chip, rng: np.random.Generator, *, labels: bool, count: int = 9) -> EventBatch:
    """Whole samples, as an encoder makes them."""
    codes = []
    for _ in range(count):
        tail = [EventCode.ANSWER, EventCode.LABEL - int(rng.integers(0, chip.classes))] if chip.classes else []
        codes.append(np.r_[np.flatnonzero(rng.random(chip.lines) < 0.4), EventCode.DECIDE, tail[:1 + labels],
                           EventCode.END])
    return EventBatch(np.concatenate(codes).astype(np.int32), np.cumsum([0, *map(len, codes)]))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chip=st.one_of(shared_chips(), layered_chips()), seed=st.integers(0, 2**32 - 1))
def test_inference_and_teaching_ignore_the_number_of_threads(chip, seed):
    rng = np.random.default_rng(seed)
    state = random_state(chip, rng)
    state.learn = False
    for labels in (False, True):
        batch, oracle = whole(chip, rng, labels=labels), Oracle(chip, state)
        expected = oracle.run(batch)
        for threads in (1, 3):
            model = ExactModel(chip, state)
            found = model.run(batch, threads=threads) if labels else model.infer(batch, threads)
            assert not spikes_difference(found, expected)
            assert not model.state.differences(oracle.state)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chip=st.one_of(shared_chips(), layered_chips()), seed=st.integers(0, 2**32 - 1))
def test_fires_told_elsewhere_teach_as_labels_do(chip, seed):
    if not chip.classes:
        return
    rng = np.random.default_rng(seed)
    state = random_state(chip, rng)
    state.learn = False
    batch = whole(chip, rng, labels=True)
    labels = EventCode.LABEL - batch.codes[batch.codes <= EventCode.LABEL]
    taught, read_out = ExactModel(chip, state), ExactModel(chip, state)
    expected = taught.run(batch)
    answers = read_out.teach(expected, labels)
    for name in ("label", "score", "margin", "offsets"):
        assert (getattr(answers, name) == getattr(expected.answers, name)).all()
    assert (read_out.state.read_out == taught.state.read_out).all()
    assert (read_out.state.random == taught.state.random).all()


@pytest.mark.parametrize("field, value", [("learn_share", 95), ("min_spikes", 5), ("pool", 3), ("stride", 2)])
def test_a_chip_that_is_otherwise_does_otherwise(field, value):
    """What the description says matters: none of these would be missed if it did nothing."""
    chip = Chip(name="plane", plane_height=12, plane_width=12, patch_height=4, patch_width=4, stride=1, shared=True,
                pool=2, neurons=8, winners=2, min_spikes=4, classes=3, theta_step=7.0)
    other = dataclasses.replace(chip, **{field: value})
    states = []
    for each in (chip, other):
        state = random_state(chip, np.random.default_rng(1))
        model = ExactModel(each)
        model.state.learn, model.state.levels[...] = True, state.levels
        model.run(whole(chip, np.random.default_rng(2), labels=True, count=60))
        states.append(model.state)
    assert (states[0].levels != states[1].levels).any() or states[0].read_out.shape != states[1].read_out.shape


LAYER_BUGS = {
    "none": ("", ""),
    "channels and regions mixed up": ("lines[neuron * regions + region] = 1", "lines[region * neurons + neuron] = 1"),
    "a second layer that remembers": ("                    _end(last[0], last[1], last[2], last[3])\n",
                                      "                    pass\n"),
    "SET pulses not counted": ("            tally[walk.set_rows] += reads\n", "            pass\n"),
}


@pytest.mark.parametrize("bug", LAYER_BUGS)
def test_planted_bugs_of_the_second_layer_are_seen(bug, tmp_path, monkeypatch):
    plant(*LAYER_BUGS[bug], tmp_path, monkeypatch)
    chip = Chip(name="planted", plane_height=5, plane_width=5, patch_height=2, patch_width=2, stride=1, shared=True,
                pool=3, neurons=3, winners=2, learn_share=2000, set_step=0.2, reset_step=0.2, theta_step=3.0,
                membrane_bits=12, classes=2, score_bits=12, margin=100, theta_leak=2, layers=(
                    Layer(patch_height=2, patch_width=2, neurons=4, winners=2, pool=2, learn_share=4096,
                          theta_step=5),))
    found = next(filter(None, (session_difference(chip, seed) for seed in range(8))), "")
    assert bool(found) == (bug != "none"), found


def test_a_wrong_sum_is_seen():
    """A planted bug: sums that are not renewed when a window has learned."""
    chip = Chip(name="plane", plane_height=8, plane_width=8, patch_height=3, patch_width=3, stride=1, shared=True,
                neurons=4, classes=2, learn_share=4096, set_step=0.2, reset_step=0.2)
    model, oracle = ExactModel(chip), Oracle(chip)
    model.state.learn = oracle.state.learn = True
    batch = whole(chip, np.random.default_rng(3), labels=False, count=2)
    work = model._work(model._cells(True), True, 1)
    stale = work.last[2].sums.copy()
    work.run(batch.codes, batch.offsets, 0, 1, model._transient, True)
    assert (work.last[2].sums != stale).any()
    work.last[2].sums[...] = stale
    work.run(batch.codes, batch.offsets, 1, 2, model._transient, True)
    assert spikes_difference(work.fires(), oracle.run(batch)) or model.state.differences(oracle.state)
