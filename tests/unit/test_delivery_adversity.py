"""The delivery engine where several things go wrong at once, or at an awkward moment."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from adapters.memory import MemoryLog
from adapters.memory_ledger import MemoryLedger
from application.circuit_breaker import CircuitBreaker
from application.engine_options import EngineOptions
from application.shards import HoldingLimits, Shards
from domain.dead_letter import DeadLetter
from domain.errors import LogUnavailable, StorageBroken
from domain.ledger import LedgerRecord, Note, State, digest_of
from domain.log import Lost, Position, Record, Shard
from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain
from domain.retry import RetryPolicy
from domain.topic import Start
from tests.engine_parts import SHARD, TOPIC, AbsentDeadLetters, World, jitter
from tests.fakes import ScriptedChannel

DOWN = ChannelDown("connection refused")


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@dataclass
class SlowFor(ScriptedChannel):
    """Holds the sends of some messages until they are freed."""

    slow: dict[str, asyncio.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        outcome = await super().deliver(message, probe=probe)
        if message.request_id in self.slow and isinstance(outcome, Delivered):
            await self.slow[message.request_id].wait()
        return outcome


class Stubborn(ScriptedChannel):
    """Its library loses a cancel that comes with the answer, as `asyncio.wait_for` of Python 3.11 does."""

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        try:
            return await super().deliver(message, probe=probe)
        except asyncio.CancelledError:
            return Delivered()


async def test_the_channel_opens_again_also_when_no_shard_may_take_more_to_probe_with() -> None:
    world = World(options=EngineOptions(concurrency=4, limits=HoldingLimits(records=4)))
    world.channel.answer = lambda _: DOWN
    await world.post(*ids("m", 20))

    async with world.running() as running:
        await world.clock.advance(900.0)
        assert running.engine.breaker.is_open

        world.channel.answer = None
        await world.clock.advance(60.0)
        assert sorted(world.channel.sent) == sorted(ids("m", 20))


async def test_retries_that_are_due_together_go_side_by_side() -> None:
    channel = SlowFor()
    world = World(channel=channel)  # of eight workers two may have retries
    channel.script.extend([TryAgain("451"), TryAgain("451")])
    await world.post("one", "two")
    channel.slow = {"one": asyncio.Event()}

    async with world.running() as running:
        await world.clock.advance(90.0)

        assert channel.sent == ["one", "two"]
        assert running.engine.in_flight == 1
        assert not running.task.done()


async def test_others_go_on_while_the_letter_of_a_refused_probe_cannot_be_kept() -> None:
    world = World(options=EngineOptions(concurrency=4))
    world.channel.answer = lambda _: DOWN
    await world.post(*ids("m", 4))

    async with world.running() as running:
        await world.clock.advance(10.0)
        assert running.engine.breaker.is_open
        world.dead_letters.away = True
        world.channel.answer = None
        world.channel.script.append(Refused("550"))
        await world.clock.advance(60.0)

        assert len(world.channel.sent) == 3
        assert world.letters() == []


async def test_probes_go_on_while_the_letter_of_a_refused_one_cannot_be_kept() -> None:
    world = World(options=EngineOptions(concurrency=4))
    world.channel.answer = lambda _: DOWN
    await world.post(*ids("m", 4))

    async with world.running() as running:
        await world.clock.advance(10.0)
        world.dead_letters.away = True
        world.channel.answer = None
        world.channel.script.extend([Refused("550"), *[DOWN] * 4])
        await world.clock.advance(5.0)
        assert running.engine.breaker.is_open

        await world.clock.advance(60.0)
        assert not running.engine.breaker.is_open
        assert len(world.channel.sent) == 3


async def test_a_stop_waits_for_a_letter_that_is_being_kept() -> None:
    world = World()
    world.dead_letters.away = True
    await world.post_raw(b"not json")

    async with world.running() as running:
        await running.drain(10.0)
        assert not running.task.done()

        world.dead_letters.away = False
        await world.clock.advance(10.0)
        assert running.task.done()
        assert world.letters() == [(0, "undecodable")]
        assert world.committed() == 1


async def test_a_stop_waits_no_longer_than_drain_seconds_for_a_letter() -> None:
    world = World()
    world.dead_letters.away = True
    await world.post_raw(b"not json")

    async with world.running() as running:
        await running.drain(21.0)

        assert running.task.done()
        assert world.committed() == 0


async def test_a_message_that_probed_in_vain_waits_for_its_retry_as_before() -> None:
    # It was tried as soon as the channel was back: a channel that fails now and then used up its attempts.
    world = World(policy=RetryPolicy(first_seconds=600.0))
    channel = world.channel
    channel.answer = lambda _: TryAgain("451")
    waiting = ids("waits", 2)
    await world.post(*waiting)

    async with world.running():
        await world.clock.advance(1.0)
        channel.answer = lambda _: DOWN
        await world.post(*ids("m", 3))
        await world.clock.advance(60.0)
        channel.answer = lambda message: TryAgain("451") if message.request_id in waiting else Delivered()
        await world.clock.advance(500.0)
        assert "m2" in channel.sent
        assert set(waiting) < set(channel.probes)
        assert sum(channel.asked.count(one) - channel.probes.count(one) for one in waiting) == 2

        channel.answer = None
        await world.clock.advance(1200.0)
        assert set(waiting) < set(channel.sent)


class AwayForOne(AbsentDeadLetters):
    """Cannot keep the letters of the first partition."""

    async def keep(self, letter: DeadLetter) -> None:
        self.away = letter.record.shard == SHARD
        await super().keep(letter)


async def test_a_letter_that_cannot_be_kept_holds_its_own_shard_and_no_other() -> None:
    world = World(partitions=2)
    world.dead_letters = AwayForOne(world.broker)
    await world.post_raw(b"not json")

    async with world.running():
        await world.clock.advance(2.0)
        await world.post("other", partition=1, email="wrong")
        await world.clock.advance(5.0)

    assert world.letters() == [(0, "invalid")]
    assert (world.committed(0), world.committed(1)) == (0, 1)


class SlowToEnd(ScriptedChannel):
    """Its connection takes a moment to close when a send is cancelled."""

    def __init__(self, ends: asyncio.Event) -> None:
        super().__init__()
        self.ends = ends

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        try:
            return await super().deliver(message, probe=probe)
        except asyncio.CancelledError:
            await self.ends.wait()
            raise


async def test_a_stop_while_a_rebalance_cuts_off_a_send_still_notes_that_its_answer_is_lost() -> None:
    # The next owner would have sent it again at once, and not counted it.
    world = World(channel=SlowToEnd(asyncio.Event()), options=EngineOptions(concurrency=2, drain_seconds=2.0))
    world.channel.hold = asyncio.Event()
    await world.post("m")

    async with world.running() as running:
        await world.clock.advance(1.0)
        world.broker.group("email").rebalance()
        await world.clock.advance(2.5)
        await running.drain()
        assert isinstance(world.channel, SlowToEnd)
        world.channel.ends.set()
        await world.clock.advance(10.0)
        assert running.task.done()

    notes = world.broker.ledgers["email", SHARD].notes
    assert [note.state for note in notes if isinstance(note, LedgerRecord)] == [State.UNCERTAIN]


class Uncommitted(MemoryLog):
    """Takes no commits for a while."""

    away = True

    async def commit(self, positions: Mapping[Shard, Position]) -> None:
        if self.away:
            raise LogUnavailable("no coordinator")
        await super().commit(positions)


async def test_while_nothing_is_committed_no_more_than_so_much_is_taken() -> None:
    # All that ends is remembered until the position has passed it, so without end it must not be taken.
    limits = HoldingLimits(uncommitted=100)
    options = EngineOptions(concurrency=8, fetch_limit=10, limits=limits)
    world = World(options=options, log_type=Uncommitted)
    world.broker.positions["email", SHARD] = Position(0)
    await world.post(*ids("m", 400))

    async with world.running() as running:
        await world.clock.advance(30.0)
        assert 100 <= len(world.channel.sent) < 150

        assert isinstance(running.log, Uncommitted)
        running.log.away = False
        await world.clock.advance(30.0)

        assert len(world.channel.sent) == len(set(world.channel.sent)) == 400
        assert world.committed() == 400


async def test_the_letter_of_a_lost_shard_is_left_to_its_next_owner() -> None:
    world = World()
    world.dead_letters.away = True
    await world.post_raw(b"not json")

    async with world.running() as running:
        await world.clock.advance(1.0)
        world.broker.lose(running.log)
        await world.clock.advance(1.0)
        world.dead_letters.away = False
        await world.clock.advance(60.0)

        assert world.letters() == [(0, "undecodable")]
        assert world.committed() == 1


class AwayForTheFirst(MemoryLedger):
    """The broker of the first shard's notes is away."""

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        if shard == SHARD:
            raise LogUnavailable("no leader")
        return await super().write(shard, notes)


