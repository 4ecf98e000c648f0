"""A column that learns, in one netlist."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from ohmspike.chip.description import Chip, Phase
from ohmspike.chip.instructions import counter_names
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState

from ..device import chip_with_device, pulse_amplitudes
from ..energy import Activity, OperatingPoint, energies
from ..spice import Netlist, Simulator, pulses
from .parts import add_comparator, line_farads
from .scene import Check, Scene

__all__ = ["learning_column"]


@dataclass(frozen=True)
class _Lesson:
    """A column that learned: what happened in every step."""

    chip: Chip
    start: np.ndarray  # (rows,): levels before
    end: np.ndarray  # (rows,): levels after
    spikes: np.ndarray  # (steps, rows) bool
    resets: np.ndarray  # (steps,): amplitude bin of RESET pulses on rows that spike, -1 none
    sets: np.ndarray  # (steps, rows): amplitude bin of SET pulses, -1 none
    counters: dict[str, int]

    @property
    def fires(self):
        return np.flatnonzero((self.sets >= 0).any(axis=1))


def _lesson(scene, count, steps):
    """Teach one neuron the brightest rows of the tile, by the oracle, with the device's own pulses."""
    rows = np.sort(np.argsort(-scene.pixels.astype(int), kind="stable")[:count])
    levels = scene.state.levels[scene.tile][rows, scene.column]
    spikes = np.random.default_rng(scene.seed).random((steps, count)) < 0.15 * np.maximum(scene.pixels[rows], 32) / 255
    base = dataclasses.replace(
        scene.chip, name="column", plane_height=1, plane_width=count, patch_height=1, patch_width=count, stride=1,
        neurons=1, winners=1, learners=1, min_spikes=1, fire_mode="threshold", membrane_bits=24, threshold_bits=24,
        theta_leak=0, theta_step=0.0, weight_store="memory", weights=None, set_table=None, reset_table=None,
        theta_base=1, classes=0, schedule=(Phase(),))
    base = chip_with_device(base, scene.device, widths=(1.0, 1.0))
    chip = dataclasses.replace(base, theta_base=max(1, int((spikes @ base.weight_table[levels]).sum() / 9.3)))
    state = ChipState.initial(chip)
    state.levels[0, :, 0], state.learn = levels, True
    oracle = Oracle(chip, state)
    shift = chip.trace_bits - int(math.log2(chip.amplitudes))
    resets, sets = np.full(steps, -1), np.full((steps, count), -1)
    for step in range(steps):
        unit = oracle.units[0][0]
        if unit is not None and unit[1] > 0:
            resets[step] = unit[1] >> shift
        for row in np.flatnonzero(spikes[step]):
            oracle.spike(int(row))
        traces = oracle.pre_traces
        if oracle.step():
            sets[step] = np.where(traces > 0, traces >> shift, -1)
    oracle.end()
    counters = {name: oracle.counter(name) for name in counter_names(chip)}
    return _Lesson(chip, levels, oracle.state.levels[0, :, 0].copy(), spikes, resets, sets, counters)


_LESSON_ROWS, _SLOWEST = 16, 5


