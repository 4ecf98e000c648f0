"""Roles of a bench for the Amaranth simulator: source, sink, stream rule, scoreboard, and the bench itself."""

import os
import random

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import data, wiring
from amaranth.sim import Simulator

from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.top.chip import Executor
from support.programs import ReferenceExecutor, read_state, state_from

__all__ = ["Bench", "ExecutorBench", "Scoreboard", "StreamRule", "StreamSink", "StreamSource"]

_PERIOD_S = 1e-6


def _plain(value):
    """A sampled payload as what was put in: an integer, or a dict of fields."""
    if isinstance(value, data.Const):
        layout = value.shape()
        if isinstance(layout, data.StructLayout):
            return {name: _plain(value[name]) for name, _ in layout}
        return list(value)
    return value if isinstance(value, int) else int(getattr(value, "value", value))


class StreamSource:
    """Offer items on a stream in order; before each it idles with the given probability per clock.

    Parameters
    ----------
    stream : interface
    idle : :class:`float`
        Probability that a clock offers nothing although there is an item.
    seed : :class:`int`
    """

    def __init__(self, stream, *, idle: float = 0.0, seed: int = 0):
        self.stream, self._idle, self._draw = stream, idle, random.Random(seed)
        self.items, self.accepted = [], []  # accepted: the clock of each

    def send(self, *items):
        self.items += items

    async def run(self, ctx):
        stream, clock, offered, valid = self.stream, 0, False, False
        sampled = ctx.tick().sample(stream.ready)
        while True:
            if not offered and self.items and self._draw.random() >= self._idle:
                offered = True
                ctx.set(stream.payload, self.items[0])
            if valid != offered:  # a signal is set where it changes alone: setting takes time
                ctx.set(stream.valid, offered)
                valid = offered
            _, reset, ready = await sampled
            if offered and ready and not reset:
                self.items.pop(0)
                self.accepted.append(clock)
                offered = False
            clock += 1


class StreamSink:
    """Take items from a stream, refusing with the given probability per clock.

    Parameters
    ----------
    stream : interface
    stall : :class:`float`
    seed : :class:`int`
    """

    def __init__(self, stream, *, stall: float = 0.0, seed: int = 0):
        self.stream, self._stall, self._draw = stream, stall, random.Random(seed)
        self.items, self.taken = [], []  # taken: the clock of each

    async def run(self, ctx):
        stream, clock, standing, rule = self.stream, 0, None, StreamRule("sink")
        sampled = ctx.tick().sample(stream.valid, stream.payload)
        while True:
            ready = self._draw.random() >= self._stall
            if ready != standing:
                ctx.set(stream.ready, ready)
                standing = ready
            _, reset, valid, payload = await sampled
            payload = _plain(payload) if valid else None
            rule.see(valid, ready, payload, reset)
            if valid and ready and not reset:
                self.items.append(payload)
                self.taken.append(clock)
            clock += 1


class StreamRule:
    """The rule of a stream: once valid, it stays, and the payload with it, until taken or reset."""

    def __init__(self, name: str):
        self.name, self._clock, self._waiting = name, 0, None

    def see(self, valid, ready, payload, reset=False):
        """What stood on the wires at the end of a clock."""
        if self._waiting is not None:
            assert valid, f"{self.name}: valid fell before the item was taken, clock {self._clock}"
            assert payload == self._waiting, f"{self.name}: payload changed before it was taken, clock {self._clock}"
        self._waiting = payload if valid and not ready and not reset else None
        self._clock += 1


class Scoreboard:
    """Compare what came with what was expected; it knows neither model nor hardware."""

    def __init__(self, name: str = ""):
        self.name = name

    def compare(self, came, expected, context: str = ""):
        """Raise with the first difference, and where: the context carries seed and step."""
        where = f"{self.name} {context}".strip()
        for index, (ours, theirs) in enumerate(zip(came, expected, strict=False)):
            assert ours == theirs, f"{where}: item {index} is {ours}, expected {theirs}"
        assert len(came) == len(expected), f"{where}: {len(came)} items, expected {len(expected)}"


