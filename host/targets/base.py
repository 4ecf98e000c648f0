"""Targets: the bodies of a chip, behind one interface."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, OutputSpikes
from ohmspike.chip.instructions import counter_names, memory, register, register_names
from ohmspike.chip.state import ChipState
from ohmspike.host.support.errors import UserError
from ohmspike.sim.state import written_read_out

__all__ = ["Target", "expected_memories"]


END_SAMPLE = EventBatch(np.array([EventCode.END], np.int32), np.array([0, 1]))


class Target(ABC):
    """A chip that carries out events: the exact model, or RTL behind a link. Also a context manager.

    Memories are read and written by the names of :data:`ohmspike.chip.instructions.MEMORIES`, as arrays of shape
    (rows, columns).
    """

    name: str
    chip: Chip
    registers_known: np.ndarray | None = None
    """Registers as this session last set them, if it did."""
    keeps_images: bool = False
    """Samples will come again: a target with a store keeps their images there."""
    _counted: np.ndarray | None = None

    @abstractmethod
    def read(self, memory: str) -> np.ndarray:
        """Contents of a memory, of shape (rows, columns)."""

    @abstractmethod
    def write(self, memory: str, values: npt.ArrayLike | None) -> None:
        """Replace the contents of a memory; writing ``counters``, for which None will do, clears them."""

    @abstractmethod
    def check(self, memory: str, ranges: Sequence[tuple[int, int]] | None = None) -> list[int]:
        """CRC-32 (``zlib.crc32``) of ranges of a memory, the whole of it by default, as its cells go over the link.

        A range is a first cell and a number of cells, counted along the columns, then the rows.
        """

    @abstractmethod
    def read_cells(self, memory: str, first: int, count: int) -> np.ndarray:
        """Cells of a memory, counted along its columns, then its rows."""

    @abstractmethod
    def write_cells(self, memory: str, first: int, values: npt.ArrayLike) -> None:
        """Replace cells of a memory, counted alike; writing ``counters`` clears all of them."""

    @abstractmethod
    def close(self) -> None:
        """Let go of whatever the target holds."""

    @abstractmethod
    def present(self, batch: EventBatch, *, learn: bool, report: bool = True) -> OutputSpikes:
        """Carry out the events of a batch with learning on or off, and return what fired and was answered.

        Without ``report`` it returns the answers alone. ``learn`` is for the tiles: a LABEL teaches in any case.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def load(self, state: ChipState, *, keep_counters: bool = False) -> None:
        """Load learned state, tables and registers, between samples.

        Counters start at 0, or go on from those of ``state`` with ``keep_counters``.
        """
        state.validate(self.chip)
        for name in _loaded(self.chip):
            self.write(name, array_of(self.chip, state, name))
        self.write("registers", self._registers(state))
        self.count_from(state.counters if keep_counters else np.zeros_like(state.counters))

    def state(self) -> ChipState:
        """A copy of everything that persists across samples."""
        chip = self.chip
        words = dict(zip(register_names(chip), self.read("registers").ravel().tolist(), strict=True))
        arrays = {entry.name: self.read(entry.name).reshape(entry.shape(chip)) if entry.rows(chip)
                  else np.zeros(entry.shape(chip), entry.dtype) for entry in ChipState.memories()}
        return ChipState.of(chip, {**arrays, "counters": self._all_counters()}, words)

    @abstractmethod
    def recover(self) -> None:
        """Take up work again after a :class:`~ohmspike.host.link.LinkError`; what the chip holds is then unknown."""

    @abstractmethod
    def end_sample(self) -> None:
        """An END, whatever was before it."""

    def settle(self) -> None:
        """End a sample that another host may have left half done; what is kept across samples stays as it is."""
        counters, registers = self._all_counters(), self.read("registers").ravel()
        still = registers.copy()
        still[register_names(self.chip).index("learn")] = 0  # while learning an END may lower thresholds (contract 3.6)
        self.write("registers", still)
        self.end_sample()
        self.write("registers", registers)
        self.count_from(counters)

    def set_rates(self, scale: float, theta_scale: float | None = None) -> None:
        """Let the tiles learn at rates scaled by ``scale`` (annealing), and their homeostasis step by ``theta_scale``.

        The homeostasis follows ``scale`` too if ``theta_scale`` is absent.

        Their tables are reloaded; tiles that accumulate are given their pulses later instead, at a higher threshold
        (:meth:`~ohmspike.chip.Chip.accumulate_rates`).
        """
        tables, threshold = self.chip.accumulate_rates("", scale)
        for name, table in zip(("set", "reset"), self.chip.plasticity_tables(tables), strict=True):
            self.write(name, table)
        slower = scale if theta_scale is None else theta_scale
        steps = {"theta_step": self.chip.theta_step, "layer_theta_step": self.chip.last.theta_step}
        self.write_registers(**{name: int(step * slower + 0.5) for name, step in steps.items()},
                             accumulate_threshold=threshold)

    def write_registers(self, **values: int) -> None:
        """Write some registers by name; those that the chip does not have are left out."""
        registers, names = self.read("registers").ravel(), register_names(self.chip)
        for name, value in values.items():
            if name in names:
                registers[names.index(name)] = value
        self.write("registers", registers)

    def set_read_out_rates(self, scale: float) -> None:
        """Let the read-out learn at rates scaled by ``scale``, as :meth:`set_rates`."""
        tables, threshold = self.chip.accumulate_rates("read_out_", scale)
        for name, table in zip(("read_out_set", "read_out_reset"), self.chip.read_out_tables(tables), strict=True):
            self.write(name, table)
        if threshold:
            self.write_registers(read_out_accumulate_threshold=threshold)

    def program_read_out(self, levels: np.ndarray) -> None:
        """Write levels of the read-out, as a device would take them.

        They miss by the chip's ``write_noise``, and stuck cells stay.
        """
        chip = self.chip
        levels = written_read_out(chip, levels, chip.write_noise)
        if chip.has_stuck_cells:
            shape = (chip.read_out_rows, chip.classes)
            stuck, held = (self.read(name).reshape(shape) for name in ("read_out_stuck", "read_out"))
            levels = np.where(stuck, held, levels)
        self.write("read_out", levels)

    def images_intact(self) -> bool:
        """Whether the images that the target keeps are as they were written; so if it keeps none."""
        return True

    def pulses(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Pulses that every cell of the tiles and of the read-out has had, where the target counts them."""
        return None

    def history(self) -> dict[str, np.ndarray]:
        """What a checkpoint has to keep beside :meth:`state`; nothing in most targets."""
        return {}

    def restore(self, history: dict[str, np.ndarray]) -> None:
        """Go on from a :meth:`history`."""
        if history:
            raise UserError(f"target {self.name} cannot go on from a run of the non-ideal model")

    def rebase(self) -> None:
        """Subtract the smallest threshold of every tile, and of a second layer, from its thresholds (contract 6.2)."""
        for name in ("theta", "layer_theta")[:1 + len(self.chip.layers)]:
            theta = self.read(name)
            self.write(name, theta - theta.min(axis=1, keepdims=True))

    def counters(self) -> dict[str, int]:
        """Event counters since :meth:`load`, by name."""
        return dict(zip(counter_names(self.chip), self._all_counters().tolist(), strict=True))

    def counted(self) -> np.ndarray:
        """Event counters alike, in address order."""
        return self._all_counters()

    def count_from(self, counters: np.ndarray) -> None:
        """Let the event counters go on from these."""
        self.write("counters", np.zeros((1, len(counters)), np.uint64))
        self._counted = counters.copy()

    def _all_counters(self):
        """What the target counted, after what had been counted before it was loaded."""
        counted = self.read("counters").ravel()
        return counted if self._counted is None else counted + self._counted

    def _registers(self, state):
        return _registers_of(self.chip, state)


def _loaded(chip):
    """Memories that a load writes: all that the host can write, but for the counters."""
    return [entry.name for entry in ChipState.memories()
            if entry.rows(chip) and entry.writable(chip) and entry.name != "counters"]


def expected_memories(chip: Chip, state: ChipState) -> dict[str, np.ndarray]:
    """What the memories of a chip hold in a state, but for the counters, as (rows, columns) by name."""
    memories = {entry.name: array_of(chip, state, entry.name) for entry in ChipState.memories()
             if entry.rows(chip) and entry.name != "counters"}
    return memories | {"registers": _registers_of(chip, state).reshape(1, -1)}


def _registers_of(chip, state):
    """Registers in address order; those that are no state as after a reset."""
    return np.array([int(getattr(state, name, register(name).reset)) for name in register_names(chip)], np.uint32)


def array_of(chip: Chip, state: ChipState, name: str) -> np.ndarray:
    """An array of a state as the memory it is on the link, of shape (rows, columns); a view."""
    return getattr(state, name).reshape(memory(name).grid(chip))
