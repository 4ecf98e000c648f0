"""Energy: what counters become, what they cost, and that it adds up."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip, Phase
from ohmspike.chip.instructions import counter_names
from ohmspike.sim.analog.device import Device, chip_with_device
from ohmspike.sim.analog.energy import (
    COMPONENTS,
    Activity,
    OperatingPoint,
    design_share,
    durations,
    elasticities,
    energies,
    estimate,
    facts,
    mean_annealing,
    noise_floor,
    sampled,
    tornado,
)

TARGET = Device.preset("target65")
CHIP = Chip.preset("spiking")
POINT = OperatingPoint(6.5, 1.0, 1.0, np.zeros(16), np.zeros(16))


def total(chip, device, counters, point=POINT, **values):
    return {name: float(value) for name, value in
            energies(chip, device, Activity.from_counters(chip, counters), point, values).items()}


def test_example_of_784_by_100_costs_what_was_calculated_apart():
    chip = chip_with_device(CHIP, TARGET)
    reads, levels = 2286, np.arange(64) / 63
    mean = TARGET.cell_conductance(levels).mean() / TARGET.cell_conductance(1.0) * 63
    found = total(chip, TARGET, {"samples": 1, "in_spikes": reads, "row_reads": reads, "decisions": 350,
                                 "out_spikes": 10, "read_sum": round(reads * 100 * mean)})
    assert found["cells"] == pytest.approx(222e-12, rel=0.03)
    assert found["mirror"] == pytest.approx(1220e-12, rel=0.03)
    assert found["word_lines"] == pytest.approx(200e-12, rel=0.01)
    assert found["comparators"] == pytest.approx(700e-12)
    assert sum(found.values()) == pytest.approx(2.34e-9, rel=0.03)


def test_one_read_of_every_cell_is_the_sum_of_single_reads():
    chip = chip_with_device(CHIP, TARGET)
    weights = chip.weight_table
    counters = {"row_reads": 1, "read_sum": int(weights.sum())}
    one = dataclasses.replace(chip, neurons=64, learners=4)
    point = dataclasses.replace(POINT, active_rows=0.0)
    expected = TARGET.read_energy(np.arange(64) / 63).sum()
    assert total(one, TARGET, counters, point)["cells"] == pytest.approx(expected, rel=1e-6)


def test_full_pulses_cost_what_the_device_says():
    device = TARGET.varied(access_ohm=0.0)
    chip = chip_with_device(CHIP, device, widths=(1.0, 1.0))
    pulses = 1000
    found = {}
    for kind in ("set", "reset"):
        counters = {f"{kind}_pulses[15]": pulses, f"{kind}_weight[15]": pulses * int(chip.weight_table[32])}
        activity = Activity.from_counters(chip, counters)
        point = OperatingPoint.of(chip, device, activity)
        assert getattr(point, f"{kind}_width") == pytest.approx(1.0, rel=2e-3)
        found[kind] = float(energies(chip, device, activity, point)[kind]) / pulses
        assert found[kind] == pytest.approx(float(device.pulse(kind, 32 / 63)[1]), rel=0.01)


def test_no_events_cost_nothing_but_the_static_current():
    assert sum(total(CHIP, TARGET, {}).values()) == 0
    found = total(CHIP, TARGET.varied(bias_a=1e-9), {"steps": 10})
    assert found.pop("fires") == pytest.approx(1e-9 * 1.1 * 100e-9 * 10 * 100)
    assert sum(found.values()) == 0


def test_amplifiers_draw_in_every_bin_of_a_race():
    found = total(Chip.preset("tiles"), TARGET.varied(bias_a=1e-6), {"samples": 1})
    assert found["fires"] == pytest.approx(4096 * 1e-6 * 1.1 * 100e-9)  # 450 pJ an image of one bin
    found = total(Chip.preset("tiny"), TARGET.varied(bias_a=1e-6), {"samples": 2, "steps": 6})
    assert found["fires"] == pytest.approx(48 * 1e-6 * 1.1 * 100e-9 * 8)


def test_an_image_takes_the_time_of_its_reads_its_race_and_its_pulses():
    chip, device = Chip.preset("tiles"), Device.preset("ag_asi")
    activity = Activity.from_counters(chip, {"samples": 10, "set_events": 500, "taught": 4})
    found = durations(chip, device, activity, dataclasses.replace(POINT, set_width=0.5, reset_width=0.1))
    assert found["reading"] == pytest.approx(10 * 100e-9)
    assert found["deciding"] == pytest.approx(10 * 2 * 64e-9)
    assert found["writing"] == pytest.approx((10 + 4) * (0.5 + 0.1) * 300e-6)
    still = Activity.from_counters(chip, {"samples": 10})
    assert durations(chip, device, still, POINT)["writing"] == 0


def test_noise_of_few_electrons_is_told():
    chip = chip_with_device(Chip.preset("tiles"), Device.preset("ag_asi"))
    activity = Activity.from_counters(chip, {"samples": 1, "row_reads": 1200, "read_sum": 1200 * 64 * 20,
                                             "decisions": 60})
    found = noise_floor(chip, Device.preset("ag_asi"), activity, POINT)
    assert found["electrons of one unit of weight"] == pytest.approx(7.7, abs=0.1)
    # 20 reads of about 12 nS at 0.2 V and 10.1 ns: 3,000 electrons, 55 of noise
    assert found["shot and thermal noise of a mean membrane, units of weight"] == pytest.approx(8, rel=0.3)
    assert found["kT/C noise of the membrane, units of weight"] > 1


def test_design_choices_are_told_apart():
    chip = Chip.preset("tiles")
    only = Activity.from_counters(chip, {"decisions": 10})
    assert design_share(chip, TARGET, only, POINT) == {"bill": pytest.approx(1.0), "uncertainty": pytest.approx(1.0)}
    assert elasticities(chip, TARGET, only, POINT)["compare_j"] == pytest.approx(1.0)
    none = Activity.from_counters(chip, {})
    assert design_share(chip, TARGET, none, POINT) == {"bill": 0.0, "uncertainty": 0.0}


def test_unknown_counters_are_ignored_and_read_out_ones_counted():
    counters = {"row_reads": 5, "read_sum": 900}
    assert total(CHIP, TARGET, counters) == total(CHIP, TARGET, {**counters, "moon_phase": 7})



def test_read_out_rows_have_lines_traces_scores_and_pulses():
    chip = Chip.preset("tiles")
    plain = total(chip, TARGET, {})
    reads = total(chip, TARGET, {"read_out_reads": 3, "read_out_sum": 700})
    assert reads["word_lines"] == pytest.approx(3 * TARGET.wordline_energy(10)) and reads["cells"] > 0
    assert total(chip, TARGET, {"answers": 2})["comparators"] == pytest.approx(2 * 10 * 64 * 20e-15)
    assert total(chip, TARGET, {"out_spikes": 5})["traces"] == pytest.approx(3 * TARGET.trace_energy(0), rel=1e-2)
    # 7 pulses of SET and RESET each on the read-out, 2 SET and 3 RESET pulses on the tiles
    taught = total(chip, TARGET, {"set_pulses[15]": 9, "reset_pulses[15]": 10, "reset_rows": 3})["write_lines"]
    assert taught == pytest.approx(14 * TARGET.wordline_energy(10, 1.5) + 5 * TARGET.wordline_energy(64, 1.5))
    assert sum(plain.values()) == 0


COUNTS = st.fixed_dictionaries({name: st.integers(0, 10**9) for name in counter_names(Chip.preset("tiles"))})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # drawing 200 counts takes its time
@given(COUNTS, COUNTS, st.sampled_from(["target65", "seed20fJ", "pcmo"]), st.sampled_from(["spiking", "tiles"]))
def test_energies_of_counters_add_up(first, second, device, chip):
    device, chip = Device.preset(device), Chip.preset(chip)
    # the droop of a bit line follows the mean conductance of what is added: none here
    device = device.varied(wire_ohm_per_um=0.0)
    both = total(chip, device, {name: first[name] + second[name] for name in first})
    parts = total(chip, device, first), total(chip, device, second)
    for name in COMPONENTS:
        assert both[name] == pytest.approx(parts[0][name] + parts[1][name], rel=1e-9), name


def test_spread_is_seeded_and_holds_the_value():
    chip = Chip.preset("tiles")
    counters = {"samples": 10, "in_spikes": 1200, "row_reads": 6000, "read_sum": 10**7, "active_sq_sum": 10**5,
                "decisions": 380, "out_spikes": 1900}
    activity = Activity.from_counters(chip, counters)
    point = OperatingPoint.of(chip, TARGET, activity)
    first, again = estimate(chip, TARGET, activity, point), estimate(chip, TARGET, activity, point)
    assert first == again
    assert set(first.per) == {"image", "synaptic read", "input spike", "output spike"}
    for spread in (*first.per.values(), first.total, first.components["cells"], first.components["comparators"]):
        assert spread.p5 < spread.value < spread.p95
    assert first.per["synaptic read"].value == pytest.approx(first.total.value / 6000 / 64)
    bars = tornado(chip, TARGET, activity, point)
    assert bars[0][0] in ("compare_j", "ramp_comparisons")
    assert all(abs(a[2] - a[1]) >= abs(b[2] - b[1]) for a, b in zip(bars, bars[1:], strict=False))
    assert {name for name, _, _ in bars} == set(sampled(TARGET, 3))
    assert facts(chip, TARGET, activity, point)["charge left by the bit line's resistance"] > 0.99


def test_annealed_runs_have_narrower_pulses():
    chip = Chip.preset("tiles")
    passes = np.r_[2 * 0.5 ** np.linspace(0, 2, 4001), 3 * np.ones(2000)]
    schedule = (Phase(passes=2, scale=2.0, decay=0.5), Phase(passes=1, scale=3.0),
                Phase(passes=9, learn=False, teach=True))
    assert mean_annealing(schedule) == pytest.approx(passes.mean(), rel=1e-3)
    assert mean_annealing(schedule[2:]) == 1.0
    activity = Activity.from_counters(chip, {"set_pulses[15]": 10, "set_weight[15]": 200})
    wide, narrow = (OperatingPoint.of(chip, TARGET, activity, scale=scale).set_width for scale in (1.0, 0.25))
    assert 0 < narrow < wide / 3


def test_a_chip_that_accumulates_pays_for_its_counts_and_for_the_pulses_that_it_gives():
    chip = dataclasses.replace(Chip.preset("tiles"), read_out_accumulate_bits=8, read_out_accumulate_threshold=40)
    counters = {"set_pulses[15]": 9, "reset_pulses[15]": 5, "reset_rows": 3, "read_out_pulses": 6, "taught": 100,
                "set_events": 4, "read_out_accumulations": 50, "samples": 10}
    activity = Activity.from_counters(chip, counters)
    # 4 SET and 2 RESET pulses on the read-out: no more bit lines of its than these, whatever labels taught
    assert activity.write_lines == ((8.0, 64), (6.0, 10), (0.0, 0)) and activity.bit_lines[1] == (4.0, 2.0, 4096)
    assert activity.count_bits == 50 * 8
    assert total(chip, TARGET, counters)["counts"] == pytest.approx(2 * 400 * TARGET.count_bit_j)
    assert facts(chip, TARGET, activity, POINT)["bits of counts written"] == 400
    still = Activity.from_counters(chip, {"samples": 10, "taught": 100, "read_out_accumulations": 50})
    assert durations(chip, TARGET, still, POINT)["writing"] == 0  # counts rose, and no cell got a pulse
    tiles = dataclasses.replace(chip, accumulate_bits=4, accumulate_threshold=2)
    assert Activity.from_counters(tiles, {"accumulations": 7, "read_out_accumulations": 1}).count_bits == 7 * 4 + 8


def test_tiles_that_accumulate_are_annealed_by_their_threshold_and_keep_their_tables():
    chip = dataclasses.replace(Chip.preset("tiles"), accumulate_bits=8, accumulate_threshold=20)
    activity = Activity.from_counters(chip, {"set_pulses[15]": 10, "set_weight[15]": 300, "reset_pulses[15]": 10,
                                             "reset_weight[15]": 300})
    whole, half, tenth = (OperatingPoint.of(chip, TARGET, activity, scale=scale) for scale in (1.0, 0.5, 0.1))
    assert whole.set_width == half.set_width  # the threshold is 40 then; 200 is more than a count of 8 bits tells
    assert tenth.set_width < 0.8 * whole.set_width
    plain = OperatingPoint.of(Chip.preset("tiles"), TARGET, activity, scale=0.5)
    assert plain.set_width < 0.6 * whole.set_width
