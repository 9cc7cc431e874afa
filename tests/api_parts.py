"""The API on the memory log, with all that a test may want to reach into."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import Any, Self

import httpx

from adapters.email_address import address_fault
from adapters.memory import MemoryPublisher
from adapters.memory_archive import MemoryDeadLetterArchive
from adapters.memory_broker import MemoryBroker
from adapters.memory_presence import MemoryPresence
from adapters.memory_status import MemoryGroupLags, MemoryStatusView
from adapters.message_json import RequestDecoder, request_id_of
from application.board import Board
from application.board_reading import TakeReadings
from application.counts import ProduceCounts
from application.lag import ReadLags
from application.produce import ProduceMessage
from application.request_ids import RequestIds
from application.status import ReadStatus
from application.traced_produce import TracedProduce
from domain.dead_letter import KeptLetter, LetterFilter, LetterPage, LetterPlace, LetterTally
from domain.lag import PutOff, Standing
from domain.log import NewRecord, Receipt, Record, Shard, Unconfirmed
from domain.presence import ProcessReport
from domain.status import MessageStatus
from domain.topic import Topic, TopicPlan
from domain.tracing import Tracer
from entrypoints.api_keys import KeyRing, NoKeys, parse_keys
from entrypoints.asyncapi import asyncapi_document
from entrypoints.http_api import ApiParts, create_app
from entrypoints.metrics import render_produce_metrics
from entrypoints.settings_model import Settings
from tests.fakes import FakeClock

TOPICS = {
    "transactions": Topic(name="transactions", partitions=6),
    "refunds": Topic(name="refunds", partitions=1, groups=("email",)),
}
SETTINGS = Settings.model_validate(
    {
        "topics": [
            {"name": topic.name, "partitions": topic.partitions, "groups": topic.groups}
            for topic in TOPICS.values()
        ]
    }
)
# The keys "shop" and "all".
KEYS = KeyRing(
    parse_keys(f"shop {sha256(b'shop').hexdigest()} transactions\nall {sha256(b'all').hexdigest()} *", "keys")
)
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

    def __init__(self, *, hot: bool = True, tracer: Tracer | None = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.broker = _broker(self.clock)
        self.counts = ProduceCounts()
        self.lifespan = FakeLifespan()
        self.parts = ApiParts(
            decode=RequestDecoder(address_fault, RequestIds(self.clock, lambda: "f" * 16)),
            produce=(
                ProduceMessage(self, TOPICS, self.counts)
                if tracer is None
                else TracedProduce(tracer, self, TOPICS, self.counts)
            ),
            tracer=tracer,
            unready=self.unready,
            topics=tuple(TOPICS),
            list_topics=self._topics,
            read_status=ReadStatus(self, tuple(TOPICS.values())),
            archive=_CurrentArchive(self),
            read_lags=(read_lags := ReadLags(self, tuple(TOPICS.values()), self.clock)),
            board=Board(TakeReadings(read_lags, self, self.clock), tuple(TOPICS.values()), self.clock),
            log="memory",
            render_metrics=self._metrics,
            lifespan=self.lifespan,
            keys=NoKeys(),
            counts=self.counts,
            clock=self.clock,
            version="1.2.3",
            asyncapi=asyncapi_document("1.2.3", SETTINGS),
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

    async def raw(
        self,
        events: Sequence[Mapping[str, Any]],
        headers: Sequence[tuple[bytes, bytes]],
        path: str = "/api/v1/produce",
        method: str = "POST",
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """What no well-behaved client sends. After `events` the client has gone."""
        waiting = iter([*events, {"type": "http.disconnect"}])
        sent: list[MutableMapping[str, Any]] = []
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
        }
        scope |= {"path": path, "raw_path": path.encode(), "root_path": "", "scheme": "http"}
        scope |= {"query_string": b"", "headers": list(headers), "client": None, "server": ("herald", 80)}

        async def receive() -> MutableMapping[str, Any]:
            return dict(next(waiting))

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        body = b"".join(message["body"] for message in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), body

    def records(self) -> list[Record]:
        """Everything in the log, by topic, partition and offset."""
        shards = self.broker.shards(TOPICS)
        return [record for shard in shards for record in self.broker.read(shard, 0, 1_000_000)]

    def begin_again(self) -> None:
        """An empty log that answers, nothing counted, its first moment: one application serves many tests.

        Its board keeps what it has read: who asks for one has an application of its own.
        """
        self.clock.time = FakeClock().time
        self.broker = _broker(self.clock)
        self.counts.requests.clear()
        self.counts.messages.clear()
        self.counts.duration.counts = [0] * len(self.counts.duration.counts)
        self.counts.duration.total = 0.0

    # The publisher of the log as it is now.

    async def publish(self, records: Sequence[NewRecord]) -> Sequence[Receipt | Unconfirmed]:
        return await MemoryPublisher(self.broker).publish(records)

    async def unready(self) -> str | None:
        return await MemoryPublisher(self.broker).unready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    # The views of the log as it is now.

    async def find(self, request_id: str, topics: AbstractSet[str]) -> MessageStatus | None:
        return await MemoryStatusView(self.broker, tuple(TOPICS.values())).find(request_id, topics)

    async def standings(self, group: str, shards: Sequence[Shard]) -> Sequence[Standing]:
        return await MemoryGroupLags(self.broker).standings(group, shards)

    async def tell(self, report: ProcessReport) -> None:
        await MemoryPresence(self.broker, self.clock).tell(report)

    async def leave(self, process: str) -> None:
        await MemoryPresence(self.broker, self.clock).leave(process)

    async def seen(self) -> Sequence[ProcessReport]:
        return await MemoryPresence(self.broker, self.clock).seen()

    async def put_off(self, group: str, since: Mapping[Shard, int]) -> Mapping[Shard, PutOff]:
        return await MemoryGroupLags(self.broker).put_off(group, since)

    async def _topics(self) -> Sequence[Topic]:
        self.broker.answer()
        return tuple(TOPICS.values())

    async def _metrics(self) -> bytes:
        return render_produce_metrics(self.counts, "1.2.3")


class _CurrentArchive:
    """The dead letters of the log as it is now."""

    def __init__(self, api: MemoryApi) -> None:
        self._api = api

    async def find(
        self, wanted: LetterFilter, *, after: LetterPlace | None = None, limit: int = 100
    ) -> LetterPage:
        return await self._now().find(wanted, after=after, limit=limit)

    async def get(self, letter_id: str) -> KeptLetter | None:
        return await self._now().get(letter_id)

    async def tally(self, until: float = float("inf")) -> Sequence[LetterTally]:
        return await self._now().tally(until)

    async def put_back(self, kept: KeptLetter, *, by: str) -> None:
        await self._now().put_back(kept, by=by)

    def _now(self) -> MemoryDeadLetterArchive:
        return MemoryDeadLetterArchive(self._api.broker, request_id_of)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


@cache
def _shared(hot: bool, guarded: bool) -> MemoryApi:  # noqa: FBT001
    return MemoryApi(hot=hot, keys=KEYS) if guarded else MemoryApi(hot=hot)


def shared_api(*, hot: bool, guarded: bool = False) -> MemoryApi:
    """One that was built before: routes take longer to set up than requests to answer."""
    api = _shared(hot, guarded)
    api.begin_again()
    return api


def _broker(clock: FakeClock) -> MemoryBroker:
    plans = [
        TopicPlan(name=topic.name, partitions=topic.partitions, replication_factor=1, retention_ms=3_600_000)
        for topic in TOPICS.values()
    ]
    return MemoryBroker(clock, plans)


def pieces(*parts: bytes) -> list[dict[str, Any]]:
    """A body that comes in several parts, as chunked requests do."""
    last = len(parts) - 1
    return [{"type": "http.request", "body": part, "more_body": at < last} for at, part in enumerate(parts)]
