"""Sessions with the compiled RTL, recorded, and played again to the emitted RTL in a simulator of four states."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from ohmspike.hdl.flow.emit import ports
from ohmspike.hdl.flow.toolchain import run_yosys
from ohmspike.host.link.ports import CompiledPort

__all__ = ["RecordedPort", "four_state_difference"]

BENCH = Path(__file__).with_name("four_state.v")
UNDEFINED = ["delete t:$meminit*", "setattr -unset init w:*"]


class RecordedPort(CompiledPort):
    """A port that keeps what went through it: bytes sent, each preceded by how many had come, and bytes that came."""

    def __init__(self, rtl, **options):
        super().__init__(rtl, **options)
        self.script, self.came = [], b""
        self._write, self._read = self.write, self.read
        self.write, self.read = self._send, self._take

    def _send(self, payload):
        self.script += [1 << 31 | len(self.came), *payload]
        self._write(payload)

    def _take(self):
        taken = self._read()
        self.came += taken
        return taken


def four_state_difference(component: wiring.Component, port: RecordedPort) -> str:
    """Play a recorded session to the Verilog of a chip in Icarus; what differs, or is undefined where it may not be.

    Every memory is undefined at power-up, and every register until a reset of three clocks.
    """
    with tempfile.TemporaryDirectory(prefix="ohmspike-four-state-") as scratch:
        folder = Path(scratch)
        design = rtlil.convert(component, name="chip", ports=ports(component), emit_src=False)
        (folder / "design.il").write_text(design)
        run_yosys("\n".join(["read_rtlil design.il", *UNDEFINED, "proc -norom", "memory_collect",
                             "write_verilog -noattr design.v"]) + "\n", cwd=folder)
        (folder / "script.hex").write_text("\n".join(f"{word:08x}" for word in port.script))
        (folder / "expected.hex").write_text("\n".join(f"{byte:02x}" for byte in port.came))
        sizes = [f"-DWORDS={len(port.script)}", f"-DBYTES={len(port.came)}"]
        said = _run(["iverilog", "-g2005", "-Wall", "-Wno-timescale", *sizes, "-o", "bench", str(BENCH), "design.v"],
                    folder)
        assert said == "", f"iverilog warns: {said}"
        said = _run(["vvp", "-n", "bench"], folder)
        return "" if said == "equal" else said


def _run(command, folder):
    """What a program says; an exit code other than 0 is an error."""
    done = subprocess.run([shutil.which(command[0]) or command[0], *command[1:]], cwd=folder, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    return done.stdout.strip()
