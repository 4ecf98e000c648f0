"""Random chips, states and events for comparing bodies of a chip."""

import dataclasses

import numpy as np
from hypothesis import strategies as st

from ohmspike.chip import Chip, Layer
from ohmspike.chip.events import EventBatch, EventCode, label_code
from ohmspike.sim.state import ChipState


@st.composite
def chips(draw):
    """Small chips from all over the description: both fire modes, odd geometries, rails close to each other, write
    noise, stuck cells, accumulation."""
    seed = draw(st.integers(0, 2**32 - 1), label="chip seed")
    chip = random_chip(seed, draw(st.sampled_from(["race", "threshold"])))
    if chip.fire_mode == "threshold" and draw(st.booleans(), label="free running"):
        chip = free_running(chip, np.random.default_rng([seed, 3]))
    return accumulating(chip, np.random.default_rng([seed, 1])) if draw(st.booleans()) else chip


def free_running(chip: Chip, rng: np.random.Generator) -> Chip:
    """``chip``, which fires at a threshold, with depression at the post spike, a read-out, or both."""
    classes = int(rng.choice([0, 2, 3, 10]))
    tables = {name: _table(rng, chip.amplitudes, chip.levels) if classes else None
              for name in ("read_out_set_table", "read_out_reset_table")}
    return dataclasses.replace(chip, depression=str(rng.choice(["pre", "post"])), classes=classes, **tables)


@st.composite
def shared_chips(draw):
    """Small shared crossbars from all over the description."""
    return shared_chip(draw(st.integers(0, 2**32 - 1), label="chip seed"))


def random_chip(seed: int, mode: str) -> Chip:
    """One of :func:`chips`: with the same seed and fire mode the same one."""
    rng = np.random.default_rng(seed)
    plane = rng.integers(1, 7, 2)
    patch = [int(rng.integers(1, side + 1)) for side in plane]
    neurons = int(rng.choice([1, 2, 3, 5, 9, 33]))
    winners = int(rng.integers(1, min(neurons, 6) + 1)) if mode == "race" else 1
    learners = int(rng.integers(1, (winners if mode == "race" else neurons) + 1))
    levels = int(rng.choice([2, 3, 4, 16, 64, 200, 256]))
    weight_bits = int(rng.integers(1, 13))
    linear = levels <= 1 << weight_bits and rng.random() < 0.5
    weights = None if linear else tuple(rng.integers(0, 1 << weight_bits, levels).tolist())
    amplitudes = int(rng.choice([1, 2, 4, 8, 16]))
    threshold_bits = int(rng.choice([4, 8, 16, 24]))
    classes = int(rng.choice([0, 2, 3, 10])) if mode == "race" else 0
    noise_bits = int(rng.choice([0, 0, 1, 8, 16]))
    return Chip(
        name="random", plane_height=int(plane[0]), plane_width=int(plane[1]), patch_height=patch[0],
        patch_width=patch[1], stride=int(rng.integers(1, 4)), neurons=neurons, winners=winners, learners=learners,
        min_spikes=int(rng.integers(1, 4)), levels=levels, weight_bits=weight_bits, weights=weights, fire_mode=mode,
        membrane_bits=int(rng.choice([4, 8, 12, 24])), threshold_bits=threshold_bits,
        theta_leak=int(rng.choice([0, 1, 4])), trace_bits=int(rng.integers(4, 9)), trace_shift=int(rng.integers(1, 8)),
        amplitudes=amplitudes, fraction_bits=int(rng.integers(8, 13 if noise_bits else 17)),
        set_step=float(rng.random() / 4096), reset_step=float(rng.random() / 4096),
        set_table=_table(rng, amplitudes, levels), reset_table=_table(rng, amplitudes, levels),
        theta_step=float(rng.choice([0, 1, 7, 300])), theta_base=int(rng.integers(0, min(1 << threshold_bits, 60))),
        classes=classes, score_bits=int(rng.choice([8, 16, 24])), margin=int(rng.integers(0, 256)),
        read_out_set_step=0.0, read_out_reset_step=0.0,
        read_out_set_table=_table(rng, amplitudes, levels) if classes else None,
        read_out_reset_table=_table(rng, amplitudes, levels) if classes else None, noise_bits=noise_bits,
        stuck_cells=str(rng.choice(["none", "none", "masked"])), seed=int(rng.integers(1, 2**40)))


