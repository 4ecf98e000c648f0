"""Devices: descriptions, curves, and the tables they give a chip."""

import dataclasses
import math
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmspike.chip import Chip, DescriptionError
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.sim.analog.device import (
    Device,
    DeviceError,
    chip_with_device,
    curvature,
    devices,
    matched_widths,
    plasticity_tables,
    saturation,
    weight_table,
)
from ohmspike.sim.analog.sky130 import after_pulse, conductance
from ohmspike.sim.model.exact import ExactModel
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState

TARGET = Device.preset("target65")


def test_presets_are_those_told():
    assert devices() == ["ag_asi", "alox_hfo2", "capacitor", "ecram", "epiram", "gokmen_vlasov", "neurosim_ideal",
                         "pcm", "pcmo", "reram_es", "reram_sb", "seed20fJ", "sky130_reram", "taox_hfox", "taox_tio2",
                         "target65"]


@pytest.mark.parametrize("name", devices())
def test_preset_survives_toml_and_says_where_its_values_come_from(name, tmp_path):
    device = Device.preset(name)
    (tmp_path / "d.toml").write_text(device.to_toml(), "utf-8")
    assert Device.from_toml(tmp_path / "d.toml") == device
    for spec in device.quantities():
        about = device.about(spec.name)
        assert about.status in ("sourced", "literature, unverified", "design choice")
        assert about.source or about.status == "design choice", spec.name


def test_reads_cost_what_was_calculated_by_hand():
    assert TARGET.read_energy(1) == pytest.approx(1.879e-15, rel=1e-3)
    assert TARGET.read_energy(0) == pytest.approx(0.0403e-15, rel=2e-3)


def test_seed20fj_costs_20_fj_a_read():
    device = Device.preset("seed20fJ").varied(edge_s=0.0)
    assert device.read_energy(np.arange(64) / 63).mean() == pytest.approx(20.4e-15, rel=1e-6)


def test_lines_traces_and_pulses_cost_what_was_calculated_by_hand():
    assert TARGET.wordline_energy(100) == pytest.approx(87.4e-15, rel=1e-3)
    assert TARGET.trace_energy(0.5) == pytest.approx(60.5e-15)
    assert TARGET.pulse("set", 32 / 63)[1] == pytest.approx(36.3e-15, rel=2e-3)


def test_bit_line_loses_what_was_calculated_by_hand():
    conductance = 0.706 / (100 * 784 * TARGET.wire_ohm())
    assert TARGET.droop(100, 784, conductance) == pytest.approx(0.8164, abs=1e-4)


@pytest.mark.parametrize("label, a", [(1, 1.252), (-1, -1.252), (2.4, 0.499), (-4.88, -0.200), (3.68, 0.301),
                                      (-6.76, -0.100), (0.5, 2.52), (0.04, 31.6), (-1.79, -0.686), (1.94, 0.629)])
def test_labels_have_the_curvature_that_is_published(label, a):
    assert curvature(label) == pytest.approx(a, rel=5e-3)


@given(st.floats(0.02, 9))
def test_label_is_the_scaled_bow_of_its_curve(label):
    a = curvature(label)
    share = np.linspace(0, 1, 20001)
    bow = (saturation(a) * -np.expm1(-share / a) - share).max()
    assert 10.1015 * bow == pytest.approx(label, rel=1e-5)
    assert curvature(-label) == -a


def test_straight_label_gives_equal_steps():
    device = Device.preset("neurosim_ideal").varied(access_ohm=0.0)
    x = np.linspace(0, 1, 9)
    for kind, sign in (("set", 1), ("reset", -1)):
        assert device.pulse(kind, x)[0] - x == pytest.approx(sign / 64, rel=2e-4)


@pytest.mark.parametrize("kind, start, end", [("set", 0.0, 1.0), ("reset", 1.0, 0.0)])
@pytest.mark.parametrize("label", [0.5, 2.4, 6.0])
def test_rail_to_rail_takes_the_told_number_of_pulses(kind, start, end, label):
    device = TARGET.varied(nl_set=label, nl_reset=-label, access_ohm=0.0, set_pulses=40.0, reset_pulses=40.0)
    assert device.pulse(kind, start, width=40.0)[0] == pytest.approx(end, abs=1e-9)


