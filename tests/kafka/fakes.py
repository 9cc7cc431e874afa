"""aiokafka's clients without a broker: each keeps what it was told and answers what a test put into it."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from aiokafka.producer.message_accumulator import BatchBuilder

REFUSED = KafkaConnectionError("nobody listens")


class FakeBroker:
    """What the clients of one test share. `starts`: errors that starting clients meet, one each.

    `says(call=[...])`: what an admin client's calls answer or raise, in turn; the last one stays.
    """

    def __init__(self) -> None:
        self.starts: deque[BaseException] = deque()
        self.batches: list[tuple[TopicPartition, int]] = []
        self.answers: deque[BaseException] = deque()
        self.ends: dict[TopicPartition, int] = defaultdict(int)
        self.hold: asyncio.Event | None = None
        self.missing: set[str] = set()  # topics that are not made yet; every other one is there
        self.answers_metadata: bool | None = True
        self.clients: list[Any] = []
        self.script: dict[str, deque[Any]] = {}

    def says(self, **answers: Sequence[Any]) -> Self:
        self.script.update({call: deque(said) for call, said in answers.items()})
        return self

    def answer(self, call: str) -> Any:
        said = self.script[call]
        answer = said.popleft() if len(said) > 1 else said[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def newest(self) -> Any:
        return self.clients[-1]

    def client(self, kind: type[Any]) -> Callable[..., Any]:
        """A stand-in for aiokafka's class."""

        def build(**options: Any) -> Any:
            self.clients.append(kind(self, options))
            return self.clients[-1]

        return build


class FakeClient:
    """Starting and stopping, as every client has them."""

    def __init__(self, broker: FakeBroker, options: dict[str, Any]) -> None:
        self.broker = broker
        self.options = options
        self.started = 0
        self.stopped = 0
        self.hangs = False

    async def start(self) -> None:
        if self.broker.starts:
            raise self.broker.starts.popleft()
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1
        if self.hangs:
            await asyncio.Event().wait()


class FakeProducer(FakeClient):
    """Takes batches: each answer in `broker.answers` fails one; `broker.hold` keeps all waiting."""

    def __init__(self, broker: FakeBroker, options: dict[str, Any]) -> None:
        super().__init__(broker, options)
        self.client = self
        self._sync_task = asyncio.get_running_loop().create_future()
        self.closed = 0
        self._sender = SimpleNamespace(sender_task=None)

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(self.options["max_batch_size"], 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> Any:
        return asyncio.ensure_future(self._written(batch, TopicPartition(topic, partition)))

    async def _written(self, batch: BatchBuilder, partition: TopicPartition) -> Any:
        if self.broker.hold is not None:
            await self.broker.hold.wait()
        self.broker.batches.append((partition, batch.record_count()))
        if self.broker.answers:
            raise self.broker.answers.popleft()
        first = self.broker.ends[partition]
        self.broker.ends[partition] += batch.record_count()
        return SimpleNamespace(offset=first)

    async def fetch_all_metadata(self) -> Any:
        missing = frozenset(self.broker.missing)
        return SimpleNamespace(partitions_for_topic=lambda topic: None if topic in missing else {0})

    async def force_metadata_update(self) -> bool:
        if self.broker.answers_metadata is None:
            await asyncio.Event().wait()
        return bool(self.broker.answers_metadata)

    async def close(self) -> None:
        self.closed += 1


async def _nothing() -> None:
    pass


class FakeConsumer(FakeClient):
    """A group of one. `polls`: what `getmany` answers or raises; `rebalance` asks all back and gives some."""

    def __init__(self, broker: FakeBroker, options: dict[str, Any]) -> None:
        super().__init__(broker, options)
        self.polls: deque[dict[TopicPartition, list[Any]] | BaseException] = deque()
        self.asked: list[tuple[TopicPartition, ...]] = []
        self.seeks: list[tuple[TopicPartition, int]] = []
        self.paused: list[TopicPartition] = []
        self.resumed: list[TopicPartition] = []
        self.commits: list[dict[TopicPartition, tuple[int, str]]] = []
        self.commit_answer: BaseException | None = None
        self.firsts: dict[TopicPartition, int] = defaultdict(int)
        self.bounds_answers: deque[BaseException] = deque()
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.listener: Any = None
        self.topics_subscribed: list[str] = []
        self.topics_answer: BaseException | None = None
        self._coordinator = SimpleNamespace(
            generation=-1,
            member_id="",
            group_id=options.get("group_id"),
            coordinator_id=1,
            _coordination_task=asyncio.get_running_loop().create_future(),
            _stop_heartbeat_task=_nothing,
        )
        self.sent: list[Any] = []
        self._fetcher = SimpleNamespace(
            error_future=asyncio.get_running_loop().create_future(), close=self.stop
        )
        self._client = SimpleNamespace(
            close=self.stop, send=self._send, _sync_task=asyncio.get_running_loop().create_future()
        )
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=self))
        # What aiokafka reads next, where a test says that records end before it.
        self.positions: dict[TopicPartition, int] = {}

    def subscribe(self, *, topics: list[str], listener: Any) -> None:
        self.topics_subscribed = topics
        self.listener = listener

    async def _send(self, _node: int, request: Any) -> None:
        self.sent.append(request)

    async def rebalance(self, *partitions: TopicPartition) -> None:
        await self.listener.on_partitions_revoked(set(self.assigned))
        self._coordinator.generation = max(0, self._coordinator.generation) + 1
        self.assigned = frozenset(partitions)
        self.listener.on_partitions_assigned(set(partitions))

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Any:
        self.asked.append(partitions)
        await asyncio.sleep(0)
        answer = self.polls.popleft() if self.polls else {}
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self.assigned:
            raise IllegalStateError(f"No current assignment for partition {partition}")
        self.seeks.append((partition, offset))

    def state_value(self, partition: TopicPartition) -> Any:
        position = self.positions.get(partition)
        return SimpleNamespace(position=position, has_valid_position=position is not None)

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused += partitions

    def resume(self, *partitions: TopicPartition) -> None:
        self.resumed += partitions

    async def commit(self, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
        if self.broker.hold is not None:
            await self.broker.hold.wait()
        if self.commit_answer is not None:
            raise self.commit_answer
        self.commits.append(offsets)

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.bounds_answers:
            raise self.bounds_answers.popleft()
        return {partition: self.firsts[partition] for partition in partitions}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.broker.ends[partition] for partition in partitions}

    async def topics(self) -> set[str]:
        if self.topics_answer is not None:
            raise self.topics_answer
        return set()


class FakeAdmin(FakeClient):
    """Answers what the broker was told to say."""

    def __init__(self, broker: FakeBroker, options: dict[str, Any]) -> None:
        super().__init__(broker, options)
        self.plans: list[Any] = []

    async def list_consumer_group_offsets(self, group_id: str, partitions: list[TopicPartition]) -> Any:
        return self.broker.answer("offsets")

    async def describe_cluster(self) -> Any:
        return {"brokers": [{"node_id": node} for node in (1, 2, 3, 4)]}

    async def describe_topics(self) -> Any:
        return self.broker.answer("topics")

    async def describe_configs(self, resources: list[Any]) -> Any:
        return self.broker.answer("settings")

    async def create_topics(self, plans: list[Any]) -> Any:
        self.plans += plans
        return SimpleNamespace(topic_errors=self.broker.answer("created"))

    async def close(self) -> None:
        await self.stop()
