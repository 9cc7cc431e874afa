"""What is measured: produce, batch, consume."""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.consumer import GROUP, Job
from benchmarks.figures import Section, Take, Turn, in_turns
from benchmarks.processes import Cores, Server, pin, run_module

_WARM_UP_SECONDS = 0.4
# More connections would only wait: a request of 500 messages keeps a server busy for milliseconds.
_BATCH_CONNECTIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One run. `kafka`: the broker's address, empty where there is none."""

    rounds: int
    seconds: float
    folder: Path
    kafka: str
    cores: Cores
    note: Callable[[str], None]


PRODUCERS = {
    "floor: ASGI + msgspec, no log": "floor",
    "Herald, log that only counts": "hot",
    "Herald, the same by Litestar's route": "plain",
    "Herald on SQLite, synchronous=FULL": "sqlite",
    "Herald on Kafka, acks=all": "kafka",
}


def produce(bench: Bench) -> list[Section]:
    """One message a request, 64 connections."""
    return [_produce(bench, "produce", "one", 64, PRODUCERS)]


def batch(bench: Bench) -> list[Section]:
    """500 messages a request, NDJSON."""
    without_route = {name: variant for name, variant in PRODUCERS.items() if variant != "plain"}
    return [_produce(bench, "batch", "batch", _BATCH_CONNECTIONS, without_route)]


def _produce(bench: Bench, name: str, kind: str, connections: int, variants: Mapping[str, str]) -> Section:
    with contextlib.ExitStack() as stack:
        pin(bench.cores.measured)  # the servers inherit it
        servers = {
            label: stack.enter_context(Server(variant, bench.folder, bench.kafka))
            for label, variant in variants.items()
            if variant != "kafka" or bench.kafka
        }
        pin(bench.cores.others)
        takes = {label: _requests(server, kind, connections, bench) for label, server in servers.items()}
        for take in takes.values():
            take(0)
        return Section(name, in_turns(takes, bench.rounds, bench.note))


def _requests(server: Server, kind: str, connections: int, bench: Bench) -> Take:
    def take(number: int) -> Turn:
        seconds = bench.seconds if number else _WARM_UP_SECONDS
        before = server.cpu
        load = run_module("load", str(server.port), kind, str(connections), str(seconds))
        after = server.cpu
        cpu = None if before is None or after is None else after - before
        return Turn(int(load["messages"]), load["seconds"], cpu, load["load"])

    return take


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
        return Turn(int(result["messages"]), result["seconds"], result["cpu"])

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


SECTIONS: Mapping[str, Callable[[Bench], list[Section]]] = {
    "produce": produce,
    "batch": batch,
    "consume": consume,
}