def test_pulse_below_the_threshold_moves_nothing_and_costs_energy():
    after, joules = TARGET.pulse("set", 0.5, 0.45)
    assert after == 0.5 and joules > 1e-15


@pytest.mark.parametrize("document, message", [
    ({"name": "x", "cell": {"g_max": 1.0}}, r"unknown field \[cell\] g_max; expected one of access_ohm, g_max_s"),
    ({"name": "x", "cells": {"g_max_s": 1.0}}, r"unknown field \[cells\] g_max_s; sections are cell, count, lines"),
    ({"cell": {"levels": 64}}, "missing name"),
    ({"name": "x", "cell": {"levels": 1}}, "levels must be 2 to 65536, not 1"),
    ({"name": "x", "cell": {"levels": 2.5}}, "levels must be of type int, not 2.5"),
    ({"name": "x", "cell": {"g_max_s": 1e-8}}, "g_min_s must be below g_max_s = 1e-08, not 1e-07"),
    ({"name": "x", "read": {"readout": "both"}}, "readout must be one of clamp, membrane, not 'both'"),
    ({"name": "x", "read": {"read_v": {"value": 0.2, "status": "true"}}}, "read_v: status must be one of sourced; "),
    ({"name": "x", "read": {"read_v": {"valeu": 0.2}}}, "read_v must be a number or a table of value, sigma, status"),
    ({"name": "x", "read": {"read_v": {"value": 0.2, "sigma": math.nan}}}, "read_v: sigma must be 0 to 3, not nan"),
    ({"name": "x", "write": {"nl_set": math.nan}}, "nl_set must be -9 to 9, not nan"),
])
def test_bad_description_is_refused(document, message):
    with pytest.raises(DeviceError, match=message):
        Device.from_dict(document)


def test_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(DescriptionError, match="device must be one of ag_asi, .* or a TOML file, not 'gold'"):
        Device.load("gold")


def test_file_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "d.toml").write_text("name = ")
    with pytest.raises(DeviceError, match="d.toml: not TOML"):
        Device.load(str(tmp_path / "d.toml"))


def test_other_value_is_the_users():
    device = TARGET.varied(read_v=0.3)
    assert device.read_v == 0.3 and device.about("read_v").status == "user" and device.about("read_s").source


# tables


def test_weights_are_the_conductances_of_the_cells():
    weights = weight_table(TARGET, 64, 6)
    g = TARGET.cell_conductance(np.arange(64) / 63)
    assert weights[-1] == 63 and weights[0] == 1
    assert np.abs(weights - 63 * g / g[-1]).max() <= 0.5


def test_tables_are_steps_of_pulses_in_the_units_of_the_contract():
    chip = Chip.preset("tiles")
    set_table, reset_table = plasticity_tables(TARGET, chip)
    assert set_table.shape == reset_table.shape == (16, 64)
    assert set_table[-1, [0, 16, 32, 63]] / 4096 == pytest.approx([1.40, 1.08, 0.81, 0.41], abs=0.005)
    assert reset_table[-1, 63] / 4096 == pytest.approx(0.91, abs=0.005)
    assert not set_table[:7].any()  # bins below half of the full amplitude


@pytest.mark.parametrize("name", [name for name in devices() if Device.preset(name).pulse_width == "free"])
def test_matched_widths_meet_the_chips_own_steps(name):
    device, chip = Device.preset(name), Chip.preset("tiles")
    for table, own in zip(plasticity_tables(device, chip, *matched_widths(device, chip)), chip.plasticity_tables(),
                          strict=True):
        assert table[-1, 31:33].mean() == pytest.approx(np.mean(own[-1, 31:33]), rel=0.03)


