"""What viewers of the live page cost: images learned a second without any, and with some, in turns.

A second is one of the server's CPU time where the system tells it (Linux), so that other programs on the machine have
no say: all that it does for viewers, by the learning thread and by the one that sends, is then taken from learning, as
on a machine without a core to spare. ``python -m ohmspike.host.studies.viewers``. It needs the extra
``ohmspike[serve]``.
"""

import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError

__all__ = ["Speeds", "cpu_clock", "measure"]

_WAIT_S = 300.0
_BUSY_S = 0.5
"""Time for connections to come or go before a measurement."""

Speeds = tuple[list[float], list[float]]
"""Images learned a second without viewers, and with them, a value for every pair."""


def cpu_clock(process: int) -> Callable[[], float]:
    """CPU seconds of a process and its threads, by /proc; the clock on the wall where there is none."""
    told = Path(f"/proc/{process}/stat")
    if not told.exists():
        return time.monotonic

    def seconds() -> float:
        user, system = told.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    return seconds


async def _shown(session: ClientSession, address: str, clock: Callable[[], float],
                 do: str | None = None) -> tuple[int, float]:
    """Images learned so far, and the clock when that was said; by a connection that ends at once."""
    async with session.ws_connect(f"{address}live") as socket:
        if do is not None:
            await socket.send_json({"do": do})
        while True:
            message = await socket.receive_json(timeout=_WAIT_S)
            if message["type"] == "status":
                return int(message["shown"]), clock()


async def _speed(session: ClientSession, address: str, clock: Callable[[], float], seconds: float) -> float:
    first, began = await _shown(session, address, clock)
    await asyncio.sleep(seconds)
    last, ended = await _shown(session, address, clock)
    return (last - first) / max(ended - began, 1e-9)


async def _watch(socket: ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def measure(address: str, *, viewers: int, pairs: int, seconds: float,
                  clock: Callable[[], float] = time.monotonic) -> Speeds:
    """Speeds of a chip whose page is at ``address``, which learns as fast as it goes.

    Parameters
    ----------
    seconds : float
        Time on the wall of every measurement.
    clock : callable, optional
        Gives the seconds by which images are divided.

    Raises
    ------
    aiohttp.ClientError
        The server went away.
    """
    alone: list[float] = []
    watched: list[float] = []
    async with ClientSession() as session:
        await _shown(session, address, clock, "run")
        await asyncio.sleep(seconds)  # the first images meet empty caches
        for _ in range(pairs):
            alone.append(await _speed(session, address, clock, seconds))
            sockets = [await session.ws_connect(f"{address}live") for _ in range(viewers)]
            watching = [asyncio.create_task(_watch(socket)) for socket in sockets]
            await asyncio.sleep(_BUSY_S)
            watched.append(await _speed(session, address, clock, seconds))
            for socket in sockets:
                await socket.close()
            await asyncio.gather(*watching)
            await asyncio.sleep(_BUSY_S)
    return alone, watched


def _serve_and_measure(serve: Sequence[str], viewers: int, pairs: int, seconds: float) -> Speeds:
    with tempfile.TemporaryDirectory(prefix="ohmspike-viewers-") as folder:
        keep = str(Path(folder, "kept.npz"))
        server = subprocess.Popen([sys.executable, "-m", "ohmspike", "serve", *serve, "--port", "0", "--keep", keep],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        try:
            said = ""
            for line in server.stderr:
                said = line
                if found := re.search(r"http://\S+?/", line):
                    return asyncio.run(measure(found[0], viewers=viewers, pairs=pairs, seconds=seconds,
                                               clock=cpu_clock(server.pid)))
            raise UserError(f"the page could not be served: {said.strip()}")
        except (ClientError, OSError) as error:
            raise UserError(f"the server went away: {error or type(error).__name__}") from None
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=_WAIT_S)


@click.command()
@click.option("--chip", default="tiles-online", show_default=True, help="preset or file")
@click.option("--target", default="model", show_default=True, help="model, rtl or serial:PORT")
@click.option("--viewers", type=click.IntRange(1), default=10, show_default=True, help="connections that watch")
@click.option("--pairs", type=click.IntRange(1), default=7, show_default=True, help="measurements without and with")
@click.option("--seconds", type=click.FloatRange(0.1), default=3.0, show_default=True, help="time of a measurement")
@click.option("--json", "as_json", is_flag=True, help="print the figures alone, as JSON")
def main(chip: str, target: str, viewers: int, pairs: int, seconds: float, as_json: bool) -> None:
    """Print images learned a second without viewers of the live page, and with some, in turns."""
    console.status("serving, and learning")
    alone, watched = _serve_and_measure(["--chip", chip, "--target", target], viewers, pairs, seconds)
    ratios = [with_them / without for without, with_them in zip(alone, watched, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive") if pairs > 1 else ratios * 3
    second = "second of CPU time" if Path("/proc/self/stat").exists() else "second"
    if as_json:
        click.echo(json.dumps({"chip": chip, "target": target, "viewers": viewers, "alone": alone, "watched": watched,
                               "ratio": ratio, "quartiles": [low, high], "second": second}))
        return
    click.echo(f"{chip}, {target}: {statistics.median(alone):,.0f} images a {second} without viewers, "
               f"{statistics.median(watched):,.0f} with {viewers}; with by without, median of {pairs} pairs "
               f"{ratio:.3f} (quartiles {low:.3f} and {high:.3f})")


if __name__ == "__main__":
    try:
        main.main(standalone_mode=False)
    except UserError as error:
        console.say(f"error: {error}")
        sys.exit(1)
