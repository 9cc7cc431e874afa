"""One API process over the log in memory: opened, served, stopped by signals, ended by a wrong topic."""

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from dependency_injector import providers

from application.apply_topics import Applied
from containers import Container
from domain.errors import HeraldError, LogUnavailable, TopicMismatch
from domain.log import NewRecord, Receipt, Unconfirmed
from entrypoints.api_process import ApiProcess
from entrypoints.api_server import ApiServer
from entrypoints.child_process import ParentLink
from entrypoints.listening import listen_on, port_of
from entrypoints.run_api import run_api
from entrypoints.settings import Loaded
from entrypoints.settings_model import Settings
from entrypoints.worker_counts import WorkerCounts

MESSAGE = {"topic_name": "transactions", "email": "ada@example.com"}


class HeldPublisher:
    """A log that answers when `open` is set."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.is_closed = False

    async def publish(self, records: Sequence[NewRecord]) -> Sequence[Receipt | Unconfirmed]:
        self.asked.set()
        await self.open.wait()
        return [Receipt(offset=0)] * len(records)

    async def unready(self) -> str | None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_closed = True


class WatchedRetention:
    """Tells that it runs, and that it was closed."""

    def __init__(self) -> None:
        self.runs = asyncio.Event()
        self.is_closed = False

    async def run(self) -> None:
        self.runs.set()
        await asyncio.Event().wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_closed = True


class RefusingTopics:
    """A use case that always raises the same."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __call__(self) -> None:
        raise self.error


class HeldTopics:
    """The use case, which begins when `open` is set."""

    def __init__(self, apply: Callable[[], Awaitable[Applied]]) -> None:
        self._apply = apply
        self.open = asyncio.Event()

    async def __call__(self) -> Applied:
        await self.open.wait()
        return await self._apply()


def container_of(**sections: Any) -> Container:
    return Container(settings=Settings.model_validate({"broker": {"backend": "memory"}, **sections}))


def stop_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Serving:
    """An API process in a task, and a client for it."""

    def __init__(self, container: Container, **options: Any) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)  # noqa: FBT003 - the library's own signature
        self.listener = listen_on("127.0.0.1", 0, "a test")
        self.url = f"http://127.0.0.1:{port_of(self.listener)}"
        process = ApiProcess(container, self.listener, ParentLink(self.theirs.fileno()), **options)
        self.task = asyncio.create_task(process.run(self.url))
        self.client = httpx.AsyncClient(base_url=self.url, trust_env=False)

    async def heard(self, word: str = "ready") -> list[Any]:
        """All that was told until `word` came."""
        data = b""
        while f'"{word}"'.encode() not in data:
            data += await asyncio.get_running_loop().sock_recv(self.ours, 4096)
        return [json.loads(line) for line in data.splitlines()]

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.aclose()
        for sock in (self.ours, self.theirs, self.listener):
            sock.close()


@asynccontextmanager
async def serving(container: Container, **options: Any) -> AsyncIterator[Serving]:
    api = Serving(container, **options)
    try:
        yield api
    finally:
        await api.close()


async def test_readiness_is_told_with_the_address_and_a_message_is_taken() -> None:
    async with serving(container_of()) as api:
        told = await api.heard()
        answer = await api.client.post("/api/v1/produce", json=MESSAGE)
        topics = await api.client.get("/api/v1/topics")
        metrics = await api.client.get("/metrics")

    assert told[-1] == {"ready": {"url": api.url}}
    assert answer.status_code == 202
    assert topics.json()["topics"] == [
        {"name": "transactions", "partitions": 6, "replication_factor": 1, "groups": ["email", "sms"]}
    ]
    assert 'herald_produce_requests_total{status="202"} 1.0' in metrics.text


async def test_sigterm_ends_it_well_and_closes_what_it_opened() -> None:
    container, publisher = container_of(), HeldPublisher()
    container.publisher.override(providers.Object(publisher))
    async with serving(container) as api:
        await api.heard()
        stop_this_process()
        await api.task

    assert publisher.is_closed


async def test_a_running_request_is_finished_while_it_stops_and_no_new_one_is_taken() -> None:
    container, publisher = container_of(), HeldPublisher()
    container.publisher.override(providers.Object(publisher))
    async with serving(container) as api:
        await api.heard()
        running = asyncio.create_task(api.client.post("/api/v1/produce", json=MESSAGE))
        await publisher.asked.wait()
        port = port_of(api.listener)
        stop_this_process()
        await refused_connection(port)
        publisher.open.set()
        answer = await running
        await api.task

    assert answer.status_code == 202


async def refused_connection(port: int) -> None:
    """Returns once who connects is turned away."""
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return
            writer.close()


