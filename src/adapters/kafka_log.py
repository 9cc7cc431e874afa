"""`MessageLog` over Kafka."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, errors
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka_admin import AdminClass
from adapters.kafka_commit import Committer, Evicted
from adapters.kafka_connection import KafkaConnection, explain, start_whole, stop_in_time
from adapters.kafka_consumer import (
    ConsumerClass,
    RebalanceListener,
    bounds_of,
    consumer_options,
    is_evicted,
    partition_of,
    stop_consumer,
)
from adapters.kafka_doubts import Doubts
from adapters.kafka_membership import Membership
from adapters.kafka_poller import KafkaPoller
from adapters.kafka_positions import KafkaPositions
from adapters.kafka_reader import KafkaReader
from adapters.kafka_reading import Readings, record_of
from adapters.kafka_times import GroupTimes
from domain.errors import HeraldError, LogUnavailable
from domain.log import Bounds, LogEvent, Overtaken, Position, Record, Shard

log = logging.getLogger("herald.kafka")


class KafkaLog:
    """A group's way to read its topics: one aiokafka consumer, on asyncio's own loop (not uvloop).

    `group`: Herald's name of the group; `group_id`: Kafka's. `drain_seconds`: how long a rebalance waits
    for what is in flight. `times`: the group's times where the usual ones do not fit.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        group: str,
        group_id: str,
        topics: Sequence[str],
        drain_seconds: float = 20.0,
        *,
        times: GroupTimes | None = None,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
        admin_class: AdminClass = AIOKafkaAdminClient,
    ) -> None:
        self._connection = connection
        self._group = group
        self._group_id = group_id
        self._topics = tuple(topics)
        self._times = times or GroupTimes(drain=drain_seconds)
        self._consumer_class = consumer_class
        self._membership = Membership(self._wake)
        self._readings = Readings()
        self._positions = KafkaPositions(connection, group_id, admin_class=admin_class)
        self._reader = KafkaReader(
            connection, answer_seconds=self._times.answer, consumer_class=consumer_class
        )
        self._committer = Committer(seconds=self._times.answer)
        self._doubts = Doubts(
            self._readings,
            self.bounds,
            begin=self.begin,
            overtaken=self._wake,
            fail=self._fail,
            pause=self._times.pause,
        )
        self._consumer: Any = None
        self._poller: KafkaPoller | None = None
        self._reason = "not connected to Kafka yet"
        self._failure: HeraldError | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._woken: asyncio.Future[None] | None = None
        self._is_leaving = False
        self._coordination: asyncio.Task[Any] | None = None  # while it waits in `give_back`

    async def __aenter__(self) -> Self:
        options = {**self._connection.client_options(), **consumer_options(self._group_id, self._times)}
        self._connecting = asyncio.create_task(self._connect(options), name="kafka-consumer")
        self._connecting.add_done_callback(lambda _: self._wake())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_leaving = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._doubts.close()
        await self._committer.stop()
        if self._poller is not None:
            await self._poller.close()
        self._membership.lose()
        if self._coordination is not None:
            await asyncio.wait([self._coordination], timeout=self._times.stop)
        if self._consumer is not None:
            await stop_consumer(self._consumer, self._times.stop)
        await self._positions.close()
        await self._reader.close()

    # Reading ----------------------------------------------------------------------------------

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        """See the port. Raises `HeraldError` when only a new process can go on."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            self._woken = loop.create_future()
            event = self._next_event(wanted, limit)
            left = deadline - loop.time()
            if event is not None or left <= 0:
                return event
            running, due = (set(), left) if self._poller is None else self._poller.running()
            await asyncio.wait({self._woken, *running}, timeout=min(left, due), return_when="FIRST_COMPLETED")

    def _next_event(self, wanted: AbstractSet[Shard], limit: int) -> LogEvent | None:
        if self._failure is not None:
            raise self._failure
        if self._connecting is not None and self._connecting.done():
            self._connecting.result()
        if self._poller is not None:
            self._poller.collect()
        event = self._membership.next_event() or self._readings.next_event(wanted, limit)
        if isinstance(event, Overtaken):
            self.begin(event.shard, event.first)
        if event is None and self._poller is not None:
            self._poller.ask(wanted if limit > 0 else frozenset(), max(limit, 1))
        return event

    def begin(self, shard: Shard, offset: int) -> None:
        """See the port."""
        if shard not in self._membership.shards or not self._membership.is_open:
            return
        try:
            self._consumer.seek(partition_of(shard), offset)
            self._consumer.resume(partition_of(shard))
        except (errors.IllegalStateError, AssertionError):  # taken away a moment ago
            return
        self._readings.begin(shard, offset)
        self._wake()

    async def committed(self, shard: Shard) -> Position | None:
        """See the port."""
        return await self._positions.committed(shard)

    async def bounds(self, shards: AbstractSet[Shard]) -> Mapping[Shard, Bounds]:
        """See the port. Bounded in time."""
        partitions = [partition_of(shard) for shard in shards]
        if self._consumer is None:
            raise LogUnavailable(self._reason)
        found = await bounds_of(self._consumer, partitions, self._times.answer)
        return {shard: found[partition_of(shard)] for shard in shards}

    async def peek(self, shard: Shard, offset: int) -> Record | None:
        """See the port."""
        found = await self._reader.look(partition_of(shard), offset)
        return None if found is None else record_of(shard, found)

    def reached(self, shard: Shard) -> int | None:
        """See the port."""
        if shard not in self._membership.shards or not self._membership.is_open:
            return None
        return self._readings.reached(shard)

    async def commit(self, positions: Mapping[Shard, Position]) -> None:
        """See the port."""
        ours = {partition_of(s): p for s, p in positions.items() if s in self._membership.shards}
        if not ours:
            return
        # Without its generation aiokafka would commit as a client outside of any group.
        if is_evicted(self._consumer):
            self._lose()
            return
        try:
            await self._committer.commit(self._consumer, ours)
        except Evicted:
            self._lose()
        except LogUnavailable:
            # Cut off because the shards went to others meanwhile: nothing is left to commit again.
            if ours.keys() & set(map(partition_of, self._membership.shards)):
                raise

    async def release(self, shards: AbstractSet[Shard]) -> None:
        """See the port."""
        self._membership.release(shards)

    async def unready(self) -> str | None:
        """See the port."""
        if self._failure is not None:
            return str(self._failure)
        if self._consumer is None or self._poller is None:
            return self._reason
        if not self._membership.is_joined:
            return self._poller.trouble or "joining the group"
        try:
            async with asyncio.timeout(self._times.answer):
                await self._consumer.topics()
        except (errors.KafkaError, TimeoutError) as error:
            return explain(error)
        return self._poller.trouble

    # Rebalances: called by aiokafka's coordination ----------------------------------------------

    async def give_back(self) -> None:
        """Asks the reader for all shards, and waits for its answer for a bounded time."""
        self._readings.clear()
        if is_evicted(self._consumer):
            self._lose()
        answer = self._membership.ask_back(self._times.drain)
        if answer is not None:
            self._coordination = asyncio.current_task()
            await asyncio.wait([answer], timeout=self._times.give_back)
        if self._is_leaving:
            # Ends the coordination here, so that `stop` leaves the group instead of joining it once more.
            raise asyncio.CancelledError
        self._coordination = None
        if answer is not None:
            self._note_late(self._membership.take_back())
        # Before the group is joined again: what was computed for these shards must not be sent later.
        await self._committer.stop()

    def take_over(self, shards: frozenset[Shard]) -> None:
        """The group has given these; they stay paused until `begin`."""
        self._consumer.pause(*map(partition_of, shards))
        self._membership.assign(shards)
        if not shards:
            self._note(logging.INFO, "kafka_no_shards", "more processes than partitions; this one stands by")

    def _lose(self) -> None:
        self._readings.clear()
        if lost := self._membership.lose():
            why = "the group threw this process out, which was silent for too long"
            self._note(logging.WARNING, "kafka_shards_lost", why, shards=len(lost))

    def _note_late(self, late: frozenset[Shard]) -> None:
        if late:
            why = "shards went to other processes before they were released"
            self._note(logging.WARNING, "kafka_shards_late", why, shards=len(late))

    # Connecting -------------------------------------------------------------------------------

    async def _connect(self, options: Mapping[str, Any]) -> None:
        pause = self._times.pause
        while (consumer := await self._started(options)) is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._times.longest_pause)
        self._consumer = consumer
        self._poller = KafkaPoller(consumer, self._readings, self._doubts.add)
        # Only now: with a subscription `start` would wait for the group, which may take for ever.
        consumer.subscribe(topics=list(self._topics), listener=RebalanceListener(self))
        self._note(logging.INFO, "kafka_consumer_connected", "connected")
        self._wake()

    async def _started(self, options: Mapping[str, Any]) -> Any:
        consumer = self._consumer_class(**options)
        try:
            async with asyncio.timeout(self._times.start):
                await start_whole(consumer)
        except BaseException as error:
            await stop_in_time(consumer, self._times.stop)
            if not isinstance(error, Exception):
                raise
            reason = explain(error)
            if reason != self._reason:
                self._note(logging.WARNING, "kafka_consumer_waits", reason)
            self._reason = reason
            return None
        return consumer

    def _fail(self, text: str) -> None:
        self._failure = HeraldError(text)
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _note(self, level: int, action: str, text: str, **numbers: object) -> None:
        extra = {"action": action, "group": self._group, **numbers}
        log.log(level, "Kafka group %s: %s", self._group, text, extra=extra)
