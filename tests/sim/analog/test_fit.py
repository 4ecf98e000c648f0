"""Measured curves: read, fitted back, and refused with line and column."""

import numpy as np
import pytest

from ohmspike.sim.analog.device import Device, DeviceError, curvature, saturation
from ohmspike.sim.analog.fit import fit_device, read_measurement


def stepped(x, kind, label, pulses):
    a = curvature(label)
    return saturation(a) - (saturation(a) - x) * np.exp((-1 if kind == "set" else 1) / pulses / a)


def synthetic(path, *, labels=(2.4, -4.88), g=(10e-6, 50e-6), pulses=64, c2c=0.003, reading=0.002, cycles=20, seed=1,
              header="cycle,branch,pulse,conductance (uS)", separator=","):
    """Cycles of potentiation and depression of a device with known labels and noise, as a CSV."""
    random, x, lines = np.random.default_rng(seed), 0.0, [header]
    for cycle in range(cycles):
        for kind, name, label in (("set", "LTP", labels[0]), ("reset", "LTD", labels[1])):
            for pulse in range(pulses + 1):
                seen = g[0] + (g[1] - g[0]) * (x + reading * random.normal())
                lines.append(separator.join((str(cycle), name, str(pulse), f"{1e6 * seen:.6f}")))
                if pulse < pulses:
                    x = stepped(x, kind, label, pulses) + c2c * random.normal()
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.mark.parametrize("labels, c2c, reading", [((2.4, -4.88), 0.004, 0.005), ((1.5, -1.0), 0.002, 0.01)])
def test_known_device_is_fitted_back(tmp_path, labels, c2c, reading):
    fit = fit_device(read_measurement(synthetic(tmp_path / "m.csv", labels=labels, c2c=c2c, reading=reading, seed=2)),
                     "mine")
    found = fit.device
    for name, value in (("g_min_s", 10e-6), ("g_max_s", 50e-6), ("nl_set", labels[0]), ("nl_reset", labels[1]),
                        ("c2c", c2c), ("read_noise", reading)):
        assert getattr(found, name) == pytest.approx(value, rel=0.05), name
        assert found.about(name).status == "measured"
        assert abs(getattr(found, name) - value) < 5 * fit.errors[name], name
    assert found.set_pulses == 64 and found.levels == 64 and fit.points == 2600


def test_wrong_label_would_not_pass(tmp_path):
    found = fit_device(read_measurement(synthetic(tmp_path / "m.csv", labels=(2.0, -4.88), cycles=6)), "mine").device
    assert found.nl_set != pytest.approx(2.4, rel=0.05)


def test_fit_without_noise_is_exact(tmp_path):
    path = synthetic(tmp_path / "m.csv", labels=(1, -1), c2c=0, reading=0, cycles=1, pulses=24)
    found = fit_device(read_measurement(path), "mine").device
    assert found.nl_set == pytest.approx(1, abs=2e-3) and found.nl_reset == pytest.approx(-1, abs=2e-3)


@pytest.mark.parametrize("text", [
    "Pulse;LTP (µS);LTD (µS)\n0;1,0;5,0\n1;3,0;3,0\n2;4,0;2,0\n3;5,0;1,0\n",
    "# lab 3\npulse number,Branch,G_nS\n\n" + "".join(f"{p},set,{g}\n" for p, g in enumerate((1e3, 3e3, 4e3, 5e3)))
    + "".join(f"{p},RESET,{g}\n" for p, g in enumerate((5e3, 3e3, 2e3, 1e3))),
    "pulse\tresistance [Mohm]\tdirection\n"
    + "".join(f"{p}\t{1 / g}\tpotentiation\n" for p, g in enumerate((1, 3, 4, 5)))
    + "".join(f"{p + 4}\t{1 / g}\tdepression\n" for p, g in enumerate((5, 3, 2, 1))),
])
def test_headers_units_and_separators_vary(tmp_path, text):
    (tmp_path / "m.csv").write_text(text, "utf-8-sig")
    measured = read_measurement(tmp_path / "m.csv")
    assert measured.of("set")[0].conductance == pytest.approx(np.array([1, 3, 4, 5]) * 1e-6)
    assert measured.of("reset")[0].conductance == pytest.approx(np.array([5, 3, 2, 1]) * 1e-6)
    assert measured.of("reset")[0].pulses.tolist() == [0, 1, 2, 3]


GOOD = "pulse,branch,conductance (uS)\n" + "".join(f"{p},{b},{p + 1}\n" for b in ("LTP", "LTD") for p in range(5))


@pytest.mark.parametrize("text, message", [
    (GOOD.replace("2,LTP,3", "2,LTP,three"),
     r"m.csv: line 4, column 3 \(conductance \(uS\)\): must be a number, not 'three'"),
    (GOOD.replace("2,LTP,3", "2,LTX,3"), r"line 4, column 2 \(branch\): must be potentiation or depression, not 'LTX'"),
    (GOOD.replace("2,LTP,3", "-2,LTP,3"), r"line 4, column 1 \(pulse\): must be a number from 0, not '-2'"),
    (GOOD.replace("2,LTP,3", "2,LTP,nan"), r"line 4, column 3 .* not 'nan'"),
    (GOOD.replace("2,LTP,3", "2,LTP"), "line 4: must have 3 columns, not 2"),
    (GOOD.replace("3,LTP", "1,LTP"), "line 5: pulse numbers of potentiation must rise, not 2 to 1"),
    (GOOD.replace("(uS)", "(volts)"), "line 1, column 3: unit must be S, mS, .* not 'volts'"),
    (GOOD.replace("branch", "colour"), "line 1: missing column branch; found pulse, colour, conductance"),
    (GOOD.replace("branch", "pulses"), "line 1, column 2: second column for pulse: 'pulses'"),
    (GOOD.replace("LTD", "LTP").replace("4,LTP,5\n0", "4,LTP,5\n9", 1), "line 8: pulse numbers of potentiation"),
    ("\n".join(GOOD.splitlines()[:6]), "must hold depression and does not"),
    ("\n".join(GOOD.splitlines()[:4] + GOOD.splitlines()[6:]),
     "line 4: potentiation must have at least 4 points, not 3"),
    ("", "must hold a header and rows, and is empty"),
])
def test_malformed_file_is_refused_with_its_place(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text, "utf-8")
    with pytest.raises(DeviceError, match=message):
        read_measurement(tmp_path / "m.csv")


def test_constant_conductance_is_no_device(tmp_path):
    lines = GOOD.splitlines()
    (tmp_path / "m.csv").write_text("\n".join([lines[0], *(f"{line.rsplit(',', 1)[0]},3" for line in lines[1:])]))
    with pytest.raises(DeviceError, match="conductance must change, and is 3e-06 S throughout"):
        fit_device(read_measurement(tmp_path / "m.csv"), "flat")


def test_fitted_device_is_one_that_can_be_loaded(tmp_path):
    fit = fit_device(read_measurement(synthetic(tmp_path / "m.csv", cycles=3)), "mine", Device.preset("pcmo"))
    (tmp_path / "d.toml").write_text(fit.device.to_toml(), "utf-8")
    loaded = Device.load(str(tmp_path / "d.toml"))
    assert loaded == fit.device and loaded.set_v == 2.0
