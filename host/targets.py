"""Targets: the bodies of a chip, behind one interface."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, Fires
from ohmspike.chip.instructions import MEMORIES, Opcode, counter_names, register_names
from ohmspike.sim.model import ExactModel
from ohmspike.sim.rtl import compile_chip
from ohmspike.sim.state import ChipState, written_read_out

from .errors import UserError
from .link import CompiledPort, LinkSession, OutputParser, programs_of

__all__ = ["LinkTarget", "ModelTarget", "RtlTarget", "TARGETS", "Target", "expected_memories", "is_target",
           "open_target"]


_END = EventBatch(np.array([EventCode.END], np.int32), np.array([0, 1]))


class Target(ABC):
    """A chip that carries out events: the exact model, or RTL behind a link. Also a context manager.

    Memories are read and written by the names of :data:`ohmspike.chip.instructions.MEMORIES`, as arrays of shape
    (rows, columns).
    """

    name: str
    chip: Chip
    registers_known: np.ndarray | None = None
    """Registers as this session last set them, if it did."""
    _counted: np.ndarray | None = None

    @abstractmethod
    def read(self, memory: str) -> np.ndarray:
        """Contents of a memory, of shape (rows, columns)."""

    @abstractmethod
    def write(self, memory: str, values) -> None:
        """Replace the contents of a memory; writing ``counters`` clears them."""

    @abstractmethod
    def check(self, memory: str, ranges: Sequence[tuple[int, int]] | None = None) -> list[int]:
        """CRC-32 (``zlib.crc32``) of ranges of a memory, the whole of it unless told, as its cells go over the link.

        A range is a first cell and a number of cells, counted along the columns, then the rows.
        """

    @abstractmethod
    def read_cells(self, memory: str, first: int, count: int) -> np.ndarray:
        """Cells of a memory, counted along its columns, then its rows."""

    @abstractmethod
    def write_cells(self, memory: str, first: int, values) -> None:
        """Replace cells of a memory, counted alike; writing ``counters`` clears all of them."""

    @abstractmethod
    def close(self) -> None:
        """Let go of whatever the target holds."""

    @abstractmethod
    def present(self, batch: EventBatch, *, learn: bool, fires: bool = True) -> Fires:
        """Carry out the events of a batch with learning on or off, and return what fired and was answered.

        Without ``fires`` the answers alone are told. ``learn`` is for the tiles: a LABEL teaches in any case.
        """

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def load(self, state: ChipState, *, keep_counters: bool = False) -> None:
        """Load learned state, tables and registers, between samples.

        Counters start at 0, or go on from those of ``state`` with ``keep_counters``.
        """
        state.validate(self.chip)
        for name in _loaded(self.chip):
            self.write(name, _array_of(state, name))
        self.write("registers", self._registers(state))
        self.count_from(state.counters if keep_counters else np.zeros_like(state.counters))

    def state(self) -> ChipState:
        """A copy of everything that persists across samples."""
        chip = self.chip
        words = dict(zip(register_names(chip), self.read("registers").ravel().tolist(), strict=True))
        masks = {}
        if chip.has_stuck_cells:
            masks["stuck"] = self.read("stuck").reshape(chip.tiles, chip.rows, chip.neurons)
            masks["read_out_stuck"] = (self.read("read_out_stuck") if chip.classes
                                       else np.zeros((chip.read_out_rows, 0), np.uint8))
        return ChipState(
            levels=self.read("levels").reshape(chip.tiles, chip.rows, chip.neurons),
            theta=self.read("theta"), random=self.read("random").ravel(), weight=self.read("weight").ravel(),
            set=self.read("set"), reset=self.read("reset"), learn=bool(words["learn"]),
            theta_step=words["theta_step"], theta_base=words["theta_base"], counters=self._all_counters(),
            read_out=self.read("read_out").reshape(chip.read_out_rows, chip.classes),
            read_out_set=self.read("read_out_set"), read_out_reset=self.read("read_out_reset"), margin=words["margin"],
            write_noise=words.get("write_noise", 0), **masks)

    @abstractmethod
    def recover(self) -> None:
        """Take up work again after a :class:`~ohmspike.host.link.LinkError`; what the chip holds is then unknown."""

    @abstractmethod
    def end_sample(self) -> None:
        """An END, whatever was before it."""

    def set_rates(self, scale: float) -> None:
        """Reload the plasticity tables of the tiles and the homeostasis step, all scaled (annealing)."""
        set_table, reset_table = self.chip.plasticity_tables(scale)
        self.write("set", set_table)
        self.write("reset", reset_table)
        registers = self.read("registers").ravel()
        registers[register_names(self.chip).index("theta_step")] = int(self.chip.theta_step * scale + 0.5)
        self.write("registers", registers)

    def set_read_out_rates(self, scale: float) -> None:
        """Reload the plasticity tables of the read-out, scaled."""
        for name, table in zip(("read_out_set", "read_out_reset"), self.chip.read_out_tables(scale), strict=True):
            self.write(name, table)

    def program_read_out(self, levels: np.ndarray) -> None:
        """Write levels of the read-out, as a device would take them: with the error of the chip's ``write_noise``, and
        stuck cells stay."""
        chip = self.chip
        levels = written_read_out(chip, levels, chip.write_noise)
        if chip.has_stuck_cells:
            shape = (chip.read_out_rows, chip.classes)
            stuck, held = (self.read(name).reshape(shape) for name in ("read_out_stuck", "read_out"))
            levels = np.where(stuck, held, levels)
        self.write("read_out", levels)

    def rebase(self) -> None:
        """Subtract the smallest threshold of every tile from its thresholds (contract 6.2, race mode)."""
        theta = self.read("theta")
        self.write("theta", theta - theta.min(axis=1, keepdims=True))

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


def _entry(name):
    return next(entry for entry in MEMORIES if entry.name == name)


def _loaded(chip):
    names = ["levels", "theta", "random", "set", "reset"]
    names += ["read_out", "read_out_set", "read_out_reset"] if chip.classes else []
    names += ["stuck", "read_out_stuck"][:1 + (chip.classes > 0)] if chip.has_stuck_cells else []
    return names if chip.weight_store == "fixed" else [*names, "weight"]


def expected_memories(chip: Chip, state: ChipState) -> dict[str, np.ndarray]:
    """What the memories of a chip hold in a state, but for the counters, as (rows, columns) by name."""
    names = dict.fromkeys([*_loaded(chip), "weight"])
    found = {name: _array_of(state, name) for name in names}
    return found | {"registers": _registers_of(chip, state).reshape(1, -1)}


def _registers_of(chip, state):
    return np.array([1 if name == "report" else int(getattr(state, name)) for name in register_names(chip)], np.uint32)


def _array_of(state, name):
    cells = (-1, state.levels.shape[-1])
    shape = {"levels": cells, "stuck": cells, "random": (-1, 1), "weight": (1, -1)}
    array = getattr(state, name)
    return array.reshape(shape.get(name, array.shape))


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
        return _array_of(state, memory).copy()

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
        data = cells.astype(f"<u{_entry(memory).cell_bytes}")
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
        self.model.run(_END)

    def present(self, batch, *, learn, fires=True):
        self.model.state.learn = learn
        if learn or (len(batch.codes) and batch.codes.min() <= EventCode.LABEL):
            return self.model.run(batch, threads=self._threads, fires=fires)
        return self.model.infer(batch, self._threads, fires=fires)

    def close(self):
        pass


class LinkTarget(Target):
    """RTL behind a link: a board, or the compiled simulation.

    Parameters
    ----------
    session : :class:`~ohmspike.host.link.LinkSession`
        A session with a chip of this description.
    """

    name = "link"

    def __init__(self, chip: Chip, session: LinkSession):
        self.chip = chip
        self.session = session
        self._parser = OutputParser(chip)

    def read(self, memory):
        return self.session.read_memory(memory)

    def write(self, memory, values):
        entry = _entry(memory)
        shape = entry.rows(self.chip), entry.columns(self.chip)
        if memory == "registers":
            self.registers_known = None
        self.session.write_memory(memory, np.asarray(values).reshape(shape))

    def check(self, memory, ranges=None):
        entry = _entry(memory)
        whole = [(0, entry.rows(self.chip) * entry.columns(self.chip))]
        return self.session.check_cells(memory, whole if ranges is None else ranges)

    def read_cells(self, memory, first, count):
        return self.session.read_cells(memory, first, count)

    def write_cells(self, memory, first, values):
        if memory == "registers" and self.registers_known is not None:
            self.registers_known[first:first + len(values)] = values
        self.session.write_cells(memory, first, values)

    def recover(self):
        self.session.renew()
        self.registers_known = None
        self.end_sample()

    def end_sample(self):
        self._parser = OutputParser(self.chip)
        for _ in self.session.run([bytes([Opcode.END])]):
            pass

    def present(self, batch, *, learn, fires=True):
        self._switch(learn=learn, report=fires)
        identity = self.session.identity
        programs = programs_of(self.chip, batch, identity.max_request, identity.max_reply - 1, dark=self._parser.dark)
        return self._parser.parse(b"".join(self.session.run(programs)), batch, report=fires)

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

    def close(self):
        pass


class RtlTarget(LinkTarget):
    """The RTL, compiled (needs a C++ compiler the first time).

    Parameters
    ----------
    lanes : int, optional
        Synapses per clock.
    small : bool, optional
        The small form, as on boards with an SPRAM.
    progress : callable, optional
        Told what the compilation is at, one line at a time.
    """

    name = "rtl"

    def __init__(self, chip: Chip, *, lanes: int | None = None, small: bool = False,
                 progress: Callable[[str], None] | None = None, trace: bool = False):
        self.rtl = compile_chip(chip, lanes=lanes, small=small, progress=progress, trace=trace)
        super().__init__(chip, LinkSession(CompiledPort(self.rtl), chip))

    @property
    def cycles(self) -> int:
        """Clocks since the target was opened."""
        return self.rtl.cycles

    def close(self):
        self.rtl.close()


TARGETS = ("model", "rtl", "rtl-small", "rtl-uart", "serial:PORT")
"""What :func:`open_target` opens."""


def is_target(name: str) -> bool:
    """Whether :func:`open_target` knows the name."""
    return name in TARGETS[:-1] or name.partition(":")[0] == "serial"


def open_target(name: str, chip: Chip, *, progress: Callable[[str], None] | None = None, keep: bool = False,
                **options) -> Target:
    """Open a target by name, in the state before the first sample.

    Parameters
    ----------
    name : str
        ``model``; ``rtl``, the compiled RTL; ``rtl-small``, that of boards with an SPRAM; ``rtl-uart``, the RTL behind
        the UART of a board; ``serial:PORT``, a board, or ``ohmspike bridge`` (``serial`` alone for the one known board
        that is connected).
    progress : callable, optional
        Told what is going on, one line at a time.
    keep : bool
        Leave the target in the state it is in.
    options
        Go to the class of the target.

    Raises
    ------
    UserError
        There is no such target.
    """
    from .serial_target import RtlUartTarget, SerialTarget  # built on this module

    if not is_target(name):
        raise UserError(f"target must be one of {', '.join(TARGETS)}, not {name!r}")
    kind, _, port = name.partition(":")
    if kind == "serial":
        target = SerialTarget(chip, port=port, progress=progress, **options)
    elif kind == "model":
        target = ModelTarget(chip, **options)
    elif kind == "rtl-uart":
        target = RtlUartTarget(chip, progress=progress, **options)
    else:
        target = RtlTarget(chip, small=kind == "rtl-small", progress=progress, **options)
    try:
        if not keep:
            target.load(ChipState.initial(chip))
    except BaseException:
        target.close()
        raise
    return target
