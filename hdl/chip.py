"""A whole chip: what executes programs, and that behind its link."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ohmspike.chip import Chip

from .core import Core
from .decode import Decoder, FireWriter, byte_shape
from .layout import Layout

__all__ = ["Executor"]


class Executor(wiring.Component):
    """Execute programs: bytes in, bytes out (docs/link.md, Payloads).

    Timing
    ------
    Throughput, latency
        Of :class:`~ohmspike.hdl.decode.Decoder` and :class:`~ohmspike.hdl.core.Core`.
    Reset
        Forgets the program and the sample.

    Parameters
    ----------
    layout : :class:`Layout`

    Members
    -------
    program, output : :py:`In`, :py:`Out(stream.Signature(byte_shape()))`
        A program, and its output with the status as last byte.
    status : :py:`In`
        What the memory ``status`` shows.
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        self.core = Core(layout)
        super().__init__({
            "program": In(stream.Signature(byte_shape())),
            "output": Out(stream.Signature(byte_shape())),
            "status": In(self.core.signature.members["status"].shape),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        m.submodules.decoder = decoder = Decoder(self._layout)
        m.submodules.fire_writer = writer = FireWriter(self._layout)
        connect(m, decoder.events, core.events)
        connect(m, core.fires, writer.fires)
        connect(m, wiring.flipped(self.program), decoder.program)
        m.d.comb += [
            core.access.eq(decoder.access),
            core.access_valid.eq(decoder.access_valid),
            decoder.access_ready.eq(core.access_ready),
            decoder.access_data.eq(core.access_data),
            core.status.eq(self.status),
            decoder.dark.eq(core.dark),
            decoder.idle.eq(core.idle & writer.idle),
            self.output.valid.eq(writer.output.valid | decoder.output.valid),
            self.output.payload.eq(decoder.output.payload),
            writer.output.ready.eq(self.output.ready),
            decoder.output.ready.eq(self.output.ready & ~writer.output.valid),
        ]
        with m.If(writer.output.valid):
            m.d.comb += [self.output.payload.data.eq(writer.output.payload), self.output.payload.last.eq(0)]
        return m
