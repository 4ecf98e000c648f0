"""The clock of the chip, made from that of the board."""

from collections.abc import Iterable
from typing import Any, TypeVar

from amaranth import Elaboratable, Instance, Module, Signal
from amaranth.build import Platform
from amaranth.lib import io

__all__ = ["PLLS", "Ecp5Pll", "Ice40CorePll", "Ice40Pll", "NoPll", "Pll", "ecp5_dividers", "ice40_dividers"]

T = TypeVar("T")

ECP5_VCO_HZ = 400_000_000, 800_000_000
ECP5_INPUT_HZ = 3_125_000, 400_000_000
ICE40_VCO_HZ = 533_000_000, 1_066_000_000
ICE40_INPUT_HZ = 10_000_000, 133_000_000
ICE40_OUTPUT_HZ = 16_000_000, 275_000_000
_ICE40_FILTERS = (17_000_000, 26_000_000, 44_000_000, 66_000_000, 101_000_000)  # upper ends of ranges 1 to 5


def _nearest(in_hz: int, out_hz: int, choices: Iterable[tuple[int, T]]) -> tuple[int, T]:
    """The first of the choices (out_hz, dividers) whose frequency is nearest."""
    best = min(choices, key=lambda choice: abs(choice[0] - out_hz), default=None)
    if best is None or abs(best[0] - out_hz) > out_hz / 50:
        raise ValueError(f"clock_hz must be within 2 % of what the PLL makes of {in_hz} Hz, not {out_hz!r}")
    return best


def ecp5_dividers(in_hz: int, out_hz: int) -> tuple[int, tuple[int, int, int]]:
    """Frequency and (CLKI_DIV, CLKFB_DIV, CLKOP_DIV) of an EHXPLLL that is fed back from its main output."""
    return _nearest(in_hz, out_hz, (
        (in_hz * feedback // divide, (divide, feedback, round(600_000_000 * divide / (in_hz * feedback))))
        for divide in range(1, 129) if ECP5_INPUT_HZ[0] <= in_hz / divide <= ECP5_INPUT_HZ[1]
        for feedback in range(1, 81)
        if 1 <= (output := round(600_000_000 * divide / (in_hz * feedback))) <= 128
        and ECP5_VCO_HZ[0] <= in_hz * feedback / divide * output <= ECP5_VCO_HZ[1]))


def ice40_dividers(in_hz: int, out_hz: int) -> tuple[int, tuple[int, int, int, int]]:
    """Frequency and (DIVR, DIVF, DIVQ, FILTER_RANGE) of an SB_PLL40 with simple feedback."""
    return _nearest(in_hz, out_hz, (
        (in_hz * (feedback + 1) // (divide + 1) >> power,
         (divide, feedback, power, 1 + sum(in_hz / (divide + 1) >= end for end in _ICE40_FILTERS)))
        for divide in range(16) if ICE40_INPUT_HZ[0] <= in_hz / (divide + 1) <= ICE40_INPUT_HZ[1]
        for feedback in range(128)
        if ICE40_VCO_HZ[0] <= in_hz * (feedback + 1) / (divide + 1) <= ICE40_VCO_HZ[1]
        for power in range(1, 7)
        if ICE40_OUTPUT_HZ[0] <= in_hz * (feedback + 1) / (divide + 1) / (1 << power) <= ICE40_OUTPUT_HZ[1]))


class Pll(Elaboratable):
    """A clock from a clock.

    Attributes
    ----------
    in_hz, out_hz : :class:`int`
        Frequencies; the second is the nearest the PLL can do to what was asked for, at most 2 % off.
    clock_in
        Port of the board's clock, to be set before elaboration.
    clock, locked : :class:`Signal`
    """

    def __init__(self, in_hz: int, out_hz: int):
        self.in_hz = in_hz
        self.out_hz, self._dividers = self.dividers(in_hz, out_hz)
        self.clock_in: Any = None
        self.clock, self.locked = Signal(), Signal()

    @staticmethod
    def dividers(in_hz: int, out_hz: int) -> tuple[int, tuple[int, ...]]:
        """Frequency and dividers of the PLL that come nearest.

        Raises
        ------
        ValueError
            It cannot come within 2 %.
        """
        raise NotImplementedError


class Ecp5Pll(Pll):
    """On an ECP5, from a pin."""

    dividers = staticmethod(ecp5_dividers)

    def elaborate(self, platform: Platform) -> Module:
        m = Module()
        m.submodules.pin = pin = io.Buffer("i", self.clock_in)
        divide, feedback, output = self._dividers
        m.submodules.ehxplll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{self.in_hz / 1e6:.4f}", a_FREQUENCY_PIN_CLKOP=f"{self.out_hz / 1e6:.4f}",
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8",
            p_CLKI_DIV=divide, p_CLKFB_DIV=feedback, p_CLKOP_DIV=output, p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_CPHASE=output // 2, p_CLKOP_FPHASE=0, p_FEEDBK_PATH="CLKOP",
            i_CLKI=pin.i, i_CLKFB=self.clock, i_RST=0, i_STDBY=0, i_PHASESEL0=0, i_PHASESEL1=0, i_PHASEDIR=0,
            i_PHASESTEP=0, i_PHASELOADREG=0, i_PLLWAKESYNC=0, i_ENCLKOP=0, o_CLKOP=self.clock, o_LOCK=self.locked)
        return m


class Ice40Pll(Pll):
    """On an iCE40, from the PLL's own pin."""

    dividers = staticmethod(ice40_dividers)

    def elaborate(self, platform: Platform) -> Module:
        m = Module()
        kind, source = self._source(m)
        divide, feedback, power, filters = self._dividers
        m.submodules.pll40 = Instance(
            kind, p_FEEDBACK_PATH="SIMPLE", p_PLLOUT_SELECT="GENCLK", p_DIVR=divide, p_DIVF=feedback,
            p_DIVQ=power, p_FILTER_RANGE=filters, **source, i_RESETB=1, i_BYPASS=0,
            o_PLLOUTGLOBAL=self.clock, o_LOCK=self.locked)
        return m

    def _source(self, m: Module) -> tuple[str, dict[str, Any]]:
        """The cell, and the port at which the clock comes in."""
        return "SB_PLL40_PAD", {"i_PACKAGEPIN": self.clock_in.io}


class Ice40CorePll(Ice40Pll):
    """On an iCE40, from any other pin."""

    def _source(self, m: Module) -> tuple[str, dict[str, Any]]:
        m.submodules.pin = pin = io.Buffer("i", self.clock_in)
        return "SB_PLL40_CORE", {"i_REFERENCECLK": pin.i}


class NoPll(Pll):
    """The clock of the board as it is."""

    @staticmethod
    def dividers(in_hz: int, out_hz: int) -> tuple[int, tuple[int, ...]]:
        """The frequency of the board, and no dividers."""
        return _nearest(in_hz, out_hz, [(in_hz, ())])

    def elaborate(self, platform: Platform) -> Module:
        m = Module()
        m.submodules.pin = pin = io.Buffer("i", self.clock_in)
        m.d.comb += [self.clock.eq(pin.i), self.locked.eq(1)]
        return m


PLLS = {"ecp5": Ecp5Pll, "ice40": Ice40Pll, "ice40-core": Ice40CorePll, "gowin": NoPll}
"""By the family of the device, or as a board asks for it."""
