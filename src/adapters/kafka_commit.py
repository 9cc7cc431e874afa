"""Commits that end in time and never outlive the rebalance they were computed before."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition, errors

from adapters.kafka_connection import explain
from domain.errors import LogUnavailable
from domain.log import Position

log = logging.getLogger("herald.kafka")

METADATA_CHARACTERS = 4096  # the broker's offset.metadata.max.bytes; it counts characters
_PASSING = (errors.RebalanceInProgressError,)


class Evicted(Exception):
    """The group does not know this member any more; nothing was committed."""


class Committer:
    """Commits by a consumer. aiokafka alone retries for ever, and in whatever generation is then current."""

    def __init__(self, *, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._running: set[asyncio.Task[None]] = set()

    async def commit(self, consumer: Any, positions: Mapping[TopicPartition, Position]) -> None:
        """On return Kafka has them. Raises `LogUnavailable` when that is not known, and `Evicted`."""
        offsets = {partition: _offset_and_metadata(position) for partition, position in positions.items()}
        running = asyncio.create_task(consumer.commit(offsets))
        self._running.add(running)
        try:
            await asyncio.wait([running], timeout=self._seconds)
        finally:
            self._running.discard(running)
            running.cancel()
        self._judge(running)

    async def stop(self) -> None:
        """Ends what is running: after this nothing computed so far is sent any more."""
        running = list(self._running)
        for commit in running:
            commit.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @staticmethod
    def _judge(running: asyncio.Task[None]) -> None:
        if not running.done() or running.cancelled():
            raise LogUnavailable("Kafka did not confirm a commit in time; it is committed again")
        error = running.exception()
        if isinstance(error, errors.CommitFailedError) and not isinstance(error.__cause__, _PASSING):
            raise Evicted
        if error is not None:
            raise LogUnavailable(f"Kafka did not confirm a commit: {explain(error)}") from error


def _offset_and_metadata(position: Position) -> tuple[int, str]:
    """Too long metadata would make the whole call fail; without it more is read back, nothing is lost."""
    if len(position.metadata) <= METADATA_CHARACTERS:
        return position.offset, position.metadata
    log.warning(
        "The metadata of a commit is too long for Kafka and left out",
        extra={"action": "kafka_metadata_too_long", "characters": len(position.metadata)},
    )
    return position.offset, ""
