"""Registers on an AXI4-Lite bus, and the bytes of the link as AXI4-Streams or through the registers."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.chip.instructions import protocol_of

__all__ = ["AXI_REGISTERS", "AxiRegisters"]

AXI_REGISTERS = (
    ("identity", "read", "`OHMS` in ASCII, 0x534D484F"),
    ("version", "read", "bits 7 to 0: version of the link's protocol; bits 15 to 8: its window"),
    ("digest_low", "read", "first four bytes of the structure digest, as IDENTITY has them"),
    ("digest_high", "read", "the next four"),
    ("control", "read and write", "bit 0: hold the chip in reset; bit 1: bytes come and go through `data`, and the "
                                  "streams rest"),
    ("status", "read", "bit 0: the chip takes a byte; bit 1: a byte of the chip waits"),
    ("data", "read and write", "with bit 1 of control: written, a byte for the chip; read, a byte of the chip, and bit "
                               "8 is 1 if there was one"),
    ("bytes_in", "read", "bytes the chip has taken, modulo 2^32"),
    ("bytes_out", "read", "bytes the chip has sent, modulo 2^32"),
)
"""Registers of 32 bits, four bytes apart from address 0: name, access, meaning."""

_OK, _SLVERR = 0, 2


class AxiRegisters(wiring.Component):
    """A chip's link on an AXI4-Lite bus and two AXI4-Streams (:data:`AXI_REGISTERS`).

    A write to ``data`` is answered when the chip has taken the byte, so none is lost. Refused with SLVERR are accesses
    to ``data`` without ``control`` bit 1, writes to a register that is only read or of a part of ``control``, and
    addresses without a register. ``control`` is to be written while no byte is under way.

    Timing
    ------
    Throughput
        A byte per clock on the streams; an access of the bus in 2 clocks or more.
    Latency
        1 clock from both halves of a write, or the address of a read, to the response.
    Reset
        ``control`` becomes 0; an access under way is forgotten.

    Parameters
    ----------
    digest : :class:`bytes`
        First 8 bytes of the chip's structure digest.
    window : :class:`int`
    runs : :class:`bool`
    store : :class:`int`
        Of the link.

    Members
    -------
    s_axi_... :
        AXI4-Lite, addresses of 6 bits.
    s_axis, m_axis : :py:`stream.Signature(8)`
        Bytes into the chip and out of it.
    rx, tx : :py:`stream.Signature(8)`
        Towards the chip.
    hold : :py:`Out(1)`
        The chip is to be reset.
    """

    s_axi_awaddr: In(6)
    s_axi_awvalid: In(1)
    s_axi_awready: Out(1)
    s_axi_wdata: In(32)
    s_axi_wstrb: In(4)
    s_axi_wvalid: In(1)
    s_axi_wready: Out(1)
    s_axi_bresp: Out(2)
    s_axi_bvalid: Out(1)
    s_axi_bready: In(1)
    s_axi_araddr: In(6)
    s_axi_arvalid: In(1)
    s_axi_arready: Out(1)
    s_axi_rdata: Out(32)
    s_axi_rresp: Out(2)
    s_axi_rvalid: Out(1)
    s_axi_rready: In(1)
    s_axis: In(stream.Signature(8))
    m_axis: Out(stream.Signature(8))
    rx: Out(stream.Signature(8))
    tx: In(stream.Signature(8))
    hold: Out(1)

    def __init__(self, digest: bytes, *, window: int = 2, runs: bool = False, store: int = 0):
        self._digest, self._window = bytes(digest), window
        self._protocol = protocol_of(runs=runs, store=store)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        control = Signal(2)
        by_register, taken_in, taken_out = Signal(), Signal(32), Signal(32)
        byte, full = Signal(8), Signal()  # written to data, not yet taken
        reading = Signal()  # data is read in this clock
        m.d.comb += [self.hold.eq(control[0]), by_register.eq(control[1])]

        # bytes: of the streams or of the registers
        m.d.comb += [
            self.rx.valid.eq((by_register & full) | (~by_register & self.s_axis.valid & ~self.hold)),
            self.s_axis.ready.eq(~by_register & self.rx.ready & ~self.hold),
            self.m_axis.payload.eq(self.tx.payload),
            self.m_axis.valid.eq(~by_register & self.tx.valid & ~self.hold),
            self.tx.ready.eq((by_register & reading) | (~by_register & self.m_axis.ready & ~self.hold)),
            self.rx.payload.eq(self.s_axis.payload),
        ]
        with m.If(by_register):
            m.d.comb += self.rx.payload.eq(byte)
        m.d.sync += [taken_in.eq(taken_in + (self.rx.valid & self.rx.ready)),
                     taken_out.eq(taken_out + (self.tx.valid & self.tx.ready))]

        words = {
            "identity": Const(int.from_bytes(b"OHMS", "little"), 32),
            "version": Const(self._protocol | self._window << 8, 32),
            "digest_low": Const(int.from_bytes(self._digest[:4], "little"), 32),
            "digest_high": Const(int.from_bytes(self._digest[4:8], "little"), 32),
            "control": control, "status": Cat(self.rx.ready & ~self.hold, self.tx.valid & ~self.hold),
            "data": Cat(self.tx.payload, self.tx.valid), "bytes_in": taken_in, "bytes_out": taken_out,
        }
        places = {name: place for place, (name, _, _) in enumerate(AXI_REGISTERS)}

        # a read
        m.d.comb += self.s_axi_arready.eq(~self.s_axi_rvalid)
        with m.If(self.s_axi_rready):
            m.d.sync += self.s_axi_rvalid.eq(0)
        with m.If(self.s_axi_arvalid & self.s_axi_arready):
            m.d.sync += [self.s_axi_rvalid.eq(1), self.s_axi_rresp.eq(_SLVERR), self.s_axi_rdata.eq(0)]
            with m.Switch(self.s_axi_araddr[2:]):
                for name, place in places.items():
                    with m.Case(place):
                        m.d.sync += [self.s_axi_rdata.eq(words[name]), self.s_axi_rresp.eq(_OK)]
            with m.If(self.s_axi_araddr[2:] == places["data"]):
                m.d.comb += reading.eq(1)
                with m.If(~by_register):
                    m.d.sync += [self.s_axi_rdata.eq(0), self.s_axi_rresp.eq(_SLVERR)]

        # a write: both halves at once, no other before its response is taken
        both = Signal()
        m.d.comb += [
            both.eq(self.s_axi_awvalid & self.s_axi_wvalid & ~self.s_axi_bvalid & ~full),
            self.s_axi_awready.eq(both),
            self.s_axi_wready.eq(both),
        ]
        with m.If(self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)
        with m.If(full & self.rx.ready):
            m.d.sync += [full.eq(0), self.s_axi_bvalid.eq(1)]
        with m.If(both):
            m.d.sync += [self.s_axi_bvalid.eq(1), self.s_axi_bresp.eq(_SLVERR)]
            with m.If(self.s_axi_wstrb.all() & (self.s_axi_awaddr[2:] == places["control"])):
                m.d.sync += [self.s_axi_bresp.eq(_OK), control.eq(self.s_axi_wdata[:2])]
            with m.If(self.s_axi_wstrb[0] & by_register & ~self.hold & (self.s_axi_awaddr[2:] == places["data"])):
                m.d.sync += [self.s_axi_bresp.eq(_OK), self.s_axi_bvalid.eq(0), full.eq(1),
                             byte.eq(self.s_axi_wdata[:8])]
        return m
