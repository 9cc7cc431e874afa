"""Reads stretches of partitions without a group: many side by side, over one client.

After a rebalance all of a process's shards are loaded at once; a client for each would open connections to
every broker for each. The client is opened when it is needed, replaced after a failure, and closed when
nobody has needed it for a while.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from adapters.kafka_connection import KafkaConnection, explain, start_whole, stop_in_time
from adapters.kafka_consumer import ConsumerClass, bounds_of, position_in
from domain.errors import LogUnavailable
from domain.log import Bounds

# Small: what is held at once makes work for the garbage collector, a fifth of a load with slices of 500.
SLICE_RECORDS = 100
STOP_SECONDS = 3.0
# Without an answer, so often it is looked whether there was one that held nothing.
POLL_SECONDS = 0.2
# An answer is full at 50 MiB over all partitions: with less of each, more of them find room in it.
PARTITION_BYTES = 262_144

_FAILURES = (errors.KafkaError, errors.ConsumerStoppedError, OSError, TimeoutError, AssertionError)


class KafkaReader:
    """`answer_seconds`: without any progress for so long a call ends with `LogUnavailable`.

    `linger_seconds`: so long the client stays open when nobody reads.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        answer_seconds: float = 10.0,
        linger_seconds: float = 10.0,
        consumer_class: ConsumerClass = AIOKafkaConsumer,
    ) -> None:
        self._connection = connection
        self._answer = answer_seconds
        self._linger = linger_seconds
        self._consumer_class = consumer_class
        self._client: _SharedClient | None = None
        self._running: set[_SharedClient] = set()  # also those that are replaced and still used
        self._opening = asyncio.Lock()
        self._leavers: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Ends at once; calls that still run end with `LogUnavailable`."""
        self._client = None
        for client in list(self._running):
            self._stop(client)
        await asyncio.gather(*self._leavers, return_exceptions=True)

    async def missing(self, topics: AbstractSet[str]) -> list[str]:
        """Those that Kafka does not have: `bounds` would wait for them in vain. Raises `LogUnavailable`."""
        async with self._using() as client, asyncio.timeout(self._answer):
            return sorted(topics - await client.consumer.topics())

    async def bounds(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        """First and next offset of each. Raises `LogUnavailable`."""
        async with self._using() as client:
            return await bounds_of(client.consumer, partitions, self._answer)

    async def since(
        self, partitions: Sequence[TopicPartition], time: float
    ) -> Mapping[TopicPartition, Bounds]:
        """As `bounds`, but from the first record on that is not older than `time`, in epoch seconds."""
        async with self._using() as client:
            bounds = await bounds_of(client.consumer, partitions, self._answer)
            async with asyncio.timeout(self._answer):
                found = await client.consumer.offsets_for_times(dict.fromkeys(partitions, int(1000 * time)))
        firsts = {partition: told.offset for partition, told in found.items() if told is not None}
        return {one: Bounds(firsts.get(one, bounds[one].end), bounds[one].end) for one in partitions}

    async def read(self, partition: TopicPartition, first: int, end: int) -> AsyncGenerator[Sequence[Any]]:
        """Records of aiokafka's from `first` up to before `end`, in slices. Raises `LogUnavailable`.

        `end` is one that `bounds` told. What is missing between is passed over, also at the beginning.
        """
        if first >= end:
            return
        async with self._using() as client:
            stretch = client.begin(partition, first)
            try:
                while stretch.next < end:
                    records = await self._more(client, stretch, end)
                    if some := [record for record in records if record.offset < end]:
                        yield some
            finally:
                client.leave(stretch)

    async def look(self, partition: TopicPartition, offset: int) -> Any | None:
        """What stands at this offset, as aiokafka has it, or None. Raises `LogUnavailable`."""
        bounds = (await self.bounds([partition]))[partition]
        if not bounds.first <= offset < bounds.end:
            return None
        async with contextlib.aclosing(self.read(partition, offset, offset + 1)) as records:
            async for some in records:
                return some[0]
        return None

    async def _more(self, client: "_SharedClient", stretch: "_Stretch", end: int) -> Sequence[Any]:
        """The next records; none where some offsets hold none."""
        async with asyncio.timeout(self._answer):
            while True:
                await asyncio.sleep(0)  # aiokafka does not wait for what it has, and others want a turn
                was = stretch.next
                try:
                    records = await client.poll(stretch, end)
                except errors.OffsetOutOfRangeError:
                    # Retention was here since the bounds were told.
                    bounds = await bounds_of(client.consumer, [stretch.partition], self._answer)
                    client.move(stretch, max(was, bounds[stretch.partition].first))
                    records = ()
                if stretch.seems_over:
                    records = await self._ask_alone(client, stretch, end)
                if records or stretch.next > was:
                    return records

    async def _ask_alone(self, client: "_SharedClient", stretch: "_Stretch", end: int) -> Sequence[Any]:
        """The next records, asked for by a client that reads nothing else.

        A broker fills an answer one partition after the other. For one that finds no room any more, it looks
        as if nothing was left; only the first one is given a record that is larger than any room.
        """
        alone = await self._opened()
        try:
            own = alone.begin(stretch.partition, stretch.next)
            records = await self._more(alone, own, end)
        finally:
            self._stop(alone)
        client.move(stretch, own.next)
        return records

    @contextlib.asynccontextmanager
    async def _using(self) -> AsyncIterator["_SharedClient"]:
        client = None
        try:
            async with asyncio.timeout(self._answer), self._opening:
                client = self._client = self._client or await self._opened()
            client.users += 1
            client.keep()
            try:
                yield client
            finally:
                client.users -= 1
                self._rest(client)
        except asyncio.CancelledError:
            # Who has lost patience may have waited on a dead connection, of which nobody would ever be told.
            if client is not None:
                self._retire(client)
            raise
        except (*_FAILURES, LogUnavailable) as error:
            if client is not None:
                self._retire(client)
            if isinstance(error, LogUnavailable):
                raise
            raise LogUnavailable(f"Kafka could not be read: {explain(error)}") from error

    async def _opened(self) -> "_SharedClient":
        consumer = self._consumer_class(
            **self._connection.client_options(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=max(1000, int(1000 * self._answer)),
            fetch_max_wait_ms=int(1000 * POLL_SECONDS),
            max_partition_fetch_bytes=PARTITION_BYTES,
        )
        try:
            await start_whole(consumer)
        except BaseException:
            await stop_in_time(consumer, STOP_SECONDS)
            raise
        client = _SharedClient(consumer)
        self._running.add(client)
        return client

    def _rest(self, client: "_SharedClient") -> None:
        """Called when one has ended to use it."""
        if client.users:
            return
        if client is self._client:
            client.expiry = asyncio.get_running_loop().call_later(self._linger, self._retire, client)
        else:
            self._stop(client)

    def _retire(self, client: "_SharedClient") -> None:
        """Nobody new gets it; who still uses it may go on while it lasts."""
        if client is self._client:
            self._client = None
            if not client.users:
                self._stop(client)

    def _stop(self, client: "_SharedClient") -> None:
        if client not in self._running:
            return
        self._running.remove(client)
        client.keep()
        leaver = asyncio.create_task(stop_in_time(client.consumer, STOP_SECONDS), name="kafka-reader-leaves")
        self._leavers.add(leaver)
        leaver.add_done_callback(self._leavers.discard)


class _Stretch:
    """One reading. `next`: the offset after all that was taken or passed over.

    `seems_over`: an answer held nothing more of it, which says nothing where others were asked for too.
    """

    __slots__ = ("answered_at", "next", "partition", "seems_over")

    def __init__(self, partition: TopicPartition, first: int) -> None:
        self.partition = partition
        self.next = first
        self.seems_over = False
        self.answered_at: int | None = None  # when Kafka last answered anything, when `next` was reached


class _SharedClient:
    """A consumer without a group, and who reads what with it."""

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.users = 0
        self.expiry: asyncio.TimerHandle | None = None
        self._stretches: dict[TopicPartition, _Stretch] = {}

    def keep(self) -> None:
        """Somebody needs it again, or it is over already."""
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None

    def begin(self, partition: TopicPartition, first: int) -> _Stretch:
        """A new reading; it takes the place of one of the same partition that was broken off."""
        stretch = self._stretches[partition] = _Stretch(partition, first)
        if partition in self.consumer.assignment():
            self.consumer.resume(partition)
            self.move(stretch, first)
            return stretch
        # Assigning anew forgets all positions. Those who read meanwhile lose at most an answer on its way.
        self.consumer.assign(list(self._stretches))
        for other in self._stretches.values():
            self.move(other, other.next)
        return stretch

    def leave(self, stretch: _Stretch) -> None:
        if self._stretches.get(stretch.partition) is not stretch:
            return
        del self._stretches[stretch.partition]
        with contextlib.suppress(errors.IllegalStateError):
            self.consumer.pause(stretch.partition)

    def move(self, stretch: _Stretch, offset: int) -> None:
        self.consumer.seek(stretch.partition, offset)
        stretch.next = offset
        stretch.seems_over = False
        stretch.answered_at = self.consumer.last_poll_timestamp(stretch.partition)

    async def poll(self, stretch: _Stretch, end: int) -> Sequence[Any]:
        """What comes within a short time."""
        partition, was_empty = stretch.partition, self._has_nothing(stretch, end)
        answer: Mapping[TopicPartition, Sequence[Any]] = await self.consumer.getmany(
            partition, timeout_ms=int(1000 * POLL_SECONDS), max_records=SLICE_RECORDS
        )
        position = position_in(self.consumer, partition)
        if position is not None and position > stretch.next:
            stretch.next = position
            stretch.answered_at = self.consumer.last_poll_timestamp(partition)
        elif was_empty and len(self.consumer.assignment()) == 1:
            stretch.next = end
        else:
            stretch.seems_over = was_empty
        return answer.get(partition, ())

    def _has_nothing(self, stretch: _Stretch, end: int) -> bool:
        """Whether Kafka has answered since `next` was reached.

        Where no record comes of that, none is left there: compaction may have taken the last ones.
        """
        answered_at = self.consumer.last_poll_timestamp(stretch.partition)
        if answered_at is None or answered_at == stretch.answered_at:
            return False
        return bool(self.consumer.highwater(stretch.partition) >= end)
