"""One message a request, 64 connections: Herald as its user runs it, beside its floor and its peers."""

from itertools import islice
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import CPU, RATE, Section, Take, Target, Turn, in_turns
from benchmarks.messages import RECURRING_KEYS, TOPIC, bodies
from benchmarks.producers import (
    COUNTING,
    FASTAPI,
    FLOOR,
    GIN,
    KAFKA,
    ROUTE,
    SQLITE,
    Running,
    Start,
    fastapi,
    floor,
    gin,
    herald,
    herald_on_kafka,
    in_process,
    serving,
)
from benchmarks.programs import ensure
from benchmarks.wrk import load

CONNECTIONS = 64
_WARM_UP_SECONDS = 1.0
TARGETS = (
    Target(KAFKA, CPU, must=0.28, beside=FASTAPI),
    Target(KAFKA, CPU, must=1.3, aim=1.0, beside=GIN),
    Target(KAFKA, CPU, must=2.3, aim=1.8, beside=FLOOR),
    Target(SQLITE, RATE, must=0.8, aim=1.0, beside=KAFKA),
)


def produce(bench: Bench) -> list[Section]:
    """wrk sends, the server has a core of its own, what is counted are 202s."""
    if not ensure("wrk"):
        return []
    with serving(bench, _starts(bench)) as servers:
        takes = {name: requests(server, bench) for name, server in servers.items()}
        for take in takes.values():
            take(0)
        return [Section("produce", in_turns(takes, bench.rounds, bench.note), TARGETS)]


def _starts(bench: Bench) -> dict[str, Start]:
    starts: dict[str, Start] = {
        FLOOR: lambda: floor(bench),
        COUNTING: lambda: in_process("hot"),
        ROUTE: lambda: in_process("route"),
        SQLITE: lambda: herald(bench, "sqlite", {}),
    }
    if bench.kafka:
        starts |= {
            KAFKA: lambda: herald_on_kafka(bench, "kafka"),
            FASTAPI: lambda: fastapi(bench),
            GIN: lambda: gin(bench),
        }
    return starts


def requests(server: Running, bench: Bench, *, topic: str = TOPIC, lead_seconds: float = 0.0) -> Take:
    """A turn at 64 connections; CPU is read before the first request and after the last answer.

    `lead_seconds`: so long requests are sent before, unmeasured, until what follows them is in full swing.
    """
    file = _bodies(bench.folder, topic)

    def take(number: int) -> Turn:
        seconds = bench.seconds if number else _WARM_UP_SECONDS
        if lead_seconds:
            load(server.port, file, CONNECTIONS, lead_seconds)
        before = server.cpu
        done = load(server.port, file, CONNECTIONS, seconds)
        after = server.cpu
        cpu = None if before is None or after is None else after - before
        return Turn.counted(done.messages, done.seconds, cpu, done.busy)

    return take


def _bodies(folder: Path, topic: str) -> Path:
    """As many bodies as keys recur."""
    file = folder / f"{topic}.ndjson"
    if not file.exists():
        file.write_bytes(b"\n".join(islice(bodies(RECURRING_KEYS, topic), RECURRING_KEYS)))
    return file
