"""Fits: known devices found again with honest errors, noise split, devices apart, nonsense doubted or refused."""

import numpy as np
import pytest

from ohmspike.sim.analog.device import Device, DeviceError, chip_with_device, curvature, saturation
from ohmspike.sim.analog.fit import Branch, Measurement, curve, fit_device
from ohmspike.sim.analog.fitting.course import measured_course
from ohmspike.sim.analog.fitting.population import pooled
from ohmspike.sim.analog.fitting.process import CONTINUED, RAIL, Process
from ohmspike.sim.analog.fitting.search import Surprise, most_likely, readings_of
from ohmspike.sim.analog.measured.curves import Steps


def stepped(x, kind, label, pulses, held):
    a = curvature(label)
    moved = saturation(a) - (saturation(a) - x) * np.exp((-1 if kind == "set" else 1) / pulses / a)
    return min(max(moved, 0.0), 1.0) if held else moved


def synthetic(*, labels=(2.4, -4.88), g=(1e-6, 5e-6), pulses=48, c2c=0.0, reading=0.0, write=0.0, cycles=4, seed=1,
              held=False, device="", random=None):
    """Cycles of a device with known labels and noise; each branch begins where the last ended."""
    random = np.random.default_rng(seed) if random is None else random
    x, branches = 0.0, []
    for cycle in range(cycles):
        for kind, label in (("set", labels[0]), ("reset", labels[1])):
            seen, wrong = [], write * random.normal()
            for pulse in range(pulses + 1):
                if pulse:
                    x = stepped(x, kind, label, pulses, held) + c2c * random.normal()
                    x = min(max(x, 0.0), 1.0) if held else x
                    wrong = write * random.normal()
                seen.append(g[0] + (g[1] - g[0]) * (x + wrong + reading * random.normal()))
            branches.append(Branch(kind, np.arange(pulses + 1.0), np.array(seen), device, str(cycle)))
    return branches


def measured(branches):
    return Measurement("lab.csv", tuple(branches))


def within(fit, truth, sigmas=3.5):
    return {name: abs(getattr(fit.device, name) - value) / fit.errors[name] for name, value in truth.items()
            if abs(getattr(fit.device, name) - value) > sigmas * fit.errors[name] + 1e-15}


@pytest.mark.parametrize("held", [False, True])
def test_known_device_is_found_again_within_its_errors(held):
    labels = (1.5, -2.5)
    fit = fit_device(measured(synthetic(labels=labels, c2c=0.02, reading=0.006, cycles=6, held=held, seed=3)), "mine")
    truth = {"g_min_s": 1e-6, "g_max_s": 5e-6, "nl_set": 1.5, "nl_reset": -2.5, "c2c": 0.02, "read_noise": 0.006}
    assert within(fit, truth) == {} and fit.verdict == "good"
    assert ("held at their rails" in " ".join(fit.notes)) == held
    assert fit.errors["nl_set"] < 0.5 and fit.errors["g_max_s"] < 0.2e-6
    for name in truth:
        assert fit.device.about(name).status == "measured"
    assert fit.device.set_pulses == 48 and fit.device.levels == 48 and fit.points == 588


def test_wrong_label_would_not_pass():
    fit = fit_device(measured(synthetic(labels=(0.5, -2.5), c2c=0.01, reading=0.005, cycles=3)), "mine")
    assert within(fit, {"nl_set": 2.4}) != {}


def test_planted_bug_in_the_process_is_seen_in_the_likelihood():
    branches = synthetic(labels=(1.0, -1.0), c2c=0.03, reading=0.005, cycles=3, held=True)
    readings = readings_of(branches, {"set": 48, "reset": 48}, 4e-6)
    at = np.array([0.25, 1.0, 1.0, -1.0, np.log(0.03), np.log(0.005)])
    right = Surprise(readings, Process(True, CONTINUED, True), nodes=120)(at)
    assert Surprise(readings, Process(False, CONTINUED))(at) > right + 5
    assert Surprise(readings, Process(True, RAIL, True), nodes=120)(at) > right + 5
    swapped = at[[0, 1, 3, 2, 4, 5]]
    assert Surprise(readings, Process(True, CONTINUED, True), nodes=120)(swapped) > right + 5


