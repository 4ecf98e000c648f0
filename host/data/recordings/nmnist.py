"""The ``.bin`` files of N-MNIST and N-Caltech101: events of 40 bits."""

import itertools
from typing import BinaryIO

import numpy as np

from .events import FALLS, Events, Recording, records

__all__ = ["SPAN", "is_bin", "read_bin"]

SPAN = 315_000
"""Time of the three saccades of N-MNIST, µs: authors of readers divide at 105 and 210 ms."""

_OVERFLOW_Y = 240
_OVERFLOW = 1 << 13
_SIZE = 5
_SIDE = 34


def is_bin(head: bytes) -> bool:
    """Whether bytes at the beginning of a file may be such events: times rise, and fall in one of ten at most."""
    whole = len(head) // _SIZE
    if not whole:
        return False
    time, _, _, _ = _decoded(np.frombuffer(head, np.uint8, whole * _SIZE).reshape(whole, _SIZE), 0)[0]
    return whole == 1 or len(time) > 1 and bool(np.mean(np.diff(time) < 0) <= FALLS and time[-1] > time[0])


def read_bin(file: BinaryIO, name: str) -> Recording:
    """Events of N-MNIST or N-Caltech101 (Orchard, Jayawant, Cohen and Thakor 2015, doi 10.3389/fnins.2015.00437).

    An event is x and y of 8 bits, a polarity of 1 bit, 1 for ON, and a time of 23 bits, µs, highest byte first. One of
    row 240 stands for an overflow: all times from it on are 8,192 µs later. The sensor is that of N-MNIST if it has all
    addresses of the first block.
    """
    first = next(source := records(file, name, _SIZE, 0), None)
    if first is None:
        return Recording((_SIDE, _SIDE), iter(()), SPAN)
    small = bool(((first[0][:, 0] < _SIDE) & ((first[0][:, 1] < _SIDE) | (first[0][:, 1] == _OVERFLOW_Y))).all())

    def blocks():
        turns = 0
        for raw, _ in itertools.chain([first], source):
            events, turns = _decoded(raw, turns)
            yield events

    return Recording((_SIDE, _SIDE) if small else None, blocks(), SPAN if small else None)


def _decoded(raw, turns):
    """Events of records, and how many overflows there have been with them."""
    wide = raw.astype(np.int64)
    marks = wide[:, 1] == _OVERFLOW_Y
    overflows = turns + np.cumsum(marks)
    time = ((wide[:, 2] & 127) << 16 | wide[:, 3] << 8 | wide[:, 4]) + _OVERFLOW * overflows
    kept = wide[~marks]
    return Events(time[~marks], kept[:, 0], kept[:, 1], kept[:, 2] >= 128), int(overflows[-1]) if len(raw) else turns
