"""Wires: the resistance of bit lines, the charge of word lines, the capacitors of traces."""

import math

import numpy as np
import scipy  # its parts are loaded when they are first used

from ..device import droop_of
from ..spice import Netlist, Simulator, pulses
from .parts import line_farads, read_period
from .scene import Check, Scene

__all__ = ["ladder", "trace", "wire_resistance", "word_line"]


def ladder(g: np.ndarray, wire: float, volts: float) -> float:
    """Current into a clamp at the end of a bit line with cells g at every node: the ladder solved exactly, A."""
    count, link = len(g), 1 / wire
    middle = g + 2 * link
    middle[0] = g[0] + link  # the far end
    bands = np.array([np.r_[0, np.full(count - 1, -link)], middle, np.r_[np.full(count - 1, -link), 0]])
    return float(scipy.linalg.solve_banded((1, 1), bands, g * volts)[-1] * link)


def wire_resistance(scene: Scene, spice: Simulator) -> list[Check]:
    """V5: what the resistance of the bit line takes away, by the closed form and by the ladder."""
    device, checks = scene.device, []
    count = 784
    random = np.random.default_rng(scene.seed)
    pixels = np.resize(scene.image.ravel(), count)
    active = np.flatnonzero(pixels > scene.chip.dark_level)
    active = active if len(active) >= 16 else np.arange(16)
    even = np.linspace(0, count - 1, len(active)).round().astype(int)
    for target in (0.1, 0.7, 1.0):
        for where, rows in (("of the image", active), ("evenly", even)):
            g = np.zeros(count)
            g[rows] = random.permutation(device.cell_conductance(scene.cells(len(rows))))
            wire = target / (g.sum() * count)
            net = Netlist(f"bit line of {count} cells, {len(rows)} active, α² = {target}")
            net.source("r", "rail", device.read_v)
            for row in range(count):
                net.add(f"Rw{row} b{row} {f'b{row + 1}' if row + 1 < count else 'end'} {wire:.9g}")
            net.add(*(f"Rg{row} rail b{row} {1 / g[row]:.9g}" for row in rows))
            net.source("c", "end", 0.0)
            net.add("Bi out 0 v=i(Vc)*1e6")
            net.probe("out")
            waves = spice.run(f"v5-{target}-{where.replace(' ', '-')}", net, stop=1e-9, largest=2e-10)
            current, label = waves.last("out") / 1e6, f"α² = {target}, {len(rows)} rows {where}"
            closed = float(g.sum() * device.read_v * droop_of(target))
            checks += [Check("V5", f"ladder, {label}", ladder(g, wire, device.read_v), current, 0.001, "A"),
                       Check("V5", f"tanh(α)/α, {label}", closed, current, 0.02 if where == "evenly" else 0.1, "A")]
    return checks


def word_line(scene: Scene, spice: Simulator) -> list[Check]:
    """V6: charging a word line out of a rail and discharging it costs C V²."""
    device, cells, count = scene.device, scene.chip.neurons, 5
    period = read_period(device)
    on = [(step * period, step * period + device.pulse_s, 1.0) for step in range(1, count + 1)]
    net = Netlist(f"word line of {cells} cells")
    net.source("w", "rail", device.wordline_v)
    net.source("u", "up", pulses(on, device.edge_s))
    net.add("Bd down 0 v=1-v(up)")
    capacitance = line_farads(device, cells)
    net.switch_model("drv", device.pulse_s / 50 / capacitance, 0.6)
    net.add("Su rail wl up 0 drv", "Sd wl 0 down 0 drv", f"Cw wl 0 {capacitance:.9g} ic=0")
    net.meter("e", "-1*v(rail)*i(Vw)")
    waves = spice.run("v6", net, stop=(count + 2) * period, largest=device.pulse_s / 50)
    return [Check("V6", f"word line of {cells} cells, {count} pulses", count * device.wordline_energy(cells),
                  waves.joules("e"), 0.01, "J")]


def trace(scene: Scene, spice: Simulator) -> list[Check]:
    """V7: a trace decays through a resistor and is recharged from the supply."""
    device, chip, checks = scene.device, scene.chip, []
    step = device.step_s
    ohm = step / (device.trace_f * -math.log1p(-(2.0**-chip.trace_shift)))
    for steps in (2, 5, 10):
        net = Netlist(f"a trace recharged after {steps} steps")
        net.source("d", "vdd", device.supply_v)
        when = steps * step
        net.source("g", "gate", pulses([(when, when + 0.02 * step, 1.0)], 1e-4 * step))
        net.switch_model("sup", 0.001 * step / device.trace_f)
        net.add("Ss vdd tr gate 0 sup", f"Ct tr 0 {device.trace_f:.9g} ic={device.supply_v:.9g}", f"Rt tr 0 {ohm:.9g}")
        net.meter("e", "-1*v(vdd)*i(Vd)")
        net.probe("tr")
        waves = spice.run(f"v7-{steps}", net, stop=when + 0.02 * step, largest=step / 100)
        share = (1 - 2.0**-chip.trace_shift) ** steps
        checks.append(Check("V7", f"trace after {steps} steps", device.supply_v * share,
                            float(waves.at("tr", when - 0.001 * step)), 0.01, "V"))
        leak = device.supply_v**2 / ohm * 0.02 * step  # lost while the switch is on
        checks.append(Check("V7", f"recharge after {steps} steps", device.trace_energy(share) + leak, waves.joules("e"),
                            0.01, "J"))
    return checks
