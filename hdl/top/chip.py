"""A whole chip: what executes programs, and that behind its link."""

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, Mux, ResetSignal, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect
from amaranth.utils import bits_for

from ohmspike.chip.instructions import STATUS_WORDS, spikes_bytes
from ohmspike.hdl.fast.core import Core
from ohmspike.hdl.fast.shared_core import SharedCore
from ohmspike.hdl.link.link import Link
from ohmspike.hdl.shared.access import CODE
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.small.core import SmallCore
from ohmspike.hdl.small.shared_core import SmallSharedCore

from .decode import Decoder, RecordWriter, byte_shape
from .store import BlockStore, Replayer, store_signature
from .timing import max_idle_cycles

__all__ = ["ChipTop", "Executor"]


class Executor(wiring.Component):
    """Execute programs: bytes in, bytes out (docs/link.md, Payloads).

    Timing
    ------
    Throughput, latency
        Of :class:`~ohmspike.hdl.top.decode.Decoder` and :class:`~ohmspike.hdl.fast.core.Core`.
    Reset
        Forgets the program and the sample.

    Parameters
    ----------
    layout : :class:`Layout`
    runs : :class:`bool`
        The instruction RUNS is known.
    store : :class:`int`
        Rows of the store at its port; 0: there is none.

    Members
    -------
    program, output : :py:`In`, :py:`Out(stream.Signature(byte_shape()))`
        A program, and its output with the status as last byte.
    status : :py:`In`
        What the memory ``status`` shows.
    moved : :py:`Out(1)`
        An event or an access to a cell is over with this clock, or a byte of the store was taken.
    store : :py:`Out(store_signature())`
        With a store.
    """

    def __init__(self, layout: Layout, *, runs: bool = False, store: int = 0):
        self._layout, self._runs, self._store_rows = layout, runs, store
        fast, small = (SharedCore, SmallSharedCore) if layout.chip.shared else (Core, SmallCore)
        self.core = (small if layout.small else fast)(layout)
        super().__init__({
            "program": In(stream.Signature(byte_shape())),
            "output": Out(stream.Signature(byte_shape())),
            "status": In(self.core.signature.members["status"].shape),
            "moved": Out(1),
        } | ({"store": Out(store_signature())} if store else {}))

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        m.submodules.decoder = decoder = Decoder(self._layout, runs=self._runs, store=self._store_rows)
        m.submodules.record_writer = writer = RecordWriter(self._layout)
        connect(m, decoder.events, core.events)
        connect(m, core.output_spikes, writer.output_spikes)
        connect(m, core.answers, writer.answers)
        accesses = decoder.access_valid, core.access_ready, core.access_data
        moved = (core.events.valid & core.events.ready) | (core.access_valid & core.access_ready)
        if self._store_rows:
            accesses, replays = self._replay(m, core, decoder)
            moved |= replays
        else:
            connect(m, wiring.flipped(self.program), decoder.program)
        m.d.comb += [
            core.access.eq(decoder.access),
            core.access_valid.eq(accesses[0]),
            decoder.access_ready.eq(accesses[1]),
            decoder.access_data.eq(accesses[2]),
            core.status.eq(self.status),
            decoder.dark.eq(core.dark),
            decoder.idle.eq(core.idle & writer.idle),
            self.moved.eq(moved),
            self.output.valid.eq(writer.output.valid | decoder.output.valid),
            self.output.payload.eq(decoder.output.payload),
            writer.output.ready.eq(self.output.ready),
            decoder.output.ready.eq(self.output.ready & ~writer.output.valid),
        ]
        with m.If(writer.output.valid):
            m.d.comb += [self.output.payload.data.eq(writer.output.payload), self.output.payload.last.eq(0)]
        return m

    def _replay(self, m, core, decoder):
        """Bytes of the store come in the midst of a program, and its cells are none of the core.

        Returns accesses as the core shall see them and the decoder their answers, and whether the store got on.
        """
        m.submodules.replayer = replayer = Replayer(self._layout)
        connect(m, wiring.flipped(self.program), replayer.program)
        connect(m, replayer.bytes, decoder.program)
        connect(m, replayer.store, wiring.flipped(self.store))
        here = decoder.access.memory == CODE["store"]
        m.d.comb += [
            *(getattr(replayer, name).eq(getattr(decoder, name))
              for name in ("order", "start", "turn", "drop", "access", "access_valid")),
            *(getattr(decoder, name).eq(getattr(replayer, name)) for name in ("active", "resumes", "over")),
        ]
        accesses = (decoder.access_valid & ~here, Mux(here, replayer.access_ready, core.access_ready),
                    Mux(here, replayer.access_data, core.access_data))
        return accesses, (replayer.active & replayer.bytes.valid & replayer.bytes.ready) | replayer.access_ready


