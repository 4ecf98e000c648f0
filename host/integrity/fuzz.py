"""Throw damaged frames at the link of a chip: none may be acted upon, and the chip must still answer afterwards."""

import hashlib
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ohmspike.chip import Chip
from ohmspike.chip.instructions import ESCAPE, ESCAPE_XOR, FLAG, MEMORIES, FrameKind, Opcode
from ohmspike.host.link.frames import FrameReader, encode_frame
from ohmspike.host.link.ports import Port
from ohmspike.host.support.errors import UserError

__all__ = ["FuzzError", "FuzzReport", "fuzz", "mutants"]

_BATCH = 500
_WAITS = 2000  # a wait ends with a frame, or with the patience of the port
_SILENT = 3  # waits in a row that bring nothing


class FuzzError(UserError):
    """The chip acted upon a damaged frame, refused a sound one, or fell silent."""


@dataclass
class FuzzReport:
    """What a campaign came to."""

    seed: int
    mutants: int = 0
    kinds: Counter = field(default_factory=Counter)
    """Mutants by what was done to them."""
    replies: Counter = field(default_factory=Counter)
    """Frames from the chip by kind."""
    checks: int = 0
    """Times the chip was asked for its state."""

    def as_dict(self) -> dict:
        """For JSON; a campaign that ends has found nothing."""
        return {"seed": self.seed, "mutants": self.mutants, "acted_upon": 0, "hangs": 0, "checks": self.checks,
                "kinds": dict(self.kinds.most_common()), "frames_from_chip": dict(self.replies.most_common())}


def _flip(rng, line):
    at = rng.randrange(1, len(line) - 1)
    return line[:at] + bytes([line[at] ^ 1 << rng.randrange(8)]) + line[at + 1:]


def _flips(rng, line):
    for _ in range(rng.randrange(2, 9)):
        line = _flip(rng, line)
    return line


def _replace(rng, line):
    at = rng.randrange(len(line))
    return line[:at] + bytes([rng.randrange(256)]) + line[at + 1:]


def _delete(rng, line):
    at = rng.randrange(len(line))
    return line[:at] + line[at + rng.randrange(1, 5):]


def _insert(rng, line):
    at = rng.randrange(len(line))
    return line[:at] + rng.randbytes(rng.randrange(1, 5)) + line[at:]


def _insert_special(rng, line):
    at = rng.randrange(1, len(line))
    special = rng.choice([bytes([FLAG]), bytes([ESCAPE]), bytes([ESCAPE, FLAG]), bytes([ESCAPE, ESCAPE])])
    return line[:at] + special + line[at:]


def _truncate(rng, line):
    return line[:rng.randrange(1, len(line))]


def _swap(rng, line):
    at = rng.randrange(1, len(line) - 2)
    return line[:at] + line[at + 1:at + 2] + line[at:at + 1] + line[at + 2:]


def _repeat_part(rng, line):
    at, end = sorted(rng.sample(range(len(line) + 1), 2))
    return line[:end] + line[at:end] + line[end:]


def _burst(rng, line):
    at = rng.randrange(1, len(line) - 1)
    length = min(rng.randrange(1, 5), len(line) - 1 - at)
    return line[:at] + rng.randbytes(length) + line[at + length:]


def _prolong(rng, line):
    return line[:-1] + rng.randbytes(rng.choice([1, 600])).replace(bytes([FLAG]), b"") + line[-1:]


def _stuff_nothing(rng, line):
    """An escape sequence that did not have to be one, with the byte it hides turned."""
    at = rng.randrange(1, len(line) - 1)
    return line[:at] + bytes([ESCAPE, line[at] ^ ESCAPE_XOR ^ 1 << rng.randrange(8)]) + line[at + 1:]


_MUTATIONS = (_flip, _flips, _replace, _delete, _insert, _insert_special, _truncate, _swap, _repeat_part, _burst,
              _prolong, _stuff_nothing)


def _resealed(rng, seq, kind, payload):
    """A frame whose check is right, but whose number or kind is not."""
    if rng.random() < 0.5:
        other = (seq + rng.choice([rng.randrange(1, 0x8000), -rng.randrange(200, 0x7000)])) & 0xFFFF
        return encode_frame(other, kind, payload)
    other = rng.choice([code for code in range(256) if code not in (FrameKind.HELLO, FrameKind.RUN)])
    return encode_frame(seq, other, payload)


