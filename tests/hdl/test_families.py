"""The emitted Verilog in the front ends of FPGA families: budgets, and what should not be is an error."""

import os

import pytest
from amaranth import Module, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

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


_LANE = """  (* ram_style = "registers" *) reg [7:0] lane_%d [0:15];
  assign q[%d +: 8] = lane_%d[ra];
  always @(posedge clk) lane_%d[wa] <= d[%d +: 8];
"""
LANES = "module cells(input clk, input [3:0] wa, input [3:0] ra, input [15:0] d, output [15:0] q);\n" \
    + "".join(_LANE % (lane, 8 * lane, lane, lane, 8 * lane) for lane in range(2)) + "endmodule\n" \
    "module chip(input clk, input [3:0] wa, input [3:0] ra, input [15:0] d, output [15:0] q);\n" \
    "  cells cells(clk, wa, ra, d, q);\nendmodule\n"


class Wide(wiring.Component):
    """A memory of 512 words of 16 bits a lane and one of 16 of 5 bits, both of 4 lanes."""

    address: In(9)
    write: In(4)
    written: In(64)
    read: Out(84)

    def elaborate(self, platform):
        m = Module()
        for name, depth, width, bits in (("deep", 512, 16, slice(0, 64)), ("few", 16, 5, slice(64, 84))):
            m.submodules[name] = cells = memory.Memory(shape=data.ArrayLayout(unsigned(width), 4), depth=depth, init=[])
            read, write = cells.read_port(), cells.write_port(granularity=1)
            m.d.comb += [read.addr.eq(self.address), write.addr.eq(self.address), write.data.eq(self.written),
                         write.en.eq(self.write), self.read[bits].eq(read.data)]
        return m


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
    (REGISTERS, r"must find RAM for memories of more than 100 bits, not make flip-flops of cells \(128 bits\)"),
    (LANES, r"must find RAM for memories of more than 100 bits, not make flip-flops of cells \(256 bits\)")])
def test_what_should_not_be_is_an_error(monkeypatch, verilog, message):
    monkeypatch.setattr(families, "REGISTER_BITS_MAX", 100)
    with pytest.raises(ToolchainError, match=f"(?i){message}"):
        survey(verilog, FAMILIES["ice40"])


def test_lanes_of_cyclone_v_fill_a_block_each_and_few_words_lie_in_lut_ram():
    taken = survey(emit_verilog(Wide(), "chip", split=True), FAMILIES["intel"])
    assert (taken.cells["block RAM"], taken.cells["LUT RAM"], taken.registers) == (4, 20, {})
    whole = survey(emit_verilog(Wide(), "chip"), FAMILIES["intel"])
    assert whole.cells["block RAM"] == 32  # of 2 bits, so that no block lies in two lanes
