import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from adapters.memory import (
    MemoryBroker,
    MemoryDeadLetters,
    MemoryLog,
    MemoryPublisher,
    MemoryTopicCatalog,
)
from adapters.memory_archive import MemoryDeadLetterArchive
from adapters.memory_backlog import MemoryGroupBacklog
from adapters.memory_ledger import MemoryLedger
from adapters.memory_orders import MemoryDiscardOrders
from adapters.memory_presence import MemoryPresence
from adapters.memory_status import MemoryGroupLags, MemoryStatusView
from adapters.message_json import request_id_of
from adapters.system_clock import SystemClock
from domain.dead_letter import DeadLetter
from domain.errors import LogUnavailable
from domain.log import Assigned, Fetched, Lost, Position, Receipt, Record, Revoking, Shard, Unconfirmed
from domain.presence import USUAL_TIMES, PresenceTimes
from tests.contracts.backlog import GroupBacklogContract
from tests.contracts.dead_letter_archive import DeadLetterArchiveContract
from tests.contracts.dead_letters import DeadLettersContract, letter
from tests.contracts.discard_orders import DiscardOrdersContract
from tests.contracts.lags import GroupLagsContract
from tests.contracts.ledger import LedgerContract, entry, notes_of
from tests.contracts.log import LogContract, RebalanceContract
from tests.contracts.presence import PresenceContract
from tests.contracts.publisher import PublisherContract
from tests.contracts.rig import Reader, Rig, plan, record
from tests.contracts.status import StatusViewContract
from tests.contracts.topic_catalog import TopicCatalogContract
from tests.fakes import FakeClock


class MemoryRig(Rig):
    topic = "transactions"
    other_topic = "alerts"

    def __init__(self) -> None:
        plans = [plan(self.topic), plan(self.other_topic, 1)]
        self.broker = MemoryBroker(SystemClock(), plans, revoke_seconds=0.2)

    def publisher(self) -> MemoryPublisher:
        return MemoryPublisher(self.broker)

    def unreachable_publisher(self) -> MemoryPublisher:
        self.broker.down = True
        return MemoryPublisher(self.broker)

    def log(self, group: str) -> MemoryLog:
        return MemoryLog(self.broker, group, [self.topic, self.other_topic])

    def dead_letters(self, group: str) -> MemoryDeadLetters:
        return MemoryDeadLetters(self.broker)

    def unreachable_dead_letters(self, group: str) -> MemoryDeadLetters:
        self.broker.down = True
        return MemoryDeadLetters(self.broker)

    def archive(self) -> MemoryDeadLetterArchive:
        return MemoryDeadLetterArchive(self.broker, request_id_of)

    def unreachable_archive(self) -> MemoryDeadLetterArchive:
        self.broker.down = True
        return self.archive()

    async def kept(self, group: str) -> Sequence[DeadLetter]:
        mine = [one for one in self.broker.letters if one.group == group]
        return [replace(one, record=one.record._replace(timestamp=0.0)) for one in mine]

    async def read_all(self, shard: Shard) -> Sequence[Record]:
        return self.broker.read(shard, 0, 1_000_000)

    def ledger(self, group: str) -> MemoryLedger:
        return MemoryLedger(self.broker, group)

    def unreachable_ledger(self, group: str) -> MemoryLedger:
        self.broker.down = True
        return MemoryLedger(self.broker, group)

    async def forget_ledger(self, group: str, shard: Shard, before: int) -> None:
        self.broker.ledgers[group, shard].forget(before)

    def status_view(self) -> MemoryStatusView:
        return MemoryStatusView(self.broker, self.configured())

    def unreachable_status_view(self) -> MemoryStatusView:
        self.broker.down = True
        return self.status_view()

    def lags(self) -> MemoryGroupLags:
        return MemoryGroupLags(self.broker)

    def unreachable_lags(self) -> MemoryGroupLags:
        self.broker.down = True
        return self.lags()

    async def make_room_for_presence(self) -> None:
        """Nothing has to."""

    def presence(self, times: PresenceTimes = USUAL_TIMES) -> MemoryPresence:
        return MemoryPresence(self.broker, SystemClock(), times)

    def unreachable_presence(self) -> MemoryPresence:
        self.broker.down = True
        return self.presence()

    def backlog(self) -> MemoryGroupBacklog:
        return MemoryGroupBacklog(self.broker)

    def unreachable_backlog(self) -> MemoryGroupBacklog:
        self.broker.down = True
        return self.backlog()

    def discard_orders(self) -> MemoryDiscardOrders:
        return MemoryDiscardOrders(self.broker)

    def unreachable_discard_orders(self) -> MemoryDiscardOrders:
        self.broker.down = True
        return self.discard_orders()

    def catalog(self) -> MemoryTopicCatalog:
        return MemoryTopicCatalog(self.broker)

    async def forget(self, shard: Shard, before: int) -> None:
        self.broker.forget(shard, before)