async def test_the_others_go_on_once_the_shard_is_lost_whose_notes_could_not_be_written() -> None:
    options = EngineOptions(concurrency=2)
    world = World(partitions=2, options=options, ledger_type=AwayForTheFirst)
    await world.post("one", "two")

    async with world.running() as running:
        await world.clock.advance(1.0)
        await world.post("three", partition=1)
        await world.clock.advance(1.0)
        assert world.channel.sent == ["one", "two"]  # as many as may be answered and not on record

        running.log._events.append(Lost(frozenset({SHARD})))
        world.broker.wake()
        await world.clock.advance(1.0)
        assert world.channel.sent == ["one", "two", "three"]


@pytest.mark.parametrize("away", ["stop", "revoke"])
async def test_a_channel_that_loses_a_cancel_holds_up_nothing(away: str) -> None:
    world = World(channel=Stubborn(), options=EngineOptions(concurrency=2, drain_seconds=5.0))
    world.channel.hold = asyncio.Event()
    await world.post(*ids("m", 4))

    async with world.running() as running:
        await world.clock.advance(1.0)
        if away == "stop":
            running.stop.set()
        else:
            world.broker.group("email").rebalance()
        await world.clock.advance(6.0)
        world.channel.hold.set()
        await world.clock.advance(6.0)

        assert running.task.done() == (away == "stop")
        assert world.committed() == (2 if away == "stop" else 4)


