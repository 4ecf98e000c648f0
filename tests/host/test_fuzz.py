"""Damaged frames: refused by the RTL, and an accomplice among the devices is found out."""

import random
from itertools import islice

import pytest

from ohmspike.chip import Chip
from ohmspike.host.integrity.fuzz import FuzzError, fuzz, mutants
from ohmspike.host.link.ports import CompiledPort
from ohmspike.sim.rtl.build import compile_chip
from support.reference_device import LossyPort, ReferenceDevice

CHIP = Chip(name="race", plane_height=5, plane_width=7, patch_height=3, patch_width=3, stride=2, neurons=5, winners=2,
            learners=2, min_spikes=2, levels=16, weight_bits=4, membrane_bits=10, threshold_bits=12, theta_step=9.0,
            amplitudes=4, set_step=0.3, reset_step=0.3)


@pytest.mark.slow
def test_the_rtl_acts_upon_no_damaged_frame_and_does_not_hang():
    with compile_chip(CHIP) as rtl:
        report = fuzz(CompiledPort(rtl, patience=200_000), CHIP, 20_000, seed=3)
    assert report.mutants == 20_000 and report.replies["NAK"] > 5_000 and len(report.kinds) == 13


def test_a_good_device_passes():
    port = LossyPort(ReferenceDevice(CHIP), seed=0, rate=0.0)
    assert fuzz(port, CHIP, 1_000, seed=1).checks == 3


def test_a_device_that_does_not_check_is_found_out():
    port = LossyPort(ReferenceDevice(CHIP, trusting=True), seed=0, rate=0.0)
    with pytest.raises(FuzzError, match="REPLY|not what it was|IDENTITY|was not answered"):
        fuzz(port, CHIP, 1_000, seed=1)


class Sleepy(ReferenceDevice):
    """A planted bug: after a frame that is too long it answers nothing any more."""

    asleep = False

    def _judge(self, content, aborted):
        self.asleep |= len(content) > 300
        return b"" if self.asleep else super()._judge(content, aborted)


def test_a_device_that_hangs_is_found_out():
    with pytest.raises(FuzzError, match="was not answered, within 500 frames after 0 mutants of seed 1"):
        fuzz(LossyPort(Sleepy(CHIP), seed=0, rate=0.0), CHIP, 1_000, seed=1)


class Silent(ReferenceDevice):
    """A planted bug: some damaged frames are executed, and nobody is told."""

    def _judge(self, content, aborted):
        if len(content) == 9:
            self.executor.run(content[3:5])
        return super()._judge(content, aborted)


def test_a_device_that_acts_in_secret_is_found_out():
    with pytest.raises(FuzzError, match="the chip is not what it was"):
        fuzz(LossyPort(Silent(CHIP), seed=0, rate=0.0), CHIP, 5_000, seed=1)


def test_mutants_repeat_with_their_seed():
    first, second = (list(islice(mutants(random.Random(7), CHIP, 9), 50)) for _ in range(2))
    assert first == second and len({line for _, line in first}) > 40
