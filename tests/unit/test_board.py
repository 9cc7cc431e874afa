import asyncio
from collections.abc import Sequence
from typing import Any, Self

import pytest

from adapters.memory_broker import MemoryBroker
from adapters.memory_presence import MemoryPresence
from adapters.memory_status import MemoryGroupLags
from application.board import Board
from application.board_answer import board_answer, history_answer
from application.board_reading import ANSWER_SECONDS, TakeReadings
from application.lag import ReadLags
from domain.errors import UnknownVersion
from domain.log import NewRecord, Shard
from domain.presence import ChannelState, ProcessReport
from domain.topic import Topic
from tests.board_parts import TIME, lag, reading, report
from tests.contracts.rig import plan
from tests.fakes import FakeClock

TRANSACTIONS = Topic(name="transactions", partitions=3, groups=("email",))
REFUNDS = Topic(name="refunds", partitions=1, groups=("email",))


class Scene:
    """A board over a log in memory."""

    def __init__(self, kind: type[MemoryPresence] = MemoryPresence) -> None:
        self.clock = FakeClock(TIME)
        self.broker = MemoryBroker(self.clock, [plan("transactions"), plan("refunds", 1)])
        topics = (TRANSACTIONS, REFUNDS)
        read_lags = ReadLags(MemoryGroupLags(self.broker), topics, self.clock)
        self.presence = kind(self.broker, self.clock)
        self.take = TakeReadings(read_lags, self.presence, self.clock)
        self.board = Board(self.take, topics, self.clock)

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.broker.append(NewRecord(Shard("transactions", 0), None, b"{}"))

    async def shown(self) -> Any:
        return board_answer(await self.board.now(), self.board.topics(None))

    def history(self) -> Any:
        return history_answer(self.board.history, self.board.topics(None), self.clock.now())


@pytest.fixture
def scene() -> Scene:
    return Scene()


class BrokenPresence(MemoryPresence):
    """Has a bug, while `is_broken`."""

    is_broken = False

    async def seen(self) -> Sequence[ProcessReport]:
        if self.is_broken:
            raise IndexError
        return await super().seen()


