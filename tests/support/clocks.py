"""How many clocks programs take, and what their cost depends on."""

import numpy as np

from ohmspike.hdl.shared.timing import all_units
from ohmspike.sim.state import ChipState
from support.bench import ExecutorBench
from support.programs import load_state

__all__ = ["facts", "measured", "units_of", "visits_of"]


def measured(layout, programs, *, learn):
    """Clocks of programs, each after those before it, from the initial state."""
    bench = ExecutorBench(layout)
    state = ChipState.initial(layout.chip)
    state.learn = learn

    async def session(bench, ctx):
        for program in [load_state(layout.chip, state), *programs]:
            assert (await bench.execute(ctx, program))[-1] == 0

    bench.run(session)
    return bench.clocks[1:]


def facts(chip, lines):
    """How many tiles see each line (``None``: silent), and which tiles are live."""
    seen = np.bincount(chip.row_lines.ravel(), minlength=chip.lines)
    lit = np.isin(np.arange(chip.lines), lines)
    live = lit[chip.row_lines].sum(1) >= chip.min_spikes
    return [int(count) if on else None for count, on in zip(seen, lit, strict=True)], live.tolist()


def visits_of(chip, line):
    """How many tiles see a line."""
    return int((chip.row_lines == line).sum())


def units_of(chip, live, learn):
    """Which post-trace units of every tile have a trace after a DECIDE."""
    return all_units(chip, [learn and is_live for is_live in live])
