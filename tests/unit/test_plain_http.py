import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

import pytest

from entrypoints.http_port import HttpPort
from entrypoints.listening import listen_on, port_of
from entrypoints.plain_http import Answer, ASGIMessage, Request, asgi_app, json_answer
from tests.plain_client import plain_client


async def echo(request: Request) -> Answer:
    body = await request.body(10)
    return json_answer({"method": request.method, "path": request.path, "body": body.decode()})


async def broken(request: Request) -> Answer:
    raise ValueError("customer@example.com")


async def scope_of(method: str = "POST") -> MutableMapping[str, Any]:
    return {"type": "http", "method": method, "path": "/p", "query_string": b"", "headers": []}


async def answered(messages: list[ASGIMessage]) -> list[ASGIMessage]:
    sent: list[ASGIMessage] = []
    coming = iter(messages)

    async def receive() -> ASGIMessage:
        return next(coming)

    async def send(message: ASGIMessage) -> None:
        sent.append(message)

    await asgi_app(echo)(await scope_of(), receive, send)
    return sent


async def test_a_body_in_pieces_is_put_together() -> None:
    start, body = await answered(
        [
            {"type": "http.request", "body": b"ab", "more_body": True},
            {"type": "http.request", "more_body": True},
            {"type": "http.request", "body": b"cd"},
        ]
    )

    assert start["status"] == 200
    assert body["body"] == b'{"method":"POST","path":"/p","body":"abcd"}'


async def test_a_body_that_grows_too_large_is_refused_before_its_end() -> None:
    start, body = await answered(
        [
            {"type": "http.request", "body": b"123456", "more_body": True},
            {"type": "http.request", "body": b"123456", "more_body": True},
        ]
    )

    assert start["status"] == 413
    assert b"urn:herald:problem:body-too-large" in body["body"]


async def test_a_client_that_goes_within_its_body_is_not_answered() -> None:
    sent = await answered(
        [{"type": "http.request", "body": b"12", "more_body": True}, {"type": "http.disconnect"}]
    )

    assert sent == []


async def test_a_failure_of_ours_is_a_problem_and_a_line_without_what_it_was_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = HttpPort(asgi_app(broken))
    sock = listen_on("127.0.0.1", 0, "")
    await port.open(sock)
    async with plain_client(f"http://127.0.0.1:{port_of(sock)}") as client:
        answer = await client.get("/")
    await port.close()

    assert (answer.status_code, answer.json()["type"]) == (500, "urn:herald:problem:internal-error")
    assert [(record.levelno, record.__dict__["error"]) for record in caplog.records] == [
        (logging.ERROR, "ValueError")
    ]
    assert "customer" not in caplog.text + answer.text


async def test_what_has_no_utf_8_form_does_not_break_an_answer() -> None:
    assert json_answer("a\ud800b").body == b'"a?b"'


async def test_a_port_that_is_not_open_may_be_closed() -> None:
    await HttpPort(asgi_app(echo)).close()


class Gate:
    """An application whose answers wait for a test."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = False

    async def answer(self, request: Request) -> Answer:
        self.entered.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return json_answer("late")


async def test_closing_with_grace_lets_a_running_answer_finish() -> None:
    gate = Gate()
    port = HttpPort(asgi_app(gate.answer))
    sock = listen_on("127.0.0.1", 0, "")
    await port.open(sock)
    async with plain_client(f"http://127.0.0.1:{port_of(sock)}") as client:
        asking = asyncio.create_task(client.get("/"))
        await gate.entered.wait()
        closing = asyncio.create_task(port.close(grace_seconds=10))
        await asyncio.sleep(0)
        gate.open.set()
        answer = await asking
        await closing

    assert answer.json() == "late"


async def test_an_answer_that_does_not_end_is_cancelled_when_the_port_closes() -> None:
    gate = Gate()
    port = HttpPort(asgi_app(gate.answer), abort_seconds=0.01)
    sock = listen_on("127.0.0.1", 0, "")
    await port.open(sock)
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(sock))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await gate.entered.wait()
    await port.close(grace_seconds=0.01)
    writer.close()

    assert gate.cancelled
