"""ngspice as the judge: netlists written, run and read back."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from ohmspike.chip.wording import reason

from .device import Device

__all__ = ["Netlist", "Simulator", "SpiceError", "Waves", "library", "memristor_lines", "pulses"]

_OPTIONS = ".options reltol=1e-4 abstol=1e-15 chgtol=1e-18 vntol=1e-7 method=gear"
_METER = 1e12


_LEGEND = (
    "run it by: ngspice -b FILE; columns of the waveforms are time and the nodes behind wrdata",
    "V: rails, and pulses of lines as piecewise linear courses; S: switches of word lines; R with a number: cells",
    "X: memristors with their state; Fm: mirror; Cm: membrane; Rm and others of 1e15 ohm: for convergence alone",
    f"Bq, Cq, Rq: meters that integrate a power; a node of theirs is the energy in units of {1 / _METER:g} J",
)
"""What stands on top of every netlist."""


class SpiceError(RuntimeError):
    """ngspice is missing, or did not run a netlist.

    Parameters
    ----------
    hint : str, optional
        What to do about it.
    """

    def __init__(self, message: str, *, hint: str | None = None):
        super().__init__(message)
        self.hint = hint


class Waves:
    """What a simulation gave: nodes against time.

    Parameters
    ----------
    time : float array of shape (points,), s
    nodes : dict of float arrays of that shape
    """

    def __init__(self, time: np.ndarray, nodes: dict[str, np.ndarray]):
        self.time, self.nodes = time, nodes

    def at(self, node: str, times: npt.ArrayLike) -> np.ndarray:
        """Values of a node at times."""
        return np.interp(np.asarray(times, float), self.time, self.nodes[node])

    def last(self, node: str) -> float:
        """The last value of a node."""
        return float(self.nodes[node][-1])

    @overload
    def joules(self, meter: str) -> float: ...

    @overload
    def joules(self, meter: str, times: npt.ArrayLike) -> np.ndarray: ...

    def joules(self, meter: str, times: npt.ArrayLike | None = None) -> float | np.ndarray:
        """What a meter of :meth:`Netlist.meter` read, at the end or at times."""
        return self.last(meter) / _METER if times is None else self.at(meter, times) / _METER

    def rises(self, node: str, threshold: float) -> np.ndarray:
        """Times at which a node rose through a threshold."""
        high = self.nodes[node] > threshold
        return self.time[1:][high[1:] & ~high[:-1]]


def pulses(intervals: Iterable[tuple[float, float, float]], edge: float, start: float = 0.0) -> str:
    """A PWL source that is at ``start`` but for intervals (from, to, value), told between the halves of their edges."""
    points = [(0.0, start)]
    for begin, end, value in intervals:
        half = edge / 2
        points += [(begin - half, start), (begin + half, value), (end - half, value), (end + half, start)]
    return "pwl(" + " ".join(f"{time:.9g} {value:.9g}" for time, value in points) + ")"


def memristor_lines(device: Device) -> list[str]:
    """The subcircuit ``cell`` (top, bottom, state): ohmic, with the state's speed of docs/analog.md."""
    def speed(kind, forward):
        a, b, count = device.rate(kind)
        nominal = getattr(device, f"{kind}_v")
        floor = device.threshold * nominal
        volts = "v(te,be)" if forward else "(-1*v(te,be))"
        rate = 1 / (count * getattr(device, f"{kind}_s"))
        sign = "" if forward else "-1*"
        if steps := getattr(device, f"{kind}_steps"):
            places = list(zip(np.linspace(0, 1, len(steps)), np.array(steps) * count, strict=True))
            places = [*places, (1.001, 0.0)] if forward else [(-0.001, 0.0), *places]  # held at the rails
            points = ",".join(f"{x:.9g},{step:.9g}" for x, step in places)
            return (f"{sign}{rate:.9g}*((({volts}-{floor:.9g})/{nominal - floor:.9g})^{device.exponent:.9g})"
                    f"*pwl(v(xs),{points})")
        return (f"{sign}{rate:.9g}*((({volts}-{floor:.9g})/{nominal - floor:.9g})^{device.exponent:.9g})"
                f"*({b:.9g}-v(xs))/({a:.9g})")

    up, down = (device.threshold * getattr(device, f"{kind}_v") for kind in ("set", "reset"))
    return [
        ".subckt cell te be xs x0=0.5",
        f"Bi te be i=({device.g_min_s:.9g}+{device.g_max_s - device.g_min_s:.9g}*v(xs))*v(te,be)",
        f"Bx 0 xs i=1e-9*(v(te,be)>{up:.9g} ? {speed('set', True)}",
        f"+ : (v(te,be)<-{down:.9g} ? {speed('reset', False)} : 0))",
        "Cx xs 0 1e-9 ic={x0}", "Rx xs 0 1e15", ".ends"]


def library(device: Device) -> str:
    """A library of a device for one's own netlists: ``.lib FILE cell`` gives the subcircuit ``cell``."""
    return "\n".join([
        f"* memristor {device.name}: {device.summary}",
        "* X1 te be xs cell x0=0.5   top and bottom electrode; v(xs) is the state, 0 at the lower rail, 1 at the upper",
        f"* {device.g_min_s:.4g} S to {device.g_max_s:.4g} S; SET {device.set_v:g} V, {device.set_s:g} s; RESET "
        f"{device.reset_v:g} V, {device.reset_s:g} s; below {device.threshold:g} of that nothing moves",
        f"* the access transistor is not in it: {device.access_ohm:g} ohm in series, switched on",
        "* the source of every value is in the device's TOML file (ohmspike device show)",
        ".lib cell", *memristor_lines(device), ".endl cell", ""])


