import asyncio
import json
from collections.abc import Set as AbstractSet

import pytest

from adapters.memory import MemoryLog
from application.circuit_breaker import REFUSES_EVERYTHING
from application.engine_options import EngineOptions
from application.monitor import EngineStalled
from application.shards import HoldingLimits
from domain.errors import StorageBroken
from domain.log import LogEvent, Position, Shard
from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.retry import RetryPolicy
from domain.topic import Start
from tests.engine_parts import SHARD, TOPIC, World

DOWN = ChannelDown("connection refused")
# For tests in which hours pass: regular work wakes the fake clock as often as it is due.
RARELY_AWAKE = EngineOptions(concurrency=8, commit_seconds=30, poll_seconds=30, measure_seconds=30)


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def test_a_message_is_sent_and_then_committed() -> None:
    world = World()
    await world.post("one")

    async with world.running() as running:
        await world.clock.advance(1.0)

        assert world.channel.sent == ["one"]
        assert world.committed() == 1
        assert running.engine.counts.deliveries == {(TOPIC, "sent"): 1}


async def test_nothing_is_committed_before_it_is_sent() -> None:
    world = World()
    world.channel.hold = asyncio.Event()
    await world.post("one", "two")

    async with world.running() as running:
        await world.clock.advance(10.0)
        assert (world.committed(), running.engine.in_flight) == (0, 2)

        world.channel.hold.set()
        await world.clock.advance(1.0)
        assert world.committed() == 2


async def test_messages_of_a_key_are_sent_one_after_another_in_the_logs_order() -> None:
    world = World()
    world.channel.script.extend([TryAgain("greylisted"), TryAgain("greylisted")])
    await world.post("a1", "a2", "a3", key="a")

    async with world.running():
        await world.clock.advance(60.0)

    assert world.channel.asked == ["a1", "a1", "a1", "a2", "a3"]


async def test_other_keys_pass_while_one_fails_and_the_commit_waits_for_it() -> None:
    world = World()
    await world.post("b1", key="bad")
    await world.post(*ids("g", 5), key="good")

    def answer(message: Message) -> Outcome:
        return TryAgain("greylisted") if message.request_id == "b1" else Delivered()

    world.channel.answer = answer
    async with world.running():
        await world.clock.advance(5.0)

        assert world.channel.sent == ids("g", 5)
        assert world.committed() == 0


async def test_a_message_for_another_channel_is_passed_over() -> None:
    world = World()
    await world.post_raw(json.dumps({"request_id": "sms", "phone": "+4912345678"}).encode())

    async with world.running() as running:
        await world.clock.advance(1.0)

        assert (world.channel.asked, world.committed()) == ([], 1)
        assert running.engine.counts.deliveries == {(TOPIC, "skipped"): 1}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\x00 not json", "undecodable"),
        (b'{"request_id": "x", "email": "wrong"}', "invalid"),
    ],
)
async def test_what_cannot_be_sent_is_a_dead_letter_at_once(value: bytes, reason: str) -> None:
    world = World()
    await world.post_raw(value)
    await world.post("next")

    async with world.running() as running:
        await world.clock.advance(1.0)

        assert world.letters() == [(0, reason)]
        assert world.broker.letters[0].record.value == value
        assert (world.channel.sent, world.committed()) == (["next"], 2)
        assert running.engine.counts.dead_letters == {(TOPIC, reason): 1}


async def test_what_is_refused_for_good_is_a_dead_letter_and_its_key_goes_on() -> None:
    world = World()
    world.channel.script.append(Refused("550 no such user"))
    await world.post("one", "two", key="a")

    async with world.running():
        await world.clock.advance(1.0)

    assert world.letters() == [(0, "refused")]
    assert world.broker.letters[0].error == "550 no such user"
    assert world.channel.sent == ["two"]


async def test_a_message_that_fails_too_often_is_a_dead_letter_with_its_attempts() -> None:
    world = World(policy=RetryPolicy(max_attempts=3))
    world.channel.answer = lambda m: TryAgain("mailbox full") if m.request_id == "full" else Delivered()
    await world.post("full", "other")

    async with world.running():
        await world.clock.advance(10.0)

    assert world.channel.asked.count("full") == 3
    assert world.letters() == [(0, "too-many-attempts")]
    assert world.broker.letters[0].attempts == 3


async def test_a_lost_answer_is_sent_again_after_a_minute_then_ten_then_sixty_then_never() -> None:
    world = World(options=RARELY_AWAKE)
    world.channel.answer = lambda m: Uncertain("no answer") if m.request_id == "hangs" else Delivered()
    await world.post("hangs")

    async with world.running():
        for wait, asked in ((59.0, 1), (2.0, 2), (598.0, 2), (3.0, 3), (3596.0, 3), (5.0, 4)):
            await world.post(f"passes-{wait}")
            await world.clock.advance(wait)
            assert world.channel.asked.count("hangs") == asked

    assert world.letters() == [(0, "uncertain")]
    assert world.broker.letters[0].attempts == 0


