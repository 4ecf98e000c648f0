"""Clocks of the events of a chip, and of an image like those of MNIST in the code of the chip."""

from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.timing import all_units

from .timing import active_of, image, listed_of, synthetic, synthetic_image, timing_of

__all__ = ["cost_table", "image_costs"]

MNIST_SPIKES = 122
"""Bright lines of an MNIST image, mean."""

MNIST_GREY = 102.4
"""Sum of the pixels of an MNIST image over that of a white one, mean: white lines that would spike as often."""


def cost_table(layout: Layout) -> dict[str, int]:
    """Clocks of every event, and of an image like those of MNIST, by name (docs/architecture.md)."""
    chip, timing = layout.chip, timing_of(layout)
    visits, live = synthetic(layout, MNIST_SPIKES)
    table = {"read of a row": timing.visit(), "column sweep": timing.sweep(), "race, one winner": timing.race_cycles()}
    costs = _threshold_costs if chip.fire_mode == "threshold" else _shared_costs if chip.shared else _race_costs
    table |= costs(layout, timing, visits, live)
    if chip.classes:
        listed = listed_of(layout, live)
        table |= {"ANSWER": timing.answer(), f"LABEL, {listed} rows taught": timing.label(listed)}
    if chip.classes and chip.fire_mode == "race":
        name, bins = f"image of {MNIST_SPIKES} spikes", chip.latency_bins
        table |= {
            f"{name}, answered": image(layout, visits, live, bins=bins, learn=False, answered=True),
            f"{name}, taught": image(layout, visits, live, bins=bins, learn=False, taught=True),
        }
    return table


def _race_costs(layout, timing, visits, live):
    """Clocks of the events of race mode, and of an image in latency code."""
    chip, count, name = layout.chip, sum(live), f"image of {MNIST_SPIKES} spikes"
    return {
        f"DECIDE, {count} live tiles": timing.decide(live, learn=False),
        f"DECIDE, {count} live tiles, learning": timing.decide(live, learn=True),
        f"DARK, {count} live tiles, learning": timing.dark(all_units(chip, live)),
        "END": timing.end(),
        name: image(layout, visits, live, bins=chip.latency_bins, learn=False),
        f"{name}, learning": image(layout, visits, live, bins=chip.latency_bins, learn=True),
    }


def _shared_costs(layout, timing, visits, live):
    """Clocks of the events of a shared crossbar, and of an image."""
    count, name = active_of(layout, live), f"image of {MNIST_SPIKES} spikes"
    return {
        f"DECIDE, {count} active windows": timing.decide(live, learn=False),
        f"DECIDE, {count} active windows, learning": timing.decide(live, learn=True),
        "END": timing.end(listed=listed_of(layout, live)),
        name: image(layout, visits, live, learn=False),
        f"{name}, learning": image(layout, visits, live, learn=True),
    }


def _threshold_costs(layout, timing, visits, live):
    """Clocks of the events of threshold mode, and of an image in rate code, without RESET pulses of spikes."""
    chip = layout.chip
    steps, peak = (chip.rate_steps, chip.rate_peak) if chip.rate_steps else (32, 0.25)
    lines = round(MNIST_GREY * peak)  # that spike at a step: the same ones, those nearest to the centre
    spikes, _ = synthetic_image(chip, lines)
    search = timing.find_unit(0)
    silent, every = [False if is_live else None for is_live in live], [0 if is_live else None for is_live in live]
    learned = [search if is_live else None for is_live in live]

    def step(outcomes, learn=False):
        clocks = timing.clocks(timing, learn=learn, report=False)
        clocks.step(outcomes)
        return clocks.event

    def sample(outcomes, learn=False):
        clocks = timing.clocks(timing, learn=learn)
        for number in range(1, steps + 1):
            clocks.frame(spikes)
            clocks.step(outcomes if number == steps else silent)
        clocks.end()
        return clocks.total

    count, name = sum(live), f"image of {steps * lines} spikes"
    return {
        f"STEP, {count} live tiles": step(silent),
        f"STEP, {count} live tiles, each fires": step(every),
        f"STEP, {count} live tiles, each fires, learning": step(learned, learn=True),
        "END": timing.end(),
        f"{name}, {count} fires": sample(every),
        f"{name}, {count} fires, learning": sample(learned, learn=True),
    }


def image_costs(layout: Layout) -> dict[str, int]:
    """Those of :func:`cost_table` that are of an image, in the code that fits the chip."""
    return {name: clocks for name, clocks in cost_table(layout).items() if name.startswith("image of ")}
