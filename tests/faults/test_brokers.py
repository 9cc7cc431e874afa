"""Brokers die, restart and are all away: whole processes, and three real nodes that keep three copies."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.faults.scene import Scene, scene
from tests.free_ports import free_ports
from tests.kafka.cluster import KafkaCluster
from tests.site import eventually, kafka_log

pytestmark = pytest.mark.kafka
# Three nodes that start on a busy machine must not make a process look frozen.
GROUP_TIMES = {"session": 12.0, "heartbeat": 1.0}
AWAY_SECONDS = 60.0
KEYS = 5


@pytest.fixture
async def broker_scene(tmp_path: Path, three_brokers: KafkaCluster) -> AsyncIterator[Scene]:
    log = kafka_log(three_brokers.bootstrap_servers, f"brokers-{uuid4().hex[:8]}")
    async with scene(tmp_path, log) as one:
        one.change(group_times=GROUP_TIMES)
        yield one


class Client:
    """Waits for each answer, and sends again what got a 503. `answers`: how often each status came."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.answers: Counter[int] = Counter()
        self.accepted: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        posting = asyncio.create_task(self._post_for_ever())
        try:
            yield
        finally:
            posting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await posting

    async def _post_for_ever(self) -> None:
        for number in count():
            await self.post_until_taken(f"key{number % KEYS}-{number}")
            await asyncio.sleep(0.02)

    async def post_until_taken(self, request_id: str) -> None:
        key = request_id.partition("-")[0]
        while (await self.post(request_id, key)).status_code == 503:  # noqa: ASYNC110 - it asks each time
            await asyncio.sleep(0.2)

    async def post(self, request_id: str, key: str) -> httpx.Response:
        answer = await self._scene.site.post(request_id=request_id, key=key)
        self.answers[answer.status_code] += 1
        if answer.status_code == 202:
            self.accepted.append(request_id)
        return answer

    async def gets_on(self, more: int = 30) -> bool:
        """Whether that many more are taken in time."""
        wanted = len(self.accepted) + more

        async def so_many() -> bool:
            return len(self.accepted) >= wanted

        return await eventually(so_many, 60.0)


async def copies_are_whole(cluster: KafkaCluster) -> bool:
    """Whether all copies come to be in sync: whoever restarts nodes in turn waits for that."""

    async def all_in_sync() -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
        await admin.start()
        try:
            topics = await admin.describe_topics()
        finally:
            await admin.close()
        return all(len(p["isr"]) == len(p["replicas"]) for topic in topics for p in topic["partitions"])

    return await eventually(all_in_sync, 60.0)


async def all_delivered(scene: Scene, ids: list[str]) -> bool:
    return await scene.mailed_all(ids, 90.0) and await scene.texted_all(ids, 90.0)


async def test_a_node_killed_and_then_each_restarted_under_load_lose_nothing_and_stop_nobody(
    broker_scene: Scene, three_brokers: KafkaCluster
) -> None:
    scene, client = broker_scene, Client(broker_scene)
    await scene.start("email", "sms")
    async with client.running():
        assert await client.gets_on()
        await asyncio.to_thread(three_brokers.kill, 0)
        assert await client.gets_on()
        await asyncio.to_thread(three_brokers.restart, 0)
        for number in range(three_brokers.size):
            assert await copies_are_whole(three_brokers)
            await asyncio.to_thread(three_brokers.stop, number)
            assert await client.gets_on()
            await asyncio.to_thread(three_brokers.restart, number)
        assert await client.gets_on()
    delivered = await all_delivered(scene, client.accepted)

    assert delivered, scene.site.output()
    assert client.answers.keys() <= {202, 503}
    assert [process.poll() for process in scene.site.running] == [None] * 3


async def test_while_all_are_away_the_api_says_so_and_all_goes_on_when_they_are_back(
    broker_scene: Scene, three_brokers: KafkaCluster
) -> None:
    scene, client = broker_scene, Client(broker_scene)
    await scene.start("email", "sms")
    for number in range(20):
        await client.post_until_taken(f"before-{number}")
    for number in range(three_brokers.size):
        await asyncio.to_thread(three_brokers.kill, number)
    gone_at = time.monotonic()
    refused = await client.post("during-1", "during")
    took = time.monotonic() - gone_at
    consumers = [f"http://127.0.0.1:{port}" for port in scene.site.health_ports.values()]
    addresses = [scene.site.api, *consumers, *newcomers(scene)]
    assert await scene.site.answers(f"{addresses[-2]}/health/live", 200), scene.site.output()
    assert await scene.site.answers(f"{addresses[-1]}/health/live", 200), scene.site.output()
    answers = [await healths(scene, addresses)]
    while time.monotonic() < gone_at + AWAY_SECONDS:
        await asyncio.sleep(5.0)
        answers.append(await healths(scene, addresses))
    await asyncio.to_thread(three_brokers.restart, *range(three_brokers.size))
    back = [await scene.site.ready(address, 90.0) for address in addresses]
    for number in range(20):
        await client.post_until_taken(f"after-{number}")
    await client.post_until_taken("during-1")
    delivered = await all_delivered(scene, client.accepted)

    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert refused.json()["type"] == "urn:herald:problem:log-unavailable"
    assert took < 10
    assert answers == [[(200, 503)] * len(addresses)] * len(answers)
    assert len(answers) > 5
    assert back == [True] * len(addresses), scene.site.output()
    assert delivered, scene.site.output()
    assert scene.mailed().count("during-1") == 1
    assert [process.poll() for process in scene.site.running] == [None] * len(scene.site.running)


def newcomers(scene: Scene) -> list[str]:
    """Processes that start while the brokers are away."""
    api, consumer = free_ports(2)
    scene.site.start("api", HERALD_API__PORT=str(api))
    scene.site.start("consumer", "email", HERALD_CONSUMER__PORT=str(consumer))
    return [f"http://127.0.0.1:{port}" for port in (api, consumer)]


async def healths(scene: Scene, addresses: list[str]) -> list[tuple[int, int]]:
    """What each says of being alive and of being ready."""
    return [
        (
            (await scene.site.http.get(f"{address}/health/live")).status_code,
            (await scene.site.http.get(f"{address}/health/ready")).status_code,
        )
        for address in addresses
    ]
