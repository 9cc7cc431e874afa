"""Writes records to Kafka in order: one batch of a partition in flight, the next one gathers meanwhile."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from aiokafka import errors

from adapters.deadlines import Deadlines
from adapters.kafka_batches import Backlog, Call, Part, ShardQueue, Writable, in_batch, parts_of
from adapters.kafka_connection import explain
from adapters.kafka_producer import LiveProducer
from domain.log import Receipt, Shard, Unconfirmed

log = logging.getLogger("herald.kafka")

_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_NO_ANSWER = "Kafka did not confirm in time"
_FULL = "too much is waiting for Kafka already"
_LEAVING = "the connection to Kafka is being closed"
_TOPIC_POLL_SECONDS = 0.1
_CROWD = 8  # records; a departure of fewer gains less by waiting than each of them loses
_QUIET_SECONDS = 30.0  # in an outage each partition's batches fail, one every few seconds


class KafkaWriter:
    """Gathers the records of many calls into one batch a partition. All times are in seconds.

    What waits departs together, over all partitions, so that aiokafka sends a broker one request for all
    of its own (docs/decisions/0012). `gather_seconds`: how long it waits for company, where the last
    departure had any. `flight_seconds`: after it a batch without an answer is given up, should aiokafka
    not have done so itself. `failure_level`: of the log's lines about batches that were not confirmed.
    """

    def __init__(
        self,
        live: LiveProducer,
        *,
        limit_seconds: float,
        flight_seconds: float,
        gather_seconds: float,
        backlog: Backlog,
        failure_level: int = logging.WARNING,
    ) -> None:
        self._live = live
        self._failure_level = failure_level
        self._limit = limit_seconds
        self._flight = flight_seconds
        self._gather = gather_seconds
        self._backlog = backlog
        self._deadlines = Deadlines(limit_seconds, self._late)
        self._queues: dict[Shard, ShardQueue] = {}
        self._ready: list[ShardQueue] = []  # what waits there goes with the next departure
        self._departure: asyncio.Task[None] | None = None
        self._company = 0  # records of the last departure
        self._senders: set[asyncio.Task[None]] = set()
        self._existing: set[str] = set()
        self._untold = 0  # records that were not confirmed since the last line about it
        self._quiet_until = 0.0
        self._is_closed = False

    async def write(self, records: Sequence[Writable]) -> Sequence[Receipt | Unconfirmed]:
        """One answer a record, within the limit of time; see `MessagePublisher.publish`."""
        if not records:
            return []
        call = Call(len(records))
        self._deadlines.add(call)
        try:
            for part in parts_of(records, call):
                self._queue(part)
            return await call.answered
        finally:
            # Also when the caller is cancelled: what no batch has taken yet must not be written later.
            call.ended = True
            self._deadlines.drop(call)

    async def close(self) -> None:
        """Ends at once; calls that still wait learn that they are not confirmed."""
        self._is_closed = True
        senders = list(self._senders)
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        # Also those whose batch was not sent yet: a task that is cancelled before it began runs nothing.
        for call in self._deadlines.close():
            call.give_up(_LEAVING)

    def _late(self, call: Call) -> None:
        call.give_up(self._live.why_away() or _NO_ANSWER)

    def _queue(self, part: Part) -> None:
        if self._is_closed:
            part.lose(_LEAVING)
            return
        queue = self._queues.get(part.shard)
        if queue is None:
            queue = self._queues[part.shard] = ShardQueue(part.shard, self._backlog)
        was_empty = not queue
        if not queue.add(part):
            part.lose(_FULL)
        elif was_empty and not queue.is_flying:
            self._prepare(queue)

    def _prepare(self, queue: ShardQueue) -> None:
        self._ready.append(queue)
        if self._departure is None:
            self._departure = self._start(self._depart())

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._senders.add(task)
        task.add_done_callback(self._senders.discard)
        return task

    async def _depart(self) -> None:
        """Sends a batch of each partition that is ready, all in one turn of the loop."""
        await asyncio.sleep(self._gather if self._company >= _CROWD else 0)
        producer = await self._live.get()
        self._departure, self._company = None, 0
        ready, self._ready = self._ready, []
        for queue in ready:
            batch = producer.create_batch()
            if taken := queue.fill(batch):
                self._company += in_batch(taken)
                queue.is_flying = True
                self._start(self._fly(queue, producer, batch, taken))

    async def _fly(self, queue: ShardQueue, producer: Any, batch: Any, taken: Sequence[Part]) -> None:
        try:
            await self._send(queue, producer, batch, taken)
        finally:
            queue.is_flying = False
            if queue and not self._is_closed:
                self._prepare(queue)

    async def _send(self, queue: ShardQueue, producer: Any, batch: Any, taken: Sequence[Part]) -> None:
        try:
            async with asyncio.timeout(self._flight):
                await self._need(producer, queue.shard.topic)
                confirmed = await producer.send_batch(
                    batch, queue.shard.topic, partition=queue.shard.partition
                )
                first_offset = (await confirmed).offset
        except _TOO_LARGE as error:
            self._too_large(queue, taken, error)
        except Exception as error:  # noqa: BLE001 - whatever it is: not confirmed, and the next batch goes on
            self._lost(queue, taken, producer, error)
        else:
            self._live.worked()
            queue.confirm(taken, first_offset)

    async def _need(self, producer: Any, topic: str) -> None:
        """Waits for a topic that is not made yet, as it is when a client produces while the API boots.

        All topics are asked for: asking for one by name lets a broker make it, with numbers of its own, and
        then the API would refuse to start. Raises a `KafkaError` where the topic does not come, or nobody
        tells.
        """
        end = asyncio.get_running_loop().time() + self._limit
        while topic not in self._existing:
            if await _is_there(producer, topic):
                self._existing.add(topic)
            elif asyncio.get_running_loop().time() >= end:
                raise errors.UnknownTopicOrPartitionError(topic)
            else:
                await asyncio.sleep(_TOPIC_POLL_SECONDS)

    @staticmethod
    def _too_large(queue: ShardQueue, taken: Sequence[Part], error: Exception) -> None:
        """The broker refuses a batch whole; one of its records alone may be the culprit."""
        if in_batch(taken) > 1:
            queue.put_back(taken)
        else:
            queue.lose(taken, explain(error))

    def _lost(self, queue: ShardQueue, taken: Sequence[Part], producer: Any, error: Exception) -> None:
        reason = explain(error)
        self._untold += in_batch(taken)
        queue.lose(taken, reason)
        self._tell(queue.shard, reason)
        self._live.failed(producer, error)

    def _tell(self, shard: Shard, reason: str) -> None:
        """A line now and then: `records` are all since the last one, the place that of the newest."""
        now = asyncio.get_running_loop().time()
        if now < self._quiet_until:
            return
        log.log(
            self._failure_level,
            "Kafka did not confirm a batch",
            extra={
                "action": "kafka_batch_unconfirmed",
                "topic": shard.topic,
                "partition": shard.partition,
                "records": self._untold,
                "reason": reason,
            },
        )
        self._untold, self._quiet_until = 0, now + _QUIET_SECONDS


async def _is_there(producer: Any, topic: str) -> bool:
    try:
        cluster = await producer.client.fetch_all_metadata()
    except errors.KafkaError as error:
        # A plain one would say that the producer is broken for good.
        raise errors.KafkaConnectionError(str(error)) from error
    return cluster.partitions_for_topic(topic) is not None
