"""Standstill, lag and retention, as an engine finds them out about itself."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

import pytest

from adapters.memory import MemoryLog
from adapters.memory_ledger import MemoryLedger
from application.engine_options import EngineOptions
from application.monitor import EngineStalled
from application.shards import HoldingLimits
from application.watchdog import Watchdog
from domain.ledger import Deferral
from domain.log import Bounds, LogEvent, Position, Shard
from domain.outcome import ChannelDown, TryAgain
from tests.engine_parts import SHARD, TOPIC, Running, World

HOUR = 3600.0
WEEK = 168 * HOUR
RARELY = EngineOptions(
    concurrency=8,
    commit_seconds=60,
    poll_seconds=600,
    measure_seconds=60,
    orders_seconds=60,
    tick_seconds=600,
    frozen_seconds=1e9,
)


# The watchdog -------------------------------------------------------------------------------------


def test_what_does_not_move_with_work_before_it_is_stalled_after_its_time() -> None:
    watchdog = Watchdog(60.0)
    for now in range(0, 61, 5):
        watchdog.look("a", float(now), moved=7, has_work=True)

    assert not watchdog.stalled(59.9)
    assert watchdog.stalled(60.0)


def test_one_that_stands_is_not_hidden_by_others_that_move() -> None:
    watchdog = Watchdog(60.0)
    for now in range(0, 70, 5):
        watchdog.look("stands", float(now), moved=7, has_work=True)
        watchdog.look("moves", float(now), moved=now, has_work=True)

    assert watchdog.stalled(65.0)


def test_without_work_for_a_moment_the_time_begins_anew() -> None:
    watchdog = Watchdog(60.0)
    for now in range(0, 110, 5):
        watchdog.look("a", float(now), moved=7, has_work=now != 50)

    assert not watchdog.stalled(109.0)
    assert watchdog.stalled(110.0)


def test_what_is_not_ours_any_more_cannot_stall() -> None:
    watchdog = Watchdog(60.0)
    watchdog.look("a", 0.0, moved=7, has_work=True)

    watchdog.keep_only({"b"})

    assert not watchdog.stalled(1000.0)


# A whole engine that stands -----------------------------------------------------------------------


class DeadFetch(MemoryLog):
    """Its fetch task has died: it keeps its group, answers every question, and hands nothing out."""

    dead = False

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        return await super().next_event(frozenset() if self.dead else wanted, limit, seconds)


class StuckShard(MemoryLog):
    """One shard gets nothing more, the other goes on."""

    stuck: AbstractSet[Shard] = frozenset()

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        return await super().next_event(wanted - self.stuck, limit, seconds)


class Quiet(MemoryLog):
    """The end counts what is never handed out, as the marks of Kafka's transactions are."""

    async def bounds(self, shards: AbstractSet[Shard]) -> Mapping[Shard, Bounds]:
        bounds = await super().bounds(shards)
        return {shard: Bounds(found.first, found.end + 1) for shard, found in bounds.items()}

    def reached(self, shard: Shard) -> int | None:
        reached = super().reached(shard)
        return reached + 1 if reached is not None else None


async def test_a_dead_fetch_ends_the_process() -> None:
    world = World(log_type=DeadFetch)
    async with world.running() as running:
        await world.post("one")
        await world.clock.advance(5.0)
        assert isinstance(running.log, DeadFetch)
        running.log.dead = True
        await world.clock.advance(2.0)  # until the running poll is over
        await world.post("two")

        await world.clock.advance(55.0)
        assert not running.task.done()
        await world.clock.advance(15.0)

        assert isinstance(running.task.exception(), EngineStalled)
    assert world.channel.sent == ["one"]


async def test_a_stuck_shard_ends_the_process_though_another_one_moves() -> None:
    world = World(log_type=StuckShard, partitions=2)
    async with world.running() as running:
        assert isinstance(running.log, StuckShard)
        running.log.stuck = {Shard(TOPIC, 1)}
        await world.clock.advance(2.0)  # until the running poll is over
        await world.post("stuck", partition=1)
        for number in range(14):
            await world.post(f"m{number}", partition=0)
            await world.clock.advance(5.0)

        assert isinstance(running.task.exception(), EngineStalled)


async def test_a_log_whose_end_is_never_handed_out_is_no_standstill() -> None:
    world = World(log_type=Quiet)
    await world.post("one")

    async with world.running() as running:
        await world.clock.advance(300.0)

        assert not running.task.done()


@asynccontextmanager
async def busy(world: World) -> AsyncIterator[Running]:
    await world.post(*(f"m{number}" for number in range(20)))
    async with world.running() as running:
        yield running


async def test_an_outage_of_the_channel_is_no_standstill() -> None:
    world = World()
    world.channel.answer = lambda _: ChannelDown("421")

    async with busy(world) as running:
        await world.clock.advance(300.0)

        assert not running.task.done()
        assert not running.engine.stalled()


