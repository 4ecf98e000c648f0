"""Chips with non-idealities: against an oracle of their own, against the exact model, and against what each means."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip
from ohmspike.chip.description import NOISE_SIGMA
from ohmspike.chip.events import EventBatch, EventCode, label_code
from ohmspike.sim.analog.device import Device, DeviceError
from ohmspike.sim.model.exact import ExactModel
from ohmspike.sim.model.kernels.reading import read_rows
from ohmspike.sim.model.nonideal import (
    IN_HARDWARE,
    WARMING_SAMPLES,
    NonIdealities,
    NonIdealModel,
    as_hardware,
    warmed,
)
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState, spikes_difference
from support.planted_kernels import plant
from support.stimulus import chips, random_state, shared_chips

racing = st.one_of(chips().filter(lambda chip: chip.fire_mode == "race"), shared_chips()).map(
    lambda chip: dataclasses.replace(chip, fraction_bits=min(chip.fraction_bits, 12), noise_bits=0, stuck_cells="none"))
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


class NonIdealOracle(Oracle):
    """The contract in plain Python on non-ideal cells: those of integers alone."""

    def __init__(self, model: NonIdealModel):
        super().__init__(model.chip, model.state)
        drawn = model._drawn
        self.real = [cells._replace(wear=cells.wear.copy()) for cells in drawn.real]
        self.stuck, self.offsets, self.write_noise = drawn.stuck, drawn.reading.offsets, noise_register(model)
        self.law = model.nonidealities.noise_law

    def _pulse(self, t, row, neuron, trace, sign):
        if self.chip.accumulate_bits:
            if not self._accumulated("", self.state.accumulated, (t, row, neuron), sign * (self._bin(trace) + 1)):
                return False
            trace = self._full_scale
        table = self.state.set if sign > 0 else self.state.reset
        self._move(self.state.levels, 0, (t, row, neuron), table, trace, sign, t)
        return True

    def _teach(self, row, rank, column, sign):
        trace, amount = -(-self._full_scale * (self.chip.winners - rank) // self.chip.winners), self.chip.winners - rank
        if self.chip.read_out_accumulate_bits:
            if not self._accumulated("read_out_", self.state.read_out_accumulated, (row, column), sign * amount):
                return
            trace = self._full_scale
        if self.chip.accumulates:
            self._count("read_out_pulses")
        table = self.state.read_out_set if sign > 0 else self.state.read_out_reset
        self._move(self.state.read_out[None], 1, (0, row, column), table, trace, sign, self.chip.tiles)

    def _move(self, levels, crossbar, cell, table, trace, sign, stream):
        real = self.real[crossbar]
        kind, top = ("set" if sign > 0 else "reset"), self.chip.levels - 1
        amplitude, level = trace * self.chip.amplitudes >> self.chip.trace_bits, int(levels[cell])
        self._count(f"{kind}_pulses[{amplitude}]")
        self._count(f"{kind}_weight[{amplitude}]", int(self.state.weight[level]))
        drawn = self._draw(stream)
        x = int(self.state.random[stream])
        noise = sum(x >> shift & 31 for shift in (0, 5, 10, 15)) - 62
        entry = int(table[amplitude, level]) * int(real.step_gain[cell]) // 256
        strength = self.write_noise
        if self.law != "pulse":
            size = math.sqrt(entry) if self.law == "sqrt_step" else entry
            strength = round(float(real.step_noise[int(sign < 0)]) * size)
        level += sign * ((entry + drawn + noise * strength) // 2**self.chip.fraction_bits)
        if not 0 <= level <= top:
            self._count("clipped_high" if sign > 0 else "clipped_low")
        if not self.stuck[crossbar][cell] and real.wear[cell] < real.limit[cell]:
            levels[cell] = min(max(level, 0), top)
        real.wear[cell] += 1

    def _race_order(self, t):
        membranes, theta = self._tiles[t].membranes, self.state.theta[t].astype(int) + self.offsets[t]
        return sorted(range(self.chip.neurons), key=lambda j: (theta[j] - membranes[j], j))


def noise_register(model):
    """What the strength ``c2c`` comes to in 2^-fraction_bits levels, over the deviation of the noise."""
    return round(model.nonidealities.c2c * (model.chip.levels - 1) * 2**model.chip.fraction_bits / NOISE_SIGMA)


def latency_samples(chip, rng, count):
    """Whole latency-coded samples, with answers, labels and darkness."""
    samples = []
    for _ in range(count):
        bins = int(rng.integers(1, 5))
        when = rng.integers(-1, bins, chip.lines)
        codes = []
        for bin_ in range(bins):
            codes += np.flatnonzero(when == bin_).tolist() + [EventCode.STEP] * int(bin_ < bins - 1)
        codes.append(EventCode.DECIDE)
        if chip.classes:
            codes += [EventCode.ANSWER] * int(rng.random() < 0.7)
            codes += [label_code(int(rng.integers(chip.classes)))] * int(rng.random() < 0.7)
        samples.append(codes + [EventCode.DARK] * int(rng.random() < 0.7) + [EventCode.END])
    return EventBatch(np.concatenate(samples).astype(np.int32), np.cumsum([0] + [len(codes) for codes in samples]))


def pair(chip, seed, nonidealities):
    rng = np.random.default_rng(seed)
    state = random_state(chip, rng)
    return NonIdealModel(chip, nonidealities, state), state, latency_samples(chip, rng, 8)


@SETTINGS
@given(chip=racing, seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 3))
def test_without_flaws_it_is_the_exact_model(chip, seed, threads):
    model, state, batch = pair(chip, seed, NonIdealities())
    exact = ExactModel(chip, state)
    assert not spikes_difference(model.run(batch, threads=threads), exact.run(batch))
    assert not model.state.differences(exact.state)


@SETTINGS
@given(chip=racing, seed=st.integers(0, 2**32 - 1), strengths=st.fixed_dictionaries({
    "c2c": st.sampled_from([0.0, 0.02, 0.5]), "d2d_step": st.sampled_from([0.0, 0.6]),
    "stuck": st.sampled_from([0.0, 0.1, 1.0]), "threshold": st.sampled_from([0.0, 0.3]),
    "endurance": st.sampled_from([0.0, 0.3]), "noise_law": st.sampled_from(["pulse", "sqrt_step", "step"])}))
def test_flaws_of_integers_equal_the_oracle(chip, seed, strengths):
    model, _, batch = pair(chip, seed, NonIdealities(**strengths, seed=seed))
    oracle = NonIdealOracle(model)
    assert not spikes_difference(model.run(batch), oracle.run(batch))
    assert not model.state.differences(oracle.state)
    tiles, read_out = model.pulses()
    assert (tiles == oracle.real[0].wear).all() and (read_out == oracle.real[1].wear[0]).all()


# Planted bugs: (text in sim/model/kernels, wrong text)
PLANTED = {
    "none": ("", ""),
    "noise forgotten": ("moves += noise_of(x) * strength", "moves += 0"),
    "SET and RESET miss alike": ("real.step_noise[0 if sign > 0 else 1]", "real.step_noise[0]"),
    "noise by the step, not its root": ("if real.noise_law == 1:", "if False:"),
    "a stuck cell moves": ("stays = effects.stuck[z, row, j] != 0", "stays = False"),
    "a worn cell moves": ("used >= real.limit[z, row, j]", "used > real.limit[z, row, j]"),
    "gain forgotten": ("(entry * np.int64(real.step_gain[z, row, j])) >> 8", "entry"),
    "offset of the wrong sign": ("+ reading.offsets[tile, j]", "- reading.offsets[tile, j]"),
    "weights not kept in step": ("real_weight(real, z, row, j, held)", "real_weight(real, z, row, j, level)"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bugs_are_seen(name, tmp_path, monkeypatch):
    plant(*PLANTED[name], tmp_path, monkeypatch)
    chip = dataclasses.replace(Chip.preset("tiny"), min_spikes=1)
    strengths = NonIdealities(c2c=0.1, d2d_step=0.6, stuck=0.2, threshold=2.0, endurance=0.2,
                              noise_law="sqrt_step", set_step=0.1, reset_step=0.02)
    found = []
    for seed in range(3):
        model, _, batch = pair(chip, seed, strengths)
        model.state.learn = True
        oracle = NonIdealOracle(model)
        found.append(spikes_difference(model.run(batch), oracle.run(batch)) or model.state.differences(oracle.state))
    assert any(found) == (name != "none"), found


GATE_STRENGTHS = st.fixed_dictionaries({
    "c2c": st.sampled_from([0.0, 0.001, 0.05, 1.0]), "stuck": st.sampled_from([0.0, 0.1, 1.0]),
    "threshold": st.sampled_from([0.0, 0.3, 20.0])})


def gates_difference(chip, seed, strengths, *, rebase=True):
    """The non-ideal model and the chip whose RTL implements its non-idealities: the first difference, thresholds
    but for what their offsets and contract 6.2 account for."""
    rng, flaws = np.random.default_rng(seed), NonIdealities(**strengths, seed=seed)
    state = random_state(chip, rng)
    state.theta[:] = rng.integers(0, 1 << 12, state.theta.shape)
    nonideal, exact = NonIdealModel(chip, flaws, state), ExactModel(*as_hardware(chip, flaws, state))
    for _ in range(3):
        batch = latency_samples(chip, rng, 6)
        if found := spikes_difference(nonideal.run(batch), exact.run(batch)):
            return found
        for model in (nonideal, exact):
            if rebase:
                model.state.theta -= model.state.theta.min(axis=1, keepdims=True)
        offsets = exact.state.theta.astype(int) - nonideal.state.theta - nonideal._drawn.reading.offsets
        if (np.ptp(offsets, axis=1) != 0).any():
            return f"offsets of thresholds are {offsets}, expected the same for all of a tile"
        other = dataclasses.replace(exact.state, theta=nonideal.state.theta, write_noise=0,
                                    stuck=nonideal.state.stuck, read_out_stuck=nonideal.state.read_out_stuck)
        if found := nonideal.state.differences(other):
            return found
    return ""


@SETTINGS
@given(chip=racing, seed=st.integers(0, 2**32 - 1), strengths=GATE_STRENGTHS)
def test_the_chip_of_as_hardware_is_the_nonideal_model(chip, seed, strengths):
    chip = dataclasses.replace(chip, threshold_bits=24, theta_leak=0)
    assert not gates_difference(chip, seed, strengths, rebase=bool(seed & 1))


def test_a_wrong_offset_of_a_threshold_is_seen(monkeypatch):
    monkeypatch.setattr("ohmspike.sim.model.nonideal._offset", lambda chip, state, offsets: None)
    chip = dataclasses.replace(Chip.preset("tiny"), min_spikes=1)
    assert gates_difference(chip, 3, {"threshold": 5.0})


def test_offsets_of_thresholds_in_threshold_mode():
    """A neuron fires where its membrane is at the common threshold plus its own plus its offset, or above."""
    chip = dataclasses.replace(Chip.preset("spiking"), theta_base=3000, theta_leak=0)
    flawed, state = as_hardware(chip, NonIdealities(threshold=3.0))
    assert flawed == chip and state.theta_base < 3000 and state.theta.min() == 0 and np.ptp(state.theta) > 0
    offsets = state.theta.astype(int) + state.theta_base - 3000
    assert offsets.std() == pytest.approx(3.0 * chip.weight_table.max(), rel=0.2)


def test_gates_carry_some_flaws_alone():
    tiny = Chip.preset("tiny")
    for name in ("d2d_step", "read_noise", "line_ohm"):
        with pytest.raises(DeviceError, match=f"^{name} must be 0 in hardware, which has c2c, stuck, thresh"):
            as_hardware(tiny, NonIdealities(**{name: 0.1}))
    with pytest.raises(DeviceError, match=r"^noise_law must be pulse in hardware, not step$"):
        as_hardware(tiny, NonIdealities(c2c=0.1, noise_law="step"))
    with pytest.raises(DeviceError, match=r"^threshold must be 0 where thresholds leak \(theta_leak = 3\)"):
        as_hardware(dataclasses.replace(tiny, theta_leak=3), NonIdealities(threshold=1.0))
    with pytest.raises(DeviceError, match=r"^threshold_bits must be at least \d+ for offsets .*, not 8$"):
        as_hardware(dataclasses.replace(tiny, threshold_bits=8), NonIdealities(threshold=10.0))
    with pytest.raises(DeviceError, match=r"^theta_base must be at least \d+ for offsets of these thresholds, not 1$"):
        as_hardware(dataclasses.replace(Chip.preset("spiking"), theta_base=1, theta_leak=0),
                    NonIdealities(threshold=9.0))


def test_without_flaws_the_chip_is_itself():
    tiny = Chip.preset("tiny")
    chip, state = as_hardware(tiny, NonIdealities())
    assert chip == tiny and state.equal(ChipState.initial(tiny))


def test_a_chip_that_can_have_flaws_keeps_its_gates():
    built = dataclasses.replace(Chip.preset("tiny"), noise_bits=12, stuck_cells="masked")
    assert IN_HARDWARE == ("c2c", "stuck", "threshold")
    chip, state = as_hardware(built, NonIdealities(c2c=0.1, stuck=0.05))
    assert chip.structure_digest == built.structure_digest and state.write_noise == chip.noise_register == 1397
    assert 0.02 < state.stuck.mean() < 0.08 and set(state.levels[state.stuck == 1].tolist()) == {0, 63}
    assert as_hardware(built, NonIdealities(c2c=0.5))[0].noise_bits == 16


def test_bits_do_not_depend_on_threads():
    chip = Chip.preset("up5k")
    strengths = NonIdealities(c2c=0.05, read_noise=0.1, line_ohm=2.0, unclamped=0.5, d2d_range=0.2)
    results = []
    for threads in (1, 3):
        model, _, batch = pair(chip, 7, strengths)
        model.state.learn = True
        results.append((model.run(batch, threads=threads), model.state))
    assert not spikes_difference(*(fires for fires, _ in results))
    assert not results[0][1].differences(results[1][1])


def test_deviation_of_a_pulse():
    """Pulses on cells in the middle of the range, whose table says not to move, spread by the strength asked for."""
    chip = dataclasses.replace(Chip.preset("up5k"), set_step=0.0, reset_step=0.0)
    model = NonIdealModel(chip, NonIdealities(c2c=0.05))
    model.state.levels[:] = 32
    model.state.learn = True
    codes = [*range(chip.lines), EventCode.DECIDE, EventCode.END]
    model.run(EventBatch(np.array(codes, np.int32), np.array([0, len(codes)])))
    moved = model.state.levels.astype(float) - 32
    pulses = chip.tiles * chip.rows * chip.learners
    assert np.sqrt((moved**2).sum() / pulses) == pytest.approx(0.05 * 63, rel=0.06)
    assert NOISE_SIGMA == pytest.approx(18.466, abs=1e-3)


@pytest.mark.parametrize("law, power", [("sqrt_step", 0.5), ("step", 1.0)])
def test_deviation_of_a_pulse_that_follows_its_step(law, power):
    """Two chips whose steps are one to four: by the law *pulse* they would miss alike."""
    for step in (0.04, 0.16):
        chip = dataclasses.replace(Chip.preset("up5k"), set_step=step, reset_step=step, set_bound=0.0, reset_bound=0.0)
        nonidealities = NonIdealities(c2c=0.08, noise_law=law, set_step=0.08, reset_step=0.08)
        model = NonIdealModel(chip, nonidealities)
        model.state.levels[:] = 32
        model.state.learn = True
        codes = [*range(chip.lines), EventCode.DECIDE, EventCode.END]
        model.run(EventBatch(np.array(codes, np.int32), np.array([0, len(codes)])))
        moved = model.state.levels.astype(float) - 32
        given = moved[moved != 0]
        pulses = chip.tiles * chip.rows * chip.learners
        mean = given.sum() / pulses
        spread = math.sqrt((given**2).sum() / pulses - mean**2)
        rounding = 1 / 6  # of the draw: a step of a share u of a level is a level with that probability
        expected = 0.08 * (step / 0.08) ** power * 63
        assert mean == pytest.approx(step * 63, rel=0.1)  # three standard errors of 2,304 draws
        assert math.sqrt(max(spread**2 - rounding, 0)) == pytest.approx(expected, rel=0.05)  # three of a deviation


def pulsed_again_and_again(model, times):
    """Weights of the tiles, 1/256, after every one of so many samples with all lines on, and the levels."""
    model.state.learn = True
    codes = [*range(model.chip.lines), EventCode.DECIDE, EventCode.END]
    batch, shown = EventBatch(np.array(codes, np.int32), np.array([0, len(codes)])), []
    for _ in range(times):
        model.run(batch)
        shown.append((model._cells(True).tiles.weights.copy(), model.state.levels.copy()))
    return shown


def test_an_error_of_writing_is_drawn_anew_and_does_not_add_up():
    chip = dataclasses.replace(Chip.preset("tiny"), neurons=2, winners=2, learners=2, set_step=0.0, reset_step=0.0)
    state = ChipState.initial(chip)
    state.levels[:] = 32
    model = NonIdealModel(chip, NonIdealities(write_error=0.05), state)
    errors = []
    for weights, levels in pulsed_again_and_again(model, 12):
        assert (levels == 32).all()
        errors.append(weights / 256 - 32)
    first, last = errors[0], errors[-1]
    for each in (first, last):
        assert each.std() == pytest.approx(0.05 * 63, rel=0.06) and abs(each.mean()) < 0.25  # three standard errors
    assert abs(np.corrcoef(first.ravel(), last.ravel())[0, 1]) < 0.2 and np.ptp(first) > 0
    kept = model._cells(True).tiles.weights  # between two writes a cell keeps what its last one left
    assert (kept == model._cells(True).tiles.weights).all()
    stuck = NonIdealModel(chip, NonIdealities(write_error=0.05, stuck=1.0), state)
    assert set(np.unique(stuck._cells(True).tiles.weights)) == {0, 63 * 256}
    worst = NonIdealModel(chip, NonIdealities(write_error=1.0), state)
    assert worst._cells(True).tiles.weights.min() == 0  # a cell conducts no less than nothing


@pytest.mark.parametrize("right, wrong", [
    ("real.write_error * noise_of(real.writing[z])", "0.0"),
    ("real.missed[z, row, j] = np.int32(", "real.missed[z, row, j] += np.int32("),
    ("real.writing[z] = advance(real.writing[z])", "pass")])
def test_planted_bugs_of_writing_are_seen(right, wrong, tmp_path, monkeypatch):
    plant(right, wrong, tmp_path, monkeypatch)
    with pytest.raises(AssertionError):
        test_an_error_of_writing_is_drawn_anew_and_does_not_add_up()


def test_a_run_with_errors_of_writing_goes_on_from_its_history():
    model, state, batch = pair(Chip.preset("tiny"), 5, NonIdealities(write_error=0.1, warming=50.0, supply=0.1))
    model.state.learn = True
    model.run(batch)
    other = NonIdealModel(model.chip, model.nonidealities, model.state)
    other.restore({name: array.copy() for name, array in model.history().items()})
    assert not spikes_difference(model.run(batch), other.run(batch))
    assert not model.state.differences(other.state)
    assert all((model.history()[name] == array).all() for name, array in other.history().items())


def test_a_supply_that_droops_scales_a_whole_reading():
    """Every column of a reading alike, between none and all of the droop, another one for every reading."""
    chip = dataclasses.replace(Chip.preset("tiny"))
    reading = NonIdealModel(chip, NonIdealities(supply=0.2))._drawn.reading
    weights = np.full((chip.tiles, chip.rows, chip.neurons), 60 << 8, np.int32)
    rows, sums, left = np.arange(chip.rows, dtype=np.int32), np.zeros(chip.neurons, np.int64), []
    for _ in range(500):
        read_rows(weights, 0, rows, chip.rows, reading, sums)
        assert np.ptp(sums) == 0
        left.append(sums[0] / (60 * chip.rows))
    assert 0.8 <= min(left) < 0.85 and 0.95 < max(left) <= 1.0 and np.mean(left) == pytest.approx(0.9, abs=0.005)


def test_a_chip_that_warms_conducts_more_half_a_period_later():
    assert [warmed(at) for at in (0, WARMING_SAMPLES // 2, WARMING_SAMPLES)] == pytest.approx([0.0, 1.0, 0.0])
    chip = Chip.preset("tiny")
    model, still = (NonIdealModel(chip, NonIdealities(warming=kelvin)) for kelvin in (60.0, 0.0))
    warm = NonIdealModel(chip, NonIdealities(temperature=60.0))._drawn.real[0].level_weights
    model._seen[0] = WARMING_SAMPLES // 2 - 4
    codes = [0, EventCode.DECIDE, EventCode.END]
    batch = EventBatch(np.array(codes * 8, np.int32), np.arange(9) * len(codes))
    other = model.run(batch)
    assert len(other) == 8 and (model._drawn.real[1].level_weights == warm).all()
    assert not model.state.differences(dataclasses.replace(still.state, counters=model.state.counters))


def share_through_ladder(weights, ohm, device, full):
    """Current of a column through its bit line, over that without resistance: nodal analysis."""
    conductance = device.g_min_s + (device.g_max_s - device.g_min_s) * weights / full
    rows, wire = len(weights), 1 / ohm
    matrix = np.diag(conductance + wire)
    matrix[range(rows - 1), range(rows - 1)] += wire
    matrix[range(1, rows), range(rows - 1)] = matrix[range(rows - 1), range(1, rows)] = -wire
    return wire * np.linalg.solve(matrix, conductance)[0] / conductance.sum()


@pytest.mark.parametrize("ohm, tolerance", [(0.05, 0.003), (0.5, 0.02), (1.187, 0.06)])
def test_line_resistance_against_nodal_analysis(ohm, tolerance):
    """All 784 rows at once: 2, 20 and 35 per cent are lost."""
    device, chip = Device.preset("target65"), Chip.preset("paper100")
    reading = NonIdealModel(chip, NonIdealities(line_ohm=ohm), device=device)._drawn.reading
    levels = np.random.default_rng(2).integers(0, 64, (1, chip.rows, chip.neurons))
    rows, sums = np.arange(chip.rows, dtype=np.int32), np.zeros(chip.neurons, np.int64)
    read_rows((levels << 8).astype(np.int32), 0, rows, chip.rows, reading, sums)
    for j in range(0, chip.neurons, 9):
        expected = share_through_ladder(levels[0, :, j].astype(float), ohm, device, 63)
        assert sums[j] / levels[0, :, j].sum() == pytest.approx(expected, rel=tolerance)


def test_stuck_cells_stay_at_their_rails_whatever_is_programmed():
    chip = Chip.preset("tiny")
    model = NonIdealModel(chip, NonIdealities(stuck=0.5))
    stuck = model._drawn.stuck[0] == 1
    assert 0.3 < stuck.mean() < 0.7
    assert set(np.unique(model.state.levels[stuck])) == {0, chip.levels - 1}
    other = ChipState.initial(chip)
    other.levels[:] = chip.levels // 2
    model.program(other, error=0.1)
    assert set(np.unique(model.state.levels[stuck])) == {0, chip.levels - 1}
    written = model.state.levels[~stuck].astype(float) - chip.levels // 2
    assert written.std() == pytest.approx(0.1 * (chip.levels - 1), rel=0.25)
    before = model.state.levels.copy()
    model.drift(2.0, share=0.05)
    assert (model.state.levels[stuck] == before[stuck]).all()
    assert (model.state.levels[~stuck] <= before[~stuck]).all() and (model.state.levels < before).any()


def test_cells_wear_out():
    chip = Chip.preset("tiny")
    model, _, batch = pair(chip, 3, NonIdealities(endurance=0.5))
    model.state.learn = True
    before = model.worn
    for _ in range(20):
        model.run(batch)
    assert before < model.worn < 1.0


def test_warm_cells_conduct_more_at_the_lower_rail():
    chip = Chip.preset("tiny")
    cold, warm = (NonIdealModel(chip, NonIdealities(temperature=kelvin))._drawn.real[0].level_weights
                  for kelvin in (0.0, 60.0))
    assert (cold == 256 * chip.weight_table.astype(int)).all()
    assert warm[0] > 0 and warm[-1] == cold[-1] and (np.diff(warm) > 0).all()


def test_of_device():
    device = Device.preset("target65").varied(stuck=0.02)
    found = NonIdealities.of_device(device, seed=4)
    assert found == NonIdealities(c2c=0.02, d2d_step=found.d2d_step, d2d_range=0.07, stuck=0.02, read_noise=0.01,
                                  endurance=math.sqrt(math.log(2)) / 128e6, seed=4)
    # labels of 1 and 1.5: a step at a rail changes by a fifth, in the middle by little
    assert found.d2d_step == pytest.approx(0.11, abs=0.01)
    assert NonIdealities.of_device(device.varied(d2d_label=0.0)).d2d_step == 0
    assert NonIdealities.of_device(device.varied(d2d_label=0.0, d2d_step=0.3)).d2d_step == 0.3
    # of fine steps an update takes many, and their deviations add up; of coarse ones it takes a part of one
    tiles = Chip.preset("tiles")
    fine, coarse = (device.varied(set_pulses=pulses, reset_pulses=pulses, nl_set=0.0, nl_reset=0.0)
                    for pulses in (6400.0, 6.4))
    assert NonIdealities.of_device(coarse, chip=tiles).c2c == 0.02
    assert 0.1 < NonIdealities.of_device(fine, chip=tiles).c2c < 0.4


def test_of_a_device_whose_noise_follows_its_steps():
    device = Device.preset("target65").varied(set_pulses=640.0, reset_pulses=160.0, nl_set=0.0, nl_reset=0.0,
                                              write_error=0.03)
    tiles = Chip.preset("tiles")
    assert NonIdealities.of_device(device).write_error == 0.03
    for law, power in (("sqrt_step", 0.0), ("step", 0.5)):
        alone, many = (NonIdealities.of_device(device.varied(noise_law=law), chip=chip) for chip in (None, tiles))
        assert (alone.c2c, alone.noise_law, alone.set_step, alone.reset_step) == (0.02, law, 1 / 640, 1 / 160)
        # by the root of the step n pulses miss as one; by the step, each makes and misses an n-th of it
        assert many.set_step / alone.set_step > (2 if power else 0.99) and many.c2c == 0.02
        assert (many.set_step == alone.set_step) == (power == 0.0)


@pytest.mark.parametrize("bad", [{"noise_law": "loud"}, {"set_step": 0.0}, {"warming": 150.0, "temperature": 100.0},
                                 {"c2c": -0.1}, {"stuck": 1.5}, {"read_noise": float("nan")}, {"seed": -1},
                                 {"c2c": "1"}])
def test_bad_strengths(bad):
    with pytest.raises(DeviceError, match=next(iter(bad))):
        NonIdealities(**bad)


def test_what_cannot_have_flaws():
    with pytest.raises(ValueError, match="fire_mode race, not threshold"):
        NonIdealModel(Chip.preset("spiking"), NonIdealities())
    with pytest.raises(ValueError, match="fraction_bits of 12 at most, not 16"):
        NonIdealModel(dataclasses.replace(Chip.preset("tiny"), fraction_bits=16, set_step=0.0, reset_step=0.0,
                                      read_out_set_step=0.0, read_out_reset_step=0.0),
                  NonIdealities())
    with pytest.raises(ValueError, match="noise_bits 0 and stuck_cells none, not 3 and none"):
        NonIdealModel(dataclasses.replace(Chip.preset("tiny"), noise_bits=3), NonIdealities())
    model = NonIdealModel(Chip.preset("tiny"), NonIdealities())
    with pytest.raises(ValueError, match="whole latency-coded samples"):
        model.run(EventBatch(np.array([0, 1, EventCode.STEP], np.int32), np.array([0, 3])))
    with pytest.raises(ValueError, match="takes no LABEL"):
        model.infer(EventBatch(np.array([label_code(0), EventCode.END], np.int32), np.array([0, 2])))
