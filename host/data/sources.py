"""Endless sources of events: a file, a pipe, datagrams; lines of text and recordings that become arrays."""

import contextlib
import errno
import os
import re
import select
import socket
import stat
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from .formats import DataError
from .recordings.events import Events
from .recordings.formats import format_of
from .recordings.tables import read_text

__all__ = ["EventBlocks", "EventText", "blocks", "check_source", "recording_blocks"]

BLOCK = 1 << 18
"""Bytes that are read at once."""

EVENTS = 1 << 16
"""Events of a recording that are carried on at once."""

LINE = DATAGRAM = 65536
QUIET_SECONDS = 10.0
"""After so long without an event a source is said to be silent."""

_WAIT_SECONDS = 0.25
_DROPPED = 40  # SO_RXQ_OVFL of Linux: datagrams dropped so far come with each that is received
_COLUMNS = {"t": "t", "time": "t", "timestamp": "t", "ts": "t", "x": "x", "y": "y", "p": "p", "pol": "p",
            "polarity": "p", "line": "line"}


def blocks(source: str, *, stopped: Callable[[], bool], say: Callable[[str], None], idle: float | None = None
           ) -> Iterator[bytes]:
    """Bytes of a source as they come, some at a time; empty ones while nothing comes.

    Parameters
    ----------
    source : str
        A file or named pipe, ``-`` for standard input, ``udp:PORT`` for datagrams to 127.0.0.1.
    stopped : callable
        Asked a few times a second whether to end.
    say : callable
        Told once when the source falls silent, and of datagrams that were dropped.
    idle : float, optional
        Seconds without bytes after which a source is over; without it only its end ends a source.

    Raises
    ------
    DataError
        There is no such source.
    """
    kind, _, port = source.partition(":")
    receive: _Bytes | _Datagrams
    with contextlib.ExitStack() as stack:
        if kind == "udp":
            opened = stack.enter_context(_socket(port))
            receive = _Datagrams(opened, say)
        else:
            try:
                opened = sys.stdin.buffer if source == "-" else stack.enter_context(open(source, "rb", buffering=0))
            except OSError as error:
                raise DataError(f"{source}: cannot be read: {error.strerror}",
                                hint="name a file, - for a pipe, or udp:PORT") from None
            receive = _Bytes(opened.fileno())
        quiet, told = 0.0, False
        while not stopped():
            if not receive.ready(_WAIT_SECONDS):
                quiet += _WAIT_SECONDS
                if idle is not None and quiet >= idle:
                    say(f"{source}: no events for {idle:g} s, which ends it")
                    return
                if quiet >= QUIET_SECONDS and not told:
                    told = True
                    say(f"{source}: no events for {quiet:g} s; waiting (Ctrl-C ends it and keeps what is learned)")
                yield b""
                continue
            block, quiet, told = receive(), 0.0, False
            if block is None:
                return
            yield block


class _Bytes:
    def __init__(self, number):
        self._number = number
        self._waits = not stat.S_ISREG(os.fstat(number).st_mode)

    def ready(self, seconds):
        return not self._waits or bool(select.select([self._number], [], [], seconds)[0])

    def __call__(self):
        return os.read(self._number, BLOCK) or None


class _Datagrams:
    def __init__(self, opened, say):
        self._socket, self._say, self._dropped = opened, say, 0

    def ready(self, seconds):
        return bool(select.select([self._socket], [], [], seconds)[0])

    def __call__(self):
        block, extra, _, _ = self._socket.recvmsg(DATAGRAM, socket.CMSG_SPACE(4))
        for level, kind, content in extra:
            if (level, kind) == (socket.SOL_SOCKET, _DROPPED):
                dropped, = struct.unpack("I", content[:4])
                if dropped > self._dropped:
                    self._say(f"{dropped - self._dropped:,} datagrams were dropped: "
                              "the source is faster than the target")
                self._dropped = dropped
        return block if block.endswith(b"\n") else block + b"\n"


