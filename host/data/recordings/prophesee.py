"""Recordings of Prophesee: .dat of decoded events, .raw in EVT 2.0, EVT 2.1 and EVT 3.0."""

import itertools
import re
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from .events import Events, Recording, Unwrapped, damaged, records

__all__ = ["is_dat", "is_raw", "read_dat", "read_raw"]

_DAT = re.compile(rb"% (Data file|Date|Version|Height|Width)", re.IGNORECASE)
_RAW = re.compile(rb"(?mi)^% (evt \d|format evt)")
_TEXT = re.compile(rb"%[\t\r\n\x20-\x7e]*\n")
_CD = (0, 12)
"""Types of events of light in .dat: Event2d and EventCD."""


def is_dat(head: bytes) -> bool:
    """Whether a file begins as .dat does: a header that names no format of words."""
    return head.startswith(b"% ") and _DAT.search(_lines(head)) is not None and not is_raw(head)


def is_raw(head: bytes) -> bool:
    """Whether a file begins with a header that names EVT 2 or 3."""
    return head.startswith(b"% ") and _RAW.search(_lines(head)) is not None


def _lines(head):
    """The lines of a header, which begin with a percent sign."""
    found = re.match(rb"(%[^\n]*\n)*", head)
    return found[0] if found else b""


def _header(file):
    header = b""
    while _TEXT.fullmatch(line := file.readline(1 << 12)):
        header += line
        if line.strip() == b"% end":
            return header.decode("latin-1"), len(header)
    file.seek(len(header))
    return header.decode("latin-1"), len(header)


def _sensor(header):
    """Height and width by any of the three ways in which headers say them."""
    if found := re.search(r"(?im)^% geometry[: ]\s*(\d{1,4})x(\d{1,4})", header):
        return max(1, int(found[2])), max(1, int(found[1]))
    sides = [int(found[1]) for name in ("height", "width")
             if (found := re.search(rf"(?i)\b{name}[ =:]+(\d{{1,4}})\b", header))]
    return (sides[0], sides[1]) if len(sides) == 2 and all(sides) else None


def read_dat(file: BinaryIO, name: str) -> Recording:
    """Events of .dat: records of a time in µs and a word, of 32 bits each, lowest byte first.

    In version 2 a word has x in bits 0 to 13, y in bits 14 to 27 and ON in bit 28; in version 1, of the ATIS, x in bits
    0 to 8, y in bits 9 to 16 and ON in bit 17, unless words of the first block are too large for that.
    """
    header, at = _header(file)
    kind = file.read(2)
    if len(kind) < 2:
        return Recording(_sensor(header), iter(()))
    if kind[0] not in _CD or kind[1] != 8:
        raise damaged(name, at, f"must be the type of events 0 or 12 and their size 8, not {kind[0]} and {kind[1]}")
    source = records(file, name, 8, at + 2)
    first = next(source, None)
    if first is None:
        return Recording(_sensor(header), iter(()))
    version = re.search(r"(?im)^% version (\d+)", header)
    words = first[0].view("<u4").reshape(-1, 2)[:, 1]
    old = version is not None and int(version[1]) < 2 and not bool((words >> 18).any())

    def blocks():
        unwrapped = Unwrapped(32)
        for raw, _ in itertools.chain([first], source):
            pairs = raw.view("<u4").reshape(-1, 2).astype(np.int64)
            word = pairs[:, 1]
            if old:
                x, y, on = word & 0x1FF, word >> 9 & 0xFF, word >> 17 & 1 == 1
            else:
                x, y, on = word & 0x3FFF, word >> 14 & 0x3FFF, word >> 28 & 1 == 1
            yield Events(unwrapped(pairs[:, 0]), x, y, on)

    return Recording(_sensor(header), blocks())


def read_raw(file: BinaryIO, name: str) -> Recording:
    """Events of .raw, in the words that the header names.

    EVT 2.0 has words of 32 bits, EVT 2.1 of 64 with 32 neighbours each, EVT 3.0 of 16 bits that change a state. Events
    before the first word that tells the time are left out, as makers' readers do.
    """
    header, at = _header(file)
    found = re.search(r"(?im)^% evt (\d)\.?(\d)?", header) or re.search(r"(?im)^% format evt(\d)(\d)?", header)
    version = f"{found[1]}.{found[2] or 0}" if found else "none"
    makers: dict[str, tuple[Callable[[], Callable[[np.ndarray], Events]], int]] = {
        "2.0": (_Evt2, 4), "2.1": (_Evt21, 8), "3.0": (_Evt3, 2)}
    if version not in makers:
        raise damaged(name, 0, f"must have words of EVT 2.0, 2.1 or 3.0, not {version}")
    make, size = makers[version]

    def blocks():
        decode = make()
        for raw, _ in records(file, name, size, at):
            yield decode(raw)

    return Recording(_sensor(header), blocks())


def _filled(places):
    """The last index up to every place where ``places`` is true, −1 where there is none."""
    return np.maximum.accumulate(np.where(places, np.arange(len(places)), -1)) if len(places) else np.zeros(0, int)


