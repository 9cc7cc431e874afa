"""The cap of tries a second, and the consumer that keeps to it."""

from application.engine_options import EngineOptions
from application.pace import Pace
from domain.outcome import ChannelDown
from tests.engine_parts import World
from tests.fakes import FakeClock, SlowChannel


def started_by(pace: Pace, seconds: float, step: float = 0.001) -> list[float]:
    """When something starts that is always ready to, looked at every `step` seconds."""
    times = []
    for tick in range(int(seconds / step)):
        now = tick * step
        while pace.ready_at(now) <= now:
            pace.take(now)
            times.append(now)
    return times


def test_without_a_cap_everything_may_start_at_once() -> None:
    pace = Pace(0)

    pace.take(5.0)

    assert not pace.is_capped
    assert pace.ready_at(5.0) == 5.0


def test_no_second_sees_more_than_the_cap() -> None:
    times = started_by(Pace(5), seconds=10.0)

    busiest = max(sum(begin <= time < begin + 0.9999 for time in times) for begin in times)

    assert busiest == 5
    assert 49 <= len(times) <= 51


def test_a_pause_is_not_made_up_for() -> None:
    pace = Pace(10)
    pace.take(0.0)

    pace.take(100.0)

    assert pace.ready_at(100.0) == 100.1


def test_at_a_high_rate_late_timers_cost_nothing() -> None:
    times = started_by(Pace(1000), seconds=2.0, step=0.01)

    assert 1980 <= len(times) <= 2040


def test_one_that_asked_nobody_gives_its_place_back() -> None:
    pace = Pace(1)
    pace.take(0.0)

    pace.give_back()

    assert pace.ready_at(0.0) == 0.0


CAPPED = EngineOptions(concurrency=8, most_per_second=2.0)


async def test_a_consumer_sends_no_more_a_second_than_it_may() -> None:
    world = World(options=CAPPED)
    await world.post(*(f"m{number}" for number in range(30)))

    async with world.running():
        await world.clock.advance(4.9)
        assert 9 <= len(world.channel.sent) <= 10

        await world.clock.advance(10.0)
        assert 29 <= len(world.channel.sent) <= 30


async def test_a_slow_provider_does_not_slow_the_cap_down() -> None:
    clock = FakeClock()
    world = World(options=CAPPED, clock=clock, channel=SlowChannel(clock, 3.0))
    await world.post(*(f"m{number}" for number in range(30)))

    async with world.running() as running:
        await world.clock.advance(5.9)

        assert running.engine.in_flight == 6  # one begins each half second and takes three
        assert len(world.channel.sent) == 6


async def test_probes_keep_to_the_cap_too() -> None:
    world = World(options=EngineOptions(concurrency=8, most_per_second=0.01))
    world.channel.answer = lambda _: ChannelDown("421")
    await world.post("one", "two")

    async with world.running() as running:
        await world.clock.advance(450.0)

        assert len(world.channel.asked) == 5
        assert not running.engine.stalled()  # waiting for the cap is no standstill
