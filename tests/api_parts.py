"""The API on the memory log, with all that a test may want to reach into."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from adapters.email_address import address_fault
from adapters.memory import MemoryPublisher
from adapters.memory_broker import MemoryBroker
from adapters.message_json import RequestDecoder, encode
from application.counts import ProduceCounts
from application.produce import ProduceMessage
from application.request_ids import RequestIds
from domain.ports import Record
from domain.topic import Topic, TopicPlan
from entrypoints.api_keys import NoKeys
from entrypoints.http_api import ApiParts, create_app
from entrypoints.metrics import render_produce_metrics
from tests.fakes import FakeClock

TOPICS = {
    "transactions": Topic(name="transactions", partitions=6),
    "refunds": Topic(name="refunds", partitions=1, groups=("email",)),
}
VALID: Mapping[str, Any] = {
    "topic_name": "transactions",
    "message_body": "Paid.",
    "transaction_id": "TX-1",
    "customer_id": "C-7",
    "email": "ada@example.com",
    "phone": "+15551234567",
}


@dataclass(slots=True)
class FakeLifespan:
    """Keeps what was opened and closed."""

    events: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        self.events.append("opened")
        yield
        self.events.append("closed")


class MemoryApi:
    """The parts, the log behind them, and what a client does. `options` replace fields of `ApiParts`."""

    def __init__(self, *, hot: bool = True, **options: Any) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker(self.clock, [_plan(topic) for topic in TOPICS.values()])
        self.counts = ProduceCounts()
        self.lifespan = FakeLifespan()
        publisher = MemoryPublisher(self.broker)
        self.parts = ApiParts(
            decode=RequestDecoder(address_fault, RequestIds(self.clock, lambda bits: (1 << bits) - 1)),
            produce=ProduceMessage(publisher, TOPICS, encode, self.counts),
            unready=publisher.unready,
            topics=tuple(TOPICS),
            list_topics=self._topics,
            render_metrics=self._metrics,
            lifespan=self.lifespan,
            keys=NoKeys(),
            counts=self.counts,
            clock=self.clock,
            version="1.2.3",
        )
        self.parts = replace(self.parts, **options)
        self.app = create_app(self.parts, hot=hot)

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://herald") as client:
            return await client.request(method, path, content=body, headers=headers)

    async def post(
        self, body: bytes, content_type: str = "application/json", **headers: str
    ) -> httpx.Response:
        return await self.ask("POST", "/api/v1/produce", body, {"content-type": content_type, **headers})

    async def post_fields(self, **fields: object) -> httpx.Response:
        return await self.post(json.dumps({**VALID, **fields}).encode())

    async def post_batch(self, items: Sequence[object]) -> httpx.Response:
        return await self.post_batch_body(json.dumps(items).encode())

    async def post_batch_body(
        self, body: bytes, content_type: str = "application/json", **headers: str
    ) -> httpx.Response:
        return await self.ask(
            "POST", "/api/v1/produce/batch", body, {"content-type": content_type, **headers}
        )

    def records(self) -> list[Record]:
        """Everything in the log, by topic, partition and offset."""
        shards = self.broker.shards(TOPICS)
        return [record for shard in shards for record in self.broker.read(shard, 0, 1_000_000)]

    async def _topics(self) -> Sequence[Topic]:
        self.broker.answer()
        return tuple(TOPICS.values())

    async def _metrics(self) -> bytes:
        return render_produce_metrics(self.counts, "1.2.3")


def _plan(topic: Topic) -> TopicPlan:
    return TopicPlan(
        name=topic.name, partitions=topic.partitions, replication_factor=1, retention_ms=3_600_000
    )
