"""A column that is read: energy, membranes and resets."""

import math

import numpy as np

from ..spice import Netlist, Simulator, pulses
from .parts import add_comparator, read_period
from .scene import Check, Scene

__all__ = ["fast_reset", "held_reset", "membrane_on_bit_line", "read_energy"]


def _read_column(device, g, spikes, *, clamp, capacitance, reset="", threshold=0.0):
    """A column of cells with conductances g (access included), read by spikes of shape (steps, cells)."""
    net = Netlist(f"{g.size} cells, {len(spikes)} steps, read-out {'clamp' if clamp else 'membrane'}")
    period = read_period(device)
    net.switch_model("sel", 1e-2, device.wordline_v / 2)
    net.source("r", "rail", device.read_v)
    bit_line = "bl" if clamp else "mem"
    for row in np.flatnonzero(spikes.any(axis=0)):
        on = [(step * period + 0.25 * period, step * period + 0.25 * period + device.pulse_s, device.wordline_v)
              for step in np.flatnonzero(spikes[:, row])]
        net.source(f"w{row}", f"w{row}", pulses(on, device.edge_s))
        net.add(f"S{row} rail n{row} w{row} 0 sel", f"R{row} n{row} {bit_line} {1 / g[row]:.9g}")
    if clamp:
        net.source("c", "bl", 0.0)
        net.source("dd", "vdd", device.supply_v)
        net.add(f"Fm vdd mem Vc {1 / device.mirror_ratio:.9g}")
        net.meter("emirror", "-1*v(vdd)*i(Vdd)")
    net.add(f"Cm mem 0 {capacitance:.9g} ic=0", "Rm mem 0 1e15")
    net.meter("erail", "-1*v(rail)*i(Vr)")
    net.probe("mem")
    if reset:
        window = [((step + 0.05) * period, (step + 0.95) * period, 1.0) for step in range(len(spikes))]
        add_comparator(net, device, window, threshold, capacitance, hold=reset == "hold")
    return net, period * len(spikes)


def _integrate(increments, threshold, rule):
    """Spikes per step of a membrane that adds ``increments``: reset to 0, or less the threshold while above it."""
    membrane, fired = 0.0, []
    for step, rise in enumerate(increments):
        membrane = rise(membrane) if callable(rise) else membrane + rise
        while membrane >= threshold:
            fired.append(step)
            membrane = 0.0 if rule == "zero" else membrane - threshold
    return fired


def _pieces(scene, count, steps, peak, clamp):
    """Cells, spikes, conductances read in every step, and a threshold that is reached about eight times.

    The capacitor is the one of some with which no step ends close to the threshold.
    """
    device = scene.device
    g, spikes = device.cell_conductance(scene.cells(count)), scene.spikes(count, steps, peak)
    sums = spikes @ g
    threshold = device.membrane_v if clamp else 0.25 * device.read_v
    once = device.read_v / device.mirror_ratio / threshold if clamp else 1 / -math.log1p(-0.25)

    def margin(capacitance):
        """Closest that a step comes to the threshold without meaning to: SPICE has tolerances, the twin none."""
        gaps, membrane = [], 0.0
        for rise in _rises(device, sums, capacitance, clamp):
            membrane = rise(membrane) if callable(rise) else membrane + rise
            gaps.append(abs(membrane / threshold - 1))
            membrane = 0.0 if membrane >= threshold else membrane
        return min(gaps)

    capacitance = max((sums.sum() * device.pulse_s * once / fires for fires in np.linspace(7.5, 9.5, 21)), key=margin)
    return g, spikes, sums, threshold, capacitance


def read_energy(scene: Scene, spice: Simulator) -> list[Check]:
    """V1: energy from the read rail and from the mirror's supply."""
    device, checks = scene.device, []
    for count in (16, 64, 256):
        x, spikes = scene.cells(count), scene.spikes(count, 10, 0.3)
        net, stop = _read_column(device, device.cell_conductance(x), spikes, clamp=True, capacitance=1e-9)
        waves = spice.run(f"v1-{count}", net, stop=stop, largest=device.pulse_s / 10)
        joules = float((spikes @ device.read_energy(x)).sum())
        checks += [Check("V1", f"read rail, {count} cells", joules, waves.joules("erail"), 0.01, "J"),
                   Check("V1", f"mirror, {count} cells",
                         joules / device.read_v * device.supply_v / device.mirror_ratio, waves.joules("emirror"), 0.01,
                         "J")]
    return checks