def test_grid_and_gaussian_filter_agree_away_from_the_rails():
    branches = [Branch(b.kind, b.pulses, b.conductance * 0.2 + 2e-6)
                for b in synthetic(c2c=0.05, reading=0.02, cycles=2)]
    readings = readings_of(branches, {"set": 480, "reset": 480}, 4e-6)
    at = np.array([0.0, 1.0, 0.1, -0.1, np.log(0.01), np.log(0.01)])
    other = at + np.array([0, 0, 0.2, 0, 1.0, -0.2])
    gaussian, grid = Surprise(readings, Process()), Surprise(readings, Process(True), nodes=600)
    assert abs(gaussian(other) - gaussian(at)) > 5
    assert grid(other) - grid(at) == pytest.approx(gaussian(other) - gaussian(at), abs=0.3)


def test_fit_without_noise_is_exact():
    fit = fit_device(measured(synthetic(labels=(1, -1), cycles=1, pulses=24)), "mine")
    assert fit.device.nl_set == pytest.approx(1, abs=2e-3) and fit.device.nl_reset == pytest.approx(-1, abs=2e-3)
    assert fit.verdict == "good" and fit.device.c2c < 1e-3


def test_measured_cell_is_not_put_in_series_again():
    fit = fit_device(measured(synthetic(labels=(0, 0), g=(20e-6, 200e-6), cycles=1, pulses=32)), "mine")
    assert fit.device.access_ohm == 0.0
    from ohmspike.chip import Chip

    made = chip_with_device(Chip.preset("tiles"), fit.device, widths=(1.0, 1.0))
    steps = np.array(made.set_table[-1]) / 2**made.fraction_bits
    assert steps[0] == pytest.approx(63 / 32, rel=0.02) and steps[31] == pytest.approx(63 / 32, rel=0.02)
    assert fit_device(measured(synthetic(cycles=1)), "mine", access_ohm=5e3).device.access_ohm == 5e3


@pytest.mark.slow
def test_noise_is_split_where_states_were_read_twice():
    both = synthetic(c2c=0.004, reading=0.01, write=0.04, cycles=2, pulses=24, seed=5)
    again = [Branch(b.kind, np.repeat(b.pulses, 2), np.repeat(b.conductance, 2)) for b in
             synthetic(c2c=0.004, write=0.04, cycles=1, pulses=24, seed=6)]
    random = np.random.default_rng(1)
    again = [Branch(b.kind, b.pulses, b.conductance + 4e-8 * random.standard_normal(len(b.pulses))) for b in again]
    fit = fit_device(measured(again), "mine")
    assert fit.device.read_noise == pytest.approx(0.01, rel=0.35)
    plain = fit_device(measured(both), "mine", read_noise=0.01)
    assert plain.device.write_error == pytest.approx(0.04, rel=0.25) and plain.device.read_noise == 0.01
    assert plain.device.c2c < 0.02


def fading(points=1000, seed=1):
    """One long branch of each kind whose errors fade over some pulses, and hardly add up."""
    random, branches = np.random.default_rng(seed), []
    for kind in ("set", "reset"):
        error, seen = 0.0, []
        for share in np.linspace(0, 1, points):
            error = 0.93 * error + 0.025 * random.standard_normal()
            course = share if kind == "set" else 1 - share
            seen.append(1e-6 + 4e-6 * (course + error + 0.03 * random.standard_normal()))
        branches.append(Branch(kind, np.arange(points * 1.0), np.array(seen)))
    return branches


@pytest.mark.slow
def test_errors_that_fade_are_no_random_walk():
    fit = fit_device(measured(fading()), "mine")
    assert any("structure function saturates" in note for note in fit.notes)
    assert fit.device.c2c < 0.01 and 0.03 < fit.device.write_error < 0.09


@pytest.mark.slow
def test_errors_that_add_up_are_told_as_such():
    fit = fit_device(measured(synthetic(labels=(0.5, -0.5), c2c=0.01, reading=0.02, cycles=1, pulses=300)), "mine")
    assert not any("structure function" in note for note in fit.notes)
    assert abs(fit.device.c2c - 0.01) < 4 * fit.errors["c2c"]


def stairs(kind, label=2.0, pulses=50):
    """Steps at conductances, as a table of them tells."""
    a = curvature(label if kind == "set" else -label)
    states = np.linspace(0, 1, 21)
    sign = 1 if kind == "set" else -1
    moved = (saturation(a) - states) * -np.expm1(-sign / (pulses * a))
    return Steps(kind, np.repeat(1e-6 + 4e-6 * states, 2), np.repeat(4e-6 * moved, 2) + np.tile([2e-8, -2e-8], 21))


