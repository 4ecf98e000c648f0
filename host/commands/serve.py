"""``ohmspike serve``: a page in the browser on a running chip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError

from .body import made_of, made_of_option
from .energy import device_of
from .options import chip_of, data_option, seed_option, target_option

__all__ = ["serve"]


@click.command()
@click.option("--chip", "chip_name", default="tiles-online", show_default=True, metavar="NAME|FILE",
              help="preset (see `ohmspike info`) or TOML file")
@made_of_option
@target_option
@seed_option
@data_option
@click.option("--state", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="learned chip to begin with  [default: the state before the first image]")
@click.option("--keep", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="where the learned chip is kept, every ten seconds and at the end  [default: live-CHIP.npz]")
@click.option("--host", default="127.0.0.1", show_default=True, help="address to serve on; others than this machine "
              "can reach the page, and steer the chip, only if you name another")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one")
def serve(chip_name: str, device_name: str | None, target: str, seed: int | None, data_source: str | None,
          state: Path | None, keep: Path | None, host: str, port: int) -> None:
    """a page in the browser: draw digits, watch the chip learn, break it, see it recover"""
    import asyncio
    import signal

    try:
        from ohmspike.host.live.server import Hub
        from ohmspike.host.live.server import serve as serve_page
    except ImportError as error:
        raise UserError(f"the page needs a package that is not installed: {error}",
                        hint="pip install 'ohmspike[serve]'") from None
    from ohmspike.host.data.images import load_dataset
    from ohmspike.host.learning.run import warm_up
    from ohmspike.host.live.session import LiveChip, adopted, code_of, live_chip
    from ohmspike.host.runs.learned import load
    from ohmspike.host.support.atomic import check_writable
    from ohmspike.host.targets.registry import open_target
    from ohmspike.sim.state import ChipState

    chip = made_of(chip_of(chip_name, seed), device_name)
    given = vote = None
    if state is not None:
        chip, given, vote = load(state)
    live = live_chip(chip)
    if live.layers:
        raise UserError(f"the page shows chips of one layer, and {chip.name} has two", hint="take --chip tiles-online")
    data = load_dataset(data_source, console.status)
    data.check(live, labels_for="the read-out" if live.classes else "the vote of the neurons")
    keep = keep or Path(f"live-{chip.name}.npz")
    check_writable(keep.parent)
    device = device_of(chip, device_name)
    if target == "model":
        console.status("compiling the model (a minute the first time)")
        warm_up(live, code_of(live))

    async def run(body):
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, ended.set)
        hub = Hub(loop)

        def tell(message: dict[str, Any]) -> None:
            hub.tell(message)
            if message["type"] == "dead":
                console.say(f"warning: {message['text']}; {message['kept']}")

        session = LiveChip(body, data, tell, device=device, keep=keep, vote=vote)
        session.start()
        try:
            await serve_page(session, hub, host, port, lambda place: console.say(
                f"{chip.name} on {body.name}: open {place}; Ctrl-C ends it"), ended)
        except OSError as error:
            raise UserError(f"port {port} of {host} cannot be served on: {error.strerror or error}",
                            hint="name another with --port; 0 takes a free one") from None
        finally:
            await asyncio.to_thread(session.stop)
        return session

    with open_target(target, live, progress=console.status) as body:
        body.load(ChipState.initial(live) if given is None else adopted(chip, live, given))
        session = asyncio.run(run(body))
    if session.dead:
        raise UserError(session.dead, hint=f"{session.kept}; --state {keep} goes on from there" if session.kept_images
                        else None) from session.failure
    console.say(session.kept)
