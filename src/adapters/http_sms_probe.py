"""Whether the SMS provider answers and takes the login, asked without sending a text."""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import cast

import httpx

from adapters.http_sms import SmsProvider, headers_of, is_loopback, resource_url, tls_context_for
from adapters.http_sms_answers import json_object
from adapters.one_off_thread import name_fault
from adapters.outcome_table import said
from domain.diagnosis import ClockReading, Finding, Seen, ok, warning, wrong

_NAME = "sms provider"
_BODY_LIMIT = 65_536
_TEST_LOGIN = 20008  # Twilio's code where test credentials ask for more than sending
_GONE = {"suspended", "closed"}
_NOT_OFFERED = {404, 405, 501}  # a compatible provider need not have this resource
_RUN = "see that it runs ('herald inbox' is a local one), and that sms.url leads there"
_LOGIN = "set sms.account_sid and sms.auth_token to what the provider gave you"
_URL = "set sms.url to what stands before /2010-04-01 of its Messages API"
_SERVER_ERROR = 500
_REFUSALS = {
    401: (": the login is refused", _LOGIN),
    403: (": the login is refused", _LOGIN),
    429: (": too many requests", "wait, or lower sms.max_per_second"),
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """`ahead`: its clock of ours, in seconds; None: it told no time."""

    status: int
    body: bytes
    ahead: float | None


class HttpSmsProbe:
    """Asks for the account that texts are sent with. `seconds`: for all of it. `now`: epoch seconds."""

    def __init__(
        self,
        provider: SmsProvider,
        *,
        tls_context: ssl.SSLContext | None = None,
        seconds: float = 4.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._provider = provider
        self._url = resource_url(provider, ".json")
        self._tls_context = tls_context
        self._seconds = seconds
        self._now = now

    async def look(self) -> Seen:
        if fault := await name_fault(self._url.host, self._seconds):
            return Seen((wrong(_NAME, fault, "set sms.url, or mend the name server"),))
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._ask()
        except TimeoutError:
            return self._silent(f"no answer within {self._seconds:g} s")
        except (httpx.HTTPError, OSError, ValueError) as error:
            return self._silent(_words(error))
        source = "the SMS provider"
        clocks = () if answer.ahead is None else (ClockReading(source=source, ahead=answer.ahead),)
        return Seen((self._judge(answer),), clocks)

    def _silent(self, reason: str) -> Seen:
        return Seen((wrong(_NAME, f"{self._where}: {reason}", _RUN),))

    @property
    def _where(self) -> str:
        return f"{self._url.scheme}://{self._url.netloc.decode('ascii', 'replace')}"

    async def _ask(self) -> _Answer:
        async with httpx.AsyncClient(
            verify=self._tls_context or tls_context_for(self._url),
            timeout=self._seconds,
            trust_env=not is_loopback(self._url.host),
        ) as client:
            asked = self._now()
            request = httpx.Request("GET", self._url, headers=headers_of(self._provider))
            response = await client.send(request, stream=True)
            told = (asked + self._now()) / 2
            try:
                body = await _read(response)
            finally:
                await response.aclose()
        return _Answer(response.status_code, body, _ahead(response.headers.get("date", ""), told))

    def _judge(self, answer: _Answer) -> Finding:
        status, found = answer.status, json_object(answer.body)
        where = f"{self._where} answers HTTP {status}"
        if status == httpx.codes.OK and isinstance(found.get("sid"), str):
            return self._account(str(found.get("status", "")))
        if status == httpx.codes.FORBIDDEN and found.get("code") == _TEST_LOGIN:
            return warning(_NAME, f"{where}: a login for tests, no text is really sent", _LOGIN)
        if status in _NOT_OFFERED:
            says = f"{where} at the account, so whether the login is good shows only when a text is sent"
            return warning(_NAME, says, f"see that {_URL.removeprefix('set ')}")
        if status >= _SERVER_ERROR:
            return wrong(_NAME, where, "see the provider's status page, or its log")
        says, remedy = _REFUSALS.get(status, (", which is no account's", _URL))
        return wrong(_NAME, f"{where}{says}", remedy)

    def _account(self, status: str) -> Finding:
        if status in _GONE:
            return wrong(_NAME, f"{self._where} says that the account is {status}", "ask the provider why")
        return ok(_NAME, f"{self._where} answers and takes the login")


async def _read(response: httpx.Response) -> bytes:
    body = b""
    async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw())) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > _BODY_LIMIT:
                break
    return body


def _ahead(date: str, now: float) -> float | None:
    """Half a second more: the header is cut to whole ones."""
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _words(error: Exception) -> str:
    """Of a refused connection httpx says only that all attempts failed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "the connection is refused"
        cause = cause.__cause__ or cause.__context__
    return said(str(error)) or type(error).__name__
