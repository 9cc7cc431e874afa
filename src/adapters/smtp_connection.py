"""One connection to the mail server, for one mail at a time (aiosmtplib)."""

import asyncio
import logging
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from adapters.smtp_message import Mailbox, build
from adapters.smtp_replies import Phase, is_reply, outcome_of_loss, outcome_of_reply, queue_id
from domain.outcome import Delivered, Outcome, Refused, TryAgain
from domain.ports import Mail

logger = logging.getLogger("herald.smtp")

_GARBLED = -1  # aiosmtplib's code for what is no reply
_CLOSING = 421
_POSITIVE, _INTERMEDIATE = 2, 3  # the first digit of a reply (RFC 5321, 4.2.1)
_NOT_THIS_WAY = (500, 501, 502, 503, 504, 534)  # the way to log in is refused, not the password (RFC 4954, 6)
_LINE_START_DOT = re.compile(rb"(?m)^\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where mail is handed in, and as whom.

    `username`: empty for no login. `sender`: `address` or `Name <address>`. `connections`: at most so many
    at once. `timeout_seconds`: for connecting as a whole, and for each command; `data_timeout_seconds`: for
    the answer to the final dot (RFC 5321, 4.5.3.2.6 asks for ten minutes).
    """

    host: str
    port: int
    sender: str
    tls: Literal["none", "starttls", "tls"] = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    connections: int = 16
    timeout_seconds: float = 10.0
    data_timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Recipient:
    """An envelope address that is safe in a command line. `utf8`: it needs SMTPUTF8 (RFC 6531)."""

    address: str
    utf8: bool


class SmtpConnection:
    """`mails`: how many were tried over it. `is_stale`: it ended before the last one was handed over.

    `opened_at` and `used_at` are its keeper's.
    """

    def __init__(self, server: SmtpServer, tls_context: ssl.SSLContext | None, local_hostname: str) -> None:
        self._server = server
        self._client = SMTP(
            hostname=server.host,
            port=server.port,
            timeout=server.timeout_seconds,
            use_tls=server.tls == "tls",
            start_tls=False,
            tls_context=tls_context,
            local_hostname=local_hostname,
        )
        self._phase = Phase.CONNECT
        self._cancels = 0
        self.opened_at = self.used_at = 0.0
        self.mails = 0
        self.is_stale = False

    @property
    def is_open(self) -> bool:
        return self._client.is_connected

    async def open(self) -> Outcome | None:
        """Connects up to EHLO and login; what is wrong, or None. Bounded by `timeout_seconds` as a whole."""
        self._cancels = _cancels()
        try:
            async with asyncio.timeout(self._server.timeout_seconds):
                await self._open()
                self._obey_cancel()
        except Exception as error:  # noqa: BLE001 - a server can make the library raise anything
            self.abort()
            self._obey_cancel()
            return self._outcome(error)
        except BaseException:
            self.abort()
            raise
        return None

    async def _open(self) -> None:
        await self._client.connect()
        self._phase = Phase.EHLO
        await self._client.ehlo()
        if self._server.tls == "starttls":
            self._phase = Phase.STARTTLS
            await self._client.starttls()
            self._phase = Phase.EHLO
            await self._client.ehlo()
        if self._server.username:
            self._phase = Phase.AUTH
            await self._log_in()

    async def _log_in(self) -> None:
        """One try with the password: a second one that is wrong too may lock the account."""
        ways = {
            "plain": self._client.auth_plain,
            "login": self._client.auth_login,
            "cram-md5": self._client.auth_crammd5,
        }
        for log_in in (way for name, way in ways.items() if name in self._client.server_auth_methods):
            try:
                await log_in(self._server.username, self._server.password)
            except SMTPAuthenticationError as error:
                if error.code not in _NOT_THIS_WAY:
                    raise
            else:
                return
        raise SMTPAuthenticationError(504, "the server takes none of AUTH PLAIN, LOGIN and CRAM-MD5")

    async def deliver(self, mail: Mail, sender: Mailbox, to: Recipient) -> Outcome:
        """One mail. Open afterwards only if the server's answers are still in step with our questions."""
        if to.utf8 and not self._client.supports_extension("smtputf8"):
            return Refused(
                "the address is beyond ASCII, and the mail server does not offer SMTPUTF8 (RFC 6531)"
            )
        eight_bit = self._client.supports_extension("8bitmime")
        try:
            message = build(mail, sender, to.address, eight_bit=eight_bit)
        except ValueError:
            return Refused("the message cannot be written as a mail: it is not valid Unicode")
        self.mails += 1
        self._cancels = _cancels()
        try:
            return await self._try(sender.address, to, message)
        except BaseException:
            self.abort()
            raise

    async def _try(self, sender: str, to: Recipient, message: bytes) -> Outcome:
        try:
            return await self._transact(sender, to, message)
        except SMTPResponseException as error:
            outcome = self._outcome(error)
            self.is_stale = self._is_of_the_connection_alone(error.code)
            if not isinstance(outcome, TryAgain | Refused):
                self.abort()
            elif self._is_before_content:
                await self._reset()
            return outcome
        except Exception as error:  # noqa: BLE001 - a server can make the library raise anything
            self.is_stale = self._is_before_content
            self.abort()
            self._obey_cancel()
            return self._outcome(error)

    def _is_of_the_connection_alone(self, code: int) -> bool:
        """Whether a new connection may be answered otherwise, with nothing of this mail handed over.

        Over a kept one that holds for every refusal of MAIL: servers count the mails of one connection.
        """
        if self._phase is Phase.MAIL and self.mails > 1:
            return True
        return self._is_before_content and (code == _CLOSING or not is_reply(code))

    async def _transact(self, sender: str, to: Recipient, message: bytes) -> Delivered:
        options = [b"SMTPUTF8"] if to.utf8 else []
        if not message.isascii():
            options.append(b"BODY=8BITMIME")
        await self._ask(Phase.MAIL, b"MAIL", b"FROM:<%s>" % sender.encode(), *options)
        await self._ask(Phase.RCPT, b"RCPT", b"TO:<%s>" % to.address.encode())
        await self._ask(Phase.DATA, b"DATA", expected=_INTERMEDIATE)
        return Delivered(queue_id((await self._hand_over(message)).message))

    async def _ask(self, phase: Phase, *words: bytes, expected: int = _POSITIVE) -> None:
        self._phase = phase
        reply = await self._client.execute_command(*words, timeout=self._server.timeout_seconds)
        self._obey_cancel()
        if self._said_more():
            raise SMTPResponseException(_GARBLED, "more than one reply to one command")
        _demand(expected, reply)

    async def _hand_over(self, message: bytes) -> SMTPResponse:
        """The library's own `data` does not tell whether the mail had been written when all was lost."""
        protocol = self._client.protocol
        if protocol is None:
            raise SMTPServerDisconnected("Connection lost")
        protocol.write(_LINE_START_DOT.sub(b"..", message) + b".\r\n")
        self._phase = Phase.CONTENT
        reply = await protocol.read_response(timeout=self._server.data_timeout_seconds)
        if self._said_more():
            self.abort()
        return _demand(_POSITIVE, reply)

    def _obey_cancel(self) -> None:
        """Python 3.11's `wait_for`, in the library, loses a cancel that comes together with the reply."""
        if _cancels() > self._cancels:
            raise asyncio.CancelledError

    def _said_more(self) -> bool:
        """What stands unread behind a reply would be taken for the answer to the next command."""
        protocol = self._client.protocol
        return protocol is not None and bool(protocol._buffer)  # noqa: SLF001 - the library shows it nowhere

    async def _reset(self) -> None:
        """The server forgets the refused mail; if it does not say so, the next one takes a new connection."""
        try:
            await self._ask(self._phase, b"RSET")
        except Exception:  # noqa: BLE001 - the mail's own outcome is known already
            self.abort()

    @property
    def _is_before_content(self) -> bool:
        return self._phase is not Phase.CONTENT

    def _outcome(self, error: Exception) -> Outcome:
        match error:
            case SMTPResponseException():
                return outcome_of_reply(self._phase, error.code, error.message)
            case TimeoutError():
                return outcome_of_loss(self._phase, "no answer in time")
            case SMTPException() | OSError():
                return outcome_of_loss(self._phase, str(error))
        logger.warning(
            "the mail server made the SMTP library fail: %s",
            type(error).__name__,
            extra={"action": "smtp_library_failed", "phase": str(self._phase)},
        )
        return outcome_of_loss(self._phase, type(error).__name__)

    def goodbye(self) -> None:
        """Ends it in good manners, without waiting for the server's."""
        protocol = self._client.protocol
        if protocol is not None:
            with suppress(SMTPException, RuntimeError):
                protocol.write(b"QUIT\r\n")
        self._client.close()

    def abort(self) -> None:
        """Ends it at once: whatever is still to come over it is nobody's answer."""
        transport = self._client.transport
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
        self._client.close()


def _cancels() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _demand(expected: int, reply: SMTPResponse) -> SMTPResponse:
    if reply.code // 100 != expected or not is_reply(reply.code):
        raise SMTPResponseException(reply.code, reply.message)
    return reply
