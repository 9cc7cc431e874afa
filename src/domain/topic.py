"""What a topic is: its shape for life, and who is subscribed to it."""

from dataclasses import dataclass
from enum import StrEnum


class Start(StrEnum):
    """Where a group begins that has never committed on a topic."""

    BEGINNING = "beginning"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One configured topic.

    `replication_factor` 0 means: min(3, brokers) when Herald makes it, whatever it has when it exists.
    `expires_after_seconds` 0 means never.
    """

    name: str
    partitions: int
    replication_factor: int = 0
    retention_hours: int = 168
    expires_after_seconds: int = 0
    start: Start = Start.BEGINNING
    groups: tuple[str, ...] = ("email", "sms")


class Cleanup(StrEnum):
    """How a log forgets the records of a topic."""

    DELETE = "delete"  # by their age
    COMPACT = "compact"  # all but the last one of each key
    BOTH = "compact,delete"  # for either reason
    NEVER = "none"


FOR_EVER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlan:
    """A topic as it should exist in the log: a configured one, or one of Herald's own.

    `retention_ms` is `FOR_EVER` where no record is forgotten for its age.

    `segment_ms`: after how long what was written may be forgotten at all; None: the log's usual.
    `stamped_by_log`: a record's time is when the log took it, whatever the writer's clock says.
    `extra_message_bytes` is allowed on top of what the topic `beside` which this one stands takes (or, where
    that does not exist, the log's usual limit), for the headers that Herald adds.
    """

    name: str
    partitions: int
    replication_factor: int
    retention_ms: int
    cleanup: Cleanup = Cleanup.DELETE
    extra_message_bytes: int = 0
    beside: str | None = None
    segment_ms: int | None = None
    stamped_by_log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTopic:
    """A topic as the log has it.

    `retention_ms` is None where the log keeps none of its own: then the settings' is what counts. `cleanup`
    and `segment_ms`, after which records are forgotten together, are None where the log has no such thing.
    """

    name: str
    partitions: int
    replication_factor: int
    retention_ms: int | None
    cleanup: Cleanup | None = None
    segment_ms: int | None = None


def dead_letter_topic(topic: str, group: str) -> str:
    """Where `group` keeps what it could not deliver from `topic`."""
    return f"{topic}.{group}.dead-letters"
