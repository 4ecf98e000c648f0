"""What a page shows of a chip: how an image is decided, maps of conductances, a cell, what a pulse does."""

import base64
from typing import Any

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode, OutputSpikes
from ohmspike.chip.state import ChipState
from ohmspike.host.coding.images import latency_bins

__all__ = ["curve_view", "decision_view", "free_view", "map_neurons", "map_view", "packed"]

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


def free_view(chip: Chip, state: ChipState, codes: np.ndarray, spikes: OutputSpikes) -> dict[str, Any]:
    """How one image runs through a chip that fires at a threshold: step by step, by contract 3.1 and 3.3.

    Parameters
    ----------
    codes : int32 array
        The events of the image.
    spikes : OutputSpikes
        What fired on the target.

    Returns
    -------
    dict
        ``spikes`` and ``reads`` in all, and ``run``: ``lines`` that spike in each step; of the tile that fires most,
        its best ``neurons``, ``values`` V − θ of them at every STEP before anything is reset, ``threshold`` θ0, and
        the place among ``neurons`` that fires, or −1, as ``winner``; ``fired`` neurons of all tiles in each step.
    """
    ends = np.flatnonzero(codes == EventCode.STEP)
    lines = [part[part >= 0] for part in np.split(codes, ends)[:len(ends)]]
    weights = state.weight[state.levels].astype(np.int64)
    theta, top = state.theta.astype(np.int64), (1 << chip.membrane_bits) - 1
    membrane = np.zeros((chip.tiles, chip.neurons), np.int64)
    reads, fresh = np.zeros(chip.tiles, np.int64), np.ones(chip.tiles, bool)
    fired, course, total = np.full((len(lines), chip.tiles), -1), [], 0
    for step, given in enumerate(lines):
        seen = np.bincount(given, minlength=chip.lines)[chip.row_lines]
        membrane = np.minimum(membrane + np.einsum("tr,trn->tn", seen, weights), top)
        pulses = seen.sum(axis=1)
        reads, fresh, total = reads + pulses, fresh & (pulses == 0), total + int(pulses.sum())
        over = membrane - theta
        course.append(over)
        live = ~fresh & (reads >= chip.min_spikes) & (over.max(axis=1) >= state.theta_base)
        fired[step, live] = over[live].argmax(axis=1)
        membrane[live], fresh[live] = 0, True
    most = np.bincount(spikes.tile, minlength=chip.tiles)
    tile = int((most if most.any() else reads).argmax())
    values = np.stack([over[tile] for over in course]) if course else np.zeros((0, chip.neurons), np.int64)
    times = np.bincount(fired[:, tile][fired[:, tile] >= 0], minlength=chip.neurons)
    best = np.lexsort((-values.max(axis=0, initial=-top), -times))[:_BARS]
    place = {neuron: index for index, neuron in enumerate(best.tolist())}
    return {"spikes": int(sum(map(len, lines))), "reads": total, "run": {
        "tile": tile, "neurons": best.tolist(), "values": values[:, best].tolist(), "threshold": int(state.theta_base),
        "winner": [place.get(neuron, -1) for neuron in fired[:, tile].tolist()],
        "lines": [given.tolist() for given in lines], "fired": (fired >= 0).sum(axis=1).tolist()}}


def _scores(chip, state, spikes):
    """Score of every class (contract 10.3): a winner of rank q reads its row K − q times."""
    if chip.windows != chip.tiles:
        return []
    scores = np.zeros(chip.classes, np.int64)
    ranks: dict[int, int] = {}
    for tile, neuron in zip(spikes.tile.tolist(), spikes.neuron.tolist(), strict=True):
        rank = ranks[tile] = ranks.get(tile, -1) + 1 if chip.fire_mode == "race" else 0
        scores += (chip.winners - rank % chip.winners) * state.weight[
            state.read_out[tile * chip.neurons + neuron]].astype(np.int64)
    return np.minimum(scores, (1 << chip.score_bits) - 1).tolist()
