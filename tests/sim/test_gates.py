"""What synthesis made of a chip, in the cells of ECP5 and iCE40, against the oracle, learning on: no difference."""


import dataclasses
import os

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, label_code
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.session import LinkSession
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.rtl.gates import compile_gates
from ohmspike.sim.state import ChipState, spikes_difference

CHIP = Chip(name="gates", plane_height=3, plane_width=4, patch_height=2, patch_width=2, stride=1, neurons=4, winners=2,
            learners=1, min_spikes=1, levels=8, weight_bits=3, membrane_bits=6, threshold_bits=6, theta_step=3.0,
            amplitudes=2, set_step=0.3, reset_step=0.3)
READ_OUT = dataclasses.replace(CHIP, classes=3, score_bits=8, margin=9, read_out_set_step=0.3, read_out_reset_step=0.3)
BOTH = dataclasses.replace(READ_OUT, accumulate_bits=3, accumulate_threshold=2, read_out_accumulate_bits=4,
                           read_out_accumulate_threshold=3)
FREE = dataclasses.replace(READ_OUT, fire_mode="threshold", depression="post", winners=1, theta_base=8)
SHARED = dataclasses.replace(READ_OUT, plane_width=5, channels=2, shared=True, pool=2, min_spikes=2, learn_share=2000)
LONG = pytest.mark.skipif("OHMSPIKE_LONG_TESTS" not in os.environ, reason="takes minutes: set OHMSPIKE_LONG_TESTS=1")
OPTIONS = {"max_request": 64, "max_reply": 64, "window": 1}  # small, to be compiled soon


def batch_of(chip, seed, samples):
    rng = np.random.default_rng(seed)
    decision = EventCode.DECIDE if chip.fire_mode == "race" else EventCode.STEP
    half = chip.lines // 2
    codes = [np.r_[np.sort(rng.choice(chip.lines, half, replace=False)), -1, rng.integers(chip.lines), decision,
                   [EventCode.ANSWER, label_code(rng.integers(chip.classes))] if chip.classes else [],
                  [] if chip.shared else EventCode.DARK, EventCode.END]
             for _ in range(samples)]
    return EventBatch(np.concatenate(codes).astype(np.int32), np.r_[0, np.cumsum([len(part) for part in codes])])


def difference(rtl, chip):
    """First difference between compiled gates and the oracle over learning and plain samples."""
    state = ChipState.initial(chip)
    oracle = Oracle(chip, state)
    target = LinkTarget(chip, LinkSession(CompiledPort(rtl, patience=50_000), chip))
    target.load(state)
    for seed, learn in ((1, True), (2, False), (3, True)):
        batch = batch_of(chip, seed, 20)
        oracle.state.learn = learn
        if found := spikes_difference(target.present(batch, learn=learn), oracle.run(batch)):
            return f"output spikes: {found}"
    assert (oracle.state.levels != ChipState.initial(chip).levels).mean() > 0.3
    return target.state().differences(oracle.state)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "chip", "lanes"), [
    pytest.param("ecp5", READ_OUT, 1, id="ecp5, read-out"), pytest.param("ecp5", CHIP, 4, id="ecp5, one word"),
    pytest.param("ice40", READ_OUT, 1, id="ice40", marks=LONG),
    pytest.param("ecp5", FREE, 2, id="ecp5, free running", marks=LONG),
    pytest.param("ecp5", SHARED, 2, id="ecp5, shared", marks=LONG),
    pytest.param("ice40", SHARED, 1, id="ice40, shared", marks=LONG),
    pytest.param("ecp5", BOTH, 2, id="ecp5, accumulating", marks=LONG)])
def test_gates_do_what_the_oracle_does_whatever_their_memories_held(family, chip, lanes):
    """In the fast form and in the small one. Every memory of the ECP5 is a block RAM here, whose bytes come out wrong
    when they are read while they are written."""
    rtl, cells = compile_gates(chip, family, lanes=lanes, initial_seed=7, **OPTIONS)
    with rtl:
        assert difference(rtl, chip) == ""
    assert cells["DP16KD" if family == "ecp5" else "SB_RAM40_4K"] > 0
