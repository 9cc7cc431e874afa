"""Taking messages: each into its partition of the log, and back what became of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from application.counts import ProduceCounts
from domain.log import USUAL_HEADERS, Headers, NewRecord, Receipt, Shard, Unconfirmed
from domain.message import FieldError, ProduceRequest
from domain.partitioning import choose_partition
from domain.ports import MessagePublisher
from domain.topic import Topic

# W3C Trace Context, 2.2: version ff is forbidden, and so are ids of zeros only.
_is_traceparent = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z"
).match


class Accepted(NamedTuple):
    """The log has the message safely."""

    request_id: str
    topic_name: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class UnknownTopic:
    """The message names a topic that is not configured. Nothing was written."""


@dataclass(frozen=True, slots=True)
class NoSuchPartition:
    """The message names a partition that its topic does not have. Nothing was written."""

    error: FieldError


@dataclass(frozen=True, slots=True)
class NotConfirmed:
    """The log did not say that it has the message: it may have it or not."""

    request_id: str
    reason: str


Produced = Accepted | UnknownTopic | NoSuchPartition | NotConfirmed


class ProduceMessage:
    """Puts messages into the log. `counts.messages` is kept by topic."""

    def __init__(
        self,
        publisher: MessagePublisher,
        topics: Mapping[str, Topic],
        counts: ProduceCounts,
    ) -> None:
        self._publisher = publisher
        self._counts = counts
        self._shards = {
            name: tuple(Shard(name, partition) for partition in range(topic.partitions))
            for name, topic in topics.items()
        }

    async def one(self, request: ProduceRequest, headers: Headers = USUAL_HEADERS) -> Produced:
        """Returns when the log has the message, or cannot say so within the publisher's time."""
        record = self._record(request, headers)
        if not isinstance(record, NewRecord):
            return record
        (confirmation,) = await self._publisher.publish((record,))
        return self._became(request, record.shard, confirmation)

    async def many(
        self, requests: Sequence[ProduceRequest], headers: Headers = USUAL_HEADERS
    ) -> list[Produced]:
        """What became of each message, in the order given; each stands for itself.

        After the first one of a partition that is not confirmed, none of that partition is: a client
        that sends those again keeps their order.
        """
        drafts = [self._record(request, headers) for request in requests]
        records = [draft for draft in drafts if isinstance(draft, NewRecord)]
        confirmations = iter(await self._publisher.publish(records) if records else ())
        return [
            self._became(request, draft.shard, next(confirmations)) if isinstance(draft, NewRecord) else draft
            for request, draft in zip(requests, drafts, strict=True)
        ]

    def partition_error(self, topic_name: str | None, partition: int | None) -> FieldError | None:
        """What is wrong with a partition given by number; None also where the topic is not known."""
        shards = self._shards.get(topic_name or "")
        if shards is None or partition is None or 0 <= partition < len(shards):
            return None
        return FieldError("#/partition", f"must be 0 to {len(shards) - 1}")

    def _record(
        self, request: ProduceRequest, headers: Headers
    ) -> NewRecord | UnknownTopic | NoSuchPartition:
        shards = self._shards.get(request.topic_name)
        if shards is None:
            return UnknownTopic()
        if request.partition is not None and (
            error := self.partition_error(request.topic_name, request.partition)
        ):
            return NoSuchPartition(error)
        key = request.key
        chosen = choose_partition(
            explicit=request.partition, key=key, request_id=request.request_id, partitions=len(shards)
        )
        return NewRecord(shards[chosen], key.encode() if key else None, request.value, headers)

    def _became(self, request: ProduceRequest, shard: Shard, confirmation: Receipt | Unconfirmed) -> Produced:
        if isinstance(confirmation, Unconfirmed):
            return NotConfirmed(request.request_id, confirmation.reason)
        self._counts.messages[shard.topic] += 1
        return Accepted(request.request_id, shard.topic, shard.partition, confirmation.offset)


def record_headers(traceparent: str) -> Headers:
    """A record's headers; a `traceparent` that is not well formed (W3C Trace Context, 2.2) is dropped."""
    if traceparent and _is_traceparent(traceparent):
        return (*USUAL_HEADERS, ("traceparent", traceparent.encode()))
    return USUAL_HEADERS
