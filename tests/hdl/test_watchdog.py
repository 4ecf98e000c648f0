"""The watchdog of the link: what hangs is broken off and said so, what is slow is let be."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode, label_code
from ohmspike.chip.instructions import FrameKind, Status
from ohmspike.hdl.link.link import Link
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.chip import ChipTop
from ohmspike.hdl.top.timing import max_idle_cycles
from support.bench import ExecutorBench
from support.programs import check, encode_events, frame, load_state
from support.reference_link import decode, encode
from support.stimulus import random_state, varied
from support.streams import StreamSink, StreamSource

DIGEST = bytes(8)
TICK = 64
HELLO, RUN = FrameKind.HELLO, FrameKind.RUN
GOOD, HANGS, HALF, SLOW = b"\x01\x02\x03", b"\xee\x05\x06", b"\xed\x05\x06\x07", b"\xdd"


class Executor:
    """Answer at once; hang after the program or in its midst; or get on once in a while, for a long time."""

    def __init__(self, dut, pause):
        self.dut, self.pause = dut, pause
        self.programs, self.taken, self.aborts, self.restarts = [], b"", [], []
        self.alive = 0  # clock of the last byte that was taken or came

    async def run(self, ctx):
        dut, clock = self.dut, 0
        answer, waits, moves = [], 0, 0
        while True:
            hung = self.taken[:1] == HALF[:1] and len(self.taken) == 2
            ctx.set(dut.program.ready, not answer and not waits and not hung)
            ctx.set(dut.output.valid, bool(answer))
            if answer:
                ctx.set(dut.output.payload, {"data": answer[0], "last": len(answer) == 1})
            ctx.set(dut.moved, waits == 1)
            _, _, valid, ready, byte, taken, abort, restart = await ctx.tick().sample(
                dut.program.valid, dut.program.ready, dut.program.payload, dut.output.ready, dut.abort, dut.restart)
            clock += 1
            if answer and taken:
                answer.pop(0)
                self.alive = clock
            if waits:
                waits -= 1
                if not waits and (moves := moves - 1):
                    waits = self.pause
                elif not waits:
                    answer = [0x55, Status.OK]
            if valid and ready:
                self.alive = clock
                self.taken += bytes([byte.data])
                if byte.last:
                    self.programs.append(self.taken)
                    if self.taken == SLOW:
                        waits, moves = self.pause, 6
                    elif self.taken[:1] != HANGS[:1]:
                        answer = [len(self.taken), Status.OK]
                    self.taken = b""
            if abort or restart:
                (self.aborts if abort else self.restarts).append(clock)
                answer, waits, self.taken = [], 0, b""


def play(*programs, stall=0.0, clocks=2000, pause=TICK - 1, link=Link, window=2):
    """A session: frames that came back, the executor, and the clocks at which the sink took something."""
    dut = link(DIGEST, max_request=16, max_reply=20, window=window, watchdog=TICK)
    host, sink = StreamSource(dut.rx), StreamSink(dut.tx, stall=stall)
    executor = Executor(dut, pause)
    host.queue.extend(encode(100, HELLO, b"abcd"))
    for place, program in enumerate(programs):
        host.queue.extend(encode(101 + place, RUN, program))
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for role in (host, sink, executor):
        simulator.add_testbench(role.run, background=True)

    async def main(ctx):
        await ctx.tick().repeat(clocks)

    simulator.add_testbench(main)
    simulator.run()
    return decode(bytes(sink.taken)), executor


def replies(frames):
    return [(frame.seq, frame.payload) for frame in frames if frame.kind == FrameKind.REPLY]


@pytest.mark.parametrize("hanging", [HANGS, HALF])
def test_a_hung_program_is_broken_off_and_the_session_goes_on(hanging):
    frames, executor = play(GOOD, hanging, GOOD, b"", GOOD)
    good = b"\x03\x00"
    assert replies(frames) == [(101, good), (102, b"\x04"), (103, good), (104, b"\x00"), (105, good)]
    assert executor.programs == [program for program in (GOOD, hanging, GOOD, GOOD) if program != HALF]
    assert len(executor.aborts) == 1 and not executor.restarts


@pytest.mark.parametrize("before", range(5))
def test_it_acts_after_more_than_one_tick_and_at_most_two(before):
    _, executor = play(*[GOOD] * before, HANGS)
    assert TICK < executor.aborts[0] - executor.alive <= 2 * TICK


def test_a_program_that_gets_on_once_a_tick_is_let_be():
    frames, executor = play(SLOW, GOOD)
    assert replies(frames) == [(101, b"\x55\x00"), (102, b"\x03\x00")]
    assert not executor.aborts + executor.restarts
    frames, executor = play(SLOW, GOOD, pause=2 * TICK + 1)
    assert replies(frames) == [(101, b"\x04"), (102, b"\x03\x00")]


def test_neither_an_idle_link_nor_a_host_that_does_not_take_is_a_hang():
    frames, executor = play(GOOD, clocks=10 * TICK)
    assert not executor.aborts + executor.restarts
    frames, executor = play(GOOD, GOOD, GOOD, stall=1.0, clocks=20 * TICK)
    assert not frames and not executor.aborts + executor.restarts


class NeverActs(Link):
    """A planted bug: the watchdog sleeps."""

    def _watch(self, m):
        super()._watch(m)
        m.d.comb += self._expired.eq(0)


class KeepsReading(Link):
    """A planted bug: what was left of the program is given to the next one."""

    def _execute(self, m):
        super()._execute(m)
        m.d.comb += self._requests.drop.eq(0)


@pytest.mark.parametrize("plant, test", [
    (NeverActs, lambda link: replies(play(HANGS, GOOD, link=link)[0])),
    (KeepsReading, lambda link: replies(play(HALF, GOOD, link=link)[0])),
])
def test_planted_bug_is_caught(plant, test):
    assert test(Link) == [(101, b"\x04"), (102, b"\x03\x00")]
    assert test(plant) != test(Link)


@pytest.mark.parametrize("ticks", [0, 8, 100])
def test_a_bad_period_is_refused(ticks):
    with pytest.raises(ValueError, match=f"^watchdog must be a power of two, at least 16, not {ticks}$"):
        Link(DIGEST, watchdog=ticks)


RACE = Chip(name="longest", plane_height=3, plane_width=4, patch_height=2, patch_width=2, stride=1, neurons=5,
            winners=3, learners=3, min_spikes=1, levels=4, weight_bits=2, amplitudes=1, membrane_bits=8,
            threshold_bits=8, theta_leak=2, trace_bits=8, trace_shift=7, classes=3, score_bits=10, margin=1000)
STEPS = varied(RACE, fire_mode="threshold", winners=1, learners=5, classes=0, margin=0, theta_base=0)


@pytest.mark.parametrize("chip, lanes, ports", [(RACE, 2, 2), (RACE, 5, 1), (STEPS, 1, 2)])
def test_the_longest_event_of_a_chip_is_no_hang(chip, lanes, ports):
    layout = Layout(chip, lanes, level_ports=ports)
    bench, gaps = ExecutorBench(layout), []

    async def watch(ctx):
        dut, gap, busy = bench.dut, 0, False
        while True:
            _, _, valid, ready, moved, output, last = await ctx.tick().sample(
                dut.program.valid, dut.program.ready, dut.moved, dut.output.valid, dut.output.payload.last)
            gap += 1
            if moved or output or (valid and ready):
                gaps.append(gap if busy else 0)
                gap, busy = 0, not (output and last)

    bench._bench.add(watch, background=True)
    state = random_state(chip, np.random.default_rng(4))
    state.learn, state.theta_step = True, 1
    every = frame(chip, range(chip.lines))
    tail = [EventCode.DECIDE, EventCode.ANSWER, label_code(1), EventCode.STEP, 0, EventCode.DARK, EventCode.END]

    async def session(bench, ctx):
        program = (every + encode_events([EventCode.STEP]) + every + encode_events(tail)) * 2 + check("counters", 3)
        for each in (load_state(chip, state), program):
            assert (await bench.execute(ctx, each))[-1] == Status.OK

    bench.run(session)
    assert max_idle_cycles(layout) // 30 < max(gaps) <= max_idle_cycles(layout)
    assert ChipTop(layout).watchdog >= 2 * max_idle_cycles(layout)
