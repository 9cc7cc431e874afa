"""A mail server on loopback that does as it is told, phase by phase, and else accepts everything."""

import asyncio
import base64
import hashlib
import hmac
import ssl
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Literal, Self, cast

CHALLENGE = b"<1896.697170952@server.test>"
EXTENSIONS = ("8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes for the client, and what comes after them."""

    data: bytes = b""
    then: Literal["go on", "close", "hang"] = "go on"
    seconds: float = 0.0  # before the answer
    late: bytes = b""  # comes by itself, a moment after the answer


def say(text: str, *more: str, seconds: float = 0.0) -> Answer:
    return Answer("".join(f"{line}\r\n" for line in (text, *more)).encode(), seconds=seconds)


def say_and_close(text: str) -> Answer:
    return Answer(f"{text}\r\n".encode(), "close")


def raw(data: bytes, then: Literal["go on", "close", "hang"] = "go on") -> Answer:
    return Answer(data, then)


CLOSE = Answer(then="close")
HANG = Answer(then="hang")
LATE_SECONDS = 0.002


@dataclass(slots=True)
class ReceivedMail:
    sender: str
    recipient: str
    data: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def message(self) -> EmailMessage:
        return BytesParser(policy=default).parsebytes(self.data)


@dataclass(frozen=True, slots=True)
class Try:
    """A recipient was named, whatever became of it."""

    recipient: str
    at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class SmtpTestServer:
    """Phases: connect EHLO STARTTLS AUTH MAIL RCPT DATA content RSET QUIT.

    `next` holds once, `always` on. `script` makes the answer of the usual one, for a phase and a recipient.
    """

    extensions: tuple[str, ...] = EXTENSIONS
    tls: ssl.SSLContext | None = None
    tls_at_once: bool = False
    password: str | None = None
    challenge: bytes | None = None  # instead of a right one
    in_octets: bool = False  # each octet of an answer is a write, and over TLS a record, of its own
    mails: list[ReceivedMail] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    always: dict[str, Answer] = field(default_factory=dict)
    by_recipient: dict[str, Answer] = field(default_factory=dict)  # at RCPT, by address
    at_content: dict[str, Answer] = field(default_factory=dict)  # at the final dot, by address
    script: Callable[[str, str, Answer], Answer] = lambda _phase, _recipient, usual: usual
    _next: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    _seen: Counter[str] = field(default_factory=Counter)
    _something_seen: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def next(self, phase: str, *answers: Answer) -> None:
        self._next[phase].extend(answers)

    def count(self, command: str) -> int:
        return sum(line.upper().startswith(command) for line in self.commands)

    async def saw(self, phase: str, times: int = 1) -> None:
        """Returns when the server has come to this phase so often; its answer may be still to come."""
        while self._seen[phase] < times:
            self._something_seen.clear()
            await self._something_seen.wait()

    def write(self, data: bytes) -> None:
        """To every client, out of turn."""
        for writer in self._writers:
            writer.write(data)

    async def start(self) -> Self:
        context = self.tls if self.tls_at_once else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Closes the port and every connection."""
        if self._server is not None:
            self._server.close()
        self.drop_connections()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_connections(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            await _Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
            self._writers.discard(writer)

    def answer(self, phase: str, usual: Answer, recipient: str = "") -> Answer:
        self._seen[phase] += 1
        self._something_seen.set()
        if self._next[phase]:
            return self._next[phase].popleft()
        return self.script(phase, recipient, self.always.get(phase, usual))


class _Session:
    def __init__(
        self, server: SmtpTestServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.sender = self.recipient = self.address = ""
        self.is_open = True

    async def run(self) -> None:
        await self.reply("connect", say("220 server.test ready"))
        while self.is_open and (line := (await self.reader.readline()).decode().rstrip("\r\n")):
            self.server.commands.append(line)
            verb, _, rest = line.partition(" ")
            handler = getattr(self, f"on_{verb.lower()}", self.on_other)
            await handler(rest)

    async def reply(self, phase: str, usual: Answer) -> bytes:
        return await self.give(self.server.answer(phase, usual, self.address))

    async def give(self, answer: Answer) -> bytes:
        if answer.seconds:
            await asyncio.sleep(answer.seconds)
        for start in range(len(answer.data)) if self.server.in_octets else ():
            self.writer.write(answer.data[start : start + 1])
        if not self.server.in_octets:
            self.writer.write(answer.data)
        await self.writer.drain()
        if answer.late:
            asyncio.get_running_loop().call_later(LATE_SECONDS, self._say_late, answer.late)
        if answer.then == "close":
            self.is_open = False
            self.writer.close()
        if answer.then == "hang":
            await asyncio.Event().wait()
        return answer.data

    def _say_late(self, data: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(data)

    async def on_ehlo(self, _: str) -> None:
        offered = [*self.server.extensions]
        if self.server.tls and not self.writer.get_extra_info("ssl_object"):
            offered.append("STARTTLS")
        if self.server.password is not None and not any(name.startswith("AUTH") for name in offered):
            offered.append("AUTH PLAIN LOGIN CRAM-MD5")
        lines = ["server.test", *offered]
        await self.reply("EHLO", say(*[f"250-{line}" for line in lines[:-1]], f"250 {lines[-1]}"))

    async def on_starttls(self, _: str) -> None:
        data = await self.reply("STARTTLS", say("220 go ahead"))
        if self.server.tls and data.startswith(b"220"):
            await self.writer.start_tls(self.server.tls)

    async def on_auth(self, rest: str) -> None:
        way, _, first = rest.partition(" ")
        is_right = await getattr(self, f"_is_{way.lower().replace('-', '_')}_right")(first)
        await self.reply("AUTH", say("235 2.7.0 ok" if is_right else "535 5.7.8 wrong password"))

    async def _is_plain_right(self, first: str) -> bool:
        return base64.b64decode(first).decode() == f"\0user\0{self.server.password}"

    async def _is_login_right(self, _: str) -> bool:
        return base64.b64decode(await self._ask(b"Password:")).decode() == self.server.password

    async def _is_cram_md5_right(self, _: str) -> bool:
        digest = hmac.new((self.server.password or "").encode(), CHALLENGE, hashlib.md5).hexdigest()
        return base64.b64decode(await self._ask(CHALLENGE)).decode() == f"user {digest}"

    async def _ask(self, question: bytes) -> bytes:
        self.writer.write(self.server.challenge or b"334 " + base64.b64encode(question) + b"\r\n")
        return await self.reader.readline()

    async def on_mail(self, rest: str) -> None:
        self.sender, self.address = rest, ""
        await self.reply("MAIL", say("250 2.1.0 ok"))

    async def on_rcpt(self, rest: str) -> None:
        self.recipient = rest
        self.address = rest.partition("<")[2].partition(">")[0]
        self.server.tries.append(Try(self.address))
        await self.reply("RCPT", self.server.by_recipient.get(self.address, say("250 2.1.5 ok")))

    async def on_data(self, _: str) -> None:
        if not (await self.reply("DATA", say("354 end with a dot"))).startswith(b"354"):
            return
        data = await self.reader.readuntil(b"\r\n.\r\n")
        mail = data[:-3].replace(b"\r\n..", b"\r\n.")
        usual = say(f"250 2.0.0 Ok: queued as Q{len(self.server.mails) + 1}")
        answer = self.server.answer("content", self.server.at_content.get(self.address, usual), self.address)
        if answer.data.startswith(b"2"):
            self.server.mails.append(ReceivedMail(self.sender, self.recipient, mail))
        await self.give(answer)

    async def on_rset(self, _: str) -> None:
        await self.reply("RSET", say("250 2.0.0 ok"))

    async def on_quit(self, _: str) -> None:
        await self.reply("QUIT", say_and_close("221 2.0.0 bye"))

    async def on_other(self, _: str) -> None:
        await self.reply("other", say("500 5.5.1 what?"))
