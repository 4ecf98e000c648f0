"""A memory whose rows a proof can look at."""

from types import SimpleNamespace

from amaranth.hdl import Array, Elaboratable, Module, Signal

__all__ = ["Rows"]


class Rows(Elaboratable):
    """In place of a memory: the same ports, and rows that a proof can look at."""

    def __init__(self, *, shape, depth, init):
        self.rows = [Signal(shape, name=f"row_{row}") for row in range(depth)]
        self.read, self.write = (SimpleNamespace(addr=Signal(range(depth)), data=Signal(shape), en=Signal())
                                 for _ in range(2))

    def read_port(self):
        return self.read

    def write_port(self):
        return self.write

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.read.data.eq(Array(self.rows)[self.read.addr])
        with m.If(self.write.en):
            m.d.sync += Array(self.rows)[self.write.addr].eq(self.write.data)
        return m