def _check_port(port):
    if not re.fullmatch(r"\d{1,5}", port) or not 0 <= int(port) <= 65535:
        raise DataError(f"port of udp must be 0 to 65535, not {port!r}", hint="udp:5600")


def _socket(port):
    _check_port(port)
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, _DROPPED, 1)
        opened.bind(("127.0.0.1", int(port)))
    except OSError as error:
        opened.close()
        raise DataError(f"udp:{port}: cannot be listened to: {error.strerror}", hint="take another port") from None
    return opened


class EventText:
    """Lines of text, each an event, as arrays.

    A line has the columns ``t,line``, or ``t,x,y,p`` of a camera, integers with commas between them, *t* in µs, *p* 1
    for ON and 0 (or −1) for OFF. A first line of names puts them in any order. Empty lines, and those that begin with
    ``#``, are left out.

    Parameters
    ----------
    name : str
        What messages call the source.
    sensor : (int, int)
        Height and width of the camera, for lines with *x* and *y*.
    """

    def __init__(self, name: str, sensor: tuple[int, int]):
        self.name, self.sensor = name, sensor
        self.columns: list[str] = []
        self._rest, self._lines = b"", 0

    @property
    def is_camera(self) -> bool | None:
        """Whether lines have *x* and *y*; None before the first line."""
        return "x" in self.columns if self.columns else None

    unit = "line"

    def feed(self, block: bytes | None, *, last: bool = False
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray, DataError | None]:
        """Times, lines and line numbers of the events that are complete now; and an error, behind them.

        Lines of a camera are ``(polarity · height + y) · width + x``, −1 outside the sensor.
        """
        text = self._rest + (block or b"")
        end = len(text) if last else text.rfind(b"\n") + 1
        whole, self._rest = text[:end], text[end:]
        if not self.columns and (error := self._begin(whole)):
            return *self._none(), error
        if not self.columns or not whole:
            return *self._none(), self._endless_line()
        values = self._fast(whole)
        if values is not None:
            numbers = self._lines + 1 + np.arange(len(values))
            self._lines += len(values)
            error = self._endless_line()
        else:
            values, numbers, error = self._slow(whole)
            error = error or self._endless_line()
        by_name = {name: values[:, i] for i, name in enumerate(self.columns)}
        if not self.is_camera:
            return by_name["t"], by_name["line"], numbers, error
        height, width = self.sensor
        x, y, off = by_name["x"], by_name["y"], by_name["p"] <= 0
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return by_name["t"], np.where(inside, (off * height + y) * width + x, -1), numbers, error

    def _endless_line(self):
        """The error of a line without an end, if what is left over is one."""
        if len(self._rest) <= LINE:
            return None
        return DataError(f"{self.name}, line {self._lines + 1:,}: must be shorter than {LINE:,} bytes", hint=_HINT)

    @staticmethod
    def _none():
        return (np.zeros(0, np.int64),) * 3

    def _begin(self, text):
        """Find the columns by the first line that is no comment."""
        for row in text.splitlines():
            cells = [cell.strip().lower() for cell in row.decode("latin-1").split(",")]
            if not row.strip() or row.startswith(b"#"):
                continue
            if all(re.fullmatch(r"[-+]?\d+", cell) for cell in cells):
                names = {2: ["t", "line"], 4: ["t", "x", "y", "p"]}.get(len(cells))
            else:
                names = [_COLUMNS.get(cell, "") for cell in cells]
                self._header = row
            if names is None or sorted(names) not in (["line", "t"], ["p", "t", "x", "y"]):
                return DataError(f"{self.name}: lines must be t,line or t,x,y,p, or begin with these names in any "
                                 f"order, not {row.decode('latin-1')[:60]!r}", hint=_HINT)
            self.columns = names
            return None
        return None

    _header: bytes | None = None

    def _fast(self, text):
        """All lines at once, if every one has as many numbers as there are columns; None if one has not."""
        if self._header is not None or b"#" in text or not text.endswith(b"\n") or b"\r" in text:
            return None
        marks = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(marks == 10)
        commas = np.diff(np.cumsum(marks == 44)[ends], prepend=0)
        if np.any(commas != len(self.columns) - 1) or not np.isin(marks, _ALLOWED).all():
            return None
        try:
            values = np.array(text.replace(b",", b" ").split(), np.int64)
        except (ValueError, OverflowError):
            return None
        if len(values) != len(ends) * len(self.columns):
            return None
        return values.reshape(-1, len(self.columns))

    def _slow(self, text):
        """Line by line, up to the first that is none."""
        rows, numbers, error = [], [], None
        for row in text.split(b"\n")[:None if not text.endswith(b"\n") else -1]:
            self._lines += 1
            if self._header is not None and row.strip() == self._header.strip():
                self._header = None
                continue
            if not row.strip() or row.startswith(b"#"):
                continue
            cells = row.decode("latin-1").split(",")
            if len(cells) != len(self.columns) or not all(re.fullmatch(r"\s*-?\d{1,18}\s*", cell) for cell in cells):
                error = DataError(f"{self.name}, line {self._lines:,}: must be the integers {','.join(self.columns)}, "
                                  f"not {row.decode('latin-1')[:60]!r}", hint=_HINT)
                break
            rows.append([int(cell) for cell in cells])
            numbers.append(self._lines)
        return np.array(rows, np.int64).reshape(-1, len(self.columns)), np.array(numbers, np.int64), error


