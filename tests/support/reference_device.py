"""A chip at the far end of a bad line: the protocol of docs/link.md over the reference executor, and seeded faults."""

import heapq
import itertools
import struct
import zlib

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.instructions import FrameKind, NakReason, protocol_of
from support.reference_link import encode, split

from .programs import ReferenceExecutor

__all__ = ["DelayingPort", "LossyPort", "ReferenceDevice"]


class ReferenceDevice:
    """The chip's end of the link, in zero time: bytes in, bytes out.

    Parameters
    ----------
    runs : bool
        RUNS is an instruction.
    store : int
        Rows of the store.
    trusting : bool
        A planted bug: CRCs are not checked.
    forgetful : bool
        A planted bug: repeats are executed again.
    """

    def __init__(self, chip: Chip, *, window=2, max_request=512, max_reply=512, runs=False, store=0,
                 trusting=False, forgetful=False):
        self.executor = ReferenceExecutor(chip, runs=runs, store=store)
        self._protocol, self._store = protocol_of(runs=runs, store=store), store
        self.window, self.max_request, self.max_reply = window, max_request, max_reply
        self.digest = bytes.fromhex(chip.structure_digest)[:8]
        self.programs = []
        self._trusting, self._forgetful = trusting, forgetful
        self._expected, self._nonce = 0, None
        self._replies = {}
        self._rest = b""

    def receive(self, line: bytes) -> bytes:
        frames, self._rest = split(self._rest + line)
        return b"".join(self._judge(content, aborted) for content, aborted in frames)

    def _nak(self, reason, seq):
        return encode(seq, FrameKind.NAK, struct.pack("<BH", reason, self._expected))

    def _judge(self, content, aborted):
        seq, payload = int.from_bytes(content[:2], "little"), content[3:-4]
        if not 7 <= len(content) <= 7 + self.max_request:
            return self._nak(NakReason.LENGTH, seq)
        good = not aborted and zlib.crc32(content[:-4]) == int.from_bytes(content[-4:], "little")
        if not good and not self._trusting:
            return self._nak(NakReason.CHECK, seq)
        if content[2] == FrameKind.HELLO:
            return self._hello(seq, payload)
        if content[2] != FrameKind.RUN:
            return self._nak(NakReason.KIND, seq)
        return self._run(seq, payload)

    def _hello(self, seq, nonce):
        before = self._expected
        if nonce != self._nonce:
            self._nonce, self._expected, self._replies = nonce, (seq + 1) % 65536, {}
        return encode(seq, FrameKind.IDENTITY, b"OHMS" + struct.pack(
            "<BBHH", self._protocol, self.window, self.max_request, self.max_reply) + self.digest
            + (struct.pack("<H", self._store) if self._store else b"") + struct.pack("<H", before))

    def _run(self, seq, program):
        if self._nonce is not None and (seq == self._expected or (self._forgetful and seq in self._replies)):
            self.programs.append(program)
            self._replies[seq] = self.executor.run(program)
            if seq == self._expected:
                self._expected = (seq + 1) % 65536
        elif seq not in self._replies or not 1 <= (self._expected - seq) % 65536 <= self.window:
            return self._nak(NakReason.SEQUENCE, seq)
        return encode(seq, FrameKind.REPLY, self._replies[seq])


class LossyPort:
    """A line to a device that damages, loses, repeats and delays what goes over it, both ways.

    Parameters
    ----------
    rate : float
        Probability of a fault per write or answer.
    """

    def __init__(self, device, *, seed: int, rate: float):
        self.device = device
        self._rng = np.random.default_rng(seed)
        self._rate = rate
        self._held = b""
        self._out = b""

    def _faulty(self, line: bytes) -> bytes:
        if not line or self._rng.random() >= self._rate:
            return line
        fault = self._rng.integers(6)
        place = int(self._rng.integers(len(line)))
        if fault == 0:
            return line[:place] + bytes([line[place] ^ 1 << int(self._rng.integers(8))]) + line[place + 1:]
        if fault == 1:
            return line[:place]
        if fault == 2:
            return b""
        if fault == 3:
            return line + line
        if fault == 4:
            return bytes(self._rng.integers(0, 256, 5, dtype=np.uint8)) + line
        self._held, line = line, self._held  # comes later, after what is sent next
        return line

    def write(self, data):
        self._out += self._faulty(self.device.receive(self._faulty(bytes(data))))

    def read(self):
        out, self._out = self._out, b""
        return out

    def wait(self, frames):
        pass


class DelayingPort:
    """A line on which everything takes its time, so that many frames are under way; each may get lost or damaged.

    Parameters
    ----------
    delay : int
        Ticks a frame travels one way; a program takes one.
    patience : int
        Ticks after which a wait ends.
    """

    def __init__(self, device, *, seed: int, rate: float = 0.0, delay: int = 5, patience: int = 400):
        self.device = device
        self.rate = rate
        self.written = self.faults = self.now = 0
        self._rng = np.random.default_rng(seed)
        self._delay, self._patience = delay, patience
        self._travelling = []  # (arrival, order, to the device, frame)
        self._order = itertools.count()
        self._busy_until = 0
        self._out = b""

    def _send(self, start, inward, frame):
        if self._rng.random() < self.rate:
            self.faults += 1
            fault, place = self._rng.integers(3), int(self._rng.integers(len(frame)))
            broken = bytes([frame[place] ^ 1 << int(self._rng.integers(8))])
            frame = (b"", frame[:place], frame[:place] + broken + frame[place + 1:])[fault]
        heapq.heappush(self._travelling, (start + self._delay, next(self._order), inward, frame))

    def write(self, data):
        self.written += 1
        self._send(self.now, True, bytes(data))

    def read(self):
        out, self._out = self._out, b""
        return out

    def wait(self, frames):
        end = self.now + self._patience
        while self._travelling and self._travelling[0][0] <= end:
            self.now, _, inward, frame = heapq.heappop(self._travelling)
            if inward:
                for answer in filter(None, self.device.receive(frame).split(b"~")):
                    self._busy_until = max(self._busy_until, self.now) + 1
                    self._send(self._busy_until, False, b"~" + answer + b"~")
            elif frame:
                self._out += frame
                return
        self.now = end