class LateLog(MemoryLog):
    """Tells positions late, and loses a cancel meanwhile."""

    answers: asyncio.Event

    async def committed(self, shard: Shard) -> Position | None:
        while self.held == {SHARD} and not self.answers.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.answers.wait()
        return await super().committed(shard)


async def test_a_shard_that_was_taken_away_while_it_was_loaded_is_not_begun() -> None:
    LateLog.answers = asyncio.Event()
    world = World(log_type=LateLog)
    world.broker.positions["email", SHARD] = Position(0)
    await world.post("one")

    async with world.running() as running:
        loaded = running.engine.shards.get(SHARD)
        world.broker.lose(running.log)
        await world.clock.settle()
        LateLog.answers.set()
        await world.clock.advance(2.0)

        assert loaded is not None
        assert not loaded.begun
        assert world.channel.sent == ["one"]


async def test_a_load_whose_cancel_was_lost_folds_nothing_into_what_its_successor_reads() -> None:
    # Notes that are folded twice take two places each in the window of what was sent.
    LateLog.answers = asyncio.Event()
    world = World(log_type=LateLog)
    await world.post(*ids("m", 250))
    sent = [
        LedgerRecord(
            offset=record.offset,
            request_id=f"m{record.offset}",
            digest=digest_of(record.value),
            state=State.SENT,
            low=0,
            at=world.clock.now(),
        )
        for record in world.broker.read(SHARD, 0, 250)
    ]
    await MemoryLedger(world.broker, "email").write(SHARD, sent)
    world.broker.positions["email", SHARD] = Position(0)

    async with world.running() as running:
        first = running.engine.shards.get(SHARD)
        world.broker.group("email").rebalance()
        await world.clock.advance(2.0)
        LateLog.answers.set()
        await world.clock.advance(2.0)

        state = running.engine.shards.get(SHARD)
        assert state is not None
        assert state is not first
        assert state.begun
        assert len(state.ledger.window) == 250


async def test_a_stop_while_the_log_is_away_and_shards_are_loaded_ends_at_once() -> None:
    world = World()
    world.clock.time += 1.0

    async with world.running() as running:
        await world.clock.advance(1.0)
        world.broker.down = True
        world.broker.lose(running.log)
        await world.clock.advance(5.0)
        await running.drain()

        assert running.task.done()
        assert running.task.exception() is None


async def test_the_start_of_a_new_group_is_committed_as_soon_as_that_is_confirmed() -> None:
    world = World(start=Start.END)
    await world.post("old")
    world.broker.loses_answers = True

    async with world.running():
        await world.clock.advance(10.0)
        await world.post("new")
        assert world.channel.sent == []

        world.broker.loses_answers = False
        await world.clock.advance(2.0)
        assert world.channel.sent == ["new"]


