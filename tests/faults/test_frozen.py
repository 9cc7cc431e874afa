"""Who stood still for too long ends on waking: its shards may be another's, so it writes nothing."""

import asyncio
import json
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from subprocess import Popen

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from adapters.process_end import EXIT_CODE
from tests.faults.scene import Scene, kill
from tests.site import eventually
from tests.smtp_server import say

CONCURRENCY = 4
BEFORE = [f"before{number}" for number in range(8)]
WAITING = [f"waiting{number}" for number in range(20)]
# Of a member that is silent for longer its shards become another's; for half of it a process is frozen.
TIMES = {"session": 6.0, "heartbeat": 0.5}
FROZEN_SECONDS = TIMES["session"] / 2
State = Sequence[object]


def messages(ids: list[str]) -> list[dict[str, str]]:
    return [{"request_id": one, "email": "ada@example.test"} for one in ids]


async def settled(read: Callable[[], Awaitable[State]]) -> State:
    """What is written, once it has not changed for a while."""
    before = await read()
    for _ in range(30):
        await asyncio.sleep(1.5)
        now = await read()
        if now == before:
            return now
        before = now
    raise AssertionError("it never stands still")


async def frozen_while_it_waits_for_answers(
    scene: Scene, read: Callable[[], Awaitable[State]]
) -> tuple[Popen[bytes], State]:
    """A consumer that was stopped with `CONCURRENCY` mails handed over; and what it had written by then.

    Their answers come while it is frozen: on waking they lie there to be read and noted.
    """
    scene.set(delivery__concurrency=CONCURRENCY)
    scene.change(group_times=TIMES, engine_options={"commit_seconds": 0.1, "frozen_seconds": FROZEN_SECONDS})
    scene.site.start("api")
    victim = scene.site.start_consumer("email")
    assert await scene.site.ready(), scene.site.output()
    await scene.post(messages(BEFORE))
    assert await scene.mailed_all(BEFORE), scene.site.output()
    before = await settled(read)
    scene.mails.always["content"] = say("250 2.0.0 taken", seconds=2.0)
    await scene.post(messages(WAITING))
    await asyncio.wait_for(scene.mails.saw("content", len(BEFORE) + CONCURRENCY), 30)
    victim.send_signal(signal.SIGSTOP)
    scene.mails.always.clear()
    await asyncio.sleep(FROZEN_SECONDS + 1.0)
    return victim, before


async def wake(scene: Scene, victim: Popen[bytes]) -> int:
    """Its exit code; it must not have asked the server for anything more."""
    tries = len(scene.tries("ada@example.test"))
    victim.send_signal(signal.SIGCONT)
    code = await asyncio.to_thread(victim.wait, 10)
    assert len(scene.tries("ada@example.test")) == tries
    return code


# SQLite ---------------------------------------------------------------------------------------------


async def rows_of_the_group(scene: Scene) -> State:
    tables = ("positions", "ledger", "ledger_ends", "deferred", "dead_letters")
    with closing(sqlite3.connect(scene.site.folder / "data" / "herald.email.db")) as connection:
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]  # noqa: S608


async def test_on_sqlite_a_frozen_process_keeps_its_place_and_on_waking_ends_without_a_word(
    sqlite_scene: Scene,
) -> None:
    async def read() -> State:
        return await rows_of_the_group(sqlite_scene)

    victim, before = await frozen_while_it_waits_for_answers(sqlite_scene, read)
    standby = sqlite_scene.site.start("consumer", "email")
    assert await eventually(lambda: stands_by(sqlite_scene)), sqlite_scene.site.output()
    sent = len(sqlite_scene.mails.mails)
    taken_over = await sqlite_scene.mailed_count(sent + 1, seconds=2.0)
    kill(standby)

    code = await wake(sqlite_scene, victim)
    after = await rows_of_the_group(sqlite_scene)
    sqlite_scene.site.start_consumer("email")

    assert not taken_over
    assert code == EXIT_CODE
    assert after == before
    in_all = len(BEFORE) + len(WAITING) + CONCURRENCY
    assert await sqlite_scene.mailed_count(in_all), sqlite_scene.site.output()
    assert set(sqlite_scene.mailed()) == {*BEFORE, *WAITING}
    assert len(sqlite_scene.mailed()) == in_all


