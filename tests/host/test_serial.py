"""The host's serial path through real pseudo-terminals: to the compiled RTL, with the cable pulled, the chip reset."""

import contextlib
import os
import select
import threading
import time
import tty
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from ohmspike.boards import BOARDS
from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch
from ohmspike.host.commands.build import build
from ohmspike.host.link import serial_port
from ohmspike.host.link.bridge import Bridge
from ohmspike.host.link.frames import LinkError, encode_frame
from ohmspike.host.link.serial_port import SerialPort, find_board, find_boards
from ohmspike.host.link.session import LinkSession
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.model import ModelTarget
from ohmspike.host.targets.registry import open_target
from ohmspike.host.targets.serial import SerialTarget
from ohmspike.sim.rtl.build import compile_chip
from ohmspike.sim.state import ChipState, spikes_difference
from support.reference_device import ReferenceDevice

CHIP = Chip(name="race", plane_height=5, plane_width=7, patch_height=3, patch_width=3, stride=2, neurons=5, winners=2,
            learners=2, min_spikes=2, levels=16, weight_bits=4, membrane_bits=10, threshold_bits=12, theta_step=9.0,
            amplitudes=4, set_step=0.3, reset_step=0.3)


class Line:
    """A reference device behind a pseudo-terminal, which may be pulled out, reset, or put behind another one."""

    def __init__(self, folder):
        self.link = folder / "tty"
        self.device = ReferenceDevice(CHIP)
        self.delivered = 0  # reads answered
        self._ends, self._thread = None, None

    def plug(self):
        self._ends = os.openpty()
        tty.setraw(self._ends[1])
        with contextlib.suppress(FileNotFoundError):
            self.link.unlink()
        self.link.symlink_to(os.ttyname(self._ends[1]))
        self._thread = threading.Thread(target=self._serve, args=(self._ends[0],), daemon=True)
        self._thread.start()

    def _serve(self, end):
        with contextlib.suppress(OSError):
            while data := os.read(end, 4096):
                if data[-3:] == b"\xfd\xfe\xff":
                    return
                os.write(end, self.device.receive(data))
                self.delivered += 1

    def pull(self):
        """The terminal goes away under the host's hands."""
        os.write(self._ends[1], b"")
        for end in self._ends:
            os.close(end)
        self.link.unlink()


@pytest.fixture
def line(tmp_path):
    made = Line(tmp_path)
    made.plug()
    return made


def spikes(count):
    return [bytes(i % 5) + bytes([1, i % 30, 0]) for i in range(count)]


