"""A consumer whose channel takes nothing, and how much memory it has held: `python -m benchmarks.held`.

`fill SITE KIND COUNT` writes large records, `run SITE HANGS SECONDS` reads them; the site is JSON.
"""

import asyncio
import contextlib
import json
import os
import sys
from typing import Any

from aiokafka import AIOKafkaProducer
from dependency_injector import providers

from adapters.email_address import address_fault
from application.notify_email import NotifyByEmail
from benchmarks.processes import peak_memory_mb
from benchmarks.site import GROUP, Site
from containers import Container
from domain.message import Message
from domain.outcome import ChannelDown, Outcome
from entrypoints.child_process import ParentLink
from entrypoints.logs import configure_logging
from entrypoints.run_consumer import serve_consumer

LARGEST_BODY = 10_000
LARGEST_RECORD = 900_000  # of what a topic takes with its defaults, 1 MiB
_STDOUT = 1


class TakesNothing(NotifyByEmail):
    """Hangs with each message, or says each time that it is down."""

    def __init__(self, container: Container, *, hangs: bool) -> None:
        super().__init__(
            container.email_sender(), container.templates(), "example.com", container.clock(), address_fault
        )
        self._hangs = hangs

    async def deliver(self, _message: Message | None, *, probe: bool = False) -> Outcome:  # noqa: ARG002
        if self._hangs:
            await asyncio.Event().wait()
        return ChannelDown("it is down")


def record(kind: str, number: int) -> dict[str, Any]:
    """`bodies`: the largest that the API takes; others' `values` and `headers` as large as a topic takes."""
    fields = {"request_id": f"r-{number}", "email": f"customer-{number}@example.com", "message_body": "x"}
    headers: list[tuple[str, bytes]] = []
    if kind == "bodies":
        fields["message_body"] = "x" * LARGEST_BODY
    elif kind == "values":
        fields["other"] = "x" * LARGEST_RECORD
    else:
        headers = [("stack-trace", b"x" * LARGEST_RECORD)]
    return {"key": b"k-%d" % number, "value": json.dumps(fields).encode(), "headers": headers}


async def fill(site: Site, kind: str, count: int) -> None:
    container = site.container()
    async with container.topic_catalog():
        await container.apply_topics()()
    async with AIOKafkaProducer(bootstrap_servers=site.kafka, max_request_size=1 << 20) as producer:
        for start in range(0, count, 50):
            sent = [await producer.send(site.topic, **record(kind, n)) for n in range(start, start + 50)]
            await asyncio.gather(*sent)


async def run(site: Site, *, hangs: bool, seconds: float) -> None:
    container = site.container()
    container.channel.override(providers.Object(TakesNothing(container, hangs=hangs)))
    with contextlib.closing(configure_logging(container.settings().logging, f"consumer-{GROUP}")):
        running = asyncio.create_task(serve_consumer(container, GROUP, ParentLink(_STDOUT)))
        await asyncio.wait({running}, timeout=seconds)
        states = list(container.engine().shards)
        held = {
            "held": sum(len(state.held) for state in states),
            "held_mb": sum(state.held_bytes for state in states) / 1e6,
        }
        print(json.dumps({**held, "peak_mb": peak_memory_mb(os.getpid())}), flush=True)
        os._exit(0)  # what hangs would be waited for


if __name__ == "__main__":
    what, text, *more = sys.argv[1:]
    site = Site(**json.loads(text))
    if what == "fill":
        asyncio.run(fill(site, more[0], int(more[1])))
        print("{}")
    else:
        asyncio.run(run(site, hangs=more[0] == "hangs", seconds=float(more[1])))
