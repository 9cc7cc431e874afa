"""One process at the SQLite log, for tests that need real ones: `python sqlite_process.py ACT PATH ...`.

publish SECONDS      eight callers publish all the time; prints what was confirmed and why anything was not
reopen SECONDS       opens the log, publishes one record and closes it, again and again; prints the same
read GROUP           reads and commits until it has as many records as standard input says; prints the counts
follow GROUP         prints "assigned" when it becomes the group's active process, then works on
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from adapters.sqlite_group import SqliteGroupFile  # noqa: E402 - the path comes first
from adapters.sqlite_log import SqliteLog  # noqa: E402
from adapters.sqlite_publisher import SqlitePublisher  # noqa: E402
from adapters.sqlite_topics import SqliteTopicCatalog  # noqa: E402
from domain.log import (  # noqa: E402
    Assigned,
    Fetched,
    NewRecord,
    Overtaken,
    Position,
    Receipt,
    Shard,
    Unconfirmed,
)
from domain.topic import TopicPlan  # noqa: E402

TOPIC = "transactions"
SHARDS = [Shard(TOPIC, partition) for partition in range(3)]
PLAN = TopicPlan(name=TOPIC, partitions=len(SHARDS), replication_factor=1, retention_ms=86_400_000)


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def make_topic(path: Path) -> None:
    async with SqliteTopicCatalog(path) as catalog:
        await catalog.create([PLAN])


class Tally:
    """What became of a process's records."""

    def __init__(self) -> None:
        self.receipts = 0
        self.reasons: Counter[str] = Counter()
        self.slowest = 0.0

    async def publish(self, publisher: SqlitePublisher) -> None:
        shard = SHARDS[self.receipts % len(SHARDS)]
        begun = monotonic()
        self.count(await publisher.publish([NewRecord(shard, b"key", b"x" * 300)]))
        self.slowest = max(self.slowest, monotonic() - begun)

    def count(self, answers: Sequence[Receipt | Unconfirmed]) -> None:
        for answer in answers:
            if isinstance(answer, Unconfirmed):
                self.reasons[answer.reason] += 1
            else:
                self.receipts += 1

    def tell(self) -> None:
        say(json.dumps({"receipts": self.receipts, "reasons": self.reasons, "slowest": self.slowest}))


async def publish(path: Path, seconds: str) -> None:
    tally = Tally()
    end = monotonic() + float(seconds)

    async def caller() -> None:
        while monotonic() < end:
            await tally.publish(publisher)

    async with SqlitePublisher(path, 8) as publisher:
        await asyncio.gather(*(caller() for _ in range(8)))
    tally.tell()


async def reopen(path: Path, seconds: str) -> None:
    tally = Tally()
    end = monotonic() + float(seconds)
    while monotonic() < end:
        async with SqlitePublisher(path, 8) as publisher:
            await tally.publish(publisher)
    tally.tell()


async def read(path: Path, group: str) -> None:
    total = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    count = overtaken = 0
    async with SqliteLog(SqliteGroupFile(path, group), [TOPIC]) as log:
        while not total.done() or count < int(total.result()):
            event = await log.next_event(frozenset(SHARDS), 500, 0.1)
            await begin(log, event)
            if isinstance(event, Fetched):
                count += len(event.records)
                await log.commit({one.shard: Position(one.offset + 1) for one in event.records})
            overtaken += isinstance(event, Overtaken)
    say(json.dumps({"read": count, "overtaken": overtaken}))


async def begin(log: SqliteLog, event: object) -> None:
    if isinstance(event, Assigned):
        for shard in event.shards:
            position = await log.committed(shard)
            log.begin(shard, position.offset if position else 0)


async def follow(path: Path, group: str) -> None:
    async with SqliteLog(SqliteGroupFile(path, group), [TOPIC]) as log:
        say("started")
        while True:
            event = await log.next_event(frozenset(SHARDS), 500, 1)
            await begin(log, event)
            if isinstance(event, Assigned):
                say("assigned")


ACTS: dict[str, Callable[..., Awaitable[None]]] = {
    "publish": publish,
    "reopen": reopen,
    "read": read,
    "follow": follow,
}


async def main(act: str, path: Path, *arguments: str) -> None:
    await make_topic(path)
    await ACTS[act](path, *arguments)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
