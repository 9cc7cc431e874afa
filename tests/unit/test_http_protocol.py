"""What one connection can make a server of Herald's hold, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from entrypoints.http_port import HttpPort
from entrypoints.http_protocol import MOST_HEAD_BYTES, MOST_PIPELINED, BoundedHttp
from entrypoints.listening import listen_on, port_of
from entrypoints.plain_http import Receive, Send

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
TURNS = 10  # of the loop, for what was written to be read and answered
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"


class Numbers:
    """Answers each request with how many bytes its body had, once the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked = 0

    async def __call__(self, _scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self.asked += 1
        size = 0
        while (event := await receive())["type"] == "http.request":
            size += len(event["body"])
            if not event["more_body"]:
                break
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
        await send({"type": "http.response.body", "body": b"%8d" % size})


@asynccontextmanager
async def served(app: Numbers) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the application."""
    port = HttpPort(app, abort_seconds=0.01)
    sock = listen_on("127.0.0.1", 0, "")
    await port.open(sock)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sock))
    try:
        yield reader, writer
    finally:
        app.gate.set()
        writer.close()
        await port.close()


async def said_while_sending(
    writer: asyncio.StreamWriter, part: bytes, said: Coroutine[Any, Any, bytes]
) -> bytes:
    """What the server says or, at its end, has said; it is sent parts for as long as it says nothing."""
    saying = asyncio.create_task(said)
    while not saying.done():
        writer.write(part)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    return saying.result()


@pytest.mark.parametrize(
    ("beginning", "part"),
    [
        (b"GET /", b"x" * 10_000),
        (b"GET / HTTP/1.1\r\nHost: x\r\nx: ", b"x" * 10_000),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"name: value\r\n" * 1_000),
    ],
    ids=["a path", "a header", "headers"],
)
async def test_a_head_without_an_end_is_refused(beginning: bytes, part: bytes) -> None:
    async with served(Numbers()) as (reader, writer):
        writer.write(beginning)
        answer = await said_while_sending(writer, part, reader.readuntil(b"}"))

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"urn:herald:problem:head-too-large" in answer


@pytest.mark.parametrize("part", [b"name: value\r\n" * 1_000, b"x" * 10_000], ids=["trailers", "a trailer"])
async def test_what_follows_a_body_without_an_end_ends_the_connection(part: bytes) -> None:
    app = Numbers()
    async with served(app) as (reader, writer):
        writer.write(CHUNKED)
        answer = await said_while_sending(writer, part, reader.read())

    assert (app.asked, answer) == (1, b"")


async def test_a_large_head_and_a_large_body_are_taken() -> None:
    app = Numbers()
    app.gate.set()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nx: " + b"x" * (MOST_HEAD_BYTES - 1_000)
    body = b"y" * (3 * MOST_HEAD_BYTES)
    async with served(app) as (reader, writer):
        for _ in range(2):
            writer.write(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            answer = await reader.readuntil(b"%8d" % len(body))
            assert answer.startswith(b"HTTP/1.1 200 ")


async def test_requests_that_are_sent_without_waiting_are_answered_in_order() -> None:
    app = Numbers()
    async with served(app) as (reader, writer):
        for number in range(1, MOST_PIPELINED):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % number + b"z" * number)
        app.gate.set()
        sizes = [await next_size(reader) for _ in range(1, MOST_PIPELINED)]

    assert sizes == list(range(1, MOST_PIPELINED))


async def next_size(reader: asyncio.StreamReader) -> int:
    await reader.readuntil(b"\r\n\r\n")
    return int(await reader.readexactly(8))


async def test_too_many_requests_that_wait_for_the_one_before_them_end_the_connection() -> None:
    app = Numbers()
    async with served(app) as (reader, writer):
        writer.write(GET * (MOST_PIPELINED + 2))
        answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 400 ")


@asynccontextmanager
async def served_impatiently(
    app: Numbers, seconds: float
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    class Impatient(BoundedHttp):
        request_seconds = seconds

    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Impatient(config, ServerState(), {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{",
        CHUNKED,
    ],
    ids=["a path", "a head", "a body that does not begin", "a body", "trailers"],
)
async def test_a_request_that_never_comes_to_its_end_ends_its_connection(beginning: bytes) -> None:
    app = Numbers()
    async with asyncio.timeout(5), served_impatiently(app, 0.01) as (reader, writer):
        writer.write(GET)
        app.gate.set()
        before = await next_size(reader)
        writer.write(beginning)
        rest = await reader.read()

    assert (before, rest) == (0, b"")


async def test_a_request_that_has_come_may_be_answered_late_and_the_next_one_has_all_its_time() -> None:
    app = Numbers()
    async with asyncio.timeout(5), served_impatiently(app, 0.2) as (reader, writer):
        whole = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        writer.write(whole[:-1])
        for _ in range(TURNS):
            await asyncio.sleep(0)
        writer.write(whole[-1:])
        asyncio.get_running_loop().call_later(0.3, app.gate.set)
        late = await next_size(reader)
        writer.write(whole)
        next_one = await next_size(reader)

    assert (late, next_one) == (2, 2)