class EventBlocks:
    """Events of a recording, as arrays; in place of :class:`EventText`.

    Parameters
    ----------
    name : str
        What messages call the recording.
    sensor : (int, int)
        Height and width of its camera.
    """

    unit, is_camera = "event", True

    def __init__(self, name: str, sensor: tuple[int, int]):
        self.name, self.sensor = name, sensor
        self._events = 0

    def feed(self, block: Events | None, *, last: bool = False
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray, DataError | None]:
        """Times, lines and numbers, from 1 on, of the events of a block; as those of :meth:`EventText.feed`."""
        if block is None:
            return (*(np.zeros(0, np.int64),) * 3, None)
        height, width = self.sensor
        inside = (block.x >= 0) & (block.x < width) & (block.y >= 0) & (block.y < height)
        line = np.where(inside, (~block.on * height + block.y) * width + block.x, -1)
        numbers = self._events + 1 + np.arange(len(line))
        self._events += len(line)
        return block.time, line, numbers, None


def check_source(source: str) -> None:
    """Refuse a source that is not there, without opening it: that of a pipe waits for who writes into it.

    Raises
    ------
    DataError
        There is no such file, or it may not be read, or it is an archive; there is no such port.
    """
    kind, _, port = source.partition(":")
    if kind == "udp":
        _check_port(port)
    elif source != "-":
        code = (errno.ENOENT if not os.path.exists(source) else errno.EISDIR if os.path.isdir(source) else
                0 if os.access(source, os.R_OK) else errno.EACCES)
        if code:
            raise DataError(f"{source}: cannot be read: {os.strerror(code)}",
                            hint="name a file, - for a pipe, or udp:PORT")
        if os.path.isfile(source) and zipfile.is_zipfile(source):
            raise DataError(f"{source}: an archive, and a stream is one recording, or lines of text",
                            hint="ohmspike learn and classify take it as --data")


def recording_blocks(path: Path, stopped: Callable[[], bool]) -> tuple[tuple[int, int] | None, Iterator[Events]] | None:
    """Height and width of the camera, if known, and the events of a recording, some at a time.

    None for whatever is read as lines of text.
    """
    if not path.is_file():
        return None
    found = format_of(path)
    if found is None or found.read_path is read_text:
        return None
    return found.sensor(path), _parts(found, path, stopped)


def _parts(found, path, stopped):
    with found.open(path) as recording:
        for events in recording.blocks:
            for first in range(0, len(events.time), EVENTS):
                if stopped():
                    return
                yield Events(*(array[first:first + EVENTS] for array in events))


_ALLOWED = np.frombuffer(b"0123456789,-\n", np.uint8)
_HINT = "times are whole µs; docs/free-running.md, An endless stream"

