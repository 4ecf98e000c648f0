"""The emitted RTL of random chips does to the bit what the model does, in both forms."""

import os

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, label_code
from ohmspike.chip.instructions import spikes_bytes
from ohmspike.hdl.flow.emit import emit
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.chip import ChipTop
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.session import LinkSession
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.host.targets.model import ModelTarget
from ohmspike.sim.rtl.compiled import CompiledRtl
from ohmspike.sim.state import ChipState, spikes_difference
from support.stimulus import (
    CORNERS,
    burdened_chip,
    burdened_state,
    corner_chip,
    free_chip,
    random_samples,
    random_state,
    shared_chip,
)

LONG = pytest.mark.skipif("OHMSPIKE_LONG_TESTS" not in os.environ, reason="takes an hour: make test-random")


def difference(rtl, model, rng, state):
    """First difference over samples with and without learning, from a state."""
    chip = model.chip
    target = LinkTarget(chip, LinkSession(CompiledPort(rtl, patience=1_000_000), chip))
    for each in (target, model):
        each.load(state)
    for learn in (True, False, True):
        batch = random_samples(chip, rng, 20)
        if found := spikes_difference(target.present(batch, learn=learn), model.present(batch, learn=learn)):
            return f"output spikes: {found}"
    return target.state().differences(model.state())


def compiled(chip, lanes, ports, seed):
    top = ChipTop(Layout(chip, lanes, ports), max_request=64, max_reply=max(64, spikes_bytes(chip) + 1))
    text = emit(top, "chip", undefined_memories=["*"])
    return CompiledRtl(text, top="chip", initial_seed=1 + seed, quick=True)


@pytest.mark.parametrize(("seed", "ports"), [
    pytest.param(seed, ports, marks=LONG) for seed in range(20) for ports in (2, 1)])
def test_accumulating_chips_do_what_the_model_does(seed, ports):
    """Accumulation in the tiles, in the read-out or in both, with write noise, stuck cells and offsets together."""
    chip, rng = burdened_chip(seed), np.random.default_rng([seed, ports])
    lanes = int(rng.integers(1, min(chip.neurons, 6) + 1))
    state = burdened_state(chip, rng)
    with compiled(chip, lanes, ports, seed) as rtl:
        assert difference(rtl, ModelTarget(chip, threads=1), rng, state) == "", f"{chip}, {lanes} lanes"


def test_accumulating_chips_carry_everything_together():
    chips = [burdened_chip(seed) for seed in range(20)]
    states = [burdened_state(chip, np.random.default_rng(seed)) for seed, chip in enumerate(chips)]
    for chip, state in zip(chips, states, strict=True):
        assert chip.accumulates and chip.noise_bits and state.write_noise and state.stuck.any() and state.theta.any()
    assert {bool(chip.accumulate_bits) for chip in chips} == {bool(chip.read_out_accumulate_bits) for chip in chips}
    assert any(state.read_out_stuck.any() for state in states)


@pytest.mark.parametrize(("seed", "ports"), [
    pytest.param(seed, ports, marks=LONG) for seed in range(20) for ports in (2, 1)])
def test_free_running_chips_do_what_the_model_does(seed, ports):
    """Depression at the post spike, a read-out at a threshold, or both, accumulating or not."""
    chip, rng = free_chip(seed), np.random.default_rng([seed, ports])
    lanes = int(rng.integers(1, min(chip.neurons, 6) + 1))
    state = random_state(chip, rng)
    with compiled(chip, lanes, ports, seed) as rtl:
        assert difference(rtl, ModelTarget(chip, threads=1), rng, state) == "", f"{chip}, {lanes} lanes"


@pytest.mark.parametrize(("seed", "ports"), [
    pytest.param(seed, ports, marks=() if seed < 4 and ports == 1 + seed % 2 else LONG)
    for seed in range(20) for ports in (2, 1)])
def test_shared_crossbars_do_what_the_model_does(seed, ports):
    """Planes, windows, regions, noise, stuck cells and accumulation at random; four of them always."""
    chip, rng = shared_chip(seed), np.random.default_rng([seed, ports])
    lanes = int(rng.integers(1, min(chip.neurons, 6) + 1))
    state = random_state(chip, rng)
    with compiled(chip, lanes, ports, seed) as rtl:
        assert difference(rtl, ModelTarget(chip, threads=1), rng, state) == "", f"{chip}, {lanes} lanes"


@pytest.mark.slow
@pytest.mark.parametrize("ports", [2, pytest.param(1, marks=LONG)])
def test_a_sample_with_more_output_spikes_than_the_read_out_lists(ports):
    """1,023 of 1,400 are taught (contract 10.1); rows stand in the list again and again, often next to each other."""
    chip = Chip(name="many", plane_height=2, plane_width=8, patch_height=2, patch_width=2, stride=1, neurons=3,
                winners=1, learners=1, fire_mode="threshold", depression="post", theta_base=0, theta_step=1.0,
                classes=3, margin=60_000, levels=64, weight_bits=6, read_out_set_step=0.01,
                read_out_reset_step=0.01, read_out_set_bound=0.0, read_out_reset_bound=0.0)
    model, rng = ModelTarget(chip, threads=1), np.random.default_rng(1)
    codes = [code for _ in range(200) for code in (*rng.permutation(chip.lines)[:12], EventCode.STEP)]
    batch = EventBatch(np.array([*codes, label_code(1), EventCode.END], np.int32), np.array([0, len(codes) + 2]))
    with compiled(chip, 2, ports, 0) as rtl:
        target = LinkTarget(chip, LinkSession(CompiledPort(rtl, patience=1_000_000), chip))
        for each in (target, model):
            each.load(ChipState.initial(chip))
        spikes = model.present(batch, learn=True)
        assert not spikes_difference(target.present(batch, learn=True), spikes)
        assert len(spikes.neuron) > chip.listed == 1023
        assert target.state().differences(model.state()) == ""


@pytest.mark.parametrize(("seed", "ports"), [
    pytest.param(seed, ports, marks=() if seed < 10 and ports == 1 + seed % 2 else LONG)
    for seed in range(200) for ports in (2, 1)])
def test_chips_at_the_ends_of_their_fields_do_what_the_model_does(seed, ports):
    """200 chips in both forms, lanes at their ends too; ten of them always (`make test-random` is all of them)."""
    chip, rng = corner_chip(seed), np.random.default_rng([seed, ports])
    lanes = int(rng.choice([1, chip.neurons]))
    state = random_state(chip, rng)
    with compiled(chip, lanes, ports, seed) as rtl:
        assert difference(rtl, ModelTarget(chip, threads=1), rng, state) == "", f"{chip}, {lanes} lanes"


def test_the_chips_reach_every_end():
    chips = [corner_chip(seed) for seed in range(200)]
    for name, ends in CORNERS.items():
        assert {getattr(chip, name) for chip in chips} == set(ends), name
