"""What a chip keeps across samples (contract 2.1), declared once.

The fields of :class:`ChipState` are the declaration. From it follow the arrays of a state with their checks, the
memories and registers on the link (:data:`ohmspike.chip.instructions.MEMORIES`), what targets read and load, what files
hold, and the tables of docs/link.md and docs/files.md. How to add one: docs/architecture.md.
"""

import dataclasses
import functools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from .counters import counter_name, counter_names
from .description import Chip
from .initial import initial_layer_levels, initial_levels, initial_random, initial_read_out
from .memories import BITS_16, BITS_32, BITS_64, Memory, Register, Size, full

__all__ = ["ChipState"]

_TOP_LEVEL = Size("levels − 1", lambda chip: chip.levels - 1)
_LAYER_ROWS = Size("rows of the second layer", lambda chip: chip.upper.rows if chip.upper else 0)
_LAYER_NEURONS = Size("neurons of the second layer", lambda chip: chip.upper.neurons if chip.upper else 0)
_READ_OUT_ROWS = Size("regions · neurons", lambda chip: chip.read_out_rows)
_TAUGHT = Size("amplitudes or 0", lambda chip: chip.amplitudes if chip.classes else 0)


def _memory(**declaration) -> Any:
    return field(metadata={"memory": declaration})


def _register(**declaration) -> Any:
    return field(metadata={"register": declaration})


def _half(bits):
    """The largest signed number of as many bits as this field tells; 0 of none."""
    return Size(f"2^({bits} − 1) − 1", lambda chip: max(0, (1 << getattr(chip, bits) >> 1) - 1))


def _fixed_weights(chip):
    return chip.weight_store == "fixed"


def _has_stuck_cells(chip):
    return chip.has_stuck_cells


def _layered(chip):
    return len(chip.layers) > 0


