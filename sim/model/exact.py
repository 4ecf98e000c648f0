"""The exact model: the contract compiled to machine code, identical to the oracle and to the RTL to the bit."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ohmspike.chip.counters import LAYER_COUNTERS, counter_names
from ohmspike.chip.description import Chip
from ohmspike.chip.events import CODE_MIN, Answers, EventBatch, EventCode, OutputSpikes, checked_labels
from ohmspike.chip.instructions import register
from ohmspike.sim.state import ChipState

from .kernels import events, free, read_out, samples, walk
from .kernels.types import CellEffects, Cells, Crossbar, Geometry, Reading, Transient, geometry_of, transient_of
from .kernels.walk import noted_of
from .threads import shared_out, thread_count, tile_groups

__all__ = ["ExactModel", "Work", "joined"]

_CHUNK_BYTES = 1 << 17
"""Stamps of a chunk of samples: they stay in the second-level cache while the tiles take turns."""

_BLOCK, _BLOCK_BYTES = 1024, 4 << 20
"""Samples that are taken at once: their stamps and winners stay in the last-level cache."""

_WALK_BLOCK = 256
"""Samples of a shared crossbar that are taken at once: what fires in them stays in the cache."""

_STRETCH = 1024
"""Samples carried out event by event before the faster way is tried again."""


class ExactModel:
    """A chip as fast as integers go: runs whole batches of events, learning included, with all counters on.

    Any events are accepted and may stop in the middle of a sample; samples of latency code (contract 9.1), and those of
    a chip that fires at a threshold and lowers cells then (5.3), take a faster way to the same bits.
    Between runs :attr:`state` may be read and written, arrays too: nothing is cached from it.

    Throughput
        ``make bench`` prints it, beside the limit of the machine's memory.

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.Chip`
    state : :class:`ChipState`, optional
        Copied; the initial state of ``chip`` if absent.
    """

    def __init__(self, chip: Chip, state: ChipState | None = None):
        self.chip = chip
        self.state = ChipState.initial(chip) if state is None else state.copy()
        self.state.validate(chip)
        self._geometry = geometry_of(chip)
        self._transient = self._started()
        self._between_samples = True

    # tables and registers

    def set_tables(self, set_table: npt.ArrayLike, reset_table: npt.ArrayLike) -> None:
        """Reload the SET and RESET tables (contract 5.4)."""
        shape = (self.chip.amplitudes, self.chip.levels)
        self.state.set, self.state.reset = _words("set", set_table, shape), _words("reset", reset_table, shape)

    def set_read_out_tables(self, set_table: npt.ArrayLike, reset_table: npt.ArrayLike) -> None:
        """Reload the SET and RESET tables of the read-out (contract 10.6)."""
        shape = self.state.read_out_set.shape
        self.state.read_out_set = _words("read_out_set", set_table, shape)
        self.state.read_out_reset = _words("read_out_reset", reset_table, shape)

    def set_weights(self, weights: npt.ArrayLike) -> None:
        """Reload the weight table."""
        if self.chip.weight_store == "fixed":
            raise ValueError("weights of a chip with weight_store fixed cannot be changed")
        self.state.weight = _words("weights", weights, (self.chip.levels,), (1 << self.chip.weight_bits) - 1)

    def set_theta_step(self, theta_step: int) -> None:
        """Write the register h (contract 6.1)."""
        top = register("theta_step").largest(self.chip)
        if not 0 <= theta_step <= top:
            raise ValueError(f"theta_step must be 0 to {top}, not {theta_step!r}")
        self.state.theta_step = int(theta_step)

    # running

    def run(self, batch: EventBatch, *, report: bool = True, threads: int | None = None) -> OutputSpikes:
        """Carry out the events of a batch; a sample may begin or end in the middle of one.

        Samples of latency code share the tiles among threads, since no tile sees another; the bits do not depend on
        their number.

        Parameters
        ----------
        report : bool
            Collect what fired; counters count it in any case, and answers are given.
        threads : int, optional
            As many as there are cores if absent.
        """
        codes, offsets = _checked(batch)
        work = self._work(self._cells(self.state.learn), report, thread_count(threads) if self.chip.windows > 1 else 1)
        self._between_samples = work.run(codes, offsets, 0, len(batch), self._transient, self._between_samples)
        self._count(work.tally)
        return work.fires()

    def infer(self, batch: EventBatch, threads: int | None = None, *, report: bool = True) -> OutputSpikes:
        """Carry out whole samples with learning off, shared among threads; the bits do not depend on their number.

        Nothing changes but the counters; the ``learn`` register is left as it is.

        Parameters
        ----------
        threads, report :
            As in :meth:`run`.

        Raises
        ------
        ValueError
            The chip is in the middle of a sample, a sample of the batch does not finish with END, or one has a LABEL.
        """
        codes, offsets = _checked(batch)
        if not self._between_samples:
            raise ValueError("infer needs a chip between two samples: the last event must be END")
        filled = offsets[1:] > offsets[:-1]
        open_ended = np.flatnonzero(codes[offsets[1:][filled] - 1] != EventCode.END)
        if len(open_ended):
            raise ValueError(f"sample {np.flatnonzero(filled)[open_ended[0]]} does not finish with END")
        if len(codes) and codes.min() <= EventCode.LABEL:
            raise ValueError("infer takes no LABEL: teaching changes the chip, in the order of the samples")
        threads = thread_count(threads)
        cells = self._cells(False)
        bounds = [len(batch) * i // threads for i in range(threads + 1)]

        def carry_out(first, stop):
            work = self._work(cells, report, 1)
            work.run(codes, offsets, first, stop, self._started(), True)
            return work

        works = shared_out(threads, carry_out, bounds[:-1], bounds[1:])
        for work in works:
            self._count(work.tally)
        return joined([work.fires() for work in works])

    def teach(self, spikes: OutputSpikes, labels: np.ndarray) -> Answers:
        """Carry samples that fired elsewhere through the read-out of this chip, and teach it their labels.

        Parameters
        ----------
        spikes : :class:`OutputSpikes`
            Of whole samples of race mode, of a chip with tiles like these.
        labels : integer array of shape (samples,)

        Returns
        -------
        :class:`Answers`
            One for every sample, given before its label is taught.

        Raises
        ------
        ValueError
            The chip has no read-out, ``spikes`` are not of such samples, or labels are not of its columns.
        """
        chip, last, count = self.chip, self.chip.last, len(spikes)
        if not chip.classes:
            raise ValueError("teaching needs a chip with a read-out")
        labels = checked_labels(labels, count, chip.classes)
        races, apart = np.divmod(np.diff(spikes.offsets), last.winners)
        tiles = None if apart.any() else spikes.tile.reshape(-1, last.winners)
        if tiles is None or (tiles != tiles[:, :1]).any():
            raise ValueError(f"every tile that fires must fire {last.winners} times in a sample")
        for name, found, limit in (("tiles", spikes.tile, last.windows), ("neurons", spikes.neuron, last.neurons)):
            if len(found) and not 0 <= found.min() <= found.max() < limit:
                raise ValueError(f"{name} that fire must be 0 to {limit - 1}")
        tally, table = np.zeros(len(counter_names(chip)), np.int64), np.empty((count, 3), np.int32)
        if chip.shared:
            work = self._work(self._cells(False), False, 1)
            walk.teach_walk(*work.last, None, noted_of(last), spikes.tile, spikes.neuron, spikes.offsets,
                            np.ones(count, np.bool_), labels.astype(np.int64), table, tally)
            self._count(tally)
            return _answers_of(table, np.arange(count + 1))
        winners = np.full((chip.tiles, count, chip.winners), -1, np.int16)
        winners[tiles[:, 0], np.repeat(np.arange(count), races)] = spikes.neuron.reshape(-1, chip.winners)
        read_out.read_out_samples(self._geometry, self._cells(False), None, winners, 0, count, np.ones(count, np.bool_),
                                  labels.astype(np.int16), np.empty(chip.classes, np.int64),
                                  np.empty(chip.tiles * chip.winners, np.int32), table, tally)
        self._count(tally)
        return _answers_of(table, np.arange(count + 1))

    def _started(self):
        """A sample that has not begun; of a shared crossbar a part for every layer."""
        layers = (self.chip, self.chip.upper) if self.chip.upper else (self.chip,)
        return tuple(map(noted_of, layers)) if self.chip.shared else transient_of(self.chip)

    def _work(self, cells, keep, threads):
        if self.chip.shared:
            layers = [(self._geometry, cells, int(self.state.learn_share))]
            if self.chip.upper:
                layers = [(self._geometry._replace(classes=0), cells, int(self.state.learn_share)),
                          (geometry_of(self.chip.upper), self._upper_cells(cells), int(self.state.layer_learn_share))]
            return WalkWork(self.chip, layers, keep, threads)
        return Work(self.chip, self._geometry, cells, keep, threads)

    def _cells(self, learn):
        state, tiles = self.state, self.chip.tiles
        state.validate(self.chip)
        if np.array_equal(state.weight, np.arange(self.chip.levels)):
            weight_table = state.weight.astype(np.uint8)
            weights, read_out_weights = state.levels, state.read_out
        else:
            weight_table = state.weight.astype(np.uint8 if self.chip.weight_bits <= 8 else np.uint16)
            weights, read_out_weights = weight_table[state.levels], weight_table[state.read_out]
        effects, read_out_effects = self._effects()
        return Cells(
            Crossbar(state.levels, weights, state.random[:tiles], state.set, state.reset, effects, None),
            Crossbar(state.read_out[None], read_out_weights[None], state.random[tiles:], state.read_out_set,
                     state.read_out_reset, read_out_effects, None),
            weight_table, state.theta, int(state.theta_step), int(state.theta_base), bool(learn), int(state.margin))

    def _upper_cells(self, cells):
        """Cells of the second layer, with the read-out (contract 12)."""
        state, levels = self.state, self.state.layer_levels[None]
        weights = levels if cells.tiles.weights is cells.tiles.levels else cells.weight_table[levels]
        effects = cells.tiles.effects
        if effects.present:
            stuck = state.layer_stuck[None] if self.chip.has_stuck_cells else np.zeros(levels.shape, np.uint8)
            effects = effects._replace(stuck=stuck, counts=state.layer_accumulated[None])
        crossbar = cells.tiles._replace(levels=levels, weights=weights, random=state.random[-1:], effects=effects)
        return cells._replace(tiles=crossbar, theta=state.layer_theta[None], theta_step=int(state.layer_theta_step))

    def _effects(self):
        """What pulses meet in the tiles, and in the read-out (contract 5.5 to 5.7)."""
        chip, state, effects = self.chip, self.state, []
        names = counter_names(chip)
        for prefix, levels, ranks in (("", state.levels, 0), ("read_out_", state.read_out[None], chip.last.winners)):
            half = 1 << getattr(chip, f"{prefix}accumulate_bits") >> 1
            stuck, counts = (getattr(state, f"{prefix}{name}") for name in ("stuck", "accumulated"))
            stuck, counts = (stuck[None], counts[None]) if ranks else (stuck, counts)
            present = chip.noise_bits > 0 or chip.has_stuck_cells or half > 0 or (chip.accumulates and ranks > 0)
            if present and not chip.has_stuck_cells:
                stuck = np.zeros(levels.shape, np.uint8)
            amounts = np.resize(chip.pulses_of_rank, chip.listed) if ranks else np.zeros(0, np.int64)
            if chip.shared and ranks:  # filled by what a label finds
                amounts = np.zeros(chip.read_out_rows, np.int64)
            effects.append(CellEffects(
                present, int(state.write_noise), stuck, half, int(getattr(state, f"{prefix}accumulate_threshold")),
                counts, ranks, amounts, names.index(f"{prefix}accumulations") if chip.accumulates else -1))
        return effects

    def _count(self, tally):
        self.state.counters += tally.view(np.uint64)


class WalkWork:
    """Buffers and results of one run of a shared crossbar, or of two layers of them.

    ``layers`` are geometry, cells and share of windows that learn of each, from below. All but the last have a geometry
    without classes. ``reading`` is None in the exact model, and there is one layer in any other.
    """

    def __init__(self, chip: Chip, layers: Sequence[tuple[Geometry, Cells, int]], keep: bool, threads: int,
                 reading: Reading | None = None):
        self._chip, self._parameters, self._keep, self._reading = chip, layers, keep, reading
        draws = reading is not None and (reading.supply > 0 or reading.read_noise > 0)  # one window after the other
        self._threads = 1 if draws else threads
        names = counter_names(chip)
        chips = [(chip, -1), (chip.upper, names.index("layer_set_rows"))] if chip.upper else [(chip, -1)]
        # of one type for both layers, so that no kernel is compiled for a mixture
        narrow = reading is None and all(walk.is_narrow(each, *layer[:2])
                                         for (each, _), layer in zip(chips, layers, strict=True))
        self._layers = [(geometry, cells, walk.walk_of(each, geometry, cells, share, reading, narrow=narrow,
                                                       set_rows=set_rows))
                        for (each, set_rows), (geometry, cells, share) in zip(chips, layers, strict=True)]
        self._tallies = np.zeros((len(layers), len(names)), np.int64)
        self._parts: list[OutputSpikes] = []

    @property
    def last(self) -> tuple[Geometry, Cells, walk.Walk]:
        """Geometry, cells and walk of the layer that the read-out reads."""
        return self._layers[-1]

    @property
    def tally(self) -> np.ndarray:
        """What was counted, in the order of the chip's counters (contract 12.6)."""
        tally, names = self._tallies.sum(axis=0), counter_names(self._chip)
        for name in LAYER_COUNTERS if self._chip.layers else ():
            if name == "layer_set_rows":
                continue
            own = names.index(name.removeprefix("layer_"))
            tally[own], tally[names.index(name)] = self._tallies[0, own], self._tallies[1, own]
        return tally

    def run(self, codes: np.ndarray, offsets: np.ndarray, first: int, stop: int, noted: tuple[walk.Noted, ...],
            between_samples: bool) -> bool:
        """Carry out samples ``first`` to ``stop``; return whether the chip is between two samples afterwards."""
        for sample in range(first, stop, _WALK_BLOCK):
            last = min(sample + _WALK_BLOCK, stop)
            if not (between_samples and self._apart(codes, offsets[sample:last + 1])):
                self._carry_out(codes, offsets, sample, last, noted)
            if offsets[last] > offsets[sample]:
                between_samples = bool(codes[offsets[last] - 1] == EventCode.END)
        return between_samples

    def _apart(self, codes, offsets):
        """Carry whole samples that do not learn through the crossbars in several threads, then through the read-out.

        Returns whether they are such samples.
        """
        chip = self._chip
        if self._threads == 1 or self._parameters[0][1].learn or not chip.classes:
            return False
        found = _told(codes[offsets[0]:offsets[-1]], offsets - offsets[0], chip.classes)
        if found is None:
            return False
        short, ends, asked, labels = found
        bounds = [len(asked) * i // self._threads for i in range(self._threads + 1)]
        layers = [(geometry._replace(classes=0), cells, 0) for geometry, cells, _ in self._parameters]

        def carry_out(first, stop):
            work = WalkWork(chip, layers, True, 1, self._reading)
            work.run(short, ends, first, stop, tuple(map(noted_of, (chip, chip.upper) if chip.upper else (chip,))),
                     False)
            return work

        works = shared_out(self._threads, carry_out, bounds[:-1], bounds[1:])
        fires = joined([work.fires() for work in works])
        self._tallies += sum(work._tallies for work in works)
        table, ends = np.empty((len(asked), 3), np.int32), np.r_[0, np.cumsum(asked)]
        walk.teach_walk(*self.last, self._reading, noted_of(chip.last), fires.tile, fires.neuron, fires.offsets, asked,
                        labels, table, self._tallies[-1])
        told = slice(None if self._keep else 0)
        offsets = fires.offsets if self._keep else np.zeros_like(fires.offsets)
        self._parts.append(OutputSpikes(fires.tile[told], fires.neuron[told], offsets, _answers_of(table[asked], ends)))
        return True

    def _carry_out(self, codes, offsets, first, stop, noted):
        here, count, chip = codes[offsets[first]:offsets[stop]], stop - first, self._chip.last
        decisions = np.count_nonzero(here == EventCode.DECIDE) if self._keep else 0
        room = decisions * chip.windows * chip.winners  # virtual memory: only what fires is touched
        windows, neurons, ends = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(count + 1, np.int64)
        table = np.empty((np.count_nonzero(here == EventCode.ANSWER), 3), np.int32)
        answer_ends = np.empty(count + 1, np.int64)
        layers = [(*layer, part, tally)
                  for layer, part, tally in zip(self._layers, noted, self._tallies, strict=True)]
        walk.run_walk(layers[0], layers[-1], len(layers) > 1, self._reading, codes, offsets, first, stop, self._keep,
                      windows, neurons, ends, table, answer_ends)
        self._parts.append(OutputSpikes(windows[:ends[-1]].copy(), neurons[:ends[-1]].copy(), ends,
                                        _answers_of(table[:answer_ends[-1]], answer_ends)))

    def fires(self) -> OutputSpikes:
        """What fired and was answered, of all samples carried out."""
        return joined(self._parts)


class Work:
    """Buffers and results of one run, its tiles shared among threads. ``reading`` is None in the exact model."""

    def __init__(self, chip: Chip, geometry: Geometry, cells: Cells, keep: bool, threads: int = 1,
                 reading: Reading | None = None):
        self._geometry, self._cells, self._keep, self._threads = geometry, cells, keep, threads
        self._reading = reading
        self.tally = np.zeros(len(counter_names(chip)), np.int64)
        sum_top = chip.rows * ((1 << chip.weight_bits) - 1)
        key_bits = 1 + max(chip.membrane_bits, chip.threshold_bits) + geometry.index_bits
        narrow = sum_top < 1 << 16 and key_bits <= 32 and cells.tiles.weights.dtype == np.uint8
        self._quads = narrow and reading is None and 4 * ((1 << chip.weight_bits) - 1) < 1 << 8
        types = (np.uint16, np.int32) if narrow else (np.uint32, np.int64)
        self._sum_type, self._key_type = map(np.dtype, types if reading is None else (np.int64, np.int64))
        self._groups = tile_groups(chip.tiles, threads)
        self._wide_keys = np.empty(chip.neurons, np.int64)
        self._step_sums = np.empty(chip.neurons, self._sum_type)
        self._chunk = max(1, min(_BLOCK, _CHUNK_BYTES // chip.lines))
        block = max(self._chunk, min(_BLOCK, _BLOCK_BYTES // (chip.lines + 2 * chip.tiles * chip.winners)))
        self._block = block
        self._stamps = np.empty((block, chip.lines), np.uint8)
        self._steps = np.empty(block, np.int64)
        self._dark, self._asked = np.empty(block, np.bool_), np.empty(block, np.bool_)
        self._labels = np.empty(block, np.int16)
        self._winners = np.empty((chip.tiles, block, chip.winners), np.int16)
        self._fired = np.empty(chip.winners, np.int16)
        self._parts: list[OutputSpikes] = []

    def run(self, codes: np.ndarray, offsets: np.ndarray, first: int, stop: int, transient: Transient,
            between_samples: bool) -> bool:
        """Carry out samples ``first`` to ``stop``; return whether the chip is between two samples afterwards."""
        sample, stretch = first, 1
        while sample < stop:
            if between_samples and (self._geometry.race or self._is_free):
                carry_out = self._run_whole if self._geometry.race else self._run_free
                done = carry_out(codes, offsets, sample, stop, transient)
                sample += done
                stretch = 1 if done else min(2 * stretch, _STRETCH)
            else:
                stretch = _STRETCH if not (self._geometry.race or self._is_free) else 1
            last = min(sample + stretch, stop)
            if last == sample:
                break
            self._run_any(codes, offsets[sample:last + 1], transient)
            if offsets[last] > offsets[sample]:
                between_samples = bool(codes[offsets[last] - 1] == EventCode.END)
            sample = last
        return between_samples

    @property
    def _is_free(self):
        """Nothing but a STEP pulses cells."""
        return not self._geometry.race and (self._geometry.post or not self._cells.learn)

    def _run_free(self, codes, offsets, first, stop, transient):
        """Carry out samples up to the first that the faster way does not take; return how many."""
        count, here = stop - first, codes[offsets[first]:offsets[stop]]
        room = np.count_nonzero(here == EventCode.STEP) * self._geometry.tiles
        tiles, neurons, ends = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(count + 1, np.int64)
        table = np.empty((np.count_nonzero(here == EventCode.ANSWER), 3), np.int32)
        answer_ends = np.empty(count + 1, np.int64)
        done = free.run_free(self._geometry, self._cells, transient, codes, offsets, first, stop, self._step_sums,
                             tiles, neurons, ends, table, answer_ends, self.tally)
        if done:
            self._keep_part(tiles, neurons, ends[:done + 1], table, answer_ends[:done + 1])
        return done

    def _run_whole(self, codes, offsets, first, stop, _):
        """Carry out latency-coded samples up to the first of another kind; return how many."""
        sample = first
        while sample < stop:
            wanted = min(self._block, stop - sample)
            found = self._scan(codes, offsets, sample, wanted)
            if found:
                self._race_tiles(found)
                self._parts.append(self._listed(found, self._read_out(found)))
            sample += found
            if found < wanted:
                break
        return sample - first

    def _scan(self, codes, offsets, first, wanted):
        """Read samples into stamps; return how many came before the first of another kind."""
        tallies = np.zeros((self._threads, len(self.tally)), np.int64)

        def scan(share, start, stop):
            return samples.scan_samples(self._geometry, codes, offsets, first + start, first + stop,
                                        self._stamps[start:stop], self._steps[start:stop], self._dark[start:stop],
                                        self._asked[start:stop], self._labels[start:stop], tallies[share])

        found = 0
        for share, (start, stop, count) in enumerate(self._shared(scan, wanted)):
            self.tally += tallies[share]
            found += count
            if count < stop - start:
                break  # what other threads read after that is read again
        return found

    def _race_tiles(self, count):
        """Carry scanned samples through all tiles, group by group."""
        def carry_out(first, stop):
            tally, neurons = np.zeros_like(self.tally), self._geometry.neurons
            samples.race_chunks(self._geometry, self._cells, self._reading, self._stamps, self._steps, self._dark,
                                count, self._chunk, first, stop, np.empty(neurons, self._sum_type),
                                np.empty(neurons, self._key_type), self._winners, self._quads, tally)
            return tally

        self.tally += sum(shared_out(self._threads, carry_out, self._groups[:-1], self._groups[1:]))

    def _read_out(self, count):
        """Carry the fires of scanned samples through the read-out; returns its answers. Labels are taught in order."""
        if self._geometry.classes == 0:
            return Answers.none(count)
        table = np.empty((count, 3), np.int32)
        self._answers(count, table)
        asked = self._asked[:count]
        ends = np.zeros(count + 1, np.int64)
        np.cumsum(asked, out=ends[1:])
        return _answers_of(table[asked], ends)

    def _answers(self, count, table):
        """Read the read-out into ``table``, and teach it."""
        tallies = np.zeros((self._threads, len(self.tally)), np.int64)
        classes, ranks = self._geometry.classes, self._geometry.tiles * self._geometry.winners

        def read(share, start, stop):
            read_out.read_out_samples(self._geometry, self._cells, self._reading, self._winners, start, stop,
                                      self._asked, self._labels, np.empty(classes, np.int64),
                                      np.empty(ranks, np.int32), table, tallies[share])

        if self._reading is not None or (self._labels[:count] >= 0).any():
            read(0, 0, count)
        else:
            self._shared(read, count)
        self.tally += tallies.sum(axis=0)

    def _listed(self, count, answers):
        """The fires of scanned samples, one after the other."""
        ends = np.zeros(count + 1, np.int64)
        total = samples.count_fires(self._winners, count, ends) if self._keep else 0
        part = OutputSpikes(np.empty(total, np.int32), np.empty(total, np.int32), ends, answers)

        def write(share, start, stop):
            samples.list_fires(self._winners, start, stop, part.tile[ends[start]:ends[stop]],
                               part.neuron[ends[start]:ends[stop]])

        if self._keep:
            self._shared(write, count)
        return part

    def _shared(self, function, count):
        """Call ``function(share, start, stop)`` with a share of ``count`` samples for every thread.

        Returns a list of (start, stop, result).
        """
        bounds = [count * i // self._threads for i in range(self._threads + 1)]
        results = shared_out(self._threads, function, range(self._threads), bounds[:-1], bounds[1:])
        return list(zip(bounds[:-1], bounds[1:], results, strict=True))

    def _run_any(self, codes, offsets, transient):
        """Carry out any events."""
        codes_here = codes[offsets[0]:offsets[-1]]
        deciding = EventCode.DECIDE if self._geometry.race else EventCode.STEP
        decisions = np.count_nonzero(codes_here == deciding)
        room = decisions * self._geometry.tiles * self._geometry.winners  # virtual memory: only what fires is touched
        tiles, neurons, ends = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(len(offsets), np.int64)
        table = np.empty((np.count_nonzero(codes_here == EventCode.ANSWER), 3), np.int32)
        answer_ends = np.empty(len(offsets), np.int64)
        events.run_events(self._geometry, self._cells, transient, codes, offsets, self._wide_keys, self._fired,
                          tiles, neurons, ends, table, answer_ends, self.tally)
        self._keep_part(tiles, neurons, ends, table, answer_ends)

    def _keep_part(self, tiles, neurons, ends, table, answer_ends):
        """What fired and was answered in some samples, in arrays that had room for more."""
        total, ends = (ends[-1], ends) if self._keep else (0, np.zeros_like(ends))
        self._parts.append(OutputSpikes(tiles[:total].copy(), neurons[:total].copy(), ends,
                                        _answers_of(table[:answer_ends[-1]], answer_ends)))

    def fires(self) -> OutputSpikes:
        """What fired and was answered, of all samples carried out."""
        return joined(self._parts)


def _told(codes, offsets, classes):
    """Samples ``(SPIKE | STEP)* DECIDE [ANSWER] [LABEL] END`` without ANSWER and LABEL, and what these were.

    Returns codes, offsets, which samples asked and their labels or -1; None if there are other samples.
    """
    def counted(which):
        return np.diff(np.r_[0, np.cumsum(which)][offsets])

    asking, telling = codes == EventCode.ANSWER, codes <= EventCode.LABEL
    asked, told = counted(asking), counted(telling)
    last, decided = offsets[1:] - 1, offsets[1:] - 2 - asked - told
    if (decided < offsets[:-1]).any() or (np.maximum(asked, told) > 1).any():
        return None
    others = counted((codes < 0) & (codes != EventCode.STEP))
    if (others != 2 + asked + told).any() or (codes[last] != EventCode.END).any() or (
            codes[decided] != EventCode.DECIDE).any() or not telling[last[told > 0] - 1].all():
        return None
    labels = np.full(len(asked), -1)
    labels[told > 0] = EventCode.LABEL - codes[telling]
    if labels.max() >= classes:
        return None
    kept = ~(asking | telling)
    return codes[kept], np.r_[0, np.cumsum(kept)][offsets], asked > 0, labels


def _answers_of(table, offsets):
    """Answers from a table of label, score and margin, of shape (answers, 3)."""
    label, score, margin = table.T.copy()
    return Answers(label, score, margin, offsets)


def joined(parts: list[OutputSpikes]) -> OutputSpikes:
    """What one run after the other fired, as one."""
    if len(parts) == 1:
        return parts[0]

    def chained(records, *names):
        arrays = ([getattr(record, name) for record in records] for name in names)
        return [np.concatenate(column) if column else np.empty(0, np.int32) for column in arrays]

    answers = [part.answers for part in parts]
    tile, neuron = chained(parts, "tile", "neuron")
    label, score, margin = chained(answers, "label", "score", "margin")
    return OutputSpikes(tile, neuron, _running(parts), Answers(label, score, margin, _running(answers)))


def _running(parts):
    """Offsets of parts one after the other."""
    starts = np.cumsum([0] + [part.offsets[-1] for part in parts])
    return np.concatenate([np.zeros(1, np.int64)] + [part.offsets[1:] + start
                                                     for part, start in zip(parts, starts, strict=False)])


def _checked(batch):
    codes, offsets = np.ascontiguousarray(batch.codes, np.int32), np.ascontiguousarray(batch.offsets, np.int64)
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(codes) or (np.diff(offsets) < 0).any():
        raise ValueError("offsets must rise from 0 to the number of codes")
    if len(codes) and codes.min() < CODE_MIN:
        raise ValueError(f"codes must be lines or {', '.join(code.name for code in EventCode)}, not {codes.min()}")
    return codes, offsets


def _words(name, values, shape, high=(1 << 16) - 1):
    array = np.array(values)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
    if array.dtype.kind not in "iu" or (array.size and (array.min() < 0 or array.max() > high)):
        raise ValueError(f"{name} must hold integers 0 to {high}")
    return array.astype(np.uint16)
