"""Parts of netlists that several cases share."""

from ..device import Device
from ..spice import Netlist, pulses

__all__ = ["EDGE_SHARE", "add_comparator", "line_farads", "read_period"]


EDGE_SHARE = 1e-3
"""Edge of a write pulse, share of its width."""


def read_period(device: Device) -> float:
    """Time of a step in which a column is read: a pulse and as long a pause, s."""
    return 2 * device.pulse_s


def line_farads(device: Device, cells: int) -> float:
    """Capacitance of a word line of so many cells, F."""
    return cells * (device.gate_f + device.wire_f_per_um * device.pitch_um) + device.driver_f


def add_comparator(net: Netlist, device: Device, window: list, threshold: float, capacitance: float, *,
                   hold: bool) -> None:
    """A comparator with hysteresis that discharges the membrane, to the end of the pulse's window if told to hold."""
    lag = device.pulse_s / 200
    net.source("ph", "phase", pulses(window, device.edge_s / 2))
    stay = " || (v(cmp)>0.5 && v(phase)>0.5)" if hold else ""
    net.add(f"Bc cx 0 v=((v(mem)>{threshold:.9g}*(1-0.98*u(v(cmp)-0.5))){stay}) ? 1 : 0",
            "Rc cx cmp 1k", f"Cc cmp 0 {lag / 1e3:.6g} ic=0", "Sres mem 0 cmp 0 dump")
    net.switch_model("dump", device.pulse_s / 400 / capacitance)
    net.probe("cmp")
