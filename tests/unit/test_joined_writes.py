"""What uvicorn writes is joined, and everything that HTTP needs stays as it was: on real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from entrypoints.api_server import ApiServer
from entrypoints.joined_writes import EndOfTurn, JoinedWrites
from entrypoints.listening import listen_on, port_of
from entrypoints.plain_http import ASGIMessage, Receive, Send

LARGE = 4 << 20  # more than all buffers of a socket hold


class Recorder(asyncio.Transport):
    """A transport that keeps each piece it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.pieces.append(b"closed")


async def app(scope: ASGIMessage, receive: Receive, send: Send) -> None:
    """`/` answers with the body it got, `/large` with much, `/slow` in pieces, `/bad` not whole."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": (await receive())["type"] + ".complete"})
        return
    body: bytes = (await receive())["body"]
    answers: dict[str, bytes] = {"/large": b"x" * LARGE, "/slow": b"slowly", "/bad": b"whole"}
    answer = answers.get(scope["path"], body)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"%d" % len(answer))],
        }
    )
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": answer[:4], "more_body": True})
        await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": answer[4:]})
    elif scope["path"] == "/bad":
        raise ValueError
    else:
        await send({"type": "http.response.body", "body": answer})


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[ApiServer, int]]:
    with listen_on("127.0.0.1", 0, "a test") as listener:
        started = asyncio.Event()
        server = ApiServer(app, 5.0, started.set)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await started.wait()
        try:
            yield server, port_of(listener)
        finally:
            server.stop()
            await running


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()


def request(method: str = "POST", path: str = "/", body: str = "", headers: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return (head + body).encode()


async def answer(reader: asyncio.StreamReader, *, has_body: bool = True) -> tuple[str, bytes]:
    """The status line and the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r")[0]) if has_body else 0
    return head.partition("\r\n")[0], await reader.readexactly(length)


async def test_two_writes_of_one_turn_are_one_piece() -> None:
    recorder = Recorder()
    transport = JoinedWrites(recorder, EndOfTurn())
    transport.write(b"head ")
    transport.write(b"body")

    assert recorder.pieces == [b"head body"]


async def test_a_write_that_stays_alone_goes_at_the_end_of_the_turn() -> None:
    recorder = Recorder()
    transport = JoinedWrites(recorder, EndOfTurn())
    transport.write(b"head")
    held = list(recorder.pieces)
    await asyncio.sleep(0)

    assert (held, recorder.pieces) == ([], [b"head"])


async def test_an_empty_body_lets_its_head_go_and_is_nothing_by_itself() -> None:
    recorder = Recorder()
    transport = JoinedWrites(recorder, EndOfTurn())
    transport.write(b"head")
    transport.write(b"")
    transport.write(b"")
    await asyncio.sleep(0)

    assert recorder.pieces == [b"head"]


async def test_all_that_is_held_goes_at_the_end_of_the_turn() -> None:
    turn, recorders = EndOfTurn(), [Recorder() for _ in range(3)]
    for recorder in recorders:
        JoinedWrites(recorder, turn).write(b"head")
    await asyncio.sleep(0)
    JoinedWrites(recorders[0], turn).write(b"next")
    await asyncio.sleep(0)

    assert [recorder.pieces for recorder in recorders] == [[b"head", b"next"], [b"head"], [b"head"]]


async def test_closing_lets_what_is_held_go_first() -> None:
    recorder = Recorder()
    transport = JoinedWrites(recorder, EndOfTurn())
    transport.write(b"head")
    transport.close()
    await asyncio.sleep(0)

    assert recorder.pieces == [b"head", b"closed"]


async def test_many_writes_arrive_whole_and_in_order() -> None:
    recorder = Recorder()
    transport = JoinedWrites(recorder, EndOfTurn())
    for number in range(7):
        transport.write(b"%d" % number)
    await asyncio.sleep(0)

    assert b"".join(recorder.pieces) == b"0123456"


async def test_a_kept_connection_answers_request_after_request(client: Client) -> None:
    reader, writer = client
    answers = []
    for body in ("one", "", "three"):
        writer.write(request(body=body))
        answers.append(await answer(reader))

    assert answers == [("http/1.1 200 ok", body) for body in (b"one", b"", b"three")]


async def test_requests_that_are_sent_together_are_answered_in_order(client: Client) -> None:
    reader, writer = client
    writer.write(b"".join(request(body=body) for body in ("one", "two", "three")))
    answers = [await answer(reader) for _ in range(3)]

    assert [body for _, body in answers] == [b"one", b"two", b"three"]


async def test_an_answer_in_pieces_arrives_whole(client: Client) -> None:
    reader, writer = client
    writer.write(request(path="/slow"))

    assert await answer(reader) == ("http/1.1 200 ok", b"slowly")


async def test_the_answer_to_head_has_no_body_and_the_next_one_follows(client: Client) -> None:
    reader, writer = client
    writer.write(request("HEAD", "/slow"))
    head = await answer(reader, has_body=False)
    writer.write(request(body="next"))

    assert (head, await answer(reader)) == (("http/1.1 200 ok", b""), ("http/1.1 200 ok", b"next"))


async def test_who_expects_100_continue_hears_it_before_sending_the_body(client: Client) -> None:
    reader, writer = client
    whole = request(body="body", headers="Expect: 100-continue\r\n")
    writer.write(whole[:-4])
    early = await answer(reader, has_body=False)
    writer.write(whole[-4:])

    assert early[0] == "http/1.1 100 continue"
    assert (await answer(reader))[1] == b"body"


async def test_a_client_that_reads_slowly_gets_a_large_answer_whole(client: Client) -> None:
    reader, writer = client
    writer.write(request(path="/large"))
    await asyncio.sleep(0.02)

    assert len((await answer(reader))[1]) == LARGE


async def test_connection_close_ends_the_connection_after_the_answer(client: Client) -> None:
    reader, writer = client
    writer.write(request(body="last", headers="Connection: close\r\n"))

    assert (await answer(reader))[1] == b"last"
    assert await reader.read() == b""


async def test_a_broken_request_is_refused_and_the_connection_closed(client: Client) -> None:
    reader, writer = client
    writer.write(b"nonsense\r\n\r\n")

    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_an_application_that_breaks_off_ends_the_connection(client: Client) -> None:
    reader, writer = client
    writer.write(request(path="/bad"))

    assert (await reader.read()).endswith(b"content-length: 5\r\n\r\n")


async def test_a_stop_lets_a_running_answer_end_and_closes_idle_connections() -> None:
    async with serving() as (server, port):
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(path="/slow"))
        await reader.readuntil(b"\r\n\r\n")
        server.stop()
        rest = await reader.read()
        closed = await idle.read()
        writer.close()
        idle_writer.close()

    assert (rest, closed) == (b"slowly", b"")
