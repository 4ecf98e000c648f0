"""The host's end of the link: frames, sessions, programs (docs/link.md)."""

import random
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ohmspike.chip import Chip
from ohmspike.chip.instructions import (
    CHECK_BYTES,
    IDENTITY_WORDS,
    MEMORIES,
    PROTOCOL_VERSION,
    RUNS_VERSION,
    STORE_VERSION,
    FrameKind,
    NakReason,
    Opcode,
    Status,
)

from .frames import LONGEST_FRAME, FrameReader, LinkError, encode_frame
from .ports import Port

__all__ = ["Identity", "LinkSession"]

_RETRIES = 8
_SHOWN_BYTES = 40
_FRUITLESS = 1000  # waits that brought something, but no reply
_BURST_HEADER = 8
_BURST_CELLS = 0xFFFF
_DTYPES = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}


# sessions


@dataclass(frozen=True)
class Identity:
    """What a chip says about itself in IDENTITY."""

    protocol: int
    window: int
    max_request: int
    max_reply: int
    digest: bytes
    expected: int
    store: int = 0
    """Rows of the memory ``store``: programs may have REPLAY."""

    @property
    def runs(self) -> bool:
        """Programs may have RUNS."""
        return self.protocol in (RUNS_VERSION, STORE_VERSION)

    @classmethod
    def parse(cls, payload: bytes) -> "Identity":
        """Read the payload of an IDENTITY frame."""
        stores = payload[4:5] == bytes([STORE_VERSION])
        if len(payload) != 20 + 2 * stores or payload[:4] != b"OHMS":
            raise LinkError(f"identity must be {20 + 2 * stores} bytes that begin with b'OHMS', not {payload[:24]!r}",
                            hint="is something else connected there?")
        protocol, window, max_request, max_reply = struct.unpack_from("<BBHH", payload, 4)
        if window == 0:
            raise LinkError("window must be at least 1, not 0", hint="is something else connected there?")
        return cls(protocol, window, max_request, max_reply, payload[10:18], int.from_bytes(payload[-2:], "little"),
                   int.from_bytes(payload[18:-2], "little"))


@dataclass
class _Flight:
    """A program under way."""

    seq: int
    program: bytes
    frame: bytes
    reply: bytes | None = None
    asked: bool = False  # for its reply, since the last time-out


