"""What the doctor concludes from the log: topics, consumers and their channels, what may be lost."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import pytest

from adapters.memory import MemoryBroker, MemoryTopicCatalog
from adapters.memory_status import MemoryGroupLags
from application.apply_topics import ApplyTopics
from application.doctor_checks import LookAtConsumers, LookAtRetention, LookAtTopics
from domain.diagnosis import Finding, FindingState, ok, unknown, wrong
from domain.errors import LogUnavailable
from domain.log import NewRecord, Position, Shard
from domain.presence import ChannelState, ProcessReport
from domain.topic import Topic
from tests.fakes import FakeClock

TOPIC = Topic(name="orders", partitions=2, groups=("email",), retention_hours=10)
OTHER = replace(TOPIC, name="refunds", partitions=1)
HOUR = 3600.0
NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


class OneLog:
    """Everything on one broker in memory."""

    def __init__(self, *topics: Topic) -> None:
        self.clock = FakeClock(NOW)
        self.broker = MemoryBroker(self.clock)
        self.topics = topics or (TOPIC,)
        self.apply = ApplyTopics(MemoryTopicCatalog(self.broker), self.topics, 90)

    def append(self, shard: Shard, hours_ago: float = 0.0) -> None:
        self.clock.time = NOW - hours_ago * HOUR
        self.broker.append(NewRecord(shard, None, b"{}"))
        self.clock.time = NOW

    async def topics_seen(self, *topics: Topic, warns: bool = False) -> Sequence[Finding]:
        apply = ApplyTopics(MemoryTopicCatalog(self.broker), topics or self.topics, 90)
        return (await LookAtTopics(apply, warns_of_single_copies=warns).look()).findings

    async def retention_seen(self, *, log_forgets: bool = True) -> Sequence[Finding]:
        lags = MemoryGroupLags(self.broker)
        look = LookAtRetention(lags, self.apply, self.topics, self.clock, log_forgets=log_forgets)
        return (await look.look()).findings


# Topics ---------------------------------------------------------------------------------------


async def test_topics_as_configured_are_well() -> None:
    log = OneLog()
    made = (await log.apply()).created

    assert await log.topics_seen() == (
        ok("topics", f"1 as the settings say, and {len(made) - 1} of Herald's own"),
    )


async def test_topics_that_are_missing_are_wrong_and_made_by_nobody() -> None:
    log = OneLog()

    [finding] = await log.topics_seen()

    assert finding.state is FindingState.WRONG
    assert finding.says.startswith("orders, orders.email.ledger, ")
    assert finding.remedy == "run 'herald topics apply'"
    assert (await log.apply()).created[0] == "orders"


async def test_each_topic_with_other_numbers_is_told_with_its_remedy() -> None:
    log = OneLog()
    await log.apply()

    first, *_ = await log.topics_seen(replace(TOPIC, partitions=5))

    assert first.state is FindingState.WRONG
    assert first.says == "topic orders has 2 partitions where the settings say 5"
    assert first.remedy.startswith("set partitions = 2")


async def test_one_copy_is_a_warning_where_the_log_can_have_more() -> None:
    log = OneLog()
    await log.apply()

    [finding] = await log.topics_seen(warns=True)

    assert finding.state is FindingState.WARNING
    assert finding.says == "the log keeps one copy of orders: one lost disk loses messages"


async def test_a_log_that_goes_away_is_not_swallowed() -> None:
    log = OneLog()
    log.broker.down = True

    with pytest.raises(LogUnavailable):
        await log.topics_seen()


# Consumers ------------------------------------------------------------------------------------


def report(group: str = "email", **of: Any) -> ProcessReport:
    usual: dict[str, Any] = {
        "process": "p-1",
        "group": group,
        "host": "web-1",
        "pid": 7,
        "version": "1.0",
        "started_at": NOW - 60,
        "at": NOW - 1,
        "channel": ChannelState(up=True, since=NOW - 60),
        "in_flight": 0,
        "topics": (),
    }
    return ProcessReport(**{**usual, **of})


class Told:
    """A `Presence` that has been told these."""

    def __init__(self, *reports: ProcessReport) -> None:
        self._reports = reports

    async def tell(self, report: ProcessReport) -> None:
        raise NotImplementedError

    async def leave(self, process: str) -> None:
        raise NotImplementedError

    async def seen(self) -> Sequence[ProcessReport]:
        return self._reports

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


async def consumers_seen(*reports: ProcessReport, groups: Sequence[str] = ("email",)) -> list[Finding]:
    return list((await LookAtConsumers(Told(*reports), groups, "1.0", FakeClock(NOW)).look()).findings)


async def test_each_group_has_its_processes_and_since_when() -> None:
    findings = await consumers_seen(report(), report(pid=8, host="web-2"))

    assert findings == [
        ok(
            "consumers email",
            "2 processes: web-1 pid 7 since 2027-01-15T07:59:00Z; web-2 pid 8 since 2027-01-15T07:59:00Z",
        ),
        ok("channel email", "up since 2027-01-15T07:59:00Z"),
    ]


async def test_a_group_without_a_process_is_wrong() -> None:
    findings = await consumers_seen(report(), groups=["email", "sms"])

    assert findings[2:] == [
        wrong("consumers sms", "no process of this group runs", "start 'herald consumer sms'"),
        unknown("channel sms", "not known without a consumer"),
    ]


async def test_who_stands_by_is_no_fault_as_long_as_one_works() -> None:
    standing_by = report(pid=8, waiting="standing by")

    one_works, _ = await consumers_seen(report(), standing_by)
    none_works, _ = await consumers_seen(standing_by)

    assert (one_works.state, none_works.state) == (FindingState.OK, FindingState.WARNING)
    assert "pid 8 since 2027-01-15T07:59:00Z, waits: standing by" in one_works.says
    assert none_works.says.startswith("none of 1 process: ")


async def test_a_consumer_of_another_version_is_a_warning() -> None:
    [finding, _] = await consumers_seen(report(version="0.9"), report())

    assert finding.state is FindingState.WARNING
    assert finding.says.endswith("of version 0.9 and not 1.0")


async def test_a_channel_that_is_down_is_wrong_with_since_when_and_why() -> None:
    down = ChannelState(up=False, since=NOW - 720, reason="connecting: refused")

    _, some = await consumers_seen(report(channel=down), report())
    _, every = await consumers_seen(report(channel=down))

    assert (some.state, every.state) == (FindingState.WRONG, FindingState.WRONG)
    assert some.says.startswith("down for 1 of 2 processes since 2027-01-15T07:48:00Z (12.0 min): ")
    assert every.says == "down since 2027-01-15T07:48:00Z (12.0 min): connecting: refused"


async def test_a_consumer_s_clock_counts_where_it_is_ahead() -> None:
    look = LookAtConsumers(Told(report(at=NOW + 100)), ["email"], "1.0", FakeClock(NOW))

    [reading] = (await look.look()).clocks

    assert (reading.source, reading.ahead, reading.may_lag) == ("the consumer on web-1", 100, True)


# Retention ------------------------------------------------------------------------------------


async def test_a_log_in_which_nothing_waits_loses_nothing() -> None:
    log = OneLog()
    await log.apply()

    assert await log.retention_seen() == (ok("retention", "nothing waits"),)


async def test_the_oldest_that_waits_is_told_with_how_long_it_is_kept() -> None:
    log = OneLog(TOPIC, OTHER)
    await log.apply()
    log.append(Shard("orders", 1), hours_ago=3)
    log.append(Shard("refunds", 0), hours_ago=2)

    [finding] = await log.retention_seen()

    assert finding == ok("retention", "the oldest message that waits has 3.0 h (email, orders) of 10.0 h")


async def test_one_near_its_end_is_wrong_for_each_topic_it_holds_for() -> None:
    log = OneLog(TOPIC, OTHER)
    await log.apply()
    log.append(Shard("orders", 1), hours_ago=7.5)
    log.append(Shard("refunds", 0), hours_ago=7.4)

    [finding] = await log.retention_seen()

    assert finding.state is FindingState.WRONG
    assert finding.says == "the oldest message of orders that email has not finished has 7.5 h of 10.0 h"
    assert "before the log deletes it" in finding.remedy


async def test_what_a_group_has_finished_is_at_no_risk() -> None:
    log = OneLog()
    await log.apply()
    log.append(Shard("orders", 1), hours_ago=9)
    log.broker.positions["email", Shard("orders", 1)] = Position(1, "1 0 0")

    assert await log.retention_seen() == (ok("retention", "nothing waits"),)


async def test_a_log_that_keeps_what_is_unfinished_is_at_no_risk() -> None:
    log = OneLog()
    await log.apply()
    log.append(Shard("orders", 1), hours_ago=90)

    [finding] = await log.retention_seen(log_forgets=False)

    assert finding.state is FindingState.OK
    assert finding.says.endswith("the log keeps what is unfinished")


async def test_before_the_topics_exist_nothing_is_known() -> None:
    [finding] = await OneLog().retention_seen()

    assert finding == unknown("retention", "not known before every topic exists")
