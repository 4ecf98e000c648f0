"""One entry in the declaration of the state is all that state, files, targets, commands and documents need.

A program of its own runs with a memory and a register added to the source of ``chip/state.py``, and to nothing else.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADDED = '''
    dummy: np.ndarray = _memory(
        code=40, dimensions=("tiles", "classes"), cell_bytes=2, top=full("weight_bits"), summary="a dummy memory")
    gain: int = _register(column=40, top=7, initial=lambda chip: 3, summary="a dummy register")
'''
PROGRAM = '''
import dataclasses, json, sys, types
from pathlib import Path
import ohmspike.chip.description
source = Path("chip/state.py").read_text()
mark = "\\n    @classmethod\\n    def memories"
assert source.count(mark) == 1
module = types.ModuleType("ohmspike.chip.state")
module.__package__, module.__file__ = "ohmspike.chip", "chip/state.py"
sys.modules["ohmspike.chip.state"] = module
exec(compile(source.replace(mark, ADDED + mark), "chip/state.py", "exec"), module.__dict__)

import numpy as np
from ohmspike.chip import Chip
from ohmspike.chip.reference import file_tables, link_tables
from ohmspike.chip.instructions import register_names
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.decode import Decoder
from amaranth.back import rtlil
from ohmspike.host.commands.info import _details
from ohmspike.host.integrity.scrub import scrub
from ohmspike.host.runs.learned import load, save
from ohmspike.host.targets.base import expected_memories
from ohmspike.host.targets.model import ModelTarget
sys.path.insert(0, "tests")
from support.programs import ReferenceExecutor, load_state, read_state, state_from

chip, path = Chip.preset("tiny"), sys.argv[1]
found = {}
a, b = ModelTarget(chip), ModelTarget(chip)
state = a.state()
found["initial"] = [state.dummy.shape, str(state.dummy.dtype), state.gain]
state.dummy[1, 2], state.gain = 61, 5
found["difference"] = state.differences(b.state(), host_only_last=True)
a.load(state)
found["loaded"] = a.state().differences(state)
found["scrubbed"] = [str(damage) for damage in scrub(a, b.state()).damages]
save(path, chip, state)
with np.load(path) as archive:
    found["file"] = [int(archive["dummy"][1, 2]), json.loads(str(archive["header"]))["gain"]]
found["read back"] = load(path)[1].differences(state)
state.dummy[0, 0] = 1 << chip.weight_bits
try:
    save(path, chip, state)
except ValueError as error:
    found["refused"] = str(error)
state.dummy[0, 0] = 0
executor = ReferenceExecutor(chip)
executor.run(load_state(chip, state))
found["over the link"] = state_from(chip, executor.run(read_state(chip)))[0].differences(state)
found["info"] = _details(chip, None)["memory_bits"]["dummy"] == chip.tiles * chip.classes * chip.weight_bits
found["expected"] = sorted({"dummy", "registers"} & set(expected_memories(chip, state)))
found["registers"] = register_names(chip)
found["documents"] = ["a dummy memory" in file_tables(), "`gain`" in file_tables(), "a dummy memory" in link_tables(),
                      "a dummy register" in link_tables()]
decoder = Decoder(Layout(chip, 4))
cases = rtlil.convert(decoder, ports=[decoder.program.payload.as_value()], emit_src=False)
found["decoded"] = "8'00101000" in cases
print(json.dumps(found))
'''


def found_with(added, path):
    """What the program sees with ``added`` in the declaration."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", f"ADDED = {added!r}\n{PROGRAM}", path], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def test_a_memory_and_a_register_are_added_in_one_place(tmp_path):
    assert found_with(ADDED, tmp_path / "learned.npz") == {
        "initial": [[4, 10], "uint16", 3],
        "difference": "dummy[1, 2] is 61, expected 0",
        "loaded": "", "read back": "", "over the link": "",
        "scrubbed": ["dummy[1, 2] is 61, expected 0", "registers[0, 5] is 5, expected 3"],
        "file": [61, 5],
        "refused": "dummy must be 0 to 63, not 64",
        "info": True, "expected": ["dummy", "registers"],
        "registers": ["learn", "theta_step", "theta_base", "report", "margin", "gain"],
        "documents": [True, True, True, True], "decoded": True}


def test_without_the_entry_it_is_nowhere(tmp_path):
    with pytest.raises(RuntimeError, match="no attribute 'dummy'"):
        found_with("", tmp_path / "learned.npz")
