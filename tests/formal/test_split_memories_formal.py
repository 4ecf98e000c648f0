"""Proof that memories of lanes are the wide memory they stand for, whatever is written and read."""

import importlib

import pytest
from amaranth.hdl import Assert, Assume, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ohmspike.hdl.flow.formal import FormalFailure, prove
from ohmspike.hdl.flow.lanes import MemoryPerLane
from support.planted import plant

DEPTH, LANES, BITS = 4, 3, 2


class Twins(wiring.Component):
    """A wide memory and what stands for it, at the same ports.

    An induction looks at one address, which is any and stays, through a port that shows it always.
    """

    watched: In(range(DEPTH))
    address: In(range(DEPTH))
    write_address: In(range(DEPTH))
    written: In(LANES * BITS)
    write: In(LANES)
    read: In(1)

    def __init__(self, platform, *, transparent):
        self.platform, self.transparent = platform, transparent
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        held, started = Signal(range(DEPTH), reset_less=True), Signal(reset_less=True)
        m.d.sync += [held.eq(self.watched), started.eq(1)]
        m.d.comb += Assume(~started | (self.watched == held))
        looked_at, known = Signal(range(DEPTH), reset_less=True), Signal(reset_less=True)
        seen, shown = [], []
        for name, stands in (("wide", lambda memory: memory.elaborate(None)), ("lanes", self.platform.get_memory)):
            memory = Memory(shape=data.ArrayLayout(unsigned(BITS), LANES), depth=DEPTH,
                            init=[[word, 3 - word, word ^ 1] for word in range(4)])
            write = memory.write_port(granularity=1)
            read = memory.read_port(transparent_for=(write,) if self.transparent else ())
            always = memory.read_port(domain="comb")
            m.d.comb += [read.addr.eq(self.address), read.en.eq(self.read), write.addr.eq(self.write_address),
                         write.data.eq(self.written), write.en.eq(self.write), always.addr.eq(self.watched)]
            m.submodules[name] = stands(memory)
            seen.append(read.data)
            shown.append(always.data)
        with m.If(self.read):
            m.d.sync += [looked_at.eq(self.address), known.eq(1)]
        m.d.comb += Assert(shown[0] == shown[1])
        with m.If(known & (looked_at == self.watched)):
            m.d.comb += Assert(seen[0] == seen[1])
        return m


@pytest.mark.parametrize("transparent", [False, True])
def test_memories_of_lanes_are_the_wide_memory(transparent):
    prove(Twins(MemoryPerLane(), transparent=transparent), depth=2, mode="prove")


@pytest.mark.parametrize(("old", "new"), [
    ("write.en.eq(port.en[lane])", "write.en.eq(port.en[0])"), ("word >> bits.start", "word >> lane"),
    ("transparent_for=[writes[write] for write in port.transparent_for]", "transparent_for=[]")])
def test_a_wrong_wire_is_found(monkeypatch, old, new):
    plant(monkeypatch, "flow.lanes", old, new)
    wrong = importlib.import_module("ohmspike.hdl.flow.lanes").MemoryPerLane()
    with pytest.raises(FormalFailure, match=r"DONE \(FAIL"):
        prove(Twins(wrong, transparent=True), depth=2, mode="prove")
