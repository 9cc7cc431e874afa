"""The servers that are measured: `python -m benchmarks.server VARIANT FOLDER KAFKA`.

All run in Herald's own uvicorn (httptools, asyncio's loop) and print their port once they answer. They
end when stdin does.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from dependency_injector import providers

from containers import Container
from domain.log import NewRecord, Receipt
from entrypoints.api_keys import NoKeys
from entrypoints.api_server import ApiServer
from entrypoints.http_api import BATCH, ApiParts, create_app
from entrypoints.listening import listen_on, port_of
from entrypoints.metrics import render_produce_metrics
from entrypoints.settings_model import Settings

_HEADERS = [(b"content-type", b"application/json")]


class _Body(msgspec.Struct, gc=False):
    topic_name: str
    request_id: str | None = None
    message_body: str | None = None
    transaction_id: str | None = None
    customer_id: str | None = None
    email: str | None = None
    phone: str | None = None
    key: str | None = None
    partition: int | None = None
    expires_at: str | None = None


class _Answer(msgspec.Struct, gc=False):
    request_id: str
    topic_name: str
    partition: int
    offset: int


class _Batch(msgspec.Struct, gc=False):
    accepted: int
    rejected: int
    results: list[_Answer]


async def floor(scope: Any, receive: Any, send: Any) -> None:
    """What any server in Python has to do: read the body, decode it, encode an answer of the same form."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = b""
    while True:
        event = await receive()
        body += event["body"]
        if not event["more_body"]:
            break
    answer = _floor_batch(body) if scope["path"] == BATCH else _floor_one(body)
    headers = [*_HEADERS, (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


_decoder = msgspec.json.Decoder(_Body)
_encoder = msgspec.json.Encoder()
_ID = "01a205a2-c7b3-7470-98e9-9855c86a05a2"


def _floor_one(body: bytes) -> bytes:
    return _encoder.encode(_Answer(_ID, _decoder.decode(body).topic_name, 3, 42))


def _floor_batch(body: bytes) -> bytes:
    results = [_Answer(_ID, one.topic_name, 3, 42) for one in _decoder.decode_lines(body)]
    return _encoder.encode(_Batch(len(results), 0, results))


async def _lifespan(receive: Any, send: Any) -> None:
    for _ in range(2):
        event = await receive()
        await send({"type": f"{event['type']}.complete"})


class CountingPublisher:
    """A log that costs nothing: what is left is the way from the socket to the log and back."""

    def __init__(self) -> None:
        self._count = 0

    async def publish(self, records: Sequence[NewRecord]) -> Sequence[Receipt]:
        first = self._count
        self._count += len(records)
        return [Receipt(offset) for offset in range(first, self._count)]

    async def unready(self) -> None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def _container(variant: str, folder: Path, kafka: str) -> Container:
    backend = variant if variant in {"sqlite", "kafka"} else "memory"
    given = {
        "broker": {"backend": backend},
        "sqlite": {"path": str(folder / "produce.db")},
        "kafka": {"bootstrap_servers": kafka} if kafka else {},
    }
    container = Container(settings=Settings.model_validate(given))
    if backend == "memory":
        container.publisher.override(providers.Object(CountingPublisher()))
    return container


def _parts(container: Container) -> ApiParts:
    async def metrics() -> bytes:
        return render_produce_metrics(container.produce_counts(), "benchmark")

    async def no_topics() -> tuple[()]:
        return ()

    return ApiParts(
        decode=container.request_decoder(),
        produce=container.produce(),
        unready=container.publisher().unready,
        topics=[topic.name for topic in container.topics()],
        list_topics=no_topics,
        read_status=container.read_status(),
        read_lags=container.read_lags(),
        archive=container.dead_letter_archive(),
        render_metrics=metrics,
        lifespan=contextlib.nullcontext,
        keys=NoKeys(),
        counts=container.produce_counts(),
        clock=container.clock(),
        version="benchmark",
    )


async def _serve(app: Any) -> None:
    # Herald's own: of a socket without its protocol's number asyncio leaves Nagle's delay on.
    with listen_on("127.0.0.1", 0, "port") as listener:
        port = port_of(listener)
        await ApiServer(app, 1.0, lambda: print(port, flush=True)).serve(sockets=[listener])


async def _run(variant: str, folder: Path, kafka: str) -> None:
    if variant == "floor":
        await _serve(floor)
        return
    container = _container(variant, folder, kafka)
    async with container.topic_catalog():
        await container.apply_topics()()
    async with container.publisher() as publisher:
        while await publisher.unready():  # noqa: ASYNC110 - the port has no event for it
            await asyncio.sleep(0.05)
        await _serve(create_app(_parts(container), hot=variant != "plain"))


def _end_with_stdin() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    asyncio.run(_run(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
