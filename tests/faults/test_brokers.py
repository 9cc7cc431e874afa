"""The brokers go away and come back: whole processes, one real broker of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kafka.cluster import KafkaCluster
from tests.site import Site, kafka_log, site

pytestmark = pytest.mark.kafka


@pytest.fixture
async def broker_site(tmp_path: Path, own_broker: KafkaCluster) -> AsyncIterator[Site]:
    async with site(tmp_path, kafka_log(own_broker.bootstrap_servers, "payments")) as one:
        yield one


async def test_while_brokers_are_away_the_api_says_so_and_all_goes_on_when_they_are_back(
    broker_site: Site, own_broker: KafkaCluster
) -> None:
    await broker_site.start_all()
    await broker_site.post_many(5, "before-")
    assert await broker_site.arrived(emails=5, sms=5)

    await asyncio.to_thread(own_broker.kill, 0)
    refused = await broker_site.post(request_id="during")
    live = await broker_site.http.get(f"{broker_site.api}/health/live")
    ready = await broker_site.http.get(f"{broker_site.api}/health/ready")
    assert (refused.status_code, live.status_code, ready.status_code) == (503, 200, 503)
    assert refused.headers["retry-after"]
    assert refused.json()["type"] == "urn:herald:problem:log-unavailable"
    assert refused.json()["request_id"] == "during"

    await asyncio.to_thread(own_broker.restart, 0)
    assert await broker_site.ready(), broker_site.output()
    await broker_site.post_many(5, "after-")

    # "during" may be in the log or not; the others are, and nothing is lost.
    assert await broker_site.arrived(emails=10, sms=10, seconds=90)


async def test_brokers_that_are_away_at_the_start_are_waited_for(
    broker_site: Site, own_broker: KafkaCluster
) -> None:
    await asyncio.to_thread(own_broker.kill, 0)
    for command in ("api", "inbox"):
        broker_site.start(command)
    broker_site.start_consumer("email")
    live = f"http://127.0.0.1:{broker_site.health_ports['email']}/health/live"
    assert await broker_site.answers(live, 200)
    assert await broker_site.answers(live.replace("live", "ready"), 503)
    assert await broker_site.answers(f"{broker_site.api}/health/ready", 503)

    await asyncio.to_thread(own_broker.restart, 0)
    assert await broker_site.ready(), broker_site.output()
    await broker_site.post_many(3, phone="")

    assert await broker_site.arrived(emails=3, sms=0, seconds=90)
