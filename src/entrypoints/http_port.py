"""An ASGI application on a port, inside a loop that runs other things too."""

import asyncio
import socket
from typing import Any

import uvicorn

from entrypoints.http_protocol import BoundedHttp
from entrypoints.listening import last_accepted
from entrypoints.plain_http import ASGIApp

_KEEP_ALIVE_SECONDS = 75  # above the idle time of a client's pool: the client closes first
_ABORT_SECONDS = 1.0  # for answers to notice that their client was dropped


class HttpPort:
    """Serves one application; may be opened again after it was closed.

    Of uvicorn it takes the protocol and the accepting, not `serve()`: that installs signal handlers
    and stops in steps of 100 ms.
    """

    def __init__(self, app: ASGIApp, *, abort_seconds: float = _ABORT_SECONDS) -> None:
        self._abort_seconds = abort_seconds
        self._config = uvicorn.Config(
            app,
            http=BoundedHttp,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        self._server: uvicorn.Server | None = None

    async def open(self, sock: socket.socket) -> None:
        """Answers on a bound socket, which is closed with this port."""
        if not self._config.loaded:
            self._config.load()
        server = uvicorn.Server(self._config)
        server.lifespan = self._config.lifespan_class(self._config)
        await server.startup(sockets=[sock])
        self._server = server

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Refuses new connections, gives running answers the time, then drops every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        for listener in server.servers:
            listener.close()
        await last_accepted()
        tasks = set(server.server_state.tasks)
        if grace_seconds > 0 and tasks:
            _each(server, "shutdown")
            await asyncio.wait(tasks, timeout=grace_seconds)
        _each(server, "abort")
        await _end(tasks, self._abort_seconds)


def _each(server: uvicorn.Server, act: str) -> None:
    for connection in list(server.server_state.connections):
        protocol: Any = connection
        if act == "abort":
            protocol.transport.abort()
        else:
            protocol.shutdown()


async def _end(tasks: set[asyncio.Task[None]], seconds: float) -> None:
    """Waits for answers whose client was dropped: they see it and return; the rest is cancelled."""
    if not tasks:
        return
    _, stuck = await asyncio.wait(tasks, timeout=seconds)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
