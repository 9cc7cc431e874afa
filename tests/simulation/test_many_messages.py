"""Many messages beside one that fails, and after an outage: nobody else waits, and nothing piles up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from application.engine_options import EngineOptions
from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from tests.engine_parts import SHARD, World
from tests.fakes import FakeClock, ScriptedChannel

HOUR = 3600.0
RARELY = EngineOptions(
    concurrency=64,
    commit_seconds=60,
    poll_seconds=600,
    measure_seconds=600,
    orders_seconds=600,
    tick_seconds=600,
    frozen_seconds=1e9,
)


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@dataclass
class TimedChannel(ScriptedChannel):
    """Takes a fixed time for each message, and keeps when it accepted it."""

    clock: FakeClock
    seconds: float = 0.05
    takes: Callable[[str], float] | None = None
    accepted: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        await self.clock.sleep(self.takes(message.request_id) if self.takes else self.seconds)
        outcome = await super().deliver(message, probe=probe)
        if isinstance(outcome, Delivered):
            self.accepted.setdefault(message.request_id, self.clock.now())
        return outcome


def world_with(channel_seconds: float, options: EngineOptions) -> tuple[World, TimedChannel]:
    clock = FakeClock()
    channel = TimedChannel(clock, channel_seconds)
    return World(clock=clock, channel=channel, options=options), channel


async def test_a_day_of_451_for_one_recipient_holds_neither_commit_nor_memory_nor_the_others() -> None:
    world = World(options=RARELY)
    world.channel.answer = lambda m: TryAgain("451") if m.request_id == "bad" else Delivered()
    await world.post("bad", key="bad")
    waiting = []

    async with world.running() as running:
        state = running.engine.shards.get(SHARD)
        assert state is not None
        for hour in range(24):
            await world.post(*ids(f"h{hour}-", 4200))
            await world.clock.advance(HOUR)
            waiting.append((world.broker.bounds(SHARD).end - world.committed(), len(state.held)))

        assert waiting == [(0, 0)] * 24
        assert len(world.channel.sent) == 100_800
        assert list(state.ledger.deferred) == [0]
        assert len(world.channel.asked) - 100_800 < 50

        world.channel.answer = None
        await world.clock.advance(HOUR + 60.0)
    assert world.channel.sent[-1] == "bad"
    assert world.letters() == []


async def test_other_keys_are_not_delayed_while_one_key_is_tried_again_and_again() -> None:
    world, channel = world_with(0.05, EngineOptions(concurrency=8, measure_seconds=60, orders_seconds=60))
    world.channel.answer = lambda m: TryAgain("451") if m.key == "bad" else Delivered()
    posted: dict[str, float] = {}

    async with world.running():
        await world.post(*ids("bad", 20), key="bad")
        for turn in range(100):
            for number in range(10):
                name = f"m{turn}-{number}"
                posted[name] = world.clock.now()
                await world.post(name, key=f"k{number}")
            await world.clock.advance(0.25)
        await world.clock.advance(3.0)

    delays = sorted(channel.accepted[name] - at for name, at in posted.items())
    assert len(delays) == 1000
    assert delays[int(0.99 * len(delays))] < 2.0


async def test_after_an_outage_what_waited_drains_about_as_fast_as_ever() -> None:
    options = EngineOptions(concurrency=8, measure_seconds=60, orders_seconds=60)
    steady_world, steady = world_with(0.05, options)
    async with steady_world.running():
        await steady_world.post(*ids("m", 1000))
        await steady_world.clock.advance(8.0)
    steady_rate = rate(steady)

    world, channel = world_with(0.05, options)
    world.channel.answer = lambda _: ChannelDown("421")
    await world.post(*ids("m", 10_000))
    async with world.running():
        await world.clock.advance(120.0)
        assert channel.accepted == {}
        world.channel.answer = None
        await world.clock.advance(100.0)

    assert steady_rate == pytest.approx(8 / 0.05, rel=0.02)
    assert len(channel.accepted) == 10_000
    assert rate(channel) >= 0.9 * steady_rate
    assert world.letters() == []


def rate(channel: TimedChannel) -> float:
    """Accepted messages a second, from the first one on."""
    times = sorted(channel.accepted.values())
    return len(times) / (times[-1] - times[0] + channel.seconds)


async def test_one_that_always_hangs_among_a_thousand_holds_up_nobody_and_ends() -> None:
    clock = FakeClock()
    channel = TimedChannel(clock, takes=lambda name: 60.0 if name == "hangs" else 0.0)
    world = World(clock=clock, channel=channel, options=RARELY)
    world.channel.answer = lambda m: Uncertain("no answer") if m.request_id == "hangs" else Delivered()
    await world.post(*ids("a", 500), "hangs", *ids("b", 500))

    async with world.running() as running:
        await world.clock.advance(50.0)
        assert len(channel.sent) == 1000

        for hour in range(3):
            await world.post(*ids(f"later{hour}-", 10))
            await world.clock.advance(HOUR)

        assert not running.engine.breaker.is_open
    assert channel.asked.count("hangs") == 4
    assert world.letters() == [(500, "uncertain")]
    assert len(channel.sent) == len(set(channel.sent)) == 1030
    assert world.committed() == 1031


async def test_a_provider_that_hangs_for_everyone_makes_nobody_get_a_message_more_than_four_times() -> None:
    world = World(options=RARELY)
    world.channel.answer = lambda _: Uncertain("no answer")
    await world.post(*ids("m", 200))

    async with world.running():
        await world.clock.advance(5 * HOUR)
        assert max(world.channel.asked.count(name) for name in ids("m", 200)) <= 4

        world.channel.answer = None
        await world.clock.advance(2 * HOUR)
    dead = {offset for offset, _ in world.letters()}
    assert {f"m{offset}" for offset in dead} | set(world.channel.sent) == set(ids("m", 200))
    assert {reason for _, reason in world.letters()} <= {"uncertain"}
    assert len(dead) < 20


@pytest.mark.parametrize(
    "outcome",
    [
        ChannelDown("535 wrong password", certain=True),
        ChannelDown("550 sender refused at MAIL"),
        ChannelDown("429", after=7.0),
        TryAgain("400 wrong From"),
    ],
)
async def test_what_is_wrong_for_everyone_makes_no_dead_letter_in_a_day(outcome: Outcome) -> None:
    world = World(options=RARELY)
    world.channel.answer = lambda _: outcome
    await world.post(*ids("m", 60))

    async with world.running() as running:
        await world.clock.advance(24 * HOUR)
        assert running.engine.breaker.is_open
        assert world.letters() == []

        world.channel.answer = None
        await world.clock.advance(3 * HOUR)
    assert sorted(world.channel.sent) == sorted(ids("m", 60))


async def test_a_429_is_asked_again_no_sooner_than_it_said() -> None:
    clock = FakeClock()
    channel = TimedChannel(clock, 0.0)
    asked: list[float] = []

    def busy(_: Message) -> Outcome:
        asked.append(clock.now())
        return ChannelDown("429", after=300.0)

    channel.answer = busy
    world = World(
        clock=clock,
        channel=channel,
        options=EngineOptions(concurrency=1, measure_seconds=60, orders_seconds=60),
    )
    await world.post(*ids("m", 10))
    async with world.running():
        await world.clock.advance(1000.0)

    pauses = [later - sooner for sooner, later in pairwise(asked[2:])]  # it took three to open
    assert pauses
    assert min(pauses) >= 300.0


async def test_recipients_refused_one_after_another_cost_twenty_letters_and_then_one_a_probe() -> None:
    world = World(options=EngineOptions(concurrency=64))
    world.channel.answer = lambda _: Refused("550")
    await world.post(*ids("m", 500))

    async with world.running():
        await world.clock.advance(0.5)
        assert len(world.letters()) == 20
        await world.clock.advance(600.0)
        probes = len(world.channel.probes)
        assert 20 <= probes <= 600 / 15 + 10
        assert len(world.letters()) == 20 + probes
