"""The inbox's mail server: aiosmtpd's protocol on our own loop, made quick where each mail passes."""

import asyncio
import logging
import re
import socket
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from entrypoints.inbox_outage import Outage, Switch
from entrypoints.inbox_store import MailKeeper, ReceivedMail
from entrypoints.listening import BACKLOG, last_accepted

HOST_NAME = "inbox.herald.localhost"
# RFC 5321 grants a command line 512 octets; an address of 254 characters may take 1,016 in UTF-8.
_COMMAND_LIMIT = 4096
_READ_LIMIT = 65_536
_END_OF_DATA = b"\r\n.\r\n"
_PLAIN_PATH = re.compile(r"\s*<([^\s<>@\"()\\,;:\[\]]+@[^\s<>@\"()\\,;:\[\]]+)>\s*(.*)\Z", re.DOTALL)

_log = logging.getLogger("herald.inbox")


class MailHooks:
    """What aiosmtpd asks: it finds these methods by their names."""

    def __init__(self, store: MailKeeper, switch: Switch, slow_seconds: float) -> None:
        self._store = store
        self._switch = switch
        self._slow_seconds = slow_seconds

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._switch.state == Outage.BUSY:
            return "451 4.7.1 Busy, please try again later"
        if self._switch.state == Outage.REJECT:
            return "550 5.1.1 No such user here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        if self._switch.state == Outage.SLOW:
            # A client that hangs up cancels this: then nothing was sent.
            await asyncio.sleep(self._slow_seconds)
        mail = ReceivedMail(
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            at=time.time(),
            raw=envelope.original_content or b"",
        )
        self._store.add_mail(mail)
        return "250 2.0.0 OK"

    async def handle_exception(self, error: Exception) -> str:
        _log.warning(
            "A mail session failed", extra={"action": "inbox_mail_failed", "error": type(error).__name__}
        )
        return "451 4.3.0 The inbox failed to understand that"


class MailProtocol(SMTP):
    """One connection. Overridden is what costs most a mail: reading it, and parsing plain addresses."""

    command_size_limit = _COMMAND_LIMIT
    command_size_limits = defaultdict(lambda: _COMMAND_LIMIT)  # noqa: RUF012 - shared in aiosmtpd too
    line_length_limit = _READ_LIMIT

    def __init__(self, hooks: MailHooks, size_limit: int, connections: set["MailProtocol"]) -> None:
        super().__init__(
            hooks,
            data_size_limit=size_limit,
            enable_SMTPUTF8=True,
            hostname=HOST_NAME,
            ident="Herald inbox",
            auth_require_tls=False,
            authenticator=_accept_anyone,
            loop=asyncio.get_running_loop(),
        )
        self._most_bytes = size_limit + len(_END_OF_DATA)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(error)

    def drop(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    async def _handle_client(self) -> None:
        # A client that goes in the middle of an answer is everyday, not a lost exception.
        with suppress(ConnectionError):
            await super()._handle_client()

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        plain = _PLAIN_PATH.match(arg)
        if plain is None:
            address: tuple[str | None, str | None] = super()._getaddr(arg)
            return address
        return plain[1], plain[2]

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        """Reads a mail in a few large pieces: line by line costs more than all else together."""
        refusal = self._data_refusal(arg)
        if refusal is not None:
            await self.push(refusal)
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        content = await self._read_content()
        envelope: Any = self.envelope
        if content is None:
            status = "552 5.3.4 Message size exceeds the limit"
        else:
            envelope.content = envelope.original_content = content
            status = await self._call_handler_hook("DATA")
        self.envelope = self._create_envelope()
        await self.push(status)

    def _data_refusal(self, arg: str | None) -> str | None:
        session: Any = self.session
        envelope: Any = self.envelope
        if not session.host_name:
            return "503 5.5.1 Error: send HELO first"
        if not envelope.rcpt_tos:
            return "503 5.5.1 Error: need RCPT command"
        return "501 5.5.4 Syntax: DATA" if arg else None

    async def _read_content(self) -> bytes | None:
        """The mail without its final dot and without dot-stuffing; None when it is too large."""
        # The line break before the first line is the DATA command's: an empty mail ends with it too.
        content, tail, size = bytearray(b"\r\n"), b"\r\n", 0
        while tail != _END_OF_DATA:
            piece = await self._next_piece()
            tail = (tail + piece)[-len(_END_OF_DATA) :]
            size += len(piece)
            if size <= self._most_bytes:
                content += piece
        if size > self._most_bytes:
            return None
        return bytes(content).replace(b"\r\n.", b"\r\n")[2:-2]

    async def _next_piece(self) -> bytes:
        try:
            return await self._reader.readuntil(b".\r\n")
        except asyncio.LimitOverrunError as overrun:
            return await self._reader.read(overrun.consumed)


class MailPort:
    """A listener for mail; see `inbox_outage.Listener`."""

    def __init__(self, hooks: MailHooks, size_limit: int) -> None:
        self._hooks = hooks
        self._size_limit = size_limit
        self._connections: set[MailProtocol] = set()
        self._server: asyncio.Server | None = None

    async def open(self, sock: socket.socket) -> None:
        # aiosmtpd writes addresses and commands there, below and above WARNING.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=sock, backlog=BACKLOG)

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await last_accepted()
        for connection in list(self._connections):
            connection.drop()
        # Dropped transports tell their protocols in the loop's next turn.
        await asyncio.sleep(0)

    def _protocol(self) -> MailProtocol:
        return MailProtocol(self._hooks, self._size_limit, self._connections)


def _accept_anyone(*_: object) -> AuthResult:
    return AuthResult(success=True)