def learning_column(scene: Scene, spice: Simulator) -> list[Check]:
    """Overall: 100 steps of a column that learns: reads, fires, SET, RESET, lines and traces in one netlist.

    Where SET or RESET take more than 5 times as long as a read, they are cut to that, for the twin as well: levels
    move as far, and the netlist has one scale of time.
    """
    longest = _SLOWEST * scene.device.pulse_s
    if max(scene.device.set_s, scene.device.reset_s) > longest:
        quick = scene.device.varied(set_s=min(scene.device.set_s, longest), reset_s=min(scene.device.reset_s, longest))
        scene = dataclasses.replace(scene, device=quick)
    device, steps = scene.device, 100
    lesson = _lesson(scene, min(_LESSON_ROWS, scene.chip.rows), steps)
    chip, count = lesson.chip, len(lesson.start)
    activity = Activity.from_counters(chip, lesson.counters)
    point = OperatingPoint.of(chip, device, activity)
    point = dataclasses.replace(point, set_width=1.0, reset_width=1.0)
    twin = {name: float(value) for name, value in energies(chip, device, activity, point).items()}
    net, stop, largest, period = _learning_net(device, lesson)
    waves = spice.run("learning", net, stop=stop, largest=largest)
    found = {"cells": waves.joules("eread"), "mirror": waves.joules("emirror") if device.readout == "clamp" else 0.0,
             "set": waves.joules("eset") / device.efficiency, "reset": waves.joules("ereset") / device.efficiency,
             "traces": waves.joules("etrace"),
             "lines": waves.joules("eline") + waves.joules("ewrite") / device.efficiency}
    # the column's own line is driven by an ideal source: its charge is not in the netlist
    wired = energies(chip, device, dataclasses.replace(activity, bit_lines=()), point)
    ours = {**{name: float(twin[name]) for name in ("cells", "mirror", "set", "reset", "traces")},
            "lines": float(twin["word_lines"]) + float(wired["write_lines"])}
    checks = [Check("learning", f"{name}, {steps} steps", ours[name], found[name], 0.05, "J")
              for name in ours if ours[name] or found[name]]
    fired = (waves.rises("cmp", 0.5) / period).astype(int).tolist()
    late = max((abs(a - b) for a, b in zip(lesson.fires.tolist(), fired, strict=False)), default=0)
    levels = np.array([waves.last(f"x{row}") for row in range(count)]) * (chip.levels - 1)
    checks += [
        Check("learning", "spikes", len(lesson.fires), len(fired), 1, "", False),
        Check("learning", "largest distance of a spike, steps", 0, late, 5, "", False),
        Check("learning", "mean level afterwards", float(lesson.end.mean()), float(levels.mean()), 1.5, "levels",
              False),
        Check("learning", f"everything, {steps} steps", sum(ours.values()), sum(found.values()), 0.05, "J")]
    return checks


def _learning_net(device, lesson):
    """One column with its memristors, word-line drivers, traces, membrane and meters."""
    chip, count, steps = lesson.chip, len(lesson.start), len(lesson.spikes)
    clamp = device.readout == "clamp"
    gap = 0.3 * max(device.pulse_s, device.edge_s)
    read_at = gap
    reset_at = read_at + device.pulse_s + gap
    set_at = reset_at + device.reset_s + gap
    period = set_at + device.set_s + gap
    share = pulse_amplitudes(chip.amplitudes)
    edge = min(device.edge_s, device.pulse_s / 50)
    starts = np.arange(steps) * period
    net = Netlist(f"{count} cells, {steps} steps, learning")
    net.memristor_model(device)
    net.switch_model("drv", device.pulse_s / 500 / line_farads(device, 1))
    net.switch_model("acc", device.access_ohm, min(device.wordline_v, device.wordline_write_v) / 2)
    net.source("wr", "railr", device.wordline_v)
    net.source("ww", "railw", device.wordline_write_v)
    net.source("dd", "vdd", device.supply_v)
    for name, at, width in (("rd", read_at, device.pulse_s), ("rs", reset_at, device.reset_s),
                            ("st", set_at, device.set_s)):
        net.source(name, name, pulses([(t + at - gap / 3, t + at + width + gap / 3, 1.0) for t in starts], edge))
    bit = [(t + reset_at - gap / 6, t + reset_at + device.reset_s + gap / 6, device.reset_v * share[bin_])
           for t, bin_ in zip(starts, lesson.resets, strict=True) if bin_ >= 0]
    net.source("bl", "bl", pulses(bit, edge))
    trace_on = device.pulse_s / 4
    ohm = period / (device.trace_f * -math.log1p(-(2.0**-chip.trace_shift)))
    net.switch_model("sup", trace_on / 12 / device.trace_f)
    for row in range(count):
        _learning_row(net, device, lesson, row, starts, (read_at, reset_at, set_at), edge, gap, share)
        on = [(t + read_at, t + read_at + trace_on, 1.0) for t in starts[lesson.spikes[:, row]]]
        _trace(net, device, f"{row}", on, edge, ohm)
    _trace(net, device, "post", [(starts[k] + set_at, starts[k] + set_at + trace_on, 1.0) for k in lesson.fires], edge,
           ohm)
    net.add("Rpw pw 0 1")
    net.meter("eread", "v(rd)*v(pw)*1e-6")
    net.meter("eset", "v(st)*v(pw)*1e-6")
    net.meter("ereset", "-1*v(rs)*v(bl)*i(Vbl)")
    net.meter("eline", "-1*v(railr)*i(Vwr)")
    net.meter("ewrite", "-1*v(railw)*i(Vww)")
    net.meter("etrace", "-1*v(vdd)*i(Vdd)")
    quantum = device.read_v * device.pulse_s * float(device.cell_conductance(1.0)) / int(chip.weight_table[-1])
    capacitance = quantum * chip.theta_base / device.membrane_v / device.mirror_ratio
    net.source("dm", "vdm", device.supply_v)
    net.add(f"Bm vdm mem i=v(rd)*i(Vbl)/{device.mirror_ratio:.9g}", f"Cm mem 0 {capacitance:.9g} ic=0", "Rm mem 0 1e15")
    if clamp:
        net.meter("emirror", "-1*v(vdm)*i(Vdm)")
    window = [(t + read_at - gap / 2, t + reset_at + device.reset_s, 1.0) for t in starts]
    add_comparator(net, device, window, device.membrane_v, capacitance, hold=True)
    net.probe("mem")
    return net, steps * period, max(device.pulse_s / 4, period / 60), period


