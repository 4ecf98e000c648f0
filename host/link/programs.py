"""Events made into programs that the chip executes (docs/link.md)."""

import numba
import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import CODE_MIN, EventBatch, EventCode
from ohmspike.chip.instructions import (
    ANSWER_BYTES,
    REPLAY_BYTES,
    RUN_LINES_MAX,
    RUN_SKIP_BITS,
    RUN_SKIP_MAX,
    Opcode,
    spikes_bytes,
)

from .frames import LinkError
from .sample import followed, outputs_spikes

__all__ = ["NO_REPLAYS", "instructions_of", "programs_of"]
ANSWER, LABEL = int(EventCode.ANSWER), int(EventCode.LABEL)
_SPIKE, _FRAME, _TEACH = int(Opcode.SPIKE), int(Opcode.FRAME), int(Opcode.LABEL)
_RUNS, _REPLAY = int(Opcode.RUNS), int(Opcode.REPLAY)
_OPCODE_OF = np.zeros(6, np.uint8)  # by the negative of the event code
for _code in (EventCode.STEP, EventCode.DECIDE, EventCode.DARK, EventCode.END, EventCode.ANSWER):
    _OPCODE_OF[-_code] = Opcode[_code.name]
_LINE_MAX = 0xFFFF
NO_REPLAYS = np.zeros((0, 4), np.int64)


# programs of events


