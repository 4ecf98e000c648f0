"""The host's end of the link against the reference device over bad lines, and against the RTL."""

import dataclasses
import random
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, OutputSpikes, label_code
from ohmspike.chip.instructions import FrameKind
from ohmspike.host.link.frames import FrameReader, LinkError, encode_frame
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.programs import programs_of
from ohmspike.host.link.records import OutputParser
from ohmspike.host.link.sample import followed, outputs_spikes
from ohmspike.host.link.session import LinkSession
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.rtl.build import compile_chip
from ohmspike.sim.state import ChipState, spikes_difference
from support.reference_device import DelayingPort, LossyPort, ReferenceDevice
from support.reference_link import encode, split

RACE = Chip(name="race", plane_height=5, plane_width=7, patch_height=3, patch_width=3, stride=2, neurons=5, winners=2,
            learners=2, min_spikes=2, levels=16, weight_bits=4, membrane_bits=10, threshold_bits=12, theta_step=9.0,
            amplitudes=4, set_step=0.3, reset_step=0.3)
FREE = dataclasses.replace(RACE, name="free", fire_mode="threshold", winners=1, learners=3, theta_base=40,
                           theta_leak=3)
SHARED = dataclasses.replace(RACE, name="shared", learners=1, shared=True)
READ_OUT = dataclasses.replace(RACE, name="read-out", classes=3, score_bits=9, margin=60, read_out_set_step=0.3,
                               read_out_reset_step=0.3)


@pytest.fixture(autouse=True)
def numbers(monkeypatch):
    """Make first numbers and nonces repeatable; the numbers of most sessions pass 0."""
    generator = random.Random(1)
    repeatable = SimpleNamespace(randrange=lambda high: high - generator.randrange(1, 60),
                                 randbytes=generator.randbytes)
    monkeypatch.setattr("ohmspike.host.link.session.random", SimpleNamespace(SystemRandom=lambda: repeatable))


def events(chip, rng, samples):
    """Samples of random events, some of them refused; samples may not end."""
    parts = []
    for _ in range(samples):
        length = int(rng.integers(1, 60))
        part = rng.integers(0, chip.lines + 1, length)
        if rng.random() < 0.5:
            part = np.sort(part)
        part[rng.random(length) < 0.15] = -1
        part[rng.random(length) < 0.08] = -2
        part[rng.random(length) < 0.03] = -3
        part[rng.random(length) < 0.04] = -4
        if chip.classes:
            part[rng.random(length) < 0.06] = EventCode.ANSWER
            labelled = rng.random(length) < 0.06
            part[labelled] = label_code(rng.integers(0, chip.classes + 1, labelled.sum()))
        parts.append(np.r_[part, -4] if rng.random() < 0.8 else part)
    lengths = [len(part) for part in parts]
    return EventBatch(np.concatenate(parts).astype(np.int32), np.r_[0, np.cumsum(lengths)])


def learned_alike(target, chip, rng, rounds=4):
    """Present random events to a target and the oracle, learning; the first difference."""
    state = ChipState.initial(chip)
    state.learn = True
    oracle = Oracle(chip, state)
    target.load(state)
    for _ in range(rounds):
        batch = events(chip, rng, 5)
        if found := spikes_difference(target.present(batch, learn=True), oracle.run(batch)):
            return found
    return target.state().differences(oracle.state)


@given(st.integers(0, 0xFFFF), st.integers(0, 255), st.binary(max_size=80), st.integers(1, 9))
def test_frames_are_those_of_the_reference_however_they_are_cut(seq, kind, payload, size):
    line = encode_frame(seq, kind, payload)
    assert line == encode(seq, kind, payload)
    reader, found = FrameReader(), []
    for start in range(0, len(line), size):
        found += reader.feed(line[start:start + size])
    assert found == [(seq, kind, payload)] and reader.damaged == 0


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_damaged_frame_is_dropped(payload, data):
    line = bytearray(encode_frame(7, 2, payload))
    place = data.draw(st.integers(1, len(line) - 2))
    line[place] ^= data.draw(st.integers(1, 255))
    assert FrameReader().feed(bytes(line)) == []