class ChipTop(wiring.Component):
    """A chip behind its link: what a board, or the compiled simulation, clocks.

    Timing
    ------
    Throughput, latency
        Of :class:`~ohmspike.hdl.link.link.Link` and :class:`Executor`.
    Watchdog
        Acts after more than ``watchdog`` and at most 2 ``watchdog`` clocks without a sign of life: a program is broken
        off (the :class:`Executor` is reset, the session goes on), a hung link restarts with everything inside.
    Reset
        Forgets session, programs and the sample; takes no byte in the first clock after it.

    Parameters
    ----------
    layout : :class:`Layout`
    max_request, max_reply : :class:`int`
        Bytes of the longest program and of the longest reply; that of a reply, if it is not given, is 512, or of a
        shared crossbar the power of two that holds the output spikes of every window and the status.
    window : :class:`int`
        Programs the host may have unanswered; a power of two.
    watchdog : :class:`int`
        Clocks between two ticks of the watchdog, a power of two; if not given twice the longest event
        (:func:`~ohmspike.hdl.top.timing.max_idle_cycles`) or more.
    runs : :class:`bool`
        It takes images as runs too, a third of the bytes, and says so to the host (docs/link.md, Runs).
    store : :class:`int`
        Rows of 256 bytes of a store in block RAM, out of which it carries out instructions (docs/link.md, Store); it
        takes RUNS then. 0: there is none.
    outside : :class:`bool`
        The store is not in block RAM, but at the port :py:`store`.

    Members
    -------
    rx, tx : :py:`stream.Signature(8)`
        Bytes from and to the host.
    store : :py:`Out(store_signature())`
        With a store outside.
    """

    def __init__(self, layout: Layout, *, max_request: int = 512, max_reply: int | None = None, window: int = 2,
                 watchdog: int | None = None, runs: bool = False, store: int = 0, outside: bool = False):
        self._outside = outside and store > 0
        super().__init__(self._members() | ({"store": Out(store_signature())} if self._outside else {}))
        self._layout, self._runs, self._store_rows = layout, runs or store > 0, store
        self.watchdog = 1 << bits_for(2 * max_idle_cycles(layout)) if watchdog is None else watchdog
        if max_reply is None:
            most = spikes_bytes(layout.chip) + 1 if layout.chip.shared else 0
            max_reply = max(512, 1 << bits_for(most - 1) if most else 0)
        digest = bytes.fromhex(layout.chip.structure_digest)[:8]
        self._link = Link(digest, max_request=max_request, max_reply=max_reply, window=window,
                          watchdog=self.watchdog, runs=runs, store=store)

    @staticmethod
    def _members():
        return {"rx": In(stream.Signature(8)), "tx": Out(stream.Signature(8))}

    def elaborate(self, platform):
        m = Module()

        # the reset of everything inside comes out of a register: on a device it has far to go, and in a compiled
        # simulation nothing inside then depends on a port in the same clock
        m.domains.chip = ClockDomain()
        m.domains.engine = ClockDomain()
        link, executor = self._link, Executor(self._layout, runs=self._runs, store=self._store_rows)
        resetting, halting = Signal(init=1), Signal(init=1)
        m.d.sync += [resetting.eq(link.restart), halting.eq(link.restart | link.abort)]
        m.d.comb += [ClockSignal("chip").eq(ClockSignal()), ResetSignal("chip").eq(resetting),
                     ClockSignal("engine").eq(ClockSignal()), ResetSignal("engine").eq(halting)]
        m.submodules.link = DomainRenamer("chip")(link)
        m.submodules.executor = DomainRenamer("engine")(executor)
        if self._outside:
            connect(m, executor.store, wiring.flipped(self.store))
        elif self._store_rows:
            m.submodules.block_store = body = DomainRenamer("engine")(BlockStore(self._store_rows))
            connect(m, executor.store, body.port)
        # what is offered while the link is still in reset waits
        m.d.comb += [
            link.rx.payload.eq(self.rx.payload),
            link.rx.valid.eq(self.rx.valid & ~resetting),
            self.rx.ready.eq(link.rx.ready & ~resetting),
        ]
        connect(m, link.tx, wiring.flipped(self.tx))
        self._join(m, link, executor)
        busy_cycles, aborts = Signal(32), Signal(8)
        m.d.chip += busy_cycles.eq(busy_cycles + link.busy)
        m.d.sync += aborts.eq(aborts + (link.abort | link.restart))
        words = {"busy_cycles": busy_cycles, "bad_frames": link.bad_frames,
                 "out_of_sequence": link.out_of_sequence, "repeats": link.repeats, "aborts": aborts}
        m.d.comb += [executor.status[index].eq(words[name]) for index, name in enumerate(STATUS_WORDS)]
        return m

    def _join(self, m, link, executor):
        """Programs of the link go to what executes them."""
        connect(m, link.program, executor.program)
        connect(m, executor.output, link.output)
        m.d.comb += link.moved.eq(executor.moved)
