"""cocotb bench of the executor: random programs against the oracle; run by test_executor.py on the emitted RTL."""

import json
import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode, label_code
from support.programs import (
    ReferenceExecutor,
    encode_events,
    load_state,
    random_program,
    read_state,
    state_from,
    write,
)
from support.stimulus import random_state

CHIP = Chip.from_dict(json.loads(os.environ["BENCH_CHIP"]))
SEED = int(os.environ["BENCH_SEED"])
PROGRAMS = int(os.environ["BENCH_PROGRAMS"])


class Executor:
    """Bytes of programs into the design and of its output back, with seeded idle and stall; checks the stream rule."""

    def __init__(self, dut, *, idle, stall, seed):
        self.dut, self.idle, self.stall, self.draw = dut, idle, stall, random.Random(seed)

    async def start(self):
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        dut.program_valid.value = dut.program_payload.value = dut.output_ready.value = dut.status.value = 0
        await self.reset()

    async def reset(self):
        self.dut.rst.value = 1
        await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def execute(self, program, *, reset_after=None):
        """Output of a program; with ``reset_after``, a reset after so many clocks, and nothing is returned."""
        dut, out, sent, offered, waiting, clocks = self.dut, bytearray(), 0, False, None, 0
        while True:
            await FallingEdge(dut.clk)
            if clocks == reset_after:
                dut.program_valid.value = 0
                await self.reset()
                return None
            offered = sent < len(program) and (offered or self.draw.random() >= self.idle)
            ready = self.draw.random() >= self.stall
            dut.program_valid.value = offered
            if offered:
                dut.program_payload.value = program[sent] | (sent == len(program) - 1) << 8
            dut.output_ready.value = ready
            await RisingEdge(dut.clk)
            clocks += 1
            if offered and dut.program_ready.value:
                sent, offered = sent + 1, False
            valid, payload = bool(dut.output_valid.value), dut.output_payload.value
            if waiting is not None:
                assert valid and payload == waiting, f"output changed before it was taken, seed {SEED}"
            waiting = payload if valid and not ready else None
            if valid and ready:
                byte = payload.to_unsigned()
                out.append(byte & 0xFF)
                if byte >> 8:
                    break
        await FallingEdge(dut.clk)
        dut.program_valid.value = 0
        assert sent == len(program), f"the status came after {sent} of {len(program)} bytes"
        return bytes(out)

    async def state(self):
        return state_from(CHIP, await self.execute(read_state(CHIP)))[0]

    async def compare(self, reference, program, where, *, last=True):
        """The same output, and after the last of some programs the same state: reading it takes most of the clocks."""
        came, expected = await self.execute(program), reference.run(program)
        assert came == expected, f"{where} ({program.hex()}): output {came.hex()}, expected {expected.hex()}"
        found = last and (await self.state()).differences(reference.oracle.state)
        assert not found, f"{where} ({program.hex()}): {found}"


@cocotb.test(timeout_time=50, timeout_unit="ms")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.3])
async def programs_match_the_oracle(dut, idle, stall):
    """Output after every random program, state and counters after all."""
    rng = np.random.default_rng([SEED, int(idle * 10), int(stall * 10)])
    executor, reference = Executor(dut, idle=idle, stall=stall, seed=SEED), ReferenceExecutor(CHIP)
    await executor.start()
    state = random_state(CHIP, rng)
    state.learn, state.theta_step = True, int(rng.choice([0, 3, 40]))
    await executor.compare(reference, load_state(CHIP, state), "loading", last=False)
    for index in range(PROGRAMS):
        program = random_program(CHIP, rng, 25)
        await executor.compare(reference, program, f"seed {SEED}, idle {idle}, stall {stall}, program {index}",
                               last=index == PROGRAMS - 1)


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def reset_in_mid_operation_keeps_what_lasts(dut):
    """Wherever a reset falls, the next sample is right, from the state that the reset left."""
    rng = np.random.default_rng(SEED)
    executor, reference = Executor(dut, idle=0.1, stall=0.1, seed=SEED), ReferenceExecutor(CHIP)
    await executor.start()
    state = random_state(CHIP, rng)
    state.learn = True
    await executor.compare(reference, load_state(CHIP, state), "loading")
    labelled = [EventCode.ANSWER, label_code(1), label_code(2)]
    events = encode_events([0, 1, 0, -1, CHIP.lines - 1, -1, -2, *labelled, 1, -3, -4])
    for after in rng.integers(1, 300 + 200 * (CHIP.classes > 0), PROGRAMS).tolist():
        await executor.execute(events * 3, reset_after=after)
        state = await executor.state()
        registers = state.learn, state.theta_step, state.theta_base, state.margin
        assert registers == (False, 0, 0, 0), f"seed {SEED}, after {after} clocks"
        reference.oracle.state = state
        reference.reset()
        await executor.compare(reference, write("registers", [1, 3, 9, 1, 60]) + events,
                               f"seed {SEED}, reset after {after} clocks")
