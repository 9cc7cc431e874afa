"""Topics at boot: an outage is waited out, a mismatch is not."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

import pytest

from application.apply_topics import NONE_OF_THEM, Applied, ListedTopic
from domain.errors import HeraldError, LogUnavailable, TopicMismatch
from domain.topic import TopicPlan
from entrypoints.boot_topics import apply_topics_at_boot, topics_made_elsewhere
from tests.fakes import FakeClock

PLANS = [TopicPlan(name="herald-presence", partitions=1, replication_factor=1, retention_ms=1)]
DONE = Applied(created=("transactions",), single_copy=("transactions",))


class ScriptedApply:
    """Fails as told, then answers `done`."""

    def __init__(self, failures: Iterable[HeraldError] = (), done: Applied = DONE) -> None:
        self.failures = list(failures)
        self.done = done
        self.calls = 0

    async def __call__(self) -> Applied:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.done


async def boot(apply: ScriptedApply, clock: FakeClock, *, warns: bool = True) -> None:
    await apply_topics_at_boot(apply, clock, warns_of_single_copies=warns, draw=lambda: 1.0)


async def test_topics_that_could_be_made_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "herald.topics")

    await boot(ScriptedApply(), FakeClock())

    actions = [(record.levelname, getattr(record, "action", "")) for record in caplog.records]
    assert actions == [("INFO", "topic_created"), ("WARNING", "topic_single_copy")]


async def test_single_copies_are_no_news_where_there_is_one_disk_anyway(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await boot(ScriptedApply(), FakeClock(), warns=False)

    assert caplog.records == []


async def test_an_outage_is_waited_out_with_growing_pauses_and_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, apply = FakeClock(), ScriptedApply([LogUnavailable("no broker")] * 3)
    booting = asyncio.create_task(boot(apply, clock, warns=False))

    await clock.advance(0.5 + 1.0 + 1.9)
    calls_before = apply.calls
    await clock.advance(0.1)
    await booting

    assert (calls_before, apply.calls) == (3, 4)
    assert [getattr(record, "action", "") for record in caplog.records] == ["topics_wait"]


async def test_where_processes_may_not_tell_of_themselves_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await boot(ScriptedApply(done=replace(DONE, trouble="refused")), FakeClock(), warns=False)

    [line] = caplog.records
    assert (line.levelname, line.__dict__["reason"]) == ("WARNING", "refused")


async def test_who_waits_for_the_topics_does_not_wait_for_one_that_no_message_needs() -> None:
    listed = [ListedTopic(plan=plan, found=None, groups=(), own_of=NONE_OF_THEM) for plan in PLANS]

    async def list_topics() -> list[ListedTopic]:
        return listed

    async with asyncio.timeout(5):
        await topics_made_elsewhere(list_topics, FakeClock())


async def test_a_mismatch_is_raised_at_once() -> None:
    apply = ScriptedApply([TopicMismatch("topic t has 3 partitions")])

    with pytest.raises(TopicMismatch, match="3 partitions"):
        await boot(apply, FakeClock())
