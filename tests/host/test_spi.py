"""The host behind an SPI: at the pins of the compiled RTL, and what it makes of the bytes of an SPI."""

import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch
from ohmspike.host.link import session, spi_port
from ohmspike.host.link.frames import FrameReader, LinkError, encode_frame
from ohmspike.host.link.session import LinkSession
from ohmspike.host.link.spi_port import SpiPort
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.registry import is_target, open_target
from ohmspike.host.targets.rtl import RtlSpiTarget
from ohmspike.sim.rtl.build import compile_spi_chip
from ohmspike.sim.state import ChipState, spikes_difference

CHIP = Chip(name="spi", plane_height=4, plane_width=5, patch_height=4, patch_width=5, stride=1, neurons=4, winners=1,
            learners=1, min_spikes=1, levels=8, weight_bits=4, membrane_bits=10, threshold_bits=12, theta_step=9.0,
            amplitudes=4, set_step=0.3, reset_step=0.3)


def samples(rng, count):
    events = [np.sort(rng.choice(CHIP.lines, int(rng.integers(4, 12)), replace=False)) for _ in range(count)]
    each = [np.r_[lines, -2, -4].astype(np.int32) for lines in events]  # DECIDE, END
    return EventBatch(np.concatenate(each), np.r_[0, np.cumsum([len(codes) for codes in each])])


@pytest.fixture(scope="module")
def behind_pins():
    with RtlSpiTarget(CHIP) as target:
        target.session._port._patience = 2000  # bytes; a program here takes less
        yield target


@pytest.fixture
def short_frames(monkeypatch):
    """What is no chip is given up after fewer bytes."""
    for module in (session, spi_port):
        monkeypatch.setattr(module, "LONGEST_FRAME", 500)


def transfer(rtl, data):
    rtl.write(data)
    rtl.run(len(data) * 64 + 64, until_quiet=True, quiet_cycles=1)
    return rtl.read()


def learns_as_the_model(target, seed):
    model, batch = ModelTarget(CHIP), samples(np.random.default_rng(seed), 40)
    for each in (target, model):
        each.load(ChipState.initial(CHIP))
    found = spikes_difference(target.present(batch, learn=True), model.present(batch, learn=True))
    return found or target.state().differences(model.state())


def test_at_the_pins_a_chip_learns_as_the_model(behind_pins):
    before = behind_pins.session.resent
    assert learns_as_the_model(behind_pins, 1) == ""
    assert behind_pins.session.resent == before


def test_bits_that_flip_on_the_way_either_way_cost_repeats_and_nothing_else(behind_pins):
    draw, port = random.Random(2), behind_pins.session._port
    unharmed = port._transfer

    def flipped(data):
        return bytes(byte ^ (1 << draw.randrange(8) if draw.random() < 0.0005 else 0) for byte in data)

    port._transfer = lambda data: flipped(unharmed(flipped(data)))
    try:
        before = behind_pins.session.resent
        assert learns_as_the_model(behind_pins, 2) == ""
        assert behind_pins.session.resent > before
    finally:
        port._transfer = unharmed


def test_a_clock_too_fast_for_the_chip_is_noticed(short_frames):
    with compile_spi_chip(CHIP, bit_clocks=4) as rtl:
        with pytest.raises(LinkError, match="does not answer|something else"):
            LinkSession(SpiPort(lambda data: transfer(rtl, data), patience=1000), CHIP)


@given(st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 5)), max_size=6), st.integers(0, 3),
       st.integers(1, 30))
def test_what_was_said_is_heard_whatever_the_silence_between(frames, silence, cut):
    line = b"\x7e" * silence + b"".join(
        encode_frame(seq, 4, payload) + b"\x7e" * pause for seq, (payload, pause) in enumerate(frames))
    answers, reader = iter(line[at:at + cut] for at in range(0, len(line), cut)), FrameReader()
    port = SpiPort(lambda data: next(answers, b""), patience=1)
    heard = []
    for _ in range(len(line) // cut + 1):
        port.write(b"")
        heard += reader.feed(port.read())
    assert heard == [(seq, 4, payload) for seq, (payload, _) in enumerate(frames)]
    assert reader.damaged == 0


@pytest.mark.parametrize(("level", "said"), [
    (0x7E, "the chip does not answer"), (0xFF, "something else is on this port"),
    (0x00, "something else is on this port")])
def test_a_line_without_a_chip_is_no_chip(short_frames, level, said):
    with pytest.raises(LinkError, match=said):
        LinkSession(SpiPort(lambda data: bytes([level]) * len(data), patience=1000), CHIP)


def test_a_device_of_linux_is_opened_by_its_name(monkeypatch):
    opened = []

    class SpiDev:
        """As spidev has it, with the compiled RTL behind it."""

        def open(self, bus, device):
            opened.append((bus, device))
            self.rtl = compile_spi_chip(CHIP)

        def xfer3(self, data):
            return tuple(transfer(self.rtl, bytes(data)))

        def close(self):
            opened.append((self.mode, self.max_speed_hz))

    monkeypatch.setitem(sys.modules, "spidev", SimpleNamespace(SpiDev=SpiDev))
    with open_target("spi:/dev/spidev1.2@4000000", CHIP, timeout_s=0.05) as target:
        assert learns_as_the_model(target, 3) == ""
    assert opened == [(1, 2), (0, 4_000_000)]


@pytest.mark.parametrize(("name", "said"), [
    ("spi:/dev/ttyUSB0", r"SPI must be a device of Linux, /dev/spidevBUS.DEVICE, not '/dev/ttyUSB0'"),
    ("spi:/dev/spidev0.0@fast", "clock of the SPI must be a positive integer, in Hz, not 'fast'"),
    ("spi", "target must be one of")])
def test_names_that_are_no_device_are_refused(name, said):
    with pytest.raises(UserError, match=said):
        open_target(name, CHIP)


@pytest.mark.parametrize("fails", ["open", "xfer3"])
def test_a_number_too_large_and_a_transfer_that_fails_are_no_traceback(monkeypatch, fails):
    class SpiDev:
        def open(self, bus, device):
            if fails == "open":
                raise OverflowError("signed integer is greater than maximum")

        def xfer3(self, data):
            raise OSError(5, "Input/output error")

        def close(self):
            closed.append(self)

    closed = []
    monkeypatch.setitem(sys.modules, "spidev", SimpleNamespace(SpiDev=SpiDev))
    said = {"open": "cannot be opened at 5000000 Hz: signed integer", "xfer3": "a transfer failed: Input/output error"}
    with pytest.raises(LinkError, match=said[fails]):
        open_target("spi:/dev/spidev0.0", CHIP)
    assert len(closed) == 1


def test_a_missing_package_and_a_missing_device_are_named(monkeypatch):
    class SpiDev:
        def open(self, bus, device):
            raise FileNotFoundError(2, "No such file or directory")

        def close(self):
            pass

    monkeypatch.setitem(sys.modules, "spidev", SimpleNamespace(SpiDev=SpiDev))
    with pytest.raises(LinkError, match=r"/dev/spidev7.0: cannot be opened at 5000000 Hz: No such file"):
        open_target("spi:/dev/spidev7.0", CHIP)
    monkeypatch.setitem(sys.modules, "spidev", None)
    with pytest.raises(UserError, match="package spidev, which is missing"):
        open_target("spi:/dev/spidev7.0", CHIP)
    assert is_target("spi:/dev/spidev7.0") and not is_target("spi") and not is_target("spi:")