class Bench:
    """Clock, reset and wiring of one component.

    Parameters
    ----------
    dut : component
    limit : :class:`int`
        Clocks after which the bench gives up.
    """

    def __init__(self, dut: wiring.Component, *, limit: int = 20_000):
        self.dut, self.limit = dut, limit
        self._domain = ClockDomain("sync")
        self.reset = self._domain.rst
        self._processes = []

    def add(self, process, *, background: bool = False):
        self._processes.append((process, background))

    def source(self, stream, **options) -> StreamSource:
        found = StreamSource(stream, **options)
        self.add(found.run, background=True)
        return found

    def sink(self, stream, **options) -> StreamSink:
        found = StreamSink(stream, **options)
        self.add(found.run, background=True)
        return found

    def run(self, testbench):
        """Run until ``testbench(ctx)`` returns."""
        top = Module()
        top.domains.sync = self._domain
        top.submodules.dut = self.dut
        simulator = Simulator(top)
        simulator.add_clock(_PERIOD_S)
        for process, background in self._processes:
            simulator.add_testbench(process, background=background)

        async def watchdog(ctx):
            await ctx.delay(self.limit * _PERIOD_S)  # woken once: at every clock it took a tenth of the time
            raise AssertionError(f"the bench did not end within {self.limit} clocks")

        simulator.add_testbench(watchdog, background=True)
        simulator.add_testbench(testbench)
        simulator.run()

    async def settle(self, ctx, done):
        """Clock until ``done()``."""
        while not done():
            await ctx.tick()


class ExecutorBench:
    """Programs through an :class:`Executor`, byte by byte, with idle and stall.

    Parameters
    ----------
    layout : :class:`Layout`
    idle, stall : :class:`float`
        Probability per clock of an idle source and a stalling sink.
    dut : component, optional
        In place of the executor: a broken one.
    """

    def __init__(self, layout: Layout, *, idle: float = 0.0, stall: float = 0.0, seed: int = 0, dut=None,
                 limit: int = 400_000):
        self.layout, self.chip = layout, layout.chip
        self.dut = Executor(layout) if dut is None else dut
        self._bench = Bench(self.dut, limit=limit)
        self.idle, self.stall, self._draw = idle, stall, random.Random(seed)
        self.clocks = []  # of every program, from its first byte offered to its status

    def run(self, session):
        """Run ``async session(bench, ctx)``."""
        async def testbench(ctx):
            await session(self, ctx)

        self._bench.run(testbench)

    async def execute(self, ctx, program: bytes, *, reset_after: int | None = None) -> bytes | None:
        """Output of a program; with ``reset_after``, a reset after so many clocks, and nothing is returned."""
        port, answer, rule = self.dut.program, self.dut.output, StreamRule("output")
        out, sent, clocks, offered, last = bytearray(), 0, 0, False, 0
        shown, standing = -1, None  # a signal is set where it changes alone: setting takes time
        sampled = ctx.tick().sample(port.ready, answer.valid, answer.payload.data, answer.payload.last)
        while not last:
            offered = sent < len(program) and (offered or self.idle == 0 or self._draw.random() >= self.idle)
            wanted = sent if offered else None
            if wanted != shown:
                ctx.set(port.valid, offered)
                if offered:
                    ctx.set(port.payload, {"data": program[sent], "last": sent == len(program) - 1})
                shown = wanted
            ready = self.stall == 0 or self._draw.random() >= self.stall
            if ready != standing:
                ctx.set(answer.ready, ready)
                standing = ready
            if clocks == reset_after:
                ctx.set(self._bench.reset, 1)
                await ctx.tick()
                ctx.set(self._bench.reset, 0)
                ctx.set(port.valid, 0)
                return None
            _, _, taken, valid, byte, final = await sampled
            rule.see(valid, ready, (byte, final))
            clocks += 1
            if offered and taken:
                sent, offered = sent + 1, False
            if valid and ready:
                out.append(byte)
                last = final
        assert sent == len(program), f"the status came after {sent} of {len(program)} bytes"
        ctx.set(port.valid, 0)
        self.clocks.append(clocks)
        return bytes(out)

    async def state(self, ctx):
        """State and register ``report`` by READ bursts, without idle or stall."""
        idle, stall = self.idle, self.stall
        self.idle = self.stall = 0.0
        output = await self.execute(ctx, read_state(self.chip))
        self.clocks.pop()
        self.idle, self.stall = idle, stall
        return state_from(self.chip, output)

    async def compare(self, ctx, reference: ReferenceExecutor, programs, *, each: bool = False, context: str = ""):
        """Every program on both: the same output after each, the same state and counters after the last.

        Reading a state takes most of the clocks of a short session. It lasts, so what goes wrong in it is there at the
        end too, where no program writes over it; ``each``, or the nightly run, reads it after every program.
        """
        each = each or "OHMSPIKE_LONG_TESTS" in os.environ
        for index, program in enumerate(programs):
            came, expected = await self.execute(ctx, program), reference.run(program)
            where = f"{context}, program {index} ({program.hex()})"
            assert came == expected, f"{where}: output {came.hex()}, expected {expected.hex()}"
            if not each and index < len(programs) - 1:
                continue
            state, report = await self.state(ctx)
            found = state.differences(reference.oracle.state)
            assert not found, f"{where}: {found}"
            assert report == reference.report, f"{where}: report is {report}, expected {reference.report}"
