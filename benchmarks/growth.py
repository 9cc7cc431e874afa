"""How the cost of a message grows: with the batch, the connections, the partitions, the keys and the backlog.

A chart each, and a name of its own each, so that one may be measured again alone: `make bench-growth-batch`.
docs/growth.md says where the lines bend and why.
"""

import json
import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import count as counting

from benchmarks.bench import Bench
from benchmarks.consumer import Job
from benchmarks.deliveries import between, run_consumer, site_of
from benchmarks.figures import P50, RATE, Growth, Section, Take, Turn, in_turns
from benchmarks.processes import run_module
from benchmarks.producers import Running, herald, herald_on_kafka, serving
from benchmarks.shaped_load import Shape

_ONE, _MANY = "one message a request", "500 messages a request"
_KAFKA, _SQLITE, _CONSUMER = "Herald on Kafka", "Herald on SQLite", "Herald's consumer on Kafka"
_WARM_UP_SECONDS = 1.5  # or the first shape pays for the broker's compiler
_BATCHES = (1, 10, 50, 100, 500, 2_000, 10_000)
_CONNECTIONS = (1, 8, 64, 256, 1_000)
_PARTITIONS = (1, 6, 24, 96)
_KEYS = (10, 1_000, 100_000, 0)
_BACKLOGS = (10_000, 100_000, 1_000_000)
_CONSUMED = 20_000
_EDGE = 1_000
_LARGE = 1_000_000  # from here on one turn is enough: it is long, and filling it takes longer
_FEW = 4  # connections, where a request keeps the server busy for long
_topics = counting()


def growth_batch(bench: Bench) -> list[Section]:
    """The more messages share a request, the less of it each has to carry."""
    shapes = {size: _shape(bench, batch=size) for size in _BATCHES}
    at = {f"{log}, {size:,}": (log, float(size)) for log in (_KAFKA, _SQLITE) for size in _BATCHES}
    servers = {_SQLITE: lambda: herald(bench, "growth-sqlite", {})}
    if bench.kafka:
        servers[_KAFKA] = lambda: herald_on_kafka(bench, "growth-kafka")
    with serving(bench, servers) as running:
        takes = {
            what: _requests(running[log], shapes[int(size)])
            for what, (log, size) in at.items()
            if log in running
        }
        return [_section(bench, "growth: batch", takes, Growth("messages a request", at))]


def growth_connections(bench: Bench) -> list[Section]:
    """One message a request; what waits longer goes together."""
    if not bench.kafka:
        return []
    _allow_files()
    at = {f"{_KAFKA}, {count:,}": (_KAFKA, float(count)) for count in _CONNECTIONS}
    with serving(bench, {_KAFKA: lambda: herald_on_kafka(bench, "growth-connections")}) as running:
        takes = {
            what: _requests(running[_KAFKA], replace(_shape(bench), connections=int(count)))
            for what, (_, count) in at.items()
        }
        return [_section(bench, "growth: connections", takes, Growth("connections", at))]


def growth_partitions(bench: Bench) -> list[Section]:
    """Each partition has a batch of its own on the way in, and a shard with its books on the way out."""
    if not bench.kafka:
        return []
    kinds = {_ONE: _shape(bench), _MANY: _shape(bench, batch=500)}
    at = {f"{kind}, {n}": (kind, float(n)) for kind in (*kinds, _CONSUMER) for n in _PARTITIONS}
    topics = [{"name": f"partitions-{n}", "partitions": n, "groups": ["email"]} for n in _PARTITIONS]
    given = {"HERALD_TOPICS": json.dumps(topics)}
    with serving(bench, {_KAFKA: lambda: herald_on_kafka(bench, "growth-partitions", more=given)}) as running:
        takes = {
            what: _requests(running[_KAFKA], replace(kinds[kind], topic=f"partitions-{n:.0f}"))
            for what, (kind, n) in at.items()
            if kind in kinds
        }
        takes |= {
            what: _deliveries(bench, _CONSUMED, partitions=int(n))
            for what, (kind, n) in at.items()
            if kind == _CONSUMER
        }
        section = _section(bench, "growth: partitions", takes, Growth("partitions", at))
    return [section, _rate_of_a_consumer(section, at)]