@pytest.mark.parametrize("name", devices())
def test_model_and_oracle_agree_on_a_chip_with_a_device(name):
    chip = chip_with_device(dataclasses.replace(Chip.preset("tiny"), patch_height=6, patch_width=6, stride=11),
                            Device.preset(name), fraction_bits=10 if name == "pcm" else None)
    random = np.random.default_rng(1)
    codes = [np.r_[random.choice(784, 250, replace=False), EventCode.STEP, random.choice(784, 99), EventCode.DECIDE,
                   EventCode.DARK, EventCode.END] for _ in range(3)]
    batch = EventBatch(np.concatenate(codes).astype(np.int32), np.r_[0, np.cumsum([len(c) for c in codes])])
    state = ChipState.initial(chip)
    state.learn = True
    model, oracle = ExactModel(chip, state), Oracle(chip, state)
    model.run(batch)
    oracle.run(batch)
    assert not model.state.differences(oracle.state)
    assert not np.array_equal(model.state.levels, state.levels)
    assert Chip.from_dict(chip.to_dict()) == chip == Chip.from_dict(tomllib.loads(chip.to_toml()))


@pytest.mark.parametrize("kind, label, start", [("set", 2.4, 0.1), ("reset", -4.88, 0.9)])
def test_measured_steps_move_a_cell_as_the_formula_they_were_taken_from(kind, label, start):
    plain = TARGET.varied(**{f"nl_{kind}": label, "access_ohm": 0.0})
    a, b, pulses = plain.rate(kind)
    states = np.linspace(0, 1, 129)
    stepped = plain.varied(**{f"{kind}_steps": tuple(np.abs(b - states) / abs(a) / pulses)})
    x = np.linspace(0.05, 0.95, 19)
    assert stepped.pulse(kind, x)[0] == pytest.approx(plain.pulse(kind, x)[0], abs=2e-4)
    assert stepped.pulse(kind, start, 0.8)[0] == pytest.approx(plain.pulse(kind, start, 0.8)[0], abs=2e-4)
    wrong = stepped.varied(**{f"{kind}_steps": tuple(1.2 * step for step in getattr(stepped, f"{kind}_steps"))})
    assert wrong.pulse(kind, x)[0] != pytest.approx(plain.pulse(kind, x)[0], abs=2e-4)


def test_measured_steps_and_both_noises_survive_toml_and_end_at_the_rails(tmp_path):
    device = TARGET.varied(set_steps=(0.4, 0.2, 0.0), write_error=0.05, noise_law="sqrt_step")
    (tmp_path / "d.toml").write_text(device.to_toml(), "utf-8")
    assert Device.from_toml(tmp_path / "d.toml") == device
    assert device.about("noise_law").status == "user" and "noise_law" in dict(device.provenance)
    assert Device.preset("pcm").about("noise_law").source.endswith("dw_min_std is a share of the step")
    assert device.pulse("set", 0.9, 1.0, 50.0)[0] <= 1.0


@pytest.mark.parametrize("values, message", [
    ({"set_steps": (0.1,)}, r"set_steps must be empty or at least 2 numbers from 0 to 1000, not \(0.1,\)"),
    ({"reset_steps": (0.1, -0.1)}, r"reset_steps must be empty or at least 2 numbers"),
    ({"set_steps": ("a", "b")}, "set_steps must be empty or at least 2 numbers"),
    ({"noise_law": "loud"}, "noise_law must be one of pulse, sqrt_step, step, not 'loud'"),
    ({"write_error": 2.0}, "write_error must be 0 to 1, not 2.0"),
])
def test_steps_and_noises_out_of_range_are_refused(values, message):
    with pytest.raises(DeviceError, match=message):
        TARGET.varied(**values)


BINARY = Device.preset("target65").varied(name="binary", states="discrete", pulse_width="fixed", levels=2, nl_set=0.0,
                                          nl_reset=0.0, set_pulses=1.0, reset_pulses=1.0, access_ohm=0.0)


def test_a_pulse_that_tables_cannot_tell_is_refused_with_the_cure():
    chip = Chip.preset("tiny")
    with pytest.raises(DeviceError, match="at most 16.00 of 64 levels .*, not 63.00") as refused:
        chip_with_device(chip, BINARY.varied(states="continuous"))
    assert "fraction_bits = 10 holds it" in refused.value.hint
    made = chip_with_device(chip, BINARY.varied(states="continuous"), fraction_bits=10)
    assert made.set_table[-1][0] == 63 * 2**10
    with pytest.raises(DeviceError, match="at most 64.00"):
        chip_with_device(dataclasses.replace(chip, levels=256, weight_bits=8, set_step=0.05, reset_step=0.05),
                         BINARY.varied(states="continuous"), fraction_bits=10)


