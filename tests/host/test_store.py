"""Images kept in the store of a chip: host, reference device, and the gateware at its pins."""

import warnings
import zlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmspike import Encoding, learn
from ohmspike.chip import Chip, Phase
from ohmspike.chip.events import EventBatch, EventCode, label_code
from ohmspike.chip.instructions import Opcode
from ohmspike.hdl.flow.emit import emit
from ohmspike.hdl.link.uart import BitRate
from ohmspike.hdl.top.sdram import Sdram
from ohmspike.hdl.top.serial import SerialChip
from ohmspike.host.link import store
from ohmspike.host.link.frames import LinkError
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.programs import instructions_of, programs_of
from ohmspike.host.link.session import Identity, LinkSession
from ohmspike.host.support.errors import RunWarning
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.rtl import RtlUartTarget
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.rtl.build import layout_of
from ohmspike.sim.rtl.compiled import CompiledRtl
from ohmspike.sim.state import ChipState, spikes_difference
from support.programs import ReferenceExecutor
from support.reference_device import LossyPort, ReferenceDevice
from support.sdram import SdramChip

CHIP = Chip(name="kept", plane_height=8, plane_width=12, patch_height=5, patch_width=6, stride=3, neurons=5,
            winners=2, learners=2, min_spikes=2, levels=16, weight_bits=4, membrane_bits=10, threshold_bits=12,
            theta_step=9.0, amplitudes=4, set_step=0.3, reset_step=0.3, classes=3, score_bits=10, margin=40,
            read_out_set_step=0.3, read_out_reset_step=0.3,
            schedule=(Phase(passes=2), Phase(passes=2, learn=False, teach=True)))
FREE = replace(CHIP, fire_mode="threshold", winners=1, classes=0, margin=0, read_out_set_step=0.0,
               read_out_reset_step=0.0, schedule=(Phase(passes=2),))
DECIDE, ANSWER, DARK, END = EventCode.DECIDE, EventCode.ANSWER, EventCode.DARK, EventCode.END


