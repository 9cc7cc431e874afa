"""How much memory an API process and a consumer process take at the worst, beside docs/memory.md's bound.

Each row starts its own process, for the most that was resident only rises. The bounds are the document's
formulas with the defaults in them; a row's target is its bound.
"""

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import NamedTuple

from adapters.kafka_consumer import FETCH_BYTES
from application.shards import HoldingLimits
from benchmarks.bench import Bench
from benchmarks.deliveries import run_measured, site_of
from benchmarks.figures import PEAK, Measure, Section, Target, Turn, in_turns
from benchmarks.listening import Program
from benchmarks.processes import module, peak_memory_mb, pin, run_module
from benchmarks.producers import HERALD, herald, herald_on_kafka
from benchmarks.shaped_load import Shape
from entrypoints.settings_model import Settings
from tests.free_ports import free_ports

ACCEPTED = Measure("accepted", "MB/s", digits=1, more=True)
REFUSED = Measure("refused", "of all", digits=2)
HELD = Measure("held", "MB", digits=1)

_BASE_MB = 75.0
_IN_MEMORY = 4  # bytes that a byte of a body takes at the most: the body, its parts or messages, the records
_BACKLOG_MB = 100.0  # of records that wait for Kafka: 64 MiB, and their objects
_CONNECTION_MB = 0.32
_ROUNDS = 2
_SECONDS = 8.0  # as long as a request waits for the log, at the least
_BODY = 10_000
_BATCH = 800  # of the largest bodies, just below 8 MiB


def api_bound_mb(connections: int) -> float:
    waiting = Settings().api.max_waiting_bytes / 1e6
    return _BASE_MB + _IN_MEMORY * waiting + _BACKLOG_MB + _CONNECTION_MB * connections


def consumer_bound_mb(partitions: int) -> float:
    """Besides what is held: the last fetch, and what the client has fetched on top, a record a partition."""
    held, fetch = HoldingLimits().bytes / 1e6, FETCH_BYTES / 1e6
    return _BASE_MB + held + 2 * fetch + 2.0 * partitions


class _Api(NamedTuple):
    log: str  # sqlite, kafka, or frozen: a Kafka that takes connections and never answers
    shape: Shape


_BATCHES = Shape(connections=16, seconds=_SECONDS, batch=_BATCH, body_characters=_BODY, refusable=True)
_SLOWLY = Shape(
    connections=32, seconds=_SECONDS, body_characters=_BODY, bytes_a_second=1_000_000, refusable=True
)
_HALVES = Shape(
    connections=900,
    seconds=_SECONDS,
    batch=_BATCH,
    body_characters=_BODY,
    keys=1,
    refusable=True,
    unfinished=True,
)
_APIS: Mapping[str, _Api] = {
    "Herald on SQLite, 16 connections of 8 MB batches": _Api("sqlite", _BATCHES),
    "Herald on Kafka, 16 connections of 8 MB batches": _Api("kafka", _BATCHES),
    "Herald on Kafka, 1 MB/s of the largest messages": _Api("kafka", _SLOWLY),
    "Herald, Kafka does not answer, 1 MB/s of the largest messages": _Api("frozen", _SLOWLY),
    "Herald, Kafka does not answer, 16 connections of 8 MB batches": _Api("frozen", _BATCHES),
    "Herald, 900 connections that each send half a batch and wait": _Api("sqlite", _HALVES),
}


class _Consumer(NamedTuple):
    kind: str
    records: int
    channel: str


_CONSUMERS: Mapping[str, _Consumer] = {
    "Herald, channel hangs, 20,000 of the largest bodies": _Consumer("bodies", 20_000, "hangs"),
    "Herald, channel hangs, 300 values of 0.9 MB": _Consumer("values", 300, "hangs"),
    "Herald, channel hangs, 300 headers of 0.9 MB": _Consumer("headers", 300, "hangs"),
    "Herald, channel down, 20,000 of the largest bodies": _Consumer("bodies", 20_000, "down"),
}
_HOLDING_SECONDS = 8.0
_PARTITIONS = 6


def memory(bench: Bench) -> list[Section]:
    """Two sections: the API with the largest bodies, a consumer with the largest records."""
    apis = {name: api for name, api in _APIS.items() if api.log != "kafka" or bench.kafka}
    sections = [_api_section(bench, apis)]
    if bench.kafka:
        sections.append(_consumer_section(bench))
    return sections


def _api_section(bench: Bench, apis: Mapping[str, _Api]) -> Section:
    takes = {name: lambda number, api=api: _take_api(bench, api, number) for name, api in apis.items()}
    targets = [Target(name, PEAK, must=api_bound_mb(api.shape.connections)) for name, api in apis.items()]
    turns = in_turns(takes, min(bench.rounds, _ROUNDS), bench.note)
    return Section("memory of an API process", turns, targets, floor=None)


def _take_api(bench: Bench, api: _Api, number: int) -> Turn:
    with contextlib.ExitStack() as stack:
        pin(bench.cores.measured)
        server = stack.enter_context(_server(bench, api.log, number, stack))
        pin(bench.cores.others)
        done = run_module("shaped_load", str(server.port), api.shape.as_text())
        peak = peak_memory_mb(server.pid)
    tried = done["messages"] + done["refused"]
    size = api.shape.body_characters + 250
    figures = {
        PEAK: peak or 0.0,
        ACCEPTED: done["messages"] * size / done["seconds"] / 1e6,
        REFUSED: done["refused"] / tried if tried else 0.0,
    }
    return Turn(figures, done["load"])


def _server(bench: Bench, log: str, number: int, stack: contextlib.ExitStack) -> Program:
    if log == "sqlite":
        return herald(bench, f"memory-sqlite-{number}", {})
    if log == "kafka":
        return herald_on_kafka(bench, "memory-kafka")
    address = stack.enter_context(silent_kafka())
    (port,) = free_ports(1)
    given = {
        "HERALD_API__PORT": str(port),
        "HERALD_BROKER__BACKEND": "kafka",
        "HERALD_KAFKA__BOOTSTRAP_SERVERS": address,
        "HERALD_STATUS__HOURS": "0",
    }
    folder = bench.folder / "memory-frozen"
    return Program([HERALD, "api"], port, folder=folder, health="/health/live", given=given)


@contextlib.contextmanager
def silent_kafka() -> Iterator[str]:
    """Its address: connections to it come about, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_000) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _consumer_section(bench: Bench) -> Section:
    takes = {name: lambda number, one=one: _take_held(bench, one, number) for name, one in _CONSUMERS.items()}
    targets = [Target(name, PEAK, must=consumer_bound_mb(_PARTITIONS)) for name in takes]
    turns = in_turns(takes, min(bench.rounds, _ROUNDS), bench.note)
    return Section("memory of a consumer process", turns, targets, floor=None)


def _take_held(bench: Bench, consumer: _Consumer, number: int) -> Turn:
    site = site_of(bench, "kafka", f"held-{consumer.kind}-{consumer.channel}-{number}")
    text = json.dumps(asdict(site))
    run_module("held", "fill", text, consumer.kind, str(consumer.records))
    held = run_measured(bench, module("held", "run", text, consumer.channel, str(_HOLDING_SECONDS)))
    return Turn({PEAK: held["peak_mb"], HELD: held["held_mb"]})