class LinkSession:
    """A session with one chip: programs go out, their outputs come back, each executed exactly once.

    Parameters
    ----------
    seed : int, optional
        Of the first number and the nonces, for bytes that are the same every time. Without one, two hosts that follow
        each other at a chip hardly ever choose the same.

    Attributes
    ----------
    identity : :class:`Identity`
    resent, naks : int
        Frames sent again, frames the chip refused.

    Raises
    ------
    LinkError
        Nothing answers, the protocol differs, or the chip is not of this description.
    """

    def __init__(self, port: Port, chip: Chip, *, seed: int | None = None):
        self._port, self._chip = port, chip
        self._reader = FrameReader()
        self._random = random.SystemRandom() if seed is None else random.Random(seed)
        self.resent = self.naks = 0
        self._next = self._random.randrange(1 << 16)
        self._flights: deque[_Flight] = deque()  # oldest first
        self._owner: object = None  # the run whose programs are under way
        self._timeouts = self._fruitless = 0  # since the last reply
        # expected number of the last NAK, and how far beyond it the refused frame was
        self._refusal: tuple[int, int] | None = None
        self.identity = self._hello()
        if self.identity.protocol not in (PROTOCOL_VERSION, RUNS_VERSION, STORE_VERSION):
            raise LinkError(f"link protocol must be {PROTOCOL_VERSION} to {STORE_VERSION}, "
                            f"not {self.identity.protocol}",
                            hint="use the host of the version the bitstream was built with")
        if self.identity.digest != bytes.fromhex(chip.structure_digest)[:8]:
            raise self._another_chip()

    @property
    def damaged(self) -> int:
        """Frames from the chip that came in damaged."""
        return self._reader.damaged

    def _hello(self):
        frame = encode_frame(self._next, FrameKind.HELLO, self._random.randbytes(4))
        heard, received, echoes = b"", 0, 0
        for _ in range(_RETRIES):
            self._port.write(frame)
            self._port.wait(1)
            data = self._port.read()
            heard, received = heard or data[:_SHOWN_BYTES], received + len(data)
            for seq, kind, payload in self._reader.feed(data):
                if kind == FrameKind.IDENTITY and seq == self._next:
                    self._next = (self._next + 1) & 0xFFFF
                    return Identity.parse(payload)
                echoes += kind == FrameKind.HELLO and seq == self._next
            if received > _RETRIES * LONGEST_FRAME:
                break  # whatever it is, it never pauses
        if echoes:
            raise LinkError("the line echoes what is sent, and no chip answers",
                            hint="are the two data wires joined, or is a terminal or a modem on this port?")
        if received:
            raise LinkError(f"something else is on this port: {received:,} bytes that are no frames of a chip, "
                            f"beginning with {_shown(heard)}",
                            hint="choose another port, or the baud rate of the board: serial:PORT@BAUD")
        raise LinkError("the chip does not answer", hint="is it powered, configured, and on this port?")

    def _another_chip(self):
        common = [name for name in IDENTITY_WORDS if "optional" not in Chip.__dataclass_fields__[name].metadata]
        words, = self.run([self._burst(Opcode.READ, self._memory("identity")[0], 0, len(common), len(common))])
        identity = dict(zip(common, np.frombuffer(words, "<u2").tolist(), strict=True))
        options = {name: Chip.__dataclass_fields__[name].metadata.get("options") for name in common}
        differences = []
        for name, word in identity.items():
            choices = options[name]
            value = word if choices is None else choices[word] if word < len(choices) else f"choice {word}"
            if value != getattr(self._chip, name):
                differences.append(f"{name} is {value}, expected {getattr(self._chip, name)}")
        what = "; ".join(differences) or "the fixed weight table differs, or noise_bits or stuck_cells"
        return LinkError(f"the chip is not a {self._chip.name}: {what}",
                         hint="choose the description of the chip with --chip")

    def renew(self) -> None:
        """Begin a new session with the same chip, after a failure: what was under way is forgotten at both ends.

        The chip finishes the programs it has accepted, or its watchdog breaks them off; what it holds is then unknown.

        Raises
        ------
        LinkError
            It does not answer, or is another chip.
        """
        self._flights.clear()
        self._owner, self._refusal = None, None
        self._timeouts = self._fruitless = 0
        self._reader = FrameReader()
        self._port.read()
        self._next = self._random.randrange(1 << 16)
        identity = self._hello()
        if identity.digest != self.identity.digest:
            raise self._another_chip()
        self.identity = identity

    # programs

    def run(self, programs: Iterable[bytes]) -> Iterator[bytes]:
        """Execute programs and yield their outputs, in order, without the status.

        Up to a window of programs is under way. What is refused or lost is sent again. If the iterator is given up,
        or a program fails, those already under way are executed all the same.

        Raises
        ------
        LinkError
            A program failed, or the chip no longer answers.
        RuntimeError
            Another run began before this one ended.
        """
        owner = self._owner = object()
        for _ in self._answered(iter(())):  # of a run that was given up
            pass
        for program, reply in self._answered(iter(programs)):
            yield self._output(reply, program)
            if self._owner is not owner:
                raise RuntimeError("a run must end before the next one begins")

    def _answered(self, source):
        """Programs and their replies, in order, a window of them under way."""
        more = True
        while True:
            while more and len(self._flights) < self.identity.window:
                program = next(source, None)
                if more := program is not None:
                    flight = _Flight(self._next, program, encode_frame(self._next, FrameKind.RUN, program))
                    self._flights.append(flight)
                    self._next = (self._next + 1) & 0xFFFF
                    self._port.write(flight.frame)
            if not self._flights:
                return
            self._exchange()
            while self._flights and self._flights[0].reply is not None:
                flight = self._flights.popleft()
                yield flight.program, flight.reply

    def _exchange(self):
        """Take what comes next, and send again what got lost."""
        self._port.wait(1)
        damaged = self._reader.damaged
        data = self._port.read()
        replied = False
        for seq, kind, payload in self._reader.feed(data):
            if kind == FrameKind.REPLY:
                replied |= self._take_reply(seq, payload)
            elif kind == FrameKind.NAK and len(payload) == 3:
                self._take_nak(seq, payload[0], int.from_bytes(payload[1:], "little"))
        if replied:
            self._timeouts = self._fruitless = 0
        elif data:
            self._fruitless += 1
        else:
            self._timeouts += 1
        if self._timeouts > _RETRIES or self._fruitless > _FRUITLESS:
            self._timeouts = self._fruitless = 0
            raise LinkError(f"the chip did not answer program {self._flights[0].seq} in {_RETRIES} attempts",
                            hint="its state is unknown: load a saved state before going on")
        if not data:  # nothing is under way any more
            self._refusal = None
            self._resend(self._flights)
        else:
            self._ask_again(self._reader.damaged != damaged)

    def _take_reply(self, seq, payload):
        for flight in self._flights:
            if flight.seq == seq and flight.reply is None:
                flight.reply = payload
                return True
        return False

    def _take_nak(self, seq, reason, expected):
        """Go back to the expected number, once for all refusals that follow one lost frame.

        These come with rising numbers; a number that does not rise belongs to a frame sent after going back.
        """
        self.naks += 1
        oldest, window = self._flights[0].seq, self.identity.window
        ahead = (expected - oldest) & 0xFFFF
        if ahead > len(self._flights):
            if reason == NakReason.SEQUENCE and ahead < 0x10000 - 2 * window:  # else it is an old NAK
                raise LinkError(f"the chip lost the session: it expects program {expected}, not {oldest}",
                                hint="it may have been reset: load a saved state before going on")
            return
        beyond = (seq - expected) & 0xFFFF
        if self._refusal is None or self._refusal[0] != expected or beyond <= self._refusal[1]:
            self._resend(list(self._flights)[ahead:])
            self._refusal = expected, 0
        if beyond <= window:  # else the number was damaged
            self._refusal = expected, beyond

    def _ask_again(self, damaged):
        """Ask for the oldest reply if it seems to be lost: replies come oldest first."""
        oldest = next((i for i, flight in enumerate(self._flights) if flight.reply is None), None)
        if oldest is None or self._flights[oldest].asked:
            return
        if damaged or any(flight.reply is not None for flight in list(self._flights)[oldest:]):
            self._resend([self._flights[oldest]])
            self._flights[oldest].asked = True

    def _resend(self, flights):
        for flight in flights:
            flight.asked = False
            if flight.reply is None:
                self.resent += 1
                self._port.write(flight.frame)

    @staticmethod
    def _output(reply, program):
        status = reply[-1] if reply else None
        if status == Status.ABORTED:
            raise LinkError(f"the chip hung in the program {program[:12].hex(' ')}… of {len(program)} bytes, and its "
                            "watchdog broke it off", hint="sample and registers are lost: load or scrub its state")
        if status != Status.OK:
            name = Status(status).name if status in list(Status) else f"status {status!r}"
            raise LinkError(f"the chip answered {name} to the program {program[:12].hex(' ')}… of {len(program)} bytes")
        return reply[:-1]

    # memories

    def read_memory(self, name: str) -> np.ndarray:
        """Contents of a memory, of shape (rows, columns)."""
        _, rows, columns = self._memory(name)
        return self.read_cells(name, 0, rows * columns).reshape(rows, columns)

    def read_cells(self, name: str, first: int, count: int) -> np.ndarray:
        """Cells of a memory, counted along its columns, then its rows."""
        entry, _, columns = self._memory(name)
        limit = min(_BURST_CELLS, self._cells(entry, "max_reply", self.identity.max_reply - 1))
        bursts = (self._burst(Opcode.READ, entry, start, min(limit, first + count - start), columns)
                  for start in range(first, first + count, limit))
        data = _sized(b"".join(self.run(bursts)), count * entry.cell_bytes, name)
        return np.frombuffer(data, _DTYPES[entry.cell_bytes]).astype(f"u{entry.cell_bytes}")

    def check_cells(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[int]:
        """CRC-32 of every range (first cell, number of cells) of a memory: of the bytes that reading it would deliver.

        The chip works it out; 8 bytes go there and 4 come back for up to 65,535 cells.
        """
        entry, _, columns = self._memory(name)
        pieces = [(index, start, min(_BURST_CELLS, first + count - start))
                  for index, (first, count) in enumerate(ranges) for start in range(first, first + count, _BURST_CELLS)]
        programs: list[bytes] = []
        cells = 0
        for _, start, count in pieces:
            full = programs and (len(programs[-1]) + _BURST_HEADER > self.identity.max_request
                                 or CHECK_BYTES * (len(programs[-1]) // _BURST_HEADER + 1) > self.identity.max_reply - 1
                                 or cells + count > _BURST_CELLS)  # no program takes long
            if full or not programs:
                programs.append(b"")
                cells = 0
            programs[-1] += self._burst(Opcode.CHECK, entry, start, count, columns)
            cells += count
        data = _sized(b"".join(self.run(programs)), CHECK_BYTES * len(pieces), f"checksums of {name}")
        sums = np.frombuffer(data, "<u4").tolist()
        checksums = [0] * len(ranges)
        for (index, _, count), crc in zip(pieces, sums, strict=True):
            # of a piece and what comes before it: the CRC is linear but for its start value
            zeros = bytes(count * entry.cell_bytes)
            checksums[index] = zlib.crc32(zeros, checksums[index]) ^ zlib.crc32(zeros) ^ crc
        return checksums

    def write_memory(self, name: str, values: npt.ArrayLike) -> None:
        """Replace the contents of a memory by an integer array of shape (rows, columns)."""
        entry, rows, columns = self._memory(name)
        cells = np.asarray(values)
        if cells.shape != (rows, columns):
            raise ValueError(f"{name} must have shape {(rows, columns)}, not {cells.shape}")
        if cells.dtype.kind not in "iu" or cells.min() < 0 or int(cells.max()) >= 1 << 8 * entry.cell_bytes:
            raise ValueError(f"{name} must hold integers of {entry.cell_bytes} bytes")
        if name == "counters":  # any write clears them all
            cells = cells[:, :1]
        self.write_cells(name, 0, cells.ravel())

    def write_cells(self, name: str, first: int, values: npt.ArrayLike) -> None:
        """Replace cells of a memory, counted along its columns, then its rows."""
        entry, _, columns = self._memory(name)
        flat = np.asarray(values).astype(_DTYPES[entry.cell_bytes])
        limit = self._cells(entry, "max_request", self.identity.max_request - _BURST_HEADER)
        bursts = (self._burst(Opcode.WRITE, entry, first + start, len(flat[start:start + limit]), columns)
                  + flat[start:start + limit].tobytes() for start in range(0, len(flat), limit))
        for _ in self.run(bursts):
            pass

    def _memory(self, name):
        entry = next(entry for entry in MEMORIES if entry.name == name)
        rows = self.identity.store if name == "store" else entry.rows(self._chip)
        return entry, rows, entry.columns(self._chip)

    @staticmethod
    def _cells(entry, buffer, size):
        """Cells of a memory that fit what a buffer leaves for them."""
        if size < entry.cell_bytes:
            raise LinkError(f"{buffer} leaves {max(size, 0)} bytes, a cell of {entry.name} takes {entry.cell_bytes}",
                            hint=f"build the chip with a larger {buffer}")
        return size // entry.cell_bytes

    @staticmethod
    def _burst(opcode, entry, first, count, columns):
        row, column = divmod(first, columns)
        return struct.pack("<BBHHH", opcode, entry.code, row, column, count)


def _shown(data):
    """The beginning of what came, as text if it is text."""
    text = " ".join(data.decode("ascii", "replace").split())
    if text and text.isprintable() and text.isascii():
        return repr(text)
    return data[:16].hex(" ")


def _sized(data, size, what):
    if len(data) != size:
        raise LinkError(f"{what} must come in {size} bytes, not {len(data)}")
    return data
