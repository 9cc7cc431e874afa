"""The view that is kept in a file of its own, fed from the log in memory."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

import pytest

from adapters.sqlite_status_store import SqliteStatusStore
from adapters.sqlite_stored_status import SqliteStoredStatus, StatusIsOff
from application.build_status import LOOK_SECONDS, BuildStatus
from domain.errors import LogUnavailable
from domain.ledger import LedgerRecord, State
from domain.log import NewRecord, Shard
from domain.status import DeferralChange, DeliveryState, MessageStatus, Noted, Sighting, StatusEvent
from domain.topic import Topic
from tests.contracts.rig import Rig
from tests.contracts.status import StatusViewContract, value_of
from tests.fakes import FakeClock
from tests.status_parts import BuiltView, MemoryStatusFeed
from tests.unit.test_memory import MemoryRig

TOPIC = Topic(name="transactions", partitions=1)
SHARD = Shard("transactions", 0)
NOW = 1_800_000_000.0


class StoredRig(MemoryRig):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def status_view(self) -> BuiltView:  # type: ignore[override]
        return BuiltView(self._path, self.configured(), MemoryStatusFeed(self.broker))

    def unreachable_status_view(self) -> BuiltView:  # type: ignore[override]
        self.broker.down = True
        return self.status_view()


class TestStoredStatusView(StatusViewContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        return StoredRig(tmp_path / "status.db")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStatusStore]:
    async with SqliteStatusStore(tmp_path / "status.db") as store:
        yield store


@pytest.fixture
async def view(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteStoredStatus]:
    async with SqliteStoredStatus(tmp_path / "status.db", [TOPIC], clock, wait_seconds=0.2) as view:
        yield view


def seen(offset: int, at: float = NOW) -> Sighting:
    return Sighting(
        shard=SHARD,
        offset=offset,
        request_id=f"r-{offset}",
        accepted_at=at,
        channels=frozenset({"email", "sms"}),
    )


def noted(offset: int, state: State, low: int = 0, request_id: str = "") -> Noted:
    record = LedgerRecord(
        offset=offset, request_id=request_id or f"r-{offset}", digest=1, state=state, low=low, at=NOW
    )
    return Noted(SHARD, "email", record)


async def found(view: SqliteStoredStatus, offset: int) -> MessageStatus | None:
    return await view.find(f"r-{offset}", {TOPIC.name})


async def email_of(view: SqliteStoredStatus, offset: int) -> DeliveryState:
    status = await found(view, offset)
    assert status is not None
    return status.deliveries["email"].state


async def test_a_view_that_has_not_caught_up_yet_says_so(
    store: SqliteStatusStore, view: SqliteStoredStatus
) -> None:
    await store.add([seen(0)])

    with pytest.raises(LogUnavailable, match="catching up"):
        await found(view, 0)


async def test_a_view_that_nobody_keeps_says_so(view: SqliteStoredStatus) -> None:
    with pytest.raises(LogUnavailable, match="catching up"):
        await found(view, 0)


async def test_a_view_that_is_more_than_two_seconds_behind_says_so(
    store: SqliteStatusStore, view: SqliteStoredStatus, clock: FakeClock
) -> None:
    await store.add([seen(0)])
    await store.is_as_of(NOW)
    clock.time += 2.0
    near = await found(view, 0)
    clock.time += 0.1

    assert near is not None
    assert near.as_of == NOW
    with pytest.raises(LogUnavailable, match="catching up"):
        await found(view, 0)


async def test_an_answer_waits_a_moment_for_a_view_that_is_late(
    store: SqliteStatusStore, view: SqliteStoredStatus, clock: FakeClock
) -> None:
    await store.add([seen(0)])
    asking = asyncio.create_task(found(view, 0))
    await asyncio.sleep(0)
    await store.is_as_of(clock.now())

    assert await asking is not None


async def test_a_view_that_is_off_says_what_to_set() -> None:
    async with StatusIsOff() as view:
        with pytest.raises(LogUnavailable, match=r"status\.hours"):
            await view.find("r-0", {TOPIC.name})


async def test_an_end_is_not_taken_back_by_what_comes_again(
    store: SqliteStatusStore, view: SqliteStoredStatus
) -> None:
    await store.add([seen(0), noted(0, State.RETRYING), noted(0, State.SENT), noted(0, State.RETRYING)])
    await store.is_as_of(NOW)

    assert await email_of(view, 0) is DeliveryState.SENT


async def test_notes_may_come_before_the_message_they_are_about(
    store: SqliteStatusStore, view: SqliteStoredStatus
) -> None:
    await store.add([noted(0, State.SENT)])
    await store.forget(0.0, 100)
    await store.add([seen(0)])
    await store.is_as_of(NOW)

    assert await email_of(view, 0) is DeliveryState.SENT


async def test_what_is_put_off_without_a_try_is_retrying_until_that_is_done(
    store: SqliteStatusStore, view: SqliteStoredStatus
) -> None:
    await store.add([seen(0), DeferralChange(SHARD, "email", 0, 0.0)])
    await store.is_as_of(NOW)
    put_off = await email_of(view, 0)
    await store.add([DeferralChange(SHARD, "email", 0, None)])

    assert (put_off, await email_of(view, 0)) == (DeliveryState.RETRYING, DeliveryState.ACCEPTED)


async def test_what_the_group_has_passed_without_a_word_is_skipped(
    store: SqliteStatusStore, view: SqliteStoredStatus
) -> None:
    await store.add([seen(0), seen(1), noted(1, State.SENT, low=1)])
    await store.is_as_of(NOW)

    assert await email_of(view, 0) is DeliveryState.SKIPPED


async def test_messages_of_before_a_moment_are_forgotten_with_their_notes(
    store: SqliteStatusStore, view: SqliteStoredStatus, tmp_path: Path
) -> None:
    await store.add([*(seen(n, NOW + n) for n in range(4)), *(noted(n, State.SENT) for n in range(4))])
    await store.forget(NOW + 2, 100)
    await store.is_as_of(NOW)

    assert [await found(view, n) is not None for n in range(4)] == [False, False, True, True]
    await store.add([seen(1, NOW + 1)])
    assert await email_of(view, 1) is DeliveryState.ACCEPTED


async def test_of_more_messages_than_wanted_the_oldest_are_forgotten(
    store: SqliteStatusStore, view: SqliteStoredStatus
) -> None:
    await store.add([seen(n, NOW + n) for n in range(4)])
    await store.forget(0.0, 3)
    await store.is_as_of(NOW)

    assert [await found(view, n) is not None for n in range(4)] == [False, True, True, True]


async def test_a_store_begins_anew_and_leaves_nothing_behind(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "status.db"
    async with SqliteStoredStatus(path, [TOPIC], clock, wait_seconds=0.2) as view:
        async with SqliteStatusStore(path) as store:
            await store.add([seen(0)])
            await store.is_as_of(NOW)
            path.with_name("copy").write_bytes(path.read_bytes())
        left = sorted(os.listdir(tmp_path))  # noqa: PTH208 - nothing else of it is asked
        path.with_name("copy").rename(path)
        async with SqliteStatusStore(path) as store:
            await store.is_as_of(NOW)
            again = await found(view, 0)

    assert (left, again) == (["copy"], None)


# Building it ----------------------------------------------------------------------------------------


async def test_the_builder_waits_out_an_outage_and_goes_on_unaided(
    store: SqliteStatusStore, view: SqliteStoredStatus, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    rig = MemoryRig()
    rig.broker.down = True
    builder = BuildStatus(MemoryStatusFeed(rig.broker), store, clock, 24, 100)
    building = asyncio.create_task(builder.run())
    for _ in range(3):
        await clock.advance(1.0)
    rig.broker.down = False
    now = clock.now() + 1.0
    await clock.advance(1.0)
    async with asyncio.timeout(10):
        found = await until_as_of(view, clock, now)
    building.cancel()

    assert found is None
    assert [r.action for r in caplog.records if r.action == "status_view_waits"] == ["status_view_waits"]  # type: ignore[attr-defined]


class FullDisk(SqliteStatusStore):
    """One whose disk is full for some calls."""

    refusals = 2

    async def add(self, events: Sequence[StatusEvent]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise LogUnavailable("the disk is full")
        await super().add(events)


class OnceFeed(MemoryStatusFeed):
    """Gives the log once, as the one on Kafka does: what is lost then does not come again."""

    given = False

    async def rest(self) -> AsyncGenerator[Sequence[StatusEvent], None]:
        if not self.given:
            self.given = True
            async for events in super().rest():
                yield events


async def test_what_the_disk_had_no_room_for_is_not_lost_to_the_view(
    tmp_path: Path, view: SqliteStoredStatus, clock: FakeClock
) -> None:
    rig = MemoryRig()
    async with rig.publisher() as publisher:
        await publisher.publish([NewRecord(rig.shard(0), None, value_of("r-0"), ())])
    async with FullDisk(tmp_path / "status.db") as store:
        builder = BuildStatus(OnceFeed(rig.broker), store, clock, 24_000, 100)
        building = asyncio.create_task(builder.run())
        async with asyncio.timeout(10):
            found = await until_as_of(view, clock, clock.now())
        building.cancel()

    assert found is not None


async def until_as_of(view: SqliteStoredStatus, clock: FakeClock, moment: float) -> MessageStatus | None:
    """Gives the builder's thread the real time it needs."""
    while True:
        try:
            return await view.find("r-0", {TOPIC.name})
        except LogUnavailable:
            await clock.advance(LOOK_SECONDS)
