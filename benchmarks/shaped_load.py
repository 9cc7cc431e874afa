"""Requests of any shape, of which some may be refused: `python -m benchmarks.shaped_load PORT SHAPE`.

The shape is JSON. Prints messages accepted and refused, seconds, the median time of an answer in ms, and how
busy it was.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from statistics import median

from benchmarks.load import length_of
from benchmarks.messages import TOPIC

_ACCEPTED, _OVERLOADED = 202, 503
_HEAD = (
    "POST /api/v1/produce{path} HTTP/1.1\r\nHost: herald\r\n"
    "Content-Type: application/{kind}\r\nContent-Length: {length}\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`batch`: messages a request; 1 goes to the path for one. `keys`: how many recur; 0: messages have none.

    `bytes_a_second`: of all connections together, 0: as fast as it goes. `refusable`: a 503 is counted and
    not an error. `unfinished`: no request comes to its end; each sends so much of its body, and waits.
    """

    connections: int
    seconds: float
    batch: int = 1
    keys: int = 1_000
    body_characters: int = 70
    topic: str = TOPIC
    bytes_a_second: int = 0
    refusable: bool = False
    unfinished: bool = False

    def as_text(self) -> str:
        return json.dumps(asdict(self))


class Tally:
    """What the connections share. `failed`: the first answer that is an error."""

    def __init__(self, shape: Shape, requests: Iterator[bytes]) -> None:
        self.shape = shape
        self.requests = requests
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []
        self.failed = b""
        self.deadline = 0.0


class Client(asyncio.Protocol):
    """One request at a time until the deadline."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._answer = b""
        self._sent_at = 0.0
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self) -> None:
        request = next(self._tally.requests)
        self._sent_at = time.perf_counter()
        if self._tally.shape.unfinished:
            self._transport.write(request[: len(request) // 2])
            asyncio.get_running_loop().call_at(
                asyncio.get_running_loop().time() + self._tally.shape.seconds, self._transport.close
            )
        else:
            self._transport.write(request)
            self._size = len(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if found and len(body) >= length_of(head):
            self._note(int(head[9:12]), self._answer)

    def _note(self, status: int, answer: bytes) -> None:
        tally, self._answer = self._tally, b""
        tally.statuses[status] += 1
        tally.latencies.append(time.perf_counter() - self._sent_at)
        if status != _ACCEPTED and not (status == _OVERLOADED and tally.shape.refusable):
            tally.failed = tally.failed or answer[:500]
        if tally.failed or time.perf_counter() >= tally.deadline:
            self._transport.close()
        elif not tally.shape.unfinished:
            self._go_on()

    def _go_on(self) -> None:
        """Each connection has its share of the bytes a second."""
        shape = self._tally.shape
        if not shape.bytes_a_second:
            self.send()
            return
        due = self._sent_at + self._size * shape.connections / shape.bytes_a_second
        asyncio.get_running_loop().call_later(max(0.0, due - time.perf_counter()), self.send)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self._tally.shape.refusable:
            self._tally.failed = self._tally.failed or f"the server hung up: {exc}".encode()
        self.closed.set()


def requests_of(shape: Shape) -> Iterator[bytes]:
    """In turn, until each key was there once, or a few of them where they are large."""
    size = shape.batch * (shape.body_characters + 250)
    count = max(1, min(-(-max(shape.keys, 1) // shape.batch), 64_000_000 // size))
    return cycle([_request(shape, number * shape.batch) for number in range(count)])


def _request(shape: Shape, first: int) -> bytes:
    body = b"\n".join(_message(shape, number) for number in range(first, first + shape.batch))
    path, kind = ("", "json") if shape.batch == 1 else ("/batch", "x-ndjson")
    return _HEAD.format(path=path, kind=kind, length=len(body)).encode() + body


def _message(shape: Shape, number: int) -> bytes:
    customer = f"customer-{number % shape.keys if shape.keys else number}"
    fields = {
        "topic_name": shape.topic,
        "message_body": "Your payment arrived. Thank you. ".ljust(shape.body_characters, "x"),
        "transaction_id": f"T-{number:010}",
        "customer_id": f"C-{number:06}",
        "email": f"{customer}@example.com",
        "phone": f"+1202555{number % 10_000:04}",
    }
    return json.dumps(fields | ({"key": customer} if shape.keys else {})).encode()


async def _run(port: int, shape: Shape) -> dict[str, float]:
    tally = Tally(shape, requests_of(shape))
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(tally), "127.0.0.1", port))[1]
        for _ in range(shape.connections)
    ]
    began, cpu = time.perf_counter(), time.process_time()
    tally.deadline = began + shape.seconds
    for client in clients:
        client.send()
    for client in clients:
        await client.closed.wait()
    took = time.perf_counter() - began
    if tally.failed:
        raise SystemExit(f"a request was not answered as it should: {tally.failed.decode(errors='replace')}")
    return {
        "messages": tally.statuses[_ACCEPTED] * shape.batch,
        "refused": tally.statuses[_OVERLOADED] * shape.batch,
        "seconds": took,
        "p50": 1e3 * median(tally.latencies or [0.0]),
        "load": (time.process_time() - cpu) / took,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_run(int(sys.argv[1]), Shape(**json.loads(sys.argv[2]))))))