@dataclass(eq=False, kw_only=True)
class ChipState:
    """The persistent state of a chip: arrays that may be read and written between any two runs.

    Every field is the declaration of a :class:`~ohmspike.chip.memories.Memory`, a contiguous array of its type and
    shape, or of a :class:`~ohmspike.chip.memories.Register`, a number. Numbers of memories (``code``) and places of
    registers (``column``) are those of the link and stay as they are.
    """

    levels: np.ndarray = _memory(
        code=0, dimensions=("tiles", "rows", "neurons"), cell_bytes=1, top=_TOP_LEVEL, initial=initial_levels,
        summary="conductance level of every cell")
    theta: np.ndarray = _memory(
        code=1, dimensions=("tiles", "neurons"), cell_bytes=4, top=full("threshold_bits"),
        summary="adaptive thresholds")
    random: np.ndarray = _memory(
        code=2, dimensions=(Size("tiles + 1 with a read-out + 1 with a second layer",
                                 lambda chip: chip.tiles + (chip.classes > 0) + len(chip.layers)),),
        cell_bytes=4, top=BITS_32, upright=True, initial=initial_random,
        summary="xorshift state of every tile, then of the read-out, then of the second layer")
    weight: np.ndarray = _memory(
        code=3, dimensions=("levels",), cell_bytes=2, top=full("weight_bits"), host_only=True,
        read_only=_fixed_weights, initial=lambda chip: chip.weight_table,
        summary="weight table: level to weight (not writable if fixed)")
    set: np.ndarray = _memory(
        code=4, dimensions=("amplitudes", "levels"), cell_bytes=2, top=BITS_16, host_only=True,
        initial=lambda chip: chip.plasticity_tables()[0], summary="SET table")
    reset: np.ndarray = _memory(
        code=5, dimensions=("amplitudes", "levels"), cell_bytes=2, top=BITS_16, host_only=True,
        initial=lambda chip: chip.plasticity_tables()[1], summary="RESET table")
    learn: bool = _register(
        column=0, top=1, kind=bool, summary="1: plasticity, post-traces and homeostasis are on")
    theta_step: int = _register(
        column=1, top=BITS_16, initial=lambda chip: int(chip.theta_step + 0.5),
        summary="homeostasis h, added to the first winner's threshold")
    theta_base: int = _register(
        column=2, top=full("threshold_bits"), initial=lambda chip: chip.theta_base,
        summary="threshold mode: common threshold theta0")
    counters: np.ndarray = _memory(
        code=7, dimensions=(Size("counters", lambda chip: len(counter_names(chip))),), cell_bytes=8, top=BITS_64,
        summary="event counters; a write clears all of them, whatever is written")
    read_out: np.ndarray = _memory(
        code=10, dimensions=(_READ_OUT_ROWS, "classes"), cell_bytes=1, top=_TOP_LEVEL, initial=initial_read_out,
        summary="conductance level of every cell of the read-out")
    read_out_set: np.ndarray = _memory(
        code=11, dimensions=(_TAUGHT, "levels"), cell_bytes=2, top=BITS_16, host_only=True,
        initial=lambda chip: chip.read_out_tables()[0][:_TAUGHT.of(chip)], summary="SET table of the read-out")
    read_out_reset: np.ndarray = _memory(
        code=12, dimensions=(_TAUGHT, "levels"), cell_bytes=2, top=BITS_16, host_only=True,
        initial=lambda chip: chip.read_out_tables()[1][:_TAUGHT.of(chip)], summary="RESET table of the read-out")
    margin: int = _register(
        column=4, top=full("score_bits"), initial=lambda chip: chip.margin if chip.classes else 0,
        summary="read-out: lead of the label's score below which a label teaches")
    write_noise: int = _register(
        column=5, top=full("noise_bits"), present=lambda chip: chip.noise_bits > 0,
        initial=lambda chip: chip.noise_register,
        summary="deviation of a pulse over that of the noise added to it, in 2^-fraction_bits levels; of a chip with "
                "write noise")
    stuck: np.ndarray = _memory(
        code=13, dimensions=("tiles", "rows", "neurons"), cell_bytes=1, top=1, host_only=True,
        present=_has_stuck_cells, summary="1: the cell is stuck; of a chip with stuck cells")
    read_out_stuck: np.ndarray = _memory(
        code=14, dimensions=(_READ_OUT_ROWS, "classes"), cell_bytes=1, top=1, host_only=True,
        present=_has_stuck_cells, summary="1: the cell of the read-out is stuck; of a chip with stuck cells")
    accumulated: np.ndarray = _memory(
        code=15, dimensions=("tiles", "rows", "neurons"), cell_bytes=1, top=full("accumulate_bits"),
        present=lambda chip: chip.accumulate_bits > 0,
        summary="count beside every cell, two's complement of accumulate_bits; of a chip that accumulates in the tiles")
    read_out_accumulated: np.ndarray = _memory(
        code=16, dimensions=(_READ_OUT_ROWS, "classes"), cell_bytes=1, top=full("read_out_accumulate_bits"),
        present=lambda chip: chip.read_out_accumulate_bits > 0,
        summary="count beside every cell of the read-out, likewise; of a chip that accumulates there")
    accumulate_threshold: int = _register(
        column=6, top=_half("accumulate_bits"), present=lambda chip: chip.accumulate_bits > 0,
        initial=lambda chip: chip.accumulate_threshold,
        summary="count at which a cell gets its pulse; of a chip that accumulates in the tiles")
    read_out_accumulate_threshold: int = _register(
        column=7, top=_half("read_out_accumulate_bits"), present=lambda chip: chip.read_out_accumulate_bits > 0,
        initial=lambda chip: chip.read_out_accumulate_threshold,
        summary="the same for the read-out; of a chip that accumulates there")
    learn_share: int = _register(
        column=8, top=4096, present=lambda chip: chip.shared, initial=lambda chip: chip.learn_share,
        summary="windows of 4096 that learn; of a shared crossbar")
    layer_levels: np.ndarray = _memory(
        code=17, dimensions=(_LAYER_ROWS, _LAYER_NEURONS), cell_bytes=1, top=_TOP_LEVEL, present=_layered,
        initial=initial_layer_levels, summary="conductance level of every cell of the second layer; of a chip that has "
                                              "one, as all that begin with layer_")
    layer_theta: np.ndarray = _memory(
        code=18, dimensions=(_LAYER_NEURONS,), cell_bytes=4, top=full("threshold_bits"), present=_layered,
        summary="adaptive thresholds of the second layer")
    layer_stuck: np.ndarray = _memory(
        code=19, dimensions=(_LAYER_ROWS, _LAYER_NEURONS), cell_bytes=1, top=1, host_only=True,
        present=lambda chip: _layered(chip) and chip.has_stuck_cells,
        summary="1: the cell of the second layer is stuck; of a chip with stuck cells")
    layer_accumulated: np.ndarray = _memory(
        code=20, dimensions=(_LAYER_ROWS, _LAYER_NEURONS), cell_bytes=1, top=full("accumulate_bits"),
        present=lambda chip: _layered(chip) and chip.accumulate_bits > 0,
        summary="count beside every cell of the second layer, likewise; of a chip that accumulates in the tiles")
    layer_theta_step: int = _register(
        column=9, top=BITS_16, present=_layered, initial=lambda chip: int(chip.layers[0].theta_step + 0.5),
        summary="homeostasis h of the second layer")
    layer_learn_share: int = _register(
        column=10, top=4096, present=_layered, initial=lambda chip: chip.layers[0].learn_share,
        summary="windows of 4096 of the second layer that learn")

    @classmethod
    def memories(cls) -> list[Memory]:
        """The declarations of all arrays."""
        return _memories(cast(Hashable, cls))

    @classmethod
    def registers(cls) -> list[Register]:
        """The declarations of all numbers."""
        return _registers(cast(Hashable, cls))

    @classmethod
    def initial(cls, chip: Chip) -> "ChipState":
        """The state of a chip before its first sample: seeded levels, thresholds 0, learning off."""
        fields: dict[str, Any] = {entry.name: entry.first_contents(chip) for entry in cls.memories()}
        fields |= {entry.name: entry.first_value(chip) for entry in cls.registers()}
        return cls(**fields)

    @classmethod
    def of(cls, chip: Chip, arrays: Mapping[str, np.ndarray], registers: Mapping[str, int]) -> "ChipState":
        """A state from the arrays and registers that a chip has, by name; what it does not have is empty or 0.

        Raises
        ------
        KeyError
            One is missing.
        """
        fields: dict[str, Any] = {
            entry.name: arrays[entry.name] if entry.present(chip) else entry.first_contents(chip)
            for entry in cls.memories()}
        fields |= {entry.name: entry.kind(registers[entry.name] if entry.present(chip) else 0)
                   for entry in cls.registers()}
        return cls(**fields)

    def copy(self) -> "ChipState":
        """A state of its own with the same contents."""
        fields: dict[str, Any] = {name: value.copy() if isinstance(value, np.ndarray) else value
                                  for name, value in self._values().items()}
        return type(self)(**fields)

    def equal(self, other: "ChipState") -> bool:
        """Whether both states are the same to the bit."""
        return not self.differences(other)

    def differences(self, other: "ChipState", *, host_only_last: bool = False) -> str:
        """The first item that differs, with its index and both values; empty if none does.

        With ``host_only_last`` what events change comes before what only the host writes.
        """
        names = list(self._values())
        if host_only_last:
            late = {entry.name for entry in self.registers()}
            late |= {entry.name for entry in self.memories() if entry.host_only}
            names.sort(key=lambda name: name in late)
        for name in names:
            mine, theirs = getattr(self, name), getattr(other, name)
            if np.shape(mine) != np.shape(theirs):
                return f"{name} has shape {np.shape(mine)}, expected {np.shape(theirs)}"
            where = np.argwhere(np.asarray(mine) != np.asarray(theirs))
            if len(where):
                index = tuple(int(i) for i in where[0])
                label = f"counter {self._counter_name(index[0])}" if name == "counters" else name
                label += f"[{', '.join(map(str, index))}]" if index and name != "counters" else ""
                return f"{label} is {np.asarray(mine)[index]}, expected {np.asarray(theirs)[index]}"
        return ""

    def validate(self, chip: Chip) -> None:
        """Check that the state belongs to ``chip``.

        Raises
        ------
        ValueError
            An array has another type or shape than ``chip`` asks for, or a value is out of its range.
        """
        for entry in self.memories():
            array, shape, top = getattr(self, entry.name), entry.shape(chip), entry.largest(chip)
            if not isinstance(array, np.ndarray) or array.dtype != entry.dtype or not array.flags.c_contiguous:
                raise ValueError(f"{entry.name} must be a contiguous array of {entry.dtype}, not "
                                 f"{getattr(array, 'dtype', type(array).__name__)}")
            if array.shape != shape:
                raise ValueError(f"{entry.name} must have shape {shape}, not {array.shape}")
            if array.size and array.max() > top:
                raise ValueError(f"{entry.name} must be 0 to {top}, not {array.max()}")
        for register in self.registers():
            value, top = getattr(self, register.name), register.largest(chip)
            if not 0 <= value <= top:
                raise ValueError(f"{register.name} must be 0 to {top}, not {value!r}")

    def _counter_name(self, index):
        return counter_name(index, len(self.counters), len(self.set), self.read_out.shape[1] > 0)

    def _values(self) -> dict[str, Any]:
        return {spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self)}


@functools.cache
def _memories(cls: Hashable) -> list[Memory]:
    return [Memory(name=name, **declared) for name, declared in _declared(cls, "memory")]


@functools.cache
def _registers(cls: Hashable) -> list[Register]:
    return [Register(name=name, **declared) for name, declared in _declared(cls, "register")]


def _declared(cls, key):
    return [(spec.name, spec.metadata[key]) for spec in dataclasses.fields(cls) if key in spec.metadata]
