"""The recipe for an Arty A7 in docs/boards.md: its top fits the exported chip, its pins are the board's."""

import re
from pathlib import Path

from amaranth_boards.arty_a7 import ArtyA7_100Platform

from ohmspike.hdl.flow.emit import emit_verilog
from ohmspike.hdl.flow.toolchain import run_yosys
from ohmspike.host.integrity.faults import FAULTS_CHIP
from ohmspike.sim.rtl.build import WRAPPERS, layout_of

SECTION = (Path(__file__).parents[2] / "docs" / "boards.md").read_text("utf-8").split("## An Arty A7", 1)[1]
SECTION = SECTION.split("\n## ", 1)[0]
TOP = re.search(r"^```verilog\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)[1]
CONSTRAINTS, BUILD = re.findall(r"^```tcl\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)


def ports_joined(top):
    return set(re.findall(r"\.(\w+)\(", top.split("chip chip", 1)[1]))


def test_the_top_takes_the_exported_chip_and_leaves_no_port_open(tmp_path):
    chip = emit_verilog(WRAPPERS["uart"](layout_of(FAULTS_CHIP), (50_000_000, 3_000_000)), "chip")
    header, body = re.search(r"^(module chip\(.*?\);)$(.*?)^endmodule", chip, re.MULTILINE | re.DOTALL).groups()
    declared = re.findall(r"^  (?:input|output) .*;$", body, re.MULTILINE)
    ports = {port.split()[-1].rstrip(";") for port in declared}
    assert ports_joined(TOP) == ports != ports_joined(TOP.replace(".answer(", ".answers("))
    (tmp_path / "arty_a7.v").write_text(TOP)
    (tmp_path / "chip.v").write_text("\n".join([header, *declared, "endmodule\n"]))
    run_yosys("read_verilog -lib +/xilinx/cells_sim.v +/xilinx/cells_xtra.v chip.v\nread_verilog arty_a7.v\n"
              "hierarchy -check -top arty_a7\nproc\nselect -assert-none t:$dlatch\ncheck -assert arty_a7\n",
              cwd=tmp_path)


def test_the_pins_are_the_boards():
    names = {}
    for resource in ArtyA7_100Platform.resources:
        for io in resource.ios:
            signal, pins = (io.name, io.ios[0]) if hasattr(io, "ios") else ("", io)
            if hasattr(pins, "names"):
                names[resource.name, resource.number, signal] = pins.names
    wanted = {"clk100": names["clk100", 0, ""], "reset_n": names["rst", 0, ""], "uart_rx": names["uart", 0, "rx"],
              "uart_tx": names["uart", 0, "tx"], **{f"led[{n}]": names["led", n, ""] for n in range(3)}}
    found = dict(re.findall(r"PACKAGE_PIN (\w+) .*get_ports \{?([\w\[\]]+)\}?\]", CONSTRAINTS))
    assert {port: [pin] for pin, port in found.items()} == wanted
    declared = re.findall(r"(?:input|output)(?: \[\d:\d\])? (\w+)", TOP.split(");", 1)[0])
    assert {port.split("[")[0] for port in wanted} == set(declared)


def test_the_build_names_the_files_of_the_folder():
    assert "rtl/chip.v" in BUILD and "rtl/*.hex" in BUILD and "-top arty_a7" in BUILD
