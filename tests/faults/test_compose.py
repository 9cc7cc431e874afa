"""What docker-compose.yml starts, without an engine: its settings for three brokers and all of Herald.

Only names of hosts and ports are put elsewhere, onto the loopback.
"""

import asyncio
import re
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests import deployment
from tests.free_ports import free_ports
from tests.kafka.cluster import KafkaCluster
from tests.site import HERALD, Site, eventually, site

pytestmark = pytest.mark.kafka
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
# Not of server.properties: the image's own.
OF_THE_IMAGE = {"KAFKA_HEAP_OPTS"}
_PLACE = re.compile(r"([a-z0-9.-]+):([0-9]+)")


class Loopback:
    """Where each port of each service is on this machine."""

    def __init__(self) -> None:
        self.ports: dict[tuple[str, int], int] = {}

    def port(self, service: str, port: int) -> int:
        if (service, port) not in self.ports:
            (self.ports[service, port],) = free_ports(1)
        return self.ports[service, port]

    def put(self, text: str, service: str) -> str:
        """The text with each place in it on the loopback; one without a name of its own is `service`'s."""

        def place(match: re.Match[str]) -> str:
            host = match[1] if match[1] in deployment.services() else service
            return f"127.0.0.1:{self.port(host, int(match[2]))}"

        return _PLACE.sub(place, text)

    def environment(self, service: str) -> dict[str, str]:
        """What a process of Herald's finds in its container."""
        given = deployment.image_environment() | deployment.environment(deployment.services()[service])
        given = {name: value for name, value in given.items() if name.startswith("HERALD_")}
        return {name: self._value(name, given, service) for name, value in given.items()}

    def _value(self, name: str, given: Mapping[str, str], service: str) -> str:
        value = given[name]
        if name.endswith("_HOST"):
            return "127.0.0.1"
        if name.endswith("_PORT"):
            host = given.get(name.replace("_PORT", "_HOST"), "")
            return str(self.port(host if host in deployment.services() else service, int(value)))
        return value if name == "HERALD_TOPICS" else self.put(value, service)


def properties(broker: str) -> Mapping[str, str]:
    """server.properties, as the image makes them of the environment."""
    given = deployment.environment(deployment.services()[broker])
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in given.items()
        if name.startswith("KAFKA_") and name not in OF_THE_IMAGE
    }


@pytest.fixture(scope="module")
def loopback() -> Loopback:
    return Loopback()


@pytest.fixture(scope="module")
def three_brokers(loopback: Loopback) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(len(BROKERS))
    given = [deployment.environment(deployment.services()[broker]) for broker in BROKERS]
    (cluster.cluster_id,) = {one["CLUSTER_ID"] for one in given}
    for broker, node in zip(BROKERS, cluster.nodes, strict=True):
        loopback.ports[broker, 9092], loopback.ports[broker, 9093] = node.port, node.controller_port
    for broker, node in zip(BROKERS, cluster.nodes, strict=True):
        own = {name: loopback.put(value, broker) for name, value in properties(broker).items()}
        cluster.own[int(own["node.id"])] = own | {"log.dirs": str(node.directory / "data")}
    with cluster:
        yield cluster


@pytest.fixture
async def composed(tmp_path: Path, loopback: Loopback, three_brokers: KafkaCluster) -> AsyncIterator[Site]:
    """Each service of Herald's as the process that its container runs."""
    async with site(tmp_path, {}) as one:
        one.environ = {name: v for name, v in one.environ.items() if not name.startswith("HERALD_")}
        one.api = f"http://127.0.0.1:{loopback.port('api', 8080)}"
        one.inbox_url = f"http://127.0.0.1:{loopback.port('inbox', 8025)}"
        one.health_ports = {group: loopback.port(group, 9100) for group in ("email", "sms")}
        for name, service in deployment.of_herald().items():
            one.start(*service["command"], **loopback.environment(name))
        yield one


