"""One consumer process over the log in memory: opened, delivering, stopped by a signal, ended by an error."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from dependency_injector import providers

from adapters.memory import MemoryPublisher
from adapters.memory_senders import MemoryEmailSender
from containers import Container
from domain.errors import LogUnavailable, TopicMismatch
from domain.log import NewRecord, Position, Shard
from domain.outcome import Outcome
from domain.ports import Mail
from entrypoints.child_process import ParentLink
from entrypoints.run_consumer import run_consumer, serve_consumer
from entrypoints.settings import Loaded
from entrypoints.settings_model import Settings

SHARD = Shard("transactions", 0)


def container_of(**sections: Any) -> Container:
    settings = Settings.model_validate({"broker": {"backend": "memory"}, **sections})
    return Container(settings=settings, group="email")


class FailingTopics:
    """A use case that always raises the same, and tells that it was asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = asyncio.Event()

    async def __call__(self) -> None:
        self.asked.set()
        raise self.error


class NotedSender(MemoryEmailSender):
    """Tells that a mail came."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Event()

    async def send(self, mail: Mail, *, fresh: bool = False) -> Outcome:
        self.came.set()
        return await super().send(mail, fresh=fresh)


async def test_it_delivers_and_on_sigterm_commits_and_ends_with_0(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    container, sender = container_of(), NotedSender()
    container.email_sender.override(providers.Object(sender))
    serving = asyncio.create_task(serve_consumer(container, "email", ParentLink(None)))
    await container.apply_topics()()
    record = NewRecord(SHARD, None, b'{"email": "ada@example.com"}')
    await MemoryPublisher(container.memory_broker()).publish([record])
    await sender.came.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    code = await serving

    said = [record.getMessage() for record in caplog.records if record.name == "herald.process"]
    assert code == 0
    assert [mail.subject for mail in sender.sent] == ["Transaction Successful"]
    assert container.memory_broker().positions["email", SHARD] == Position(1, "1 0 0")
    assert said == ["Consumer started", "Consumer stopped"]


async def test_sigterm_while_the_log_is_away_ends_it_with_0() -> None:
    container, topics = container_of(), FailingTopics(LogUnavailable("no broker"))
    container.apply_topics.override(providers.Object(topics))
    serving = asyncio.create_task(serve_consumer(container, "email", ParentLink(None)))
    await topics.asked.wait()
    os.kill(os.getpid(), signal.SIGTERM)

    assert await serving == 0


async def test_a_topic_with_other_numbers_ends_it_with_that_line(caplog: pytest.LogCaptureFixture) -> None:
    container = container_of()
    container.apply_topics.override(providers.Object(FailingTopics(TopicMismatch("topic t has 3"))))

    with pytest.raises(TopicMismatch):
        await serve_consumer(container, "email", ParentLink(None))
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL] == [
        "The consumer ends: topic t has 3"
    ]


def test_a_group_that_no_topic_names_is_one_line_and_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    topic = {"name": "mails", "groups": ["email"]}
    settings = Settings.model_validate(
        {"topics": [topic], "logging": {"file": str(tmp_path / "{process}.log")}}
    )

    code = run_consumer(Loaded(settings, {}), "sms")

    assert code == 1
    assert "no topic is for the group sms" in capfd.readouterr().err
