"""The drill's callers against an API of the test's own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from domain.errors import HeraldError
from entrypoints.drill_load import KEYS, Load, Pace, recipients
from entrypoints.http_port import HttpPort
from entrypoints.listening import listen_on, port_of
from entrypoints.plain_http import Answer, Request, asgi_app, json_answer

Status = Callable[[int], int]


class Api:
    """Answers its n-th message with the status that `status` gives, and batches in turn as `batches` says."""

    def __init__(self, status: Status) -> None:
        self.bodies: list[Any] = []
        self.promised: list[tuple[str, str | None]] = []
        self.enough = asyncio.Event()
        self.wanted = 0
        self.batches = [202]
        self._status = status

    async def handle(self, request: Request) -> Answer:
        body = json.loads(await request.body(1_000_000))
        is_batch = isinstance(body, list)
        status = self.batches.pop(0) if is_batch else self._status(len(self.bodies))
        self.bodies.append(body)
        if status == 503:
            return Answer(status=503, headers=(("Retry-After", "0"),))
        if is_batch:
            return json_answer({"results": [self._result(one, status) for one in body]}, status)
        return json_answer({"request_id": body["request_id"]}, status)

    def _result(self, message: Any, status: int) -> dict[str, Any]:
        failed = status == 207 and int(message["request_id"][1:]) % 2
        return {"error": {"status": 503}} if failed else {"request_id": message["request_id"]}

    def note(self, request_id: str, key: str | None) -> None:
        self.promised.append((request_id, key))
        if len(self.promised) >= self.wanted:
            self.enough.set()

    async def promises(self, count: int) -> None:
        self.wanted = count
        self.enough.clear()
        await self.enough.wait()


@asynccontextmanager
async def loading(status: Status, per_second: float = 2000.0) -> AsyncIterator[tuple[Api, Load]]:
    api = Api(status)
    port = HttpPort(asgi_app(api.handle), abort_seconds=0.05)
    sock = listen_on("127.0.0.1", 0, "none")
    await port.open(sock)
    try:
        url = f"http://127.0.0.1:{port_of(sock)}"
        async with Load(url, "drill", per_second, api.note, Random(1)) as load:
            yield api, load
    finally:
        await port.close()


def of_key(api: Api, key: str) -> list[str]:
    return [
        body["request_id"] for body in api.bodies if not isinstance(body, list) and body.get("key") == key
    ]


async def test_messages_with_every_key_and_without_one_are_sent_and_each_202_is_told() -> None:
    async with loading(lambda _: 202) as (api, load):
        await api.promises(200)
        await load.stop()

    assert {key for _, key in api.promised} == {f"key-{n}" for n in range(KEYS)} | {None}
    assert [one for one, _ in api.promised] == list(dict.fromkeys(one for one, _ in api.promised))


async def test_what_has_no_202_is_sent_again_with_the_same_id_before_the_next_of_its_key() -> None:
    async with loading(lambda number: 503 if number % 3 else 202) as (api, load):
        await api.promises(40)
        await load.stop()

    sent = of_key(api, "key-3")
    told = [request_id for request_id, key in api.promised if key == "key-3"]
    assert list(dict.fromkeys(sent)) == told
    assert sent == sorted(sent, key=told.index)
    assert load.refused == len(api.bodies) - len(api.promised)


async def test_a_stop_leaves_no_message_without_its_202() -> None:
    async with loading(lambda number: 503 if number < 60 else 202) as (api, load):
        await api.promises(1)
        await load.stop()

    assert {body["request_id"] for body in api.bodies} == {request_id for request_id, _ in api.promised}


async def test_of_a_burst_what_was_not_confirmed_is_sent_again_alone() -> None:
    async with loading(lambda _: 202, per_second=0.001) as (api, load):
        api.batches = [503, 207, 202]
        await load.burst(10)

    batches = [{message["request_id"] for message in body} for body in api.bodies if isinstance(body, list)]
    odd = {request_id for request_id in batches[1] if int(request_id[1:]) % 2}
    assert (batches[0], batches[2]) == (batches[1], odd)
    assert len(batches[0]) == 10
    assert batches[0] <= {request_id for request_id, _ in api.promised}


async def test_a_burst_has_keys_of_its_own_whose_order_stays_when_parts_are_sent_again() -> None:
    async with loading(lambda _: 202, per_second=0.001) as (api, load):
        api.batches = [503, 202]
        keys = load.new_keys(2)
        await load.burst(10, keys, 3)

    [batch, again] = [body for body in api.bodies if isinstance(body, list)]
    told = [one for one in api.promised if one[1] in keys]
    assert keys == [f"key-{KEYS}", f"key-{KEYS + 1}"]
    assert [message.get("key") for message in batch] == keys * 3 + [None] * 4
    assert again == batch
    assert told == [(message["request_id"], message["key"]) for message in batch[:6]]


async def test_another_answer_to_a_right_message_ends_the_drill() -> None:
    async with loading(lambda _: 400) as (_, load):
        await asyncio.wait(load._callers, return_when=asyncio.FIRST_EXCEPTION)
        with pytest.raises(HeraldError, match="the API answered 400 to a right message"):
            load.check()


async def test_an_api_that_is_not_there_is_asked_again() -> None:
    async with Load("http://127.0.0.1:1", "drill", 1000.0, lambda *_: None, Random(1)) as load:
        while not load.refused:  # noqa: ASYNC110 - counted by the load, which tells nobody
            await asyncio.sleep(0)

    assert load.refused > 0


async def test_turns_are_as_far_apart_as_asked_and_farther_when_it_is_slowed_down() -> None:
    loop, pace = asyncio.get_running_loop(), Pace(1000.0)
    pace.slowness = 20.0
    begun = loop.time()
    for _ in range(3):
        await pace.turn()

    assert loop.time() - begun >= 0.04


def test_recipients_of_a_key_are_those_of_its_messages() -> None:
    assert recipients("email", ["key-3"]) == {"key-3@drill.example.com"}
    assert recipients("sms", ["key-3"]) == {"+15550000003"}
