"""One memory for each lane of a wide word, for block RAM that writes whole words."""

from amaranth import Const, Module, Shape, unsigned
from amaranth.lib.memory import Memory

__all__ = ["MemoryPerLane"]


class MemoryPerLane:
    """A platform for Amaranth on which a memory whose words are written in parts becomes a memory for each part.

    Ports, clocks and contents are the same. yosys has one write enable for a word in the M10K blocks of Cyclone V, and
    makes flip-flops of a memory with enables for parts that no block fits. Where a block has enables that fit, one wide
    memory takes fewer blocks.

    The hook is that of :class:`amaranth.lib.memory.Memory`.
    """

    def get_memory(self, memory: Memory):
        """What stands for a memory."""
        lanes = max((len(port.en) for port in memory.write_ports), default=1)
        if lanes == 1:
            return memory.elaborate(None)
        if any(len(port.en) != lanes for port in memory.write_ports):
            raise ValueError(f"all write ports must have {lanes} enables, as one of them has, not "
                             f"{', '.join(str(len(port.en)) for port in memory.write_ports)}")
        m = Module()
        width = Shape.cast(memory.shape).width // lanes
        words = [Const.cast(Const(word, memory.shape)).value for word in memory.data.init]
        for lane in range(lanes):
            bits = slice(lane * width, (lane + 1) * width)
            m.submodules[f"lane_{lane}"] = part = Memory(
                shape=unsigned(width), depth=memory.depth, attrs=memory.attrs,
                init=[word >> bits.start & (1 << width) - 1 for word in words])
            writes = {}
            for port in memory.write_ports:
                writes[port] = write = part.write_port(domain=port.domain)
                m.d.comb += [write.addr.eq(port.addr), write.data.eq(port.data.as_value()[bits]),
                             write.en.eq(port.en[lane])]
            for port in memory.read_ports:
                read = part.read_port(domain=port.domain,
                                      transparent_for=[writes[write] for write in port.transparent_for])
                m.d.comb += [read.addr.eq(port.addr), port.data.as_value()[bits].eq(read.data)]
                if port.domain != "comb":
                    m.d.comb += read.en.eq(port.en)
        return m
