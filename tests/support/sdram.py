"""An SDRAM chip in gates, at the far end of registered pads: it stores, and asserts what its data sheet asks for."""

from amaranth.hdl import Array, Assert, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ohmspike.hdl.top.sdram import BURST, COMMANDS, Sdram, sdram_signature

__all__ = ["SdramChip"]


class SdramChip(wiring.Component):
    """What a data sheet of an SDR SDRAM says, cycle by cycle: banks, rows, bursts with auto-precharge, refresh.

    Parameters
    ----------
    sdram : :class:`Sdram`
    rows : :class:`int`
        Rows of each bank that are there; the others share their cells.
    """

    def __init__(self, sdram: Sdram, rows: int = 4):
        self._sdram, self._rows = sdram, rows
        self.memory = Memory(shape=16, depth=rows << sdram.column_bits + sdram.bank_bits, init=[])
        super().__init__({"pins": In(sdram_signature(sdram))})

    def elaborate(self, platform):
        m = Module()
        sdram, count = self._sdram, 1 << self._sdram.bank_bits
        m.submodules.memory = self.memory
        write, read = self.memory.write_port(granularity=8), self.memory.read_port(domain="comb")

        # the pads of the device register what goes out, and what comes in
        pins = {}
        for name in ("enable", "select", "command", "bank", "address", "mask", "data", "drive"):
            pins[name] = Signal.like(getattr(self.pins, name), name=f"pad_{name}")
            m.d.sync += pins[name].eq(getattr(self.pins, name))
        out, on_the_way = Signal(16), [Signal(16, name=f"way_{k}") for k in range(sdram.cas - 1)]
        for before, after in zip([out, *on_the_way], [*on_the_way, self.pins.read], strict=True):
            m.d.sync += after.eq(before)

        def given(name):
            return pins["enable"] & pins["select"] & (pins["command"] == COMMANDS[name])

        # clocks since things happened, up to a bound
        def since(event, bound):
            age = Signal(range(bound + 1), init=bound, name=f"age_{len(ages)}")
            ages.append(age)
            with m.If(event):
                m.d.sync += age.eq(1)
            with m.Elif(age != bound):
                m.d.sync += age.eq(age + 1)
            return age

        ages = []
        clocks = sdram.clocks
        powered, refreshed = Signal(range(clocks(sdram.start) + 2)), Signal(range(17))
        ready, precharged, moded = Signal(), Signal(), Signal()
        with m.If(powered != clocks(sdram.start)):
            m.d.sync += powered.eq(powered + 1)
        last_refresh = since(given("REFRESH"), 10 * clocks(sdram.interval))
        last_mode = since(given("MODE"), 4)
        any_command = pins["enable"] & pins["select"] & (pins["command"] != COMMANDS["NOP"])
        with m.If(any_command):
            m.d.sync += [
                Assert(powered >= clocks(sdram.start) - 1, "a command before the chip is powered up"),
                Assert(last_refresh >= clocks(sdram.refresh), "a command in a refresh"),
                Assert(last_mode >= 2, "a command while the mode is set"),
            ]
        with m.If(given("MODE")):
            m.d.sync += [moded.eq(1), Assert(precharged & (refreshed >= 2), "a mode before two refreshes"),
                         Assert(pins["address"] == (1 << 9 | sdram.cas << 4 | 3), "another mode")]
        with m.If(given("PRECHARGE")):
            m.d.sync += [precharged.eq(1), Assert(pins["address"][10], "banks are precharged one by one")]
        with m.If(given("REFRESH") & (refreshed != 16)):
            m.d.sync += refreshed.eq(refreshed + 1)
        m.d.comb += ready.eq(moded)
        with m.If(ready):
            m.d.sync += Assert(last_refresh < 2 * clocks(sdram.interval), "no refresh for two intervals")

        # banks
        open_, row = [], []
        for number in range(count):
            is_open, its_row = Signal(name=f"open_{number}"), Signal(sdram.row_bits, name=f"row_{number}")
            open_.append(is_open)
            row.append(its_row)
            here = pins["bank"] == number
            closing = Signal(range(64), name=f"closing_{number}")  # clocks until its precharge begins, and 1
            closed = since(closing == 1, 16)
            activated = since(given("ACTIVATE") & here, 32)
            with m.If(closing != 0):
                m.d.sync += closing.eq(closing - 1)
            with m.If(closing == 1):
                m.d.sync += [is_open.eq(0), Assert(activated >= clocks(sdram.active), "a row is closed too soon")]
            with m.If(given("ACTIVATE") & here):
                m.d.sync += [is_open.eq(1), its_row.eq(pins["address"]), Assert(ready, "no mode is set"),
                             Assert(~is_open, "a row is opened in an open bank"),
                             Assert(closed >= clocks(sdram.precharge), "a bank is opened too soon")]
            for name, until in (("READ", BURST), ("WRITE", clocks(sdram.recover))):
                with m.If(given(name) & here):
                    m.d.sync += [closing.eq(until), Assert(is_open & (closing == 0), f"{name} of a closed bank"),
                                 Assert(pins["address"][10], "a row stays open"),
                                 Assert(activated >= clocks(sdram.activate), f"{name} too soon")]
            with m.If(given("REFRESH")):
                m.d.sync += Assert(~is_open & (closed >= clocks(sdram.precharge)), "a refresh beside an open row")

        # cells
        place = Signal(range(self.memory.depth))
        burst, first, base = Signal(range(BURST + 1)), Signal(3), Signal.like(place)
        column = pins["address"][:sdram.column_bits]
        m.d.comb += place.eq(column | pins["bank"] << sdram.column_bits | (
            Array(row)[pins["bank"]] % self._rows) << sdram.column_bits + sdram.bank_bits)
        m.d.comb += [write.addr.eq(place), write.data.eq(pins["data"]),
                     write.en.eq(Mux(given("WRITE"), ~pins["mask"], 0))]
        with m.If(given("READ")):
            m.d.comb += read.addr.eq(place)
            m.d.sync += [burst.eq(BURST - 1), base.eq(place), first.eq(1)]
        with m.Elif(burst != 0):
            m.d.comb += read.addr.eq(base[3:] << 3 | (base + first)[:3])
            m.d.sync += [burst.eq(burst - 1), first.eq(first + 1)]
        with m.If(given("READ") | (burst != 0)):
            m.d.comb += out.eq(read.data)
            m.d.sync += Assert(~pins["drive"], "both sides drive the data")
        with m.Else():
            m.d.comb += out.eq(0xBAD5)
        with m.If(given("WRITE")):
            m.d.sync += Assert(pins["drive"], "nothing drives what is written")
        return m
