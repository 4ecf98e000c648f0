"""The cocotb runner: benches run on emitted RTL, and those that should fail do."""

from pathlib import Path

import pytest

from ohmspike.hdl.flow.emit import emit
from ohmspike.sim.rtl.cocotb_run import CocotbFailure, run_cocotb, simulators
from support.echo import Echo

BENCH = Path(__file__).with_name("bench_echo.py")


@pytest.mark.parametrize("simulator", simulators())
def test_bench_passes(simulator):
    assert run_cocotb(emit(Echo(), "chip"), BENCH, top="chip", simulator=simulator) == 2


def test_wrong_expectation_is_caught_with_the_log():
    with pytest.raises(CocotbFailure, match=r"(?s)2 of 2 tests of bench_echo\.py failed.*seed 1, stall"):
        run_cocotb(emit(Echo(), "chip"), BENCH, top="chip", environment={"ECHO_INCREMENT": "2"})


def test_broken_rtl_is_caught_with_the_log():
    with pytest.raises(CocotbFailure, match="(?s)exit code.*syntax error"):
        run_cocotb("module chip(", BENCH, top="chip")


def test_unknown_simulator_is_refused():
    with pytest.raises(ValueError, match="^simulator must be 'verilator' or 'icarus', not 'vcs'$"):
        run_cocotb("", BENCH, top="chip", simulator="vcs")


def test_bench_that_never_ends_is_stopped(tmp_path):
    bench = tmp_path / "bench_forever.py"
    bench.write_text("import time, cocotb\n\n@cocotb.test()\nasync def forever(dut):\n    time.sleep(1000)\n")
    with pytest.raises(CocotbFailure, match="^bench_forever.py did not end within 2 s:"):
        run_cocotb(emit(Echo(), "chip"), bench, top="chip", timeout_s=2)
