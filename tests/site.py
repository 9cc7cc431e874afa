"""Herald as its operator has it: real processes in a folder of their own, talked to over their ports."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.free_ports import free_ports
from tests.plain_client import plain_client

POLL_SECONDS = 0.05
HERALD = (sys.executable, "-P", "-m", "entrypoints.cli")


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> bool:
    """Whether `check` came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if await check():
                return True
        await asyncio.sleep(POLL_SECONDS)
    return False


class Site:
    """One machine: a folder, its ports, and the settings that all its processes share."""

    def __init__(self, folder: Path, log: Mapping[str, str]) -> None:
        self.folder = folder
        topics = json.loads(log.get("HERALD_TOPICS", '[{"name": "transactions"}]'))
        self.topic = str(topics[0]["name"])
        api, smtp, sms, http, email, texts, self.spare_port = free_ports(7)
        self.health_ports = {"email": email, "sms": texts}
        self.api = f"http://127.0.0.1:{api}"
        self.inbox_url = f"http://127.0.0.1:{http}"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HERALD_")},
            "HERALD_API__PORT": str(api),
            "HERALD_SMTP__PORT": str(smtp),
            "HERALD_SMS__URL": f"http://127.0.0.1:{sms}",
            "HERALD_INBOX__SMTP_PORT": str(smtp),
            "HERALD_INBOX__SMS_PORT": str(sms),
            "HERALD_INBOX__HTTP_PORT": str(http),
            **log,
        }
        self.program: Sequence[str] = HERALD
        self.running: list[subprocess.Popen[bytes]] = []
        self.http = plain_client(timeout=15.0)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        """A Herald process. What it prints goes to `output.txt` in the folder."""
        output = (self.folder / "output.txt").open("ab")
        with output:
            process = subprocess.Popen(
                [*self.program, *arguments],
                cwd=self.folder,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def start_consumer(self, group: str, **environ: str) -> subprocess.Popen[bytes]:
        port = str(self.health_ports[group])
        return self.start("consumer", group, HERALD_CONSUMER__PORT=port, **environ)

    def start_spare(self, group: str) -> tuple[subprocess.Popen[bytes], str]:
        """One more process of a group, and where it tells its health."""
        (port,) = free_ports(1)
        process = self.start("consumer", group, HERALD_CONSUMER__PORT=str(port))
        return process, f"http://127.0.0.1:{port}"

    async def run(self, *command: str, seconds: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """A command in the folder, with the settings of all its processes, to its end."""
        return await asyncio.to_thread(
            subprocess.run,
            command,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    async def shell(self, script: str) -> str:
        """What a page's commands print, as they stand there but for the ports; each has to end well."""
        return await self.printed("sh", "-ec", script.replace(".venv/bin/herald", shlex.join(HERALD)))

    async def printed(self, *command: str) -> str:
        """What it prints, its arguments as a page has them but for the ports; it has to end well."""
        done = await self.run(*map(self._on_its_ports, command))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _on_its_ports(self, text: str) -> str:
        return text.replace("http://127.0.0.1:8080", self.api).replace(
            "http://127.0.0.1:8025", self.inbox_url
        )

    def output(self) -> str:
        return (self.folder / "output.txt").read_text(encoding="utf-8")

    async def close(self) -> None:
        await self.http.aclose()
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                # In a thread: what it still sends may go to a server of this very loop.
                await asyncio.to_thread(process.wait, 15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # Talking to it ----------------------------------------------------------------------------

    async def answers(self, url: str, status: int) -> bool:
        """Whether a path comes to answer so in time."""

        async def as_asked() -> bool:
            return (await self.http.get(url)).status_code == status

        return await eventually(as_asked)

    async def ready(self, url: str = "", seconds: float = 40.0) -> bool:
        async def is_ready() -> bool:
            return (await self.http.get(f"{url or self.api}/health/ready")).status_code == 200

        return await eventually(is_ready, seconds)

    async def start_all(self) -> None:
        """API, both consumers and the inbox, each by itself, all ready."""
        for command in ("api", "inbox"):
            self.start(command)
        for group in self.health_ports:
            self.start_consumer(group)
        assert await self.ready(), self.output()
        assert await self.inbox_ready(), self.output()
        for group in self.health_ports:
            assert await self.consumer_ready(group), self.output()

    async def consumer_ready(self, group: str) -> bool:
        return await self.ready(f"http://127.0.0.1:{self.health_ports[group]}")

    async def inbox_ready(self) -> bool:
        return await self.answers(f"{self.inbox_url}/api/v1/inbox", 200)

    async def post(self, **fields: Any) -> httpx.Response:
        message = {"topic_name": self.topic, "email": "ada@example.test", "phone": "+12025550143", **fields}
        return await self.http.post(f"{self.api}/api/v1/produce", json=message)

    async def post_many(self, count: int, prefix: str = "m", **fields: Any) -> None:
        """Posts messages `{prefix}0`, `{prefix}1`, … and insists on a 202 for each."""
        for number in range(count):
            answer = await self.post(request_id=f"{prefix}{number}", **fields)
            assert answer.status_code == 202, answer.text

    async def inbox(self, limit: int = 10_000) -> Any:
        return (await self.http.get(f"{self.inbox_url}/api/v1/inbox", params={"limit": limit})).json()

    async def outage(self, **states: str) -> None:
        answer = await self.http.put(f"{self.inbox_url}/api/v1/inbox/outage", json=states)
        assert answer.status_code == 200, answer.text

    async def arrived(self, emails: int, sms: int, seconds: float = 60.0) -> bool:
        """Whether that many, or more, were received in time."""

        async def all_there() -> bool:
            totals = (await self.inbox(limit=1))["totals"]
            return bool(totals["emails"] >= emails and totals["sms"] >= sms)

        return await eventually(all_there, seconds)

    async def different_mails(self, count: int) -> bool:
        """Whether so many different messages arrived as mails, however often each."""

        async def all_there() -> bool:
            return len({mail["message_id"] for mail in (await self.inbox())["emails"]}) >= count

        return await eventually(all_there, 60.0)

    async def metric(self, group: str, name: str) -> float:
        """The sum of a metric's samples on a consumer."""
        return await self.metric_at(self.health_ports[group], name)

    async def metric_at(self, port: int, name: str) -> float:
        text = (await self.http.get(f"http://127.0.0.1:{port}/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    async def metric_reaches(self, group: str, name: str, value: float, *, at_most: bool = False) -> bool:
        """Whether the metric comes to that value, from below or with `at_most` from above."""

        async def reached() -> bool:
            now = await self.metric(group, name)
            return now <= value if at_most else now >= value

        return await eventually(reached)


def sqlite_log() -> dict[str, str]:
    return {"HERALD_BROKER__BACKEND": "sqlite"}


def kafka_log(address: str, name: str) -> dict[str, str]:
    """A topic and groups of its own on a broker that others use too."""
    topics = [{"name": name, "partitions": 3}]
    return {
        "HERALD_BROKER__BACKEND": "kafka",
        "HERALD_KAFKA__BOOTSTRAP_SERVERS": address,
        "HERALD_KAFKA__GROUP_PREFIX": f"{name}-",
        "HERALD_TOPICS": json.dumps(topics),
    }


@asynccontextmanager
async def site(folder: Path, log: Mapping[str, str]) -> AsyncIterator[Site]:
    """A machine whose processes end with the test."""
    one = Site(folder, log)
    try:
        yield one
    finally:
        await one.close()
