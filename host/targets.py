"""Targets: the bodies of a chip, behind one interface."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode, Fires
from ohmspike.chip.instructions import MEMORIES, REGISTERS, counter_names
from ohmspike.sim.model import ExactModel
from ohmspike.sim.rtl import compile_chip
from ohmspike.sim.state import ChipState

from .errors import UserError
from .link import CompiledPort, LinkSession, OutputParser, programs_of

__all__ = ["LinkTarget", "ModelTarget", "RtlTarget", "TARGETS", "Target", "is_target", "open_target"]


class Target(ABC):
    """A chip that carries out events: the exact model, or RTL behind a link. Also a context manager.

    Memories are read and written by the names of :data:`ohmspike.chip.instructions.MEMORIES`, as arrays of shape
    (rows, columns).
    """

    name: str
    chip: Chip
    _counted: np.ndarray | None = None

    @abstractmethod
    def read(self, memory: str) -> np.ndarray:
        """Contents of a memory, of shape (rows, columns)."""

    @abstractmethod
    def write(self, memory: str, values) -> None:
        """Replace the contents of a memory; writing ``counters`` clears them."""

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
        self._counted = state.counters.copy() if keep_counters else np.zeros_like(state.counters)
        for name in _loaded(self.chip):
            self.write(name, _array_of(state, name))
        self.write("registers", self._registers(state))
        self.write("counters", np.zeros(len(counter_names(self.chip)), np.uint64))

    def state(self) -> ChipState:
        """A copy of everything that persists across samples."""
        chip = self.chip
        words = dict(zip(REGISTERS, self.read("registers").ravel().tolist(), strict=True))
        return ChipState(
            levels=self.read("levels").reshape(chip.tiles, chip.rows, chip.neurons),
            theta=self.read("theta"), random=self.read("random").ravel(), weight=self.read("weight").ravel(),
            set=self.read("set"), reset=self.read("reset"), learn=bool(words["learn"]),
            theta_step=words["theta_step"], theta_base=words["theta_base"], counters=self._all_counters(),
            read_out=self.read("read_out").reshape(chip.read_out_rows, chip.classes),
            read_out_set=self.read("read_out_set"), read_out_reset=self.read("read_out_reset"), margin=words["margin"])

    def set_rates(self, scale: float) -> None:
        """Reload the plasticity tables of the tiles and the homeostasis step, all scaled (annealing)."""
        set_table, reset_table = self.chip.plasticity_tables(scale)
        self.write("set", set_table)
        self.write("reset", reset_table)
        registers = self.read("registers").ravel()
        registers[list(REGISTERS).index("theta_step")] = int(self.chip.theta_step * scale + 0.5)
        self.write("registers", registers)

    def set_read_out_rates(self, scale: float) -> None:
        """Reload the plasticity tables of the read-out, scaled."""
        for name, table in zip(("read_out_set", "read_out_reset"), self.chip.read_out_tables(scale), strict=True):
            self.write(name, table)

    def rebase(self) -> None:
        """Subtract the smallest threshold of every tile from its thresholds (contract 6.2, race mode)."""
        theta = self.read("theta")
        self.write("theta", theta - theta.min(axis=1, keepdims=True))

    def counters(self) -> dict[str, int]:
        """Event counters since :meth:`load`, by name."""
        return dict(zip(counter_names(self.chip), self._all_counters().tolist(), strict=True))

    def _all_counters(self):
        """What the target counted, after what had been counted before it was loaded."""
        counted = self.read("counters").ravel()
        return counted if self._counted is None else counted + self._counted

    @staticmethod
    def _registers(state):
        words = {"learn": int(state.learn), "theta_step": state.theta_step, "theta_base": state.theta_base,
                 "report": 1, "margin": state.margin}
        return np.array([words[name] for name in REGISTERS], np.uint32)


def _loaded(chip):
    names = ["levels", "theta", "random", "set", "reset"]
    names += ["read_out", "read_out_set", "read_out_reset"] if chip.classes else []
    return names if chip.weight_store == "fixed" else [*names, "weight"]


def _array_of(state, name):
    shape = {"levels": (-1, state.levels.shape[-1]), "random": (-1, 1), "weight": (1, -1)}
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
            words = dict(zip(REGISTERS, np.asarray(values).ravel().tolist(), strict=True))
            state.learn = bool(words["learn"])
            state.theta_step, state.theta_base = words["theta_step"], words["theta_base"]
            state.margin = words["margin"]
        elif memory == "counters":
            state.counters[:] = 0
        else:
            array = getattr(state, memory)
            array[...] = np.asarray(values).reshape(array.shape)

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
        self._registers_known = None

    def read(self, memory):
        return self.session.read_memory(memory)

    def write(self, memory, values):
        entry = next(entry for entry in MEMORIES if entry.name == memory)
        shape = entry.rows(self.chip), entry.columns(self.chip)
        if memory == "registers":
            self._registers_known = None
        self.session.write_memory(memory, np.asarray(values).reshape(shape))

    def present(self, batch, *, learn, fires=True):
        self._switch(learn=learn, report=fires)
        identity = self.session.identity
        programs = programs_of(self.chip, batch, identity.max_request, identity.max_reply - 1, dark=self._parser.dark)
        return self._parser.parse(b"".join(self.session.run(programs)), batch, report=fires)

    def _switch(self, **wanted):
        """Set registers, if they are not already."""
        if self._registers_known is None:
            self._registers_known = self.read("registers").ravel()
        registers = self._registers_known.copy()
        for name, value in wanted.items():
            registers[list(REGISTERS).index(name)] = value
        if not np.array_equal(registers, self._registers_known):
            self.write("registers", registers)
            self._registers_known = registers

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


def open_target(name: str, chip: Chip, *, progress: Callable[[str], None] | None = None, **options) -> Target:
    """Open a target by name, in the state before the first sample.

    Parameters
    ----------
    name : str
        ``model``; ``rtl``, the compiled RTL; ``rtl-small``, that of boards with an SPRAM; ``rtl-uart``, the RTL behind
        the UART of a board; ``serial:PORT``, a board, or ``ohmspike bridge`` (``serial`` alone for the one known board
        that is connected).
    progress : callable, optional
        Told what is going on, one line at a time.
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
        target.load(ChipState.initial(chip))
    except BaseException:
        target.close()
        raise
    return target