async def test_lost_answers_and_failures_for_now_are_counted_apart() -> None:
    world = World()
    world.channel.script += [Uncertain("no answer"), TryAgain("greylisted"), Delivered()]
    await world.post("lost", "greylisted", "passes")

    async with world.running() as running:
        await world.clock.advance(0.1)

        assert running.engine.counts.deliveries == {
            (TOPIC, "uncertain"): 1,
            (TOPIC, "retried"): 1,
            (TOPIC, "sent"): 1,
        }


async def test_a_dead_letter_that_cannot_be_kept_holds_its_message_until_it_is() -> None:
    world = World()
    world.channel.script.append(Refused("550"))
    world.channel.hold = asyncio.Event()
    await world.post("one")

    async with world.running():
        await world.clock.advance(1.0)
        world.broker.down = True
        world.channel.hold.set()
        await world.clock.advance(30.0)
        assert (world.letters(), world.committed()) == ([], 0)

        world.broker.down = False
        await world.clock.advance(31.0)
        assert world.letters() == [(0, "refused")]
        assert world.committed() == 1


async def test_an_outage_spends_no_attempt_and_the_backlog_is_worked_off_in_order() -> None:
    world = World(policy=RetryPolicy(max_attempts=2), options=RARELY_AWAKE)
    world.channel.answer = lambda _: DOWN
    await world.post(*ids("a", 30), key="a")
    await world.post(*ids("b", 30), key="b")

    async with world.running() as running:
        await world.clock.advance(1200.0)
        asked_in_outage = len(world.channel.asked)
        assert running.engine.breaker.is_open
        world.channel.answer = None
        await world.clock.advance(60.0)

        assert not running.engine.breaker.is_open
    assert world.letters() == []
    assert [i for i in world.channel.sent if i.startswith("a")] == ids("a", 30)
    assert [i for i in world.channel.sent if i.startswith("b")] == ids("b", 30)
    assert world.committed() == 60
    assert asked_in_outage < 1200 / 15 + 20  # pauses grow to half a minute


async def test_while_the_channel_is_down_only_single_messages_are_taken_to_probe_with() -> None:
    world = World()
    world.channel.answer = lambda _: DOWN

    async with world.running() as running:
        await world.post(*ids("first", 3))
        await world.clock.advance(1.0)
        assert running.engine.breaker.is_open
        await world.post(*ids("later", 50))
        await world.clock.advance(120.0)

    assert 1 < len({i for i in world.channel.asked if i.startswith("later")}) < 12


async def test_one_message_that_always_gets_a_500_does_not_keep_later_ones_from_passing() -> None:
    world = World()
    world.channel.answer = lambda m: DOWN if m.request_id == "poison" else Delivered()
    await world.post("poison", key="p")

    async with world.running():
        await world.clock.advance(600.0)
        await world.post(*ids("good", 20))
        await world.clock.advance(120.0)

    assert sorted(world.channel.sent) == sorted(ids("good", 20))


async def test_a_failure_like_the_channels_costs_an_attempt_once_others_go_through() -> None:
    world = World(policy=RetryPolicy(max_attempts=3, max_seconds=8.0))
    world.channel.answer = lambda m: DOWN if m.request_id == "poison" else Delivered()
    await world.post("poison", key="p")

    async with world.running():
        for number in range(60):
            await world.post(f"good-{number}")
            await world.clock.advance(1.0)

    assert world.letters() == [(0, "too-many-attempts")]


async def test_recipients_refused_one_after_another_are_dead_letters_twenty_times_then_one_a_probe() -> None:
    world = World()
    world.channel.answer = lambda _: Refused("550")
    await world.post(*ids("m", 200))

    async with world.running() as running:
        await world.clock.advance(0.4)
        assert len(world.letters()) == 20
        assert running.engine.breaker.reason == REFUSES_EVERYTHING

        await world.clock.advance(100.0)
        assert 23 <= len(world.letters()) <= 30

        world.channel.answer = None
        await world.clock.advance(60.0)
        assert len(world.channel.sent) + len(world.letters()) == 200
    assert {reason for _, reason in world.letters()} == {"refused"}


async def test_a_wrong_account_stops_the_channel_at_its_first_answer() -> None:
    world = World(options=EngineOptions(concurrency=1))
    world.channel.answer = lambda _: ChannelDown("535 bad password", certain=True)
    await world.post(*ids("m", 10))

    async with world.running() as running:
        await world.clock.settle()

        assert running.engine.breaker.is_open
        assert world.channel.asked == ["m0"]


