"""Events as an event camera sees MNIST while it makes three saccades: a set like N-MNIST, made of the images."""

import dataclasses
import os
import shutil
import uuid
from pathlib import Path

import numba
import numpy as np
import platformdirs

from ohmspike.chip.initial import mix

from .dataset import Dataset, validation_count
from .formats import UNREADABLE_ERRORS, DataError, Progress, read_npz
from .images import load_mnist
from .streams import Stream

__all__ = ["NAME", "PATH", "SENSOR", "SPAN", "THRESHOLD", "load_saccades", "saccades"]

NAME = "saccades"
"""What ``--data`` calls the set."""

SENSOR = (34, 34)
"""Height and width of the sensor, pixels."""

PATH = ((0.0, 0.0), (7.0, 3.5), (0.0, 7.0), (0.0, 0.0))
"""Corners of the triangle along which the image moves over the sensor: pixels down and to the right."""

SACCADE = 100
"""Time of a saccade, ms; a side of the triangle takes one."""

SPAN = (len(PATH) - 1) * SACCADE
"""Time of a sample, ms."""

DARKEST = 0.1
"""Intensity of a dark pixel, where a bright one has 1: what a screen shines and a room reflects."""

THRESHOLD = 0.6
"""Change of the logarithm of the intensity for which a pixel sends an event."""

SEED = 1
"""Of the set that ``--data`` names."""

_DRAWN = 7
_CHUNK = 500
_VERSION = 1
_ROOM = 1 << 13


def saccades(images: np.ndarray, *, seed: int = SEED, first_sample: int = 0, threshold: float = THRESHOLD) -> Stream:
    """Events of images that move along a triangle in front of a sensor of 34×34 pixels.

    Follows Orchard, Jayawant, Cohen and Thakor 2015, doi 10.3389/fnins.2015.00437: three straight saccades of 100 ms
    each, along the path that the authors' program takes back. A pixel remembers the logarithm of the intensity at its
    last event and sends an event, ON or OFF, for every ``threshold`` that it has changed by since. Motion is sampled
    every millisecond, pixels between those of the image are interpolated. Not modelled: noise of the sensor, its dead
    time, the flicker of a screen.

    Parameters
    ----------
    images : uint8 array of shape (samples, height, width)
        At most 28×28.
    seed : int
        What a pixel remembers at the beginning differs from what it sees by up to half a threshold, drawn from this.
    first_sample : int
        Number of the first image: other numbers, other draws.
    threshold : float
        Above 0.

    Returns
    -------
    Stream
        ``time`` in ms, uint16, ascending; ``line`` uint16, ``(polarity · 34 + y) · 34 + x``, polarity 0 for ON.
    """
    height, width = SENSOR
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] > 28 or images.shape[2] > 28:
        raise ValueError(f"images must be uint8 of at most 28x28, not {images.dtype} of {images.shape}")
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0, not {threshold!r}")
    pixels = height * width
    times, lines, lengths = [], [], []
    for first in range(0, len(images), _CHUNK):
        chunk = np.ascontiguousarray(images[first:first + _CHUNK])
        numbers = np.arange(len(chunk) * pixels, dtype=np.uint64) + np.uint64((first_sample + first) * pixels)
        drawn = (mix(seed, _DRAWN, numbers) >> np.uint64(40)).astype(np.float64) / (1 << 24) - 0.5
        room, found = _ROOM * len(chunk), 0
        while True:
            time, line = np.empty(room, np.uint16), np.empty(room, np.uint16)
            counts = _events(chunk, drawn.reshape(-1, height, width), np.array(PATH), float(threshold), SACCADE,
                             DARKEST, time, line)
            found = int(counts.sum())
            if found <= room:
                break
            room = found
        times.append(time[:found])
        lines.append(line[:found])
        lengths.append(counts)
    offsets = np.r_[0, np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))].astype(np.int64)
    empty = np.zeros(0, np.uint16)
    return Stream(np.concatenate([empty, *times]), np.concatenate([empty, *lines]), offsets, None, None, NAME,
                  sensor=SENSOR, span=SPAN)


def load_saccades(progress: Progress | None = None) -> Dataset[Stream]:
    """The set made of all of MNIST, from the user's cache, else made and kept there.

    Events stay in their files and are read as they are needed. Training samples have numbers from 0 on, those of the
    test go on behind them.

    Raises
    ------
    DataError
        MNIST cannot be had.
    """
    say = progress or (lambda line: None)
    folder = Path(platformdirs.user_cache_dir("ohmspike"), f"{NAME}-{_VERSION}")
    if (kept := _kept(folder)) is None:
        images = load_mnist(progress=progress)
        count = len(images.train_images) + len(images.test_images)
        say(f"making {NAME} of {count:,} images of MNIST (a minute or two)")
        kept = _made(folder, images, say)
    train, test = kept
    return Dataset(train, train.labels, test, test.labels, NAME, validation_last=validation_count(len(train)))


