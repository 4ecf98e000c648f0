"""``ohmspike bridge``: the compiled RTL behind a pseudo-terminal, in place of a board."""

import click

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError

from .options import chip_of, chip_option, json_option

__all__ = ["bridge"]


@click.command()
@chip_option
@click.option("--lanes", type=click.IntRange(1), default=None, help="synapses per clock  [default: of the RTL target]")
@click.option("--wires", is_flag=True, help="with the UART of a board in between, bit by bit (slower)")
@json_option
def bridge(chip_name: str, lanes: int | None, wires: bool, as_json: bool) -> None:
    """compiled RTL behind a pseudo-terminal, until Ctrl-C: a board for --target serial:PTY"""
    from ohmspike.sim.rtl.build import compile_chip, compile_serial_chip

    try:
        from ohmspike.host.link.bridge import Bridge
    except ImportError as error:  # Windows
        raise UserError(f"this system has no pseudo-terminals: {error}", hint="use --target rtl or rtl-uart") from None
    chip = chip_of(chip_name, None)
    compiled = compile_serial_chip if wires else compile_chip
    lanes = lanes and min(lanes, chip.neurons)
    with compiled(chip, lanes=lanes, progress=console.status) as rtl, Bridge(rtl) as served:
        console.show({"chip": chip.name, "digest": chip.digest, "port": served.name}, as_json=as_json, text=served.name)
        console.say(f"{chip.name} serves on {served.name}; try --target serial:{served.name}; Ctrl-C ends it")
        try:
            served.serve()
        except KeyboardInterrupt:
            console.say(f"{served.received:,} bytes in, {served.sent:,} out, {rtl.cycles:,} clocks")
