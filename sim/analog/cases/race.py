"""A whole tile whose neurons race."""

import numpy as np

from ..spice import Netlist, Simulator, pulses
from .parts import read_period
from .scene import Check, Scene

__all__ = ["race"]


def race(scene: Scene, spice: Simulator) -> list[Check]:
    """V12: a whole tile reads an image and its neurons race against a falling reference (contract 3.4)."""
    chip, device, state = scene.chip, scene.device, scene.state
    rows = np.flatnonzero(scene.pixels > chip.dark_level)
    if chip.fire_mode != "race" or not len(rows):
        return []
    shown = min(chip.neurons, 64)
    order = np.roll(np.arange(chip.neurons), -scene.column)[:shown]
    bins = (255 - scene.pixels[rows].astype(int)) * chip.latency_bins // (255 - chip.dark_level)
    x = state.levels[scene.tile][np.ix_(rows, order)] / (chip.levels - 1)
    g = device.cell_conductance(x)
    period, edge = read_period(device), device.edge_s
    volts = g.sum(axis=0) * device.read_v * device.pulse_s / device.mirror_ratio
    capacitance = volts.max() / device.membrane_v
    volts = volts / capacitance
    theta = state.theta[scene.tile, order].astype(float)
    # a unit of weight in volts, by the top of the weight table
    unit = device.read_v * device.pulse_s * device.cell_conductance(1.0) / int(state.weight[-1]) / capacitance
    theta = (theta - theta.min()) * unit / device.mirror_ratio
    scores = volts - theta
    start, fall = scores.max() + 0.1 * device.membrane_v, 20 * period
    decide = chip.latency_bins * period
    low = scores.min() - 0.02 * device.membrane_v
    net = Netlist(f"{len(rows)} rows, {shown} neurons, a race")
    net.switch_model("sel", 1e-2, device.wordline_v / 2)
    net.source("r", "rail", device.read_v)
    net.source("dd", "vdd", device.supply_v)
    net.source("f", "ref", f"pwl(0 {start:.9g} {decide:.9g} {start:.9g} {decide + fall:.9g} {low:.9g})")
    for index, late in enumerate(bins):
        begin = late * period + 0.25 * period
        net.source(f"w{index}", f"w{index}", pulses([(begin, begin + device.pulse_s, device.wordline_v)], edge))
    for neuron in range(shown):
        net.source(f"c{neuron}", f"b{neuron}", 0.0)
        net.add(f"F{neuron} vdd m{neuron} Vc{neuron} {1 / device.mirror_ratio:.9g}",
                f"C{neuron} m{neuron} 0 {capacitance:.9g} ic=0", f"R{neuron} m{neuron} 0 1e15",
                *(f"S{neuron}_{i} rail n{neuron}_{i} w{i} 0 sel" for i in range(len(rows))),
                *(f"R{neuron}_{i} n{neuron}_{i} b{neuron} {1 / g[i, neuron]:.9g}" for i in range(len(rows))))
        net.add(f"Bs{neuron} s{neuron} 0 v=v(m{neuron})-{theta[neuron]:.9g}")
        net.probe(f"m{neuron}", f"s{neuron}")
    net.probe("ref")
    waves = spice.run("v12", net, stop=decide + fall, largest=period / 4)
    membranes = np.array([waves.at(f"m{neuron}", decide) for neuron in range(shown)])
    reference = waves.nodes["ref"]
    crossed = np.array([waves.time[np.argmax(reference <= waves.nodes[f"s{neuron}"])]
                        + _within(waves, neuron) for neuron in range(shown)])
    winners = min(chip.winners, shown)
    ours, theirs = (order[np.argsort(key, kind="stable")[:winners]] for key in (-scores, crossed))
    worst = int(np.argmax(np.abs(membranes / volts - 1)))
    return [Check("V12", f"membrane of {shown} neurons, the worst", float(volts[worst]), float(membranes[worst]), 0.01,
                  "V"),
            Check("V12", f"ranks of the {winners} winners that differ", 0, int((ours != theirs).sum()), 0.0, "", False)]


def _within(waves, neuron):
    """Time from the point before to where the reference meets a score, between two points of the simulation."""
    gap = waves.nodes["ref"] - waves.nodes[f"s{neuron}"]
    after = int(np.argmax(gap <= 0))
    if after == 0:
        return 0.0
    return float(-(waves.time[after] - waves.time[after - 1]) * (-gap[after]) / (gap[after - 1] - gap[after]))
