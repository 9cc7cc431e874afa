"""uvicorn inside our own process: no re-raised signals, a bounded stop."""

import contextlib
import logging
import math
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from domain.errors import HeraldError
from entrypoints.joined_writes import joining_protocol
from entrypoints.stop_signals import stopping_on_signals

_KEEP_ALIVE_SECONDS = 75  # above the idle time of the usual load balancers: they must hang up first
_BACKLOG = 2048


class ApiServer(uvicorn.Server):
    """Serves one ASGI application on listening sockets until a signal or `stop`.

    After a stop no connection is accepted, running requests have `grace_seconds`, then they are
    cancelled. Another Ctrl-C ends the waiting.
    """

    def __init__(self, app: Any, grace_seconds: float, on_started: Callable[[], None]) -> None:
        self._on_started = on_started
        super().__init__(
            uvicorn.Config(
                app,
                interface="asgi3",
                loop="asyncio",  # aiokafka's producer dies of uvloop when a broker closes at the wrong moment
                http=joining_protocol(),
                ws="none",
                lifespan="on",
                workers=1,
                backlog=_BACKLOG,
                log_config=None,
                log_level=logging.WARNING,  # its start and its stop have lines of ours
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=math.ceil(grace_seconds),
            )
        )

    def stop(self) -> None:
        self.handle_exit(signal.SIGINT, None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise HeraldError("the API could not start: see its log for the reason") from None
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The original raises the signal again at the end, so that a clean stop would exit with 143.
        with stopping_on_signals(self.stop):
            yield