def test_a_device_of_two_states_makes_cells_of_two_levels_that_one_pulse_turns_over():
    chip = Chip.preset("tiles")
    made = chip_with_device(chip, BINARY)
    assert made.levels == 2 and made.weights == (1, 63)
    full = 1 << made.fraction_bits
    for set_table, reset_table in ((made.set_table, made.reset_table), (made.read_out_set_table,
                                                                        made.read_out_reset_table)):
        assert set_table[-1][0] == full and reset_table[-1][1] == full
    assert all(phase.scale == phase.decay == phase.read_out_scale == phase.read_out_decay == 1
               for phase in made.schedule)
    with pytest.raises(DeviceError, match="width must be 1 1 for binary"):
        chip_with_device(chip, BINARY, widths=(0.5, 1.0))
    with pytest.raises(DeviceError, match="at most 256"):
        chip_with_device(chip, BINARY.varied(levels=300))


def test_chips_tell_their_device_and_differ_where_devices_do():
    chip = Chip.preset("tiny")
    calm, noisy = (chip_with_device(chip, TARGET.varied(c2c=c2c)) for c2c in (0.005, 0.4))
    assert calm.digest != noisy.digest and calm.structure_digest == noisy.structure_digest == chip.structure_digest
    again = Chip.from_dict(noisy.to_dict())
    assert again == noisy and Device.of_chip(again).c2c == 0.4
    assert Device.of_chip(again) == TARGET.varied(c2c=0.4) and Device.of_chip(chip) is None
    assert "device" not in chip.to_dict()
    for wrong in ("[]", "{", '{"name": 1}'):
        with pytest.raises(DescriptionError, match="device must be a description"):
            dataclasses.replace(chip, device=wrong)
    assert not TARGET.same_memristor(Device.of_chip(again)) and TARGET.same_memristor(TARGET.varied(bias_a=1e-6))


def test_steps_of_aihwkit_devices_are_those_of_its_formulas():
    sb, es = Device.preset("reram_sb"), Device.preset("reram_es")
    # soft bounds: dw_min (1 - w / w_max) of a range of 2, from w = -0.75 to 1.25
    assert float(sb.pulse("set", 0.5)[0]) - 0.5 == pytest.approx(0.002 / 2 * (1 - 0.25 / 1.25), rel=1e-3)
    assert 0.5 - float(sb.pulse("reset", 0.5)[0]) == pytest.approx(0.002 / 2 * (1 + 0.25 / 0.75), rel=2e-3)
    # exponential steps at w = 0: z = -0.5; SET is favoured by up_down
    assert float(es.pulse("set", 0.5)[0]) - 0.5 == pytest.approx(
        0.00135 / 2 * 1.259359 * (1 + 1.18445 * math.exp(-2.5)), rel=1e-3)
    assert 0.5 - float(es.pulse("reset", 0.5)[0]) == pytest.approx(
        0.00135 / 2 * (1 + 0.081404 * math.exp(2.5)), rel=5e-3)
    assert sb.write_error == pytest.approx(0.056) and sb.c2c == pytest.approx(0.00375)
    assert es.write_error == pytest.approx(75 * 0.00135 / 2)


def test_pulses_of_sky130_switch_or_do_not():
    made = chip_with_device(Chip.preset("tiles"), Device.preset("sky130_reram"))
    assert made.levels == 2
    assert made.set_table[-1][0] / 4096 == pytest.approx(0.9745, abs=1e-3)
    assert made.reset_table[-1][1] / 4096 == pytest.approx(0.9083, abs=1e-3)
    low, high = conductance(3.3), conductance(4.9)
    assert low < 1e-6 and high == pytest.approx(103e-6, rel=0.01)


def test_filament_of_sky130_breaks_and_forms():
    thinner, joules = after_pulse(4.8, -1.2, 1e-6)
    assert 4.5 < thinner < 4.7 and joules > 0
    assert after_pulse(4.2, 1.4, 1e-6)[0] == pytest.approx(4.9, abs=1e-3)  # it heats itself and runs away
    assert after_pulse(4.2, 0.2, 1e-6)[0] == pytest.approx(4.2, abs=1e-6)  # a read leaves it
