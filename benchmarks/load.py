"""The load generator: keep-alive connections that each send the next request once the last is answered.

Its own process: `python -m benchmarks.load PORT KIND CONNECTIONS SECONDS`, KIND one of `KINDS`. Prints
messages, seconds from the first request to the last answer, and how busy it was itself. Raw sockets, for a
client library costs more than the server it measures.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count, cycle, islice

from benchmarks.messages import BATCH, RECURRING_KEYS, bodies

_HEAD = "POST {path} HTTP/1.1\r\nHost: herald\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
_NDJSON = "application/x-ndjson"
_JSON = "application/json"
_length = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE).search


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
        if not found or len(body) < length_of(head):
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


def length_of(head: bytes) -> int:
    """What an answer's head says of its body."""
    found = _length(head)
    return int(found[1]) if found else 0


def ones() -> Iterator[bytes]:
    """A message each."""
    return cycle([_post("", _JSON, body) for body in islice(bodies(RECURRING_KEYS), RECURRING_KEYS)])


def ndjson() -> Iterator[bytes]:
    """`BATCH` messages each; all of their keys recur."""
    return cycle([_post("/batch", _NDJSON, b"\n".join(batch)) for batch in _recurring_batches()])


def lists() -> Iterator[bytes]:
    """The same batches as JSON arrays."""
    return cycle([_post("/batch", _JSON, b"[%s]" % b",".join(batch)) for batch in _recurring_batches()])


def distinct() -> Iterator[bytes]:
    """Batches whose keys nobody has sent before: the clock tells where to begin."""
    lines = [body[:-1].replace(b"%", b"%%") for body in islice(bodies(RECURRING_KEYS), BATCH)]
    template = b"\n".join(line[: line.index(b'"key"')] + b'"key": "customer-%020d"}' for line in lines)
    numbers = (tuple(range(start, start + BATCH)) for start in count(time.time_ns(), BATCH))
    return (_post("/batch", _NDJSON, template % keys) for keys in numbers)


KINDS: Mapping[str, Callable[[], Iterator[bytes]]] = {
    "one": ones,
    "ndjson": ndjson,
    "list": lists,
    "distinct": distinct,
}


def _recurring_batches() -> Iterator[list[bytes]]:
    """Until each key has had its turn."""
    lines = islice(bodies(RECURRING_KEYS), RECURRING_KEYS)
    return iter(lambda: list(islice(lines, BATCH)), [])


def _post(path: str, kind: str, body: bytes) -> bytes:
    return _HEAD.format(path=f"/api/v1/produce{path}", kind=kind, length=len(body)).encode() + body


async def _run(port: int, kind: str, connections: int, seconds: float) -> dict[str, float]:
    load = Load(KINDS[kind]())
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
