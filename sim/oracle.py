"""The contract in plain Python: slow, and as close to the words of docs/contract.md as code can be."""

import math
from dataclasses import dataclass, field

import numpy as np

from ohmspike.chip.description import Chip
from ohmspike.chip.events import Answers, EventBatch, EventCode, OutputSpikes
from ohmspike.chip.instructions import counter_names
from ohmspike.chip.limits import LISTED_MAX, READS_MAX, STEP_MAX

from .state import ChipState

__all__ = ["Oracle"]


@dataclass
class _Unit:
    """A post-trace unit (4.3)."""

    neuron: int
    trace: int


@dataclass
class _Tile:
    """What a tile keeps within a sample (2.2)."""

    membranes: list[int]
    units: list[_Unit | None]
    next_unit: int = 0
    reads: int = 0
    step_reads: int = 0
    fresh: bool = True
    closed: bool = False
    rows: dict[int, int] = field(default_factory=dict)


class Oracle:
    """A chip by the letter of the contract, one method per event.

    Numbers in comments are clauses of docs/contract.md. :attr:`state` may be read and written between any two
    events; what lives within a sample is seen through the read-only properties.

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.Chip`
    state : :class:`ChipState`, optional
        Copied; the initial state of ``chip`` if absent.
    """

    _step: int
    _dark: bool
    _pre_traces: list[int]

    def __init__(self, chip: Chip, state: ChipState | None = None):
        self.chip = chip
        self.state = ChipState.initial(chip) if state is None else state.copy()
        self.state.validate(chip)
        self._index = {name: i for i, name in enumerate(counter_names(chip))}
        self._full_scale = 2**chip.trace_bits - 1  # 4.1
        self._begin_sample()

    # views

    @property
    def membranes(self) -> np.ndarray:
        """Membranes, int64 of shape (tiles, neurons)."""
        return np.array([tile.membranes for tile in self._tiles[:self.chip.tiles]], np.int64)

    @property
    def closed(self) -> np.ndarray:
        """Tiles that take no more reads, bool of shape (tiles,)."""
        return np.array([tile.closed for tile in self._tiles[:self.chip.tiles]])

    @property
    def fresh(self) -> np.ndarray:
        """Tiles not read since the sample began or since they last fired, bool of shape (tiles,)."""
        return np.array([tile.fresh for tile in self._tiles[:self.chip.tiles]])

    @property
    def reads(self) -> np.ndarray:
        """Read pulses of this sample, per tile."""
        return np.array([tile.reads for tile in self._tiles[:self.chip.tiles]])

    @property
    def units(self) -> list[list[tuple[int, int] | None]]:
        """Post-trace units per tile: (neuron, trace), or None if never taken."""
        return [[(unit.neuron, unit.trace) if unit else None for unit in tile.units] for tile in self._tiles]

    @property
    def scores(self) -> np.ndarray:
        """Scores of the read-out, int64 of shape (classes,)."""
        return np.array(self._scores, np.int64)

    @property
    def pre_traces(self) -> np.ndarray:
        """Pre-traces, int64 of shape (lines,)."""
        return np.array(self._pre_traces, np.int64)

    @property
    def spiked(self) -> np.ndarray:
        """Lines that spiked in this sample, bool of shape (lines,)."""
        return np.array(self._spiked)

    @property
    def step_number(self) -> int:
        """Steps of this sample."""
        return self._step

    @property
    def is_dark(self) -> bool:
        """Whether DARK came in this sample."""
        return self._dark

    def counter(self, name: str) -> int:
        """A counter by its name."""
        return int(self.state.counters[self._index[name]])

    # events

    def spike(self, line: int) -> list[tuple[int, int]]:
        """SPIKE (3.1)."""
        if self._dark or not 0 <= line < self.chip.lines:  # 3.8
            return self._refuse()
        self._spike(line)
        return []

    def frame(self, bitmap: bytes) -> list[tuple[int, int]]:
        """FRAME (3.2): line ``i`` is bit ``i % 8`` of byte ``i // 8``."""
        if self._dark:  # 3.8
            return self._refuse()
        for line in range(self.chip.lines):
            if bitmap[line // 8] >> line % 8 & 1:
                self._spike(line)
        return []

    def step(self) -> list[tuple[int, int]]:
        """STEP (3.3)."""
        if self._dark or self._step == STEP_MAX:  # 3.8
            return self._refuse()
        fires = []
        if self.chip.fire_mode == "threshold":
            for t, tile in enumerate(self._tiles):
                if self._is_live(tile):
                    self._count("decisions")  # 8.4
                    winner = self._race_order(t)[0]
                    if tile.membranes[winner] - int(self.state.theta[t, winner]) >= self.state.theta_base:
                        self._count("out_spikes")  # 8.4
                        fires.append((t, winner))
                        self._read_read_out(t * self.chip.neurons + winner, 0)
                        tile.membranes = [0] * self.chip.neurons
                        tile.fresh = True
                        if self.state.learn:
                            if self.chip.depression == "pre":
                                self._recharge_post(t, winner)
                            self._raise_threshold(t, winner)
                            self._post_spike(t, winner)
        self._step += 1
        self._count("steps")  # 8.2
        if self.chip.shared:  # 11.3
            return []
        self._pre_traces = [self._decayed(trace) for trace in self._pre_traces]  # 4.1
        for tile in self._tiles:
            tile.step_reads = 0
            for unit in tile.units:
                if unit is not None:
                    unit.trace = self._decayed(unit.trace)
        return fires

    def decide(self) -> list[tuple[int, int]]:
        """DECIDE (3.4)."""
        if self._dark or self.chip.fire_mode == "threshold":  # 3.8
            return self._refuse()
        if self.chip.shared:
            return self._walk_layers()
        fires = []
        for t, tile in enumerate(self._tiles):
            if self._is_live(tile):
                self._count("decisions")  # 8.4
                winners = self._race_order(t)[:self.chip.winners]
                self._count("out_spikes", len(winners))  # 8.4
                fires += [(t, neuron) for neuron in winners]
                for rank, neuron in enumerate(winners):
                    self._read_read_out(t * self.chip.neurons + neuron, rank)
                if self.state.learn:
                    self._raise_threshold(t, winners[0])
                    for neuron in winners[:self.chip.learners]:
                        self._recharge_post(t, neuron)
                        self._post_spike(t, neuron)
                tile.closed = True
        return fires

    def dark(self) -> list[tuple[int, int]]:
        """DARK (3.5)."""
        if self._dark or self.chip.shared:  # 3.8, 11.8
            return self._refuse()
        self._count("dark_spikes", self._spiked.count(False))  # 8.2
        if self.state.learn:
            for t, tile in enumerate(self._tiles):
                if tile.closed:
                    for unit in tile.units:
                        if unit is not None and unit.trace > 0:
                            for row, line in enumerate(self.chip.row_lines[t].tolist()):
                                if not self._spiked[line]:
                                    given = self._pulse(t, row, unit.neuron, unit.trace, -1)
                                    self._count("reset_rows", int(given))  # 8.4
        self._dark = True
        return []

    def answer(self) -> tuple[int, int, int] | None:
        """ANSWER (10.4): column, score and margin; None if refused."""
        if not self.chip.classes:  # 3.8
            self._refuse()
            return None
        self._count("answers")
        best = max(range(self.chip.classes), key=lambda c: (self._scores[c], -c))
        rival = max(score for c, score in enumerate(self._scores) if c != best)
        return best, self._scores[best], self._scores[best] - rival

    def label(self, label: int) -> list[tuple[int, int]]:
        """LABEL (10.5)."""
        if label >= self.chip.classes:  # 3.8
            return self._refuse()
        self._count("labels")
        scores = self._scores
        rival = max((c for c in range(self.chip.classes) if c != label), key=lambda c: (scores[c], -c))
        self._count("labels_right", int((scores[label], -label) > (scores[rival], -rival)))
        if scores[label] - scores[rival] < self.state.margin:
            self._count("taught")
            for column, sign in ((label, +1), (rival, -1)):
                for row, rank in self._listed():
                    self._teach(row, rank, column, sign)
        return []

    def end(self) -> list[tuple[int, int]]:
        """END (3.6)."""
        if self.chip.theta_leak > 0 and self.state.learn:
            for thetas in (self.state.theta, self.state.layer_theta):  # 12.5
                for index in np.ndindex(thetas.shape):
                    theta = int(thetas[index])
                    thetas[index] = theta - (theta >> self.chip.theta_leak)
        self._begin_sample()
        self._count("samples")  # 8.2
        return []

    def run(self, batch: EventBatch) -> OutputSpikes:
        """Carry out the events of a batch; a sample may begin or end in the middle of one."""
        fires: list[tuple[int, int]] = []
        answers: list[tuple[int, int, int]] = []
        offsets = [(0, 0)]
        events = {EventCode.STEP: self.step, EventCode.DECIDE: self.decide, EventCode.DARK: self.dark,
                  EventCode.END: self.end}
        for sample in range(len(batch)):
            for code in batch.codes[batch.offsets[sample]:batch.offsets[sample + 1]].tolist():
                if code == EventCode.ANSWER:
                    answers += [found for found in [self.answer()] if found is not None]
                elif code <= EventCode.LABEL:
                    self.label(EventCode.LABEL - code)
                else:
                    fires += self.spike(code) if code >= 0 else events[EventCode(code)]()
            offsets.append((len(fires), len(answers)))
        pairs, triples = np.array(fires, np.int32).reshape(-1, 2), np.array(answers, np.int32).reshape(-1, 3)
        ends = np.array(offsets, np.int64)
        (tile, neuron), (label, score, margin) = pairs.T.copy(), triples.T.copy()
        return OutputSpikes(tile, neuron, ends[:, 0].copy(), Answers(label, score, margin, ends[:, 1].copy()))

    # the parts of events

    def _begin_sample(self) -> None:
        """Everything of 2.2 at its start."""
        if self.chip.shared:
            # 11.6, 12.2: of every layer, by region and neuron, in the order of the first fires
            self._best: list[dict[int, int]] = [{} for _ in range(1 + len(self.chip.layers))]
            self._tiles = [self._empty({}, t) for t in range(len(self._best))]
        else:
            self._tiles = [self._empty({line: row for row, line in enumerate(lines)})
                           for lines in self.chip.row_lines.tolist()]
        self._spiked = [False] * self.chip.lines
        self._pre_traces = [0] * self.chip.lines  # 4.2
        self._step = 0
        self._dark = False
        self._scores = [0] * self.chip.classes
        # rows of the read-out and ranks, in the order in which they fired (10.3)
        self._fired: list[tuple[int, int]] = []

    def _empty(self, rows, t=0):
        """A tile at the start of a sample."""
        return _Tile(membranes=[0] * self._crossbar(t).neurons, units=[None] * self.chip.learners, rows=rows)

    def _spike(self, line):
        """3.1; in a shared crossbar no tile sees a line before DECIDE (11.3)."""
        self._count("in_spikes")  # 8.2
        for t, tile in enumerate(self._tiles):
            if line in tile.rows:
                row = tile.rows[line]
                if tile.closed:
                    self._count("closed_tile_pulses")  # 8.3
                else:
                    self._read(t, row)  # (a)
                self._pre_spike(t, row)  # (b)
        self._count("pre_recharge", self._full_scale - self._pre_traces[line])  # 8.5
        self._pre_traces[line] = self._full_scale
        self._spiked[line] = True

    def _read(self, t, row):
        """3.1 (a)"""
        tile = self._tiles[t]
        for j in range(self._crossbar(t).neurons):
            weight = self._weight(t, row, j)
            tile.membranes[j] = min(tile.membranes[j] + weight, 2**self.chip.membrane_bits - 1)
            self._count_of(t, "read_sum", weight)  # 8.3, 12.6
        self._count_of(t, "row_reads")
        self._count_of(t, "active_sq_sum", 2 * tile.step_reads + 1)
        tile.step_reads = min(tile.step_reads + 1, READS_MAX)
        tile.reads = min(tile.reads + 1, READS_MAX)
        tile.fresh = False

    def _pre_spike(self, t, row):
        """3.1 (b)"""
        pulses = 0
        if self.state.learn:
            for unit in self._tiles[t].units:
                if unit is not None and unit.trace > 0:
                    self._pulse(t, row, unit.neuron, unit.trace, -1)
                    pulses += 1
        self._count("reset_rows", min(pulses, 1))  # 8.4

    def _walk_layers(self):
        """11.4, and behind it 12.3"""
        fires = self._walk(0, self._spiked)
        if self.chip.upper is not None:
            noted = [False] * self.chip.upper.lines
            for row in self._best[0]:  # 12.2
                region, neuron = divmod(row, self.chip.neurons)
                noted[neuron * self.chip.regions + region] = True
            fires = self._walk(1, noted)
        self._dark = True
        return fires

    def _walk(self, t, spiked):
        """11.4 for a crossbar whose plane has these noted lines"""
        fires, crossbar = [], self._crossbar(t)
        for window, lines in enumerate(crossbar.row_lines.tolist()):
            noted = [row for row, line in enumerate(lines) if spiked[line]]
            if len(noted) < crossbar.min_spikes:
                continue
            self._tiles[t] = self._empty({}, t)
            for row in noted:  # (a)
                self._read(t, row)
            self._count_of(t, "decisions")  # 8.4
            winners = self._race_order(t)[:crossbar.winners]  # (b)
            self._count_of(t, "out_spikes", len(winners))  # 8.4
            for rank, neuron in enumerate(winners):  # (c)
                fires.append((window, neuron))
                self._pool(t, int(crossbar.region_of_window[window]) * crossbar.neurons + neuron, rank)
            if self.state.learn and self._advance(self._stream(t)) >> 20 < self._register(t, "learn_share"):  # (d)
                self._raise_threshold(t, winners[0])
                self._count_of(t, "set_events")
                self._count("post_recharge", self._full_scale)
                for row in noted:
                    given = self._pulse(t, row, winners[0], self._full_scale, +1)
                    if t >= self.chip.tiles:  # 12.6
                        self._count("layer_set_rows", int(given))
                for row in range(crossbar.rows):
                    if row not in noted:
                        given = self._pulse(t, row, winners[0], self._full_scale, -1)
                        self._count_of(t, "reset_rows", int(given))
        self._tiles[t] = self._empty({}, t)
        return fires

    def _pool(self, t, row, rank):
        """11.6, 12.2"""
        best, place = self._best[t].get(row, 0), self._crossbar(t).winners - rank
        if place > best:
            self._best[t][row] = place
            if self.chip.classes and self._crossbar(t) is self.chip.last:
                self._read_pulses(row, place - best)

    # the crossbars: the tiles, behind them the second layer, which is a shared chip of its own (12.1)

    def _crossbar(self, t) -> Chip:
        return self.chip if t < self.chip.tiles else self.chip.last

    def _array(self, t, name):
        """What the state keeps of a crossbar."""
        return getattr(self.state, name)[t] if t < self.chip.tiles else getattr(self.state, f"layer_{name}")

    def _register(self, t, name):
        return getattr(self.state, name if t < self.chip.tiles else f"layer_{name}")

    def _stream(self, t):
        """Number of a random state: the read-out's comes before that of the second layer (12.1)."""
        return t if t < self.chip.tiles else t + (self.chip.classes > 0)

    def _count_of(self, t, name, amount=1):
        """12.6"""
        self._count(name if t < self.chip.tiles else f"layer_{name}", amount)

    def _listed(self):
        """Rows of the read-out that a label teaches, with their ranks: 10.3, 11.7."""
        if self.chip.shared:
            return [(row, self.chip.last.winners - best) for row, best in self._best[-1].items()]
        return self._fired

    def _is_live(self, tile):
        """3.3"""
        return not tile.closed and not tile.fresh and tile.reads >= self.chip.min_spikes

    def _race_order(self, t):
        """3.3, 3.4: neurons by falling V - θ, ties lowest first."""
        membranes, theta = self._tiles[t].membranes, self._array(t, "theta").tolist()
        return sorted(range(len(theta)), key=lambda j: (theta[j] - membranes[j], j))

    def _recharge_post(self, t, neuron):
        """4.3"""
        tile = self._tiles[t]
        for unit in tile.units:
            if unit is not None and unit.neuron == neuron:
                self._count("post_recharge", self._full_scale - unit.trace)  # 8.5
                unit.trace = self._full_scale
                return
        tile.units[tile.next_unit] = _Unit(neuron, self._full_scale)
        tile.next_unit = (tile.next_unit + 1) % self.chip.learners
        self._count("post_recharge", self._full_scale)  # 8.5

    def _post_spike(self, t, neuron):
        """5.3"""
        self._count("set_events")  # 8.4
        for row, line in enumerate(self.chip.row_lines[t].tolist()):
            if self._pre_traces[line] > 0:
                self._pulse(t, row, neuron, self._pre_traces[line], +1)
            elif self.chip.depression == "post":
                self._count("reset_rows", int(self._pulse(t, row, neuron, self._full_scale, -1)))  # 8.4

    def _pulse(self, t, row, neuron, trace, sign):
        """A SET pulse (sign +1) or a RESET pulse (sign -1) of amplitude ``trace`` on a cell of a crossbar.

        Returns whether it was given: where pulses are accumulated (5.7), it may only be counted.
        """
        if self.chip.accumulate_bits:
            amount = self._bin(trace) + 1
            if not self._accumulated("", self._array(t, "accumulated"), (row, neuron), sign * amount):
                return False
            trace = self._full_scale
        table = self.state.set if sign > 0 else self.state.reset
        levels = self._array(t, "levels")
        moved = self._pulsed(int(levels[row, neuron]), table, trace, sign, self._stream(t))
        if not (self.chip.has_stuck_cells and self._array(t, "stuck")[row, neuron]):  # 5.6
            levels[row, neuron] = moved
        return True

    def _accumulated(self, crossbar, counts, cell, amount):
        """5.7: whether the count beside a cell reaches the threshold when it changes by ``amount``."""
        self._count(f"{crossbar}accumulations")  # 8.8
        bits = getattr(self.chip, f"{crossbar}accumulate_bits")
        threshold = getattr(self.state, f"{crossbar}accumulate_threshold")
        count = int(counts[cell])
        count = (count - 2**bits if count >= 2**(bits - 1) else count) + amount
        reached = count >= threshold if amount > 0 else count <= -threshold
        counts[cell] = 0 if reached else count % 2**bits
        return reached

    def _bin(self, trace):
        """5.1"""
        return trace * self.chip.amplitudes // 2**self.chip.trace_bits

    def _pulsed(self, level, table, trace, sign, stream):
        """5.2: the level after a pulse, if the cell is not stuck."""
        kind = "set" if sign > 0 else "reset"
        amplitude = self._bin(trace)  # 5.1
        self._count(f"{kind}_pulses[{amplitude}]")  # 8.7
        self._count(f"{kind}_weight[{amplitude}]", int(self.state.weight[level]))  # 8.7
        moved = int(table[amplitude, level]) + self._draw(stream)
        if self.chip.noise_bits:
            moved += self._noise(stream) * self.state.write_noise  # 5.5
        level += sign * (moved // 2**self.chip.fraction_bits)
        held = max(0, min(level, self.chip.levels - 1))
        self._count("clipped_high" if sign > 0 else "clipped_low", int(held != level))  # 8.6
        return held

    def _read_read_out(self, row, rank):
        """10.2"""
        if not self.chip.classes:
            return
        self._read_pulses(row, self.chip.winners - rank)
        if self.chip.fire_mode == "race" or len(self._fired) < LISTED_MAX:  # 10.1
            self._fired.append((row, rank))

    def _read_pulses(self, row, pulses):
        """10.2"""
        for _ in range(pulses):
            self._count("read_out_reads")
            for c in range(self.chip.classes):
                weight = int(self.state.weight[self.state.read_out[row, c]])
                self._count("read_out_sum", weight)
                self._scores[c] = min(self._scores[c] + weight, 2**self.chip.score_bits - 1)

    def _teach(self, row, rank, column, sign):
        """10.5: a pulse of the amplitude of 10.3, or what 5.7 makes of it."""
        winners = self.chip.last.winners
        trace = math.ceil(self._full_scale * (winners - rank) / winners)
        if self.chip.read_out_accumulate_bits:
            amount = winners - rank
            if not self._accumulated("read_out_", self.state.read_out_accumulated, (row, column), sign * amount):
                return
            trace = self._full_scale
        if self.chip.accumulates:
            self._count("read_out_pulses")  # 8.8
        table = self.state.read_out_set if sign > 0 else self.state.read_out_reset
        moved = self._pulsed(int(self.state.read_out[row, column]), table, trace, sign, self.chip.tiles)
        if not (self.chip.has_stuck_cells and self.state.read_out_stuck[row, column]):  # 5.6
            self.state.read_out[row, column] = moved

    def _raise_threshold(self, t, neuron):
        """6.1"""
        top = 2**self.chip.threshold_bits - 1
        thetas = self._array(t, "theta")
        theta = int(thetas[neuron]) + self._register(t, "theta_step")
        if theta > top:
            self._count("theta_clipped")  # 8.6
            theta = top
        thetas[neuron] = theta

    def _draw(self, t):
        """7.2"""
        return self._advance(t) >> 32 - self.chip.fraction_bits

    def _advance(self, t):
        """7.2: the next state of xorshift32."""
        x = int(self.state.random[t])
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self.state.random[t] = x
        return x

    def _noise(self, t):
        """5.5: of the state that the last draw left."""
        x = int(self.state.random[t])
        return sum(x >> place & 31 for place in (0, 5, 10, 15)) - 62

    def _decayed(self, trace):
        """4.1"""
        return trace - math.ceil(trace / 2**self.chip.trace_shift)

    def _weight(self, t, row, neuron):
        return int(self.state.weight[self._array(t, "levels")[row, neuron]])

    def _refuse(self):
        """3.8"""
        self._count("refused")
        return []

    def _count(self, name, amount=1):
        """8.1"""
        index = self._index[name]
        self.state.counters[index] = (int(self.state.counters[index]) + amount) % 2**64