def _learning_row(net, device, lesson, row, starts, at, edge, gap, share):
    """A cell with its access switch, the source of its line, and the driver of its word line."""
    read_at, reset_at, set_at = at
    spikes = lesson.spikes[:, row]
    reads = [(t + read_at, t + read_at + device.pulse_s, 1.0) for t in starts[spikes]]
    writes = sorted(
        [(t + reset_at, t + reset_at + device.reset_s, 1.0) for t in starts[spikes & (lesson.resets >= 0)]]
        + [(t + set_at, t + set_at + device.set_s, 1.0) for t in starts[lesson.sets[:, row] >= 0]])
    line = sorted(
        [(t + read_at - gap / 6, t + read_at + device.pulse_s + gap / 6, device.read_v) for t in starts[spikes]]
        + [(t + set_at - gap / 6, t + set_at + device.set_s + gap / 6, device.set_v * share[bin_])
           for t, bin_ in zip(starts, lesson.sets[:, row], strict=True) if bin_ >= 0])
    net.source(f"s{row}", f"s{row}", pulses(line, edge))
    net.source(f"r{row}", f"r{row}", pulses(reads, edge))
    net.source(f"w{row}", f"w{row}", pulses(writes, edge))
    net.source(f"o{row}", f"o{row}", pulses([(a, b, 0.0) for a, b, _ in sorted(reads + writes)], edge, start=1.0))
    net.add(f"Sr{row} railr wl{row} r{row} 0 drv",
            f"Sw{row} railw wl{row} w{row} 0 drv", f"So{row} wl{row} 0 o{row} 0 drv",
            f"Cw{row} wl{row} 0 {line_farads(device, 1):.9g} ic=0",
            f"Sa{row} s{row} t{row} wl{row} 0 acc",
            f"Xc{row} t{row} bl x{row} cell x0={lesson.start[row] / (lesson.chip.levels - 1):.9g}",
            f"Bp{row} 0 pw i=-1e6*v(s{row})*i(Vs{row})")
    net.probe(f"x{row}")


def _trace(net, device, name, on, edge, ohm):
    net.source(f"g{name}", f"g{name}", pulses(on, edge))
    net.add(f"St{name} vdd tr{name} g{name} 0 sup", f"Ct{name} tr{name} 0 {device.trace_f:.9g} ic=0",
            f"Rt{name} tr{name} 0 {ohm:.9g}")
