"""Chips with flaws in their gates, through targets, learning and the link."""

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
from ohmspike.sim.model.nonideal import Imperfect, Imperfections, in_gates
from support.bars import CHIP, data
from support.reference_device import LossyPort, ReferenceDevice

HOSTED = dataclasses.replace(CHIP, schedule=(*CHIP.schedule, Phase(learn=False, teach=True, on_host=True)))
FLAWS = Imperfections(c2c=0.05, stuck=0.1, threshold=1.0, seed=3)


class ImperfectTarget(ModelTarget):
    """The imperfect model as a target."""

    def __init__(self, chip, imperfections):
        super().__init__(chip)
        self.model = Imperfect(chip, imperfections)

    def program_read_out(self, levels):
        self.model.program_read_out(levels)


def learned(target):
    """Answers of a target after the chip's schedule, with its annealing and rebasing."""
    bars = data()
    learn(target, bars.train_images, bars.train_labels)
    return classify(target, bars.test_images)


def same_as_imperfect(target, imperfect):
    """A target of gates and the imperfect model, both after :func:`learned`: all but thresholds are equal, and these
    are but for what offsets and contract 6.2 account for."""
    ours, theirs = target.state(), imperfect.state()
    offsets = ours.theta.astype(int) - theirs.theta - imperfect.model._flaws.offsets
    assert (np.ptp(offsets, axis=1) == 0).all()
    alike = dataclasses.replace(ours, theta=theirs.theta, write_noise=0, stuck=theirs.stuck,
                                read_out_stuck=theirs.read_out_stuck)
    assert alike.differences(theirs) == ""
    assert ours.write_noise and ours.stuck.any() and ours.read_out_stuck.any()


@pytest.mark.parametrize("ideal", [CHIP, HOSTED], ids=["on chip", "on host"])
def test_a_schedule_on_flawed_gates_ends_in_the_bits_of_the_imperfect_model(ideal):
    chip, state = in_gates(ideal, FLAWS)
    target, imperfect = ModelTarget(chip), ImperfectTarget(ideal, FLAWS)
    target.load(state)
    assert np.array_equal(learned(target), learned(imperfect))
    same_as_imperfect(target, imperfect)


@pytest.mark.slow
def test_a_schedule_on_flawed_rtl_ends_in_the_bits_of_the_imperfect_model():
    chip, state = in_gates(HOSTED, FLAWS)
    imperfect = ImperfectTarget(HOSTED, FLAWS)
    with open_target("rtl", chip) as target:
        target.load(state)
        assert target.state().differences(state) == ""
        assert np.array_equal(learned(target), learned(imperfect))
        same_as_imperfect(target, imperfect)


def test_a_run_goes_on_with_its_own_flaws_alone(tmp_path):
    chip, state = in_gates(CHIP, FLAWS)
    bars, checkpoint, told = data(), tmp_path / "run.npz", dataclasses.asdict(FLAWS)

    def interrupt(done, total):
        if done == total:
            raise KeyboardInterrupt

    target = ModelTarget(chip)
    target.load(state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ohmspike.host.learning.run.CHECKPOINT_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            learn(target, bars.train_images, bars.train_labels, checkpoint=checkpoint, flaws=told, progress=interrupt)
    for other in (None, told | {"seed": 4}):
        with pytest.raises(UserError, match="checkpoint of another run: flaws is"):
            learn(ModelTarget(chip), bars.train_images, bars.train_labels, checkpoint=checkpoint, resume=True,
                  flaws=other)


def test_a_chip_without_the_flaws_is_told():
    built, wanted = CHIP, dataclasses.replace(CHIP, noise_bits=12)
    for one, other in ((built, wanted), (wanted, built)):
        with pytest.raises(LinkError, match="the chip is not a small: .*noise_bits or stuck_cells"):
            LinkSession(LossyPort(ReferenceDevice(one), seed=0, rate=0.0), other)


def test_memories_of_flaws_go_over_the_link():
    chip = dataclasses.replace(Chip.preset("tiny"), noise_bits=12, stuck_cells="masked")
    session = LinkSession(LossyPort(ReferenceDevice(chip), seed=0, rate=0.0), chip)
    rng = np.random.default_rng(1)
    for name, shape in (("stuck", (chip.tiles * chip.rows, chip.neurons)),
                        ("read_out_stuck", (chip.read_out_rows, chip.classes))):
        mask = rng.integers(0, 2, shape).astype(np.uint8)
        session.write_memory(name, mask)
        assert np.array_equal(session.read_memory(name), mask)
