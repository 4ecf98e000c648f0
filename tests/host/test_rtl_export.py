"""The RTL as a folder: a bench without Python agrees, notices what is wrong, and lint has nothing left to say."""

import dataclasses
import json
import os
import re
import shutil
import subprocess

import pytest

from ohmspike.chip.instructions import MEMORIES, counter_names, register_names
from ohmspike.hdl.flow.emit import emit_verilog
from ohmspike.hdl.flow.toolchain import run_yosys
from ohmspike.host.commands import cli
from ohmspike.host.export import export
from ohmspike.host.export.vectors import EXPECT, Recorder
from ohmspike.host.integrity.faults import FAULTS_CHIP
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.session import LinkSession
from ohmspike.host.support.errors import UserError
from ohmspike.sim.rtl.build import compile_chip, top_of
from ohmspike.sim.rtl.compiled import verilator_root

COUNTING = dataclasses.replace(FAULTS_CHIP, name="counting", accumulate_bits=3, accumulate_threshold=2,
                               read_out_accumulate_bits=4, read_out_accumulate_threshold=3)
needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "chip"
    export(FAULTS_CHIP, path, samples=2)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "chip"
    export(FAULTS_CHIP, path, samples=2, small=True)
    return path


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """One memory per lane, of a chip that accumulates in tiles and read-out."""
    path = tmp_path_factory.mktemp("export") / "chip"
    export(COUNTING, path, samples=2, split=True)
    return path


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """A chip that accumulates in tiles and read-out."""
    path = tmp_path_factory.mktemp("export") / "chip"
    export(COUNTING, path, samples=2)
    return path


def undefined(folder, copy):
    """A copy of the RTL in which every memory and every register is undefined after power-up."""
    shutil.copytree(folder, copy)
    path = copy / "rtl" / "chip.v"
    text, memories = re.subn(r"(?m)^  initial begin\n(?:    .*;(?: end)?\n)+  end\n", "", path.read_text())
    text, registers = re.subn(r"(?m)^(  reg (?:\[\d+:\d+\] )?(?:\w+|\\\S+ )) = \d+'[hsd]+[0-9a-f]+;$", r"\1;", text)
    assert memories > 5 and registers > 100
    path.write_text(text)
    return copy


def simulated(folder):
    return subprocess.run(["make", "--silent", "-B", "sim", "SIM=icarus"], cwd=folder, capture_output=True, text=True,
                          timeout=300)


@needs_icarus
@pytest.mark.parametrize("form", ["fast", "small"])
def test_the_bench_passes_in_icarus_without_a_warning(request, form):
    folder = request.getfixturevalue(form)
    result = simulated(folder)
    assert result.returncode == 0 and result.stderr == ""
    words = [int(line, 16) for line in (folder / "sim" / "vectors.hex").read_text().split()]
    sent = sum(word < EXPECT for word in words)
    assert result.stdout == f"PASS: {sent} bytes sent, {len(words) - sent} bytes checked\n"
    assert sent > 500 and len(words) - sent > 500


@needs_icarus
@pytest.mark.slow
def test_the_bench_of_a_chip_that_takes_runs_has_them_and_passes(fast, tmp_path):
    export(FAULTS_CHIP, tmp_path / "chip", samples=2, runs=True)
    assert simulated(tmp_path / "chip").stdout.startswith("PASS")
    words = (tmp_path / "chip" / "sim" / "vectors.hex").read_text()
    neighbours = "009\n0[c-d][0-9a-f]\n000\n"  # RUNS; six lines of twenty spike; the end
    assert len(re.findall(neighbours, words)) >= 2 and not re.search(neighbours, (fast / "sim/vectors.hex").read_text())
    assert [json.loads((folder / "registers.json").read_text())["opcodes"].get("RUNS")
            for folder in (tmp_path / "chip", fast)] == [9, None]


@needs_icarus
@pytest.mark.slow
def test_the_bench_of_a_chip_with_a_store_replays_it_whatever_it_holds_at_power_up(fast, tmp_path):
    export(FAULTS_CHIP, tmp_path / "chip", samples=2, store=4)
    result = simulated(undefined(tmp_path / "chip", tmp_path / "undefined"))
    assert result.returncode == 0 and result.stdout.startswith("PASS"), result.stdout
    replays = "(?<!0)013\n(...\n){6}001\n"  # first and length of three bytes each, once
    assert len(re.findall(replays, (tmp_path / "chip" / "sim" / "vectors.hex").read_text())) >= 2
    numbers, without = (json.loads((folder / "registers.json").read_text()) for folder in (tmp_path / "chip", fast))
    assert {name: numbers["opcodes"][name] for name in ("RUNS", "REPLAY")} == {"RUNS": 9, "REPLAY": 0x13}
    [store] = [entry for entry in numbers["memories"] if entry["name"] == "store"]
    assert (store["code"], store["rows"], store["columns"], store["writable"]) == (21, 4, 256, True)
    assert "REPLAY" not in without["opcodes"] and "4 rows of 256 bytes, 1 KiB" in (
        tmp_path / "chip" / "README.md").read_text()
    path = tmp_path / "undefined" / "rtl" / "chip.v"  # a store that is not written is noticed
    wrong = path.read_text().replace("memory[port__address[9:0]] <= port__written__payload;",
                                     "memory[port__address[9:0]] <= 8'h00;")
    assert wrong != path.read_text()
    path.write_text(wrong)
    assert "FAIL" in simulated(tmp_path / "undefined").stdout