async def test_an_outage_of_the_log_is_no_standstill() -> None:
    world = World()

    async with busy(world) as running:
        world.broker.down = True
        await world.clock.advance(300.0)

        assert not running.task.done()
        assert not running.engine.stalled()


async def test_messages_that_wait_to_be_tried_again_are_no_standstill() -> None:
    world = World(options=EngineOptions(concurrency=8, limits=HoldingLimits(records=1)))
    world.channel.script += [TryAgain("451", after=200.0)]

    async with busy(world) as running:
        await world.clock.advance(150.0)

        assert not running.task.done()


async def test_a_slow_provider_is_no_standstill() -> None:
    world = World(options=EngineOptions(concurrency=2))
    world.channel.hold = asyncio.Event()

    async with busy(world) as running:
        await world.clock.advance(150.0)

        assert not running.task.done()


async def test_a_full_bound_of_what_is_put_off_is_no_standstill() -> None:
    world = World(options=EngineOptions(concurrency=8, fetch_limit=1, limits=HoldingLimits(deferred=1)))
    world.channel.answer = lambda _: TryAgain("451")
    await world.post("bad", "next", key="k")

    async with world.running() as running:
        await world.clock.advance(100.0)
        await world.post("later")
        await world.clock.advance(300.0)

        assert not running.task.done()


# Lag and retention --------------------------------------------------------------------------------


async def test_what_is_put_off_counts_in_the_lag_and_in_the_oldest_age() -> None:
    world = World(options=RARELY)
    world.channel.answer = lambda _: TryAgain("451")
    await world.post("bad")

    async with world.running() as running:
        await world.clock.advance(2 * HOUR)
        snapshot = running.engine.snapshot()

    assert [(lag.lag, lag.deferred) for lag in snapshot.lags] == [(0, 1)]
    assert snapshot.oldest_unfinished[TOPIC] >= 2 * HOUR - 60


async def test_a_snapshot_says_whether_the_log_answered_when_it_was_asked_last() -> None:
    world = World()

    async with world.running() as running:
        await world.clock.advance(6.0)
        before = running.engine.snapshot().log_up
        world.broker.down = True
        await world.clock.advance(6.0)
        during = running.engine.snapshot().log_up
        world.broker.down = False
        await world.clock.advance(6.0)

        assert [before, during, running.engine.snapshot().log_up] == [True, False, True]


async def test_a_backlog_that_is_not_held_has_an_age_too() -> None:
    world = World()

    async with world.running() as running:
        running.engine.breaker.note(ChannelDown("535", certain=True), "key", 1e12, probe=False)
        await world.clock.advance(2.0)
        await world.post("waits in the log")
        await world.clock.advance(30.0)
        snapshot = running.engine.snapshot()

    assert world.channel.asked == []
    assert snapshot.oldest_unfinished[TOPIC] >= 25.0


async def test_a_group_whose_backlog_nears_its_retention_is_warned_about_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(options=RARELY)
    world.channel.answer = lambda _: ChannelDown("421")
    await world.post("old")
    await world.clock.advance(0.74 * WEEK)

    with caplog.at_level(logging.WARNING, "herald.engine"):
        async with world.running() as running:
            await world.clock.advance(HOUR)
            assert not [text for text in caplog.messages if "retention" in text]

            await world.clock.advance(3 * HOUR)
            used = running.engine.snapshot().retention_used[TOPIC]

    assert 0.75 <= used <= 0.78
    assert sum("of its retention" in text for text in caplog.messages) == 1


async def test_what_is_put_off_is_at_no_risk_of_retention(caplog: pytest.LogCaptureFixture) -> None:
    world = World(options=RARELY)
    world.channel.answer = lambda _: TryAgain("451")
    await world.post("bad")
    kept = Deferral(record=world.broker.read(SHARD, 0, 1)[0])
    await MemoryLedger(world.broker, "email").write(SHARD, [kept])
    world.broker.positions["email", SHARD] = Position(1, "1 0 0")
    await world.clock.advance(0.9 * WEEK)

    with caplog.at_level(logging.WARNING, "herald.engine"):
        async with world.running() as running:
            await world.clock.advance(300.0)
            snapshot = running.engine.snapshot()

    assert snapshot.oldest_unfinished[TOPIC] > 0.9 * WEEK
    assert snapshot.retention_used == {TOPIC: 0.0}
    assert not [text for text in caplog.messages if "retention" in text]


async def test_a_backlog_two_days_old_is_delivered() -> None:
    world = World()
    await world.post(*(f"m{number}" for number in range(100)))
    await world.clock.advance(48 * HOUR)

    async with world.running():
        await world.clock.advance(3.0)

    assert len(world.channel.sent) == 100
    assert world.letters() == []
