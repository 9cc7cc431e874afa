"""A message that keeps failing is kept apart: it holds no commit, stays in its lane, and survives."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from adapters.memory import MemoryLog
from adapters.memory_ledger import MemoryLedger
from application.engine_options import EngineOptions
from application.shard_ledger import ShardLedger
from application.shards import HoldingLimits
from domain.ledger import Deferral, LedgerRecord, Note, State
from domain.log import NewRecord, Position, Shard
from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.retry import RetryPolicy
from tests.engine_parts import SHARD, TOPIC, Running, World
from tests.fakes import ScriptedChannel

GROUP = "email"
# Regular work wakes the fake clock as often as it is due, and here hours pass.
RARELY = EngineOptions(
    concurrency=8,
    commit_seconds=20,
    poll_seconds=60,
    measure_seconds=60,
    orders_seconds=60,
    tick_seconds=30,
    frozen_seconds=1000,
)


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def failing(*names: str) -> Callable[[Message], Outcome]:
    """These get a 451, all others go through."""
    return lambda message: TryAgain("451") if message.request_id in names else Delivered()


def puts(world: World) -> list[Deferral]:
    return [note for note in world.broker.deferrals[GROUP, SHARD].notes if isinstance(note, Deferral)]


def still_put_off(world: World) -> list[int]:
    """The source offsets that a new owner would find among the deferrals."""
    log = world.broker.deferrals.get((GROUP, SHARD))
    folded = ShardLedger(100)
    for written in log.since(0) if log else []:
        folded.fold(written)
    return sorted(folded.deferred)


def ends(world: World) -> list[tuple[str, State]]:
    notes = world.broker.ledgers[GROUP, SHARD].notes
    return [(n.request_id, n.state) for n in notes if isinstance(n, LedgerRecord) and n.state.is_end]


class Holding(ScriptedChannel):
    """Answers for one message only when it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.hold_until = asyncio.Event()

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        if message.request_id == self.name:
            await self.hold_until.wait()
        return await super().deliver(message, probe=probe)


# When ---------------------------------------------------------------------------------------------


async def test_after_a_minute_of_failing_the_commit_passes_it() -> None:
    world = World()
    world.channel.answer = failing("bad")
    await world.post("bad", "g1", "g2")

    async with world.running() as running:
        await world.clock.advance(25.0)
        assert (world.committed(), still_put_off(world)) == (0, [])

        await world.clock.advance(40.0)
        assert (world.committed(), still_put_off(world)) == (3, [0])
        assert [lag.deferred for lag in running.engine.snapshot().lags] == [1]

        world.channel.answer = None
        await world.clock.advance(120.0)
        assert still_put_off(world) == []
    assert world.channel.sent == ["g1", "g2", "bad"]


async def test_one_that_is_about_to_wait_for_a_minute_is_put_off_at_once() -> None:
    world = World()
    world.channel.answer = lambda m: Uncertain("lost") if m.request_id == "bad" else Delivered()
    await world.post("bad", "good")

    async with world.running():
        await world.clock.advance(2.0)

    assert (world.committed(), still_put_off(world)) == (2, [0])
    assert [put.uncertain for put in puts(world)] == [1]


async def test_failing_in_an_outage_is_not_its_own_failing() -> None:
    world = World()
    world.channel.answer = lambda _: ChannelDown("421")
    await world.post(*ids("m", 20), key="k")

    async with world.running() as running:
        await world.clock.advance(300.0)
        assert running.engine.breaker.is_open
        assert (world.committed(), still_put_off(world)) == (0, [])

        world.channel.answer = failing("m0")
        await world.clock.advance(31.0)
        assert not running.engine.breaker.is_open
        assert (world.committed(), still_put_off(world)) == (0, [])

        await world.clock.advance(62.0)
    assert still_put_off(world) == list(range(20))


async def test_what_holds_the_commit_while_too_much_is_finished_above_it_is_put_off() -> None:
    world = World(options=EngineOptions(concurrency=8, limits=HoldingLimits(run_ahead=20)))
    world.channel.answer = failing("bad")
    await world.post("bad", *ids("g", 60))

    async with world.running():
        await world.clock.advance(3.0)

    assert still_put_off(world) == [0]
    assert (len(world.channel.sent), world.committed()) == (60, 61)