def _rate_of_a_consumer(section: Section, at: Mapping[str, tuple[str, float]]) -> Section:
    """Of the same turns: what a consumer waits for is no CPU."""
    of_consumer = {what: place for what, place in at.items() if place[0] == _CONSUMER}
    turns = {what: section.turns[what] for what in of_consumer}
    growth = Growth("partitions", of_consumer, measure=RATE)
    return Section("growth: partitions, a consumer's rate", turns, growth=growth, floor=None)


def growth_keys(bench: Bench) -> list[Section]:
    """A key's partition is remembered, and a consumer has a lane for each key that it holds."""
    if not bench.kafka:
        return []
    rows = {f"{kind}, {_of(keys)}": (kind, keys) for kind in (_MANY, _CONSUMER) for keys in _KEYS}
    at = {what: (kind, float(keys)) for what, (kind, keys) in rows.items() if keys}
    with serving(bench, {_KAFKA: lambda: herald_on_kafka(bench, "growth-keys")}) as running:
        takes = {
            what: _requests(running[_KAFKA], _shape(bench, batch=500, keys=keys))
            if kind == _MANY
            else _deliveries(bench, _CONSUMED, keys=keys)
            for what, (kind, keys) in rows.items()
        }
        return [_section(bench, "growth: keys", takes, Growth("keys that recur", at))]


def growth_backlog(bench: Bench) -> list[Section]:
    """A consumer that begins with so many waiting."""
    if not bench.kafka:
        return []
    at = {f"{_CONSUMER}, {count:,}": (_CONSUMER, float(count)) for count in _BACKLOGS}
    takes = {what: _deliveries(bench, int(count)) for what, (_, count) in at.items() if int(count) < _LARGE}
    turns: dict[str, Sequence[Turn]] = dict(in_turns(takes, bench.rounds, bench.note))
    for what, (_, count) in at.items():
        if what not in turns:
            bench.note(what)
            turns[what] = [_deliveries(bench, int(count))(1)]
    return [Section("growth: backlog", turns, growth=Growth("messages waiting", at), floor=None)]


def _of(keys: int) -> str:
    return f"{keys:,} keys" if keys else "no key"


def _section(bench: Bench, name: str, takes: Mapping[str, Take], growth: Growth) -> Section:
    return Section(name, in_turns(takes, bench.rounds, bench.note), growth=growth, floor=None)


def _shape(bench: Bench, *, batch: int = 1, keys: int = 1_000) -> Shape:
    """As many connections as it takes to keep the server busy."""
    connections = max(_FEW, min(64, 800 // batch))
    return Shape(connections=connections, seconds=bench.seconds, batch=batch, keys=keys)


def _requests(server: Running, shape: Shape) -> Take:
    """The first turn of a shape is preceded by one that does not count."""
    warmed: list[bool] = []

    def take(_: int) -> Turn:
        if not warmed:
            warmed.append(True)
            _load(server, replace(shape, seconds=_WARM_UP_SECONDS))
        before = server.cpu
        done = _load(server, shape)
        after = server.cpu
        cpu = None if before is None or after is None else after - before
        turn = Turn.counted(done["messages"], done["seconds"], cpu, done["load"])
        return turn.beside({P50: done["p50"]})

    return take


def _load(server: Running, shape: Shape) -> dict[str, float]:
    return run_module("shaped_load", str(server.port), shape.as_text())


def _deliveries(bench: Bench, count: int, *, partitions: int = 6, keys: int = 1_000) -> Take:
    """A topic of its own for each turn: a group remembers what it has delivered."""

    def take(_: int) -> Turn:
        topic = f"growth-{next(_topics)}"
        site = replace(site_of(bench, "kafka", topic), partitions=partitions)
        run_module("fill", json.dumps(asdict(site)), str(count), str(keys), patience_seconds=600)
        job = Job(site=site, count=count, marks=(_EDGE, count - _EDGE))
        return between(*run_consumer(bench, job)["marks"])

    return take


def _allow_files() -> None:
    """A thousand connections are more than many a shell allows; who is started inherits it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


GROWTH = {
    "growth-batch": growth_batch,
    "growth-connections": growth_connections,
    "growth-partitions": growth_partitions,
    "growth-keys": growth_keys,
    "growth-backlog": growth_backlog,
}
