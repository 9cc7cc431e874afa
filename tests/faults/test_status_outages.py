"""The view of what became of messages while brokers are away: 503, then right again, unaided."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.kafka.cluster import KafkaCluster
from tests.site import Site, eventually, kafka_log, site

pytestmark = pytest.mark.kafka


@pytest.fixture
async def own_site(tmp_path: Path, own_broker: KafkaCluster) -> AsyncIterator[Site]:
    async with site(tmp_path, kafka_log(own_broker.bootstrap_servers, f"own-{uuid4().hex[:8]}")) as one:
        yield one


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in children.split()]


async def answers(site: Site, request_id: str, status: int) -> bool:
    async def is_so() -> bool:
        answer = await site.http.get(f"{site.api}/api/v1/messages/{request_id}")
        return answer.status_code == status

    return await eventually(is_so, 60.0)


async def test_a_status_is_503_while_brokers_are_away_and_is_told_again_unaided(
    own_site: Site, own_broker: KafkaCluster
) -> None:
    own_site.start("api")
    assert await own_site.ready(), own_site.output()
    await own_site.post(request_id="before")
    assert await answers(own_site, "before", 200)

    await asyncio.to_thread(own_broker.kill)
    assert await answers(own_site, "before", 503)
    lag = await own_site.http.get(f"{own_site.api}/api/v1/lag", timeout=60.0)
    await asyncio.to_thread(own_broker.restart, 0)

    assert lag.status_code == 503
    assert await answers(own_site, "before", 200)
    assert await own_site.ready(), own_site.output()
    await own_site.post(request_id="after")
    assert await answers(own_site, "after", 200)


async def test_a_view_whose_brokers_are_away_at_its_start_waits_for_them(
    own_site: Site, own_broker: KafkaCluster
) -> None:
    await asyncio.to_thread(own_broker.kill)
    own_site.start("api")
    assert await answers(own_site, "order-1", 503)

    await asyncio.to_thread(own_broker.restart, 0)
    assert await own_site.ready(), own_site.output()
    await own_site.post(request_id="order-1")

    assert await answers(own_site, "order-1", 200)


async def test_a_view_that_dies_is_kept_again_and_producing_does_not_notice(kafka_site: Site) -> None:
    kafka_site.start("api")
    assert await kafka_site.ready(), kafka_site.output()
    await kafka_site.post(request_id="before")
    assert await answers(kafka_site, "before", 200)

    [view] = children_of(kafka_site.running[-1].pid)
    os.kill(view, signal.SIGKILL)
    posted = await kafka_site.post(request_id="after")

    assert posted.status_code == 202
    assert await answers(kafka_site, "after", 200)
    assert await answers(kafka_site, "before", 200)


async def test_the_view_ends_within_two_seconds_of_a_killed_supervisor(kafka_site: Site) -> None:
    supervisor = kafka_site.start("run")
    assert await kafka_site.ready(), kafka_site.output()
    await kafka_site.post(request_id="order-1")
    assert await answers(kafka_site, "order-1", 200)
    [view] = [one for child in children_of(supervisor.pid) for one in children_of(child)]

    supervisor.kill()
    supervisor.wait()
    killed_at = time.monotonic()

    async def is_gone() -> bool:
        return not await asyncio.to_thread(Path(f"/proc/{view}").exists)

    assert await eventually(is_gone, 5.0)
    assert time.monotonic() - killed_at < 2.0  # the contract's bound
