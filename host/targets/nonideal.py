"""The non-ideal model as a target: a chip with the spread of its device."""

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.state import ChipState
from ohmspike.sim.analog.device import Device
from ohmspike.sim.model.nonideal import NonIdealities, NonIdealModel

from .model import ModelTarget

__all__ = ["NonIdealTarget"]


class NonIdealTarget(ModelTarget):
    """The non-ideal model, on all cores; it takes whole latency-coded samples of race mode.

    Parameters
    ----------
    nonidealities : :class:`~ohmspike.sim.model.nonideal.NonIdealities`
    device : :class:`~ohmspike.sim.analog.device.Device`
        Conductances, where a strength is given in ohms.
    threads : int, optional
        As many as there are cores if absent; results do not depend on it.
    """

    def __init__(self, chip: Chip, nonidealities: NonIdealities, device: Device, *, threads: int | None = None):
        super().__init__(chip, threads=threads)
        self.model = self.nonideal = NonIdealModel(chip, nonidealities, device=device)

    def load(self, state: ChipState, *, keep_counters: bool = False) -> None:
        """Load learned state, as any target; stuck cells stay where they are."""
        super().load(state, keep_counters=keep_counters)
        self.nonideal.program(self.nonideal.state)

    def program_read_out(self, levels: np.ndarray) -> None:
        """Write levels of the read-out, each with the error of the device."""
        self.nonideal.program_read_out(levels)

    def pulses(self) -> tuple[np.ndarray, np.ndarray]:
        """Pulses that every cell of the tiles and of the read-out has had."""
        return self.nonideal.pulses()

    def history(self) -> dict[str, np.ndarray]:
        """Pulses of every cell so far, and random states of reading."""
        return self.nonideal.history()

    def restore(self, history: dict[str, np.ndarray]) -> None:
        """Go on from a :meth:`history`."""
        self.nonideal.restore(history)
