"""A store in an SDRAM of 16 bits beside the device: its controller."""

import math
from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ohmspike.chip.instructions import STORE_COLUMNS, STORE_ROWS_MAX

from .store import store_signature

__all__ = ["Sdram", "SdramStore", "sdram_signature"]

BURST = 8
"""Words of a read."""

REFRESHES = 8
"""Before the mode is set."""

COMMANDS = {"NOP": 0b000, "ACTIVATE": 0b100, "READ": 0b010, "WRITE": 0b011, "PRECHARGE": 0b101, "REFRESH": 0b110,
            "MODE": 0b111}
"""RAS, CAS and WE, 1 where the pin is active."""


@dataclass(frozen=True)
class Sdram:
    """An SDRAM chip and the clock it runs at; the times are those of its data sheet, in nanoseconds.

    Parameters
    ----------
    clock_hz : :class:`int`
        Clock of the controller and, turned by half a period, of the chip.
    row_bits, column_bits, bank_bits : :class:`int`
        Its addresses; a word has 16 bits.
    cas : :class:`int`
        CAS latency, 2 or 3.
    activate, precharge, active, refresh, recover : :class:`int`
        tRCD, tRP, tRAS, tRFC, tWR.
    start : :class:`int`
        From power-up to the first command.
    interval : :class:`int`
        Between two refreshes, on average.
    """

    clock_hz: int
    row_bits: int = 13
    column_bits: int = 9
    bank_bits: int = 2
    cas: int = 2
    activate: int = 21
    precharge: int = 21
    active: int = 45
    refresh: int = 70
    recover: int = 20
    start: int = 200_000
    interval: int = 7_800

    def __post_init__(self):
        if self.cas not in (2, 3):
            raise ValueError(f"cas must be 2 or 3, not {self.cas!r}")
        if self.clocks(self.interval) <= self.clocks(self.refresh) + 32:
            raise ValueError(f"clock_hz must leave an SDRAM time between two refreshes, not {self.clock_hz!r}")

    def clocks(self, nanoseconds: int) -> int:
        """Clocks that are no shorter, at least 1."""
        return max(1, math.ceil(nanoseconds * self.clock_hz / 1e9))

    @property
    def bytes(self) -> int:
        """Bytes that it holds."""
        return 2 << self.row_bits + self.column_bits + self.bank_bits

    @property
    def rows(self) -> int:
        """Rows of the store in it: all of it, or as many as the link can name."""
        return min(STORE_ROWS_MAX, self.bytes // STORE_COLUMNS)


def sdram_signature(sdram: Sdram):
    """Pins of an SDRAM; all are registered once more on the way, in the pads: 1 means that a pin is active."""
    return wiring.Signature({
        "enable": Out(1), "select": Out(1), "command": Out(3), "bank": Out(sdram.bank_bits),
        "address": Out(sdram.row_bits), "mask": Out(2), "data": Out(16), "drive": Out(1), "read": In(16)})


class SdramStore(wiring.Component):
    """A store in an SDRAM: a row is opened for 8 words or for one byte, and closed behind them.

    Bytes are read ahead, 16 to 32 of them; the row of the next ones is opened while these are taken. A refresh comes
    between two such accesses. Nothing is lost by a reset of what uses the store: this controller is not part of it.

    Timing
    ------
    Throughput
        A byte per clock, but for refreshes, as long as ``max(cas, tRP) + tRCD + 10`` are at most 16; a byte is written
        in ``max(tRCD + tWR, tRAS) + tRP`` clocks.
    Latency
        From ``seek`` to the first byte ``tRCD + cas + 4`` clocks, one more for every two bytes behind a border of 16,
        and more if an access or a refresh is under way.
    Reset
        Starts the chip anew, which takes 200 us; what is stored may be lost.

    Parameters
    ----------
    sdram : :class:`Sdram`

    Members
    -------
    port : :py:`In(store_signature())`
    pins : :py:`Out(sdram_signature(sdram))`
    """

    def __init__(self, sdram: Sdram):
        self.sdram = sdram
        super().__init__({"port": In(store_signature()), "pins": Out(sdram_signature(sdram))})

    def elaborate(self, platform):
        m = Module()
        sdram, port, pins = self.sdram, self.port, self.pins
        clocks = sdram.clocks
        m.submodules.words = words = ResetInserter(port.seek | port.written.valid)(
            SyncFIFOBuffered(width=16, depth=2 * BURST + 1))

        # storage
        reading, stale = Signal(), Signal()  # bytes are wanted; those under way are not
        block = Signal(20)  # of 16 bytes: the next to be read
        skipped = Signal(range(BURST))  # words of it that come before the first byte wanted
        half = Signal()
        column = Signal(sdram.column_bits)  # what is being read
        skipping, bank = Signal(range(BURST)), Signal(sdram.bank_bits)
        wait = Signal(range(clocks(sdram.start) + 1))
        left, beat = Signal(range(REFRESHES + 1)), Signal(range(BURST + sdram.cas))
        ticks, due = Signal(range(clocks(sdram.interval))), Signal(range(16))
        refreshes = Signal()

        # refreshes that are due; the interval is rounded down
        period = int(sdram.interval * sdram.clock_hz / 1e9)
        m.d.sync += ticks.eq(Mux(ticks == period - 1, 0, ticks + 1))
        m.d.sync += due.eq(due + (ticks == period - 1) - refreshes)

        # bytes out
        m.d.comb += [
            port.bytes.valid.eq(words.r_rdy),
            port.bytes.payload.eq(words.r_data.word_select(half, 8)),
            words.r_en.eq(port.bytes.ready & half),
        ]
        with m.If(port.bytes.valid & port.bytes.ready):
            m.d.sync += half.eq(~half)
        with m.If(port.seek):
            m.d.sync += [reading.eq(1), block.eq(port.address[4:]), skipped.eq(port.address[1:4]),
                         half.eq(port.address[0]), stale.eq(1)]
        with m.Elif(port.written.valid):
            m.d.sync += reading.eq(0)

        # commands
        def command(name):
            m.d.comb += [pins.select.eq(1), pins.command.eq(COMMANDS[name])]

        def then(state, count):
            m.d.sync += wait.eq(count - 1)
            m.next = state

        def opened(place):
            """Open the row of a word."""
            command("ACTIVATE")
            m.d.comb += [pins.bank.eq(place[sdram.column_bits:][:sdram.bank_bits]),
                         pins.address.eq(place[sdram.column_bits + sdram.bank_bits:])]
            m.d.sync += [column.eq(place[:sdram.column_bits]), bank.eq(pins.bank)]

        steady = wait == 0
        with m.If(~steady):
            m.d.sync += wait.eq(wait - 1)
        m.d.comb += [pins.enable.eq(1), pins.data.eq(port.written.payload.replicate(2)), words.w_data.eq(pins.read)]
        with m.FSM():
            with m.State("POWER UP"):
                then("PRECHARGE", clocks(sdram.start))
            with m.State("PRECHARGE"):
                with m.If(steady):
                    command("PRECHARGE")
                    m.d.comb += pins.address[10].eq(1)
                    m.d.sync += left.eq(REFRESHES)
                    then("REFRESH", clocks(sdram.precharge))
            with m.State("REFRESH"):
                with m.If(steady):
                    command("REFRESH")
                    m.d.sync += left.eq(left - 1)
                    then("REFRESH", clocks(sdram.refresh))
                    with m.If(left == 1):
                        m.next = "MODE"
            with m.State("MODE"):  # bursts of 8 words in order, single writes
                with m.If(steady):
                    command("MODE")
                    m.d.comb += pins.address.eq(1 << 9 | sdram.cas << 4 | 3)
                    m.d.sync += due.eq(0)
                    then("IDLE", 2)
            with m.State("IDLE"):
                with m.If(steady):
                    with m.If(due != 0):
                        command("REFRESH")
                        m.d.comb += refreshes.eq(1)
                        then("IDLE", clocks(sdram.refresh))
                    with m.Elif(port.written.valid):
                        opened(port.address[1:])
                        then("WRITE", clocks(sdram.activate))
                    with m.Elif(reading & ~port.seek & (words.w_level <= BURST)):
                        opened(Cat(Const(0, 3), block))
                        m.d.sync += [block.eq(block + 1), skipping.eq(skipped), skipped.eq(0), stale.eq(0)]
                        then("READ", clocks(sdram.activate))
            with m.State("WRITE"):
                with m.If(steady):
                    command("WRITE")
                    m.d.comb += [pins.bank.eq(bank), pins.address.eq(column | 1 << 10), pins.drive.eq(1),
                                 pins.mask.eq(Mux(port.address[0], 0b01, 0b10)), port.written.ready.eq(1)]
                    then("IDLE", max(clocks(sdram.recover) + clocks(sdram.precharge),
                                     clocks(sdram.active) + clocks(sdram.precharge) - clocks(sdram.activate)))
            with m.State("READ"):
                with m.If(steady):
                    command("READ")
                    m.d.comb += [pins.bank.eq(bank), pins.address.eq(column | 1 << 10)]
                    m.d.sync += beat.eq(0)
                    m.next = "COLLECT"
            with m.State("COLLECT"):  # the first word is here 1 + cas clocks after READ
                word = Signal.like(beat)
                m.d.comb += [word.eq(beat - sdram.cas),
                             words.w_en.eq((beat >= sdram.cas) & (word >= skipping) & ~stale & ~port.seek)]
                m.d.sync += beat.eq(beat + 1)
                with m.If(beat == BURST + sdram.cas - 1):
                    then("IDLE", max(1, clocks(sdram.precharge) - sdram.cas + 1))
        return m