def _made(folder, images, say):
    """The two splits, from a folder that appears whole; in memory if the cache cannot be written."""
    splits = (("train", images.train_images, images.train_labels, 0),
              ("test", images.test_images, images.test_labels, len(images.train_images)))
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        for name, shown, labels, first in splits:
            _write(temporary, name, shown, labels, first)
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or there would have been no need
        os.replace(temporary, folder)
    except OSError as error:
        say(f"{folder}: {NAME} cannot be kept and will be made again: {error.strerror or error}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if (kept := _kept(folder)) is not None:
        return kept
    return tuple(dataclasses.replace(saccades(shown, first_sample=first), labels=labels)
                 for _, shown, labels, first in splits)


def _write(folder, name, images, labels, first_sample):
    """Events of a split, some samples at a time."""
    lengths = []
    with (folder / f"{name}-time").open("wb") as times, (folder / f"{name}-line").open("wb") as lines:
        for first in range(0, len(images), _CHUNK):
            made = saccades(images[first:first + _CHUNK], first_sample=first_sample + first)
            times.write(made.time.astype("<u2").tobytes())
            lines.write(made.line.astype("<u2").tobytes())
            lengths.append(np.diff(made.offsets))
    np.savez(folder / f"{name}.npz", offsets=np.r_[0, np.cumsum(np.concatenate(lengths))], labels=labels)


def _kept(folder):
    """The two splits in a folder; None if something is missing or of another size."""
    splits = []
    for name in ("train", "test"):
        try:
            arrays, _ = read_npz(folder / f"{name}.npz", ("offsets", "labels"), hint="remove it")
            time, line = (np.memmap(folder / f"{name}-{kind}", "<u2", "r") for kind in ("time", "line"))
        except (DataError, *UNREADABLE_ERRORS):
            return None
        if len(arrays) < 2 or any(len(array) != arrays["offsets"][-1] for array in (time, line)):
            return None
        splits.append(Stream(time, line, arrays["offsets"], arrays["labels"], None, NAME, SENSOR, SPAN))
    return splits


@numba.njit(cache=True)
def _events(images, drawn, path, threshold, saccade, darkest, times, lines):
    """Write events, as many as there is room for, and return how many every sample has."""
    samples, height, width = drawn.shape
    rows, columns = images.shape[1:]
    top, left = (height - rows) / 2 - 3.5, (width - columns) / 2 - 3.5  # the middle of the path is that of the sensor
    bright = np.full((rows + 2 * height, columns + 2 * width), darkest)
    counts = np.zeros(samples, np.int64)
    ratio = np.exp(threshold)
    level, lower, upper = np.empty((height, width)), np.empty((height, width)), np.empty((height, width))
    at = 0
    for s in range(samples):
        low_y, high_y, low_x, high_x = rows, 0, columns, 0
        for y in range(rows):
            for x in range(columns):
                bright[y + height, x + width] = darkest + (1 - darkest) * images[s, y, x] / 255
                if images[s, y, x]:
                    low_y, high_y, low_x, high_x = min(low_y, y), max(high_y, y), min(low_x, x), max(high_x, x)
        begun = at
        for step in range(-1, (len(path) - 1) * saccade):
            side = max(step, 0) // saccade
            done = (step - side * saccade + 1) / saccade  # of this side; step -1 is where the motion begins
            down = top + path[side, 0] + (path[side + 1, 0] - path[side, 0]) * done
            right = left + path[side, 1] + (path[side + 1, 1] - path[side, 1]) * done
            first_y, first_x = max(0, int(low_y + down) - 2), max(0, int(low_x + right) - 2)
            last_y, last_x = min(height, int(high_y + down) + 4), min(width, int(high_x + right) + 4)
            if step < 0:
                first_y, first_x, last_y, last_x = 0, 0, height, width
            whole_y, whole_x = int(np.floor(-down)), int(np.floor(-right))
            part_y, part_x = -down - whole_y, -right - whole_x
            _look(bright, whole_y + height, whole_x + width, part_y, part_x, first_y, last_y, first_x, last_x, level)
            for y in range(first_y, last_y):
                for x in range(first_x, last_x):
                    if step < 0:
                        lower[y, x] = level[y, x] * np.exp((drawn[s, y, x] - 1) * threshold)
                        upper[y, x] = level[y, x] * np.exp((drawn[s, y, x] + 1) * threshold)
                        continue
                    while level[y, x] >= upper[y, x] or level[y, x] <= lower[y, x]:
                        off = level[y, x] <= lower[y, x]
                        change = 1 / ratio if off else ratio
                        lower[y, x] *= change
                        upper[y, x] *= change
                        if at < len(times):
                            times[at] = step
                            lines[at] = ((height if off else 0) + y) * width + x
                        at += 1
        counts[s] = at - begun
    return counts


@numba.njit(cache=True)
def _look(bright, down, right, part_y, part_x, first_y, last_y, first_x, last_x, level):
    """Intensity at the pixels of a part of the sensor, between those of the image."""
    one = np.uint64(1)
    a, b, c, d = (1 - part_y) * (1 - part_x), (1 - part_y) * part_x, part_y * (1 - part_x), part_y * part_x
    for y in range(first_y, last_y):
        row = np.uint64(y + down)
        for x in range(first_x, last_x):
            at = np.uint64(x + right)
            level[y, x] = (a * bright[row, at] + b * bright[row, at + one] + c * bright[row + one, at]
                           + d * bright[row + one, at + one])
