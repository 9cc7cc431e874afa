"""A machine of Herald's, whose mails and texts go to servers of the test's own that do as they are told."""

import json
import re
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.faults.impatient import PROGRAM
from tests.site import Site, eventually, site
from tests.sms_provider import SmsTestProvider
from tests.smtp_server import SmtpTestServer

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<(.+)@[^@>]+>", re.MULTILINE | re.IGNORECASE)

GROUP_TIMES = {"session": 6.0, "heartbeat": 1.0}
"""A killed member's shards are another's after six seconds, and a newcomer waits for a heartbeat only."""


class Scene:
    """`site` runs the impatient program; `mails` and `texts` are what it sends to."""

    def __init__(self, site: Site, mails: SmtpTestServer, texts: SmsTestProvider) -> None:
        self.site = site
        self.mails = mails
        self.texts = texts
        site.program = PROGRAM
        site.environ["HERALD_SMTP__PORT"] = str(mails.port)
        site.environ["HERALD_SMS__URL"] = texts.url
        # The view of what became of messages is a process of its own, and few ask it here.
        self.set(status__hours=0)
        self.change()

    def set(self, **settings: object) -> None:
        """Settings of all processes started from now on: `delivery__concurrency=8`."""
        for name, value in settings.items():
            self.site.environ[f"HERALD_{name.upper()}"] = str(value)

    def change(self, **numbers: Mapping[str, object]) -> None:
        """Numbers that no setting holds, by provider of the container."""
        self.site.environ["HERALD_TEST_NUMBERS"] = json.dumps({"group_times": GROUP_TIMES, **numbers})

    async def start(self, *groups: str) -> None:
        """The API and one consumer of each group, all ready."""
        self.site.start("api")
        for group in groups:
            self.site.start_consumer(group)
        assert await self.site.ready(), self.site.output()
        for group in groups:
            assert await self.site.consumer_ready(group), self.site.output()

    async def post(self, messages: Iterable[Mapping[str, Any]], topic: str = "") -> None:
        """Posts them in one request and insists on a 202 for each."""
        topic = topic or self.site.topic
        batch = [{"topic_name": topic, **message} for message in messages]
        answer = await self.site.http.post(f"{self.site.api}/api/v1/produce/batch", json=batch)
        assert answer.status_code == 202, answer.text

    def mailed(self) -> list[str]:
        """The request ids of the mails taken by the server, in the order in which they came."""
        end = f".{self.site.topic}"
        return [_message_id(mail.data).removesuffix(end) for mail in self.mails.mails]

    def texted(self) -> list[str]:
        """The request ids of the texts taken by the provider, in the order in which they came."""
        end = f".{self.site.topic}"
        return [text.headers["idempotency-key"].removesuffix(end) for text in self.texts.texts]

    async def mailed_all(self, ids: Iterable[str], seconds: float = 60.0) -> bool:
        """Whether each of these came in time, however often."""
        wanted = set(ids)

        async def all_there() -> bool:
            return len(self.mails.mails) >= len(wanted) and wanted <= set(self.mailed())

        return await eventually(all_there, seconds)

    async def mailed_count(self, count: int, seconds: float = 60.0) -> bool:
        """Whether the server has taken so many mails in time."""

        async def so_many() -> bool:
            return len(self.mails.mails) >= count

        return await eventually(so_many, seconds)

    async def texted_all(self, ids: Iterable[str], seconds: float = 60.0) -> bool:
        """Whether each of these came in time, however often."""
        wanted = set(ids)

        async def all_there() -> bool:
            return wanted <= set(self.texted())

        return await eventually(all_there, seconds)

    async def tried(self, recipient: str, times: int, seconds: float = 40.0) -> bool:
        """Whether the mail server was so often asked to take a mail for this recipient."""

        async def often_enough() -> bool:
            return len(self.tries(recipient)) >= times

        return await eventually(often_enough, seconds)

    def tries(self, recipient: str) -> list[float]:
        """When the mail server was asked to take a mail for this recipient."""
        return [one.at for one in self.mails.tries if one.recipient == recipient]

    async def dead_letters(self, group: str, reason: str = "") -> int:
        """How many this group's first process has written, of one reason or of all."""
        url = f"http://127.0.0.1:{self.site.health_ports[group]}/metrics"
        lines = (await self.site.http.get(url)).text.splitlines()
        counts = [line for line in lines if line.startswith("herald_dead_letters_total{")]
        return sum(int(float(line.rpartition(" ")[2])) for line in counts if reason in line)

    async def has_dead_letters(self, group: str, count: int, reason: str, seconds: float = 60.0) -> bool:
        async def so_many() -> bool:
            return await self.dead_letters(group, reason) >= count

        return await eventually(so_many, seconds)

    async def comes_to_be(self, request_id: str, state: str, seconds: float = 30.0) -> bool:
        """Whether the API comes to say so of this message's mail."""
        url = f"{self.site.api}/api/v1/messages/{request_id}"

        async def is_so() -> bool:
            answer = await self.site.http.get(url)
            return answer.status_code == 200 and answer.json()["deliveries"]["email"]["state"] == state

        return await eventually(is_so, seconds)

    def logged(self, process: str, action: str) -> list[Mapping[str, Any]]:
        """Lines of this action in the log files of a process's name, such as `consumer-email`."""
        files = sorted((self.site.folder / "logs").glob(f"herald-{process}*.log"))
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [line for line in lines if line.get("action") == action]

    def told(self) -> str:
        """All that the processes said, for a test that failed: what they printed, and their log files."""
        files = sorted((self.site.folder / "logs").glob("herald-*.log"))
        logs = [f"{file.name}:\n{file.read_text()}" for file in files]
        return "\n".join([f"{len(self.mails.mails)} mails came", self.site.output(), *logs])


@asynccontextmanager
async def scene(folder: Path, log: Mapping[str, str]) -> AsyncIterator[Scene]:
    """Ends with the test, and all its processes with it."""
    async with SmtpTestServer() as mails, SmsTestProvider() as texts, site(folder, log) as one:
        yield Scene(one, mails, texts)


def kill(process: Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def firsts(ids: Iterable[str]) -> list[str]:
    """Each id where it came first."""
    return list(dict.fromkeys(ids))


def by_key(ids: Iterable[str]) -> Mapping[str, Sequence[int]]:
    """Ids are `{key}-{number}`: each key's numbers, in the order given."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for one in ids:
        key, _, number = one.rpartition("-")
        numbers[key].append(int(number))
    return numbers


def _message_id(mail: bytes) -> str:
    found = _MESSAGE_ID.search(mail)
    assert found is not None
    return found[1].decode()
