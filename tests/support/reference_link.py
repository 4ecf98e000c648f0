"""The link protocol (docs/link.md) in plain Python: frames, the chip's end without time, a host's end with it."""

import struct
import zlib
from collections import Counter, deque
from dataclasses import dataclass, field

from ohmspike.chip.instructions import ESCAPE, ESCAPE_XOR, FLAG, PROTOCOL_VERSION, FrameKind, NakReason, Status

__all__ = ["Frame", "ReferenceHost", "ReferenceLink", "decode", "encode", "split", "stuff", "verify"]

HEADER = struct.Struct("<HB")


@dataclass(frozen=True)
class Frame:
    seq: int
    kind: int
    payload: bytes = b""


def stuff(content: bytes) -> bytes:
    return b"".join(bytes([ESCAPE, byte ^ ESCAPE_XOR]) if byte in (FLAG, ESCAPE) else bytes([byte])
                    for byte in content)


def sealed(seq: int, kind: int, payload: bytes = b"") -> bytes:
    """A frame's content: header, payload, CRC."""
    body = HEADER.pack(seq, kind) + payload
    return body + struct.pack("<I", zlib.crc32(body))


def encode(seq: int, kind: int, payload: bytes = b"") -> bytes:
    return bytes([FLAG]) + stuff(sealed(seq, kind, payload)) + bytes([FLAG])


def split(line: bytes) -> tuple[list[tuple[bytes, bool]], bytes]:
    """Contents of all frames after the first FLAG, each with whether an escape cut it off; and the unfinished rest."""
    *closed, rest = line.split(bytes([FLAG]))
    frames = []
    for piece in closed[1:]:
        if piece:
            content, escaped = bytearray(), False
            for byte in piece:
                if byte == ESCAPE and not escaped:
                    escaped = True
                else:
                    content.append(byte ^ ESCAPE_XOR if escaped else byte)
                    escaped = False
            frames.append((bytes(content), escaped))
    return frames, bytes([FLAG]) + rest if closed else b""


def decode(line: bytes) -> list[Frame]:
    """All frames of a line without damage; damage is a :class:`ValueError`."""
    found = []
    for content, aborted in split(line)[0]:
        if aborted or len(content) < 7 or struct.unpack("<I", content[-4:])[0] != zlib.crc32(content[:-4]):
            raise ValueError(f"damaged frame {content.hex()}")
        found.append(Frame(*HEADER.unpack(content[:3]), content[3:-4]))
    return found


@dataclass
class Segment:
    """What the chip may and must say between two IDENTITY frames."""

    programs: dict[int, bytes] = field(default_factory=dict)  # number to program
    asked: Counter = field(default_factory=Counter)  # number to how often its reply was asked for
    refused: list[tuple[int, int, int]] = field(default_factory=list)  # reason, seq, numbers given out by then
    expected: list[int] = field(default_factory=list)  # every expected number so far
    identity: Frame | None = None


class ReferenceLink:
    """Judge every frame at once, as if programs took no time.

    ``answer`` gives output and status of a program. What the chip says is collected in ``segments``
    (:func:`verify`), since the order of replies and which NAKs are merged is a matter of time.
    """

    def __init__(self, digest, answer, *, max_request, max_reply, window):
        self.digest, self.answer = digest, answer
        self.max_request, self.max_reply, self.window = max_request, max_reply, window
        self.expected, self.nonce, self.accepted = 0, None, 0
        self.programs = []
        self.bad_frames = self.out_of_sequence = self.repeats = 0
        self.segments = [Segment(expected=[0])]
        self.rest = b""

    def receive(self, line: bytes):
        frames, self.rest = split(self.rest + line)
        for content, aborted in frames:
            self._judge(content, aborted)

    def reply(self, program: bytes) -> bytes:
        output, status = self.answer(program)
        if len(output) > self.max_reply - 1 and status == Status.OK:
            status = Status.OVERFLOW
        return output[:self.max_reply - 1] + bytes([status])

    def _judge(self, content, aborted):
        seq = int.from_bytes(content[:2], "little")
        payload = content[3:-4]
        if not 7 <= len(content) <= 7 + self.max_request:
            return self._refuse(NakReason.LENGTH, seq)
        if aborted or zlib.crc32(content[:-4]) != int.from_bytes(content[-4:], "little"):
            return self._refuse(NakReason.CHECK, seq)
        if content[2] == FrameKind.HELLO:
            return self._hello(seq, payload) if len(payload) == 4 else self._refuse(NakReason.LENGTH, seq)
        if content[2] != FrameKind.RUN:
            return self._refuse(NakReason.KIND, seq)
        self._run(seq, payload)

    def _refuse(self, reason, seq):
        if reason == NakReason.SEQUENCE:
            self.out_of_sequence += 1
        else:
            self.bad_frames += 1
        self.segments[-1].refused.append((reason, seq, len(self.segments[-1].expected) - 1))

    def _hello(self, seq, nonce):
        payload = (b"OHMS" + struct.pack("<BBHH", PROTOCOL_VERSION, self.window, self.max_request, self.max_reply)
                   + self.digest + struct.pack("<H", self.expected))
        if nonce != self.nonce:
            self.nonce, self.accepted, self.expected = nonce, 0, (seq + 1) % 65536
        old = self.segments[-1]
        old.identity = Frame(seq, FrameKind.IDENTITY, payload)
        # the same session goes on: its programs may be asked for again
        self.segments.append(Segment(programs=dict(old.programs) if self.accepted else {}, expected=[self.expected]))

    def _run(self, seq, program):
        here = self.segments[-1]
        if self.nonce is not None and seq == self.expected:
            self.programs.append(program)
            self.expected, self.accepted = (seq + 1) % 65536, min(self.accepted + 1, self.window)
            here.programs[seq] = program
            here.asked[seq] += 1
            here.expected.append(self.expected)
        elif self.nonce is not None and 1 <= (self.expected - seq) % 65536 <= self.accepted:
            self.repeats += 1
            here.asked[seq] += 1
        else:
            self._refuse(NakReason.SEQUENCE, seq)