class SlowPresence:
    """Answers when it is let; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def seen(self) -> Sequence[ProcessReport]:
        self.asked += 1
        await self.may_answer.wait()
        return []

    async def tell(self, report: ProcessReport) -> None: ...
    async def leave(self, process: str) -> None: ...
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


async def test_it_shows_topics_groups_and_consumers(scene: Scene) -> None:
    scene.publish(4)
    await scene.presence.tell(report(sent=7, at=0))

    shown = await scene.shown()

    assert shown["as_of"] == "2027-01-15T08:00:00.000Z"
    assert shown["trouble"] is None
    topic, refunds = shown["topics"]
    (group,) = topic.pop("groups")
    assert topic == {"name": "transactions", "partitions": 3, "rate_in": None}
    assert group == {
        "name": "email",
        "rate_out": None,
        "lag": 4,
        "deferred": 0,
        "oldest_unfinished_seconds": 0.0,
        "processes": 1,
        "processes_down": 0,
        "channel": {"state": "up", "since": "2027-01-15T07:43:20.000Z", "reason": ""},
    }
    assert refunds["groups"][0]["channel"] == {"state": "unknown", "since": None, "reason": ""}
    (consumer,) = shown["consumers"]
    assert consumer["topics"] == [{"name": "transactions", "partitions": 6}]
    assert (consumer["process"], consumer["host"], consumer["pid"]) == ("one", "here", 1)


def test_a_group_is_down_while_one_process_finds_it_so_since_the_first_one_did() -> None:
    later = ChannelState(up=False, since=TIME - 5, reason="refused")
    first = ChannelState(up=False, since=TIME - 60, reason="timed out")
    reports = [report("a", channel=later), report("b"), report("c", channel=first)]

    shown = board_answer([reading(0, lag(0), reports=reports)], [TRANSACTIONS])

    group = shown["topics"][0]["groups"][0]
    assert (group["processes"], group["processes_down"]) == (3, 2)
    assert group["channel"] == {
        "state": "down",
        "since": "2027-01-15T07:59:00.000Z",
        "reason": "timed out",
    }


def test_who_stands_by_does_not_say_since_when_the_channel_works() -> None:
    reports = [
        report("works", channel=ChannelState(up=True, since=TIME - 60)),
        report("stands by", partitions=0, channel=ChannelState(up=True, since=TIME - 1)),
    ]

    shown = board_answer([reading(0, lag(0), reports=reports)], [TRANSACTIONS])

    assert shown["topics"][0]["groups"][0]["channel"]["since"] == "2027-01-15T07:59:00.000Z"


def test_consumers_of_topics_that_are_not_asked_for_are_not_shown() -> None:
    both = report("both")
    refund = report("refunds alone", topic="refunds")

    shown = board_answer([reading(0, lag(0), reports=[both, refund])], [TRANSACTIONS])

    assert [one["process"] for one in shown["consumers"]] == ["both"]


def test_who_may_not_know_of_every_topic_is_told_less_of_what_is_wrong() -> None:
    readings = [reading(0, trouble="Kafka has no topic secrets")]

    assert board_answer(readings, [TRANSACTIONS])["trouble"] == "Kafka has no topic secrets"
    assert board_answer(readings, [TRANSACTIONS], is_all=False)["trouble"] == "not all can be read now"


async def test_while_the_log_is_away_it_says_so_and_shows_what_it_can(scene: Scene) -> None:
    scene.broker.down = True

    shown = await scene.shown()

    group = shown["topics"][0]["groups"][0]
    assert shown["trouble"] == "the log does not answer"
    assert [group[name] for name in ("lag", "deferred", "oldest_unfinished_seconds")] == [None] * 3
    assert group["channel"]["state"] == "unknown"
    assert shown["consumers"] == []


async def test_a_log_that_says_nothing_at_all_holds_nobody_up(scene: Scene) -> None:
    slow = SlowPresence()
    lags = ReadLags(MemoryGroupLags(scene.broker), (TRANSACTIONS,), scene.clock)
    asking = asyncio.create_task(TakeReadings(lags, slow, scene.clock)())

    await scene.clock.advance(ANSWER_SECONDS)

    shown = await asking
    assert shown.lags is not None
    assert shown.reports is None
    assert shown.trouble == "the log did not tell within 5 seconds which consumers there are"


async def test_what_a_newer_herald_wrote_is_trouble_and_no_failure(scene: Scene) -> None:
    class Newer(MemoryGroupLags):
        async def standings(self, group: str, shards: Sequence[Shard]) -> Any:
            raise UnknownVersion("run a newer Herald")

    lags = ReadLags(Newer(scene.broker), (TRANSACTIONS,), scene.clock)

    shown = await TakeReadings(lags, scene.presence, scene.clock)()

    assert (shown.lags, shown.trouble) == (None, "run a newer Herald")


async def test_all_who_ask_within_a_second_share_one_reading(scene: Scene) -> None:
    slow = SlowPresence()
    lags = ReadLags(MemoryGroupLags(scene.broker), (TRANSACTIONS,), scene.clock)
    take = TakeReadings(lags, slow, scene.clock)
    asking = [asyncio.create_task(take()) for _ in range(20)]
    await scene.clock.settle()
    asking[0].cancel()
    slow.may_answer.set()
    readings = await asyncio.gather(*asking[1:])
    await scene.clock.advance(0.9)
    again = await take()
    asked_within_a_second = slow.asked
    await scene.clock.advance(0.2)
    later = await take()

    assert (asked_within_a_second, slow.asked) == (1, 2)
    assert {id(one) for one in (*readings, again)} == {id(readings[0])}
    assert later is not again


async def test_closing_ends_a_reading_that_is_on_its_way(scene: Scene) -> None:
    lags = ReadLags(MemoryGroupLags(scene.broker), (TRANSACTIONS,), scene.clock)
    take = TakeReadings(lags, SlowPresence(), scene.clock)
    asking = asyncio.create_task(take())
    await scene.clock.settle()

    await take.close()

    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_it_remembers_a_step_every_ten_seconds_of_the_clock(scene: Scene) -> None:
    scene.clock.time = TIME + 3
    sampling = asyncio.create_task(scene.board.sample_always())
    await scene.clock.settle()
    for _ in range(4):
        scene.publish(20)
        await scene.clock.advance(10)
    sampling.cancel()

    history = scene.history()

    topic = history["topics"][0]
    assert history["step_seconds"] == 10
    assert history["ends_at"] == "2027-01-15T08:00:40.000Z"
    # The first step was seven seconds long, and twenty messages came in it.
    assert topic["rate_in"] == [None, 2.86, 2.0, 2.0, 2.0]
    assert topic["groups"] == [
        {
            "name": "email",
            "rate_out": [None, 0.0, 0.0, 0.0, 0.0],
            "lag": [0, 20, 40, 60, 80],
            "deferred": [0] * 5,
        }
    ]


async def test_an_outage_is_a_gap_and_measuring_goes_on_after_it(scene: Scene) -> None:
    sampling = asyncio.create_task(scene.board.sample_always())
    await scene.clock.advance(10)
    scene.broker.down = True
    await scene.clock.advance(20)
    scene.broker.down = False
    await scene.clock.advance(20)
    sampling.cancel()

    topic = scene.history()["topics"][0]

    assert topic["rate_in"] == [None, 0.0, None, None, None, 0.0]
    assert topic["groups"][0]["lag"] == [0, 0, None, None, 0, 0]


async def test_what_nobody_foresaw_costs_its_steps_and_one_line_and_not_the_board(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene(BrokenPresence)
    sampling = asyncio.create_task(scene.board.sample_always())
    for is_broken in (False, True, True, False):
        assert isinstance(scene.presence, BrokenPresence)
        scene.presence.is_broken = is_broken
        await scene.clock.advance(10)
    sampling.cancel()

    assert scene.history()["topics"][0]["groups"][0]["lag"] == [0, 0, None, None, 0]
    assert [record.message for record in caplog.records] == ["The board missed a step"]


async def test_the_rate_is_that_of_the_last_half_minute(scene: Scene) -> None:
    sampling = asyncio.create_task(scene.board.sample_always())
    for count in (1000, 30, 30, 30):
        scene.publish(count)
        await scene.clock.advance(10)
    await scene.clock.advance(5)
    sampling.cancel()

    shown = await scene.shown()

    # Of the readings the oldest is that of 25 seconds ago.
    assert shown["topics"][0]["rate_in"] == pytest.approx(60 / 25, abs=0.01)
