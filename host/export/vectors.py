"""Vectors for a test bench: the bytes of a session in which a chip learns, checked against the exact model."""

import zlib
from dataclasses import dataclass, field

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch
from ohmspike.chip.instructions import FLAG
from ohmspike.host.integrity.stress import stress_samples, stress_state
from ohmspike.host.link.ports import CompiledPort, Port
from ohmspike.host.link.session import LinkSession
from ohmspike.host.link.store import ImageStore
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.host.targets.model import ModelTarget
from ohmspike.sim.rtl.compiled import CompiledRtl
from ohmspike.sim.state import spikes_difference

__all__ = ["EXPECT", "Recorder", "merged_flags", "replayed", "vectors"]

EXPECT = 0x100
"""Bit of a vector that is expected of the chip; without it a byte is sent to the chip."""


@dataclass
class Recorder:
    """A port that keeps what goes over it, in order, as vectors.

    Parameters
    ----------
    port : :class:`~ohmspike.host.link.ports.Port`
    """

    port: Port
    words: list[int] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.words += data
        self.port.write(data)

    def read(self) -> bytes:
        """What has come so far."""
        data = self.port.read()
        self.words += [EXPECT | byte for byte in data]
        return data

    def wait(self, frames: int) -> None:
        """Let time pass until that many frames may have come."""
        self.port.wait(frames)


def vectors(chip: Chip, rtl: CompiledRtl, *, samples: int = 4, seed: int = 1, together: bool = False) -> np.ndarray:
    """Bytes of a session: random state is loaded, samples are learned, and all memories are read back.

    A chip with a store learns the samples again out of it.

    Output spikes, answers and the state afterwards are those of the exact model, or there are no vectors. The chip is
    told everything that it reads, so the vectors hold for memories without initial contents.

    Parameters
    ----------
    rtl : :class:`~ohmspike.sim.rtl.CompiledRtl`
        A chip of this description, fresh from power-up.
    together : bool
        Of the samples: :func:`~ohmspike.host.integrity.stress.stress_samples`.

    Returns
    -------
    uint16 array of shape (bytes,)
        In order; those with :data:`EXPECT` come from the chip.

    Raises
    ------
    UserError
        RTL and model differ.
    """
    rng = np.random.default_rng(seed)
    state = stress_state(chip, rng)
    batch = stress_samples(chip, rng, samples, together=together)
    model, recorder = ModelTarget(chip, threads=1), Recorder(CompiledPort(rtl))
    session = LinkSession(recorder, chip, seed=seed)
    target = LinkTarget(chip, session)
    for body in (model, target):
        body.load(state)
    expected, spikes = (body.present(batch, learn=True) for body in (model, target))
    difference = (spikes_difference(spikes, expected) or replayed(chip, model, target, batch)
                  or target.state().differences(model.state()))
    if difference or session.resent or session.naks:
        raise UserError(f"RTL and model must agree before there are vectors: {difference or 'frames were sent again'}")
    return np.array(recorder.words, np.uint16)


def replayed(chip: Chip, model: ModelTarget, target: LinkTarget, batch: EventBatch) -> str:
    """Learn samples out of the store of a chip, if it has one; how it differs from the model, or nothing.

    They are written to the store, replayed, read and checked.
    """
    if not target.session.identity.store:
        return ""
    target.stored = kept = ImageStore(chip, target.session, least=0)
    target.keeps_images = True
    expected, spikes = (body.present(batch, learn=True) for body in (model, target))
    content = target.read_cells("store", 0, kept.used).astype(np.uint8).tobytes()
    intact = kept.images > 0 and target.images_intact() and target.check("store", [(0, kept.used)]) == [
        zlib.crc32(content)]
    return spikes_difference(spikes, expected) or ("" if intact else "the store does not hold what was written to it")


def merged_flags(words: np.ndarray) -> np.ndarray:
    """Vectors in which several FLAGs of the chip in a row are one, since they mean the same (docs/link.md)."""
    flag = EXPECT | FLAG
    heard = np.flatnonzero(words & EXPECT)
    again = heard[1:][(words[heard[1:]] == flag) & (words[heard[:-1]] == flag)]
    return np.delete(words, again)