@needs_icarus
@pytest.mark.slow
def test_the_bench_of_a_serial_line_passes(tmp_path):
    export(FAULTS_CHIP, tmp_path / "chip", samples=1, port="uart", baud=12_500_000)
    result = simulated(tmp_path / "chip")
    assert result.returncode == 0 and result.stdout.startswith("PASS")


@needs_icarus
@pytest.mark.slow
@pytest.mark.parametrize(("wrapper", "small_form"), [("spi", False), ("axi", False), ("aer", True)])
def test_the_bench_of_a_wrapper_passes_and_lint_is_silent(tmp_path, wrapper, small_form):
    export(FAULTS_CHIP, tmp_path / "chip", samples=1 + (wrapper == "aer"), port=wrapper, small=small_form)
    result = simulated(tmp_path / "chip")
    assert result.returncode == 0 and result.stderr == "" and result.stdout.startswith("PASS")
    assert linted(tmp_path / "chip").returncode == 0
    if wrapper == "aer":  # a sample whose output is another one is noticed
        path = tmp_path / "chip" / "sim" / "vectors.hex"
        path.write_text(re.sub(r"(?m)^400000(\w\w)$", lambda byte: f"400000{int(byte[1], 16) ^ 1:02x}",
                               path.read_text(), count=1))
        assert "FAIL" in simulated(tmp_path / "chip").stdout


def wrong_vector(folder):
    path = folder / "sim" / "vectors.hex"
    words = path.read_text().split()
    last = max(index for index, word in enumerate(words[:-40]) if int(word, 16) >= EXPECT)
    words[last] = f"{int(words[last], 16) ^ 1:03x}"
    path.write_text("\n".join(words) + "\n")


def lost_write(folder):
    """One of four lanes of the levels is never written."""
    path = folder / "rtl" / "chip.v"
    text, count = re.subn(r"if \((\\write__en\$\d+ )\[1\]\)\n( +\\levels)", r"if (1'b0)\n\2", path.read_text())
    assert count == 1
    path.write_text(text)


def undefined_answer(folder):
    path = folder / "rtl" / "chip.v"
    text, count = re.subn(r"(?m)^  assign tx_valid = .*;$", "  assign tx_valid = 1'bx;", path.read_text(), count=1)
    assert count == 1
    path.write_text(text)


@needs_icarus
@pytest.mark.parametrize(("plant", "complaint"), [
    (wrong_vector, r"expected \w\w, not \w\w\nFAIL at byte \d+ of \d+: a wrong byte"),
    (lost_write, r"FAIL at byte \d+ of \d+: a wrong byte"),
    (undefined_answer, r"FAIL at byte \d+ of \d+: tx_valid is undefined")])
def test_a_planted_bug_fails_the_bench(fast, tmp_path, plant, complaint):
    copy = tmp_path / "chip"
    shutil.copytree(fast, copy)
    plant(copy)
    result = simulated(copy)
    assert result.returncode != 0
    assert re.search(complaint, re.sub(" +", " ", result.stdout))


@needs_icarus
@pytest.mark.parametrize("form", ["fast", "small", "counting", "split"])
def test_after_the_load_nothing_undefined_reaches_an_output(request, form, tmp_path):
    """Memories hold X after power-up, and registers too: reset and load define all that counts (four states)."""
    result = simulated(undefined(request.getfixturevalue(form), tmp_path / "chip"))
    assert result.returncode == 0 and result.stdout.startswith("PASS"), result.stdout


@needs_icarus
def test_what_nobody_loaded_is_seen_as_undefined(fast, tmp_path):
    copy = undefined(fast, tmp_path / "chip")
    with compile_chip(FAULTS_CHIP) as rtl:
        recorder = Recorder(CompiledPort(rtl))
        LinkSession(recorder, FAULTS_CHIP, seed=1).read_memory("theta")
    (copy / "sim" / "vectors.hex").write_text("".join(f"{word:03x}\n" for word in recorder.words))
    bench = copy / "sim" / "tb.v"
    bench.write_text(re.sub(r"LENGTH = \d+;", f"LENGTH = {len(recorder.words)};", bench.read_text()))
    result = simulated(copy)
    assert result.returncode != 0 and re.search(r"expected \w\w, not xx\nFAIL", result.stdout)


