"""Chips whose RTL implements non-idealities, through targets, learning and the link."""

import dataclasses

import numpy as np
import pytest

from ohmspike import classify, learn
from ohmspike.chip import Chip, Phase
from ohmspike.host.link.frames import LinkError
from ohmspike.host.link.session import LinkSession
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.registry import open_target
from ohmspike.sim.model.nonideal import NonIdealities, NonIdealModel, as_hardware
from support.bars import CHIP, data
from support.reference_device import LossyPort, ReferenceDevice

HOSTED = dataclasses.replace(CHIP, schedule=(*CHIP.schedule, Phase(learn=False, teach=True, on_host=True)))
STRENGTHS = NonIdealities(c2c=0.05, stuck=0.1, threshold=1.0, seed=3)


class NonIdealTarget(ModelTarget):
    """The nonideal model as a target."""

    def __init__(self, chip, nonidealities):
        super().__init__(chip)
        self.model = NonIdealModel(chip, nonidealities)

    def program_read_out(self, levels):
        self.model.program_read_out(levels)


def learned(target):
    """Answers of a target after the chip's schedule, with its annealing and rebasing."""
    bars = data()
    learn(target, bars.train_images, bars.train_labels)
    return classify(target, bars.test_images)


def same_as_nonideal(target, nonideal):
    """A target of gates and the nonideal model, both after :func:`learned`: all but thresholds are equal, and these
    are but for what offsets and contract 6.2 account for."""
    ours, theirs = target.state(), nonideal.state()
    offsets = ours.theta.astype(int) - theirs.theta - nonideal.model._drawn.reading.offsets
    assert (np.ptp(offsets, axis=1) == 0).all()
    alike = dataclasses.replace(ours, theta=theirs.theta, write_noise=0, stuck=theirs.stuck,
                                read_out_stuck=theirs.read_out_stuck)
    assert alike.differences(theirs) == ""
    assert ours.write_noise and ours.stuck.any() and ours.read_out_stuck.any()


@pytest.mark.parametrize("ideal", [CHIP, HOSTED], ids=["on chip", "on host"])
def test_a_schedule_on_nonideal_gates_ends_in_the_bits_of_the_nonideal_model(ideal):
    chip, state = as_hardware(ideal, STRENGTHS)
    target, nonideal = ModelTarget(chip), NonIdealTarget(ideal, STRENGTHS)
    target.load(state)
    assert np.array_equal(learned(target), learned(nonideal))
    same_as_nonideal(target, nonideal)


@pytest.mark.slow
def test_a_schedule_on_nonideal_rtl_ends_in_the_bits_of_the_nonideal_model():
    chip, state = as_hardware(HOSTED, STRENGTHS)
    nonideal = NonIdealTarget(HOSTED, STRENGTHS)
    with open_target("rtl", chip) as target:
        target.load(state)
        assert target.state().differences(state) == ""
        assert np.array_equal(learned(target), learned(nonideal))
        same_as_nonideal(target, nonideal)


def test_a_run_goes_on_with_its_own_nonidealities_alone(tmp_path):
    chip, state = as_hardware(CHIP, STRENGTHS)
    bars, checkpoint, kept = data(), tmp_path / "run.npz", dataclasses.asdict(STRENGTHS)

    def interrupt(done, total):
        if done == total:
            raise KeyboardInterrupt

    target = ModelTarget(chip)
    target.load(state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ohmspike.host.learning.run.CHECKPOINT_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            learn(target, bars.train_images, bars.train_labels, checkpoint=checkpoint, nonidealities=kept,
                  progress=interrupt)
    for other in (None, kept | {"seed": 4}):
        with pytest.raises(UserError, match="checkpoint of another run: nonidealities is"):
            learn(ModelTarget(chip), bars.train_images, bars.train_labels, checkpoint=checkpoint, resume=True,
                  nonidealities=other)


def test_a_chip_without_the_nonidealities_is_told():
    built, wanted = CHIP, dataclasses.replace(CHIP, noise_bits=12)
    for one, other in ((built, wanted), (wanted, built)):
        with pytest.raises(LinkError, match="the chip is not a small: .*noise_bits or stuck_cells"):
            LinkSession(LossyPort(ReferenceDevice(one), seed=0, rate=0.0), other)


def test_memories_of_nonidealities_go_over_the_link():
    chip = dataclasses.replace(Chip.preset("tiny"), noise_bits=12, stuck_cells="masked")
    session = LinkSession(LossyPort(ReferenceDevice(chip), seed=0, rate=0.0), chip)
    rng = np.random.default_rng(1)
    for name, shape in (("stuck", (chip.tiles * chip.rows, chip.neurons)),
                        ("read_out_stuck", (chip.read_out_rows, chip.classes))):
        mask = rng.integers(0, 2, shape).astype(np.uint8)
        session.write_memory(name, mask)
        assert np.array_equal(session.read_memory(name), mask)
