"""`herald run` as a newcomer and an operator meet it: one command, one screen, everything at work."""

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.site import Site, eventually


async def run_until_welcome(site: Site) -> "subprocess.Popen[bytes]":
    supervisor = site.start("run")

    async def welcomed() -> bool:
        return "Ctrl-C stops everything." in site.output()

    assert await eventually(welcomed, 40.0), site.output()
    return supervisor


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in children.split()]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")


def is_alive(pid: int) -> bool:
    """A zombie is dead: nobody has asked for it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_the_curl_on_the_screen_brings_a_mail_and_a_text(sqlite_site: Site) -> None:
    supervisor = await run_until_welcome(sqlite_site)
    [command] = [line for line in sqlite_site.output().splitlines() if line.startswith("curl ")]

    posted = await asyncio.to_thread(
        subprocess.run, [*shlex.split(command), "-s"], capture_output=True, check=True
    )
    assert json.loads(posted.stdout)["topic_name"] == "transactions"
    assert await sqlite_site.arrived(emails=1, sms=1)

    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(30) == 0


async def test_the_screen_says_where_everything_is(sqlite_site: Site) -> None:
    await run_until_welcome(sqlite_site)

    screen = sqlite_site.output()
    assert [text for text in (sqlite_site.api, "/docs", sqlite_site.inbox_url) if text not in screen] == []


async def test_a_killed_child_comes_back_and_works_off_what_waits(sqlite_site: Site) -> None:
    supervisor = await run_until_welcome(sqlite_site)
    [victim] = [pid for pid in children_of(supervisor.pid) if "consumer email" in command_of(pid)]

    os.kill(victim, signal.SIGKILL)
    await sqlite_site.post_many(5)

    assert await sqlite_site.arrived(emails=5, sms=5)
    assert "consumer-email" in sqlite_site.output()


async def test_the_children_end_within_two_seconds_of_a_killed_supervisor(sqlite_site: Site) -> None:
    supervisor = await run_until_welcome(sqlite_site)
    children = children_of(supervisor.pid)
    assert len(children) == 4

    supervisor.kill()
    killed_at = time.monotonic()

    async def all_gone() -> bool:
        return not any(is_alive(pid) for pid in children)

    assert await eventually(all_gone, 5.0)
    assert time.monotonic() - killed_at < 2.0  # the contract's bound


async def test_a_port_in_use_is_one_clear_line(sqlite_site: Site) -> None:
    port = int(sqlite_site.api.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        process = sqlite_site.start("run")
        code = await asyncio.to_thread(process.wait, 30)

    assert code == 1
    [line] = sqlite_site.output().splitlines()
    assert str(port) in line
    assert "[api] port" in line


async def test_ctrl_c_drains_and_ends_with_zero(sqlite_site: Site) -> None:
    supervisor = await run_until_welcome(sqlite_site)
    await sqlite_site.post_many(20)

    supervisor.send_signal(signal.SIGINT)

    assert await asyncio.to_thread(supervisor.wait, 30) == 0
    assert "Traceback" not in sqlite_site.output()
