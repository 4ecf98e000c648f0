"""Roles at a stream's ends, for the Amaranth simulator: they know ports only."""

import random
from collections import deque

from amaranth.hdl import Const, Value

__all__ = ["StreamSink", "StreamSource", "watch_stream", "watch_streams"]


class StreamSource:
    """Offer what is in :attr:`queue`, with idle clocks in between; ``times`` are the clocks of the transfers."""

    def __init__(self, port, *, idle=0.0, seed=0):
        self.port, self.idle, self.rng = port, idle, random.Random(f"source {seed}")
        self.queue, self.times, self.clock = deque(), [], 0
        self.offering = False

    async def run(self, ctx):
        sampled, valid = ctx.tick().sample(self.port.ready), None
        while True:
            if not self.offering and self.queue and self.rng.random() >= self.idle:
                self.offering = True
                ctx.set(self.port.payload, self.queue[0])
            if valid != self.offering:  # a signal is set where it changes alone: setting takes time
                ctx.set(self.port.valid, self.offering)
                valid = self.offering
            _, _, ready = await sampled
            self.clock += 1
            if self.offering and ready:
                self.queue.popleft()
                self.times.append(self.clock)
                self.offering = False


class StreamSink:
    """Take what comes, with stalled clocks in between; ``taken`` and ``times`` are the transfers and their clocks."""

    def __init__(self, port, *, stall=0.0, seed=0, on_take=None):
        self.port, self.stall, self.rng, self.on_take = port, stall, random.Random(f"sink {seed}"), on_take
        self.taken, self.times, self.clock = [], [], 0

    async def run(self, ctx):
        sampled, standing = ctx.tick().sample(self.port.valid, self.port.payload), None
        while True:
            ready = self.rng.random() >= self.stall
            if ready != standing:
                ctx.set(self.port.ready, ready)
                standing = ready
            _, _, valid, payload = await sampled
            self.clock += 1
            if valid and ready:
                self.taken.append(payload)
                self.times.append(self.clock)
                if self.on_take is not None:
                    self.on_take(payload)


def watch_stream(port, *, name, reset=None):
    """A background checker: what is offered stays offered, unchanged, until it is taken; a reset forgives."""
    return watch_streams({name: port}, reset=reset)


def watch_streams(ports, *, reset=None):
    """The checker of several ports by name, woken once a clock for all."""
    async def watch(ctx):
        held, clock = dict.fromkeys(ports), 0
        wires = [wire for port in ports.values() for wire in (port.valid, port.ready, Value.cast(port.payload))]
        sampled = ctx.tick().sample(*wires, Const(0) if reset is None else reset)
        while True:
            _, _, *values, resetting = await sampled
            clock += 1
            for name, valid, ready, payload in zip(held, values[::3], values[1::3], values[2::3], strict=True):
                if held[name] is not None:
                    assert valid, f"{name} took back {held[name]} in clock {clock}"
                    assert payload == held[name], f"{name} changed {held[name]} to {payload} in clock {clock}"
                held[name] = payload if valid and not ready and not resetting else None
    return watch
