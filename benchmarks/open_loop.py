"""Requests at given times, whether or not the last ones are answered.

Its own process: `python -m benchmarks.open_loop PORT RATE SECONDS`.
A latency counts from the time that the plan has for the request, so neither a slow server nor a late
generator hides the wait of those behind. Prints percentiles in ms, also of how late the generator was.
"""

import asyncio
import contextlib
import gc
import json
import math
import os
import random
import selectors
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, takewhile

from benchmarks.load import length_of, ones

_CONNECTIONS = 128  # open before the first request; when all are busy, a request waits for one, which counts
_BEGIN_SECONDS = 0.1
_ANSWER_SECONDS = 15.0


def plan(rate: float, seconds: float, seed: int) -> list[float]:
    """When to send, from 0: as many independent clients would, with gaps of all lengths."""
    dice = random.Random(seed)
    gaps = iter(lambda: dice.expovariate(rate), None)
    return list(takewhile(lambda at: at < seconds, accumulate(chain([0.0], gaps))))


def percentile(figures: Sequence[float], share: float) -> float:
    """The least figure that `share` (0 to 1) of all do not exceed."""
    return sorted(figures)[max(1, math.ceil(share * len(figures))) - 1]


class OpenLoop:
    """Sends what is due on a free connection. `latencies`: seconds until the answers.

    `lags`: seconds by which the generator itself woke too late.
    """

    def __init__(self, times: Sequence[float], requests: Iterator[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = len(times)
        self._times = deque(times)
        self._requests = requests
        self._began = 0.0
        self.free: list[Waiting] = []
        self.latencies: list[float] = []
        self.lags: list[float] = []
        self.failed: bytes | None = None
        self.done = asyncio.Event()

    def begin(self) -> None:
        self._began = self._loop.time() + _BEGIN_SECONDS
        self._wait()

    def _wait(self) -> None:
        if self._times:
            self._loop.call_at(self._began + self._times[0], self._on_time)

    def _on_time(self) -> None:
        self.lags.append(self._loop.time() - self._began - self._times[0])
        self._send_due()

    def _send_due(self) -> None:
        now = self._loop.time() - self._began
        while self._times and self._times[0] <= now and self.free:
            self.free.pop().send(next(self._requests), self._began + self._times.popleft())
        if self.free:  # otherwise the next answer goes on
            self._wait()

    def answered(self, connection: "Waiting", planned: float) -> None:
        self.latencies.append(self._loop.time() - planned)
        was_full = not self.free
        self.free.append(connection)
        if was_full:
            self._send_due()
        self._left -= 1
        if not self._left:
            self.done.set()

    def fail(self, reason: bytes) -> None:
        self.failed = self.failed or reason
        self.done.set()


class Waiting(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, open_loop: OpenLoop) -> None:
        self._open_loop = open_loop
        self._answer = b""
        self._planned = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_loop.free.append(self)

    def send(self, request: bytes, planned: float) -> None:
        self._planned = planned
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < length_of(head):
            return
        if not head.startswith(b"HTTP/1.1 202"):
            self._open_loop.fail(head + b"\n" + body[:500])
            return
        self._answer = b""
        self._open_loop.answered(self, self._planned)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._open_loop.done.is_set():
            self._open_loop.fail(f"the server hung up: {exc}".encode())


async def _run(port: int, rate: float, seconds: float) -> dict[str, float]:
    times = plan(rate, seconds, seed=port)
    open_loop = OpenLoop(times, ones())
    loop = asyncio.get_running_loop()
    pairs = [
        await loop.create_connection(lambda: Waiting(open_loop), "127.0.0.1", port)
        for _ in range(_CONNECTIONS)
    ]
    cpu = time.process_time()
    open_loop.begin()
    async with asyncio.timeout(seconds + _ANSWER_SECONDS):
        await open_loop.done.wait()
    busy = (time.process_time() - cpu) / seconds
    for transport, _ in pairs:
        transport.close()
    if open_loop.failed:
        raise SystemExit(f"a request was not answered with 202: {open_loop.failed.decode(errors='replace')}")
    return {"messages": len(times), "load": busy, **_figures(open_loop)}


def _figures(open_loop: OpenLoop) -> dict[str, float]:
    """In ms."""
    wanted = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    latencies, lags = sorted(open_loop.latencies), sorted(open_loop.lags)
    figures = {name: percentile(latencies, share) * 1e3 for name, share in wanted.items()}
    return {**figures, "late": percentile(lags, 0.99) * 1e3}


def _loop() -> asyncio.AbstractEventLoop:
    """epoll waits whole milliseconds, which is as long as an answer takes; select does not."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    gc.disable()
    with contextlib.suppress(PermissionError):
        os.nice(-10)  # it shares its core with the broker, and must not be the one that comes late
    port, rate, seconds = sys.argv[1:]
    with asyncio.Runner(loop_factory=_loop) as runner:
        print(json.dumps(runner.run(_run(int(port), float(rate), float(seconds)))))
