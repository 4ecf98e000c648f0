"""Frames on the wire: stuffing, CRC, reading (docs/link.md)."""

import struct
import zlib

from ohmspike.chip.instructions import ESCAPE, ESCAPE_XOR, FLAG
from ohmspike.host.support.errors import UserError

__all__ = ["FrameReader", "LONGEST_FRAME", "LinkError", "encode_frame", "frame_ends"]

LONGEST_FRAME = 2 * (7 + 65535)
"""Bytes of the longest frame there is, with every byte escaped."""


class LinkError(UserError):
    """The chip did not answer, answered nonsense, or is another chip."""


# frames


def encode_frame(seq: int, kind: int, payload: bytes) -> bytes:
    """A frame on the wire, FLAGs included."""
    body = struct.pack("<HB", seq & 0xFFFF, kind) + payload
    body += struct.pack("<I", zlib.crc32(body))
    escape = bytes([ESCAPE])
    for byte in (ESCAPE, FLAG):
        body = body.replace(bytes([byte]), escape + bytes([byte ^ ESCAPE_XOR]))
    return bytes([FLAG]) + body + bytes([FLAG])


def frame_ends(data: bytes | bytearray) -> int:
    """Frames that end in the data, what precedes the first FLAG counted as one."""
    return sum(1 for piece in data.split(bytes([FLAG]))[:-1] if piece)


class FrameReader:
    """Frames out of a byte stream that may be cut anywhere; damaged ones are counted and dropped."""

    def __init__(self):
        self.damaged = 0
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The frames that are complete now: (sequence number, kind, payload)."""
        *pieces, rest = (self._rest + data).split(bytes([FLAG]))
        self._rest = rest[:LONGEST_FRAME + 1]
        frames = []
        for piece in pieces:
            if not piece:
                continue
            body = _unstuffed(piece)
            if body is None or len(body) < 7 or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little"):
                self.damaged += 1
            else:
                seq, kind = struct.unpack_from("<HB", body)
                frames.append((seq, kind, body[3:-4]))
        return frames


def _unstuffed(piece):
    """A frame without its stuffing; None if an escape stands at its end."""
    first, *others = piece.split(bytes([ESCAPE]))
    if any(not part for part in others):
        return None
    return first + b"".join(bytes([part[0] ^ ESCAPE_XOR]) + part[1:] for part in others)
