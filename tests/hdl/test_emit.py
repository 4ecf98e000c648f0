"""The emitter: names, directions, determinism, power-up, and the private Amaranth name it leans on."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth import Module
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.hdl.flow import emit as emit_module
from ohmspike.hdl.flow.emit import emit, emit_verilog, memory_files, ports
from ohmspike.hdl.flow.lanes import MemoryPerLane
from ohmspike.hdl.flow.toolchain import ToolchainError, run_yosys
from support.echo import Echo


class Wide(wiring.Component):
    """Nested, arrayed, structured and constant members."""

    host: In(wiring.Signature({"rx": Out(stream.Signature(8, always_ready=True))}))
    lanes: Out(stream.Signature(data.StructLayout({"row": 4, "last": 1}))).array(2)

    def elaborate(self, platform):
        m = Module()
        for lane in self.lanes:
            m.d.comb += [lane.payload.row.eq(self.host.rx.payload), lane.valid.eq(self.host.rx.valid)]
        return m


class Clash(wiring.Component):
    """Two members that meet in one port name."""

    a_b: In(1)
    a: In(wiring.Signature({"b": In(1)}))

    def elaborate(self, platform):
        return Module()


def test_ports_are_flat_single_underscored_and_never_constant():
    text = emit(Wide(), "wide")
    header = text[text.index("module wide("):text.index(";")]
    assert set(header.removeprefix("module wide(").rstrip(")").split(", ")) == {
        "host_rx_payload", "host_rx_valid",
        "lanes_0_payload", "lanes_0_valid", "lanes_0_ready", "lanes_1_payload", "lanes_1_valid", "lanes_1_ready"}
    for line in ("input [7:0] host_rx_payload;", "output [4:0] lanes_1_payload;", "input lanes_1_ready;"):
        assert line in text


def test_private_amaranth_name_still_means_a_direction():
    assert {direction.name for direction in emit_module.PortDirection} == {"Input", "Output", "Inout"}
    assert ports(Echo())["rx_valid"][1] is emit_module.PortDirection.Input
    assert inspect.getsource(emit_module).count("import PortDirection") == 1


def test_clashing_port_names_are_refused():
    with pytest.raises(ValueError, match="^two members of Clash would share the port name 'a_b'$"):
        ports(Clash())


def test_text_is_the_same_for_every_hash_seed():
    program = "from support.echo import Echo; from ohmspike.hdl.flow.emit import emit; import sys; " \
              "sys.stdout.write(emit(Echo(), 'chip'))"
    folder = str(Path(__file__).parents[1])
    texts = {subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True,
                            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": folder}).stdout
             for seed in ("1", "2")}
    assert texts == {emit(Echo(), "chip")}


def test_power_up_contents_can_be_left_undefined():
    assert "for (int word = 0; word <= 15; word = word + 1) seen[word] = 8'h00;" in emit(Echo(), "chip")
    bare = emit(Echo(), "chip", undefined_registers=True, undefined_memories=["se*"])
    assert "initial" not in bare and "'h00;\n  wire" not in bare and "reg [7:0] seen [15:0];" in bare


def test_initial_words_are_folded_without_a_change():
    table = [3, 3, 3, 3, 3, 1, 2, 2, 2, 7, 7, 7, 7, 0]

    class Table(wiring.Component):
        address: In(4)
        word: Out(8)

        def elaborate(self, platform):
            m = Module()
            m.submodules.table = cells = memory.Memory(shape=8, depth=len(table), init=table)
            read = cells.read_port(domain="comb")
            m.d.comb += [read.addr.eq(self.address), self.word.eq(read.data)]
            return m

    text = emit(Table(), "table")
    unfolded = {}
    for first, last, value in re.findall(r"for \(int word = (\d+); word <= (\d+);.*= 8'h(\w+);", text):
        unfolded |= dict.fromkeys(range(int(first), int(last) + 1), int(value, 16))
    unfolded |= {int(address): int(value, 16) for address, value in re.findall(r"\[(\d+)\] = 8'h(\w+);", text)}
    assert [unfolded[address] for address in range(len(table))] == table
    assert text.count("for (int word") == 2


def test_pattern_that_matches_no_memory_is_an_error():
    with pytest.raises(ToolchainError, match="Assertion failed"):
        emit(Echo(), "chip", undefined_memories=["levels*"])


def test_failing_yosys_shows_its_last_lines(tmp_path):
    with pytest.raises(ToolchainError, match="(?s)^yosys failed with exit code 1:.*No such command: frobnicate"):
        run_yosys("frobnicate\n", cwd=tmp_path)


def test_a_block_that_reads_a_part_of_what_it_writes_is_refused():
    class Feedback(wiring.Component):
        result: Out(data.StructLayout({"low": 1, "high": 1}))
        start: In(1)

        def elaborate(self, platform):
            m = Module()
            m.d.comb += self.result.low.eq(self.start)
            with m.If(self.result.low):
                m.d.comb += self.result.high.eq(1)
            return m

    with pytest.raises(ValueError, match="reads a part of result and writes another"):
        emit(Feedback(), "feedback")


class TwoMemories(wiring.Component):
    """One with a word for each address, one with equal words."""

    address: In(5)
    data: Out(14)

    def elaborate(self, platform):
        m = Module()
        m.submodules.table = table = memory.Memory(shape=9, depth=20, init=[(37 * word) % 512 for word in range(20)])
        m.submodules.plain = plain = memory.Memory(shape=5, depth=32, init=[])
        ports = table.read_port(domain="comb"), plain.read_port(domain="comb")
        write = plain.write_port()
        m.d.comb += [*(port.addr.eq(self.address) for port in ports), self.data.eq(ports[0].data + ports[1].data),
                     write.addr.eq(self.address)]
        return m


def test_a_memory_that_is_not_written_by_lanes_stays_and_mixed_lanes_are_refused():
    assert emit_verilog(TwoMemories(), "top", split=True) == emit_verilog(TwoMemories(), "top")
    mixed = memory.Memory(shape=8, depth=4, init=[])
    for granularity in (4, 2):
        mixed.write_port(granularity=granularity)
    with pytest.raises(ValueError, match="^all write ports must have 4 enables, as one of them has, not 2, 4$"):
        MemoryPerLane().get_memory(mixed)


@pytest.mark.parametrize("written", [emit, emit_verilog])
def test_initial_contents_in_files_are_those_of_the_text(written, tmp_path):
    whole = written(TwoMemories(), "top")
    text, files = memory_files(whole, {"zeros_32x5.hex": "of another text"})
    assert files["table_20x9.hex"].split() == [f"{(37 * word) % 512:03x}" for word in range(20)]
    assert files["zeros_32x5_2.hex"].split() == ["00"] * 32 and files["zeros_32x5.hex"] == "of another text"
    assert "for (" not in text and text.count("$readmemh(") == 2 and len(files) == 3
    contents = []
    for name, design in (("loops", whole), ("files", text)):
        folder = tmp_path / name / "rtl"
        folder.mkdir(parents=True)
        for file, words in {"top.v": design, **files}.items():
            (folder / file).write_text(words)
        run_yosys("read_verilog -sv rtl/top.v\nproc\nmemory_collect\nwrite_rtlil out.il\n", cwd=folder.parent)
        contents.append(sorted(re.findall(r"parameter \\INIT (\S+)", (folder.parent / "out.il").read_text())))
    assert contents[0] == contents[1] and len(contents[0]) == 2


def test_contents_that_are_not_plain_stay_in_the_text():
    block = "  initial begin\n    words[0] = 4'h1;\n    words[2] = 4'h1;\n  end\n"  # the word between is undefined
    assert memory_files(block) == (block, {})
