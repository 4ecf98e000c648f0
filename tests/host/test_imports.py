"""What an import brings with it: help and drivers do not pay for compilers, solvers and plots."""

import subprocess
import sys

import pytest

from ohmspike.host.commands.cli import SECTIONS

HEAVY = ("amaranth", "matplotlib", "numba", "pandas", "rich", "scipy.linalg", "scipy.optimize")
COMMANDS = [name for commands in SECTIONS.values() for name in commands]

_PROGRAM = """
import sys
before = set(sys.modules)
try:
    {statement}
finally:
    print("loaded", *({heavy} & sys.modules.keys()), len(sys.modules.keys() - before))
"""


def loaded(statement):
    """Which heavy packages a fresh interpreter has loaded after a statement, and how many modules in all."""
    program = _PROGRAM.format(statement=statement, heavy=set(HEAVY))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "loaded" in done.stdout, done.stderr
    *heavy, count = done.stdout.rpartition("loaded")[2].split()
    return sorted(heavy), int(count)


def ran(*words):
    return f"sys.argv = {['ohmspike', *words]}; import ohmspike.__main__; ohmspike.__main__.main()"


def test_help_imports_no_command():
    heavy, count = loaded(ran("--help"))
    assert heavy == [] and count < 300  # NumPy alone would be more


def test_the_list_of_chips_needs_no_gates_and_no_machine_code():
    assert loaded(ran("info"))[0] == []


@pytest.mark.parametrize("words", [COMMANDS[first::4] for first in range(4)], ids=" ".join)
def test_help_of_a_command_imports_nothing_heavy(words):
    """Several to an interpreter: what one of them loads, all have loaded."""
    calls = "; ".join(f"cli.run([{word!r}, '--help'])" for word in words)
    assert loaded(f"from ohmspike.host.commands import cli; {calls}")[0] == []


@pytest.mark.parametrize("module", ["ohmspike.boards", "ohmspike.host.link.serial_port"])
def test_drivers_of_a_serial_port_do_not_import_amaranth(module):
    assert "amaranth" not in loaded(f"import {module}")[0]


def test_a_board_as_a_target_needs_no_amaranth():
    assert "amaranth" not in loaded("import ohmspike.host.targets.serial")[0]


def test_the_front_door_costs_nothing():
    heavy, count = loaded("import ohmspike")
    assert heavy == [] and count < 60  # of the standard library


def test_a_heavy_import_is_seen():
    assert loaded("import ohmspike.boards.top")[0] == ["amaranth"]