@pytest.mark.parametrize("chip", [RACE, FREE, READ_OUT], ids=["race", "free", "read-out"])
@pytest.mark.parametrize("seed", range(6))
def test_over_a_bad_line_everything_is_executed_exactly_once(chip, seed):
    device = ReferenceDevice(chip, window=1 << seed % 3, max_request=70 + 40 * seed, max_reply=80 + 30 * seed)
    port = LossyPort(device, seed=seed, rate=0.0)
    target = LinkTarget(chip, LinkSession(port, chip))
    port._rate = 0.08
    assert learned_alike(target, chip, np.random.default_rng(seed)) == ""
    assert target.session.resent > 0


def spikes(count):
    """Programs that differ from their neighbours."""
    return [bytes(i % 5) + bytes([1, i % 30, 0]) for i in range(count)]


@pytest.mark.parametrize("window", [1, 2, 4, 16, 128])
@pytest.mark.parametrize("rate", [0, 0.01, 0.2])
def test_a_lost_frame_costs_at_most_two_windows_of_repeats(window, rate):
    for seed in range(4):
        device = ReferenceDevice(RACE, window=window)
        port = DelayingPort(device, seed=seed)
        session = LinkSession(port, RACE)
        port.rate, port.written = rate, 0
        assert list(session.run(spikes(200))) == [b""] * 200
        assert device.programs == spikes(200)
        assert port.written <= 200 + 2 * port.faults * window, f"seed {seed}: {port.written}, {port.faults} faults"


@pytest.mark.parametrize("chip", [RACE, FREE], ids=["race", "free"])
@pytest.mark.parametrize("seed", range(4))
def test_over_a_slow_bad_line_everything_is_executed_exactly_once(chip, seed):
    device = ReferenceDevice(chip, window=2 << seed, max_request=70 + 40 * seed, max_reply=80 + 30 * seed)
    port = DelayingPort(device, seed=seed, rate=0.1)
    target = LinkTarget(chip, LinkSession(port, chip))
    assert learned_alike(target, chip, np.random.default_rng(seed)) == ""
    assert target.session.resent > 0


def test_a_full_window_hides_the_delay():
    ticks = {}
    for window in (1, 16):
        port = DelayingPort(ReferenceDevice(RACE, window=window), seed=0, delay=5)
        session = LinkSession(port, RACE)
        start = port.now
        list(session.run(spikes(200)))
        ticks[window] = port.now - start
    assert ticks == {1: 200 * 11, 16: 200 + 10}


@pytest.mark.parametrize("rate", [0, 0.1])
def test_programs_of_a_run_that_was_given_up_are_executed_all_the_same(rate):
    for seed in range(5):
        device = ReferenceDevice(RACE, window=8)
        port = DelayingPort(device, seed=seed)
        session = LinkSession(port, RACE)
        port.rate = rate
        outputs = session.run(spikes(100))
        next(outputs)
        outputs.close()
        begun = session.read_memory("theta").shape == (RACE.tiles, RACE.neurons)
        assert begun and 1 <= len(device.programs) - 1 <= 9
        assert device.programs[:-1] == spikes(len(device.programs) - 1)


def test_two_runs_at_once_are_an_error():
    session = LinkSession(DelayingPort(ReferenceDevice(RACE), seed=0), RACE)
    outer = session.run(spikes(5))
    next(outer)
    session.read_memory("theta")
    with pytest.raises(RuntimeError, match="a run must end before the next one begins"):
        next(outer)


def test_programs_after_a_failed_one_are_executed_all_the_same():
    device = ReferenceDevice(RACE, window=4)
    session = LinkSession(DelayingPort(device, seed=0), RACE)
    with pytest.raises(LinkError, match="BAD_INSTRUCTION to the program ee"):
        list(session.run([b"\xee", *spikes(2)]))
    assert list(session.run(spikes(3))) == [b""] * 3
    assert device.programs == [b"\xee", *spikes(2), *spikes(3)]


class Credulous(FrameReader):
    """A planted bug: the CRC is not looked at."""

    def feed(self, data):
        frames, rest = split(self._rest + data)
        self._rest = rest
        return [(*struct.unpack_from("<HB", body), body[3:-4]) for body, _ in frames if len(body) >= 7]


@pytest.mark.parametrize(("reader", "noticed"), [(FrameReader, False), (Credulous, True)])
def test_a_host_that_takes_damaged_replies_is_noticed(reader, noticed):
    found = False
    for seed in range(6):
        port = LossyPort(ReferenceDevice(RACE), seed=seed, rate=0.0)
        target = LinkTarget(RACE, LinkSession(port, RACE))
        target.session._reader = reader()
        port._rate = 0.15
        try:
            found |= learned_alike(target, RACE, np.random.default_rng(seed)) != ""
        except (LinkError, IndexError, ValueError):
            found = True
    assert found == noticed