async def test_what_holds_the_commit_is_put_off_also_while_it_is_being_sent() -> None:
    channel = Holding("slow")
    limits = HoldingLimits(run_ahead=20)
    world = World(channel=channel, options=EngineOptions(concurrency=8, limits=limits))
    await world.post("slow", *ids("g", 60))

    async with world.running():
        await world.clock.advance(3.0)
        assert (world.committed(), still_put_off(world)) == (61, [0])

        channel.hold_until.set()
        await world.clock.advance(3.0)
    assert still_put_off(world) == []
    assert len(world.channel.sent) == len(set(world.channel.sent)) == 61


async def test_all_of_its_key_are_put_off_with_it_and_later_ones_when_they_are_taken() -> None:
    world = World()
    world.channel.answer = failing("a0")
    await world.post("a0", "a1", key="a")
    await world.post("b0", key="b")

    async with world.running():
        await world.clock.advance(65.0)
        assert still_put_off(world) == [0, 1]

        await world.post("a2", key="a")
        await world.post("b1", key="b")
        await world.clock.advance(2.0)
        assert still_put_off(world) == [0, 1, 3]
        assert world.committed() == 5

        world.channel.answer = None
        await world.clock.advance(120.0)

    assert world.channel.sent == ["b0", "b1", "a0", "a1", "a2"]
    assert still_put_off(world) == []


async def test_only_those_behind_it_wait_for_it_and_they_are_due_at_once() -> None:
    world = World()
    world.channel.answer = failing("a0")
    await world.post("a0", "a1", key="a")

    async with world.running():
        await world.clock.advance(40.0)

    first, second = puts(world)[:2]
    assert first.due > world.clock.now()
    assert (first.attempts, second.attempts, second.due) == (6, 0, 0.0)


async def test_a_record_that_cannot_be_decoded_is_never_put_off() -> None:
    world = World(options=EngineOptions(concurrency=8, limits=HoldingLimits(run_ahead=10)))
    world.dead_letters.away = True
    await world.post_raw(b"not a message")
    await world.post(*ids("g", 30))

    async with world.running():
        await world.clock.advance(5.0)
        assert (world.committed(), still_put_off(world)) == (0, [])

        world.dead_letters.away = False
        await world.clock.advance(31.0)
    assert (world.committed(), world.letters()) == (31, [(0, "undecodable")])


async def test_a_dead_letter_that_cannot_be_kept_holds_its_message_though_it_was_put_off() -> None:
    world = World(policy=RetryPolicy(max_attempts=8))
    world.channel.answer = failing("bad")
    await world.post("bad")

    async with world.running():
        await world.clock.advance(70.0)
        world.dead_letters.away = True
        await world.clock.advance(200.0)
        assert (world.letters(), still_put_off(world), ends(world)) == ([], [0], [])

        world.dead_letters.away = False
        await world.clock.advance(31.0)
    assert world.letters() == [(0, "too-many-attempts")]
    assert (still_put_off(world), ends(world)) == ([], [("bad", State.DEAD)])


# The bound ----------------------------------------------------------------------------------------


async def test_at_its_bound_the_shard_waits_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    limits = HoldingLimits(deferred=10, run_ahead=5)
    world = World(options=EngineOptions(concurrency=8, fetch_limit=20, limits=limits))
    bad = ids("bad", 30)
    world.channel.answer = failing(*bad)
    # Successes in between: twenty failing keys in a row would be the channel's fault.
    mixed = [name for number in range(30) for name in (f"bad{number}", *ids(f"g{number}-", 4))]
    await world.post(*mixed)

    with caplog.at_level(logging.WARNING, "herald.ledger"):
        async with world.running() as running:
            await world.clock.advance(100.0)
            reached = running.log.reached(SHARD)
            assert reached is not None
            assert reached < 150
            assert len(still_put_off(world)) == 10

            world.channel.answer = None
            await world.clock.advance(300.0)

    assert sum("the partition waits" in text for text in caplog.messages) <= 3
    assert sorted(world.channel.sent) == sorted(mixed)
    assert (world.committed(), still_put_off(world)) == (150, [])


