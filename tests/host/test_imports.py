"""What an import brings with it: help and drivers do not pay for compilers, solvers and plots."""

import subprocess
import sys

import pytest

HEAVY = ("amaranth", "matplotlib", "numba", "pandas", "scipy")


def heavy_after(statement):
    """Which heavy packages a fresh interpreter has loaded after a statement, or after the error that it ends with."""
    program = f"import sys\ntry:\n    {statement}\nfinally:\n    print('loaded', *({HEAVY!r} & sys.modules.keys()))"
    program = program.replace(repr(HEAVY), repr(set(HEAVY)))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "loaded" in done.stdout, done.stderr
    return done.stdout.rpartition("loaded")[2].split()


@pytest.mark.parametrize("module", ["ohmspike.boards", "ohmspike.host.link.serial_port"])
def test_drivers_of_a_serial_port_do_not_import_amaranth(module):
    assert heavy_after(f"import {module}") == []


def test_a_heavy_import_is_seen():
    assert heavy_after("import ohmspike.boards.top") == ["amaranth"]