@pytest.mark.parametrize("fault", ["trusting", "forgetful"])
def test_a_device_that_acts_on_bad_or_repeated_frames_is_noticed(fault):
    noticed = False
    for seed in range(6):
        port = LossyPort(ReferenceDevice(RACE, **{fault: True}), seed=seed, rate=0.0)
        target = LinkTarget(RACE, LinkSession(port, RACE))
        port._rate = 0.15
        try:
            noticed |= learned_alike(target, RACE, np.random.default_rng(seed)) != ""
        except (LinkError, IndexError, ValueError):
            noticed = True
    assert noticed


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(50, 300), st.integers(40, 200), st.sampled_from([RACE, FREE, READ_OUT]))
def test_programs_keep_to_the_buffers_and_give_the_events_of_the_batch(seed, request, reply, chip):
    batch = events(chip, np.random.default_rng(seed), 6)
    programs = programs_of(chip, batch, request, reply)
    assert all(0 < len(program) <= request for program in programs)
    device = ReferenceDevice(chip)
    outputs = [device.executor.run(program) for program in programs]
    assert all(output[-1] == 0 and len(output) - 1 <= reply for output in outputs)
    spikes = OutputParser(chip).parse(b"".join(output[:-1] for output in outputs), batch)
    state = ChipState.initial(chip)
    state.theta_base = state.margin = 0  # as after a reset
    oracle = Oracle(chip, state)
    assert spikes_difference(spikes, oracle.run(batch)) == ""


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([EventCode.STEP, EventCode.DECIDE, EventCode.DARK, EventCode.END]), max_size=40),
       st.sampled_from([0, 250, 254, 300]), st.sampled_from([RACE, FREE, SHARED]))
def test_the_rule_of_what_outputs_spikes_is_that_of_the_oracle(codes, steps, chip):
    oracle, step, dark = Oracle(chip), 0, False
    acts = {EventCode.STEP: oracle.step, EventCode.DECIDE: oracle.decide, EventCode.DARK: oracle.dark,
            EventCode.END: oracle.end}
    for code in [EventCode.STEP] * steps + codes:
        refused = oracle.counter("refused")
        acts[code]()
        deciding = code == (EventCode.DECIDE if chip.fire_mode == "race" else EventCode.STEP)
        assert outputs_spikes(int(code), step, dark, chip.fire_mode == "race") == (
            deciding and oracle.counter("refused") == refused)
        step, dark = followed(int(code), step, dark, chip.shared)
        assert dark == oracle.is_dark


def test_a_long_ascending_run_travels_as_a_frame():
    batch = EventBatch(np.r_[np.arange(20), -4].astype(np.int32), np.array([0, 21]))
    (program,) = programs_of(RACE, batch, 512, 511)
    assert len(program) == 1 + 5 + 1
    batch = EventBatch(np.array([9, 3, -4], np.int32), np.array([0, 3]))
    assert len(programs_of(RACE, batch, 512, 511)[0]) == 3 + 3 + 1


@pytest.mark.parametrize("chip", [RACE, FREE], ids=["race", "free"])
def test_frame_and_spikes_have_the_same_effect(chip):
    device, oracle = ReferenceDevice(chip).executor, Oracle(chip)
    oracle.state.theta_base = oracle.state.theta_step = 0
    batch = EventBatch(np.array([*range(3, 30), -1, 35, 36, 4, -1, *range(0, 35, 2), -2, -3, *range(20), -4], np.int32),
                       np.array([0, 80]))
    batch = EventBatch(batch.codes, np.array([0, len(batch.codes)]))
    programs = programs_of(chip, batch, 512, 511)
    assert b"\x02" in b"".join(programs)
    spikes = OutputParser(chip).parse(b"".join(device.run(program)[:-1] for program in programs), batch)
    assert spikes_difference(spikes, oracle.run(batch)) == ""
    assert device.oracle.state.differences(oracle.state) == ""


