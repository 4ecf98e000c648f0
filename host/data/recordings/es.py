"""Event Stream files (.es): events of a DVS or an ATIS."""

from typing import BinaryIO

import numpy as np

from .events import BLOCK, Events, Recording, damaged, ends_within

__all__ = ["is_es", "read_es"]

_MAGIC = b"Event Stream"
_KINDS = {0: "generic events", 3: "events of a display", 4: "events of colour"}
_DVS, _ATIS = 1, 2
_SIZE = 5


def is_es(head: bytes) -> bool:
    """Whether a file begins as Event Stream files do."""
    return head.startswith(_MAGIC)


def read_es(file: BinaryIO, name: str) -> Recording:
    """Events of Event Stream 2 (https://github.com/neuromorphic-paris/event_stream), of a DVS or an ATIS.

    An event has 5 bytes: time since the one before and flags, x of 16 bits, y of 16 bits. Where an event could begin a
    byte of ones adds to the time – 127 µs of a DVS, 63 µs times its two lowest bits of an ATIS – and one with a 0 below
    is left out. Threshold crossings of an ATIS, which tell brightness, are left out too.
    """
    header = file.read(20)
    if len(header) < 16:
        raise damaged(name, len(header), "must be a header of 16 bytes or more")
    if header[12] != 2 or header[15] not in (_DVS, _ATIS):
        what = f"version {header[12]}" if header[12] != 2 else _KINDS.get(header[15], f"kind {header[15]}")
        raise damaged(name, 12, f"must be version 2 with events of a DVS or an ATIS, not {what}")
    if len(header) < 20:
        raise damaged(name, len(header), "must be a header of 20 bytes with the size of the sensor")
    width, height = np.frombuffer(header, "<u2", 2, 16).tolist()
    shift = 1 if header[15] == _DVS else 2
    sensor = (height, width) if height and width else None

    def blocks():
        at, late, rest = 20, 0, b""
        while block := file.read(BLOCK):
            text = np.frombuffer(rest + block, np.uint8)
            places, end = _begins(text, shift)
            first = text[places].astype(np.int64)
            special = first >> shift == 0xFF >> shift
            turns = first & 1 if shift == 1 else first & 3  # the byte that is left out has 0
            time = late + np.cumsum(np.where(special, turns * (0xFF >> shift), first >> shift))
            late = int(time[-1]) if len(time) else late
            kept = ~special if shift == 1 else ~special & (first & 1 == 0)
            events = text[places[kept][:, None] + np.arange(1, _SIZE)].astype(np.int64)
            yield Events(time[kept], events[:, 0] | events[:, 1] << 8, events[:, 2] | events[:, 3] << 8,
                         first[kept] >> shift - 1 & 1 == 1)
            rest, at = text[end:].tobytes(), at + end
        if rest:
            ends_within(name, at, len(rest), _SIZE)

    return Recording(sensor, blocks())


def _begins(text, shift):
    """Where events and single bytes begin, and where the first that is not whole does.

    Every place knows the next one if an event begins there; doubling the steps finds all that are reached from the
    first, so there is no loop over events.
    """
    count = len(text)
    if not count:
        return np.zeros(0, np.int64), 0
    ends = np.arange(count) + np.where(text >> shift == 0xFF >> shift, 1, _SIZE)
    step = np.append(np.minimum(ends, count), count)
    places = np.zeros(1, np.int64)
    while places[-1] < count:
        places = np.append(places, step[places])  # twice as many, since a step leads as far as all of them
        step = step[step]
    places = places[places < count]
    cut = ends[places[-1]] > count
    return (places[:-1], int(places[-1])) if cut else (places, count)
