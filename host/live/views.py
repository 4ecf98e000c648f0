"""What a page shows of a chip: how an image is decided, maps of conductances, a cell, what a pulse does."""

import base64
from typing import Any

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import OutputSpikes
from ohmspike.chip.state import ChipState
from ohmspike.host.coding.images import latency_bins

__all__ = ["curve_view", "decision_view", "map_neurons", "map_view", "packed"]

_MAPS = 100
"""Maps that are shown at most of one crossbar."""

_MAP_CELLS = 26_000
"""Cells that all maps together show at most; at least one map a tile."""

_BARS = 24


def packed(values: np.ndarray) -> str:
    """An array of levels or of bins as text: a byte a value, base64; −1 is 255."""
    return base64.b64encode(np.ascontiguousarray(values).astype(np.int16).astype(np.uint8).tobytes()).decode()


def map_neurons(chip: Chip) -> int:
    """How many neurons of every tile have their map shown, the first ones: a square number on a grid of tiles."""
    if chip.tiles == 1:
        return max(1, min(chip.neurons, _MAPS, _MAP_CELLS * 4 // chip.rows))
    side = max(1, int((_MAP_CELLS / (chip.tiles * chip.rows)) ** 0.5))
    return min(side, int(chip.neurons**0.5)) ** 2


def map_view(chip: Chip, levels: np.ndarray) -> str:
    """Levels of the cells of the shown neurons, :func:`packed` in the order (tile, neuron, row).

    Parameters
    ----------
    levels : uint8 array of shape (tiles, rows, neurons)
    """
    return packed(levels[:, :, :map_neurons(chip)].transpose(0, 2, 1))


def curve_view(chip: Chip, state: ChipState) -> dict[str, list[float]]:
    """Levels that full SET pulses lead to from the lowest one, and full RESET pulses from the highest, in the mean.

    By the tables that the chip has now (contract 5.4); as many pulses as reach the rail, at most 100.
    """
    curves = {}
    for name, table, level, sign in (("set", state.set, 0.0, 1), ("reset", state.reset, chip.levels - 1.0, -1)):
        course, steps = [level], table[-1] / 2**chip.fraction_bits
        while len(course) <= 100 and 0 <= course[-1] + sign * 1e-6 <= chip.levels - 1:
            step = float(np.interp(course[-1], np.arange(chip.levels), steps))
            course.append(min(max(course[-1] + sign * step, 0.0), chip.levels - 1.0))
        curves[name] = [round(value, 3) for value in course]
    return curves


def decision_view(chip: Chip, state: ChipState, image: np.ndarray, spikes: OutputSpikes) -> dict[str, Any]:
    """How one latency-coded image is decided: bins of its lines, the race of the tile that reads most, winners, scores.

    Parameters
    ----------
    image : uint8 array of shape (plane_height, plane_width)
    spikes : OutputSpikes
        What fired on the target, and its answer.
    """
    view: dict[str, Any] = {"fired": [[int(tile), int(neuron)] for tile, neuron in
                                      zip(spikes.tile, spikes.neuron, strict=True)]}
    answers = spikes.answers
    if answers is not None and len(answers.label):
        view |= {"answer": int(answers.label[0]), "score": int(answers.score[0]), "margin": int(answers.margin[0])}
    if chip.classes:
        view["scores"] = _scores(chip, state, spikes)
    if chip.fire_mode != "race" or chip.windows != chip.tiles:
        return view
    bins = latency_bins(chip, image[None])[0]
    seen = (bins >= 0)[chip.row_lines]
    reads = seen.sum(axis=1)
    tile = int(reads.argmax())
    sums = state.weight[state.levels[tile][seen[tile]]].sum(axis=0, dtype=np.int64)
    theta = state.theta[tile].astype(np.int64) - int(state.theta[tile].min())
    race = np.minimum(sums, (1 << chip.membrane_bits) - 1) - theta
    order = np.argsort(-race, kind="stable")[:_BARS]
    return view | {"bins": packed(bins), "spikes": int((bins >= 0).sum()), "reads": int(reads.sum()), "race": {
        "tile": tile, "neurons": order.tolist(), "values": race[order].tolist(), "winners": chip.winners
        if reads[tile] >= max(1, chip.min_spikes) else 0}}


def _scores(chip, state, spikes):
    """Score of every class (contract 10.3): a winner of rank q reads its row K − q times."""
    if chip.windows != chip.tiles:
        return []
    scores = np.zeros(chip.classes, np.int64)
    ranks: dict[int, int] = {}
    for tile, neuron in zip(spikes.tile.tolist(), spikes.neuron.tolist(), strict=True):
        rank = ranks[tile] = ranks.get(tile, -1) + 1
        scores += (chip.winners - rank % chip.winners) * state.weight[
            state.read_out[tile * chip.neurons + neuron]].astype(np.int64)
    return np.minimum(scores, (1 << chip.score_bits) - 1).tolist()
