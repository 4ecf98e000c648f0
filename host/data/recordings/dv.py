"""AEDAT 4 of DV: packets of FlatBuffers, compressed by LZ4 or Zstandard."""

import re
import struct
from typing import Any, BinaryIO

import numpy as np

from ohmspike.host.data.formats import DataError

from .events import Events, Recording, damaged, ends_within

__all__ = ["is_aedat4", "read_aedat4"]

_MAGIC = b"#!AER-DAT4"
_NONE, _LZ4, _LZ4_HIGH, _ZSTD, _ZSTD_HIGH = range(5)
_TOP_BYTES = 1 << 30
_EVENT = np.dtype({"names": ["t", "x", "y", "on"], "formats": ["<i8", "<i2", "<i2", "u1"], "offsets": [0, 8, 10, 12],
                   "itemsize": 16})


def is_aedat4(head: bytes) -> bool:
    """Whether a file begins as AEDAT 4 does."""
    return head.startswith(_MAGIC)


def read_aedat4(file: BinaryIO, name: str) -> Recording:
    """Events of AEDAT 4 (https://docs.inivation.com, AEDAT file formats).

    A header, which names streams and compression, is followed by packets: number of the stream, bytes, and a FlatBuffer
    whose first field is a vector of events of 16 bytes. Streams that hold no events are left out. If several do, which
    a recorder makes of several cameras, they are refused.

    The FlatBuffers are walked here: there are two tables in them, and readers in other languages end the process where
    a file is damaged.

    Raises
    ------
    DataError
        ``lz4`` or ``zstandard`` is needed and is not installed; a packet is no such thing.
    """
    file.seek(len(b"#!AER-DAT4.0\r\n"))
    header = file.read(4)
    size = int.from_bytes(header, "little")
    if len(header) < 4 or not 16 <= size <= _TOP_BYTES:
        raise damaged(name, 14, f"must be the size of a header, not {size}")
    content = file.read(size)
    at = 18 + size
    if len(content) < size:
        raise damaged(name, 18, f"a header must have {size:,} bytes, not {len(content):,}")
    try:
        table = _Table(content)
        compression, table_at = table.number(0, "<i4", 0), table.number(1, "<i8", -1)
        streams = _streams(table.text(2))
    except ValueError as error:
        raise damaged(name, 18, f"a header that is not readable: {error}") from None
    chosen = [number for number, kind, _ in streams if kind == "EVTS"]
    if len(chosen) != 1:
        raise damaged(name, 18, f"must have one stream of events, not {len(chosen)}")
    sensor = next(sensor for number, _, sensor in streams if number == chosen[0])
    unpack = _unpacker(compression, name)

    def blocks():
        here = at
        while table_at < 0 or here < table_at:
            head = file.read(8)
            if len(head) < 8:
                if head:
                    ends_within(name, here, len(head), 8)
                return
            stream, size = struct.unpack("<ii", head)
            if not (0 <= size <= _TOP_BYTES and 0 <= stream < 1 << 16):
                raise damaged(name, here, f"must begin a packet, not one of stream {stream} with {size} bytes")
            packed = file.read(size)
            if len(packed) < size:
                ends_within(name, here, len(head) + len(packed), 8 + size)
                return
            if stream == chosen[0]:
                try:
                    yield _events(unpack(packed))
                except (RuntimeError, ValueError, struct.error, IndexError, MemoryError, OverflowError) as error:
                    raise damaged(name, here, f"a packet that is not readable: {error}") from None
            here += 8 + size

    return Recording(sensor, blocks())


def _unpacker(compression, name):
    """What takes the content out of a packet."""
    if compression == _NONE:
        return lambda packed: packed
    package = "lz4" if compression in (_LZ4, _LZ4_HIGH) else "zstandard"
    if compression not in range(5):
        raise damaged(name, 18, f"must be compressed by none, LZ4 or Zstandard, not by kind {compression}")
    try:
        if package == "lz4":
            import lz4.frame

            return lz4.frame.decompress
        import zstandard

        def unpack(packed):
            try:
                return zstandard.ZstdDecompressor().decompressobj().decompress(packed)
            except zstandard.ZstdError as error:
                raise ValueError(str(error)) from None

        return unpack
    except ImportError:
        raise DataError(f"{name}: reading it needs {package}, which is not installed",
                        hint="pip install 'ohmspike[events]'") from None


def _events(content):
    table = _Table(content[4:])  # behind its size
    if content[8:12] != b"EVTS":
        raise ValueError(f"it must be of events, EVTS, not {content[8:12]!r}")
    events = table.vector(0, _EVENT)
    return Events(events["t"].astype(np.int64), events["x"].astype(np.int64), events["y"].astype(np.int64),
                  events["on"] != 0)


def _streams(description: str) -> list[tuple[int, str, tuple[int, int] | None]]:
    """Numbers of streams, the kinds of their packets, and their sensors, from the header's XML."""
    found = []
    for part in re.split(r'<node name="(?=\d+" path="[^"]*outInfo/\d+/")', description)[1:]:
        number = int(part[:part.index('"')])
        told = dict(re.findall(r'<attr key="(typeIdentifier|sizeX|sizeY)"[^>]*>([^<]*)<', part))
        sides = [int(side) if re.fullmatch("[0-9]{1,4}", side) else 0
                 for side in (told.get("sizeY", ""), told.get("sizeX", ""))]
        found.append((number, told.get("typeIdentifier", ""), (sides[0], sides[1]) if all(sides) else None))
    return found


class _Table:
    """The root table of a FlatBuffer; places outside of it are a ValueError."""

    def __init__(self, content: bytes):
        self._content = content
        self._root = self._at("<u4", 0)
        self._fields = self._root - self._at("<i4", self._root)
        self._count = max(0, self._at("<u2", self._fields) - 4) // 2

    def _at(self, kind: str, place: int) -> int:
        size = np.dtype(kind).itemsize
        if not 0 <= place <= len(self._content) - size:
            raise ValueError(f"place {place} outside of {len(self._content)} bytes")
        return int(np.frombuffer(self._content, kind, 1, place)[0])

    def _field(self, number: int) -> int:
        """Where a field is; 0 if it is left out."""
        offset = self._at("<u2", self._fields + 4 + 2 * number) if number < self._count else 0
        return self._root + offset if offset else 0

    def number(self, field: int, kind: str, default: int) -> int:
        place = self._field(field)
        return self._at(kind, place) if place else default

    def vector(self, field: int, kind: Any) -> np.ndarray:
        place = self._field(field)
        if not place:
            return np.zeros(0, kind)
        place += self._at("<u4", place)
        count = self._at("<u4", place)
        if place + 4 + count * np.dtype(kind).itemsize > len(self._content):
            raise ValueError(f"{count} elements outside of {len(self._content)} bytes")
        return np.frombuffer(self._content, kind, count, place + 4)

    def text(self, field: int) -> str:
        return self.vector(field, np.uint8).tobytes().decode("utf-8", "replace")
