"""The emitted RTL of the executor under cocotb, for tiny chips of both firing modes."""

import json
from pathlib import Path

import pytest

from ohmspike.chip import Chip
from ohmspike.hdl.flow.emit import emit
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.chip import Executor
from ohmspike.sim.rtl.cocotb_run import CocotbFailure, run_cocotb
from support.stimulus import varied

BENCH = Path(__file__).with_name("bench_executor.py")
RACE = Chip(name="race", plane_height=3, plane_width=4, patch_height=2, patch_width=3, stride=1, neurons=5, winners=3,
            learners=2, levels=8, weight_bits=4, membrane_bits=6, threshold_bits=7, amplitudes=4, trace_shift=2,
            set_step=0.3, set_bound=1.0, reset_step=0.3, reset_bound=1.0, classes=3, score_bits=9, margin=60,
            read_out_set_step=0.3, read_out_reset_step=0.3)
THRESHOLD = varied(RACE, fire_mode="threshold", winners=1, learners=3, theta_leak=2, theta_base=12, classes=0)


def run_bench(layout, expectation=None, *, seed, programs):
    """Build the RTL of a layout and bench it against the oracle of its chip, or of another."""
    chip = expectation or layout.chip
    environment = {"BENCH_CHIP": json.dumps(chip.to_dict()), "BENCH_SEED": str(seed), "BENCH_PROGRAMS": str(programs)}
    return run_cocotb(emit(Executor(layout), "chip"), BENCH, top="chip", environment=environment, seed=seed,
                      timeout_s=300)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [
    pytest.param(Layout(RACE, 2, level_ports=1), id="race, single-ported"),
    pytest.param(Layout(RACE, 5), id="race, one word"),
    pytest.param(Layout(THRESHOLD, 3), id="threshold"),
])
def test_emitted_executor_matches_the_oracle(layout):
    assert run_bench(layout, seed=31, programs=5) == 5


@pytest.mark.slow
def test_wrong_trace_in_the_rtl_is_caught():
    with pytest.raises(CocotbFailure, match=r"(?s)tests of bench_executor\.py failed.*seed 1"):
        run_bench(Layout(varied(RACE, trace_shift=3), 2), RACE, seed=1, programs=12)
