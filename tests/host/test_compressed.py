"""Images as runs of lines: host, reference device and gateware, at the pins of the chip."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch
from ohmspike.chip.instructions import FrameKind
from ohmspike.host.link import programs
from ohmspike.host.link.programs import programs_of
from ohmspike.host.link.session import LinkSession
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.host.targets.rtl import RtlUartTarget
from ohmspike.sim.model.exact import ExactModel
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState, spikes_difference
from support.programs import ReferenceExecutor, frame, runs
from support.reference_device import LossyPort, ReferenceDevice
from support.reference_link import encode, split

CHIP = Chip(name="compressed", plane_height=10, plane_width=12, patch_height=5, patch_width=6, stride=3, neurons=5,
            winners=2, learners=2, min_spikes=2, levels=16, weight_bits=4, membrane_bits=10, threshold_bits=12,
            theta_step=9.0, amplitudes=4, set_step=0.3, reset_step=0.3)


def blobs(rng, samples):
    """Samples with a rectangle of lines each, now and then two or a line alone, learned."""
    parts = []
    for _ in range(samples):
        picture = np.zeros((CHIP.plane_height, CHIP.plane_width), bool)
        for _ in range(int(rng.integers(1, 3))):
            top, left = rng.integers(0, 8, 2)
            picture[top:top + rng.integers(1, 6), left:left + rng.integers(1, 6)] = True
        parts.append(np.r_[np.flatnonzero(picture), -1, 3, -2, -3, -4])
    return EventBatch(np.concatenate(parts).astype(np.int32), np.r_[0, np.cumsum([len(part) for part in parts])])


@settings(deadline=None, max_examples=100)
@given(st.sets(st.integers(0, CHIP.lines - 1), min_size=1))
def test_any_image_round_trips_and_no_program_is_longer_than_a_frame(lines):
    batch = EventBatch(np.array([*sorted(lines), -4], np.int32), np.array([0, len(lines) + 1]))
    [program] = programs_of(CHIP, batch, 512, 511, runs=True)
    best = min([runs(lines), frame(CHIP, lines), b"".join(bytes([1, line, 0]) for line in sorted(lines))], key=len)
    assert len(program) == len(best) + 1
    told, meant = ReferenceExecutor(CHIP, runs=True), ReferenceExecutor(CHIP, runs=True)
    assert told.run(program) == meant.run(runs(lines) + b"\6") == b"\0"
    assert told.oracle.state.differences(meant.oracle.state) == ""
    assert told.oracle.counter("in_spikes") == len(lines)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 255), max_size=12))
def test_any_bytes_are_carried_out_as_the_runs_of_lines_that_they_say(tail):
    executor, oracle, line = ReferenceExecutor(CHIP, runs=True), Oracle(CHIP), 0
    for byte in tail:
        skip, spiking = byte & 31, byte >> 5
        if line + skip + spiking > CHIP.lines:
            break
        for at in range(line + skip, line + skip + spiking):
            oracle.spike(at)
        line += skip + spiking
    else:
        byte = 0
    assert executor.run(bytes([9, *tail, 0])) == bytes([byte != 0])
    assert executor.oracle.counter("in_spikes") == oracle.counter("in_spikes")


@pytest.mark.parametrize("seed", range(3))
def test_over_a_bad_line_images_as_runs_are_learned_exactly_once(seed):
    port = LossyPort(ReferenceDevice(CHIP, runs=True, max_request=80), seed=seed, rate=0.0)
    target = LinkTarget(CHIP, LinkSession(port, CHIP, seed=seed))
    port._rate = 0.08
    state = ChipState.initial(CHIP)
    state.learn = True
    oracle, batch = Oracle(CHIP, state), blobs(np.random.default_rng(seed), 20)
    target.load(state)
    assert spikes_difference(target.present(batch, learn=True), oracle.run(batch)) == ""
    assert target.state().differences(oracle.state) == "" and target.session.resent
    assert any(program[0] == 9 for program in port.device.programs)


def test_a_wrong_run_is_noticed(monkeypatch):
    """The test above can fail: a host whose runs are a line too long at most 6."""
    monkeypatch.setattr(programs, "_assemble", programs._assemble.py_func)
    monkeypatch.setattr(programs, "_runs_of", programs._runs_of.py_func)
    monkeypatch.setattr(programs, "RUN_LINES_MAX", 8)
    batch = EventBatch(np.array([*range(8), -4], np.int32), np.array([0, 9]))
    executor = ReferenceExecutor(CHIP, runs=True)
    executor.run(programs_of(CHIP, batch, 512, 511, runs=True)[0])
    assert executor.oracle.counter("in_spikes") != 8


@pytest.mark.slow
def test_at_the_pins_a_chip_learns_runs_as_the_model_and_damaged_ones_change_nothing():
    """At 12 Mbaud and 50 MHz: bits of 4 1/6 clocks."""
    rng, draw = np.random.default_rng(3), random.Random(3)
    state = ChipState.initial(CHIP)
    state.learn = True
    with RtlUartTarget(CHIP, runs=True, bit_clocks=Fraction(50, 12)) as target:
        model, port, sent = ExactModel(CHIP, state), target.session._port, []
        assert target.session.identity.runs
        write = port.write
        port.write = lambda data: (sent.append(data), write(data))
        target.load(state)
        del sent[:]
        batch = blobs(rng, 40)
        assert spikes_difference(target.present(batch, learn=True), model.run(batch)) == ""
        assert target.state().differences(model.state) == ""
        images = [content for line in sent for content, _ in split(line)[0] if content[3:4] == b"\x09"]
        assert images

        # a bit turned over anywhere in what the CRC covers, or in the CRC
        before = target.state()
        for _ in range(40):
            content = bytearray(draw.choice(images))
            place = draw.randrange(len(content))
            content[place] ^= 1 << draw.randrange(8)
            body = bytes(content)
            line = encode(0, 0, b"")[:1] + b"".join(
                bytes([0x7D, byte ^ 0x20]) if byte in (0x7D, 0x7E) else bytes([byte]) for byte in body) + b"\x7e"
            port.write(line)
            target.rtl.run(400 + 45 * len(line))
            answers, rest = split(port.read())
            assert rest == b"" or not rest.strip(b"\x7e")
            assert [answer[2] for answer, _ in answers] == [FrameKind.NAK]
        target.session.renew()
        assert target.state().differences(before) == ""
