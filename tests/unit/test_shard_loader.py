"""Where a shard that has become ours is begun, and what is read back for that."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from adapters.memory import MemoryLog
from adapters.memory_broker import MemoryBroker
from adapters.memory_ledger import MemoryLedger
from adapters.memory_orders import MemoryDiscardOrders
from application.commit_metadata import write_metadata
from application.counts import DeliveryCounts
from application.discarding import Discarding
from application.positions import Positions
from application.shard_ledger import ShardLedger
from application.shard_loader import Begin, ShardLoader
from application.shards import HoldingLimits, Shards, ShardState
from application.tick import Tick
from application.where_to_begin import NEW_TOPIC
from domain.errors import LogUnavailable, UnknownVersion
from domain.ledger import Deferral, Extent, LedgerRecord, Note, Places, State, Written, digest_of
from domain.log import NewRecord, Position, Shard
from domain.topic import Start, Topic, TopicPlan
from tests.engine_parts import SHARD, TOPIC, WEEK_MS, end_at_once, record
from tests.fakes import FakeClock

GROUP = "email"
VALUE = b"{}"


class WatchedLedger(MemoryLedger):
    """Keeps from where it was read, and breaks off as often as it is told."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker, GROUP)
        self.read_from: list[Places] = []
        self.break_after: int | None = None
        self.newer_version = False
        self.is_away = False

    async def extent(self, shard: Shard) -> Extent:
        if self.is_away:
            raise LogUnavailable("away")
        return await super().extent(shard)

    async def recall(self, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        self.read_from.append(since)
        if self.newer_version:
            raise UnknownVersion("the ledger holds a record of a newer Herald")
        slices = 0
        async for some in super().recall(shard, since):
            if slices == self.break_after:
                self.break_after = None
                raise LogUnavailable("gone in the middle")
            slices += 1
            yield some


class Office:
    """A loader with its log of `records` messages in one partition."""

    def __init__(self, records: int = 0, start: Start = Start.BEGINNING) -> None:
        self.clock = FakeClock()
        plan = TopicPlan(name=TOPIC, partitions=1, replication_factor=1, retention_ms=WEEK_MS)
        self.broker = MemoryBroker(self.clock, [plan])
        for _ in range(records):
            self.broker.append(NewRecord(SHARD, None, VALUE))
        self.ledger = WatchedLedger(self.broker)
        self.log = MemoryLog(self.broker, GROUP, [TOPIC])
        self.log.assign([SHARD])
        self.counts = DeliveryCounts()
        self.shards = Shards(HoldingLimits(), 100)
        tick = Tick(self.clock, 1.0, 1e9, end_at_once)
        self.positions = Positions(self.log, self.clock, self.shards, self.counts, tick)
        topics = {TOPIC: Topic(name=TOPIC, partitions=1, start=start)}
        self.orders = MemoryDiscardOrders(self.broker)
        self.obeyed: list[ShardState] = []
        self.stopped: list[str] = []
        self.discarding = Discarding(
            self.orders,
            GROUP,
            self.clock,
            self.shards,
            self.obeyed.append,
            lambda _, reason: self.stopped.append(reason),
        )
        self.loader = ShardLoader(
            self.log,
            self.ledger,
            self.clock,
            self.shards,
            self.positions,
            topics,
            self.discarding.recall,
        )

    async def note(self, *notes: Note) -> None:
        await self.ledger.write(SHARD, notes)

    async def load(self) -> tuple[ShardState, Begin | None]:
        state = self.shards.add(SHARD)
        return state, await self.loader.load(state)

    def commit(self, offset: int, metadata: str = "") -> None:
        self.broker.positions[GROUP, SHARD] = Position(offset, metadata)

    @property
    def committed(self) -> Position | None:
        return self.broker.positions.get((GROUP, SHARD))


def noted(
    offset: int, state: State = State.SENT, low: int = 0, value: bytes = VALUE, request_id: str = ""
) -> LedgerRecord:
    given = request_id or f"id-{offset}"
    return LedgerRecord(
        offset=offset, request_id=given, digest=digest_of(value), state=state, low=low, at=0.0
    )


@pytest.mark.parametrize(("start", "offset"), [(Start.BEGINNING, 0), (Start.END, 5)])
async def test_a_new_group_commits_its_beginning_before_anything_is_taken(start: Start, offset: int) -> None:
    office = Office(records=5, start=start)

    _, begin = await office.load()

    assert begin == Begin(offset, Position(offset, "1 0 0"))
    assert office.committed == begin.committed


async def test_a_beginning_whose_commit_was_not_confirmed_is_looked_at_again_first() -> None:
    office = Office(records=5)
    office.broker.loses_answers = True
    state = office.shards.add(SHARD)
    loading = asyncio.create_task(office.loader.load(state))
    await office.clock.advance(0.5)
    assert not loading.done()

    await office.clock.advance(1.0)

    assert loading.result() == Begin(0, Position(0, "1 0 0"))


async def test_it_goes_on_at_the_position_and_reads_back_only_what_that_needs() -> None:
    office = Office(records=20)
    await office.note(*(noted(n) for n in range(10)), Deferral(record=record(2)), Deferral(record=record(4)))
    office.commit(10, write_metadata(Places(7, 1)))

    state, begin = await office.load()

    assert begin == Begin(10, Position(10, "1 7 1"))
    assert office.ledger.read_from == [Places(7, 1)]
    assert [state.ledger.sent_digest(f"id-{n}") is not None for n in (6, 7, 9)] == [False, True, True]
    assert list(state.ledger.deferred) == [4]
    assert state.ledger.next == Places(10, 2)


async def test_the_newest_record_is_read_even_if_nothing_is_needed() -> None:
    office = Office(records=20)
    await office.note(*(noted(n, State.DEAD) for n in range(10)))
    office.commit(10, write_metadata(Places(10, 0)))

    state, _ = await office.load()

    assert office.ledger.read_from == [Places(9, 0)]
    assert state.ledger.newest is not None


async def test_a_position_without_a_note_reads_all_that_there_is() -> None:
    office = Office(records=20)
    await office.note(*(noted(n) for n in range(10)), Deferral(record=record(2)))
    office.commit(10)

    state, begin = await office.load()

    assert begin == Begin(10, Position(10))
    assert office.ledger.read_from == [Places(0, 0)]
    assert (len(state.ledger.window), list(state.ledger.deferred)) == (10, [2])


@pytest.mark.parametrize("metadata", ["2 0 0", "1 0", "x"])
async def test_a_note_of_another_version_stops_the_shard_and_says_so(metadata: str) -> None:
    office = Office(records=20)
    office.commit(10, metadata)

    state, begin = await office.load()

    assert begin is None
    assert state.trouble is not None
    assert "newer Herald" in state.trouble
    assert office.committed == Position(10, metadata)


async def test_a_ledger_of_another_version_stops_the_shard() -> None:
    office = Office(records=20)
    office.ledger.newer_version = True
    office.commit(10, "1 0 0")

    state, begin = await office.load()

    assert (begin, state.trouble) == (None, "the ledger holds a record of a newer Herald")


async def test_a_position_that_the_log_forgot_is_taken_from_the_ledger() -> None:
    office = Office(records=20, start=Start.END)
    await office.note(noted(10, low=8), noted(14, low=12))

    _, begin = await office.load()

    assert begin is not None
    assert begin.offset == 12
    assert office.committed is not None
    assert office.committed.offset == 12


async def test_a_forgotten_position_whose_ledger_is_gone_too_begins_at_the_beginning() -> None:
    office = Office(records=20, start=Start.END)
    await office.note(noted(10, low=8))
    office.broker.ledgers[GROUP, SHARD].forget(before=1)

    _, begin = await office.load()

    assert begin is not None
    assert begin.offset == 0


async def test_a_forgotten_position_reads_everything_back() -> None:
    office = Office(records=20)
    await office.note(*(noted(n, low=n) for n in range(12)), Deferral(record=record(3)))

    state, begin = await office.load()

    assert begin is not None
    assert begin.offset == 11
    assert state.ledger.has_ended(11, "id-11")
    assert list(state.ledger.deferred) == [3]


@pytest.mark.parametrize(
    ("notes", "position"),
    [
        ([], Position(21, "1 0 0")),
        ([noted(3, low=21)], Position(2, "1 0 0")),
        ([noted(30)], Position(2, "1 0 0")),
        ([noted(3, low=21)], None),
        ([noted(3, value=b"other")], Position(2, "1 0 0")),
        ([noted(3, value=b"other")], None),
    ],
)
async def test_a_topic_that_was_made_anew_stops_the_shard_and_changes_nothing(
    notes: list[LedgerRecord], position: Position | None
) -> None:
    office = Office(records=20)
    await office.note(*notes)
    office.broker.positions.update({(GROUP, SHARD): position} if position else {})

    state, begin = await office.load()

    assert begin is None
    assert state.trouble is not None
    assert NEW_TOPIC in state.trouble
    assert office.committed == position


async def test_only_the_newest_record_for_an_offset_is_compared() -> None:
    office = Office(records=20)
    await office.note(noted(3, value=b"other"), noted(4))
    office.commit(3, "1 0 0")

    _, begin = await office.load()

    assert begin is not None


async def test_a_newest_record_whose_message_retention_took_tells_nothing() -> None:
    office = Office(records=20)
    await office.note(noted(3, value=b"other"))
    office.commit(10, "1 0 0")
    office.broker.forget(SHARD, before=5)

    _, begin = await office.load()

    assert begin is not None
    assert begin.offset == 10


async def test_what_retention_took_unread_is_counted() -> None:
    office = Office(records=20)
    office.commit(3, "1 0 0")
    office.broker.forget(SHARD, before=9)

    _, begin = await office.load()

    assert begin is not None
    assert begin.offset == 9
    assert office.counts.overtaken == {TOPIC: 6}


async def test_a_load_that_breaks_off_goes_on_where_it_was() -> None:
    office = Office(records=300)
    await office.note(*(noted(n) for n in range(250)))
    office.commit(250, "1 0 0")
    office.ledger.break_after = 2
    state = office.shards.add(SHARD)
    loading = asyncio.create_task(office.loader.load(state))

    await office.clock.advance(5.0)

    assert loading.done()
    assert office.ledger.read_from == [Places(0, 0), Places(200, 0)]
    assert len(state.ledger.window) == 100  # the last of 250
    assert state.ledger.window.oldest == 150


async def test_a_shard_that_cannot_be_loaded_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    office = Office(records=5)
    state = office.shards.add(SHARD)
    office.ledger.is_away = True
    loading = asyncio.create_task(office.loader.load(state))
    await office.clock.advance(60.0)
    assert not loading.done()
    assert office.shards.trouble() == "transactions-0: waits to be read: away"

    office.ledger.is_away = False
    await office.clock.advance(2.0)

    assert loading.done()
    assert office.shards.trouble() is None
    assert [record.action for record in caplog.records] == ["shard_waits"]  # type: ignore[attr-defined]


async def test_a_shard_that_comes_back_reads_only_what_was_added() -> None:
    office = Office(records=300)
    await office.note(*(noted(n) for n in range(50)))
    office.commit(50, "1 0 0")
    await office.load()
    office.shards.remove([SHARD])
    await office.note(noted(50), noted(51))
    office.commit(52, "1 0 0")

    state, _ = await office.load()

    assert office.ledger.read_from == [Places(0, 0), Places(50, 0)]
    assert len(state.ledger.window) == 52


async def test_a_shard_that_was_lost_reads_all_that_is_needed_again() -> None:
    office = Office(records=300)
    await office.note(*(noted(n) for n in range(50)))
    office.commit(50, "1 0 0")
    await office.load()
    office.shards.lose([SHARD])

    await office.load()

    assert office.ledger.read_from == [Places(0, 0), Places(0, 0)]


async def test_a_position_that_was_set_back_meanwhile_reads_again_what_had_been_forgotten() -> None:
    office = Office(records=300)
    await office.note(*(noted(n, State.DEAD) for n in range(50)))
    office.commit(50, "1 50 0")
    state, _ = await office.load()
    state.ledger.forget_below(50)
    office.shards.remove([SHARD])
    office.commit(10)  # by hand

    state, _ = await office.load()

    assert state.ledger.has_ended(12, "id-12")


async def test_a_position_that_is_gone_meanwhile_reads_again_what_had_been_forgotten() -> None:
    # The ledger says where to go on, which may be below what was committed and forgotten.
    office = Office(records=10)
    await office.note(*(noted(n, State.DEAD, low=2) for n in range(5)))
    office.commit(5, "1 5 0")
    first, _ = await office.load()
    office.shards.remove([SHARD])
    del office.broker.positions[GROUP, SHARD]

    again, begin = await office.load()

    assert first.ledger.forgotten_below == 5
    assert begin is not None
    assert begin.offset == 2
    assert again.ledger.has_ended(4, "id-4")


async def test_notes_that_were_made_anew_are_read_from_their_beginning() -> None:
    office = Office(records=300)
    await office.note(*(noted(n) for n in range(50)))
    office.commit(50, "1 0 0")
    await office.load()
    office.shards.remove([SHARD])
    del office.broker.ledgers[GROUP, SHARD]
    await office.note(noted(50))

    state, _ = await office.load()

    assert len(state.ledger.window) == 1
    assert state.ledger.next == Places(1, 0)


async def test_a_log_that_does_not_answer_is_waited_for() -> None:
    office = Office(records=5)
    office.broker.down = True
    state = office.shards.add(SHARD)
    loading = asyncio.create_task(office.loader.load(state))
    await office.clock.advance(3600.0)
    assert not loading.done()

    office.broker.down = False
    await office.clock.advance(2.0)

    assert loading.done()


def test_what_is_remembered_of_a_shard_begins_empty() -> None:
    shards = Shards(HoldingLimits(), 10)

    state = shards.add(SHARD)

    assert isinstance(state.ledger, ShardLedger)
    assert state.ledger.next == Places(0, 0)
