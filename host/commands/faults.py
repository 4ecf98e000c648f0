"""``ohmspike faults``: fault injection into the compiled RTL."""

import time

import click

from ohmspike.host.support import console

from .options import chip_of, json_option

__all__ = ["faults"]

CODES = "FSMs, every other code"


@click.command()
@click.option("--chip", "chip_name", default=None, metavar="NAME|FILE",
              help="preset or TOML file  [default: a chip of six small tiles and a read-out]")
@click.option("--flips", type=click.IntRange(1), default=40, show_default=True, help="bits flipped in every class")
@click.option("--learn/--no-learn", default=True, show_default=True,
              help="inject while the chip learns (the model learns alongside), or while it only answers")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True,
              help="seed of samples, fault sites and clocks")
@json_option
def faults(chip_name: str | None, flips: int, learn: bool, seed: int, as_json: bool) -> None:
    """inject single-bit faults into the compiled RTL and report detection and recovery"""
    from ohmspike.host.integrity.faults import CLASSES, FAULTS_CHIP, Campaign
    from ohmspike.sim.rtl.build import faults_rtl

    chip = FAULTS_CHIP if chip_name is None else chip_of(chip_name, None)
    start = time.monotonic()
    campaign = Campaign(chip, faults_rtl(chip, progress=console.status), seed=seed, learn=learn)
    plans = {name: list(campaign.faults(name, flips)) for name in CLASSES if campaign.classes[name]}
    plans[CODES] = list(campaign.codes())
    total, done = sum(map(len, plans.values())), 0
    with console.progress("faults") as progress:
        for name, plan in plans.items():
            for fault in plan:
                campaign.run(name, [fault])
                progress(done := done + 1, total)
    report = campaign.report
    result = {**report.as_dict(), "seconds": round(time.monotonic() - start, 1)}
    text = (f"{total:,} faults in {chip.name}, seed {seed}, {'learning' if learn else 'inference'}; each in the midst "
            f"of a batch, then recovery, scrub and another batch\n\n{report.markdown()}").rstrip()
    console.show(result, as_json=as_json, text=text)
