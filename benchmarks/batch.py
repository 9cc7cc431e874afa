"""Five hundred messages a request: as NDJSON to Herald, as a JSON list to the peer."""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.figures import CPU, Section, Take, Target, Turn, in_turns
from benchmarks.processes import run_module
from benchmarks.producers import (
    COUNTING,
    FASTAPI,
    FLOOR,
    KAFKA,
    SQLITE,
    Running,
    Start,
    fastapi,
    floor,
    herald,
    herald_on_kafka,
    in_process,
    serving,
)

# More would only wait: a request of 500 messages keeps a server busy for milliseconds.
_CONNECTIONS = 4
_WARM_UP_SECONDS = 0.5
_DISTINCT = f"{KAFKA}, each message a key of its own"
_TARGETS = (Target(KAFKA, CPU, must=10, aim=6), Target(KAFKA, CPU, beside=FASTAPI))


class _Row(NamedTuple):
    """`server`: the row whose server answers. `kind`: of the requests, see `benchmarks.load`."""

    server: str
    kind: str


_ROWS: Mapping[str, _Row] = {
    FLOOR: _Row(FLOOR, "ndjson"),
    COUNTING: _Row(COUNTING, "ndjson"),
    SQLITE: _Row(SQLITE, "ndjson"),
    KAFKA: _Row(KAFKA, "ndjson"),
    _DISTINCT: _Row(KAFKA, "distinct"),
    FASTAPI: _Row(FASTAPI, "list"),
}


def batch(bench: Bench) -> list[Section]:
    """1,000 keys recur, as those of customers do; beside it keys that never come again."""
    with serving(bench, _starts(bench)) as servers:
        takes = {
            name: _batches(servers[row.server], row.kind, bench)
            for name, row in _ROWS.items()
            if row.server in servers
        }
        for take in takes.values():
            take(0)
        return [Section("batch", in_turns(takes, bench.rounds, bench.note), _TARGETS)]


def _starts(bench: Bench) -> dict[str, Start]:
    starts: dict[str, Start] = {
        FLOOR: lambda: floor(bench),
        COUNTING: lambda: in_process("hot"),
        SQLITE: lambda: herald(bench, "sqlite-batch", {}),
    }
    if bench.kafka:
        starts |= {KAFKA: lambda: herald_on_kafka(bench, "kafka-batch"), FASTAPI: lambda: fastapi(bench)}
    return starts


def _batches(server: Running, kind: str, bench: Bench) -> Take:
    def take(number: int) -> Turn:
        seconds = bench.seconds if number else _WARM_UP_SECONDS
        before = server.cpu
        load = run_module("load", str(server.port), kind, str(_CONNECTIONS), str(seconds))
        after = server.cpu
        cpu = None if before is None or after is None else after - before
        return Turn.counted(load["messages"], load["seconds"], cpu, load["load"])

    return take
