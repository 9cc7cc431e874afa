"""A consumer that is measured: `python -m benchmarks.consumer JOB LINK`, the job as JSON.

It is the process that `herald run` starts for the email group, with its health, metrics, log file, topics,
ledger and dead letters; only what a mail server would take is counted here instead. LINK is the open file
by which its supervisor learns that it is ready. It ends at SIGTERM, which it sends itself once it has
delivered enough, and prints the result.
"""

import asyncio
import gc
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from itertools import chain
from typing import Any

from dependency_injector import providers

from adapters.email_address import address_fault
from adapters.message_json import decode_record
from application.notify_email import NotifyByEmail
from benchmarks.fill import fill
from benchmarks.processes import peak_memory_mb
from benchmarks.site import GROUP, Site
from containers import Container
from domain.message import Message
from domain.outcome import Delivered, Outcome
from entrypoints.run_consumer import run_consumer
from entrypoints.settings import Loaded

_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`site.log`: none for the floor; one in memory is filled first.

    `count`: how many deliveries end it; 0: none do. `answer_seconds`: how long a delivery takes. `marks`:
    after how many deliveries the time and the CPU are taken. `samples`: they are taken all the time.
    `ages`: messages carry in `transaction_id` since when they are due (the machine's monotonic clock), or
    nothing, and then are not counted.
    """

    site: Site
    count: int
    answer_seconds: float = 0.0
    marks: tuple[int, ...] = ()
    samples: bool = False
    ages: bool = False


class Meter(NotifyByEmail):
    """The email channel up to the mail server, whose place it takes."""

    def __init__(self, job: Job, container: Container) -> None:
        super().__init__(
            container.email_sender(), container.templates(), "example.com", container.clock(), address_fault
        )
        self._count = job.count
        self._seconds = job.answer_seconds
        self._marks_at = frozenset(job.marks)
        self._takes_ages = job.ages
        self._samples = job.samples
        self._sampling: asyncio.Task[None] | None = None
        self._delivered = 0
        self.marks: list[tuple[int, float, float]] = []
        self.ages: list[tuple[float, float]] = []

    async def deliver(self, message: Message | None, *, probe: bool = False) -> Outcome:  # noqa: ARG002
        if self._seconds:
            await asyncio.sleep(self._seconds)
        if self._samples and self._sampling is None:
            self._sampling = asyncio.create_task(self._mark_regularly())
        if self._takes_ages and not self._note_age(message):
            return Delivered()
        self._delivered += 1
        if self._delivered in self._marks_at:
            self.mark()
        if self._delivered == self._count:
            os.kill(os.getpid(), signal.SIGTERM)
        return Delivered()

    def _note_age(self, message: Message | None) -> bool:
        due = message.transaction_id if message else None
        if due is None:
            return False
        self.ages.append((float(due), time.monotonic() - float(due)))
        return True

    def mark(self) -> None:
        self.marks.append((self._delivered, time.monotonic(), time.process_time()))

    async def _mark_regularly(self) -> None:
        while True:
            self.mark()
            await asyncio.sleep(_SAMPLE_SECONDS)


def _herald(job: Job, container: Container, meter: Meter, link: int) -> int:
    # Functions, because what a container is given as an object it copies.
    Container.channel.override(providers.Callable(lambda: meter))
    if job.site.log == "memory":
        asyncio.run(fill(container, job.site.topic, job.count))
        broker = container.memory_broker()
        Container.memory_broker.override(providers.Callable(lambda: broker))
        _put_out_of_sight()
    return run_consumer(Loaded(job.site.settings(), {}), GROUP, supervised_by=link)


def _put_out_of_sight() -> None:
    """What lies in memory before the start is no part of a consumer; the collector must not walk it."""
    gc.collect()
    gc.freeze()


async def _floor(job: Job, container: Container, meter: Meter) -> int:
    """Without an engine: at once, one task decodes and delivers; slowly, as many tasks only wait."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if job.answer_seconds:
        turns = iter(range(job.count))
        await asyncio.gather(*(_wait_in_turn(meter, turns) for _ in range(job.site.concurrency)))
        return 0
    await fill(container, job.site.topic, job.count)
    _put_out_of_sight()
    broker = container.memory_broker()
    shards = broker.shards(broker.topics)
    for record in chain.from_iterable(broker.read(shard, 0, job.count) for shard in shards):
        message = decode_record(record)
        assert isinstance(message, Message)
        await meter.deliver(message)
    return 0


async def _wait_in_turn(meter: Meter, turns: Any) -> None:
    for _ in turns:
        await meter.deliver(None)


def _result(meter: Meter) -> dict[str, Any]:
    return {"marks": meter.marks, "ages": meter.ages, "peak_mb": peak_memory_mb(os.getpid())}


def _job(text: str) -> Job:
    fields = json.loads(text)
    return Job(**{**fields, "site": Site(**fields["site"]), "marks": tuple(fields["marks"])})


if __name__ == "__main__":
    job = _job(sys.argv[1])
    is_floor = job.site.log == "none"
    container = Site(log="memory", topic=job.site.topic).container() if is_floor else job.site.container()
    meter = Meter(job, container)
    failed = (
        asyncio.run(_floor(job, container, meter))
        if is_floor
        else _herald(job, container, meter, int(sys.argv[2]))
    )
    print(json.dumps(_result(meter)))
    sys.exit(failed)
