"""Herald's API over a log that only counts: `python -m benchmarks.server hot|route`.

In Herald's own uvicorn, by the front door or by Litestar's route. Prints its port once it answers, and ends
when stdin does.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any, Self

from dependency_injector import providers

from containers import Container
from domain.log import NewRecord, Receipt
from entrypoints.api_keys import NoKeys
from entrypoints.api_server import ApiServer
from entrypoints.http_api import ApiParts, create_app
from entrypoints.listening import listen_on, port_of
from entrypoints.metrics import render_produce_metrics
from entrypoints.rare_collections import rare_collections
from entrypoints.settings_model import Settings


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


def api_container() -> Container:
    container = Container(settings=Settings.model_validate({"broker": {"backend": "memory"}}))
    container.publisher.override(providers.Object(CountingPublisher()))
    return container


def api_parts(container: Container) -> ApiParts:
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
        board=container.board(),
        log="memory",
        asyncapi={},
    )


async def _serve(app: Any) -> None:
    # Herald's own: of a socket without its protocol's number asyncio leaves Nagle's delay on.
    with listen_on("127.0.0.1", 0, "port") as listener:
        port = port_of(listener)
        with rare_collections():
            await ApiServer(app, 1.0, lambda: print(port, flush=True)).serve(sockets=[listener])


async def _run(variant: str) -> None:
    container = api_container()
    async with container.topic_catalog():
        await container.apply_topics()()
    await _serve(create_app(api_parts(container), hot=variant == "hot"))


def _end_with_stdin() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    asyncio.run(_run(sys.argv[1]))