async def test_a_full_shard_is_not_read_further_until_it_is_half_empty() -> None:
    limits = HoldingLimits(records=10)
    world = World(options=EngineOptions(concurrency=2, fetch_limit=5, limits=limits))
    world.channel.hold = asyncio.Event()
    await world.post(*ids("m", 100))

    async with world.running() as running:
        await world.clock.advance(5.0)
        state = running.engine.shards.get(SHARD)
        assert state is not None
        assert len(state.held) == 10

        world.channel.hold.set()
        await world.clock.advance(1.0)
        assert len(world.channel.sent) == 100


async def test_a_shard_that_ran_ahead_waits_for_a_failing_message_that_cannot_be_put_off() -> None:
    limits = HoldingLimits(run_ahead=20, deferred=1)
    world = World(options=EngineOptions(concurrency=4, fetch_limit=5, limits=limits))
    failing = {"m0", "m1"}
    world.channel.answer = lambda m: TryAgain("later") if m.request_id in failing else Delivered()
    await world.post(*ids("m", 100))

    async with world.running():
        await world.clock.advance(3.5)
        assert world.committed() == 1
        assert 20 <= len(world.channel.sent) <= 30

        failing.clear()
        await world.clock.advance(10.0)
        assert len(world.channel.sent) == 100
        assert world.committed() == 100


async def test_a_stop_takes_nothing_new_finishes_what_is_in_flight_and_commits() -> None:
    world = World(options=EngineOptions(concurrency=2))
    world.channel.hold = asyncio.Event()
    await world.post(*ids("m", 10))

    async with world.running() as running:
        await world.clock.advance(1.0)
        await running.drain(5.0)
        assert not running.task.done()

        world.channel.hold.set()
        await world.clock.settle()
        assert running.task.done()
        assert world.channel.sent == ["m0", "m1"]
        assert world.committed() == 2


async def test_a_stop_waits_no_longer_than_drain_seconds_and_leaves_the_rest_to_the_next_process() -> None:
    world = World(options=EngineOptions(concurrency=2, drain_seconds=20.0))
    world.channel.hold = asyncio.Event()
    await world.post("slow")

    async with world.running() as running:
        await world.clock.advance(1.0)
        await running.drain(21.0)
        assert running.task.done()
        assert world.committed() == 0

    world.channel.hold = None
    async with world.running():
        await world.clock.advance(58.0)
        assert world.channel.sent == []  # the provider may have it: not sent again before a minute is over
        await world.clock.advance(5.0)
    assert world.channel.sent == ["slow"]


async def test_a_killed_process_loses_nothing() -> None:
    world = World(options=EngineOptions(concurrency=4))
    world.channel.hold = asyncio.Event()
    await world.post(*ids("m", 20))
    async with world.running():
        await world.clock.advance(1.0)

    world.channel.hold = None
    async with world.running():
        await world.clock.advance(2.0)

    assert set(world.channel.sent) == set(ids("m", 20))
    assert world.committed() == 20


async def test_a_second_process_takes_half_of_the_shards_and_nothing_is_sent_twice() -> None:
    world = World(partitions=4)

    async with world.running() as first:
        for partition in range(4):
            await world.post(*ids(f"p{partition}-", 5), partition=partition)
        await world.clock.advance(2.0)
        async with world.running() as second:
            await world.clock.advance(5.0)
            assert len(list(first.engine.shards)) == len(list(second.engine.shards)) == 2
            for partition in range(4):
                await world.post(*ids(f"q{partition}-", 5), partition=partition)
            await world.clock.advance(5.0)

    assert len(world.channel.sent) == len(set(world.channel.sent)) == 40


async def test_shards_lost_in_the_middle_are_neither_sent_further_nor_committed() -> None:
    world = World()
    world.channel.hold = asyncio.Event()
    await world.post("one", "two", key="a")

    async with world.running() as running:
        await world.clock.advance(1.0)
        world.broker.lose(running.log)
        await world.clock.advance(2.0)
        assert world.channel.asked == ["one", "one"]  # the shard came back, and was read again
        assert world.committed() == 0

        world.channel.hold.set()
        await world.clock.advance(2.0)
        assert world.channel.sent == ["one", "two"]


async def test_a_revocation_cuts_off_what_does_not_end_in_time() -> None:
    world = World(options=EngineOptions(concurrency=2, drain_seconds=5.0))
    world.channel.hold = asyncio.Event()
    await world.post("slow")

    async with world.running():
        await world.clock.advance(1.0)
        async with world.running():
            await world.clock.advance(70.0)
            world.channel.hold.set()
            await world.clock.advance(5.0)

    assert world.channel.sent == ["slow"]
    assert len(world.channel.asked) == 2


