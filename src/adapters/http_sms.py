"""Sends texts over a Twilio-compatible Messages API (httpx)."""

import asyncio
import logging
import ssl
import time
from base64 import b64encode
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Self, cast
from urllib.parse import quote, quote_plus

import httpx

from adapters.http_sms_answers import outcome_of_answer, outcome_of_loss
from domain.errors import HeraldError
from domain.outcome import ChannelDown, Outcome, Refused
from domain.ports import Text

logger = logging.getLogger("herald.sms")

_BODY_LIMIT = 65_536
_NAMES: Mapping[type[Exception], str] = {
    httpx.ConnectError: "cannot connect:",
    httpx.ConnectTimeout: "no connection in time",
    httpx.ReadTimeout: "no answer in time",
    TimeoutError: "no answer in time",
    httpx.ReadError: "connection lost",
    httpx.RemoteProtocolError: "no answer:",
}
# Servers commonly close a connection after 5 s of silence. A request that meets the close is a text whose
# answer is lost, so ours ends first.
_KEEP_ALIVE_SECONDS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsProvider:
    """Where texts are handed in, and as whom.

    `url`: what stands before `/2010-04-01`. `connections`: at most so many at once. `timeout_seconds`: for
    connecting, and again for the whole answer.
    """

    url: str
    account_sid: str
    auth_token: str = field(repr=False)
    sender: str
    connections: int = 32
    timeout_seconds: float = 10.0


@dataclass(slots=True, eq=False)
class _Line:
    """A client that has one connection. `used_at`: by the monotonic clock."""

    client: httpx.AsyncClient
    used_at: float = 0.0


@dataclass(slots=True)
class _Exchange:
    """How far one request has come."""

    is_written: bool = False
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    wire: Any = None

    async def trace(self, event: str, info: Mapping[str, object]) -> None:
        """Told by httpx of each step on the wire; a proxy's CONNECT is not our request."""
        request = info.get("request")
        if event.endswith("send_request_headers.started") and getattr(request, "method", b"") == b"POST":
            self.is_written = True
        if event.endswith("receive_response_body.complete"):
            self._end_if_more_was_said()

    def _end_if_more_was_said(self) -> None:
        """What stands unread behind an answer would be taken for the next text's."""
        if self.wire is not None and self.wire.trailing_data[0]:
            self.wire.send_failed()  # so that the connection is closed and not kept


