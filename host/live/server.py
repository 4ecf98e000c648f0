"""The page of a running chip: HTTP for its files, a WebSocket for what happens. Viewers never hold the chip up."""

import asyncio
import ipaddress
import json
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from .session import LiveChip

__all__ = ["Hub", "application", "serve"]

STATIC = Path(__file__).parent / "static"
_FILES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"
_MESSAGE_BYTES = 1 << 16
_REPLIES = 32
"""Replies that wait for a slow viewer at most; older ones are dropped."""


class Hub:
    """Who watches: the newest message of every kind goes to everyone, as fast as each of them takes it.

    Messages come from the chip's thread by :meth:`tell`, which does not wait. A viewer who is slow misses messages that
    newer ones of their kind have replaced.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._viewers: set[Viewer] = set()

    def __len__(self):
        return len(self._viewers)

    def tell(self, message: dict[str, Any]) -> None:
        """A message for all, from any thread."""
        if self._viewers:
            text = json.dumps(message)
            self._loop.call_soon_threadsafe(self._spread, message["type"], text)

    def _spread(self, kind, text):
        for viewer in self._viewers:
            viewer.replace(kind, text)

    def add(self, viewer: "Viewer") -> None:
        """One more."""
        self._viewers.add(viewer)

    def remove(self, viewer: "Viewer") -> None:
        """One less."""
        self._viewers.discard(viewer)


class Viewer:
    """A connection: the newest message of every kind, and replies to what was asked."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._newest: dict[str, str] = {}
        self._replies: list[str] = []
        self._ready = asyncio.Event()

    def replace(self, kind: str, text: str) -> None:
        """A message that takes the place of an older one of its kind; in the thread of the server."""
        self._newest[kind] = text
        self._ready.set()

    def reply(self, message: dict[str, Any]) -> None:
        """An answer to this viewer, from any thread."""
        text = json.dumps(message)
        self._loop.call_soon_threadsafe(self._queue, text)

    def _queue(self, text):
        self._replies = [*self._replies[-_REPLIES + 1:], text]
        self._ready.set()

    async def send_all(self, socket: web.WebSocketResponse) -> None:
        """Send what there is, until the connection ends."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            replies, self._replies = self._replies, []
            newest, self._newest = self._newest, {}
            for text in (*replies, *newest.values()):
                await socket.send_str(text)


def _local(host: str) -> bool:
    """Whether a name or address is of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _guard(names: set[str]) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Refuse requests that other pages make a browser send: a foreign Host, or a foreign Origin."""

    @web.middleware
    async def guard(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
                    ) -> web.StreamResponse:
        host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
        origin = request.headers.get("Origin")
        if not (_local(host) or host in names) or (origin is not None and origin.split("://")[-1] != request.host):
            raise web.HTTPForbidden(text="this page is served to itself alone")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY
            response.headers["Cache-Control"] = "no-store"
        return response

    return guard


def application(live: LiveChip, hub: Hub, *, names: set[str] | None = None) -> web.Application:
    """The web application of a chip.

    Parameters
    ----------
    names : set of str, optional
        Names and addresses under which it may be asked beside those of this machine alone.
    """
    sockets: weakref.WeakSet[web.WebSocketResponse] = weakref.WeakSet()

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(STATIC / _FILES[request.path])

    async def watch(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=_MESSAGE_BYTES, heartbeat=20.0, timeout=2.0)
        await socket.prepare(request)
        sockets.add(socket)
        viewer = Viewer(asyncio.get_running_loop())
        hub.add(viewer)
        live.ask({"do": "hello"}, viewer.reply)
        sender = asyncio.create_task(viewer.send_all(socket))
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    _ask(live, viewer, message.data)
        finally:
            hub.remove(viewer)
            sender.cancel()
        return socket

    async def part(app: web.Application) -> None:
        """Close the connections of viewers, for whom the end of the server would otherwise wait a minute."""
        await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends", drain=False)
                               for socket in list(sockets)))

    app = web.Application(middlewares=[_guard(names or set())])
    app.on_shutdown.append(part)
    app.router.add_get("/live", watch)
    for path in _FILES:
        app.router.add_get(path, file)
    return app


def _ask(live: LiveChip, viewer: Viewer, text: str) -> None:
    try:
        command = json.loads(text)
    except ValueError:
        command = None
    if isinstance(command, dict):
        live.ask(command, viewer.reply)
    else:
        viewer.reply({"type": "error", "text": "a command must be a JSON object"})


async def serve(live: LiveChip, hub: Hub, host: str, port: int, ready: Callable[[str], None],
                ended: asyncio.Event) -> None:
    """Serve until ``ended`` is set; ``ready`` is called with the address of the page.

    Raises
    ------
    OSError
        The address cannot be taken.
    """
    names = set() if _local(host) or host in ("0.0.0.0", "::") else {host}
    if host in ("0.0.0.0", "::"):
        import socket

        names = {socket.gethostname(), *(str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None))}
    runner = web.AppRunner(application(live, hub, names=names), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        shown = runner.addresses[0]
        place = f"[{shown[0]}]" if ":" in shown[0] else shown[0]
        ready(f"http://{place}:{shown[1]}/")
        await ended.wait()
    finally:
        await runner.cleanup()
