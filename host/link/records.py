"""Output of programs made into output spikes and answers (docs/link.md)."""

import numba
import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import Answers, EventBatch, EventCode, OutputSpikes
from ohmspike.chip.instructions import ANSWER_BYTES, neuron_bytes, tile_bytes

from .frames import LinkError
from .programs import ANSWER
from .sample import followed, outputs_spikes

__all__ = ["OutputParser"]


class OutputParser:
    """Records back to output spikes and answers. Knows which refused events output nothing (contract 3.8)."""

    def __init__(self, chip: Chip):
        self._chip = chip
        self._sample = np.zeros(2, np.int64)  # step, dark: a batch may end in the middle of a sample

    @property
    def sample(self) -> tuple[int, bool]:
        """Step and darkness of the sample in which the events so far ended."""
        return int(self._sample[0]), bool(self._sample[1])

    def parse(self, output: bytes, batch: EventBatch, *, report: bool = True) -> OutputSpikes:
        """The output spikes and answers in the joined outputs of the programs of a batch.

        Parameters
        ----------
        report : bool
            Output spikes were put into the replies.

        Raises
        ------
        LinkError
            The output does not fit the batch.
        """
        chip = self._chip
        codes = np.ascontiguousarray(batch.codes, np.int32)
        asked = np.count_nonzero(codes == EventCode.ANSWER) if chip.classes else 0
        answers = np.zeros((asked, 3), np.int32)
        tile, neuron, offsets, answer_offsets, used = _parse(
            np.frombuffer(output, np.uint8), codes, np.asarray(batch.offsets, np.int64), self._sample, answers,
            report, chip.fire_mode == "race", chip.shared, chip.winners, tile_bytes(chip), neuron_bytes(chip))
        if used != len(output):
            raise LinkError(f"output spikes and answers must take {used} bytes, not {len(output)}")
        for name, numbers, count in (("tile of an output spike", tile, chip.windows),
                                   ("neuron of an output spike", neuron, chip.neurons),
                                   ("label of an answer", answers[:, 0], chip.classes)):
            if len(numbers) and numbers.max() >= count:
                raise LinkError(f"{name} must be 0 to {count - 1}, not {numbers.max()}")
        label, score, margin = answers.T.copy()
        return OutputSpikes(tile, neuron, offsets, Answers(label, score, margin, answer_offsets))


@numba.njit(cache=True)
def _number(data, at, size):
    value = np.int32(0)
    for k in range(size):
        if at + k < len(data):
            value |= np.int32(data[at + k]) << (8 * k)
    return value


@numba.njit(cache=True)
def _parse(data, codes, starts, sample, answers, report, race, shared, winners, tile_size, neuron_size):
    capacity = len(data) // neuron_size + 1
    tiles, neurons = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    offsets, answer_offsets = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    none = (1 << 8 * tile_size) - 1
    at, count, given = 0, 0, 0
    step, dark = sample[0], sample[1] != 0
    for s in range(len(starts) - 1):
        for i in range(starts[s], starts[s + 1]):
            code = codes[i]
            has_output = report and outputs_spikes(code, step, dark, race)
            while has_output:
                if at >= len(data):
                    return tiles[:count], neurons[:count], offsets, answer_offsets, at + 1  # too short
                tile = _number(data, at, tile_size)
                at += tile_size
                if tile == none:
                    break
                for _ in range(winners):
                    if count == capacity:
                        return tiles[:count], neurons[:count], offsets, answer_offsets, at + 1
                    tiles[count], neurons[count] = tile, _number(data, at, neuron_size)
                    at += neuron_size
                    count += 1
            if code == ANSWER and given < len(answers):
                answers[given, 0] = _number(data, at, 1)
                answers[given, 1], answers[given, 2] = _number(data, at + 1, 3), _number(data, at + 4, 3)
                at += ANSWER_BYTES
                given += 1
            step, dark = followed(code, step, dark, shared)
        offsets[s + 1], answer_offsets[s + 1] = count, given
    sample[0], sample[1] = step, dark
    return tiles[:count], neurons[:count], offsets, answer_offsets, at
