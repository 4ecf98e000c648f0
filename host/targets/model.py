"""The exact model as a target."""

import zlib

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode
from ohmspike.chip.instructions import register_names
from ohmspike.sim.model.exact import ExactModel

from .base import END_SAMPLE, Target, array_of, memory_entry

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

    def read(self, memory):
        state = self.model.state
        if memory == "registers":
            return self._registers(state).reshape(1, -1)
        if memory == "counters":
            return state.counters.reshape(1, -1).copy()
        return array_of(state, memory).copy()

    def write(self, memory, values):
        state = self.model.state
        if memory == "registers":
            words = dict(zip(register_names(self.chip), np.asarray(values).ravel().tolist(), strict=True))
            state.learn = bool(words["learn"])
            state.theta_step, state.theta_base = words["theta_step"], words["theta_base"]
            state.margin, state.write_noise = words["margin"], words.get("write_noise", 0)
        elif memory == "counters":
            state.counters[:] = 0
        else:
            array = getattr(state, memory)
            array[...] = np.asarray(values).reshape(array.shape)

    def check(self, memory, ranges=None):
        cells = self.read(memory).ravel()
        data = cells.astype(f"<u{memory_entry(memory).cell_bytes}")
        return [zlib.crc32(data[first:first + count].tobytes())
                for first, count in ([(0, len(data))] if ranges is None else ranges)]

    def read_cells(self, memory, first, count):
        return self.read(memory).ravel()[first:first + count]

    def write_cells(self, memory, first, values):
        cells = self.read(memory)
        cells.reshape(-1)[first:first + len(values)] = values
        self.write(memory, cells)

    def recover(self):
        pass

    def end_sample(self):
        self.model.run(END_SAMPLE)

    def present(self, batch, *, learn, fires=True):
        self.model.state.learn = learn
        if learn or (len(batch.codes) and batch.codes.min() <= EventCode.LABEL):
            return self.model.run(batch, threads=self._threads, fires=fires)
        return self.model.infer(batch, self._threads, fires=fires)

    def close(self):
        pass
