"""The emitted Verilog in the front ends of FPGA families: budgets, and what should not be is an error."""

import os

import pytest

from ohmspike.hdl.flow import families
from ohmspike.hdl.flow.emit import emit_verilog
from ohmspike.hdl.flow.families import FAMILIES, RESOURCES, survey
from ohmspike.hdl.flow.toolchain import ToolchainError
from ohmspike.host.integrity.faults import FAULTS_CHIP
from ohmspike.sim.rtl.build import top_of

BUDGETS = {"gowin": {"LUT": 4300, "flip-flop": 1470, "LUT RAM": 103, "block RAM": 3},
           "ecp5": {"LUT": 3800, "flip-flop": 1470, "LUT RAM": 103, "block RAM": 3}}
"""Of the small form of six tiles with a read-out; a twentieth over what it took."""

LATCH = "module chip(input en, input d, output reg q); always @* if (en) q = d; endmodule\n"
LOOP = "module chip(input a, output y); wire b; assign b = ~(a & y); assign y = b; endmodule\n"
DRIVERS = "module inner(input a, output y); assign y = a; endmodule\n" \
    "module chip(input a, input b, output y); inner i (.a(a), .y(y)); inner j (.a(b), .y(y)); endmodule\n"
REGISTERS = """module chip(input clk, input [3:0] wa, input [3:0] ra, input [7:0] d, output [7:0] q);
  (* ram_style = "registers" *) reg [7:0] cells [0:15];
  assign q = cells[ra];
  always @(posedge clk) cells[wa] <= d;
endmodule
"""


@pytest.fixture(scope="module")
def text():
    return emit_verilog(top_of(FAULTS_CHIP, small=True), "chip")


@pytest.mark.skipif("OHMSPIKE_LONG_TESTS" not in os.environ, reason="takes a minute: make test-boards")
@pytest.mark.parametrize("name", BUDGETS)
def test_a_small_chip_keeps_within_its_budget(text, name):
    taken = survey(text, FAMILIES[name])
    assert set(taken.cells) == set(RESOURCES) and taken.registers == {}
    over = {kind: count for kind, count in taken.cells.items() if count > BUDGETS[name][kind]}
    assert not over and all(taken.cells.values()), taken


@pytest.mark.parametrize(("verilog", "message"), [
    (LATCH, "assertion failed"), (LOOP, "must leave no loop and no second driver, not: Warning: .*loop"),
    (DRIVERS, "must leave no loop and no second driver, not: Warning: .*driver"),
    (REGISTERS, r"must find RAM for memories of more than 100 bits, not make flip-flops of cells \(128 bits\)")])
def test_what_should_not_be_is_an_error(monkeypatch, verilog, message):
    monkeypatch.setattr(families, "REGISTER_BITS_MAX", 100)
    with pytest.raises(ToolchainError, match=f"(?i){message}"):
        survey(verilog, FAMILIES["ice40"])