async def test_the_bound_counts_bytes_too() -> None:
    limits = HoldingLimits(deferred_bytes=5_000, run_ahead=5)
    world = World(options=EngineOptions(concurrency=8, fetch_limit=20, limits=limits))
    world.channel.answer = failing(*ids("bad", 30))
    for number in range(15):
        await world.post(f"bad{number}", message_body="x" * 1000)
        await world.post(*ids(f"g{number}-", 4))

    async with world.running():
        await world.clock.advance(100.0)

    assert 3 <= len(still_put_off(world)) <= 6


@pytest.mark.parametrize(
    ("limits", "wait"), [(HoldingLimits(bytes=50_000), 30.0), (HoldingLimits(deferred_bytes=50_000), 120.0)]
)
async def test_what_is_held_or_put_off_counts_with_its_headers(limits: HoldingLimits, wait: float) -> None:
    # Other producers send whole stack traces in them.
    options = EngineOptions(concurrency=8, fetch_limit=1, limits=limits)
    world = World(options=options, policy=RetryPolicy(first_seconds=wait))
    world.channel.answer = lambda _: TryAgain("451")
    await world.post("first")
    [first] = world.broker.read(SHARD, 0, 1)
    with_headers = NewRecord(SHARD, b"k", first.value or b"", (("stack-trace", b"x" * 10_000),))
    for number in range(20):
        value = with_headers.value.replace(b"first", b"m%d" % number)
        world.broker.append(replace(with_headers, value=value))

    async with world.running() as running:
        await world.clock.advance(10.0)
        reached = running.log.reached(SHARD)

    assert reached in range(5, 9)


async def test_a_process_that_finds_the_bound_reached_reads_up_to_what_was_put_off_and_no_further() -> None:
    limits = HoldingLimits(deferred=5)
    world = World(options=EngineOptions(concurrency=8, limits=limits))
    world.channel.answer = failing(*ids("m", 5))
    await world.post(*ids("m", 5), *ids("later", 5))
    records = world.broker.read(SHARD, 0, 5)
    await MemoryLedger(world.broker, GROUP).write(SHARD, [Deferral(record=record) for record in records])
    world.broker.positions[GROUP, SHARD] = Position(2, "1 0 0")

    async with world.running() as running:
        await world.clock.advance(3.0)
        assert world.channel.sent == []
        assert set(world.channel.asked) == set(ids("m", 5))
        assert running.engine.trouble() is None

        world.channel.answer = None
        await world.clock.advance(30.0)
    assert sorted(world.channel.sent) == sorted([*ids("m", 5), *ids("later", 5)])


# What survives ------------------------------------------------------------------------------------


async def test_attempts_and_due_time_survive_a_restart() -> None:
    world = World(options=RARELY, policy=RetryPolicy(max_attempts=12))
    world.channel.answer = failing("bad")
    await world.post("bad")
    async with world.running():
        await world.clock.advance(300.0)
    last = puts(world)[-1]
    asked = len(world.channel.asked)
    assert last.attempts == asked

    async with world.running():
        await world.clock.advance(last.due - world.clock.now() - 1.0)
        assert len(world.channel.asked) == asked
        await world.clock.advance(2.0)
        assert len(world.channel.asked) == asked + 1
        await world.clock.advance(12 * 3600.0)

    assert len(world.channel.asked) == 12
    assert world.letters() == [(0, "too-many-attempts")]
    assert world.broker.letters[0].attempts == 12


async def test_attempts_survive_a_rebalance() -> None:
    world = World(partitions=2, options=RARELY)
    world.channel.answer = failing("bad")
    await world.post("bad", partition=1)

    async with world.running():
        await world.clock.advance(300.0)
        asked = len(world.channel.asked)
        async with world.running():
            await world.clock.advance(3600.0)
            again = len(world.channel.asked)

    deferrals = world.broker.deferrals[GROUP, Shard(TOPIC, 1)].notes
    assert asked < again == max(note.attempts for note in deferrals if isinstance(note, Deferral))


async def test_what_is_loaded_at_or_above_the_commit_starts_when_the_reader_has_passed_it() -> None:
    world = World(options=EngineOptions(concurrency=1))
    await world.post("a0", "a1", "a2", key="a")
    late = world.broker.read(SHARD, 2, 1)[0]
    await MemoryLedger(world.broker, GROUP).write(SHARD, [Deferral(record=late)])
    world.broker.positions[GROUP, SHARD] = Position(0, "1 0 0")

    async with world.running():
        await world.clock.advance(2.0)

    assert world.channel.sent == ["a0", "a1", "a2"]
    assert (world.committed(), still_put_off(world)) == (3, [])


