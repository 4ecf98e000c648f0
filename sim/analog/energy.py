"""What the analog chip would spend: the counters of a run, in joules. A model, not a measurement."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ohmspike.chip.description import Chip, Phase
from ohmspike.chip.instructions import current_counters

from .device import WIRE_PER_KELVIN, Device, droop_of, matched_widths, pulse_amplitudes

__all__ = ["CLAIM_J", "COMPONENTS", "LEFT_OUT", "Activity", "Estimate", "OperatingPoint", "PUBLISHED", "Spread",
           "design_share", "durations", "elasticities", "energies", "estimate", "facts", "mean_annealing",
           "noise_floor", "sampled", "tornado"]

COMPONENTS = {
    "cells": "reads: current through the cells",
    "mirror": "reads: the mirrored current into the membranes, from the supply",
    "word_lines": "reads: charging word lines",
    "comparators": "decisions: comparing membranes",
    "fires": "output spikes: neurons firing, and their static current",
    "traces": "recharging traces",
    "set": "SET pulses through the cells",
    "reset": "RESET pulses through the cells",
    "write_lines": "SET and RESET: charging word and bit lines",
    "counts": "accumulation: reading and writing the counts beside the cells",
}
"""Parts of the energy, in the order in which they are printed."""

LEFT_OUT = (
    "clamp amplifiers but for bias_a",
    "sense circuits, clocks, control, routers, leakage, pads, off-chip links",
    "half-selected cells in a write, forming",
    "writing a read-out that the host taught",
)
"""What no figure of the energy holds."""

PUBLISHED = (
    ("LIF neuron, 65 nm", "4 fJ per output spike", "Sourikopoulos 2017, doi 10.3389/fnins.2017.00123"),
    ("LIF neuron, 28 nm, 0.25 V", "1.6 fJ per output spike", "arXiv 2408.07734"),
    ("LIF neuron, 65 nm", "2.1 pJ per output spike, 20 pJ per synaptic operation", "doi 10.3390/jlpea13040055"),
    ("neuron driving 1000 RRAM cells, 180 nm", "9.3 pJ per spike and synapse", "arXiv 1505.07814"),
    ("spiking NVM processor, 28 nm, measured", "1.25 pJ per synaptic operation", "ANVMP, A-SSCC 2024"),
    ("HfOx/TiOx update", "below 1 pJ per pulse", "Yu 2013, Adv. Mater."),
)
"""Published figures for context: what, how much, where. As told in literature; not verified here."""

CLAIM_J = 20e-15
"""What the paper claims per "spike", without the word being defined in what could be read of it."""

_ELECTRON, _BOLTZMANN = 1.602176634e-19, 1.380649e-23

SAMPLES = 1000
SEED = 20220


@dataclass(frozen=True)
class Activity:
    """What happened on the chip, in the units of physics; made from counters by :meth:`from_counters`.

    Everything here adds up over runs.

    Parameters
    ----------
    images, steps, input_spikes, output_spikes : float
    slots : float
        Times at which cells are read: the steps, and in a race the last bin of every image, which DECIDE ends; of a
        shared crossbar, which has no other, every window that is not passed over.
    taught : float
        Labels that taught the read-out.
    reads, read_weight : float
        Synaptic reads, and the sum of the weights they met.
    row_reads, active_square : float
        Read pulses of the tiles, and Σ (reads of a tile in a step)²; a second layer is in ``lines`` alone.
    lines : tuple of (pulses, cells)
        Read pulses of word lines and the cells on such a line.
    evaluations : float
        Neurons whose membrane was compared: once at a STEP, or while the reference of a race falls.
    recharged : float
        Recharge of traces, in full swings.
    set_pulses, set_weight, reset_pulses, reset_weight : float arrays of shape (amplitudes,)
        Pulses of each amplitude bin, and the sum of the weights before them.
    set_events : float
        Post spikes: columns that were swept.
    write_lines : tuple of (pulses, cells)
        Word-line pulses of SET and RESET.
    bit_lines : tuple of (set charges, reset charges, cells)
        Bit lines that were charged to the voltage of SET or RESET, and the cells on such a line.
    count_bits : float
        Bits of counts that were written; as many were read before (contract 5.7).
    """

    images: float
    steps: float
    slots: float
    taught: float
    input_spikes: float
    output_spikes: float
    reads: float
    read_weight: float
    row_reads: float
    active_square: float
    lines: tuple[tuple[float, int], ...]
    evaluations: float
    recharged: float
    set_pulses: np.ndarray
    set_weight: np.ndarray
    reset_pulses: np.ndarray
    reset_weight: np.ndarray
    set_events: float
    write_lines: tuple[tuple[float, int], ...]
    bit_lines: tuple[tuple[float, float, int], ...]
    count_bits: float

    @classmethod
    def from_counters(cls, chip: Chip, counters: dict[str, int]) -> "Activity":
        """Map the counters of contract 8 to what they mean on the analog chip; names not known here are ignored.

        Pulses on the read-out are in the bins of the tiles'. In a race, and with depression at the post spike, the
        tiles' RESET pulses are ``reset_rows``, so the rest is the read-out's, and as many of its SET pulses were given
        (10.5). In a chip with post-traces that fires at a threshold ``reset_rows`` are rows, each of which may have
        had a pulse for every learner: with more than one the read-out's share is an upper bound. A chip that
        accumulates counts the pulses of its read-out, SET and RESET together, and charges a bit line no more often
        than it has pulses.
        """
        counters = current_counters(counters)

        def count(name):
            return float(counters.get(name, 0))

        def bins(name):
            return np.array([count(f"{name}[{bin_}]") for bin_ in range(chip.amplitudes)])

        full_scale, classes = (1 << chip.trace_bits) - 1, chip.classes
        set_pulses, reset_pulses = bins("set_pulses"), bins("reset_pulses")
        race = chip.fire_mode == "race"
        swept = race or chip.depression == "post"
        resets = float(reset_pulses.sum()) - count("reset_rows") - count("layer_reset_rows") if classes else 0.0
        on_read_out = count("read_out_pulses") if chip.accumulates else 2 * resets
        sets = on_read_out - resets

        def charged(events, pulses):
            return min(count(events), pulses) if chip.accumulates else count(events)

        last = chip.last
        upper = last.neurons if chip.layers else 0
        layer_sets, layer_resets = count("layer_set_rows"), count("layer_reset_rows")
        rows_recharged = count("out_spikes") * float(np.mean(chip.trace_of_rank)) / full_scale if classes else 0.0
        if chip.shared:  # a row of the read-out ends at its best place, of which it has had as many read pulses
            rows_recharged = count("read_out_reads") / last.winners
        return cls(
            images=count("samples"), steps=count("steps"),
            slots=count("steps") + count("layer_decisions")
            + (count("decisions" if chip.shared else "samples") if race else 0.0),
            taught=count("taught"),
            input_spikes=count("in_spikes"),
            output_spikes=count("out_spikes") + count("layer_out_spikes"),
            reads=count("row_reads") * chip.neurons + count("layer_row_reads") * upper
            + count("read_out_reads") * classes,
            read_weight=count("read_sum") + count("layer_read_sum") + count("read_out_sum"),
            row_reads=count("row_reads"), active_square=count("active_sq_sum"),
            lines=((count("row_reads") + count("closed_tile_pulses"), chip.neurons),
                   (count("read_out_reads"), classes), (count("layer_row_reads"), upper)),
            evaluations=count("decisions") * chip.neurons + count("layer_decisions") * upper
            + (count("answers") + count("labels")) * classes,
            recharged=(count("pre_recharge") + count("post_recharge")) / full_scale
            + count("dark_spikes") + rows_recharged,
            set_pulses=set_pulses, set_weight=bins("set_weight"),
            reset_pulses=reset_pulses, reset_weight=bins("reset_weight"),
            set_events=count("set_events") + count("layer_set_events"),
            write_lines=((float(set_pulses.sum()) - sets - layer_sets + count("reset_rows"), chip.neurons),
                         (on_read_out, classes), (layer_sets + layer_resets, upper)),
            # who fired keeps its bit line charged while the silent rows are swept
            bit_lines=((charged("set_events", float(set_pulses.sum()) - sets - layer_sets),
                        charged("set_events", count("reset_rows")) if swept else float(reset_pulses.sum()), chip.rows),
                       (charged("taught", sets), charged("taught", resets), chip.read_out_rows if classes else 0),
                       (charged("layer_set_events", layer_sets), charged("layer_set_events", layer_resets),
                        last.rows if upper else 0)),
            count_bits=count("accumulations") * chip.accumulate_bits
            + count("read_out_accumulations") * chip.read_out_accumulate_bits)


@dataclass(frozen=True)
class OperatingPoint:
    """Means of a run at which its counters are priced; with one of them energies of counters add up exactly.

    Parameters
    ----------
    active_rows : float
        Reads of a tile in a step, as a read sees them: Σ n² / Σ n.
    set_width, reset_width : float
        Width of an update in full pulses of the device.
    set_rise, reset_fall : float arrays of shape (amplitudes,)
        Half of the mean change of the weight in a pulse: the current of a pulse is that of its middle.
    """

    active_rows: float
    set_width: float
    reset_width: float
    set_rise: np.ndarray
    reset_fall: np.ndarray

    @classmethod
    def of(cls, chip: Chip, device: Device, activity: Activity, *, scale: float = 1.0) -> "OperatingPoint":
        """The operating point of a run; ``scale`` is the mean scale of its plasticity tables (annealing).

        Where tiles accumulate, annealing raises their threshold, and the tables stay
        (:meth:`~ohmspike.chip.Chip.accumulate_rates`).
        """
        scale = chip.accumulate_rates("", scale)[0]
        weights = chip.weight_table.astype(float)
        middles, halves = [], []
        tables = chip.plasticity_tables(scale)
        for pulses, total, table, sign in ((activity.set_pulses, activity.set_weight, tables[0], 1),
                                           (activity.reset_pulses, activity.reset_weight, tables[1], -1)):
            before = total / np.maximum(pulses, 1)
            level = np.interp(before, weights, np.arange(chip.levels))
            step = np.array([np.interp(at, np.arange(chip.levels), row) for at, row in zip(level, table, strict=True)])
            after = np.interp(level + sign * step / 2**chip.fraction_bits, np.arange(chip.levels), weights)
            halves.append((after - before) / 2)
            whole = pulses.sum()
            middles.append(float((level * pulses).sum() / whole) / (chip.levels - 1) if whole else 0.5)
        widths = matched_widths(device, chip, scale=scale, at=(min(middles[0], 0.98), max(middles[1], 0.02)))
        active = activity.active_square / activity.row_reads if activity.row_reads else 0.0
        return cls(active, *widths, *halves)


def facts(chip: Chip, device: Device, activity: Activity, point: OperatingPoint) -> dict[str, float]:
    """What else the counters tell of the analog chip: names with units, numbers.

    The membrane capacitor holds the charge of the threshold at ``membrane_v``; in a race, that of all rows of a tile at
    the top weight, or of the largest membrane if that is less.
    """
    base, slope = _conductances(chip, device.values())
    mean = float(base + slope * activity.read_weight / activity.reads) if activity.reads else float("nan")
    top = float(base + slope * chip.weight_table.max())
    quantum = device.read_v * device.pulse_s * float(slope)
    largest = chip.theta_base if chip.fire_mode == "threshold" else \
        min(chip.rows * int(chip.weight_table.max()), (1 << chip.membrane_bits) - 1)
    below = pulse_amplitudes(chip.amplitudes) < device.threshold
    pulses = activity.set_pulses.sum() + activity.reset_pulses.sum()
    idle = activity.set_pulses[below].sum() + activity.reset_pulses[below].sum()
    g = device.cell_conductance(np.arange(chip.levels) / (chip.levels - 1))
    line = base + slope * chip.weight_table.astype(float)
    return {
        "mean conductance, S": mean, "top conductance, S": top,
        "weight table off the device's line, share of the top": float(np.sqrt(np.mean((g - line) ** 2)) / g[-1]),
        "active rows of a tile at once": float(point.active_rows),
        "charge left by the bit line's resistance": float(device.droop(point.active_rows, chip.rows, mean)),
        "charge of one unit of weight, C": quantum, "membrane capacitor, F": quantum * largest / device.membrane_v,
        "width of a SET update, pulses": float(point.set_width),
        "width of a RESET update, pulses": float(point.reset_width),
        "pulses below the cells' threshold": float(idle / pulses) if pulses else 0.0,
        "writes of a cell, mean": float(pulses / chip.all_synapses),
        "writes of a cell of the tiles, mean": float(activity.write_lines[0][0] / chip.synapses),
        "writes of a cell of the read-out, mean": float(activity.write_lines[1][0] / max(1, chip.read_out_synapses)),
        "reads of a cell of the tiles in an image, mean": float(
            activity.row_reads / (chip.tiles * chip.rows * activity.images)) if activity.images else 0.0,
        **({"writes of a cell of the second layer, mean": float(activity.write_lines[2][0] / chip.layer_synapses),
            "reads of a cell of the second layer in an image, mean": float(
                activity.lines[2][0] / (chip.last.rows * activity.images)) if activity.images else 0.0}
           if chip.layers else {}),
        **({"bits of counts written": activity.count_bits} if chip.accumulates else {}),
    }


def durations(chip: Chip, device: Device, activity: Activity, point: OperatingPoint) -> dict[str, float]:
    """Time of some activity on the analog chip, s: one image after the other, all tiles at once, windows in turn.

    A slot of reading takes ``step_s``, or a read pulse if that is longer; a race ``ramp_comparisons`` comparisons, as a
    score of the read-out does. A tile writes the columns of its learners one after the other, each by a SET and, in a
    race, a RESET of full width; a label that teaches takes a SET and a RESET too, where it gives a pulse. Names:
    ``reading``, ``deciding``, ``writing``.
    """
    compared = device.ramp_comparisons * device.compare_s
    race = chip.fire_mode == "race"
    rounds = activity.slots - activity.steps if race else 0.0
    updates = activity.set_events / chip.tiles
    if race and not chip.shared:
        updates = activity.images * chip.learners * (activity.set_events > 0)
    set_s, reset_s = point.set_width * device.set_s, point.reset_width * device.reset_s
    taught_sets, taught_resets = activity.bit_lines[1][:2]
    return {"reading": activity.slots * max(device.step_s, device.pulse_s + device.edge_s),
            "deciding": (rounds + (activity.images if chip.classes else 0.0)) * compared if race else
            activity.slots * device.compare_s,
            "writing": (updates + taught_sets) * set_s + (updates + taught_resets) * reset_s}


def noise_floor(chip: Chip, device: Device, activity: Activity, point: OperatingPoint) -> dict[str, float]:
    """Electrons of one unit of weight, and the noise of a mean membrane in units of weight.

    Of the current through cells at a voltage V there is ``2 q I coth(qV / 2kT)``, shot noise above 2 kT / q and thermal
    noise below (van der Ziel, Noise in Solid State Devices and Circuits, 1986, ch. 2); a capacitor that was reset keeps
    the charge noise ``sqrt(kTC)``.
    """
    told = facts(chip, device, activity, point)
    unit = told["charge of one unit of weight, C"]
    if not activity.reads or not activity.evaluations:
        return {"electrons of one unit of weight": unit / _ELECTRON}
    thermal = _BOLTZMANN * device.temperature_k
    # every membrane that is compared holds the charge of all reads of its column
    charge = device.read_v * device.pulse_s * told["mean conductance, S"] * activity.reads / activity.evaluations
    shot = math.sqrt(_ELECTRON * charge / math.tanh(_ELECTRON * device.read_v / (2 * thermal)))
    held = math.sqrt(thermal * told["membrane capacitor, F"])
    return {"electrons of one unit of weight": unit / _ELECTRON,
            "shot and thermal noise of a mean membrane, units of weight": shot / unit,
            "kT/C noise of the membrane, units of weight": held / unit}


def mean_annealing(schedule: Iterable[Phase]) -> float:
    """Mean of the scale ``scale * decay ** u`` of the tiles' tables, over the passes in which they learn."""
    learning = [phase for phase in schedule if phase.learn]
    if not learning:
        return 1.0
    areas = [phase.scale * (phase.passes if phase.decay == 1.0 else
                            (phase.decay**phase.passes - 1) / math.log(phase.decay)) for phase in learning]
    return sum(areas) / sum(phase.passes for phase in learning)


