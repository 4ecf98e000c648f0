"""What a measurement comes to: branches of potentiation and depression, and what was understood of the files."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Branch", "Measurement", "NAMES_OF_KINDS", "Options", "Steps"]

NAMES_OF_KINDS = {"set": "potentiation", "reset": "depression"}


@dataclass(frozen=True)
class Options:
    """What a file does not say.

    Parameters
    ----------
    read_v : float, optional
        Voltage at which currents were read, V.
    unit : str, optional
        Of values without one, or with a wrong one.
    scale : (float, float), optional
        Conductances that normalised values 0 (or -1) and 1 stand for, S.
    columns : tuple of str
        Headers in place of the file's.
    traces : ``"cycle"`` or ``"device"``, optional
        What columns or files that are not labelled stand for.
    """

    read_v: float | None = None
    unit: str | None = None
    scale: tuple[float, float] | None = None
    columns: tuple[str, ...] = ()
    traces: str | None = None


@dataclass(frozen=True)
class Branch:
    """One potentiation or depression.

    Parameters
    ----------
    kind : ``"set"`` or ``"reset"``
    pulses : float array of shape (points,)
        Pulses of this branch before each reading; 0 where it was read before the first.
    conductance : float array of shape (points,)
        S.
    device, cycle : str
        Labels; empty if the files have none.
    where : str
        File and lines.
    """

    kind: str
    pulses: np.ndarray
    conductance: np.ndarray
    device: str = ""
    cycle: str = ""
    where: str = ""


@dataclass(frozen=True)
class Steps:
    """Measured steps ΔG at conductances G, S, of one kind; many at one G tell the spread of a pulse."""

    kind: str
    conductance: np.ndarray
    step: np.ndarray
    where: str = ""


@dataclass(frozen=True)
class Measurement:
    """All branches of one or several files, in the order of time for each device.

    Parameters
    ----------
    source : str
        The files.
    branches : tuple of :class:`Branch`
    notes : tuple of str
        What was assumed, left out or put right, one sentence each.
    layout : tuple of str
        What each file and column was taken for, one line each.
    steps : tuple of :class:`Steps`
        Of files that hold ΔG in place of curves.
    """

    source: str
    branches: tuple[Branch, ...]
    notes: tuple[str, ...] = ()
    layout: tuple[str, ...] = ()
    steps: tuple[Steps, ...] = field(default=())

    def of(self, kind: str) -> list[Branch]:
        """The branches of one kind."""
        return [branch for branch in self.branches if branch.kind == kind]

    @property
    def devices(self) -> list[str]:
        """Labels of the devices, in their order."""
        return list(dict.fromkeys(branch.device for branch in self.branches))

    def part(self, device: str) -> "Measurement":
        """The branches of one device."""
        return Measurement(self.source, tuple(b for b in self.branches if b.device == device), self.notes, self.layout)