def test_a_batch_may_begin_in_a_dark_sample():
    device, oracle, parser = ReferenceDevice(RACE).executor, Oracle(RACE), OutputParser(RACE)
    oracle.state.theta_base = oracle.state.theta_step = 0
    for codes in ([-1] * 250, [-1] * 6, [3, -3], [*range(30), -2, -1], [-4, *range(30), -2, -4]):
        batch = EventBatch(np.array(codes, np.int32), np.array([0, len(codes)]))
        programs = programs_of(RACE, batch, 64, 64, sample=parser.sample)
        spikes = parser.parse(b"".join(device.run(program)[:-1] for program in programs), batch)
        assert spikes_difference(spikes, oracle.run(batch)) == ""
    assert device.oracle.state.differences(oracle.state) == "" and oracle.counter("refused") == 34


def test_without_output_spikes_a_program_has_as_many_samples_as_it_can_hold():
    """But of a shared crossbar, whose samples take long: a host that waits for a reply has its patience."""
    batch = EventBatch(np.array([3, EventCode.DECIDE, EventCode.END] * 60, np.int32), np.arange(0, 181, 3))
    (told, quiet), shared = ([programs_of(chip, batch, 64, 63, report=report) for report in (True, False)]
                             for chip in (RACE, SHARED))
    assert b"".join(told) == b"".join(quiet) and len(quiet) == 60 * 5 // 60 < len(told)
    assert shared[0] == shared[1]


def test_an_empty_batch_is_no_program():
    batch = EventBatch(np.zeros(0, np.int32), np.zeros(3, np.int64))
    assert programs_of(RACE, batch, 512, 511) == []
    assert len(OutputParser(RACE).parse(b"", batch)) == 2


def test_codes_the_link_cannot_say_are_not_said():
    batch = EventBatch(np.array([65536 + 3], np.int32), np.array([0, 1]))
    assert programs_of(RACE, batch, 512, 511) == [b"\x01\xff\xff"]
    wide = dataclasses.replace(RACE, plane_height=256, plane_width=256, stride=200)
    with pytest.raises(ValueError, match="lines must be at most 65535, not 65539"):
        programs_of(wide, batch, 512, 511)
    with pytest.raises(ValueError, match="codes must be lines or event codes, not -261"):
        programs_of(RACE, EventBatch(np.array([-261], np.int32), np.array([0, 1])), 512, 511)


def test_fires_outside_the_chip_are_an_error():
    batch = EventBatch(np.array([-2], np.int32), np.array([0, 1]))
    for output, name in ((b"\x06\x00\x01\xff", "tile of an output spike must be 0 to 5, not 6"),
                         (b"\x00\x00\x05\xff", "neuron of an output spike must be 0 to 4, not 5")):
        with pytest.raises(LinkError, match=name):
            OutputParser(RACE).parse(output, batch)


def test_output_that_does_not_fit_the_events_is_an_error():
    batch = EventBatch(np.array([-2, -4], np.int32), np.array([0, 2]))
    for output in (b"", b"\x00\x01", b"\xff\xff"):
        with pytest.raises(LinkError, match="output spikes and answers must take"):
            OutputParser(RACE).parse(output, batch)
    assert isinstance(OutputParser(RACE).parse(b"\xff", batch), OutputSpikes)


def test_answers_and_labels_are_said_and_heard():
    codes = [EventCode.ANSWER, label_code(2), label_code(254), -2, EventCode.ANSWER, -4]
    batch = EventBatch(np.array(codes, np.int32), np.array([0, 5, 6]))
    assert programs_of(READ_OUT, batch, 512, 511) == [bytes([7, 8, 2, 8, 254, 4, 7, 6])]
    answer = bytes([2, 0x10, 0x32, 0x04, 3, 0, 1])
    answers = OutputParser(READ_OUT).parse(bytes(7) + b"\xff" + answer, batch).answers
    assert answers.offsets.tolist() == [0, 2, 2] and answers.label.tolist() == [0, 2]
    assert answers.score.tolist() == [0, 0x43210] and answers.margin.tolist() == [0, 0x10003]
    with pytest.raises(LinkError, match="output spikes and answers must take"):
        OutputParser(READ_OUT).parse(bytes(6), EventBatch(batch.codes[:1], np.array([0, 1])))
    # a chip without a read-out puts out nothing
    assert len(OutputParser(RACE).parse(b"\xff", batch).answers.label) == 0


def test_an_event_that_says_more_than_a_reply_holds_is_refused():
    batch = EventBatch(np.array([-2], np.int32), np.array([0, 1]))
    with pytest.raises(LinkError, match="output spikes of an event may take 19 bytes, but a reply holds 18"):
        programs_of(RACE, batch, 512, 18)


