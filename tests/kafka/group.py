"""A group whose processes are tasks of the test: real consumers over real Kafka, mails kept in memory."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.protocol.admin import DeleteGroupsRequest
from dependency_injector import providers

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_ledger import KafkaLedger
from adapters.kafka_log import KafkaLog
from adapters.kafka_publisher import KafkaPublisher
from adapters.memory_senders import MemoryEmailSender
from containers import Container
from domain.ledger import Places, Written
from domain.log import Assigned, LogEvent, Lost, NewRecord, Position, Receipt, Revoking, Shard
from domain.outcome import Outcome
from domain.ports import Mail
from entrypoints.child_process import ParentLink
from entrypoints.run_consumer import ConsumerProcess
from entrypoints.settings_model import Settings
from tests.contracts.rig import new_name
from tests.free_ports import free_ports
from tests.kafka.pace import own_time
from tests.plain_client import plain_client
from tests.site import eventually

GROUP = "email"
DAY_MS = 86_400_000
# As a group has it whose brokers answer at once; a test machine that is busy must not look frozen.
TIMES = {"session": 6.0, "heartbeat": 0.3, "rebalance_margin": 5.0, "request_margin": 5.0}
NEVER_FROZEN = 600.0


class WatchedLog(KafkaLog):
    """Keeps what happened to the process's shards, and when."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rebalances: list[tuple[float, Assigned | Revoking | Lost]] = []

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        event = await super().next_event(wanted, limit, seconds)
        if isinstance(event, Assigned | Revoking | Lost):
            self.rebalances.append((own_time(), event))
        return event


