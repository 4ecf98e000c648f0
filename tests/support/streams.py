"""Roles at a stream's ends, for the Amaranth simulator: they know ports only."""

import random
from collections import deque

__all__ = ["StreamSink", "StreamSource", "watch_stream"]


class StreamSource:
    """Offer what is in :attr:`queue`, with idle clocks in between; ``times`` are the clocks of the transfers."""

    def __init__(self, port, *, idle=0.0, seed=0):
        self.port, self.idle, self.rng = port, idle, random.Random(f"source {seed}")
        self.queue, self.times, self.clock = deque(), [], 0
        self.offering = False

    async def run(self, ctx):
        while True:
            if not self.offering and self.queue and self.rng.random() >= self.idle:
                self.offering = True
                ctx.set(self.port.payload, self.queue[0])
            ctx.set(self.port.valid, self.offering)
            _, _, ready = await ctx.tick().sample(self.port.ready)
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
        while True:
            ready = self.rng.random() >= self.stall
            ctx.set(self.port.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(self.port.valid, self.port.payload)
            self.clock += 1
            if valid and ready:
                self.taken.append(payload)
                self.times.append(self.clock)
                if self.on_take is not None:
                    self.on_take(payload)


def watch_stream(port, *, name, reset=None):
    """A background checker: what is offered stays offered, unchanged, until it is taken; a reset forgives."""
    async def watch(ctx):
        held, clock = None, 0
        samples = [port.valid, port.ready, port.payload] + ([reset] if reset is not None else [])
        while True:
            _, _, valid, ready, payload, *resetting = await ctx.tick().sample(*samples)
            clock += 1
            if held is not None:
                assert valid, f"{name} took back {held} in clock {clock}"
                assert payload == held, f"{name} changed {held} to {payload} in clock {clock}"
            held = payload if valid and not ready and not any(resetting) else None
    return watch