async def test_what_is_loaded_below_the_commit_goes_on_at_once_and_in_the_logs_order() -> None:
    world = World()
    await world.post(*ids("a", 5), key="a")
    records = world.broker.read(SHARD, 0, 4)
    shuffled = [Deferral(record=records[n]) for n in (2, 0, 3, 1)]
    await MemoryLedger(world.broker, GROUP).write(SHARD, shuffled)
    world.broker.positions[GROUP, SHARD] = Position(4, "1 0 0")

    async with world.running():
        await world.clock.advance(2.0)

    assert world.channel.sent == ids("a", 5)
    assert still_put_off(world) == []


async def test_what_is_loaded_is_not_written_down_once_more() -> None:
    # Each rebalance would write every waiting message of a key again, up to the bound of a shard.
    world = World()
    world.channel.answer = failing("a0")
    await world.post(*ids("a", 5), key="a")
    records = world.broker.read(SHARD, 0, 4)
    due = world.clock.now() + 600.0
    kept = [Deferral(record=one, due=0.0 if one.offset else due) for one in records]
    await MemoryLedger(world.broker, GROUP).write(SHARD, kept)
    world.broker.positions[GROUP, SHARD] = Position(2, "1 0 0")

    async with world.running():
        await world.clock.advance(5.0)

    assert [put.record.offset for put in puts(world)] == [0, 1, 2, 3, 4]
    assert world.committed() == 5


async def test_a_clock_that_was_far_ahead_when_a_message_was_put_off_does_not_hold_it_for_years() -> None:
    world = World(options=RARELY)
    await world.post("bad")
    [record] = world.broker.read(SHARD, 0, 1)
    due = world.clock.now() + 4 * 365 * 86_400.0
    await MemoryLedger(world.broker, GROUP).write(SHARD, [Deferral(record=record, attempts=3, due=due)])
    world.broker.positions[GROUP, SHARD] = Position(1, "1 0 0")

    async with world.running():
        await world.clock.advance(3601.0)

    assert world.channel.sent == ["bad"]


async def test_what_is_loaded_and_gone_from_the_log_is_sent_all_the_same() -> None:
    world = World()
    await world.post(*ids("a", 5), key="a")
    kept = [Deferral(record=record) for record in world.broker.read(SHARD, 1, 2)]
    await MemoryLedger(world.broker, GROUP).write(SHARD, kept)
    world.broker.positions[GROUP, SHARD] = Position(0, "1 0 0")
    world.broker.forget(SHARD, before=4)

    async with world.running():
        await world.clock.advance(2.0)

    assert world.channel.sent == ["a1", "a2", "a4"]


# Each gap between two writes ----------------------------------------------------------------------


@dataclass
class Fate:
    """When the process dies: at the `at`th time that something of a kind is to be written."""

    kind: str
    at: int = 1
    after: bool = False  # it is written, but its answer never comes
    seen: int = 0
    is_dead: bool = False

    async def before(self, kind: str) -> None:
        self.seen += kind == self.kind
        is_due = kind == self.kind and self.seen == self.at
        self.is_dead = self.is_dead or (is_due and not self.after)
        await self.go_on()

    async def behind(self, kind: str) -> None:
        self.is_dead = self.is_dead or (self.after and kind == self.kind and self.seen == self.at)
        await self.go_on()

    async def go_on(self) -> None:
        """Whoever is dead waits here for ever: nothing it does arrives anywhere."""
        if self.is_dead:
            await asyncio.get_running_loop().create_future()

    def born_again(self) -> None:
        self.is_dead, self.kind = False, "never"


def kind_of(note: Note) -> str:
    if isinstance(note, LedgerRecord):
        return "end" if note.state.is_end else "try"
    return "put" if isinstance(note, Deferral) else "tombstone"


class MortalLedger(MemoryLedger):
    """Each note arrives by itself, so that a process may die between any two."""

    fate: Fate

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        positions: list[int] = []
        for note in notes:
            await self.fate.before(kind_of(note))
            positions += await super().write(shard, [note])
            await self.fate.behind(kind_of(note))
        return positions