async def test_a_topic_with_other_numbers_ends_it_with_that_line(caplog: pytest.LogCaptureFixture) -> None:
    container = container_of()
    container.apply_topics.override(providers.Object(RefusingTopics(TopicMismatch("topic t has 3"))))
    async with serving(container) as api:
        with pytest.raises(TopicMismatch, match="topic t has 3"):
            await api.task

    assert [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL] == [
        "The API ends: topic t has 3"
    ]


async def test_a_log_that_is_away_ends_nothing_and_is_told_as_what_it_waits_for() -> None:
    container = container_of()
    container.apply_topics.override(providers.Object(RefusingTopics(LogUnavailable("no broker"))))
    async with serving(container) as api:
        live = await api.client.get("/health/live")
        told = await api.heard("waiting")

    assert live.status_code == 200
    assert told == [{"waiting": "the log does not answer yet"}]


async def test_it_is_not_ready_before_its_topics_are_made_though_the_log_answers() -> None:
    container = container_of()
    topics = HeldTopics(container.apply_topics())
    container.apply_topics.override(providers.Object(topics))
    async with serving(container) as api:
        early = await api.client.get("/health/ready")
        topics.open.set()
        await api.heard()
        ready = await api.client.get("/health/ready")

    assert (early.status_code, ready.status_code) == (503, 200)
    assert "the topics are not made yet" in early.text


async def test_only_the_worker_with_duties_makes_topics() -> None:
    container = container_of()
    async with serving(container, has_duties=False) as api:
        early = await api.client.get("/health/ready")
        made_early = await container.topic_catalog().find({"transactions"})
        await container.apply_topics()()  # what the worker with duties does
        told = await api.heard()
        ready = await api.client.get("/health/ready")

    assert made_early == {}
    assert (early.status_code, ready.status_code) == (503, 200)
    assert "ready" in told[-1]


async def test_old_rows_are_deleted_while_it_runs() -> None:
    container, retention = container_of(), WatchedRetention()
    container.retention.override(providers.Object(retention))
    async with serving(container) as api:
        await retention.runs.wait()
        await api.heard()
        stop_this_process()
        await api.task

    assert retention.is_closed


async def test_only_the_worker_with_duties_deletes_old_rows() -> None:
    container, retention = container_of(), WatchedRetention()
    container.retention.override(providers.Object(retention))
    async with serving(container, has_duties=False) as api:
        await container.apply_topics()()
        await api.heard()

    assert not retention.runs.is_set()


async def test_metrics_of_several_workers_are_their_sum(tmp_path: Path) -> None:
    container, other = container_of(), container_of()
    shared = WorkerCounts(tmp_path, 1, container.produce_counts())
    other.produce_counts().requests[202] += 41
    async with WorkerCounts(tmp_path, 2, other.produce_counts()), serving(container, shared=shared) as api:
        await api.heard()
        await api.client.post("/api/v1/produce", json=MESSAGE)
        metrics = await api.client.get("/metrics")

    assert 'herald_produce_requests_total{status="202"} 42.0' in metrics.text


async def test_keys_are_asked_for_where_a_keys_file_is_set(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"shop {'0' * 64} *\n")
    async with serving(container_of(api={"keys_file": str(keys)})) as api:
        await api.heard()
        answer = await api.client.post("/api/v1/produce", json=MESSAGE)
        live = await api.client.get("/health/live")

    assert answer.status_code == 401
    assert live.status_code == 200


async def test_keys_are_asked_for_where_they_stand_in_the_settings() -> None:
    line = f"shop {sha256(b'secret').hexdigest()} *"
    async with serving(container_of(api={"keys": line})) as api:
        await api.heard()
        stranger = await api.client.get("/api/v1/topics")
        known = await api.client.get("/api/v1/topics", headers={"Authorization": "Bearer secret"})

    assert (stranger.status_code, known.status_code) == (401, 200)


async def test_an_application_that_cannot_start_is_one_line() -> None:
    async def broken(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    server = ApiServer(broken, 1.0, lambda: None)
    with (
        listen_on("127.0.0.1", 0, "a test") as listener,
        pytest.raises(HeraldError, match="could not start"),
    ):
        await server.serve(sockets=[listener])


def test_a_port_in_use_is_one_line_and_1(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with listen_on("127.0.0.1", 0, "a test") as taken:
        port = port_of(taken)
        settings = Settings.model_validate(
            {"api": {"port": port}, "logging": {"file": str(tmp_path / "{process}.log")}}
        )
        code = run_api(Loaded(settings, {}))

    assert code == 1
    assert capfd.readouterr().err == (
        f"Error: port {port} on 127.0.0.1 is in use: stop what listens there, or set [api] port to another\n"
    )
