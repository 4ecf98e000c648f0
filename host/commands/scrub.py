"""``ohmspike scrub``: what a chip holds against what it should hold."""

import sys

import click

from ohmspike.host.support import console

from .options import TargetName, json_option

__all__ = ["scrub"]

SHOWN = 20


@click.command()
@click.option("--target", "target_name", type=TargetName(), required=True, help="the chip")
@click.option("--state", "path", type=click.Path(exists=True, dir_okay=False), required=True,
              help="a learned chip's file: what its memories should hold")
@click.option("--restore", is_flag=True, help="rewrite what differs")
@json_option
def scrub(target_name: str, path: str, restore: bool, as_json: bool) -> None:
    """compare every memory of a chip with a saved state by checksums; exit code 1 if the chip is left damaged"""
    from ohmspike.host.integrity.scrub import scrub as scrub_target
    from ohmspike.host.runs.learned import load
    from ohmspike.host.targets.registry import open_target

    chip, state, _ = load(path)
    with open_target(target_name, chip, progress=console.status, keep=True) as target:
        with console.progress("memories") as progress:
            report = scrub_target(target, state, restore=restore, progress=progress)
    result = {"chip": chip.name, "digest": chip.digest, "target": target_name, "state": str(path), **report.as_dict()}
    console.show(result, as_json=as_json, text=_summary(result, report))
    if not report.sound:
        sys.exit(1)


def _summary(result, report):
    lines = [f"{result['chip']}: {sum(report.cells.values()):,} cells of {len(report.cells)} memories, "
             f"{report.checks:,} checksums"]
    if not report.damages:
        return f"{lines[0]}: all as saved"
    lines += [f"  {name:16} {count:>10,} of {report.cells[name]:,} cells differ"
              for name, count in result["damaged"].items()]
    lines += [f"    {damage}" for damage in report.damages[:SHOWN]]
    lines += [f"    … and {len(report.damages) - SHOWN:,} more"] if len(report.damages) > SHOWN else []
    if not report.restored:
        lines.append("nothing was changed: --restore rewrites what differs")
    elif report.sound:
        lines.append("all restored, and checked again")
    else:
        lines += [f"{len(report.remaining):,} cells could not be restored:",
                  *(f"    {damage}" for damage in report.remaining[:SHOWN])]
    return "\n".join(lines)
