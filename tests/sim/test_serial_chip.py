"""A compiled chip behind its UART: every byte goes over two wires, bit by bit."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib.wiring import Component, In, Out, connect

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch
from ohmspike.hdl.flow.emit import emit
from ohmspike.hdl.link.uart import BitRate, UartReceiver, UartTransmitter
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.session import LinkSession
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.rtl.build import compile_serial_chip
from ohmspike.sim.rtl.compiled import CompiledRtl
from ohmspike.sim.state import ChipState, spikes_difference

CHIP = Chip(name="race", plane_height=5, plane_width=7, patch_height=3, patch_width=3, stride=2, neurons=5, winners=2,
            learners=2, min_spikes=2, levels=16, weight_bits=4, membrane_bits=10, threshold_bits=12, theta_step=9.0,
            amplitudes=4, set_step=0.3, reset_step=0.3)


class WireEcho(Component):
    """Bytes come back over the wires as they are."""

    rx: In(1, init=1)
    tx: Out(1, init=1)

    def elaborate(self, platform):
        m = Module()
        rate = BitRate(4, 1)
        m.submodules.receiver = receiver = UartReceiver(rate)
        m.submodules.transmitter = transmitter = UartTransmitter(rate)
        connect(m, receiver.bytes, transmitter.bytes)
        m.d.comb += [receiver.line.eq(self.rx), self.tx.eq(transmitter.line)]
        return m


@pytest.fixture(scope="module")
def echo_text():
    return emit(WireEcho(), "chip")


def test_bytes_go_over_the_wires_without_a_pause(echo_text):
    data = bytes(range(256))
    with CompiledRtl(echo_text, top="chip", bit_clocks=4) as echo:
        echo.write(data)
        clocks = echo.run(100_000, until_quiet=True, quiet_cycles=100)
        assert echo.read() == data
        assert 0 <= clocks - (256 + 1) * 40 - 100 < 20


@pytest.mark.parametrize("bit_clocks", [Fraction(392, 100), Fraction(408, 100)])
def test_the_other_end_may_be_two_percent_off(echo_text, bit_clocks):
    """One that is faster must pause now and then: the echo has room for one byte."""
    data = bytes(range(256))
    with CompiledRtl(echo_text, top="chip", bit_clocks=bit_clocks) as echo:
        for start in range(0, 256, 8):
            echo.write(data[start:start + 8])
            echo.run(10_000, until_quiet=True, quiet_cycles=60)
        assert echo.read() == data


def test_a_line_ten_percent_off_is_not_understood(echo_text):
    with CompiledRtl(echo_text, top="chip", bit_clocks=Fraction(36, 10)) as echo:
        echo.write(bytes(range(256)))
        echo.run(20_000)
        assert echo.read() != bytes(range(256))


def test_wires_need_bits_of_two_clocks(echo_text):
    with pytest.raises(ValueError, match="bit_clocks must be at least 2 or None, not 1"):
        CompiledRtl(echo_text, top="chip", bit_clocks=1)


def test_a_chip_without_wires_is_refused(echo_text):
    with pytest.raises(ValueError, match="top module 'chip' must have a port 'rx_payload' of 8 bits, not no such port"):
        CompiledRtl(echo_text, top="chip")


@pytest.mark.slow
@pytest.mark.parametrize("host_bit_clocks", [None, Fraction(49, 5)])
def test_a_chip_at_its_pins_does_what_the_oracle_does(host_bit_clocks):
    rng = np.random.default_rng(5)
    codes = np.concatenate([np.r_[np.sort(rng.choice(35, 12, replace=False)), -1, 3, -2, -3, -4] for _ in range(12)])
    batch = EventBatch(codes.astype(np.int32), np.arange(0, len(codes) + 1, 17))
    state = ChipState.initial(CHIP)
    state.learn = True
    oracle = Oracle(CHIP, state)
    with compile_serial_chip(CHIP, bit_clocks=10, host_bit_clocks=host_bit_clocks) as rtl:
        target = LinkTarget(CHIP, LinkSession(CompiledPort(rtl, patience=50_000), CHIP))
        target.load(state)
        assert spikes_difference(target.present(batch, learn=True), oracle.run(batch)) == ""
        assert target.state().differences(oracle.state) == ""
        assert target.session.resent == 0 and target.session.damaged == 0
