"""What a core works on: its memories with their ports, and the components beside them."""

from typing import NamedTuple

from amaranth.lib import data
from amaranth.lib.memory import Memory, ReadPort, WritePort
from amaranth.utils import bits_for

from .accumulator import Accumulator
from .layout import Layout
from .noted import NotedLines
from .plasticity import TraceLookup
from .ports import READS_MAX
from .router import Router
from .windows import Windows

__all__ = ["CommonStorage", "MemoryPorts", "tile_state_shape", "unit_depth", "unit_shape"]


class MemoryPorts(NamedTuple):
    """A memory with one read and one write port."""

    memory: Memory
    read: ReadPort
    write: WritePort

    @classmethod
    def of(cls, shape, depth: int, *, transparent: bool = False, granularity: int | None = None):
        """A memory without initial contents.

        Parameters
        ----------
        shape, depth
            Its words.
        transparent : :class:`bool`
            A word that is read while it is written comes out as written.
        granularity : :class:`int`, optional
            Elements of a word that are written at once, as an enable has a bit for each.
        """
        memory = Memory(shape=shape, depth=depth, init=[])
        write = memory.write_port(granularity=granularity)
        read = memory.read_port(transparent_for=(write,) if transparent else ())
        return cls(memory, read, write)


def tile_state_shape(layout: Layout):
    """What a tile remembers within a sample: its reads, whether it is closed, and its post-trace units."""
    return data.StructLayout({
        "reads": bits_for(READS_MAX), "active": 1, "closed": 1, "step_reads": bits_for(READS_MAX), "step": 8,
        "used": layout.unit_count, "next": layout.unit})


def unit_shape(layout: Layout):
    """A post-trace unit: the neuron that holds it, and the step of its recharge."""
    return data.StructLayout({"neuron": layout.neuron, "stamp": 8})


def unit_depth(layout: Layout) -> int:
    """Words of the post-trace units of all tiles."""
    return (layout.chip.tiles << layout.unit.width) if layout.chip.learners > 1 else layout.chip.tiles


class CommonStorage:
    """Memories and components that both forms have, and what the shared parts of a core ask of a form's own.

    Parameters
    ----------
    layout : :class:`Layout`
    memories : dict
        Name to :class:`MemoryPorts`, in the order in which they become submodules; among them ``membranes`` and, but
        in a shared crossbar, ``tile_states``, ``units`` and ``lines``.
    race, pulses, counters, read_out
        The components of the form; the last is ``None`` in a chip without a read-out.
    """

    def __init__(self, layout: Layout, memories: dict[str, MemoryPorts], *, race, pulses, counters, read_out):
        self.layout = layout
        self.memories = memories
        self.membranes = memories["membranes"]
        self.accumulator = Accumulator(layout)
        self.race, self.pulses, self.counters, self.read_out = race, pulses, counters, read_out
        if layout.chip.shared:
            self.noted, self.windows = NotedLines(layout), Windows(layout)
            self._components = ("noted", "windows", "accumulator", "race", "pulses", "counters", "read_out")
        else:
            self.tile_states, self.units, self.lines = (
                memories[name] for name in ("tile_states", "units", "lines"))
            self.router, self.unit_trace, self.line_trace = Router(layout), TraceLookup(layout), TraceLookup(layout)
            self._components = ("router", "accumulator", "race", "pulses", "counters", "unit_trace", "line_trace",
                                "read_out")

    def add_memories(self, m):
        """Make the memories submodules."""
        for name, memory in self.memories.items():
            m.submodules[name] = memory.memory

    def add_components(self, m):
        """Make the components submodules."""
        for name in self._components:
            if getattr(self, name) is not None:
                m.submodules[name] = getattr(self, name)

    @property
    def counts(self) -> dict[str, MemoryPorts]:
        """The memories of counts beside cells, ``accumulated`` and ``read_out_accumulated``, as far as there are."""
        return {name: ports for name, ports in self.memories.items() if name.endswith("accumulated")}

    def count(self, m, name: str, amount=1):
        """A counter rises in this clock."""
        m.d.comb += getattr(self.counters, f"increment_{name}").eq(amount)

    def add_to(self, m):
        """Make all of it submodules, in the order of the form."""
        raise NotImplementedError

    def add_background(self, m):
        """What goes on in the memories beside all that the core does."""

    @property
    def visited_levels(self):
        """The word of levels that a visit addressed in the clock before."""
        raise NotImplementedError

    @property
    def pulses_over(self):
        """The pulses that were started are done."""
        raise NotImplementedError

    def address_visit(self, m, visit, word):
        """Address the levels and the state of a visit."""
        raise NotImplementedError

    def note_visit(self, m, tile):
        """Address the state of a visited tile, to be written."""
        raise NotImplementedError

    def stamp_line(self, m, line, step):
        """Write the step of a spike as the stamp of its line."""
        raise NotImplementedError
