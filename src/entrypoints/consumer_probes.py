"""Health and metrics of a consumer process, over a small HTTP port of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

from entrypoints.http_port import HttpPort
from entrypoints.listening import listen_on, port_of
from entrypoints.plain_http import Answer, Request, asgi_app, json_answer, method_not_allowed, not_found

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerProbes:
    """Answers `/health/live`, `/health/ready` and `/metrics`, to GET and HEAD.

    `live` and `ready` answer None when all is well, else why not; `metrics` answers Prometheus text.
    `ready` that takes longer than `ready_seconds` counts as not ready.
    """

    live: Callable[[], str | None]
    ready: Callable[[], Awaitable[str | None]]
    metrics: Callable[[], bytes]
    ready_seconds: float = 5.0

    async def handle(self, request: Request) -> Answer:
        answers = {"/health/live": self._live, "/health/ready": self._ready, "/metrics": self._metrics}
        answer = answers.get(request.path)
        if answer is None:
            return not_found(request.path)
        if request.method not in {"GET", "HEAD"}:
            return method_not_allowed(request.method, ("GET", "HEAD"))
        return await answer()

    async def _live(self) -> Answer:
        return _health(self.live())

    async def _ready(self) -> Answer:
        try:
            async with asyncio.timeout(self.ready_seconds):
                reason = await self.ready()
        except TimeoutError:
            reason = f"the log did not answer within {self.ready_seconds:g} seconds"
        return _health(reason)

    async def _metrics(self) -> Answer:
        return Answer(status=HTTPStatus.OK, body=self.metrics(), content_type=METRICS_TYPE)


@asynccontextmanager
async def serving_probes(probes: ConsumerProbes, host: str, port: int) -> AsyncIterator[int]:
    """Serves the probes in the running loop and gives the port; 0 takes any free one.

    Installs no signal handler. Leaving takes at most a few seconds. Raises `HeraldError` when the
    port cannot be had.
    """
    sock = listen_on(host, port, "[consumer] port")
    bound = port_of(sock)
    server = HttpPort(asgi_app(probes.handle))
    try:
        await server.open(sock)
        yield bound
    finally:
        await server.close(_CLOSE_SECONDS)
        sock.close()


def _health(reason: str | None) -> Answer:
    if reason is None:
        return json_answer({"status": "ok"})
    return json_answer({"status": "unavailable", "reason": reason}, HTTPStatus.SERVICE_UNAVAILABLE)