def shared_chip(seed: int) -> Chip:
    """A shared crossbar, with the same seed the same one; half of them accumulate."""
    rng = np.random.default_rng([seed, 3])
    chip = random_chip(seed, "race")
    chip = dataclasses.replace(
        chip, channels=int(rng.integers(1, 4)), plane_width=int(rng.integers(chip.patch_width, 13)), learners=1,
        stride=int(rng.integers(1, 3)), patch_width=int(rng.integers(1, chip.patch_width + 1)),
        learn_share=int(rng.choice([0, 94, 2000, 4096])), shared=True)
    chip = dataclasses.replace(chip, pool=int(rng.integers(1, min(chip.grid_height, chip.grid_width, 4) + 1)))
    return accumulating(chip, rng) if rng.random() < 0.5 else chip


@st.composite
def layered_chips(draw):
    """Small shared crossbars with a second layer."""
    return layered_chip(draw(st.integers(0, 2**32 - 1), label="chip seed"))


def layered_chip(seed: int) -> Chip:
    """A shared crossbar with a second one behind it, with the same seed the same one."""
    rng, chip = np.random.default_rng([seed, 5]), shared_chip(seed)
    patch = rng.integers(1, chip.pool + 1, 2)
    stride, neurons = int(rng.integers(1, 3)), int(rng.choice([1, 2, 5, 17]))
    grid = [(chip.pool - side) // stride + 1 for side in patch]
    return dataclasses.replace(chip, layers=(Layer(
        patch_height=int(patch[0]), patch_width=int(patch[1]), stride=stride, neurons=neurons,
        winners=int(rng.integers(1, min(neurons, 4) + 1)), min_spikes=int(rng.integers(1, 4)),
        pool=int(rng.integers(1, min(grid) + 1)), learn_share=int(rng.choice([0, 94, 2000, 4096])),
        theta_step=float(rng.choice([0, 1, 300]))),))


def accumulating(chip: Chip, rng: np.random.Generator) -> Chip:
    """``chip`` accumulating before it pulses, in the tiles, in the read-out or in both."""
    fields = {}
    for prefix in ("", "read_out_"):
        bits = int(rng.choice([0, 2, 3, 5, 8])) if chip.classes or not prefix else 0
        fields[f"{prefix}accumulate_bits"] = bits
        fields[f"{prefix}accumulate_threshold"] = int(rng.integers(1, 1 << bits - 1)) if bits else 0
    return dataclasses.replace(chip, **fields)


def accumulating_chip(seed: int) -> Chip:
    """A random chip that accumulates, with the same seed the same one; three of four race."""
    rng = np.random.default_rng([seed, 2])
    chip = random_chip(seed, "threshold" if seed % 4 == 3 else "race")
    while not (found := accumulating(chip, rng)).accumulates:
        pass
    return found


def burdened_chip(seed: int) -> Chip:
    """An accumulating chip with write noise and stuck cells as well, with the same seed the same one."""
    rng, chip = np.random.default_rng([seed, 4]), accumulating_chip(seed)
    return dataclasses.replace(chip, noise_bits=chip.noise_bits or int(rng.choice([1, 8, 16])), stuck_cells="masked",
                               fraction_bits=min(chip.fraction_bits, 12))


def burdened_state(chip: Chip, rng: np.random.Generator) -> ChipState:
    """A random state with write noise in force, stuck cells in tiles and read-out, and thresholds off by offsets."""
    state = random_state(chip, rng)
    state.write_noise = int(rng.integers(1, 1 << chip.noise_bits))
    state.learn = True
    offsets = rng.integers(-16, 17, state.theta.shape)
    state.theta[:] = np.clip(state.theta.astype(np.int64) + offsets, 0, (1 << chip.threshold_bits) - 1)
    return state


def free_chip(seed: int) -> Chip:
    """A random free-running chip, with the same seed the same one; half of them accumulate."""
    rng = np.random.default_rng([seed, 4])
    chip = free_running(random_chip(seed, "threshold"), rng)
    return accumulating(chip, rng) if rng.random() < 0.5 else chip


CORNERS = {
    "stride": (1, 4), "neurons": (1, 2, 33), "min_spikes": (1, 4), "levels": (2, 3, 256), "weight_bits": (1, 12),
    "membrane_bits": (4, 24), "threshold_bits": (4, 24), "theta_leak": (0, 1, 15), "trace_bits": (4, 8),
    "trace_shift": (1, 7), "amplitudes": (1, 2, 16), "classes": (0, 2, 12), "score_bits": (8, 24),
    "noise_bits": (0, 1, 16), "stuck_cells": ("none", "masked"), "accumulate_bits": (0, 2, 8),
    "read_out_accumulate_bits": (0, 2, 8), "fire_mode": ("race", "race", "threshold"),
    "weight_store": ("memory", "fixed"),
}
"""Ends of the ranges of fields; of those that cost simulation time, the ends of what a small chip has."""


def corner_chip(seed: int) -> Chip:
    """A chip whose every field is at an end of its range, with the same seed the same one.

    Tables and weights hold their least and largest entries, and a few from between.
    """
    rng = np.random.default_rng([seed, 3])
    fields = {name: rng.choice(ends).item() for name, ends in CORNERS.items()}
    race, neurons, levels = fields["fire_mode"] == "race", fields["neurons"], fields["levels"]
    plane = rng.integers(1, 6, 2)
    patch = [int(rng.choice([1, side])) for side in plane]
    winners = int(rng.choice([1, min(neurons, 7)])) if race else 1
    classes = fields["classes"] if race else 0
    accumulated = {"": fields["accumulate_bits"], "read_out_": fields["read_out_accumulate_bits"] if classes else 0}
    fields |= {f"{prefix}accumulate_bits": bits for prefix, bits in accumulated.items()} | {
        f"{prefix}accumulate_threshold": int(rng.choice([1, (1 << bits - 1) - 1])) if bits else 0
        for prefix, bits in accumulated.items()} | {
        "plane_height": int(plane[0]), "plane_width": int(plane[1]), "patch_height": patch[0], "patch_width": patch[1],
        "winners": winners, "learners": int(rng.choice([1, winners if race else min(neurons, 7)])), "classes": classes,
        "fraction_bits": int(rng.choice([8, 12 if fields["noise_bits"] else 16])),
        "theta_step": float(rng.choice([0, 1, 65535])),
        "theta_base": int(rng.choice([0, (1 << fields["threshold_bits"]) - 1])) if not race else 0,
        "margin": int(rng.choice([0, (1 << fields["score_bits"]) - 1])), "seed": int(rng.choice([0, 2**63 - 1]))}
    tables = {f"{prefix}{kind}_table": _corner_table(rng, (fields["amplitudes"], levels))
              for prefix in ("", *(["read_out_"] if classes else [])) for kind in ("set", "reset")}
    weights = rng.choice([0, 1, (1 << fields["weight_bits"]) - 1], levels).tolist()
    return Chip(name="corner", weights=tuple(weights), set_step=0.0, reset_step=0.0, read_out_set_step=0.0,
                read_out_reset_step=0.0, **tables, **fields)


def _corner_table(rng, shape):
    entries = np.where(rng.random(shape) < 0.5, rng.choice([0, 1, 2**16 - 1], shape), rng.integers(0, 2**13, shape))
    return tuple(map(tuple, entries.tolist()))


def _table(rng, amplitudes, levels):
    return tuple(map(tuple, rng.integers(0, 1 << int(rng.integers(1, 17)), (amplitudes, levels)).tolist()))


def random_state(chip: Chip, rng: np.random.Generator) -> ChipState:
    """A state from anywhere in its range, counters close to their overflow included."""
    state = ChipState.initial(chip)
    state.levels[:] = rng.integers(0, chip.levels, state.levels.shape)
    state.theta[:] = rng.integers(0, 1 << int(rng.integers(1, chip.threshold_bits + 1)), state.theta.shape)
    state.random[:] = rng.integers(0, 1 << 32, state.random.shape)
    state.counters[:] = rng.choice(np.array([0, 2**64 - 3], np.uint64), state.counters.shape)
    state.learn = bool(rng.random() < 0.7)
    state.read_out[:] = rng.integers(0, chip.levels, state.read_out.shape)
    state.learn_share = int(rng.integers(0, 4097)) if chip.shared else 0
    state.write_noise = int(rng.integers(0, 1 << int(rng.integers(0, chip.noise_bits + 1))))
    for mask in (state.stuck, state.read_out_stuck):
        mask[:] = rng.random(mask.shape) < 0.2
    for prefix in ("", "read_out_"):
        counts, bits = getattr(state, f"{prefix}accumulated"), getattr(chip, f"{prefix}accumulate_bits")
        counts[:] = rng.integers(0, 1 << bits, counts.shape)
    if chip.layers:
        state.layer_levels[:] = rng.integers(0, chip.levels, state.layer_levels.shape)
        state.layer_theta[:] = rng.integers(0, 1 << int(rng.integers(1, chip.threshold_bits + 1)),
                                            state.layer_theta.shape)
        state.layer_stuck[:] = rng.random(state.layer_stuck.shape) < 0.2
        state.layer_accumulated[:] = rng.integers(0, 1 << chip.accumulate_bits, state.layer_accumulated.shape)
        state.layer_learn_share = int(rng.integers(0, 4097))
    return state


def random_samples(chip: Chip, rng: np.random.Generator, count: int, *, labels: bool = True) -> EventBatch:
    """Samples of latency code, of several steps and races, with refused events, and without an end."""
    samples = [_sample(chip, rng) for _ in range(count)]
    if not labels:
        samples = [[code for code in sample if code > EventCode.LABEL] for sample in samples]
    return EventBatch(np.concatenate([np.zeros(0, np.int32)] + samples).astype(np.int32),
                      np.cumsum([0] + [len(sample) for sample in samples]))


def _sample(chip, rng):
    if chip.fire_mode == "threshold" and rng.random() < 0.5:
        return _free_sample(chip, rng)
    kind = rng.choice(["latency", "rate", "wild", "empty"], p=[0.5, 0.25, 0.2, 0.05])
    if kind == "empty":
        return []
    if kind == "latency":
        bins = int(rng.integers(1, 5))
        when = rng.integers(-1, bins, chip.lines)
        codes = []
        for bin_ in range(bins):
            codes += np.flatnonzero(when == bin_).tolist() + [EventCode.STEP] * int(bin_ < bins - 1)
        tail = [[EventCode.ANSWER], [_label(chip, rng)], [EventCode.DARK]]
        return codes + [EventCode.DECIDE] + [code for part in tail if rng.random() < 0.7 for code in part] + [
            EventCode.END]
    if kind == "rate":
        codes = []
        for _ in range(int(rng.choice([1, 3, 12, 257], p=[0.4, 0.3, 0.29, 0.01]))):
            codes += np.flatnonzero(rng.random(chip.lines) < 0.4).tolist() + [EventCode.STEP]
        return codes + [EventCode.DECIDE, EventCode.ANSWER, EventCode.DARK, _label(chip, rng), EventCode.END]
    choice = np.concatenate([np.arange(chip.lines + 1), np.repeat(list(EventCode), [6, 3, 1, 1, 1, 1]),
                             [_label(chip, rng)] * 2])
    return rng.choice(choice, int(rng.integers(1, 40))).tolist()


def _free_sample(chip, rng):
    """A whole sample of threshold mode: lines that spike several times in a step too, and behind the last STEP."""
    codes = []
    for _ in range(int(rng.choice([1, 3, 12, 254], p=[0.4, 0.3, 0.29, 0.01]))):
        codes += np.flatnonzero(rng.random(chip.lines) < 0.4).tolist()
        if rng.random() < 0.2:
            codes += rng.integers(0, chip.lines, 3 * chip.lines).tolist()
        codes.append(EventCode.STEP)
    codes = codes[:-1] if rng.random() < 0.3 else codes
    tail = [[EventCode.ANSWER], [_label(chip, rng)]]
    return codes + [code for part in tail if rng.random() < 0.7 for code in part] + [EventCode.END]


def _label(chip, rng):
    """LABEL of a class, now and then of one that the chip does not have."""
    return label_code(int(rng.integers(0, chip.classes + int(rng.random() < 0.2) + (chip.classes == 0))))


def cut(batch: EventBatch, at: int) -> tuple[EventBatch, EventBatch]:
    """The same events in two batches, cut after event ``at``, in the middle of a sample too."""
    first = np.minimum(batch.offsets, at)
    second = np.maximum(batch.offsets, at) - at
    return EventBatch(batch.codes[:at], first), EventBatch(batch.codes[at:], second)


def varied(chip: Chip, **fields) -> Chip:
    """``chip`` with other fields."""
    return dataclasses.replace(chip, **fields)
