"""The energy of a run: its counters by phase, priced on a device."""

import dataclasses
import json
from pathlib import Path

from ohmspike.chip import Chip, DescriptionError, Phase
from ohmspike.chip.instructions import counter_names, current_counters
from ohmspike.chip.wording import reason
from ohmspike.host.support.errors import UserError
from ohmspike.sim.analog.device import Device
from ohmspike.sim.analog.energy import (
    CLAIM_J,
    COMPONENTS,
    LEFT_OUT,
    PUBLISHED,
    Activity,
    OperatingPoint,
    design_share,
    durations,
    estimate,
    facts,
    mean_annealing,
    noise_floor,
    tornado,
)

from .learned import load

__all__ = ["CAVEAT", "Run", "energy_of", "read_run"]

CAVEAT = "model, not measurement"

TWIN_WATTS, TWIN_HERTZ = 0.5, 60e6
"""Assumed of an ECP5-85F board with the RTL: power of the whole board, and clock. Not measured."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder tells: chip, metrics, and counters by phase.

    Parameters
    ----------
    phases : dict
        Phases of the schedule and ``inference``; or ``learning`` and ``inference``, or ``all``, where the folder does
        not tell them apart.
    """

    path: Path
    chip: Chip
    metrics: dict
    phases: dict[str, dict[str, int]]


def read_run(path: str | Path) -> Run:
    """Read a run folder that ``learn`` or ``demo`` made.

    Raises
    ------
    UserError
        The folder is not one of a run.
    """
    path = Path(path)
    metrics, description = (_json(path / name) for name in ("metrics.json", "chip.json"))
    try:
        chip = Chip.from_dict(description, source=str(path / "chip.json"))
        whole = _counts(metrics["counters"])
        learning = metrics.get("counters_learn")
        learning = None if learning is None else _counts(learning)
    except (DescriptionError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a run folder: {reason(error)}",
                        hint="name a folder that learn or demo made") from None
    if learning is None and (path / "learned.npz").exists():
        counters = load(path / "learned.npz", chip)[1].counters
        learning = dict(zip(counter_names(chip), counters.tolist(), strict=True))
    phases = _by_phase(metrics, whole)
    if phases is None and learning and all(0 <= learning.get(name, 0) <= count for name, count in whole.items()):
        rest = {name: count - learning.get(name, 0) for name, count in whole.items()}
        phases = {name: counts for name, counts in (("learning", learning), ("inference", rest))
                  if any(counts.values())}
    return Run(path, chip, metrics, phases or {"all": whole})


def _counts(document):
    """Counters by name, each a whole number from 0 up."""
    for name, count in document.items():
        if type(count) is not int or count < 0:
            raise ValueError(f"counter {name} must be an integer from 0 up, not {count!r}")
    return current_counters(document)


def _by_phase(metrics, whole):
    """Counters of every phase of the schedule, and of what came after; none if the folder does not have them."""
    try:
        schedule = [Phase.from_dict(phase) for phase in metrics["schedule"]]
        ends = [(int(mark["phase"]), _counts(mark["counters"])) for mark in metrics["counters_phases"]]
        if [number for number, _ in ends] != list(range(len(schedule))):
            return None
        phases, before = {}, dict.fromkeys(whole, 0)
        for number, counters in [*ends, (len(ends), whole)]:
            counts = {name: counters[name] - before[name] for name in whole}
            if min(counts.values(), default=0) < 0:
                return None
            phases[_phase_name(schedule[number], number) if number < len(schedule) else "inference"] = counts
            before = counters
    except (KeyError, AttributeError, TypeError, ValueError, ArithmeticError, DescriptionError):
        return None
    return {name: counts for name, counts in phases.items() if any(counts.values())}


def _phase_name(phase, number):
    what = " and ".join(name for name, on in (("tiles", phase.learn), ("read-out", phase.teach)) if on)
    return f"learning {number + 1}: {what}{' (on the host)' if phase.on_host else ''}, {phase.passes} " \
           f"{'pass' if phase.passes == 1 else 'passes'}"


def _json(path):
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}",
                        hint="name a folder that learn or demo made") from None


def energy_of(run: Run, device: Device, *, twin_watts: float = TWIN_WATTS, twin_hertz: float = TWIN_HERTZ) -> dict:
    """Everything ``ohmspike energy`` tells of a run, ready for JSON; joules, 5th and 95th percentiles."""
    chip = run.chip
    activities = {name: Activity.from_counters(chip, counters) for name, counters in run.phases.items()}
    whole = Activity.from_counters(chip, {name: sum(int(counters.get(name, 0)) for counters in run.phases.values())
                                          for name in set().union(*run.phases.values())})
    point = OperatingPoint.of(chip, device, whole, scale=mean_annealing(_schedule(run)))
    return {
        "note": CAVEAT, "run": str(run.path), "chip": chip.name, "device": device.name,
        "phases": {name: _phase(chip, device, activity, point) for name, activity in activities.items()},
        "facts": facts(chip, device, whole, point) | noise_floor(chip, device, whole, point),
        "design_choices": design_share(chip, device, whole, point), "left_out": list(LEFT_OUT),
        "tornado": [{"value": name, "status": device.about(name).status, "low_j": low, "high_j": high}
                    for name, low, high in tornado(chip, device, whole, point)],
        "twin": _twin(run, twin_watts, twin_hertz),
        "published": [{"what": what, "figure": figure, "source": source} for what, figure, source in PUBLISHED],
    }


def _schedule(run):
    """What the run says it did, or what its chip would do."""
    try:
        return [Phase.from_dict(phase) for phase in run.metrics["schedule"]]
    except (KeyError, TypeError, DescriptionError):
        return run.chip.schedule


def _phase(chip, device, activity, point):
    bill = estimate(chip, device, activity, point)
    seconds = durations(chip, device, activity, point)
    return {
        "image_s": {name: value / activity.images for name, value in seconds.items()} if activity.images else {},
        "images": activity.images, "synaptic_reads": activity.reads, "input_spikes": activity.input_spikes,
        "output_spikes": activity.output_spikes, "total_j": bill.total.to_dict(),
        "components_j": {name: {**spread.to_dict(), "share": spread.value / bill.total.value if bill.total.value
                                else 0.0, "what": COMPONENTS[name]} for name, spread in bill.components.items()},
        "per_j": {name: spread.to_dict() for name, spread in bill.per.items()},
        "claims": {name: {**spread.to_dict(), "times_claim": spread.value / CLAIM_J,
                          "consistent": spread.p5 <= CLAIM_J <= spread.p95} for name, spread in bill.claims.items()
                   if "learning" not in name or activity.set_pulses.sum() + activity.reset_pulses.sum()},
    }


def _twin(run, watts, hertz):
    """The digital twin's own energy for an image: clocks of the run, or those stated for an image like MNIST's."""
    clocks = {name: run.metrics[key] for name, key in (("learning", "cycles_per_image_learn"),
                                                       ("inference", "cycles_per_image_infer"))
              if run.metrics.get(key)}
    counted = bool(clocks)
    from ohmspike.sim.rtl.build import cost_table, default_lanes, unbuilt

    if not counted and not unbuilt(run.chip):
        table = cost_table(run.chip, default_lanes(run.chip))
        clocks = {"learning": next(value for name, value in table.items() if name.startswith("image")
                                   and name.endswith("learning")),
                  "inference": next(value for name, value in table.items() if name.startswith("image"))}
    return {"assumed_watts": watts, "assumed_hertz": hertz, "clocks": "counted" if counted else "of the cost model",
            "clocks_per_image": clocks,
            "image_j": {name: watts * count / hertz for name, count in clocks.items()}}
