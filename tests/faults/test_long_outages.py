"""A mail server that is away for long: the group stays as it is, nothing is spent, all drains by itself."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.faults.scene import Scene
from tests.smtp_server import say

# What the server takes a second is far below what even a busy machine can send.
CONCURRENCY, ANSWER_SECONDS, WAITING = 4, 0.08, 300
LEAST_SHARE, ROUNDS = 0.9, 3
# Longer than the session, than aiokafka's patience with a reader that asks for nothing, and than it keeps
# connections on which nothing is said.
OUTAGE_SECONDS = 15.0
PATIENCE = {"session": 6.0, "heartbeat": 1.0, "poll": 10.0, "idle": 10.0}


def mails(prefix: str, count: int) -> list[dict[str, str]]:
    email = "ada@example.test"
    return [{"request_id": f"{prefix}-{n}", "key": f"k{n % 300}", "email": email} for n in range(count)]


def per_second(arrivals: Sequence[float]) -> float:
    return (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])


async def is_down(scene: Scene) -> bool:
    return await scene.site.metric_reaches("email", "herald_channel_up", 0, at_most=True)


async def drain_rates(scene: Scene, name: str) -> tuple[float, float]:
    """Mails a second, of as many: while all is well, and of what waited through an outage."""
    server, before = scene.mails, len(scene.mails.mails)
    await scene.post(mails(f"steady{name}", WAITING))
    assert await scene.mailed_count(before + WAITING), scene.site.output()
    assert await scene.site.metric_reaches("email", "herald_in_flight_messages", 0, at_most=True)

    await server.stop()
    await scene.post(mails(f"waiting{name}", WAITING))
    assert await is_down(scene)
    await asyncio.sleep(2.0)
    await server.start()
    assert await scene.mailed_count(before + 2 * WAITING), scene.site.output()
    assert await scene.site.metric_reaches("email", "herald_in_flight_messages", 0, at_most=True)

    arrivals = [mail.at for mail in server.mails[before:]]
    return per_second(arrivals[:WAITING]), per_second(arrivals[WAITING:])


@pytest.mark.timeout(300)
async def test_what_waited_through_an_outage_drains_at_the_steady_rate(any_scene: Scene) -> None:
    scene = any_scene
    scene.set(delivery__concurrency=CONCURRENCY)
    scene.change(breaker_policy={"longest_pause": 1.0})
    scene.mails.always["content"] = say("250 2.0.0 ok", seconds=ANSWER_SECONDS)
    await scene.start("email")

    shares: list[float] = []
    # Another program on this machine may slow one half of a round down; it is no likely company for three.
    while len(shares) < ROUNDS and max(shares, default=0.0) < LEAST_SHARE:
        steady, drained = await drain_rates(scene, str(len(shares)))
        shares.append(drained / steady)

    assert max(shares) >= LEAST_SHARE, shares
    assert await scene.dead_letters("email") == 0


async def members(scene: Scene) -> set[str]:
    """The ids of the group's members as the broker knows them; a member that was put out gets a new one."""
    environ = scene.site.environ
    admin = AIOKafkaAdminClient(bootstrap_servers=environ["HERALD_KAFKA__BOOTSTRAP_SERVERS"])
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([environ["HERALD_KAFKA__GROUP_PREFIX"] + "email"])
    finally:
        await admin.close()
    ((_, _, state, _, _, found, *_),) = answer.groups
    assert state == "Stable"
    return {member[0] for member in found}


async def test_an_outage_longer_than_all_of_kafkas_patience_changes_nothing_in_the_group(
    kafka_scene: Scene,
) -> None:
    scene = kafka_scene
    scene.set(delivery__max_attempts=1)
    scene.change(group_times=PATIENCE)
    await scene.start("email")
    await scene.post(mails("before", 10))
    assert await scene.mailed_count(10), scene.site.output()
    before = await members(scene)
    joined = scene.logged("consumer-email", "shards_assigned")

    await scene.mails.stop()
    await scene.post(mails("waiting", 500))
    assert await is_down(scene)
    await asyncio.sleep(OUTAGE_SECONDS)
    assert await members(scene) == before
    await scene.mails.start()

    assert await scene.mailed_count(510), scene.site.output()
    assert await members(scene) == before
    assert scene.logged("consumer-email", "shards_assigned") == joined
    assert len(set(scene.mailed())) == len(scene.mailed()) == 510
    assert await scene.dead_letters("email") == 0
