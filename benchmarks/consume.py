"""Messages delivered: Herald's consumer behind a provider that answers at once, and behind one of 5 ms.

Everybody takes the same records: an ordinary notification under 1,000 recurring keys, in 6 partitions,
already in the log. Everybody decodes them, and has 64 in flight. Counted is from the first thousand
deliveries to the last thousand: neither start nor end, where not all are in flight, is in the figures.
"""

import json
from collections.abc import Callable
from functools import cache, partial

from benchmarks.bench import Bench
from benchmarks.builds import PEERS, java_peer, python_peer
from benchmarks.consumer import Job
from benchmarks.deliveries import (
    between,
    fill_topic,
    forget_deliveries,
    run_consumer,
    run_measured,
    site_of,
)
from benchmarks.figures import CPU, RATE, Section, Take, Target, Turn, in_turns
from benchmarks.programs import program

MEMORY = "Herald's engine, log in memory"
SQLITE = "Herald on SQLite"
KAFKA = "Herald on Kafka"
FASTSTREAM = "FastStream, 64 workers, no order"
PARALLEL_CONSUMER = "Parallel Consumer (Java), order by key"
LOOP = "floor: decode and call, one loop"
SLEEPERS = "floor: 64 bare tasks that sleep"
_EDGE = 1_000
_AT_ONCE = 60_000  # it takes Java's compiler some seconds to warm up
_SLOW = 20_000
_SLOW_SECONDS = 0.005
_FASTSTREAM = 12_000  # it is slow, and no other from its first to its last


def consume(bench: Bench) -> list[Section]:
    """Two sections: at once, and in 5 ms."""
    at_once = [
        Target(KAFKA, CPU, must=40.0, aim=25.0),
        Target(KAFKA, CPU, beside=FASTSTREAM),
        Target(KAFKA, CPU, beside=PARALLEL_CONSUMER),
    ]
    slow = [
        Target(SQLITE, RATE, beside=SLEEPERS, must=0.85, aim=0.95),
        Target(KAFKA, RATE, beside=SLEEPERS, must=0.85, aim=0.95),
    ]
    return [
        _section(bench, "deliver at once", LOOP, _AT_ONCE, 0.0, at_once),
        _section(bench, "deliver in 5 ms, 64 in flight", SLEEPERS, _SLOW, _SLOW_SECONDS, slow),
    ]


def _section(
    bench: Bench, name: str, floor: str, count: int, seconds: float, targets: list[Target]
) -> Section:
    takes = {
        floor: _take_herald(bench, "none", count, seconds),
        MEMORY: _take_herald(bench, "memory", count // 2, seconds),
        SQLITE: _take_herald(bench, "sqlite", count // 2, seconds),
    }
    if bench.kafka:
        filled = cache(partial(_filled, bench, f"{count}-of-turn", count))
        takes |= {KAFKA: _take_herald(bench, "kafka", count, seconds, filled)}
        takes |= _takes_of_peers(bench, count, seconds, filled)
    rounds = (bench.rounds + 1) // 2  # these turns take several seconds
    return Section(name, in_turns(takes, rounds, bench.note), targets)


def _filled(bench: Bench, name: str, count: int, number: int) -> str:
    """The round's topic on Kafka: one of its own, for Herald's group remembers what it has delivered."""
    topic = f"{name}-{number}"
    fill_topic(site_of(bench, "kafka", topic), count)
    return topic


def _take_herald(
    bench: Bench, log: str, count: int, seconds: float, topic_of: Callable[[int], str] | None = None
) -> Take:
    if log == "sqlite":
        fill_topic(site_of(bench, log, f"{count}-on-{log}"), count)

    def take(number: int) -> Turn:
        site = site_of(bench, log, topic_of(number) if topic_of else f"{count}-on-{log}")
        if log == "sqlite":
            forget_deliveries(site)
        marks = (_EDGE, count - _EDGE)
        job = Job(site=site, count=count, answer_seconds=seconds, marks=marks)
        return between(*run_consumer(bench, job)["marks"])

    return take


def _takes_of_peers(
    bench: Bench, count: int, seconds: float, topic_of: Callable[[int], str]
) -> dict[str, Take]:
    takes = {}
    if python := python_peer("faststream"):
        command = [str(python), str(PEERS / "faststream")]
        takes[FASTSTREAM] = _take_peer(
            bench, "faststream", command, min(count, _FASTSTREAM), seconds, topic_of
        )
    if class_path := java_peer("parallel_consumer"):
        command = [program("java") or "java", "-cp", class_path, "Consumer"]
        takes[PARALLEL_CONSUMER] = _take_peer(bench, "parallel", command, count, seconds, topic_of)
    return takes


def _take_peer(
    bench: Bench, name: str, command: list[str], count: int, seconds: float, topic_of: Callable[[int], str]
) -> Take:
    def take(number: int) -> Turn:
        topic = topic_of(number)
        job = {"kafka": bench.kafka, "topic": topic, "group": f"{topic}-{name}", "count": count}
        answer = run_measured(bench, [*command, json.dumps({**job, "answer_seconds": seconds})])
        return Turn.counted(answer["messages"], answer["seconds"], answer["cpu"])

    return take
