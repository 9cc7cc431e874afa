"""A process that stood still ends itself before it sends, notes or commits anything."""

import asyncio

import pytest

from adapters.memory import MemoryPublisher
from application.engine_options import EngineOptions
from application.tick import Tick
from domain.log import NewRecord
from tests.engine_parts import SHARD, Frozen, World, end_at_once
from tests.fakes import FakeClock

OPTIONS = EngineOptions(concurrency=8, tick_seconds=1.0, frozen_seconds=15.0)


def test_a_short_gap_is_nothing() -> None:
    clock = FakeClock()
    tick = Tick(clock, 1.0, 15.0, end_at_once)
    clock.time += 15.0

    tick.check()


def test_a_gap_longer_than_the_limit_ends_the_process_and_says_how_long_it_was() -> None:
    clock = FakeClock()
    tick = Tick(clock, 1.0, 15.0, end_at_once)
    clock.time += 16.0

    with pytest.raises(Frozen, match="stood still for 16 s"):
        tick.check()


async def test_it_beats_for_as_long_as_the_process_runs() -> None:
    clock = FakeClock()
    tick = Tick(clock, 1.0, 15.0, end_at_once)
    beating = asyncio.create_task(tick.run())

    await clock.advance(3600.0)
    tick.check()

    assert not beating.done()
    beating.cancel()


async def test_the_wait_for_the_log_before_it_beats_is_no_standstill() -> None:
    clock = FakeClock()
    tick = Tick(clock, 1.0, 15.0, end_at_once)
    clock.time += 1000.0

    beating = asyncio.create_task(tick.run())
    await clock.settle()
    tick.check()

    assert not beating.done()
    beating.cancel()


async def test_the_beat_itself_notices_before_it_renews_the_time() -> None:
    clock = FakeClock()
    beating = asyncio.create_task(Tick(clock, 1.0, 15.0, end_at_once).run())
    await clock.settle()
    clock.time += 100.0  # nobody is woken meanwhile: what SIGSTOP does

    await clock.advance(0.0)

    assert isinstance(beating.exception(), Frozen)


async def test_on_waking_nothing_is_sent() -> None:
    world = World(options=OPTIONS)
    async with world.running() as running:
        await world.clock.advance(3.0)
        await post_while_frozen(world)

        await world.clock.settle()

        assert isinstance(running.task.exception(), Frozen)
    assert world.channel.asked == []


async def test_on_waking_nothing_is_noted_or_committed() -> None:
    world = World(options=OPTIONS)
    world.channel.hold = asyncio.Event()
    await world.post("one", "two")
    async with world.running() as running:
        await world.clock.advance(3.0)
        world.clock.time += 100.0
        world.channel.hold.set()  # the answers had come while it stood still

        await world.clock.settle()

        assert isinstance(running.task.exception(), Frozen)
    assert world.broker.ledgers["email", SHARD].notes == []
    assert world.committed() == 0


async def test_on_waking_no_dead_letter_is_kept() -> None:
    world = World(options=OPTIONS)
    async with world.running() as running:
        await world.clock.advance(3.0)
        await post_while_frozen(world, b"not a message")

        await world.clock.settle()

        assert isinstance(running.task.exception(), Frozen)
    assert world.letters() == []


async def post_while_frozen(world: World, value: bytes = b'{"request_id": "x", "email": "a@b.test"}') -> None:
    world.clock.time += 100.0
    await MemoryPublisher(world.broker).publish([NewRecord(SHARD, None, value)])
