"""What chips take of families of FPGAs: the Verilog of a chip, and :mod:`ohmspike.hdl.flow.families` for the host."""

from ohmspike.chip import Chip
from ohmspike.hdl.flow.emit import emit_verilog
from ohmspike.hdl.flow.families import FAMILIES, RESOURCES, Family, Taken, survey

from .build import top_of

__all__ = ["FAMILIES", "RESOURCES", "Family", "Taken", "survey", "verilog_of"]


def verilog_of(chip: Chip, *, lanes: int | None = None, small: bool = False, split: bool = False) -> str:
    """Verilog-2001 of a chip behind its link, as ``ohmspike rtl`` writes it; the top module is ``chip``.

    Parameters
    ----------
    split : bool
        As of :func:`~ohmspike.sim.rtl.build.write_rtl`.

    Raises
    ------
    ValueError
        ``lanes`` is not 1 to the number of neurons.
    """
    return emit_verilog(top_of(chip, lanes=lanes, small=small), "chip", split=split)