def test_memories_are_written_and_read_whole():
    port = LossyPort(ReferenceDevice(RACE, max_request=41, max_reply=23), seed=1, rate=0.0)
    session = LinkSession(port, RACE)
    rng = np.random.default_rng(2)
    for name, shape, high in (("levels", (RACE.tiles * RACE.rows, 5), 16), ("theta", (RACE.tiles, 5), 4096),
                              ("set", (4, 16), 65536), ("random", (RACE.tiles, 1), 2**32)):
        values = rng.integers(0, high, shape)
        session.write_memory(name, values)
        assert np.array_equal(session.read_memory(name), values)
    with pytest.raises(ValueError, match="theta must have shape"):
        session.write_memory("theta", np.zeros((1, 1), int))
    with pytest.raises(ValueError, match="levels must hold integers of 1 bytes"):
        session.write_memory("levels", np.full((RACE.tiles * RACE.rows, 5), 256))


def test_buffers_too_small_for_a_cell_are_named():
    session = LinkSession(LossyPort(ReferenceDevice(RACE, max_request=9, max_reply=8), seed=0, rate=0.0), RACE)
    with pytest.raises(LinkError, match="max_reply leaves 7 bytes, a cell of counters takes 8"):
        session.read_memory("counters")
    with pytest.raises(LinkError, match="max_request leaves 1 bytes, a cell of theta takes 4"):
        session.write_memory("theta", session.read_memory("theta"))


def test_a_window_of_none_is_refused():
    with pytest.raises(LinkError, match="window must be at least 1, not 0"):
        LinkSession(LossyPort(ReferenceDevice(RACE, window=0), seed=0, rate=0.0), RACE)


def test_another_chip_is_refused_field_by_field():
    other = dataclasses.replace(RACE, neurons=6, trace_shift=4, fire_mode="threshold", winners=1, learners=1)
    with pytest.raises(LinkError) as caught:
        LinkSession(LossyPort(ReferenceDevice(other), seed=0, rate=0.0), RACE)
    for part in ("neurons is 6, expected 5", "trace_shift is 4, expected 3", "fire_mode is threshold, expected race"):
        assert part in str(caught.value)


def test_silence_ends_in_an_error():
    port = LossyPort(ReferenceDevice(RACE), seed=0, rate=0.0)
    session = LinkSession(port, RACE)
    port.device.receive = lambda line: b""
    with pytest.raises(LinkError, match="did not answer program"):
        session.read_memory("theta")
    with pytest.raises(LinkError, match="does not answer"):
        LinkSession(port, RACE)


def test_a_chip_that_was_reset_is_noticed():
    port = LossyPort(ReferenceDevice(RACE), seed=0, rate=0.0)
    session = LinkSession(port, RACE)
    port.device = ReferenceDevice(RACE)
    with pytest.raises(LinkError, match="lost the session"):
        session.read_memory("theta")


def test_a_failed_program_names_its_status():
    session = LinkSession(LossyPort(ReferenceDevice(RACE), seed=0, rate=0.0), RACE)
    with pytest.raises(LinkError, match="BAD_INSTRUCTION to the program ee"):
        list(session.run([b"\xee"]))


@pytest.mark.slow
@pytest.mark.parametrize(("chip", "lanes"), [(RACE, 2), (FREE, 2), (Chip.preset("tiny"), None)],
                         ids=["race", "free", "tiny"])
def test_the_rtl_over_a_bad_line_equals_the_oracle(chip, lanes):
    with compile_chip(chip, lanes=lanes) as rtl:
        rtl.reset()
        rtl.write(encode_frame(5, FrameKind.HELLO, bytes(4)))  # offered in the first clock after reset
        rtl.run(2000)
        assert [frame[:2] for frame in FrameReader().feed(rtl.read())] == [(5, FrameKind.IDENTITY)]
        port = CompiledPort(rtl, patience=200_000)
        session = LinkSession(port, chip)
        rng = np.random.default_rng(4)

        def damaged(data):
            if data and rng.random() < 0.1:
                data = bytearray(data)
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            return bytes(data)

        def write(data):
            rtl.write(damaged(data * 2 if rng.random() < 0.05 else data))

        port.write, port.read = write, lambda: damaged(rtl.read())
        assert learned_alike(LinkTarget(chip, session), chip, rng, rounds=12) == ""
        assert session.resent > 0 and session.naks > 0 and session.damaged > 0