class Netlist:
    """A circuit in words, line by line.

    Parameters
    ----------
    title : str
    """

    def __init__(self, title: str):
        self.title = title
        self._lines: list[str] = []
        self.probes: list[str] = []

    def add(self, *lines: str) -> None:
        """Add elements or directives."""
        self._lines += lines

    def probe(self, *nodes: str) -> None:
        """Record the voltages of nodes."""
        self.probes += nodes

    def source(self, name: str, node: str, value: float | str) -> None:
        """A voltage source from a node to ground: volts, or the text of a waveform."""
        self.add(f"V{name} {node} 0 {value if isinstance(value, str) else f'dc {value:.9g}'}")

    def meter(self, name: str, watts: str) -> None:
        """Integrate an expression of power; read with :meth:`Waves.joules`.

        Scaled, so that femtojoules stand clear of the simulator's tolerances.
        """
        self.add(f"Bq{name} 0 {name} i=({watts})*{_METER * 1e-6:g}", f"Cq{name} {name} 0 1e-6 ic=0",
                 f"Rq{name} {name} 0 1e15")
        self.probe(name)

    def switch_model(self, name: str, ohm: float, threshold: float = 0.5) -> None:
        """A switch that is on above a control voltage."""
        self.add(f".model {name} sw vt={threshold:.9g} vh=0 ron={max(ohm, 1e-2):.9g} roff=1e15")

    def memristor_model(self, device: Device) -> None:
        """The subcircuit ``cell`` (top, bottom, state): ohmic, with the state's speed of docs/analog.md."""
        self.add(*memristor_lines(device))

    def text(self, step: float, stop: float, largest: float, output: str = "waves.txt") -> str:
        """The whole netlist with its transient analysis."""
        probes = " ".join(f"v({node})" for node in self.probes)
        return "\n".join([
            f"* {self.title}", *self._lines, _OPTIONS, ".control", "set wr_singlescale", "set wr_vecnames",
            "set numdgt=9", f"tran {step:.6g} {stop:.9g} 0 {largest:.6g} uic", f"wrdata {output} {probes}", "quit 0",
            ".endc", ".end", ""])


class Simulator:
    """The ngspice on this machine.

    Parameters
    ----------
    keep : path, optional
        Folder in which netlists and their results stay.
    executable : str
        Name or path of ngspice.

    Raises
    ------
    SpiceError
        There is no such program.
    """

    def __init__(self, keep: Path | None = None, executable: str = "ngspice"):
        path = shutil.which(executable)
        if path is None:
            raise SpiceError(f"{executable}: not found on the path",
                             hint="install it: apt-get install ngspice, or brew install ngspice")
        self.path = path
        self.keep = None if keep is None else Path(keep)
        try:
            banner = subprocess.run([self.path, "--version"], capture_output=True, text=True, timeout=30).stdout
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SpiceError(f"{self.path}: cannot be run: {reason(error)}") from None
        self.remarks: tuple[str, ...] = ()
        found = re.search(r"ngspice-(\S+)", banner)
        self.version = found[1] if found else "of unknown version"

    def run(self, name: str, netlist: Netlist, *, stop: float, largest: float, timeout: float = 300.0) -> Waves:
        """Simulate a netlist from its initial conditions.

        Parameters
        ----------
        name : str
            Name of the files that are kept.
        stop, largest : float
            End of the simulation and largest time step, s.

        Raises
        ------
        SpiceError
            ngspice refused the netlist, broke off, or did not give what was asked for.
        """
        title, _, rest = netlist.text(largest, stop, largest, f"{name}.txt").partition("\n")
        remarks = [f"* {remark}" for remark in (*self.remarks, *_LEGEND)]
        text = "\n".join([title, *remarks, rest])
        with tempfile.TemporaryDirectory(prefix="ohmspike-spice-") as temporary:
            folder = Path(temporary) if self.keep is None else self.keep
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.cir").write_text(text, "utf-8")
            waves = folder / f"{name}.txt"
            waves.unlink(missing_ok=True)
            try:
                done = subprocess.run([self.path, "-b", f"{name}.cir"], cwd=folder, capture_output=True, text=True,
                                      errors="replace", timeout=timeout)
            except subprocess.TimeoutExpired:
                raise SpiceError(f"{name}: ngspice took more than {timeout:g} s") from None
            lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
            trouble = next((line for line in lines if re.search(r"\b(error|aborted|too small)\b", line, re.I)), "")
            if done.returncode or trouble or not waves.exists():
                raise SpiceError(f"{name}: ngspice failed: {trouble or f'exit code {done.returncode}'}",
                                 hint=None if self.keep else "look at the netlist: --keep FOLDER")
            table = np.loadtxt(waves, skiprows=1, ndmin=2)
        if table.shape[1] != 1 + len(netlist.probes) or table[-1, 0] < stop * 0.999:
            raise SpiceError(f"{name}: ngspice broke off at {table[-1, 0]:g} s of {stop:g} s")
        return Waves(table[:, 0], dict(zip(netlist.probes, table[:, 1:].T, strict=True)))