def test_tables_of_steps_make_a_device():
    fit = fit_device(Measurement("dg.csv", (), steps=(stairs("set"), stairs("reset"))), "mine")
    assert fit.device.nl_set == pytest.approx(2.0, abs=0.3) and fit.device.nl_reset == pytest.approx(-2.0, abs=0.3)
    assert fit.device.set_pulses == pytest.approx(50, rel=0.05) and len(fit.device.reset_steps) == 33
    assert fit.device.c2c == pytest.approx(2e-8 / 4e-6 * np.sqrt(2), rel=0.1)
    one = [Steps(each.kind, each.conductance[::2], each.step[::2]) for each in (stairs("set"), stairs("reset"))]
    single = fit_device(Measurement("dg.csv", (), steps=tuple(one)), "mine")
    assert single.device.c2c == Device.preset("target65").c2c and "c2c" not in single.errors
    assert any("how much a pulse misses by was not measured" in note for note in single.notes)
    with pytest.raises(DeviceError, match="steps of potentiation must be above 0 S, not -"):
        fit_device(Measurement("dg.csv", (), steps=(Steps("set", np.linspace(1e-6, 5e-6, 9), -np.ones(9)),)), "mine")


@pytest.mark.slow
def test_devices_apart_are_told_from_errors():
    random = np.random.default_rng(2)
    branches = []
    for device in range(5):
        top = 5e-6 * (1 + 0.15 * random.standard_normal())
        branches += synthetic(labels=(2.0 + 0.6 * random.standard_normal(), -3 + 0.6 * random.standard_normal()),
                              g=(1e-6, top), pulses=24, c2c=0.004, reading=0.004, cycles=1, device=f"D{device}",
                              random=random)
    fit = fit_device(measured(branches), "mine")
    assert set(fit.by_device) == {f"D{k}" for k in range(5)}
    assert 0.25 < fit.device.d2d_label < 1.2 and 0.05 < fit.device.d2d_range < 0.4
    assert fit.device.about("d2d_label").status == "measured"
    alone = fit_device(measured(synthetic(cycles=1, reading=0.005)), "mine")
    assert alone.device.about("d2d_label").status == "design choice"
    assert "not measured" in alone.device.about("d2d_label").source


def test_random_effects_give_spread_and_mean():
    random = np.random.default_rng(3)
    values = 2 + 0.5 * random.standard_normal(400) + 0.3 * random.standard_normal(400)
    found = pooled(values, np.full(400, 0.3))
    assert found.apart == pytest.approx(0.5, abs=3.5 * found.apart_error) and abs(found.mean - 2) < 3.5 * found.error
    assert pooled(2 + 0.3 * random.standard_normal(400), np.full(400, 0.3)).apart < 0.15


def test_one_branch_alone_takes_the_other_from_the_base():
    base = Device.preset("ag_asi")
    fit = fit_device(measured(synthetic(cycles=1, reading=0.004)[:1]), "mine", base)
    assert fit.device.nl_reset == base.nl_reset and fit.device.reset_pulses == base.reset_pulses
    assert any("no depression was measured" in note and "ag_asi" in note for note in fit.notes)
    assert "nl_reset" not in fit.errors and abs(fit.device.nl_set - 2.4) < 4 * fit.errors["nl_set"]


def noise(seed=1, points=40):
    random = np.random.default_rng(seed)
    return [Branch(kind, np.arange(points * 1.0), 5e-6 + 1e-8 * random.standard_normal(points))
            for kind in ("set", "reset")]


def test_pure_noise_is_refused():
    with pytest.raises(DeviceError, match="pulses move nothing that can be told from noise: .* use stronger pulses"):
        fit_device(measured(noise()), "noise")


def test_constant_conductance_is_no_device():
    flat = [Branch(kind, np.arange(5.0), np.full(5, 3e-6)) for kind in ("set", "reset")]
    with pytest.raises(DeviceError, match="conductance must change, and is 3e-06 S throughout"):
        fit_device(measured(flat), "flat")


def test_two_states_that_pulses_do_not_choose_are_noise():
    random = np.random.default_rng(3)
    telegraph = [Branch(kind, np.arange(21.0), np.where(random.random(21) < 0.5, 1e-6, 50e-6))
                 for kind in ("set", "reset") * 3]
    with pytest.raises(DeviceError, match="pulses move nothing that can be told from noise"):
        fit_device(measured(telegraph), "telegraph")


