"""The emitted RTL of random chips does to the bit what the model does, in both forms."""

import os

import numpy as np
import pytest

from ohmspike.hdl.flow.emit import emit
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.chip import ChipTop
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.session import LinkSession
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.host.targets.model import ModelTarget
from ohmspike.sim.rtl.compiled import CompiledRtl
from ohmspike.sim.state import spikes_difference
from support.stimulus import CORNERS, burdened_chip, burdened_state, corner_chip, random_samples, random_state

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
    text = emit(ChipTop(Layout(chip, lanes, ports), max_request=64, max_reply=64), "chip", undefined_memories=["*"])
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
