"""A chip behind a link as a target: what boards and the compiled RTL have in common."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, OutputSpikes
from ohmspike.chip.instructions import Opcode, register_names
from ohmspike.chip.instructions import memory as declaration
from ohmspike.host.link.programs import NO_REPLAYS, programs_of
from ohmspike.host.link.records import OutputParser
from ohmspike.host.link.session import LinkSession
from ohmspike.host.link.store import ImageStore

from .base import Target

__all__ = ["LinkTarget"]


class LinkTarget(Target):
    """RTL behind a link: a board, or the compiled simulation.

    Parameters
    ----------
    session : :class:`~ohmspike.host.link.LinkSession`
        A session with a chip of this description.

    Attributes
    ----------
    stored : :class:`~ohmspike.host.link.store.ImageStore`, optional
        Images in the store of the chip, if it has one.
    """

    name = "link"

    def __init__(self, chip: Chip, session: LinkSession):
        self.chip = chip
        self.session = session
        self._parser = OutputParser(chip)
        self.stored = self._empty_store()

    def _empty_store(self):
        return ImageStore(self.chip, self.session) if self.session.identity.store else None

    def read(self, memory: str) -> np.ndarray:
        return self.session.read_memory(memory)

    def write(self, memory: str, values: npt.ArrayLike | None) -> None:
        shape = declaration(memory).grid(self.chip)
        if memory == "registers":
            self.registers_known = None
        self.session.write_memory(memory, np.asarray(values).reshape(shape))

    def check(self, memory: str, ranges: Sequence[tuple[int, int]] | None = None) -> list[int]:
        whole = [(0, math.prod(declaration(memory).grid(self.chip)))]
        return self.session.check_cells(memory, whole if ranges is None else ranges)

    def read_cells(self, memory: str, first: int, count: int) -> np.ndarray:
        return self.session.read_cells(memory, first, count)

    def write_cells(self, memory: str, first: int, values: npt.ArrayLike) -> None:
        given = np.asarray(values)
        if memory == "registers" and self.registers_known is not None:
            self.registers_known[first:first + len(given)] = given
        self.session.write_cells(memory, first, given)

    def recover(self) -> None:
        self.session.renew()
        self.registers_known = None
        self.stored = self._empty_store()
        self.end_sample()

    def end_sample(self) -> None:
        self._parser = OutputParser(self.chip)
        for _ in self.session.run([bytes([Opcode.END])]):
            pass

    def present(self, batch: EventBatch, *, learn: bool, report: bool = True) -> OutputSpikes:
        self._switch(learn=learn, report=report)
        identity = self.session.identity
        replays = NO_REPLAYS if self.stored is None else self.stored.replays(batch, keep=self.keeps_images)
        programs = programs_of(self.chip, batch, identity.max_request, identity.max_reply - 1,
                               sample=self._parser.sample, runs=identity.runs, replays=replays, report=report)
        return self._parser.parse(b"".join(self.session.run(programs)), batch, report=report)

    def images_intact(self) -> bool:
        return self.stored is None or self.stored.intact()

    def _switch(self, **wanted):
        """Set registers, if they are not already."""
        if self.registers_known is None:
            self.registers_known = self.read("registers").ravel()
        registers = self.registers_known.copy()
        for name, value in wanted.items():
            registers[register_names(self.chip).index(name)] = value
        if not np.array_equal(registers, self.registers_known):
            self.write("registers", registers)
            self.registers_known = registers

    def close(self) -> None:
        pass
