"""What became of a message, and what a view of it is made of. `status_fold` makes the one of the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from domain.ledger import LedgerRecord
from domain.log import Shard


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


class StoryEvent(StrEnum):
    """What happened to a message."""

    ACCEPTED = "accepted"
    RETRYING = "retrying"  # a try failed for now
    UNCERTAIN = "uncertain"  # the answer to a try was lost
    DEFERRED = "deferred"  # it is put off
    SENT = "sent"
    DEAD = "dead"
    EXPIRED = "expired"
    SKIPPED = "skipped"
    REPLAYED = "replayed"  # its dead letter was put back for one group


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryStep:
    """Something that happened to a message. `group`: empty for what is all groups'. Empty: nothing to say.

    `attempts` and `uncertain_attempts` are those until then, with this one. `due`: when one that is put off
    is tried again; 0 where it waits for an earlier one of its key. `dead_letter`: its id.
    """

    at: float
    event: StoryEvent
    group: str = ""
    attempts: int = 0
    uncertain_attempts: int = 0
    reason: str = ""
    provider_id: str = ""
    due: float = 0.0
    dead_letter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStatus:
    """A message by its first record in the log. `deliveries`: by group. Times in seconds since the epoch.

    `as_of`: what the log had by then is in it. `story`: how it came to stand so, oldest step first.
    """

    request_id: str
    topic_name: str
    partition: int
    offset: int
    accepted_at: float
    deliveries: Mapping[str, DeliveryStatus]
    as_of: float
    story: Sequence[StoryStep] = ()


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

    `records`: by offset, the newest of each. `tries`: by offset, those that left it open, in order.
    `deferred`: offsets that are put off, and when each is due. `passed`: what stands below it is finished or
    put off.
    """

    records: Mapping[int, LedgerRecord] = field(default_factory=lambda: MappingProxyType({}))
    tries: Mapping[int, Sequence[LedgerRecord]] = field(default_factory=lambda: MappingProxyType({}))
    deferred: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    passed: int = 0


@dataclass(frozen=True, slots=True)
class Noted:
    """A record of a group's ledger."""

    shard: Shard
    group: str
    record: LedgerRecord


@dataclass(frozen=True, slots=True)
class DeferralChange:
    """A group put the message at this offset off, or, `due` None, is done with that."""

    shard: Shard
    group: str
    offset: int
    due: float | None


StatusEvent = Sighting | Noted | DeferralChange
"""What a view of its own is made of. Events of one kind, shard and group come in the log's order."""