class HttpSmsSender:
    """An `SmsSender`. Raises `HeraldError` when it is made with a URL that is none.

    Each kept connection is a client of its own: httpx looks at all connections of a client, with a system
    call for each, whenever one is taken or given back. `tls_context`: None for the authorities that come with
    httpx. `now`: seconds since the epoch, for a `Retry-After` that is a date.
    """

    def __init__(
        self,
        provider: SmsProvider,
        *,
        tls_context: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._provider = provider
        self._url = resource_url(provider, "/Messages.json")
        self._headers = headers_of(provider)
        self._from = quote_plus(provider.sender)
        self._tls_context = tls_context
        self._now = now
        self._slots = asyncio.Semaphore(provider.connections)
        self._idle: deque[_Line] = deque()
        self._all: set[_Line] = set()
        self._is_open = False

    async def __aenter__(self) -> Self:
        if self._tls_context is None:
            self._tls_context = tls_context_for(self._url)
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Texts on their way end `Uncertain` or, not yet written, `ChannelDown`."""
        closing, self._all, self._is_open = self._all, set(), False
        self._idle.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._provider.timeout_seconds):
                await asyncio.gather(*(line.client.aclose() for line in closing))

    async def send(self, text: Text, *, fresh: bool = False) -> Outcome:
        """See `SmsSender.send`. Waits while `connections` texts are on their way."""
        async with self._slots:
            if not self._is_open:
                return ChannelDown("the sender is closed")
            exchange = _Exchange()
            try:
                request = self._request(text, exchange)
            except ValueError:
                return Refused("the text cannot be written as an HTTP request: it is not valid Unicode")
            try:
                async with asyncio.timeout(2 * self._provider.timeout_seconds):
                    await self._answer(request, exchange, fresh=fresh)
            except Exception as error:  # noqa: BLE001 - whatever ends it, how far it had come decides
                return self._interrupted(exchange, error)
            return self._outcome(exchange)

    def _request(self, text: Text, exchange: _Exchange) -> httpx.Request:
        form = f"To={quote_plus(text.to)}&From={self._from}&Body={quote_plus(text.body)}"
        return httpx.Request(
            "POST",
            self._url,
            headers=[*self._headers, ("Idempotency-Key", text.idempotency_key)],
            content=form.encode(),
            extensions={"trace": exchange.trace},
        )

    async def _answer(self, request: httpx.Request, exchange: _Exchange, *, fresh: bool) -> None:
        if fresh:
            await self._close_idle()
        line = self._take_line()
        try:
            await _read(line.client, request, exchange)
        except BaseException:  # after some cancels httpx would keep the connection, and never use it again
            await self._close(line)
            raise
        line.used_at = time.monotonic()
        if line in self._all:  # else the sender was left meanwhile
            self._idle.append(line)
        await self._close_unused(line.used_at)

    def _take_line(self) -> _Line:
        """The one that was used last, so that a quiet time lets the others go."""
        if self._idle:
            return self._idle.pop()
        line = _Line(self._new_client())
        self._all.add(line)
        return line

    async def _close_unused(self, now: float) -> None:
        while self._idle and now - self._idle[0].used_at > _KEEP_ALIVE_SECONDS:
            await self._close(self._idle.popleft())

    async def _close_idle(self) -> None:
        while self._idle:
            await self._close(self._idle.pop())

    async def _close(self, line: _Line) -> None:
        self._all.discard(line)
        await line.client.aclose()

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self._tls_context or True,
            timeout=self._provider.timeout_seconds,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_SECONDS),
            trust_env=not is_loopback(self._url.host),
        )

    def _interrupted(self, exchange: _Exchange, error: Exception) -> Outcome:
        """A status that was read holds, also when the rest of the answer was lost."""
        if exchange.status:
            return self._outcome(exchange)
        if isinstance(error, httpx.LocalProtocolError):
            return Refused("the text cannot be written as an HTTP request")
        if not isinstance(error, httpx.HTTPError | TimeoutError | OSError):
            logger.warning(
                "the SMS provider made the HTTP library fail: %s",
                type(error).__name__,
                extra={"action": "http_library_failed"},
            )
        what = f"{_NAMES.get(type(error), type(error).__name__)} {error}"
        return outcome_of_loss(is_written=exchange.is_written, what=what)

    def _outcome(self, exchange: _Exchange) -> Outcome:
        return outcome_of_answer(exchange.status, exchange.headers, exchange.body, self._now())


async def _read(client: httpx.AsyncClient, request: httpx.Request, exchange: _Exchange) -> None:
    response = await client.send(request, stream=True)
    try:
        exchange.status, exchange.headers = response.status_code, response.headers
        exchange.wire = _wire_of(response)
        async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw())) as chunks:
            async for chunk in chunks:
                exchange.body += chunk
                if len(exchange.body) > _BODY_LIMIT:
                    break
    finally:
        await response.aclose()


def _wire_of(response: httpx.Response) -> Any:
    """The connection's h11 state, which the libraries show nowhere; None where they keep it elsewhere."""
    found: Any = response.stream
    for name in ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state"):
        found = getattr(found, name, None)
    return found


def tls_context_for(url: httpx.URL) -> ssl.SSLContext:
    """Without TLS one that trusts nobody: reading the authorities takes long, on the event loop."""
    return httpx.create_ssl_context() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def headers_of(provider: SmsProvider) -> list[tuple[str, str]]:
    login = b64encode(f"{provider.account_sid}:{provider.auth_token}".encode()).decode()
    return [
        ("Authorization", f"Basic {login}"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "herald"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ]


def resource_url(provider: SmsProvider, resource: str) -> httpx.URL:
    """Of something below the account. Raises `HeraldError`."""
    account = quote(provider.account_sid, safe="")
    try:
        url = httpx.URL(f"{provider.url.rstrip('/')}/2010-04-01/Accounts/{account}{resource}")
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise HeraldError(f"sms.url {provider.url!r} is not a URL: write it as https://api.example.com")
    return url.copy_with(username="", password="")  # httpx would log in with them, and not with the settings


def is_loopback(host: str) -> bool:
    """The local inbox is never asked through the proxy that the environment may name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