def linted(folder):
    root = verilator_root()
    return subprocess.run([root / "bin" / "verilator_bin", "--lint-only", "-Wall", "--top-module", "chip", "lint.vlt",
                           "rtl/chip.v"], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "VERILATOR_ROOT": str(root)})


def test_memories_of_lanes_have_one_enable_and_the_contents_of_the_wide_ones(counting, split):
    """The same session goes over both, and both have as many bits."""
    assert (counting / "sim/vectors.hex").read_bytes() == (split / "sim/vectors.hex").read_bytes()
    for text in ("chip.v", "chip.sv"):
        whole, lanes = ((folder / "rtl" / text).read_text() for folder in (counting, split))
        found = re.findall(r"(?m)^  reg \[\d+:0\] lane_(\d+) \[\d+:0\];$", lanes)
        assert sorted(found) == sorted(3 * "0123" + 2 * "012")
        bits = [sum((int(width) + 1) * (int(depth) + 1) for width, depth in re.findall(
            r"(?m)^  reg \[(\d+):0\] \S+ +\[(\d+):0\];$", words)) for words in (whole, lanes)]
        assert bits[0] == bits[1] > 1000
        partial = r"(?m)^ +\S+ ?\[\S+ ?\]\[\d+:\d+\] <= "  # a write into a part of a word
        assert re.search(partial, whole) and not re.search(partial, lanes)


@pytest.mark.parametrize("form", ["fast", "small", "split"])
def test_verilator_finds_nothing_beyond_what_is_explained(request, form):
    result = linted(request.getfixturevalue(form))
    assert result.returncode == 0 and "Warning" not in result.stderr


@pytest.mark.parametrize("small_form", [False, True])
def test_yosys_finds_no_loop_no_latch_and_no_second_driver(tmp_path, small_form):
    (tmp_path / "chip.v").write_text(emit_verilog(top_of(FAULTS_CHIP, small=small_form), "chip"))
    run_yosys("read_verilog chip.v\nhierarchy -top chip\nproc\nflatten\nopt_clean\ncheck -assert\n"
              "select -assert-none t:$dlatch t:$adlatch t:$dlatchsr\n", cwd=tmp_path)


@pytest.mark.parametrize(("form", "chip"), [("fast", FAULTS_CHIP), ("counting", COUNTING)])
def test_the_map_names_every_memory_register_and_counter_of_the_chip(request, form, chip):
    folder = request.getfixturevalue(form)
    numbers = json.loads((folder / "registers.json").read_text())
    assert [entry["name"] for entry in numbers["memories"]] == [entry.name for entry in MEMORIES if entry.rows(chip)]
    assert [entry["name"] for entry in numbers["registers"]] == register_names(chip)
    assert [entry["name"] for entry in numbers["counters"]] == counter_names(chip)
    assert numbers["structure_digest"] == chip.structure_digest
    text = (folder / "registers.md").read_text()
    assert all(f"| {entry['name']} |" in text for kind in ("memories", "registers", "counters")
               for entry in numbers[kind])


def test_the_same_command_writes_the_same_bytes(fast, tmp_path):
    export(FAULTS_CHIP, tmp_path / "chip", samples=2)
    names = sorted(str(path.relative_to(fast)) for path in fast.rglob("*") if path.is_file())
    made = [name for name in names if not re.search(r"\.(vvp|log)$", name)]
    assert {"rtl/chip.v", "rtl/chip.sv", "rtl/chip_axis.v", "sim/tb.v", "sim/vectors.hex", "README.md", "Makefile",
            "lint.vlt", "registers.json", "registers.md", "chip.toml", "constraints/chip.xdc"} <= set(made)
    text = (fast / "rtl" / "chip.v").read_text()
    assert set(re.findall(r'readmemh\("([^"]+)"', text)) == {path.name for path in (fast / "rtl").glob("*.hex")}
    assert "initial_word" not in text
    for name in made:
        assert (fast / name).read_bytes() == (tmp_path / "chip" / name).read_bytes(), name


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UserError, match="must be a new or an empty folder"):
        export(FAULTS_CHIP, tmp_path)
    assert cli.run(["rtl", "tiny", "--out", str(tmp_path)]) == 1
    assert "must be a new or an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_lanes_that_the_chip_does_not_have_are_refused(tmp_path):
    with pytest.raises(UserError, match="lanes must be 1 to neurons = 4, not 9"):
        export(FAULTS_CHIP, tmp_path / "chip", lanes=9)
    assert not list(tmp_path.iterdir())


def test_a_serial_line_too_fast_for_the_clock_is_refused(tmp_path):
    with pytest.raises(UserError, match="baud must be at most 12500000 at a clock of 50000000 Hz, not 20000000"):
        export(FAULTS_CHIP, tmp_path / "chip", port="uart", baud=20_000_000)
    assert not list(tmp_path.iterdir())
