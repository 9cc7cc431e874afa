"""The SQLite log among real processes: many on one file, killed ones, frozen ones."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from adapters.sqlite_retention import SqliteRetention
from adapters.system_clock import SystemClock
from domain.topic import Topic
from tests.integration import sqlite_process

PROGRAM = Path(sqlite_process.__file__)
Start = Callable[..., Awaitable[Process]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "herald.db"


@pytest.fixture
async def start(path: Path) -> AsyncIterator[Start]:
    """Starts a process at the log; what still runs at the end is killed."""
    async with AsyncExitStack() as stack:

        async def start(act: str, *arguments: str) -> Process:
            command = [str(PROGRAM), act, str(path), *arguments]
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdin=PIPE, stdout=PIPE, stderr=PIPE
            )
            stack.push_async_callback(_kill, process)
            return process

        yield start


async def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def result(process: Process, told: str = "") -> dict[str, Any]:
    async with asyncio.timeout(60):
        output, errors = await process.communicate(told.encode())
    assert (process.returncode, errors.decode()) == (0, "")
    answer: dict[str, Any] = json.loads(output)
    return answer


async def said(process: Process, line: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while (await process.stdout.readline()).decode().strip() != line:
            assert not process.stdout.at_eof()


async def prune_all_the_time(path: Path) -> int:
    """Everything that both groups finished goes at once."""
    topic = Topic(name=sqlite_process.TOPIC, partitions=3, retention_hours=0)
    deleted = 0
    async with SqliteRetention(path, [topic], SystemClock(), 90) as retention:
        try:
            while True:
                deleted += await retention.prune_once()
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            return deleted


async def test_processes_on_one_file_never_hinder_each_other(path: Path, start: Start) -> None:
    # All start at once where there is no file yet: making it is part of the test.
    writers = [await start("publish", "3") for _ in range(3)] + [await start("reopen", "3")]
    readers = [await start("read", group) for group in ("email", "sms")]
    pruning = asyncio.ensure_future(prune_all_the_time(path))
    written = [await result(writer) for writer in writers]
    total = sum(one["receipts"] for one in written)
    read = [await result(reader, f"{total}\n") for reader in readers]
    pruning.cancel()
    deleted = await pruning

    assert [one["reasons"] for one in written] == [{}] * 4
    assert read == [{"read": total, "overtaken": 0}] * 2
    assert deleted > 0
    busy = [one["receipts"] for one in written[:3]]
    assert min(busy) > max(busy) / 5, "one writer kept the others from their turn"


async def test_a_killed_process_is_followed_at_once_by_who_stands_by(start: Start) -> None:
    active = await start("follow", "email")
    await said(active, "assigned")
    standby = await start("follow", "email")
    await said(standby, "started")
    active.kill()
    killed = monotonic()
    await said(standby, "assigned")

    assert monotonic() - killed < 2


async def test_a_frozen_process_stays_the_active_one(start: Start) -> None:
    active = await start("follow", "email")
    await said(active, "assigned")
    active.send_signal(signal.SIGSTOP)
    standby = await start("follow", "email")
    await said(standby, "started")
    taking_over = asyncio.ensure_future(said(standby, "assigned"))
    done, _ = await asyncio.wait({taking_over}, timeout=1)
    active.send_signal(signal.SIGKILL)
    await taking_over

    assert not done
