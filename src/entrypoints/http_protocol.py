"""uvicorn's HTTP protocol with a bound on what one connection can make it hold.

httptools keeps a head of any size, and uvicorn reads on while requests wait for the one before them.
"""

import asyncio
from collections.abc import Sized

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from entrypoints.problems import Problem, ProblemKind

# Bytes that are no body: a head, trailers, chunks' extensions. What came in one read is let through.
MOST_HEAD_BYTES = 65_536
# From a request's first read to its last. Above BODY_SECONDS, which is told to the client with an answer.
REQUEST_SECONDS = 75.0
# Requests that were sent without waiting for the answer before them.
MOST_PIPELINED = 100


class PipelinedTooMuch(Exception):
    """Taken by uvicorn for a request that is no HTTP: 400, and the connection is closed."""


class BoundedHttp(HttpToolsProtocol):
    """At most one read's worth of requests waits on a connection; none grows or comes without an end."""

    request_seconds = REQUEST_SECONDS
    _no_body = 0
    _is_coming = False  # a request has begun, and its end has not come yet
    _too_slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _PatientFlow(transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_coming = False
        self._watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._no_body += len(data)
        super().data_received(data)
        if self._no_body > MOST_HEAD_BYTES:
            self._refuse()
        # Nearly every request comes in one read, and needs no timer.
        if self._is_coming or self._too_slow is not None:
            self._watch()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            raise PipelinedTooMuch
        self._no_body = 0
        self._is_coming = True
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self._no_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_coming = False
        super().on_message_complete()

    def _watch(self) -> None:
        if not self._is_coming and self._too_slow is not None:
            self._too_slow.cancel()
            self._too_slow = None
        elif self._is_coming and self._too_slow is None:
            self._too_slow = self.loop.call_later(self.request_seconds, self.transport.close)

    def _refuse(self) -> None:
        """An answer that is begun, or still to come, is not waited for."""
        if self.transport.is_closing():
            return
        if not self._answers():
            self.transport.write(_HEAD_TOO_LARGE)
        self.transport.close()

    def _answers(self) -> bool:
        """Whether a request of this connection is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete


class _PatientFlow(FlowControl):
    """Reads nothing while requests wait for the one before them, also when that one asks for its body."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


def _as_bytes(problem: Problem) -> bytes:
    status, headers, body = problem.answer((b"connection", b"close"))
    head = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, problem.kind.title.encode(), head, body)


_HEAD_TOO_LARGE = _as_bytes(
    Problem(ProblemKind.HEAD_TOO_LARGE, f"Path and headers together take at most {MOST_HEAD_BYTES} bytes.")
)
