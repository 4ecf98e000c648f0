"""The compiled RTL: bytes in, bytes out, clocks counted, errors told, caches shared, waveforms written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth import Module
from amaranth.lib import memory
from amaranth.lib.wiring import Component, In, Out

from ohmspike.hdl.flow.emit import emit
from ohmspike.sim.rtl import compiled
from ohmspike.sim.rtl.compiled import CompiledRtl, RtlError, ToolchainError, compile_rtl, find_compiler
from support.echo import Echo

STOPPER = """
module chip(input clk, input rst, input [7:0] rx_payload, input rx_valid, output rx_ready,
            output [7:0] tx_payload, output tx_valid, input tx_ready);
    assign rx_ready = 1'b1;
    assign tx_valid = 1'b0;
    assign tx_payload = 8'h00;
    always @(posedge clk) if (rx_valid && rx_payload == 8'hff) $fatal(1, "all ones");
endmodule
"""


class PowerUp(Echo):
    """An echo that answers with what a memory and a register held before anybody wrote them."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.cells = cells = memory.Memory(shape=8, depth=256, init=[])
        read = cells.read_port(domain="comb")
        m.d.comb += [
            read.addr.eq(self.rx.payload),
            self.tx.payload.eq(read.data),
            self.tx.valid.eq(self.rx.valid),
            self.rx.ready.eq(self.tx.ready),
        ]
        write = cells.write_port()
        m.d.comb += [write.addr.eq(self.rx.payload), write.en.eq(0)]
        return m


class NoReset(Component):
    """A chip without the ports of one."""

    rx_payload: In(4)
    tx_payload: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.tx_payload.eq(self.rx_payload)
        return m


@pytest.fixture(scope="module")
def echo_text():
    return emit(Echo(), "chip")


@pytest.fixture
def echo(echo_text):
    with CompiledRtl(echo_text, top="chip") as chip:
        yield chip


def test_every_byte_comes_back_one_higher(echo):
    sent = bytes(range(256)) * 3
    echo.write(sent)
    assert echo.queued == len(sent)
    assert echo.run(len(sent) + 1) == len(sent) + 1
    assert echo.queued == 0
    assert echo.read() == bytes((byte + 1) & 255 for byte in sent)
    assert echo.read() == b""


def test_cycles_count_from_construction_resets_included(echo):
    assert echo.cycles == 0
    echo.run(10)
    echo.reset()
    assert echo.cycles == 12


def test_latency_is_one_cycle(echo):
    echo.write(b"a")
    echo.run(1)
    assert echo.read() == b""
    echo.run(1)
    assert echo.read() == b"b"


def test_run_until_quiet_stops_after_the_last_byte(echo):
    echo.write(b"abc")
    assert echo.run(10**9, until_quiet=True, quiet_cycles=50) == 4 + 50
    assert echo.read() == b"bcd"


def test_run_until_counts_flags_that_come_out_in_the_call(echo):
    echo.write(b"xaxa")
    assert echo.run_until(ord("b"), 1, 1000) == 3
    echo.write(b"aa")
    assert echo.run_until(ord("b"), 2, 1000) == 3
    assert echo.read() == b"ybybb"
    assert echo.run_until(ord("b"), 2, 1000) == 1000
    assert echo.run_until(ord("b"), 0, 1000) == 0


def test_run_until_stops_exactly_across_chunks(echo, monkeypatch):
    monkeypatch.setattr(compiled, "_CHUNK", 7)
    echo.write(bytes(100))
    assert echo.run_until(1, 50, 1000) == 51
    assert echo.run(20) == 20
    assert echo.cycles == 71


def test_reset_drops_bytes_on_both_sides(echo):
    echo.write(b"abcd")
    echo.run(2)
    echo.reset()
    assert echo.queued == 0
    echo.run(10)
    assert echo.read() == b""


def test_two_chips_share_a_library_but_nothing_else(echo, echo_text):
    with CompiledRtl(echo_text, top="chip") as other:
        other.write(b"a")
        other.run(5)
        echo.run(5)
        assert (other.read(), echo.read()) == (b"b", b"")


def test_closed_chip_is_an_error(echo):
    echo.close()
    with pytest.raises(ValueError, match="^the chip is closed$"):
        echo.run(1)


def test_failing_assertion_in_the_rtl_is_an_exception():
    with CompiledRtl(STOPPER, top="chip") as chip:
        chip.write(b"\x00\xff")
        with pytest.raises(RtlError, match="all ones|chip.sv"):
            chip.run(10)


def test_power_up_contents_are_zeros_or_random_from_a_seed():
    text = emit(PowerUp(), "chip", undefined_memories=["cells"])

    def contents(seed):
        with CompiledRtl(text, top="chip", initial_seed=seed) as chip:
            chip.write(bytes(range(256)))
            chip.run(256)
            return chip.read()

    assert contents(None) == bytes(256)
    assert contents(1) == contents(1)
    assert len({contents(None), contents(0), contents(1), contents(2)}) == 4


def test_a_bit_turned_over_is_seen_by_the_logic_behind_it(echo_text):
    with CompiledRtl(echo_text, top="chip", faults=True) as chip:
        sites = {site.name: site for site in chip.sites}
        assert {name: (site.words, site.bits) for name, site in sites.items()} == {
            "seen": (16, 8), "tx__payload": (1, 8), "$signal": (1, 1)}
        chip.write(b"aaa")
        chip.flip(sites["tx__payload"], 0, 4, after=2)
        chip.flip(sites["$signal"], 0, 0, after=8)  # a byte out of nothing
        chip.run(12)
        assert chip.read() == b"b" + bytes([ord("b") ^ 16]) + b"bb"
        with pytest.raises(ValueError, match="^there must be such a bit: word 16, bit 0 of FaultSite"):
            chip.flip(sites["seen"], 16, 0)


def test_only_a_build_for_faults_can_be_changed(echo):
    with pytest.raises(ValueError, match=r"^sites need CompiledRtl\(..., faults=True\)$"):
        assert echo.sites


def test_bad_initial_seed_is_refused():
    with pytest.raises(ValueError, match=r"^initial_seed must be 0 to 2\*\*31 - 2 or None, not -1$"):
        CompiledRtl("", top="chip", initial_seed=-1)


def test_echo_does_not_depend_on_power_up_contents():
    text = emit(Echo(), "chip", undefined_registers=True, undefined_memories=["*"])
    for seed in (None, 3, 4):
        with CompiledRtl(text, top="chip", initial_seed=seed) as chip:
            chip.write(b"abc")
            chip.run(10)
            assert chip.read() == b"bcd", seed


def test_waveform_holds_the_window_only(echo_text, tmp_path):
    with CompiledRtl(echo_text, top="chip", trace=True) as chip:
        chip.run(1000)
        chip.start_trace(tmp_path / "window.vcd")
        chip.write(b"a")
        chip.run(10)
        chip.stop_trace()
        chip.run(1000)
        chip.start_trace(tmp_path / "second.vcd")
        chip.run(1)
    text = (tmp_path / "window.vcd").read_text()
    assert "tx_payload" in text and "b01100010 " in text
    assert sum(line.startswith("#") for line in text.splitlines()) == 20
    assert "tx_payload" in (tmp_path / "second.vcd").read_text()


def test_waveform_needs_its_build(echo, tmp_path):
    with pytest.raises(ValueError, match=r"^waveforms need CompiledRtl\(\.\.\., trace=True\)$"):
        echo.start_trace(tmp_path / "none.vcd")


def test_unwritable_waveform_is_an_exception(echo_text, tmp_path):
    with CompiledRtl(echo_text, top="chip", trace=True) as chip:
        with pytest.raises(RtlError, match="cannot write"):
            chip.start_trace(tmp_path / "absent" / "window.vcd")


def test_wrong_ports_are_named():
    with pytest.raises(ValueError, match="^top module 'chip' must have a port 'clk' of 1 bits, not no such port$"):
        CompiledRtl(emit(NoReset(), "chip"), top="chip")


def test_broken_rtl_shows_what_verilator_said():
    with pytest.raises(ToolchainError, match="(?s)^Verilator failed with exit code 1:.*syntax error"):
        CompiledRtl("module chip(", top="chip")


def test_second_compilation_is_only_a_look_up(echo_text, monkeypatch):
    first = compile_rtl(echo_text, top="chip")
    messages = []
    assert compile_rtl(echo_text, top="chip", progress=messages.append) == first
    assert messages == []
    monkeypatch.setattr(compiled, "_COMPILER_FLAGS", [*compiled._COMPILER_FLAGS, "-DOTHER"])
    assert compiled._Build(trace=False).identity != compiled._Build(trace=True).identity


def test_missing_compiler_is_an_error_with_a_hint(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match="^no C[+][+] compiler was found") as caught:
        find_compiler()
    assert "install g++ or clang++, or `pip install ziglang`" in caught.value.hint


def test_cxx_is_respected(monkeypatch):
    monkeypatch.setenv("CXX", "g++ -march=native")
    assert find_compiler() == ["g++", "-march=native"]
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolchainError, match="not even 'no-such-compiler'") as caught:
        find_compiler()
    assert "CXX" in caught.value.hint


@pytest.mark.slow
def test_processes_that_compile_at_once_all_get_a_whole_library(tmp_path):
    program = "from support.echo import Echo; from ohmspike.hdl.flow.emit import emit; " \
              "from ohmspike.sim.rtl.compiled import CompiledRtl\n" \
              "with CompiledRtl(emit(Echo(), 'chip'), top='chip') as chip:\n" \
              "    chip.write(b'abc'); chip.run(10); assert chip.read() == b'bcd'\n"
    # A cache of their own, but not for yosys, whose first run is long.
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.setdefault("YOWASP_CACHE_DIR", str(compiled.cache_directory("yowasp")))
    processes = [subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    kept = sorted(path.suffix for path in (tmp_path / "ohmspike" / "rtl").iterdir() if path.is_file())
    assert kept == [".so"]
