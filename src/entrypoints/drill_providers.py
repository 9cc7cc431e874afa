"""The drill's own mail server and SMS provider: the inbox's, with a memory for identities alone.

They count each message when they have taken it and answer a moment later, as real ones do: a consumer that
dies in between has sent a message that it knows nothing of.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from aiosmtpd.smtp import SMTP, Envelope, Session

from entrypoints.http_port import HttpPort
from entrypoints.inbox_outage import Listener, Outage, Switch, SwitchedService
from entrypoints.inbox_sms import SmsProvider
from entrypoints.inbox_smtp import MailHooks, MailPort
from entrypoints.inbox_store import ReceivedMail, ReceivedText
from entrypoints.listening import listen_on
from entrypoints.plain_http import Answer, ASGIMessage, Receive, Request, asgi_app, json_answer

HOST = "127.0.0.1"
ANSWER_SECONDS = 0.02
_MOOD = 3
_GOODBYE_SECONDS = 0.5
_LARGEST_MAIL = 1024 * 1024
_LARGEST_FORM = 65_536
_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^.>]+)\.", re.IGNORECASE | re.MULTILINE)

Arrived = Callable[[str, str], None]
"""Told of each message taken: the channel and the request id, empty where there was none to be read."""


class Door:
    """What a provider tells its clients beside its outage.

    `is_closing`: it takes nothing new. `put_off`: recipients who are told to come again later, each time;
    `moody`: those who are told so every third time. `idle` is set while no message is being answered.
    """

    def __init__(self) -> None:
        self.is_closing = False
        self.put_off: set[str] = set()
        self.moody: set[str] = set()
        self.idle = asyncio.Event()
        self.idle.set()
        self._in_hand = 0
        self._tries = 0

    def turns_away(self, recipient: str) -> bool:
        """Whether this try for the recipient is to come again later."""
        if recipient in self.moody:
            self._tries += 1
            return self._tries % _MOOD == 0
        return recipient in self.put_off

    @contextmanager
    def answering(self) -> Iterator[None]:
        self._in_hand += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self.idle.set()


class OrderlyEnd:
    """A listener that ends as a server does that its operator stops: what it took is answered first.

    Otherwise each closing would lose answers, and a message whose answer is lost may be sent again.
    `goodbye_seconds`: how long clients are told that it goes, so that none is in the middle of a message.
    """

    def __init__(self, listener: Listener, door: Door, goodbye_seconds: float) -> None:
        self._listener = listener
        self._goodbye_seconds = goodbye_seconds
        self._door = door

    async def open(self, sock: socket.socket) -> None:
        self._door.is_closing = False
        await self._listener.open(sock)

    async def close(self) -> None:
        self._door.is_closing = True
        await asyncio.sleep(self._goodbye_seconds)
        await self._door.idle.wait()
        await self._listener.close()


class DrillMail(MailHooks):
    """The inbox's answers, and those of a server that closes or puts somebody off."""

    def __init__(self, arrived: Arrived, switch: Switch, door: Door) -> None:
        super().__init__(self, switch, slow_seconds=0.0)
        self._arrived = arrived
        self._door = door

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._door.is_closing:
            return "421 4.3.2 Service shutting down"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._door.turns_away(address):
            return "451 4.7.1 Greylisted, please try again later"
        return await super().handle_RCPT(server, session, envelope, address, options)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        with self._door.answering():
            answer = await super().handle_DATA(server, session, envelope)
            await asyncio.sleep(ANSWER_SECONDS)
            return answer

    def add_mail(self, mail: ReceivedMail) -> None:
        found = _MESSAGE_ID.search(mail.raw)
        self._arrived("email", found[1].decode() if found else "")


class DrillSms:
    """The inbox's provider behind the door."""

    def __init__(self, arrived: Arrived, switch: Switch, door: Door) -> None:
        self._provider = SmsProvider(self, switch, slow_seconds=0.0)
        self._arrived = arrived
        self._door = door

    async def handle(self, request: Request) -> Answer:
        if self._door.is_closing:
            answer = json_answer({"message": "Service shutting down"}, HTTPStatus.SERVICE_UNAVAILABLE)
            return replace(answer, headers=(("Connection", "close"),))
        with self._door.answering():
            answer = await self._answer(request)
            await asyncio.sleep(ANSWER_SECONDS)
            return answer

    async def _answer(self, request: Request) -> Answer:
        if self._door.put_off or self._door.moody:
            form = await request.body(_LARGEST_FORM)
            if self._door.turns_away(dict(parse_qsl(form.decode())).get("To", "")):
                return json_answer({"message": "Please try again later"}, HTTPStatus.CONFLICT)
            request = replace(request, receive=_again(form))
        return await self._provider.handle(request)

    def add_text(self, text: ReceivedText) -> None:
        self._arrived("sms", (text.idempotency_key or "").partition(".")[0])


def _again(body: bytes) -> Receive:
    """A body that was read, for whoever reads it next."""

    async def receive() -> ASGIMessage:
        return {"type": "http.request", "body": body}

    return receive


class Providers:
    """Both, on free ports of the loopback that stay the same through outages; an async context manager."""

    def __init__(self, arrived: Arrived, *, goodbye_seconds: float = _GOODBYE_SECONDS) -> None:
        self.doors = {"email": Door(), "sms": Door()}
        mail, sms = Switch(), Switch()
        mail_port = MailPort(DrillMail(arrived, mail, self.doors["email"]), _LARGEST_MAIL)
        sms_port = HttpPort(asgi_app(DrillSms(arrived, sms, self.doors["sms"]).handle))
        mail_end = OrderlyEnd(mail_port, self.doors["email"], goodbye_seconds)
        sms_end = OrderlyEnd(sms_port, self.doors["sms"], goodbye_seconds)
        self._services = {
            "email": SwitchedService("email", HOST, mail, mail_end),
            "sms": SwitchedService("sms", HOST, sms, sms_end),
        }
        self._closing = AsyncExitStack()

    def port(self, channel: str) -> int:
        return self._services[channel].port

    async def change(self, channel: str, state: Outage) -> None:
        """On return the channel's provider behaves so."""
        await self._services[channel].change(state)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as closing:
            for service in self._services.values():
                sock = listen_on(HOST, 0, "nothing: every port is taken")
                closing.push_async_callback(service.stop)
                await service.start(sock)
            self._closing = closing.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()
