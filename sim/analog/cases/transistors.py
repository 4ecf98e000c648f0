"""Access transistors: what a resistance in their place leaves out."""

import math

import numpy as np

from ..spice import Netlist, Simulator, pulses
from .parts import read_period
from .scene import Check, Scene

__all__ = ["access_transistor", "ungated_rows"]


def access_transistor(scene: Scene, spice: Simulator) -> list[Check]:
    """V10: a transistor in place of the access resistance."""
    device = scene.device
    ohm, threshold = device.access_ohm or 1e3, 0.4
    x = scene.cells(16)
    net = Netlist("cells with a transistor each")
    beta = 1 / (ohm * (device.wordline_v - threshold))
    net.add(f".model acc nmos level=1 vto={threshold} kp={beta:.9g}")
    period = read_period(device)
    net.source("r", "rail", device.read_v)
    net.source("w", "w", pulses([(0.25 * period, 0.25 * period + device.pulse_s, device.wordline_v)], device.edge_s))
    net.source("c", "bl", 0.0)
    for row, g in enumerate(device.conductance(x)):
        net.add(f"Rc{row} rail n{row} {1 / g:.9g}", f"Mc{row} n{row} w bl 0 acc w=1u l=1u")
    net.meter("e", "-1*v(rail)*i(Vr)")
    waves = spice.run("v10", net, stop=period, largest=device.pulse_s / 200)
    g = device.conductance(x)
    linear = device.read_v**2 * device.pulse_s / (1 / g + ohm)
    # triode region with the source at the bit line: g (V - v) = beta ((V_g - V_t) v - v^2 / 2)
    drive = device.wordline_v - threshold
    half = drive + g / beta
    drop = half - np.sqrt(np.maximum(half**2 - 2 * g * device.read_v / beta, 0.0))
    triode = g * (device.read_v - drop) * device.read_v * device.pulse_s
    bent = float(abs(1 - linear.sum() / triode.sum()))
    joules = float(waves.joules("e"))
    return [Check("V10", "read of 16 cells, level-1 NMOS in its triode region", float(triode.sum()), joules, 0.02, "J"),
            Check("V10", "the same by a resistance, error as computed", float(linear.sum()), joules, bent + 0.02, "J")]


def ungated_rows(scene: Scene, spice: Simulator) -> list[Check]:
    """V11: without word lines that pulse, silent cells drain the membrane: a linear model fails, and that is seen."""
    device, steps, count = scene.device, 20, 64
    g, spikes = device.cell_conductance(scene.cells(count)), scene.spikes(count, steps, 0.3)
    sums, whole, period = spikes @ g, g.sum(), read_period(device)
    linear_v = 0.25 * device.read_v
    capacitance = sums.sum() * device.read_v * device.pulse_s / linear_v
    net = Netlist(f"{count} cells whose transistors are always on")
    for row in range(count):
        on = [(step * period + 0.25 * period, step * period + 0.25 * period + device.pulse_s, device.read_v)
              for step in np.flatnonzero(spikes[:, row])]
        net.source(f"s{row}", f"s{row}", pulses(on, device.edge_s / 10))
        net.add(f"R{row} s{row} mem {1 / g[row]:.9g}")
    net.add(f"Cm mem 0 {capacitance:.9g} ic=0")
    net.probe("mem")
    waves = spice.run("v11", net, stop=steps * period, largest=device.pulse_s / 10)
    found, membrane = waves.last("mem"), 0.0
    for active in sums:
        for drive, seconds in ((0.0, 0.25 * period), (active, device.pulse_s), (0.0, 0.75 * period - device.pulse_s)):
            rest = device.read_v * drive / whole
            membrane = rest + (membrane - rest) * math.exp(-seconds * whole / capacitance)
    return [Check("V11", "membrane, leak of silent cells included", membrane, found, 0.01, "V"),
            Check("V11", "linear model off by more than 20 %: 1", 1, float(abs(linear_v / found - 1) > 0.2), 0.0, "",
                  False)]
