"""The non-ideal model: the chip with real cells and lines, seeded, cell by cell (docs/nonidealities.md)."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ohmspike.chip.description import NOISE_FRACTION_MAX, NOISE_SIGMA, Chip
from ohmspike.chip.events import EventBatch, EventCode, OutputSpikes
from ohmspike.chip.wording import did_you_mean
from ohmspike.sim.analog.device import Device, DeviceError, curvature, matched_widths, saturation
from ohmspike.sim.analog.energy import mean_annealing
from ohmspike.sim.state import ChipState, written, written_read_out

from .exact import ExactModel, WalkWork, Work, joined
from .kernels.types import Reading, RealCells
from .nonidealities import IN_HARDWARE, NOISE_LAWS, NONIDEALITIES

__all__ = ["STEADY", "WARMING_SAMPLES", "NonIdealModel", "NonIdealities", "as_hardware", "warm_weights",
           "warmed"]

_NEVER = np.uint32(0xFFFFFFFF)
_BOLTZMANN_EV = 8.617333e-5
_REFERENCE_K = 300.0
_ACTIVATION_EV = 0.075

STEADY = 500
"""Samples after which the temperature of a chip that warms is taken anew."""

WARMING_SAMPLES = 100_000
"""Samples in which a chip that warms has been warmest and is as cold again as it was."""

_NOISE_SPAN = 124
"""From the lowest to the highest of the noise of 5.5."""

_NOISE_BITS = 16
"""Width of the noise register unless the chip has one that will do: enough for any strength, so that a chip is built
once for all of them."""


@dataclass(frozen=True)
class NonIdealities:
    """Strengths of the non-idealities of a chip (:data:`NONIDEALITIES`), and the seed of what is drawn once per cell.

    Parameters
    ----------
    noise_law : str
        How ``c2c`` follows the size of a pulse, of :data:`NOISE_LAWS`: the same for all, or that of a pulse whose step
        is ``set_step`` (SET) or ``reset_step`` (RESET) times the root of the ratio of the steps, or times the ratio.
    set_step, reset_step : float
        Those steps, shares of the range; by the law *pulse* they tell nothing.

    Raises
    ------
    DeviceError
        A strength is out of its range.
    """

    c2c: float = 0.0
    write_error: float = 0.0
    d2d_step: float = 0.0
    d2d_range: float = 0.0
    stuck: float = 0.0
    threshold: float = 0.0
    read_noise: float = 0.0
    supply: float = 0.0
    line_ohm: float = 0.0
    unclamped: float = 0.0
    endurance: float = 0.0
    temperature: float = 0.0
    warming: float = 0.0
    noise_law: str = "pulse"
    set_step: float = 1.0
    reset_step: float = 1.0
    seed: int = 1

    def __post_init__(self):
        for name, (_, low, high) in NONIDEALITIES.items():
            value = getattr(self, name)
            if type(value) not in (int, float) or not low <= value <= high:  # also refuses NaN
                raise DeviceError(f"{name} must be {low:g} to {high:g}, not {value!r}")
        if self.noise_law not in NOISE_LAWS:
            raise DeviceError(f"noise_law must be one of {', '.join(NOISE_LAWS)}, not {self.noise_law!r}",
                              hint=did_you_mean(self.noise_law, NOISE_LAWS))
        for name in ("set_step", "reset_step"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 1e-6 <= value <= 1000:
                raise DeviceError(f"{name} must be 1e-06 to 1000, not {value!r}")
        if self.temperature + self.warming > NONIDEALITIES["temperature"][2]:
            raise DeviceError(f"temperature and warming must be {NONIDEALITIES['temperature'][2]:g} together at most, "
                              f"not {self.temperature + self.warming:g}")
        if type(self.seed) is not int or self.seed < 0:
            raise DeviceError(f"seed must be an integer of at least 0, not {self.seed!r}")

    @property
    def in_hardware(self) -> bool:
        """Whether all implementations of the chip carry them (:func:`as_hardware`), not the non-ideal model alone."""
        return not any(getattr(self, name) for name in NONIDEALITIES if name not in IN_HARDWARE) and (
            not self.c2c or self.noise_law == "pulse")

    @classmethod
    def of_device(cls, device: Device, *, seed: int = 1, chip: Chip | None = None) -> "NonIdealities":
        """What the device's own spread (``[spread]``) comes to.

        Cycle to cycle, step and range of each cell, stuck cells, reading and wear.

        A deviation of the labels becomes one of the step: the mean square change, over states and both kinds of pulse,
        of the logarithm of the speed when a label is one deviation steeper. On a chip whose updates are several pulses
        of the device, their deviations add up: by the law *pulse* ``c2c`` times the root of the pulses of a mean
        update; by *sqrt_step* whatever the pulses are; by *step* every one of n pulses makes an n-th of the step, so
        that they miss by less, over their root. Endurance is told by the pulses at which half of the cells have failed.
        """
        pulses = device.endurance_cycles * (device.set_pulses + device.reset_pulses)
        root = [1.0, 1.0] if chip is None else [math.sqrt(count) for count in _update_pulses(device, chip)]
        c2c, steps = device.c2c, [1 / device.set_pulses, 1 / device.reset_pulses]
        if device.noise_law == "pulse":
            c2c, steps = min(1.0, c2c * math.sqrt(np.mean(np.square(root)))), [1.0, 1.0]
        elif device.noise_law == "step":
            steps = [step * each for step, each in zip(steps, root, strict=True)]
        return cls(c2c=c2c, write_error=device.write_error, noise_law=device.noise_law, set_step=steps[0],
                   reset_step=steps[1], d2d_step=min(math.hypot(_step_spread(device), device.d2d_step),
                                 NONIDEALITIES["d2d_step"][2]),
                   d2d_range=device.d2d_range, stuck=device.stuck, read_noise=device.read_noise,
                   endurance=min(1.0, math.sqrt(math.log(2)) / pulses), seed=seed)


def _update_pulses(device, chip):
    """Pulses of a mean update of SET and of RESET, at least one: tiles and read-out, as the schedule scales them."""
    taught = [dataclasses.replace(phase, learn=True, scale=phase.read_out_scale, decay=phase.read_out_decay)
              for phase in chip.schedule if phase.teach and not phase.on_host]
    parts = [(chip.plasticity_tables(), chip.accumulate_rates("", mean_annealing(chip.schedule))[0])]
    parts += [(chip.read_out_tables(), chip.accumulate_rates("read_out_", mean_annealing(taught))[0])] if taught else []
    widths = [[width * scale for width in matched_widths(device, chip, tables=tables)] for tables, scale in parts]
    return np.mean(np.maximum(widths, 1.0), axis=0).tolist()


def _step_spread(device):
    if not device.d2d_label:
        return 0.0
    x, changes = np.linspace(0.05, 0.95, 19), []
    for label in (device.nl_set, device.nl_reset):
        speeds = []
        for each in (label, min(label + device.d2d_label, 9.0) if label > 0 else max(label - device.d2d_label, -9.0)):
            a = curvature(each)
            speeds.append(np.log((saturation(a) - x) / a))
        changes.append(np.square(speeds[1] - speeds[0]))
    return float(np.sqrt(np.mean(changes)))


def as_hardware(chip: Chip, nonidealities: NonIdealities, state: ChipState | None = None) -> tuple[Chip, ChipState]:
    """The chip whose hardware has the non-idealities, and its state: what exact model, oracle, RTL and boards take.

    On whole latency-coded samples it does to the bit what :class:`NonIdealModel` does, as long as no threshold reaches
    its top; but it takes any events, in either mode. Its thresholds are those of the ideal chip with the offsets
    added, shifted to stay at 0 or above (contract 6.3).

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.Chip`
        Ideal, or with a noise register and a mask of its own, which are kept if they will do.
    nonidealities : :class:`NonIdealities`
        Those of :data:`IN_HARDWARE` alone.
    state : :class:`ChipState`, optional
        Of ``chip``; copied. Its initial state if absent.

    Raises
    ------
    DeviceError
        The hardware cannot have a non-ideality, or the thresholds have no room for it.
    DescriptionError
        The chip cannot have a non-ideality.
    """
    for name in NONIDEALITIES:
        if name not in IN_HARDWARE and getattr(nonidealities, name):
            raise DeviceError(f"{name} must be 0 in hardware, which has {', '.join(IN_HARDWARE)} alone, "
                              f"not {getattr(nonidealities, name):g}",
                              hint="the model alone has the others: `ohmspike learn`, `robustness`, `search`")
    if nonidealities.c2c and nonidealities.noise_law != "pulse":
        raise DeviceError(f"noise_law must be pulse in hardware, not {nonidealities.noise_law}")
    for name in ("stuck", "threshold") if chip.layers else ():
        if getattr(nonidealities, name):
            raise DeviceError(f"{name} must be 0 in a chip with a second layer, not {getattr(nonidealities, name):g}",
                              hint="c2c is write noise in both layers; stuck cells may be loaded as a mask")
    fields: dict[str, Any] = {}
    if nonidealities.c2c:
        wanted = _noise_register(chip, nonidealities).bit_length()
        fields |= {"write_noise": float(nonidealities.c2c),
                   "noise_bits": chip.noise_bits if chip.noise_bits >= max(1, wanted) else _NOISE_BITS}
    if nonidealities.stuck:
        fields["stuck_cells"] = "masked"
    hardware = dataclasses.replace(chip, **fields)
    state = ChipState.initial(chip) if state is None else state.copy()
    state.validate(chip)
    fresh = ChipState.initial(hardware)
    drawn = _draw(chip, nonidealities, Device.preset("target65"))
    if nonidealities.c2c:
        state.write_noise = fresh.write_noise
    if nonidealities.stuck:
        for mask, levels, rail in zip(("stuck", "read_out_stuck"), ("levels", "read_out"), drawn.rails, strict=True):
            held = getattr(state, mask) if chip.has_stuck_cells else getattr(fresh, mask)
            setattr(state, mask, held | (rail >= 0).astype(np.uint8))
            getattr(state, levels)[rail >= 0] = rail[rail >= 0]
    if nonidealities.threshold:
        _offset(chip, state, drawn.reading.offsets)
    state.validate(hardware)
    return hardware, state


def _offset(chip, state, offsets):
    """Add offsets to the thresholds, and what keeps them at 0 or above (contract 6.3)."""
    if chip.theta_leak:
        raise DeviceError(f"threshold must be 0 where thresholds leak (theta_leak = {chip.theta_leak}): offsets do not")
    theta = state.theta.astype(np.int64) + offsets
    if chip.fire_mode == "race":
        theta -= theta.min(axis=1, keepdims=True)
    else:
        shift = max(0, -int(theta.min()))
        if shift > state.theta_base:
            raise DeviceError(f"theta_base must be at least {shift} for offsets of these thresholds, "
                              f"not {state.theta_base}")
        theta += shift
        state.theta_base -= shift
    if theta.max() >> chip.threshold_bits:
        raise DeviceError(f"threshold_bits must be at least {int(theta.max()).bit_length()} for offsets of these "
                          f"thresholds, not {chip.threshold_bits}")
    state.theta = theta.astype(np.uint32)


class NonIdealModel(ExactModel):
    """A chip with real cells and lines. Without any non-ideality it is the exact model, to the bit.

    Takes whole latency-coded samples only (contract 9.1), in race mode; a shared crossbar takes any events, and reads
    and pulses its one array in one window after the other. What is drawn per cell depends on the seed of the
    nonidealities alone; noise of pulses uses the chip's own random states, noise of reading others. Results do not
    depend on the number of threads.

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.Chip`
        Race mode, without non-idealities of its own; fraction_bits of 12 at most, since noise takes the 20 low bits of
        a random state.
    nonidealities : :class:`NonIdealities`
    state : :class:`ChipState`, optional
        Copied; its levels are written to the cells as :meth:`program` does.
    device : :class:`Device`, optional
        Conductances for ``line_ohm``.

    Raises
    ------
    ValueError
        The chip cannot have non-idealities, or samples are of another kind.
    """

    def __init__(self, chip: Chip, nonidealities: NonIdealities, state: ChipState | None = None,
                 device: Device | None = None):
        if chip.fire_mode != "race":
            raise ValueError(f"non-idealities need fire_mode race, not {chip.fire_mode}")
        if chip.layers:
            raise DeviceError("layers must be empty in the non-ideal model, not one layer",
                                   hint="c2c is write noise in both layers: --nonidealities c2c=0.01")
        if chip.fraction_bits > NOISE_FRACTION_MAX:
            raise ValueError(f"non-idealities need fraction_bits of {NOISE_FRACTION_MAX} at most, "
                             f"not {chip.fraction_bits}")
        if chip.noise_bits or chip.has_stuck_cells:
            raise ValueError("non-idealities need a description without any: noise_bits 0 and stuck_cells none, not "
                             f"{chip.noise_bits} and {chip.stuck_cells}")
        super().__init__(chip, state)
        self.nonidealities = nonidealities
        self.device = Device.preset("target65") if device is None else device
        self._rng = np.random.default_rng([nonidealities.seed, 2])
        self._seen = np.zeros(1, np.int64)
        self._drawn = _draw(chip, nonidealities, self.device)
        self.program(self.state)

    def program(self, state: ChipState, *, error: float = 0.0) -> None:
        """Write the levels, thresholds, tables and registers of a chip that learned elsewhere.

        Parameters
        ----------
        error : float
            Deviation of a written level, share of the range, beside ``write_error``; stuck cells stay at their rail.
        """
        state = state.copy()
        for name, rails in zip(("levels", "read_out"), self._drawn.rails, strict=True):
            levels = getattr(state, name)
            if error:
                levels[...] = written(levels, self.chip.levels - 1, error, self._rng)
            levels[rails >= 0] = rails[rails >= 0]
        state.validate(self.chip)
        self.state = state
        for real, stuck in zip(self._drawn.real, self._drawn.stuck, strict=True):
            self._miss(real, stuck)

    def _miss(self, real, stuck):
        """Draw what the writes of all cells of a crossbar missed by."""
        if real.write_error:
            drawn = real.write_error * NOISE_SIGMA * self._rng.standard_normal(real.missed.shape)
            real.missed[...] = np.where(stuck, 0, np.rint(drawn))

    def program_read_out(self, levels: np.ndarray) -> None:
        """Write the levels of the read-out, each with an error of deviation ``c2c``."""
        rails = self._drawn.rails[1]
        self.state.read_out[...] = np.where(rails < 0, written_read_out(self.chip, levels, self.nonidealities.c2c),
                                            rails)
        self._miss(self._drawn.real[1], self._drawn.stuck[1])

    def drift(self, decades: float, *, share: float, deviation: float = 0.0) -> None:
        """Let every cell lose ``share`` of the range per decade of time, with a deviation per decade, also a share."""
        top = self.chip.levels - 1
        for name, rails in zip(("levels", "read_out"), self._drawn.rails, strict=True):
            levels = getattr(self.state, name)
            moved = levels - decades * top * (share + deviation * self._rng.standard_normal(levels.shape))
            moved = np.clip(np.rint(moved), 0, top).astype(np.uint8)
            levels[rails < 0] = moved[rails < 0]

    @property
    def worn(self) -> float:
        """Share of the cells that have had more pulses than they bear."""
        real = self._drawn.real
        return float(sum((cells.wear >= cells.limit).sum() for cells in real) / sum(cells.wear.size for cells in real))

    def pulses(self) -> tuple[np.ndarray, np.ndarray]:
        """Pulses that each cell has had, of the tiles and of the read-out, uint32 in the shapes of their levels."""
        tiles, read_out = self._drawn.real
        return tiles.wear.copy(), read_out.wear[0].copy()

    def history(self) -> dict[str, np.ndarray]:
        """What goes on across runs beside the state.

        Pulses of every cell, random states of reading; where writes miss, by what, and their random states; where the
        chip warms, the samples so far.
        """
        tiles, read_out = self._drawn.real
        found = {"wear": tiles.wear, "read_out_wear": read_out.wear[0], "noise": self._drawn.reading.noise}
        if self.nonidealities.write_error:
            found |= {"missed": tiles.missed, "read_out_missed": read_out.missed[0],
                      "writing": tiles.writing, "read_out_writing": read_out.writing}
        if self.nonidealities.warming:
            found["seen"] = self._seen
        return found

    def restore(self, history: dict[str, np.ndarray]) -> None:
        """Go on from a :meth:`history`."""
        for name, array in self.history().items():
            array[...] = history[name]

    def run(self, batch: EventBatch, *, report: bool = True, threads: int | None = None) -> OutputSpikes:
        """As :meth:`ExactModel.run`; a chip that warms has a temperature for every :data:`STEADY` samples."""
        if not self.nonidealities.warming:
            return super().run(batch, report=report, threads=threads)
        first = 0
        parts: list[OutputSpikes] = []
        while first < len(batch) or not parts:
            seen = int(self._seen[0])
            stop = min(first + STEADY - seen % STEADY, len(batch))
            kelvin = self.nonidealities.temperature + self.nonidealities.warming * warmed(seen // STEADY * STEADY)
            self._drawn.real[0].level_weights[...] = warm_weights(self.chip, self.device, kelvin)
            offsets = batch.offsets[first:stop + 1]
            part = EventBatch(batch.codes[offsets[0]:offsets[-1]], offsets - offsets[0])
            parts.append(super().run(part, report=report, threads=threads))
            self._seen += stop - first
            first = stop
        return joined(parts)

    def infer(self, batch: EventBatch, threads: int | None = None, *, report: bool = True) -> OutputSpikes:
        """As :meth:`ExactModel.infer`; the random states of reading go on."""
        if len(batch.codes) and batch.codes.min() <= EventCode.LABEL:
            raise ValueError("infer takes no LABEL: teaching changes the chip, in the order of the samples")
        learn, self.state.learn = self.state.learn, False
        try:
            return self.run(batch, report=report, threads=threads)
        finally:
            self.state.learn = learn

    def _cells(self, learn):
        cells = super()._cells(learn)
        crossbars = []
        for crossbar, real, stuck in zip((cells.tiles, cells.read_out), self._drawn.real, self._drawn.stuck,
                                         strict=True):
            weights = np.maximum(0, real.level_weights[crossbar.levels] + real.missed)  # as real_weight
            crossbars.append(crossbar._replace(
                weights=((weights * real.weight_gain.astype(np.int64)) >> 8).astype(np.int32), real=real,
                effects=crossbar.effects._replace(
                    present=True, write_noise=_noise_register(self.chip, self.nonidealities), stuck=stuck)))
        return cells._replace(tiles=crossbars[0], read_out=crossbars[1],
                              weight_table=cells.weight_table.astype(np.uint16))  # of one type: compiled once

    def _work(self, cells, keep, threads):
        if self.chip.shared:
            layers = [(self._geometry, cells, int(self.state.learn_share))]
            return WalkWork(self.chip, layers, keep, threads, self._drawn.reading)
        return _WholeSamples(self.chip, self._geometry, cells, keep, threads, self._drawn.reading)


class _WholeSamples(Work):
    """A run that takes whole latency-coded samples alone."""

    def _run_any(self, codes, offsets, transient):
        if len(codes[offsets[0]:offsets[-1]]):
            raise ValueError("a non-ideal chip takes whole latency-coded samples only (contract 9.1)")


@dataclass(frozen=True)
class _Drawn:
    """What is drawn for a chip; where there are two, of the tiles and of the read-out, which is one plane of cells."""

    stuck: tuple[np.ndarray, np.ndarray]  # 1 where a cell is stuck
    rails: tuple[np.ndarray, np.ndarray]  # levels of stuck cells, -1 where a cell works; in the shapes of the state
    real: tuple[RealCells, RealCells]
    reading: Reading


def _draw(chip, nonidealities, device):
    rng = np.random.default_rng([nonidealities.seed, 1])
    top = chip.levels - 1
    level_weights = warm_weights(chip, device, nonidealities.temperature)
    parts = []
    for shape in ((chip.tiles, chip.rows, chip.neurons), (1, chip.read_out_rows, chip.classes)):
        share, rail, step, span, life = (rng.random(shape), rng.random(shape), rng.standard_normal(shape),
                                         rng.standard_normal(shape), rng.random(shape))
        stuck = share < nonidealities.stuck
        limit = np.full(shape, _NEVER, np.uint32)
        if nonidealities.endurance:
            pulses = np.sqrt(-np.log1p(-life)) / nonidealities.endurance  # Weibull of shape 2
            limit = np.minimum(np.rint(pulses), float(_NEVER)).astype(np.uint32)
        rails = np.where(stuck, np.where(rail < 0.5, 0, top), -1).astype(np.int16)
        parts.append((stuck.astype(np.uint8), rails, RealCells(
            step_gain=_gain(np.exp(nonidealities.d2d_step * step)),
            weight_gain=_gain(np.maximum(0.0, 1.0 + nonidealities.d2d_range * span)),
            wear=np.zeros(shape, np.uint32), limit=limit, level_weights=level_weights,
            missed=np.zeros(shape, np.int32), writing=np.zeros(shape[0], np.uint32),
            write_error=256 * nonidealities.write_error * max(1, int(chip.weight_table.max())) / NOISE_SIGMA,
            noise_law=NOISE_LAWS.index(nonidealities.noise_law), step_noise=_step_noise(chip, nonidealities))))
    masks, held, real = zip(*parts, strict=True)
    full = max(1, int(chip.weight_table.max()))
    offsets = np.rint(nonidealities.threshold * full * rng.standard_normal((chip.tiles, chip.neurons)))
    swing = device.g_max_s - device.g_min_s
    reading = Reading(
        offsets=offsets.astype(np.int32), noise=rng.integers(1, 1 << 32, chip.tiles + 1, dtype=np.uint32),
        read_noise=nonidealities.read_noise * full / NOISE_SIGMA, line_loss=nonidealities.line_ohm * swing / full,
        line_floor=full * device.g_min_s / swing,
        full_membrane=16 * full / nonidealities.unclamped if nonidealities.unclamped else 0.0,
        supply=nonidealities.supply / _NOISE_SPAN)
    for part in real:
        part.writing[:] = rng.integers(1, 1 << 32, len(part.writing), dtype=np.uint32)
    return _Drawn(masks, (held[0], held[1][0]), real, reading)


def _noise_register(chip, nonidealities):
    """The strength ``c2c`` in the units of the register write_noise (contract 5.5)."""
    return round(nonidealities.c2c * (chip.levels - 1) * 2**chip.fraction_bits / NOISE_SIGMA)


def _step_noise(chip, nonidealities):
    """Strength of the noise of SET and of RESET over the step in table entries, to the power of the law."""
    power = NOISE_LAWS.index(nonidealities.noise_law) / 2
    full = (chip.levels - 1) * 2**chip.fraction_bits
    steps = np.array([nonidealities.set_step, nonidealities.reset_step]) * full
    return nonidealities.c2c * full / NOISE_SIGMA / steps**power


def warmed(seen: int) -> float:
    """Share of ``warming`` after so many samples: there and back by a cosine, from 0 on."""
    return (1 - math.cos(2 * math.pi * seen / WARMING_SAMPLES)) / 2


def _gain(values):
    return np.minimum(np.rint(256 * values), 65535).astype(np.uint16)


def warm_weights(chip: Chip, device: Device, kelvin: float) -> np.ndarray:
    """Weights in 1/256 at ``kelvin`` above the reference, int64 of shape (levels,).

    Conductance rises by Arrhenius' law, fully at the lower rail and not at all at the upper; what the lower rail
    conducts more shows as weight.
    """
    weights = chip.weight_table.astype(np.float64)
    full = max(weights.max(), 1.0)
    rise = np.exp(_ACTIVATION_EV / _BOLTZMANN_EV * (1 / _REFERENCE_K - 1 / (_REFERENCE_K + kelvin))) - 1
    swing = device.g_max_s - device.g_min_s
    conductance = device.g_min_s / swing * full + weights
    return np.rint(256 * (weights + conductance * rise * (1 - weights / full))).astype(np.int64)


_NAMES = {spec.name for spec in dataclasses.fields(NonIdealities)}
assert set(NONIDEALITIES) == _NAMES - {"seed", "noise_law", "set_step", "reset_step"}
