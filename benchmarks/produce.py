"""Messages taken: one a request, and five hundred."""

import contextlib
from collections.abc import Mapping

from benchmarks.bench import Bench
from benchmarks.figures import Section, Take, Turn, in_turns
from benchmarks.processes import Server, module, pin, run_module

_WARM_UP_SECONDS = 0.4
# More connections would only wait: a request of 500 messages keeps a server busy for milliseconds.
_BATCH_CONNECTIONS = 4

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
    kafka = bench.kafka
    with contextlib.ExitStack() as stack:
        pin(bench.cores.measured)  # the servers inherit it
        servers = {
            label: stack.enter_context(Server(module("server", variant, str(bench.folder), kafka)))
            for label, variant in variants.items()
            if variant != "kafka" or kafka
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
        return Turn.counted(load["messages"], load["seconds"], cpu, load["load"])

    return take