def batch_of(chip, seed, samples):
    rng = np.random.default_rng(seed)
    codes = [np.r_[np.sort(rng.choice(chip.lines, chip.lines // 3, replace=False)), -2, -3, -4] for _ in range(samples)]
    return EventBatch(np.concatenate(codes).astype(np.int32), np.r_[0, np.cumsum([len(part) for part in codes])])


@pytest.mark.slow
def test_a_serial_chip_does_what_the_model_does():
    chip = Chip.load("tiny")
    with compile_chip(chip) as rtl, Bridge(rtl) as bridge:
        server = threading.Thread(target=bridge.serve)
        server.start()
        try:
            with SerialTarget(chip, port=bridge.name) as target, ModelTarget(chip) as model:
                for body in (target, model):
                    body.load(ChipState.initial(chip))
                for seed, learn in ((1, True), (2, False), (3, True)):
                    batch = batch_of(chip, seed, 20)
                    fires = target.present(batch, learn=learn), model.present(batch, learn=learn)
                    assert spikes_difference(*fires) == "" and len(fires[0].tile) > 20
                assert target.state().differences(model.state()) == ""
                assert target.session.damaged == 0
            with SerialTarget(chip, port=bridge.name) as again:  # another host finds the chip as it was left
                assert (again.read("levels") == model.state().levels.reshape(-1, chip.neurons)).all()
                half = batch_of(chip, 4, 1)  # and leaves in the middle of a sample
                again.present(EventBatch(half.codes[:-2], np.array([0, len(half.codes) - 2])), learn=False)
                left = again.state()
            for keep in (True, False):
                with open_target(f"serial:{bridge.name}", chip, keep=keep) as target, ModelTarget(chip) as model:
                    model.load(left if keep else ChipState.initial(chip), keep_counters=keep)
                    assert target.state().differences(model.state()) == ""
                    batch = batch_of(chip, 5, 10)
                    fires = target.present(batch, learn=True), model.present(batch, learn=True)
                    assert spikes_difference(*fires) == "" and target.state().differences(model.state()) == ""
                    again = batch_of(chip, 6, 1)
                    target.present(EventBatch(again.codes[:-1], np.array([0, len(again.codes) - 1])), learn=True)
                    left = target.state()
        finally:
            bridge.stop()
            server.join()
    assert bridge.received > 1000 and bridge.sent > 1000


def test_a_session_over_a_terminal_answers_in_order(line):
    port = SerialPort(str(line.link), 3_000_000)
    session = LinkSession(port, CHIP)
    assert list(session.run(spikes(100))) == [b""] * 100
    assert line.device.programs == spikes(100)
    port.close()


def test_frames_come_whole_however_the_line_cuts_them():
    ends = os.openpty()
    tty.setraw(ends[1])
    port = SerialPort(os.ttyname(ends[1]), 115_200, timeout_s=0.2)
    frames = [encode_frame(n, 0x82, bytes([n] * n)) for n in range(1, 30)]

    def send():
        whole = b"".join(frames)
        for start in range(0, len(whole), 7):
            os.write(ends[0], whole[start:start + 7])

    threading.Thread(target=send).start()
    came = b""
    while len(came) < sum(map(len, frames)):
        port.wait(1)
        came += (part := port.read())
        assert part, "silence before the last frame"
    assert came == b"".join(frames)
    port.wait(1)
    assert port.read() == b""
    port.close()
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("reset", [False, True])
def test_a_pulled_cable_is_waited_for(line, reset):
    said = []
    port = SerialPort(str(line.link), 115_200, timeout_s=0.2, report=said.append)
    session = LinkSession(port, CHIP)
    outputs = session.run(spikes(60))
    for _ in range(20):
        next(outputs)
    if reset:
        line.device = ReferenceDevice(CHIP)
    line.pull()
    back = threading.Timer(0.5, line.plug)
    back.start()
    if reset:
        with pytest.raises(LinkError, match="the chip lost the session") as caught:
            list(outputs)
        assert "load a saved state" in caught.value.hint
    else:
        assert list(outputs) == [b""] * 40
        assert line.device.programs == spikes(60)  # each exactly once
    assert "went away" in said[0] and "is back" in said[1]
    back.join()
    port.close()


def test_a_cable_that_stays_out_is_an_error(line):
    port = SerialPort(str(line.link), 115_200, timeout_s=0.1, return_s=0.5)
    session = LinkSession(port, CHIP)
    line.pull()
    with pytest.raises(LinkError, match="went away and did not come back within 0 s"):
        list(session.run(spikes(3)))


def test_a_board_that_is_reset_in_the_middle_of_a_run_is_noticed(line):
    port = SerialPort(str(line.link), 115_200, timeout_s=0.2)
    session = LinkSession(port, CHIP)
    outputs = session.run(spikes(60))
    next(outputs)
    line.device = ReferenceDevice(CHIP)
    with pytest.raises(LinkError, match="the chip lost the session: it expects program 0"):
        list(outputs)
    port.close()


def test_a_silent_port_is_an_error_with_a_hint():
    ends = os.openpty()
    tty.setraw(ends[1])
    with pytest.raises(LinkError, match="the chip does not answer"):
        SerialTarget(CHIP, port=os.ttyname(ends[1]), timeout_s=0.02)
    for end in ends:
        os.close(end)


STRANGERS = {
    "a GPS": (b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n", "GPGGA"),
    "a modem": (b"\r\nERROR\r\n", "ERROR"),
    "bytes without a FLAG": (b"\x01\x02\x03" * 3000, "01 02 03"),
    "nothing but FLAGs": (b"\x7e" * 9000, "bytes that are no frames"),
    "an echo": (None, "the line echoes what is sent"),
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("endless", [False, True])
def test_a_stranger_on_the_port_is_named_in_bounded_time_and_memory(name, endless):
    says, message = STRANGERS[name]
    ends = os.openpty()
    tty.setraw(ends[1])
    over = threading.Event()

    def serve():
        with contextlib.suppress(OSError):
            while not over.is_set():
                ready, _, _ = select.select([ends[0]], [], [], 0.001)
                data = os.read(ends[0], 4096) if ready else b""
                if data or endless and says is not None:
                    os.set_blocking(ends[0], False)
                    with contextlib.suppress(BlockingIOError):
                        os.write(ends[0], data if says is None else says)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    started = time.monotonic()
    try:
        with pytest.raises(LinkError, match=message) as caught:
            SerialTarget(CHIP, port=os.ttyname(ends[1]), timeout_s=0.05)
    finally:
        over.set()
        server.join()
        for end in ends:
            os.close(end)
    assert time.monotonic() - started < 30 and len(str(caught.value)) < 300 and caught.value.hint


def test_a_port_that_is_not_there_is_an_error_with_a_hint():
    with pytest.raises(LinkError, match="/dev/ttyNONE: cannot be opened: No such file or directory"):
        SerialTarget(CHIP, port="/dev/ttyNONE")


@pytest.mark.parametrize("port", ["/dev/ttyUSB0@", "x@fast", "x@0", "x@-3"])
def test_a_bad_baud_rate_is_refused(port):
    with pytest.raises(UserError, match="baud rate must be a positive integer|cannot be opened"):
        SerialTarget(CHIP, port=port)


def usb(device, vendor, product, text, location="1-2:1.0"):
    return SimpleNamespace(device=device, vid=vendor, pid=product, product=text, description=text, location=location,
                           serial_number="1")


PORTS = [
    usb("/dev/ttyS0", None, None, None, None),
    usb("/dev/ttyUSB0", 0x0403, 0x6015, "ULX3S FPGA 85K v3.0.8"),
    usb("/dev/ttyUSB1", 0x0403, 0x6010, "iCEBreaker V1.0e", "1-3:1.0"),
    usb("/dev/ttyUSB2", 0x0403, 0x6010, "iCEBreaker V1.0e", "1-3:1.1"),
    usb("/dev/ttyUSB3", 0x0403, 0x6001, "FT232R USB UART"),
]


def test_boards_are_known_by_their_usb_identity(monkeypatch):
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: PORTS)
    assert [(found.port, found.board, found.baud) for found in find_boards()] == [
        ("/dev/ttyUSB0", "ulx3s-85f", 3_000_000), ("/dev/ttyUSB2", "icebreaker", 3_000_000)]
    with pytest.raises(UserError, match="more than one board is connected: /dev/ttyUSB0, /dev/ttyUSB2"):
        find_board()
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: PORTS[:2])
    assert find_board().board == "ulx3s-85f"
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: PORTS[:1])
    with pytest.raises(UserError, match="no known board is connected; serial ports: /dev/ttyS0"):
        find_board()


def test_every_board_can_be_chosen():
    said = CliRunner().invoke(build, ["--board", "abacus"]).output
    assert all(board in said for board in BOARDS)