async def test_a_dead_letter_store_that_is_broken_ends_the_process_with_its_own_words() -> None:
    class BrokenStore(AbsentDeadLetters):
        async def keep(self, letter: DeadLetter) -> None:
            raise StorageBroken("the disk is full")

    world = World(options=EngineOptions(concurrency=2))
    world.dead_letters = BrokenStore(world.broker)
    world.channel.script.append(Refused("550"))
    world.channel.hold = asyncio.Event()
    await world.post("one", "two", "three")

    async with world.running() as running:
        world.channel.hold.set()
        await world.clock.settle()

        assert isinstance(running.task.exception(), StorageBroken)
        assert world.committed() <= 0


async def test_a_full_shard_of_unsendable_records_is_read_on_as_they_are_buried() -> None:
    world = World(options=EngineOptions(fetch_limit=3, limits=HoldingLimits(records=3)))
    world.dead_letters.away = True
    for _ in range(10):
        await world.post_raw(b"not json")

    async with world.running():
        await world.clock.advance(5.0)
        world.dead_letters.away = False
        await world.clock.advance(60.0)

    assert len(world.letters()) == 10
    assert world.committed() == 10


async def test_a_bug_in_reading_a_record_costs_that_record_only() -> None:
    class BuggyChannel(ScriptedChannel):
        def fault(self, message: Message) -> str | None:
            return super().fault(message) if message.request_id != "bug" else str(1 // 0)

    world = World(channel=BuggyChannel())
    await world.post("bug", "fine")

    async with world.running():
        await world.clock.advance(2.0)

    assert world.channel.sent == ["fine"]
    assert world.letters() == [(0, "undecodable")]
    assert world.committed() == 2


def test_a_process_that_waits_for_its_log_before_it_may_run_is_not_stalled() -> None:
    world = World()
    engine = world.engine(None)  # type: ignore[arg-type]  # it is asked for nothing
    world.clock.time += 3600.0

    assert not engine.stalled()


async def test_what_retention_took_is_told_once() -> None:
    world = World()
    await world.post(*ids("m", 10))
    world.broker.positions["email", SHARD] = Position(3)
    world.broker.forget(SHARD, before=10)

    async with world.running() as running:
        await world.clock.advance(2.0)
        assert running.engine.counts.overtaken[TOPIC] == 7
        await running.drain()
    async with world.running() as running:
        await world.clock.advance(2.0)
        assert running.engine.counts.overtaken[TOPIC] == 0
    assert world.committed() == 10


def test_a_breaker_that_stays_open_remembers_no_more_keys() -> None:
    class Key:
        pass

    breaker = CircuitBreaker(4, jitter)
    breaker.note(ChannelDown("535", certain=True), "first", 0.0, probe=False)
    key = Key()
    breaker.note(DOWN, key, 1.0, probe=True)
    forgotten = weakref.ref(key)
    del key
    gc.collect()

    assert forgotten() is None


def test_more_shards_than_records_allowed_still_take_one_each() -> None:
    shards = Shards(HoldingLimits(records=2), window_size=10)
    states = [shards.add(Shard(TOPIC, partition)) for partition in range(5)]
    for state in states:
        state.begin(0, Position(0))
        shards.fill(state)

    assert len(shards.wanted()) == 5


async def test_a_clock_behind_the_logs_makes_no_negative_age() -> None:
    world = World()
    await world.post("one")
    world.clock.time -= 100.0

    async with world.running() as running:
        await world.clock.advance(1.0)

        assert running.engine.counts.ages[TOPIC].total == 0.0


def test_all_shards_together_wait_for_a_commit_once_too_much_is_not_committed() -> None:
    shards = Shards(HoldingLimits(all_uncommitted=100), window_size=10)
    states = [shards.add(Shard(TOPIC, partition)) for partition in range(5)]
    for state in states:
        state.begin(0, Position(0))
        state.offsets.skip_to(30)
    shards.count_uncommitted()
    for state in states:
        shards.fill(state)
    assert shards.wanted() == set()

    for state in states[1:]:
        state.committed = Position(30)
    shards.count_uncommitted()

    assert all(shards.drained(state) for state in states)


@pytest.mark.parametrize(("shards", "fits"), [(1, 10), (5, 4), (50, 1)])
def test_what_may_be_put_off_is_shared_by_the_shards_of_a_process(shards: int, fits: int) -> None:
    of_process = Shards(HoldingLimits(deferred=10, all_deferred=20), window_size=10)
    states = [of_process.add(Shard(TOPIC, partition)) for partition in range(shards)]
    put_off = 0
    while of_process.may_defer(states[0]):
        states[0].begin_put(Record(states[0].shard, put_off, None, b"x", (), 0.0))
        put_off += 1

    assert put_off == fits
