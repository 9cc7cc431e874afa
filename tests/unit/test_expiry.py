"""Messages whose time is over are not sent any more, wherever they wait, and are no dead letters."""

from datetime import UTC, datetime

from application.engine_options import EngineOptions
from application.shards import HoldingLimits
from domain.ledger import Deferral, LedgerRecord, State, Tombstone
from domain.outcome import ChannelDown, Delivered, TryAgain, Uncertain
from tests.engine_parts import SHARD, TOPIC, World
from tests.fakes import FakeClock, SlowChannel

GROUP = "email"
RARELY_AWAKE = EngineOptions(
    concurrency=8, commit_seconds=30, poll_seconds=30, measure_seconds=30, orders_seconds=30
)


def in_seconds(world: World, seconds: float) -> str:
    return datetime.fromtimestamp(world.clock.now() + seconds, UTC).isoformat()


def ends(world: World) -> dict[str, State]:
    notes = world.broker.ledgers[GROUP, SHARD].notes
    return {note.request_id: note.state for note in notes if isinstance(note, LedgerRecord)}


async def test_what_is_past_its_time_when_it_is_taken_is_not_sent() -> None:
    world = World()
    await world.post("late", expires_at=in_seconds(world, -1.0))
    await world.post("early", expires_at=in_seconds(world, 60.0))

    async with world.running() as running:
        await world.clock.advance(2.0)

        assert running.engine.counts.deliveries == {(TOPIC, "expired"): 1, (TOPIC, "sent"): 1}
    assert world.channel.asked == ["early"]
    assert ends(world) == {"late": State.EXPIRED, "early": State.SENT}
    assert (world.letters(), world.committed()) == ([], 2)


async def test_a_topics_rule_counts_from_the_logs_time_and_a_messages_own_goes_before_it() -> None:
    world = World(expires_after_seconds=100)
    await world.post("by-rule")
    await world.post("longer", expires_at=in_seconds(world, 1000.0))
    await world.clock.advance(101.0)

    async with world.running():
        await world.clock.advance(2.0)

    assert world.channel.sent == ["longer"]
    assert ends(world)["by-rule"] is State.EXPIRED


async def test_without_a_rule_no_age_ends_a_message() -> None:
    world = World()
    await world.post("old")
    await world.clock.advance(2 * 86_400.0)

    async with world.running():
        await world.clock.advance(2.0)

    assert world.channel.sent == ["old"]


async def test_one_that_waits_for_its_retry_ends_in_time_and_its_key_goes_on() -> None:
    world = World()
    world.channel.script += [Uncertain("no answer")]
    await world.post("first", key="a", expires_at=in_seconds(world, 20.0))
    await world.post("second", key="a")

    async with world.running():
        await world.clock.advance(19.0)
        assert world.channel.asked == ["first"]

        await world.clock.advance(7.0)
    assert world.channel.asked == ["first", "second"]
    assert ends(world)["first"] is State.EXPIRED
    assert world.committed() == 2


async def test_one_behind_a_failing_one_of_its_key_ends_in_time() -> None:
    world = World()
    failing = {"first"}
    world.channel.answer = lambda m: TryAgain("451") if m.request_id in failing else Delivered()
    await world.post("first", key="a")
    await world.post("second", key="a", expires_at=in_seconds(world, 10.0))
    await world.post("third", key="a")

    async with world.running():
        await world.clock.advance(16.0)
        assert ends(world)["second"] is State.EXPIRED

        failing.clear()
        await world.clock.advance(20.0)

    assert world.channel.sent == ["first", "third"]
    assert "second" not in world.channel.asked
    assert (world.letters(), world.committed()) == ([], 3)


async def test_what_is_put_off_ends_in_time_and_is_put_off_no_more() -> None:
    world = World(options=RARELY_AWAKE)
    world.channel.answer = lambda _: TryAgain("451")
    await world.post("one", expires_at=in_seconds(world, 3000.0))

    async with world.running() as running:
        await world.clock.advance(600.0)
        assert world.committed() == 1
        assert [lag.deferred for lag in running.engine.snapshot().lags] == [1]

        await world.clock.advance(2460.0)
        asked = len(world.channel.asked)
        assert [lag.deferred for lag in running.engine.snapshot().lags] == [0]

        await world.clock.advance(7200.0)
        assert len(world.channel.asked) == asked
    assert ends(world) == {"one": State.EXPIRED}
    assert isinstance(world.broker.deferrals[GROUP, SHARD].notes[-1], Tombstone)


async def test_what_was_put_off_by_an_earlier_process_ends_in_time_too() -> None:
    world = World(options=RARELY_AWAKE)
    world.channel.answer = lambda _: TryAgain("451")
    await world.post("one", expires_at=in_seconds(world, 3000.0))
    async with world.running():
        await world.clock.advance(600.0)
    assert isinstance(world.broker.deferrals[GROUP, SHARD].notes[-1], Deferral)

    await world.clock.advance(2500.0)
    world.channel.answer = None
    async with world.running():
        await world.clock.advance(60.0)

    assert world.channel.sent == []
    assert ends(world) == {"one": State.EXPIRED}


async def test_in_an_outage_what_is_held_ends_in_time_without_a_probe() -> None:
    world = World(options=EngineOptions(concurrency=2))
    world.channel.answer = lambda _: ChannelDown("421")
    await world.post(*(f"m{number}" for number in range(50)), expires_at=in_seconds(world, 100.0))
    await world.post("lasts")

    async with world.running() as running:
        await world.clock.advance(106.0)
        assert running.engine.breaker.is_open
        assert sum(state is State.EXPIRED for state in ends(world).values()) == 50

        world.channel.answer = None
        await world.clock.advance(60.0)

    assert world.channel.sent == ["lasts"]
    assert (world.letters(), world.committed()) == ([], 51)


async def test_what_expires_in_an_outage_makes_room_for_what_comes_after_it() -> None:
    world = World(options=EngineOptions(concurrency=2, limits=HoldingLimits(records=10)))
    world.channel.answer = lambda _: ChannelDown("421")
    await world.post(*(f"m{number}" for number in range(10)), expires_at=in_seconds(world, 50.0))
    await world.post("next")

    async with world.running():
        await world.clock.advance(120.0)

    assert "next" in world.channel.asked


async def test_one_whose_answer_is_awaited_is_not_ended_under_way() -> None:
    clock = FakeClock()
    world = World(clock=clock, channel=SlowChannel(clock, 30.0))
    await world.post("one", key="a", expires_at=in_seconds(world, 5.0))

    async with world.running():
        await world.clock.advance(40.0)

    assert ends(world) == {"one": State.SENT}
