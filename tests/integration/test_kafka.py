"""The log's ports over real Kafka keep what the ports promise."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_status_feed import KafkaStatusFeed
from adapters.system_clock import SystemClock
from domain.errors import LogUnavailable, StorageBroken
from tests.contracts.backlog import GroupBacklogContract
from tests.contracts.dead_letter_archive import DeadLetterArchiveContract
from tests.contracts.dead_letters import DeadLettersContract
from tests.contracts.discard_orders import DiscardOrdersContract, order
from tests.contracts.lags import GroupLagsContract
from tests.contracts.ledger import LedgerContract
from tests.contracts.log import LogContract, RebalanceContract
from tests.contracts.presence import QUICKLY_GONE, PresenceContract, report
from tests.contracts.publisher import PublisherContract
from tests.contracts.status import StatusViewContract, Story
from tests.contracts.topic_catalog import TopicCatalogContract
from tests.kafka.rig import NOBODY_LISTENS, Beside, KafkaRig
from tests.status_parts import BuiltView

pytestmark = pytest.mark.kafka


class OnKafka:
    beside: Iterable[Beside] = ()  # the topics themselves

    @pytest.fixture
    async def rig(self, kafka_address: str) -> AsyncIterator[KafkaRig]:
        async with KafkaRig(kafka_address).with_topics(self.beside) as rig:
            yield rig


class TestKafkaPublisher(OnKafka, PublisherContract): ...


class TestKafkaLog(OnKafka, LogContract): ...


class TestKafkaRebalance(OnKafka, RebalanceContract): ...


class TestKafkaDeadLetters(OnKafka, DeadLettersContract):
    beside = (Beside.LETTERS,)


class TestKafkaDeadLetterArchive(OnKafka, DeadLetterArchiveContract):
    beside = (Beside.LETTERS,)


class TestKafkaTopicCatalog(OnKafka, TopicCatalogContract): ...


class TestKafkaStatusScan(OnKafka, StatusViewContract):
    beside = (Beside.LETTERS, Beside.LEDGERS)


class StoredRig(KafkaRig):
    """Statuses from a view that is kept apart from Kafka."""

    folder: Path

    def status_view(self) -> BuiltView:  # type: ignore[override]
        return self._view(self.connection, patience=30.0)

    def unreachable_status_view(self) -> BuiltView:  # type: ignore[override]
        return self._view(NOBODY_LISTENS, patience=2.0)

    def _view(self, connection: KafkaConnection, patience: float) -> BuiltView:
        feed = KafkaStatusFeed(connection, self.configured(), SystemClock(), 24.0, 1000)
        return BuiltView(self.folder / "status.db", self.configured(), feed, patience=patience)


class TestKafkaStoredStatus(StatusViewContract):
    @pytest.fixture
    async def rig(self, kafka_address: str, tmp_path: Path) -> AsyncIterator[StoredRig]:
        async with StoredRig(kafka_address).with_topics((Beside.LETTERS, Beside.LEDGERS)) as rig:
            rig.folder = tmp_path
            yield rig


class TestKafkaGroupLags(OnKafka, GroupLagsContract):
    beside = (Beside.LEDGERS,)


class TestKafkaGroupBacklog(OnKafka, GroupBacklogContract):
    beside = (Beside.LEDGERS,)


class TestKafkaDiscardOrders(OnKafka, DiscardOrdersContract):
    beside = (Beside.ORDERS,)

    async def test_a_topic_of_orders_that_is_not_made_is_named_and_not_made_by_asking(
        self, rig: KafkaRig
    ) -> None:
        async with rig.discard_orders() as orders:
            with pytest.raises(LogUnavailable, match=r"no topic nothing\.email\.control: run 'herald topics"):
                await orders.in_force("nothing", "email")
            with pytest.raises(LogUnavailable):
                await orders.give(replace(order(rig, {0: 5}), topic="nothing"))
            with pytest.raises(LogUnavailable):
                await orders.in_force("nothing", "email")


class TestKafkaLedger(OnKafka, LedgerContract):
    beside = (Beside.LEDGERS,)


async def test_a_topic_that_is_not_made_yet_has_no_message_that_is_known(kafka_address: str) -> None:
    rig = KafkaRig(kafka_address)

    async with rig.status_view() as view:
        assert await view.find("r-1", {rig.topic}) is None


async def test_a_view_of_a_topic_that_was_made_anew_must_begin_anew(kafka_address: str) -> None:
    rig = await KafkaRig(kafka_address).make_topics()
    await Story(rig).publish("r-1", rig.shard(0))
    feed = KafkaStatusFeed(rig.connection, rig.configured(), SystemClock(), 24.0, 1000, timeout_seconds=2.0)
    async with feed:
        given = [event async for some in feed.rest() for event in some]
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_address)
        await admin.start()
        await admin.delete_topics([rig.topic])
        await admin.close()
        await until_made(rig)

        with pytest.raises(StorageBroken, match="made anew"):
            await rest_once_it_answers(feed)

    assert len(given) == 1


async def until_made(rig: KafkaRig) -> None:
    async with asyncio.timeout(rig.patience), rig.catalog() as catalog:
        while rig.topic in await catalog.find({rig.topic}):  # noqa: ASYNC110 - Kafka has no event for it
            await asyncio.sleep(0.1)
    await rig.make_topics()


async def rest_once_it_answers(feed: KafkaStatusFeed) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(LogUnavailable):
                assert [events async for events in feed.rest()] == []
            await asyncio.sleep(0.1)


class TestKafkaPresence(OnKafka, PresenceContract):
    async def test_a_process_whose_clock_is_an_hour_off_is_seen_and_is_gone_like_others(
        self, rig: KafkaRig
    ) -> None:
        await rig.make_room_for_presence()
        wrong = [report("slow", at=time.time() - 3600), report("fast", at=time.time() + 3600)]
        async with rig.presence(QUICKLY_GONE) as one:
            for told in wrong:
                await one.tell(told)
            seen = {each.process for each in await one.seen()}
            await asyncio.sleep(QUICKLY_GONE.gone + 0.1)
            later = await one.seen()

        assert (seen, later) == ({"slow", "fast"}, [])

    async def test_two_installations_do_not_see_each_other(self, rig: KafkaRig, kafka_address: str) -> None:
        async with KafkaRig(kafka_address).with_topics(()) as other:
            for each in (rig, other):
                await each.make_room_for_presence()
            await self._see_their_own(rig, other)

    async def _see_their_own(self, rig: KafkaRig, other: KafkaRig) -> None:
        async with rig.presence() as one, other.presence() as two:
            await one.tell(report("one"))
            await two.tell(report("two"))

            assert [each.process for each in await one.seen()] == ["one"]
            assert [each.process for each in await two.seen()] == ["two"]
