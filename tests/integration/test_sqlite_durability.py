"""A 202 is answered only after the disk has the message.

SIGKILL cannot tell a synchronous commit from one that only reached the kernel, so the order of system calls
is looked at: between the write to the WAL and the answer there has to be an fdatasync.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from tests.integration import api_process
from tests.plain_client import plain_client
from tests.site import eventually

MESSAGES = 20
# Descriptor, path (-y), and for calls that another thread interrupted the two halves (-f).
_WAL_WRITE = re.compile(r"(?:pwrite64|write)\(\d+<[^>]*-wal>")
_WAL_SYNC = re.compile(r"(?:fdatasync|fsync)\(\d+<[^>]*-wal>(.*)$")
_SYNC_RESUMED = re.compile(r"<\.\.\. (?:fdatasync|fsync) resumed>")
_ACCEPTED = re.compile(r'(?:sendto|write)\(\d+<[^>]*>, "HTTP/1\.1 202')


def answers_before_the_disk(trace: Iterable[str]) -> tuple[int, int]:
    """How many 202s there were, and how many of them came before their message was on the disk."""
    answers = early = 0
    written = synced = False
    for line in trace:
        if _ACCEPTED.search(line):
            answers += 1
            early += not (written and synced)
            written = synced = False
        elif _WAL_WRITE.search(line):
            written, synced = True, False
        elif _SYNC_RESUMED.search(line) or ((sync := _WAL_SYNC.search(line)) and "unfinished" not in sync[1]):
            synced = True
    return answers, early


def strace_or_not_run() -> str:
    strace = shutil.which("strace")
    works = (
        strace is not None
        and subprocess.run([strace, "true"], capture_output=True, check=False).returncode == 0
    )
    if strace is None or not works:
        reason = "strace is missing or may not trace here: that commits reach the disk was not tested"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return strace


async def traced(path: Path, synchronous: str) -> list[str]:
    """The system calls of an API that took `MESSAGES` messages, one after another."""
    log = path.with_suffix(".strace")
    calls = "trace=fdatasync,fsync,write,pwrite64,sendto"
    strace = [strace_or_not_run(), "-f", "-y", "-e", calls, "-o", str(log)]
    program = [sys.executable, "-P", api_process.__file__, str(path), synchronous]
    api = await asyncio.create_subprocess_exec(
        *strace, *program, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(60):
            assert api.stdout is not None
            port = int(await api.stdout.readline())
            await post_one_by_one(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(api.pid, signal.SIGTERM)  # strace itself only ends with what it traces
        await api.wait()
    return log.read_text(errors="replace").splitlines()


async def post_one_by_one(url: str) -> None:
    async with plain_client(url, timeout=15.0) as client:

        async def ready() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        assert await eventually(ready)
        message = {"topic_name": "transactions", "email": "ada@example.test"}
        await eventually(lambda: topic_exists(client))
        for _ in range(MESSAGES):
            answer = await client.post("/api/v1/produce", json=message)
            assert answer.status_code == 202, answer.text


async def topic_exists(client: httpx.AsyncClient) -> bool:
    probe = await client.get("/api/v1/topics")
    return probe.status_code == 200


async def test_every_202_comes_after_its_messages_fdatasync(tmp_path: Path) -> None:
    trace = await traced(tmp_path / "herald.db", "FULL")

    assert answers_before_the_disk(trace) == (MESSAGES, 0)


async def test_the_same_check_finds_a_log_that_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    trace = await traced(tmp_path / "herald.db", "NORMAL")
    answers, early = answers_before_the_disk(trace)

    assert answers == MESSAGES
    assert early >= MESSAGES - 1
