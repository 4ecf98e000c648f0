"""The exact model as a target."""

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, OutputSpikes
from ohmspike.chip.instructions import memory as declaration
from ohmspike.chip.instructions import register, register_names
from ohmspike.sim.model.exact import ExactModel

from .base import END_SAMPLE, Target, array_of

__all__ = ["ModelTarget"]


class ModelTarget(Target):
    """The exact model, on all cores.

    Parameters
    ----------
    threads : int, optional
        As many as there are cores if absent; results do not depend on it.
    """

    name = "model"

    def __init__(self, chip: Chip, *, threads: int | None = None):
        self.chip = chip
        self._threads = threads
        self.model = ExactModel(chip)

    def read(self, memory: str) -> np.ndarray:
        state = self.model.state
        if memory == "registers":
            return self._registers(state).reshape(1, -1)
        return array_of(self.chip, state, memory).copy()

    def write(self, memory: str, values: npt.ArrayLike | None) -> None:
        state = self.model.state
        if memory == "registers":
            for name, value in zip(register_names(self.chip), np.asarray(values).ravel().tolist(), strict=True):
                if hasattr(state, name):
                    setattr(state, name, register(name).kind(value))
        elif memory == "counters":
            state.counters[:] = 0
        else:
            array = getattr(state, memory)
            array[...] = np.asarray(values).reshape(array.shape)

    def check(self, memory: str, ranges: Sequence[tuple[int, int]] | None = None) -> list[int]:
        cells = self.read(memory).ravel()
        data = cells.astype(f"<u{declaration(memory).cell_bytes}")
        return [zlib.crc32(data[first:first + count].tobytes())
                for first, count in ([(0, len(data))] if ranges is None else ranges)]

    def read_cells(self, memory: str, first: int, count: int) -> np.ndarray:
        return self.read(memory).ravel()[first:first + count]

    def write_cells(self, memory: str, first: int, values: npt.ArrayLike) -> None:
        cells = self.read(memory)
        given = np.asarray(values)
        cells.reshape(-1)[first:first + len(given)] = given
        self.write(memory, cells)

    def recover(self) -> None:
        pass

    def end_sample(self) -> None:
        self.model.run(END_SAMPLE)

    def present(self, batch: EventBatch, *, learn: bool, report: bool = True) -> OutputSpikes:
        self.model.state.learn = learn
        if learn or (len(batch.codes) and batch.codes.min() <= EventCode.LABEL):
            return self.model.run(batch, threads=self._threads, report=report)
        return self.model.infer(batch, self._threads, report=report)

    def close(self) -> None:
        pass
