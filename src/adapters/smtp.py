"""Sends mail over SMTP: a pool of kept connections, each for one mail at a time."""

import asyncio
import re
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from adapters.smtp_connection import Recipient, SmtpConnection, SmtpServer
from adapters.smtp_message import Mailbox
from domain.outcome import ChannelDown, Outcome, Refused
from domain.ports import Mail

__all__ = ("KeepAlive", "SmtpEmailSender", "SmtpServer", "sender_domain")

AsciiDomain = Callable[[str], str | None]
"""A domain in the form of DNS (IDNA 2008), or None where it has none."""

_IN_A_COMMAND = re.compile(r"[^\x00-\x20\x7f-\x9f<>\"\\(),:;\[\]@]+@[^\x00-\x20\x7f-\x9f<>\"\\(),:;\[\]@]+\Z")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive:
    """How long a connection is used again.

    Below what servers allow: postfix ends one that is idle for 300 s (100 s under stress), others after
    some hundred mails.
    """

    idle_seconds: float = 20.0
    age_seconds: float = 300.0
    mails: int = 100


def sender_domain(sender: str) -> str:
    """The domain of `address` or `Name <address>`. Raises `HeraldError`."""
    return Mailbox.parse(sender).domain


class SmtpEmailSender:
    """An `EmailSender`. Raises `HeraldError` when it is made with a sender that is no address.

    `ascii_domain` settles recipients' domains beyond ASCII. `tls_context`: None for the system's
    authorities. `local_hostname`: how we call ourselves at EHLO; empty for the machine's name.
    """

    def __init__(
        self,
        server: SmtpServer,
        ascii_domain: AsciiDomain,
        *,
        tls_context: ssl.SSLContext | None = None,
        local_hostname: str = "",
        keep_alive: KeepAlive = KeepAlive(),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._sender = Mailbox.parse(server.sender)
        self._ascii_domain = ascii_domain
        if tls_context is None and server.tls != "none":
            tls_context = ssl.create_default_context()
        self._tls_context = tls_context
        self._local_hostname = local_hostname or own_name()
        self._keep_alive = keep_alive
        self._now = now
        self._slots = asyncio.Semaphore(server.connections)
        self._idle: deque[SmtpConnection] = deque()
        self._all: set[SmtpConnection] = set()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        self._is_closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        """Mails on their way end `Uncertain` or, not yet handed over, `ChannelDown`."""
        self._is_closed = True
        self._idle.clear()
        for connection in list(self._all):
            connection.goodbye()
        self._all.clear()

    async def send(self, mail: Mail, *, fresh: bool = False) -> Outcome:
        """See `EmailSender.send`. Waits while `connections` mails are on their way."""
        to = self._recipient(mail.to)
        if to is None:
            return Refused("the address cannot be written in an SMTP command")
        async with self._slots:
            if fresh:
                self._close_idle()
            kept = self._take_kept()
            if kept is not None:
                outcome = await self._deliver_kept(kept, mail, to)
                # It had ended while it was kept, and the mail was not handed over: that tells nothing
                # of the server as it is now.
                if not kept.is_stale:
                    return outcome
            return await self._deliver_afresh(mail, to)

    async def _deliver_kept(self, kept: SmtpConnection, mail: Mail, to: Recipient) -> Outcome:
        try:
            return await kept.deliver(mail, self._sender, to)
        finally:
            self._give_back(kept)

    async def _deliver_afresh(self, mail: Mail, to: Recipient) -> Outcome:
        if self._is_closed:
            return ChannelDown("the sender is closed")
        connection = SmtpConnection(self._server, self._tls_context, self._local_hostname)
        self._all.add(connection)
        try:
            fault = await connection.open()
            connection.opened_at = self._now()
            return fault if fault is not None else await connection.deliver(mail, self._sender, to)
        finally:
            self._give_back(connection)

    def _give_back(self, connection: SmtpConnection) -> None:
        connection.used_at = self._now()
        if self._is_closed or not self._may_be_used(connection):
            self._end(connection)
        else:
            self._idle.append(connection)
        while self._idle and not self._may_be_used(self._idle[0]):
            self._end(self._idle.popleft())

    def _take_kept(self) -> SmtpConnection | None:
        """The one that was used last, so that a quiet time lets the others go."""
        while self._idle:
            connection = self._idle.pop()
            if self._may_be_used(connection):
                return connection
            self._end(connection)
        return None

    def _may_be_used(self, connection: SmtpConnection) -> bool:
        now, limits = self._now(), self._keep_alive
        return (
            connection.is_open
            and connection.mails < limits.mails
            and now - connection.used_at < limits.idle_seconds
            and now - connection.opened_at < limits.age_seconds
        )

    def _close_idle(self) -> None:
        while self._idle:
            self._end(self._idle.pop())

    def _end(self, connection: SmtpConnection) -> None:
        connection.goodbye()
        self._all.discard(connection)

    def _recipient(self, address: str) -> Recipient | None:
        """An ASCII local part needs no SMTPUTF8 if the domain is written as DNS has it.

        That is then done even where SMTPUTF8 is offered: some server further on may not offer it.
        """
        local, _, domain = address.rpartition("@")
        needs_utf8 = not local.isascii()
        if not needs_utf8 and not domain.isascii():
            address = f"{local}@{self._ascii_domain(domain) or ''}"
        return Recipient(address, needs_utf8) if _IN_A_COMMAND.match(address) else None


def own_name() -> str:
    """No DNS is asked. RFC 5321, 4.1.4 wants a literal where there is no name."""
    name = socket.gethostname()
    return name if _HOST_NAME.match(name) else "[127.0.0.1]"