def _programs(chip: Chip) -> list[bytes]:
    """Programs whose execution would show: in levels, thresholds, registers or counters."""
    codes = {entry.name: entry.code for entry in MEMORIES}
    bitmap = bytes([0xFF]) * -(-chip.lines // 8)
    return [
        bytes([Opcode.END]),
        bytes([Opcode.SPIKE, 1, 0, Opcode.STEP, Opcode.END]),
        bytes([Opcode.FRAME]) + bitmap + bytes([Opcode.DECIDE, Opcode.DARK, Opcode.END]),
        struct.pack("<BBHHH", Opcode.WRITE, codes["levels"], 0, 0, 2) + b"\x01\x02",
        struct.pack("<BBHHHI", Opcode.WRITE, codes["registers"], 0, 1, 1, 0x7E7D),
        struct.pack("<BBHHH", Opcode.READ, codes["theta"], 0, 0, 1) + bytes([Opcode.END]),
    ]


def mutants(rng: random.Random, chip: Chip, seq: int) -> Iterator[tuple[str, bytes]]:
    """Damaged frames without end: what was done to a frame that the chip would have executed, and the frame."""
    programs = _programs(chip)
    while True:
        program = rng.choice(programs)
        mutation = rng.choice((*_MUTATIONS, None))
        if mutation is None:
            yield "resealed", _resealed(rng, seq, FrameKind.RUN, program)
            continue
        line = mutation(rng, encode_frame(seq, FrameKind.RUN, program))
        if not _sound(bytes([FLAG]) + line + bytes([FLAG])):
            yield mutation.__name__.strip("_").replace("_", " "), line


def _sound(line):
    """Whether a receiver would find a frame in it that is to be acted upon."""
    return any(kind in (FrameKind.RUN, FrameKind.HELLO) for _, kind, _ in FrameReader().feed(line))


class _Campaign:
    """One campaign on one port."""

    def __init__(self, port: Port, chip: Chip, seed: int):
        self._port, self._chip = port, chip
        self._rng = random.Random(seed)
        self._reader = FrameReader()
        self.report = FuzzReport(seed)
        self._expected = self._rng.randrange(1 << 16)
        self._ask(FrameKind.HELLO, self._rng.randbytes(4), FrameKind.IDENTITY)

    def _ask(self, kind, payload, answer):
        """Send a sound frame and take what comes until its answer; nothing but refusals may come before."""
        seq = self._expected
        self._port.write(encode_frame(seq, kind, payload))
        silent = 0
        for _ in range(_WAITS):
            self._port.wait(1)
            data = self._port.read()
            silent = 0 if data else silent + 1
            reply = None
            for number, came, content in self._reader.feed(data):
                self.report.replies[FrameKind(came).name] += 1
                if came == answer and number == seq and reply is None:
                    reply = content
                elif came != FrameKind.NAK:
                    raise self._error(f"{FrameKind(came).name} {number} came, which nobody asked for")
            if reply is not None:
                self._expected = (seq + 1) & 0xFFFF
                return reply
            if silent == _SILENT:
                break
        raise self._error(f"{FrameKind(kind).name} {seq} was not answered")

    def _error(self, what):
        done = self.report
        return FuzzError(f"{what}, within {_BATCH} frames after {done.mutants} mutants of seed {done.seed}",
                         hint="the same seed and number of frames bring it again")

    def fingerprint(self) -> str:
        """A digest of everything that a program may change."""
        digest = hashlib.sha256()
        for entry in MEMORIES:
            if entry.name in ("status", "identity"):
                continue
            rows, columns = entry.rows(self._chip), entry.columns(self._chip)
            limit = 500 // entry.cell_bytes
            for first in range(0, rows * columns, limit):
                row, column = divmod(first, columns)
                burst = struct.pack("<BBHHH", Opcode.READ, entry.code, row, column, min(limit, rows * columns - first))
                digest.update(self._ask(FrameKind.RUN, burst, FrameKind.REPLY))
        self.report.checks += 1
        return digest.hexdigest()

    def batch(self, count: int) -> None:
        """Send mutants, then see that the chip is as it was."""
        source = mutants(self._rng, self._chip, self._expected)
        before = self._state
        lines: list[bytes] = []
        for _ in range(count):
            kind, line = next(source)
            self.report.kinds[kind] += 1
            # the end of one and the start of the next may be a whole frame
            apart = kind == "resealed" or (lines and _sound(bytes([FLAG]) + lines[-1] + line + bytes([FLAG])))
            lines.append(bytes([FLAG]) + line if apart else line)
        self._port.write(b"".join(lines))
        after = self.fingerprint()
        if after != before:
            raise self._error("the chip is not what it was: a damaged frame was acted upon")
        self.report.mutants += count

    def start(self) -> None:
        self._state = self.fingerprint()


def fuzz(port: Port, chip: Chip, count: int, *, seed: int = 1,
         progress: Callable[[int, int], None] | None = None) -> FuzzReport:
    """Send that many damaged frames to a chip.

    Each is made from a frame that the chip would have executed. The chip must answer none of them with anything but a
    refusal; after every few hundred of them levels, thresholds, random states, tables, registers and counters must be
    what they were, and a sound frame must be executed.

    Raises
    ------
    FuzzError
        One was acted upon, a sound frame was not, or the chip fell silent.
    """
    campaign = _Campaign(port, chip, seed)
    campaign.start()
    while campaign.report.mutants < count:
        campaign.batch(min(_BATCH, count - campaign.report.mutants))
        if progress is not None:
            progress(campaign.report.mutants, count)
    return campaign.report
