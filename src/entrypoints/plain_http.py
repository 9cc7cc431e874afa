"""A few lines of HTTP over ASGI, for the small servers that must start fast: inbox and probes."""

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

ASGIMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[ASGIMessage]]
Send = Callable[[ASGIMessage], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PROBLEM_JSON = "application/problem+json"

_log = logging.getLogger("herald.http")


class BodyTooLarge(Exception):
    """A request's body has more bytes than the server takes."""


class ClientGone(Exception):
    """The client hung up before it sent its whole request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server says; the body is sent as it is."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose body is still to be read. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    receive: Receive

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises `BodyTooLarge` above `limit` bytes, `ClientGone` when it ends early."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise BodyTooLarge
            if not message.get("more_body", False):
                return b"".join(parts)

    async def hung_up(self) -> None:
        """Returns when the client has gone. Call it once the body is read."""
        while (await self.receive())["type"] != "http.disconnect":
            continue


Handler = Callable[[Request], Awaitable[Answer]]


def asgi_app(handle: Handler) -> ASGIApp:
    """An ASGI application that answers each request with what `handle` returns.

    A handler that meets a client who is gone raises `ClientGone`; nothing is answered then.
    """

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            answer = await _answer(handle, _request(scope, receive))
        except ClientGone:
            return
        await _send(send, answer)

    return app


def json_answer(value: object, status: int = HTTPStatus.OK) -> Answer:
    return Answer(status=status, body=json_bytes(value))


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8. What has no UTF-8 form (a lone surrogate) becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def problem(status: HTTPStatus, name: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """A problem details object (RFC 9457); `name` ends its type."""
    fields = {
        "type": f"urn:herald:problem:{name}",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
    }
    return Answer(status=status, body=json_bytes(fields), content_type=PROBLEM_JSON, headers=headers)


def not_found(path: str) -> Answer:
    return problem(HTTPStatus.NOT_FOUND, "not-found", f"There is nothing at {path[:200]}")


def method_not_allowed(method: str, allowed: tuple[str, ...]) -> Answer:
    return problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method-not-allowed",
        f"{method[:20]} is not allowed here; allowed: {', '.join(allowed)}",
        (("Allow", ", ".join(allowed)),),
    )


async def _answer(handle: Handler, request: Request) -> Answer:
    try:
        return await handle(request)
    except BodyTooLarge:
        return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", "The body is too large")
    except ClientGone:
        raise
    except Exception as error:  # noqa: BLE001 - a client must get an answer, an operator a line
        # No traceback: it may carry a customer's data.
        _log.error("A request failed", extra={"action": "request_failed", "error": type(error).__name__})
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", "Herald failed to answer")


def _request(scope: MutableMapping[str, Any], receive: Receive) -> Request:
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        receive=receive,
    )


async def _send(send: Send, answer: Answer) -> None:
    headers = [("date", formatdate(usegmt=True)), *answer.headers]
    if answer.status != HTTPStatus.NO_CONTENT:
        headers += [("content-type", answer.content_type), ("content-length", str(len(answer.body)))]
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": int(answer.status), "headers": encoded})
    await send({"type": "http.response.body", "body": answer.body})
