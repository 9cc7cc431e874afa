"""Sending dead letters again: in what order, how fast, and what is left alone."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from adapters.memory_archive import MemoryDeadLetterArchive
from adapters.memory_broker import MemoryBroker
from adapters.message_json import request_id_of
from application.replay import LATE, PAGE, ReplayCounts, ReplayDeadLetters
from domain.dead_letter import DeadLetter, KeptLetter, LetterFilter
from domain.errors import HeraldError, LogUnavailable
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason
from tests.contracts.rig import plan
from tests.fakes import FakeClock

EVERY = LetterFilter()
AT = FakeClock().now() - 1000


class Archive(MemoryDeadLetterArchive):
    """One that may refuse letters, be killed before it notes a replay, or have what is sent die at once."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker, request_id_of)
        self.refuses: set[str] = set()
        self.dies_again = False
        self.broker = broker

    async def put_back(self, kept: KeptLetter, *, by: str) -> None:
        if kept.id in self.refuses:
            raise LogUnavailable("the disk is full")
        await super().put_back(kept, by=by)
        if self.dies_again:
            record = self.broker.read(kept.letter.record.shard, 0, 1_000_000)[-1]
            self.broker.letters.append(
                replace(kept.letter, record=record, failed_at=self.broker.clock.now() + 1)
            )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def archive(clock: FakeClock) -> Archive:
    return Archive(MemoryBroker(clock, [plan("transactions")]))


def keep(archive: Archive, *offsets: int, partition: int = 0, **changes: Any) -> None:
    for offset in offsets:
        shard = Shard("transactions", partition)
        record = Record(shard, offset, b"k", b'{"request_id": "r%d"}' % offset, (), 0.0)
        letter = DeadLetter(
            record=record,
            group="email",
            reason=DeadLetterReason.REFUSED,
            error="550",
            attempts=1,
            failed_at=AT + offset,
        )
        archive.broker.letters.append(replace(letter, **changes))


def name(offset: int, partition: int = 0) -> str:
    return f"transactions.email-{partition}-{offset}"


def sent_again(archive: Archive, partition: int = 0) -> list[str]:
    """The ids of what lies in the log, in its order."""
    records = archive.broker.read(Shard("transactions", partition), 0, 1_000_000)
    return [dict(record.headers)["herald-request-id"].decode() for record in records]


async def test_all_go_back_in_the_order_of_failing(archive: Archive, clock: FakeClock) -> None:
    keep(archive, 7, 3, 5)

    counts = await ReplayDeadLetters(archive, clock)(EVERY, by="ada@ops")

    assert counts == ReplayCounts(replayed=3)
    assert sent_again(archive) == ["r3", "r5", "r7"]


async def test_those_named_go_back_in_the_order_of_failing_too(archive: Archive, clock: FakeClock) -> None:
    keep(archive, 1, 2, 3)

    counts = await ReplayDeadLetters(archive, clock)([name(3), name(1), name(3), "what"], by="ada@ops")

    assert counts == ReplayCounts(replayed=2, unknown=("what",))
    assert sent_again(archive) == ["r1", "r3"]


async def test_a_filter_chooses(archive: Archive, clock: FakeClock) -> None:
    keep(archive, 1)
    keep(archive, 2, reason=DeadLetterReason.UNCERTAIN)

    await ReplayDeadLetters(archive, clock)(LetterFilter(reason="uncertain"), by="ada@ops")

    assert sent_again(archive) == ["r2"]


async def test_more_than_a_page_goes_back(archive: Archive, clock: FakeClock) -> None:
    keep(archive, *range(2 * PAGE + 1))

    counts = await ReplayDeadLetters(archive, clock)(EVERY, by="ada@ops")

    assert counts.replayed == 2 * PAGE + 1
    assert sent_again(archive) == [f"r{n}" for n in range(2 * PAGE + 1)]


async def test_what_went_back_before_is_left_alone(archive: Archive, clock: FakeClock) -> None:
    keep(archive, 1, 2)
    replay = ReplayDeadLetters(archive, clock)
    await replay([name(1)], by="ada@ops")

    counts = await replay(EVERY, by="ada@ops")

    assert counts == ReplayCounts(replayed=1, already=1)
    assert sent_again(archive) == ["r1", "r2"]


async def test_what_died_after_three_replays_is_parked(archive: Archive, clock: FakeClock) -> None:
    keep(archive, 1000)
    archive.dies_again = True
    replay = ReplayDeadLetters(archive, clock)
    lives = []
    for _ in range(4):
        lives.append((await replay(EVERY, by="ada@ops")).replayed)
        await clock.advance(10)

    assert lives == [1, 1, 1, 0]
    assert (await replay.survey(EVERY)).parked == 1
    assert sent_again(archive) == ["r1000", "r1000", "r1000"]


async def test_what_dies_again_meanwhile_waits_for_the_next_replay(
    archive: Archive, clock: FakeClock
) -> None:
    keep(archive, *range(500, 500 + PAGE + 1))
    archive.dies_again = True

    counts = await ReplayDeadLetters(archive, clock)(EVERY, by="ada@ops")

    assert counts == ReplayCounts(replayed=PAGE + 1)


async def test_letters_that_come_in_later_are_not_chased(archive: Archive, clock: FakeClock) -> None:
    keep(archive, 1)
    keep(archive, 2, failed_at=clock.now() + LATE)

    assert (await ReplayDeadLetters(archive, clock)(EVERY, by="ada@ops")).replayed == 1


async def test_none_of_a_partition_passes_one_that_the_log_does_not_take(
    archive: Archive, clock: FakeClock
) -> None:
    keep(archive, 1, 2, 3)
    keep(archive, 1, 2, 3, partition=1)
    archive.refuses = {name(2)}
    replay = ReplayDeadLetters(archive, clock)

    counts = await replay(EVERY, by="ada@ops")
    archive.refuses.clear()
    after = await replay(EVERY, by="ada@ops")

    assert counts == ReplayCounts(replayed=4, failed=2, trouble="the disk is full")
    assert after == ReplayCounts(replayed=2, already=4)
    assert sent_again(archive) == sent_again(archive, 1) == ["r1", "r2", "r3"]


async def test_a_survey_counts_and_changes_nothing(archive: Archive, clock: FakeClock) -> None:
    keep(archive, 1, 2)
    replay = ReplayDeadLetters(archive, clock)
    await replay([name(1)], by="ada@ops")

    counts = await replay.survey(EVERY)

    assert counts == ReplayCounts(replayed=1, already=1)
    assert sent_again(archive) == ["r1"]


async def test_a_rate_is_kept_and_progress_is_told(archive: Archive, clock: FakeClock) -> None:
    keep(archive, 1, 2, 3)
    told: list[tuple[float, int]] = []
    start = clock.now()
    replaying = asyncio.ensure_future(
        ReplayDeadLetters(archive, clock)(
            EVERY,
            by="ada@ops",
            per_second=2,
            progress=lambda counts: told.append((clock.now() - start, counts.done)),
        )
    )
    await clock.advance(0.9)
    early = list(told)
    await clock.advance(0.2)
    await replaying

    assert early == [(0.0, 1), (0.5, 2)]
    assert told == [(0.0, 1), (0.5, 2), (1.0, 3)]


async def test_letters_that_cannot_be_read_are_an_error(archive: Archive, clock: FakeClock) -> None:
    archive.broker.down = True

    with pytest.raises(HeraldError):
        await ReplayDeadLetters(archive, clock)(EVERY, by="ada@ops")
