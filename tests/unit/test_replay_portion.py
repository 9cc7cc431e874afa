"""Sending again in portions: what ends a call, and that the next one goes on."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from adapters.memory_archive import MemoryDeadLetterArchive
from adapters.memory_broker import MemoryBroker
from adapters.message_json import request_id_of
from application.letter_counts import FRESH_SECONDS, LONGEST_SECONDS, CountLetters
from application.replay_portion import Portion, ReplayPortion
from domain.dead_letter import DeadLetter, KeptLetter, LetterFilter, LetterPage, LetterPlace, LetterTally
from domain.errors import HeraldError, LogUnavailable
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason
from tests.contracts.rig import plan
from tests.fakes import FakeClock

EVERY = LetterFilter()
SECONDS = 8.0


class SlowArchive(MemoryDeadLetterArchive):
    """Each putting back and each count takes some time. `counted`: how often it was asked to count."""

    def __init__(self, broker: MemoryBroker, clock: FakeClock) -> None:
        super().__init__(broker, request_id_of)
        self.broker = broker
        self.clock = clock
        self.put_back_seconds = 1.0
        self.tally_seconds = 0.0
        self.find_seconds = 0.0
        self.counted = 0

    async def find(
        self, wanted: LetterFilter, *, after: LetterPlace | None = None, limit: int = 100
    ) -> LetterPage:
        await self.clock.sleep(self.find_seconds)
        return await super().find(wanted, after=after, limit=limit)

    async def put_back(self, kept: KeptLetter, *, by: str) -> None:
        await self.clock.sleep(self.put_back_seconds)
        await super().put_back(kept, by=by)

    async def tally(self, until: float = float("inf")) -> list[LetterTally]:
        self.counted += 1
        await self.clock.sleep(self.tally_seconds)
        return await super().tally(until)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def archive(clock: FakeClock) -> SlowArchive:
    return SlowArchive(MemoryBroker(clock, [plan("transactions")]), clock)


@pytest.fixture
def counting(archive: SlowArchive, clock: FakeClock) -> CountLetters:
    return CountLetters(archive, clock)


@pytest.fixture
def replay(archive: SlowArchive, counting: CountLetters, clock: FakeClock) -> ReplayPortion:
    return ReplayPortion(archive, counting, clock, SECONDS)


def keep(archive: SlowArchive, count: int, times: int = 0) -> list[str]:
    """Their ids. `times`: how often their messages were put back before."""
    letters = [
        DeadLetter(
            record=Record(
                Shard("transactions", 0),
                offset,
                b"k",
                b'{"request_id": "r%d"}' % offset,
                (("herald-replay", b"%d" % times),),
                0.0,
            ),
            group="email",
            reason=DeadLetterReason.REFUSED,
            error="550",
            attempts=1,
            failed_at=1.0 + offset,
        )
        for offset in range(count)
    ]
    archive.broker.letters += letters
    return [f"transactions.email-0-{offset}" for offset in range(count)]


async def while_time_passes(clock: FakeClock, call: asyncio.Task[Portion]) -> Portion:
    for _ in range(100):
        if call.done():
            break
        await clock.advance(0.5)
    return await call


async def call(
    replay: ReplayPortion, clock: FakeClock, chosen: LetterFilter | Sequence[str] = EVERY
) -> Portion:
    return await while_time_passes(clock, asyncio.ensure_future(replay(chosen, by="ada")))


@pytest.mark.parametrize("by_id", [False, True])
async def test_past_half_of_its_time_a_call_begins_no_letter_and_the_next_goes_on(
    replay: ReplayPortion, archive: SlowArchive, clock: FakeClock, *, by_id: bool
) -> None:
    ids = keep(archive, 10)
    portions = [await call(replay, clock, ids if by_id else EVERY) for _ in range(3)]

    assert [(one.counts.replayed, one.remaining) for one in portions] == [(4, 6), (4, 2), (2, 0)]
    assert len({replayed[0] for replayed in archive.broker.replays}) == 10


async def test_a_log_that_confirms_nothing_in_time_ends_the_call(
    replay: ReplayPortion, archive: SlowArchive, clock: FakeClock
) -> None:
    keep(archive, 3)
    archive.put_back_seconds = 1000.0

    with pytest.raises(LogUnavailable, match="the log did not answer within 8 seconds"):
        await call(replay, clock)
    archive.put_back_seconds = 0.0
    assert (await call(replay, clock)).counts.replayed == 3


async def test_what_was_done_before_the_log_fell_silent_is_told(
    replay: ReplayPortion, archive: SlowArchive, clock: FakeClock
) -> None:
    keep(archive, 3)
    calling = asyncio.ensure_future(replay(EVERY, by="ada"))
    await clock.advance(1.0)
    archive.put_back_seconds = 1000.0
    await clock.advance(0.5)
    portion = await while_time_passes(clock, calling)

    assert portion.counts.replayed >= 1
    assert portion.remaining == 3 - portion.counts.replayed
    assert "did not answer" in portion.counts.trouble


async def test_who_waits_for_another_call_too_long_is_told_so(
    replay: ReplayPortion, archive: SlowArchive, clock: FakeClock
) -> None:
    keep(archive, 2)
    archive.put_back_seconds = 1000.0
    first, second = (asyncio.ensure_future(replay(EVERY, by="ada")) for _ in range(2))
    await clock.advance(SECONDS + 1)
    archive.put_back_seconds = 0.0

    with pytest.raises(LogUnavailable, match="another replay is under way"):
        await second
    with pytest.raises(LogUnavailable):
        await first


async def test_a_call_that_is_cancelled_in_the_middle_is_begun_anew_and_goes_on(
    replay: ReplayPortion, archive: SlowArchive, clock: FakeClock
) -> None:
    keep(archive, 5)
    calling = asyncio.ensure_future(replay(EVERY, by="ada"))
    await clock.advance(2.5)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    before = len(archive.broker.replays)
    archive.put_back_seconds = 0.0
    portion = await call(replay, clock)

    assert (before, portion.counts.replayed, portion.remaining) == (2, 3, 0)
    assert len(archive.broker.replays) == 5


async def test_where_only_parked_ones_were_reached_nobody_calls_for_ever(
    replay: ReplayPortion, archive: SlowArchive, clock: FakeClock
) -> None:
    keep(archive, 1)
    [last] = archive.broker.letters
    archive.broker.letters.clear()
    keep(archive, 3, times=3)
    archive.broker.letters.append(replace(last, record=last.record._replace(offset=9), failed_at=99.0))
    archive.find_seconds = SECONDS * 0.6
    portion = await call(replay, clock)

    assert (portion.counts.replayed, portion.counts.parked, portion.remaining) == (0, 1, 1)
    assert "herald dead-letters replay" in portion.counts.trouble


# Counting -------------------------------------------------------------------------------------------


async def test_all_who_ask_at_once_are_answered_by_one_count(
    counting: CountLetters, archive: SlowArchive, clock: FakeClock
) -> None:
    keep(archive, 2)
    archive.tally_seconds = 1.0
    asking = [asyncio.ensure_future(counting()) for _ in range(5)]
    await clock.advance(2.0)

    answers = await asyncio.gather(*asking)
    assert archive.counted == 1
    assert [sum(one.waiting for one in answer) for answer in answers] == [2] * 5


@pytest.mark.parametrize(("seconds", "kept"), [(0.0, FRESH_SECONDS), (1.0, 20.0), (9.0, LONGEST_SECONDS)])
async def test_what_took_long_to_count_is_kept_longer(
    counting: CountLetters, archive: SlowArchive, clock: FakeClock, seconds: float, kept: float
) -> None:
    archive.tally_seconds = seconds

    async def ask() -> None:
        asking = asyncio.ensure_future(counting())
        await clock.advance(seconds)
        await asking

    await ask()
    await clock.advance(kept - 0.5)
    await ask()
    before = archive.counted
    await clock.advance(0.5)
    await ask()

    assert (before, archive.counted) == (1, 2)


async def test_who_asks_during_an_outage_is_told_and_soon_asks_the_log_again(
    counting: CountLetters, archive: SlowArchive, clock: FakeClock
) -> None:
    archive.broker.down = True
    with pytest.raises(HeraldError):
        await counting()
    archive.broker.down = False
    with pytest.raises(HeraldError):
        await counting()
    await clock.advance(1.0)

    assert list(await counting()) == []