def membrane_on_bit_line(scene: Scene, spice: Simulator) -> list[Check]:
    """V2: a bit line that is the membrane charges exponentially."""
    device, steps = scene.device, 12
    g, spikes = device.cell_conductance(scene.cells(64)), scene.spikes(64, steps, 0.4)
    times = np.cumsum(spikes @ g) * device.pulse_s
    capacitance = times[-1] / 0.7
    net, stop = _read_column(device, g, spikes, clamp=False, capacitance=capacitance)
    waves = spice.run("v2", net, stop=stop, largest=device.pulse_s / 10)
    ends = (np.arange(steps) + 1) * read_period(device) * 0.9999
    expected = device.read_v * -np.expm1(-times / capacitance)
    return [*(Check("V2", f"membrane after {step + 1} steps", float(expected[step]),
                    float(waves.at("mem", ends[step])), 0.01, "V") for step in (2, 5, steps - 1)),
            Check("V2", "read rail", device.read_v * capacitance * expected[-1], waves.joules("erail"), 0.01, "J")]


def held_reset(scene: Scene, spice: Simulator) -> list[Check]:
    """V3: a reset held to the end of the pulse's window gives the contract's spikes, the surplus lost (3.3)."""
    device, checks = scene.device, []
    for count, steps, clamp in ((16, 60, True), (64, 60, True), (64, 60, False)):
        g, spikes, sums, threshold, capacitance = _pieces(scene, count, steps, 0.3, clamp)
        net, stop = _read_column(device, g, spikes, clamp=clamp, capacitance=capacitance, reset="hold",
                                 threshold=threshold)
        waves = spice.run(f"v3-{count}-{'clamp' if clamp else 'membrane'}", net, stop=stop, largest=device.pulse_s / 10)
        found = (waves.rises("cmp", 0.5) / read_period(device)).astype(int).tolist()
        expected = _integrate(_rises(device, sums, capacitance, clamp), threshold, "zero")
        label = f"{count} cells, {'clamp' if clamp else 'membrane'}"
        checks += [Check("V3", f"spikes, {label}", len(expected), len(found), 0.0, "", False),
                   Check("V3", f"steps of spikes that differ, {label}", 0, _unlike(expected, found), 0.0, "", False)]
    return checks


def _rises(device, sums, capacitance, clamp):
    """What every step adds to a membrane: volts, or the step of its exponential course."""
    if clamp:
        return (sums * device.read_v * device.pulse_s / device.mirror_ratio / capacitance).tolist()
    keep = np.exp(-sums * device.pulse_s / capacitance)
    return [lambda v, k=k: device.read_v - (device.read_v - v) * k for k in keep.tolist()]


def _unlike(expected, found):
    return sum(a != b for a, b in zip(expected, found, strict=False)) + abs(len(expected) - len(found))


def fast_reset(scene: Scene, spice: Simulator) -> list[Check]:
    """V4: a comparator that resets at once behaves like taking the threshold off."""
    device = scene.device
    g, spikes, sums, threshold, capacitance = _pieces(scene, 64, 60, 0.3, True)
    net, stop = _read_column(device, g, spikes, clamp=True, capacitance=capacitance, reset="fast", threshold=threshold)
    waves = spice.run("v4", net, stop=stop, largest=device.pulse_s / 40)
    found = (waves.rises("cmp", 0.5) / read_period(device)).astype(int).tolist()
    expected = _integrate(_rises(device, sums, capacitance, True), threshold, "less")
    worst = max((abs(a - b) for a, b in zip(expected, found, strict=False)), default=0)
    return [Check("V4", "spikes", len(expected), len(found), 1, "", False),
            Check("V4", "largest distance of a spike, steps", 0, worst, 2, "", False),
            Check("V4", "read rail", device.read_v**2 * device.pulse_s * sums.sum(), waves.joules("erail"), 0.01, "J")]