class InMemory:
    @pytest.fixture
    def rig(self) -> Rig:
        return MemoryRig()


class TestMemoryPublisher(InMemory, PublisherContract):
    pass


class TestMemoryLog(InMemory, LogContract):
    pass


class TestMemoryDeadLetterArchive(InMemory, DeadLetterArchiveContract):
    pass


class TestMemoryRebalance(InMemory, RebalanceContract):
    pass


class TestMemoryDeadLetters(InMemory, DeadLettersContract):
    pass


class TestMemoryLedger(InMemory, LedgerContract):
    pass


class TestMemoryStatusView(InMemory, StatusViewContract):
    pass


class TestMemoryGroupBacklog(InMemory, GroupBacklogContract):
    pass


class TestMemoryDiscardOrders(InMemory, DiscardOrdersContract):
    pass


class TestMemoryGroupLags(InMemory, GroupLagsContract):
    pass


class TestMemoryTopicCatalog(InMemory, TopicCatalogContract):
    pass


SHARD = Shard("transactions", 0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def broker(clock: FakeClock) -> MemoryBroker:
    return MemoryBroker(clock, [plan("transactions", 1)])


async def assigned(broker: MemoryBroker) -> MemoryLog:
    """A process that holds the only shard and has begun it."""
    log = await MemoryLog(broker, "email", ["transactions"]).__aenter__()
    await log.next_event({SHARD}, 1, 0)
    log.begin(SHARD, 0)
    return log


async def test_the_time_limit_of_next_event_is_the_clocks(broker: MemoryBroker, clock: FakeClock) -> None:
    log = await assigned(broker)
    waiting = asyncio.ensure_future(log.next_event({SHARD}, 1, 5))
    await clock.advance(4.9)
    early = waiting.done()
    await clock.advance(0.1)

    assert not early
    assert waiting.result() is None


async def test_while_the_log_is_down_nothing_is_confirmed(broker: MemoryBroker, rig: MemoryRig) -> None:
    log = await assigned(broker)
    broker.down = True
    answers = await MemoryPublisher(broker).publish([record(SHARD, "x")])

    assert isinstance(answers[0], Unconfirmed)
    with pytest.raises(LogUnavailable):
        await log.commit({SHARD: Position(1)})
    with pytest.raises(LogUnavailable):
        await log.bounds({SHARD})
    with pytest.raises(LogUnavailable):
        await MemoryDeadLetters(broker).keep(letter(rig))
    with pytest.raises(LogUnavailable):
        await MemoryTopicCatalog(broker).find({"transactions"})
    with pytest.raises(LogUnavailable):
        await MemoryTopicCatalog(broker).create([plan("alerts")])
    assert await log.unready()
    assert broker.positions == {}
    assert MemoryDeadLetters(broker).letters == []


@pytest.fixture
def rig() -> MemoryRig:
    return MemoryRig()


async def test_an_outage_is_waited_out(broker: MemoryBroker, clock: FakeClock) -> None:
    log = await assigned(broker)
    await MemoryPublisher(broker).publish([record(SHARD, "x")])
    broker.down = True
    during = asyncio.ensure_future(log.next_event({SHARD}, 1, 5))
    asking = asyncio.ensure_future(log.committed(SHARD))
    await clock.advance(5)
    after = asyncio.ensure_future(log.next_event({SHARD}, 1, 5))
    await clock.settle()
    asked_in_vain = not asking.done()
    broker.down = False
    event = await after

    assert during.result() is None
    assert asked_in_vain
    assert await asking is None
    assert isinstance(event, Fetched)


async def test_lost_answers_leave_the_writes_in_the_log(broker: MemoryBroker, rig: MemoryRig) -> None:
    log = await assigned(broker)
    broker.loses_answers = True
    answers = await MemoryPublisher(broker).publish([record(SHARD, "x")])
    with pytest.raises(LogUnavailable):
        await log.commit({SHARD: Position(1)})
    with pytest.raises(LogUnavailable):
        await MemoryDeadLetters(broker).keep(letter(rig))
    with pytest.raises(LogUnavailable):
        await MemoryLedger(broker, "email").write(SHARD, [entry(0)])

    assert isinstance(answers[0], Unconfirmed)
    assert broker.bounds(SHARD).end == 1
    assert await notes_of(MemoryLedger(broker, "email"), SHARD) == [entry(0)]
    assert await log.committed(SHARD) == Position(1)
    assert MemoryDeadLetters(broker).letters == [letter(rig)]


async def test_a_lost_member_hears_of_it_and_joins_again(broker: MemoryBroker) -> None:
    log = await assigned(broker)
    broker.lose(log)
    await log.commit({SHARD: Position(9)})
    events = [await log.next_event({SHARD}, 1, 0) for _ in range(2)]

    assert events == [Lost(frozenset({SHARD})), Assigned(frozenset({SHARD}))]


async def test_who_does_not_release_in_time_is_told_that_it_lost(
    broker: MemoryBroker, clock: FakeClock
) -> None:
    slow = await assigned(broker)
    other = await MemoryLog(broker, "email", ["transactions"]).__aenter__()
    waiting = asyncio.ensure_future(other.next_event({SHARD}, 1, 60))
    await clock.advance(30)
    events = [await slow.next_event({SHARD}, 1, 0) for _ in range(2)]
    await slow.__aexit__()
    await clock.settle()

    assert events == [Revoking(frozenset({SHARD}), 30.0), Lost(frozenset({SHARD}))]
    assert await waiting == Assigned(frozenset({SHARD}))


async def test_a_new_topic_is_dealt_out_to_those_who_asked_for_it(broker: MemoryBroker) -> None:
    async with MemoryLog(broker, "email", ["alerts"]) as log:
        reader = Reader(log, 1)
        await MemoryTopicCatalog(broker).create([plan("alerts", 1)])
        await reader.step(seconds=0)

    assert reader.held == {Shard("alerts", 0)}


async def test_a_busy_shard_does_not_starve_another(clock: FakeClock) -> None:
    broker = MemoryBroker(clock, [plan("transactions", 2)])
    busy, quiet = broker.shards(["transactions"])
    for shard in (*[busy] * 10, quiet):
        broker.append(record(shard, "x"))
    async with MemoryLog(broker, "email", ["transactions"]) as log:
        reader = Reader(log, 1)
        await reader.until_held(frozenset({busy, quiet}))
        await reader.step(limit=2)
        await reader.step(limit=2)

    assert {one.shard for one in reader.records} == {busy, quiet}


async def test_publishing_wakes_a_reader_that_waits(broker: MemoryBroker, clock: FakeClock) -> None:
    log = await assigned(broker)
    waiting = asyncio.ensure_future(log.next_event({SHARD}, 1, 5))
    await clock.settle()
    answers = await MemoryPublisher(broker).publish([record(SHARD, "x")])
    event = await waiting

    assert answers == [Receipt(0)]
    assert isinstance(event, Fetched)


class TestMemoryPresence(InMemory, PresenceContract):
    pass
