"""The load generator: keep-alive connections that each send the next request once the last is answered.

Its own process: `python -m benchmarks.load PORT one|batch CONNECTIONS SECONDS`. Prints messages, seconds
from the first request to the last answer, and how busy it was itself. Raw sockets, for a client library
costs more than the server it measures.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice

from benchmarks.messages import BATCH, batches, bodies

_HEAD = "POST {path} HTTP/1.1\r\nHost: herald\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"


class Load:
    """What the connections share. `failed`: the first answer that was no 202."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.requests = requests
        self.deadline = 0.0
        self.answers = 0
        self.failed: bytes | None = None


class Connection(asyncio.Protocol):
    """One request at a time until the deadline."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answer = b""
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self) -> None:
        self._transport.write(next(self._load.requests))

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r")[0]):
            return
        self._note(head, body)

    def _note(self, head: bytes, body: bytes) -> None:
        load = self._load
        if not head.startswith(b"HTTP/1.1 202"):
            load.failed = load.failed or head + b"\n" + body[:500]
        load.answers += 1
        self._answer = b""
        if load.failed or time.perf_counter() >= load.deadline:
            self._transport.close()
        else:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer or not self._transport.is_closing():
            self._load.failed = self._load.failed or f"the server hung up: {exc}".encode()
        self.closed.set()


def _requests(kind: str) -> list[bytes]:
    if kind == "one":
        return [_request("/api/v1/produce", "application/json", body) for body in islice(bodies(), 256)]
    return [_request("/api/v1/produce/batch", "application/x-ndjson", body) for body in islice(batches(), 8)]


def _request(path: str, kind: str, body: bytes) -> bytes:
    return _HEAD.format(path=path, kind=kind, length=len(body)).encode() + body


async def _run(port: int, kind: str, connections: int, seconds: float) -> dict[str, float]:
    load = Load(cycle(_requests(kind)))
    loop = asyncio.get_running_loop()
    pairs = [
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port) for _ in range(connections)
    ]
    started, cpu = time.perf_counter(), time.process_time()
    load.deadline = started + seconds
    for _, connection in pairs:
        connection.send()
    for _, connection in pairs:
        await connection.closed.wait()
    took = time.perf_counter() - started
    if load.failed:
        raise SystemExit(f"a request was not answered with 202: {load.failed.decode(errors='replace')}")
    messages = load.answers * (1 if kind == "one" else BATCH)
    return {"messages": messages, "seconds": took, "load": (time.process_time() - cpu) / took}


if __name__ == "__main__":
    port, kind, connections, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(_run(int(port), kind, int(connections), float(seconds)))))
