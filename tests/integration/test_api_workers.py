"""`herald api` with several workers, as real processes over the embedded log."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.plain_client import plain_client
from tests.site import Site, eventually, site, sqlite_log

WORKERS = 2


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Site]:
    """An API with two workers, both ready. Its temporary files are in the test's folder."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    log = {**sqlite_log(), "HERALD_API__WORKERS": str(WORKERS), "TMPDIR": str(temporary)}
    async with site(tmp_path, log) as one:
        one.start("api")
        assert await one.ready(), one.output()
        assert await eventually(lambda: both_answer(one)), one.output()
        yield one


async def both_answer(api: Site) -> bool:
    """Whether both workers opened their log files: each says so when it serves."""
    logs = sorted((api.folder / "logs").glob("herald-api-worker-*.log"))
    return len(logs) == WORKERS and all("api_started" in log.read_text() for log in logs)


async def post_on_new_connections(api: Site, count: int, prefix: str) -> list[int]:
    """The statuses of so many messages, each over its own connection: the workers share them."""
    statuses = []
    for number in range(count):
        async with plain_client() as client:
            message = {
                "topic_name": api.topic,
                "email": "a@example.test",
                "request_id": f"{prefix}{number}",
            }
            answer = await client.post(f"{api.api}/api/v1/produce", json=message)
            statuses.append(answer.status_code)
    return statuses


async def accepted(api: Site) -> float:
    """What `/metrics` says, asked over a new connection."""
    async with plain_client() as client:
        text = (await client.get(f"{api.api}/metrics")).text
    lines = [
        line for line in text.splitlines() if line.startswith('herald_produce_requests_total{status="202"}')
    ]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def workers_of(api: Site) -> list[int]:
    answer = subprocess.run(
        ["pgrep", "-P", str(api.running[0].pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in answer.stdout.split()]


async def nobody_listens(api: Site) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", urlsplit(api.api).port or 0), timeout=1):
            return False
    except ConnectionError:
        return True


async def test_the_metrics_are_the_sum_over_the_workers_whichever_is_asked(workers: Site) -> None:
    statuses = await post_on_new_connections(workers, 20, "m")
    told = [await accepted(workers) for _ in range(8)]

    assert statuses == [202] * 20
    assert told == [20.0] * 8


async def test_a_killed_worker_comes_back_and_what_it_counted_stays_counted(workers: Site) -> None:
    await post_on_new_connections(workers, 20, "before")
    told = await accepted(workers)
    victim, _ = workers_of(workers)
    os.kill(victim, signal.SIGKILL)

    async def is_back() -> bool:
        return "is ready again" in workers.output()

    assert await eventually(is_back), workers.output()
    statuses = await post_on_new_connections(workers, 20, "after")

    assert (told, await accepted(workers)) == (20.0, 40.0)
    assert statuses == [202] * 20
    assert "was ended by SIGKILL; starting it again" in workers.output()


async def test_sigterm_ends_all_workers_well_and_answers_0(workers: Site) -> None:
    workers.running[0].send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(workers.running[0].wait, 20)

    assert code == 0
    assert await nobody_listens(workers)
    assert list((workers.folder / "t").iterdir()) == []


async def test_workers_are_gone_within_two_seconds_of_their_parents_sudden_death(workers: Site) -> None:
    workers.running[0].kill()
    begin = time.monotonic()

    assert await eventually(lambda: nobody_listens(workers), 10)
    assert time.monotonic() - begin < 2.0


async def test_workers_and_parent_are_gone_within_two_seconds_of_the_supervisors_sudden_death(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, {**sqlite_log(), "HERALD_API__WORKERS": str(WORKERS)}) as one:
        one.start("run")
        assert await one.ready(), one.output()
        one.running[0].kill()
        begin = time.monotonic()

        assert await eventually(lambda: nobody_listens(one), 10)
        assert time.monotonic() - begin < 2.0


async def test_an_api_that_nobody_supervises_tells_the_port_that_the_machine_chose(tmp_path: Path) -> None:
    async with site(tmp_path, sqlite_log()) as one:
        one.start("api", "--set", "api.port=0")

        async def has_told() -> bool:
            return "Herald's API: http://127.0.0.1:" in one.output()

        assert await eventually(has_told), one.output()
        url = one.output().partition("Herald's API: ")[2].partition(" ")[0]

        assert await one.ready(url), one.output()