class WatchedLedger(KafkaLedger):
    """Keeps what was read back; a reading first waits for `delay` seconds."""

    def __init__(self, connection: KafkaConnection, group: str, delay: float) -> None:
        super().__init__(connection, group)
        self._delay = delay
        self.recalls: list[tuple[Shard, Places, int]] = []

    async def recall(self, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        await asyncio.sleep(self._delay)
        count = 0
        async for some in super().recall(shard, since):
            count += len(some)
            yield some
        self.recalls.append((shard, since, count))


class Mails(MemoryEmailSender):
    """Keeps when each mail came."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    async def send(self, mail: Mail, *, fresh: bool = False) -> Outcome:
        outcome = await super().send(mail, fresh=fresh)
        self.at.append(own_time())
        return outcome


class Member:
    """One running process of the group."""

    def __init__(self, log: WatchedLog, ledger: WatchedLedger, port: int) -> None:
        self.log = log
        self.ledger = ledger
        self.address = f"http://127.0.0.1:{port}"

    @property
    def shards(self) -> AbstractSet[Shard]:
        """Those it was given and not asked back."""
        held: AbstractSet[Shard] = frozenset()
        for _, event in self.log.rebalances:
            held = held | event.shards if isinstance(event, Assigned) else held - event.shards
        return held

    async def holds(self, *counts: int) -> bool:
        """Whether it comes to hold one of so many shards."""

        async def so_many() -> bool:
            return len(self.shards) in counts

        return await eventually(so_many, 40.0)

    async def ready(self) -> tuple[int, str]:
        async with plain_client(timeout=15.0) as http:
            answer = await http.get(f"{self.address}/health/ready")
            return answer.status_code, answer.text

    async def comes_to_say(self, reason: str, seconds: float = 40.0) -> bool:
        """Whether it comes to be unready for a reason with these words in it."""

        async def so_far() -> bool:
            status, text = await self.ready()
            return status == 503 and reason in text

        return await eventually(so_far, seconds)

    async def metric(self, name: str) -> float:
        async with plain_client(timeout=15.0) as http:
            lines = (await http.get(f"{self.address}/metrics")).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


@dataclass
class Group:
    """A topic of its own, and the group `email` that reads it."""

    address: str
    partitions: int = 3
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.topic = new_name("group")
        self.group_id = f"{self.topic}-{GROUP}"
        self.sender = Mails()
        self.connection = KafkaConnection(bootstrap_servers=self.address)

    def shard(self, partition: int = 0) -> Shard:
        return Shard(self.topic, partition)

    def container(self, address: str = "", port: int = 0) -> Container:
        delivery = {"drain_seconds": 2, "concurrency": 8, **self.settings}
        topic = {"name": self.topic, "partitions": self.partitions, "groups": [GROUP]}
        settings = Settings.model_validate(
            {
                "broker": {"backend": "kafka"},
                "kafka": {
                    "bootstrap_servers": address or self.address,
                    "group_prefix": f"{self.topic}-",
                },
                "topics": [topic],
                "delivery": delivery,
                "consumer": {"port": port},
            }
        )
        container = Container(settings=settings, group=GROUP)
        container.email_sender.override(providers.Object(self.sender))
        container.group_times.add_kwargs(**TIMES)
        container.engine_options.add_kwargs(frozen_seconds=NEVER_FROZEN)
        return container

    async def make_topics(self) -> None:
        async with self.container().topic_catalog():
            await self.container().apply_topics()()

    @asynccontextmanager
    async def member(self, address: str = "", recall_delay: float = 0.0) -> AsyncIterator[Member]:
        """A process; leaving drains it."""
        [port] = free_ports(1)
        container = self.container(address, port)
        times = container.group_times()
        log = WatchedLog(container.kafka_connection(), GROUP, self.group_id, [self.topic], times=times)
        ledger = WatchedLedger(container.kafka_connection(), GROUP, recall_delay)
        container.message_log.override(providers.Object(log))
        container.ledger.override(providers.Object(ledger))
        stop = asyncio.Event()
        running = asyncio.create_task(ConsumerProcess(container, GROUP, ParentLink(None)).run(stop))
        try:
            yield Member(log, ledger, port)
        finally:
            stop.set()
            await running

    # What goes in and what comes out --------------------------------------------------------------

    async def post(self, ids: Iterable[str], partition: int | None = None) -> None:
        """Ids are `{key}-{number}`; a key's partition is its hash's. Insists that the log has them."""
        async with KafkaPublisher(self.connection) as publisher:
            answers = await publisher.publish([self.record(one, partition) for one in ids])
        assert all(isinstance(answer, Receipt) for answer in answers)

    def record(self, request_id: str, partition: int | None = None) -> NewRecord:
        key = request_id.rpartition("-")[0]
        place = sum(key.encode()) % self.partitions if partition is None else partition
        value = {"request_id": request_id, "email": "ada@example.test"}
        return NewRecord(self.shard(place), key.encode(), json.dumps(value).encode())

    async def post_at(self, ids: Iterable[str], timestamp_ms: int, partition: int = 0) -> None:
        """With a time of its own."""
        async with AIOKafkaProducer(bootstrap_servers=self.address, acks="all") as producer:
            for one in ids:
                record = self.record(one, partition)
                await producer.send_and_wait(
                    self.topic, record.value, record.key, partition, timestamp_ms=timestamp_ms
                )

    def received(self) -> list[str]:
        """The request ids of the mails, in the order in which they came."""
        end = f".{self.topic}"
        return [mail.message_id.strip("<>").rpartition("@")[0].removesuffix(end) for mail in self.sender.sent]

    async def has_received(self, ids: Iterable[str], seconds: float = 60.0) -> bool:
        """Whether each of these came in time."""
        wanted = set(ids)

        async def all_there() -> bool:
            return len(self.sender.sent) >= len(wanted) and wanted <= set(self.received())

        return await eventually(all_there, seconds)

    def firsts_by_key(self) -> Mapping[str, Sequence[int]]:
        """Each key's numbers in the order in which they first came."""
        numbers: dict[str, list[int]] = defaultdict(list)
        for one in dict.fromkeys(self.received()):
            key, _, number = one.rpartition("-")
            numbers[key].append(int(number))
        return numbers

    # What happens to a group ----------------------------------------------------------------------

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def commit_by_hand(self, positions: Mapping[Shard, Position]) -> None:
        """As somebody does who is not in the group."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.address, group_id=self.group_id, enable_auto_commit=False
        ) as consumer:
            consumer.assign([TopicPartition(s.topic, s.partition) for s in positions])
            await consumer.commit(
                {TopicPartition(s.topic, s.partition): (p.offset, p.metadata) for s, p in positions.items()}
            )

    async def positions(self) -> Mapping[Shard, Position]:
        """What the group has committed."""
        partitions = [TopicPartition(self.topic, n) for n in range(self.partitions)]
        async with self.admin() as admin:
            found = await admin.list_consumer_group_offsets(self.group_id, partitions=partitions)
        return {self.shard(p.partition): Position(o.offset, o.metadata) for p, o in found.items()}

    async def forget_positions(self) -> None:
        """As Kafka does some days after the last process has left."""
        async with self.admin() as admin:
            coordinator = await admin.find_coordinator(self.group_id)
            answer = await admin._send_request_to_node(coordinator, DeleteGroupsRequest([self.group_id]))
        assert [code for _, code in answer.results] == [0]

    async def forget_records(self, shard: Shard, before: int) -> None:
        """As retention does."""
        async with self.admin() as admin:
            partition = TopicPartition(shard.topic, shard.partition)
            await admin.delete_records({partition: RecordsToDelete(before)})

    async def make_topic_anew(self) -> None:
        """Deletes the topic and makes it again; what the group has noted of it stays."""
        async with self.admin() as admin:
            await admin.delete_topics([self.topic])
        await self.make_topics()