def pictures(count, seed=0):
    """Images with a bright rectangle each, and the third of the plane in which it is."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, CHIP.plane_height, CHIP.plane_width), np.uint8)
    labels = rng.integers(0, 3, count)
    for image, label in zip(images, labels, strict=True):
        top, left = rng.integers(0, 3), 4 * label + rng.integers(0, 2)
        image[top:top + rng.integers(4, 6), left:left + rng.integers(3, 5)] = 200
        image[rng.integers(0, 8, 7), rng.integers(0, 12, 7)] = 90
    return images, labels


def batch_of(*samples):
    ends = np.cumsum([len(sample) for sample in samples])
    return EventBatch(np.concatenate(samples).astype(np.int32), np.r_[0, ends])


def device_target(chip, rows, *, seed=0, rate=0.0, **buffers):
    port = LossyPort(ReferenceDevice(chip, store=rows, **buffers), seed=seed, rate=0.0)
    target = LinkTarget(chip, LinkSession(port, chip, seed=seed))
    port._rate = rate
    return target, port


def learned_by_both(target, images, labels):
    """The model after both have learned."""
    model = ModelTarget(CHIP, threads=1)
    for each in (target, model):
        each.load(ChipState.initial(CHIP))
        learn(each, images, labels)
    return model


# programs


SAMPLES = st.lists(st.tuples(
    st.lists(st.one_of(st.integers(0, CHIP.lines + 3), st.just(-1)), max_size=40),
    st.sampled_from([[END], [DECIDE, END], [DECIDE, ANSWER, label_code(1), DARK, END], [DARK], [], [DARK, 3, END]])),
    min_size=1, max_size=8)


@settings(deadline=None, max_examples=150)
@given(SAMPLES, st.integers(40, 512), st.booleans(), st.booleans())
def test_replays_do_what_the_events_do_however_samples_begin_and_end(parts, max_request, race, dark):
    """Samples without an END, in the dark, with lines that no chip has, over buffers of any size."""
    chip = CHIP if race else FREE
    parts = [(spikes, [code for code in tail if race or code not in (DECIDE, ANSWER) and code > -6])
             for spikes, tail in parts]
    batch = batch_of(*(np.array([*spikes, *tail], np.int32) for spikes, tail in parts * 2))
    told, meant, content, pieces = ReferenceExecutor(chip, store=64), ReferenceExecutor(chip, runs=True), b"", []
    for start, end in store.images_in(batch.codes, batch.offsets.astype(np.int64)).tolist():
        data = instructions_of(chip, EventBatch(batch.codes[start:end], np.array([0, end - start])))
        if len(data) > 8:
            pieces.append((start, end, len(content), len(data)))
            content += data
    told.store[:len(content)] = content
    begun = [int(DARK)] if dark and race else []
    for executor in (told, meant):
        for program in programs_of(chip, batch_of(np.array(begun, np.int32)), 512, 511):
            executor.run(program)
    sample = (0, bool(begun))
    kinds = {name: [executor.run(program) for program in programs_of(
        chip, batch, max_request, 511, sample=sample, runs=True, replays=np.array(found, np.int64).reshape(-1, 4))]
        for name, executor, found in (("told", told, pieces), ("meant", meant, []))}
    said = {name: b"".join(output[:-1] for output in outputs) for name, outputs in kinds.items()}
    assert said["told"] == said["meant"] and {output[-1] for outputs in kinds.values() for output in outputs} <= {0}
    assert told.oracle.state.differences(meant.oracle.state) == ""


def test_an_image_is_8_bytes_once_it_is_kept_whatever_is_asked_after_it():
    target, port = device_target(CHIP, 16)
    target.load(ChipState.initial(CHIP))
    target.keeps_images = True
    images = pictures(20)[0]
    encoding, sent = Encoding.of(CHIP), []
    for tail in ({"learn": True}, {"learn": False, "answer": True}, {"learn": False}):
        before = len(port.device.programs)
        target.present(encoding(CHIP, images[::-1], **tail), learn=False, report=False)
        sent.append(port.device.programs[before:])
    assert any(program[:2] == b"\x10\x15" for program in sent[0])
    assert [sum(len(program) for program in programs if program[0] not in (0x10, 0x11)) for programs in sent] == [
        20 * (8 + 3), 20 * (8 + 3), 20 * (8 + 2)]
    assert target.stored.images == 20 and not any(program[0] == 0x10 for program in sent[2])


def test_what_finds_no_room_is_sent_as_before():
    images, labels = pictures(60)
    target, _ = device_target(CHIP, 2)
    model = learned_by_both(target, images, labels)
    assert 20 < target.stored.images < 60 and target.stored.used <= 512
    assert target.state().differences(model.state()) == ""


def test_single_passes_and_spikes_that_are_drawn_are_not_kept():
    images, labels = pictures(8)
    for chip, encoding in ((replace(CHIP, schedule=(Phase(),)), None), (FREE, Encoding(4, 0.5)),
                           (replace(CHIP, schedule=(Phase(passes=2, shift=1),)), None),
                           (replace(CHIP, schedule=(Phase(passes=2, noise=0.2),)), None)):
        target, port = device_target(chip, 16)
        target.load(ChipState.initial(chip))
        learn(target, images, labels if chip.classes else None, encoding=encoding)
        assert target.stored.images == 0 and not any(program[:1] == b"\x13" for program in port.device.programs)
        assert not target.keeps_images


@pytest.mark.parametrize("seed", range(2))
def test_over_a_bad_line_kept_images_are_learned_exactly_once(seed):
    target, port = device_target(CHIP, 16, seed=seed, rate=0.08, max_request=90)
    state = ChipState.initial(CHIP)
    state.learn = True
    target.load(state)
    target.keeps_images = True
    oracle, batch = Oracle(CHIP, state), Encoding.of(CHIP)(CHIP, pictures(12, seed)[0], learn=True)
    for _ in range(2):
        assert spikes_difference(target.present(batch, learn=True), oracle.run(batch)) == ""
    assert target.state().differences(oracle.state) == "" and target.session.resent


def test_after_a_failure_nothing_in_the_store_is_trusted():
    target, port = device_target(CHIP, 16)
    target.load(ChipState.initial(CHIP))
    target.keeps_images = True
    batch = Encoding.of(CHIP)(CHIP, pictures(6)[0], learn=False)
    target.present(batch, learn=False)
    port.device.executor.store[:] = bytes(len(port.device.executor.store))
    target.recover()
    assert target.stored.images == 0
    expected = Oracle(CHIP, ChipState.initial(CHIP)).run(batch)
    assert spikes_difference(target.present(batch, learn=False), expected) == ""


def test_an_image_that_changed_in_the_store_is_told():
    images, labels = pictures(10)
    target, port = device_target(CHIP, 16)
    target.load(ChipState.initial(CHIP))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RunWarning)
        learn(target, images, labels)
    assert target.images_intact() and target.stored.images
    port.device.executor.store[target.stored.used - 3] ^= 0x20
    with pytest.warns(RunWarning, match="^the store of the chip no longer holds the images"):
        learn(target, images, labels)


def test_a_key_that_does_not_tell_images_apart_is_noticed(monkeypatch):
    """The tests above can fail: images that share their first spikes are taken for one."""
    monkeypatch.setattr(store, "blake2b", lambda data, digest_size: store_digest(data[:4]))
    images, labels = pictures(20)
    target, _ = device_target(CHIP, 16)
    model = learned_by_both(target, images, labels)
    assert target.state().differences(model.state()) != ""


class store_digest(bytes):
    def digest(self):
        return bytes(self)


# identity


def test_identity_tells_the_rows_of_the_store():
    payload = b"OHMS\x04\x02\x00\x02\x00\x02" + bytes(8) + b"\x34\x12" + b"\x07\x00"
    identity = Identity.parse(payload)
    assert (identity.store, identity.expected, identity.runs) == (0x1234, 7, True)
    assert Identity.parse(payload[:4] + b"\x03" + payload[5:18] + payload[20:]).store == 0
    with pytest.raises(LinkError, match="^identity must be 22 bytes that begin with b'OHMS', not "):
        Identity.parse(payload[:18] + payload[20:])


# gateware


def learns_at_its_pins(target, images, labels):
    """Every pass on the target is that of the model, in answers, counters and state."""
    model = ModelTarget(CHIP, threads=1)
    for each in (target, model):
        each.load(ChipState.initial(CHIP))
    learned = [learn(each, images, labels) for each in (target, model)]
    assert learned[0].prequential == learned[1].prequential
    assert target.state().differences(model.state()) == ""
    assert target.counters()["labels_right"] == model.counters()["labels_right"] > 0


def learns_three_passes_by_one_program(target, images, labels):
    """Whole samples are in the store, with their labels and ENDs: the host says which bytes, and three times."""
    model, batch = ModelTarget(CHIP, threads=1), Encoding()(CHIP, images, learn=True, labels=labels)
    for each in (target, model):
        each.load(ChipState.initial(CHIP))
        each.present(batch[:0], learn=True, report=False)
    data = instructions_of(CHIP, batch)
    target.session.write_cells("store", 0, np.frombuffer(data, np.uint8))
    program = bytes([Opcode.REPLAY, 0, 0, 0]) + len(data).to_bytes(3, "little") + b"\x03"
    assert list(target.session.run([program])) == [b""]
    for _ in range(3):
        model.present(batch, learn=True, report=False)
    assert target.state().differences(model.state()) == ""
    assert target.counters()["samples"] == model.counters()["samples"] == 3 * len(images)


@pytest.mark.slow
@pytest.mark.parametrize("rows, small", [(8, False), (1, True)])
def test_at_the_pins_a_chip_learns_passes_out_of_its_store_as_the_model(rows, small):
    """At 12 Mbaud and 50 MHz; with room for all 30 images, and for some."""
    with RtlUartTarget(CHIP, store=rows, small=small, bit_clocks=Fraction(50, 12)) as target:
        assert target.session.identity.store == rows
        learns_at_its_pins(target, *pictures(30))
        assert (target.stored.images > 27) == (rows == 8) and target.stored.images > 5
        content = target.read("store").ravel()[:target.stored.used]
        assert target.check("store", [(0, len(content))]) == [zlib.crc32(content.tobytes())]
        learns_three_passes_by_one_program(target, *pictures(30 if rows == 8 else 4))


class WithSdram(wiring.Component):
    """A chip at two wires with an SDRAM beside it."""

    rx: In(1, init=1)
    tx: Out(1, init=1)

    def __init__(self, sdram, bit_clocks):
        self._serial = SerialChip(layout_of(CHIP), BitRate(*bit_clocks.as_integer_ratio()), sdram=sdram)
        self._chip = SdramChip(sdram)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.serial, m.submodules.chip = self._serial, self._chip
        connect(m, self._serial.sdram, self._chip.pins)
        m.d.comb += [self._serial.rx.eq(self.rx), self.tx.eq(self._serial.tx)]
        return m


@pytest.mark.slow
def test_at_the_pins_a_chip_learns_passes_out_of_its_sdram_as_the_model():
    """At 12 Mbaud and 50 MHz, 16 MB less a row; the chip of memory asserts its times."""
    rate = Fraction(50, 12)
    text = emit(WithSdram(Sdram(50_000_000), rate), "chip")
    with CompiledRtl(text, top="chip", bit_clocks=rate) as rtl:
        rtl.run(12_000)  # 200 us in which it wakes up
        target = LinkTarget(CHIP, LinkSession(CompiledPort(rtl), CHIP))
        assert target.session.identity.store == 65_535
        learns_at_its_pins(target, *pictures(30))
        assert target.stored.images > 27
        content = target.read_cells("store", 0, target.stored.used)
        assert target.check("store", [(0, len(content))]) == [zlib.crc32(content.tobytes())]