class _Evt2:
    """Words of 32 bits: type 4, low bits of the time 6, x 11, y 11; or type 8 and the high bits of the time, 28."""

    def __init__(self):
        self._unwrapped, self._high = Unwrapped(28), -1

    def __call__(self, raw):
        word = raw.view("<u4").ravel().astype(np.int64)
        time, here = self._time(word >> 28, word & 0xFFFFFFF, word >> 22 & 63)
        kept = here & (word >> 28 <= 1)
        word = word[kept]
        return Events(time[kept], word >> 11 & 0x7FF, word & 0x7FF, word >> 28 == 1)

    def _time(self, kind, high, low):
        """Times of words, and whether they are known yet."""
        tells = kind == 8
        turned = np.zeros(len(kind), np.int64)
        turned[tells] = self._unwrapped(high[tells])
        last = _filled(tells)
        high = np.where(last >= 0, turned[last], self._high) if len(last) else turned
        if len(high):
            self._high = int(high[-1])
        return high << 6 | low, high >= 0


class _Evt21(_Evt2):
    """Words of 64 bits: type 4, low bits of the time 6, x 11, y 11, and a bit for each of 32 pixels from x on.

    The IMX636 sends the upper half of a word first, the GenX320 the lower: the order is taken in which types are known
    and words of time have nothing in their lower half.
    """

    def __init__(self):
        super().__init__()
        self._upper = None

    def __call__(self, raw):
        halves = raw.view("<u4").reshape(-1, 2).astype(np.int64)
        if self._upper is None and len(halves):
            self._upper = min((0, 1), key=lambda upper: _strange(halves[:, upper], halves[:, 1 - upper]))
        upper, valid = halves[:, self._upper or 0], halves[:, 1 - (self._upper or 0)]
        kind = upper >> 28
        time, here = self._time(kind, upper & 0xFFFFFFF, upper >> 22 & 63)
        kept = here & (kind <= 1)
        upper, time = upper[kept], time[kept]
        bits = valid[kept].astype("<u4").view(np.uint8).reshape(-1, 4)
        at, pixel = np.nonzero(np.unpackbits(bits, axis=1, bitorder="little"))
        upper = upper[at]
        return Events(time[at], (upper >> 11 & 0x7FF) + pixel, upper & 0x7FF, upper >> 28 == 1)


def _strange(upper, lower):
    """How little the halves of words look like EVT 2.1: types that do not exist, then how few words of time."""
    kind = upper >> 28
    return int((~np.isin(kind, (0, 1, 8, 10, 14, 15))).sum()), -int(((kind == 8) & (lower == 0)).sum())


class _Evt3:
    """Words of 16 bits, which tell y, or x of an event, or neighbours from a base x on, or parts of the time."""

    def __init__(self):
        self._unwrapped, self._high = Unwrapped(12), -1
        self._state: list[int] = []  # words that bring back y, base and time at the beginning of the next block

    def __call__(self, raw):
        word = np.r_[np.array(self._state, np.int64), raw.view("<u2").ravel().astype(np.int64)]
        kind = word >> 12
        tells_high = kind == 8
        high = np.zeros(len(word), np.int64)
        new = np.flatnonzero(tells_high)
        if self._high >= 0:
            high[0], new = self._high, new[1:]  # the first word is the state's
        high[new] = self._unwrapped(word[new] & 0xFFF)
        last_high = _filled(tells_high)
        high = np.where(last_high >= 0, high[last_high], -1)
        changes = np.diff(high, prepend=-1) != 0
        last_low = _filled(kind == 6)
        low = np.where(last_low > _filled(changes), word[last_low] & 0xFFF, 0)
        time = high << 12 | low
        last_y, base = _filled(kind == 0), _filled(kind == 3)
        width = np.where(kind == 4, 12, np.where(kind == 5, 8, 0))
        behind = np.cumsum(width)
        x = np.where(base >= 0, (word[base] & 0x7FF) + behind - width - behind[base], 0)  # of the first neighbour
        y = np.where(last_y >= 0, word[last_y] & 0x7FF, 0)
        known = (high >= 0) & (last_y >= 0)

        single = np.flatnonzero(known & (kind == 2))
        vector = np.flatnonzero(known & (base >= 0) & (width > 0))
        valid = np.where(kind[vector] == 4, word[vector] & 0xFFF, word[vector] & 0xFF)
        at, pixel = np.nonzero(valid[:, None] >> np.arange(12) & 1)
        at = vector[at]
        order = np.argsort(np.r_[single * 12, at * 12 + pixel], kind="stable")
        place = np.r_[single, at][order]
        found = Events(time[place], np.r_[word[single] & 0x7FF, x[at] + pixel][order], y[place],
                       np.r_[word[single] >> 11 & 1, word[base[at]] >> 11 & 1][order] == 1)
        if len(word):
            self._remember(word, high, low, last_y, base, x + width)
        return found

    def _remember(self, word, high, low, last_y, base, next_x):
        self._high = int(high[-1])
        self._state = [0x8000, 0x6000 | int(low[-1])] if self._high >= 0 else []
        if last_y[-1] >= 0:
            self._state.append(int(word[last_y[-1]]))
        if base[-1] >= 0:
            self._state.append(0x3000 | int(word[base[-1]]) & 0x800 | int(next_x[-1]) & 0x7FF)
