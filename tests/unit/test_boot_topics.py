"""Topics at boot: an outage is waited out, a mismatch is not."""

import asyncio
import logging
from collections.abc import Iterable

import pytest

from application.apply_topics import Applied
from domain.errors import HeraldError, LogUnavailable, TopicMismatch
from entrypoints.boot_topics import apply_topics_at_boot
from tests.fakes import FakeClock

DONE = Applied(created=("transactions",), single_copy=("transactions",))


class ScriptedApply:
    """Fails as told, then answers `DONE`."""

    def __init__(self, failures: Iterable[HeraldError] = ()) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> Applied:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return DONE


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


async def test_a_mismatch_is_raised_at_once() -> None:
    apply = ScriptedApply([TopicMismatch("topic t has 3 partitions")])

    with pytest.raises(TopicMismatch, match="3 partitions"):
        await boot(apply, FakeClock())
