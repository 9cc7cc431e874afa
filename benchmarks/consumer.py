"""A consumer that is measured: `python -m benchmarks.consumer JOB`, the job as JSON.

Counted is from the first thousand deliveries to the last thousand: neither the start nor the end, where
not everything is in flight, is in the figures. CPU is the whole process's: threads, poll loop and commits.
"""

import asyncio
import gc
import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from dependency_injector import providers

from adapters.message_json import decode_record
from benchmarks.messages import BATCH, TOPIC, messages
from benchmarks.processes import pin
from containers import Container
from domain.message import Message
from domain.outcome import Delivered, Outcome
from entrypoints.settings_model import Settings

EDGE = 1_000
GROUP = "email"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`log`: sqlite, kafka, memory, or none for the floor. `answer_seconds`: how long a delivery takes.

    `fills`: writes the messages first, which a log in memory needs each time, and so does a topic whose group
    has noted what it delivered; `delivers`: then delivers.
    """

    log: str
    count: int
    answer_seconds: float = 0.0
    concurrency: int = 64
    folder: str = ""
    kafka: str = ""
    topic: str = f"{TOPIC}-to-consume"  # not the one that the produce sections have filled
    fills: bool = False
    delivers: bool = True
    cores: tuple[int, ...] = ()


class Meter:
    """The channel: answers at once or after a while, and takes the time at both edges."""

    group = GROUP

    def __init__(self, job: Job) -> None:
        self._count = job.count
        self._seconds = job.answer_seconds
        self._delivered = 0
        self._marks: list[tuple[float, float]] = []
        self.done = asyncio.Event()

    def is_for(self, message: Message) -> bool:
        return message.email is not None

    def fault(self, _message: Message) -> None:
        return None

    async def deliver(self, _message: Message | None, *, probe: bool = False) -> Outcome:  # noqa: ARG002
        if self._seconds:
            await asyncio.sleep(self._seconds)
        self._delivered += 1
        if self._delivered in {EDGE, self._count - EDGE}:
            self._marks.append((time.perf_counter(), time.process_time()))
        if self._delivered == self._count:
            self.done.set()
        return Delivered()

    def result(self) -> dict[str, float]:
        (began, cpu_began), (ended, cpu_ended) = self._marks
        return {
            "messages": self._count - 2 * EDGE,
            "seconds": ended - began,
            "cpu": cpu_ended - cpu_began,
        }


def _container(job: Job, meter: Meter) -> Container:
    settings = {
        "broker": {"backend": "memory" if job.log == "none" else job.log},
        "sqlite": {"path": str(Path(job.folder) / "consume.db")},
        "kafka": {"bootstrap_servers": job.kafka, "group_prefix": f"{job.topic}-"} if job.kafka else {},
        "delivery": {"concurrency": job.concurrency},
        "topics": [{"name": job.topic, "groups": [GROUP]}],
    }
    container = Container(settings=Settings.model_validate(settings), group=GROUP)
    container.channel.override(providers.Object(meter))
    return container


async def _fill(container: Container, count: int) -> None:
    async with container.topic_catalog():
        await container.apply_topics()()
    topic = container.topics()[0].name
    async with container.publisher() as publisher:
        while await publisher.unready():  # noqa: ASYNC110 - the port has no event for it
            await asyncio.sleep(0.05)
        items = [(message._replace(topic_name=topic), None) for message in messages(count)]
        for start in range(0, count, BATCH):
            await container.produce().many(items[start : start + BATCH])


async def _deliver(container: Container, meter: Meter) -> None:
    stop = asyncio.Event()
    async with container.message_log(), container.ledger(), container.dead_letters():
        running = asyncio.create_task(container.engine().run(stop))
        done = asyncio.create_task(meter.done.wait())
        await asyncio.wait({running, done}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await running


async def _floor(container: Container, meter: Meter, job: Job) -> None:
    """Without an engine: at once, one task decodes and delivers; slowly, as many tasks only wait."""
    if job.answer_seconds:
        turns = iter(range(job.count))
        await asyncio.gather(*(_wait_in_turn(meter, turns) for _ in range(job.concurrency)))
        return
    broker = container.memory_broker()
    shards = broker.shards(broker.topics)
    for record in chain.from_iterable(broker.read(shard, 0, job.count) for shard in shards):
        message = decode_record(record)
        assert isinstance(message, Message)
        await meter.deliver(message)


async def _wait_in_turn(meter: Meter, turns: Iterator[int]) -> None:
    for _ in turns:
        await meter.deliver(None)


async def _run(job: Job) -> dict[str, float]:
    meter = Meter(job)
    container = _container(job, meter)
    if job.fills:
        await _fill(container, job.count)
    if not job.delivers:
        return {}
    # What lies in memory before the start is no part of a consumer; the collector must not walk it.
    gc.collect()
    gc.freeze()
    if job.log == "none":
        await _floor(container, meter, job)
    else:
        await _deliver(container, meter)
    return meter.result()


if __name__ == "__main__":
    # A new broker's first group has to wait for its coordinator, and aiokafka calls that an error.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.CRITICAL)
    job = Job(**json.loads(sys.argv[1]))
    pin(set(job.cores))
    print(json.dumps(asyncio.run(_run(job))))
