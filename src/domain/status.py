"""What became of a message, folded from the log's record of it and from what its groups noted.

One request_id may stand for several records of a shard: repeats, another message under the same id, one that
ended badly and was sent again, one that was put back for one group. Folded by offset they are one story.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from domain.ledger import LedgerRecord, State
from domain.log import Shard
from domain.outcome import DeadLetterReason
from domain.partitioning import partition_of_request
from domain.topic import Topic


class DeliveryState(StrEnum):
    """How a message stands with one group."""

    ACCEPTED = "accepted"  # in the log, not tried
    RETRYING = "retrying"  # also one that is put off
    UNCERTAIN = "uncertain"
    SENT = "sent"
    DEAD = "dead"
    EXPIRED = "expired"
    SKIPPED = "skipped"  # no address for this group's channel


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStatus:
    """How a message stands with one group. `updated_at`: seconds since the epoch.

    `attempts`: tries that counted, with the one that succeeded. Empty texts: there is nothing to say.
    """

    state: DeliveryState
    attempts: int = 0
    uncertain_attempts: int = 0
    reason: str = ""
    updated_at: float
    provider_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStatus:
    """A message by its first record in the log. `deliveries`: by group. Times in seconds since the epoch.

    `as_of`: what the log had by then is in it.
    """

    request_id: str
    topic_name: str
    partition: int
    offset: int
    accepted_at: float
    deliveries: Mapping[str, DeliveryStatus]
    as_of: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A record of the log, as far as its status needs it.

    `channels`: the groups it has an address for. `for_group`: the only one that takes it, or empty.
    """

    shard: Shard
    offset: int
    request_id: str
    accepted_at: float
    channels: frozenset[str]
    for_group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNotes:
    """What one group noted of one id in one shard.

    `records`: by offset, the newest of each. `deferred`: offsets that are put off. `passed`: what stands
    below it is finished or put off.
    """

    records: Mapping[int, LedgerRecord] = field(default_factory=lambda: MappingProxyType({}))
    deferred: AbstractSet[int] = frozenset()
    passed: int = 0


@dataclass(frozen=True, slots=True)
class Noted:
    """A record of a group's ledger."""

    shard: Shard
    group: str
    record: LedgerRecord


@dataclass(frozen=True, slots=True)
class DeferralChange:
    """A group put the message at this offset off, or, not `is_open`, is done with that."""

    shard: Shard
    group: str
    offset: int
    is_open: bool


StatusEvent = Sighting | Noted | DeferralChange
"""What a view of its own is made of. Events of one kind, shard and group come in the log's order."""

_MAY_COME_AGAIN = frozenset({DeliveryState.DEAD, DeliveryState.EXPIRED, DeliveryState.SKIPPED})


def newest_notes(records: Iterable[LedgerRecord]) -> dict[int, LedgerRecord]:
    """By offset. Records come in the order of their positions; an end is never taken back."""
    newest: dict[int, LedgerRecord] = {}
    for record in records:
        known = newest.get(record.offset)
        if known is None or record.state.is_end or not known.state.is_end:
            newest[record.offset] = record
    return newest


def fold_status(
    sightings: Sequence[Sighting], groups: Mapping[str, GroupNotes], as_of: float
) -> MessageStatus:
    """The story of one id in one shard; at least one sighting.

    The first record is the message. A group that was never meant to have it is left out.
    """
    in_order = sorted(sightings, key=lambda sighting: sighting.offset)
    first = in_order[0]
    found = {group: _delivery(group, in_order, notes) for group, notes in groups.items()}
    return MessageStatus(
        request_id=first.request_id,
        topic_name=first.shard.topic,
        partition=first.shard.partition,
        offset=first.offset,
        accepted_at=first.accepted_at,
        deliveries={group: delivery for group, delivery in found.items() if delivery is not None},
        as_of=as_of,
    )


def _delivery(group: str, sightings: Sequence[Sighting], notes: GroupNotes) -> DeliveryStatus | None:
    status: DeliveryStatus | None = None
    for sighting in sightings:
        if sighting.for_group in ("", group):
            status = _after(status, group, sighting, notes)
    return status


def _after(
    status: DeliveryStatus | None, group: str, sighting: Sighting, notes: GroupNotes
) -> DeliveryStatus | None:
    record = notes.records.get(sighting.offset)
    if record is not None:
        # Another message under the same id; what was said of the first one stays.
        return status if status is not None and _is_reuse(record) else _noted(record)
    if status is not None and status.state not in _MAY_COME_AGAIN:
        return status  # a repeat: it is passed over
    if group in sighting.channels and sighting.offset in notes.deferred:
        return _standing(DeliveryState.RETRYING, sighting)
    if group in sighting.channels and sighting.offset >= notes.passed:
        return _standing(DeliveryState.ACCEPTED, sighting)
    # Passed over without a word: it has no address here, or it is from before the group began.
    return status or _standing(DeliveryState.SKIPPED, sighting)


def _standing(state: DeliveryState, sighting: Sighting) -> DeliveryStatus:
    return DeliveryStatus(state=state, updated_at=sighting.accepted_at)


def _is_reuse(record: LedgerRecord) -> bool:
    return record.state is State.DEAD and record.reason == DeadLetterReason.REQUEST_ID_REUSED


def _noted(record: LedgerRecord) -> DeliveryStatus:
    return DeliveryStatus(
        state=DeliveryState(record.state.value),
        attempts=record.attempts + (record.state is State.SENT),  # the ledger counts the failed ones
        uncertain_attempts=record.uncertain,
        reason=record.reason,
        updated_at=record.at,
        provider_id=record.provider_id,
    )


def newest_of(found: Iterable[MessageStatus]) -> MessageStatus | None:
    """Of several shards' messages of one id, the one that was accepted last."""
    return max(found, key=lambda status: status.accepted_at, default=None)


def likely_shards(request_id: str, topics: Iterable[Topic]) -> list[Shard]:
    """Where it is if it has neither a key nor a partition of its own."""
    return [Shard(topic.name, partition_of_request(request_id, topic.partitions)) for topic in topics]
