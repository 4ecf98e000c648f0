"""Cells that are written: one pulse, trains of them, and the published cell of a foundry."""

import numpy as np

from ..fit import curve
from ..sky130 import after_pulse, spice_after_pulse
from ..spice import Netlist, Simulator, pulses
from .parts import EDGE_SHARE
from .scene import Check, Scene

__all__ = ["published_cell", "single_pulses", "trains"]


def _write_net(device, x, trains, width):
    """Cells side by side, each with its own train of (volts, pulses)."""
    net = Netlist(f"{len(x)} cells written")
    net.memristor_model(device)
    for index, (start, (volts, count)) in enumerate(zip(x, trains, strict=True)):
        on = [((2 * k + 1) * width, (2 * k + 2) * width, volts) for k in range(count)]
        net.source(f"p{index}", f"p{index}", pulses(on, EDGE_SHARE * width))
        net.add(f"Ra{index} p{index} t{index} {max(device.access_ohm, 1e-2):.9g}",
                f"Xc{index} t{index} 0 x{index} cell x0={start:.9g}")
        net.meter(f"e{index}", f"-1*v(p{index})*i(Vp{index})")
        net.probe(f"x{index}")
    return net


def single_pulses(scene: Scene, spice: Simulator) -> list[Check]:
    """V8: one SET or RESET pulse: how far the cell moves, and what it costs."""
    device, top, checks = scene.device, scene.chip.levels - 1, []
    levels = np.array(sorted({0, top // 4 + 1, top // 2 + 1, top}))
    for kind, sign in (("set", 1), ("reset", -1)):
        full, width = getattr(device, f"{kind}_v"), getattr(device, f"{kind}_s")
        shares = np.repeat([0.5 / 1.2, 0.7 / 1.2, 0.75, 1.0], len(levels))
        starts = np.tile(levels, 4) / top
        net = _write_net(device, starts, [(sign * full * share, 1) for share in shares], width)
        waves = spice.run(f"v8-{kind}", net, stop=3 * width, largest=width / 100)
        after, joules = device.pulse(kind, starts, shares)
        moved = np.array([waves.last(f"x{i}") for i in range(len(starts))]) - starts
        drawn = np.array([waves.joules(f"e{i}") for i in range(len(starts))]) / device.efficiency
        ours, theirs = (after - starts) * top, moved * top
        limit = np.maximum(0.02, 0.02 * np.abs(theirs))  # levels, whichever is more
        worst = int(np.argmax(np.abs(ours - theirs) / limit))
        checks.append(Check("V8", f"{kind.upper()}: levels moved, the worst of {len(starts)}", float(ours[worst]),
                            float(theirs[worst]), float(limit[worst]), "levels", False))
        worst = int(np.argmax(np.abs(joules / drawn - 1)))
        checks.append(Check("V8", f"{kind.upper()}: energy, the worst of {len(starts)}", float(joules[worst]),
                            float(drawn[worst]), 0.01, "J"))
    return checks


def trains(scene: Scene, spice: Simulator) -> list[Check]:
    """V9: 32 pulses follow the curve of a nonlinearity label."""
    checks = []
    for up, down in ((0.5, -0.5), (1.0, -1.0), (2.4, -4.88)):
        device = scene.device.varied(nl_set=up, nl_reset=down, access_ohm=0.0, set_pulses=64.0, reset_pulses=64.0,
                                     set_steps=(), reset_steps=())
        for kind, sign, start, label in (("set", 1, 0.0, up), ("reset", -1, 1.0, down)):
            width = getattr(device, f"{kind}_s")
            net = _write_net(device, [start], [(sign * getattr(device, f"{kind}_v"), 32)], width)
            waves = spice.run(f"v9-{kind}-{label}", net, stop=65 * width, largest=width / 20)
            checks.append(Check("V9", f"state after 32 {kind.upper()} pulses, label {label:g}",
                                float(curve(kind, label, 0.5)), waves.last("x0"), 0.01, "", False))
    return checks


def published_cell(scene: Scene, spice: Simulator) -> list[Check]:
    """V13: the published equations of the SKY130 ReRAM, filament and heat, by ngspice and by LSODA."""
    found = []
    for number, (filament, volts, limit) in enumerate(((4.8, -1.2, 1e-3), (4.8, -1.4, 1e-3), (4.2, 1.3, 1e-3),
                                                       (4.2, 1.4, 0.03))):
        twin, joules = after_pulse(filament, volts, 1e-6)
        thick, drawn = spice_after_pulse(spice, f"v13-{number + 1}", filament, volts, 1e-6)
        what = f"from {filament:g} nm, {volts:g} V, 1 µs"
        found.append(Check("V13", f"filament {what}", twin, thick, limit, "nm", False))
        if number < 3:  # the last runs away to the thickest filament: when, is a matter of rounding
            found.append(Check("V13", f"energy {what}", joules, drawn, 0.01, "J"))
    return found