class MortalLog(MemoryLog):
    fate: Fate

    async def commit(self, positions: Mapping[Shard, Position]) -> None:
        await self.fate.before("commit")
        await super().commit(positions)


class MortalChannel(ScriptedChannel):
    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self.fate = fate

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        await self.fate.go_on()
        return await super().deliver(message, probe=probe)


def mortal_world(given: Fate, max_attempts: int = 50) -> World:
    class Ledger(MortalLedger):
        fate = given

    class Log(MortalLog):
        fate = given

    return World(
        channel=MortalChannel(given),
        log_type=Log,
        ledger_type=Ledger,
        options=RARELY,
        policy=RetryPolicy(max_attempts=max_attempts),
    )


async def until_it_dies(world: World, running: Running) -> None:
    """The recipient is refused for now for five minutes, and then accepted."""
    await world.clock.advance(300.0)
    world.channel.answer = None
    await world.clock.advance(600.0)
    assert not running.task.done()


GAPS = [
    Fate("try", 1),
    Fate("try", 1, after=True),
    Fate("try", 4),
    Fate("put", 1),
    Fate("put", 1, after=True),
    Fate("put", 2),
    Fate("put", 2, after=True),
    Fate("commit", 2),
    Fate("commit", 3),
    Fate("try", 8),
    Fate("try", 8, after=True),
    Fate("put", 5),
    Fate("put", 5, after=True),
    Fate("end", 2),
    Fate("end", 2, after=True),
    Fate("tombstone", 1),
    Fate("tombstone", 1, after=True),
    Fate("end", 3),
    Fate("end", 3, after=True),
    Fate("tombstone", 2, after=True),
]


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: f"{gap.kind}-{gap.at}-{'after' * gap.after}")
async def test_a_crash_between_any_two_writes_loses_reorders_and_leaves_nothing(gap: Fate) -> None:
    fate = replace(gap)
    world = mortal_world(fate)
    world.channel.answer = failing("a0")
    await world.post("a0", "a1", "a2", key="a")
    await world.post("b0", key="b")
    async with world.running() as running:
        await until_it_dies(world, running)
    assert fate.is_dead  # otherwise this gap was never reached
    recorded = {name for name, _ in ends(world)}

    fate.born_again()
    async with world.running() as running:
        await world.clock.advance(3600.0)
        await running.drain(1.0)

    firsts = list(dict.fromkeys(world.channel.sent))
    assert [name for name in firsts if name != "b0"] == ["a0", "a1", "a2"]
    assert "b0" in firsts
    # Repeated is only what was answered and whose end was not safe; each has one end in the books.
    repeated = {name for name in firsts if world.channel.sent.count(name) > 1}
    assert repeated.isdisjoint(recorded)
    assert set(ends(world)) == {(name, State.SENT) for name in ("a0", "a1", "a2", "b0")}
    assert (world.committed(), still_put_off(world), world.letters()) == (4, [], [])


@pytest.mark.parametrize("gap", GAPS[:13:2], ids=lambda gap: f"{gap.kind}-{gap.at}-{'after' * gap.after}")
async def test_tries_are_forgotten_in_none_of_the_gaps(gap: Fate) -> None:
    fate = replace(gap)
    world = mortal_world(fate, max_attempts=12)
    world.channel.answer = failing("a0")
    await world.post("a0", key="a")
    await world.post("g0", "g1", key="g")
    async with world.running():
        await world.clock.advance(2000.0)
    assert fate.is_dead

    fate.born_again()
    async with world.running():
        await world.clock.advance(3 * 3600.0)

    assert world.letters() == [(0, "too-many-attempts")]
    # One more than allowed where the note of a try was not safe: that answer was lost.
    assert 12 <= world.channel.asked.count("a0") <= 13
    assert world.broker.letters[0].attempts == 12


async def test_a_refused_one_that_was_put_off_leaves_a_letter_and_nothing_else() -> None:
    world = World()
    world.channel.answer = failing("bad")
    await world.post("bad", "next", key="a")

    async with world.running():
        await world.clock.advance(65.0)
        world.channel.answer = lambda m: Refused("550") if m.request_id == "bad" else Delivered()
        await world.clock.advance(120.0)

    assert (world.letters(), world.channel.sent) == ([(0, "refused")], ["next"])
    assert (still_put_off(world), world.committed()) == ([], 2)