async def stands_by(scene: Scene) -> bool:
    return bool(scene.logged("consumer-email", "stands_by"))


async def test_on_sqlite_the_standby_takes_the_place_of_one_that_ended_on_waking(sqlite_scene: Scene) -> None:
    async def read() -> State:
        return await rows_of_the_group(sqlite_scene)

    victim, _ = await frozen_while_it_waits_for_answers(sqlite_scene, read)
    sqlite_scene.site.start("consumer", "email")
    assert await eventually(lambda: stands_by(sqlite_scene)), sqlite_scene.site.output()

    code = await asyncio.to_thread(_woken, victim)

    assert code == EXIT_CODE
    assert await sqlite_scene.mailed_all(WAITING), sqlite_scene.site.output()
    assert len(sqlite_scene.mailed()) <= len(BEFORE) + len(WAITING) + 2 * CONCURRENCY


def _woken(victim: Popen[bytes]) -> int:
    victim.send_signal(signal.SIGCONT)
    return victim.wait(10)


async def test_a_process_that_was_frozen_for_a_moment_goes_on_and_repeats_nothing(any_scene: Scene) -> None:
    any_scene.set(delivery__concurrency=CONCURRENCY)
    any_scene.change(group_times={"session": 20.0})
    any_scene.mails.always["content"] = say("250 2.0.0 taken", seconds=0.2)
    await any_scene.start("email")
    [victim] = [one for one in any_scene.site.running if "consumer" in str(one.args)]
    await any_scene.post(messages(WAITING))
    assert await any_scene.mailed_count(CONCURRENCY), any_scene.site.output()

    victim.send_signal(signal.SIGSTOP)
    await asyncio.sleep(1.0)
    victim.send_signal(signal.SIGCONT)

    assert await any_scene.mailed_all(WAITING), any_scene.site.output()
    assert (victim.poll(), len(any_scene.mailed())) == (None, len(WAITING))


# Kafka ----------------------------------------------------------------------------------------------


async def state_on_kafka(scene: Scene) -> State:
    """The group's positions, and how far its topics beside the source reach."""
    address = scene.site.environ["HERALD_KAFKA__BOOTSTRAP_SERVERS"]
    group = f"{scene.site.environ['HERALD_KAFKA__GROUP_PREFIX']}email"
    [topic] = json.loads(scene.site.environ["HERALD_TOPICS"])
    partitions = [TopicPartition(topic["name"], number) for number in range(topic["partitions"])]
    beside = [f"{topic['name']}.email.{kind}" for kind in ("ledger", "deferred")]
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(group, partitions=partitions)
    finally:
        await admin.close()
    async with AIOKafkaConsumer(bootstrap_servers=address) as consumer:
        ends = await consumer.end_offsets(
            [TopicPartition(name, p.partition) for name in beside for p in partitions]
        )
    return [sorted(committed.items()), sorted(ends.items())]


@pytest.mark.kafka
async def test_on_kafka_a_frozen_process_wakes_to_find_its_shards_anothers_and_writes_nothing(
    kafka_scene: Scene,
) -> None:
    async def read() -> State:
        return await state_on_kafka(kafka_scene)

    victim, _ = await frozen_while_it_waits_for_answers(kafka_scene, read)
    kafka_scene.site.start("consumer", "email")
    assert await kafka_scene.mailed_all(WAITING), kafka_scene.site.output()
    before = await settled(read)

    code = await wake(kafka_scene, victim)

    assert code == EXIT_CODE
    assert await settled(read) == before
    assert len(kafka_scene.mailed()) == len(BEFORE) + len(WAITING) + CONCURRENCY


@pytest.mark.kafka
async def test_on_kafka_a_frozen_process_ends_on_waking_also_while_its_shards_are_still_its_own(
    kafka_scene: Scene,
) -> None:
    # It cannot know; and half a session is what it has to end itself in time.
    async def read() -> State:
        return await state_on_kafka(kafka_scene)

    victim, before = await frozen_while_it_waits_for_answers(kafka_scene, read)

    code = await wake(kafka_scene, victim)
    after = await read()
    kafka_scene.site.start_consumer("email")

    assert code == EXIT_CODE
    assert after == before
    assert await kafka_scene.mailed_all(WAITING), kafka_scene.site.output()