def programs_of(chip: Chip, batch: EventBatch, max_request: int, max_output: int, *,
                sample: tuple[int, bool] = (0, False), runs: bool = False,
                replays: np.ndarray = NO_REPLAYS, report: bool = True) -> list[bytes]:
    """Programs that carry out the events of a batch, none longer or more talkative than the chip's buffers.

    A run of spikes on ascending lines becomes a FRAME where that is shorter; not in a dark sample, where each spike
    is refused by itself (contract 3.8). With ``runs`` it becomes RUNS where that is shorter still: the chip must know
    them (:attr:`~ohmspike.host.link.session.Identity.runs`). ``sample`` is step and darkness of the sample in which the
    batch begins.

    Parameters
    ----------
    replays : int64 array of shape (pieces, 4)
        Pieces of the batch whose instructions lie in the store: from which code to before which, first byte, number of
        bytes; in order, spikes and STEPs alone. They become REPLAYs, but in a dark sample, or where what they output
        would not fit a reply.
    report : bool
        Output spikes are put into replies. Without, a program has as many samples as it can hold; of a shared crossbar,
        whose samples take long, as many as with them.

    Raises
    ------
    LinkError
        The output spikes or the answer of one event may not fit a reply.
    ValueError
        A code is none of an event.
    """
    frame_bytes = 1 + -(-chip.lines // 8)
    spikes_talk = spikes_bytes(chip) if report or chip.shared else 0
    talk = max(spikes_talk, ANSWER_BYTES if chip.classes else 0)
    if talk > max_output:
        raise LinkError(f"the output spikes of an event may take {talk} bytes, but a reply holds {max_output}",
                        hint="build the chip with a larger max_reply")
    answer_talk = ANSWER_BYTES if chip.classes else 0
    codes = _codes(chip, batch)
    data, ends = _assemble(codes, chip.lines, frame_bytes, frame_bytes <= max_request, max_request, max_output,
                           spikes_talk, answer_talk, chip.fire_mode == "race", chip.shared, runs, *sample, replays)
    data = data.tobytes()
    ends = ends.tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def instructions_of(chip: Chip, batch: EventBatch) -> bytes:
    """Instructions for all events of a batch, of a chip that takes RUNS, as they may lie in its store.

    The first event is the first of a sample, or follows one of a sample that is not dark.
    """
    codes = _codes(chip, batch)
    room = 3 * len(codes) + 1
    return _assemble(codes, chip.lines, 1 + -(-chip.lines // 8), True, room, room, 0, 0, chip.fire_mode == "race",
                     chip.shared, True, 0, False, NO_REPLAYS)[0].tobytes()


def _codes(chip, batch):
    """The codes of a batch as the link can say them: a line that no chip has stands for any this one has not."""
    codes = np.ascontiguousarray(batch.codes, np.int32)
    if len(codes) and codes.min() < CODE_MIN:
        raise ValueError(f"codes must be lines or event codes, not {codes.min()}")
    if len(codes) and codes.max() > _LINE_MAX:
        if chip.lines > _LINE_MAX:
            raise ValueError(f"lines must be at most {_LINE_MAX}, not {codes.max()}")
        codes = np.minimum(codes, _LINE_MAX)
    return codes


@numba.njit(cache=True)
def _runs_of(lines, out):
    """Bytes of RUNS of ascending lines, opcode and end included; written to ``out`` as far as that is long enough."""
    size, base, i = 1, 0, 0
    while i < len(lines):
        count = 1
        while i + count < len(lines) and lines[i + count] == lines[i] + count:
            count += 1
        skip = lines[i] - base
        base = lines[i] + count
        i += count
        while count:
            passed = min(skip, RUN_SKIP_MAX)
            skip -= passed
            spiking = 0 if skip else min(count, RUN_LINES_MAX)
            count -= spiking
            if size < len(out):
                out[size] = passed | spiking << RUN_SKIP_BITS
            size += 1
    if size < len(out):
        out[0], out[size] = _RUNS, 0
    return size + 1


@numba.njit(cache=True)
def _assemble(codes, lines, frame_bytes, may_frame, max_request, max_output, spikes_talk, answer_talk, race, shared,
              runs, step, dark, replays):
    data = np.zeros(3 * len(codes) + REPLAY_BYTES * len(replays) + 1, np.uint8)
    ends = np.empty(len(codes) + 1, np.int64)
    programs, size, start, talk = 0, 0, 0, 0
    i = 0
    packed = np.empty(max_request, np.uint8)
    looked = 0  # no run that is worth a frame begins before
    piece = 0
    while i < len(codes):
        code = codes[i]
        while piece < len(replays) and replays[piece, 0] < i:
            piece += 1
        replayed = 0 if dark or piece == len(replays) or replays[piece, 0] != i else replays[piece, 1] - i
        after, darkens, told = step, dark, 0
        for k in range(i, i + replayed):
            told += spikes_talk if outputs_spikes(codes[k], after, darkens, race) else 0
            after, darkens = followed(codes[k], after, darkens, shared)
        if told > max_output or REPLAY_BYTES > max_request:
            replayed = 0
        run = 0  # spikes on ascending lines from here
        above = -1
        while not replayed and i >= looked and i + run < len(codes) and above < codes[i + run] < lines:
            above = codes[i + run]
            run += 1
        looked = max(looked, i + run)
        framed = may_frame and not dark and 3 * run > frame_bytes
        packed_bytes = _runs_of(codes[i:i + run], packed) if runs and run and not dark else 0
        shortest = min(3 * run, frame_bytes) if framed else 3 * run
        as_runs = 0 < packed_bytes < shortest and packed_bytes <= max_request
        need = packed_bytes if as_runs else frame_bytes if framed else 3 if code >= 0 else 2 if code <= LABEL else 1
        need = REPLAY_BYTES if replayed else need
        says = told if replayed else (spikes_talk if outputs_spikes(code, step, dark, race)
                else answer_talk if code == ANSWER else 0)
        step, dark = (after, darkens) if replayed else followed(code, step, dark, shared)
        if size + need - start > max_request or talk + says > max_output:
            ends[programs] = size
            programs += 1
            start, talk = size, 0
        talk += says
        if replayed:
            data[size], data[size + 7] = _REPLAY, 1
            for k in range(3):
                data[size + 1 + k] = replays[piece, 2] >> 8 * k & 255
                data[size + 4 + k] = replays[piece, 3] >> 8 * k & 255
            i += replayed
        elif as_runs:
            data[size:size + need] = packed[:need]
            i += run
        elif framed:
            data[size] = _FRAME
            for k in range(run):
                line = codes[i + k]
                data[size + 1 + (line >> 3)] |= 1 << (line & 7)
            i += run
        else:
            if code >= 0:
                data[size], data[size + 1], data[size + 2] = _SPIKE, code & 255, code >> 8
            elif code <= LABEL:
                data[size], data[size + 1] = _TEACH, LABEL - code
            else:
                data[size] = _OPCODE_OF[-code]
            i += 1
        size += need
    if size > start:
        ends[programs] = size
        programs += 1
    return data[:size], ends[:programs]
