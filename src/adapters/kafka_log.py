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
from adapters.kafka_connection import KafkaConnection, explain, stop_in_time
from adapters.kafka_consumer import (
    ConsumerClass,
    GroupTimes,
    RebalanceListener,
    consumer_options,
    is_evicted,
    partition_of,
    stop_consumer,
)
from adapters.kafka_membership import Membership
from adapters.kafka_poller import KafkaPoller
from adapters.kafka_positions import KafkaPositions
from adapters.kafka_reading import Reading, Readings
from domain.errors import HeraldError, LogUnavailable
from domain.ports import Bounds, LogEvent, Overtaken, Position, Shard

log = logging.getLogger("herald.kafka")

# Seconds.
ANSWER_SECONDS = 5.0
START_SECONDS = 60.0
STOP_SECONDS = 5.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
# A position beyond the end is believed after so many looks, one a second: just after a change of
# leaders a partition may show an end that is too low.
LOOKS = 5


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
        self._committer = Committer()
        self._consumer: Any = None
        self._poller: KafkaPoller | None = None
        self._reason = "not connected to Kafka yet"
        self._failure: HeraldError | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._lookers: set[asyncio.Task[None]] = set()
        self._woken: asyncio.Future[None] | None = None
        self._is_leaving = False
        self._coordination: asyncio.Task[Any] | None = None  # while it waits in `give_back`

    async def __aenter__(self) -> Self:
        options = {**self._connection.client_options(), **consumer_options(self._group_id, self._times)}
        self._connecting = asyncio.create_task(self._connect(options), name="kafka-consumer")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_leaving = True
        tasks = [task for task in (self._connecting, *self._lookers) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._committer.stop()
        if self._poller is not None:
            await self._poller.close()
        self._membership.lose()
        if self._coordination is not None:
            await asyncio.wait([self._coordination], timeout=STOP_SECONDS)
        if self._consumer is not None:
            await stop_consumer(self._consumer, STOP_SECONDS)
        await self._positions.close()

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
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                firsts = await self._consumer.beginning_offsets(partitions)
                ends = await self._consumer.end_offsets(partitions)
            return {s: Bounds(firsts[partition_of(s)], ends[partition_of(s)]) for s in shards}
        except (errors.KafkaError, TimeoutError) as error:
            raise LogUnavailable(
                f"Kafka did not tell where the log begins and ends: {explain(error)}"
            ) from error
        except KeyError as error:
            raise LogUnavailable("Kafka did not tell where a partition begins and ends") from error

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
            async with asyncio.timeout(ANSWER_SECONDS):
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
        await self._committer.stop()
        if answer is not None:
            _note("shards_given_back", self._group, late=len(self._membership.take_back()))

    def take_over(self, shards: frozenset[Shard]) -> None:
        """The group has given these; they stay paused until `begin`."""
        self._consumer.pause(*map(partition_of, shards))
        self._membership.assign(shards)
        _note("shards_taken_over", self._group, shards=len(shards))

    def _lose(self) -> None:
        self._readings.clear()
        if lost := self._membership.lose():
            _note("shards_lost", self._group, shards=len(lost))

    # Connecting -------------------------------------------------------------------------------

    async def _connect(self, options: Mapping[str, Any]) -> None:
        pause = FIRST_PAUSE
        while (consumer := await self._started(options)) is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._consumer = consumer
        self._poller = KafkaPoller(consumer, self._readings, self._doubt)
        # Only now: with a subscription `start` would wait for the group, which may take for ever.
        consumer.subscribe(topics=list(self._topics), listener=RebalanceListener(self))
        _note("kafka_consumer_connected", self._group)
        self._wake()

    async def _started(self, options: Mapping[str, Any]) -> Any:
        consumer = self._consumer_class(**options)
        try:
            async with asyncio.timeout(START_SECONDS):
                await consumer.start()
        except BaseException as error:
            await stop_in_time(consumer, STOP_SECONDS)
            if not isinstance(error, Exception):
                raise
            reason = explain(error)
            if reason != self._reason:
                _note("kafka_consumer_waits", self._group, reason=reason)
            self._reason = reason
            return None
        return consumer

    # Positions out of range ---------------------------------------------------------------------

    def _doubt(self, shard: Shard, reading: Reading) -> None:
        looker = asyncio.create_task(self._look(shard, reading), name="kafka-look")
        self._lookers.add(looker)
        looker.add_done_callback(self._lookers.discard)

    async def _look(self, shard: Shard, reading: Reading) -> None:
        """Finds out whether the log begins after the position or ends before it."""
        looks = 0
        while self._readings.is_current(shard, reading) and looks < LOOKS:
            try:
                bounds = (await self.bounds({shard}))[shard]
            except LogUnavailable:
                await asyncio.sleep(FIRST_PAUSE)
                continue
            if reading.next <= bounds.end:
                self._settle(shard, reading, bounds)
                return
            looks += 1
            await asyncio.sleep(1)
        if looks == LOOKS:
            self._fail(
                f"partition {shard.partition} of topic {shard.topic} ends before the group's position "
                f"{reading.next}: it was made anew or lost records; see what it holds before starting again"
            )

    def _settle(self, shard: Shard, reading: Reading, bounds: Bounds) -> None:
        if reading.next < bounds.first:
            reading.first = bounds.first
        elif self._readings.is_current(shard, reading):
            self.begin(shard, reading.next)
        self._wake()

    def _fail(self, text: str) -> None:
        self._failure = HeraldError(text)
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


def _note(action: str, group: str, **numbers: object) -> None:
    log.info("Kafka group %s: %s", group, action, extra={"action": action, "group": group, **numbers})
