"""aiokafka's consumer as Herald uses it: its options, its callbacks, and what can only be seen inside it.

The few looks at private attributes stand here alone; the library's version is pinned below the next minor.
"""

import asyncio
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from aiokafka import ConsumerRebalanceListener, TopicPartition, errors
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.protocol.group import LeaveGroupRequest

from adapters.kafka_connection import ends_in_time, explain, stop_in_time
from adapters.kafka_times import GroupTimes
from domain.errors import LogUnavailable
from domain.log import Bounds, Shard

ConsumerClass = Callable[..., Any]
FETCH_BYTES = 16 * 1024 * 1024
# Asked for when no shard is wanted: naming none would mean all, and not asking at all would hide the
# errors of the group's coordination, which aiokafka holds back until somebody asks for records.
NOBODY = TopicPartition("herald-asks-for-nothing", 0)


def consumer_options(group_id: str, times: GroupTimes) -> dict[str, Any]:
    """Options for an aiokafka consumer of the group."""
    return {
        "group_id": group_id,
        "enable_auto_commit": False,
        # Positions are read and set by us: aiokafka takes an error of OffsetFetch for "never committed",
        # and any other policy would then skip the backlog or send all of it again.
        "auto_offset_reset": "none",
        "partition_assignment_strategy": (sticky_assignor(),),
        "session_timeout_ms": _ms(times.session),
        "heartbeat_interval_ms": _ms(times.heartbeat),
        "rebalance_timeout_ms": _ms(times.rebalance),
        "request_timeout_ms": _ms(times.request),
        "max_poll_interval_ms": _ms(times.silence),
        "connections_max_idle_ms": _ms(times.idle),
        # A topic that was away when the group was formed, also for a moment, is noticed by this alone.
        "metadata_max_age_ms": 5_000,
        "max_partition_fetch_bytes": 262_144,
        # Of one broker's answer, and each broker's waits in memory until it is taken: else 50 MiB.
        "fetch_max_bytes": FETCH_BYTES,
    }


def _ms(seconds: float) -> int:
    return int(1000 * seconds)


def sticky_assignor() -> type[StickyPartitionAssignor]:
    """An assignor of its own for one consumer: aiokafka keeps its memory on the class.

    Sticky, so that after a rebalance most shards are where they were. Exactly one: JoinGroup is sent
    once for each assignor of the list.
    """
    return type("HeraldStickyAssignor", (StickyPartitionAssignor,), {})


class RebalanceTarget(Protocol):
    """Who is told of rebalances."""

    async def give_back(self) -> None:
        """All shards are asked back; returns when they may go to others."""

    def take_over(self, shards: frozenset[Shard]) -> None:
        """These shards are given. Must not wait for anything."""


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Passes aiokafka's callbacks on, in our words."""

    def __init__(self, target: RebalanceTarget) -> None:
        self._target = target

    async def on_partitions_revoked(self, _revoked: AbstractSet[TopicPartition]) -> None:
        # It is always all of them: aiokafka knows eager rebalances only.
        await self._target.give_back()

    def on_partitions_assigned(self, assigned: AbstractSet[TopicPartition]) -> None:
        # No heartbeat is sent until this returns: awaiting here gets the member thrown out for ever.
        self._target.take_over(frozenset(Shard(p.topic, p.partition) for p in assigned))


def partition_of(shard: Shard) -> TopicPartition:
    return TopicPartition(shard.topic, shard.partition)


async def bounds_of(
    consumer: Any, partitions: Collection[TopicPartition], seconds: float
) -> dict[TopicPartition, Bounds]:
    """First and next offset of each partition. Raises `LogUnavailable` after `seconds` at the latest."""
    asked = list(partitions)
    try:
        async with asyncio.timeout(seconds):
            firsts = await consumer.beginning_offsets(asked)
            ends = await consumer.end_offsets(asked)
        return {partition: Bounds(firsts[partition], ends[partition]) for partition in asked}
    except (errors.KafkaError, TimeoutError) as error:
        raise LogUnavailable(f"Kafka did not tell where the log begins and ends: {explain(error)}") from error
    except KeyError as error:
        raise LogUnavailable("Kafka did not tell where a partition begins and ends") from error


def position_in(consumer: Any, partition: TopicPartition) -> int | None:
    """What aiokafka reads next, past what holds no record; None for what is not read, or not from anywhere.

    Its own `position` would wait for that.
    """
    subscription = consumer._subscription.subscription  # noqa: SLF001
    assignment = None if subscription is None else subscription.assignment
    state = None if assignment is None else assignment.state_value(partition)
    return int(state.position) if state is not None and state.has_valid_position else None


def is_evicted(consumer: Any) -> bool:
    """Whether the group does not know this member any more, so that its shards may be another's."""
    return bool(consumer._coordinator.generation < 0)  # noqa: SLF001 - told nowhere else


def has_stopped_fetching(consumer: Any) -> bool:
    """Whether the task that fetches has ended; then `getmany` answers nothing for ever, without an error."""
    return bool(consumer._fetcher.error_future.done())  # noqa: SLF001 - told nowhere else


def has_stopped_coordinating(consumer: Any) -> bool:
    """Whether the task that keeps the membership has ended, of an error or because it was cancelled.

    The latter is what becomes of it when a heartbeat that it cancels does not take that for its own end;
    `getmany` then raises `CancelledError` for ever.
    """
    return bool(consumer._coordinator._coordination_task.done())  # noqa: SLF001 - told nowhere else


async def stop_consumer(consumer: Any, seconds: float) -> None:
    """Leaves the group and closes all connections, within about twice that time."""
    if await stop_in_time(consumer, seconds):
        return
    # It waits for the others of a rebalance or for a broker that does not answer, or its coordination was
    # cut off. At least let go of what this process holds.
    for part in (_leave_group(consumer), consumer._fetcher.close(), consumer._client.close()):  # noqa: SLF001
        await ends_in_time(part, seconds / 3)


async def _leave_group(consumer: Any) -> None:
    """Otherwise a member that is gone is given shards, and they wait until its session is over.

    Over another connection than aiokafka's own `LeaveGroup`, which would wait there behind a `JoinGroup`.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    await coordinator._stop_heartbeat_task()  # noqa: SLF001
    if coordinator.member_id and coordinator.coordinator_id is not None:
        leave = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
        await consumer._client.send(coordinator.coordinator_id, leave)  # noqa: SLF001
