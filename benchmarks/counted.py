"""Fixed work whose instructions are counted: `python -m benchmarks.counted WORK COUNT PREPARED [traced]`.

All in one process, without sockets, disk or real time, so that the same code counts the same. Of PREPARED
messages COUNT are worked on: what two runs of different COUNT do before is alike. Prints how many of
Python's memory blocks the work has left and, `traced`, how many bytes it had at most.
"""

import asyncio
import gc
import json
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Self

from dependency_injector import providers

from adapters.message_json import encode
from adapters.smtp_message import Mailbox, build
from benchmarks.counting_clock import CountingClock
from benchmarks.messages import BATCH, RECURRING_KEYS, TOPIC, bodies, messages
from benchmarks.server import api_container, api_parts
from benchmarks.site import GROUP
from containers import Container
from domain.log import NewRecord, Shard
from domain.message import Message
from domain.outcome import Delivered, Outcome
from domain.ports import Mail
from entrypoints.http_api import BATCH as BATCH_PATH
from entrypoints.http_api import PRODUCE, create_app
from entrypoints.settings_model import Settings

Work = Callable[[int], Awaitable[None]]
"""Works on so many messages."""


async def _one(prepared: int) -> Work:
    return await _requests(PRODUCE, "application/json", list(islice(bodies(RECURRING_KEYS), prepared)), 1)


async def _batch(prepared: int) -> Work:
    lines = bodies(RECURRING_KEYS)
    given = [b"\n".join(islice(lines, BATCH)) for _ in range(prepared // BATCH)]
    return await _requests(BATCH_PATH, "application/x-ndjson", given, BATCH)


async def _requests(path: str, kind: str, given: Sequence[bytes], size: int) -> Work:
    """Requests as uvicorn hands them on, to the API before a log that only counts."""
    app = create_app(api_parts(api_container()))

    async def send(event: Mapping[str, Any]) -> None:
        assert event.get("status", 202) == 202

    async def post(body: bytes) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        headers = [(b"host", b"herald"), (b"content-type", kind.encode())]
        length = (b"content-length", b"%d" % len(body))
        scope = {"type": "http", "method": "POST", "path": path, "headers": [*headers, length]}
        await app({**scope, "query_string": b"", "raw_path": path.encode()}, receive, send)

    async def work(count: int) -> None:
        for body in given[: count // size]:
            await post(body)

    return work


class _Channel:
    """Sends nothing and says so at once; that is when time passes."""

    group = GROUP

    def __init__(self, clock: CountingClock) -> None:
        self._clock = clock
        self.delivered = 0

    def is_for(self, message: Message) -> bool:
        return message.email is not None

    def fault(self, _message: Message) -> None:
        return None

    async def deliver(self, _message: Message, *, probe: bool) -> Outcome:  # noqa: ARG002
        self.delivered += 1
        self._clock.pass_time(_SECONDS_A_MESSAGE)
        return Delivered()


_SECONDS_A_MESSAGE = 1 / 5_000
_SECONDS_A_TURN = 1 / 100_000


async def _engine(prepared: int) -> Work:
    """From the log in memory to its ledger and the commit, on a clock that the work itself moves."""
    clock = CountingClock()
    channel = _Channel(clock)
    container = Container(settings=Settings.model_validate({"broker": {"backend": "memory"}}), group=GROUP)
    container.clock.override(providers.Object(clock))
    container.channel.override(providers.Object(channel))
    async with container.topic_catalog():
        await container.apply_topics()()
    records = _records(container, prepared)

    async def work(count: int) -> None:
        await container.publisher().publish(records[:count])
        stop = asyncio.Event()
        async with container.message_log(), container.ledger(), container.dead_letters():
            running = asyncio.create_task(container.engine().run(stop))
            while not running.done():
                clock.pass_time(_SECONDS_A_TURN)
                if channel.delivered == count:
                    stop.set()
                await asyncio.sleep(0)
            await running

    return work


def _records(container: Container, prepared: int) -> list[NewRecord]:
    partitions = next(topic.partitions for topic in container.topics() if topic.name == TOPIC)
    return [
        NewRecord(Shard(TOPIC, number % partitions), (message.key or "").encode(), encode(message))
        for number, message in enumerate(messages(prepared))
    ]


class _Renderer:
    """The email sender up to the bytes that would be sent."""

    def __init__(self) -> None:
        self._sender = Mailbox.parse("Herald <herald@example.com>")

    async def send(self, mail: Mail, *, fresh: bool = False) -> Outcome:  # noqa: ARG002
        assert build(mail, self._sender, mail.to, eight_bit=True)
        return Delivered()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


async def _mail(prepared: int) -> Work:
    """From a message to a mail's bytes."""
    container = Container(settings=Settings(), group="email")
    container.email_sender.override(providers.Object(_Renderer()))
    channel = container.channel()
    given = messages(prepared)

    async def work(count: int) -> None:
        for message in given[:count]:
            await channel.deliver(message, probe=False)

    return work


WORKS: Mapping[str, Callable[[int], Awaitable[Work]]] = {
    "one": _one,
    "batch": _batch,
    "engine": _engine,
    "mail": _mail,
}


async def _run(name: str, count: int, prepared: int, *, traced: bool) -> dict[str, int]:
    work = await WORKS[name](prepared)
    gc.collect()
    gc.freeze()  # so that a collection walks what the work made, and not all that was there before
    if traced:
        tracemalloc.start()
    before = sys.getallocatedblocks()
    await work(count)
    return {"kept": sys.getallocatedblocks() - before, "peak": tracemalloc.get_traced_memory()[1]}


if __name__ == "__main__":
    name, count, prepared, *traced = sys.argv[1:]
    print(json.dumps(asyncio.run(_run(name, int(count), int(prepared), traced=bool(traced)))))
