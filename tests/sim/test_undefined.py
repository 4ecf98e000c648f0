"""Every memory of the RTL comes up with random contents, in both forms, and nothing shows: load and reset set all."""

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