def verify(reference: ReferenceLink, line: bytes):
    """Everything the chip said was allowed, and everything it had to say was said."""
    frames = deque(decode(line))
    for segment in reference.segments:
        replies, naks = Counter(), []
        while frames and frames[0].kind != FrameKind.IDENTITY:
            frame = frames.popleft()
            if frame.kind == FrameKind.REPLY:
                assert frame.seq in segment.programs, f"reply to a program that was not accepted: {frame}"
                assert frame.payload == reference.reply(segment.programs[frame.seq]), f"wrong reply: {frame}"
                replies[frame.seq] += 1
            else:
                assert frame.kind == FrameKind.NAK, f"unknown kind: {frame}"
                naks.append((frame.seq, *struct.unpack("<BH", frame.payload)))
        assert set(replies) == set(segment.asked), f"answered {set(replies)}, not {set(segment.asked)}"
        assert all(replies[seq] <= segment.asked[seq] for seq in replies), (replies, segment.asked)
        _verify_naks(segment, naks)
        if segment.identity is not None:
            assert frames, f"no answer to a HELLO: {segment.identity}"
            assert frames.popleft() == segment.identity
    assert not frames, f"nobody asked for {frames}"


def _verify_naks(segment, naks):
    """NAKs are a subsequence of the refusals that ends with the last one."""
    assert bool(naks) == bool(segment.refused), f"refused {segment.refused}, told {naks}"
    if naks:
        assert naks[-1][1::-1] == segment.refused[-1][:2], f"not told: {segment.refused[-1]}, but {naks}"
    refused = reversed(segment.refused)
    for seq, reason, expected in reversed(naks):
        assert any(entry[:2] == (reason, seq) and expected in segment.expected[entry[2]:] for entry in refused), \
            f"NAK for no refusal: reason {reason}, seq {seq}, expected {expected}"


class ReferenceHost:
    """A host that gets its programs executed over a line that damages and loses.

    Call :meth:`step` once per clock with the byte received, if any; it returns bytes to send.
    """

    def __init__(self, programs, *, window, nonce, first, timeout):
        self.programs, self.window, self.timeout = programs, window, timeout
        self.nonce, self.first = nonce, first
        self.replies, self.started = {}, False
        self.sent = 0  # programs sent so far
        self.waited, self.line = 0, b""

    @property
    def done(self):
        return len(self.replies) == len(self.programs)

    def step(self, byte):
        out = b""
        self.waited += 1
        if byte is not None:
            self.line += bytes([byte])
            if byte == FLAG:
                frames, self.line = split(self.line)
                out += b"".join(self._take(content, aborted) for content, aborted in frames)
        if self.waited > self.timeout:
            self.waited = 0
            out += self._run(self._oldest()) if self.started else self._hello()
        while self.started and self.sent < min(self._oldest() + self.window, len(self.programs)):
            out += self._run(self.sent)
            self.sent += 1
        return out

    def _oldest(self):
        return next((index for index in range(len(self.programs)) if index not in self.replies), len(self.programs))

    def _hello(self):
        return encode(self.first, FrameKind.HELLO, self.nonce)

    def _run(self, index):
        if index >= len(self.programs):
            return b""
        return encode((self.first + 1 + index) % 65536, FrameKind.RUN, self.programs[index])

    def _take(self, content, aborted):
        if aborted or len(content) < 7 or zlib.crc32(content[:-4]) != int.from_bytes(content[-4:], "little"):
            return b""
        seq, kind = HEADER.unpack(content[:3])
        if kind == FrameKind.IDENTITY:
            self.started, self.waited = True, 0
        index = (seq - self.first - 1) % 65536
        if kind == FrameKind.REPLY and index < len(self.programs):
            self.replies[index], self.waited = content[3:-4], 0
        if kind == FrameKind.NAK and self.started:
            again = (int.from_bytes(content[4:6], "little") - self.first - 1) % 65536
            return b"".join(self._run(place) for place in range(again, self.sent))
        return b""
