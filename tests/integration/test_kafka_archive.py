"""Dead letters on real Kafka: many of them, and what happens to their topic meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from domain.dead_letter import LetterFilter, LetterPlace
from domain.errors import LogUnavailable
from domain.log import Shard
from domain.outcome import DeadLetterReason
from domain.ports import TopicCatalog
from domain.topic import dead_letter_topic
from tests.contracts.dead_letter_archive import keep, letter, only
from tests.contracts.rig import plan
from tests.kafka.rig import Beside, KafkaRig

pytestmark = pytest.mark.kafka

EVERY = LetterFilter()
MANY = 3_000


@pytest.fixture
async def rig(kafka_address: str) -> AsyncIterator[KafkaRig]:
    async with KafkaRig(kafka_address).with_topics((Beside.LETTERS,)) as rig:
        yield rig


def letters_of(rig: KafkaRig) -> Shard:
    return Shard(dead_letter_topic(rig.topic, "email"), 0)


async def write(rig: KafkaRig, shard: Shard, value: bytes | None) -> None:
    """As another producer does."""
    async with AIOKafkaProducer(bootstrap_servers=rig.connection.bootstrap_servers) as producer:
        await producer.send_and_wait(shard.topic, value, key=b"k", partition=shard.partition)


async def test_many_letters_are_paged_through_in_their_order(rig: KafkaRig) -> None:
    async with rig.dead_letters("email") as dead_letters:
        await asyncio.gather(*(dead_letters.keep(letter(rig, n, n // 7)) for n in range(MANY)))
    seen: list[int] = []
    after: LetterPlace | None = None
    async with rig.archive() as archive:
        while not seen or after is not None:
            page = await archive.find(EVERY, after=after, limit=700)
            seen += [kept.letter.record.offset for kept in page.letters]
            after = page.next

    assert seen == list(range(MANY))


async def test_a_letter_without_a_value_goes_back_without_one(rig: KafkaRig) -> None:
    await keep(rig, letter(rig, value=None, reason=DeadLetterReason.UNDECODABLE))
    async with rig.archive() as archive:
        kept = await only(archive)
        await archive.put_back(kept, by="ada@ops")
        after = await only(archive)
    [record] = await rig.read_all(rig.shard(2))

    assert (record.key, record.value) == (kept.letter.record.key, None)
    assert after.replayed is not None


async def test_what_retention_took_is_not_shown_any_more(rig: KafkaRig) -> None:
    await keep(rig, *(letter(rig, n, n) for n in range(5)))
    async with rig.archive() as archive:
        before = await archive.find(EVERY)
        await rig.forget(letters_of(rig), 3)
        here = await archive.find(EVERY)
    async with rig.archive() as other:
        there = await other.find(EVERY)

    assert len(before.letters) == 5
    assert [kept.letter.record.offset for kept in here.letters] == [3, 4]
    assert here == there


async def is_there(catalog: TopicCatalog, topic: str) -> bool:
    """While a topic is being deleted Kafka may name it and not describe it."""
    try:
        return bool(await catalog.find({topic}))
    except LogUnavailable:
        return True


async def test_a_topic_made_anew_is_read_anew(rig: KafkaRig) -> None:
    await keep(rig, *(letter(rig, n, n) for n in range(5)))
    async with rig.archive() as archive:
        await archive.find(EVERY)
        admin = AIOKafkaAdminClient(bootstrap_servers=rig.connection.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_topics([letters_of(rig).topic])
        finally:
            await admin.close()
        async with rig.catalog() as catalog:
            while await is_there(catalog, letters_of(rig).topic):  # noqa: ASYNC110 - Kafka tells no event
                await asyncio.sleep(0.1)
            await catalog.create([plan(letters_of(rig).topic, 1)])
        await keep(rig, letter(rig, 9))
        page = await archive.find(EVERY)

    assert [kept.letter.record.offset for kept in page.letters] == [9]


@pytest.mark.parametrize("value", [b"a note to ourselves", None])
async def test_a_record_that_is_none_of_ours_is_passed_over(rig: KafkaRig, value: bytes | None) -> None:
    await keep(rig, letter(rig))
    await write(rig, letters_of(rig), value)
    await keep(rig, letter(rig, 8, 1))
    async with rig.archive() as archive:
        page = await archive.find(EVERY)

    assert [kept.letter.record.offset for kept in page.letters] == [7, 8]


async def test_topics_that_are_not_made_yet_have_no_letters_and_are_not_made_by_looking(
    kafka_address: str,
) -> None:
    rig = KafkaRig(kafka_address)
    async with rig.archive() as archive:
        page = await archive.find(EVERY)
    async with rig.catalog() as catalog:
        made = await catalog.find({letters_of(rig).topic})

    assert list(page.letters) == []
    assert made == {}
