"""The group's committed positions, read so that an error never looks like "there never was one"."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition, errors
from aiokafka.structs import OffsetAndMetadata

from adapters.kafka_admin import AdminClass
from adapters.kafka_connection import KafkaConnection, explain, start_whole, stop_in_time
from domain.errors import LogUnavailable
from domain.log import Position, Shard

log = logging.getLogger("herald.kafka")

NEVER_COMMITTED = -1
STOP_SECONDS = 3.0


def position_of(answer: Mapping[TopicPartition, OffsetAndMetadata], shard: Shard) -> Position | None:
    """The shard's position in an OffsetFetch answer; None when the answer says that there never was one.

    From version 2 on the protocol tells errors for the whole group in a field that aiokafka does not
    look at, and then with no partitions at all. So a missing partition means an error, and only a
    present one with offset -1 means "never committed" (Kafka's `OffsetMetadataManager.fetchOffsets`).
    Raises `LogUnavailable`.
    """
    found = answer.get(TopicPartition(shard.topic, shard.partition))
    if found is None:
        raise LogUnavailable(f"Kafka did not tell the group's position in {shard.topic}-{shard.partition}")
    if found.offset == NEVER_COMMITTED:
        return None
    return Position(found.offset, found.metadata or "")


class KafkaPositions:
    """Asks for positions until they are told. Of aiokafka's clients only the admin gives the metadata too."""

    def __init__(
        self,
        connection: KafkaConnection,
        group_id: str,
        *,
        admin_class: AdminClass,
        answer_seconds: float = 10.0,
        first_pause: float = 0.1,
        longest_pause: float = 5.0,
    ) -> None:
        self._connection = connection
        self._group_id = group_id
        self._admin_class = admin_class
        self._answer_seconds = answer_seconds
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._admin: Any = None
        self._starting = asyncio.Lock()
        self._trouble = ""  # what was last told of

    async def committed(self, shard: Shard) -> Position | None:
        """See `MessageLog.committed`."""
        pause = self._first_pause
        while True:
            admin = None
            try:
                async with asyncio.timeout(self._answer_seconds):
                    admin = await self._client()
                    position = await self._ask(admin, shard)
            except (LogUnavailable, errors.KafkaError, OSError, TimeoutError, AttributeError) as error:
                # AttributeError: aiokafka reads a field for the error that some answers do not have.
                self._note(shard, str(error) if isinstance(error, LogUnavailable) else explain(error))
            else:
                self._trouble = ""
                return position
            if admin is self._admin:  # others may have a new one already, and ask it
                await self.close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._longest_pause)

    async def close(self) -> None:
        """Lets the client go; the next question opens a new one, with fresh knowledge of the cluster."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await stop_in_time(admin, STOP_SECONDS)

    def _note(self, shard: Shard, reason: str) -> None:
        """One line for as long as it lasts: all shards of a process ask, each every few seconds."""
        if not self._trouble:
            log.warning(
                "Kafka did not tell a committed position; asking again",
                extra={
                    "action": "kafka_position_unknown",
                    "topic": shard.topic,
                    "partition": shard.partition,
                    "reason": reason,
                },
            )
        self._trouble = reason

    async def _ask(self, admin: Any, shard: Shard) -> Position | None:
        partition = TopicPartition(shard.topic, shard.partition)
        answer = await admin.list_consumer_group_offsets(self._group_id, partitions=[partition])
        return position_of(answer, shard)

    async def _client(self) -> Any:
        async with self._starting:
            if self._admin is None:
                timeout_ms = int(1000 * self._answer_seconds)
                admin = self._admin_class(**self._connection.client_options(), request_timeout_ms=timeout_ms)
                try:
                    await start_whole(admin)
                except BaseException:
                    await stop_in_time(admin, STOP_SECONDS)
                    raise
                self._admin = admin
            return self._admin