def _conductances(chip, values):
    """Conductance at weight 0 and per unit of weight: the straight line through all levels, S."""
    x = np.arange(chip.levels) / (chip.levels - 1)
    low, high = (np.asarray(values[name])[..., None] for name in ("g_min_s", "g_max_s"))
    g = 1 / (1 / (low + (high - low) * x) + np.asarray(values["access_ohm"])[..., None])
    w = chip.weight_table.astype(float)
    slope = ((w - w.mean()) * g).sum(-1) / ((w - w.mean()) ** 2).sum()
    return g.mean(-1) - slope * w.mean(), slope


def energies(chip: Chip, device: Device, activity: Activity, point: OperatingPoint,
             values: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Joules of every component.

    Parameters
    ----------
    values : dict of arrays, optional
        In place of the device's numbers, by name, all of one shape: samples of their spread.
    """
    v = {name: np.asarray(value, float) for name, value in {**device.values(), **(values or {})}.items()}
    base, slope = _conductances(chip, v)
    clamp = device.readout == "clamp"
    # reads
    total = base * activity.reads + slope * activity.read_weight
    mean = total / activity.reads if activity.reads else 0.0
    wire = v["wire_ohm_per_um"] * v["pitch_um"] * (1 + WIRE_PER_KELVIN * (v["temperature_k"] - 300))
    charge = v["read_v"] * (v["read_s"] + v["edge_s"]) * total * droop_of(point.active_rows * chip.rows * mean * wire)
    per_cell = v["gate_f"] + v["wire_f_per_um"] * v["pitch_um"]

    def lines(pulses):
        return sum(count * (cells * per_cell + v["driver_f"]) for count, cells in pulses if count)

    # writes
    written = {}
    for kind, pulses, weight, change, width in (
            ("set", activity.set_pulses, activity.set_weight, point.set_rise, point.set_width),
            ("reset", activity.reset_pulses, activity.reset_weight, point.reset_fall, point.reset_width)):
        square = pulse_amplitudes(chip.amplitudes) ** 2
        through = base * (square * pulses).sum() + slope * (square * (weight + change * pulses)).sum()
        written[kind] = v[f"{kind}_v"] ** 2 * v[f"{kind}_s"] * width * through / v["efficiency"]
    on_bit_line = v["wire_f_per_um"] * v["pitch_um"] + v["drain_share"] * v["gate_f"]
    bit_lines = on_bit_line * sum(cells * (sets * v["set_v"] ** 2 + resets * v["reset_v"] ** 2)
                                  for sets, resets, cells in activity.bit_lines)
    write_lines = (lines(activity.write_lines) * v["wordline_write_v"] ** 2 + bit_lines) / v["efficiency"]
    pulses = activity.set_pulses.sum() + activity.reset_pulses.sum()
    found = {
        "cells": v["read_v"] * charge,
        "mirror": v["supply_v"] * charge / v["mirror_ratio"] if clamp else 0.0 * charge,
        "word_lines": lines(activity.lines) * v["wordline_v"] ** 2,
        "comparators": activity.evaluations * v["compare_j"]
        * (v["ramp_comparisons"] if chip.fire_mode == "race" else 1.0),
        "fires": activity.output_spikes * v["spike_j"]
        + v["bias_a"] * v["supply_v"] * v["step_s"] * activity.slots
        * (chip.tiles * chip.neurons + (chip.last.neurons if chip.layers else 0)),
        "traces": v["trace_f"] * v["supply_v"] ** 2 * activity.recharged + v["buffer_j"] * pulses,
        **written, "write_lines": write_lines, "counts": 2 * v["count_bit_j"] * activity.count_bits}
    shape = np.broadcast_shapes(*(np.shape(value) for value in (*found.values(), *v.values())))
    return {name: np.broadcast_to(np.asarray(found[name], float), shape) for name in COMPONENTS}


def sampled(device: Device, samples: int = SAMPLES, seed: int = SEED) -> dict[str, np.ndarray]:
    """Log-normal samples of every number of the device that has a spread, around its value, float of (samples,)."""
    random = np.random.default_rng(seed)
    drawn = {}
    for spec in device.quantities():
        value, sigma = getattr(device, spec.name), device.about(spec.name).sigma
        if sigma and value:
            drawn[spec.name] = value * np.exp(sigma * random.standard_normal(samples))
    return drawn


@dataclass(frozen=True)
class Spread:
    """A figure with the range that nine in ten samples fall into, J."""

    value: float
    p5: float
    p95: float

    @classmethod
    def of(cls, value: float, samples: np.ndarray) -> "Spread":
        """A value, and the percentiles of its samples."""
        low, high = np.percentile(samples, (5, 95))
        return cls(float(value), float(low), float(high))

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Estimate:
    """The energy of some activity on a device.

    Parameters
    ----------
    components : dict of :class:`Spread`
        J, by the names of :data:`COMPONENTS`.
    total : :class:`Spread`
    per : dict of :class:`Spread`
        J per image, per synaptic read, per input spike, per output spike; what did not occur is absent.
    claims : dict of :class:`Spread`
        J of what "a spike" may mean.
    """

    components: dict[str, Spread]
    total: Spread
    per: dict[str, Spread]
    claims: dict[str, Spread]


_CLAIMS = {
    "synaptic read, cell alone": (("cells",), "reads"),
    "synaptic read, everything that reading needs": (("cells", "mirror", "word_lines", "comparators", "fires",
                                                      "traces"), "reads"),
    "input spike with all its synapses": (("cells", "mirror", "word_lines", "comparators", "fires", "traces"),
                                          "input_spikes"),
    "output spike, neuron alone": (("fires",), "output_spikes"),
    "output spike with the charge that led to it": (("cells", "mirror", "fires"), "output_spikes"),
    "input spike, learning included": (tuple(COMPONENTS), "input_spikes"),
}


def estimate(chip: Chip, device: Device, activity: Activity, point: OperatingPoint) -> Estimate:
    """Energy by component with its spread, in every normalisation (Monte Carlo, log-normal, fixed seed)."""
    nominal = energies(chip, device, activity, point)
    drawn = energies(chip, device, activity, point, sampled(device))

    def spread(parts, by=1.0):
        return Spread.of(sum(nominal[name] for name in parts) / by, sum(drawn[name] for name in parts) / by)

    counts = {"image": activity.images, "synaptic read": activity.reads, "input spike": activity.input_spikes,
              "output spike": activity.output_spikes}
    return Estimate(
        {name: spread([name]) for name in COMPONENTS}, spread(COMPONENTS),
        {name: spread(COMPONENTS, count) for name, count in counts.items() if count},
        {name: spread(parts, getattr(activity, by)) for name, (parts, by) in _CLAIMS.items() if getattr(activity, by)})


def tornado(chip: Chip, device: Device, activity: Activity, point: OperatingPoint) -> list[tuple[str, float, float]]:
    """The total with each number one sigma lower and higher, J, widest first."""
    found = []
    for spec in device.quantities():
        value, sigma = getattr(device, spec.name), device.about(spec.name).sigma
        if sigma and value:
            moved = {spec.name: value * np.exp(sigma * np.array([-1.0, 1.0]))}
            low, high = np.sum(list(energies(chip, device, activity, point, moved).values()), axis=0)
            found.append((spec.name, float(low), float(high)))
    return sorted(found, key=lambda entry: -abs(entry[2] - entry[1]))


def elasticities(chip: Chip, device: Device, activity: Activity, point: OperatingPoint) -> dict[str, float]:
    """By how many per cent the total grows with one per cent of each value, largest first; 1 is in proportion."""
    whole, step, found = sum(energies(chip, device, activity, point).values()), 1e-3, {}
    if not whole:
        return {}
    for spec in device.quantities():
        if value := getattr(device, spec.name):
            more = sum(energies(chip, device, activity, point, {spec.name: value * (1 + step)}).values())
            found[spec.name] = float((more / whole - 1) / step)
    return dict(sorted(found.items(), key=lambda entry: -abs(entry[1])))


def design_share(chip: Chip, device: Device, activity: Activity, point: OperatingPoint) -> dict[str, float]:
    """How much of the total rests on design choices.

    ``bill``: share of the total that stands in proportion to a design choice with a spread, such as the energy of a
    comparison. ``uncertainty``: their share of the variance of its logarithm, to first order.
    """
    elastic = elasticities(chip, device, activity, point)
    spread = {name: (elastic[name] * device.about(name).sigma) ** 2 for name in elastic}
    chosen = {name for name in elastic if device.about(name).status == "design choice" and device.about(name).sigma}
    nominal = {name: float(value) for name, value in energies(chip, device, activity, point).items()}
    whole = sum(nominal.values())
    bill = sum(value for name, value in nominal.items() if chosen & set(_PRICES.get(name, ())))
    return {"bill": bill / whole if whole else 0.0,
            "uncertainty": sum(spread[name] for name in chosen) / sum(spread.values()) if any(spread.values()) else 0.0}


_PRICES = {"comparators": ("compare_j", "ramp_comparisons"), "traces": ("trace_f",), "fires": ("spike_j",)}
"""Values that a whole component stands in proportion to."""
