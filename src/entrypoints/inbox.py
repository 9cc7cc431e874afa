"""The local inbox: a mail server, an SMS provider and a window on what arrived, for development.

Everything is held in memory, runs in one loop and is gone when the process ends.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from entrypoints.http_port import HttpPort
from entrypoints.inbox_http import InboxApi
from entrypoints.inbox_outage import Switch, SwitchedService
from entrypoints.inbox_sms import SmsProvider
from entrypoints.inbox_smtp import MailHooks, MailPort
from entrypoints.inbox_store import InboxStore
from entrypoints.listening import listen_on, port_of
from entrypoints.plain_http import asgi_app

_log = logging.getLogger("herald.inbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxOptions:
    """Where the inbox listens (port 0: any free one) and what it holds.

    `keep`: newest mails, and newest texts; `keep_bytes`: of both. `mail_bytes`: the largest mail
    taken. `slow_seconds`: how long an answer takes while a service is slow.
    """

    host: str = "127.0.0.1"
    smtp_port: int = 1025
    sms_port: int = 8026
    http_port: int = 8025
    keep: int = 10_000
    keep_bytes: int = 256 * 1024 * 1024
    mail_bytes: int = 10 * 1024 * 1024
    slow_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPorts:
    """The ports that the inbox really listens on."""

    smtp: int
    sms: int
    http: int


class Inbox:
    """A running inbox, as an async context manager.

    Entering raises `HeraldError` when a port cannot be had; then none of the three is left open.
    """

    def __init__(self, options: InboxOptions) -> None:
        self._options = options
        self._closing = AsyncExitStack()
        store = InboxStore(keep=options.keep, keep_bytes=options.keep_bytes)
        email, sms = Switch(), Switch()
        mail_port = MailPort(MailHooks(store, email, options.slow_seconds), options.mail_bytes)
        sms_port = HttpPort(asgi_app(SmsProvider(store, sms, options.slow_seconds).handle))
        self._email = SwitchedService("email", options.host, email, mail_port)
        self._sms = SwitchedService("sms", options.host, sms, sms_port)
        self._api = HttpPort(asgi_app(InboxApi(store, {"email": self._email, "sms": self._sms}).handle))
        self.ports = InboxPorts(smtp=0, sms=0, http=0)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as closing:
            await self._open(closing)
            self._closing = closing.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    async def _open(self, closing: AsyncExitStack) -> None:
        options = self._options
        smtp = listen_on(options.host, options.smtp_port, "[inbox] smtp_port")
        closing.callback(smtp.close)
        sms = listen_on(options.host, options.sms_port, "[inbox] sms_port")
        closing.callback(sms.close)
        http = listen_on(options.host, options.http_port, "[inbox] http_port")
        closing.callback(http.close)
        self.ports = InboxPorts(smtp=port_of(smtp), sms=port_of(sms), http=port_of(http))
        closing.push_async_callback(self._email.stop)
        await self._email.start(smtp)
        closing.push_async_callback(self._sms.stop)
        await self._sms.start(sms)
        closing.push_async_callback(self._api.close)
        await self._api.open(http)


async def serve_inbox(
    options: InboxOptions, *, stop: asyncio.Event, ready: Callable[[InboxPorts], None] | None = None
) -> None:
    """Runs the inbox until `stop` is set; tells `ready` the real ports once all three answer.

    Raises `HeraldError` when a port is in use: one line that names the port and the setting.
    """
    async with Inbox(options) as inbox:
        ports = inbox.ports
        where = {"smtp_port": ports.smtp, "sms_port": ports.sms, "http_port": ports.http}
        _log.info("Inbox started", extra={"action": "inbox_started", "host": options.host, **where})
        if ready is not None:
            ready(ports)
        await stop.wait()
    _log.info("Inbox stopped", extra={"action": "inbox_stopped"})
