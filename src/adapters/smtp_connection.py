"""One connection to the mail server, for one mail at a time; aiosmtplib opens it."""

import asyncio
import logging
import re
import ssl
from dataclasses import dataclass, field
from typing import Literal

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from adapters.smtp_dialogue import GARBLED, Reply, SmtpDialogue
from adapters.smtp_message import Mailbox, build
from adapters.smtp_replies import Phase, is_reply, outcome_of_loss, outcome_of_reply, queue_id
from domain.outcome import Delivered, Outcome, Refused, TryAgain
from domain.ports import Mail

logger = logging.getLogger("herald.smtp")

_LIBRARYS_WORDS = re.compile(r"Error connecting to (.*? on port \d+): (?:\[[^]]*\] )?(.*)")
_CLOSING = 421
_POSITIVE, _INTERMEDIATE = 2, 3  # the first digit of a reply (RFC 5321, 4.2.1)
_NOT_THIS_WAY = (500, 501, 502, 503, 504, 534)  # the way to log in is refused, not the password (RFC 4954, 6)


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
        self._dialogue: SmtpDialogue | None = None
        self._takes_utf8 = self._takes_8bit = False
        self._phase = Phase.CONNECT
        self._cancels = 0
        self.opened_at = self.used_at = 0.0
        self.mails = 0
        self.is_stale = False

    @property
    def is_open(self) -> bool:
        return self._dialogue is not None and self._dialogue.is_open

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        return self._phase

    @property
    def encryption(self) -> ssl.SSLObject | None:
        """Of an open connection; None where it has none."""
        return self._client.get_transport_info("ssl_object") if self._client.transport else None

    async def open(self) -> Outcome | None:
        """Connects up to EHLO and login; what is wrong, or None. Bounded by `timeout_seconds` as a whole."""
        self._cancels = _cancels()
        try:
            async with asyncio.timeout(self._server.timeout_seconds):
                await self._open()
                self._obey_cancel()
                self._begin_dialogue()
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

    def _begin_dialogue(self) -> None:
        protocol, transport = self._client.protocol, self._client.transport
        if protocol is None or not isinstance(transport, asyncio.Transport):
            raise SMTPServerDisconnected("Connection lost")
        if protocol._buffer:  # noqa: SLF001 - what stands unread is the beginning of nobody's answer
            raise SMTPResponseException(GARBLED, "more than one reply to one command")
        self._takes_utf8 = self._client.supports_extension("smtputf8")
        self._takes_8bit = self._client.supports_extension("8bitmime")
        self._dialogue = SmtpDialogue(transport)

    async def deliver(self, mail: Mail, sender: Mailbox, to: Recipient) -> Outcome:
        """One mail. Open afterwards only if the server's answers are still in step with our questions."""
        if to.utf8 and not self._takes_utf8:
            return Refused(
                "the address is beyond ASCII, and the mail server does not offer SMTPUTF8 (RFC 6531)"
            )
        try:
            message = build(mail, sender, to.address, eight_bit=self._takes_8bit)
        except ValueError:
            return Refused("the message cannot be written as a mail: it is not valid Unicode")
        self.mails += 1
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
            return self._outcome(error)

    def _is_of_the_connection_alone(self, code: int) -> bool:
        """Whether a new connection may be answered otherwise, with nothing of this mail handed over.

        Over a kept one that holds for every refusal of MAIL: servers count the mails of one connection.
        """
        if self._phase is Phase.MAIL and self.mails > 1:
            return True
        return self._is_before_content and (code == _CLOSING or not is_reply(code))

    async def _transact(self, sender: str, to: Recipient, message: bytes) -> Delivered:
        options = (b" SMTPUTF8" if to.utf8 else b"") + (b"" if message.isascii() else b" BODY=8BITMIME")
        await self._ask(Phase.MAIL, b"MAIL FROM:<%b>%b\r\n" % (sender.encode(), options))
        await self._ask(Phase.RCPT, b"RCPT TO:<%b>\r\n" % to.address.encode())
        await self._ask(Phase.DATA, b"DATA\r\n", expected=_INTERMEDIATE)
        return Delivered(queue_id((await self._hand_over(message)).text))

    async def _ask(self, phase: Phase, command: bytes, expected: int = _POSITIVE) -> None:
        self._phase = phase
        dialogue = self._dialogue_at_hand()
        reply = await dialogue.ask(command, self._server.timeout_seconds)
        if reply.code != GARBLED and not dialogue.in_step:
            raise SMTPResponseException(GARBLED, "more than one reply to one command")
        _demand(expected, reply)

    async def _hand_over(self, message: bytes) -> Reply:
        dialogue = self._dialogue_at_hand()
        self._phase = Phase.CONTENT
        reply = await dialogue.ask(_dot_stuffed(message), self._server.data_timeout_seconds)
        return _demand(_POSITIVE, reply)

    def _dialogue_at_hand(self) -> SmtpDialogue:
        if self._dialogue is None or not self._dialogue.is_open:
            raise SMTPServerDisconnected("Connection lost")
        return self._dialogue

    def _obey_cancel(self) -> None:
        """Python 3.11's `wait_for`, in the library, loses a cancel that comes together with the reply."""
        if _cancels() > self._cancels:
            raise asyncio.CancelledError

    async def _reset(self) -> None:
        """The server forgets the refused mail; if it does not say so, the next one takes a new connection."""
        try:
            await self._ask(self._phase, b"RSET\r\n")
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
                return outcome_of_loss(self._phase, _in_short(str(error)))
        logger.warning(
            "the mail server made the SMTP library fail: %s",
            type(error).__name__,
            extra={"action": "smtp_library_failed", "phase": str(self._phase)},
        )
        return outcome_of_loss(self._phase, type(error).__name__)

    def goodbye(self) -> None:
        """Ends it in good manners, without waiting for the server's."""
        if self._dialogue is not None:
            self._dialogue.end(b"QUIT\r\n")
        else:
            self._client.close()

    def abort(self) -> None:
        """Ends it at once: whatever is still to come over it is nobody's answer."""
        if self._dialogue is not None:
            self._dialogue.abort()
            return
        transport = self._client.transport
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
        self._client.close()


def _cancels() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _demand(expected: int, reply: Reply) -> Reply:
    if reply.code // 100 != expected or not is_reply(reply.code):
        raise SMTPResponseException(reply.code, reply.text)
    return reply


def _dot_stuffed(message: bytes) -> bytes:
    """With its end (RFC 5321, 4.5.2). Its first line is a header's, so no dot begins it."""
    return message.replace(b"\n.", b"\n..") + b".\r\n"


def _in_short(text: str) -> str:
    """Where, and what: an operator reads it on the board, at night."""
    said = _LIBRARYS_WORDS.fullmatch(text)
    if said is None:
        return text
    where, what = said.groups()
    return f"{where}: {'refused' if what.startswith('Connect call failed') else what}"
