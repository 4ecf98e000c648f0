"""Every memory of the RTL comes up with random contents, in both forms, and nothing shows: load and reset set all.

The same with four states: memories undefined, registers too, and nothing undefined comes out after the load.
"""

import shutil

import numpy as np
import pytest

from ohmspike.chip.events import EventBatch, EventCode, label_code
from ohmspike.hdl.flow.emit import emit
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.chip import ChipTop
from ohmspike.host.integrity.faults import FAULTS_CHIP
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.session import LinkSession
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.host.targets.model import ModelTarget
from ohmspike.sim.rtl.compiled import CompiledRtl
from ohmspike.sim.state import ChipState, spikes_difference
from support.four_state import RecordedPort, four_state_difference

CHIP = FAULTS_CHIP
SEEDS = (None, 1, 2, 3, 4)


def batch_of(seed, samples=8):
    rng = np.random.default_rng(seed)
    codes = [np.r_[np.sort(rng.choice(CHIP.lines, 8, replace=False)), EventCode.STEP, rng.integers(CHIP.lines),
                   EventCode.DECIDE, EventCode.ANSWER, label_code(int(rng.integers(CHIP.classes))), EventCode.DARK,
                   EventCode.END] for _ in range(samples)]
    return EventBatch(np.concatenate(codes).astype(np.int32), np.r_[0, np.cumsum([len(part) for part in codes])])


def target_of(text, seed):
    rtl = CompiledRtl(text, top="chip", initial_seed=seed, quick=True)
    return LinkTarget(CHIP, LinkSession(CompiledPort(rtl, patience=100_000), CHIP))


def difference(text, seed):
    """First difference from the model over samples with and without learning, from power-up."""
    target, model = target_of(text, seed), ModelTarget(CHIP, threads=1)
    for each in (target, model):
        each.load(ChipState.initial(CHIP))
    for learn in (True, False, True):
        batch = batch_of(int(learn))
        if found := spikes_difference(target.present(batch, learn=learn), model.present(batch, learn=learn)):
            return found
    return target.state().differences(model.state())


@pytest.mark.slow
@pytest.mark.parametrize("ports", [2, 1], ids=["fast form", "small form"])
def test_random_memories_never_matter(ports):
    text = emit(ChipTop(Layout(CHIP, 2, ports), max_request=64, max_reply=64), "chip", undefined_memories=["*"])
    for seed in SEEDS:
        assert difference(text, seed) == "", f"seed {seed}"
    # the contents were random indeed, and what nobody loads keeps them
    held = {target_of(text, seed).read("theta").tobytes() for seed in SEEDS}
    assert len(held) == len(SEEDS)
    unloaded, model = target_of(text, 1), ModelTarget(CHIP, threads=1)
    assert spikes_difference(unloaded.present(batch_of(1), learn=True), model.present(batch_of(1), learn=True))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")
@pytest.mark.parametrize("ports", [2, 1], ids=["fast form", "small form"])
def test_nothing_undefined_comes_out_of_the_rtl_after_the_load(ports):
    """Every reply of a session, counters and all state read back, is what the compiled RTL of two states replies."""
    def chip():
        return ChipTop(Layout(CHIP, 2, ports), max_request=64, max_reply=64)

    def session():
        port = RecordedPort(CompiledRtl(text, top="chip", initial_seed=1, quick=True), patience=100_000)
        return port, LinkTarget(CHIP, LinkSession(port, CHIP))

    text = emit(chip(), "chip", undefined_memories=["*"])
    if ports == 2:  # the bench can fail: what nobody loaded is undefined
        port, target = session()
        target.read("theta")
        assert "is xx, expected" in four_state_difference(chip(), port)
    port, target = session()
    target.load(ChipState.initial(CHIP))
    for learn in (True, False):
        target.present(batch_of(int(learn), 4), learn=learn)
    target.state()
    assert four_state_difference(chip(), port) == ""