async def is_healthy(one: Site, service: str, environ: Mapping[str, str]) -> bool:
    """What the service's own health check says."""
    kind, *command = deployment.services()[service]["healthcheck"]["test"]
    assert (kind, command[0]) == ("CMD", "herald")
    asking = await asyncio.create_subprocess_exec(
        *HERALD, *command[1:], env={**one.environ, **environ}, cwd=one.folder, stdout=-3, stderr=-3
    )
    return await asking.wait() == 0


async def all_healthy(one: Site, loopback: Loopback) -> bool:
    async def so_said() -> bool:
        names = list(deployment.of_herald())
        asked = [is_healthy(one, name, loopback.environment(name)) for name in names]
        return all(await asyncio.gather(*asked))

    return await eventually(so_said, 40.0)


async def post_until_taken(one: Site, request_id: str) -> None:
    async def taken() -> bool:
        return (await one.post(request_id=request_id)).status_code == 202

    assert await eventually(taken, 60.0), one.output()


async def arrived(one: Site, request_ids: Sequence[str]) -> bool:
    """Whether each came as a mail and as a text."""

    async def all_there() -> bool:
        inbox = await one.inbox()
        mails = {mail["message_id"] for mail in inbox["emails"]}
        texts = {text["idempotency_key"] for text in inbox["sms"]}
        return all(
            any(id_.startswith(f"<{request_id}.{one.topic}@") for id_ in mails)
            and f"{request_id}.{one.topic}" in texts
            for request_id in request_ids
        )

    return await eventually(all_there, 60.0)


class Told:
    """What the cluster says of itself to whoever asks from this machine, not from inside."""

    def __init__(self, loopback: Loopback) -> None:
        ports = [loopback.port(broker, int(f"{n}9092")) for n, broker in enumerate(BROKERS, 1)]
        self._admin = AIOKafkaAdminClient(bootstrap_servers=[f"127.0.0.1:{port}" for port in ports])

    async def __aenter__(self) -> AIOKafkaAdminClient:
        await self._admin.start()
        return self._admin

    async def __aexit__(self, *_: object) -> None:
        await self._admin.close()


async def settings_of(admin: Any, kind: ConfigResourceType, name: str) -> dict[str, str]:
    [answer] = await admin.describe_configs([ConfigResource(kind, name)])
    return {setting[0]: setting[1] for setting in answer.resources[0][4]}


async def test_what_compose_starts_delivers_with_three_copies_and_goes_on_when_a_broker_is_killed(
    composed: Site, loopback: Loopback, three_brokers: KafkaCluster
) -> None:
    assert await all_healthy(composed, loopback), composed.output()
    await post_until_taken(composed, "before")
    came = await arrived(composed, ["before"])
    async with Told(loopback) as admin:
        topics = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
        of_topic = await settings_of(admin, ConfigResourceType.TOPIC, "transactions")
        of_broker = await settings_of(admin, ConfigResourceType.BROKER, "1")
    await asyncio.to_thread(three_brokers.kill, 0)
    for number in range(12):
        await post_until_taken(composed, f"after-{number}")
    went_on = await arrived(composed, [f"after-{number}" for number in range(12)])
    healthy = await all_healthy(composed, loopback)
    running = list(composed.running)
    for process in running:
        process.send_signal(signal.SIGTERM)
    codes = [await asyncio.to_thread(process.wait, 30) for process in running]

    copies = defaultdict(set)
    for topic, partitions in topics.items():
        copies[len(partitions[0]["replicas"])].add(topic)
    assert came, composed.output()
    assert set(copies) == {3}, copies
    assert {"transactions", "transactions.email.ledger", "transactions.sms.ledger"} <= copies[3]
    assert len(topics["transactions"]) == 6
    assert of_topic["min.insync.replicas"] == "2"
    assert properties("kafka-1").keys() - of_broker.keys() == set(), "no such setting of a broker"
    assert went_on, composed.output()
    assert healthy, composed.output()
    assert codes == [0] * len(deployment.of_herald()), composed.output()
