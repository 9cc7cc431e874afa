"""What the bodies of requests may take of a process's memory, by the program's own count."""

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from application.counts import ProduceCounts
from application.deadline import within
from entrypoints.api_keys import NoKeys
from entrypoints.body_room import BodyRoom
from entrypoints.endpoint import BODY_SECONDS, Call, Endpoint
from entrypoints.problems import JSON, Answer, answer
from tests.api_parts import VALID, MemoryApi
from tests.fakes import FakeClock

HEADERS = [(b"content-type", JSON)]
LIMIT = 8_000


class Scene:
    """An endpoint whose log answers when a test says so, and the clients that send it bodies."""

    def __init__(self, most_bytes: int) -> None:
        self.clock = FakeClock()
        self.room = BodyRoom(most_bytes)
        self.log_answers = asyncio.Event()
        self.written: list[bytes] = []
        self.most_held = 0
        self._endpoint = Endpoint(
            respond=self._respond,
            media_types=frozenset({JSON}),
            max_bytes=LIMIT,
            room=self.room,
            keys=NoKeys(),
            counts=ProduceCounts(),
            clock=self.clock,
        )

    def client(self) -> "Client":
        return Client(self._endpoint)

    async def settle(self) -> None:
        await self.clock.settle()
        self.most_held = max(self.most_held, self.room.held_bytes)

    async def _respond(self, call: Call) -> Answer:
        await self.log_answers.wait()
        self.written.append(call.body)
        return answer(202, JSON, b"{}")


class Client:
    """One request, whose body comes in parts."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answer = asyncio.create_task(endpoint.answer(HEADERS, self._events.get))

    def send(self, part: bytes, *, more: bool) -> None:
        self._events.put_nowait({"type": "http.request", "body": part, "more_body": more})

    def hang_up(self) -> None:
        self._events.put_nowait({"type": "http.disconnect"})

    async def problem(self) -> tuple[int, str, Mapping[bytes, bytes]]:
        status, headers, body = await self.answer
        return status, json.loads(body)["type"].rpartition(":")[2], dict(headers)


@asynccontextmanager
async def scene(most_bytes: int) -> AsyncIterator[Scene]:
    """At its end every client has had its answer, and no room is taken any more."""
    made = Scene(most_bytes)
    yield made
    made.log_answers.set()
    await made.settle()
    assert made.room.held_bytes == 0


async def test_a_body_for_which_there_is_no_room_is_told_to_come_again() -> None:
    async with scene(1_000) as it:
        first, second = it.client(), it.client()
        first.send(b"1" * 900, more=False)
        await it.settle()
        second.send(b"2" * 101, more=False)

        status, name, headers = await second.problem()
        assert (status, name, headers[b"retry-after"]) == (503, "overloaded", b"1")
        it.log_answers.set()
        assert (await first.answer).status == 202

    assert it.written == [b"1" * 900]


async def test_there_is_room_again_once_the_request_before_is_answered() -> None:
    async with scene(1_000) as it:
        it.log_answers.set()
        for body in (b"1" * 900, b"2" * 900):
            client = it.client()
            client.send(body, more=False)
            assert (await client.answer).status == 202


async def test_a_body_that_is_alone_has_room_however_large_it_is() -> None:
    async with scene(1_000) as it:
        it.log_answers.set()
        client = it.client()
        client.send(b"1" * 4_000, more=True)
        await it.settle()
        client.send(b"2" * 4_000, more=False)

        assert (await client.answer).status == 202


async def test_a_thousand_clients_that_send_slowly_hold_no_more_than_the_room() -> None:
    async with scene(100_000) as it:
        clients = [it.client() for _ in range(1_000)]
        for _ in range(7):
            for client in clients:
                client.send(b"x" * 1_000, more=True)
                await asyncio.sleep(0)
            await it.settle()
        for client in clients:
            client.send(b"", more=False)
        it.log_answers.set()
        statuses = [(await client.answer).status for client in clients]

    assert it.most_held <= 100_000
    assert set(statuses) == {202, 503}
    assert len(it.written) == statuses.count(202)


async def test_a_body_that_does_not_come_to_its_end_gives_its_room_back() -> None:
    async with scene(1_000) as it:
        client = it.client()
        client.send(b"1" * 900, more=True)
        await it.clock.advance(BODY_SECONDS)

        status, name, headers = await client.problem()
        assert (status, name, headers[b"connection"]) == (408, "body-too-slow", b"close")


async def test_a_client_that_hangs_up_gives_its_room_back() -> None:
    async with scene(1_000) as it:
        client = it.client()
        client.send(b"1" * 900, more=True)
        await it.settle()
        client.hang_up()
        await client.answer


async def test_a_body_that_is_too_large_gives_its_room_back() -> None:
    async with scene(1_000) as it:
        client = it.client()
        client.send(b"1" * 900, more=True)
        await it.settle()
        client.send(b"1" * LIMIT, more=True)

        assert (await client.problem())[:2] == (413, "body-too-large")


async def test_one_message_and_batches_share_the_room() -> None:
    api = MemoryApi(max_waiting_bytes=10)
    gate = asyncio.Queue[dict[str, Any]]()
    scope = {"type": "http", "method": "POST", "path": "/api/v1/produce/batch", "headers": HEADERS}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    gate.put_nowait({"type": "http.request", "body": b"[{}, ", "more_body": True})
    batch = asyncio.ensure_future(api.app(scope, gate.get, send))
    await api.clock.settle()
    refused = await api.post(json.dumps(VALID).encode())
    gate.put_nowait({"type": "http.disconnect"})
    await batch

    assert (refused.status_code, refused.json()["type"]) == (503, "urn:herald:problem:overloaded")
    assert (await api.post(json.dumps(VALID).encode())).status_code == 202


async def test_an_item_that_is_no_message_by_its_size_alone_is_refused_by_itself() -> None:
    large = {**VALID, "message_body": "x" * 300_000}
    response = await MemoryApi().post_batch([VALID, large])

    taken, refused = response.json()["results"]
    assert (response.status_code, taken["topic_name"]) == (207, "transactions")
    assert refused["error"]["type"] == "urn:herald:problem:body-too-large"


async def test_an_error_within_a_time_limit_keeps_nothing_that_was_at_hand() -> None:
    left: list[weakref.ref[BodyRoom]] = []

    async def fail() -> None:
        at_hand = BodyRoom(1)
        left.append(weakref.ref(at_hand))
        raise ValueError

    with without_collector(), suppress(ValueError):
        await within(FakeClock(), 1.0, fail())

    assert left[0]() is None


@contextmanager
def without_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
