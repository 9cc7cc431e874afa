import asyncio
import signal

import pytest

from domain.errors import HeraldError
from entrypoints.consumer_probes import METRICS_TYPE, ConsumerProbes, serving_probes
from entrypoints.listening import listen_on, port_of
from tests.plain_client import plain_client


class Consumer:
    """What a test says about a consumer's health."""

    def __init__(self, stalled: str | None = None, unready: str | None = None) -> None:
        self.stalled = stalled
        self.unready_reason = unready
        self.answering = asyncio.Event()
        self.answering.set()

    def live(self) -> str | None:
        return self.stalled

    async def ready(self) -> str | None:
        await self.answering.wait()
        return self.unready_reason

    def metrics(self) -> bytes:
        return b"herald_channel_up 1\n"

    def probes(self, ready_seconds: float = 5.0) -> ConsumerProbes:
        return ConsumerProbes(
            live=self.live, ready=self.ready, metrics=self.metrics, ready_seconds=ready_seconds
        )


@pytest.mark.parametrize(
    ("consumer", "path", "status", "body"),
    [
        (Consumer(), "/health/live", 200, {"status": "ok"}),
        (Consumer(), "/health/ready", 200, {"status": "ok"}),
        (Consumer(stalled="stuck"), "/health/live", 503, {"status": "unavailable", "reason": "stuck"}),
        (Consumer(stalled="stuck"), "/health/ready", 200, {"status": "ok"}),
        (Consumer(unready="no log"), "/health/live", 200, {"status": "ok"}),
        (Consumer(unready="no log"), "/health/ready", 503, {"status": "unavailable", "reason": "no log"}),
    ],
)
async def test_health_is_told_with_its_reason(
    consumer: Consumer, path: str, status: int, body: dict[str, str]
) -> None:
    async with serving_probes(consumer.probes(), "127.0.0.1", 0) as port, plain_client() as client:
        answer = await client.get(f"http://127.0.0.1:{port}{path}")

    assert (answer.status_code, answer.json()) == (status, body)


async def test_metrics_are_prometheus_text() -> None:
    async with serving_probes(Consumer().probes(), "127.0.0.1", 0) as port, plain_client() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")

    assert answer.headers["content-type"] == METRICS_TYPE
    assert answer.content == b"herald_channel_up 1\n"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/health", 404, None),
        ("POST", "/metrics", 405, "GET, HEAD"),
        ("DELETE", "/health/live", 405, "GET, HEAD"),
    ],
)
async def test_anything_else_is_a_problem(method: str, path: str, status: int, allow: str | None) -> None:
    async with serving_probes(Consumer().probes(), "127.0.0.1", 0) as port, plain_client() as client:
        answer = await client.request(method, f"http://127.0.0.1:{port}{path}")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("allow") == allow


async def test_a_head_request_gets_the_status_alone() -> None:
    async with serving_probes(Consumer().probes(), "127.0.0.1", 0) as port, plain_client() as client:
        answer = await client.head(f"http://127.0.0.1:{port}/health/ready")

    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_log_that_does_not_answer_in_time_is_not_ready() -> None:
    consumer = Consumer()
    consumer.answering.clear()
    probes = consumer.probes(ready_seconds=0.01)
    async with serving_probes(probes, "127.0.0.1", 0) as port, plain_client() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/health/ready")

    assert answer.status_code == 503
    assert answer.json()["reason"] == "the log did not answer within 0.01 seconds"


async def test_live_is_answered_while_ready_waits() -> None:
    consumer = Consumer()
    consumer.answering.clear()
    async with serving_probes(consumer.probes(), "127.0.0.1", 0) as port, plain_client() as client:
        waiting = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/health/ready"))
        live = await client.get(f"http://127.0.0.1:{port}/health/live")
        still_waiting = not waiting.done()
        consumer.answering.set()
        ready = await waiting

    assert (live.status_code, ready.status_code, still_waiting) == (200, 200, True)


async def test_the_port_is_free_again_afterwards_and_signals_stay_as_they_were() -> None:
    before = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    async with serving_probes(Consumer().probes(), "127.0.0.1", 0) as port, plain_client() as client:
        await client.get(f"http://127.0.0.1:{port}/metrics")
        during = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    with listen_on("127.0.0.1", port, "") as sock:
        freed = port_of(sock)

    assert before == during
    assert freed == port


async def test_a_port_in_use_names_the_setting() -> None:
    with listen_on("127.0.0.1", 0, "") as taken, pytest.raises(HeraldError, match=r"set \[consumer\] port"):
        await serving_probes(Consumer().probes(), "127.0.0.1", port_of(taken)).__aenter__()
