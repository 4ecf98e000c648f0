"""Vectors for a bench with address events: the state goes over the link, samples come as events."""

import itertools

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.chip.instructions import FrameKind, Status
from ohmspike.host.integrity.stress import stress_samples, stress_state
from ohmspike.host.link.frames import FrameReader, encode_frame
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.programs import programs_of
from ohmspike.host.link.records import OutputParser
from ohmspike.host.link.session import LinkSession
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.host.targets.model import ModelTarget
from ohmspike.sim.rtl.compiled import CompiledRtl
from ohmspike.sim.state import spikes_difference

from .vectors import EXPECT, Recorder, replayed

__all__ = ["SAID", "WORD", "aer_vectors", "sample_words"]

WORD, SAID, LAST = 1 << 31, 1 << 30, 1 << 9
"""Bits of a vector: a word of address events; output of a sample; its last byte, which is the status."""

_STEP, _END = 1 << 25, 2 << 25


def sample_words(chip: Chip, codes: list[int]) -> list[int]:
    """The events of a sample, its END last, as words for ``hdl/top/aer.py``.

    DECIDE and ANSWER go without saying; a LABEL and whether there is a DARK go with the END.
    """
    words, labelled, learn = [], 0, 0
    for code in codes:
        if code >= 0:
            y, x = divmod(code, chip.plane_width)
            channel, y = divmod(y, chip.plane_height)
            polarity = 1 - channel if chip.channels > 1 else code % 2  # of one channel either polarity is the same
            words.append(WORD | polarity << 24 | y << 12 | x)
        elif code == EventCode.STEP:
            words.append(WORD | _STEP)
        elif code == EventCode.DARK:
            learn = 1
        elif code <= EventCode.LABEL:
            labelled = 1 << 8 | EventCode.LABEL - code
    return [*words, WORD | _END | labelled << 12 | learn]


def aer_vectors(chip: Chip, rtl: CompiledRtl, *, samples: int = 4, seed: int = 1) -> np.ndarray:
    """Bytes and words of a session: random state is loaded, samples are learned from events, all memories read back.

    A chip with a store learns the samples again out of it, as programs.

    What samples output is recorded from a chip without address events, which is given the same samples as programs;
    output spikes, answers and the state afterwards are those of the exact model, or there are no vectors.

    Parameters
    ----------
    rtl : :class:`~ohmspike.sim.rtl.CompiledRtl`
        A chip of this description with the streams of the link, fresh from power-up.

    Returns
    -------
    uint32 array
        As of :func:`~ohmspike.host.export.vectors.vectors`, with words (:data:`WORD`) and output of samples
        (:data:`SAID`) between them.

    Raises
    ------
    UserError
        RTL and model differ.
    """
    if chip.channels > 2:
        raise UserError(f"channels must be 1 or 2 for the bench of address events, not {chip.channels}: STEPs divide "
                        "windows of time, and samples of the bench have STEPs anywhere", hint="--wrapper stream")
    rng = np.random.default_rng(seed)
    state = stress_state(chip, rng)
    batch = stress_samples(chip, rng, samples)
    model, recorder = ModelTarget(chip, threads=1), Recorder(CompiledPort(rtl))
    session = LinkSession(recorder, chip, seed=seed)
    target = LinkTarget(chip, session)
    for body in (model, target):
        body.load(state)
    expected = model.present(batch, learn=True)
    target.present(batch[:0], learn=True)  # sets the registers

    # of samples as programs nothing is recorded
    words, outputs = recorder.words, []
    aside = LinkSession(CompiledPort(rtl), chip, seed=seed + 1)
    identity = aside.identity
    for start, end in itertools.pairwise(batch.offsets.tolist()):
        codes = batch.codes[start:end]
        alone = EventBatch(codes, np.array([0, end - start]))
        outputs.append(b"".join(aside.run(programs_of(chip, alone, identity.max_request, identity.max_reply - 1))))
        words += sample_words(chip, codes.tolist())
        words += [SAID | byte for byte in outputs[-1]] + [SAID | LAST | Status.OK]
    difference = spikes_difference(OutputParser(chip).parse(b"".join(outputs), batch), expected)

    # the chip is to expect the number that it expects where samples were no programs
    sent = bytes(word for word in words if word < EXPECT)
    number = FrameReader().feed(sent)[-1][0]
    port = CompiledPort(rtl)
    port.write(encode_frame(number, FrameKind.HELLO, bytes(4)))
    port.wait(1)
    port.read()
    target = LinkTarget(chip, LinkSession(recorder, chip, seed=seed + 2))
    difference = (difference or replayed(chip, model, target, batch)
                  or target.state().differences(model.state()))
    if difference:
        raise UserError(f"RTL and model must agree before there are vectors: {difference}")
    return np.array(words, np.uint32)
