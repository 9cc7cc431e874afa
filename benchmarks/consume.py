"""Messages delivered: the engine behind a channel that answers at once, and behind a slow one."""

import json
from dataclasses import asdict, replace

from benchmarks.bench import Bench
from benchmarks.consumer import GROUP, Job
from benchmarks.figures import Section, Take, Turn, in_turns
from benchmarks.processes import run_module

CONSUMERS = {
    "floor": "none",
    "engine, log in memory": "memory",
    "engine on SQLite": "sqlite",
    "engine on Kafka": "kafka",
}
_AT_ONCE = 30_000
_SLOW = 10_000
_SLOW_SECONDS = 0.005


def consume(bench: Bench) -> list[Section]:
    """The engine behind a channel that answers at once, and behind one that takes 5 ms."""
    run_module("consumer", _text(_job(bench, "sqlite", count=_AT_ONCE, fills=True, delivers=False)))
    return [
        _consume(bench, "deliver at once", "decode and call, one loop", _AT_ONCE, 0.0),
        _consume(bench, "deliver in 5 ms, 64 at once", "64 bare tasks that sleep", _SLOW, _SLOW_SECONDS),
    ]


def _consume(bench: Bench, name: str, floor: str, count: int, seconds: float) -> Section:
    takes = {
        f"floor: {floor}" if log == "none" else label: _deliveries(
            bench, _job(bench, log, count=count, answer_seconds=seconds, fills=log != "sqlite")
        )
        for label, log in CONSUMERS.items()
        if log != "kafka" or bench.kafka
    }
    return Section(name, in_turns(takes, bench.rounds, bench.note))


def _deliveries(bench: Bench, job: Job) -> Take:
    def take(number: int) -> Turn:
        # A group that knows nothing each time: without its file on SQLite, with a topic of its own on Kafka.
        for left in bench.folder.glob(f"consume.{GROUP}.*"):
            left.unlink()
        topic = f"turn-{number}-{job.answer_seconds}" if job.log == "kafka" else job.topic
        result = run_module("consumer", _text(replace(job, topic=topic)))
        return Turn.counted(result["messages"], result["seconds"], result["cpu"])

    return take


def _job(
    bench: Bench, log: str, *, count: int, fills: bool, answer_seconds: float = 0.0, delivers: bool = True
) -> Job:
    return Job(
        log=log,
        count=count,
        fills=fills,
        answer_seconds=answer_seconds,
        delivers=delivers,
        folder=str(bench.folder),
        kafka=bench.kafka,
        cores=tuple(bench.cores.measured),
    )


def _text(job: Job) -> str:
    return json.dumps({**asdict(job), "cores": sorted(job.cores)})
