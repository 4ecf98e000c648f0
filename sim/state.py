"""What a chip keeps across samples (contract 2.1), as NumPy arrays."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from ohmspike.chip.description import Chip
from ohmspike.chip.events import Fires
from ohmspike.chip.initial import initial_levels, initial_random, initial_read_out
from ohmspike.chip.instructions import BIN_COUNTERS, COUNTERS, READ_OUT_COUNTERS, counter_names

__all__ = ["THETA_STEP_BITS", "ChipState", "fires_difference", "written", "written_read_out"]

THETA_STEP_BITS = 16
"""Width of the register h (contract 2.1)."""


@dataclass(eq=False)
class ChipState:
    """The persistent state of a chip: arrays that may be read and written between any two runs.

    Parameters
    ----------
    levels : uint8 array of shape (tiles, rows, neurons)
        Conductance level of every cell.
    theta : uint32 array of shape (tiles, neurons)
        Adaptive thresholds.
    random : uint32 array of shape (tiles,), one more with a read-out
        State of every tile's xorshift, then that of the read-out.
    weight : uint16 array of shape (levels,)
        Weight table.
    set, reset : uint16 arrays of shape (amplitudes, levels)
        Plasticity tables.
    learn : bool
        Plasticity, post-traces and homeostasis are on.
    theta_step, theta_base : int
        Registers h and θ0.
    counters : uint64 array
        Counters in the order of :func:`ohmspike.chip.instructions.counter_names`.
    read_out : uint8 array of shape (tiles * neurons, classes)
        Conductance level of every cell of the read-out; no columns without one.
    read_out_set, read_out_reset : uint16 arrays of shape (amplitudes, levels)
        Plasticity tables of the read-out; no rows without one.
    margin : int
        Register of this name.
    write_noise : int
        Register of this name; 0 without write noise.
    stuck, read_out_stuck : uint8 arrays of the shapes of ``levels`` and ``read_out``
        1 where a cell is stuck. Without stuck cells they have no tiles and no rows; so they have if absent.
    """

    levels: np.ndarray
    theta: np.ndarray
    random: np.ndarray
    weight: np.ndarray
    set: np.ndarray
    reset: np.ndarray
    learn: bool
    theta_step: int
    theta_base: int
    counters: np.ndarray
    read_out: np.ndarray
    read_out_set: np.ndarray
    read_out_reset: np.ndarray
    margin: int
    write_noise: int = 0
    stuck: np.ndarray | None = None
    read_out_stuck: np.ndarray | None = None

    def __post_init__(self):
        for name, like in (("stuck", self.levels), ("read_out_stuck", self.read_out)):
            if getattr(self, name) is None:
                setattr(self, name, np.zeros((0, *like.shape[1:]), np.uint8))

    @classmethod
    def initial(cls, chip: Chip) -> "ChipState":
        """The state of a chip before its first sample: seeded levels, thresholds 0, learning off."""
        set_table, reset_table = chip.plasticity_tables()
        taught = [table[:chip.amplitudes if chip.classes else 0] for table in chip.read_out_tables()]
        stuck, read_out_stuck = (np.zeros(shape, np.uint8) for shape in _mask_shapes(chip))
        return cls(
            levels=initial_levels(chip), theta=np.zeros((chip.tiles, chip.neurons), np.uint32),
            random=initial_random(chip), weight=chip.weight_table, set=set_table, reset=reset_table, learn=False,
            theta_step=int(chip.theta_step + 0.5), theta_base=chip.theta_base,
            counters=np.zeros(len(counter_names(chip)), np.uint64), read_out=initial_read_out(chip),
            read_out_set=taught[0], read_out_reset=taught[1], margin=chip.margin if chip.classes else 0,
            write_noise=chip.noise_register, stuck=stuck, read_out_stuck=read_out_stuck)

    def copy(self) -> "ChipState":
        """A state of its own with the same contents."""
        return ChipState(*(value.copy() if isinstance(value, np.ndarray) else value for value in self._values()))

    def equal(self, other: "ChipState") -> bool:
        """Whether both states are the same to the bit."""
        return not self.differences(other)

    def differences(self, other: "ChipState") -> str:
        """The first item that differs, with its index and both values; empty if none does."""
        for spec, mine, theirs in zip(dataclasses.fields(self), self._values(), other._values(), strict=True):
            if np.shape(mine) != np.shape(theirs):
                return f"{spec.name} has shape {np.shape(mine)}, expected {np.shape(theirs)}"
            where = np.argwhere(np.asarray(mine) != np.asarray(theirs))
            if len(where):
                index = tuple(int(i) for i in where[0])
                label = f"counter {self._counter_name(index[0])}" if spec.name == "counters" else spec.name
                label += f"[{', '.join(map(str, index))}]" if index and spec.name != "counters" else ""
                return f"{label} is {np.asarray(mine)[index]}, expected {np.asarray(theirs)[index]}"
        return ""

    def validate(self, chip: Chip):
        """Check that the state belongs to ``chip``.

        Raises
        ------
        ValueError
            An array has another type or shape than ``chip`` asks for, or a value is out of its range.
        """
        cells, tables = (chip.tiles, chip.rows, chip.neurons), (chip.amplitudes, chip.levels)
        taught = (chip.amplitudes if chip.classes else 0, chip.levels)
        stuck, read_out_stuck = _mask_shapes(chip)
        for name, dtype, shape, high in (
                ("levels", np.uint8, cells, chip.levels - 1),
                ("theta", np.uint32, (chip.tiles, chip.neurons), (1 << chip.threshold_bits) - 1),
                ("random", np.uint32, (chip.tiles + (chip.classes > 0),), None),
                ("weight", np.uint16, (chip.levels,), (1 << chip.weight_bits) - 1),
                ("set", np.uint16, tables, None), ("reset", np.uint16, tables, None),
                ("counters", np.uint64, (len(counter_names(chip)),), None),
                ("read_out", np.uint8, (chip.read_out_rows, chip.classes), chip.levels - 1),
                ("read_out_set", np.uint16, taught, None), ("read_out_reset", np.uint16, taught, None),
                ("stuck", np.uint8, stuck, 1), ("read_out_stuck", np.uint8, read_out_stuck, 1)):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype or not array.flags.c_contiguous:
                raise ValueError(f"{name} must be a contiguous array of {np.dtype(dtype)}, not "
                                 f"{getattr(array, 'dtype', type(array).__name__)}")
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
            if high is not None and array.size and array.max() > high:
                raise ValueError(f"{name} must be 0 to {high}, not {array.max()}")
        for name, bits in (("theta_step", THETA_STEP_BITS), ("theta_base", chip.threshold_bits),
                           ("margin", chip.score_bits), ("write_noise", chip.noise_bits)):
            if not 0 <= getattr(self, name) < 1 << bits:
                raise ValueError(f"{name} must be 0 to {(1 << bits) - 1}, not {getattr(self, name)!r}")

    def _values(self):
        return [getattr(self, spec.name) for spec in dataclasses.fields(self)]

    def _counter_name(self, index: int) -> str:
        amplitudes = len(self.set)
        bins = [f"{name}[{bin_}]" for name in BIN_COUNTERS for bin_ in range(amplitudes)]
        return [*COUNTERS, *bins, *READ_OUT_COUNTERS][index]


def _mask_shapes(chip):
    """Shapes of the masks of stuck cells, of the tiles and of the read-out."""
    masked = chip.has_stuck_cells
    return ((chip.tiles * masked, chip.rows, chip.neurons), (chip.read_out_rows * masked, chip.classes))


def written(levels: np.ndarray, top: int, error: float, rng: np.random.Generator) -> np.ndarray:
    """Levels 0 to ``top`` as a write leaves them that misses with deviation ``error``, a share of the range."""
    return np.clip(np.rint(levels + rng.normal(0.0, error * top, levels.shape)), 0, top).astype(np.uint8)


def written_read_out(chip: Chip, levels: np.ndarray, error: float) -> np.ndarray:
    """Levels of the read-out as a write leaves them, by the seed of the chip."""
    return written(levels, chip.levels - 1, error, np.random.default_rng([chip.seed, 3])) if error else levels


def fires_difference(fires: Fires, expected: Fires) -> str:
    """The first fire, or answer, in which two results differ, with its sample; empty if they are the same."""
    if len(fires) != len(expected):
        return f"{len(fires)} samples, expected {len(expected)}"
    for sample in range(len(expected)):
        for what in ("fire", "answer"):
            ours, theirs = (_records(each, what, sample) for each in (fires, expected))
            if ours != theirs:
                index = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
                             min(len(ours), len(theirs)))
                return (f"sample {sample}, {what} {index} is {ours[index:index + 1]}, "
                        f"expected {theirs[index:index + 1]}")
    return ""


def _records(fires, what, sample):
    """Fires or answers of a sample as tuples."""
    source = fires if what == "fire" else fires.answers
    columns = (source.tile, source.neuron) if what == "fire" else (source.label, source.score, source.margin)
    first, stop = source.offsets[sample:sample + 2]
    return list(zip(*(column[first:stop].tolist() for column in columns), strict=True))
