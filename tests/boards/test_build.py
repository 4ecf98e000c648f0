"""Boards: clocks, pins, plans; and builds that do not fit or are too slow say what, by how much, and what to change."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from ohmspike.boards import BOARDS
from ohmspike.boards import build as build_module
from ohmspike.boards.build import BuildError, BuildReport, build, load
from ohmspike.boards.foreign import board_of
from ohmspike.boards.pll import NoPll, ecp5_dividers, ice40_dividers
from ohmspike.boards.top import BoardTop
from ohmspike.chip import Chip
from ohmspike.hdl.flow.synth import BUDGETS
from ohmspike.hdl.flow.toolchain import ToolchainError
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.costs import cost_table, image_costs
from ohmspike.host.commands import cli

CHIP = Chip(name="small", plane_height=3, plane_width=4, patch_height=2, patch_width=2, stride=1, neurons=4, winners=2,
            learners=1, min_spikes=1, levels=8, weight_bits=3, membrane_bits=6, threshold_bits=6, amplitudes=2)


def planned(name, **options):
    board = BOARDS[name]
    top = BoardTop(board, Layout(CHIP, 2, board.level_ports), clock_hz=board.clock_hz, baud=board.baud, **options)
    return build_module._plan(board, top)


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_has_a_plan_with_its_pins_and_clocks(name):
    plan = planned(name)
    constraints = next(text for path, text in plan.files.items() if path.endswith((".lpf", ".pcf", ".cst")))
    constraints = constraints if isinstance(constraints, str) else constraints.decode()
    assert constraints.count("uart_0__rx__io") >= 1 and constraints.count("uart_0__tx__io") >= 1
    commands = json.loads(plan.files["build_ohmspike.json"])["commands"]
    assert [command[0].split("-")[0] for command in commands] in (["yosys", "nextpnr", "ecppack"],
                                                                  ["yosys", "nextpnr", "icepack"],
                                                                  ["yosys", "nextpnr", "gowin_pack"])
    assert BOARDS[name].device in BUDGETS
    script = plan.files["ohmspike.ys"]
    assert all(pattern in script for pattern in BOARDS[name].undefined)


def test_a_clock_that_is_not_on_the_pin_of_the_pll_goes_in_through_a_buffer():
    hx8k, up5k = (planned(name).files["ohmspike.il"] for name in ("hx8k-b-evn", "icebreaker"))
    assert "SB_PLL40_CORE" in hx8k and r"connect \REFERENCECLK" in hx8k and "SB_PLL40_PAD" not in hx8k
    assert "SB_PLL40_PAD" in up5k and r"connect \PACKAGEPIN" in up5k and "SB_PLL40_CORE" not in up5k


def test_a_gowin_is_placed_by_the_tools_of_today_at_the_clock_of_its_board():
    _, place, pack = json.loads(planned("tangnano9k").files["build_ohmspike.json"])["commands"]
    assert place[0] == "nextpnr-himbaechel-gowin" and " ".join(place).count("--freq 27.0000") == 1
    assert "family=GW1N-9C" in place and pack[:3] == ["gowin_pack", "-d", "GW1N-9C"]
    with pytest.raises(ValueError, match="clock_hz must be within 2 % .*, not 40000000"):
        NoPll(27_000_000, 40_000_000)


def test_a_store_is_in_block_ram_or_at_the_pins_of_the_sdram():
    plain, block, sdram = (planned("ulx3s-25f", **options).files for options in ({}, {"store": 4}, {"sdram": True}))
    pins = re.findall(r'COMP "sdram_0__(\w+?)__io', sdram["ohmspike.lpf"])
    assert {name: pins.count(name) for name in pins} == {
        "clk": 1, "clk_en": 1, "cs": 1, "ras": 1, "cas": 1, "we": 1, "ba": 2, "a": 13, "dqm": 2, "dq": 16}
    assert r"cell \ODDRX1F" in sdram["ohmspike.il"] and "sdram" not in plain["ohmspike.lpf"] + block["ohmspike.lpf"]
    assert ["block_store" in files["ohmspike.il"] for files in (plain, block, sdram)] == [False, True, False]


def test_a_board_without_sdram_has_no_store_there(tmp_path):
    with pytest.raises(BuildError, match="^iCEBreaker.* has no SDRAM$"):
        build("icebreaker", CHIP, folder=tmp_path, sdram=True)


@pytest.mark.parametrize("size", ["0", "16384", "-4", "2.5", "SDRAM", "ram"])
def test_a_store_of_another_size_is_a_usage_error(size, capsys):
    assert cli.run(["build", "--board", "ulx3s-25f", "--store", size]) == 2
    assert f"must be 1 to 16383 KiB or sdram, not '{size}'" in capsys.readouterr().err


def test_the_same_chip_gives_the_same_plan():
    assert planned("ulx3s-25f").digest() == planned("ulx3s-25f").digest()


@pytest.mark.parametrize(("in_mhz", "out_mhz"), [(25, 25), (25, 40), (25, 50), (25, 62.5), (25, 31), (100, 50)])
def test_ecp5_dividers_keep_the_oscillator_in_its_range(in_mhz, out_mhz):
    found, (divide, feedback, output) = ecp5_dividers(in_mhz * 1_000_000, int(out_mhz * 1e6))
    exact = in_mhz * feedback / divide
    assert abs(found / 1e6 - exact) < 1e-6 and abs(exact - out_mhz) <= out_mhz / 50
    assert 400 <= exact * output <= 800 and in_mhz / divide >= 3.125


@pytest.mark.parametrize("out_mhz", [16, 18, 20, 24, 30, 48])
def test_ice40_dividers_keep_the_oscillator_in_its_range(out_mhz):
    found, (divide, feedback, power, filters) = ice40_dividers(12_000_000, out_mhz * 1_000_000)
    oscillator = 12 * (feedback + 1) / (divide + 1)
    assert abs(found / 1e6 - oscillator / 2**power) < 1e-5 and abs(found / 1e6 - out_mhz) <= out_mhz / 50
    assert 533 <= oscillator <= 1066 and filters == 1


@pytest.mark.parametrize(("dividers", "hertz"), [(ecp5_dividers, 500), (ice40_dividers, 3_000_000)])
def test_a_clock_the_pll_cannot_make_is_refused(dividers, hertz):
    with pytest.raises(ValueError, match=f"clock_hz must be within 2 % .*, not {hertz}"):
        dividers(12_000_000, hertz)


def test_too_large_a_chip_is_told_by_how_much_and_what_to_change():
    board = BOARDS["icebreaker"]
    resources = {name: {"used": available, "available": available}
                 for name, (available, _) in BUDGETS[board.device].resources.items()}
    layout = Layout(Chip.load("up5k"), 10, 1)
    build_module._refuse_excess(board, layout.chip, layout, resources)
    resources["LUT4"]["used"] += 1481
    resources["block RAM"]["used"] += 23
    with pytest.raises(BuildError) as caught:
        build_module._refuse_excess(board, layout.chip, layout, resources)
    assert str(caught.value) == ("up5k with 10 lanes does not fit iCEBreaker, iCE40UP5K: "
                                 "LUT4: 6,761 of 5,280, 1,481 too many; block RAM: 53 of 30, 23 too many")
    assert "fewer lanes" in caught.value.hint and "smaller tiles" in caught.value.hint


def timing(folder, achieved, constraint=50.0):
    hop = {"from": {"cell": "a", "port": "Q"}, "to": {"cell": "b", "port": "D"}}
    start = {"cell": "serial.chip.decoder.bits_TRELLIS_FF_Q_1"}
    path = [{**hop, "type": "clk-to-q", "delay": 0.5, "net": None, "to": start},
            {**hop, "type": "routing", "delay": 1.25, "net": "serial.chip.decoder.bits[3]"},
            {**hop, "type": "routing", "delay": 19.0, "net": "serial.chip.core.router.x_LUT4_Z_1_D[2]"}]
    (folder / "timing.json").write_text(json.dumps({
        "fmax": {"clk": {"achieved": achieved, "constraint": constraint}}, "utilization": {
            "TRELLIS_COMB": {"used": 9, "available": 10}, "DCCA": {"used": 0, "available": 4}},
        "critical_paths": [{"from": "posedge clk", "to": "posedge clk", "path": path}]}))


@pytest.mark.parametrize(("name", "ports", "some"), [
    ("paper100-free", 2, "image of 656 spikes, 1 fires"), ("tiny", 2, "image of 122 spikes, learning"),
    ("shared-small", 1, "image of 122 spikes, answered")])
def test_clocks_of_an_image_are_in_the_code_of_the_chip(name, ports, some):
    """Of a chip that runs free those of a rate-coded image, whose many STEPs cost more than its spikes."""
    layout = Layout(Chip.preset(name), 5, ports)
    costs = image_costs(layout)
    assert some in costs and all(cost.startswith("image of ") for cost in costs)
    [plain, *_] = costs.values()
    assert plain > cost_table(layout)["END"]
    report = BuildReport(board="b", chip=name, digest="", structure_digest="", lanes=5, clock_hz=1, baud=1, plan="",
                         bitstream="", resources={}, placed={}, fmax_mhz=1.0, worst_path=[], cycles=costs, seconds={},
                         versions={}, rtl="", seed=None)
    assert re.search(rf"^{some} +{costs[some]:,} clocks$", report.text(), re.MULTILINE)


def test_too_slow_a_chip_is_told_by_how_much_and_where(tmp_path):
    board = BOARDS["ulx3s-25f"]
    timing(tmp_path, 47.0)
    with pytest.raises(BuildError) as caught:
        build_module._timing(board, CHIP, None, tmp_path, None)
    assert str(caught.value) == (
        "small is too slow for ULX3S, LFE5U-25F: 50.00 MHz were asked for, 47.00 MHz are reached, 1.28 ns too many "
        "from serial.chip.decoder bits to serial.chip.core.router x")
    assert "--mhz 47" in caught.value.hint


def test_a_fast_enough_chip_has_its_worst_path_in_names_of_components(tmp_path):
    timing(tmp_path, 51.0)
    placed, fmax, path = build_module._timing(BOARDS["ulx3s-25f"], CHIP, None, tmp_path, None)
    assert placed == {"TRELLIS_COMB": {"used": 9, "available": 10}} and fmax == 51.0
    assert [(step["component"], step["signal"], step["ns"]) for step in path] == [
        ("serial.chip.decoder", "bits", 1.75), ("serial.chip.core.router", "x", 20.75)]


def test_a_failure_of_place_and_route_shows_what_it_said(tmp_path):
    (tmp_path / "ohmspike.tim").write_text("Info: packing\nERROR: Unable to place cell 'x', no Bels remaining\n")
    with pytest.raises(BuildError, match="was not placed and routed on .*: Unable to place cell 'x'"):
        build_module._timing(BOARDS["icebreaker"], CHIP, None, tmp_path, ToolchainError("nextpnr failed"))


@pytest.mark.parametrize(("options", "message"), [
    ({"board": "abacus"}, "board must be one of ulx3s-85f, .*, not 'abacus'"),
    ({"board": "ulx3s-25f", "baud": 40_000_000}, "baud must be at most 10000000 at a clock of 40000000 Hz"),
    ({"board": "icebreaker", "clock_hz": 1000}, "clock_hz must be within 2 %"),
])
def test_bad_wishes_are_refused_before_any_tool_runs(tmp_path, options, message):
    with pytest.raises(BuildError, match=message):
        build(options.pop("board"), CHIP, folder=tmp_path, **options)


def documented_board(folder):
    """The board of docs/boards.md as a file."""
    text = (Path(__file__).parents[2] / "docs" / "boards.md").read_text("utf-8")
    code = re.search(r"```python\n(\"\"\"mine.py.*?)```", text, re.DOTALL)[1]
    assert code.count("\n") <= 40
    path = folder / "mine.py"
    path.write_text(code)
    return path


def test_a_board_of_ones_own_has_a_plan(tmp_path):
    board = board_of(str(documented_board(tmp_path)))
    assert board.name == "mine" and board.name not in BOARDS
    top = BoardTop(board, Layout(CHIP, 2, board.level_ports), clock_hz=board.clock_hz, baud=board.baud)
    plan = build_module._plan(board, top)
    assert plan.files["ohmspike.lpf"].count("uart_0__rx__io") >= 1


@pytest.mark.parametrize(("text", "message"), [
    ("", "must set BOARD to an ohmspike.boards.Board, not None"),
    ("BOARD = 3", "must set BOARD to an ohmspike.boards.Board, not 3"),
    ("import no_such_module", "must describe a board, but it ends in ModuleNotFoundError: No module named"),
    ("BOARD = (", "must describe a board, but it ends in SyntaxError"),
    ("import dataclasses\nfrom ohmspike.boards import BOARDS\n"
     "BOARD = dataclasses.replace(BOARDS['icesugar'], name='x', device='abacus')",
     "device of x must be one of ecp5-85f, .*, not 'abacus'"),
    ("import dataclasses\nfrom ohmspike.boards import BOARDS\n"
     "BOARD = dataclasses.replace(BOARDS['icesugar'], name='x', pll='abacus')",
     "pll of x must be one of ecp5, ice40, ice40-core, gowin, or None, not 'abacus'")])
def test_a_file_that_is_no_board_is_told(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(BuildError, match=message):
        build(str(path), CHIP, folder=tmp_path / "build")


def test_the_command_takes_a_board_of_ones_own_and_keeps_it_out_of_our_records(tmp_path, capsys):
    path = str(documented_board(tmp_path))
    assert cli.run(["build", "--board", str(tmp_path / "none.py")]) == 1
    assert "board must be a file that is there, not" in capsys.readouterr().err
    assert cli.run(["build", "--board", path, "--record", str(tmp_path / "builds.json")]) == 1
    assert "--record must be of a board of ours" in capsys.readouterr().err


def test_a_missing_loader_is_an_error_with_a_hint(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="openFPGALoader was not found"):
        load("ulx3s-85f", tmp_path / "ohmspike.bit")


def test_missing_pins_are_an_error_with_a_hint(tmp_path, monkeypatch):
    def missing():
        raise ImportError("No module named 'amaranth_boards'")

    monkeypatch.setitem(BOARDS, "bare", dataclasses.replace(BOARDS["ulx3s-25f"], platform=missing))
    with pytest.raises(BuildError, match="the pins of ULX3S, LFE5U-25F were not found"):
        build("bare", CHIP, folder=tmp_path)
