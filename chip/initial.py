"""Seeds to numbers: the counter-based generator behind initial levels, random streams and orders (contract 7)."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from .description import Chip
from .limits import SPLITMIX_INDEX, SPLITMIX_SEED, SPLITMIX_STREAM

__all__ = ["Stream", "initial_layer_levels", "initial_levels", "initial_random", "initial_read_out", "mix",
           "presentation_order"]


class Stream(IntEnum):
    """What a number is drawn for: streams of one seed never meet."""

    LEVELS = 1
    RANDOM = 2
    ORDER = 3
    RATE = 4
    SHIFT = 5
    NOISE = 6


def mix(seed: int, stream: int, index: npt.ArrayLike) -> np.ndarray:
    """64 random bits for every ``index`` (uint64 array): the SplitMix64 finaliser over seed, stream and index."""
    start = (seed * SPLITMIX_SEED + stream * SPLITMIX_STREAM) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(start) + (np.asarray(index, np.uint64) + np.uint64(1)) * np.uint64(SPLITMIX_INDEX)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(SPLITMIX_STREAM)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(SPLITMIX_INDEX)
        return z ^ (z >> np.uint64(31))


def initial_levels(chip: Chip) -> np.ndarray:
    """Levels before learning, the middle half of the range: uint8 of shape (tiles, rows, neurons)."""
    return _levels(chip, 0, chip.synapses).reshape(chip.tiles, chip.rows, chip.neurons)


def initial_layer_levels(chip: Chip) -> np.ndarray:
    """As :func:`initial_levels`, of the second layer, whose cells are numbered behind: of shape (rows, neurons)."""
    if chip.upper is None:
        return np.zeros((0, 0), np.uint8)
    return _levels(chip, chip.synapses, chip.layer_synapses).reshape(chip.upper.rows, chip.upper.neurons)


def _levels(chip, first, count):
    draw = mix(chip.seed, Stream.LEVELS, np.arange(first, first + count)) >> np.uint64(32)
    span = max(1, chip.levels // 2)
    levels = chip.levels // 4 + ((draw * np.uint64(span)) >> np.uint64(32)).astype(np.int64)
    return levels.astype(np.uint8)


def initial_random(chip: Chip) -> np.ndarray:
    """State of the xorshift of every tile, then of the read-out and of the second layer if there are, never zero."""
    streams = np.arange(chip.tiles + (chip.classes > 0) + len(chip.layers))
    state = (mix(chip.seed, Stream.RANDOM, streams) >> np.uint64(32)).astype(np.uint32)
    return np.maximum(state, np.uint32(1))


def initial_read_out(chip: Chip) -> np.ndarray:
    """Levels of the read-out before it is taught, the middle: uint8 of shape (tiles * neurons, classes)."""
    return np.full((chip.read_out_rows, chip.classes), chip.levels // 2, np.uint8)


def presentation_order(chip: Chip, learning_pass: int, count: int) -> np.ndarray:
    """The order in which a pass presents ``count`` samples: a permutation, int64 of shape (count,)."""
    keys = mix(chip.seed, Stream.ORDER, np.arange(count, dtype=np.uint64) + np.uint64(learning_pass << 32))
    return np.argsort(keys, kind="stable")
