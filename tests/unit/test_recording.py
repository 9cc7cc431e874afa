"""Nothing is committed before it is noted, and what is not noted yet is bounded."""

from collections import Counter
from collections.abc import Sequence

import pytest

from adapters.memory_broker import MemoryBroker
from adapters.memory_ledger import MemoryLedger
from application.engine_options import EngineOptions
from domain.errors import LogUnavailable
from domain.ledger import LedgerRecord, Note, State
from domain.log import Shard
from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, TryAgain
from tests.engine_parts import SHARD, Running, World

CONCURRENCY = 4
OPTIONS = EngineOptions(concurrency=CONCURRENCY)


class LedgerAway(MemoryLedger):
    """Cannot be written for a while, though the rest of the log answers."""

    away: set[MemoryBroker] = set()  # noqa: RUF012 - shared on purpose: whoever takes over meets it too

    def __init__(self, broker: MemoryBroker, group: str) -> None:
        super().__init__(broker, group)
        self.broker = broker

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        if self.broker in self.away:
            raise LogUnavailable("too few copies")
        return await super().write(shard, notes)


def ids(count: int) -> list[str]:
    return [f"m{number}" for number in range(count)]


def ledger_away(world: World) -> None:
    LedgerAway.away.add(world.broker)


def ledger_back(world: World) -> None:
    LedgerAway.away.discard(world.broker)


async def test_while_the_ledger_is_away_no_more_than_so_many_are_sent_and_none_is_committed() -> None:
    world = World(options=OPTIONS, ledger_type=LedgerAway)
    ledger_away(world)
    await world.post(*ids(50))

    async with world.running() as running:
        await world.clock.advance(300.0)
        assert CONCURRENCY <= len(world.channel.sent) <= 2 * CONCURRENCY
        assert (running.engine.in_flight, world.committed()) == (0, 0)
        assert not running.engine.stalled()

        ledger_back(world)
        await world.clock.advance(10.0)
    assert sorted(world.channel.sent) == sorted(ids(50))
    assert world.committed() == 50


@pytest.mark.parametrize("key", ["k", None])
async def test_a_crash_while_the_ledger_is_away_repeats_at_most_what_the_bound_says(
    key: str | None,
) -> None:
    world = World(options=OPTIONS, ledger_type=LedgerAway)
    ledger_away(world)
    await world.post(*ids(50), key=key)
    async with world.running():
        await world.clock.advance(60.0)

    ledger_back(world)
    async with world.running():
        await world.clock.advance(60.0)

    sent = Counter(world.channel.sent)
    assert set(sent) == set(ids(50))
    assert 0 < sum(sent.values()) - 50 <= 2 * CONCURRENCY
    assert max(sent.values()) <= 2


async def test_no_probe_goes_out_while_too_much_is_not_noted() -> None:
    world = World(options=EngineOptions(concurrency=1), ledger_type=LedgerAway)
    ledger_away(world)
    world.channel.script += [Delivered(), ChannelDown("535", certain=True)]
    await world.post(*ids(20))

    async with world.running():
        await world.clock.advance(120.0)

    assert world.channel.asked == ["m0"]


async def test_answers_of_the_ledger_that_are_lost_make_no_second_end_count() -> None:
    world = World(options=OPTIONS)
    await world.post(*ids(10))

    async with world.running() as running:
        world.broker.loses_answers = True
        await world.post(*ids(10))
        await world.clock.advance(5.0)
        world.broker.loses_answers = False
        await world.clock.advance(20.0)
        await running.drain(1.0)

    assert sorted(world.channel.sent) == sorted(ids(10))
    assert world.committed() == 20
    async with world.running():
        await world.clock.advance(5.0)
    assert len(world.channel.sent) == 10


async def test_an_end_is_noted_with_all_that_is_asked_about_it_later() -> None:
    world = World()
    world.channel.script += [TryAgain("451 greylisted"), Delivered("provider-7")]
    await world.post("one", key="k")

    async with world.running():
        await world.clock.advance(5.0)

    tried, end = world.broker.ledgers["email", SHARD].notes
    assert isinstance(tried, LedgerRecord)
    assert isinstance(end, LedgerRecord)
    assert (tried.state, tried.attempts, tried.reason) == (State.RETRYING, 1, "451 greylisted")
    assert (end.state, end.attempts, end.provider_id, end.low) == (State.SENT, 1, "provider-7", 0)
    assert end.at == tried.at + 1.0


async def test_a_stop_waits_for_what_is_answered_to_be_noted_but_not_for_long() -> None:
    world = World(options=OPTIONS, ledger_type=LedgerAway)
    await world.post(*ids(3))

    async with world.running() as running:
        ledger_away(world)
        await world.post("last")
        await world.clock.settle()
        await running.drain(3.0)
        assert not running.task.done()
        await world.clock.advance(2.0)
        assert running.task.done()

    ledger_back(world)
    sent_before = len(world.channel.sent)
    async with world.running():
        await world.clock.advance(3.0)
    assert world.committed() == 4
    assert len(world.channel.sent) - sent_before <= CONCURRENCY


async def test_a_stop_repeats_nothing_that_was_answered() -> None:
    world = World(options=OPTIONS)
    world.channel.answer = lambda m: _first_fails(world.channel.asked, m)
    await world.post(*ids(40))

    for _ in range(10):
        async with world.running() as running:
            await world.clock.advance(0.5)
            await stop(world, running)
    async with world.running():
        await world.clock.advance(600.0)

    assert sorted(world.channel.sent) == sorted(ids(40))
    assert world.committed() == 40


async def stop(world: World, running: Running) -> None:
    await running.drain(5.0)
    assert running.task.done()


def _first_fails(asked: Sequence[str], message: Message) -> Outcome:
    """Each one's first two tries are answered with a 451."""
    return TryAgain("451") if asked.count(message.request_id) < 3 else Delivered()
