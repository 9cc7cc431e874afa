"""Loads that wait for nobody: what is sent when, and what is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from benchmarks.deliveries import between
from benchmarks.figures import CPU, RATE
from benchmarks.open_loop import OpenLoop, Waiting
from benchmarks.site import Site
from benchmarks.steady_load import Due, Load, schedule

REQUEST = b"POST / HTTP/1.1\r\n\r\n"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"


@asynccontextmanager
async def a_server(*pieces: bytes) -> AsyncIterator[int]:
    """Its port. It answers each request with these pieces, and ends with its clients."""
    served: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1_000):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.create_task(answer(reader, writer)))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*served)


async def sent(port: int, times: list[float], connections: int) -> OpenLoop:
    open_loop = OpenLoop(times, repeat(REQUEST))
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Waiting(open_loop), "127.0.0.1", port)
        for _ in range(connections)
    ]
    open_loop.begin()
    async with asyncio.timeout(20):
        await open_loop.done.wait()
    for transport, _ in opened:
        transport.close()
    return open_loop


@pytest.mark.parametrize("pieces", [(ACCEPTED,), (ACCEPTED[:20], ACCEPTED[20:-1], ACCEPTED[-1:])])
async def test_each_planned_request_has_a_latency_however_its_answer_comes(pieces: tuple[bytes, ...]) -> None:
    async with a_server(*pieces) as port:
        open_loop = await sent(port, [0.0] * 10, connections=2)

    assert open_loop.failed is None
    assert len(open_loop.latencies) == 10


async def test_who_waits_for_a_free_connection_waits_since_the_plans_time() -> None:
    async with a_server(ACCEPTED) as port:
        open_loop = await sent(port, [0.0] * 10, connections=1)

    assert open_loop.latencies == sorted(open_loop.latencies)


async def test_an_answer_that_is_no_202_ends_the_load() -> None:
    async with a_server(REFUSED) as port:
        open_loop = await sent(port, [0.0, 0.0], connections=2)

    assert open_loop.failed is not None
    assert open_loop.failed.startswith(b"HTTP/1.1 503")


def a_load(**hot: float) -> Load:
    return Load(site=Site(log="memory", topic="t"), rate=4, seconds=1, keys=2, **hot)


def test_a_steady_load_is_due_at_even_times() -> None:
    assert list(schedule(a_load())) == [Due(number / 4, number, is_hot=False) for number in range(4)]


def test_a_hot_keys_messages_come_on_top_from_their_time_to_the_end() -> None:
    due = list(schedule(a_load(hot_rate=4, hot_from=0.5)))

    assert [one.seconds for one in due] == [0.0, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert sum(one.is_hot for one in due) == 2


def test_a_hot_keys_messages_end_when_they_are_told_to() -> None:
    due = schedule(a_load(hot_rate=8, hot_from=0.25, hot_seconds=0.25))

    assert [one.seconds for one in due if one.is_hot] == [0.25, 0.375]


def test_what_lies_between_two_marks_is_a_turn() -> None:
    turn = between((1_000, 5.0, 2.0), (3_000, 9.0, 2.5))

    assert turn.figures == {RATE: 500.0, CPU: 250.0}