@pytest.mark.parametrize("count", [10, 21, 100])
@pytest.mark.parametrize("scatter", [0.0, 0.03])
def test_binary_device_is_told(scatter, count):
    random = np.random.default_rng(4)
    pulses = np.arange(count)
    branches = [Branch(kind, pulses * 1.0, np.where(pulses > 0, high, low)
                       * (1 + scatter * random.normal(size=count)))
                for kind, low, high in (("set", 1e-6, 50e-6), ("reset", 50e-6, 1e-6))]
    fit = fit_device(measured(branches), "binary")
    assert fit.verdict == "not this kind of device" and "this device is binary" in fit.doubts[0].reason
    assert fit.device.levels == 2 and fit.device.set_pulses == 1.0
    assert fit.device.g_max_s == pytest.approx(50e-6, rel=0.1)


def test_offset_below_zero_is_doubted_or_refused():
    shifted = [Branch(b.kind, b.pulses, b.conductance - 2e-6) for b in synthetic(reading=0.004, cycles=1)]
    with pytest.raises(DeviceError, match="negative conductance: .* Take the offset of the current meter off first"):
        fit_device(measured(shifted), "shifted")


def test_good_device_of_large_ratio_is_not_refused():
    fit = fit_device(measured(synthetic(g=(1e-7, 5e-6), c2c=0.035, reading=0.01, cycles=1, seed=9)), "mine")
    assert fit.device.g_min_s > 0 and fit.verdict in ("good", "poor")
    assert within(fit, {"g_min_s": 1e-7, "g_max_s": 5e-6}, 4) == {}


def kinked(cycles=4, reading=0.005):
    """A device whose steps are no curve of NeuroSim's: slow, fast, slow."""
    random = np.random.default_rng(8)
    course = 1 / (1 + np.exp(-(np.arange(41) - 20) / 4.0))
    course = (course - course[0]) / (course[-1] - course[0])
    return [Branch(kind, np.arange(41.0), 1e-6 + 4e-6 * (line + reading * random.standard_normal(41)))
            for _ in range(cycles) for kind, line in (("set", course), ("reset", course[::-1]))], course


@pytest.mark.slow
def test_measured_steps_make_the_tables_where_the_formula_does_not_fit():
    branches, course = kinked()
    fit = fit_device(measured(branches), "kinked")
    assert fit.curve == "measured" and len(fit.device.set_steps) == 33
    x, path = 0.0, [0.0]
    for _ in range(40):
        x = float(fit.device.pulse("set", x)[0])
        path.append(x)
    assert np.sqrt(np.mean((np.array(path) - course) ** 2)) < 0.05
    forced = fit_device(measured(branches), "kinked", curve_of="formula")
    assert forced.curve == "formula" and forced.verdict != "good" and forced.doubts[0].cure
    assert Device.from_dict(fit.device.to_dict()) == fit.device


def test_course_through_exact_readings_is_their_own():
    readings = readings_of(kinked(1, 0.0)[0], {"set": 40, "reset": 40}, 4e-6)
    course = measured_course(readings)
    pulses = np.arange(41)
    true = (readings.values[:41] - course.g_min) / course.g_range
    assert course.means["set"](pulses) == pytest.approx(true, abs=0.03)
    assert np.all(np.diff(course.means["reset"](pulses)) <= 1e-9)


@pytest.mark.slow
def test_many_readings_are_searched_in_part_and_settled_in_whole():
    branches = synthetic(labels=(1, -1), c2c=0.02, reading=0.01, cycles=160, pulses=40, held=True)
    readings = readings_of(branches, {"set": 40, "reset": 40}, 4e-6)
    assert len(readings.values) > 12_000
    found = most_likely(readings, processes=(Process(True, CONTINUED, True),))
    assert abs(found.values[2] - 1) < 4 * found.errors[2] and found.errors[2] < 0.1
    assert abs(found.values[4] - 0.02) < 4 * found.errors[4]


def test_fitted_device_is_one_that_can_be_loaded(tmp_path):
    fit = fit_device(measured(synthetic(cycles=2, reading=0.004)), "mine", Device.preset("pcmo"))
    (tmp_path / "d.toml").write_text(fit.device.to_toml(), "utf-8")
    loaded = Device.load(str(tmp_path / "d.toml"))
    assert loaded == fit.device and loaded.set_v == 2.0
    assert fit.expected("set", [0, 48]) == pytest.approx([fit.device.g_min_s, fit.device.g_max_s])
    assert curve("set", 0.0, 0.5) == pytest.approx(0.5, abs=1e-4)
