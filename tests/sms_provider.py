"""An SMS provider on loopback, Twilio's Messages API, that does as it is told and else accepts everything."""

import asyncio
import json
import ssl
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, Self, cast
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Bytes for the client, and what comes after them. `drip`: seconds between single bytes."""

    data: bytes = b""
    then: Literal["go on", "close", "hang"] = "go on"
    seconds: float = 0.0  # before the answer
    drip: float = 0.0
    is_accepted: bool = False


def answer(status: int, content: object = "", *headers: str, seconds: float = 0.0) -> HttpAnswer:
    """`content`: a text as it is, or what is written as JSON."""
    body = (content if isinstance(content, str) else json.dumps(content)).encode()
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
    return HttpAnswer(
        "".join(f"{line}\r\n" for line in head).encode() + b"\r\n" + body,
        seconds=seconds,
        is_accepted=status == 201,
    )


def error(status: int, code: int, message: str, *headers: str) -> HttpAnswer:
    return answer(status, {"code": code, "message": message, "status": status}, *headers)


CLOSE = HttpAnswer(then="close")
HANG = HttpAnswer(then="hang")


@dataclass(slots=True)
class ReceivedText:
    path: str
    headers: dict[str, str]
    fields: dict[str, str]
    at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class SmsTestProvider:
    """`next` holds once, `always` on; `texts` are the accepted ones, `requests` all."""

    tls: ssl.SSLContext | None = None
    texts: list[ReceivedText] = field(default_factory=list)
    requests: list[ReceivedText] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    always: HttpAnswer | None = None
    by_number: dict[str, HttpAnswer] = field(default_factory=dict)
    on_connect: HttpAnswer | None = None
    _next: deque[HttpAnswer] = field(default_factory=deque)
    _something_seen: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def next(self, *answers: HttpAnswer) -> None:
        self._next.extend(answers)

    async def saw(self, requests: int) -> None:
        """Returns when so many requests have come; the last one's answer may be still to come."""
        while len(self.requests) < requests:
            self._something_seen.clear()
            await self._something_seen.wait()

    async def has_at_most(self, connections: int) -> None:
        """Returns when no more than these are open."""
        while len(self._writers) > connections:
            self._something_seen.clear()
            await self._something_seen.wait()

    def write(self, data: bytes) -> None:
        """To every client, out of turn."""
        for writer in self._writers:
            writer.write(data)

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Closes the port and every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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
            if self.on_connect is not None:
                await self._say(self.on_connect, writer)
            while not writer.is_closing():
                await self._answer_one(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
            self._writers.discard(writer)
            self._something_seen.set()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        fields = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        text = ReceivedText(head[0], headers, fields)
        self.requests.append(text)
        self._something_seen.set()
        said = self._next.popleft() if self._next else self._usual(text)
        if said.is_accepted:
            self.texts.append(text)
        await self._say(said, writer)

    def _usual(self, text: ReceivedText) -> HttpAnswer:
        return self.by_number.get(text.fields.get("To", "")) or self.always or self._accept()

    def _accept(self) -> HttpAnswer:
        return answer(201, {"sid": f"SM{len(self.texts) + 1:032}", "status": "queued"})

    async def _say(self, said: HttpAnswer, writer: asyncio.StreamWriter) -> None:
        if said.seconds:
            await asyncio.sleep(said.seconds)
        pieces = [said.data] if not said.drip else [said.data[at : at + 1] for at in range(len(said.data))]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if said.drip:
                await asyncio.sleep(said.drip)
        if said.then == "close":
            writer.close()
        if said.then == "hang":
            await asyncio.Event().wait()
