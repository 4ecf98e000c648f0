"""AEDAT 2.0 of jAER and AEDAT 3.1 of cAER: recordings of DVS128 and DAVIS cameras."""

import itertools
import re
import struct
from typing import BinaryIO

import numpy as np

from .events import BLOCK, Events, Recording, Unwrapped, damaged, ends_within, records

__all__ = ["is_aedat2", "is_aedat3", "read_aedat2", "read_aedat3"]

_SIZES = (("DVS128", (128, 128)), ("DAVIS128", (128, 128)), ("DAVIS240", (180, 240)), ("DAVIS346", (260, 346)),
          ("DAVIS640", (480, 640)), ("DAVISRGB640", (480, 640)))
"""Heights and widths of cameras by their names in headers."""

_PACKET = struct.Struct("<hhiiiiii")
_POLARITY = 1
_TOP_BYTES = 1 << 28
_TEXT = re.compile(rb"#[\t\r\n\x20-\x7e\xa0-\xff]*\n")


def is_aedat2(head: bytes) -> bool:
    """Whether a file begins as AEDAT 2 does."""
    return head.startswith(b"#!AER-DAT2")


def is_aedat3(head: bytes) -> bool:
    """Whether a file begins as AEDAT 3 does."""
    return head.startswith(b"#!AER-DAT3")


def _header(file):
    """The comments before the data, which begin where the file stands afterwards."""
    header = b""
    while _TEXT.fullmatch(line := file.readline(1 << 16)):
        header += line
        if line.startswith(b"#!END-HEADER"):
            return header.decode("latin-1"), file.tell()
    file.seek(len(header))
    return header.decode("latin-1"), len(header)


def _sensor(header):
    named = header.upper()
    return next((size for name, size in reversed(_SIZES) if name in named), None)


def read_aedat2(file: BinaryIO, name: str) -> Recording:
    """Events of AEDAT 2.0: records of an address and a time in µs, of 32 bits each, highest byte first.

    Addresses are those of the DVS128 – bit 0 is 0 for ON, x in bits 1 to 7, y in bits 8 to 14, bit 15 of other events –
    unless the header names a DAVIS, or names no camera and addresses of the first block take more than 16 bits. Those
    of a DAVIS have ON in bit 11, x in bits 12 to 21, y in bits 22 to 30, and are events of light where bits
    31 and 10 are 0. y counts from the bottom in files of jAER, and is left as it is.
    """
    header, at = _header(file)
    sensor = _sensor(header)
    source = records(file, name, 8, at)
    first = next(source, None)
    if first is None:
        return Recording(sensor, iter(()))
    address = first[0].view(">u4").reshape(-1, 2)[:, 0]
    is_davis = "DAVIS" in header.upper() or sensor is None and bool((address > 0xFFFF).any())

    def blocks():
        unwrapped = Unwrapped(32)
        for raw, _ in itertools.chain([first], source):
            words = raw.view(">u4").reshape(-1, 2).astype(np.int64)
            words, time = words[:, 0], unwrapped(words[:, 1])
            if is_davis:
                kept = words & (1 << 31 | 1 << 10) == 0
                x, y, on = words >> 12 & 0x3FF, words >> 22 & 0x1FF, words >> 11 & 1 == 1
            else:
                kept = words & 0x8000 == 0
                x, y, on = words >> 1 & 0x7F, words >> 8 & 0x7F, words & 1 == 0
            yield Events(time[kept], x[kept], y[kept], on[kept])

    return Recording(sensor or (None if is_davis else (128, 128)), blocks())


def read_aedat3(file: BinaryIO, name: str) -> Recording:
    """Events of AEDAT 3.0 and 3.1: packets with a header of 28 bytes, lowest byte first, those of polarity taken.

    An event is a word – bit 0 says that it holds, bit 1 ON, y in bits 2 to 16, x in bits 17 to 31 – and a time of 31
    bits, µs, to which the packet adds how often it has begun again. DVS128 Gesture is published in this form.
    """
    header, at = _header(file)
    if "SerializedTS" in header or "PNGFrames" in header:
        raise damaged(name, 0, "must have the format RAW, not compressed packets of AEDAT 3")

    def blocks():
        here, waiting, held = at, [], 0
        while head := file.read(_PACKET.size):
            if len(head) < _PACKET.size:
                ends_within(name, here, len(head), _PACKET.size)
                break
            kind, _, size, _, turns, _, count, _ = _PACKET.unpack(head)
            if not (0 <= kind < 1000 and 0 < size and 0 <= count and size * count <= _TOP_BYTES and turns >= 0):
                raise damaged(name, here, f"must begin a packet, not one of type {kind} with {count} events of {size} "
                                          "bytes")
            content = file.read(size * count)
            if kind == _POLARITY:
                if size != 8:
                    raise damaged(name, here, f"events of polarity must have 8 bytes, not {size}")
                words = np.frombuffer(content, "<u4", len(content) // 8 * 2).reshape(-1, 2).astype(np.int64)
                words = words[words[:, 0] & 1 == 1]
                data = words[:, 0]
                waiting.append(Events(words[:, 1] + (turns << 31), data >> 17, data >> 2 & 0x7FFF, data >> 1 & 1 == 1))
                held += len(content)
            if len(content) < size * count:
                ends_within(name, here + _PACKET.size + len(content) // size * size, len(content) % size, size)
                break
            here += _PACKET.size + len(content)
            if held >= BLOCK:
                yield _joined(waiting)
                waiting, held = [], 0
        if waiting:
            yield _joined(waiting)

    return Recording(_sensor(header), blocks())


def _joined(parts):
    return Events(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
