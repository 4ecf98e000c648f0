"""SPICE: every case within what is allowed, and a wrong formula is seen."""

import shutil

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.sim.analog.cases import CASES, Check, Scene, evaluate
from ohmspike.sim.analog.device import Device
from ohmspike.sim.analog.spice import Netlist, Simulator, SpiceError, pulses
from ohmspike.sim.state import ChipState

needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")

IMAGE = np.zeros((28, 28), np.uint8)
IMAGE[5:23, 11:17] = np.linspace(120, 255, 18 * 6).reshape(18, 6)


def scene(chip="tiles", device="target65", **values):
    chip = Chip.preset(chip)
    return Scene(chip, ChipState.initial(chip), Device.preset(device).varied(**values), IMAGE)


@needs_ngspice
@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow if case == "learning" else ())
                                  for case in CASES])
def test_twin_and_spice_agree(case, tmp_path):
    checks = CASES[case](scene(), Simulator(keep=tmp_path))
    assert checks and [check for check in checks if not check.ok] == []
    assert list(tmp_path.glob("*.cir"))


@needs_ngspice
@pytest.mark.parametrize("device", ["seed20fJ", "pcmo"])
def test_twin_and_spice_agree_on_other_devices(device):
    simulator = Simulator()
    checks = [check for case in ("V1", "V3", "V8", "V12") for check in CASES[case](scene("tiny", device), simulator)]
    assert [check for check in checks if not check.ok] == []


@needs_ngspice
@pytest.mark.parametrize("case, name, wrong", [
    ("V1", "read_energy", lambda self, x: self.read_v**2 * self.read_s * self.conductance(x)),
    ("V6", "wordline_energy", lambda self, cells, volts=1.1: (cells * self.gate_f + self.driver_f) * volts**2),
    ("V7", "trace_energy", lambda self, before: self.trace_f * self.supply_v**2 * (1 - before**2) / 2),
    ("V8", "drive", lambda self, kind, volts: np.asarray(volts) / getattr(self, f"{kind}_v")),
])
def test_planted_wrong_formula_is_caught(monkeypatch, case, name, wrong):
    simulator = Simulator()
    monkeypatch.setattr(Device, name, wrong)
    assert [check for check in CASES[case](scene(), simulator) if not check.ok]


@needs_ngspice
def test_a_transistor_is_told_at_high_conductances_too(monkeypatch):
    checks = CASES["V10"](scene(g_min_s=10e-6, g_max_s=100e-6, access_ohm=15e3), Simulator())
    assert all(check.ok for check in checks) and abs(checks[1].deviation) > 0.02 > abs(checks[0].deviation)


@needs_ngspice
def test_kept_netlists_are_commented_and_the_library_of_the_device_runs(tmp_path):
    simulator = Simulator(keep=tmp_path / "kept")
    assert all(check.ok for check in evaluate(scene(), simulator, ["V6"]))
    text = next((tmp_path / "kept").glob("*.cir")).read_text()
    assert "* case V6: charging a word line" in text and "* chip tiles, device target65" in text
    assert "* run it by: ngspice -b FILE" in text
    # a SET pulse on the cell of the library moves it as far as the device says
    net = Netlist("a cell of the library")
    net.add(f".lib {tmp_path / 'kept' / 'target65.lib'} cell", "X1 te 0 xs cell x0=0.5")
    net.source("p", "te", pulses([(1e-9, 11e-9, 1.2)], 1e-11))
    net.probe("xs")
    device = Device.preset("target65").varied(access_ohm=0.0)
    found = Simulator().run("library", net, stop=12e-9, largest=5e-11).last("xs")
    assert found == pytest.approx(float(device.pulse("set", 0.5)[0]), abs=2e-4)


@needs_ngspice
def test_planted_wrong_value_of_the_published_cell_is_caught(monkeypatch):
    from ohmspike.sim.analog import sky130

    twin = [sky130.after_pulse(filament, volts, 1e-6) for filament, volts in ((4.8, -1.2), (4.8, -1.4), (4.2, 1.3),
                                                                             (4.2, 1.4))]
    monkeypatch.setattr("ohmspike.sim.analog.cases.writing.after_pulse", lambda *_: twin.pop(0))
    monkeypatch.setattr(sky130, "_GAMMA", (16.4, -1.25))
    assert [check for check in CASES["V13"](scene(), Simulator()) if not check.ok]


def test_check_knows_shares_absolutes_and_nothing():
    assert Check("V", "", 1.009, 1.0, 0.01).ok and not Check("V", "", 1.011, 1.0, 0.01).ok
    assert Check("V", "", 3, 4, 1, "", False).ok and not Check("V", "", 3, 5, 1, "", False).ok
    assert Check("V", "", 0, 0, 0.01).ok and not Check("V", "", 1, 0, 0.01).ok
    assert not Check("V", "", float("nan"), 1, 0.01).ok


def test_missing_ngspice_is_told_with_a_hint():
    with pytest.raises(SpiceError, match="no-such-spice: not found on the path") as caught:
        Simulator(executable="no-such-spice")
    assert "apt-get install ngspice" in caught.value.hint


@needs_ngspice
def test_netlist_that_cannot_be_run_is_told(tmp_path):
    net = Netlist("wrong")
    net.add("X1 a 0 nothing")
    net.probe("a")
    with pytest.raises(SpiceError, match="wrong: ngspice failed"):
        Simulator(keep=tmp_path).run("wrong", net, stop=1e-9, largest=1e-10)


@needs_ngspice
def test_meter_reads_joules():
    net = Netlist("one ohm for a nanosecond")
    net.source("a", "a", pulses([(1e-9, 2e-9, 1.0)], 1e-13))
    net.add("R1 a 0 1k")
    net.meter("e", "-1*v(a)*i(Va)")
    assert Simulator().run("meter", net, stop=3e-9, largest=1e-11).joules("e") == pytest.approx(1e-12, rel=1e-3)
