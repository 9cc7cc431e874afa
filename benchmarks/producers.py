"""The servers that take messages: Herald as its user runs it, the floor, and the peers."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.builds import PEERS, ROOT, go_peer, python_peer
from benchmarks.listening import Program
from benchmarks.messages import TOPIC
from benchmarks.processes import Server, module, pin
from tests.free_ports import free_ports

FLOOR = "floor: ASGI + msgspec, plain uvicorn, no log"
COUNTING = "Herald, log that only counts"
ROUTE = "Herald, the same by Litestar's route"
SQLITE = "Herald on SQLite, synchronous=FULL"
KAFKA = "Herald on Kafka, acks=all"
FASTAPI = "FastAPI + aiokafka"
GIN = "gin + kafka-go"

LINGER_MS = 2
HERALD = str(Path(sys.executable).with_name("herald"))

Running = Program | Server
Start = Callable[[], Running | None]
"""Starts a server; None where it cannot be had on this machine."""

_UVICORN = (
    "-m",
    "uvicorn",
    "--host",
    "127.0.0.1",
    "--http",
    "httptools",
    "--loop",
    "asyncio",
    "--no-access-log",
)


@contextlib.contextmanager
def serving(bench: Bench, starts: Mapping[str, Start]) -> Iterator[dict[str, Running]]:
    """All of them, started in this order on the measured core, while we are on the others."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, Running] = {}
        for name, start in starts.items():
            pin(bench.cores.measured)  # the server inherits it
            if (server := start()) is not None:
                stack.enter_context(server)
                servers[name] = server
        pin(bench.cores.others)
        yield servers


def floor(bench: Bench) -> Program:
    (port,) = free_ports(1)
    command = [sys.executable, *_UVICORN, "--port", str(port), "benchmarks.floor:app"]
    path = f"{ROOT}:{ROOT / 'src'}"
    return Program(command, port, folder=bench.folder / "floor", health="/health", given={"PYTHONPATH": path})


def in_process(variant: str) -> Server:
    """Herald's application over a log that costs nothing: `hot`, or `route` for Litestar's."""
    return Server(module("server", variant))


def herald(bench: Bench, name: str, given: Mapping[str, str], *, children: bool = False) -> Program:
    """`herald api` with its settings by environment. `name`: of the folder it keeps its files in."""
    (port,) = free_ports(1)
    return Program(
        [HERALD, "api"],
        port,
        folder=bench.folder / name,
        health="/health/ready",
        given={"HERALD_API__PORT": str(port), **given},
        children=children,
    )


def herald_on_kafka(
    bench: Bench,
    name: str,
    *,
    workers: int = 1,
    status_hours: int = 0,
    topic: str = TOPIC,
    children: bool = False,
    more: Mapping[str, str] | None = None,
) -> Program:
    """Without the status view unless told: its own process reads along, and would take from others' turns."""
    given = {
        "HERALD_BROKER__BACKEND": "kafka",
        "HERALD_KAFKA__BOOTSTRAP_SERVERS": bench.kafka,
        "HERALD_API__WORKERS": str(workers),
        "HERALD_STATUS__HOURS": str(status_hours),
        "HERALD_TOPICS": json.dumps([{"name": topic}]),
        **(more or {}),
    }
    return herald(bench, name, given, children=children)


def fastapi(bench: Bench, *, linger_ms: int = LINGER_MS) -> Program | None:
    if (python := python_peer("fastapi")) is None:
        return None
    (port,) = free_ports(1)
    command = [str(python), *_UVICORN, "--port", str(port), "--app-dir", str(PEERS / "fastapi"), "main:app"]
    given = {"KAFKA_BOOTSTRAP_SERVERS": bench.kafka, "LINGER_MS": str(linger_ms)}
    return Program(command, port, folder=bench.folder / "fastapi", health="/health", given=given)


def gin(bench: Bench, *, linger_ms: float = LINGER_MS) -> Program | None:
    if (server := go_peer("gin")) is None:
        return None
    (port,) = free_ports(1)
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": bench.kafka,
        "LISTEN": f"127.0.0.1:{port}",
        "LINGER": f"{linger_ms}ms",
    }
    return Program([str(server)], port, folder=bench.folder / "gin", health="/health", given=given)
