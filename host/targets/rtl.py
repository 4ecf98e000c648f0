"""The compiled RTL as a target, in both forms and behind simulated wires."""

from collections.abc import Callable
from fractions import Fraction

from ohmspike.chip import Chip
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.session import LinkSession
from ohmspike.host.link.spi_port import SpiPort
from ohmspike.sim.rtl.build import compile_chip, compile_serial_chip, compile_spi_chip

from .linked import LinkTarget

__all__ = ["RtlSpiTarget", "RtlTarget", "RtlUartTarget"]


_APART_CLOCKS = 64  # around the bytes of a transfer, with room


class RtlTarget(LinkTarget):
    """The RTL, compiled (needs a C++ compiler the first time).

    Parameters
    ----------
    lanes : int, optional
        Synapses per clock.
    small : bool, optional
        The small form, as on boards with an SPRAM.
    progress : callable, optional
        Told what the compilation is at, one line at a time.
    """

    name = "rtl"

    def __init__(self, chip: Chip, *, lanes: int | None = None, small: bool = False,
                 progress: Callable[[str], None] | None = None, trace: bool = False):
        self.rtl = compile_chip(chip, lanes=lanes, small=small, progress=progress, trace=trace)
        super().__init__(chip, LinkSession(CompiledPort(self.rtl), chip))

    @property
    def cycles(self) -> int:
        """Clocks since the target was opened."""
        return self.rtl.cycles

    def close(self) -> None:
        self.rtl.close()


class RtlUartTarget(LinkTarget):
    """The RTL with its UART, compiled: every byte goes over two simulated wires, bit by bit.

    Parameters
    ----------
    lanes : int, optional
        Synapses per clock.
    small : bool, optional
        The small form, as on boards with an SPRAM.
    runs : bool, optional
        A chip that takes images as runs (docs/link.md, Runs).
    store : int, optional
        Rows of 256 bytes of a store on the chip, where images of several passes are kept (docs/link.md, Store).
    bit_clocks : int or Fraction, optional
        Length of a bit, in clocks.
    progress : callable, optional
        Told what the compilation is at, one line at a time.
    """

    name = "rtl-uart"

    def __init__(self, chip: Chip, *, lanes: int | None = None, small: bool = False, runs: bool = False,
                 store: int = 0, bit_clocks: int | Fraction = 8,
                 progress: Callable[[str], None] | None = None):
        self.rtl = compile_serial_chip(chip, lanes=lanes, small=small, runs=runs, store=store,
                                       bit_clocks=bit_clocks, progress=progress)
        super().__init__(chip, LinkSession(CompiledPort(self.rtl), chip))

    @property
    def cycles(self) -> int:
        """Clocks since the target was opened."""
        return self.rtl.cycles

    def close(self) -> None:
        self.rtl.close()


class RtlSpiTarget(LinkTarget):
    """The RTL with its SPI, compiled: every byte goes over the simulated pins, bit by bit.

    Parameters
    ----------
    lanes, small, runs, store, progress
        As for :class:`RtlUartTarget`.
    bit_clocks : int, optional
        Length of a bit, in clocks, even: 8 is the least that the chip follows.
    """

    name = "rtl-spi"

    def __init__(self, chip: Chip, *, lanes: int | None = None, small: bool = False, runs: bool = False,
                 store: int = 0, bit_clocks: int = 8, progress: Callable[[str], None] | None = None):
        self.rtl = compile_spi_chip(chip, lanes=lanes, small=small, runs=runs, store=store, bit_clocks=bit_clocks,
                                    progress=progress)
        self._byte_clocks = 8 * bit_clocks
        super().__init__(chip, LinkSession(SpiPort(self._transfer, patience=20_000_000 // self._byte_clocks), chip))

    def _transfer(self, data):
        self.rtl.write(data)
        self.rtl.run(len(data) * self._byte_clocks + _APART_CLOCKS, until_quiet=True, quiet_cycles=1)
        return self.rtl.read()

    @property
    def cycles(self) -> int:
        """Clocks since the target was opened."""
        return self.rtl.cycles

    def close(self) -> None:
        self.rtl.close()