async def test_a_retry_waiting_on_a_revoked_shard_is_left_to_the_next_owner() -> None:
    world = World()
    world.channel.script.append(TryAgain("later"))
    world.channel.hold = asyncio.Event()
    await world.post("one")

    async with world.running() as running:
        await world.clock.advance(1.0)
        running.stop.set()
        await world.clock.settle()
        world.channel.hold.set()
        await world.clock.advance(1.0)
        assert running.task.done()

    assert (world.channel.asked, world.committed()) == (["one"], 0)


async def test_a_new_group_that_starts_at_the_end_commits_that_before_it_takes_anything() -> None:
    world = World(start=Start.END)
    await world.post("old")

    async with world.running():
        await world.clock.settle()
        assert world.committed() == 1

        await world.post("new")
        await world.clock.advance(1.0)
    assert world.channel.sent == ["new"]


async def test_retention_overtaking_the_group_is_counted_and_reading_goes_on() -> None:
    world = World()
    await world.post(*ids("m", 10))
    world.broker.positions["email", SHARD] = Position(2)
    world.broker.forget(SHARD, before=5)

    async with world.running() as running:
        await world.clock.advance(1.0)

        assert sorted(world.channel.sent) == [f"m{n}" for n in range(5, 10)]
        assert running.engine.counts.overtaken == {TOPIC: 3}


async def test_retention_overtaking_a_running_process_is_counted_too() -> None:
    limits = HoldingLimits(records=2)
    world = World(options=EngineOptions(concurrency=1, fetch_limit=2, limits=limits))
    world.channel.hold = asyncio.Event()
    await world.post(*ids("m", 10))

    async with world.running() as running:
        await world.clock.advance(1.0)
        world.broker.forget(SHARD, before=8)
        world.channel.hold.set()
        await world.clock.advance(2.0)

        assert world.channel.sent == ["m0", "m1", "m8", "m9"]
        assert running.engine.counts.overtaken == {TOPIC: 6}
        assert world.committed() == 10


@pytest.mark.parametrize("position", [Position(99), Position(0, "9 from the future")])
async def test_a_position_that_cannot_be_right_stops_the_shard(position: Position) -> None:
    world = World()
    await world.post("one")
    world.broker.positions["email", SHARD] = position

    async with world.running() as running:
        await world.clock.advance(5.0)
        assert running.engine.trouble()

    assert world.channel.asked == []
    assert world.broker.positions["email", SHARD] == position


async def test_a_log_that_is_away_at_start_is_waited_for() -> None:
    world = World()
    await world.post("one")
    world.broker.down = True

    async with world.running():
        await world.clock.advance(300.0)
        world.broker.down = False
        await world.clock.advance(5.0)

    assert world.channel.sent == ["one"]


async def test_a_commit_that_is_not_confirmed_is_made_again() -> None:
    world = World()
    async with world.running():
        await world.post("one")
        await world.clock.settle()
        world.broker.down = True
        await world.clock.advance(10.0)
        assert world.committed() == 0

        world.broker.down = False
        await world.clock.advance(1.0)
        assert world.committed() == 1


async def test_a_bug_while_delivering_one_message_does_not_stop_the_others() -> None:
    world = World(policy=RetryPolicy(max_attempts=2))

    def answer(message: Message) -> Outcome:
        if message.request_id == "bug":
            raise ZeroDivisionError
        return Delivered()

    world.channel.answer = answer
    await world.post("bug", "fine")
    async with world.running():
        await world.clock.advance(5.0)

    assert world.channel.sent == ["fine"]
    assert world.letters() == [(0, "too-many-attempts")]


class CorruptLog(MemoryLog):
    """Fails as a log does whose file is corrupt."""

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        raise StorageBroken("the log's file is corrupt")


async def test_a_log_that_cannot_go_on_ends_the_process_with_its_own_words() -> None:
    world = World()
    engine = world.engine(CorruptLog(world.broker, "email", [TOPIC]))

    with pytest.raises(StorageBroken, match="the log's file is corrupt"):
        await engine.run(asyncio.Event())


async def test_the_lag_is_measured() -> None:
    world = World()
    world.channel.hold = asyncio.Event()
    await world.post("one", "two")

    async with world.running() as running:
        await world.clock.advance(6.0)
        snapshot = running.engine.snapshot()
        assert [lag.lag for lag in snapshot.lags] == [2]
        assert (snapshot.in_flight, snapshot.channel_up) == (2, True)
        assert snapshot.oldest_unfinished == {TOPIC: 6.0}
        assert not running.engine.stalled()


async def test_a_process_that_stands_still_though_it_has_work_ends() -> None:
    world = World(options=EngineOptions(concurrency=1))
    await world.post("one")

    async with world.running() as running:
        await world.clock.advance(1.0)
        dispatcher = running.engine._dispatcher
        dispatcher._parked.clear()  # a lost wake-up: nobody takes the next message
        await world.post("two")
        await world.clock.advance(70.0)

        assert isinstance(running.task.exception(), EngineStalled)
